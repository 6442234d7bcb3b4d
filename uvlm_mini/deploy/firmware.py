"""The captioner as firmware for a Cortex-M55, built with a blob in its flash, and run in QEMU.

    program = build(blob)              an ELF file; with Helium, or without
    told = run(program, picture)       the caption, and how many instructions it took

What QEMU counts are instructions, not cycles: see csrc/ports/m55/counter.h.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..kernels.cache import folder
from ..kernels.program import NAMES
from ..kernels.structs import SIZES
from . import m55
from .blob import CCaptioner

MAIN, WIDEST = m55.PORT / "main" / "caption.c", 8


@dataclass(frozen=True)
class Told:
    """What the firmware said of one picture.

    Attributes
    ----------
    caption : its text.
    words, score, ended : as `CCaptioner.search` gives them.
    form : "plain" or "mve".
    blob, memory : bytes of the weights in flash, and of what the captioner works in with this beam.
    encoder, search : instructions of the encoder, and of all steps of the search together; exact if they were counted.
    trace : lines of checksums, if asked for: of what the encoder gives, of every greedy step's logits and bias map.
    records : (network, kind, instructions) of every record, if asked for.
    """

    caption: str
    words: list[int]
    score: int
    ended: bool
    form: str
    blob: int
    memory: int
    encoder: int
    search: int
    trace: list[str] = field(default_factory=list)
    records: list[tuple[str, str, int]] = field(default_factory=list)


def kinds() -> list[str]:
    """Kinds of records by their number in csrc/program.h."""
    from ..kernels.build import library

    lib = library()[1]
    names = {getattr(lib, f"UVLM_{NAMES.get(kind, kind.upper())}"): kind for kind in SIZES}
    return [names[number] for number in range(len(names))]


def build(blob: bytes, helium: bool = True, out: Path | None = None) -> Path:
    """Compile the firmware with a blob; what was built before from the same sources and blob is taken again.

    Parameters
    ----------
    helium : False leaves the vector instructions out.
    out : the ELF file to write; None keeps it in the user's cache folder.

    Raises
    ------
    RuntimeError : compiler or emulator are not installed, or the blob does not fit the memory map.
    ValueError : no blob, or a damaged one.
    """
    if lacking := m55.missing():
        raise RuntimeError(lacking)
    kept = folder()
    if out is None and kept is not None:
        out = kept.parent / "firmware" / f"caption-{_digest(blob, helium)}.elf"
        if out.is_file():
            return out
    with tempfile.TemporaryDirectory(prefix="uvlm_") as name:
        place = Path(name)
        (place / "blob.bin").write_bytes(blob)
        objects = m55.compile_kernels(place, helium)
        flags = [f'-DUVLM_BLOB="{place / "blob.bin"}"', f"-DUVLM_MEMORY={memory(blob)}"]
        made = m55.build(MAIN, place / "caption.elf", objects, helium, flags)
        target = out or Path(tempfile.mkdtemp(prefix="uvlm_")) / "caption.elf"
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_suffix(f".{os.getpid()}")  # then renamed in one step, for others may look
        shutil.copyfile(made, beside)
        os.replace(beside, target)
    return target


def memory(blob: bytes) -> int:
    """Bytes that the widest beam works in: what the firmware sets aside.

    It is what this computer needs. Its pointers are twice as wide as the chip's, so that the chip needs less.
    """
    return CCaptioner(blob, WIDEST).memory


def _digest(blob: bytes, helium: bool) -> str:
    text = hashlib.sha256(blob + m55.version(m55.COMPILER).encode() + bytes([helium]))
    for path in sorted([*m55.SOURCES.glob("*.[ch]"), *m55.PORT.rglob("*.*")]):
        text.update(path.name.encode() + path.read_bytes())
    return text.hexdigest()[:16]


def run(
    program: Path, picture: np.ndarray, beam: int = 3, more: str = "", count: bool = True, seconds: float = 120
) -> Told:
    """Caption a picture on the emulated chip.

    Parameters
    ----------
    program : from `build`.
    picture : (side, side, 3) uint8.
    beam : 1 to 8; 1 is greedy search.
    more : "trace" or "count".
    count : whether the emulated clock follows the instructions; without, numbers of instructions mean nothing.
    seconds : how long it may take.

    Raises
    ------
    RuntimeError : the firmware refused, with what it said.
    TimeoutError : it did not end in time.
    """
    with tempfile.TemporaryDirectory(prefix="uvlm_") as name:
        path = Path(name) / "picture.raw"
        path.write_bytes(np.ascontiguousarray(picture, np.uint8).tobytes())
        code, text = m55.run(program, [str(path), str(beam), *([more] if more else [])], seconds, count)
    if code:
        raise RuntimeError(f"The firmware ended with code {code}: {' '.join(text.split()) or 'it said nothing'}")
    return parsed(text)


def parsed(text: str) -> Told:
    """What the firmware printed, as `Told`."""
    lines = text.splitlines()
    found = {line.split(" ", 1)[0]: line for line in lines}
    names = kinds() if "record" in found else []
    counted, score, sizes = (found[name].split() for name in ("instructions", "score", "blob"))
    records = [line.split() for line in lines if line.startswith("record")]
    return Told(
        caption=found["caption"].removeprefix("caption").strip(),
        words=[int(word) for word in found["words"].split()[1:]],
        score=int(score[1]),
        ended=score[3] == "1",
        form="mve" if found["form"].split()[1] == "3" else "plain",
        blob=int(sizes[1]),
        memory=int(sizes[3]),
        encoder=int(counted[2]),
        search=int(counted[4]),
        trace=[line for line in lines if line.startswith(("context", "step"))],
        records=[(row[1], names[int(row[4])], int(row[6])) for row in records],
    )
