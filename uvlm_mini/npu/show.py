"""What chapter 1 prints, draws and lets the reader turn. Figures come on white, in colours that the colour-blind tell
apart, and every colour also has a word."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uvlm_mini.npu.operators import CHIPS, IDEAS, TARGETS, lookup, verdict
from uvlm_mini.paper import BUDGET_MB, Comparison

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.figure import Figure

NO_RULE = "no rule"  # what a table says where the sources say nothing

# Okabe and Ito's palette: fill, text and hatching for each answer
_LOOK: dict[str, tuple[str, str, str]] = {
    "hw": ("#56B4E9", "black", ""),
    "conditional": ("#F0E442", "black", ""),
    "hybrid": ("#F0E442", "black", "//"),
    "sw": ("#E69F00", "black", ""),
    "none": ("#D55E00", "black", ""),
    "refused": ("#333333", "white", ""),
    NO_RULE: ("white", "black", ".."),
}


# --------------------------------------------------------------------------------------------------------------------
# tables in text


def verdict_table(target: str, ops: Iterable[str], width: int = 78) -> str:
    """The verdict on a list of operators as text: operator, place, sources, and the constraint where it matters.

    Parameters
    ----------
    target : str
        One of ``operators.TARGETS``.
    ops : iterable of str
        Operator names; an operator that occurs twice is printed once.
    width : int
        Columns of text.

    Returns
    -------
    str
    """
    lines = []
    for op, rule in verdict(target, dict.fromkeys(ops)):
        head = f"{op:19}{rule.where if rule else 'unknown':12}{','.join(rule.sources) if rule else '-':8}"
        why = rule.constraints if rule and rule.where != "hw" else ""
        lines += textwrap.wrap(head + why, width, subsequent_indent=" " * 39, drop_whitespace=True)
    return "\n".join(lines)


def comparison_table(rows: Sequence[Comparison]) -> str:
    """The paper's comparison as text, one model a line; a score that is not published is a dash."""
    lines = ["model         MB  operators  aware  BLEU-4  METEOR  SPICE  CIDEr"]
    for row in rows:
        size = f"{'~' if row.rough else ''}{row.size_mb:g}"
        operators, aware = ("yes" if answer else "no" for answer in (row.operators, row.hardware_aware))
        bleu = "-" if row.bleu4 is None else f"{row.bleu4:.1f}"
        scores = f"{bleu:>8}{row.meteor:8.1f}{row.spice:7.1f}{row.cider:7.1f}"
        lines.append(f"{row.model:9}{size:>7}  {operators:9}  {aware:5}{scores}")
    return "\n".join(lines)


def tally(places: Mapping[str, Sequence[str]]) -> str:
    """Count where the operators of each block run, as text.

    Parameters
    ----------
    places : mapping of str to sequence of str
        For each block the place of each of its operators, as in ``operators.WHERE``.

    Returns
    -------
    str
    """
    words = list(dict.fromkeys(word for block in places.values() for word in block))
    lines = [f"{'':18}" + "".join(f"{word:>12}" for word in words)]
    lines += [
        f"{name:18}" + "".join(f"{list(block).count(word):12}" for word in words) for name, block in places.items()
    ]
    return "\n".join(lines)


def support_grid(ideas: Mapping[str, Mapping[str, str]] = IDEAS) -> dict[str, tuple[str, ...]]:
    """For each idea its place on each target, in the order of ``operators.TARGETS``.

    Parameters
    ----------
    ideas : mapping
        Idea to target to operator name, as in ``operators.IDEAS``.

    Returns
    -------
    dict of str to tuple of str
        Places as in ``operators.WHERE``; ``NO_RULE`` where the sources say nothing.
    """

    def place(names: Mapping[str, str], target: str) -> str:
        rule = lookup(target, names[target]) if target in names else None
        return rule.where if rule else NO_RULE

    return {idea: tuple(place(names, target) for target in TARGETS) for idea, names in ideas.items()}


# --------------------------------------------------------------------------------------------------------------------
# figures


