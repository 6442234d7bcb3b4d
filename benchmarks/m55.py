"""Instructions on an emulated Cortex-M55: what the paper's deployment rests on, counted.

python -m benchmarks.m55          two minutes, and two more the first time; needs what apt.txt lists for the Cortex-M55

- a multiply-add of the int8 kernels, requantisation included, without Helium and with it (benchmarks/m55_kernels.py)
- one step of AttSSM and of the LSTM with Bahdanau attention at the paper's size, preset b, whole programs with the same
  kernels, tables on both sides, the LSTM's keys and AttSSM's signal computed once a picture: by part and by operator
- exp from a table and by the C library (benchmarks/m55_exp.py)
- LayerNorm and GRN in fixed point and in float32

Executed instructions, exactly, and no cycles: a vector instruction counts one, as an addition does; what the flash
delivers, what a cache misses and what the pipeline hides show nowhere. Beside the steps stand the bytes that they read.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import int8_steps, norms, record
from benchmarks.m55_kernels import SPREAD
from uvlm_mini.deploy import m55
from uvlm_mini.deploy.image import Counted, counted
from uvlm_mini.kernels.program import CProgram
from uvlm_mini.paths import result
from uvlm_mini.quantize import integer_units as units
from uvlm_mini.quantize.integer_ops import Program, Record

SOURCES = [
    "benchmarks/m55.py",
    "benchmarks/norms.py",
    "benchmarks/results/m55_exp.json",
    "benchmarks/results/m55_kernels.json",
    *int8_steps.PROGRAMS,
    *sorted(f"csrc/{path.name}" for path in m55.SOURCES.glob("*_s*.c")),
    "csrc/dot_s8.h",
    "csrc/fixed.h",
    "csrc/grn_f32.c",
    "csrc/layer_norm_f32.c",
    "csrc/mve.h",
    "csrc/ports/m55/counter.h",
    "csrc/program.c",
    "csrc/tests/count_norms.c",
    "csrc/tests/count_step.c",
    "uvlm_mini/deploy/image.py",
    "uvlm_mini/deploy/m55.py",
]
BUILDS = {False: "scalar", True: "Helium"}
MOST = {"gemm_s8, 512 x 512": 0.18, "gemm_s8, 512 x 1024": 0.17}  # instructions a multiply-add that were asked for
FEWER, RATIO = 12.0, 0.95  # times fewer than the scalar build; AttSSM's step by the LSTM's: both asked for
PRODUCTS = ("gemm_s8", "conv_s8")


def multiply_adds() -> dict[str, Any]:
    """Instructions a multiply-add of the matrix-vector product and of the convolutions."""
    return {
        name: {
            "multiply-adds": row["work"],
            "scalar": row["scalar"]["each"],
            "Helium": row["Helium"]["each"],
            "times fewer": row["scalar / best"],
        }
        for name, row in result("m55_kernels")["rows"].items()
        if name.startswith(PRODUCTS)
    }


def in_place(program: Program, shapes: dict[str, tuple[int, ...]]) -> CProgram:
    """A program in C with random numbers in its inputs."""
    c, rng = CProgram(program, shapes), np.random.default_rng(0)
    for name in program.inputs:
        x = c.array(name)
        limits = np.iinfo(x.dtype)
        x[...] = rng.integers(limits.min // 4, limits.max // 4, x.shape)
    return c


def step(name: str, program: Program, of: Counted) -> dict[str, Any]:
    """The counts of one step by part and by operator. `rest` is what the others leave of the whole."""
    kept = [
        (part, r.kind) for part, r in zip(int8_steps.parts(name, program), program.records, strict=True)
        if r.kind != "view"
    ]  # fmt: skip
    by_part: Counter[str] = Counter()
    by_kind: Counter[str] = Counter()
    for (part, kind), count in zip(kept, of.records, strict=True):
        by_part[part] += count
        by_kind[kind] += count
    apart = {part: by_part[part] for part in int8_steps.PARTS if part != "rest"}
    parts = {**apart, "rest": of.whole - sum(apart.values())}
    return {"whole": of.whole, "parts": parts, "operators": dict(by_kind.most_common())}


def steps(objects: dict[bool, list[Path]], folder: Path) -> dict[str, Any]:
    """Both decoders in both builds, their bytes, and the ratio of AttSSM to the LSTM."""
    made = int8_steps.made()
    rows: dict[str, Any] = {}
    for helium, build in BUILDS.items():
        rows[build] = {
            name: step(
                name, program, counted(in_place(program, int8_steps.shapes(name)), objects[helium], folder, helium)
            )
            for name, program in made.steps.items()
        }
        ssm, lstm = (rows[build][name] for name in (int8_steps.SSM, int8_steps.LSTM))
        output = [row["parts"]["output"] for row in (ssm, lstm)]
        rows[build]["ratio"] = {
            "whole": round(ssm["whole"] / lstm["whole"], 4),
            "without the output": round((ssm["whole"] - output[0]) / (lstm["whole"] - output[1]), 4),
        }
        keys = CProgram(made.keys, {"features": int8_steps.shapes(int8_steps.LSTM)["features"]})
        rows[build]["keys, once a picture"] = counted(keys, objects[helium], folder, helium).whole
    held = {name: int8_steps.in_bytes(list(program.records)) for name, program in made.steps.items()}
    ratio = held[int8_steps.SSM]["bytes"] / held[int8_steps.LSTM]["bytes"]
    rows["bytes"] = {**held, "ratio": round(ratio, 4)}
    rows["published time"] = {"ratio": round(int8_steps.PUBLISHED, 4)}
    return rows


def fixed_norms() -> dict[str, CProgram]:
    """LayerNorm and GRN of benchmarks/norms.py as networks of one record, with random numbers."""
    rng = np.random.default_rng(0)
    found = {}
    for kind, title, size, shape in (
        ("layer_norm", "LayerNorm", norms.HIDDEN, (norms.HIDDEN,)),
        ("grn", "GRN", norms.WIDE, (norms.WIDE, norms.SIDE, norms.SIDE)),
    ):
        gamma, beta = (0.3 * rng.standard_normal(size) for _ in range(2))
        scale = norms.fitting(rng.standard_normal(size))
        if kind == "grn":
            numbers = units.grn(gamma, beta, 1e-6 / norms.SIDE, norms.SIDE**2, scale, scale)
        else:
            numbers = units.layer_norm(gamma, beta, norms.EPSILON, scale, scale)
        arrays = {key: value for key, value in numbers.items() if isinstance(value, np.ndarray)}
        plain = {key: value for key, value in numbers.items() if key not in arrays}
        program = Program((Record(kind, ("x",), ("y",), plain, arrays),), ("x",), ("y",))
        found[title] = in_place(program, {"x": shape})
    return found


def norm_rows(objects: dict[bool, list[Path]], folder: Path) -> dict[str, Any]:
    """Instructions a number of both norms, in fixed point and in float32.

    Raises
    ------
    RuntimeError : the program with the float norms did not end well: one was refused or is off.
    """
    rows: dict[str, Any] = {"LayerNorm": {}, "GRN": {}}
    for helium, build in BUILDS.items():
        elf = m55.build(m55.SOURCES / "tests" / "count_norms.c", folder / "norms.elf", objects[helium], helium)
        code, printed = m55.run(elf, seconds=300, count=True)
        if code:
            raise RuntimeError(f"The counting program ended with {code} and printed:\n{printed}")
        for line in printed.splitlines():
            name, numbers, count = line.split("; ")
            norm, form = name.split(", ", 1)
            label = form if form.endswith("Helium") else f"{form}, {build} build"
            rows[norm][label] = round(int(count) / int(numbers), 2)
        for norm, c in fixed_norms().items():
            label = "int8, Helium" if helium else "int8, plain C, scalar build"
            size = norms.HIDDEN if norm == "LayerNorm" else norms.WIDE * norms.SIDE**2
            rows[norm][label] = round(counted(c, objects[helium], folder, helium).records[0] / size, 2)
    return rows


def reached(rows: dict[str, Any]) -> dict[str, Any]:
    """What was asked for, what is, and whether it is enough."""
    found = {
        f"{name}, instructions a multiply-add": {"asked": f"at most {most}", "is": rows["multiply-add"][name]["Helium"]}
        for name, most in MOST.items()
    }
    fewer = min(rows["multiply-add"][name]["times fewer"] for name in MOST)
    ratio = rows["step"]["Helium"]["ratio"]["whole"]
    found["matrix-vector product, times fewer than scalar"] = {"asked": f"at least {FEWER:g}", "is": fewer}
    found["AttSSM's step by the LSTM's"] = {"asked": f"at most {RATIO}", "is": ratio}
    enough = [
        *(rows["multiply-add"][name]["Helium"] <= most for name, most in MOST.items()),
        fewer >= FEWER,
        ratio <= RATIO,
    ]
    return {name: {**row, "reached": yes} for (name, row), yes in zip(found.items(), enough, strict=True)}


def measure(folder: Path) -> dict[str, Any]:
    """All rows, with programs built in a folder."""
    objects = {}
    for helium in BUILDS:
        place = folder / f"objects{helium:d}"
        place.mkdir()
        objects[helium] = m55.compile_kernels(place, helium)
    rows = {
        "multiply-add": multiply_adds(),
        "step": steps(objects, folder),
        "exp": result("m55_exp")["rows"],
        "norms": norm_rows(objects, folder),
    }
    return rows | {"reached": reached(rows)}


def note() -> str:
    """What counted, and what the counts are."""
    return (
        "executed instructions, not cycles; norms and exp: a number; bytes: what a step reads of constants; "
        f"{m55.version(m55.COMPILER)}, {' '.join(m55.FLAGS)}; {m55.version(m55.EMULATOR)}, -icount shift={m55.SHIFT}"
    )


def main() -> None:
    """Write the result file."""
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder))
    for build in BUILDS.values():
        for name in (int8_steps.SSM, int8_steps.LSTM):
            row = rows["step"][build][name]
            print(f"{build}, {name}: {row['whole']:,}; {row['parts']}; {row['operators']}")
        print(f"{build}: ratio {rows['step'][build]['ratio']}")
    for name, row in rows["norms"].items():
        print(f"{name}: {row}")
    for name, row in rows["reached"].items():
        print(f"{name}: {row['asked']} asked, is {row['is']}{'' if row['reached'] else ': not reached'}")
    print(record.save("m55", rows, [0, 1], SOURCES, SPREAD, note()))


if __name__ == "__main__":
    main()
