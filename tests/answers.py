"""What every checker has to withstand, and what it has to accept: shared by the tests of the exercises."""

from collections.abc import Callable, Iterable
from typing import Any

from uvlm_mini.exercises import Verdict


def raises(*_: Any) -> None:
    """An answer with a mistake of its own."""
    raise ZeroDivisionError("division by zero")


def never_ends(*_: Any) -> None:
    """An answer that loops for ever, and keeps what would stop it once."""
    try:
        while True:
            pass
    except BaseException:
        while True:
            pass


def withstands(check: Callable[..., Verdict], right: Any, wrong: Iterable[Any]) -> None:
    """Assert that a checker accepts `right`, and answers everything else with a sentence: no answer, other types, an
    exception, an endless loop, and each of `wrong`, of which there are at least two.
    """
    verdict = check(right)
    assert verdict.right, verdict
    assert str(verdict) == str(check(right)), "a verdict says the same each time"
    wrong = list(wrong)
    assert len(wrong) >= 2
    hints = set()
    for answer in (None, ..., 3.5, "a text", [1, "two"], *wrong):
        hints.add(_refused(check(answer), answer))
    assert len(hints) >= 3, f"the hints say all the same: {hints}"
    if callable(right):
        assert "ZeroDivisionError" in _refused(check(raises), raises)
        assert "seconds" in _refused(check(never_ends, seconds=0.2), never_ends)


def _refused(verdict: Verdict, answer: Any) -> str:
    assert isinstance(verdict, Verdict) and not verdict.right, f"{answer!r} passes"
    says = verdict.says.strip()
    assert says.endswith(".") and "\n" not in says and len(says) < 400, says
    return says
