"""What all timings of benchmarks/kernels.py share: one core, turns, and the library of limits.c, built as csrc/ is."""

from __future__ import annotations

import os
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import record
from uvlm_mini.kernels import build, compilers, library
from uvlm_mini.kernels.s8 import FORMS
from uvlm_mini.paths import csrc

SOURCE = record.ROOT / "benchmarks" / "limits.c"
DECLARATIONS = re.compile(r"/\* declarations \*/(.*?)/\* end of declarations \*/", re.S)
AHEAD, STREAMS = (0, 512, 1024, 2048, 4096), (1, 4)  # ways to read a buffer


def one_core() -> int | None:
    """Keep this process on one core, the last that it may use, and torch on one thread; the core, if the system can."""
    import torch

    torch.set_num_threads(1)
    if not hasattr(os, "sched_setaffinity"):
        return None
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def turns(
    calls: dict[Any, Callable[[], Any]],
    rounds: int,
    repeat: int = 1,
    warm: int = 0,
    before: dict[Any, Callable[[], Any]] | None = None,
) -> dict[Any, Any]:
    """Every call in turn, round after round: {"best": seconds, "median": seconds} of each.

    Parameters
    ----------
    rounds : turns of each call.
    repeat : calls in a turn, whose mean is taken.
    warm : calls before them that are not timed: they leave the caches as a caller who does nothing else finds them.
    before : what else, by name, is called before each turn of a call and not timed.
    """
    times: dict[Any, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            for _ in range(warm):
                call()
            if before:
                before[name]()
            start = time.perf_counter()
            for _ in range(repeat):
                call()
            times[name].append((time.perf_counter() - start) / repeat)
    return {name: {"best": min(row), "median": statistics.median(row)} for name, row in times.items()}


def microseconds(found: dict[str, float]) -> dict[str, float]:
    """Best and median as a row shows them."""
    return {"us": round(1e6 * found["best"], 3), "median us": round(1e6 * found["median"], 3)}


def forms() -> list[str]:
    """The forms of the kernels that run here and that limits.c has."""
    return [name for number, name in enumerate(FORMS[:3]) if library()[1].uvlm_has(number)]


@cache
def limits() -> tuple[Any, Any]:
    """cffi's two objects for limits.c, compiled by the compiler of the kernels with their flags."""
    from cffi import FFI

    plan = build.Plan(compilers.find(), include=None, sanitize=False)
    ffi = FFI()
    ffi.cdef("\n".join(DECLARATIONS.findall(SOURCE.read_text(encoding="utf-8"))))
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "limits.so")
        build._run(plan, SOURCE.name, [*plan.flags, f"-I{csrc()}", "-o", str(made), str(SOURCE), *plan.linking])
        return ffi, ffi.dlopen(str(made))


def whole_library(api: bool, folder: Path) -> tuple[Any, Any]:
    """The kernels built once more: with cffi's wrapper (API mode), which needs Python.h, or without (ABI mode)."""
    plan = build.Plan(compilers.find(), sanitize=False)
    if api and plan.include is None:
        raise RuntimeError("Python.h is not here, and cffi's wrapper needs it; install the headers of Python.")
    plan = plan if api else replace(plan, include=None)
    path = folder / f"{build.MODULE}.{plan.way}.so"
    build.compile_to(plan, path)
    return build._load(path, plan.way)


def readers(arrays: list[np.ndarray], ways: Iterable[tuple[str, int, int]]) -> dict[Any, Callable[[], None]]:
    """Calls that read arrays from end to end, by form, distance of the prefetch and number of streams.

    What of an array is behind its last multiple of 2 KB is left out.
    """
    ffi, lib = limits()
    given = [(ffi.from_buffer("int8_t[]", a.reshape(-1).view(np.int8)), a.nbytes // 2048 * 2048) for a in arrays]
    given = [(pointer, count) for pointer, count in given if count]

    def reader(form: int, ahead: int, streams: int) -> Callable[[], None]:
        def read() -> None:
            for pointer, count in given:
                if lib.uvlm_read(form, ahead, streams, pointer, count) < 0:
                    raise RuntimeError("limits.c does not read in this form.")

        return read

    return {way: reader(FORMS.index(way[0]), *way[1:]) for way in ways}


def flusher(arrays: list[np.ndarray]) -> Callable[[], None] | None:
    """A call that takes arrays out of all caches; None where no program can."""
    ffi, lib = limits()
    given = [(ffi.from_buffer("int8_t[]", a.reshape(-1).view(np.int8)), a.nbytes) for a in arrays]
    if any(lib.uvlm_flush(*part) < 0 for part in given):
        return None

    def flush() -> None:
        for part in given:
            lib.uvlm_flush(*part)

    return flush
