"""What each stage of the training does: which weights learn, from which loss, at which rate.

    1 pretrain   the encoder names what lies in every cell of the picture, and so does OverNet alone (auxiliary)
    2 decoder    the encoder is frozen, the decoder learns to say captions (cross-entropy)
    3 together   both learn, end to end
    4 scst       the encoder is frozen, the decoder learns from the reward of captions that it draws (scst.py)

Glossary: lambda_aux weighs the auxiliary loss; a *cell* is one position of the features.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..datasets.drawing import BACKGROUNDS, COLORS, KINDS
from ..datasets.vocab import PAD
from ..model import UVLM

if TYPE_CHECKING:
    from ..datasets.scenes import Scene

LAMBDA_AUX = 0.4  # OverLoCK's; the paper gives none
NAMES = ("pretrain", "decoder", "together", "scst")
EMPTY = 0.1  # weight of empty cells in stage 1: nine in ten are empty, and saying so is easy


@dataclass(frozen=True)
class Stage:
    """One stage.

    name : pretrain, decoder, together or scst.
    epochs : passes over the training pictures.
    rate : highest learning rate; warmed up linearly, then a cosine down to nothing.
    batch : pictures a step.
    captions : captions of each picture in a batch, in stages 2 and 3.
    clip : gradients longer than this are shortened to it.
    samples : captions drawn of each picture, in stage 4.
    baseline : what a reward is compared with in stage 4: the mean of the "others", or the "greedy" caption's.
    eos : whether the end is a word of the reward of stage 4. False is for showing what then goes wrong.

    Raises
    ------
    ValueError : a number that nothing could be learned with, or another name.
    """

    name: str
    epochs: int
    rate: float
    batch: int = 64
    captions: int = 1
    clip: float = 2.0
    samples: int = 5
    baseline: str = "others"
    eos: bool = True

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ValueError(f"There is no stage {self.name!r}; use one of {', '.join(NAMES)}.")
        if self.baseline not in ("others", "greedy"):
            raise ValueError(f"There is no baseline {self.baseline!r}; use others or greedy.")
        for name in ("rate", "clip"):
            value = getattr(self, name)
            if not 0 < value < math.inf:  # false for NaN, too
                raise ValueError(f"The {name} of stage {self.name} must be a number above 0, not {value}.")
        least = {"epochs": 1, "batch": 1, "captions": 1, "samples": 2 if self.baseline == "others" else 1}
        for name, few in least.items():
            if getattr(self, name) < few:
                raise ValueError(f"Stage {self.name} needs {few} {name} at least, not {getattr(self, name)}.")

    @property
    def frozen(self) -> bool:
        """Whether the encoder is left as it is."""
        return self.name in ("decoder", "scst")


# ----------------------------------------------------------------------------------------------------------------
# Stage 1: what lies where


def cells(scene: Scene, side: int, least: float) -> np.ndarray:
    """(2, side, side) int64: kind and colour of the thing that fills most of a cell, each counted from 1.

    0 where no thing's box fills the share `least` of the cell.
    """
    target = np.zeros((2, side, side), np.int64)
    fullest = np.full((side, side), least)
    edges = np.arange(side + 1) * (64 / side)  # in units
    for t in scene.things:
        across = np.clip(np.minimum(edges[1:], t.x + t.box) - np.maximum(edges[:-1], t.x), 0, None)
        down = np.clip(np.minimum(edges[1:], t.y + t.box) - np.maximum(edges[:-1], t.y), 0, None)
        share = down[:, None] * across[None, :] / (64 / side) ** 2
        more = share >= fullest
        fullest[more] = share[more]
        target[0][more] = list(KINDS).index(t.kind) + 1
        target[1][more] = list(COLORS).index(t.color) + 1
    return target


class SceneHeads(nn.Module):
    """The heads of stage 1: what lies in each cell, on the features and, as auxiliary, on the context prior.

    Thrown away afterwards.
    """

    def __init__(self, features: int, prior: int) -> None:
        super().__init__()
        self.sizes = [len(KINDS) + 1, len(COLORS) + 1]
        self.register_buffer("kind_weight", torch.tensor([EMPTY] + [1.0] * len(KINDS)), persistent=False)
        self.register_buffer("color_weight", torch.tensor([EMPTY] + [1.0] * len(COLORS)), persistent=False)
        self.cell = nn.Conv2d(features, sum(self.sizes), 1)
        self.cell_aux = nn.Conv2d(prior, sum(self.sizes), 1)
        self.place = nn.Linear(features, len(BACKGROUNDS))
        self.place_aux = nn.Linear(prior, len(BACKGROUNDS))

    def forward(self, features: Tensor, prior: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Loss, L_final + lambda_aux L_aux."""
        final = self._loss(self.cell(features), self.place(features.mean((2, 3))), batch["cells"], batch["place"])
        aux = self._loss(self.cell_aux(prior), self.place_aux(prior.mean((2, 3))), batch["cells_aux"], batch["place"])
        return final + LAMBDA_AUX * aux

    def _loss(self, cell: Tensor, place: Tensor, cells: Tensor, places: Tensor) -> Tensor:
        kind, color = cell.split(self.sizes, 1)
        return (
            F.cross_entropy(kind, cells[:, 0], self.kind_weight)  # type: ignore[arg-type]
            + F.cross_entropy(color, cells[:, 1], self.color_weight)  # type: ignore[arg-type]
            + F.cross_entropy(place, places)
        )


