"""What chapter 10 draws of memory. Figures come on white, in colours that the colour-blind tell apart; every colour
also has a hatching, and a word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .memory import BANKS, KB

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: What lies in memory: fill and hatching. Colours are Okabe and Ito's.
LOOKS: dict[str, tuple[str, str]] = {
    "program": ("#0072B2", ""),
    "data, heap, stack": ("#56B4E9", "//"),
    "encoder": ("#E69F00", "\\\\"),
    "step and search": ("#009E73", ".."),
    "arena of all three": ("#F0E442", "++"),
    "weights": ("#CC79A7", ""),
    "scales, tables, records": ("#D55E00", "xx"),
}
TITLES = {"program": "program", "its constants": "program", "step and search": "step and search", "encoder": "encoder",
          "arena": "arena of all three"}  # fmt: skip


def drawn(laid: list[list[Any]]) -> list[tuple[str, float, float]]:
    """Rows of `memory.laid` under the names of LOOKS, neighbours of one name joined: (name, start, length) in KB."""
    found: list[tuple[str, float, float]] = []
    for what, at, size in laid:
        name = TITLES.get(what, "data, heap, stack")
        if found and found[-1][0] == name and abs(found[-1][1] + found[-1][2] - at) < 0.1:
            found[-1] = (name, found[-1][1], at + size - found[-1][1])
        else:
            found.append((name, at, size))
    return found


def plot_memory(rows: Mapping[str, Any], presets: tuple[str, ...] = ("mini", "t", "b")) -> Figure:
    """Draw the chip's RAM, bank by bank, with what lies in it, and beside it the blob in flash.

    Parameters
    ----------
    rows : those of benchmarks/results/memory.json.
    presets : which, from top to bottom.
    """
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch

    fig, (ram, flash) = plt.subplots(
        1, 2, figsize=(7.2, 3.2), dpi=110, facecolor="white", width_ratios=(3, 1), sharey=True, layout="constrained"
    )
    for y, preset in enumerate(presets):
        for name, at, size in drawn(rows[preset]["laid"]):
            _bar(ram, y, at, size, name)
        blob = rows[preset]["blob"]
        weights = blob["weights"] / 1e6
        _bar(flash, y, 0.0, weights, "weights")
        _bar(flash, y, weights, blob["bytes"] / 1e6 - weights, "scales, tables, records")
        flash.text(blob["bytes"] / 1e6 + 0.6, y, f"{blob['bytes'] / 1e6:.1f}", va="center", fontsize=9)
    edge = 0
    for bank, size in BANKS.items():
        if not bank.startswith("AXISRAM"):
            continue
        ram.axvline(edge, color="black", linewidth=0.8)
        title = bank if size > 512 else bank.removeprefix("AXISRAM")
        ram.text(edge + size / 2, -0.62, title, ha="center", va="bottom", fontsize=9)
        edge += size
    ram.axvline(edge, color="black", linewidth=0.8)
    ram.set(xlim=(0, edge), ylim=(len(presets) - 0.5, -0.65), yticks=range(len(presets)), yticklabels=presets)
    ram.set(xlabel=f"AXISRAM1 to 6, {edge * KB / 1e6:.1f} MB (KB from its start)")
    flash.set(xlim=(0, 1.25 * max(rows[p]["blob"]["bytes"] for p in presets) / 1e6), xlabel="flash (MB)")
    for axes in (ram, flash):
        axes.spines[["top", "right"]].set_visible(False)
    handles: list[Artist] = [
        Patch(facecolor=c, hatch=h, edgecolor="black", label=name) for name, (c, h) in LOOKS.items()
    ]
    fig.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return fig


def _bar(axes: Axes, y: int, start: float, length: float, name: str) -> None:
    colour, hatch = LOOKS[name]
    axes.barh(y, length, 0.6, start, color=colour, hatch=hatch, edgecolor="black", linewidth=0.6)
