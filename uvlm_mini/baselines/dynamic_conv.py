"""Dynamic convolution: kernels that are mixed anew for every picture.

    pi      share of each learned kernel, softmax(W mean(prior) + b)     (B, m)
    K       kernel of a picture, sum_j pi_j K_j                          (B, N, C / groups, k, k)

The mixture of Chen et al., "Dynamic Convolution: Attention over Convolution Kernels", CVPR 2020. What GSM is measured
against: dense it generates N C k^2 values a picture, depthwise C k^2. Chapter 2 compares both.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DynamicConv(nn.Module):
    """Convolution with a kernel of its own for every picture, a mixture of m learned ones.

    Parameters
    ----------
    channels : channels C of the features.
    outputs : channels N of the result.
    kernel : side k, odd; the result is padded to the side of the features.
    prior : channels P of what decides the mixture; None: the features decide themselves.
    mixed : number m of learned kernels.
    groups : 1 for a dense convolution, C for a depthwise one.
    """

    def __init__(
        self, channels: int, outputs: int, kernel: int, prior: int | None = None, mixed: int = 4, groups: int = 1
    ) -> None:
        super().__init__()
        self.groups = groups
        self.shape = (outputs, channels // groups, kernel, kernel)
        reach = (channels // groups * kernel * kernel) ** -0.5  # as nn.Conv2d starts
        self.kernels = nn.Parameter(torch.empty(mixed, math.prod(self.shape)).uniform_(-reach, reach))
        self.weigh = nn.Linear(channels if prior is None else prior, mixed)

    def generate(self, prior: Tensor) -> Tensor:
        """(B, P, h, w) prior -> the kernels of every picture, (B, N, C / groups, k, k)."""
        share = self.weigh(prior.mean((2, 3))).softmax(1)  # (B, m)
        return (share @ self.kernels).view(-1, *self.shape)

    def forward(self, x: Tensor, prior: Tensor | None = None) -> Tensor:
        """(B, C, H, W) features and, if the layer was made for one, a prior -> (B, N, H, W).

        The pictures of a batch become groups of one convolution, since each has kernels of its own.
        """
        batch, channels, height, width = x.shape
        kernels = self.generate(x if prior is None else prior).flatten(0, 1)  # (B N, C / groups, k, k)
        one = x.reshape(1, batch * channels, height, width)
        y = F.conv2d(one, kernels, padding=kernels.shape[-1] // 2, groups=batch * self.groups)
        return y.view(batch, -1, height, width)
