"""Scores of the shipped weights on every split, and the card that tells them.

python -m benchmarks.shipped            about five minutes on two cores
python -m benchmarks.shipped --card     the card alone, from the result files
"""

from __future__ import annotations

import json
import math
import sys
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
STAGE_SCORES = ("CIDEr", "BLEU-4", "ROUGE-L", "METEOR")
STAGE_TRUTHS = ("right things", "right", "recall", "relations", "told relation", "told background")
PROMPTS = ("what stands so", "how it stands")
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


def stage_lines(stages: dict[str, Any], quarter: dict[str, Any] | None) -> list[str]:
    """The part of the card on what each stage brought, and how far three seeds of a quarter of the training differ."""
    names = [name for name, row in stages.items() if "test" in row]
    splits = list(stages[names[0]])
    lines = [
        "",
        "## Stage by stage",
        "",
        "After cross-entropy on a frozen encoder (*decoder*), end to end (*together*), and after SCST (*scst*), whose",
        "reward is CIDEr. *Told relation* is the share of captions on several things that state how they stand to each",
        "other, *relations* the share of those statements that are true: a stage must not raise a score by silence.",
        "",
        "| score | " + " | ".join(f"{split}: {name}" for split in splits for name in names) + " |",
        "|---|" + "---:|" * (len(splits) * len(names)),
    ]
    cells = [stages[name][split] for split in splits for name in names]
    for score in STAGE_SCORES:
        if score in cells[0]["model"]:
            lines.append(f"| {score} | " + " | ".join(f"{100 * cell['model'][score]:.1f}" for cell in cells) + " |")
    for truth in STAGE_TRUTHS:
        shares = (cell["truth"].get(truth) for cell in cells)
        lines.append(f"| {truth} | " + " | ".join("" if v is None else f"{100 * v:.1f}" for v in shares) + " |")
    for prompt in PROMPTS:
        lines.append(f"| {prompt} | " + " | ".join(f"{100 * cell['prompted'][prompt]:.1f}" for cell in cells) + " |")
    lines.append("| words a caption | " + " | ".join(f"{cell['words a caption']:.1f}" for cell in cells) + " |")
    if quarter is None:
        return lines
    lines += [
        "",
        "Three seeds of the same recipe on a quarter of the pictures (`python -m benchmarks.quarter`): CIDEr on the",
        "test split, mean ± standard deviation, and what stage 4 added with each seed.",
        "",
        "| decoder | " + " | ".join(names) + " | gained by stage 4 |",
        "|---|" + "---:|" * (len(names) + 1),
    ]
    for decoder, row in quarter.items():
        if "test CIDEr gained by scst" in row:
            scores = [row[f"test CIDEr after {name}"] for name in names]
            told = [f"{100 * score['mean']:.0f} ± {100 * score['spread']:.0f}" for score in scores]
            gains = ", ".join(f"{100 * gain:+.0f}" for gain in row["test CIDEr gained by scst"]["runs"])
            lines.append(f"| {decoder} | " + " | ".join(told) + f" | {gains} |")
    return lines


def card(
    rows: dict[str, Any],
    about: dict[str, str],
    model: UVLM,
    stages: dict[str, Any] | None = None,
    quarter: dict[str, Any] | None = None,
) -> str:
    """The model card; `stages` and `quarter` are the rows of those result files."""
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
        "and nothing false is said. *What stands so* and *how it stands* are prompts, for the first pictures of a",
        "split: what is named after *a red car to the left of*? And with a blue tree named after the car, which of the",
        "four relations between them is the likeliest? There, guessing gets 25.",
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
    for prompt in PROMPTS:
        shares = (rows[s]["prompted"][prompt] for s in splits)
        lines.append(f"| {prompt} | " + " | ".join(f"{100 * share:.1f} |" for share in shares) + " |")
    lines.append("| called unlike training | " + " | ".join(f"{100 * rows[s]['alarms']:.1f} |" for s in splits) + " |")
    lines += stage_lines(stages, quarter) if stages else []
    lines += [
        "",
        "## Limits",
        "",
        "- It knows scenes and nothing else. A photograph gets a caption of a scene, and a warning in most cases.",
        "- The more things, the more errors: see *right 1* to *right 5*.",
        "- Where two things stand on a diagonal, no relation holds (see the datasheet), but it may state one.",
        "- In stage 1 half of the pictures were shown in exchanged colours. So the encoder has met the look of pairs",
        "  that the compositional split holds out. Their colours were not taught, and no caption of the training",
        "  names such a pair.",
        "- Stage 4 left one way to describe a picture. What only other ways would say is partly lost (see *how it",
        "  stands*).",
        "  `data/uvlm_mini_before_scst.safetensors` holds the weights from before it.",
        "- SPICE is missing where its models were not at hand when the table was made.",
        "",
    ]
    return "\n".join(lines)


def main(again: bool = True) -> None:
    """Measure every split, unless the result file is to be taken as it is, and write the card."""
    path = record.ROOT / WEIGHTS
    model = UVLM.load(path)
    _, about = read_tensors(path)
    if again:
        rows = {split: measure(model, split) for split in SPLITS if split != "train"}
        rows[f"first {SMALL} of test"] = measure(model, "test", SMALL, java=False)
        print(record.save("shipped", rows, [int(about["seed"])] if "seed" in about else [], SOURCES, spread=0.05))
    rows = made("shipped") or sys.exit("No result file yet: run `python -m benchmarks.shipped` without --card.")
    told = card(rows, about, model, made("stages"), made("quarter"))
    (record.ROOT / "data" / "MODEL_CARD.md").write_text(told, encoding="utf-8")
    print(json.dumps(rows["test"], indent=1))


if __name__ == "__main__":
    main("--card" not in sys.argv[1:])
