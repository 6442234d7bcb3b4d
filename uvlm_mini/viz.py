"""Plots and widgets that chapters share.

Figures come on white, at the width of the book's column, in colours that the colour-blind tell apart; where a colour
carries meaning, so does a sign, a line style or a word. What a figure is made of is computed by functions of its own
(`cover`, `painted`, `tints`), so that it can be tested: pictures never are.

matplotlib and ipywidgets are imported where they are used.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from IPython.display import HTML
    from ipywidgets import VBox
    from matplotlib.figure import Figure

    from uvlm_mini.datasets.scenes import Scene
    from uvlm_mini.model import UVLM
    from uvlm_mini.search import Found, Tried

# Okabe and Ito's palette, in the order in which lines take it
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#333333")
DASHES = ("-", "--", ":", "-.")  # one for each line, so that no line is told by its colour alone
WIDTH = 7.0  # inches, the book's column
FEATURES = "cividis"  # values from nothing to much
SIGNED = "PuOr_r"  # values below and above zero: orange is positive, purple negative, zero is white


def style() -> None:
    """Set matplotlib's defaults for the book: sizes legible at 400 to 700 pixels, few lines, one palette."""
    import matplotlib as mpl
    from cycler import cycler

    mpl.rcParams.update(
        {
            "figure.dpi": 110,
            "figure.figsize": (WIDTH, 2.8),
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "axes.titlesize": 10,
            "axes.labelsize": 10,
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": cycler(color=PALETTE),
            "lines.linewidth": 2,
            "image.interpolation": "nearest",
        }
    )


# --------------------------------------------------------------------------------------------------------------------
# what figures are made of


def cover(scene: Scene, side: int, color: str | None = None) -> np.ndarray:
    """How much of each cell of a map is covered by the boxes of a scene's things.

    Parameters
    ----------
    scene : Scene
    side : int
        Cells a side; it divides 64.
    color : str, optional
        Count only things of this colour.

    Returns
    -------
    (side, side) float32 array of shares, 0 to 1.

    Raises
    ------
    ValueError
        If `side` does not divide 64.
    """
    from uvlm_mini.datasets.scenes import SIDE

    if side < 1 or SIDE % side:
        raise ValueError(f"A picture of {SIDE} units has no {side} x {side} equal cells; give a divisor of {SIDE}.")
    units = np.zeros((SIDE, SIDE), np.float32)
    for thing in scene.things:
        if color in (None, thing.color):
            units[thing.y : thing.y + thing.box, thing.x : thing.x + thing.box] = 1
    cell = SIDE // side
    return units.reshape(side, cell, side, cell).mean((1, 3))


