"""A claim of the paper as data: its cell, ours out of result files, and the rule that judges them (chapter 11).

Chapter 11 goes through all of them. Nothing here is a judgement that somebody wrote down: `Claim.verdict` computes it
from the numbers, so that a result file that changes changes the verdict. What is written down is the *rule*, and why.

Glossary
--------
cell      one number (or yes and no) of one table of the paper
found     what our files say of it: a number, and if it has one the interval in which it may lie
verdict   one of the six words below
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Any, Protocol

from . import paths

REPRODUCED = "reproduced"  # the number itself comes out, where it could have failed to
DIRECTION = "direction"  # the same sign or side, another size
OPPOSITE = "opposite"  # our numbers say otherwise
UNDECIDED = "undecided"  # asked here, and our runs cannot tell it from nothing
ELSEWHERE = "not comparable"  # we have a number, and it is one of something else
UNTRIED = "not tried"  # we have none
VERDICTS = (REPRODUCED, DIRECTION, UNDECIDED, OPPOSITE, ELSEWHERE, UNTRIED)

DOUBT = 2.8  # standard errors beyond which the difference of two means of three runs is clear (chapter 3)
PAIRED_DOUBT = 4.3  # the same for the mean of three differences, each of two runs with one seed (chapter 8)

Read = Callable[[str], dict[str, Any]]  # from the name of a result file to what it holds; `paths.result` is one
Ours = Callable[[Read], "Found"]


@dataclass(frozen=True)
class Found:
    """What our files say.

    Attributes
    ----------
    value : in the unit of the claim.
    low, high : between which it may lie; both equal to `value` where it is a count, or nothing is known of its spread.
    """

    value: float
    low: float
    high: float

    @staticmethod
    def exact(value: float) -> Found:
        """A number without a spread."""
        return Found(value, value, value)


class Rule(Protocol):
    """How a claim is judged."""

    def decide(self, paper: float | None, found: Found | None) -> str:
        """One of VERDICTS; `paper` is None where the paper says which way and not how much."""

    @property
    def says(self) -> str:
        """The rule in words."""


@dataclass(frozen=True)
class Claim:
    """One cell of the paper beside ours.

    Attributes
    ----------
    table : where it stands, a key of `claims_list.TABLES`.
    row, what : which cell; the field of paper.py that holds it.
    cell : the cell as the paper prints it.
    paper : the number that is compared; None where only a direction is claimed.
    unit : of `paper` and of what is found: "x" for a ratio.
    rule : decides the verdict.
    why : one sentence that a reader needs to weigh the verdict.
    ours : reads our number; None where there is none.
    command : makes what `ours` reads.
    files : result files that it reads; empty if the command computes it on the spot.
    reading : which reading of an open question this is; empty where there is one only.
    """

    table: str
    row: str
    what: str
    cell: str
    paper: float | None
    unit: str
    rule: Rule
    why: str
    ours: Ours | None = None
    command: str = ""
    files: tuple[str, ...] = ()
    reading: str = ""

    def found(self, read: Read = paths.result) -> Found | None:
        """Our number, or None."""
        return None if self.ours is None else self.ours(read)

    def verdict(self, read: Read = paths.result) -> str:
        """What the rule makes of the two numbers."""
        return self.rule.decide(self.paper, self.found(read))

    def share(self, read: Read = paths.result) -> float | None:
        """Ours over the paper's; None without two positive numbers of the same kind."""
        found = self.found(read)
        if found is None or not self.paper or self.paper <= 0 or found.value <= 0 or self.unit == "yes":
            return None
        return found.value / self.paper


# --------------------------------------------------------------------------------------------------------------------
# rules


