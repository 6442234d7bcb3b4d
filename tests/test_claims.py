"""The claims: none of the paper's cells is missing, each has what it names, and numbers decide the verdicts."""

import importlib.util
import re
from collections import Counter
from copy import deepcopy
from dataclasses import fields
from typing import Any

import pytest

from tests.conftest import ROOT
from uvlm_mini import claims_show, paper
from uvlm_mini.claims import (
    DIRECTION,
    ELSEWHERE,
    OPPOSITE,
    REPRODUCED,
    UNDECIDED,
    UNTRIED,
    VERDICTS,
    Apart,
    Bound,
    Chosen,
    Claim,
    Effect,
    Found,
    Modelled,
    Number,
    Outside,
    Stated,
    Under,
    paired_ratio,
    ratio_of,
)
from uvlm_mini.claims_list import CLAIMS, TABLES, of
from uvlm_mini.paths import result

MADE = [claim for claim in CLAIMS if claim.ours]
NAMED = {claims_show.title(claim) + " of " + claim.table: claim for claim in CLAIMS}


def cells(rows: Any, name: str, leave: tuple[str, ...] = ()) -> set[tuple[str, str]]:
    """(row, column) of every figure of a table of paper.py that is there."""
    return {
        (getattr(row, name), field.name)
        for row in rows
        for field in fields(row)
        if field.name not in (name, *leave) and getattr(row, field.name) is not None
    }


@pytest.mark.parametrize(
    ("table", "wanted"),
    [
        ("Table 1", cells(paper.COMPARISON, "model", ("rough",))),
        ("Encoders", cells(paper.ENCODERS.values(), "name")),
        ("Table 4", cells(paper.ENCODER_ABLATION, "parts")),
        ("Table 6", cells(paper.ABLATION, "parts")),
        ("Deployment", cells(paper.DEPLOYMENT.values(), "part")),
    ],
)
def test_no_cell_of_the_paper_is_missing(table: str, wanted: set[tuple[str, str]]) -> None:
    """And none is invented."""
    assert {(claim.row, claim.what) for claim in of(table)} == wanted
    assert set(TABLES) == {claim.table for claim in CLAIMS}


def test_readings_are_told_apart() -> None:
    """A cell that has several claims has as many readings."""
    assert len(NAMED) == len(CLAIMS)
    several = Counter((c.table, c.row, c.what) for c in CLAIMS)
    assert all(claim.reading for claim in CLAIMS if several[claim.table, claim.row, claim.what] > 1)


@pytest.mark.parametrize("claim", CLAIMS, ids=list(NAMED))
def test_cells_are_the_paper_s(claim: Claim) -> None:
    """What is compared is what the cell says, where it is one number or a quotient of two."""
    printed = re.fullmatch(r"[~<>]?([\d.]+)(?:/([\d.]+))?", claim.cell)
    if printed and claim.cell != ">250":
        assert claim.paper == pytest.approx(float(printed[1]) / float(printed[2] or 1))
    assert claim.why and not claim.why.endswith(".") and claim.rule.says


@pytest.mark.parametrize("claim", MADE, ids=[name for name, claim in NAMED.items() if claim.ours])
def test_what_makes_our_cell_exists(claim: Claim) -> None:
    """The command is a module, the files are there and were made by it, and no other file is read."""
    module = claim.command.removeprefix("python -m ")
    assert importlib.util.find_spec(module), claim.command
    read: list[str] = []
    claim.found(lambda name: read.append(name) or result(name))
    assert set(read) <= set(claim.files)
    for name in claim.files:
        assert (ROOT / "benchmarks" / "results" / f"{name}.json").is_file()
        if module != "uvlm_mini.claims_show":
            assert result(name)["command"].split(" ")[:3] == claim.command.split(" ")
    assert claim.verdict() in VERDICTS


def test_claims_without_a_number_are_not_judged() -> None:
    """Not tried, or a statement."""
    for claim in CLAIMS:
        if claim.ours is None:
            assert claim.verdict() == (ELSEWHERE if isinstance(claim.rule, Stated) else UNTRIED)
            assert not claim.command and not claim.files
        else:
            assert claim.verdict() != UNTRIED and claim.command


def scaled(rows: Any, factor: float, keys: tuple[str, ...]) -> Any:
    """Rows with every number below the keys times a factor."""
    if isinstance(rows, dict):
        inner = {k: scaled(v, factor, keys[1:] if keys and k == keys[0] else keys) for k, v in rows.items()}
        return inner if not keys else {k: (inner[k] if k == keys[0] else v) for k, v in rows.items()}
    if isinstance(rows, list):
        return [scaled(v, factor, keys) for v in rows]
    return rows if isinstance(rows, str) or rows is None or keys else rows * factor