def plot_support(grid: Mapping[str, Sequence[str]]) -> Figure:
    """Draw ``support_grid`` as a coloured table, one word in each field."""
    import matplotlib.pyplot as plt
    from matplotlib.patches import Rectangle

    fig, axes = plt.subplots(figsize=(7.2, 0.34 * len(grid) + 0.7), dpi=110, facecolor="white")
    for row, (_, places) in enumerate(grid.items()):
        for column, place in enumerate(places):
            fill, ink, hatch = _LOOK[place]
            axes.add_patch(Rectangle((column, row), 1, 1, facecolor=fill, edgecolor="white", linewidth=2.5))
            if hatch:
                axes.add_patch(
                    Rectangle((column, row), 1, 1, fill=False, hatch=hatch, edgecolor="#BBBBBB", linewidth=0)
                )
            box = {"facecolor": fill, "edgecolor": "none", "pad": 1.5}
            axes.text(column + 0.5, row + 0.5, place, ha="center", va="center", color=ink, fontsize=10, bbox=box)
    axes.set(xlim=(0, len(TARGETS)), ylim=(len(grid), 0))
    axes.set_xticks([0.5, 1.5, 2.5], TARGETS, fontsize=11)
    axes.set_yticks([row + 0.5 for row in range(len(grid))], list(grid), fontsize=10)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    fig.tight_layout()
    return fig


def plot_sizes(rows: Sequence[Comparison], lines_mb: Mapping[str, float]) -> Figure:
    """Draw model sizes as bars on a log axis, CIDEr beside them, and vertical lines for the memories.

    Parameters
    ----------
    rows : sequence of Comparison
    lines_mb : mapping of str to float
        Label and size in MB of each line.

    Returns
    -------
    Figure
    """
    import matplotlib.pyplot as plt

    rows = sorted(rows, key=lambda row: row.size_mb)
    fig, axes = plt.subplots(figsize=(7.2, 3.9), dpi=110, facecolor="white")
    colours = ["#0072B2" if row.size_mb < BUDGET_MB else "#666666" for row in rows]
    axes.barh([row.model for row in rows], [row.size_mb for row in rows], color=colours, height=0.62)
    for place, row in enumerate(rows):
        label = f"{'~' if row.rough else ''}{row.size_mb:g} MB, CIDEr {row.cider:.1f}"
        axes.text(row.size_mb * 1.06, place, label, va="center", fontsize=9, zorder=3,
                  bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8})  # fmt: skip
    for (name, size), style in zip(lines_mb.items(), ("-", "--", ":"), strict=False):
        axes.axvline(size, color="#D55E00", linestyle=style, linewidth=1.6, zorder=2)
        axes.text(size, len(rows) - 0.35, name, ha="center", va="bottom", fontsize=9, color="#8A3D00")
    axes.set_xscale("log")
    axes.set_xticks([10, 100, 1000], ["10", "100", "1000"])
    axes.set(xlim=(2, 9000), ylim=(-0.6, len(rows) - 0.4), xlabel="model size in MB, logarithmic")
    axes.spines[["top", "right"]].set_visible(False)
    fig.tight_layout()
    return fig


def plot_rates(rates: Mapping[str, float], bus_peak: float, measured: tuple[float, float]) -> Figure:
    """Draw bytes per second of each network as bars, beside the flash bus's peak and what its users have seen.

    Parameters
    ----------
    rates : mapping of str to float
        MB/s of each network.
    bus_peak : float
        MB/s.
    measured : (float, float)
        Lowest and highest MB/s seen.

    Returns
    -------
    Figure
    """
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(figsize=(7.2, 2.5), dpi=110, facecolor="white")
    axes.barh(list(rates), list(rates.values()), color=["#0072B2", "#666666", "#666666"], height=0.55)
    for place, rate in enumerate(rates.values()):
        axes.text(
            rate - 6, place, f"{rate:.0f} MB/s", va="center", ha="right", color="white", fontsize=10, weight="bold"
        )
    axes.axvspan(*measured, color="#E69F00", alpha=0.6, zorder=0)
    axes.axvline(bus_peak, color="#D55E00", linewidth=1.8)
    axes.text(measured[0] - 3, -0.62, "seen in published runs", ha="right", fontsize=9, color="#7A5200")
    axes.text(bus_peak + 3, -0.62, "bus peak", ha="left", fontsize=9, color="#8A3D00")
    axes.set(xlim=(0, 460), ylim=(len(rates) - 0.5, -0.95), xlabel="MB/s if every weight is read once")
    axes.spines[["top", "right"]].set_visible(False)
    fig.tight_layout()
    return fig


