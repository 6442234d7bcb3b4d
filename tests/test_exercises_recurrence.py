"""The checkers of chapter 4 take the chapter's answers and others that are right, and name the mistakes they know."""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.answers import withstands
from tests.solutions import solution
from uvlm_mini.exercises.recurrence import check_grown, check_heavier, check_scan, check_step_size
from uvlm_mini.ssm import scan


@cache
def from_chapter(name: str) -> Any:
    return solution("04_ssm_against_lstm", name)


STEPS: dict[str, Callable[..., Any]] = {
    "time constant": lambda rate, steps: 1 / (rate * steps),
    "straight line": lambda rate, steps: 0.5 / (rate * steps),
    "right for rate 1": lambda rate, steps: math.log(2) / steps,
    "smaller step size": lambda rate, steps: math.log(2) * rate / steps,
    "it grows": lambda rate, steps: math.log(0.5) / (rate * steps),
    "keeps 1 of": lambda rate, steps: 0,
    "shape": lambda rate, steps: [math.log(2)] * 2,
}


def test_step_size() -> None:
    withstands(check_step_size, from_chapter("step_size"), STEPS.values())
    assert check_step_size(lambda rate, steps: torch.tensor(2.0).log() / rate / steps)


@pytest.mark.parametrize("says", STEPS)
def test_step_size_names_the_mistake(says: str) -> None:
    assert says in check_step_size(STEPS[says]).says


def by_pairs(decay: Tensor, write: Tensor, h: Tensor) -> Tensor:
    """Right in another way: pairs are combined, in steps that double."""
    write = torch.cat([write[:, :1] + decay[:, :1] * h[:, None], write[:, 1:]], 1)
    far = 1
    while far < decay.shape[1]:
        late = decay[:, far:] * write[:, :-far] + write[:, far:]
        both = decay[:, far:] * decay[:, :-far]
        write = torch.cat([write[:, :far], late], 1)
        decay = torch.cat([decay[:, :far], both], 1)
        far *= 2
    return write


def in_place(decay: Tensor, write: Tensor, h: Tensor) -> Tensor:
    p = decay.cumprod(1)
    return p * (h[:, None] + write.div_(p).cumsum(1))


SCANS: dict[str, Callable[..., Any]] = {
    "as if the state before the first step were 0": lambda a, w, h: scan(a, w, 0 * h),
    "did not decay": lambda a, w, h: scan(a, w, 0 * h) + h[:, None],
    "no decay touched": lambda a, w, h: a.cumprod(1) * h[:, None] + w.cumsum(1),
    "P has still to multiply": lambda a, w, h: h[:, None] + (w / a.cumprod(1)).cumsum(1),
    "loop in it": scan,
    "changes the tensors": in_place,
    "is wanted": lambda a, w, h: scan(a, w, h).flip(1),
    "shape": lambda a, w, h: scan(a, w, h)[:, -1],
}


def test_scan() -> None:
    withstands(check_scan, from_chapter("scan_at_once"), SCANS.values())
    assert check_scan(by_pairs)


@pytest.mark.parametrize("says", SCANS)
def test_scan_names_the_mistake(says: str) -> None:
    assert says in check_scan(SCANS[says]).says


WIDTHS: dict[str, Callable[..., Any]] = {
    "heavier already": lambda H: from_chapter("heavier_from")(H) + 1,
    "one state more": lambda H: from_chapter("heavier_from")(H) - 1,
    "every term of `differences`": lambda H: (8 * H - 7 * H) // 6 - 2,
    "whole number": lambda H: (1.75 * H - 6) / 6,
    "needs a state": lambda H: 0,
}


def test_heavier() -> None:
    withstands(check_heavier, from_chapter("heavier_from"), WIDTHS.values())


@pytest.mark.parametrize("says", WIDTHS)
def test_heavier_names_the_mistake(says: str) -> None:
    assert says in check_heavier(WIDTHS[says]).says


ERRORS: dict[str, Callable[..., Any]] = {
    "tiny steps": lambda delta, rate: 1 / (delta * rate),
    "does not depend on the rate": lambda delta, rate: -1 / math.expm1(-delta),
    "newest error": lambda delta, rate: 1 / math.expm1(delta * rate),
    "other way up": lambda delta, rate: -math.expm1(-delta * rate),
    "comes to rest": lambda delta, rate: 20_000.0,
}


def test_grown() -> None:
    withstands(check_grown, from_chapter("grown"), ERRORS.values())


@pytest.mark.parametrize("says", ERRORS)
def test_grown_names_the_mistake(says: str) -> None:
    assert says in check_grown(ERRORS[says]).says
