"""Captioned pictures: Karpathy's JSON or COCO's own caption files, read the same for COCO and for scenes.

    dataset_coco.json                                   one file, which tells every picture's split and its captions
    captions_train2014.json captions_val2014.json       COCO's own; which picture belongs to which split is said by
    karpathy_train_images.txt karpathy_val_images.txt   lists, one file a split and one picture a line, such as
      karpathy_test_images.txt                          val2014/COCO_val2014_000000011169.jpg 11169

In Karpathy's split, COCO's validation pictures that are neither in val nor in test, "restval", are trained on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from .files import Images, PictureFiles

KARPATHY = {"train": 113_287, "val": 5_000, "test": 5_000}  # pictures of COCO in each of his splits
SPLITS = {"train": "train", "restval": "train", "val": "val", "valid": "val", "test": "test"}  # in the name of a list


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
    """Captioned pictures, ready for training.

    pictures : (n, S, S, 3) uint8, an array, or PictureFiles that read the rows that are asked for.
    captions : for each picture, what was said of it.
    names : for each picture, its name.
    scenes : for each picture its scene graph, or None.
    ids : for each picture its COCO id, or None where the set has none.
    """

    pictures: Any
    captions: list[list[str]]
    names: list[str]
    scenes: list[Any]
    ids: list[int] | None = None

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


@dataclass(frozen=True)
class Entry:
    """What a caption file says of one picture.

    name, folder : of its file.
    id : COCO's number of it, or None.
    captions : what was said of it.
    graph : its scene graph as JSON values, or None.
    """

    name: str
    folder: str
    id: int | None
    captions: list[str]
    graph: dict | None = None


@dataclass(frozen=True)
class Captions:
    """What caption files say: the entries of every split, and which data set they are of ("coco", "scenes", ...)."""

    dataset: str
    splits: dict[str, list[Entry]]
    source: str

    def split(self, name: str) -> list[Entry]:
        """The entries of a split.

        Raises
        ------
        ValueError : there is no such split.
        """
        if name not in self.splits:
            raise ValueError(f"{self.source} has no split {name!r}; it has {', '.join(sorted(self.splits))}.")
        return self.splits[name]


# ----------------------------------------------------------------------------------------------------------------
# Reading


def read_captions(paths: Sequence[str | Path], lists: Sequence[str | Path] = ()) -> Captions:
    """Every picture that caption files tell of, by split.

    Parameters
    ----------
    paths : one JSON in Karpathy's format, such as dataset_coco.json or one that `write_karpathy` wrote; or COCO's own.
    lists : for COCO's own files, which pictures each split has, in this order. A line ends in the picture's id, or is
        its file's name. The split is the word train, restval, val or test in the list's name.

    Raises
    ------
    FileNotFoundError : a file is not there.
    ValueError : one is not such a file, a field is missing, an id stands twice, a caption is of no picture, a picture
        has no caption; or the lists are missing, or name a picture twice, or one that is not there.
    """
    contents = [(path, _content(path)) for path in map(Path, paths)]
    source = ", ".join(map(str, paths))
    own = ["annotations" in content for _, content in contents]
    if all(own):
        captions = Captions("coco", _by_lists(_own_entries(contents), lists, source), source)
    elif len(contents) > 1:
        raise ValueError(
            f"{source} do not belong together; give one JSON in Karpathy's format, or COCO's own files alone."
        )
    elif lists:
        raise ValueError(f"{source} says itself which picture belongs to which split; leave --lists out.")
    else:
        ((path, content),) = contents
        captions = Captions(str(content.get("dataset", "")), _karpathy_entries(path, content), source)
    for entries in captions.splits.values():
        for entry in entries:
            if not entry.captions:
                raise ValueError(
                    f"Picture {entry.name} in {source} has no captions; give it one or take it out of the file."
                )
    return captions


def _content(path: Path) -> dict:
    if not path.is_file():
        raise FileNotFoundError(f"There is no caption file {path}; give a JSON in Karpathy's format, or COCO's own.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content["images"][:0]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not a JSON in Karpathy's format or COCO's with a list `images` ({error!r}); download it again."
        ) from None
    return content


def _field(row: Any, what: str, name: str, path: Path, kind: type) -> Any:
    """A field of a picture, sentence or annotation."""
    if not isinstance(row, dict) or name not in row:
        raise ValueError(f"{what} in {path} has no field {name!r}; give a whole file of captions.")
    if not isinstance(row[name], kind):
        needed = {int: "a whole number", str: "text", list: "a list"}[kind]
        raise ValueError(f"{what} in {path} has {row[name]!r} as its {name}; it must be {needed}.")
    return row[name]


def _karpathy_entries(path: Path, content: dict) -> dict[str, list[Entry]]:
    splits: dict[str, list[Entry]] = {}
    ids: dict[int, str] = {}
    places: set[tuple[str, str]] = set()
    for i, row in enumerate(content["images"]):
        what = f"Picture {i}"
        split, name = _field(row, what, "split", path, str), _field(row, what, "filename", path, str)
        sentences = _field(row, what, "sentences", path, list)
        captions = [_field(sentence, what, "raw", path, str) for sentence in sentences]
        number = _field(row, what, "cocoid", path, int) if "cocoid" in row else None
        entry = Entry(name, str(row.get("filepath", "")), number, captions, row.get("scene"))
        if (entry.folder, name) in places:
            raise ValueError(f"Picture {name} stands twice in {path}; take one of them out.")
        if number is not None and number in ids:
            raise ValueError(f"{name} and {ids[number]} in {path} have the same id, {number}; give each its own.")
        places.add((entry.folder, name))
        ids |= {} if number is None else {number: name}
        splits.setdefault("train" if split == "restval" else split, []).append(entry)
    return splits


def _own_entries(contents: list[tuple[Path, dict]]) -> dict[int, Entry]:
    """By id, with the captions in the order of their own ids, as Karpathy has them."""
    entries: dict[int, Entry] = {}
    for path, content in contents:
        found = re.search(r"[a-z]+20\d\d", path.stem)  # captions_train2014.json is of the pictures in train2014
        told: dict[int, list[tuple[int, str]]] = {}
        for i, row in enumerate(content["images"]):
            number, name = (_field(row, f"Picture {i}", *f) for f in (("id", path, int), ("file_name", path, str)))
            if number in entries or number in told:
                raise ValueError(
                    f"Image id {number} stands twice, the second time in {path}; give every caption file once, and "
                    "those of one year alone."
                )
            told[number] = []
            entries[number] = Entry(name, found.group() if found else "", number, [])
        seen: set[int] = set()
        for i, row in enumerate(content["annotations"]):
            what = f"Annotation {i}"
            number, of = _field(row, what, "id", path, int), _field(row, what, "image_id", path, int)
            if number in seen:
                raise ValueError(f"Annotation id {number} stands twice in {path}; download it again.")
            if of not in told:
                raise ValueError(f"{what} in {path} is a caption of image id {of}, which it lacks; download it again.")
            seen.add(number)
            told[of].append((number, _field(row, what, "caption", path, str)))
        for number, captions in told.items():
            entries[number].captions.extend(caption for _, caption in sorted(captions))
    return entries


def _by_lists(entries: dict[int, Entry], lists: Sequence[str | Path], source: str) -> dict[str, list[Entry]]:
    if not lists:
        raise ValueError(
            f"{source} does not say which picture belongs to which split; give --lists, such as Karpathy's "
            "karpathy_train_images.txt, karpathy_val_images.txt and karpathy_test_images.txt."
        )
    by_name = {entry.name: number for number, entry in entries.items()}
    splits: dict[str, list[Entry]] = {}
    listed: dict[int, Path] = {}
    for path in map(Path, lists):
        if not path.is_file():
            raise FileNotFoundError(f"There is no list {path}; give a text file with one picture a line.")
        words = set(re.findall("[a-z]+", path.stem.lower())) & SPLITS.keys()
        if len(words) != 1:
            raise ValueError(
                f"The name of {path} does not say which split it lists; call it as Karpathy's lists are called, for "
                "example karpathy_train_images.txt."
            )
        split = splits.setdefault(SPLITS[words.pop()], [])
        for n, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if not line.strip():
                continue
            number = _number(line, by_name)
            if number not in entries:
                raise ValueError(
                    f"Line {n} of {path} names {line.strip()}, of which {source} has nothing; give the caption files "
                    "of train and val, and lists of names or ids."
                )
            if number in listed:
                raise ValueError(
                    f"Line {n} of {path} names {line.strip()}, and so does {listed[number]}; take one out."
                )
            listed[number] = path
            split.append(entries[number])
    return splits


def _number(line: str, by_name: dict[str, int]) -> int | None:
    """The id at the end of a line, or that of the file whose name it is, or with which the name ends."""
    words = line.split()
    if words[-1].isdecimal():
        return int(words[-1])
    name = PurePosixPath(words[0])
    ends = re.search(r"\d+$", name.stem)
    return by_name.get(name.name, int(ends.group()) if ends else None)


def open_set(entries: Sequence[Entry], images: Images, side: int, lazily: bool = False) -> CaptionSet:
    """The pictures of a split, with what is said of them.

    Parameters
    ----------
    entries : of the split.
    images : where the pictures are.
    side : pixels; every picture is cut to its middle square and scaled to this side.
    lazily : read pictures when they are asked for, instead of all now.

    Raises
    ------
    FileNotFoundError, ValueError : a picture is not there; with `lazily`, those that cannot be read are found later.
    """
    found = [images.find(entry.folder, entry.name) for entry in entries]
    files = [file for file in found if file is not None]
    if len(files) < len(entries):
        first = entries[found.index(None)]
        raise FileNotFoundError(
            f"There is no picture {first.name} in {images}, nor are {len(entries) - len(files) - 1} others of "
            f"{len(entries)}; give the folder or archive that has them, or download what is missing."
        )
    if not entries:
        raise ValueError("There is no picture in this set; check the split and the folder.")
    pictures = PictureFiles(files, side)
    scenes: list[Any] = [None] * len(entries)
    if any(entry.graph for entry in entries):
        from .scenes import Scene

        scenes = [entry.graph and Scene.from_graph(entry.graph) for entry in entries]
    numbers = [entry.id for entry in entries if entry.id is not None]
    return CaptionSet(
        pictures if lazily else np.asarray(pictures),
        [entry.captions for entry in entries],
        [entry.name for entry in entries],
        scenes,
        numbers if len(numbers) == len(entries) else None,
    )


# ----------------------------------------------------------------------------------------------------------------
# Writing


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
    _write_json(folder / "captions.json", {"dataset": "scenes", "images": rows})
    return len(rows)


def write_results(path: str | Path, ids: Sequence[int], captions: Sequence[str]) -> None:
    """Write captions as COCO's caption server takes them; an older file survives a failure."""
    rows = [{"image_id": number, "caption": caption} for number, caption in zip(ids, captions, strict=True)]
    _write_json(Path(path), rows)


def _write_json(path: Path, content: Any) -> None:
    beside = path.with_name(path.name + ".part")
    try:
        beside.write_text(json.dumps(content), encoding="utf-8")
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
