"""Whether captioned pictures can be trained on: counted, compared with Karpathy's split, and looked for one by one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from .. import paper
from .coco import KARPATHY, Captions, Entry, read_captions
from .files import THREADS, Images
from .imagenet import Report, unreadable
from .vocab import Vocabulary

FEWEST = 5  # captions that COCO has of every picture


def check(
    paths: Sequence[str | Path],
    lists: Sequence[str | Path],
    places: Sequence[str | Path],
    side: int,
    numbers: int,
    longest: int,
    memory: float,
    out: str | Path,
    decode: bool = False,
    tick: Callable[[int], object] | None = None,
) -> Report:
    """Look for whatever would stop a training, before days are spent on it.

    Parameters
    ----------
    paths, lists : caption files; see `read_captions`.
    places : folders and archives of the pictures; see `Images`.
    side : of the pictures, in pixels.
    numbers : that are the features of one picture.
    longest : words that are read of a caption.
    memory : gigabytes that pictures, and features, may take in memory.
    out : the run's folder, to which features go that take more.
    decode : decode every picture to its end; otherwise only headers are read, and a truncated file may pass.
    tick : called with the number of files that were read since.
    """
    report = Report()
    try:
        captions = read_captions(paths, lists)
    except (ValueError, FileNotFoundError) as error:
        report.problems.append(str(error))
        return report
    _count(captions, report)
    train = captions.splits.get("train", [])
    if train:
        _words(train, longest, report)
        _room(len(train), side, numbers, memory, Path(out), report)
    try:
        images = Images(places)
        found = {
            split: [(entry, images.find(entry.folder, entry.name)) for entry in entries]
            for split, entries in captions.splits.items()
        }
    except (ValueError, FileNotFoundError) as error:
        report.problems.append(str(error))
        return report
    for split, pairs in found.items():
        missing = [entry for entry, file in pairs if file is None]
        if missing:
            report.lines.append(f"{split}: {len(missing):,} of {len(pairs):,} pictures are missing")
        report.problems += [
            f"There is no picture {entry.name} of {split} in {images}; download it, or give the folder that has it."
            for entry in missing
        ]
    files = [file for pairs in found.values() for _, file in pairs if file is not None]
    report.problems += unreadable(files, lambda file: file.check(decode), tick, THREADS)
    return report


def _count(captions: Captions, report: Report) -> None:
    coco = captions.dataset == "coco"
    for split in [*KARPATHY, *sorted(captions.splits.keys() - KARPATHY.keys())]:
        entries = captions.splits.get(split, [])
        if entries:
            several = [len(entry.captions) for entry in entries]
            report.lines.append(
                f"{split}: {len(entries):,} pictures, {sum(several):,} captions, {min(several)} to {max(several)} each"
            )
            few = [entry.name for entry in entries if len(entry.captions) < FEWEST]
            if few:
                report.problems.append(
                    f"{len(few):,} pictures of {split} have fewer than {FEWEST} captions, for example {few[0]}; "
                    "download the caption file again."
                )
        if coco and len(entries) != KARPATHY.get(split, len(entries)):
            report.problems.append(
                f"{split} has {len(entries):,} pictures, and Karpathy's split of COCO {KARPATHY[split]:,}, restval "
                "counted as train; give whole caption files, and all lists."
            )


def _words(train: list[Entry], longest: int, report: Report) -> None:
    try:
        vocabulary = Vocabulary.build((c for entry in train for c in entry.captions), paper.RARE_WORD)
    except ValueError as error:
        report.problems.append(str(error))
        return
    report.lines.append(
        f"words: {len(vocabulary.words):,}, of which 4 are specials, occur {paper.RARE_WORD} times or more in the "
        f"captions of train; COCO is said to have about {paper.VOCABULARY:,}"
    )
    silent = [[c for c in e.captions if not vocabulary.decode(vocabulary.encode(c, longest))] for e in train]
    if some := [entry.name for entry, captions in zip(train, silent, strict=True) if captions]:
        report.lines.append(
            f"words: {sum(map(len, silent)):,} captions of train have none of these, for example one of {some[0]}, and "
            "are left out of the training"
        )
    report.problems += [
        f"No caption of picture {entry.name} has a word that the vocabulary keeps; give it another one, or take the "
        "picture out of the file."
        for entry, captions in zip(train, silent, strict=True)
        if len(captions) == len(entry.captions)
    ]


def _room(n: int, side: int, numbers: int, memory: float, out: Path, report: Report) -> None:
    """What pictures and features take, and where: as Trainer and `remember` decide it."""
    pictures, features = 3 * n * side**2 / 1e9, 4 * n * numbers / 1e9  # gigabytes
    where = "kept in memory" if pictures <= memory else f"more than --memory {memory:g}: read as they are needed"
    report.lines.append(f"pictures of train: {pictures:.3g} GB at {side} pixels, {where}")
    if features <= memory:
        report.lines.append(f"their features: {features:.3g} GB in float32, kept in memory")
        return
    there = next(folder for folder in (out, *out.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(there).free / 1e9
    report.lines.append(
        f"their features: {features:.3g} GB in float32, more than --memory {memory:g}: {features / 2:.3g} GB in "
        f"float16 in {out}, where {free:.3g} GB are free"
    )
    if free < features / 2:
        report.problems.append(
            f"{out} has {free:.3g} GB free, and features take {features / 2:.3g}; make room, or choose another --out."
        )
