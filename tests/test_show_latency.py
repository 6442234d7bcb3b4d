"""Figures and sliders of the latency model show what the model says."""

import re

import matplotlib.pyplot as plt
import pytest

from uvlm_mini.npu import show_latency
from uvlm_mini.npu.latency import Constants, Layer, Prediction, Work, predict

C = Constants(400.0, 100.0, 2.0, 0.5, 10.0, 300.0)


def milliseconds(html: str) -> list[float]:
    """Every time in a table, in order."""
    return [float(ms) for ms in re.findall(r"([\d.]+) ms", html)]


def test_bars_are_the_parts_and_lines_the_intervals() -> None:
    """Widths add to the prediction; the line and the mark stand where they were told."""
    rows = {
        "one": {"flash": 10.0, "npu": 5.0, "cpu": 1.0, "low": 9.0, "high": 30.0, "published": 20.0},
        "two": {"flash": 3.0, "npu": 0.0, "cpu": 2.0, "low": 4.0, "high": 6.0, "published": 5.5},
    }
    axes = show_latency.plot_times(rows).axes[0]
    ends = [patch.get_x() + patch.get_width() for patch in axes.patches]
    assert ends == [10.0, 15.0, 16.0, 3.0, 3.0, 5.0]
    assert [list(line.get_xdata()) for line in axes.lines] == [[9.0, 30.0], [20.0], [4.0, 6.0], [5.5]]
    words = {text.get_text() for text in axes.get_legend().get_texts()}
    assert words == {"reading weights", "NPU", "processor", "interval", "published"}
    plt.close("all")


def test_roof_and_dots() -> None:
    """The roof is the lower of both limits, and every network is a dot where it was told."""
    groups = {"some": {"a": (10.0, 1.0), "b": (100.0, 30.0)}, "named": {"c": (1.0, 0.39)}}
    axes = show_latency.plot_roofline(groups, 400.0, 300.0, "named").axes[0]
    x, y = axes.lines[0].get_data()
    assert y == pytest.approx([min(u * 0.4, 300.0) for u in x])
    assert y[0] < 300.0 == y[-1]
    dots = [tuple(dot) for group in axes.collections for dot in group.get_offsets().tolist()]
    assert dots == [(10.0, 1.0), (100.0, 30.0), (1.0, 0.39)]
    assert "c" in {text.get_text() for text in axes.texts}
    plt.close("all")


def test_table_of_a_prediction() -> None:
    """Four parts and their sum; the largest is named, in words."""
    html = show_latency.time_html(Prediction(10.0, 5.0, 1.0, 0.0))
    assert milliseconds(html) == [10.0, 5.0, 1.0, 0.0, 16.0]
    assert html.count("takes most") == 1 and html.index("reading") < html.index("takes most") < html.index("NPU")
    assert "takes most" not in show_latency.time_html(Prediction(0.0, 0.0, 0.0, 0.0))


def test_sliders_are_the_model() -> None:
    """At the start and after each slider is moved, the table holds the model's prediction of that work."""
    box = show_latency.time_widget(C, megabytes=8.0, uses=1.0, software=16.0)
    *sliders, answer = box.children

    def shown() -> float:
        return milliseconds(answer.value)[-1]

    assert shown() == pytest.approx(predict(Work(8e6, (Layer(8_000_000, 0),), software=16e3), C).ms, abs=0.01)
    for slider, value in zip(sliders, (20.0, 100.0, 50.0, 40.0, 2.0), strict=True):
        slider.value = value
    work = Work(20e6, (Layer(2_000_000_000, 50_000_000),), software=40e3, external_bytes=2e6)
    assert shown() == pytest.approx(predict(work, C).ms, abs=0.01)
