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
from .reparam import ConvNorm, DilatedRepConv, ResidualConv


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


class SE(nn.Module):
    """Squeeze-and-excitation: every channel is multiplied by a number between 0 and 1, made from all channels' means.

    Not part of OverMod: the ablation adds it, as the paper's Table 4 does.

    Parameters
    ----------
    channels : channels C, in and out; the layer between has an eighth of them, 16 at least.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        between = max(16, channels // 8)
        self.squeeze = nn.Conv2d(channels, between, 1)
        self.excite = nn.Conv2d(between, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        mean = x.mean((2, 3), keepdim=True)  # (B, C, 1, 1)
        return x * torch.sigmoid(self.excite(F.hardswish(self.squeeze(mean))))


class ConvFFN(nn.Module):
    """Pointwise up, H-Swish, residual depthwise 3 x 3, GRN, pointwise down.

    Parameters
    ----------
    channels : channels C, in and out.
    expand : width between, as a multiple of C.
    grn : False leaves GRN out.
    """

    def __init__(self, channels: int, expand: float, grn: bool = True) -> None:
        super().__init__()
        wide = int(channels * expand)
        self.up = nn.Conv2d(channels, wide, 1)
        self.mix = ResidualConv(wide)
        self.grn = GRN(wide) if grn else nn.Identity()
        self.down = nn.Conv2d(wide, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        x = F.hardswish(self.up(x))  # (B, eC, H, W)
        return self.down(self.grn(self.mix(x)))


class ESBlock(nn.Module):
    """Efficient Static block: residual depthwise 3 x 3, Dilated RepConv, ConvFFN, Layer Scale.

    Parameters
    ----------
    channels : channels C, in and out.
    kernel : fused kernel K of the Dilated RepConv.
    config : what is switched on, and how wide ConvFFN is; see OverModConfig.
    """

    def __init__(self, channels: int, kernel: int, config: OverModConfig) -> None:
        super().__init__()
        self.near = ResidualConv(channels)
        self.far = DilatedRepConv(channels, kernel, config.dilated)
        self.se = SE(channels) if config.se else nn.Identity()
        self.ffn = ConvFFN(channels, config.expand, config.grn)
        factor = config.layer_scale
        self.scale = None if factor is None else nn.Parameter(torch.full((channels, 1, 1), factor))

    def steer(self, x: Tensor, prior: Tensor | None) -> Tensor:
        """Where a dynamic block differs from a static one, which leaves (B, C, H, W) as it is."""
        return x

    def forward(self, x: Tensor, prior: Tensor | None = None) -> Tensor:
        """(B, C, H, W) features and, in an ED block, (B, P, h, w) prior -> (B, C, H, W)."""
        x = self.near(x)
        branch = self.ffn(self.se(self.steer(self.far(x), prior)))
        return x + branch if self.scale is None else torch.addcmul(x, self.scale, branch)

    @torch.no_grad()
    def fuse(self) -> None:
        """Take Layer Scale into the last convolution of the branch. The other parts fuse by themselves."""
        if self.scale is not None:
            self.ffn.down.weight.mul_(self.scale[..., None])
            assert self.ffn.down.bias is not None
            self.ffn.down.bias.mul_(self.scale[:, 0, 0])
            self.scale = None


class EDBlock(ESBlock):
    """Efficient Dynamic block: an ES block whose large convolution GSM modulates.

    Parameters
    ----------
    prior : channels P of the context prior; the others as for ESBlock.
    """

    def __init__(self, channels: int, prior: int, kernel: int, config: OverModConfig) -> None:
        super().__init__(channels, kernel, config)
        self.gsm = GSM(prior, channels)

    def steer(self, x: Tensor, prior: Tensor | None) -> Tensor:
        """Add the bias map that GSM makes from the prior."""
        return self.gsm(x, prior)


class OverNet(nn.Module):
    """The overview: four stages of ES blocks. Gives stage three's features and, from stage four, the context prior."""

    def __init__(self, config: OverModConfig) -> None:
        super().__init__()
        w = config.widths
        first: list[nn.Module] = [ConvNorm(3, w[0], 3, 2), nn.Hardswish()]
        if config.stem_stride == 4:
            first += [ConvNorm(w[0], w[0], 3, 2), nn.Hardswish()]
        self.stages = nn.ModuleList()
        for i, (width, depth, kernel) in enumerate(zip(w, config.depths, config.kernels, strict=True)):
            entry = first if i == 0 else [ConvNorm(w[i - 1], width, 3, 2)]
            blocks = [ESBlock(width, kernel, config) for _ in range(depth)]
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
        self.enter = ConvNorm(base, width, 1)

        def block(channels: int, kernel: int) -> ESBlock:
            return EDBlock(channels, prior, kernel, config) if config.dynamic else ESBlock(channels, kernel, config)

        self.third = nn.ModuleList(block(width, k3) for _ in range(config.mod_depths[0]))
        self.down = ConvNorm(width, prior, 3, 2) if config.mod_depths[1] else None
        self.fourth = nn.ModuleList(block(prior, k4) for _ in range(config.mod_depths[1]))
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
        self.merge = nn.Sequential(ConvNorm(self.modnet.width + config.widths[3], config.out, 1), nn.Hardswish())

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


class Classifier(nn.Module):
    """OverMod with the heads of stage 1: what the paper's ImageNet figures and parameter counts are about.

    The features are averaged over the picture, then widened: one more layer on a vector is cheap, as in MobileNetV3.
    The auxiliary head on the context prior makes OverNet learn by itself; `fuse` takes it away.

    Parameters
    ----------
    config : sizes of the encoder.
    classes : number K of classes.
    wide : width of the layer before the last.
    """

    def __init__(self, config: OverModConfig, classes: int = 1000, wide: int = 1280) -> None:
        super().__init__()
        self.encoder = OverMod(config)
        self.widen = nn.Linear(config.out, wide)
        self.classes = nn.Linear(wide, classes)
        self.auxiliary: nn.Linear | None = nn.Linear(config.widths[3], classes)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(B, 3, S, S) pictures -> (B, K) logits; in training mode also those of the auxiliary head."""
        features, prior = self.encoder.look(x)
        logits = self.classes(F.hardswish(self.widen(features.mean((2, 3)))))
        if self.training and self.auxiliary is not None:
            return logits, self.auxiliary(prior.mean((2, 3)))
        return logits

    def fuse(self) -> None:
        """Drop the auxiliary head, which serves the training alone."""
        self.auxiliary = None
