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
from ..quantize.integer import Captioner
from . import m55
from .blob import HEAD, CCaptioner, planned, write

KB = 1024
BANKS = {  # of the STM32N657, in KB, in the order of their addresses
    "AXISRAM1": 1024, "AXISRAM2": 1024, "AXISRAM3": 448, "AXISRAM4": 448, "AXISRAM5": 448, "AXISRAM6": 448,
    "NPU cache": 256, "VENC RAM": 128,
}  # fmt: skip
RAM = sum(BANKS.values()) * KB  # 4.2 MB
NPU = ("AXISRAM3", "AXISRAM4", "AXISRAM5", "AXISRAM6")
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


class Activations(NamedTuple):
    """Bytes of RAM that a captioner works in.

    encoder : its arena, as planned.
    worst : what is alive at its worst moment; no plan can do with less.
    step : the arena of the decoder's step.
    others : records of both, the states and captions of a search.
    """

    encoder: int
    worst: int
    step: int
    others: int


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


def activations(captioner: Captioner, beam: int = 3) -> Activations:
    """What a captioner works in on this computer; a chip's pointers are half as wide: it needs a little less."""
    encoder, step, _ = planned(captioner)
    whole = CCaptioner(write(captioner), beam).memory
    times = range(-1, max(block.dies for block in encoder.blocks) + 1)
    worst = max(sum(b.size for b in encoder.blocks if b.kept or b.born <= t <= b.dies) for t in times)
    sizes = encoder.arena.size, step.arena.size
    return Activations(sizes[0], worst, sizes[1], whole - sum(sizes))


def laid(held: dict[str, dict[str, int]], needs: Activations | None = None) -> list[tuple[str, float, float]]:
    """What lies in AXISRAM1 to 6: (what, where it begins, how long it is), both in KB from the start of AXISRAM1.

    Parameters
    ----------
    held : bytes of each region, as `linked` tells them: region -> what -> bytes.
    needs : from `activations`, in place of the arena that was linked. Then the encoder's lie in the NPU's banks and,
        out of the way of the NPU, behind the data, what the decoder works in. None: all as it was linked.

    Raises
    ------
    ValueError : it does not fit.
    """
    sizes = {region.name: region.length / KB for region in regions()}
    starts = {"CODE": 0.0, "DATA": sizes["CODE"], "ARENA": sizes["CODE"] + sizes["DATA"]}
    inside = {name: {what: size / KB for what, size in held[name].items()} for name in starts}
    if needs is not None:
        inside["ARENA"] = {"encoder": needs.encoder / KB}
        inside["DATA"]["step and search"] = (needs.step + needs.others) / KB
    rows = []
    for name, at in starts.items():
        if sum(inside[name].values()) > sizes[name]:
            raise ValueError(f"{name} of the STM32N657 is too small for this captioner; use a smaller preset.")
        for what, size in inside[name].items():
            rows.append((what, at, size))
            at += size
    return rows


# --------------------------------------------------------------------------------------------------------------------
# The blob

PARTS = {
    "weight": "weights", "weight_h": "weights", "constant": "weights", "A": "weights", "D": "weights",
    "gamma": "weights", "bias": "biases", "bias_h": "biases", "beta": "biases",
    "table": "tables", "mantissa": "tables", "shift": "tables", "powers": "tables", "roots": "tables",
    "sigmoid": "tables", "tanh": "tables",
}  # fmt: skip
OTHERS = "multipliers and shifts"


def contents(blob: bytes) -> dict[str, int]:
    """Bytes of a blob by what they are; they add to the blob. An array that several records read counts once.

    Raises
    ------
    ValueError : the blob is cut off.
    """
    ffi, lib = library()
    kinds = {getattr(lib, f"UVLM_{NAMES.get(kind, kind.upper())}"): kind for kind in SIZES}
    numbers = np.frombuffer(blob[: len(blob) // 4 * 4], "<i4")
    head = dict(zip(HEAD, numbers.tolist(), strict=False))
    if head.get("bytes") != len(blob):
        raise ValueError("The blob is cut off or damaged; write it again with `uvlm deploy blob`.")
    at, arrays = head["records"] // 4, {}
    for _ in range(head["encoder"] + head["step"] + 1):
        kind = kinds[int(numbers[at])]
        at += 7
        fields = ffi.typeof(f"uvlm_{STRUCTS.get(kind, kind)}").fields
        for name, about in fields:
            if about.type.kind == "pointer":
                place, size = (int(n) for n in numbers[at : at + 2])
                arrays[place, size] = PARTS.get(name, OTHERS)
                at += 2
            else:
                at += about.type.length if about.type.kind == "array" else 1
    found = dict.fromkeys([*dict.fromkeys(PARTS.values()), OTHERS, "words", "records", "alignment"], 0)
    for (_, size), what in arrays.items():
        found[what] += size
    found["tables"] += 2 * 4 * 257 - sum(4 * 257 * ((head[name], 4 * 257) in arrays) for name in ("powers", "logs"))
    found["words"], found["records"] = len(blob) - head["texts"], 4 * at
    found["alignment"] = len(blob) - sum(found.values())
    return found
