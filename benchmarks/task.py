"""The classification task of chapters 2 and 3: what lies in each of the 8 x 8 cells of a picture?

It is stage 1 of the training by itself: a network names kind and colour of the thing that fills a cell, and the score
is the share of filled cells for which both are right. Pictures hold three to five things, so that a thing has
neighbours to be confused with. Every network of the tables gets the same pictures in the same order, the same
optimiser and as many steps.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uvlm_mini.datasets.drawing import COLORS, KINDS
from uvlm_mini.datasets.scenes import SIDE, compose
from uvlm_mini.model import to_tensor
from uvlm_mini.train.shared import decay_groups
from uvlm_mini.train.stages import EMPTY, LAMBDA_AUX, cells

SOURCES = [
    "benchmarks/task.py",
    "uvlm_mini/datasets/drawing.py",
    "uvlm_mini/datasets/scenes.py",
    "uvlm_mini/train/stages.py",
]
TRAIN, TEST = 5_000, 1_000  # pictures
EPOCHS, BATCH, RATE, DECAY, WARM, CLIP = 2, 32, 3e-3, 0.02, 40, 2.0
CELLS = 8  # a side
SIZES = [len(KINDS) + 1, len(COLORS) + 1]  # class 0 is an empty cell
SHIFT = 2  # pixels that a training picture may be moved by


class Named(nn.Module):
    """An encoder and the head that names its cells; an auxiliary one names the coarser cells of the context prior.

    Parameters
    ----------
    encoder : its `look` gives (B, C, 8, 8) features and either a (B, P, 4, 4) prior or None.
    channels : C.
    prior : P, or None for an encoder without a prior.
    """

    def __init__(self, encoder: nn.Module, channels: int, prior: int | None) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Conv2d(channels, sum(SIZES), 1)
        self.auxiliary = None if prior is None else nn.Conv2d(prior, sum(SIZES), 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, 3, 64, 64) pictures -> (B, 32, 8, 8) logits and, where there is a prior, (B, 32, 4, 4)."""
        features, prior = self.encoder.look(x)  # type: ignore[operator]
        return self.head(features), None if self.auxiliary is None else self.auxiliary(prior)


@lru_cache(maxsize=2)
def pictures(split: str, n: int) -> tuple[np.ndarray, Tensor, Tensor]:
    """(n, 64, 64, 3) uint8 pictures, and what lies in their cells: (n, 2, 8, 8) and coarser (n, 2, 4, 4)."""
    scenes = [compose(f"cells/{split}/{i}", {3: 1.0, 4: 1.0, 5: 1.0}) for i in range(n)]
    fine = np.stack([cells(s, CELLS, 0.3) for s in scenes])
    coarse = np.stack([cells(s, CELLS // 2, 0.15) for s in scenes])
    return np.stack([s.draw() for s in scenes]), torch.from_numpy(fine), torch.from_numpy(coarse)


def loss_of(logits: Tensor, answers: Tensor) -> Tensor:
    """Cross-entropy of kind and colour, empty cells weighing little: (B, 32, s, s) logits, (B, 2, s, s) answers."""
    parts = zip(logits.split(SIZES, 1), answers.unbind(1), strict=True)
    return sum(F.cross_entropy(x, y, torch.tensor([EMPTY] + [1.0] * (x.shape[1] - 1))) for x, y in parts)  # type: ignore[return-value]


def batch_of(data: np.ndarray, rows: np.ndarray, dice: np.random.Generator) -> Tensor:
    """Pictures, all moved by the same little step: (B, 3, 64, 64)."""
    dy, dx = dice.integers(0, 2 * SHIFT + 1, 2)
    wide = np.pad(data[rows], ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), "edge")
    return to_tensor(wide[:, dy : dy + SIDE, dx : dx + SIDE]).contiguous(memory_format=torch.channels_last)


def train(model: Named, seed: int, n: int = TRAIN, epochs: int = EPOCHS) -> list[float]:
    """Train in place on the first n pictures; returns the loss of every step, without the auxiliary one."""
    data, fine, coarse = pictures("train", n)
    per_epoch = n // BATCH
    total = epochs * per_epoch
    model.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    groups = decay_groups(model.named_parameters(), DECAY)
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.98))
    losses = []
    for step in range(total):
        order = np.random.default_rng([seed, step // per_epoch]).permutation(n)
        rows = order[step % per_epoch * BATCH :][:BATCH]
        for group in optimizer.param_groups:
            group["lr"] = RATE * min((step + 1) / WARM, 0.5 + 0.5 * np.cos(np.pi * step / total))
        logits, aux = model(batch_of(data, rows, np.random.default_rng([seed, step, 1])))
        loss = loss_of(logits, fine[rows])
        losses.append(loss.item())
        if aux is not None:
            loss = loss + LAMBDA_AUX * loss_of(aux, coarse[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
    return losses


@torch.inference_mode()
def accuracy(model: Named, n: int = TEST) -> dict[str, float]:
    """Share of the filled cells of test pictures that get the right kind, the right colour, and both."""
    data, fine, _ = pictures("test", n)
    model.eval()
    logits = torch.cat([model(to_tensor(data[i : i + 100]))[0] for i in range(0, n, 100)])
    filled = fine[:, 0] > 0
    kind, color = (
        part[:, 1:].argmax(1) + 1 == y for part, y in zip(logits.split(SIZES, 1), fine.unbind(1), strict=True)
    )
    return {
        "both": (kind & color)[filled].double().mean().item(),
        "kind": kind[filled].double().mean().item(),
        "colour": color[filled].double().mean().item(),
    }
