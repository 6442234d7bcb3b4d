"""What chapter 10 prints and draws. What its figures are made of is computed by functions of their own, and tested.

matplotlib is imported where it is used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..paths import csrc
from ..viz import PALETTE, WIDTH
from .memory import arrays, header

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HATCHES = ("", "///", "...", "xx", "\\\\\\", "++", "")


def excerpt(name: str, start: str, end: str = "\n}") -> str:
    """The lines of a file of csrc/ from the one with `start` to the first `end` behind it.

    Raises
    ------
    ValueError : `start` is not there, or more than once, or no `end` follows.
    """
    text = (csrc() / name).read_text(encoding="utf-8")
    if text.count(start) != 1 or end not in text[text.find(start) :]:
        raise ValueError(
            f"{name} holds {start!r} {text.count(start)} times; give what begins one excerpt, and its end."
        )
    begin = text.rfind("\n", 0, text.index(start)) + 1
    return text[begin : text.index(end, text.index(start)) + len(end)]


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
    return [*found, Segment("tables and words", head["texts"], len(blob) - head["texts"])]


def layout(blob: bytes) -> Figure:
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


def by_kind(records: Iterable[tuple[str, str, int]], network: str) -> dict[str, int]:
    """Instructions of a network's records by kind, the most first; kinds without work are left out."""
    found: Counter[str] = Counter()
    for where, kind, instructions in records:
        found[kind] += instructions * (where == network)
    return {kind: count for kind, count in found.most_common() if count}


def pairs(rows: Mapping[str, Sequence[float]], names: Sequence[str], xlabel: str, log: bool = False) -> Figure:
    """Draw bars of several values for each name, the first name at the top.

    Parameters
    ----------
    rows : values by name, as many as `names` has.
    names : what the values of a row are.
    log : whether the axis is logarithmic.
    """
    import matplotlib.pyplot as plt

    fig, axis = plt.subplots(figsize=(WIDTH, 0.26 * len(rows) * len(names) + 1.2))
    height = 0.8 / len(names)
    for i, name in enumerate(names):
        places = [-row - (i - (len(names) - 1) / 2) * height for row in range(len(rows))]
        values = [row[i] for row in rows.values()]
        axis.barh(
            places, values, height, color=PALETTE[i], hatch=HATCHES[i], edgecolor="white", linewidth=0, label=name
        )
        for place, value in zip(places, values, strict=True):
            axis.text(value, place, f" {value:.3g}", va="center", fontsize=9)
    axis.set_yticks([-row for row in range(len(rows))], list(rows))
    axis.tick_params(axis="y", length=0)
    most = max(max(row) for row in rows.values())
    axis.set(xlabel=xlabel, xscale="log" if log else "linear")
    axis.set_xlim(right=most * (2 if log else 1.15))
    axis.legend(frameon=False, fontsize=9, ncols=len(names), loc="lower left", bbox_to_anchor=(0, 1))
    return fig
