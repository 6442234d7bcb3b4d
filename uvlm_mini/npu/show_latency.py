"""What chapter 1 draws of the latency model, and lets the reader turn. Figures come on white, in colours that the
colour-blind tell apart; every colour also has a hatching or a mark, and a word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from uvlm_mini.npu.latency import Constants, Layer, Prediction, Work, predict

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.figure import Figure

#: What a prediction is made of: its name in words, fill and hatching.
PARTS: dict[str, tuple[str, str, str]] = {
    "flash": ("reading weights", "#0072B2", ""),
    "npu": ("NPU", "#E69F00", "//"),
    "cpu": ("processor", "#009E73", ".."),
    "external": ("outside the chip", "#CC79A7", "xx"),
}
_MARKS = (("o", "#0072B2"), ("s", "#E69F00"), ("^", "#009E73"), ("*", "#D55E00"))


def plot_roofline(
    groups: Mapping[str, Mapping[str, tuple[float, float]]], flash_mb_s: float, gmac_s: float, named: str
) -> Figure:
    """Draw networks under the two roofs of a chip: what the flash feeds, and what the NPU computes at most.

    Parameters
    ----------
    groups : mapping of str to mapping of str to (uses, rate)
        For each group of networks and each network: multiply-adds for each byte of weights, and the GMAC/s reached.
        Up to four groups.
    flash_mb_s, gmac_s : float
        Heights of the two roofs.
    named : str
        The group whose networks are labelled.

    Returns
    -------
    Figure
    """
    import matplotlib.pyplot as plt
    import numpy as np

    fig, axes = plt.subplots(figsize=(7.2, 3.9), dpi=110, facecolor="white")
    uses = np.geomspace(0.25, 4000, 200)
    axes.plot(uses, np.minimum(uses * flash_mb_s / 1e3, gmac_s), color="black", linewidth=1.8)
    for (name, points), (mark, colour) in zip(groups.items(), _MARKS, strict=False):
        x, y = np.array(list(points.values())).T
        size = 130 if mark == "*" else 42
        axes.scatter(x, y, s=size, marker=mark, color=colour, edgecolor="black", linewidth=0.6, label=name, zorder=3)
    for number, (label, point) in enumerate(sorted(groups[named].items(), key=lambda item: item[1][1])):
        offset, side = ((-9, 3), "right") if number == 1 else ((9, -9), "left")  # no label on the roof or another
        axes.annotate(label, point, offset, textcoords="offset points", fontsize=9, ha=side)
    axes.text(7, 7 * flash_mb_s / 1e3 * 1.5, f"flash, {flash_mb_s:.0f} MB/s", fontsize=9, ha="right")
    axes.text(3800, gmac_s * 1.25, f"NPU, {gmac_s:g} GMAC/s", fontsize=9, ha="right")
    axes.set(xscale="log", yscale="log", ylim=(0.1, 900), xlim=(0.25, 4000),
             xlabel="multiply-adds for each byte of weights", ylabel="GMAC/s reached")  # fmt: skip
    axes.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
    axes.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    axes.minorticks_off()
    axes.legend(loc="lower right", fontsize=9, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    fig.tight_layout()
    return fig


def plot_times(rows: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draw predicted times as stacked bars, the interval of each as a line, and what was published as a mark.

    Parameters
    ----------
    rows : mapping of str to mapping
        For each network ms of its parts ("flash", "npu", "cpu"), "low" and "high" of its interval, and "published".

    Returns
    -------
    Figure
    """
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(figsize=(7.2, 0.75 * len(rows) + 1.5), dpi=110, facecolor="white")
    used = [part for part in PARTS if any(row.get(part) for row in rows.values())]
    for place, row in enumerate(rows.values()):
        start = 0.0
        for part in used:
            name, colour, hatch = PARTS[part]
            axes.barh(place, row[part], left=start, height=0.5, color=colour, hatch=hatch, edgecolor="white",
                      linewidth=0, label=name if not place else None)  # fmt: skip
            start += row[part]
        axes.plot([row["low"], row["high"]], [place + 0.36] * 2, "|-", color="black", linewidth=1.4, markersize=8,
                  label=None if place else "interval")  # fmt: skip
        axes.plot(row["published"], place, "D", color="#D55E00", markeredgecolor="black", markersize=8,
                  label=None if place else "published")  # fmt: skip
    axes.set_yticks(range(len(rows)), list(rows), fontsize=10)
    axes.tick_params(axis="y", length=0)
    axes.set(ylim=(len(rows) - 0.4, -0.5), xlim=(0, None), xlabel="ms")
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, 1.24), ncols=len(used) + 2, fontsize=9, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    fig.tight_layout()
    return fig


# --------------------------------------------------------------------------------------------------------------------
# a network of your own


def time_html(p: Prediction) -> str:
    """A prediction as a small HTML table, each part with a bar of its share; words and numbers carry all of it."""
    rows = [(name, getattr(p, part), part == p.bound) for part, (name, *_) in PARTS.items()]
    cells = "".join(
        f"<tr><td>{name}&nbsp;</td><td style='text-align:right'>{ms:.2f} ms&nbsp;</td>"
        f"<td>{'█' * round(24 * ms / p.ms) if p.ms else ''}{' takes most' if most and p.ms else ''}</td></tr>"
        for name, ms, most in rows
    )
    last = f"<tr><td><b>sum</b></td><td style='text-align:right'><b>{p.ms:.2f} ms</b>&nbsp;</td></tr>"
    return f"<table>{cells}{last}</table>"


def time_widget(c: Constants, megabytes: float = 9.3, uses: float = 1.0, software: float = 28.0) -> VBox:
    """Sliders for what a network has to do, over its predicted time.

    Parameters
    ----------
    c : Constants
        Of the model, for example ``latency.fit()``.
    megabytes : float
        Of weights, where its slider starts.
    uses : float
        Multiply-adds for each byte of weights.
    software : float
        Thousands of values that the tool's own software computes.

    Returns
    -------
    ipywidgets.VBox
    """
    import ipywidgets as widgets

    style, layout = {"description_width": "16em"}, widgets.Layout(width="34em")

    def slider(text: str, value: float, most: float, step: float, form: str = ".1f") -> Any:
        return widgets.FloatSlider(value=value, min=0, max=most, step=step, readout_format=form, description=text,
                                   style=style, layout=layout)  # fmt: skip

    intensity = widgets.FloatLogSlider(value=uses, min=0, max=3.5, step=0.01, base=10, readout_format=".3g",
                                       description="multiply-adds a byte", style=style, layout=layout)  # fmt: skip
    sliders = [
        slider("weights (MB)", megabytes, 32, 0.1),
        intensity,
        slider("values moved (millions)", 0.0, 150, 1, ".0f"),
        slider("values in software (thousands)", software, 120, 1, ".0f"),
        slider("MB of maps off the chip", 0.0, 8, 0.1),
    ]
    answer = widgets.HTML()

    def refresh(_: object = None) -> None:
        mb, times, moved, values, outside = (part.value for part in sliders)
        layer = Layer(round(mb * 1e6 * times), round(moved * 1e6))
        work = Work(mb * 1e6, (layer,), software=values * 1e3, external_bytes=outside * 1e6)
        answer.value = time_html(predict(work, c))

    for part in sliders:
        part.observe(refresh, names="value")
    refresh()
    return widgets.VBox([*sliders, answer])
