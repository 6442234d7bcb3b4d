"""The table of scores: model beside people, agreement and truth, every number made here and now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from . import metrics, search
from .datasets.coco import CaptionSet
from .model import UVLM, to_tensor

BATCH = 100  # pictures that are captioned at once


@dataclass(frozen=True)
class Evaluation:
    """Scores of one split.

    captions, log_probs : what the model said of every picture, and how sure it was (natural logarithm).
    model, people : agreement with the references, on equal terms.
    truth, truth_people : truthfulness of the captions and of all references; empty where there is no scene graph.
    alarms : share of the pictures that the model calls unlike anything it was trained on.
    notes : sentences on scores that could not be had.
    """

    captions: list[str]
    log_probs: list[float]
    model: metrics.Scores
    people: metrics.Scores
    truth: metrics.Scores
    truth_people: metrics.Scores
    alarms: float
    notes: list[str]


@torch.inference_mode()
def caption_all(
    model: UVLM, pictures: np.ndarray, width: int = 3, progress: Callable[[int], None] = lambda n: None
) -> tuple[list[search.Found], np.ndarray]:
    """Best caption and strangeness of (n, S, S, 3) uint8 pictures; `progress` is told how many were done."""
    found, strange = [], []
    for start in range(0, len(pictures), BATCH):
        tensor = to_tensor(pictures[start : start + BATCH])
        features = model.encoder(tensor)
        found += [best[0] for best in search.beam(model.decoder, features, width, model.config.longest)]
        if model.familiarity is not None:
            strange.append(model.familiarity(model.encoder.overnet.early(tensor)).numpy())
        progress(len(features))
    return found, np.concatenate(strange) if strange else np.full(len(pictures), np.nan)


def evaluate(
    model: UVLM,
    data: CaptionSet,
    width: int = 3,
    java: bool = True,
    progress: Callable[[int], None] = lambda n: None,
) -> Evaluation:
    """Caption every picture and score the captions; see Evaluation."""
    found, strange = caption_all(model, data.pictures, width, progress)
    captions = [model.vocabulary.decode(f.tokens) for f in found]
    ours, people, notes = metrics.on_equal_terms(captions, data.captions, java)
    truth: metrics.Scores = {}
    truth_people: metrics.Scores = {}
    if all(scene is not None for scene in data.scenes):
        truth = metrics.truthfulness(captions, data.scenes)
        folds = min(map(len, data.captions))
        said = [refs[k] for refs in data.captions for k in range(folds)]
        truth_people = metrics.truthfulness(said, [s for s in data.scenes for _ in range(folds)])
    return Evaluation(
        captions,
        [f.log_prob for f in found],
        ours,
        people,
        truth,
        truth_people,
        float(np.mean(strange > 1)) if not np.isnan(strange).any() else float("nan"),
        notes,
    )


def table(result: Evaluation) -> str:
    """The evaluation as text: a line a score, times 100, model beside references."""
    rows = [("", "model", "references")]
    for name, value in result.model.items():
        rows.append((name, f"{100 * value:.1f}", f"{100 * result.people[name]:.1f}"))
    for name, value in result.truth.items():
        label = name if name.startswith(("right", "told", "recall")) else f"true {name}"
        rows.append((label + " %", f"{100 * value:.1f}", f"{100 * result.truth_people[name]:.1f}"))
    rows.append(("unlike training %", f"{100 * result.alarms:.1f}", ""))
    return "\n".join([*(f"{a:22} {b:>8} {c:>11}" for a, b, c in rows), *result.notes])
