"""Which stage of the encoder each of its records belongs to.

The int8 file names its weights after the model's modules, from which `letters` reads it. A blob has no names. For one
of preset mini there is, below, what `letters` says of its file; tests/test_deploy.py sees that it still does.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..quantize.integer_ops import Program

if TYPE_CHECKING:
    from onnx import ModelProto

STAGES = {
    "1": "OverNet, stage 1",
    "2": "OverNet, stage 2",
    "3": "OverNet, stage 3",
    "4": "OverNet, stage 4",
    "t": "ModNet, third stage",
    "f": "ModNet, fourth stage",
    "m": "merge",
    "d": "for the decoder",  # fusion, and the picture's part of GCDM
}
MODULES = (
    (r"encoder\.overnet\.stages\.(\d)", ""),
    (r"encoder\.modnet\.(enter|third)", "t"),
    (r"encoder\.modnet\.(down|fourth)", "f"),
    (r"encoder\.merge", "m"),
    (r"decoder\.", "d"),
)
MINI = (
    "1111111111222222222333333333333333334t4t4t44444444444444tttt"
    "4tttttttttttttttttttttttttttttttttttttttttt4tmmdmmddddddddddd"
)
KINDS = 3600718064  # checksum of the kinds of these records


def letters(graph: ModelProto, encoder: Program) -> str:
    """A letter of STAGES for each record of an encoder.

    Parameters
    ----------
    graph : the int8 file that the encoder is of.
    encoder : its records, as `Captioner.encoder` has them. One without weights goes with what it reads.

    Raises
    ------
    ValueError : weights of a module that is of no stage.
    """
    weights = {node.output[0]: node.input[1] for node in graph.graph.node if node.op_type in ("Conv", "Gemm")}
    makers = {node.input[0]: node.output[0] for node in graph.graph.node if node.op_type == "QuantizeLinear"}
    found: dict[str, str] = {}  # by value
    named = {made: weights[name] for name, made in makers.items() if name in weights}
    named |= {name: weights[name] for name in weights}  # outputs of the graph keep their name
    row = []
    for record in encoder.records:
        made = record.outputs[0]
        letter = of_module(named[made]) if made in named else max((found.get(n, "") for n in record.inputs), key=order)
        found |= dict.fromkeys(record.outputs, letter)
        row.append(letter)
    return "".join(row)


def order(letter: str) -> int:
    """Where a stage stands; before all of them what has none."""
    return list(STAGES).index(letter) if letter else -1


def of_module(name: str) -> str:
    """The letter of a module, by the name of one of its weights."""
    for pattern, letter in MODULES:
        if match := re.match(pattern, name):
            return letter or str(int(match[1]) + 1)
    raise ValueError(f"{name} is of no stage of the encoder; name its module in MODULES.")


def of_blob(kinds: Sequence[str]) -> list[str]:
    """The stage of each record of a blob's encoder, by the kinds of all; nothing if it is not of preset mini."""
    if zlib.crc32(" ".join(kinds).encode()) != KINDS:
        return []
    return [STAGES[letter] for letter in MINI]
