"""A project folder for the STM32N657: what ST's tools compile, what is flashed, and what to expect of the first run.

The encoder goes to the NPU as int8 ONNX, the rest runs in C on the Cortex-M55: csrc/ports/stm32n657/README.md tells
how, and for each file what of it was run. Nothing here needs ST's tools, and nothing was run on the board.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..datasets.scenes import samples
from ..model import UVLM
from ..paths import csrc, data_path
from ..quantize import cfq
from ..quantize.integer import Captioner
from ..quantize.integer_graph import compile_graph
from ..quantize.integer_ops import Record
from ..quantize.pair import INT8, load_as
from ..quantize.tables import Scale
from . import blob

if TYPE_CHECKING:
    from onnx import ModelProto

PORT = csrc() / "ports" / "stm32n657"
BLOB, EXPECT = "uvlm_mini.bin", "EXPECT.md"
BLOB_AT = 0x72000000  # in the octo flash, behind what stm32n657.mpool leaves to the NPU's weights
BEAM = 3
PICTURES = 64  # that `uvlm quantize` calibrates on


#: Kinds of records that become custom layers, and their classes there.
CLASSES = {"grn": "GRN", "layer_norm": "LayerNorm", "scan": "SelectiveScan"}


@dataclass(frozen=True)
class Layer:
    """One custom layer.

    kind : its class.
    number : of the record among those of its network in the blob.
    record : what the class does there.
    scales : of each input and of the output.
    """

    kind: str
    number: int
    record: Record
    scales: list[Scale]

    @property
    def numbers(self) -> list[float]:
        """What the layer is told in its first weight tensor; see csrc/ports/stm32n657/layers.h."""
        return [self.number, *(n for scale in self.scales for n in (scale.step, scale.zero))]


def _inputs(record: Record) -> tuple[str, ...]:
    """Without the SSM's state, which stays in the arena."""
    return record.inputs[:4] if record.kind == "scan" else record.inputs


@dataclass(frozen=True)
class Parts:
    """The captioner as the chip takes it.

    encoder : int8 ONNX, with scales on its inputs and outputs.
    captioner : encoder and decoder in integers.
    data : the blob of both.
    scales : of every int8 value of the encoder, and of the step.
    """

    encoder: ModelProto
    captioner: Captioner
    data: bytes
    scales: tuple[dict[str, Scale], dict[str, Scale]]

    @staticmethod
    def load(folder: str | Path) -> Parts:
        """Of the two files that `uvlm quantize` wrote to a folder."""
        return Parts.of(*(load_as(Path(folder, name), True) for name in INT8.values()))

    @staticmethod
    def shipped() -> Parts:
        """Of the shipped weights, calibrated as `uvlm quantize` does if nothing else is asked for."""
        model = UVLM.load(data_path("uvlm_mini.safetensors"))
        pictures = np.stack([sample.picture for sample in samples("train", PICTURES)])
        with tempfile.TemporaryDirectory(prefix="uvlm_") as folder:
            cfq.calibrate(model, pictures, folder)
            return Parts.load(folder)

    @staticmethod
    def of(encoder: ModelProto, step: ModelProto) -> Parts:
        """Of two int8 models.

        Raises
        ------
        ValueError : the picture does not come as bytes less 128, or encoder and step have different scales for what
            goes from one to the other: then a number of the NPU's is not the number that the decoder takes.
        """
        captioner, seeing, saying = Captioner.of(encoder, step), cfq.scales(encoder), cfq.scales(step)
        (picture,) = (value.name for value in encoder.graph.input)
        if not _same(seeing[picture], cfq.PIXELS):
            raise ValueError(
                f"The encoder takes pictures on the scale {seeing[picture]}, not {cfq.PIXELS}; quantize it with CFQ."
            )
        for name in captioner.encoder.outputs:
            if not _same(seeing[name], saying[name]):
                raise ValueError(
                    f"Encoder and step have different scales for {name}, {seeing[name]} and {saying[name]}; quantize "
                    "both with shared scales, as `uvlm quantize` does without --mode."
                )
        scales = compile_graph(encoder).scales, compile_graph(step).scales
        return Parts(encoder, captioner, blob.write(captioner), scales)

    @property
    def seen(self) -> list[tuple[str, int, float]]:
        """Name, bytes and scale of each context, in the order of the blob."""
        found, shapes = cfq.scales(self.encoder), blob.planned(self.captioner)[0].values
        return [(name, math.prod(shapes[name].shape), found[name][0]) for name in self.captioner.encoder.outputs]

    @property
    def layers(self) -> list[Layer]:
        """What the NPU does not take: GRN in the encoder, LayerNorm and the scan in the step, in the blob's order."""
        programs = (self.captioner.encoder, self.captioner.decoder.step)
        return [
            Layer(
                CLASSES[record.kind], number, record, [scales[name] for name in (*_inputs(record), record.outputs[0])]
            )
            for program, scales in zip(programs, self.scales, strict=True)
            for number, record in enumerate(r for r in program.records if r.kind != "view")
            if record.kind in CLASSES
        ]

    @property
    def memory(self) -> int:
        """Bytes that the captioner works in: counted with pointers of 8 bytes, on the chip it is a little less."""
        return blob.CCaptioner(self.data, BEAM).memory