@dataclass(frozen=True)
class Effect:
    """A ratio of two things, 1 if there is no effect.

    Two ratios count as one if they differ by no more than `share`, and by no more than a quarter of the paper's effect:
    1.06 and 1.10 are near each other, and one effect is nearly twice the other.

    Attributes
    ----------
    share : relative.
    sign : +1 or -1 where the paper gives no number, else 0.
    """

    share: float = 0.10
    sign: int = 0

    def decide(self, paper: float | None, found: Found | None) -> str:
        """Undecided while the interval holds 1; then the side, then the size."""
        if found is None:
            return UNTRIED
        if found.low <= 1 <= found.high:
            return UNDECIDED
        sign = self.sign if paper is None else math.copysign(1, paper - 1)
        if (found.value - 1) * sign < 0:
            return OPPOSITE
        if paper is None:
            return DIRECTION
        off = abs(math.log(found.value / paper))
        return REPRODUCED if off <= min(math.log1p(self.share), abs(math.log(paper)) / 4) else DIRECTION

    @property
    def says(self) -> str:
        """In words."""
        return f"a ratio: undecided if 1 lies in its interval, else by side; the same if within {self.share:.0%}"


@dataclass(frozen=True)
class Number:
    """A count or measure that has to come out."""

    share: float = 0.10

    def decide(self, paper: float | None, found: Found | None) -> str:
        """Reproduced or not."""
        if found is None or paper is None:
            return UNTRIED
        return REPRODUCED if abs(found.value / paper - 1) <= self.share else OPPOSITE

    @property
    def says(self) -> str:
        """In words."""
        return f"a number: reproduced within {self.share:.0%}, else opposite"


@dataclass(frozen=True)
class Under:
    """A size that has to stay under a limit.

    Attributes
    ----------
    limit : in the unit of the claim; None if the paper's number is itself the limit.
    share : by how much, relatively, two sizes may differ to count as one.
    """

    limit: float | None = None
    share: float = 0.05

    def decide(self, paper: float | None, found: Found | None) -> str:
        """Opposite on the other side of the limit."""
        if found is None or paper is None:
            return UNTRIED
        limit = paper if self.limit is None else self.limit
        if (found.value < limit) != (paper <= limit):
            return OPPOSITE
        close = self.limit is None or abs(found.value / paper - 1) <= self.share
        return REPRODUCED if close else DIRECTION

    @property
    def says(self) -> str:
        """In words."""
        limit = "it" if self.limit is None else f"{self.limit:g}"
        return f"a size: opposite on the other side of {limit}, reproduced within {self.share:.0%}"


@dataclass(frozen=True)
class Chosen:
    """A number that our sizes were chosen to meet: that it is met shows nothing."""

    share: float = 0.05

    def decide(self, paper: float | None, found: Found | None) -> str:
        """Not comparable while it is met."""
        if found is None or paper is None:
            return UNTRIED
        return ELSEWHERE if abs(found.value / paper - 1) <= self.share else OPPOSITE

    @property
    def says(self) -> str:
        """In words."""
        return f"chosen to be met, so never reproduced; opposite if it is missed by {self.share:.0%}"


@dataclass(frozen=True)
class Modelled:
    """A time of a chip that we do not have, beside a model's interval: it can be contradicted, and not shown."""

    def decide(self, paper: float | None, found: Found | None) -> str:
        """Not comparable inside of the interval, opposite outside."""
        if found is None or paper is None:
            return UNTRIED
        return ELSEWHERE if found.low <= paper <= found.high else OPPOSITE

    @property
    def says(self) -> str:
        """In words."""
        return "a model's interval: opposite if the paper's number lies outside, else nothing is shown"


@dataclass(frozen=True)
class Bound:
    """An upper bound of the paper beside a lower bound of ours."""

    def decide(self, paper: float | None, found: Found | None) -> str:
        """Opposite if ours is the larger one."""
        if found is None or paper is None:
            return UNTRIED
        return ELSEWHERE if found.low < paper else OPPOSITE

    @property
    def says(self) -> str:
        """In words."""
        return "two bounds: opposite if they cross, else nothing is shown"


@dataclass(frozen=True)
class Outside:
    """Yes (1) or no (0) to "all operators have a place on a µNPU", beside how many of them have no sure one here."""

    def decide(self, paper: float | None, found: Found | None) -> str:
        """A no is reproduced by one operator outside, a yes by none."""
        if found is None or paper is None:
            return UNTRIED
        return REPRODUCED if (found.value == 0) == bool(paper) else OPPOSITE

    @property
    def says(self) -> str:
        """In words."""
        return "yes needs no operator without a sure place, no needs one"


