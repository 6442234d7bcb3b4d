"""OverMod: first an overview, then a close look.

    picture --> OverNet: stem, stages 1-3 ------> base features (stride of stage 3)
                              |                          |
                           stage 4                       v
                              '---> context prior --> ModNet: ED blocks, each adds a bias map made from the prior
                                         |               |
                                         '----> merge <--'  --> features (B, C, h, w)

ES block: Efficient Static. ED block: Efficient Dynamic, the same with GSM. Chapter 3 builds both.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import OverModConfig
from .modulation import GSM, adapt
from .reparam import DilatedRepConv


def conv_norm(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution and batch-norm."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs))


class GRN(nn.Module):
    """Global Response Normalization: every channel is weighed by how strong it is beside the others.

    The identity at the start. Not native on the NPU: chapter 9 writes it in C.

    Parameters
    ----------
    channels : channels C, in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        strength = torch.linalg.vector_norm(x, dim=(2, 3), keepdim=True)  # (B, C, 1, 1)
        share = strength / (strength.mean(1, keepdim=True) + 1e-6)
        return torch.addcmul(self.beta, x, self.gamma * share + 1)


class ConvFFN(nn.Module):
    """Pointwise up, H-Swish, residual depthwise 3 x 3, GRN, pointwise down.

    Parameters
    ----------
    channels : channels C, in and out.
    expand : width between, as a multiple of C.
    """

    def __init__(self, channels: int, expand: float) -> None:
        super().__init__()
        wide = int(channels * expand)
        self.up = nn.Conv2d(channels, wide, 1)
        self.mix = nn.Conv2d(wide, wide, 3, 1, 1, groups=wide)
        self.grn = GRN(wide)
        self.down = nn.Conv2d(wide, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        x = F.hardswish(self.up(x))  # (B, eC, H, W)
        return self.down(self.grn(x + self.mix(x)))


class ESBlock(nn.Module):
    """Efficient Static block: residual depthwise 3 x 3, Dilated RepConv, ConvFFN, Layer Scale.

    Parameters
    ----------
    channels : channels C, in and out.
    kernel : merged kernel of the Dilated RepConv.
    expand, layer_scale : see OverModConfig.
    """

    def __init__(self, channels: int, kernel: int, expand: float, layer_scale: float) -> None:
        super().__init__()
        self.near = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels)
        self.far = DilatedRepConv(channels, kernel)
        self.ffn = ConvFFN(channels, expand)
        self.scale = nn.Parameter(torch.full((channels, 1, 1), layer_scale))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        x = x + self.near(x)
        return torch.addcmul(x, self.scale, self.ffn(self.far(x)))


class EDBlock(ESBlock):
    """Efficient Dynamic block: an ES block whose large convolution GSM modulates.

    Parameters
    ----------
    prior : channels P of the context prior; the others as for ESBlock.
    """

    def __init__(self, channels: int, prior: int, kernel: int, expand: float, layer_scale: float) -> None:
        super().__init__(channels, kernel, expand, layer_scale)
        self.gsm = GSM(prior, channels)

    def forward(self, x: Tensor, prior: Tensor) -> Tensor:  # type: ignore[override]
        """(B, C, H, W) features and (B, P, h, w) prior -> (B, C, H, W)."""
        x = x + self.near(x)
        return torch.addcmul(x, self.scale, self.ffn(self.gsm(self.far(x), prior)))


class OverNet(nn.Module):
    """The overview: four stages of ES blocks. Gives stage three's features and, from stage four, the context prior."""

    def __init__(self, config: OverModConfig) -> None:
        super().__init__()
        w = config.widths
        first: list[nn.Module] = [conv_norm(3, w[0], 3, 2), nn.Hardswish()]
        if config.stem_stride == 4:
            first += [conv_norm(w[0], w[0], 3, 2), nn.Hardswish()]
        self.stages = nn.ModuleList()
        for i, (width, depth, kernel) in enumerate(zip(w, config.depths, config.kernels, strict=True)):
            entry = first if i == 0 else [conv_norm(w[i - 1], width, 3, 2)]
            blocks = [ESBlock(width, kernel, config.expand, config.layer_scale) for _ in range(depth)]
            self.stages.append(nn.Sequential(*entry, *blocks))

    def early(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) pictures -> the maps of stage two, from which `Familiarity` judges a picture."""
        return self.stages[1](self.stages[0](x))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, S, S) pictures -> base features of stage three and the context prior of stage four."""
        base = self.stages[2](self.early(x))
        return base, self.stages[3](base)


class ModNet(nn.Module):
    """The close look: ED blocks on stage three's features, steered by the context prior."""

    def __init__(self, config: OverModConfig) -> None:
        super().__init__()
        base, prior = config.widths[2], config.widths[3]
        k3, k4 = config.kernels[2:]
        width = config.mod_width
        self.enter = conv_norm(base, width, 1)
        self.third = nn.ModuleList(
            EDBlock(width, prior, k3, config.expand, config.layer_scale) for _ in range(config.mod_depths[0])
        )
        self.down = conv_norm(width, prior, 3, 2) if config.mod_depths[1] else None
        self.fourth = nn.ModuleList(
            EDBlock(prior, prior, k4, config.expand, config.layer_scale) for _ in range(config.mod_depths[1])
        )
        self.width = prior if config.mod_depths[1] else width  # channels of the result

    def forward(self, x: Tensor, prior: Tensor) -> Tensor:
        """Base features and context prior -> (B, width, h, w)."""
        x = self.enter(x)
        for block in self.third:
            x = block(x, prior)
        if self.down is not None:
            x = self.down(x)
        for block in self.fourth:
            x = block(x, prior)
        return x


class OverMod(nn.Module):
    """The encoder: OverNet's overview steers ModNet, and both are merged.

    Parameters
    ----------
    config : sizes; see OverModConfig.
    """

    def __init__(self, config: OverModConfig) -> None:
        super().__init__()
        self.config = config
        self.overnet = OverNet(config)
        self.modnet = ModNet(config)
        self.merge = nn.Sequential(conv_norm(self.modnet.width + config.widths[3], config.out, 1), nn.Hardswish())

    def forward(self, picture: Tensor) -> Tensor:
        """(B, 3, S, S) pictures in -1..1 -> (B, C, h, w) features.

        Raises
        ------
        ValueError : another number of channels, or a side that is not the configured one.
        """
        return self.look(picture)[0]

    def look(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Features and context prior: stage 1 of the training teaches both."""
        side = self.config.image
        if picture.ndim != 4 or picture.shape[1:] != (3, side, side):
            raise ValueError(f"The encoder takes pictures (B, 3, {side}, {side}), not {tuple(picture.shape)}.")
        base, prior = self.overnet(picture)
        close = self.modnet(base, prior)
        both = torch.cat([close, adapt(prior, close.shape[-1])], 1)
        return self.merge(both), prior
