"""What Arm's compiler says of our networks on the Ethos-U55, and of what they are compared with.

    python -m benchmarks.vela            some minutes; needs the extra npu, in an environment of its own

Where their operators run, counting what ExecuTorch leaves outside the NPU's parts, and what Vela estimates of the
parts: cycles, SRAM and flash. Nothing ran on a chip.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from benchmarks import record
from uvlm_mini.model import UVLM
from uvlm_mini.npu import suite, vela
from uvlm_mini.npu.vela import Compiled, Failed
from uvlm_mini.paths import data_path

SOURCES = [
    "benchmarks/vela.py",
    "data/uvlm_mini.safetensors",
    "uvlm_mini/baselines/bahdanau.py",
    "uvlm_mini/decoder.py",
    "uvlm_mini/encoder.py",
    "uvlm_mini/modulation.py",
    "uvlm_mini/npu/suite.py",
    "uvlm_mini/npu/vela.py",
    "uvlm_mini/quantize/export.py",
    "uvlm_mini/ssm.py",
]
TOOLS = ("executorch", "ethos-u-vela", "torchao", "tosa-tools", "torchvision")
NOTE = (
    "ethos-u55-256; cycles (at 500 MHz), SRAM and flash in KiB are Vela's own estimates of the parts on the NPU; what "
    "is left to the CPU is counted and takes time of its own; nothing ran on a chip; the untrained networks' flash is "
    "that of weights by lot"
)


def row(found: Compiled | Failed) -> dict[str, Any]:
    """What the file keeps of a network."""
    if isinstance(found, Failed):
        return {"failed": found.why}
    return {
        "npu": found.npu,
        "cpu": dict(sorted(found.cpu.items())),
        "share": round(found.share, 4),
        "conversions": found.conversions,
        "parts": len(found.parts),
        "vela npu": sum(part.npu for part in found.parts),
        "vela cpu": sum(part.cpu for part in found.parts),
        "cycles": found.cycles,
        "multiply-adds": sum(part.multiply_adds for part in found.parts),
        "sram KiB": found.sram_kib,
        "flash KiB": round(found.flash_kib, 2),
    }


def main() -> None:
    """Compile all of them, print the table and write the file."""
    rows = suite.run(UVLM.load(data_path("uvlm_mini.safetensors")))
    print(vela.table(rows))
    tools = {name: version(name) for name in TOOLS}
    record.save("vela", {"tools": tools, **{found.name: row(found) for found in rows}}, [0], SOURCES, 0.01, NOTE)


if __name__ == "__main__":
    main()
