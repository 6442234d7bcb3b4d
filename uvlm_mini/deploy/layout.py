"""A blob looked through: its header, the arrays that its records read, and what lies where, told and drawn.

    header(blob)["side"]                numbers by name
    arrays(blob)                        a row for each array that a kernel reads
    segments(blob)                      the file from its beginning to its end

matplotlib is imported where it is used.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..kernels.build import library
from ..kernels.program import NAMES
from ..kernels.structs import SIZES, STRUCTS
from ..viz import PALETTE, WIDTH
from .blob import HEAD

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HATCHES = ("", "///", "...", "xx", "++")


class Array(NamedTuple):
    """An array that a record of a blob reads: of which network, kernel and field of its struct, where, how long."""

    network: str
    kind: str
    field: str
    at: int
    bytes: int


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
    return found


class Segment(NamedTuple):
    """A stretch of a blob: what it is, where it begins, how long it is."""

    what: str
    at: int
    bytes: int


def segments(blob: bytes) -> list[Segment]:
    """A blob from its beginning to its end, as neighbouring arrays of one network and kind come together.

    Raises
    ------
    ValueError : the blob is cut off.
    """
    head = header(blob)
    firsts: dict[int, tuple[str, int]] = {}
    for array in arrays(blob):
        matrix = array.kind in ("logits", "word") and array.field == "weight"
        owner = "encoder" if array.network == "encoder" else "step"
        firsts.setdefault(array.at, ("output matrix" if matrix else f"arrays of the {owner}", array.bytes))
    start = min(firsts)
    found = [Segment("header and records", 0, start)]
    for at, (what, size) in sorted(firsts.items()):
        last = found[-1]
        if last.what == what:
            found[-1] = last._replace(bytes=at + size - last.at)
        else:
            found.append(Segment(what, at, size))
    end = found[-1].at + found[-1].bytes
    tables = min(head[name] for name in ("powers", "logs", "texts") if head[name] >= end)  # those that no record has
    return [*found, Segment("tables and words", tables, len(blob) - tables)]


def plot_layout(blob: bytes) -> Figure:
    """Draw a blob as one band, to scale, its stretches by what they are."""
    import matplotlib.pyplot as plt

    rows = segments(blob)
    total: Counter[str] = Counter()
    for row in rows:
        total[row.what] += row.bytes
    fig, axis = plt.subplots(figsize=(WIDTH, 1.7))
    for i, (what, size) in enumerate(total.items()):
        parts = [row for row in rows if row.what == what]
        axis.barh(
            [0] * len(parts),
            [row.bytes / 1e3 for row in parts],
            0.6,
            left=[row.at / 1e3 for row in parts],
            color=PALETTE[i],
            hatch=HATCHES[i],
            edgecolor="white",
            linewidth=0,
            label=f"{what}, {size / 1e3:,.1f} kB",
        )
    axis.set(xlabel="kB from the beginning of the file", yticks=[], xlim=(0, len(blob) / 1e3), ylim=(-0.4, 0.4))
    axis.spines["left"].set_visible(False)
    axis.legend(frameon=False, fontsize=9, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return fig