def painted(x: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """H-Swish of a feature map plus a coarse bias map, which is enlarged by nearest neighbour.

    Parameters
    ----------
    x : (S, S) array
        One channel of features.
    bias : (s, s) array
        s divides S.

    Returns
    -------
    (S, S) array
    """
    times = x.shape[0] // bias.shape[0]
    if bias.shape[0] * times != x.shape[0]:
        raise ValueError(
            f"A bias map of side {bias.shape[0]} does not enlarge to {x.shape[0]}; one must divide the other."
        )
    y = x + bias.repeat(times, 0).repeat(times, 1)
    return y * np.clip(y + 3, 0, 6) / 6


def tints(maps: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """Feature maps as pictures: the three directions in which features vary most become red, green and blue.

    Alike colours are alike features, within one layer; which colour stands for what means nothing.

    Parameters
    ----------
    maps : (n, C, h, w) array
        To be shown; C is three or more.
    sample : (m, C, h, w) array
        Maps of the same layer for other pictures, from which the directions and their range are learned.

    Returns
    -------
    (n, h, w, 3) uint8
    """
    values = np.moveaxis(sample, 1, -1).reshape(-1, sample.shape[1]).astype(np.float64)
    mean = values.mean(0)
    axes = np.linalg.svd(values - mean, full_matrices=False)[2][:3]  # (3, C)
    axes *= np.sign(np.take_along_axis(axes, abs(axes).argmax(1)[:, None], 1))  # a sign that does not depend on luck
    low, high = np.quantile((values - mean) @ axes.T, (0.02, 0.98), axis=0)
    shown = ((np.moveaxis(maps, 1, -1) - mean) @ axes.T - low) / (high - low)
    return (shown.clip(0, 1) * 255).astype(np.uint8)


# --------------------------------------------------------------------------------------------------------------------
# figures


def panels(
    rows: Sequence[Sequence[np.ndarray]],
    titles: Sequence[str] = (),
    names: Sequence[str] = (),
    signed: Sequence[int] = (),
    label: str = "",
    top: float | None = None,
    end: float | None = None,
) -> Figure:
    """Draw pictures and maps in a grid.

    All maps of a kind share one scale. A bar beside the grid shows the scale of the maps that are not signed, or of the
    signed ones if there are no others.

    Parameters
    ----------
    rows : sequence of rows
        Each holds (H, W, 3) uint8 pictures, shown as they are, or (H, W) maps.
    titles, names : sequence of str
        Over the columns, and beside the rows.
    signed : sequence of int
        Columns whose maps have a meaning below zero, too; their scale is symmetric. The others start at zero.
    label : str
        At the bar.
    top : float, optional
        Where the scale of the maps that are not signed ends, instead of at their maximum.
    end : float, optional
        Where the scale of the signed maps ends on either side, instead of at their largest size.

    Returns
    -------
    Figure
    """
    import matplotlib.pyplot as plt

    columns = max(map(len, rows))
    cells = [(r, c, np.asarray(cell)) for r, row in enumerate(rows) for c, cell in enumerate(row)]
    maps = [cell for _, c, cell in cells if cell.ndim == 2 and c not in signed]
    ends = [float(abs(cell).max()) for _, c, cell in cells if cell.ndim == 2 and c in signed]
    top = top if top is not None else max((float(cell.max()) for cell in maps), default=1.0)
    end = end if end is not None else max(ends, default=0.0) or 1.0
    fig, axes = plt.subplots(
        len(rows), columns, figsize=(WIDTH, (WIDTH - 0.6) / columns * len(rows) + 0.25), squeeze=False
    )
    bars: dict[bool, Any] = {}
    for r, c, cell in cells:
        if cell.ndim == 3:
            axes[r, c].imshow(cell)
        elif c in signed:
            bars[True] = axes[r, c].imshow(cell, cmap=SIGNED, vmin=-end, vmax=end)
        else:
            bars[False] = axes[r, c].imshow(cell, cmap=FEATURES, vmin=0, vmax=top)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for axis, title in zip(axes[0], titles, strict=False):
        axis.set_title(title)
    for axis, name in zip(axes[:, 0], names, strict=False):
        axis.set_ylabel(name)
    if bars:
        fig.colorbar(bars[min(bars)], ax=axes, label=label, fraction=0.04, pad=0.02)
    return fig


def curves(
    lines: Mapping[str, tuple[np.ndarray, np.ndarray]],
    xlabel: str,
    ylabel: str,
    log: bool = False,
    marks: Mapping[str, tuple[float, float]] | None = None,
) -> Figure:
    """Draw lines, each in its own colour and dash.

    Parameters
    ----------
    lines : mapping of str to (x, y)
        The name goes into the legend.
    xlabel, ylabel : str
    log : bool
        Logarithmic axes, with a dot at each value.
    marks : mapping of str to (x, y), optional
        Points with a word beside them.

    Returns
    -------
    Figure
    """
    import matplotlib.pyplot as plt

    fig, axis = plt.subplots(figsize=(WIDTH, 3.4))
    for i, (name, (x, y)) in enumerate(lines.items()):
        axis.plot(x, y, DASHES[i % len(DASHES)], color=PALETTE[i % len(PALETTE)], marker="o" if log else "", label=name)
    if log:
        axis.set(xscale="log", yscale="log")
    else:
        axis.axhline(0, color="#888888", linewidth=0.8, zorder=0)
        axis.axvline(0, color="#888888", linewidth=0.8, zorder=0)
    for word, point in (marks or {}).items():
        axis.plot(*point, "o", color="black", markersize=5, zorder=4)
        axis.annotate(word, point, xytext=(6, -14), textcoords="offset points", fontsize=9)
    axis.margins(y=0.1)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.legend(frameon=False)
    return fig


class Log(NamedTuple):
    """What a training's log holds, its steps counted through all stages."""

    stages: list[tuple[str, int, int]]  # name, first and last step
    lines: dict[str, list[tuple[np.ndarray, np.ndarray]]]  # of every number (steps, values), a piece for each stage


def read_log(path: Path) -> Log:
    """The log.csv of a run of `uvlm train`.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Log
        The loss of stage 4 is left out: it is no distance from anything, its reward tells.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, it has no line yet, or it is another program's.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no log {path}; give the folder of a run of `uvlm train`.")
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or "stage" not in rows[0]:
        raise ValueError(f"{path} has no line of `uvlm train` yet; wait for the end of its first epoch.")
    log = Log([], {})
    for name, several in groupby(rows, key=lambda row: row["stage"]):
        epochs, start = list(several), log.stages[-1][2] if log.stages else 0
        log.stages.append((name, start, start + int(epochs[-1]["step"])))
        for column in ("loss", "val_loss", "cider", "reward"):
            points = [(start + int(row["step"]), float(row[column])) for row in epochs if row.get(column)]
            if points and (name, column) != ("scst", "loss"):
                log.lines.setdefault(column, []).append((np.array(points)[:, 0], np.array(points)[:, 1]))
    return log


def training(runs: Mapping[str, Log]) -> Figure:
    """Draw how runs went, side by side: losses above, CIDEr below, the stages as shaded bands.

    Parameters
    ----------
    runs : mapping of str to Log
        The name goes above the run's panels.

    Returns
    -------
    Figure
    """
    import matplotlib.pyplot as plt

    panels = [
        {"loss": "training", "val_loss": "validation"},
        {"cider": "greedy captions", "reward": "drawn ones (reward)"},
    ]
    wide = WIDTH if len(runs) == 1 else 4.5 * len(runs)
    fig, axes = plt.subplots(2, len(runs), squeeze=False, sharex="col", sharey="row", figsize=(wide, 4.8))
    for column, (name, log) in zip(axes.T, runs.items(), strict=True):
        column[0].set_title(name, pad=20)
        column[1].set_xlabel("steps")
        for axis, numbers in zip(column, panels, strict=True):
            for i, (stage, start, end) in enumerate(log.stages):
                axis.axvspan(start, end, color="#000000", alpha=0.08 if i % 2 == 0 else 0.02, linewidth=0)
                if axis is column[0]:
                    axis.text(
                        (start + end) / 2, 1.03, stage, fontsize=8, ha="center", transform=axis.get_xaxis_transform()
                    )
            for i, (number, label) in enumerate(numbers.items()):
                for piece, (x, y) in enumerate(log.lines.get(number, [])):
                    style = {"color": PALETTE[i], "linestyle": DASHES[i], "marker": "os"[i], "markersize": 4}
                    axis.plot(x, y, label=label if piece == 0 else None, **style)
            if axis.lines:
                axis.legend(frameon=False, fontsize=9)
    for axis in axes[:, 0]:
        axis.set_ylim(0, 1.05 * axis.get_ylim()[1])  # the runs share it, so it is set when all are drawn
    axes[0, 0].set_ylabel("loss")
    axes[1, 0].set_ylabel("CIDEr")
    return fig


def intervals(rows: Mapping[str, tuple[float, float]], xlabel: str) -> Figure:
    """Draw a point and its uncertainty for every name, one below the other, and a line at zero.

    Parameters
    ----------
    rows : mapping of str to (value, half width)
        The first stands at the top.
    xlabel : str

    Returns
    -------
    Figure
    """
    import matplotlib.pyplot as plt

    fig, axis = plt.subplots(figsize=(WIDTH, 0.32 * len(rows) + 0.7))
    places = np.arange(len(rows))[::-1]
    values, widths = np.array(list(rows.values())).T
    axis.axvline(0, color="#888888", linewidth=0.8, zorder=0)
    axis.errorbar(values, places, xerr=widths, fmt="o", color=PALETTE[0], capsize=3, linewidth=1.5)
    axis.set_yticks(places, list(rows))
    axis.tick_params(axis="y", length=0)
    axis.set(xlabel=xlabel, ylim=(-0.6, len(rows) - 0.4))
    return fig


def dots(rows: Mapping[str, Sequence[float]], xlabel: str) -> Figure:
    """Draw a dot for every run of every row, one row below the other, and a short line at the mean of several.

    Parameters
    ----------
    rows : mapping of str to runs
        The first stands at the top.
    xlabel : str

    Returns
    -------
    Figure
    """
    import matplotlib.pyplot as plt

    fig, axis = plt.subplots(figsize=(WIDTH, 0.3 * len(rows) + 0.7))
    places = np.arange(len(rows))[::-1]
    for place, runs in zip(places, rows.values(), strict=True):
        axis.axhline(place, color="#DDDDDD", linewidth=0.8, zorder=0)
        axis.plot(runs, [place] * len(runs), "o", color=PALETTE[0], markersize=5, alpha=0.8)
        if len(runs) > 1:
            axis.plot([np.mean(runs)] * 2, [place - 0.35, place + 0.35], color=PALETTE[1])
    axis.set_yticks(places, list(rows))
    axis.tick_params(axis="y", length=0)
    axis.set(xlabel=xlabel, ylim=(-0.6, len(rows) - 0.4))
    return fig


def to_png(fig: Figure) -> bytes:
    """The figure as a PNG, for an Image widget; the figure is closed, so that no cell shows it by itself."""
    import io

    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", facecolor="white")
    plt.close(fig)
    return buffer.getvalue()


# --------------------------------------------------------------------------------------------------------------------
# widgets


def paint_widget(x: np.ndarray, start: np.ndarray, strength: float = 4.0) -> VBox:
    """A grid of fields to paint a bias on, over the feature map that it modulates.

    A field that is pressed takes the strength of the slider, a field that is released goes back to zero; the picture
    follows.

    Parameters
    ----------
    x : (S, S) array
        One channel of features.
    start : (s, s) array
        The bias that is painted at the beginning; s divides S.
    strength : float
        Where the slider starts.

    Returns
    -------
    ipywidgets.VBox
    """
    import ipywidgets as widgets

    side = start.shape[0]
    bias = start.astype(np.float64)
    field = widgets.Layout(width="2.3em", height="2em", padding="0", margin="1px")
    brush = widgets.FloatSlider(
        value=strength, min=-8, max=8, step=1, readout_format="+.0f", description="strength",
        layout=widgets.Layout(width="17em"))  # fmt: skip
    clear = widgets.Button(description="clear", layout=widgets.Layout(width="6em"))
    says = widgets.HTML()
    picture = widgets.Image(format="png", layout=widgets.Layout(width="100%", max_width="700px"))
    keys = [
        widgets.ToggleButton(
            value=bool(b), description=f"{b:+.0f}" if b else "", layout=field,
            tooltip=f"row {i // side + 1}, column {i % side + 1}")
        for i, b in enumerate(bias.flat)
    ]  # fmt: skip

    def draw() -> None:
        before, after = painted(x, np.zeros_like(bias)), painted(x, bias)
        row = [before.clip(0), bias.repeat(4, 0).repeat(4, 1), after.clip(0)]
        titles = ["H-Swish of the features", "painted bias", "H-Swish of features + bias"]
        picture.value = to_png(panels([row], titles=titles, signed=[1], label="activation", top=5.0, end=8.0))
        says.value = (
            f"Fields that amplify: <b>{(bias > 0).sum()}</b>, that suppress: <b>{(bias < 0).sum()}</b>.<br>"
            f"What passes in all: <b>{before.clip(0).sum():.0f}</b> without the bias, "
            f"<b>{after.clip(0).sum():.0f}</b> with it."
        )

    def press(place: int, change: Mapping[str, Any]) -> None:
        value = brush.value if change["new"] else 0.0
        bias.flat[place] = value
        keys[place].description = f"{value:+.0f}" if change["new"] else ""
        if not quiet:
            draw()

    def release(_: object) -> None:
        quiet.append(True)  # 64 fields change, one picture is drawn
        for key in keys:
            key.value = False
        quiet.clear()
        draw()

    quiet: list[bool] = []
    for place, key in enumerate(keys):
        key.observe(lambda change, place=place: press(place, change), names="value")
    clear.on_click(release)
    draw()
    grid = widgets.GridBox(keys, layout=widgets.Layout(grid_template_columns=f"repeat({side}, max-content)"))
    tools = widgets.VBox([brush, clear, says], layout=widgets.Layout(margin="0 0 0 1em"))
    return widgets.VBox([widgets.HBox([grid, tools], layout=widgets.Layout(flex_flow="row wrap")), picture])


def core_counts(hidden: int, states: int, expand: int) -> dict[str, int]:
    """Weights of a recurrent core, by the paper's formulas and in the modules of PyTorch and of this package.

    Parameters
    ----------
    hidden, states, expand : int
        H, N and r.

    Returns
    -------
    dict of str to int
    """
    import torch
    from torch import nn

    from uvlm_mini.baselines.mamba import MambaBlock
    from uvlm_mini.paper import lstm_count, ssm_count
    from uvlm_mini.ssm import SelectiveSSM

    with torch.device("meta"):  # shapes alone: nothing is drawn and no memory is taken
        made = {
            "LSTM, nn.LSTMCell": nn.LSTMCell(hidden, hidden),
            "SSM, SelectiveSSM": SelectiveSSM(hidden, expand, states),
            "SSM with gate and convolution, MambaBlock": MambaBlock(hidden, expand, states),
        }
    formulas = {
        "LSTM, 8 H²": lstm_count(hidden),
        "SSM, 2 r H² + 3 H N": ssm_count(hidden, states, expand),
    }
    return formulas | {name: sum(p.numel() for p in module.parameters()) for name, module in made.items()}


def count_widget(hidden: int = 160, states: int = 16, expand: int = 2) -> VBox:
    """Sliders for H, N and r, over a table of what each core then weighs.

    Parameters
    ----------
    hidden, states, expand : int
        Where the sliders start.

    Returns
    -------
    ipywidgets.VBox
    """
    import ipywidgets as widgets

    wide = widgets.Layout(width="24em")
    sliders = [
        widgets.IntSlider(value=hidden, min=16, max=1024, step=16, description="H", layout=wide),
        widgets.SelectionSlider(options=[1, 4, 8, 16, 32, 64, 128, 256], value=states, description="N", layout=wide),
        widgets.IntSlider(value=expand, min=1, max=4, description="r", layout=wide),
    ]
    says = widgets.HTML()

    def draw(_: object = None) -> None:
        counts = core_counts(*(slider.value for slider in sliders))
        lstm = counts["LSTM, 8 H²"]
        rows = "".join(
            f"<tr><td style='padding-right:1em'>{name}</td><td style='text-align:right;padding-right:1em'>{n:,}</td>"
            f"<td style='text-align:right'>{n / lstm:.2f}</td></tr>"
            for name, n in counts.items()
        )
        head = "<th style='text-align:left'>core</th><th style='padding-right:1em'>weights</th><th>of 8 H²</th>"
        says.value = f"<table><tr>{head}</tr>{rows}</table>"

    for slider in sliders:
        slider.observe(draw, names="value")
    draw()
    return widgets.VBox([*sliders, says])


# --------------------------------------------------------------------------------------------------------------------
# captions


def bars(words: Sequence[str], heights: Mapping[str, np.ndarray], ylabel: str) -> Figure:
    """Draw bars side by side for every word.

    Parameters
    ----------
    words : sequence of str
        Under the bars.
    heights : mapping of str to (len(words),) array
        One set of bars each; the name goes into the legend.
    ylabel : str

    Returns
    -------
    Figure
    """
    import matplotlib.pyplot as plt

    fig, axis = plt.subplots(figsize=(WIDTH, 2.9))
    places, wide = np.arange(len(words)), 0.8 / len(heights)
    for i, (name, height) in enumerate(heights.items()):
        axis.bar(
            places + (i - (len(heights) - 1) / 2) * wide,
            height,
            wide * 0.94,
            color=PALETTE[i],
            hatch=("", "///")[i % 2],
            edgecolor="white",
            linewidth=0,
            label=name,
        )
    axis.set_xticks(places, words, rotation=40, ha="right")
    axis.set_ylabel(ylabel)
    axis.legend(frameon=False, ncols=len(heights), loc="lower right", bbox_to_anchor=(1, 1))
    return fig


def beam_steps(model: UVLM, picture: np.ndarray, width: int = 3) -> list[list[tuple[str, float]]]:
    """What beam search keeps after every step.

    Parameters
    ----------
    model : UVLM
        In eval mode.
    picture : (S, S, 3) uint8
    width : int
        Beginnings that are kept.

    Returns
    -------
    For every step the living beginnings and their log-probabilities, the likeliest first.
    """
    tried, _ = _tried(model, picture, width)
    steps = [[(t.tokens, t.log_prob) for t in step if t.fate == "kept"] for step in tried]
    return [[(model.vocabulary.decode(tokens), score) for tokens, score in step] for step in steps if step]


def _tried(model: UVLM, picture: np.ndarray, width: int) -> tuple[list[list[Tried]], list[Found]]:
    """What beam search tries at every step, and what it finds."""
    import torch

    from uvlm_mini import search
    from uvlm_mini.model import to_tensor

    steps: list[list[Tried]] = []
    with torch.inference_mode():
        features = model.encoder(to_tensor(picture)[None])
        found = search.beam(
            model.decoder, features, width, model.config.longest, lambda tried: steps.append(tried[0])
        )  # fmt: skip
    return steps, found[0]


def beam_widget(model: UVLM, picture: np.ndarray, width: int = 3) -> VBox:
    """A slider over the steps of beam search, and the beginnings that live after each."""
    import ipywidgets as widgets

    steps = beam_steps(model, picture, width)
    slider = widgets.IntSlider(
        value=min(5, len(steps)),
        min=1,
        max=len(steps),
        description="step",
        layout=widgets.Layout(width="24em"),
    )
    says = widgets.HTML()

    def draw(_: object = None) -> None:
        rows = "".join(
            f"<tr><td style='text-align:right;padding-right:1em'>{score:.2f}</td><td>{beginning} …</td></tr>"
            for beginning, score in steps[slider.value - 1]
        )
        head = "<th style='padding-right:1em'>log-probability</th><th style='text-align:left'>beginning</th>"
        says.value = f"<table><tr>{head}</tr>{rows}</table>"

    slider.observe(draw, names="value")
    draw()
    return widgets.VBox([slider, says])


@dataclass
class Branch:
    """One word in the tree of beginnings that beam search has tried.

    Parameters
    ----------
    word : str
        Empty at the root and at the end of a caption.
    log_prob : float
        Of the beginning up to this word.
    own : float
        Of this word after its beginning; `log_prob` is the sum of these on the way from the root.
    fate : str
        As in search.Tried; the root is kept.
    rank : int
        Place among the captions that were found, from 1; 0 elsewhere.
    grown : list of Branch
        What was tried after it, the likeliest first.
    """

    word: str
    log_prob: float
    own: float
    fate: str
    rank: int = 0
    grown: list[Branch] = field(default_factory=list)


def beam_branches(model: UVLM, picture: np.ndarray, width: int = 3) -> Branch:
    """The tree of all beginnings that beam search tries for a picture.

    Where greedy search's caption was added in the end, it is one branch with all the words that the beam never tried.

    Parameters
    ----------
    model : UVLM
        In eval mode.
    picture : (S, S, 3) uint8
    width : int
        Beginnings that are kept.

    Returns
    -------
    Branch
        The root, with no word.
    """
    from uvlm_mini.datasets.vocab import EOS

    steps, found = _tried(model, picture, width)
    ranks = {(*f.tokens, EOS) if f.ended else tuple(f.tokens): n for n, f in enumerate(found, 1)}
    root = Branch("", 0.0, 0.0, "kept")
    at: dict[tuple[int, ...], Branch] = {(): root}
    for one in (one for step in steps for one in step):
        path = tuple(one.tokens)
        known = next(path[:n] for n in range(len(path) - 1, -1, -1) if path[:n] in at)
        word = " ".join(model.vocabulary.words[number] for number in path[len(known) :] if number != EOS)
        at[path] = Branch(word, one.log_prob, one.log_prob - at[known].log_prob, one.fate, ranks.get(path, 0))
        at[known].grown.append(at[path])
    return root


# how each fate is drawn: colour, dash, width of the line
_FATES: dict[str, tuple[str, Any, float]] = {
    "kept": (PALETTE[0], "-", 1.5),
    "ended": (PALETTE[2], "-", 1.5),
    "dropped": ("#888888", ":", 1.0),
    "greedy": (PALETTE[1], "--", 1.5),
}


def beam_tree(root: Branch) -> Figure:
    """Draw the tree of beginnings, a row a word, from the top down.

    Under each word stands the log-probability of the beginning up to it. A square marks the end of a caption, with its
    place among those that were found; the way to the best one is the thickest line.

    Parameters
    ----------
    root : Branch
        As `beam_branches` gives it, of a beam up to 4 wide.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If words would overlap.
    """
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    rows: list[list[tuple[Branch, int]]] = [[(root, 0)]]  # branches, each with the place of its parent in the row above
    while rows[-1]:
        rows.append([(child, i) for i, (parent, _) in enumerate(rows[-1]) for child in parent.grown])
    rows.pop()
    most = max(map(len, rows))
    if most > 9:
        raise ValueError(f"A row of {most} words does not fit the page; draw the tree of a beam up to 4 wide.")
    best = _way_to_the_best(root)
    fig, axis = plt.subplots(figsize=(WIDTH, 0.5 * len(rows) + 0.3), dpi=100)  # a large picture, kept small
    for depth, row in enumerate(rows):
        for i, (branch, parent) in enumerate(row):
            color, dash, wide = _FATES[branch.fate]
            x = (i + 0.5) / len(row)
            if depth:
                above = (parent + 0.5) / len(rows[depth - 1])
                wide = 3.0 if any(branch is b for b in best) else wide
                axis.plot([above, x], [0.66 - depth, 0.28 - depth], dash, color=color, linewidth=wide, zorder=1)
            kind: dict[str, Any] = {
                "color": "#555555" if branch.fate == "dropped" else "black",
                "ha": "center",
                "va": "center",
            }
            name = _label(branch) if depth else "(begin)"
            axis.text(x, 0.08 - depth, name, fontsize=9, weight="bold" if branch.rank else "normal", **kind)
            axis.text(x, -0.2 - depth, _signed(branch.log_prob), fontsize=8, **kind)
    used = {branch.fate for row in rows for branch, _ in row}
    named = {"kept": "kept", "ended": "a caption", "dropped": "dropped", "greedy": "greedy search, added"}
    lines = [Line2D([], [], color=_FATES[f][0], linestyle=_FATES[f][1], label=named[f]) for f in named if f in used]
    axis.legend(handles=lines, frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, 0))
    axis.set(xlim=(0, 1), ylim=(0.6 - len(rows), 0.3))
    axis.axis("off")
    return fig


def _signed(value: float) -> str:
    """Two digits after the point, and a minus as long as a plus."""
    return f"{value:.2f}".replace("-", "−")


def _way_to_the_best(branch: Branch) -> list[Branch]:
    """The branches from here to the caption of rank 1; none if it is elsewhere."""
    ways = (_way_to_the_best(child) for child in branch.grown)
    onward = [] if branch.rank == 1 else next((way for way in ways if way), [])
    return [branch, *onward] if onward or branch.rank == 1 else []


def _label(branch: Branch) -> str:
    """What stands at a branch of the figure: its word, or a square where a caption ends."""
    if branch.fate in ("ended", "greedy"):
        return f"■ {branch.rank}" if branch.rank else "■"
    return branch.word or "■ lost"


def beam_outline(root: Branch) -> HTML:
    """The tree of beginnings as a list to unfold, which needs neither a kernel nor a script.

    Every kept beginning is a line that opens, by a click or by the keyboard; the way to the best caption is open.

    Parameters
    ----------
    root : Branch
        As `beam_branches` gives it.

    Returns
    -------
    IPython.display.HTML
    """
    from html import escape

    from IPython.display import HTML

    best = _way_to_the_best(root)

    def number(branch: Branch) -> str:
        return f"<span class='log-prob'>{_signed(branch.log_prob)}</span>"

    def line(branch: Branch) -> str:
        if branch.fate == "greedy":
            says = f"{escape(branch.word)} <strong>(end)</strong> by greedy search, added"
        elif branch.fate == "ended":
            says = "<strong>(end)</strong>"
        else:
            says = escape(branch.word)
        place = f" <strong>caption {branch.rank}</strong>" if branch.rank else ""
        return f"{says} {number(branch)}{place}"

    def item(branch: Branch) -> str:
        if not branch.grown:
            left = " <span class='note'>(overtaken)</span>" if branch.fate == "kept" and not branch.rank else ""
            return f"<li>{line(branch)}{left}</li>"
        is_open = " open" if any(branch is b for b in best) else ""
        return f"<li><details{is_open}><summary>{line(branch)}</summary>{items(branch)}</details></li>"

    def items(branch: Branch) -> str:
        shown = [item(child) for child in branch.grown if child.fate != "dropped" or child.grown]
        lost = [child for child in branch.grown if child.fate == "dropped" and not child.grown]
        words = ", ".join(f"{escape(child.word) or '(end)'} {number(child)}" for child in lost)
        shown += [f"<li class='note'>dropped: {words}</li>"] if lost else []
        return f"<ul>{''.join(shown)}</ul>"

    return HTML(f"<div class='beam-tree'>{_OUTLINE_STYLE}{items(root)}</div>")


# The book's theme names its colours --pst-..., JupyterLab --jp-...: the tree takes those of the page it stands on.
_OUTLINE_STYLE = """<style>
.beam-tree { color: var(--pst-color-text-base, var(--jp-content-font-color1, inherit)); }
.beam-tree ul { list-style: none; margin: 0; padding-left: 0.9em; }
.beam-tree li { margin: 0; padding: 0.1em 0; }
.beam-tree li > details > ul { border-left: 1px solid var(--pst-color-border, var(--jp-border-color1, #999)); }
.beam-tree summary { cursor: pointer; }
.beam-tree .log-prob { font-variant-numeric: tabular-nums; }
.beam-tree .note, .beam-tree .log-prob { color: var(--pst-color-text-muted, var(--jp-content-font-color2, inherit)); }
</style>"""


class Look(NamedTuple):
    """One step of a caption: the word before, where GCDM looks with it, and the word that follows."""

    heard: str
    bias: np.ndarray  # (h, w) the bias map
    read: np.ndarray  # (h, w) share of the channels whose maximum was found at each place
    said: str


def looks(model: UVLM, picture: np.ndarray, caption: str | None = None) -> list[Look]:
    """Where the decoder looks at every step of a caption.

    Parameters
    ----------
    model : UVLM
        In eval mode.
    picture : (S, S, 3) uint8
    caption : str, optional
        The caption to follow; None: the model's own, by greedy search.

    Returns
    -------
    A Look for every word and for the end.
    """
    import torch

    from uvlm_mini.datasets.vocab import BOS, EOS, PAD
    from uvlm_mini.model import to_tensor

    decoder, words = model.decoder, model.vocabulary.words
    follow = None if caption is None else model.vocabulary.encode(caption, model.config.longest)
    found: list[Look] = []
    with torch.inference_mode():
        context = model.encode(to_tensor(picture)[None])
        state, token = decoder.start(context), torch.tensor([BOS])
        for step in range(model.config.longest + 1):
            query = state.y + decoder.ask(decoder.word(token))
            bias = decoder.gcdm.bias(context.signal, query)[0, 0]  # (h, w)
            places = (context.x[0] + bias).flatten(1).argmax(1)  # (C,)
            read = torch.bincount(places, minlength=bias.numel()).view(bias.shape) / len(places)
            logits, state = decoder.step(token, context, state)
            logits[:, [PAD, BOS]] = -torch.inf
            said = logits.argmax(1) if follow is None else torch.tensor([follow[step + 1]])
            found.append(Look(words[int(token)], bias.numpy(), read.numpy(), words[int(said)]))
            token = said
            if token == EOS:
                break
    return found


def look_widget(model: UVLM, scenes: Mapping[str, Scene]) -> VBox:
    """A list of scenes and a slider over the words of the caption: where the decoder looks as it goes on from each.

    Parameters
    ----------
    model : UVLM
        In eval mode.
    scenes : mapping of str to Scene
        The names stand in the list.

    Returns
    -------
    ipywidgets.VBox
    """
    import ipywidgets as widgets

    found = {name: looks(model, scene.draw()) for name, scene in scenes.items()}
    first = next(iter(scenes))
    where = widgets.Dropdown(options=list(scenes), value=first, description="scene")
    slider = widgets.IntSlider(
        value=min(3, len(found[first])), min=1, max=len(found[first]), description="step",
        layout=widgets.Layout(width="24em"))  # fmt: skip
    says = widgets.HTML()
    picture = widgets.Image(format="png", layout=widgets.Layout(width="100%", max_width="700px"))

    def draw(_: object = None) -> None:
        steps = found[where.value]
        look = steps[slider.value - 1]
        caption = [f"<b>{s.said}</b>" if s is look else s.said for s in steps[:-1]]
        after = "the first word" if slider.value == 1 else f"<b>{look.heard}</b>"
        says.value = f"{' '.join(caption)}<br>seen before {look.said.strip('<>')!r}, asked with {after}"
        row = [scenes[where.value].draw(256), look.bias - look.bias.mean(), look.read]
        titles = ["picture", "bias map", "where the maxima come from"]
        end = max(float(abs(s.bias - s.bias.mean()).max()) for s in steps)  # one scale for all steps
        picture.value = to_png(panels([row], titles, signed=[1], label="share of channels", top=0.5, end=end))

    def change(_: object) -> None:
        slider.max = len(found[where.value])
        draw()

    where.observe(change, names="value")
    slider.observe(draw, names="value")
    draw()
    return widgets.VBox([widgets.HBox([where, slider], layout=widgets.Layout(flex_flow="row wrap")), says, picture])


def composer(model: UVLM) -> VBox:
    """Controls for a background and two things, the picture that they make, and what the model says of it.

    Parameters
    ----------
    model : UVLM
        In eval mode.

    Returns
    -------
    ipywidgets.VBox
    """
    import io

    import ipywidgets as widgets
    from PIL import Image

    from uvlm_mini.datasets import drawing, scenes

    wide = widgets.Layout(width="14em")  # two columns and the picture fit side by side
    place = widgets.Dropdown(options=drawing.BACKGROUNDS, value="meadow", description="where", layout=wide)

    def controls(kind: str, color: str, size: str, x: int, y: int) -> dict[str, Any]:
        return {
            "kind": widgets.Dropdown(options=list(drawing.KINDS), value=kind, description="thing", layout=wide),
            "color": widgets.Dropdown(options=list(drawing.COLORS), value=color, description="colour", layout=wide),
            "size": widgets.Dropdown(options=list(scenes.BOXES), value=size, description="size", layout=wide),
            "x": widgets.IntSlider(value=x, min=1, max=47, description="from left", layout=wide),
            "y": widgets.IntSlider(value=y, min=1, max=47, description="from top", layout=wide),
        }

    sets = [controls("house", "red", "large", 6, 28), controls("cat", "blue", "small", 42, 34)]
    picture = widgets.Image(format="png", width=256, height=256)
    says = widgets.HTML()

    def thing(chosen: dict[str, Any]) -> scenes.Thing:
        value = {name: control.value for name, control in chosen.items()}
        box = sum(scenes.BOXES[value["size"]]) // 2
        x, y = (min(value[axis], scenes.SIDE - 1 - box) for axis in ("x", "y"))
        rgb = drawing.COLORS[value["color"]]
        return scenes.Thing(value["kind"], value["color"], value["size"], x, y, box, rgb, False)

    def draw(_: object = None) -> None:
        scene = scenes.Scene(place.value, 0, tuple(thing(chosen) for chosen in sets))
        buffer = io.BytesIO()
        Image.fromarray(scene.draw(256)).save(buffer, format="png")
        picture.value = buffer.getvalue()
        caption, log_prob = model.captions(scene.draw())[0]
        says.value = f"<b>{caption}</b><br>log-probability {log_prob:.2f}"

    for control in [place, *(control for chosen in sets for control in chosen.values())]:
        control.observe(draw, names="value")
    draw()
    columns = [widgets.VBox(list(chosen.values())) for chosen in sets]
    return widgets.VBox([place, widgets.HBox([*columns, picture], layout=widgets.Layout(flex_flow="row wrap")), says])
