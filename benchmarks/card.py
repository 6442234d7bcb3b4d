"""The card of the shipped weights, from the result files that tell of them.

python -m benchmarks.card          a second; writes data/MODEL_CARD.md

Reads shipped.json and, where they have been made, stages.json and quarter.json. `python -m benchmarks.shipped` measures
the first of them and then calls this.
"""

from __future__ import annotations

import sys
from typing import Any

from benchmarks import record
from benchmarks.shipped import WEIGHTS, made
from uvlm_mini.datasets.scenes import SPLITS
from uvlm_mini.model import UVLM, read_tensors

STAGES = ("decoder", "together", "scst")  # those that can caption
STAGE_SCORES = ("CIDEr", "BLEU-4", "ROUGE-L", "METEOR")
STAGE_TRUTHS = ("right things", "right", "recall", "relations", "told relation", "told background")
PROMPTS = ("what stands so", "how it stands")
LIMITS = [
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


def weights_lines(about: dict[str, str], model: UVLM) -> list[str]:
    """What the weights are, and how they were made."""
    return [
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
    ]


def score_lines(rows: dict[str, Any]) -> list[str]:
    """The scores of every split, the model's beside those of references."""
    splits = [s for s in rows if s in SPLITS]
    lines = [
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
    for name in rows[splits[0]]["model"]:
        cells = [f"{100 * rows[s]['model'][name]:.1f} | {100 * rows[s]['references'][name]:.1f}" for s in splits]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for name in dict.fromkeys(name for s in splits for name in rows[s]["truth"]):
        cells = []
        for s in splits:
            pair = (rows[s][kind].get(name) for kind in ("truth", "truth of references"))
            cells.append(" | ".join("" if value is None else f"{100 * value:.1f}" for value in pair))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for prompt in PROMPTS:
        shares = (rows[s]["prompted"][prompt] for s in splits)
        lines.append(f"| {prompt} | " + " | ".join(f"{100 * share:.1f} |" for share in shares) + " |")
    lines.append("| called unlike training | " + " | ".join(f"{100 * rows[s]['alarms']:.1f} |" for s in splits) + " |")
    return lines


def stage_lines(stages: dict[str, Any]) -> list[str]:
    """What each stage of the training brought."""
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
    return lines


def quarter_lines(quarter: dict[str, Any]) -> list[str]:
    """What each stage brought in runs with a quarter of the pictures, of several decoders and seeds."""

    def told(score: dict[str, Any]) -> str:
        # One run has no spread, and nobody may take its 0 for one.
        spread = f" ± {100 * score['spread']:.0f}" if len(score["runs"]) > 1 else ""
        return f"{100 * score['mean']:.0f}{spread}"

    lines = [
        "",
        "## Other seeds, other decoders",
        "",
        "The same recipe on a quarter of the pictures (`python -m benchmarks.quarter`): CIDEr on the test split after",
        "each stage, and what the last one added with each seed. Where there are several seeds, mean ± standard",
        "deviation; of a single run nobody knows how far another seed would lie from it.",
        "",
        "| decoder | seeds | " + " | ".join(f"after *{stage}*" for stage in STAGES) + " | gained by *scst* |",
        "|---|" + "---:|" * (len(STAGES) + 2),
    ]
    for decoder, row in quarter.items():
        if "test CIDEr gained by scst" in row:
            gains = row["test CIDEr gained by scst"]["runs"]
            cells = [str(len(gains)), *(told(row[f"test CIDEr after {stage}"]) for stage in STAGES)]
            cells.append(", ".join(f"{100 * gain:+.0f}" for gain in gains))
            lines.append(f"| {decoder} | " + " | ".join(cells) + " |")
    return lines


def card(
    rows: dict[str, Any],
    about: dict[str, str],
    model: UVLM,
    stages: dict[str, Any] | None = None,
    quarter: dict[str, Any] | None = None,
) -> str:
    """The model card: `rows` of shipped.json, what the file of the weights notes, and the rows of the other results."""
    files = [f"`{name}.json`" for name, there in (("stages", stages), ("quarter", quarter)) if there]
    read = " and ".join([", ".join(["`shipped.json`", *files[:-1]]), *files[-1:]])
    lines = [
        "# Model card: uvlm_mini.safetensors",
        "",
        f"Written by `python -m benchmarks.card` from {read} in `benchmarks/results/`.",
        "",
        *weights_lines(about, model),
        *score_lines(rows),
        *(stage_lines(stages) if stages else []),
        *(quarter_lines(quarter) if quarter else []),
        *LIMITS,
    ]
    return "\n".join(lines)


def main() -> None:
    """Write the card."""
    rows = made("shipped") or sys.exit(
        "There is no benchmarks/results/shipped.json to make a card of; measure it with `python -m benchmarks.shipped`."
    )
    path = record.ROOT / WEIGHTS
    _, about = read_tensors(path)
    told = card(rows, about, UVLM.load(path), made("stages"), made("quarter"))
    (record.ROOT / "data" / "MODEL_CARD.md").write_text(told, encoding="utf-8")
    print("data/MODEL_CARD.md")


if __name__ == "__main__":
    main()
