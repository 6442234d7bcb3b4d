"""Bytes of the files that the four presets become: float and int8, beside the rule of npu/size.py and the paper.

python -m benchmarks.sizes          some minutes

mini is the shipped model. Of t, s and b there are no trained weights; theirs are random, and so are the pictures that
they are calibrated on. A file's size hardly depends on them: only on some digits in the metadata, and on the signs of
the zero points, since a negative one is written with nine bytes more. That holds as long as no part is at its first
value: constants that are equal, zeros above all, are written once. The row "mini again" is mini's shape with two other
sets of weights. V is the vocabulary of chapter 5; for its words, of which the paper gives none, stand as many of seven
letters.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from benchmarks import record
from benchmarks.shipped import WEIGHTS
from uvlm_mini import paper
from uvlm_mini.config import PRESETS, UVLMConfig
from uvlm_mini.datasets.vocab import SPECIALS, Vocabulary
from uvlm_mini.model import UVLM
from uvlm_mini.npu.size import int8_bytes
from uvlm_mini.quantize import cfq, export
from uvlm_mini.reparam import fuse

SOURCES = [
    "benchmarks/sizes.py",
    "uvlm_mini/config.py",
    "uvlm_mini/decoder.py",
    "uvlm_mini/encoder.py",
    "uvlm_mini/modulation.py",
    "uvlm_mini/npu/size.py",
    "uvlm_mini/paper.py",
    "uvlm_mini/quantize/cfq.py",
    "uvlm_mini/quantize/export.py",
    "uvlm_mini/quantize/pair.py",
    "uvlm_mini/reparam.py",
    "uvlm_mini/ssm.py",
]
PUBLISHED = {name[-1]: row.size_mb for row in paper.COMPARISON if (name := row.model).startswith("µVLM")}
PARTS = ("encoder", "step")


@torch.no_grad()
def shaken(config: UVLMConfig, vocabulary: Vocabulary, seed: int) -> UVLM:
    """A model with random weights, all of whose numbers differ from each other."""
    torch.manual_seed(seed)
    made = UVLM(config, vocabulary).eval()
    for p in made.parameters():
        p.add_(0.02 * torch.randn_like(p))
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return made


def model(preset: str) -> UVLM:
    """A preset with random weights."""
    words = [f"w{number:06}" for number in range(paper.VOCABULARY - len(SPECIALS))]
    return shaken(PRESETS[preset], Vocabulary(words), 0)


def mini(seed: int | None = None) -> UVLM:
    """The shipped model, or its shape with random weights."""
    shipped = UVLM.load(record.ROOT / WEIGHTS)
    return shipped if seed is None else shaken(shipped.config, shipped.vocabulary, seed)


def pictures(side: int) -> np.ndarray:
    """Random ones, as few as calibration takes."""
    return np.random.default_rng(0).integers(0, 256, (cfq.LEAST, side, side, 3), np.uint8)


def contents(path: Path) -> dict[str, int]:
    """Bytes of a file by what they are; they add to the file.

    In an int8 file: weights, their scales and zero points, biases, and what stayed float; in every file constants of
    the graph, the list of words and the like, and the graph itself with all its names.
    """
    graph = onnx.load(str(path))
    of_what: dict[str, str] = {}
    for node in graph.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            of_what |= dict.fromkeys(node.input[1:3], "scales and zero points")
    found: Counter[str] = Counter()
    for part in graph.graph.initializer:
        values = numpy_helper.to_array(part)
        kinds = {"int8": "weights", "int32": "biases", "float32": "float"}
        found[of_what.get(part.name) or kinds.get(str(values.dtype), "constants")] += values.nbytes
    found["words and state"] = sum(len(entry.value.encode()) for entry in graph.metadata_props)
    found["graph"] = path.stat().st_size - found.total()
    return dict(sorted(found.items()))


def measure(made: UVLM) -> dict[str, Any]:
    """All sizes of one model, in bytes."""
    with tempfile.TemporaryDirectory() as place:
        float_files = export.export(made, place)
        int8_files = cfq.calibrate(made, pictures(made.config.encoder.image), place)
        row = {
            kind: {part: path.stat().st_size for part, path in zip(PARTS, files, strict=True)}
            for kind, files in (("float", float_files), ("int8", int8_files))
        }
        row |= {f"int8, {part}": contents(path) for part, path in zip(PARTS, int8_files, strict=True)}
    fuse(made)
    row["rule"] = {"encoder": int8_bytes(made.encoder), "decoder": int8_bytes(made.decoder)}
    row["parameters"] = {
        "encoder": sum(p.numel() for p in made.encoder.parameters()),
        "decoder": sum(p.numel() for p in made.decoder.parameters()),
    }
    return row


def again() -> dict[str, Any]:
    """int8 files of mini's shape with other weights, and by which share they differ at most from the shipped ones."""
    rows = {f"seed {seed}": measure(mini(seed))["int8"] for seed in (0, 1)}
    shipped = measure(mini())["int8"]
    worst = max(abs(row[part] / shipped[part] - 1) for row in rows.values() for part in PARTS)
    return rows | {"shipped": shipped, "differ by": round(worst, 6)}


def main() -> None:
    """Write all files of all presets, count them, and write the result file."""
    torch.set_num_threads(1)
    rows: dict[str, Any] = {}
    for name in ("t", "s", "b", "mini"):
        start = time.perf_counter()
        rows[name] = measure(mini() if name == "mini" else model(name))
        rows[name]["published MB"] = PUBLISHED.get(name)
        print(
            name, {kind: rows[name][kind] for kind in ("float", "int8", "rule")}, f"{time.perf_counter() - start:.0f} s"
        )
    rows["mini again"] = again()
    note = "bytes; t, s and b with random weights, which do not change them"
    print(record.save("sizes", rows, [0, 1], SOURCES, spread=1e-3, note=note))


if __name__ == "__main__":
    main()
