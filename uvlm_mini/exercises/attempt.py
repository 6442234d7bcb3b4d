"""Looking at a reader's answer so that whatever it does ends in one sentence, and not in a traceback.

    @judged(seconds=10)
    def check_double(double):
        expect_function(double, "x")
        expect_close(double(np.arange(3.0)), [0.0, 2.0, 4.0], "double of 0, 1, 2")
        return Verdict(True, "three numbers are doubled.")

An answer that is not there yet, is of another type, raises, or never ends becomes a `Verdict` that is not right.
"""

from __future__ import annotations

import ctypes
import functools
import inspect
import linecache
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from . import Verdict

PACKAGE = Path(__file__).resolve().parent.parent
NO_ANSWER = Verdict(False, "there is no answer here yet; write one in the cell above, and run both again.")
AGAIN = 0.5  # seconds until an answer that swallows the interruption is interrupted once more


class Hint(Exception):
    """What a reader should look at next, as one sentence: a checker raises it, and `judged` answers with it."""


class TimeUp(BaseException):
    """The time of an answer is over. Not an Exception, so that `except Exception` in an answer does not keep it."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `TimeUp` in the calling thread when its block has run for `seconds` and is still in Python code.

    Notes
    -----
    A second thread asks the interpreter to raise it, which works on every system and in every thread, but not before
    a call into C has come back. Arrays of an exercise are small, so that calls into C are short.
    """
    thread, lock, done = threading.get_ident(), threading.Lock(), threading.Event()

    def ask(error: type[BaseException] | None) -> None:
        what = None if error is None else ctypes.py_object(error)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), what)

    def watch() -> None:
        wait = seconds
        while not done.wait(wait):
            with lock:
                if not done.is_set():
                    ask(TimeUp)
            wait = AGAIN

    try:
        threading.Thread(target=watch, daemon=True).start()
        yield
    finally:
        while True:  # again, if it arrives just here
            try:
                with lock:
                    done.set()
                ask(None)  # one that was asked for and has not arrived would hit whoever comes next
                break
            except TimeUp:
                continue


def judged(seconds: float = 20.0) -> Callable[[Callable[..., Verdict]], Callable[..., Verdict]]:
    """Make a checker out of a function that looks at an answer and may raise whatever the answer raises.

    Parameters
    ----------
    seconds : what one answer may take. A checker can be called with another limit, as `check(answer, seconds=1)`.

    Returns
    -------
    decorator
        Of a function from an answer to a `Verdict`. None and `...` count as no answer.
    """

    def decorate(check: Callable[..., Verdict]) -> Callable[..., Verdict]:
        @functools.wraps(check)
        def checked(answer: Any = None, *others: Any, seconds: float = seconds) -> Verdict:
            if answer is None or answer is Ellipsis:
                return NO_ANSWER
            try:
                with time_limit(seconds):
                    return check(answer, *others)
            except Hint as hint:
                return Verdict(False, str(hint))
            except TimeUp:
                return Verdict(False, f"it has not ended after {seconds:g} seconds; look for a loop that never stops.")
            except (Exception, SystemExit) as error:
                return Verdict(False, _told(error))

        return checked

    return decorate


def _told(error: BaseException) -> str:
    """What was raised, and the reader's own line that did it."""
    what = type(error).__name__ + (f" ({str(error).strip().splitlines()[0]})" if str(error).strip() else "")
    line = _own_line(error.__traceback__)
    if line is None:
        return f"what it gives cannot be looked at: {what}."
    return f"it raises {what}, in its line `{line}`."


def _own_line(trace: TracebackType | None) -> str | None:
    """The last line that stands neither in this package nor in an installed one; None if there is none."""
    found = None
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if "site-packages" not in file and PACKAGE not in Path(file).parents and not file.startswith("<frozen"):
            found = linecache.getline(file, trace.tb_lineno).strip() or found
        trace = trace.tb_next
    return found


def expect_function(answer: Any, arguments: str) -> None:
    """Raise a Hint unless `answer` can be called with so many positional arguments, named as in "x, w"."""
    names = [name.strip() for name in arguments.split(",")]
    if not callable(answer):
        raise Hint(f"a function of ({arguments}) is wanted, and this is {with_article(answer)}.")
    try:
        inspect.signature(answer).bind(*names)
    except TypeError:
        raise Hint(f"it cannot be called with {len(names)} argument{'s' * (len(names) > 1)}, ({arguments}).") from None
    except ValueError:
        pass  # some built-in functions have no signature


def expect_array(value: Any, shape: tuple[int, ...], name: str) -> np.ndarray:
    """The value as a NumPy array of numbers; raise a Hint that names it if its type or shape is another or it has NaN.

    Parameters
    ----------
    value : array, tensor, number or nested lists.
    shape : what it must have; () asks for a single number.
    name : what the Hint calls it, such as "the state after 3 steps".
    """
    if value is None or value is Ellipsis:
        raise Hint(f"{name} is {value}; look whether there is a return.")
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    try:
        found = np.asarray(value)
    except ValueError:
        raise Hint(f"{name} has rows of different lengths.") from None
    if found.dtype.kind not in "biuf":
        raise Hint(f"{name} should be numbers, and is {with_article(value)}.")
    if found.shape != shape:
        raise Hint(f"{name} has the shape {found.shape}, and {shape} is wanted.")
    if found.dtype.kind == "f" and np.isnan(found).any():
        raise Hint(f"{name} has entries that are not a number.")
    return found


def expect_close(value: Any, wanted: Any, name: str, rtol: float = 1e-5, atol: float = 1e-8) -> None:
    """Raise a Hint with the first entry of `value` that is not near `wanted` (array or number of the right shape)."""
    if hasattr(wanted, "detach"):
        wanted = wanted.detach().cpu().numpy()
    wanted = np.asarray(wanted)
    found = expect_array(value, wanted.shape, name)
    wrong = np.argwhere(~np.isclose(found.astype(float), wanted.astype(float), rtol, atol))
    if len(wrong):
        at = tuple(int(i) for i in wrong[0])
        place = f" at {list(at)}" if at else ""
        raise Hint(f"{name}{place} is {found[at]:.6g}, and {wanted[at]:.6g} is wanted.")


def with_article(value: Any) -> str:
    """The type of a value in a sentence: "an int"."""
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
