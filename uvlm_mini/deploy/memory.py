"""What lies where in memory: the firmware's from its link map, the weights' from the blob.

    elf = build(blob)                   firmware.py
    linked(elf)                         bytes of every region of csrc/ports/m55/m55.ld, and what they are
    contents(blob)                      bytes of weights, scales, tables, words and records

The emulated machine's regions stand for the STM32N657's: see the table in m55.ld, which is read here.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..kernels.build import library
from ..kernels.program import NAMES
from ..kernels.structs import SIZES, STRUCTS
from . import m55
from .blob import HEAD

KB = 1024
SECTIONS = {
    ".text": "program",
    ".rodata": "its constants",
    ".ARM.exidx": "its constants",
    ".weights": "blob",
    ".data": "data",
    ".bss": "data",
    ".heap": "heap of the C library",
    ".stack": "stack",
    ".arena": "arena",
}
ALLOCATED = 2  # flag of a section that takes memory on the chip


class Region(NamedTuple):
    """A piece of the chip's memory: its name in m55.ld, what of the STM32N657 it stands for, where, how long."""

    name: str
    chip: str
    origin: int
    length: int


class Held(NamedTuple):
    """Bytes in a region."""

    region: str
    what: str
    bytes: int


def regions() -> list[Region]:
    """The regions of csrc/ports/m55/m55.ld, in its order."""
    text = (m55.PORT / "m55.ld").read_text(encoding="utf-8")
    told = dict(re.findall(r"^ \* +([A-Z]+) +0x[0-9A-F]+ +(.+?)  +[\d,]+$", text, re.M))
    found = re.findall(r"^ +([A-Z]+) +\(\w+\) *: ORIGIN = (0x[0-9A-F]+), LENGTH = (\d+)([KM])", text, re.M)
    unit = {"K": KB, "M": KB * KB}
    return [Region(name, told[name], int(at, 16), int(n) * unit[u]) for name, at, n, u in found]


def linked(elf: Path) -> list[Held]:
    """What the linker put into each region: the sections of an ELF file, those of one kind added up.

    Raises
    ------
    ValueError : no ELF file for a 32-bit chip, or a section that lies in no region.
    """
    found: dict[tuple[str, str], int] = {}
    places = regions()
    for name, address, size in sections(elf.read_bytes()):
        inside = [r for r in places if r.origin <= address < r.origin + r.length]
        if not inside or name not in SECTIONS:
            raise ValueError(f"{elf} has a section {name} at {address:#x}; build it with csrc/ports/m55/m55.ld.")
        key = (inside[0].name, SECTIONS[name])
        found[key] = found.get(key, 0) + size
    return [Held(*key, size) for key, size in found.items()]


def sections(data: bytes) -> list[tuple[str, int, int]]:
    """Name, address and size of every section of an ELF file that takes memory on the chip."""
    if data[:6] != b"\x7fELF\x01\x01":
        raise ValueError("This is no ELF file of a 32-bit chip; give one that `uvlm deploy firmware` wrote.")
    (table,) = struct.unpack_from("<I", data, 32)
    size, count, names = struct.unpack_from("<HHH", data, 46)
    rows = [struct.unpack_from("<10I", data, table + size * i) for i in range(count)]
    start = rows[names][4]

    def name(at: int) -> str:
        return data[start + at : data.index(b"\0", start + at)].decode()

    return [(name(row[0]), row[3], row[5]) for row in rows if row[2] & ALLOCATED and row[5]]


def table(elf: Path) -> str:
    """All regions with what they hold, as text."""
    held = linked(elf)
    rows = []
    for region in regions():
        inside = [(part.what, part.bytes) for part in held if part.region == region.name]
        used = sum(size for _, size in inside)
        rows.append(f"  {region.name:6}{used:>11,} of {region.length:>11,}  for {region.chip}")
        rows += [f"    {size:>13,} {what}" for what, size in inside]
    return "\n".join(rows)


# --------------------------------------------------------------------------------------------------------------------
# The blob

PARTS = {
    "weight": "weights", "weight_h": "weights", "constant": "weights", "A": "weights", "D": "weights",
    "gamma": "weights", "bias": "biases", "bias_h": "biases", "beta": "biases",
    "table": "tables", "mantissa": "tables", "shift": "tables", "powers": "tables", "roots": "tables",
    "sigmoid": "tables", "tanh": "tables",
}  # fmt: skip
OTHERS = "multipliers and shifts"


class Array(NamedTuple):
    """An array that a record of a blob reads: of which network, kernel and field of its struct, where, how long."""

    network: str
    kind: str
    field: str
    at: int
    bytes: int

    @property
    def what(self) -> str:
        """Weights, biases, tables, or multipliers and shifts."""
        return PARTS.get(self.field, OTHERS)


def header(blob: bytes) -> dict[str, int]:
    """The numbers of a blob's header by name.

    Raises
    ------
    ValueError : the blob is cut off.
    """
    numbers = np.frombuffer(blob[: len(blob) // 4 * 4], "<i4")[: len(HEAD)]
    found = dict(zip(HEAD, numbers.tolist(), strict=False))
    if found.get("bytes") != len(blob):
        raise ValueError("The blob is cut off or damaged; write it again with `uvlm deploy blob`.")
    return found


def arrays(blob: bytes) -> list[Array]:
    """All arrays that the records of a blob read, in their order; one that several read comes as often.

    Raises
    ------
    ValueError : the blob is cut off.
    """
    return _walked(blob)[0]


def _walked(blob: bytes) -> tuple[list[Array], int]:
    """The arrays, and where the records end, in numbers."""
    ffi, lib = library()
    kinds = {getattr(lib, f"UVLM_{NAMES.get(kind, kind.upper())}"): kind for kind in SIZES}
    head = header(blob)
    numbers = np.frombuffer(blob[: len(blob) // 4 * 4], "<i4")
    networks = ["encoder"] * head["encoder"] + ["step"] * head["step"] + ["word"]
    at, found = head["records"] // 4, []
    for network in networks:
        kind = kinds[int(numbers[at])]
        at += 7
        for name, about in ffi.typeof(f"uvlm_{STRUCTS.get(kind, kind)}").fields:
            if about.type.kind == "pointer":
                place, size = (int(n) for n in numbers[at : at + 2])
                if size:
                    found.append(Array(network, kind, name, place, size))
                at += 2
            else:
                at += about.type.length if about.type.kind == "array" else 1
    return found, at


def contents(blob: bytes) -> dict[str, int]:
    """Bytes of a blob by what they are; they add to the blob. An array that several records read counts once.

    Raises
    ------
    ValueError : the blob is cut off.
    """
    head = header(blob)
    read, end = _walked(blob)
    once = {(array.at, array.bytes): array.what for array in read}
    found = dict.fromkeys([*dict.fromkeys(PARTS.values()), OTHERS, "words", "records", "alignment"], 0)
    for (_, size), what in once.items():
        found[what] += size
    found["tables"] += 2 * 4 * 257 - sum(4 * 257 * ((head[name], 4 * 257) in once) for name in ("powers", "logs"))
    found["words"], found["records"] = len(blob) - head["texts"], 4 * end
    found["alignment"] = len(blob) - sum(found.values())
    return found
