"""Scores of the shipped weights on every split.

python -m benchmarks.shipped          about five minutes on two cores; then writes the model card (benchmarks/card.py)
"""

from __future__ import annotations

import json
import math
from typing import Any

from tqdm import tqdm

from benchmarks import prompts, record
from uvlm_mini.datasets.coco import CaptionSet
from uvlm_mini.datasets.scenes import SPLITS, samples
from uvlm_mini.evaluate import Evaluation, evaluate
from uvlm_mini.model import UVLM, read_tensors

WEIGHTS = "data/uvlm_mini.safetensors"
SOURCES = [
    WEIGHTS,
    "benchmarks/prompts.py",
    "uvlm_mini/datasets/drawing.py",
    "uvlm_mini/datasets/grammar.py",
    "uvlm_mini/datasets/scenes.py",
    "uvlm_mini/metrics.py",
    "uvlm_mini/search.py",
]
SMALL = 40  # pictures of the row that the tests compute again


def row(result: Evaluation) -> dict[str, Any]:
    """An evaluation as plain values, rounded to what is printed; NaN (nothing was claimed) as null."""

    def plain(scores: dict[str, float]) -> dict[str, float | None]:
        return {k: None if math.isnan(v) else round(v, 4) for k, v in scores.items()}

    return {
        "model": plain(result.model),
        "references": plain(result.people),
        "truth": plain(result.truth),
        "truth of references": plain(result.truth_people),
        "alarms": round(result.alarms, 4),
    }


def measure(model: UVLM, split: str, limit: int | None = None, java: bool = True) -> dict[str, Any]:
    """One row: the scores of a split."""
    data = CaptionSet.gather(samples(split, limit))
    with tqdm(total=len(data), desc=split, unit="picture") as bar:
        scores = row(evaluate(model, data, java=java, progress=bar.update))
    return scores | {"prompted": prompts.prompted(model, data)}


def made(name: str) -> dict[str, Any] | None:
    """The rows of another result file, if it has been made."""
    path = record.RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else None


def main() -> None:
    """Measure every split, write the result file, and the card with it."""
    from benchmarks import card  # reads this module

    path = record.ROOT / WEIGHTS
    model = UVLM.load(path)
    _, about = read_tensors(path)
    rows = {split: measure(model, split) for split in SPLITS if split != "train"}
    rows[f"first {SMALL} of test"] = measure(model, "test", SMALL, java=False)
    print(json.dumps(rows["test"], indent=1))
    print(record.save("shipped", rows, [int(about["seed"])] if "seed" in about else [], SOURCES, spread=0.05))
    card.main()


if __name__ == "__main__":
    main()
