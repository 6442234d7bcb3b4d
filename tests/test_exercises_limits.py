"""The checkers of chapter 1 take the chapter's own answers, and say of wrong ones what is wrong."""

from statistics import linear_regression

import pytest

from tests.answers import withstands
from tests.chapter_contract import solved
from uvlm_mini import paper
from uvlm_mini.exercises.limits import check_block, check_missing, check_saving

STRONG = [row for row in paper.COMPARISON if row.bleu4 is None]
WEAK = [row for row in paper.COMPARISON if row.bleu4 is not None]
RIGHT = solved(1, strong=STRONG, weak=WEAK)


def from_bleu4() -> float:
    """The line of CIDEr over BLEU-4, turned round."""
    slope, start = linear_regression([row.bleu4 for row in WEAK], [row.cider for row in WEAK])
    return (STRONG[0].cider - start) / slope


def along(rows, cider: float) -> float:
    """The line through some rows."""
    slope, start = linear_regression([row.cider for row in rows], [row.bleu4 for row in rows])
    return start + slope * cider


PREDICTIONS = {
    "slipped": 28.3,
    "the other direction": from_bleu4(),
    "NIC is complete, too": along([row for row in WEAK if row.model != "NIC"], STRONG[0].cider),
    "where Up-Down's CIDEr is": along(WEAK, STRONG[2].cider),
    "the slope": RIGHT["line"].slope,
    "hundredths": RIGHT["missing"] / 100,
    "through the four complete rows": 40.0,
}


def test_a_prediction_is_judged() -> None:
    """The chapter's own, and as it is printed."""
    withstands(check_missing, RIGHT["missing"], PREDICTIONS.values())
    assert check_missing(round(RIGHT["missing"], 1))


@pytest.mark.parametrize("says", PREDICTIONS)
def test_a_wrong_prediction_is_told_why(says: str) -> None:
    """The number that slipped, and lines through the wrong things."""
    assert says in check_missing(PREDICTIONS[says]).says


def times(factor: float):
    """The right answer in another unit."""
    return lambda H, N, mb_s: factor * RIGHT["saving"](H, N, mb_s)


def with_r(r: float):
    """The right answer for another expansion."""
    return lambda H, N, mb_s: (8 * H**2 - 2 * r * H**2 - 3 * H * N) / mb_s / 1e3


SAVINGS = {
    "in seconds": times(0.001),
    "eight times too much": times(8),
    "an eighth": times(1 / 8),
    "four times too much": times(4),
    "turned": times(-1),
    "reading the LSTM": lambda H, N, mb_s: 8 * H**2 / mb_s / 1e3,
    "reading the SSM": lambda H, N, mb_s: (4 * H**2 + 3 * H * N) / mb_s / 1e3,
    "as if r were 1": with_r(1),
    "1024": times(1e6 / 2**20),
    "those are bytes": lambda H, N, mb_s: 4 * H**2 - 3 * H * N,
    "H = 256, N = 64": lambda H, N, mb_s: (4 * H**2 - 48 * H) / mb_s / 1e3,
    "H = 48, N = 80": lambda H, N, mb_s: abs(RIGHT["saving"](H, N, mb_s)),
    "and 2.56 is wanted": with_r(3),
}


def test_a_saving_is_judged() -> None:
    """Also one by the paper's counts."""
    withstands(check_saving, RIGHT["saving"], SAVINGS.values())
    assert check_saving(lambda H, N, mb_s: (paper.lstm_count(H) - paper.ssm_count(H, N)) / mb_s / 1000)


@pytest.mark.parametrize("says", SAVINGS)
def test_a_wrong_saving_is_told_why(says: str) -> None:
    """Units, signs, what was left out, and what holds at one width alone."""
    verdict = check_saving(SAVINGS[says])
    assert says in verdict.says or (says.startswith("and 2.56") and "is wanted" in verdict.says), verdict


BLOCKS = {
    "no source says where 'Ponder' runs": ["Ponder"],
    "LayerNormalization is none": ["LayerNormalization", "Gemm", "Relu", "Gemm", "Add"],
    "--GELU-recognition": ["Conv", "BatchNormalization", "Gelu", "Conv", "Add"],
    "folds into nothing": ["BatchNormalization", "Gemm", "Relu", "Gemm", "Add"],
    "directly behind a Conv": ["Gemm", "BatchNormalization", "HardSwish", "Gemm", "Add"],
    "there are 1": ["Conv", "BatchNormalization", "HardSwish", "Add"],
    "nothing bends": ["Conv", "BatchNormalization", "Conv", "Relu", "Add"],
    "the norm is gone": ["Gemm", "HardSwish", "Gemm", "Add"],
    "keep that": ["Conv", "BatchNormalization", "HardSwish", "Conv"],
    "a list of operators": "Conv",
}


def test_a_block_is_judged() -> None:
    """Also with the norm behind the second product, and with a ReLU."""
    withstands(check_block, RIGHT["block"], BLOCKS.values())
    assert check_block(["Gemm", "Relu", "Conv", "BatchNormalization", "Add"])


@pytest.mark.parametrize("says", BLOCKS)
def test_a_wrong_block_is_told_why(says: str) -> None:
    """What the NPU does not take, and what is no such block any more."""
    assert says in check_block(BLOCKS[says]).says
