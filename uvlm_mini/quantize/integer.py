"""The int8 captioner in integers: the one definition that the C code must meet bit for bit.

    bytes of a picture --> encoder --> x, signal, gate --.
                                                         v
    word number --> embedding row --> word --> step --> logits --> search --> words
                                      h, y -->  |
                                       ^--------'

Made once from the two int8 ONNX files, in float64 (integer_graph.py, tables.py); from then on there are integers only:
int8 values, int32 sums, int16 for the SSM's state, 64 bits where fixed.py and integer_ops.py say so. Chapter 8 measures
what it loses against the files in onnxruntime, chapter 9 writes its operators in C.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import export, tables
from .integer_graph import Compiled, compile_graph
from .integer_ops import Program, Record, word
from .integer_search import Found, State, beam, greedy
from .tables import Scale, factors, table

if TYPE_CHECKING:
    from onnx import ModelProto

PIXELS = Scale(1 / 128, 0)  # what a byte stands for, less 128: see model.to_tensor
BATCH = 50  # pictures that are captioned at once


@dataclass(frozen=True)
class Captioner:
    """The int8 captioner.

    encoder : from "pixels", int8 (B, 3, S, S), to what every step hears of a picture.
    word : from (B,) word numbers to (B, H) int8.
    step : one step.
    empty : the state before the first word, by name, without the batch.
    words : all words, specials included.
    longest : words a caption may have.
    side : S, pixels a side.
    searching : tables of powers and logarithms for the search.
    """

    encoder: Program
    word: Record
    step: Program
    empty: dict[str, np.ndarray]
    words: tuple[str, ...]
    longest: int
    side: int
    searching: tuple[np.ndarray, np.ndarray]

    @staticmethod
    def load(folder: str | Path) -> Captioner:
        """The captioner of the two int8 files in a folder.

        Raises
        ------
        FileNotFoundError, ValueError : they are missing, broken, in float, or of different models.
        """
        folder = Path(folder)
        return Captioner.of(export.load(folder / ENCODER), export.load(folder / STEP))

    @staticmethod
    def of(encoder: ModelProto, step: ModelProto) -> Captioner:
        """The captioner of two int8 models."""
        seeing, saying = compile_graph(encoder), compile_graph(step)
        if "words" not in saying.notes or "longest" not in saying.notes:
            raise ValueError("The step's file does not tell its words; write it again with `uvlm quantize`.")
        (side,) = {d.dim_value for d in encoder.graph.input[0].type.tensor_type.shape.dim[2:]}
        return Captioner(
            from_pixels(seeing, saying),
            _word(saying),
            _looped(saying),
            _empty(saying, step),
            tuple(saying.notes["words"]),
            int(saying.notes["longest"]),
            side,
            (tables.powers(), tables.logs()),
        )

    def encode(self, pictures: np.ndarray) -> State:
        """What every step hears of pictures, int8 by name, as the step wants it: (B, S, S, 3) uint8, sRGB.

        Raises
        ------
        ValueError : pictures of another shape or type.
        """
        if pictures.ndim != 4 or pictures.shape[1:] != (self.side, self.side, 3) or pictures.dtype != np.uint8:
            raise ValueError(
                f"The integer captioner takes pictures (B, {self.side}, {self.side}, 3) of bytes, not "
                f"{pictures.shape} {pictures.dtype}; make them with `read_picture`."
            )
        return self.encoder.run({"pixels": np.moveaxis(pictures ^ np.uint8(128), 3, 1).view(np.int8)})

    def start(self, batch: int) -> State:
        """The state before the first word."""
        return {name: np.repeat(value[None], batch, 0) for name, value in self.empty.items()}

    def advance(self, number: np.ndarray, context: State, state: State) -> tuple[np.ndarray, State]:
        """One step: (B,) word numbers, context and state -> (B, V) int32 logits, see `logits`, and the next state."""
        made = self.step.run({"word": self.hear(number), **context, **state})
        return made["logits"], {name: made[f"{name}_next"] for name in state}

    def hear(self, number: np.ndarray) -> np.ndarray:
        """(B,) word numbers -> (B, H) int8, what the step hears of them."""
        return word(self.word, number)

    def greedy(self, pictures: np.ndarray) -> list[Found]:
        """The caption of each picture by greedy search."""
        context = self.encode(pictures)
        return greedy(self.advance, context, self.start(len(pictures)), self.longest, self.searching)

    def beam(self, pictures: np.ndarray, width: int = 3) -> list[list[Found]]:
        """At most `width` captions of each picture by beam search, the best first."""
        context = self.encode(pictures)
        return beam(self.advance, context, self.start(len(pictures)), width, self.longest, self.searching)

    def text(self, found: Found) -> str:
        """The words of a caption."""
        return " ".join(self.words[number] for number in found.tokens if number > 3)

    def captions(
        self, pictures: np.ndarray, width: int = 3, progress: Callable[[int], None] = lambda n: None
    ) -> list[Found]:
        """The best caption of each picture, in batches; `progress` is told how many were done."""
        found = []
        for start in range(0, len(pictures), BATCH):
            part = pictures[start : start + BATCH]
            found += [best[0] for best in self.beam(part, width)]
            progress(len(part))
        return found


ENCODER, STEP = "encoder_int8.onnx", "decoder_step_int8.onnx"


def from_pixels(seeing: Compiled, saying: Compiled) -> Program:
    """The encoder from bytes to the scales of the step: a table in front and one behind every output.

    The files leave both to floating point: there the picture comes as numbers in -1..1, and what goes from one network
    to the other is dequantized by the first and quantized by the second.
    """
    (picture,) = seeing.program.inputs
    first = Record(
        "look_up", ("pixels",), (picture,), arrays={"table": table(lambda v: v, PIXELS, seeing.scales[picture])}
    )
    missing = [name for name in seeing.program.outputs if name not in saying.scales]
    if missing:
        raise ValueError(f"The step does not take {missing[0]}, which the encoder gives; quantize both together.")
    names = {name: f"{name}_given" for name in seeing.program.outputs}
    records = [_renamed(record, names) for record in seeing.program.records]
    last = [
        Record(
            "look_up", (names[name],), (name,),
            arrays={"table": table(lambda v: v, seeing.scales[name], saying.scales[name])},
        )
        for name in seeing.program.outputs
    ]  # fmt: skip
    return Program((first, *records, *last), ("pixels",), seeing.program.outputs)


def _looped(saying: Compiled) -> Program:
    """The step with its outputs on the scales of its inputs."""
    program = saying.program
    behind, names = [], {}
    for name in program.inputs:
        if f"{name}_next" in program.outputs and name in saying.scales:
            names[f"{name}_next"] = f"{name}_made"
            change = table(lambda v: v, saying.scales[f"{name}_next"], saying.scales[name])
            behind.append(Record("look_up", (f"{name}_made",), (f"{name}_next",), arrays={"table": change}))
    return replace(program, records=(*(_renamed(r, names) for r in program.records), *behind))


def _renamed(record: Record, names: dict[str, str]) -> Record:
    """The record with other names of values."""
    return replace(
        record,
        inputs=tuple(names.get(name, name) for name in record.inputs),
        outputs=tuple(names.get(name, name) for name in record.outputs),
    )


def _word(saying: Compiled) -> Record:
    """The record that looks a word up: the rows are those of the logits' matrix, which is the same array."""
    (last,) = [record for record in saying.program.records if record.kind == "logits"]
    weight, scale = last.arrays["weight"], saying.scales["word"]
    (factor,), s = factors([saying.rows["embedding"] * weight.shape[1] ** 0.5 / scale.step], 128, offset=128)
    return Record("word", ("number",), ("word",), {"s": s, "zero_y": scale.zero}, {"weight": weight, "factor": factor})


def _empty(saying: Compiled, step: ModelProto) -> dict[str, np.ndarray]:
    """Zeros: 0 in the SSM's state, the zero point in the last output."""
    shapes = {i.name: tuple(d.dim_value for d in i.type.tensor_type.shape.dim)[1:] for i in step.graph.input}
    made = {}
    for name in saying.program.inputs:
        if name in saying.rows:
            made[name] = np.zeros(shapes[name], np.int16)
        elif f"{name}_next" in saying.program.outputs:
            made[name] = np.full(shapes[name], saying.scales[name].nearest(np.zeros(())), np.int8)
    return made
