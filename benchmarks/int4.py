"""What four bits for the tied matrix cost in quality, and what they save in bytes.

python -m benchmarks.int4          about half an hour on two cores; may be stopped and run again

The tied matrix is two in one: its rows are what the step hears of a word, and what it compares its output with. Both
uses see the same coarse matrix, but where a row of the table says "output alone" or "words alone": then there are two
matrices, and the other one is int8. "All of the step" rounds every matrix of the step first and calibrates afterwards.

Captions are those of the integer captioner, which runs a matrix of few bits exactly (quantize/int4.py), on the first
pictures of the test split with beam 3. A seed is a lot of calibration pictures, as in benchmarks/cfq.py. Bytes and
times are of the paper's size; times are the latency model's. Chapter 12 reads the result.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # small matrices: two threads would wait for each other

import json
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from onnx import ModelProto, numpy_helper

from benchmarks import cfq as chapter8
from benchmarks import latency as chapter1
from benchmarks import record, table
from uvlm_mini import paper
from uvlm_mini.metrics import cider, truthfulness
from uvlm_mini.npu.latency import fit, predict
from uvlm_mini.paths import result
from uvlm_mini.quantize import cfq, int4
from uvlm_mini.quantize.affine import sqnr
from uvlm_mini.quantize.integer import Captioner
from uvlm_mini.quantize.pair import embedding

SOURCES = [
    *chapter8.SOURCES,
    "benchmarks/int4.py",
    *(f"uvlm_mini/quantize/{name}.py" for name in (
        "fixed", "int4", "integer", "integer_graph", "integer_ops", "integer_search", "integer_units", "tables",
    )),
]  # fmt: skip
SEEDS, TEST, SMALL = [0, 1, 2], 500, 12
GROUP = 32
ROW, GROUPS = "a scale a row", f"groups of {GROUP}"
ROWS = [
    "int8",
    f"4 bits, {ROW}",
    f"4 bits, {GROUPS}",
    f"4 bits, {ROW}, output alone",
    f"4 bits, {ROW}, words alone",
    f"3 bits, {ROW}",
    f"3 bits, {GROUPS}",
    f"2 bits, {GROUPS}",
    f"4 bits, {ROW}, all of the step",
    f"4 bits, {GROUPS}, all of the step",
]

# --------------------------------------------------------------------------------------------------------------------
# Quality


def rounded(step: ModelProto, bits: int, group: int | None) -> ModelProto:
    """A float step with every matrix in few bits; one whose columns no group divides gets a scale a row."""
    step = ModelProto.FromString(step.SerializeToString())
    weights = {node.input[1] for node in step.graph.node if node.op_type == "Gemm"}
    for part in step.graph.initializer:
        if part.name in weights:
            real = numpy_helper.to_array(part)
            fitting = group if group and real.shape[1] % group == 0 else None
            part.CopyFrom(numpy_helper.from_array(int4.coarse(real, bits, fitting).real, part.name))
    return step


def captioner(row: str, pair: tuple[ModelProto, ModelProto], pictures: Any) -> Captioner:
    """The integer captioner of a row, from the int8 pair and the pictures that it was calibrated on."""
    if row == "int8":
        return in_c(Captioner.of(*pair))
    bits, group = int(row[0]), GROUP if GROUPS in row else None
    encoder, step = chapter8.graphs()
    matrix = int4.coarse(embedding(step), bits, group)
    if "all of the step" in row:
        pair = cfq.coordinate(encoder, rounded(step, bits, group), pictures)
    made = Captioner.of(pair[0], int4.exchange(pair[1], matrix))
    if row.endswith("alone"):
        whole = Captioner.of(*pair).decoder
        parts = {"word": whole.word} if "output" in row else {"step": whole.step}
        made = replace(made, decoder=replace(made.decoder, **parts))
    return in_c(made)


def in_c(made: Captioner) -> Captioner:
    """The same with encoder and step in C, where a compiler is there: to the bit the same, and faster."""
    from uvlm_mini.kernels.program import CProgram

    try:
        encoder = CProgram(made.encoder, {"pixels": (3, made.side, made.side)})
    except RuntimeError:
        return made
    context, state = made.decoder.start(made.encode(np.zeros((1, made.side, made.side, 3), np.uint8)))
    given = {"word": made.decoder.hear(np.array([1])), **context, **state}
    step = CProgram(made.decoder.step, {name: value.shape[1:] for name, value in given.items()})
    return replace(made, encoder=encoder, decoder=replace(made.decoder, step=step))


@lru_cache(maxsize=1)
def pair(seed: int, n: int = chapter8.PICTURES) -> tuple[ModelProto, ModelProto]:
    """The int8 pair of a seed."""
    return cfq.coordinate(*chapter8.graphs(), chapter8.lot(seed, n))


@lru_cache(maxsize=2)
def said(row: str, seed: int, n: int = chapter8.PICTURES, test: int = TEST) -> list[str]:
    """What a row says of the first test pictures."""
    made = captioner(row, pair(seed, n), chapter8.lot(seed, n))
    return [made.decoder.text(found) for found in made.captions(chapter8.tests(test).pictures)]


def scores(lines: list[str], other: list[str], test: int) -> dict[str, float]:
    """CIDEr, truth, and how many captions are the int8 one's."""
    data = chapter8.tests(test)
    truth = truthfulness(lines, data.scenes)
    return {
        "CIDEr": cider(lines, data.captions),
        **{name: truth[name] for name in chapter8.TRUTHS},
        "as int8": float(np.mean([a == b for a, b in zip(lines, other, strict=True)])),
    }


