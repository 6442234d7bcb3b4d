"""Figures of chapter 12. On white, at the book's width; every colour also has a hatching and a word.

matplotlib is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..viz import PALETTE, WIDTH

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HATCHES = ("", "//", "..", "xx")


def stacked(rows: Mapping[str, Mapping[str, float]], unit: str) -> Figure:
    """Draw horizontal bars out of parts, the sum behind each.

    Parameters
    ----------
    rows : of each bar its parts, the same names in the same order, in the unit.
    unit : of the axis, in words.
    """
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(figsize=(WIDTH, 0.42 * len(rows) + 1.1))
    parts = list(next(iter(rows.values())))
    for place, row in enumerate(rows.values()):
        start = 0.0
        for part, colour, hatch in zip(parts, PALETTE, HATCHES, strict=False):
            label = part if not place else None
            axes.barh(place, row[part], 0.6, start, color=colour, hatch=hatch, edgecolor="white", lw=0, label=label)
            start += row[part]
        axes.text(start, place, f" {start:,.4g}" if start < 1000 else f" {start:,.0f}", va="center", fontsize=9)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.tick_params(axis="y", length=0)
    axes.set(ylim=(len(rows) - 0.5, -0.5), xlabel=unit)
    axes.margins(x=0.12)
    axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=len(parts), fontsize=9, frameon=False)
    return fig


def staircase(names: Sequence[str], left: Sequence[int], weights: Sequence[int], room: float) -> Figure:
    """Draw what changes bring, one below the other: nodes that are not on the chip, and bytes of weights.

    Parameters
    ----------
    names : of the changes, what was there before first.
    left : nodes.
    weights : bytes, on a logarithmic axis.
    room : bytes that the chip has, as a line.
    """
    import matplotlib.pyplot as plt

    fig, (nodes, held) = plt.subplots(1, 2, sharey=True, figsize=(WIDTH, 0.28 * len(names) + 1.0))
    places = range(len(names))
    nodes.barh(places, left, 0.6, color=PALETTE[0])
    held.barh(places, [n / 1e3 for n in weights], 0.6, color=PALETTE[4], hatch="//", edgecolor="white", lw=0)
    for place in places:
        nodes.text(left[place], place, f" {left[place]}", va="center", fontsize=8)
        held.text(weights[place] / 1e3, place, f" {weights[place] / 1e3:,.0f}", va="center", fontsize=8)
    held.axvline(room / 1e3, color="black", ls="--", lw=1.2)
    held.text(room / 1e3, -0.75, f" room: {room / 1e3:,.0f}", fontsize=8)
    nodes.set_yticks(places, names, fontsize=9)
    nodes.tick_params(axis="y", length=0)
    nodes.set(ylim=(len(names) - 0.5, -1.1), xlabel="nodes not on the chip")
    held.set(xscale="log", xlim=(100, 2e4), xlabel="kB of weights")
    nodes.margins(x=0.15)
    return fig


def scores(rows: Mapping[str, Mapping[str, Any]], names: Mapping[str, str]) -> Figure:
    """Draw scores by the bits of the tied matrix, in groups of 32, with the spread over calibrations.

    Parameters
    ----------
    rows : the rows of benchmarks/results/int4.json.
    names : of each score, what the axis is called.
    """
    import matplotlib.pyplot as plt

    bits = {"int8": "int8"} | {f"{n} bits": f"{n} bits, groups of 32" for n in (4, 3, 2)}
    fig, axes = plt.subplots(1, len(names), figsize=(WIDTH, 2.4), squeeze=False)
    for ax, (score, name) in zip(axes[0], names.items(), strict=True):
        found = [rows[row][score] for row in bits.values()]
        ax.errorbar(range(len(bits)), [x["mean"] for x in found], [x["spread"] for x in found], marker="o", capsize=4)
        ax.set(xticks=range(len(bits)), xticklabels=list(bits), ylabel=name)
    return fig
