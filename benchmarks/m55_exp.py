"""Instructions of the ways to exp on an emulated Cortex-M55, scalar and with Helium.

python -m benchmarks.m55_exp          under a minute; needs what apt.txt lists for the Cortex-M55

QEMU executes csrc/tests/count_exp.c, built for a Cortex-M55 without Helium, and with it. Counted are executed
instructions and not cycles, as in benchmarks/m55_kernels.py. Chapter 9 reads it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks import record
from benchmarks.m55_kernels import SPREAD
from uvlm_mini.deploy import m55

SOURCES = [
    "benchmarks/m55_exp.py",
    "csrc/exp_f32.h",
    "csrc/exp_f32_lut.c",
    "csrc/exp_f32_poly.c",
    "csrc/ports/m55/counter.h",
    "csrc/tests/count_exp.c",
    "uvlm_mini/deploy/m55.py",
]
BUILDS = {False: "scalar", True: "Helium build"}


def measure(folder: Path) -> dict[str, Any]:
    """Instructions a number of every way, in both builds.

    Raises
    ------
    RuntimeError : the program did not end well, as it does not if a way is not accurate.
    """
    rows: dict[str, Any] = {}
    for helium, title in BUILDS.items():
        place = folder / f"objects{helium:d}"
        place.mkdir()
        source = record.ROOT / "csrc" / "tests" / "count_exp.c"
        elf = m55.build(source, folder / f"count{helium:d}.elf", m55.compile_kernels(place, helium), helium)
        code, printed = m55.run(elf, seconds=120, count=True)
        if code:
            raise RuntimeError(f"The counting program ended with {code} and printed:\n{printed}")
        found = [line.split("; ") for line in printed.splitlines()]
        rows[title] = {name: round(int(counted) / int(numbers), 2) for name, numbers, counted in found}
    return rows


def note() -> str:
    """What counted, and what the counts are."""
    return (
        f"executed instructions a number, not cycles; {m55.version(m55.COMPILER)}, {' '.join(m55.FLAGS)}; "
        f"{m55.version(m55.EMULATOR)}, -icount shift={m55.SHIFT}"
    )


def main() -> None:
    """Write the result file."""
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder))
    print(*(f"{build}: {row}" for build, row in rows.items()), sep="\n")
    print(record.save("m55_exp", rows, [1], SOURCES, SPREAD, note()))


if __name__ == "__main__":
    main()
