"""What the figures of chapters 9 and 10 are made of."""

import matplotlib
import numpy as np
import pytest

from uvlm_mini.kernels import show
from uvlm_mini.paths import csrc

matplotlib.use("Agg")

ROW = {"avx2": {"step": {"us": 12.0}, "parts": {name: {"us": 2.0 + i} for i, name in enumerate(show.PARTS)}}}


def test_envelope_is_the_largest_of_each_stretch() -> None:
    """No value lies above it, and each of its values was there."""
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-3, 5, 5000), rng.normal(size=5000)
    middles, most = show.envelope(x, y, 40)
    assert len(middles) == 40 and np.isin(most, y).all() and most.max() == y.max()
    width = middles[1] - middles[0]
    for middle, top in zip(middles, most, strict=True):
        assert y[abs(x - middle) < 0.49 * width].max() <= top
    assert len(show.envelope(np.array([0.0, 1.0]), np.zeros(2), 10)[0]) == 2  # empty stretches are left out


def test_parts_add_up_to_the_step() -> None:
    """Unless they are more than the whole: then nothing is left between them."""
    found = show.parts_of(ROW, "avx2")
    assert list(found) == [*show.PARTS.values(), "between"]
    assert sum(found.values()) == 14.0 and found["between"] == 0.0
    longer = {"avx2": {**ROW["avx2"], "step": {"us": 20.0}}}
    assert sum(show.parts_of(longer, "avx2").values()) == pytest.approx(20.0)


def test_figures_show_every_row() -> None:
    """By name, the ladder from the longest time down."""
    axis = show.ladder({"C, a": 3.0, "PyTorch": 10.0, "C, b": 1.0}).axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["C, b", "C, a", "PyTorch"]
    assert [bar.get_width() for bar in axis.patches] == [1.0, 3.0, 10.0]
    axis = show.split({"one": show.parts_of(ROW, "avx2"), "two": show.parts_of(ROW, "avx2")}).axes[0]
    ends = [bar.get_x() + bar.get_width() for bar in axis.patches]
    assert max(ends) == 14.0 and len(axis.patches) == 10
    x = np.linspace(-80, 0, 100)
    axis = show.off_by(x, {"table": np.full(100, 1e-7)}, {"table": np.full(100, 2e-7)}).axes[0]
    assert len(axis.lines) == 2 and axis.get_yscale() == "log"


def test_turns_are_times() -> None:
    """More work takes longer; every call got its turns."""
    count = {"short": 0, "long": 0}

    def work(name: str, size: int) -> None:
        count[name] += 1
        sum(range(size))

    found = show.turns({"short": lambda: work("short", 10), "long": lambda: work("long", 20_000)}, 5, 20)
    assert 0 < found["short"] < found["long"] and count == {"short": 100, "long": 100}


def test_listing_leaves_out_what_was_not_measured() -> None:
    """One line a time."""
    text = show.listing({"one": {"us": 1.0}, "another": {"us": 20.5}, "none": {"not here": "no compiler"}})
    assert [line.split() for line in text.splitlines()] == [["one", "1.00", "µs"], ["another", "20.50", "µs"]]


def test_excerpt_is_the_source() -> None:
    """From a line to the end of its function; what is not there once is refused."""
    text = show.excerpt("captioner.c", "int uvlm_start(")
    whole = (csrc() / "captioner.c").read_text(encoding="utf-8")
    assert "".join(text.split()) in "".join(whole.split())
    assert text.startswith("int uvlm_start(uvlm *m) {\n") and text.endswith("\n}")
    assert show.excerpt("captioner.c", "m->contexts; k++", "}").startswith("    for (")  # from the line's beginning
    for start in ("no such function", "int status"):
        with pytest.raises(ValueError, match="times; give"):
            show.excerpt("captioner.c", start)


def test_pairs_show_every_value() -> None:
    """The first name at the top, and of each name the first value."""
    axis = show.pairs({"a": (3.0, 1.0), "b": (8.0, 2.0)}, ["one", "two"], "x", log=True).axes[0]
    found = sorted((-bar.get_y() - bar.get_height() / 2, bar.get_width()) for bar in axis.patches)
    assert [width for _, width in found] == [3.0, 1.0, 8.0, 2.0] and axis.get_xscale() == "log"


@pytest.mark.parametrize("name", ["captioner.c", "search.c", "blob.c", "uvlm.h", "ports/m55/start.c"])
def test_fitted_lines_are_the_same_text(name) -> None:
    """No word is lost, only comments change their place; nothing is too long that could be broken."""
    text = (csrc() / name).read_text(encoding="utf-8")
    found = show.fitted(text)
    assert max(map(len, text.splitlines())) > show.COLUMNS >= max(map(len, found.splitlines()))

    def words(of: str) -> list[str]:
        return sorted(word for line in of.splitlines() for word in line.removeprefix(" *").split())

    assert words(found) == words(text) and show.fitted(found) == found


def test_what_fits_is_left_alone() -> None:
    text = (csrc() / "captioner.c").read_text(encoding="utf-8")
    assert show.fitted(text, 200) == text.rstrip("\n")