@dataclass(frozen=True)
class Apart:
    """Ours is a number of something else: shown, and never compared."""

    def decide(self, paper: float | None, found: Found | None) -> str:
        """Not comparable, or not tried where we have no number."""
        return UNTRIED if found is None else ELSEWHERE

    @property
    def says(self) -> str:
        """In words."""
        return "other pictures or another size: shown, never compared"


@dataclass(frozen=True)
class Stated:
    """What the paper says of a purpose, and nobody can measure."""

    def decide(self, paper: float | None, found: Found | None) -> str:
        """Never comparable."""
        return ELSEWHERE

    @property
    def says(self) -> str:
        """In words."""
        return "a statement, and no measurement"


# --------------------------------------------------------------------------------------------------------------------
# what our files say


def made(file: str) -> tuple[str, tuple[str, ...]]:
    """Command and files of a claim that reads one result file, which is named after its benchmark."""
    return f"python -m benchmarks.{file}", (file,)


def at(rows: Any, *keys: str) -> Any:
    """What lies in nested rows under the keys; the mean of a number that has several runs."""
    for key in keys:
        rows = rows[key]
    return rows["mean"] if isinstance(rows, dict) and "mean" in rows else rows


def number(file: str, *keys: str, scale: float = 1.0) -> Ours:
    """Read one number of a file, times a scale."""

    def read_it(read: Read) -> Found:
        return Found.exact(scale * at(read(file)["rows"], *keys))

    return read_it


def quotient(file: str, over: tuple[str, ...], under: tuple[str, ...], spread: float | None = None) -> Ours:
    """One number of a file over another one of it.

    Parameters
    ----------
    spread : by how much, relatively, the quotient may be off; None takes what the file itself says of its rows.
    """

    def read_it(read: Read) -> Found:
        made = read(file)
        ratio = at(made["rows"], *over) / at(made["rows"], *under)
        off = made["spread"] if spread is None else spread
        return Found(ratio, ratio * (1 - off), ratio * (1 + off))

    return read_it


def runs_ratio(file: str, row: str, base: str, key: str) -> Ours:
    """The mean of a row's runs over that of another row's, with chapter 3's interval.

    Parameters
    ----------
    file, row, base, key : which runs.
    """

    def read_it(read: Read) -> Found:
        rows = read(file)["rows"]
        return ratio_of(rows[row][key]["runs"], rows[base][key]["runs"])

    return read_it


def ratio_of(a: list[float], b: list[float]) -> Found:
    """mean(a) / mean(b), and the interval in which the difference of the means is no more than chance.

    Notes
    -----
    The interval is that of the difference, 2.8 standard errors to each side, over mean(b). A side with one run alone is
    taken to spread as the other one does. Source: chapter 3, eq-overmod-se.
    """
    spread = [variance(runs) if len(runs) > 1 else None for runs in (a, b)]
    known = [v for v in spread if v is not None]
    if not known:
        raise ValueError("Both rows have one run, so that no spread is known; give one of them more.")
    va, vb = (known[0] if v is None else v for v in spread)
    doubt = DOUBT * math.sqrt(va / len(a) + vb / len(b)) / fmean(b)
    ratio = fmean(a) / fmean(b)
    return Found(ratio, ratio - doubt, ratio + doubt)


def paired_ratio(file: str, row: str, base: str, key: str) -> Ours:
    """The mean of a row's runs over that of another row's, where both used the same seeds and the same pictures.

    Notes
    -----
    The interval is that of the mean of the differences, seed by seed. Source: chapter 8, "is there a gap".
    """

    def read_it(read: Read) -> Found:
        rows = read(file)["rows"]
        a, b = rows[row][key]["runs"], rows[base][key]["runs"]
        differences = [x - y for x, y in zip(a, b, strict=True)]
        doubt = PAIRED_DOUBT * math.sqrt(variance(differences) / len(a)) / fmean(b)
        ratio = fmean(a) / fmean(b)
        return Found(ratio, ratio - doubt, ratio + doubt)

    return read_it


def between(file: str, *keys: str) -> Ours:
    """A row with a point and the two ends of its interval."""

    def read_it(read: Read) -> Found:
        row = at(read(file)["rows"], *keys)
        return Found(row["point"], row["low"], row["high"])

    return read_it
