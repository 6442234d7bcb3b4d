"""The blob: the int8 captioner in one file, as csrc/blob.c reads it. Weights lie in it as the kernels use them.

What stands where is told in csrc/blob.c; the fields of each kernel's struct are taken from the header that C is built
with. Equal arrays are written once: so the embedding and the output matrix are one.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import replace
from typing import Any

import numpy as np

from ..kernels.build import library
from ..kernels.program import ALIGNED, CProgram, aligned
from ..kernels.s8 import Kernel
from ..quantize.integer import Captioner
from ..quantize.integer_ops import Program

MAGIC, VERSION = 0x4D4C5655, 2  # "UVLM"
HEAD = (
    "magic", "version", "bytes", "checksum", "side", "words", "longest", "encoder", "step", "seeing", "saying",
    "pixels_at", "word_at", "logits_at", "map_at", "map", "map_zero", "contexts", "states", "powers", "logs", "texts",
    "records",
)  # fmt: skip


class Pool:
    """The arrays behind the records, each once, and where they begin."""

    def __init__(self, start: int) -> None:
        self.parts: list[bytes] = []
        self.end = start
        self._at: dict[bytes, int] = {}

    def place(self, data: bytes) -> int:
        """Where these bytes begin."""
        if data not in self._at:
            gap = -self.end % ALIGNED
            self._at[data] = self.end + gap
            self.parts.append(bytes(gap) + data)
            self.end += gap + len(data)
        return self._at[data]


def fields(kernel: Kernel) -> tuple[list[bytes | None], list[int]]:
    """The arrays of a kernel's struct, None for one that it does without, and its numbers."""
    ffi, _ = library()
    arrays: list[bytes | None] = []
    numbers: list[int] = []
    alive = iter(kernel.alive)
    for name, about in ffi.typeof(kernel.struct).item.fields:
        value = getattr(kernel.struct, name)
        if about.type.kind == "pointer":
            arrays.append(bytes(ffi.buffer(next(alive))) if value != ffi.NULL else None)
        elif about.type.kind == "array":
            numbers += list(value)
        else:
            numbers.append(value)
    return arrays, numbers


def planned(captioner: Captioner) -> tuple[CProgram, CProgram, str]:
    """Encoder and step with their places in the arenas, and the name of the bias map that the step makes."""
    side, decoder = captioner.side, captioner.decoder
    encoder = CProgram(captioner.encoder, {"pixels": (3, side, side)})
    name = bias_map(decoder.step)
    step = replace(decoder.step, outputs=(*decoder.step.outputs, name))
    shapes: dict[str, tuple[int, ...]] = {"word": (decoder.word.arrays["weight"].shape[1],)}
    shapes |= {given: encoder.values[given].python for given in encoder.outputs}
    shapes |= {given: value.shape for given, value in decoder.empty.items()}
    if set(shapes) != set(step.inputs):
        raise ValueError(
            f"A blob holds a step whose state is empty before the first word; this one takes "
            f"{', '.join(step.inputs)}, of which the captioner gives {', '.join(shapes)}."
        )
    changed = {name for record in step.records if record.kind == "scan" for name in record.inputs[-1:]}
    return encoder, CProgram(step, shapes, kept=[given for given in shapes if given not in changed]), name


def bias_map(step: Program) -> str:
    """The value in a step that says where it looks: what its convolution to one channel gives.

    Raises
    ------
    ValueError : there is none, or more than one.
    """
    found = [r.outputs[0] for r in step.records if r.kind == "conv" and r.arrays["weight"].shape[0] == 1]
    if len(found) != 1:
        raise ValueError(f"A step of AttSSM has one convolution to a single channel, this one {len(found)}.")
    return found[0]


