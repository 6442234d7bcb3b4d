"""Sizes of the models: one dataclass a part, four presets.

The paper publishes neither widths nor depths. Those of t, s and b are ours; mini is a teaching model for
pictures of 64 x 64.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class OverModConfig:
    """The encoder. Tuples have one entry a stage of OverNet; ModNet works at the last one or two strides."""

    image: int = 64  # side of the picture in pixels
    stem_stride: int = 2  # 2 for small pictures, 4 for 224 pixels
    widths: tuple[int, int, int, int] = (16, 32, 64, 96)  # channels of OverNet's stages
    depths: tuple[int, int, int, int] = (1, 1, 2, 2)  # ES blocks of OverNet's stages
    kernels: tuple[int, int, int, int] = (5, 5, 5, 5)  # fused kernel of Dilated RepConv in each stage
    mod_width: int = 96  # channels of ModNet's first stage (that of stage three)
    mod_depths: tuple[int, int] = (4, 0)  # ED blocks at the stride of stage three, then at that of stage four
    expand: float = 2.0  # width of ConvFFN, as a multiple
    out: int = 128  # channels C of the features handed to the decoder
    # What chapter 3 takes out or puts in, one at a time (the paper's Table 4)
    dynamic: bool = True  # ED blocks in ModNet; without, ES blocks
    dilated: bool = True  # Dilated RepConv; without, one plain large kernel
    grn: bool = True  # Global Response Normalization in every ConvFFN
    layer_scale: float | None = 1.0  # initial factor of every residual branch; None: no factor
    se: bool = False  # squeeze-and-excitation in every block

    @property
    def strides(self) -> tuple[int, int, int, int]:
        """Pixels of the picture a pixel of each stage stands for."""
        s = self.stem_stride
        return (s, 2 * s, 4 * s, 8 * s)

    @property
    def side(self) -> int:
        """Side h = w of the features."""
        return self.image // self.strides[3 if self.mod_depths[1] else 2]

    def __post_init__(self) -> None:
        if self.image % self.strides[3]:
            raise ValueError(
                f"A picture of side {self.image} does not divide into steps of {self.strides[3]} pixels, as the "
                f"strides of this encoder need; give a multiple of {self.strides[3]}."
            )


@dataclass(frozen=True)
class AttSSMConfig:
    """The decoder. H, r and N are the paper's symbols."""

    features: int = 128  # channels of the encoder's features
    side: int = 8  # their side h = w
    channels: int | None = None  # C, in which the decoder looks at them; None: as many as they have
    hidden: int = 160  # H, width of the recurrent core and of the word embedding
    expand: int = 2  # r, the SSM runs in I = r * H channels
    states: int = 16  # N, states a channel
    dt_rank: int = 10  # rank of the projection that makes the step size
    dropout: float = 0.1


@dataclass(frozen=True)
class UVLMConfig:
    """Encoder and decoder together, and the longest caption they are trained on."""

    encoder: OverModConfig = field(default_factory=OverModConfig)
    decoder: AttSSMConfig = field(default_factory=AttSSMConfig)
    longest: int = 32  # words a caption may have

    def __post_init__(self) -> None:
        if (self.encoder.out, self.encoder.side) != (self.decoder.features, self.decoder.side):
            raise ValueError(
                f"The encoder gives {self.encoder.out} channels of side {self.encoder.side}, the decoder expects "
                f"{self.decoder.features} of side {self.decoder.side}; make them equal."
            )

    def to_dict(self) -> dict:
        """Plain JSON values, for a checkpoint."""
        return asdict(self)

    @staticmethod
    def from_dict(values: dict) -> UVLMConfig:
        """The configuration that `to_dict` wrote."""

        def tuples(part: dict) -> dict:
            return {k: tuple(v) if isinstance(v, list) else v for k, v in part.items()}

        try:
            return UVLMConfig(
                OverModConfig(**tuples(values["encoder"])), AttSSMConfig(**tuples(values["decoder"])), values["longest"]
            )
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"This configuration is not one of this version of uvlm_mini ({error}); "
                "use the version that wrote it, or train again."
            ) from None


Four = tuple[int, int, int, int]


def _preset(
    image: int, widths: Four, depths: Four, mod_depths: tuple[int, int], out: int, longest: int = 20
) -> UVLMConfig:
    encoder = OverModConfig(
        image=image,
        stem_stride=4,
        widths=widths,
        depths=depths,
        kernels=(17, 15, 13, 7),
        mod_width=widths[2],
        mod_depths=mod_depths,
        expand=4.0,
        layer_scale=1e-1,
        out=out,
    )
    decoder = AttSSMConfig(out, encoder.side, channels=320, hidden=512, states=16, dt_rank=32, dropout=0.3)
    return UVLMConfig(encoder, decoder, longest)


# In deploy form, with 1,000 classes: t 5.2 million parameters and b 18.1, as published. Widths double or nearly so,
# depths are OverLoCK's, with a deeper third stage for s and b. For s the paper gives a size alone; ours
# lies on the line through the published pairs of parameters and megabytes of t and b.
PRESETS: dict[str, UVLMConfig] = {
    "mini": UVLMConfig(),
    "t": _preset(224, (32, 64, 128, 192), (2, 2, 3, 2), (6, 2), 192),
    "s": _preset(224, (48, 96, 192, 288), (2, 2, 7, 2), (6, 2), 288),
    "b": _preset(224, (64, 128, 256, 384), (2, 2, 7, 2), (6, 2), 384),
}


def preset(name: str, **changes: Any) -> UVLMConfig:
    """The preset of that name, with fields of UVLMConfig replaced by `changes`."""
    if name not in PRESETS:
        raise ValueError(f"There is no preset {name!r}; use one of {', '.join(PRESETS)}.")
    return replace(PRESETS[name], **changes)
