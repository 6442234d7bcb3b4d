"""Figures of chapters 9 and 10. What they are made of is computed by functions of its own, which tests check.

matplotlib is imported where it is used.
"""

from __future__ import annotations

import re
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..paths import csrc
from ..viz import DASHES, PALETTE, WIDTH

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARTS = {"output": "tied output", "core": "core", "look": "look at the picture", "rest": "rest"}


def turns(calls: Mapping[str, Callable[[], Any]], rounds: int = 30, repeat: int = 10) -> dict[str, float]:
    """Microseconds that calls take, in time of this process alone: the best of several rounds in which all take turns.

    Parameters
    ----------
    calls : by name.
    rounds, repeat : how often each gets its turn, and how often it is called then.
    """
    found = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.process_time_ns()
            for _ in range(repeat):
                call()
            found[name] = min(found[name], (time.process_time_ns() - start) / repeat / 1e3)
    return found


def envelope(x: np.ndarray, y: np.ndarray, bins: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """The largest of y in each of equal stretches of x: middles and values, where there are any."""
    edges = np.linspace(x.min(), x.max(), bins + 1)
    place = np.clip(np.digitize(x, edges) - 1, 0, bins - 1)
    most = np.full(bins, -np.inf)
    np.maximum.at(most, place, y)
    some = np.isfinite(most)
    return ((edges[1:] + edges[:-1]) / 2)[some], most[some]


def off_by(x: np.ndarray, errors: Mapping[str, np.ndarray], bounds: Mapping[str, np.ndarray]) -> Figure:
    """Draw relative errors as their largest in each stretch of x, and the bounds above them, on a logarithmic axis."""
    import matplotlib.pyplot as plt

    fig, axis = plt.subplots(figsize=(WIDTH, 3.2))
    for i, (name, error) in enumerate(errors.items()):
        axis.plot(*envelope(x, error), color=PALETTE[i], linewidth=1.2, label=name)
        if name in bounds:
            axis.plot(*envelope(x, bounds[name]), DASHES[i % 2 + 1], color=PALETTE[i], label=f"bound, {name}")
    axis.set(yscale="log", xlabel="x", ylabel="relative error of exp(x)")
    axis.legend(frameon=False, fontsize=9, ncols=2, loc="upper right")
    return fig


def ladder(rows: Mapping[str, float], ours: str = "C", xlabel: str = "microseconds a step") -> Figure:
    """Draw a time for every name, the longest at the top; hatched what does not begin with `ours`."""
    import matplotlib.pyplot as plt

    names = sorted(rows, key=lambda name: rows[name])
    fig, axis = plt.subplots(figsize=(WIDTH, 0.3 * len(names) + 0.7))
    for place, name in enumerate(names):
        own = name.startswith(ours)
        color, hatch = (PALETTE[0], "") if own else ("#999999", "///")
        axis.barh(place, rows[name], 0.7, color=color, hatch=hatch, edgecolor="white", linewidth=0)
        axis.text(rows[name], place, f" {rows[name]:.1f}", va="center", fontsize=9)
    axis.set_yticks(range(len(names)), names)
    axis.tick_params(axis="y", length=0)
    axis.set(xlabel=xlabel, xlim=(0, 1.1 * max(rows.values())))
    return fig


def parts_of(row: Mapping[str, Any], form: str) -> dict[str, float]:
    """Microseconds of each part of a decoder step, and under "between" what the whole step takes beyond their sum."""
    found = {title: row[form]["parts"][name]["us"] for name, title in PARTS.items()}
    return found | {"between": max(0.0, row[form]["step"]["us"] - sum(found.values()))}


def split(rows: Mapping[str, Mapping[str, float]], xlabel: str = "microseconds a step") -> Figure:
    """Draw the parts of each row one behind the other."""
    import matplotlib.pyplot as plt

    fig, axis = plt.subplots(figsize=(WIDTH, 0.55 * len(rows) + 1.1))
    titles: Sequence[str] = list(dict.fromkeys(title for row in rows.values() for title in row))
    for i, title in enumerate(titles):
        starts = [sum(list(row.values())[:i]) for row in rows.values()]
        values = [row.get(title, 0.0) for row in rows.values()]
        axis.barh(
            range(len(rows))[::-1],
            values,
            0.6,
            left=starts,
            color=PALETTE[i],
            hatch=("", "///", "...", "xx", "")[i % 5],
            edgecolor="white",
            linewidth=0,
            label=title,
        )
    axis.set_yticks(range(len(rows))[::-1], list(rows))
    axis.tick_params(axis="y", length=0)
    axis.set(xlabel=xlabel)
    axis.legend(frameon=False, fontsize=9, ncols=len(titles), loc="lower left", bbox_to_anchor=(0, 1))
    return fig


def listing(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Times by name, one a line; rows without one are left out."""
    timed = {name: row["us"] for name, row in rows.items() if "us" in row}
    wide = max(map(len, timed))
    return "\n".join(f"{name:{wide}} {us:10.2f} µs" for name, us in timed.items())


COLUMNS = 88  # what the page of the book shows


def excerpt(name: str, start: str, end: str = "\n}") -> str:
    """The lines of a file of csrc/ from the one with `start` to the first `end` behind it, fitted to the page.

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
    return fitted(text[begin : text.index(end, text.index(start)) + len(end)])


def fitted(text: str, columns: int = COLUMNS) -> str:
    """C in lines that are not longer. A comment of several lines is filled anew; one behind code goes above it.

    What has no place to break stays as it is.
    """
    found: list[str] = []
    for line in text.splitlines():
        if re.match(r"/\*|  ?\*( |$)", line):
            last = found[-1] if found else ""
            depth, before = (len(x) - len(x[2:].lstrip()) for x in (line, last.partition("\n")[0]))
            goes_on = last[:2] in ("/*", " *") and len(max(last.split("\n"), key=len)) > columns
            if goes_on and line[2:].strip() and (depth == before <= 3 or depth > before > 3):
                line = f"{found.pop()}\n{line}"
            found.append(line)
        else:
            found += _broken(line, columns)
    return "\n".join(part for line in found for part in _filled(line, columns))


def _filled(text: str, columns: int) -> list[str]:
    """A paragraph of a comment; what is short enough is left alone."""
    lines = text.split("\n")
    label = re.match(r" \*\s*(.*\S {2,})?", lines[0])
    if len(lines[0]) <= columns or not (label or lines[0].startswith("/*")):
        return lines
    below = " *" + " " * ((label.end() if label else 3) - 2)
    words = " ".join([lines[0], *(line[2:].strip() for line in lines[1:])])
    return textwrap.wrap(words, columns, subsequent_indent=below, break_long_words=False, break_on_hyphens=False)


def _broken(line: str, columns: int) -> list[str]:
    """A line of code."""
    if len(line) <= columns:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()))
    if behind := re.match(r"(.*\S) +(/\*.*\*/)$", line):
        return [*_broken(indent + behind[2], columns), *_broken(behind[1], columns)]
    room = line[len(indent) : columns]
    stops = [") "] if room.startswith("for (") and ") " in room else [", ", "; ", "&& ", " "]
    at = len(indent) + max(room.rfind(stop) + len(stop) for stop in stops if stop in room) if " " in room else 0
    return [line[:at].rstrip(), *_broken(f"{indent}        {line[at:]}", columns)] if at else [line]


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
            places,
            values,
            height,
            color=PALETTE[i],
            hatch=("", "///", "...")[i % 3],
            edgecolor="white",
            linewidth=0,
            label=name,
        )
        for place, value in zip(places, values, strict=True):
            axis.text(value, place, f" {value:.3g}", va="center", fontsize=9)
    axis.set_yticks([-row for row in range(len(rows))], list(rows))
    axis.tick_params(axis="y", length=0)
    least, most = min(map(min, rows.values())), max(map(max, rows.values()))
    axis.set(xlabel=xlabel, xscale="log" if log else "linear")
    axis.set_xlim(left=10 ** np.floor(np.log10(least)) if log else 0, right=most * (2 if log else 1.15))
    axis.legend(frameon=False, fontsize=9, ncols=len(names), loc="lower left", bbox_to_anchor=(0, 1))
    return fig