# --------------------------------------------------------------------------------------------------------------------
# a model of your own


@dataclass(frozen=True)
class Budget:
    """What a model of a given size meets on the STM32N657; see ``budget``."""

    weight_mb: float
    fits_sram: bool
    fits_budget: bool
    fits_flash: bool
    step_ms: float
    steps_per_s: float


def budget(parameters_m: float, bits: int, flash_mb_s: float) -> Budget:
    """Where the weights of a decoder fit, and the bound that reading them from flash sets.

    Parameters
    ----------
    parameters_m : float
        Weights in millions, all read once a step.
    bits : int
        Bits of each weight.
    flash_mb_s : float
        Bandwidth in MB/s (a million bytes).

    Returns
    -------
    Budget
        ``step_ms`` is the least time of a step with all weights in flash, ``steps_per_s`` its inverse. A model that
        fits the SRAM is not bound by the flash: 0 and infinity.

    Raises
    ------
    ValueError
        If an argument is not positive.
    """
    if min(parameters_m, bits, flash_mb_s) <= 0:
        raise ValueError(f"Parameters, bits and bandwidth must be positive: got {parameters_m}, {bits}, {flash_mb_s}.")
    chip = CHIPS["stm32n657"]
    weight_mb = parameters_m * bits / 8
    fits_sram = weight_mb * 1e6 <= chip.sram_kib * 1024
    step_ms = 0.0 if fits_sram else 1000 * weight_mb / flash_mb_s
    return Budget(
        weight_mb=weight_mb,
        fits_sram=fits_sram,
        fits_budget=weight_mb < BUDGET_MB,
        fits_flash=weight_mb * 1e6 <= chip.flash_kib * 1024,
        step_ms=step_ms,
        steps_per_s=1000 / step_ms if step_ms else float("inf"),
    )


def budget_html(parameters_m: float, bits: int, flash_mb_s: float) -> str:
    """The answer of ``budget`` as a small HTML table, in words, without colours of its own."""
    found = budget(parameters_m, bits, flash_mb_s)
    answers = {
        "weights": f"{found.weight_mb:.3g} MB",
        "in the on-chip SRAM": "fits, if nothing else needs it" if found.fits_sram else "does not fit",
        f"in the paper's {BUDGET_MB:g} MB": "fits" if found.fits_budget else "does not fit",
        "in the board's flash": "fits" if found.fits_flash else "does not fit",
        "a step from flash": "not needed: SRAM" if found.fits_sram else f"at least {found.step_ms:.3g} ms",
        "steps a second": "not bound by flash" if found.fits_sram else f"at most {found.steps_per_s:.3g}",
    }
    cells = "".join(f"<tr><td>{name}&nbsp;&nbsp;</td><td><b>{answer}</b></td></tr>" for name, answer in answers.items())
    return f"<table>{cells}</table>"


def budget_widget(parameters_m: float = 8.2, bits: int = 8, flash_mb_s: float = 390.0) -> VBox:
    """Sliders for a decoder's parameters, bits and flash bandwidth, over a table that follows them.

    Parameters
    ----------
    parameters_m, bits, flash_mb_s
        Where the sliders start; see ``budget``.

    Returns
    -------
    ipywidgets.VBox
    """
    import ipywidgets as widgets

    style, layout = {"description_width": "11em"}, widgets.Layout(width="30em")
    size = widgets.FloatLogSlider(
        value=parameters_m, min=-1, max=3, step=0.002, base=10, readout_format=".3g",
        description="parameters (millions)", style=style, layout=layout)  # fmt: skip
    width = widgets.SelectionSlider(
        options=[2, 4, 8, 16, 32], value=bits, description="bits a weight", style=style, layout=layout)  # fmt: skip
    speed = widgets.FloatSlider(
        value=flash_mb_s, min=50, max=450, step=10, readout_format=".0f",
        description="flash (MB/s)", style=style, layout=layout)  # fmt: skip
    answer = widgets.HTML()

    def refresh(_: object = None) -> None:
        answer.value = budget_html(size.value, width.value, speed.value)

    for slider in (size, width, speed):
        slider.observe(refresh, names="value")
    refresh()
    return widgets.VBox([size, width, speed, answer])
