"""Writes csrc/tests/golden_vectors.h: what integer_ops.py gives, as constants that a C program holds against its own.

    python -m tests.golden

A vector is one record of csrc/program.h with its values before and after it ran. The program that reads them,
csrc/tests/golden.c, needs no files, so it runs on a bare microcontroller as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.kernel_cases import MAKERS, Case, Dice
from uvlm_mini.kernels.build import library
from uvlm_mini.kernels.program import ALIGNED, NAMES
from uvlm_mini.kernels.s8 import Kernel
from uvlm_mini.kernels.structs import CHANGED, INT32, STRUCTS, laid_shape, layout
from uvlm_mini.quantize.integer_ops import KERNELS

PATH = Path(__file__).resolve().parents[1] / "csrc" / "tests" / "golden_vectors.h"
RECORDS = ((False, 2), (True, 1))  # real and wild ones a kernel
BATCH = 3  # inputs of each
LARGEST = 360  # numbers in a record and its values, without shared tables
MORE = {"scan": 600}  # or as many: nine channels of 16 states, of which Helium takes eight at a time
TABLES = ("powers", "roots", "sigmoid", "tanh", "mantissa", "shift", "table")

HEAD = """\
/* Made by `python -m tests.golden` from uvlm_mini/quantize/integer_ops.py: do not edit. */
#ifndef UVLM_GOLDEN_VECTORS_H
#define UVLM_GOLDEN_VECTORS_H
"""


def cases(kind: str) -> Iterator[tuple[str, Case, tuple[np.ndarray, ...], tuple[np.ndarray, ...]]]:
    """The largest records of a kernel that are small enough: names, inputs, and what the Python function gives."""
    for wild, count in RECORDS:
        found = sorted((_drawn(kind, wild, seed) for seed in range(16)), key=lambda one: -one[0])
        for i, (_, *one) in enumerate([one for one in found if one[0] <= MORE.get(kind, LARGEST)][:count]):
            yield f"{kind}_{'wild' if wild else 'real'}_{i}", *one


def _drawn(kind: str, wild: bool, seed: int) -> tuple[int, Case, tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """A case, its inputs and outputs, and before them how many numbers it has besides tables."""
    dice = Dice(seed + 50 * wild)
    case = MAKERS[kind](dice, wild)
    given = case.inputs(dice, BATCH)
    made = KERNELS[kind](case.record, *given)
    made = made if isinstance(made, tuple) else (made,)
    arrays = [x for name, x in case.record.arrays.items() if name not in TABLES]
    return sum(x.size for x in arrays) + sum(x[0].size for x in (*given, *made)), case, given, made


class Writer:
    """Collects constants; those with the same numbers are written once."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.known: dict[tuple[str, bytes], str] = {}

    def array(self, x: np.ndarray) -> str:
        """The name of an array with these numbers."""
        x = np.ascontiguousarray(x).ravel()
        key = str(x.dtype), x.tobytes()
        if key not in self.known:
            name = self.known[key] = f"a{len(self.known)}"
            words = ["-2147483647-1" if v == -(2**31) else str(v) for v in x.tolist()]
            numbers = ",\n".join(",".join(words[i : i + 24]) for i in range(0, len(words), 24))
            self.lines.append(f"static const {x.dtype}_t {name}[{x.size}] = {{{numbers}}};")
        return self.known[key]

    def struct(self, name: str, case: Case) -> Kernel:
        """A record's struct under this name."""
        ffi, _ = library()
        kernel = Kernel(case.record, *map(laid_shape, case.shapes))
        kind = f"uvlm_{STRUCTS.get(kernel.kind, kernel.kind)}"
        alive = iter(kernel.alive)
        parts = []
        for field, about in ffi.typeof(kind).fields:
            value = getattr(kernel.struct, field)
            if about.type.kind == "pointer":
                if value != ffi.NULL:
                    kind_of = np.dtype(about.type.item.cname.removesuffix("_t"))
                    numbers = np.frombuffer(ffi.buffer(next(alive)), kind_of)
                    parts.append(f".{field} = {self.array(numbers)}")
            elif about.type.kind == "array":
                parts.append(f".{field} = {{{', '.join(map(str, value))}}}")
            else:
                parts.append(f".{field} = {value}")
        self.lines.append(f"static const {kind} {name} = {{{', '.join(parts)}}};")
        return kernel

    def vector(self, struct: str, kernel: Kernel, given: list[np.ndarray], made: list[np.ndarray]) -> tuple[str, int]:
        """One entry of the list of vectors, and the bytes of its arena."""
        changed = dict(CHANGED.get(kernel.kind, ()))
        values = []  # bytes, before, after
        for i, x in enumerate(given):
            before = self.array(x)
            after = self.array(made[changed[i]]) if i in changed else before
            values.append((x.nbytes, before, after))
        for i, y in enumerate(made):
            if i not in changed.values():
                values.append((y.nbytes, "NULL", self.array(y)))
        if kernel.sizes.scratch:
            values.append((kernel.sizes.scratch * INT32.itemsize, "NULL", "NULL"))
        ends = np.cumsum([-(-size // ALIGNED) * ALIGNED + ALIGNED for size, _, _ in values])
        places = [0, *ends[:-1].tolist()]
        at, sizes, before, after = (", ".join(map(str, row)) for row in (places, *zip(*values, strict=True)))
        kind = f"UVLM_{NAMES.get(kernel.kind, kernel.kind.upper())}"
        line = f'{{"{kernel.kind}", {{{kind}, &{struct}, {{{at}}}}}, {{{sizes}}}, {{{before}}}, {{{after}}}}}'
        return line, int(ends[-1])


def text() -> str:
    """The whole header."""
    writer, rows, most = Writer(), [], 0
    for kind in MAKERS:
        for name, case, given, made in cases(kind):
            kernel = writer.struct(name, case)
            for b in range(BATCH):
                one = ([np.atleast_1d(layout(x[b])) for x in values] for values in (given, made))
                row, size = writer.vector(name, kernel, *one)
                rows.append(row)
                most = max(most, size)
    vectors = ",\n    ".join(rows)
    return "\n".join(
        [
            HEAD,
            f"enum {{ GOLDEN_ARENA = {most}, GOLDEN_VECTORS = {len(rows)} }};",
            *writer.lines,
            f"static const golden_vector golden_vectors[GOLDEN_VECTORS] = {{\n    {vectors}}};",
            "\n#endif\n",
        ]
    )


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf8")
    print(f"{PATH.name}: {PATH.stat().st_size:,} bytes")
