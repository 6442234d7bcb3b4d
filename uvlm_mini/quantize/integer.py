"""The int8 captioner in integers: the one definition that the C code must meet bit for bit.

    bytes of a picture --> encoder --> x, signal, gate --.
                                                         v
    word number --> embedding row --> word --> step --> logits --> search --> words
                                      h, y -->  |
                                       ^--------'

Made once from the two int8 ONNX files, in float64 (integer_graph.py, tables.py); from then on there are integers only:
int8 values, int32 sums, int16 for the SSM's state, 64 bits where fixed.py and integer_ops.py say so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import tables
from .integer_graph import Compiled, compile_graph
from .integer_ops import Program, Record, word
from .integer_search import Found, State, beam, greedy
from .pair import INT8, load_as
from .tables import Scale, factors, table

if TYPE_CHECKING:
    from onnx import ModelProto

PIXELS = Scale(1 / 128, 0)  # what a byte stands for, less 128: see model.to_tensor
BATCH = 50  # pictures that are captioned at once


@dataclass(frozen=True)
class IntegerDecoder:
    """What says words, in integers.

    word : from (B,) word numbers to (B, H) int8.
    step : one step.
    empty : the state before the first word, by name, without the batch; what is not here comes with the context,
        under the name NAME_first.
    words : all words, specials included.
    longest : words a caption may have.
    searching : tables of powers and logarithms for the search.
    """

    word: Record
    step: Program
    empty: dict[str, np.ndarray]
    words: tuple[str, ...]
    longest: int
    searching: tuple[np.ndarray, np.ndarray]

    def start(self, given: State) -> tuple[State, State]:
        """What the encoder gave, as context and as the state before the first word."""
        batch = len(next(iter(given.values())))
        context = {name: value for name, value in given.items() if not name.endswith("_first")}
        state = {name: np.repeat(value[None], batch, 0) for name, value in self.empty.items()}
        state |= {name.removesuffix("_first"): value for name, value in given.items() if name not in context}
        return context, state

    def hear(self, number: np.ndarray) -> np.ndarray:
        """(B,) word numbers -> (B, H) int8, what the step hears of them."""
        return word(self.word, number)

    def advance(self, number: np.ndarray, context: State, state: State) -> tuple[np.ndarray, State]:
        """One step: (B,) word numbers, context and state -> (B, V) int32 logits in Q16 bits, and the next state."""
        made = self.step.run({"word": self.hear(number), **context, **state})
        return made["logits"], {name: made[f"{name}_next"] for name in state}

    def greedy(self, given: State) -> list[Found]:
        """The caption of each picture by greedy search, from what the encoder gave."""
        return greedy(self.advance, *self.start(given), self.longest, self.searching)

    def beam(self, given: State, width: int = 3) -> list[list[Found]]:
        """At most `width` captions of each picture by beam search, the best first."""
        return beam(self.advance, *self.start(given), width, self.longest, self.searching)

    def text(self, found: Found) -> str:
        """The words of a caption."""
        return " ".join(self.words[number] for number in found.tokens if number > 3)


@dataclass(frozen=True)
class Captioner:
    """The int8 captioner.

    encoder : from "pixels", int8 (B, 3, S, S), to what every step hears of a picture.
    decoder : the rest.
    side : S, pixels a side.
    """

    encoder: Program
    decoder: IntegerDecoder
    side: int

    @staticmethod
    def load(folder: str | Path) -> Captioner:
        """The captioner of the two int8 files in a folder.

        Raises
        ------
        FileNotFoundError, ValueError : they are missing, broken, in float, or of different models.
        """
        return Captioner.of(*(load_as(Path(folder, name), True) for name in INT8.values()))

    @staticmethod
    def of(encoder: ModelProto, step: ModelProto) -> Captioner:
        """The captioner of two int8 models."""
        seeing, saying = compile_graph(encoder), compile_graph(step)
        if "words" not in saying.notes or "longest" not in saying.notes:
            raise ValueError("The step's file does not tell its words; write it again with `uvlm quantize`.")
        eyes = from_pixels(seeing, saying)
        decoder = IntegerDecoder(
            _word(saying),
            looped(saying),
            _empty(saying, step),
            tuple(saying.notes["words"]),
            int(saying.notes["longest"]),
            (tables.powers(), tables.logs()),
        )
        (side,) = {d.dim_value for d in encoder.graph.input[0].type.tensor_type.shape.dim[2:]}
        return Captioner(eyes, decoder, side)

    def encode(self, pictures: np.ndarray) -> State:
        """What every step hears of pictures, int8 by name: (B, S, S, 3) uint8, sRGB.

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

    def captions(
        self, pictures: np.ndarray, width: int = 3, progress: Callable[[int], None] = lambda n: None
    ) -> list[Found]:
        """The best caption of each picture, in batches; `progress` is told how many were done."""
        found = []
        for start in range(0, len(pictures), BATCH):
            part = pictures[start : start + BATCH]
            found += [best[0] for best in self.decoder.beam(self.encode(part), width)]
            progress(len(part))
        return found

    def caption(self, picture: np.ndarray, width: int = 3) -> str:
        """The caption of one picture, (S, S, 3) uint8."""
        return self.decoder.text(self.captions(np.asarray(picture)[None], width)[0])


