"""The checkers of chapter 5 take the chapter's answers and others that are right, and name the mistakes they know."""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.answers import withstands
from tests.solutions import solution
from uvlm_mini.decoder import State
from uvlm_mini.exercises.looking import check_asking, check_crossed, check_factor, check_lift, check_spent


def student(t: Any) -> Any:
    """The distribution function that the chapter gives, behind its text."""
    s = t / (1 + t * t / 4) ** 0.5
    return 0.5 + 0.375 * s * (1 - s * s / 12)


@cache
def from_chapter(name: str) -> Any:
    return solution("05_gcdm_and_attssm", name, student=student)


def steep(x: Tensor, q: Tensor) -> Tensor:
    """Right in another way: everything but the place that fits best is far below."""
    return torch.where((q @ x) == (q @ x).max(), 0.0, -50.0)


ASKING: dict[str, Callable[..., Any]] = {
    "same at all places": lambda x, q: torch.full((x.shape[1],), 3.0),
    "has to know what is there": lambda x, q: torch.arange(float(x.shape[1])),
    "features differ by up to 1": lambda x, q: 0.5 * q @ x,
    "lifts": lambda x, q: -(q @ x),
    "shape": lambda x, q: q[:, None] * x,
    "not a number": lambda x, q: (q @ x) / 0,
}


def test_asking() -> None:
    withstands(check_asking, from_chapter("asking"), ASKING.values())
    assert check_asking(steep)


@pytest.mark.parametrize("says", ASKING)
def test_asking_names_the_mistake(says: str) -> None:
    assert says in check_asking(ASKING[says]).says


def read_with(b: float) -> float:
    sums = math.exp(1 + b) + math.exp(4) + math.exp(2), math.exp(b) + 2
    return math.log(sums[0] / sums[1])


def by_trying(near: float) -> float:
    """Right in another way: the first step of a grid that is near enough."""
    return next(k / 100 for k in range(2000) if read_with(k / 100) <= 1 + near)


LIFTS: dict[str, Callable[..., Any]] = {
    "enough for a maximum": lambda near: 3.0,
    "forgets nobody": lambda near: 3 - near,
    "second sum": lambda near: math.log((math.e**4 + math.e**2) / (math.exp(1 + near) - math.e)),
    "lift it further": lambda near: 4.5,
    "smaller bias": lambda near: by_trying(near) + 1,
    "far beyond": lambda near: 1000.0,
}


def test_lift() -> None:
    withstands(check_lift, from_chapter("lift_to"), LIFTS.values())
    assert check_lift(by_trying)


@pytest.mark.parametrize("says", LIFTS)
def test_lift_names_the_mistake(says: str) -> None:
    assert says in check_lift(LIFTS[says]).says


def crossed(decoder: Any, asked: Any, heard: Any, context: Any, state: Any) -> Any:
    return from_chapter("crossed")(decoder, asked, heard, context, state)


def without_output(decoder: Any, asked: Any, heard: Any, context: Any, state: Any) -> Any:
    return crossed(decoder, asked, heard, context, State(state.h, 0 * state.y))


def without_norm(decoder: Any, asked: Any, heard: Any, context: Any, state: Any) -> Any:
    """The SSM gets what its norm should have had first."""
    norm, decoder.norm = decoder.norm, torch.nn.Identity()
    try:
        return crossed(decoder, asked, heard, context, state)
    finally:
        decoder.norm = norm


CROSSED: dict[str, Callable[..., Any]] = {
    "both hear the query's word": lambda d, q, w, c, s: d.advance(q, c, s),
    "both hear the SSM's word": lambda d, q, w, c, s: d.advance(w, c, s),
    "exchanged": lambda d, q, w, c, s: crossed(d, w, q, c, s),
    "state.y": without_output,
    "the output at": without_norm,
    "two things": lambda d, q, w, c, s: crossed(d, q, w, c, s)[0],
    "of two parts": lambda d, q, w, c, s: (crossed(d, q, w, c, s)[0], s.h),
    "SSM's part of the next state": lambda d, q, w, c, s: (crossed(d, q, w, c, s)[0], s),
    "output in the next state": lambda d, q, w, c, s: (
        crossed(d, q, w, c, s)[0],
        State(crossed(d, q, w, c, s)[1].h, s.y),
    ),
}


def test_crossed() -> None:
    withstands(check_crossed, from_chapter("crossed"), CROSSED.values())


@pytest.mark.parametrize("says", CROSSED)
def test_crossed_names_the_mistake(says: str) -> None:
    assert says in check_crossed(CROSSED[says]).says


def look(H: int, L: int) -> tuple[int, int, int, int]:
    return 2 * L * H * H, 2 * H * H + 2 * L * H, L * H * H + H * H, 2 * H * H + L * H


def spent(T: int, H: int, L: int) -> tuple[int, int]:
    keys, attention, picture, gcdm = look(H, L)
    return keys + T * attention, picture + T * gcdm


SPENT: dict[str, Callable[..., Any]] = {
    "at every word anew": lambda T, H, L: (T * sum(look(H, L)[:2]), T * sum(look(H, L)[2:])),
    "once, is missing": lambda T, H, L: (T * look(H, L)[1], T * look(H, L)[3]),
    "a single look": lambda T, H, L: spent(1, H, L),
    "too few a look": lambda T, H, L: (spent(T, H, L)[0] - T * L * H, spent(T, H, L)[1]),
    "too many a look": lambda T, H, L: (spent(T, H, L)[0], spent(T, H, L)[1] + T * L * H),
    "an H² is missing": lambda T, H, L: (spent(T, H, L)[0], spent(T, H, L)[1] - H * H),
    "these are operations": lambda T, H, L: [2 * v for v in spent(T, H, L)],
    "times what is counted": lambda T, H, L: (1, 1),
    "shape": lambda T, H, L: spent(T, H, L)[0],
}


def test_spent() -> None:
    withstands(check_spent, from_chapter("spent"), SPENT.values())
    assert from_chapter("spent")(7, 96, 25) == spent(7, 96, 25)


@pytest.mark.parametrize("says", SPENT)
def test_spent_names_the_mistake(says: str) -> None:
    assert says in check_spent(SPENT[says]).says


def beyond(chance: float) -> float:
    """The t that is exceeded with this chance, by halving."""
    low, high = 0.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 - student(middle) > chance else (low, middle)
    return low


FACTORS: dict[str, Callable[..., Any]] = {
    "half of it on each side": lambda n: beyond(0.05 / n),
    "has one in twenty for itself": lambda n: beyond(0.025),
    "stricter rule": lambda n: beyond(min(0.025 * n, 0.49)),
    "is wanted": lambda n: beyond(0.025 / n) + 1,
    "is positive": lambda n: -beyond(0.025 / n),
}


def test_factor() -> None:
    withstands(check_factor, from_chapter("factor"), FACTORS.values())
    assert check_factor(lambda n: beyond(0.025 / n))


@pytest.mark.parametrize("says", FACTORS)
def test_factor_names_the_mistake(says: str) -> None:
    assert says in check_factor(FACTORS[says]).says
