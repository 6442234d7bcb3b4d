"""Checkers for the exercises of chapter 11: a verdict out of an interval, runs that an effect wants, hours of GPUs.

print(check_side(my_side))
print(check_runs(my_runs))
print(check_hours(my_hours))
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..claims import DOUBT, Effect, Found
from ..paths import result
from . import Verdict
from .attempt import Hint, expect_array, expect_function, judged

WORDS = ("undecided", "same side", "opposite")


@judged(seconds=10)
def check_side(side: Callable[[float, float, float], str]) -> Verdict:
    """Judge a function that says on which side of 1 an interval lies, seen from the paper.

    Parameters
    ----------
    side : from the paper's ratio and the two ends of ours to one of WORDS.

    Notes
    -----
    Source: chapter 11, exercise 1.
    """
    expect_function(side, "paper, low, high")
    for paper in (0.5, 0.66, 0.9, 1.06, 2.0, 256.0):
        for low, high in ((0.2, 0.4), (0.6, 0.99), (0.9, 1.2), (1.0, 1.3), (0.7, 1.0), (1.01, 1.05), (3.0, 9.0)):
            said = side(paper, low, high)
            if said not in WORDS:
                raise Hint(f"it says {said!r}, which is none of {', '.join(WORDS)}.")
            decided = Effect().decide(paper, Found((low + high) / 2, low, high))
            wanted = decided if decided in WORDS else "same side"
            if said != wanted:
                raise Hint(_side_hint(paper, low, high, said, wanted))
    return Verdict(True, "42 intervals lie where you say, those that end at 1 among them.")


def _side_hint(paper: float, low: float, high: float, said: str, wanted: str) -> str:
    case = f"of a paper's ratio of {paper:g} and ours from {low:g} to {high:g} it says {said!r}"
    if wanted == "undecided":
        return f"{case}, although ours may be 1."
    if said == "undecided":
        return f"{case}, though 1 lies outside."
    return f"{case}; look on which side of 1 the paper is, and on which we are."


@judged(seconds=10)
def check_runs(runs: Callable[[float, float], int]) -> Verdict:
    """Judge a function that says how many runs of each side an effect wants.

    Parameters
    ----------
    runs : from the size of an effect and the standard deviation of a run, both positive and in one unit, to the
        smallest number of runs, at least 2, for which 2.8 standard errors of the difference are no more than the
        effect.

    Notes
    -----
    Source: chapter 11, exercise 2; the rule is chapter 3's.
    """
    expect_function(runs, "effect, spread")
    for effect, spread in ((1.0, 1.0), (5.7, 3.0), (10.7, 9.1), (0.2, 0.7), (10.0, 0.1), (3.0, 1.9), (0.5, 0.49)):
        found = float(expect_array(runs(effect, spread), (), f"the number of runs for {effect:g} at {spread:g}"))
        wanted = max(2, math.ceil(2 * (DOUBT * spread / effect) ** 2))
        case = f"for an effect of {effect:g} at a spread of {spread:g} it asks for {found:g} runs"
        if found != round(found):
            raise Hint(f"{case}; a run cannot be cut.")
        if found < 2:
            raise Hint(f"{case}, and one run has no spread.")
        if found != wanted:
            error = DOUBT * math.sqrt(2 * spread**2 / found)
            said = "is more than the effect" if error > effect else f"so few are not needed: {wanted} would do"
            raise Hint(f"{case}, with which 2.8 standard errors are {error:.3g}; that {said}.")
    return Verdict(True, "seven effects get as many runs as they want, and no more.")


@judged(seconds=10)
def check_hours(hours: Callable[[float, float, float, int], Any]) -> Verdict:
    """Judge a function that says how long a training lasts on the clock.

    Parameters
    ----------
    hours : from operations, the peak of a GPU in operations a second, the share of it that is reached (above 0, at most
        1) and the number of GPUs to hours.

    Notes
    -----
    Source: chapter 11, exercise 5. The costs are those of benchmarks/results/paper_cost.json.
    """
    expect_function(hours, "operations, peak, share, gpus")
    rows = result("paper_cost")["rows"]
    for preset in "tsb":
        for stage, operations in rows[preset]["operations"].items():
            for share, once in zip((0.2, 0.02), rows[preset]["hours"][stage], strict=True):
                for gpus in (1, 8):
                    name = f"{stage} of {preset} at {share:.0%} of the peak on {gpus} GPU{'s' * (gpus > 1)}"
                    found = float(expect_array(hours(operations, 312e12, share, gpus), (), name))
                    _near(found, operations / (312e12 * share * gpus) / 3600, once, name)
    return Verdict(True, "all hours of the table come out, on one GPU and on eight.")


def _near(found: float, wanted: float, once: float, name: str) -> None:
    """Raise a Hint that says what may have been forgotten."""
    if math.isclose(found, wanted, rel_tol=1e-6):
        return
    times = found / wanted
    for factor, what in ((3600, "seconds"), (60, "minutes")):
        if math.isclose(times, factor, rel_tol=1e-6):
            raise Hint(f"{name} lasts {found:.4g} {what}; hours are wanted.")
    raise Hint(f"{name} would last {found:.4g} hours; one GPU needs {once:g} there, by the table.")