def _same(a: tuple[float, int], b: tuple[float, int]) -> bool:
    return math.isclose(a[0], b[0], rel_tol=1e-6) and a[1] == b[1]


def pools() -> dict[str, tuple[int, int]]:
    """Address and bytes of each pool in stm32n657.mpool."""
    units = {"BYTES": 1, "KBYTES": 1024, "MBYTES": 1024**2}
    read = json.loads((PORT / "stm32n657.mpool").read_text(encoding="utf-8"))
    numbers = [(pool["name"], pool["offset"], pool["size"]) for pool in read["memory"]["mempools"]]
    return {
        name: (int(at["value"], 0) * units[at["magnitude"]], int(size["value"], 0) * units[size["magnitude"]])
        for name, at, size in numbers
    }


def npu_bytes() -> int:
    """Bytes that the pools leave to the NPU's activations."""
    return sum(size for name, (_, size) in pools().items() if name.startswith("npuRAM"))


def header(parts: Parts) -> str:
    """project.h: what app.c has to know of this captioner."""
    rows = [(f"{{{size}, {scale:.9g}f}}", name) for name, size, scale in parts.seen]
    listed = ", \\\n    ".join(row for row, _ in rows)
    return f"""/* Written by `uvlm deploy stm32` for the blob and the encoder beside it. */
#ifndef UVLM_PROJECT_H
#define UVLM_PROJECT_H

#define UVLM_BLOB_AT 0x{BLOB_AT:08X}u
#define UVLM_BLOB_BYTES {len(parts.data)}
#define UVLM_MEMORY {parts.memory} /* with a beam of {BEAM} */

/* Bytes and scale of each context: {", ".join(name for _, name in rows)}. */
#define UVLM_SEEN {{ \\
    {listed} \\
}}

#endif
"""


SHIPPED = ("*.c", "*.h", "*.json", "*.mpool", "*.ld", "*.sh", "*.md", "custom_layers.py")


def write(parts: Parts, out: str | Path, picture: np.ndarray, instructions: bool = True) -> list[Path]:
    """Write the project folder; a folder that is there is written into.

    Parameters
    ----------
    out : the folder.
    picture : (side, side, 3) uint8, for the first run.
    instructions : whether QEMU counts some for EXPECT.md, if it is there.

    Returns
    -------
    What was written, each once.
    """
    from .expect import expectations

    made = {
        "encoder_int8.onnx": parts.encoder.SerializeToString(deterministic=True),
        BLOB: parts.data,
        "picture.raw": np.ascontiguousarray(picture).tobytes(),
        "project.h": header(parts).encode(),
        "layers.json": layers(parts).encode(),
        EXPECT: expectations(parts, picture, instructions).encode(),
    }
    folder = Path(out)
    (folder / "csrc").mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in made]
    for path, content in zip(paths, made.values(), strict=True):
        path.write_bytes(content)
    for source in sorted(path for pattern in SHIPPED for path in PORT.glob(pattern)):
        paths.append(Path(shutil.copy(source, folder)))
    for source in sorted([*csrc().glob("*.c"), *csrc().glob("*.h")]):
        paths.append(Path(shutil.copy(source, folder / "csrc")))
    return paths


def layers(parts: Parts) -> str:
    """layers.json: of each custom layer its class and the numbers of its first weight tensor, in order."""
    rows = [json.dumps({"class": layer.kind, "numbers": layer.numbers}) for layer in parts.layers]
    return "[\n  " + ",\n  ".join(rows) + "\n]\n"
