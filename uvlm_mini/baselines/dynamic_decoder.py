"""The decoder that the paper's Table 6 begins with: it looks at the picture through a dynamic convolution.

    K_t      kernel of a step, mixed from m learned ones by AttSSM's query         (B, C, C, 1, 1)
    seen     mean and maximum of H-Swish(K_t * x) over the positions               (B, 2C)

The other parts of AttSSM can be put in one after the other: multi-scale fusion, the bias map, the gate. How the paper
joins them with the convolution is not published; here each stands where it stands in AttSSM, with the convolution
before it. Chapter 5 compares them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import AttSSMConfig
from ..decoder import AttSSM, Context, State
from .dynamic_conv import DynamicConv


class DynamicAttSSM(AttSSM):
    """AttSSM with a dynamic convolution before its modulation, and with as much of the rest as is asked for.

    Parameters
    ----------
    config, words : as AttSSM.
    fusion, spatial, channel : whether multi-scale fusion, bias map and gate are there.
    """

    def __init__(
        self, config: AttSSMConfig, words: int, fusion: bool = False, spatial: bool = False, channel: bool = False
    ) -> None:
        super().__init__(config, words)
        c = self.gcdm.signal_x.in_channels
        self.spatial, self.channel = spatial, channel
        self.dynamic = DynamicConv(c, c, 1, config.hidden)
        if not fusion:
            self.fusion = nn.Identity()  # type: ignore[assignment]
        if not spatial:
            self.gcdm.signal_x = self.gcdm.signal_q = self.gcdm.point = nn.Identity()  # type: ignore[assignment]
        if not channel:
            self.gcdm.gate_x = self.gcdm.gate_q = nn.Identity()  # type: ignore[assignment]

    def look(self, context: Context, state: State, query: Tensor) -> Tensor:
        """What is seen of the picture, (B, 2C), by a (B, H) query."""
        x = self.dynamic(context.x, query[:, :, None, None])  # (B, C, h, w)
        bias = self.gcdm.bias(context.signal, query) if self.spatial else x.new_zeros(1, 1, 1, 1)
        x = x + bias
        seen = torch.stack([F.hardswish(x).mean((2, 3)), x.amax((2, 3)) - bias.amax((2, 3))], 1)  # (B, 2, C)
        if self.channel:
            seen = seen * torch.sigmoid(context.gate + self.gcdm.gate_q(query))[:, None]
        return seen.flatten(1)
