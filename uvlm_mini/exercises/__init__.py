"""Checkers for exercises of the chapters: each looks at what a reader wrote, and answers in one sentence.

A checker takes the reader's work as an argument, never the solution, and gives a `Verdict`.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Verdict"]


@dataclass(frozen=True)
class Verdict:
    """What a checker thinks of an answer.

    Attributes
    ----------
    right : bool
        Whether the exercise is solved; a Verdict counts as this.
    says : str
        One sentence: what was found, and what to look at if it is not right. It names no measured time, so that it
        can be compared.
    measured : float or None
        What was measured of it, if anything; the checker says what that is.
    """

    right: bool
    says: str
    measured: float | None = None

    def __bool__(self) -> bool:
        return self.right

    def __str__(self) -> str:
        return f"{'Right' if self.right else 'Not yet'}: {self.says}"