CHANGES = [  # table, row, reading, file, where, factor, verdict as committed, verdict then
    ("Table 1", "µVLM-b", "", "sizes", ("b", "int8"), 1.3, DIRECTION, OPPOSITE),
    ("Table 1", "µVLM-b", "", "sizes", ("b", "int8"), 1.12, DIRECTION, REPRODUCED),
    ("Table 4", "the same with SE channel attention", "", "encoder_ablation", ("with SE",), 1.25, DIRECTION, OPPOSITE),
    ("Table 4", "the same with SE channel attention", "", "encoder_ablation", ("with SE",), 1.1, DIRECTION, UNDECIDED),
    ("Table 6", "+ channel modulation (all of µVLM)", "convolution makes room", "decoder_ablation", ("AttSSM",), 1.3,
     OPPOSITE, DIRECTION),
    ("Table 6", "+ channel modulation (all of µVLM)", "convolution makes room", "decoder_ablation", ("AttSSM",), 1.18,
     OPPOSITE, REPRODUCED),
    ("Text", "AttSSM by LSTM + Bahdanau", "Helium", "m55", ("step", "Helium", "AttSSM"), 1.2, DIRECTION, OPPOSITE),
    ("Text", "AttSSM by LSTM + Bahdanau", "Helium", "m55", ("step", "Helium", "AttSSM"), 0.69, DIRECTION, REPRODUCED),
    ("Text", "AttSSM by LSTM + Bahdanau", "Helium", "m55", ("step", "Helium", "AttSSM"), 1.05, DIRECTION, UNDECIDED),
    ("Text", "CFQ by independent", "", "cfq", ("cfq", "CIDEr"), 1.01, UNDECIDED, DIRECTION),
    ("Deployment", "AttSSM decoder, one step", "", "latency", ("paper", "attssm"), 0.5, ELSEWHERE, OPPOSITE),
    ("Encoders", "OverMod-b", "", "decoder_cost", ("sizes", "b"), 1.2, ELSEWHERE, OPPOSITE),
]  # fmt: skip


@pytest.mark.parametrize(("table", "row", "reading", "file", "keys", "factor", "now", "then"), CHANGES)
def test_a_changed_file_changes_the_verdict(table, row, reading, file, keys, factor, now, then) -> None:
    """The number decides, and nothing that is written down."""

    def changed(name: str) -> dict[str, Any]:
        made = deepcopy(result(name))
        if name == file:
            made["rows"] = scaled(made["rows"], factor, keys)
        return made

    (claim, *_) = (
        c for c in of(table) if (c.row, c.reading) == (row, reading) and file in c.files and len(c.files) == 1
    )
    assert claim.verdict() == now
    assert claim.verdict(changed) == then


@pytest.mark.parametrize(
    ("rule", "paper_", "found", "wanted"),
    [
        (Effect(), 0.66, (0.98, 0.95, 1.01), UNDECIDED),
        (Effect(), 0.66, (1.2, 1.1, 1.3), OPPOSITE),
        (Effect(), 0.66, (0.68, 0.6, 0.7), REPRODUCED),
        (Effect(), 0.66, (0.9, 0.8, 0.95), DIRECTION),
        (Effect(), 1.06, (1.10, 1.05, 1.15), DIRECTION),  # near, and nearly twice the effect
        (Effect(), 1.06, (0.9, 0.8, 0.95), OPPOSITE),
        (Effect(sign=1), None, (1.5, 1.4, 1.6), DIRECTION),
        (Effect(sign=1), None, (0.5, 0.4, 0.6), OPPOSITE),
        (Effect(sign=-1), None, (0.5, 0.4, 0.6), DIRECTION),
        (Number(0.1), 2.0, (1.9, 1.9, 1.9), REPRODUCED),
        (Number(0.1), 2.0, (1.7, 1.7, 1.7), OPPOSITE),
        (Under(32.0), 29.6, (29.0, 29.0, 29.0), REPRODUCED),
        (Under(32.0), 29.6, (26.0, 26.0, 26.0), DIRECTION),
        (Under(32.0), 29.6, (33.0, 33.0, 33.0), OPPOSITE),
        (Under(), 4.2, (1.8, 1.8, 1.8), REPRODUCED),
        (Under(), 4.2, (4.3, 4.3, 4.3), OPPOSITE),
        (Chosen(), 5.2, (5.24, 5.24, 5.24), ELSEWHERE),
        (Chosen(), 5.2, (5.8, 5.8, 5.8), OPPOSITE),
        (Modelled(), 21.0, (20.0, 17.0, 26.0), ELSEWHERE),
        (Modelled(), 32.0, (20.0, 17.0, 26.0), OPPOSITE),
        (Bound(), 300.0, (200.0, 100.0, 350.0), ELSEWHERE),
        (Bound(), 300.0, (400.0, 350.0, 500.0), OPPOSITE),
        (Outside(), 0.0, (3.0, 3.0, 3.0), REPRODUCED),
        (Outside(), 0.0, (0.0, 0.0, 0.0), OPPOSITE),
        (Outside(), 1.0, (0.0, 0.0, 0.0), REPRODUCED),
        (Outside(), 1.0, (3.0, 3.0, 3.0), OPPOSITE),
        (Apart(), 117.8, (516.0, 516.0, 516.0), ELSEWHERE),
    ],
)
def test_rules(rule, paper_, found, wanted) -> None:
    """Each from every side."""
    assert rule.decide(paper_, Found(*found)) == wanted
    if not isinstance(rule, Stated):
        assert rule.decide(paper_, None) == UNTRIED


