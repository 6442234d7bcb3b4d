"""Exercises of chapters 9 and 10: C functions that are judged for being correct, staying in bounds, and being fast.

    print(check(CURVE, text))

The text is compiled beside the plain function of the exercise. A second process (c_worker.py) calls both, so that
whatever the text does, this one goes on: it gives arrays that end, or begin, where memory ends, looks at the results,
and only then at the clock. What is expected is computed here, in NumPy, and not by a solution.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..kernels.compilers import find
from ..kernels.source import shared
from . import Verdict
from .attempt import NO_ANSWER, with_article

SECONDS = 20.0  # that an answer may take, compiling apart; the plain functions take a tenth
Arguments = dict[str, "np.ndarray | float"]


@dataclass(frozen=True)
class Exercise:
    """A C function to be written.

    name : of this constant, in small letters, and of the function in C.
    declaration : of the function.
    plain : C text of the plain function, that the answer has to beat.
    gain : how many times as fast it has to be.
    written : names of the arrays that it writes; all others it must leave as they are.
    cases : arguments, in the order of the declaration, to be tried; the last one is timed, too.
    expected : from the arguments to what the written arrays hold afterwards, and by how much each number may be off.
    """

    name: str
    declaration: str
    plain: str
    gain: float
    written: tuple[str, ...]
    cases: Callable[[np.random.Generator], Iterator[Arguments]]
    expected: Callable[[Arguments], dict[str, tuple[np.ndarray, np.ndarray | float]]]


SIZES = (1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 100, 255, 256, 257)


def _curve_cases(dice: np.random.Generator) -> Iterator[Arguments]:
    for count in (*SIZES, 4096):
        x = dice.integers(-128, 128, count, dtype=np.int8)
        x[:2] = (-128, 127)[:count]
        yield {"count": count, "scale": float(dice.uniform(0.01, 0.1)), "x": x, "y": np.empty(count, np.int8)}


def _curve_expected(given: Arguments) -> dict[str, tuple[np.ndarray, np.ndarray | float]]:
    x, scale = np.asarray(given["x"], np.float64), np.float32(given["scale"])
    y = 255 / (1 + np.exp(-float(scale) * x)) - 128
    # where float and double may round to different sides, either is taken
    near = np.abs(y - np.floor(y) - 0.5) < 1e-3
    return {"y": (np.floor(y + 0.5), near.astype(float))}


CURVE = Exercise(
    "curve",
    "void curve(int32_t count, float scale, const int8_t *x, int8_t *y);",
    """
void curve(int32_t count, float scale, const int8_t *x, int8_t *y) {
    for (int32_t i = 0; i < count; i++) {
        float share = 1.0f / (1.0f + expf(-scale * x[i]));
        y[i] = (int8_t)floorf(255.0f * share - 128.0f + 0.5f);
    }
}
""",
    3.0,
    ("y",),
    _curve_cases,
    _curve_expected,
)


def _product_cases(dice: np.random.Generator) -> Iterator[Arguments]:
    shapes = [(1, 1), (1, 40), (40, 1), (3, 5), (16, 16), (17, 33), (63, 65), (100, 7), (256, 512)]
    for extreme in (False, True):
        for rows, columns in shapes:
            weight = dice.integers(-128, 128, (columns, rows), dtype=np.int8)
            x = dice.integers(-128, 128, columns, dtype=np.int8)
            if extreme:
                weight[:], x[:] = -128, -128
            y = np.full(rows, 123456789, np.int32)  # what was there before must not count
            yield {"rows": rows, "columns": columns, "weight": weight, "x": x, "y": y}


def _product_expected(given: Arguments) -> dict[str, tuple[np.ndarray, np.ndarray | float]]:
    return {"y": (np.asarray(given["x"], np.int64) @ np.asarray(given["weight"], np.int64), 0)}


PRODUCT = Exercise(
    "product",
    "void product(int32_t rows, int32_t columns, const int8_t *weight, const int8_t *x, int32_t *y);",
    """
void product(int32_t rows, int32_t columns, const int8_t *weight, const int8_t *x, int32_t *y) {
    for (int32_t i = 0; i < rows; i++) {
        y[i] = 0;
        for (int32_t j = 0; j < columns; j++) y[i] += weight[j * rows + i] * x[j];
    }
}
""",
    2.0,
    ("y",),
    _product_cases,
    _product_expected,
)


def _sigmoid_cases(dice: np.random.Generator) -> Iterator[Arguments]:
    for count in (*SIZES, 4096):
        for wide in (1.0, 20.0):
            x = (dice.normal(size=count) * wide).clip(-80, 80).astype(np.float32)
            yield {"count": count, "x": x, "y": np.empty(count, np.float32)}
    ends = np.array([0, -0.0, 1e-30, -1e-30, 80, -80, 16.6, -16.6, 1e5, -1e5, 3e38, -3e38], np.float32)
    yield {"count": len(ends), "x": ends, "y": np.empty(len(ends), np.float32)}
    x = dice.uniform(-10, 10, 4096).astype(np.float32)
    yield {"count": 4096, "x": x, "y": np.empty(4096, np.float32)}


def _sigmoid_expected(given: Arguments) -> dict[str, tuple[np.ndarray, np.ndarray | float]]:
    x = np.asarray(given["x"], np.float64)
    y = np.exp(-np.logaddexp(0, -x))
    return {"y": (y, 1e-5 * y + 1e-36)}


SIGMOID = Exercise(
    "sigmoid",
    "void sigmoid(int32_t count, const float *x, float *y);",
    """
