"""What lies where in the STM32N657's memory: the firmware of mini as built, and the presets t and b beside it.

python -m benchmarks.memory          two minutes; needs what apt.txt lists for the Cortex-M55

mini is the shipped blob, linked. Of t and b there are no trained weights; theirs are random, as in benchmarks/sizes.py,
which changes neither the bytes nor the plan of the arenas. Activations are those of the integer program: what each
value takes, and where the planner of uvlm_mini/kernels/program.py puts it. All of it was planned and linked for the
emulated chip; ST's compiler would plan the encoder's part anew, for its NPU.
"""

from __future__ import annotations

import tempfile
from typing import Any

import torch

from benchmarks import integer, record, sizes
from uvlm_mini.deploy import blob, firmware, m55, memory
from uvlm_mini.deploy.commands import BLOB
from uvlm_mini.paths import data_path
from uvlm_mini.quantize import cfq
from uvlm_mini.quantize.integer import Captioner
from uvlm_mini.quantize.pair import load_as

SOURCES = [
    f"data/{BLOB}",
    "benchmarks/memory.py",
    *sorted(f"csrc/{path.relative_to(m55.SOURCES)}" for path in m55.PORT.rglob("*.*")),
    "uvlm_mini/deploy/blob.py",
    "uvlm_mini/deploy/memory.py",
    "uvlm_mini/kernels/program.py",
    *(name for name in sizes.SOURCES if name != "uvlm_mini/npu/size.py"),
]
SPREAD, BEAM = 0.02, 3


def captioner(preset: str) -> Captioner:
    """A preset in integers: mini with the shipped weights, calibrated on few pictures; the others with random ones."""
    if preset == "mini":
        return Captioner.of(*integer.pair(8))
    made = sizes.model(preset)
    with tempfile.TemporaryDirectory() as folder:
        files = cfq.calibrate(made, sizes.pictures(made.config.encoder.image), folder)
        return Captioner.of(*(load_as(path, True) for path in files))


def linked() -> dict[str, dict[str, int]]:
    """Bytes of each region of the firmware with the shipped blob: region -> what -> bytes."""
    found: dict[str, dict[str, int]] = {region.name: {} for region in memory.regions()}
    for part in memory.linked(firmware.build(data_path(BLOB).read_bytes())):
        found[part.region][part.what] = part.bytes
    return found


def measure(preset: str, held: dict[str, dict[str, int]]) -> dict[str, Any]:
    """One preset: its blob, its activations, and where they lie beside the program."""
    made = captioner(preset)
    data = data_path(BLOB).read_bytes() if preset == "mini" else blob.write(made)
    needs = memory.activations(made, BEAM)
    places = memory.laid(held, None if preset == "mini" else needs)
    return {
        "blob": {"bytes": len(data), **memory.contents(data)},
        "activations": needs._asdict(),
        "of 4.2 MB": round((needs.encoder + needs.step + needs.others) / memory.RAM, 4),
        "laid": [[what, round(at, 3), round(size, 3)] for what, at, size in places],
    }


def main() -> None:
    """Write the result file."""
    if lacking := m55.missing():
        raise SystemExit(lacking)
    torch.set_num_threads(1)
    held = linked()
    rows: dict[str, Any] = {"linked": held, "banks": {name: size * memory.KB for name, size in memory.BANKS.items()}}
    for preset in ("mini", "t", "b"):
        rows[preset] = measure(preset, held)
        print(preset, rows[preset])
    note = (
        f"bytes; laid: KB from the start of AXISRAM1; a beam of {BEAM}; t and b with random weights; "
        f"{m55.version(m55.COMPILER)}"
    )
    print(record.save("memory", rows, [0], SOURCES, SPREAD, note))


if __name__ == "__main__":
    main()
