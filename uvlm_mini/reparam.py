"""Dilated RepConv: many small kernels in training, one large kernel afterwards.

A dilated k x k kernel is a sparse (d(k-1)+1)-wide one, and batch-norm is a scale and a shift, so a sum of
depthwise convolutions with batch-norms is one depthwise convolution. Chapter 3 derives it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Side and dilation of the small kernels that are trained beside the K x K one; each fits inside it.
BRANCHES: dict[int, tuple[tuple[int, int], ...]] = {
    5: ((3, 1), (3, 2)),
    7: ((5, 1), (3, 2), (3, 3)),
    9: ((5, 1), (5, 2), (3, 3), (3, 4)),
    11: ((5, 1), (5, 2), (3, 3), (3, 4), (3, 5)),
    13: ((5, 1), (7, 2), (3, 3), (3, 4), (3, 5)),
    15: ((5, 1), (7, 2), (3, 3), (3, 5), (3, 7)),
    17: ((5, 1), (9, 2), (3, 4), (3, 5), (3, 7)),
}


def fold(weight: Tensor, bias: Tensor | None, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight (O, ., k, k) and bias (O,) of the convolution that equals the given one and then `norm` in eval mode."""
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("A batch-norm without running statistics cannot be folded; train it with track_running_stats.")
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)  # (O,)
    shift = norm.bias - norm.running_mean * scale  # (O,)
    if bias is not None:
        shift = shift + bias * scale
    return weight * scale[:, None, None, None], shift


def dilate(kernel: Tensor, dilation: int, side: int) -> Tensor:
    """The (C, 1, k, k) kernel with its taps `dilation` apart, centred in (C, 1, side, side)."""
    k = kernel.shape[-1]
    wide = dilation * (k - 1) + 1
    dense = kernel.new_zeros(kernel.shape[0], 1, side, side)
    start = (side - wide) // 2
    dense[:, :, start : start + wide : dilation, start : start + wide : dilation] = kernel
    return dense


class DilatedRepConv(nn.Module):
    """Depthwise K x K convolution, trained as a sum of branches with a batch-norm each.

    Parameters
    ----------
    channels : channels C, in and out.
    kernel : side K of the merged kernel, odd, 5 to 17.

    Raises
    ------
    ValueError : a kernel that has no branches.
    """

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        if kernel not in BRANCHES:
            raise ValueError(f"Dilated RepConv has kernels {', '.join(map(str, BRANCHES))}, not {kernel}.")
        self.kernel = kernel
        self.convs = nn.ModuleList()
        self.norms = nn.ModuleList()
        for k, d in ((kernel, 1), *BRANCHES[kernel]):
            self.convs.append(nn.Conv2d(channels, channels, k, 1, d * (k - 1) // 2, d, channels, bias=False))
            self.norms.append(nn.BatchNorm2d(channels))
        self.merged: nn.Conv2d | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        if self.merged is not None:
            return self.merged(x)
        return sum(norm(conv(x)) for conv, norm in zip(self.convs, self.norms, strict=True))

    @torch.no_grad()
    def merge(self) -> None:
        """Replace the branches by the one convolution that equals them in eval mode."""
        if self.merged is not None:
            raise RuntimeError("This Dilated RepConv is merged already; merge a model once, after training.")
        channels = len(self.convs[0].weight)  # type: ignore[arg-type]
        weight = torch.zeros_like(self.convs[0].weight)  # type: ignore[arg-type]
        bias = weight.new_zeros(channels)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
            w, b = fold(conv.weight, None, norm)
            weight += dilate(w, conv.dilation[0], self.kernel)
            bias += b
        self.merged = nn.Conv2d(channels, channels, self.kernel, 1, self.kernel // 2, groups=channels).to(weight)
        self.merged.load_state_dict({"weight": weight, "bias": bias})
        del self.convs, self.norms


def merge(model: nn.Module) -> nn.Module:
    """Merge every Dilated RepConv of the model, in place; returns the model. It computes the same in eval mode."""
    blocks = [m for m in model.modules() if isinstance(m, DilatedRepConv)]
    for block in blocks:
        block.merge()
    return model
