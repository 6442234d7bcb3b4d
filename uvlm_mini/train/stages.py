"""What each stage of the training does: which weights learn, from which loss, at which rate.

    1 pretrain   the encoder names what lies in every cell of the picture, and so does OverNet alone (auxiliary); it
                 may be asked how that thing stands to others, too, and be shown pictures in other colours
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
from .scst import log_probs_of, policy_loss

if TYPE_CHECKING:
    from ..datasets.scenes import Scene

LAMBDA_AUX = 0.4  # OverLoCK's; the paper gives none
NAMES = ("pretrain", "decoder", "together", "scst")
SIDES = ("left", "right", "above", "below")
UNASKED = -1
EXCHANGES = [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]  # of red, green and blue
EMPTY = 0.1  # weight of empty cells in stage 1: three in four are empty, and saying so is easy


@dataclass(frozen=True)
class Stage:
    """One stage.

    name : pretrain, decoder, together or scst.
    epochs : passes over the training pictures.
    rate : highest learning rate; warmed up linearly, then a cosine down to nothing.
    batch : pictures a step, over all processes.
    micro : pictures that a process takes at once; None: the whole batch. Part of what is trained, since batch-norm and
        dropout act on one micro-batch at a time.
    relations : whether stage 1 asks of every thing how it stands to others.
    recolored : share of the pictures of stage 1 that are shown in other colours. Of these the kinds alone are taught,
        so that a kind is known by its shape, whatever its colour.
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
    micro: int | None = None
    relations: bool = False
    recolored: float = 0.0
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
        if not 0 <= self.recolored <= 1:
            raise ValueError(
                f"The share of recolored pictures of stage {self.name} must be 0 to 1, not {self.recolored}."
            )
        if self.micro is not None and (self.micro < 1 or self.batch % self.micro):
            raise ValueError(
                f"Stage {self.name} cannot take {self.batch} pictures {self.micro} at a time; give a --micro that "
                "divides them."
            )
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


def owners(scene: Scene, side: int, least: float) -> np.ndarray:
    """(side, side) int64: which of the scene's things fills most of a cell, counted from 1.

    0 where no thing's box fills the share `least` of the cell.
    """
    owner = np.zeros((side, side), np.int64)
    fullest = np.full((side, side), least)
    edges = np.arange(side + 1) * (64 / side)  # in units
    for i, t in enumerate(scene.things, 1):
        across = np.clip(np.minimum(edges[1:], t.x + t.box) - np.maximum(edges[:-1], t.x), 0, None)
        down = np.clip(np.minimum(edges[1:], t.y + t.box) - np.maximum(edges[:-1], t.y), 0, None)
        share = down[:, None] * across[None, :] / (64 / side) ** 2
        more = share >= fullest
        fullest[more] = share[more]
        owner[more] = i
    return owner


def cells(scene: Scene, side: int, least: float) -> np.ndarray:
    """(2, side, side) int64: kind and colour of the thing in each cell, each counted from 1; 0 where there is none."""
    kinds = [0] + [list(KINDS).index(t.kind) + 1 for t in scene.things]
    colors = [0] + [list(COLORS).index(t.color) + 1 for t in scene.things]
    return np.array([kinds, colors])[:, owners(scene, side, least)]


def standings(scene: Scene, side: int, least: float) -> np.ndarray:
    """(4, side, side) int8: whether the thing in each cell stands left, right, above, below of some other.

    UNASKED where there is no thing, and in scenes of one.
    """
    things = scene.things
    table = np.full((4, len(things) + 1), UNASKED, np.int8)
    for i, t in enumerate(things, 1):
        found = {t.stands(other) for other in things if other is not t}
        if found:
            table[:, i] = [side in found for side in SIDES]
    return table[:, owners(scene, side, least)]


def recolor(pictures: np.ndarray, dice: np.random.Generator) -> None:
    """Exchange the three colours of light, in place, in (n, S, S, 3) pictures, each in its own way."""
    for picture in pictures:
        way = EXCHANGES[dice.integers(len(EXCHANGES))]
        picture[...] = picture[..., way]