def write(captioner: Captioner) -> bytes:
    """The blob of a captioner.

    Raises
    ------
    ValueError : a decoder that is not AttSSM, or a vocabulary with a zero byte in a word.
    """
    encoder, step, name = planned(captioner)
    decoder = captioner.decoder
    word = Kernel(decoder.word, ())
    programs = [(int(p.program.records[i].kind), list(p.program.records[i].at), kernel)
                for p in (encoder, step) for i, kernel in enumerate(p.kernels)]  # fmt: skip
    programs.append((library()[1].UVLM_WORD, [0] * 6, word))
    copies = [[*_places(encoder, given, step, given), 0] for given in encoder.outputs]
    for given, value in decoder.empty.items():
        fill = value.reshape(-1)[0]
        assert (value == fill).all() and (value.dtype == np.int8 or not fill)
        copies.append([*_places(step, f"{given}_next", step, given), int(fill)])
    parsed = [(kind, at, *fields(kernel)) for kind, at, kernel in programs]
    records = 4 * (len(HEAD) + 4 * len(copies))
    pool = Pool(records + 4 * sum(7 + 2 * len(arrays) + len(numbers) for _, _, arrays, numbers in parsed))
    rows: list[int] = []
    for kind, at, arrays, numbers in parsed:
        placed = [(pool.place(data), len(data)) if data is not None else (0, 0) for data in arrays]
        rows += [kind, *at, *(n for pair in placed for n in pair), *numbers]
    powers, logs = (pool.place(table.astype("<i4").tobytes()) for table in decoder.searching)
    made = [record for record in decoder.step.records if name in record.outputs]
    head = {
        "magic": MAGIC, "version": VERSION, "side": captioner.side, "words": len(decoder.words),
        "longest": decoder.longest, "encoder": len(encoder.kernels), "step": len(step.kernels),
        "seeing": encoder.arena.size, "saying": step.arena.size, "pixels_at": _at(encoder, "pixels"),
        "word_at": _at(step, "word"), "logits_at": _at(step, "logits"), "map_at": _at(step, name),
        "map": math.prod(step.values[name].shape), "map_zero": made[0].number("zero_y"),
        "contexts": len(encoder.outputs), "states": len(decoder.empty), "powers": powers, "logs": logs,
        "records": records,
    }  # fmt: skip
    head["texts"], texts = _texts(pool, decoder.words)
    head["bytes"] = pool.end + len(texts)
    start = [head.get(key, 0) for key in HEAD]
    rest = _int32(start[4:] + [n for row in copies for n in row] + rows) + b"".join(pool.parts) + texts
    checksum = np.uint32(zlib.crc32(rest)).view(np.int32)
    return _int32([*start[:3], int(checksum)]) + rest


def _texts(pool: Pool, words: tuple[str, ...]) -> tuple[int, bytes]:
    """Where the places of the words' texts stand, which is the last array; and the texts that follow it."""
    coded = [word.encode() + b"\0" for word in words]
    if any(b"\0" in text[:-1] for text in coded):
        raise ValueError("A word with a zero byte in it cannot be written to a blob; remove it from the vocabulary.")
    begin = pool.end + -pool.end % ALIGNED + 4 * len(words)
    at = begin + np.cumsum([0, *map(len, coded[:-1])])
    return pool.place(at.astype("<i4").tobytes()), b"".join(coded)


def _at(program: CProgram, name: str) -> int:
    return program.values[name].block.at


def _places(source: CProgram, given: str, target: CProgram, taken: str) -> list[int]:
    """A copy: from, to, bytes."""
    size = target.values[taken]
    return [_at(source, given), _at(target, taken), math.prod(size.shape) * size.kind.itemsize]


def _int32(numbers: list[int]) -> bytes:
    return np.array(numbers, "<i4").tobytes()


