"""Scores of the shipped weights on every split, and the card that tells them.

python -m benchmarks.shipped            about five minutes on two cores
"""

from __future__ import annotations

import json
import math
from typing import Any

from tqdm import tqdm

from benchmarks import record
from uvlm_mini.datasets.coco import CaptionSet
from uvlm_mini.datasets.scenes import SPLITS, samples
from uvlm_mini.evaluate import Evaluation, evaluate
from uvlm_mini.model import UVLM, read_tensors

WEIGHTS = "data/uvlm_mini.safetensors"
SOURCES = [
    WEIGHTS,
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
        return row(evaluate(model, data, java=java, progress=bar.update))


def card(rows: dict[str, Any], about: dict[str, str], model: UVLM) -> str:
    """The model card."""
    splits = [s for s in rows if s in SPLITS]
    lines = [
        "# Model card: uvlm_mini.safetensors",
        "",
        "Written by `python -m benchmarks.shipped`, with the numbers of `benchmarks/results/shipped.json`.",
        "",
        "| | |",
        "|---|---|",
        f"| parameters | {sum(p.numel() for p in model.parameters()):,} "
        f"(encoder {sum(p.numel() for p in model.encoder.parameters()):,}, "
        f"decoder {sum(p.numel() for p in model.decoder.parameters()):,}) |",
        f"| words | {len(model.vocabulary)}, four specials included |",
        "| data | the training split of the scenes, see `data/DATASHEET.md` |",
        f"| made by | `{about.get('command', 'unknown')}` |",
        f"| seed | {about.get('seed', 'unknown')} |",
        f"| training time | {int(float(about.get('seconds', 'nan'))) / 60:.0f} minutes on two shared cores |",
        "",
        "## Scores",
        "",
        "Beam 3. All scores are times 100. `references` is a reference that was left out, scored against the same four",
        "others as the model's caption (mean of five folds). *Right* means that every thing is named with its colour",
        "and nothing false is said.",
        "",
        "| score | " + " | ".join(f"{s}: model | references" for s in splits) + " |",
        "|---|" + "---:|---:|" * len(splits),
    ]
    names = list(rows[splits[0]]["model"])
    for name in names:
        cells = [f"{100 * rows[s]['model'][name]:.1f} | {100 * rows[s]['references'][name]:.1f}" for s in splits]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    truths = list(dict.fromkeys(name for s in splits for name in rows[s]["truth"]))
    for name in truths:
        cells = []
        for s in splits:
            pair = (rows[s][kind].get(name) for kind in ("truth", "truth of references"))
            cells.append(" | ".join("" if value is None else f"{100 * value:.1f}" for value in pair))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines.append("| called unlike training | " + " | ".join(f"{100 * rows[s]['alarms']:.1f} |" for s in splits) + " |")
    lines += [
        "",
        "## Limits",
        "",
        "- It knows scenes and nothing else. A photograph gets a caption of a scene, and a warning in most cases.",
        "- The more things, the more errors: see *right 1* to *right 5*.",
        "- Where two things stand on a diagonal, no relation holds (see the datasheet), but it may state one.",
        "- SPICE is missing where its models were not at hand when the table was made.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure every split, write the result file and the card."""
    path = record.ROOT / WEIGHTS
    model = UVLM.load(path)
    rows = {split: measure(model, split) for split in SPLITS if split != "train"}
    rows[f"first {SMALL} of test"] = measure(model, "test", SMALL, java=False)
    _, about = read_tensors(path)
    seeds = [int(about["seed"])] if "seed" in about else []
    print(record.save("shipped", rows, seeds, SOURCES, spread=0.05))
    (record.ROOT / "data" / "MODEL_CARD.md").write_text(card(rows, about, model), encoding="utf-8")
    print(json.dumps(rows["test"], indent=1))


if __name__ == "__main__":
    main()
