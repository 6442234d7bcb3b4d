"""Re-parameterisation: many small steps in training, one convolution afterwards.

A dilated k x k kernel is a sparse (d(k-1)+1)-wide one, batch-norm is a scale and a shift, and adding the input is one
more in the middle of the kernel. So a sum of depthwise convolutions with batch-norms is one depthwise convolution,
and a residual one is a plain one. Every step here is linear: a nonlinearity stops the fusing. Chapter 3 derives it.
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
    kernel : side K of the fused kernel, odd, 5 to 17.
    dilated : False leaves the branches out: one K x K convolution and its batch-norm, for the ablation.

    Raises
    ------
    ValueError : a kernel that has no branches.
    """

    def __init__(self, channels: int, kernel: int, dilated: bool = True) -> None:
        super().__init__()
        if kernel not in BRANCHES:
            raise ValueError(f"Dilated RepConv has kernels {', '.join(map(str, BRANCHES))}, not {kernel}.")
        self.kernel = kernel
        self.convs = nn.ModuleList()
        self.norms = nn.ModuleList()
        for k, d in ((kernel, 1), *(BRANCHES[kernel] if dilated else ())):
            self.convs.append(nn.Conv2d(channels, channels, k, 1, d * (k - 1) // 2, d, channels, bias=False))
            self.norms.append(nn.BatchNorm2d(channels))
        self.fused: nn.Conv2d | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        if self.fused is not None:
            return self.fused(x)
        return sum(norm(conv(x)) for conv, norm in zip(self.convs, self.norms, strict=True))

    @torch.no_grad()
    def fuse(self) -> None:
        """Replace the branches by the one convolution that equals them in eval mode."""
        if self.fused is not None:
            raise RuntimeError("This Dilated RepConv is fused already; fuse a model once, after training.")
        channels = len(self.convs[0].weight)  # type: ignore[arg-type]
        weight = torch.zeros_like(self.convs[0].weight)  # type: ignore[arg-type]
        bias = weight.new_zeros(channels)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
            w, b = fold(conv.weight, None, norm)
            weight += dilate(w, conv.dilation[0], self.kernel)
            bias += b
        self.fused = nn.Conv2d(channels, channels, self.kernel, 1, self.kernel // 2, groups=channels).to(weight)
        self.fused.load_state_dict({"weight": weight, "bias": bias})
        del self.convs, self.norms


class ConvNorm(nn.Sequential):
    """Convolution and batch-norm, which `fuse` folds into the convolution.

    Parameters
    ----------
    inputs, outputs : channels.
    kernel, stride : of the convolution; it is padded to keep the side at stride 1.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        super().__init__(conv, nn.BatchNorm2d(outputs))

    @torch.no_grad()
    def fuse(self) -> None:
        """Replace both by the one convolution that equals them in eval mode."""
        conv, norm = self
        if not isinstance(norm, nn.BatchNorm2d):
            raise RuntimeError("This convolution has its batch-norm folded in already; fuse a model once.")
        assert isinstance(conv, nn.Conv2d)
        weight, bias = fold(conv.weight, None, norm)
        conv.weight.copy_(weight)
        conv.bias = nn.Parameter(bias)
        self[1] = nn.Identity()


class ResidualConv(nn.Conv2d):
    """x plus its depthwise convolution of side k; fused, a depthwise convolution with one more in the middle.

    Parameters
    ----------
    channels : channels C, in and out.
    kernel : side k, odd.
    """

    def __init__(self, channels: int, kernel: int = 3) -> None:
        super().__init__(channels, channels, kernel, 1, kernel // 2, groups=channels)
        self.fused = False

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return super().forward(x) if self.fused else x + super().forward(x)

    @torch.no_grad()
    def fuse(self) -> None:
        """Take the addition into the kernel."""
        if self.fused:
            raise RuntimeError("This residual convolution is fused already; fuse a model once, after training.")
        middle = self.kernel_size[0] // 2
        self.weight[:, 0, middle, middle] += 1
        self.fused = True


def fuse(model: nn.Module) -> nn.Module:
    """Bring a trained model from train form to deploy form, in place; returns it, in eval mode.

    Every module that knows how to `fuse` does. What it computes in eval mode stays the same, in fewer and larger
    steps; it can no longer be trained.

    Raises
    ------
    RuntimeError : the model, or a part of it, is fused already.
    """
    parts = [m for m in model.modules() if callable(getattr(m, "fuse", None))]
    for part in parts:
        part.fuse()  # type: ignore[operator]
    return model.eval()
