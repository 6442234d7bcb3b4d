"""Instructions of the integer kernels on an emulated Cortex-M55, scalar and with Helium.

python -m benchmarks.m55_kernels          under a minute; needs what apt.txt lists for the Cortex-M55

QEMU executes csrc/tests/count.c, built twice: for a Cortex-M55 without Helium, and with it, where the compiler may use
Helium in the plain form too. Counted are executed instructions, exactly, by csrc/ports/m55/counter.h. They are not
cycles: a vector instruction counts one, as an addition does, and the memory's speed shows nowhere. They depend on the
compiler, whose version stands in the note.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks import record
from uvlm_mini.deploy import m55

KERNELS = ["attend_s8", "conv_s8", "gemm_s8", "grn_s8", "layer_norm_s8", "lstm_s8", "scan_s16"]
SOURCES = [
    "benchmarks/m55_kernels.py",
    *(f"csrc/{name}.c" for name in KERNELS),
    "csrc/dot_s8.h",
    "csrc/fixed.h",
    "csrc/mve.h",
    "csrc/ports/m55/counter.h",
    "csrc/tests/count.c",
    "uvlm_mini/deploy/m55.py",
]
SPREAD = 0.05


def note() -> str:
    """What counted, and what the counts are."""
    return (
        "executed instructions, not cycles; each row: of numbers or multiply-adds, in the scalar build's plain form, "
        f"in the Helium build's plain form, and with Helium; {m55.version(m55.COMPILER)}, {' '.join(m55.FLAGS)}; "
        f"{m55.version(m55.EMULATOR)}, -icount shift={m55.SHIFT}"
    )


def counts(helium: bool, objects: list[Path], folder: Path) -> dict[tuple[str, str], tuple[int, int]]:
    """(kernel, form) -> (work, instructions) of one build.

    Raises
    ------
    RuntimeError : the program did not end well, or a form gave another result.
    """
    elf = m55.build(record.ROOT / "csrc" / "tests" / "count.c", folder / f"count{helium:d}.elf", objects, helium)
    code, printed = m55.run(elf, seconds=300, count=True)
    made = {}
    for line in printed.splitlines():
        name, form, work, counted = line.split("; ")
        made[name, form] = int(work), int(counted)
    if code or {form for _, form in made} > {"plain", "Helium", "intrinsics", "assembly"}:
        raise RuntimeError(f"The counting program ended with {code} and printed:\n{printed}")
    return made


def rows(scalar: dict[tuple[str, str], tuple[int, int]], helium: dict[tuple[str, str], tuple[int, int]]) -> dict:
    """One row a kernel: its work, the instructions of each build and form, and the same by piece of work."""
    made: dict[str, Any] = {}
    for (name, form), (work, counted) in [*((k, v) for k, v in scalar.items()), *helium.items()]:
        row = made.setdefault(name, {"work": work})
        label = form if form != "plain" else "plain, Helium build" if "scalar" in row else "scalar"
        row[label] = {"instructions": counted, "each": round(counted / work, 4)}
    for row in made.values():
        best = row["assembly" if "assembly" in row else "Helium"]["instructions"]
        row["scalar / best"] = round(row["scalar"]["instructions"] / best, 2)
    return made


def measure(folder: Path) -> dict[str, Any]:
    """All rows, with programs built in a folder."""
    made = []
    for helium in (False, True):
        place = folder / f"objects{helium:d}"
        place.mkdir()
        made.append(counts(helium, m55.compile_kernels(place, helium), folder))
    return rows(*made)


def main() -> None:
    """Write the result file."""
    with tempfile.TemporaryDirectory() as folder:
        made = measure(Path(folder))
    for name, row in made.items():
        told = (f"{label} {value['instructions']:,} ({value['each']:.3f} each)" for label, value in row.items()
                if isinstance(value, dict))  # fmt: skip
        print(f"{name}: {', '.join(told)}; {row['scalar / best']:.1f} times fewer")
    record.save("m55_kernels", made, [1], SOURCES, SPREAD, note())


if __name__ == "__main__":
    main()
