"""The checkers of chapter 2 take the chapter's own answers, and say of wrong ones what is wrong."""

import pytest

from tests.answers import withstands
from tests.chapter_contract import solved
from uvlm_mini.exercises.bias_maps import check_gate, check_quadratic, check_silence

RIGHT = solved(2)

THREES = {
    "H-Swish is 0 only from −3": [-5, -8, 8],
    "a feature of 5 comes to 11": [6, -8, 8],
    "the generator's lowest bias": [-8, -5, 5],
    "passes as 3": [-8, -10, 8],
    "passes as 0": [-8, -8, 0],
    "shape": [-8, -8],
}


def test_silence_is_judged() -> None:
    """Others do as well, down to the generator's floor."""
    withstands(check_silence, RIGHT["silence"], THREES.values())
    assert check_silence([-9.5, -7.625, 7.625])
    assert not check_silence([-9.5, -7.6, 7.6])


@pytest.mark.parametrize("says", THREES)
def test_a_wrong_silence_is_told_why(says: str) -> None:
    """Each of the three, and one too few."""
    assert says in check_silence(THREES[says]).says


GATES = {
    "hardly anything passes": ([0, 0, 0], -2),
    "in the cat's: which weight": ([24, 0, -24], -2),
    "of the positions are lit": ([-48, 0, 48], -2),
    "94% of the positions": ([0, 0, 0], 4),
    "47% of what passes lies in the sun's box.": ([-48, 0, 48], -4),
    "the list of weights has the shape (2,)": ([-24, 24], -2),
    "a pair is wanted": [-24, 0, 24, -2],
    "the constant": ([-24, 0, 24], "minus two"),
}


def test_a_gate_is_judged() -> None:
    """By what it does, whatever the numbers."""
    withstands(check_gate, RIGHT["gate"], GATES.values())
    verdict = check_gate(([-12, 0, 12], 0))
    assert verdict and verdict.measured is not None and 0.6 < verdict.measured < 0.7


@pytest.mark.parametrize("says", GATES)
def test_a_wrong_gate_is_told_why(says: str) -> None:
    """Shut, open for all, or open for the cat."""
    assert says in check_gate(GATES[says]).says


SHARES = {
    "one product of positions": lambda C, L: L / (L + 4 * C),
    "one projection": lambda C, L: 2 * L / (2 * L + C),
    "three projections": lambda C, L: 2 * L / (2 * L + 3 * C),
    "ratio of the two terms": lambda C, L: L / (2 * C),
    "the other term": lambda C, L: 2 * C / (L + 2 * C),
    "exchanged": lambda C, L: C / (C + 2 * L),
    "a percentage": lambda C, L: 100 * L / (L + 2 * C),
    "at 192 channels and 384": lambda C, L: L / (L + 384 + (L > 49)),
    "at 8 channels and 3": lambda C, L: L / (L + 2 * 192),
    "and 0.113164 is wanted": lambda C, L: L**2 / (L**2 + C * L),
}


def test_a_share_is_judged() -> None:
    """The chapter's own, and the formula as it stands."""
    withstands(check_quadratic, RIGHT["quadratic_share"], SHARES.values())
    assert check_quadratic(lambda C, L: 2 * C * L**2 / (4 * C**2 * L + 2 * C * L**2))


@pytest.mark.parametrize("says", SHARES)
def test_a_wrong_share_is_told_why(says: str) -> None:
    """Products and projections forgotten, and what is another number."""
    verdict = check_quadratic(SHARES[says])
    assert says in verdict.says, verdict
