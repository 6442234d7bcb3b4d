"""What int8 costs, and what coordinating the calibration brings: scores of pairs of ONNX files.

python -m benchmarks.cfq          about half an hour on two idle cores; may be stopped and run again

A seed is a lot of calibration pictures of the training split, which no other seed has. Everything else is fixed: the
shipped weights, the first pictures of the test split, beam 3. Two conditions are made harder on purpose: few pictures,
and an encoder whose weights have fewer bits, so that what it hands over differs more from what the float one does.
Chapter 8 reads the result.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
import torch
from onnx import ModelProto, numpy_helper

from benchmarks import record, table
from uvlm_mini.datasets.coco import CaptionSet
from uvlm_mini.datasets.scenes import samples
from uvlm_mini.decoder import Context
from uvlm_mini.evaluate import caption_all
from uvlm_mini.metrics import cider, truthfulness
from uvlm_mini.model import UVLM, to_tensor
from uvlm_mini.quantize import cfq, export
from uvlm_mini.quantize.pair import Pair

WEIGHTS = "data/uvlm_mini.safetensors"
SOURCES = [
    WEIGHTS,
    "benchmarks/cfq.py",
    "uvlm_mini/datasets/drawing.py",
    "uvlm_mini/datasets/grammar.py",
    "uvlm_mini/datasets/scenes.py",
    "uvlm_mini/metrics.py",
    "uvlm_mini/quantize/cfq.py",
    "uvlm_mini/quantize/export.py",
    "uvlm_mini/quantize/pair.py",
    "uvlm_mini/search.py",
]
SEEDS = [0, 1, 2]
PICTURES, TEST = 64, 500  # to calibrate on, and to score
SIZES = (4, 16)  # other numbers of pictures to calibrate on
BITS = (5, 4)  # of the encoder's weights, in the harder condition
PAIRED = ("cfq", "independent")
ROWS = [
    *cfq.MODES,
    *(f"cfq, {method}" for method in cfq.METHODS[1:]),
    *(f"{mode}, {n} pictures" for mode in PAIRED for n in SIZES),
    *(f"{mode}, encoder of {bits} bits" for mode in PAIRED for bits in BITS),
]
UNCALIBRATED = ("dynamic", "weights")  # the same with every seed
TRUTHS = ("right", "right things", "told relation", "relations")


@lru_cache(maxsize=1)
def graphs() -> tuple[ModelProto, ModelProto]:
    """The float pair of the shipped weights."""
    model = UVLM.load(record.ROOT / WEIGHTS)
    return export.encoder_graph(model), export.step_graph(model)


@lru_cache(maxsize=2)
def tests(n: int) -> CaptionSet:
    """The first pictures of the test split."""
    return CaptionSet.gather(samples("test", n))


def lot(seed: int, n: int) -> torch.Tensor:
    """The seed's calibration pictures, (n, 3, S, S): of any size they start at the same picture."""
    first = seed * max(PICTURES, *SIZES)
    drawn: Iterator[Any] = islice(samples("train", first + n), first, None)
    return to_tensor(np.stack([sample.picture for sample in drawn]))


def coarse(encoder: ModelProto, bits: int) -> ModelProto:
    """The encoder with its weights rounded to 2**bits - 1 levels, symmetric, a scale an output channel."""
    encoder = ModelProto.FromString(encoder.SerializeToString())
    weights = {node.input[1] for node in encoder.graph.node if node.op_type in ("Conv", "Gemm")}
    for part in encoder.graph.initializer:
        if part.name in weights:
            real = numpy_helper.to_array(part)
            most = np.abs(real).reshape(len(real), -1).max(1).reshape(-1, *[1] * (real.ndim - 1))
            scale = np.maximum(most, 1e-12) / (2 ** (bits - 1) - 1)
            part.CopyFrom(numpy_helper.from_array((np.rint(real / scale) * scale).astype(np.float32), part.name))
    return encoder


def made(row: str, seed: int) -> tuple[ModelProto, ModelProto]:
    """The int8 pair of a row and a seed."""
    name, _, more = row.partition(", ")
    settings, n = cfq.MODES[name], PICTURES
    encoder, step = graphs()
    if more in cfq.METHODS:
        settings = replace(settings, method=more)
    elif more.endswith("pictures"):
        n = int(more.split()[0])
    pictures = lot(seed, n)
    if not more.endswith("bits"):
        return cfq.coordinate(encoder, step, pictures, settings)
    # The encoder that is quantized is a coarser one than that which independent calibration calibrates on.
    rough = coarse(encoder, int(more.split()[-2]))
    quantized = cfq.coordinate(rough, step, pictures, settings)
    return quantized if name == "cfq" else (quantized[0], cfq.coordinate(encoder, step, pictures, settings)[1])


def scores(pair: Pair, n: int = TEST) -> dict[str, float]:
    """CIDEr and truth of what a captioner says of the first test pictures."""
    data = tests(n)
    found, _ = caption_all(pair, data.pictures)  # type: ignore[arg-type]
    said = [pair.vocabulary.decode(f.tokens) for f in found]
    truth = truthfulness(said, data.scenes)
    return {"CIDEr": cider(said, data.captions), **{name: truth[name] for name in TRUTHS}}


def noise(pair: Pair, pictures: torch.Tensor) -> dict[str, float]:
    """Signal-to-noise ratio, in decibels, of what the encoder hands over, against the float one's."""
    real, found = Pair(*graphs()).encode(pictures), pair.encode(pictures)
    ratios = {}
    for name in Context._fields:
        signal, error = getattr(real, name), getattr(real, name) - getattr(found, name)
        ratios[f"{name}, dB"] = float(10 * torch.log10(signal.square().mean() / error.square().mean()))
    return ratios


def run(row: str, seed: int) -> dict[str, float]:
    """The scores of a row with a seed's calibration pictures, beside those of the float pair."""
    pair = made(row, seed)
    ours = Pair(*pair)
    numbers = scores(ours) | noise(ours, to_tensor(tests(TEST).pictures[:100]))
    return numbers | {"encoder bytes": pair[0].ByteSize(), "step bytes": pair[1].ByteSize()}


def small() -> dict[str, float]:
    """Scores of CFQ's pair on the first test pictures, calibrated on a few."""
    return scores(Pair(*cfq.coordinate(*graphs(), lot(0, 8))), 40)


def main() -> None:
    """Run what has not been run, and write the result file."""
    lines = table.runs("cfq", run, [row for row in ROWS if row not in UNCALIBRATED], SEEDS, SOURCES)
    lines += table.runs("cfq", run, list(UNCALIBRATED), SEEDS[:1], SOURCES)
    rows = table.summary(lines, ROWS)
    rows["float"] = scores(Pair(*graphs()))
    rows["whole test split"] = {"float": scores(Pair(*graphs()), 1000), "cfq": scores(Pair(*made("cfq", 0)), 1000)}
    rows["first 40 of test"] = small()
    print(json.dumps({name: row.get("CIDEr", row) for name, row in rows.items()}, indent=1))
    note = f"{PICTURES} pictures to calibrate on where a row names no other number; {TEST} of test, beam 3"
    print(record.save("cfq", rows, SEEDS, SOURCES, spread=0.02, note=note))


if __name__ == "__main__":
    main()
