"""The process in which an answer in C is tried out: `python -m uvlm_mini.exercises.c_worker NAME LIBRARY REPORT`.

Every array has pages of its own, and before and behind them a page that must not be touched: the processor itself stops
whoever does. An array lies once at the end of its pages and once at their beginning; what is left of them is filled
with a pattern, and looked at afterwards. What is going on is written to the report before it happens, one line each,
so that the last line tells where a process ended.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import sys
import time
from typing import Any

import numpy as np

from . import c_kernels
from .c_kernels import Arguments, Exercise

PATTERN = 0xA5
ROUNDS, BATCH = 9, 0.001  # times that both are timed, and seconds each time


class Guarded:
    """An array with forbidden pages around it.

    Parameters
    ----------
    x : what it holds.
    at_end : whether it ends where the forbidden page begins; else it begins where one ends.
    """

    def __init__(self, x: np.ndarray, at_end: bool) -> None:
        page = mmap.PAGESIZE
        size = -(-max(x.nbytes, 1) // page) * page
        self._map = mmap.mmap(-1, size + 2 * page)
        whole = np.frombuffer(self._map, np.uint8)
        base = whole.ctypes.data
        protect = getattr(ctypes.CDLL(None), "mprotect", None) if sys.platform != "win32" else None
        if protect is not None:
            for at in (base, base + page + size):
                protect(ctypes.c_void_p(at), ctypes.c_size_t(page), 0)
        start = page + (size - x.nbytes if at_end else 0)
        self.inside = whole[page : page + size]
        self.inside[:] = PATTERN
        self.array = whole[start : start + x.nbytes].view(x.dtype)
        self.array[:] = x.ravel()
        self.left, self.right = self.inside[: start - page], self.inside[start - page + x.nbytes :]
        self.address = base + start

    def clean(self) -> bool:
        """Whether nothing was written beside the array."""
        return bool((self.left == PATTERN).all() and (self.right == PATTERN).all())


def shown(given: Arguments) -> str:
    """The sizes of a call, for the sentence about it."""
    return ", ".join(f"{name} = {value}" for name, value in given.items() if isinstance(value, int))


def judge(exercise: Exercise, given: Arguments, call: Any, ffi: Any, at_end: bool) -> str | None:
    """Call an answer once: what is wrong with what it did, or None."""
    kept = {name: Guarded(x, at_end) for name, x in given.items() if isinstance(x, np.ndarray)}
    call(*pointers(given, kept, ffi))
    where = f"in a call with {shown(given)}"
    for name, place in kept.items():
        if not place.clean():
            return f"it writes outside of {name} {where}."
        if name not in exercise.written and place.array.tobytes() != np.asarray(given[name]).tobytes():
            return f"it changes {name}, which it should only read, {where}."
    for name, (expected, most) in exercise.expected(given).items():
        found = kept[name].array.astype(np.float64)
        off = ~(np.abs(found - expected) <= most)  # NaN is off, too
        if off.any():
            i = int(off.argmax())
            return f"{name}[{i}] is {found[i]:.9g} and should be {expected[i]:.9g} {where}."
    return None


def pointers(given: Arguments, kept: dict[str, Guarded], ffi: Any) -> list[Any]:
    """The arguments as C takes them."""
    kinds = {name: f"{x.array.dtype}_t *".replace("float32_t", "float") for name, x in kept.items()}
    return [ffi.cast(kinds[n], kept[n].address) if n in kept else value for n, value in given.items()]


def batch(call: Any, arguments: list[Any], count: int) -> float:
    """Seconds that so many calls take, of this process alone: others on the machine count as little as can be."""
    start = time.process_time()
    for _ in range(count):
        call(*arguments)
    return time.process_time() - start


def times_as_fast(given: Arguments, call: Any, plain: Any, ffi: Any) -> float:
    """How many times as fast as the plain function: the best of several rounds in which both take turns, and of three
    such the middle one."""
    kept = {name: Guarded(x, True) for name, x in given.items() if isinstance(x, np.ndarray)}
    arguments = pointers(given, kept, ffi)
    counts = []
    for function in (plain, call):
        count = 1
        while (took := batch(function, arguments, count)) < BATCH:
            count = max(2 * count, int(count * BATCH / max(took, 1e-6)))
        counts.append(count)
    ratios = []
    for _ in range(3):
        best = [np.inf, np.inf]
        for _ in range(ROUNDS):
            for i, function in enumerate((plain, call)):
                best[i] = min(best[i], batch(function, arguments, counts[i]) / counts[i])
        ratios.append(best[0] / best[1])
    return float(sorted(ratios)[1])


def main(name: str, library: str, report: str) -> None:
    """Try out the answer to an exercise in a compiled library."""
    from cffi import FFI

    exercise: Exercise = getattr(c_kernels, name.upper())
    with open(report, "a", encoding="utf-8") as file:

        def say(**what: object) -> None:
            file.write(json.dumps(what) + "\n")
            file.flush()

        say(loading=library)
        ffi = FFI()
        ffi.cdef(exercise.declaration + exercise.declaration.replace(f" {name}(", " plain("))
        lib = ffi.dlopen(library)
        given: Arguments = {}
        try:
            call = getattr(lib, name)
        except AttributeError:
            say(wrong=f"the text has no function {name} that Python can see; write `{exercise.declaration[:-1]}`.")
            return
        for given in exercise.cases(np.random.default_rng(9)):
            for at_end in (True, False):
                say(trying=shown(given))
                if wrong := judge(exercise, given, call, ffi, at_end):
                    say(wrong=wrong)
                    return
        say(trying=f"{shown(given)}, many times")
        say(times=times_as_fast(given, call, lib.plain, ffi))


if __name__ == "__main__":
    main(*sys.argv[1:])
