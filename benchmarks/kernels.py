"""Kernels in C beside PyTorch, torch.compile and onnxruntime, and beside what the machine can do at most.

python -m benchmarks.kernels          about a minute, the first time two more

One thread on one core, all contenders in turns, best and median of many. Chapter 9 reads it.

    recurrence   a step of the selective SSM between its projections, I = 1024, N = 16, float32: and without any exp,
                 which no way of computing exp can be faster than
    scan         20 such steps at once
    norms        LayerNorm and GRN, in float and in fixed point
    step         whole decoder steps in int8 at the paper's size, in parts; beside them the time in which a buffer as
                 large as the weights is read by the same instructions, and onnxruntime's step. With the weights where
                 the steps before leave them, and with the weights in memory, out of all caches
    calling      what a call costs before anything is computed
"""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import int8_steps, norms, record, recurrence
from benchmarks.limits import forms, microseconds, one_core, turns, whole_library
from uvlm_mini.kernels import build, library
from uvlm_mini.kernels.f32 import SSM
from uvlm_mini.kernels.s8 import Kernel
from uvlm_mini.paths import csrc
from uvlm_mini.quantize.integer_ops import Record

SOURCES = [
    "benchmarks/kernels.py",
    "benchmarks/limits.c",
    "benchmarks/limits.py",
    "benchmarks/norms.py",
    "benchmarks/recurrence.py",
    *int8_steps.PROGRAMS,
    "uvlm_mini/kernels/f32.py",
    "uvlm_mini/kernels/program.py",
    "uvlm_mini/kernels/s8.py",
    *sorted(f"csrc/{path.name}" for path in csrc().glob("*.[ch]")),
]


def machine(core: int | None) -> dict[str, Any]:
    """What the numbers were measured on and with."""
    import onnxruntime

    made = build.loaded()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor()
    return {
        "processor": name,
        "compiler": made.compiler,
        "flags": " ".join(made.flags),
        "called by": made.way,
        "forms": ", ".join(forms()),
        "onnxruntime": onnxruntime.__version__,
        "one core": str(core is not None),
        "threads": 1,
    }


def calling(rounds: int) -> dict[str, Any]:
    """What calls cost that compute next to nothing, by both modes of cffi, and what the wrappers add."""
    x, y, table = np.zeros(1, np.int8), np.zeros(1, np.int8), np.zeros(256, np.int8)
    calls: dict[str, Callable[[], Any]] = {"Python function": lambda: None}
    rows: dict[str, Any] = {}
    alive: list[Any] = []
    with tempfile.TemporaryDirectory() as folder:
        for api, title in ((True, "API mode"), (False, "ABI mode")):
            try:
                ffi, lib = whole_library(api, Path(folder))
            except RuntimeError as error:
                rows[f"uvlm_form, {title}"] = {"not here": str(error)}
                continue
            numbers = ffi.new("uvlm_look_up *", {"table": ffi.from_buffer("int8_t[]", table), "count": 1})
            places = ffi.from_buffer("int8_t[]", x), ffi.from_buffer("int8_t[]", y)
            alive += [ffi, lib, numbers]
            calls[f"uvlm_form, {title}"] = lib.uvlm_form
            calls[f"uvlm_look_up_s8 of 1 number, {title}"] = bare(lib.uvlm_look_up_s8, numbers, *places)
    kernel = Kernel(Record("look_up", ("x",), ("y",), {}, {"table": table}), (1,))
    calls["Kernel of 1 number, NumPy to NumPy"] = lambda: kernel(x)
    one, h = np.ones((1, 1), np.float32), np.zeros((1, 1), np.float32)
    ssm, small = SSM(-one, one[0]), one[0]
    arrays = [small.copy() for _ in range(4)]
    calls["SSM.step of 1 state, NumPy to NumPy"] = lambda: ssm.step(*arrays, h)
    calls["SSM.ready of 1 state, called"] = ssm.ready(*arrays, h, np.zeros(1, np.float32))
    found = turns(calls, rounds, repeat=50, warm=1)
    return {name: microseconds(found[name]) for name in calls} | rows


def bare(function: Callable[..., int], *arguments: Any) -> Callable[[], int]:
    """A call with nothing but its arguments."""
    return lambda: function(*arguments)


def fastest(rows: dict[str, Any], begins: str = "") -> tuple[float, str]:
    """The fastest row whose name begins so."""
    return min((row["us"], name) for name, row in rows.items() if name.startswith(begins) and "us" in row)


def reached(rows: dict[str, Any], form: str) -> dict[str, Any]:
    """What the chapter claims, as ratios of the measured times; the int8 steps in one form."""
    steps, whole = rows["recurrence"], rows["step"]
    ours = min(fastest(steps, "C, table"), fastest(steps, "C, polynomial"))
    expf, eager = steps["C, expf"]["us"], steps["PyTorch eager"]["us"]
    other = fastest(whole["onnxruntime"])
    fused = {name: row for name, row in whole["onnxruntime"].items() if row["fused"].get("QGemm") == 10}
    own, far = (whole[int8_steps.SSM][form].get(where, {}) for where in ("step", "from memory"))
    return {
        "recurrence, best form": ours[1],
        "PyTorch eager over it": round(eager / ours[0], 2),
        "PyTorch in place over it": round(steps["PyTorch eager, in place"]["us"] / ours[0], 2),
        "onnxruntime over it": round(steps["onnxruntime"]["us"] / ours[0], 2),
        "PyTorch eager over no exp": round(eager / fastest(steps, "C, no exp")[0], 2),
        "expf over table, plain": round(expf / steps["C, table, plain"]["us"], 2),
        "expf over polynomial, plain": round(expf / steps["C, polynomial, plain"]["us"], 2),
        "step, share of the limit": own["share of the limit"],
        "step, share of the limit, from memory": far.get("share of the limit"),
        "onnxruntime, best way": other[1],
        "onnxruntime over step": round(other[0] / own["us"], 2),
        "onnxruntime over step, scales as in C": round(fastest(fused)[0] / own["us"], 2),
        "AttSSM over LSTM": whole["ratio"][form]["time, middle of other places in memory"],
        "AttSSM over LSTM, from memory": whole["ratio"][form]["time, weights from memory"],
    }


def shown(rows: dict[str, Any], indent: int = 0) -> None:
    """Print rows, one a line."""
    for name, row in rows.items():
        if isinstance(row, dict) and any(isinstance(value, dict) for value in row.values()):
            print("  " * indent + name)
            shown(row, indent + 1)
        else:
            print("  " * indent + f"{name:40} {row}")


def main() -> None:
    """Measure and write the result file."""
    library()
    core = one_core()
    rows: dict[str, Any] = {"machine": machine(core)}
    shown(rows)
    rows["recurrence"] = recurrence.steps(200)
    rows["scan"] = recurrence.scans(50)
    rows["norms"] = norms.measure(100)
    rows["step"] = int8_steps.measure(400)
    rows["calling"] = calling(300)
    rows["reached"] = reached(rows, forms()[-1])
    shown(rows)
    note = "us is the best, median us the median of many turns on one core; off is the largest deviation from float64 "
    note += "over the largest value; the model has random weights, and no time depends on them"
    print(record.save("kernels", rows, [0], SOURCES, spread=0.0, note=note))


if __name__ == "__main__":
    main()
