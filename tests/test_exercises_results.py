"""The checkers of chapter 11 take right answers, and say of wrong ones what is wrong."""

import math

import pytest

from tests.answers import withstands
from uvlm_mini.exercises.results import check_hours, check_runs, check_side


def side(paper: float, low: float, high: float) -> str:
    """Right."""
    if low <= 1 <= high:
        return "undecided"
    return "same side" if (paper - 1) * (low - 1) > 0 else "opposite"


def runs(effect: float, spread: float) -> int:
    """Right."""
    return max(2, math.ceil(2 * (2.8 * spread / effect) ** 2))


def by_trying(effect: float, spread: float) -> int:
    """Right, and made differently."""
    n = 2
    while 2.8 * (2 * spread**2 / n) ** 0.5 > effect:
        n += 1
    return n


def hours(operations: float, peak: float, share: float, gpus: int) -> float:
    """Right."""
    return operations / (peak * share) / gpus / 3600


WRONG_SIDES = [
    lambda p, low, high: "same side" if (p - 1) * (low + high - 2) > 0 else "opposite",  # no interval
    lambda p, low, high: "undecided" if low < 1 < high else side(p, low + 1e-9, high + 1e-9),  # an end at 1
    lambda p, low, high: "undecided" if low <= 1 <= high else "same side" if high < p else "opposite",
    lambda p, low, high: "undecided",
    lambda p, low, high: "direction",
]
WRONG_RUNS = [
    lambda e, s: max(2, math.ceil((2.8 * s / e) ** 2)),  # one side's error alone
    lambda e, s: max(2, round(2 * (2.8 * s / e) ** 2)),
    lambda e, s: max(2, 2 * (2.8 * s / e) ** 2),
    lambda e, s: math.ceil(2 * (2.8 * s / e) ** 2),
    lambda e, s: max(2, math.ceil(2 * 2.8 * s / e)),  # no square
    lambda e, s: 1000,
]
WRONG_HOURS = [
    lambda o, p, s, g: 3600 * hours(o, p, s, g),
    lambda o, p, s, g: 60 * hours(o, p, s, g),
    lambda o, p, s, g: hours(o, p, 1, g),
    lambda o, p, s, g: hours(o, p, s, 1),
    lambda o, p, s, g: g * hours(o, p, s, 1),
    lambda o, p, s, g: hours(o, p, s, g) / 2,  # a multiply-add counted once
]


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_side, side, WRONG_SIDES),
        (check_runs, runs, WRONG_RUNS),
        (check_runs, by_trying, WRONG_RUNS),
        (check_hours, hours, WRONG_HOURS),
    ],
)
def test_checkers_withstand_everything(check, right, wrong) -> None:
    """Right answers, no answer, other types, exceptions, endless loops, and wrong ones with a hint each."""
    withstands(check, right, wrong)


@pytest.mark.parametrize(
    ("verdict", "says"),
    [
        (check_side(WRONG_SIDES[0]), "ours may be 1"),
        (check_side(WRONG_SIDES[2]), "look on which side of 1"),
        (check_side(WRONG_SIDES[3]), "though 1 lies outside"),
        (check_side(WRONG_SIDES[4]), "none of undecided"),
        (check_runs(WRONG_RUNS[0]), "is more than the effect"),
        (check_runs(WRONG_RUNS[2]), "cannot be cut"),
        (check_runs(WRONG_RUNS[3]), "one run has no spread"),
        (check_runs(WRONG_RUNS[5]), "would do"),
        (check_hours(WRONG_HOURS[0]), "seconds; hours are wanted"),
        (check_hours(WRONG_HOURS[1]), "minutes; hours are wanted"),
        (check_hours(WRONG_HOURS[2]), "by the table"),
    ],
)
def test_hints_say_what_is_wrong(verdict, says: str) -> None:
    """Each its own."""
    assert not verdict and says in verdict.says
