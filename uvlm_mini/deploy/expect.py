"""What to expect of the first run on an STM32N657, computed from the files: sizes, verdicts, counts, a model's times.

No figure here was measured on the board. Sizes are exact; times of the NPU come from npu/latency.py, which was fitted
on other networks; instructions come from QEMU and are no cycles.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import replace

import numpy as np

from ..npu import latency
from ..npu.check import PLACES, Verdict, check
from ..npu.graph import Graph
from ..npu.latency import CPU_MHZ, Work
from ..npu.nets import Layer
from ..quantize.integer_ops import Program
from . import blob, m55, stm32

NATIVE = (3, 6)  # height and width of a kernel that the NPU takes whole; a larger one is taken apart
HAND = 1.0  # cycles a number of a float loop by hand, at best: ours


def work(parts: stm32.Parts, verdict: Verdict) -> Work:
    """The encoder's work: every node that takes time is a layer, a kernel above `NATIVE` as many as it has pieces."""
    graph, layers, software = Graph(parts.encoder, "the encoder"), [], 0
    for node, judged in zip(graph.nodes, verdict.nodes, strict=True):
        given = [graph.type(name).shape or () for name in node.input]
        written = math.prod(graph.type(node.output[0]).shape or (0,))
        if judged.where == "software":
            software += written
        if judged.where not in ("hw", "conditional", "hybrid"):
            continue
        pieces = 1
        if node.op_type == "Conv":
            pieces = -(-given[1][2] // NATIVE[0]) * -(-given[1][3] // NATIVE[1])
        both = node.op_type in ("Add", "Mul", "Concat")  # the others' second input is a weight or a number
        read = sum(math.prod(shape) for shape in (given if both else given[:1]))
        moved = pieces * read + (2 * pieces - 1) * written
        layers.append(Layer(judged.multiply_adds, moved, judged.weight_bytes))
    return Work(verdict.weight_bytes, tuple(layers), software=software)


def weight_bytes(program: Program) -> int:
    """Bytes of all arrays of a network's records, equal ones counted once, as in the blob."""
    return sum({x.tobytes(): x.nbytes for record in program.records for x in record.arrays.values()}.values())


Row = tuple[str, str, str]  # what, how much, where it comes from


def sizes(parts: stm32.Parts, verdict: Verdict) -> list[Row]:
    """Bytes in flash and RAM, and what the NPU gets."""
    encoder, step, _ = blob.planned(parts.captioner)
    places = {where: verdict.count(where) for where in PLACES}
    return [
        (f"blob, at 0x{stm32.BLOB_AT:08X}", f"{len(parts.data):,} bytes", "the file"),
        ("its CRC-32 from byte 16 on", f"0x{zlib.crc32(parts.data[16:]):08x}", "the file"),
        (
            f"memory of the captioner, beam {stm32.BEAM}",
            f"at most {parts.memory:,} bytes",
            "uvlm_memory, 64-bit pointers",
        ),
        (
            "in it the C encoder's arena, for uvlm_app_compare",
            f"{encoder.arena.size:,} bytes",
            "the plan of its values",
        ),
        ("in it the step's arena", f"{step.arena.size:,} bytes", "the plan of its values"),
        ("the NPU's weights, at least", f"{verdict.weight_bytes:,} bytes", "`uvlm check`"),
        ("the NPU's activations, about", f"{verdict.peak_bytes:,} bytes", "`uvlm check`: most alive, GRN in float"),
        ("room for these", f"{stm32.npu_bytes():,} bytes", "stm32n657.mpool"),
        ("nodes", ", ".join(f"{n} {where}" for where, n in places.items() if n), "`uvlm check`"),
        ("multiply-adds", f"{verdict.multiply_adds:,}", "`uvlm check`"),
    ]


def times(parts: stm32.Parts, verdict: Verdict) -> list[Row]:
    """What the latency model says of the encoder, and of reading a step's weights."""
    todo, constants = work(parts, verdict), latency.fit()
    most, least = (latency.predict(todo, replace(constants, software_cycles=c))
                   for c in (constants.software_cycles, HAND))  # fmt: skip
    error = latency.rms(latency.left_out(latency.ROWS).values())
    read, rate = weight_bytes(parts.captioner.decoder.step), constants.flash_mb_s
    return [
        ("encoder, without what the processor makes of it", f"{least.flash + least.npu:.2f} ms",
         f"latency model: flash {least.flash:.2f}, NPU {least.npu:.2f}"),
        ("error of that model", f"{error:.0%} rms", "networks that had no part in its fit"),
        ("numbers of it that the processor makes, in float", f"{todo.software:,}", "`uvlm check`: GRN, to and from it"),
        ("time of these", f"{least.cpu:.2f} to {most.cpu:.2f} ms",
         f"at {HAND:.0f} cycle a number, and at the {constants.software_cycles:.0f} of a softmax"),
        ("weights that a step reads", f"{read:,} bytes", "the blob"),
        ("reading them once from flash", f"{read / rate / 1e3:.2f} ms", f"latency model: {rate:.0f} MB/s"),
    ]  # fmt: skip


def counts(parts: stm32.Parts, picture: np.ndarray) -> list[Row]:
    """Instructions in QEMU; none where it is not there."""
    from .firmware import build, run

    if m55.missing():
        return []
    told = run(build(parts.data), picture, stm32.BEAM)
    return [
        ("the encoder in C", f"{told.encoder:,} instructions", "QEMU, with Helium"),
        ("search", f"{told.search:,} instructions", "QEMU, with Helium"),
        (
            "search at one instruction a cycle",
            f"{told.search / CPU_MHZ / 1e3:.2f} ms",
            f"{CPU_MHZ} MHz; not a prediction",
        ),
    ]


def expectations(parts: stm32.Parts, picture: np.ndarray, instructions: bool = True) -> str:
    """The text of EXPECT.md, for the checklist of README.md.

    Parameters
    ----------
    picture : (side, side, 3) uint8, whose caption the first run should give.
    instructions : whether to count them in QEMU, if it is there.
    """
    verdict = check(parts.encoder)
    rows = [*sizes(parts, verdict), *times(parts, verdict), *(counts(parts, picture) if instructions else [])]
    best = parts.captioner.captions(picture[None], stm32.BEAM)[0]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return TEXT.format(table=table, score=best.score, caption=parts.captioner.decoder.text(best))


TEXT = """# What to expect of the first run

Written by `uvlm deploy stm32`. Sizes are exact. Nothing here was measured on the board.

| what | expected | where it comes from |
|---|---|---|
{table}

The caption of picture.raw with the C encoder, score {score}:

    {caption}

What a number of GRN costs in the tool's float software is not published: the model's rows tell it of a softmax alone,
and a loop by hand may take one cycle. So measure it first: if it is slow, the encoder in C beside it may be faster. An
instruction is no cycle, and flash and caches are not in the count.
"""
