"""What the scenes are made of: counts, words, and how much five captions differ.

python -m benchmarks.dataset            about a minute
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from benchmarks import record
from uvlm_mini.datasets.scenes import SPLITS, samples
from uvlm_mini.datasets.vocab import Vocabulary, tokenize
from uvlm_mini.metrics import agreement, truthfulness

SOURCES = ["uvlm_mini/datasets/drawing.py", "uvlm_mini/datasets/grammar.py", "uvlm_mini/datasets/scenes.py"]
SMALL = 50  # pictures of the row that the tests compute again


def self_bleu(captions: list[list[str]]) -> dict[str, float]:
    """BLEU-1 to 4 of each picture's first caption against its others: the lower, the more the five differ."""
    scores, _ = agreement([c[0] for c in captions], [c[1:] for c in captions], java=False)
    return {name: round(scores[name], 4) for name in ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4")}


def measure(split: str, limit: int | None = None) -> dict[str, Any]:
    """One row: a split."""
    drawn = list(samples(split, limit))
    captions = [s.captions for s in drawn]
    flat = [tokenize(c) for five in captions for c in five]
    truth = truthfulness([c for five in captions for c in five], [s.scene for s in drawn for _ in s.captions])
    return {
        "pictures": len(drawn),
        "things": dict(sorted(Counter(str(len(s.scene.things)) for s in drawn).items())),
        "words a caption": round(sum(map(len, flat)) / len(flat), 3),
        "longest caption": max(map(len, flat)),
        "words in use": len({word for words in flat for word in words}),
        "words seen 5 times": len(Vocabulary.build(c for five in captions for c in five)) - 4,
        "self-BLEU": self_bleu(captions[:1000]),
        "share that states a relation": round(truth["told relation"], 4),
        "share that names the background": round(truth["told background"], 4),
        "share right": round(truth["right"], 4),
    }


def main() -> None:
    """Measure every split and write the result file."""
    rows = {split: measure(split) for split in SPLITS}
    rows[f"first {SMALL} of val"] = measure("val", SMALL)
    print(record.save("dataset", rows, [], SOURCES, spread=0.0, note="self-BLEU on at most 1,000 pictures"))


if __name__ == "__main__":
    main()
