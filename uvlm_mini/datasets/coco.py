"""Karpathy's caption format: one JSON for pictures, splits and captions, read the same for COCO and for scenes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Sample:
    """One picture with its captions.

    name : the picture's name in its data set.
    picture : (H, W, 3) uint8.
    captions : what people (or a grammar) said of it.
    scene : the scene graph where one is known, else None.
    """

    name: str
    picture: np.ndarray
    captions: list[str]
    scene: Any = None


@dataclass(frozen=True)
class CaptionSet:
    """Captioned pictures in memory, ready for training.

    pictures : (n, S, S, 3) uint8.
    captions : for each picture, what was said of it.
    names : for each picture, its name.
    scenes : for each picture its scene graph, or None.
    """

    pictures: np.ndarray
    captions: list[list[str]]
    names: list[str]
    scenes: list[Any]

    def __len__(self) -> int:
        return len(self.pictures)

    @staticmethod
    def gather(samples: Iterable[Sample]) -> CaptionSet:
        """All samples in memory; their pictures must be of one size."""
        rows = list(samples)
        if not rows:
            raise ValueError("There is no picture in this set; check the split and the folder.")
        return CaptionSet(
            np.stack([s.picture for s in rows]),
            [s.captions for s in rows],
            [s.name for s in rows],
            [s.scene for s in rows],
        )


def read_karpathy(path: str | Path, images: str | Path, split: str, side: int) -> Iterator[Sample]:
    """The samples of one split of a Karpathy JSON.

    Parameters
    ----------
    path : the JSON file, such as dataset_coco.json or one that `write_karpathy` wrote.
    images : the folder that the pictures' `filepath` is relative to.
    split : train, val, test, ...; COCO's "restval" counts as train, as is usual.
    side : pixels; every picture is cut to its middle square and scaled to this side.

    Raises
    ------
    FileNotFoundError : the JSON or one of its pictures is not there.
    ValueError : not such a JSON, a field is missing, a picture has no captions, or the split has no picture.
    """
    from ..pictures import read_picture

    rows = _rows(Path(path))
    splits = {_field(row, i, "split", path) for i, row in enumerate(rows)}
    wanted = {"train", "restval"} if split == "train" else {split}
    if not splits & wanted:
        raise ValueError(f"{path} has no split {split!r}; it has {', '.join(sorted(splits))}.")
    for i, row in enumerate(rows):
        if row["split"] not in wanted:
            continue
        name = _field(row, i, "filename", path)
        captions = [str(_field(s, i, "raw", path)) for s in _field(row, i, "sentences", path)]
        if not captions:
            raise ValueError(f"Picture {name} in {path} has no captions; give it one or take it out of the file.")
        scene = None
        if "scene" in row:
            from .scenes import Scene

            scene = Scene.from_graph(row["scene"])
        yield Sample(name, read_picture(Path(images, row.get("filepath", ""), name), side), captions, scene)


def _rows(path: Path) -> list[dict]:
    if not path.is_file():
        raise FileNotFoundError(f"There is no caption file {path}; give a JSON in Karpathy's format.")
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["images"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a JSON in Karpathy's format with a list `images` ({error!r}).") from None
    return rows


def _field(row: dict, i: int, name: str, path: str | Path) -> Any:
    if name not in row:
        raise ValueError(f"Picture {i} in {path} has no field {name!r}; Karpathy's format needs it.")
    return row[name]


def write_karpathy(samples: Iterable[tuple[str, Sample]], folder: str | Path) -> int:
    """Write (split, sample) pairs as PNG files and captions.json in Karpathy's format; returns how many.

    The JSON is written last: a folder that has one is complete.
    """
    from PIL import Image

    from .vocab import tokenize

    folder = Path(folder)
    rows: list[dict] = []
    sentence = 0
    for split, sample in samples:
        name = sample.name.replace("/", "_") + ".png"
        Path(folder, split).mkdir(parents=True, exist_ok=True)
        Image.fromarray(sample.picture).save(Path(folder, split, name))
        sentences = [
            {"raw": c, "tokens": tokenize(c), "imgid": len(rows), "sentid": sentence + k}
            for k, c in enumerate(sample.captions)
        ]
        sentence += len(sentences)
        row = {
            "imgid": len(rows),
            "cocoid": len(rows),
            "filepath": split,
            "filename": name,
            "split": split,
            "sentids": [s["sentid"] for s in sentences],
            "sentences": sentences,
        }
        if sample.scene is not None:
            row["scene"] = sample.scene.graph()
        rows.append(row)
    beside = folder / "captions.json.part"
    beside.write_text(json.dumps({"dataset": "scenes", "images": rows}), encoding="utf-8")
    beside.replace(folder / "captions.json")
    return len(rows)