class CCaptioner:
    """csrc/captioner.c on a blob.

    Parameters
    ----------
    blob : bytes that `write` made, or the content of a file.
    beam : beginnings that a search keeps; 1 is greedy search.

    Attributes
    ----------
    side : of a picture in pixels.
    words : how many it knows.
    longest : words that a caption may have.
    memory : bytes that it works in, beside the blob.

    Raises
    ------
    ValueError : a blob that is broken, cut off, of another version or contradictory, or a beam out of range.
    """

    def __init__(self, blob: bytes, beam: int = 3) -> None:
        self._ffi, self._lib = library()
        self._blob = aligned(len(blob))
        self._blob[:] = np.frombuffer(blob, np.int8)
        where, size = self._ffi.from_buffer("int8_t[]", self._blob), self._ffi.new("int64_t *")
        _check(self._lib.uvlm_memory(where, len(blob), beam, size))
        self._memory = aligned(size[0])
        self._m = self._ffi.new("uvlm *")
        room = self._ffi.from_buffer("int8_t[]", self._memory)
        _check(self._lib.uvlm_open(self._m, where, len(blob), beam, room, size[0]))
        self.side, self.words, self.memory = self._m.side, self._m.words, size[0]
        self.longest = self._m.longest

    def encode(self, picture: np.ndarray) -> None:
        """Look at a picture: (side, side, 3) uint8."""
        _check(self._lib.uvlm_encode(self._m, self._pixels(picture)))

    def step(self, word: int) -> np.ndarray:
        """One step after a word, by number: (words,) int32 logits."""
        logits = self._ffi.new("const int32_t **")
        _check(self._lib.uvlm_step(self._m, word, logits))
        return np.frombuffer(self._ffi.buffer(logits[0], 4 * self.words), np.int32).copy()

    def start(self) -> None:
        """Back to the empty state, before the first word."""
        _check(self._lib.uvlm_start(self._m))

    def contexts(self) -> list[np.ndarray]:
        """What the encoder gave the step, each value as a row of int8, channels last."""
        given = list(self._m.context)[: self._m.contexts]
        return [np.frombuffer(self._ffi.buffer(self._m.saying + c.to, c.bytes), np.int8).copy() for c in given]

    def map(self) -> np.ndarray:
        """The bias map of the last step as C has it: int8 in a row."""
        return np.frombuffer(self._ffi.buffer(self._lib.uvlm_bias(self._m), self._m.map), np.int8).copy()

    def bias(self) -> np.ndarray:
        """The bias map of the last step, int8 as a square, less the number that stands for no bias: int16."""
        side = math.isqrt(self._m.map)
        return self.map().reshape(side, side).astype(np.int16) - np.int16(self._m.map_zero)

    def caption(self, picture: np.ndarray) -> str:
        """The best caption of a picture, (side, side, 3) uint8."""
        found = self._ffi.new("uvlm_found *")
        _check(self._lib.uvlm_caption(self._m, self._pixels(picture), found))
        return " ".join(self.text(n) for n in found.words[0 : found.count] if n > 3)

    def search(self) -> tuple[list[int], int, bool]:
        """Words, score and whether it ended by itself, of the best caption of the picture that was encoded."""
        found = self._ffi.new("uvlm_found *")
        _check(self._lib.uvlm_search(self._m, found))
        return list(found.words[0 : found.count]), found.score, bool(found.ended)

    def text(self, word: int) -> str:
        """The text of a word."""
        return self._ffi.string(self._lib.uvlm_text(self._m, word)).decode()

    def _pixels(self, picture: np.ndarray) -> Any:
        if picture.shape != (self.side, self.side, 3) or picture.dtype != np.uint8:
            raise ValueError(
                f"This captioner looks at pictures ({self.side}, {self.side}, 3) of bytes, not {picture.shape} "
                f"{picture.dtype}; make them with `read_picture`."
            )
        self._picture = np.ascontiguousarray(picture)
        return self._ffi.from_buffer("uint8_t[]", self._picture)


STATUS = {
    1: "something is missing",
    2: "a size does not fit",
    3: "a number is out of range (a beam keeps 1 to 8 beginnings, a word is one of the vocabulary)",
    5: "it is no blob of this version, or is cut off or damaged; write it again with `uvlm deploy blob`",
    6: "its parts contradict each other; write it again with `uvlm deploy blob`",
}


def _check(status: int) -> None:
    if status:
        raise ValueError(f"The captioner in C refused the blob or what was asked: {STATUS.get(status, status)}.")
