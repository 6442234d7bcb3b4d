"""The errata: the page prints what the module computes, and the computations see what they are about."""

import re
from copy import deepcopy

import pytest

from tests.conftest import ROOT
from uvlm_mini import errata, paper
from uvlm_mini.paths import result

PAGE = (ROOT / "book" / "errata.md").read_text(encoding="utf-8")
BOXES = re.findall(r"^% check (\w+)\n\n```text\n(.*?)```$", PAGE, re.M | re.S)


@pytest.mark.parametrize(("name", "box"), BOXES, ids=[name for name, _ in BOXES])
def test_the_page_prints_what_is_computed(name: str, box: str) -> None:
    """To the letter; `python -m uvlm_mini.errata NAME` gives what belongs there."""
    assert box.splitlines() == errata.lines(name)
    assert all(len(line) <= 88 for line in errata.lines(name))


def test_every_check_is_on_the_page_once() -> None:
    """And in the order of the page."""
    assert [name for name, _ in BOXES] == re.findall(r"^% check (\w+)$", PAGE, re.M)
    assert sorted(name for name, _ in BOXES) == sorted(errata.CHECKS)
    with pytest.raises(KeyError, match="no check 'sum'"):
        errata.lines("sum")


def test_checks_follow_the_files() -> None:
    """A result file that is another gives other lines."""

    def changed(name: str) -> dict:
        made = deepcopy(result(name))
        if name == "core_cost":
            made["rows"]["512"]["SSM"]["parameters"] = 1
        if name == "m55":
            made["rows"]["step"]["bytes"]["AttSSM"]["bytes"] = 1
            for row in made["rows"]["reached"].values():
                row["reached"] = False
        return made

    for name in ("weights", "step", "missed"):
        assert errata.lines(name, changed) != errata.lines(name)
    assert len(errata.lines("missed", changed)) == len(result("m55")["rows"]["reached"])


def test_checks_follow_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another time in the paper is another sum."""
    monkeypatch.setattr(paper, "TTFT_MS", 200.0)
    assert "187 + 21 = 200 ms" in errata.lines("sums")
    assert errata.lines("latency")[0] == "1 word: 221 ms"


def test_the_bias_has_the_floor_of_h_swish() -> None:
    """-3/8, at -3/2."""
    assert errata.lines("bias") == ["the lowest value of an H-Swish: -0.375"]
