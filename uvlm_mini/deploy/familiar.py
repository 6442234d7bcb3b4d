"""Whether a picture is unlike the training pictures, told from int8 maps: what the live page warns by.

    familiarity = read(blob)                             the shipped one
    strangeness(captioner, familiarity, pictures) > 1    a caption deserves no trust

The float model judges a picture by the maps of OverNet's second stage (`model.Familiarity`). The int8 encoder passes
the same stage, so its first records are run alone, and the same measure is taken of the sum that the last one makes.
Mean, directions and limit are learned anew from int8 maps of the same pictures: a blob does not tell what its numbers
stand for, and rounding is seen where training pictures hardly vary. benchmarks/familiar.py learns them, and counts how
often both verdicts are one.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ..kernels.build import library
from ..kernels.program import NAMES
from ..kernels.structs import SIZES
from ..model import Familiarity, read_tensors, write_tensors
from ..paths import data_path
from .blob import CCaptioner
from .stages import STAGES, of_blob

SHIPPED = "uvlm_mini_familiarity.safetensors"
LEARNED = 4000  # training pictures, as many as train/loop.py takes


class Stage(NamedTuple):
    """The encoder's first records, up to the sum that ends the second stage, and the sum's positions and channels."""

    records: int
    positions: int
    channels: int


def stage(captioner: CCaptioner) -> Stage:
    """Where the second stage of a blob's encoder ends.

    Raises
    ------
    ValueError : the blob is of another network than preset mini.
    """
    ffi, lib = library()
    kinds = {getattr(lib, f"UVLM_{NAMES.get(kind, kind.upper())}"): kind for kind in SIZES}
    program = captioner._m.encoder
    names = of_blob([kinds[program.records[i].kind] for i in range(program.count)])
    if not names:
        raise ValueError("The stages of this blob's encoder are not known; give one of preset mini.")
    count = sum(name in (STAGES["1"], STAGES["2"]) for name in names)
    numbers = ffi.cast("uvlm_add *", program.records[count - 1].numbers)
    return Stage(count, numbers.positions, numbers.channels)


def early(captioner: CCaptioner, pictures: np.ndarray) -> np.ndarray:
    """(n, S, S, 3) uint8 pictures -> (n, positions, channels) int8 maps of the second stage."""
    ffi, lib = library()
    m, (count, positions, channels) = captioner._m, stage(captioner)
    part = ffi.new("uvlm_program *", {"records": m.encoder.records, "count": count})
    arena = np.frombuffer(ffi.buffer(m.seeing, m.seeing_bytes), np.int8)
    at = m.encoder.records[count - 1].at[2]
    maps = np.empty((len(pictures), positions, channels), np.int8)
    for i, picture in enumerate(pictures):
        arena[m.pixels_at :][: picture.size] = (picture ^ np.uint8(128)).view(np.int8).ravel()
        if lib.uvlm_program_run(part, m.seeing, m.seeing_bytes):
            raise ValueError("The encoder's first records did not run; write the blob again with `uvlm deploy blob`.")
        maps[i] = arena[at:][: positions * channels].reshape(positions, channels)
    return maps


def vectors(maps: np.ndarray) -> torch.Tensor:
    """(n, positions, channels) maps -> (n, 2 channels) float64, all that is asked of them."""
    values = torch.from_numpy(maps.astype(np.float64)).movedim(2, 1)
    return Familiarity.vector(values[..., None])


def learn(captioner: CCaptioner, train: np.ndarray, val: np.ndarray) -> Familiarity:
    """What (n, S, S, 3) uint8 training pictures have in common, and the limit on validation pictures."""
    familiarity = Familiarity(stage(captioner).channels)
    familiarity.fit(*(vectors(early(captioner, pictures)).float() for pictures in (train, val)))
    return familiarity


def strangeness(captioner: CCaptioner, familiarity: Familiarity, pictures: np.ndarray) -> np.ndarray:
    """(n, S, S, 3) uint8 pictures -> (n,) float64: above 1, a picture is unlike anything trained on."""
    mean, whiten = familiarity.mean.double(), familiarity.whiten.double()
    apart = (vectors(early(captioner, pictures)) - mean) @ whiten
    return (apart.norm(dim=1) / familiarity.limit.double()).numpy()


def write(path: str | Path, familiarity: Familiarity, blob: bytes) -> None:
    """Keep what was learned, with the checksum of the blob that it holds for."""
    write_tensors(path, familiarity.state_dict(), {"blob": f"{zlib.crc32(blob):08x}"})


def read(blob: bytes, path: str | Path | None = None) -> Familiarity:
    """What was learned for a blob; the shipped file if none is named.

    Raises
    ------
    ValueError : it is broken, or of another blob.
    FileNotFoundError : no such file.
    """
    path = path or data_path(SHIPPED)
    tensors, about = read_tensors(path)
    if about.get("blob") != f"{zlib.crc32(blob):08x}":
        raise ValueError(f"{path} was not learned with this blob; run `python -m benchmarks.familiar`.")
    familiarity = Familiarity(len(tensors["mean"]) // 2)
    familiarity.load_state_dict(tensors)
    return familiarity