def from_pixels(seeing: Compiled, saying: Compiled) -> Program:
    """The encoder from bytes to the scales of the step: a table in front and behind, where the scales differ.

    The files leave both to floating point: there the picture comes as numbers in -1..1, and what goes from one network
    to the other is dequantized by the first and quantized by the second.
    """
    program = seeing.program
    if len(program.inputs) != 1 or any(name not in saying.scales for name in program.outputs):
        raise ValueError(
            f"A step that takes {', '.join(saying.program.inputs)} does not go with a network from "
            f"{', '.join(program.inputs)} to {', '.join(program.outputs)}; give an encoder and a step that were "
            "quantized together."
        )
    (picture,) = program.inputs
    program = Program(tuple(_renamed(r, {picture: "pixels"}) for r in program.records), ("pixels",), program.outputs)
    if seeing.scales[picture] != PIXELS:
        first = _change("pixels", "picture", PIXELS, seeing.scales[picture])
        renamed = (_renamed(r, {"pixels": "picture"}) for r in program.records)
        program = replace(program, records=(first, *renamed))
    return _behind(program, {name: (seeing.scales[name], saying.scales[name]) for name in program.outputs})


def looped(saying: Compiled) -> Program:
    """The step with its outputs on the scales of its inputs."""
    again = [name for name in saying.program.inputs if f"{name}_next" in saying.scales]
    changes = {f"{name}_next": (saying.scales[f"{name}_next"], saying.scales[name]) for name in again}
    return _behind(saying.program, changes)


def _behind(program: Program, changes: dict[str, tuple[Scale, Scale]]) -> Program:
    """The program with a table behind each output whose scale has to change."""
    names = {name: f"{name}_made" for name, (old, new) in changes.items() if old != new}
    last = (_change(made, name, *changes[name]) for name, made in names.items())
    return replace(program, records=(*(_renamed(record, names) for record in program.records), *last))


def _change(given: str, made: str, old: Scale, new: Scale) -> Record:
    """The record of a change of scale."""
    return Record("look_up", (given,), (made,), arrays={"table": table(lambda v: v, old, new)})


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
    return word_record(last.arrays["weight"], saying.rows["embedding"], saying.scales["word"])


def word_record(weight: np.ndarray, steps: np.ndarray, scale: Scale) -> Record:
    """Rows of an int8 embedding (V, H) with a step each, times sqrt(H), on one scale."""
    (factor,), s = factors([steps * weight.shape[1] ** 0.5 / scale.step], 128, offset=128)
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
