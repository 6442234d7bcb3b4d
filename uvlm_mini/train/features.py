"""Features of a frozen encoder, computed once: in memory where they fit, else in a file of the run's folder."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor, nn

from ..datasets.coco import CaptionSet
from ..datasets.files import expect
from .shared import check_identity

PART = 250  # pictures that are encoded at once


class FeatureFile:
    """Features on disk, (n, C, h, w) float16; rows are read as they are asked for, and given as float32."""

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.path = path
        self.array = np.memmap(path, np.float16, "r", shape=shape)

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, rows: Tensor) -> Tensor:
        """(B,) numbers -> (B, C, h, w) float32."""
        return torch.from_numpy(np.asarray(self.array[rows.numpy()], np.float32))


def size(n: int, shape: tuple[int, int, int], bytes_each: int = 4) -> int:
    """Bytes that the features of n pictures take: 4 for each number in memory, 2 in a file."""
    return n * math.prod(shape) * bytes_each


def fingerprint(module: nn.Module) -> str:
    """SHA-256 of all that a module has learned."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def remember(
    encode: Callable[[Any], Tensor],
    encoder: nn.Module,
    data: CaptionSet,
    shape: tuple[int, int, int],
    path: Path,
    memory: float,
    quiet: bool = False,
    stopped: Callable[[], bool] = lambda: False,
) -> Tensor | FeatureFile:
    """The features of all pictures.

    Parameters
    ----------
    encode : from (B, S, S, 3) uint8 pictures to (B, C, h, w) features.
    encoder : whose features they are.
    data : the pictures.
    shape : C, h, w.
    path : of the file, if one is needed. A file that a stopped or killed run has begun is completed.
    memory : gigabytes (10^9 bytes) that the features may take in memory, in float32; more, and they go to the file.
    quiet : no progress bar.
    stopped : whether to stop now.

    Raises
    ------
    ValueError : the file is of another encoder, of other pictures, or longer than it may be.
    FloatingPointError : a feature is beyond what float16 can hold.
    OSError : the file cannot be written.
    KeyboardInterrupt : `stopped` said so.
    """
    n = len(data)

    def parts(first: int) -> Iterator[tuple[int, Tensor]]:
        from tqdm import tqdm

        rows = [np.arange(i, min(i + PART, n)) for i in range(first, n, PART)]
        with tqdm(total=n, initial=first, desc="features", unit="picture", disable=quiet) as bar:
            for part, following in zip(rows, [*rows[1:], rows[-1][:0]], strict=True):
                if stopped():
                    raise KeyboardInterrupt("Stopped while the pictures were being encoded; the same command resumes.")
                pictures = data.pictures[part]
                expect(data.pictures, following)
                with torch.inference_mode():
                    features = encode(pictures)
                yield int(part[0]), features
                bar.update(len(part))

    if size(n, shape) <= 1e9 * memory:
        kept = torch.empty(n, *shape)
        for start, features in parts(0):
            kept[start : start + len(features)] = features
        return kept
    identity = {
        "shape of features": [n, *shape],
        "encoder": fingerprint(encoder),
        "set of pictures": hashlib.sha256("\n".join(data.names).encode()).hexdigest(),
    }
    row = size(1, shape, 2)
    done = _begun(path, identity, row)
    with open(path, "r+b") as file:
        file.truncate(done * row)
        file.seek(done * row)
        for start, features in parts(done) if done < n else ():
            halves = features.half().contiguous()
            if not halves.isfinite().all():
                first = int((~halves.isfinite()).flatten(1).any(1).nonzero()[0])
                raise FloatingPointError(
                    f"Features of {data.names[start + first]} are beyond what float16 can hold; give more --memory "
                    f"than {size(n, shape) / 1e9:.1f} GB, so that they are kept as they are."
                )
            _write(file, halves.numpy().tobytes(), n * row)
    return FeatureFile(path, (n, *shape))


def _write(file: BinaryIO, part: bytes, whole: int) -> None:
    try:
        file.write(part)
        file.flush()
        os.fsync(file.fileno())
    except OSError as error:
        raise OSError(
            error.errno,
            f"Could not write {file.name} ({error.strerror}), which takes {whole / 1e9:.1f} GB in all; make room or "
            "give more --memory, then resume.",
        ) from None


def _begun(path: Path, identity: dict[str, Any], row: int) -> int:
    """How many pictures are in the file for good, of `row` bytes each; 0 for a new one, with the note that says whose.

    Parts are written whole. Of one that was cut off, nothing is used, so that every picture is encoded in the same
    company as in a run that was not stopped.
    """
    note = path.with_suffix(".json")
    if note.exists():
        check_identity(path, note.read_text(encoding="utf-8"), identity)
    elif path.exists():
        raise ValueError(f"{path} lacks {note.name}, which says what it holds; remove it, or give another --out.")
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = note.with_name(note.name + ".part")
        beside.write_text(json.dumps(identity), encoding="utf-8")
        beside.replace(note)
    path.touch()
    n, length = identity["shape of features"][0], path.stat().st_size
    if length > n * row:
        raise ValueError(f"{path} has {length} bytes where {n * row} are enough; remove it, or give another --out.")
    return n if length == n * row else length // (PART * row) * PART


def forget(features: Tensor | FeatureFile | None) -> None:
    """Remove the file of a stage that is over and needs it no more."""
    if isinstance(features, FeatureFile):
        del features.array  # closes the file
        features.path.unlink()
        features.path.with_suffix(".json").unlink()  # in this order: a file without a note is refused
