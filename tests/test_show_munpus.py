"""Figures of chapter 12: the bars are the numbers, and the sums stand behind them."""

import matplotlib.pyplot as plt
import pytest

from uvlm_mini.npu import show_munpus


def widths(axes: plt.Axes) -> list[float]:
    """Lengths of the bars, in the order in which they were drawn."""
    return [bar.get_width() for bar in axes.patches]


def test_stacked_bars_are_the_parts() -> None:
    """Every part is a bar that begins where the last one ended; the sum is written."""
    rows = {"a": {"x": 1.0, "y": 2.5}, "b": {"x": 3000.0, "y": 0.0}}
    (axes,) = show_munpus.stacked(rows, "ms").axes
    assert widths(axes) == [1.0, 2.5, 3000.0, 0.0]
    assert [bar.get_x() for bar in axes.patches] == [0.0, 1.0, 0.0, 3000.0]
    assert [text.get_text().strip() for text in axes.texts] == ["3.5", "3,000"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"] and axes.get_xlabel() == "ms"
    plt.close("all")


def test_staircase_shows_both_columns_and_the_room() -> None:
    """Nodes on the left, bytes on the right in kB, and a line where the room ends."""
    nodes, held = show_munpus.staircase(["before", "after"], [5, 0], [600_000, 4_000_000], 442_368).axes
    assert widths(nodes) == [5, 0]
    assert widths(held) == pytest.approx([600, 4000])
    assert held.lines[0].get_xdata()[0] == pytest.approx(442.368) and held.get_xscale() == "log"
    plt.close("all")


def test_scores_are_those_of_the_rows() -> None:
    """A point for int8 and one for every number of bits, at its mean."""
    names = ("int8", *(f"{n} bits, groups of 32" for n in (4, 3, 2)))
    rows = {name: {"CIDEr": {"mean": float(i), "spread": 0.1}} for i, name in enumerate(names)}
    (axes,) = show_munpus.scores(rows, {"CIDEr": "of what"}).axes
    assert list(axes.lines[0].get_ydata()) == [0, 1, 2, 3] and axes.get_ylabel() == "of what"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["int8", "4 bits", "3 bits", "2 bits"]
    plt.close("all")
