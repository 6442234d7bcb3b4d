"""A network in C as it lies in the emulated chip's memory, and its instructions counted, record by record.

    c = CProgram(program, shapes)       kernels/program.py; its inputs are written to `c.array(name)`
    counted(c, objects, folder)         the same bytes run in QEMU by csrc/tests/count_step.c

Any network of records will do, of any decoder: unlike a blob, an image knows nothing of captions. Its pointers are for
the one address where it lies.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..kernels.program import CProgram
from . import m55
from .blob import Pool, fields

BASE = 0x60000000  # of FLASH in csrc/ports/m55/m55.ld
MAIN = m55.SOURCES / "tests" / "count_step.c"
HEAD, RECORD = 4, 8  # words of the image's head, and of a record


class Counted(NamedTuple):
    """Instructions: of a whole run, of each record that has work, and of looking through all records before a run."""

    whole: int
    records: list[int]
    looked: int


def image(c: CProgram) -> bytes:
    """Records, structs and arrays with 32-bit pointers, and the arena as it is now."""
    parsed = [fields(kernel) for kernel in c.kernels]
    first = 4 * (HEAD + RECORD * len(parsed))
    pool = Pool(first + 4 * sum(len(arrays) + len(numbers) for arrays, numbers in parsed))
    rows: list[int] = []
    structs: list[int] = []
    for i, (arrays, numbers) in enumerate(parsed):
        record = c.program.records[i]
        rows += [int(record.kind), BASE + first + 4 * len(structs), *record.at]
        structs += [0 if data is None else BASE + pool.place(data) for data in arrays]
        structs += numbers
    head = [BASE, BASE + pool.place(c.arena.tobytes()), BASE + 4 * HEAD, len(parsed)]
    return np.array([*head, *rows, *structs], "<i8").astype("<u4").tobytes() + b"".join(pool.parts)


def counted(c: CProgram, objects: Sequence[Path], folder: Path, helium: bool = True, seconds: float = 300) -> Counted:
    """Count a network's instructions on what its arena holds; afterwards the arena holds its results, as in QEMU.

    Parameters
    ----------
    c : the network, its inputs in place.
    objects : from `m55.compile_kernels`, with the same `helium`.
    folder : for what is built.
    seconds : how long it may take.

    Raises
    ------
    RuntimeError : it does not fit the memory map, was refused, or left another arena than C on this computer.
    TimeoutError : it did not end in time.
    """
    path = folder / "image.bin"
    path.write_bytes(image(c))
    flags = [f'-DUVLM_IMAGE="{path}"', f"-DUVLM_ARENA={c.arena.size}"]
    elf = m55.build(MAIN, folder / "count_step.elf", objects, helium, flags)
    code, text = m55.run(elf, seconds=seconds, count=True)
    c.once()
    told = [line.split() for line in text.splitlines()]
    found = dict(row for row in told if row[0] != "record") if not code else {}
    if code or int(found["sum"], 16) != zlib.crc32(c.arena.tobytes()):
        raise RuntimeError(f"The network in QEMU ended with {code}, and differs from C here or was refused: {text}")
    return Counted(int(found["whole"]), [int(n) for key, n in told if key == "record"], int(found["looked"]))
