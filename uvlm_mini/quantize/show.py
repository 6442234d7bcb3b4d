"""Figures and the widget of chapter 8. What they are made of is computed by functions of its own, which tests check.

matplotlib and ipywidgets are imported where they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..viz import PALETTE, WIDTH, to_png
from .affine import dequantize, levels, quantize, scale_and_zero_point, sqnr

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TAILS = (0.0, 0.0001, 0.001, 0.01, 0.05, 0.1)  # shares of the values that may be cut off


def ends(x: np.ndarray, tail: float) -> tuple[float, float]:
    """The range that leaves out a share `tail` of the values, half of it on each side; zero is always inside."""
    low, high = np.quantile(x, (tail / 2, 1 - tail / 2))
    return min(float(low), 0.0), max(float(high), 0.0)


def rounded(x: np.ndarray, low: float, high: float, bits: int = 8, symmetric: bool = False) -> np.ndarray:
    """The values as integers of a range bring them back."""
    scale, zero = scale_and_zero_point(low, high, bits, symmetric)
    return dequantize(quantize(x, scale, zero, bits), scale, zero)


def split_noise(x: np.ndarray, low: float, high: float, bits: int = 8, symmetric: bool = False) -> tuple[float, float]:
    """The noise of a range by its two sources.

    Parameters
    ----------
    x : real numbers.
    low, high, bits, symmetric : as for affine.scale_and_zero_point.

    Returns
    -------
    Mean square error that values inside of the range add by rounding, and that those outside add by being cut off.
    """
    scale, zero = scale_and_zero_point(low, high, bits, symmetric)
    bottom, top = (float(dequantize(end, scale, zero)) for end in levels(bits))
    error = np.square(x.astype(np.float64) - rounded(x, low, high, bits, symmetric))
    outside = (x < bottom) | (x > top)
    return float(error[~outside].sum() / x.size), float(error[outside].sum() / x.size)


def ruler(x: np.ndarray, low: float, high: float, bits: int = 8, symmetric: bool = False) -> Figure:
    """Draw a histogram over the marks of a range: what is cut off lies outside of the dashed lines.

    Parameters
    ----------
    x : the values; the share axis is logarithmic.
    low, high, bits, symmetric : as for affine.scale_and_zero_point.
    """
    import matplotlib.pyplot as plt

    fig, axis = plt.subplots(figsize=(WIDTH, 2.9))
    _ruler(axis, x, low, high, bits, symmetric)
    return fig


def _ruler(axis: Axes, x: np.ndarray, low: float, high: float, bits: int, symmetric: bool) -> None:
    scale, zero = scale_and_zero_point(low, high, bits, symmetric)
    bottom, top = levels(bits, symmetric)
    marks = dequantize(np.arange(bottom, top + 1), scale, zero)
    share, edges = np.histogram(x, 120)
    axis.bar(edges[:-1], share / x.size, np.diff(edges), align="edge", color=PALETTE[5], linewidth=0)
    for end in (marks[0], marks[-1]):
        axis.axvline(end, color=PALETTE[1], linestyle="--", linewidth=1.2)
    axis.set_yscale("log")
    least = 0.5 / x.size
    axis.set(xlabel="value", ylabel="share of the values", ylim=(least, 1))
    wide = (edges[-1] - edges[0]) * 0.03
    axis.set_xlim(min(edges[0], marks[0]) - wide, max(edges[-1], marks[-1]) + wide)
    axis.vlines(marks, least, least * 3, color="black", linewidth=0.8 if bits < 7 else 0.3)
    axis.plot(0, least * 4, "v", color="black", markersize=5)  # where zero is
    axis.annotate(f"Z = {zero:d}", (0, least * 4), xytext=(5, 2), textcoords="offset points", fontsize=9)


def tell(x: np.ndarray, low: float, high: float, bits: int, symmetric: bool) -> str:
    """Scale, zero point and noise in words, as HTML."""
    scale, zero = scale_and_zero_point(low, high, bits, symmetric)
    by_rounding, by_clipping = split_noise(x, low, high, bits, symmetric)
    used = len(np.unique(quantize(x, scale, zero, bits)))
    ratio = sqnr(x, rounded(x, low, high, bits, symmetric))
    return (
        f"Scale <b>{scale:.4g}</b>, zero point <b>{zero:d}</b>; {used} of {2**bits} marks are used.<br>"
        f"Noise by rounding <b>{by_rounding:.2g}</b>, by clipping <b>{by_clipping:.2g}</b>; "
        f"signal to noise <b>{ratio:.1f} dB</b>."
    )


def ruler_widget(x: np.ndarray, bits: int = 4, tail: float = 0.001, symmetric: bool = False) -> VBox:
    """Choose bits, clipping and symmetry over the histogram of an activation: the marks, the noise and its sources.

    Parameters
    ----------
    x : the values, some 10,000 of them.
    bits, tail, symmetric : where the controls start; tail is one of TAILS.

    Returns
    -------
    ipywidgets.VBox
    """
    import ipywidgets as widgets

    wide = widgets.Layout(width="24em")
    wait = {"description_width": "5em"}
    depth = widgets.IntSlider(value=bits, min=2, max=8, description="bits", layout=wide, style=wait)
    cut = widgets.SelectionSlider(
        options=[(f"{share:.2%}", share) for share in TAILS], value=tail, description="cut off", layout=wide, style=wait
    )
    even = widgets.Checkbox(value=symmetric, description="symmetric: zero point 0", layout=wide, style=wait)
    says = widgets.HTML()
    picture = widgets.Image(format="png", layout=widgets.Layout(width="100%", max_width="700px"))

    def draw(_: object = None) -> None:
        chosen = (*ends(x, cut.value), depth.value, even.value)
        picture.value = to_png(ruler(x, *chosen))
        says.value = tell(x, *chosen)

    for control in (depth, cut, even):
        control.observe(draw, names="value")
    draw()
    return widgets.VBox([depth, cut, even, says, picture])
