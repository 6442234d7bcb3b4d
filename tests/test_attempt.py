"""An answer ends in a sentence, whatever it does."""

import threading
import time
from contextlib import suppress

import numpy as np
import pytest
import torch

from tests.answers import never_ends, raises, withstands
from uvlm_mini.exercises import Verdict
from uvlm_mini.exercises.attempt import (
    Hint,
    TimeUp,
    expect_array,
    expect_close,
    expect_function,
    judged,
    time_limit,
)


@judged(seconds=10)
def check_double(double):
    """A checker like those of the chapters."""
    expect_function(double, "x")
    expect_close(double(np.arange(3.0)), [0.0, 2.0, 4.0], "double of 0, 1, 2")
    return Verdict(True, "three numbers are doubled.")


def test_a_checker_accepts_and_refuses() -> None:
    """Every kind of answer that the tests of the chapters give."""
    withstands(check_double, lambda x: 2 * x, [lambda x: x, lambda x: x**2, lambda: 0])


def test_hints_name_what_is_wrong() -> None:
    """The sentence holds the place, the type, the line or the limit."""
    assert str(check_double(...)).startswith("Not yet: there is no answer")
    assert "a function of (x) is wanted, and this is an int." in check_double(3).says
    assert "argument" in check_double(lambda: 0).says
    assert "at [1] is 1, and 2 is wanted" in check_double(lambda x: x).says
    assert "look whether there is a return" in check_double(lambda x: None).says
    assert '`raise ZeroDivisionError("division by zero")`' in check_double(raises).says
    assert "0.1 seconds" in check_double(never_ends, seconds=0.1).says
    assert "SystemExit" in check_double(lambda x: exit(3)).says


def test_a_person_can_still_stop_it() -> None:
    """The stop button of a notebook is no answer to the exercise."""

    def stopped(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_double(stopped)


def test_the_limit_ends_with_its_block() -> None:
    """Nothing is raised later, in this thread or in another; and it works outside of the main thread."""
    seen = []

    def other() -> None:
        try:
            with time_limit(0.1):
                while True:
                    pass
        except TimeUp:
            seen.append("up")

    thread = threading.Thread(target=other)
    thread.start()
    for _ in range(200):
        with suppress(TimeUp), time_limit(0.001):  # it may come while the block is left
            pass
    with time_limit(0.05):
        pass
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        pass
    thread.join()
    assert seen == ["up"]


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (None, "whether there is a return"),
        ([[1, 2], [3]], "different lengths"),
        ("text", "should be numbers"),
        ([1.0, 2.0], r"\(2,\), and \(3,\) is wanted"),
        ([1.0, float("nan"), 2.0], "not a number"),
    ],
)
def test_what_is_no_array_is_said(value, sentence) -> None:
    """Each with its own sentence."""
    with pytest.raises(Hint, match=sentence):
        expect_array(value, (3,), "the answer")


def test_tensors_and_numbers_are_arrays() -> None:
    """Also those that still know their gradient."""
    found = expect_array(torch.ones(3, requires_grad=True), (3,), "x")
    assert isinstance(found, np.ndarray)
    expect_close(torch.tensor(2.0), 2, "x")
    with pytest.raises(Hint, match="x is 2, and 3 is wanted"):
        expect_close(2, 3, "x")
