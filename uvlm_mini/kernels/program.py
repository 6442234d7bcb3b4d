"""A whole network in C: its records one after the other, all their values in one arena.

Here is planned what C is told: which bytes of the arena each value has. Values whose lives do not overlap share bytes,
so the arena is as large as the worst moment of the network and little more. A `view` is its input under another name;
a table may write over what it reads; the state is changed where it lies.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..quantize.integer_ops import Program, Record
from .build import library
from .s8 import Kernel, checked, form_number
from .structs import CHANGED, INT8, INT32, Shape, from_layout, input_types, laid_shape, layout

ALIGNED = 16  # bytes: where a value may begin
NAMES = {"most": "MAXIMUM"}  # kinds that have another name in csrc/program.h


@dataclass
class Block:
    """Bytes of the arena, from the record that first writes them to the one that last reads them, both included."""

    size: int
    born: int
    dies: int
    kept: bool = False  # nothing else may use them at any time
    at: int = 0

    def meets(self, other: Block) -> bool:
        """Whether both are alive at some moment."""
        return self.kept or other.kept or (self.born <= other.dies and other.born <= self.dies)


@dataclass(frozen=True)
class Value:
    """A value of the network: its shape in C and in Python, both without the batch, its type and its bytes."""

    shape: Shape
    python: Shape
    kind: np.dtype
    block: Block


class CProgram:
    """A network in C.

    Parameters
    ----------
    program : its records.
    shapes : of every input without the batch, as Python has them: (C, H, W) or (F,).
    kept : inputs whose bytes no other value may use: they need to be written once for many runs.
    share : False gives every value bytes of its own, so that each can be looked at after a run.

    Attributes
    ----------
    values : every value by name.
    arena : (n,) int8, n a multiple of 16.
    kernels : those of the records, in their order; a `view` has none.
    program : the C struct, `uvlm_program *`.

    Raises
    ------
    TypeError, ValueError : shapes that do not fit the records, or an order of records that C cannot keep.
    """

    def __init__(
        self, program: Program, shapes: Mapping[str, Shape], kept: Collection[str] = (), share: bool = True
    ) -> None:
        if set(shapes) != set(program.inputs):
            raise ValueError(
                f"Shapes of {', '.join(shapes) or 'nothing'} were given; give those of {', '.join(program.inputs)}."
            )
        ffi, _ = library()
        self.inputs, self.outputs, self.share = program.inputs, program.outputs, share
        self._reads = {name: i for i, record in enumerate(program.records) for name in record.inputs}
        self._reads |= dict.fromkeys(program.outputs, len(program.records))
        self.blocks: list[Block] = []
        self.values: dict[str, Value] = {}
        types = {
            name: kind
            for record in program.records
            if record.kind != "view"
            for name, kind in zip(record.inputs, input_types(record, len(record.inputs)), strict=True)
        }
        for name in program.inputs:
            self._add(name, tuple(shapes[name]), types.get(name, INT8), -1)
            self.values[name].block.kept |= name in kept
        self.kernels: list[Kernel] = []
        rows: list[tuple[str, list[Block]]] = []
        for i, record in enumerate(program.records):
            if record.kind == "view":
                self._view(record)
            else:
                rows.append((record.kind, self._record(i, record)))
        size = place(self.blocks, share)
        self.arena = aligned(size)
        self._records = ffi.new("uvlm_record[]", len(rows))
        for row, kernel, (kind, blocks) in zip(self._records, self.kernels, rows, strict=True):
            row.kind = getattr(library()[1], f"UVLM_{NAMES.get(kind, kind.upper())}")
            row.numbers = kernel.struct
            row.at = [block.at for block in blocks] + [0] * (6 - len(blocks))
        self.program = ffi.new("uvlm_program *", {"records": self._records, "count": len(rows)})
        needed = ffi.new("int64_t *")
        checked(library()[1].uvlm_program_arena(self.program, needed), "uvlm_program_arena")
        assert needed[0] <= size

    def run(
        self, given: Mapping[str, np.ndarray], keep: bool = False, form: str | None = None
    ) -> dict[str, np.ndarray]:
        """As `Program.run`: the outputs by name, of B pictures; with `keep`, every value.

        Parameters
        ----------
        given : every input with its batch, (B, ...), of the type that the program reads.
        form : of the kernels that have more than one; None is the best.

        Raises
        ------
        TypeError : an input of another type.
        ValueError : inputs are missing or unknown, of other shapes, or `keep` where values share bytes.
        """
        if set(given) != set(self.inputs):
            raise ValueError(f"This network takes {', '.join(self.inputs)}, not {', '.join(given) or 'nothing'}.")
        if keep and self.share:
            raise ValueError("Values of this network share bytes and are gone after a run; make it with share=False.")
        batch = len(given[self.inputs[0]])
        for name, x in given.items():
            value = self.values[name]
            if x.dtype != value.kind:
                raise TypeError(f"{name} is {x.dtype}, but this network reads {value.kind}; convert it.")
            if x.shape != (batch, *value.python):
                raise ValueError(f"{name} has the shape {x.shape}, but must have {(batch, *value.python)}.")
        names = [name for name in (self.values if keep else self.outputs) if name not in given]
        made = {name: np.empty((batch, *self.values[name].python), self.values[name].kind) for name in names}
        for b in range(batch):
            for name in self.inputs:
                self.array(name)[...] = layout(given[name][b])
            self.once(form)
            for name in names:
                made[name][b] = from_layout(self.array(name)).reshape(self.values[name].python)
        passed = given if keep else {name: given[name] for name in self.outputs if name in given}
        return {**passed, **made}

    def once(self, form: str | None = None) -> None:
        """Run the records on what lies in the arena."""
        ffi, lib = library()
        arena = ffi.from_buffer("int8_t[]", self.arena, require_writable=True)
        if form is None:
            checked(lib.uvlm_program_run(self.program, arena, self.arena.size), "uvlm_program_run")
        else:
            status = lib.uvlm_program_run_as(form_number(form), self.program, arena, self.arena.size)
            checked(status, "uvlm_program_run_as")

    def array(self, name: str) -> np.ndarray:
        """The bytes of a value in the arena as an array, as C has it; writing to it writes to the arena."""
        value = self.values[name]
        size = int(np.prod(value.shape, dtype=int)) * value.kind.itemsize
        return self.arena[value.block.at : value.block.at + size].view(value.kind).reshape(value.shape)

    # Planning

    def _add(self, name: str, python: Shape, kind: np.dtype, born: int) -> None:
        """A value with a block of its own."""
        size = int(np.prod(python, dtype=int)) * kind.itemsize
        block = Block(size, born, max(born, self._reads.get(name, born)))
        self.blocks.append(block)
        self.values[name] = Value(laid_shape(python), python, kind, block)

    def _alias(self, name: str, python: Shape, of: str) -> None:
        """A value in the bytes of another."""
        old = self.values[of]
        old.block.dies = max(old.block.dies, self._reads.get(name, -1))
        self.values[name] = Value(laid_shape(python), python, old.kind, old.block)

    def _view(self, record: Record) -> None:
        (x,), (y,) = record.inputs, record.outputs
        old, new = self.values[x], record.sizes("shape")
        numbers = np.arange(int(np.prod(old.python, dtype=int)))
        if (layout(numbers.reshape(old.python)).ravel() != layout(numbers.reshape(new)).ravel()).any():
            raise ValueError(
                f"{y} views {old.python} as {new}, which with channels last is another order; export the model again."
            )
        self._alias(y, tuple(new), x)

    def _record(self, i: int, record: Record) -> list[Block]:
        """The blocks of a record's values in the order of its kernel's arguments."""
        given = [self.values[name] for name in record.inputs]
        kernel = Kernel(record, *(value.shape for value in given))
        for name, value, kind in zip(record.inputs, given, kernel.input_types, strict=True):
            if value.kind != kind:
                raise TypeError(f"{record.kind} reads {name} as {kind}, but it is {value.kind}; mend the program.")
        self.kernels.append(kernel)
        over = {place: record.inputs[which] for which, place in CHANGED.get(record.kind, ())}
        for name in over.values():
            block = self.values[name].block
            if block.dies > i or block.kept:
                raise ValueError(f"{record.kind} writes over {name}, which is needed later; read it before.")
        if record.kind == "look_up" and self.share and given[0].block.dies == i and not given[0].block.kept:
            over = {0: record.inputs[0]}
        blocks = [value.block for value in given]
        for k, (name, shape, kind) in enumerate(
            zip(record.outputs, kernel.sizes.outputs, kernel.output_types, strict=True)
        ):
            python = shape if len(shape) != 3 else (shape[2], *shape[:2])
            if k in over:
                self._alias(name, python, over[k])
            else:
                self._add(name, python, kind, i)
            if k not in over or record.kind == "look_up":
                blocks.append(self.values[name].block)
        if kernel.sizes.scratch:
            blocks.append(Block(kernel.sizes.scratch * INT32.itemsize, i, i))
            self.blocks.append(blocks[-1])
        return blocks


def place(blocks: list[Block], share: bool = True) -> int:
    """Give every block its place, the largest first, each as low as those it meets leave room; the bytes of all."""
    done: list[Block] = []
    for block in sorted(blocks, key=lambda block: -block.size):
        at = 0
        for other in sorted(done, key=lambda other: other.at):
            if (not share or block.meets(other)) and other.at < at + block.size and at < other.at + other.size:
                at = -(-(other.at + other.size) // ALIGNED) * ALIGNED
        block.at = at
        done.append(block)
    return -(-max(block.at + block.size for block in blocks) // ALIGNED) * ALIGNED


def aligned(size: int) -> np.ndarray:
    """(size,) int8, zeros, that begin at a multiple of 16 bytes."""
    room: Any = np.zeros(size + ALIGNED, np.int8)
    start = -room.ctypes.data % ALIGNED
    return room[start : start + size]