def run(row: str, seed: int) -> dict[str, float]:
    """The scores of a row and a seed."""
    int8 = said("int8", seed)
    return scores(said(row, seed), int8, TEST)


def small() -> dict[str, float]:
    """Scores of four bits, in groups, on the first test pictures, calibrated on a few."""
    lines = [said(row, 0, 8, SMALL) for row in (ROWS[2], "int8")]
    return scores(*lines, SMALL)


def noise() -> dict[str, dict[str, float]]:
    """How near each rounding of the shipped matrix is, in decibels, with numbers g and with a float a group."""
    real, found = embedding(chapter8.graphs()[1]), {}
    for bits in (4, 3, 2):
        for group in (None, GROUP):
            name = f"{bits} bits, {GROUPS if group else ROW}"
            parts = real.reshape(-1, group or real.shape[1])
            free = int4.coarse(parts, bits).real.reshape(real.shape)
            found[name] = {
                "dB": round(sqnr(real, int4.coarse(real, bits, group).real), 3),
                "a float a group, dB": round(sqnr(real, free), 3),
            }
    return found


# --------------------------------------------------------------------------------------------------------------------
# Bytes and times at the paper's size


def sizes() -> dict[str, Any]:
    """Bytes that a step reads, and the model's ms: the coarse product on the NPU, as int8's is, or on the processor.

    The STM32N657's NPU takes int8, by all that chapter 1 knows. So the product is the processor's, at the multiply-adds
    a cycle that chapter 1 assumes of a loop written by hand; "no cost" is what an NPU that unpacks would have to gain.
    """
    columns, c = chapter1.PAPER.hidden, fit()
    read = result("kernels")["rows"]["step"]["AttSSM"]["bytes"]
    own = read["step"]["bytes"] - read["output"]["weights"]  # what stays as it is
    assert read["output"]["weights"] == paper.VOCABULARY * columns
    base = chapter1.decoders()["attssm"][f"49 positions, all bytes, by hand {chapter1.POINT:g}"]
    macs = read["output"]["weights"]
    rows: dict[str, Any] = {}
    for name, matrix in (
        ("int8", read["output"]["weights"]),
        (f"4 bits, {ROW}", int4.held(paper.VOCABULARY, columns)),
        (f"4 bits, {GROUPS}", int4.held(paper.VOCABULARY, columns, GROUP)),
    ):
        work = replace(base, weight_bytes=own + matrix)
        rows[name] = {"matrix": matrix, "step": own + matrix, "no cost, ms": round(predict(work, c).ms, 3)}
        if name != "int8":
            for rate in chapter1.HAND_MACS:
                slower = replace(work, cycles=work.cycles + macs / rate)
                rows[name][f"{rate:g} a cycle, ms"] = round(predict(slower, c).ms, 3)
    return rows


def main() -> None:
    """Run what has not been run, and write the result file."""
    lines = table.runs("int4", run, ROWS, SEEDS, SOURCES)
    rows = table.summary(lines, ROWS)
    rows["noise"], rows["paper's size"] = noise(), sizes()
    rows[f"first {SMALL} of test"] = small()
    print(json.dumps({name: rows[name]["CIDEr"]["runs"] for name in ROWS}, indent=1))
    note = f"{chapter8.PICTURES} pictures to calibrate on, {TEST} of test, beam 3; bytes and ms are of the paper's size"
    print(record.save("int4", rows, SEEDS, SOURCES, spread=0.02, note=note))


if __name__ == "__main__":
    main()