# ----------------------------------------------------------------------------------------------------------------
# Stages 2 and 3: what to say


def caption_loss(logits: Tensor, tokens: Tensor) -> Tensor:
    """Mean cross-entropy a word, EOS included: (B, T-1, V) logits against the (B, T) tokens one step later."""
    return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=PAD)


def loss_of(stage: Stage, model: UVLM, heads: SceneHeads, batch: dict[str, Tensor]) -> Tensor:
    """The loss of one batch in stage 1, 2 or 3."""
    if stage.name == "pretrain":
        return heads(*model.encoder.look(batch["pictures"]), batch)
    features = batch["features"] if stage.frozen else model.encoder(batch["pictures"])
    if stage.captions > 1:
        features = features.repeat_interleave(stage.captions, 0)
    return caption_loss(model.decoder(features, batch["tokens"][:, :-1]), batch["tokens"])


RECIPES: dict[str, tuple[Stage, ...]] = {
    # the shipped weights: about an hour on two cores
    "mini": (
        Stage("pretrain", epochs=4, rate=3e-3, batch=32),
        Stage("decoder", epochs=3, rate=2e-3),
        Stage("together", epochs=5, rate=1.5e-3, batch=32, captions=2),
        Stage("scst", epochs=2, rate=3e-4, clip=1.0),
    ),
    # for a class: a captioner that names most things right, in about two minutes
    "class": (
        Stage("pretrain", epochs=3, rate=4e-3),
        Stage("decoder", epochs=2, rate=3e-3),
        Stage("together", epochs=2, rate=1.5e-3, captions=2),
        Stage("scst", epochs=1, rate=3e-4, clip=1.0),
    ),
}
PICTURES = {"mini": 20_000, "class": 2_000}  # of the training split that a recipe uses


def torch_batch(values: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """NumPy arrays to tensors."""
    return {name: torch.from_numpy(value) for name, value in values.items()}


# The paper's recipe, on COCO. Its stage 1 is `uvlm pretrain`, whose encoder it starts from. The paper gives the stages
# and their losses; every number here is ours, since it gives none of them.
PAPER: tuple[Stage, ...] = (
    # ours: the rate that captioners on COCO usually learn at with Adam (5e-4 in ImageCaptioning.pytorch); in each of
    # the epochs every caption is seen, five a picture
    Stage("decoder", epochs=15, rate=5e-4, batch=64, captions=5, clip=2.0),
    # ours: the rate at which Show, Attend and Tell's PyTorch tutorial goes on with an encoder that is trained already
    Stage("together", epochs=10, rate=1e-4, batch=32, captions=5, clip=2.0),
    # ours: rate and epochs that ImageCaptioning.pytorch adds for self-critical training; five captions a picture
    Stage("scst", epochs=20, rate=5e-5, batch=64, clip=1.0),
)
