"""A project folder for the STM32N657: what ST's tools compile, what is flashed, and what to expect of the first run.

The encoder goes to the NPU as int8 ONNX, the rest runs in C on the Cortex-M55: csrc/ports/stm32n657/README.md tells how,
and for each file what of it was run. Nothing here needs ST's tools, and nothing was run on the board.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..paths import csrc
from ..quantize import cfq
from ..quantize.integer import Captioner
from ..quantize.pair import INT8, load_as
from . import blob

if TYPE_CHECKING:
    from onnx import ModelProto

PORT = csrc() / "ports" / "stm32n657"
BLOB = "uvlm_mini.bin"
BLOB_AT = 0x72000000  # in the octo flash, behind what stm32n657.mpool leaves to the NPU's weights
BEAM = 3


@dataclass(frozen=True)
class Parts:
    """The captioner as the chip takes it.

    encoder : int8 ONNX, with scales on its inputs and outputs.
    captioner : encoder and decoder in integers.
    data : the blob of both.
    """

    encoder: ModelProto
    captioner: Captioner
    data: bytes

    @staticmethod
    def load(folder: str | Path) -> Parts:
        """Of the two files that `uvlm quantize` wrote to a folder."""
        return Parts.of(*(load_as(Path(folder, name), True) for name in INT8.values()))

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
        return Parts(encoder, captioner, blob.write(captioner))

    @property
    def seen(self) -> list[tuple[str, int, float]]:
        """Name, bytes and scale of each context, in the order of the blob."""
        found, shapes = cfq.scales(self.encoder), blob.planned(self.captioner)[0].values
        return [(name, math.prod(shapes[name].shape), found[name][0]) for name in self.captioner.encoder.outputs]

    @property
    def memory(self) -> int:
        """Bytes that the captioner works in: counted with pointers of 8 bytes, on the chip it is a little less."""
        return blob.CCaptioner(self.data, BEAM).memory


def _same(a: tuple[float, int], b: tuple[float, int]) -> bool:
    return math.isclose(a[0], b[0], rel_tol=1e-6) and a[1] == b[1]


def header(parts: Parts) -> str:
    """project.h: what app.c has to know of this captioner."""
    rows = "".join(f" \\\n    {{{size}, {scale:.9g}f}}, /* {name} */" for name, size, scale in parts.seen)
    rows = rows.rstrip().removesuffix(rows.rstrip().split("}")[-1])  # the last row without comma and comment
    return f"""/* Written by `uvlm deploy stm32` for the blob and the encoder beside it. */
#ifndef UVLM_PROJECT_H
#define UVLM_PROJECT_H

#define UVLM_BLOB_AT 0x{BLOB_AT:08X}u
#define UVLM_BLOB_BYTES {len(parts.data)}
#define UVLM_MEMORY {parts.memory} /* with a beam of {BEAM} */

/* Bytes and scale of each context. */
#define UVLM_SEEN {{{rows} \\
}}

#endif
"""
