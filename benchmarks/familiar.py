"""Whether the live page warns of the same pictures as the command line: a stage's int8 maps against its float ones.

python -m benchmarks.familiar          about a minute

Learns uvlm_mini/deploy/familiar.py's measure from the pictures that train/loop.py took, writes it to data/, and holds
both verdicts against each other on three splits and on pictures that no scene looks like.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from benchmarks import record
from uvlm_mini.datasets.scenes import SPLITS, scene
from uvlm_mini.deploy import familiar
from uvlm_mini.deploy.blob import CCaptioner
from uvlm_mini.model import UVLM, Familiarity, to_tensor

WEIGHTS, BLOB = "data/uvlm_mini.safetensors", "data/uvlm_mini.bin"
SOURCES = [
    WEIGHTS,
    BLOB,
    "benchmarks/familiar.py",
    "uvlm_mini/datasets/drawing.py",
    "uvlm_mini/datasets/scenes.py",
    "uvlm_mini/deploy/familiar.py",
]
STRANGE = 100  # pictures of each kind that is none of ours
SMALL = 40  # of the row that the tests compute again
SIDE = 64


def scenes(split: str, count: int | None = None) -> np.ndarray:
    """(n, 64, 64, 3) uint8: the first pictures of a split."""
    return np.stack([scene(split, i).draw() for i in range(count or SPLITS[split])])


def _noise(dice: np.random.Generator, i: int) -> np.ndarray:
    return dice.integers(0, 256, (SIDE, SIDE, 3), np.uint8)


def _one_colour(dice: np.random.Generator, i: int) -> np.ndarray:
    return np.broadcast_to(dice.integers(0, 256, 3, np.uint8), (SIDE, SIDE, 3))


def _gradient(dice: np.random.Generator, i: int) -> np.ndarray:
    """Soft light as in a photograph out of focus: nine colours, and what is between them."""
    few = Image.fromarray(dice.integers(0, 256, (3, 3, 3), np.uint8))
    return np.asarray(few.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def _text(dice: np.random.Generator, i: int) -> np.ndarray:
    """Five lines of letters, dark on light."""
    page = Image.new("RGB", (SIDE, SIDE), tuple(map(int, dice.integers(200, 256, 3))))
    for line in range(5):
        letters = "".join(chr(97 + k) for k in dice.integers(0, 26, 10))
        ImageDraw.Draw(page).text((2, 2 + 12 * line), letters, fill=tuple(map(int, dice.integers(0, 80, 3))))
    return np.asarray(page)


def _inverted(dice: np.random.Generator, i: int) -> np.ndarray:
    return 255 - scene("test", i).draw()


def _upside_down(dice: np.random.Generator, i: int) -> np.ndarray:
    return scene("test", i).draw()[::-1]


def _grey(dice: np.random.Generator, i: int) -> np.ndarray:
    return np.repeat(scene("test", i).draw().mean(2, keepdims=True), 3, 2).astype(np.uint8)


KINDS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "noise": _noise,
    "one colour": _one_colour,
    "gradients": _gradient,
    "text": _text,
    "scenes inverted": _inverted,
    "scenes upside down": _upside_down,
    "scenes in grey": _grey,
}


def strange(kind: str, count: int = STRANGE) -> np.ndarray:
    """(n, 64, 64, 3) uint8 pictures of a kind, the same every time."""
    dice = np.random.default_rng([0, list(KINDS).index(kind)])
    return np.stack([np.ascontiguousarray(KINDS[kind](dice, i)) for i in range(count)])


@torch.inference_mode()
def in_float(model: UVLM, pictures: np.ndarray) -> np.ndarray:
    """What the command line goes by: `UVLM.strangeness`, of many pictures."""
    assert model.familiarity is not None
    parts = np.array_split(pictures, -(-len(pictures) // 100))
    return np.concatenate([model.familiarity(model.encoder.overnet.early(to_tensor(p))).numpy() for p in parts])


def measure(model: UVLM, captioner: CCaptioner, familiarity: Familiarity, pictures: np.ndarray) -> dict[str, Any]:
    """One row: how many pictures both warn of, and of how many they say the same."""
    ours, page = in_float(model, pictures), familiar.strangeness(captioner, familiarity, pictures)
    return {
        "pictures": len(pictures),
        "command line warns": int((ours > 1).sum()),
        "page warns": int((page > 1).sum()),
        "same verdict": int(((ours > 1) == (page > 1)).sum()),
        "page over command line, median": round(float(np.median(page / ours)), 4),
        "farthest from the limit where they differ": round(
            float(np.abs(ours - 1, where=(ours > 1) != (page > 1), out=np.zeros_like(ours)).max()), 4
        ),
    }


def small(model: UVLM, captioner: CCaptioner, familiarity: Familiarity) -> dict[str, Any]:
    """The row that tests compute again: some scenes, and some pictures that are none."""
    pictures = np.concatenate([scenes("test", SMALL), strange("gradients", 10), strange("scenes inverted", 10)])
    return measure(model, captioner, familiarity, pictures)


def main() -> None:
    """Learn, write what was learned, compare, print, and write the result file."""
    torch.set_num_threads(1)
    blob = (record.ROOT / BLOB).read_bytes()
    model, captioner = UVLM.load(record.ROOT / WEIGHTS), CCaptioner(blob)
    familiarity = familiar.learn(captioner, scenes("train", familiar.LEARNED), scenes("val"))
    familiar.write(record.ROOT / "data" / familiar.SHIPPED, familiarity, blob)
    sets = {split: scenes(split) for split in ("test", "compositional", "hard")}
    sets |= {kind: strange(kind) for kind in KINDS}
    rows = {name: measure(model, captioner, familiarity, pictures) for name, pictures in sets.items()}
    for name, row in rows.items():
        told = f"{row['command line warns']:4} on the command line, {row['page warns']:4} in the page"
        print(f"{name:20} {row['pictures']:5} pictures, warned of {told}, same verdict {row['same verdict']:5}")
    rows["small"] = small(model, captioner, familiarity)
    note = "verdicts of the float model and of int8 maps of the same stage, on pictures of 64 x 64"
    print(record.save("familiar", rows, [0], SOURCES, spread=0.05, note=note))


if __name__ == "__main__":
    main()