class SceneHeads(nn.Module):
    """The heads of stage 1: what lies in each cell, on the features and, as auxiliary, on the context prior; and how
    it stands to others, on the features.

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
        self.stands = nn.Conv2d(features, len(SIDES), 1)

    def forward(self, features: Tensor, prior: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Loss, L_final + lambda_aux L_aux, with what was asked about relations in L_final.

        Of the batch, `recolored` says of how many pictures, the first ones, the kinds alone are taught.
        """
        n = int(batch.get("recolored", 0))
        final = self._loss(self.cell(features), self.place(features.mean((2, 3))), batch["cells"], batch["place"], n)
        aux = self._loss(
            self.cell_aux(prior), self.place_aux(prior.mean((2, 3))), batch["cells_aux"], batch["place"], n
        )
        if "stands" in batch:
            final = final + standing_loss(self.stands(features), batch["stands"])
        return final + LAMBDA_AUX * aux

    def _loss(self, cell: Tensor, place: Tensor, cells: Tensor, places: Tensor, recolored: int) -> Tensor:
        kind, color = cell.split(self.sizes, 1)
        loss = F.cross_entropy(kind, cells[:, 0], self.kind_weight)  # type: ignore[arg-type]
        if recolored == len(cells):
            return loss
        return (
            loss
            + F.cross_entropy(color[recolored:], cells[recolored:, 1], self.color_weight)  # type: ignore[arg-type]
            + F.cross_entropy(place[recolored:], places[recolored:])
        )


def standing_loss(logits: Tensor, stands: Tensor) -> Tensor:
    """Mean binary cross-entropy of the (B, 4, h, w) answers that were asked for; 0 where none was."""
    asked = stands != UNASKED
    return F.binary_cross_entropy_with_logits(logits[asked], stands[asked].float(), reduction="sum") / max(
        1, int(asked.sum())
    )


# ----------------------------------------------------------------------------------------------------------------
# Stages 2 and 3: what to say


def caption_loss(logits: Tensor, tokens: Tensor) -> Tensor:
    """Mean cross-entropy a word, EOS included: (B, T-1, V) logits against the (B, T) tokens one step later."""
    exact = torch.promote_types(logits.dtype, torch.float32)  # where half precision made them
    return F.cross_entropy(logits.flatten(0, 1).to(exact), tokens[:, 1:].flatten(), ignore_index=PAD)


def loss_of(stage: Stage, model: UVLM, heads: SceneHeads, batch: dict[str, Tensor]) -> Tensor:
    """The loss of one batch; in stage 4 with the captions that were drawn, and their `gain`."""
    if stage.name == "pretrain":
        return heads(*model.encoder.look(batch["pictures"]), batch)
    features = batch["features"] if stage.frozen else model.encoder(batch["pictures"])
    if stage.name == "scst":
        return policy_loss(log_probs_of(model.decoder, features, batch["tokens"]), batch["tokens"], batch["gain"])
    if stage.captions > 1:
        features = features.repeat_interleave(stage.captions, 0)
    return caption_loss(model.decoder(features, batch["tokens"][:, :-1]), batch["tokens"])


RECIPES: dict[str, tuple[Stage, ...]] = {
    # the shipped weights: about an hour on two cores
    "mini": (
        Stage("pretrain", epochs=6, rate=3e-3, batch=32, relations=True, recolored=0.5),
        Stage("decoder", epochs=3, rate=2e-3),
        Stage("together", epochs=6, rate=1.5e-3, batch=32, captions=2),
        Stage("scst", epochs=2, rate=3e-4, clip=1.0),
    ),
    # for a class: every stage at work, in two minutes on two cores; few pictures, and far from trained. Small batches,
    # since at so few pictures the number of steps decides, above all in stage 1.
    "class": (
        Stage("pretrain", epochs=4, rate=3e-3, batch=16, relations=True),
        Stage("decoder", epochs=1, rate=3e-3, batch=16),
        Stage("together", epochs=1, rate=1e-3, batch=16),
        Stage("scst", epochs=1, rate=3e-4, batch=32, clip=1.0, samples=3),
    ),
}
PICTURES = {"mini": 20_000, "class": 1_000}  # of the training split that a recipe uses


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