void sigmoid(int32_t count, const float *x, float *y) {
    for (int32_t i = 0; i < count; i++) y[i] = 1.0f / (1.0f + expf(-x[i]));
}
""",
    1.5,
    ("y",),
    _sigmoid_cases,
    _sigmoid_expected,
)


def _checksum_cases(dice: np.random.Generator) -> Iterator[Arguments]:
    for count in (*SIZES, 4096):
        for x in (dice.integers(0, 256, count, dtype=np.uint8), np.full(count, 255, np.uint8)):
            yield {"count": count, "x": x, "sum": np.full(1, 123456789, np.uint32)}


def _checksum_expected(given: Arguments) -> dict[str, tuple[np.ndarray, np.ndarray | float]]:
    return {"sum": (np.array([zlib.crc32(np.asarray(given["x"]).tobytes())]), 0)}


CHECKSUM = Exercise(
    "checksum",
    "void checksum(int32_t count, const uint8_t *x, uint32_t *sum);",
    """
void checksum(int32_t count, const uint8_t *x, uint32_t *sum) {
    const volatile uint32_t given = 0xEDB88320u; /* a compiler that knew this number could make the table itself */
    uint32_t crc = 0xFFFFFFFFu, polynomial = given;
    for (int32_t i = 0; i < count; i++) {
        crc ^= x[i];
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ polynomial : crc >> 1;
    }
    *sum = ~crc;
}
""",
    2.0,
    ("sum",),
    _checksum_cases,
    _checksum_expected,
)


def check(exercise: Exercise, text: Any, seconds: float = SECONDS) -> Verdict:
    """Judge an answer.

    Parameters
    ----------
    exercise : CURVE, PRODUCT, SIGMOID or CHECKSUM.
    text : C99 with the exercise's function; it may include the headers of csrc/. None and `...` are no answer.
    seconds : that trying it out may take.

    Returns
    -------
    Verdict
        `measured` is how many times as fast as the plain function it is.

    Raises
    ------
    RuntimeError : there is no C compiler.

    Notes
    -----
    Source: chapters 9 and 10, exercises.
    """
    find()
    if text is None or text is Ellipsis:
        return NO_ANSWER
    if not isinstance(text, str):
        return Verdict(False, f"the text of a C function is wanted, and not {with_article(text)}.")
    if not text.strip():
        return Verdict(False, f"the text is empty; write `{exercise.declaration[:-1]}`.")
    with tempfile.TemporaryDirectory(prefix="uvlm_") as name:
        folder = Path(name)
        plain = exercise.plain.replace(f" {exercise.name}(", " plain(")
        try:
            library = shared([exercise.declaration + f'\n#line 1 "your text"\n{text}', plain], folder)
        except RuntimeError as error:
            return Verdict(
                False, f"it does not compile, {str(error).partition(': ')[2].removesuffix('; mend it there.')}."
            )
        report = folder / "report"
        report.touch()
        command = [sys.executable, "-m", "uvlm_mini.exercises.c_worker", exercise.name, str(library), str(report)]
        late = False
        try:
            ended = subprocess.run(
                command, timeout=seconds, stdin=subprocess.DEVNULL, capture_output=True, cwd=folder, env=_environment()
            )
        except subprocess.TimeoutExpired:
            late = True
        lines = [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()]
        last = lines[-1] if lines else {}
    if late:
        return Verdict(
            False, f"it is still busy {_where(last)} after {seconds:g} seconds; look for a loop that never ends."
        )
    if "wrong" in last:
        return Verdict(False, last["wrong"])
    if "times" in last:
        if last["times"] < exercise.gain:
            says = f"it is right and in bounds, but not {exercise.gain:g} times as fast as the plain function."
            return Verdict(False, says, last["times"])
        says = f"every number is right, none out of bounds, and it is over {exercise.gain:g} times as fast."
        return Verdict(True, says, last["times"])
    if not last:
        raise RuntimeError(f"The process that tries out answers did not start: {ended.stderr.decode()[-300:]}.")
    return Verdict(False, f"{_death(ended.returncode)} {_where(last)}.")


def _environment() -> dict[str, str]:
    import os

    package = Path(__file__).resolve().parents[2]
    paths = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"}


def _where(last: dict[str, str]) -> str:
    return f"in a call with {last['trying']}" if "trying" in last else "when it was loaded"


def _death(code: int) -> str:
    """What a process that ended by itself did."""
    if code in (-signal.SIGSEGV, -getattr(signal, "SIGBUS", 0) or 1):
        return "it touches memory that is not its own"
    if code == -signal.SIGFPE:
        return "it divides by zero"
    if code == -signal.SIGILL:
        return "it runs into an instruction that this processor has not"
    if code < 0:
        return f"it is ended by the signal {signal.Signals(-code).name}"
    return "it ends the program instead of returning"