def test_intervals_are_those_of_the_chapters() -> None:
    """2.8 standard errors of a difference of means; 4.3 of paired differences; one run borrows the other's spread."""
    found = ratio_of([1.0, 2.0, 3.0], [4.0, 4.0, 4.0])
    assert found.value == 0.5 and found.high - found.value == pytest.approx(2.8 * (1 / 3) ** 0.5 / 4)
    one = ratio_of([2.0], [4.0, 5.0, 6.0])
    assert one.high - one.value == pytest.approx(2.8 * (1 + 1 / 3) ** 0.5 / 5)
    with pytest.raises(ValueError, match="one run"):
        ratio_of([1.0], [2.0])
    rows = {"a": {"x": {"runs": [2.0, 3.0, 4.0]}}, "b": {"x": {"runs": [1.0, 2.0, 3.0]}}}
    same = paired_ratio("f", "a", "b", "x")(lambda name: {"rows": rows})
    assert same == Found(1.5, 1.5, 1.5)


def test_chapters_say_the_same() -> None:
    """Chapter 3: SE is clearly worse, GRN not clear. Chapter 5: the gate costs, no step is clear with the convolution.
    Chapter 8: no gap of CFQ. Chapter 10: a few instructions fewer with Helium.
    """
    verdicts = {name: claim.verdict() for name, claim in NAMED.items()}
    assert verdicts["the same with SE channel attention, score of Table 4"] == DIRECTION
    assert verdicts["with GRN by without, cells of Text"] == UNDECIDED
    assert verdicts["+ channel modulation (all of µVLM), score, convolution makes room of Table 6"] == OPPOSITE
    assert {c.verdict() for c in of("Table 6") if c.reading == "convolution stays"} == {UNDECIDED}
    assert verdicts["CFQ by independent, CIDEr of Text"] == UNDECIDED
    assert verdicts["AttSSM by LSTM + Bahdanau, time of a step, Helium of Text"] == DIRECTION


def test_lines_fit_and_tell_all() -> None:
    """88 columns; a verdict for every claim; every reason once."""
    for table in TABLES:
        rows = claims_show.lines(of(table))
        assert max(map(len, rows)) <= claims_show.COLUMNS
        for verdict, n in Counter(claim.verdict() for claim in of(table)).items():
            assert sum(f"  {verdict:14} " in row for row in rows[1:]) == n
        said = " ".join(" ".join(claims_show.reasons(of(table))).split())
        assert all(claim.why in said for claim in of(table))
        assert all(len(row) <= claims_show.COLUMNS for row in claims_show.reasons(of(table)))
    assert claims_show.counts()[-1].split()[1:] == [str(Counter(c.verdict() for c in CLAIMS)[v]) for v in VERDICTS]
    with pytest.raises(KeyError, match="no table 'Table 2'"):
        of("Table 2")


def test_figure_shows_what_can_be_divided() -> None:
    """A mark for each claim with a ratio, at that ratio."""
    import matplotlib.pyplot as plt

    shown = claims_show.drawn()
    fig = claims_show.ratios()
    (axis,) = fig.axes
    marks = [tuple(point) for line in axis.lines if line.get_label() in VERDICTS for point in line.get_xydata()]
    assert sorted(marks) == sorted((share, float(i)) for i, (_, share, _) in enumerate(shown))
    assert axis.get_xscale() == "log" and len(shown) > 30
    assert {line.get_label() for line in axis.lines if line.get_label() in VERDICTS} == {v for *_, v in shown}
    plt.close(fig)
