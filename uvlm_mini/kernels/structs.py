"""From a record of integer_ops.py to the struct of the same numbers in csrc/kernels_s8.h.

C knows one picture and no batch, and has a map's channels last. `layout` and `laid_out` are the one place where values
and weights change from (C, H, W) to (H, W, C); all shapes below are those of C.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..quantize.integer_ops import Record
from .build import library

Shape = tuple[int, ...]
Numbers = dict[str, int | list[int]]
INT8, INT16, INT32 = np.dtype(np.int8), np.dtype(np.int16), np.dtype(np.int32)

STRUCTS = {"logits": "gemm", "most": "mean", "enlarge": "pool", "concat": "parts", "split": "parts"}
PARTS = 4  # of a concat or split, at most
# Types of inputs and outputs where not all are int8
INPUTS = {
    "word": (INT32,),
    "scan": (INT8, INT8, INT8, INT8, INT16),
    "softmax": (INT32,),
    "attend": (INT16, INT8),
    "lstm": (INT8, INT8, INT16),
}
OUTPUTS = {
    "logits": (INT32,),
    "scan": (INT8, INT16),
    "scores": (INT32,),
    "softmax": (INT16,),
    "first": (INT8, INT16),
    "lstm": (INT8, INT16),
}
# Inputs that the kernel changes, as (place among inputs, place among outputs)
CHANGED = {"scan": ((4, 1),), "lstm": ((1, 0), (2, 1))}


def layout(x: np.ndarray) -> np.ndarray:
    """A value of one picture as C has it: a map (C, H, W) becomes (H, W, C), anything else stays."""
    return np.ascontiguousarray(x.transpose(1, 2, 0)) if x.ndim == 3 else x


def from_layout(x: np.ndarray) -> np.ndarray:
    """Back again: (H, W, C) becomes (C, H, W)."""
    return np.ascontiguousarray(x.transpose(2, 0, 1)) if x.ndim == 3 else x


def laid_shape(shape: Shape) -> Shape:
    """`layout` of a shape."""
    return (*shape[1:], shape[0]) if len(shape) == 3 else shape


def laid_out(record: Record, name: str, dims: int) -> np.ndarray:
    """An array of a record as C has it.

    Weights of convolutions (O, C / group, k, k) become (O, k, k, C) if dense, (k, k, C) if depthwise; constants get as
    many dimensions as the value that they meet, `dims`, and its layout.
    """
    x = record.arrays[name]
    if name == "weight" and record.kind == "conv":
        x = x.transpose(0, 2, 3, 1) if record.number("group") == 1 else x[:, 0].transpose(1, 2, 0)
    elif name == "constant":
        while x.ndim > dims and x.shape[0] == 1:
            x = x[0]
        x = layout(x.reshape((1,) * (dims - x.ndim) + x.shape))
    return np.ascontiguousarray(x)


@dataclass(frozen=True)
class Sizes:
    """What follows from the shapes of a record's inputs and arrays.

    outputs : their shapes.
    numbers : sizes and strides by the name of the struct's field.
    arrays : how many numbers each array must have.
    scratch : int32 numbers that the kernel works in.
    """

    outputs: tuple[Shape, ...]
    numbers: Numbers = field(default_factory=dict)
    arrays: dict[str, int] = field(default_factory=dict)
    scratch: int = 0


def _wrong(r: Record, shapes: tuple[Shape, ...], expected: str) -> ValueError:
    given = ", ".join(map(str, shapes)) or "nothing"
    return ValueError(f"{r.kind} was given {given}, but takes {expected}; give one picture, channels last.")


def _rows(rows: int, weight: int) -> dict[str, int]:
    return {"weight": weight, "bias": rows, "m": rows, "s": rows}


def _matrix(r: Record) -> tuple[int, int]:
    rows, columns = r.arrays["weight"].shape
    return rows, columns


def _look_up(r: Record, x: Shape) -> Sizes:
    return Sizes((x,), {"count": math.prod(x)}, {"table": 256})


def _gemm(r: Record, x: Shape) -> Sizes:
    rows, columns = _matrix(r)
    if x != (columns,):
        raise _wrong(r, (x,), f"({columns},)")
    extra: Numbers = {} if r.kind == "gemm" else {"lift": 0, "zero_y": 0}
    return Sizes(((rows,),), {"rows": rows, "columns": columns, **extra}, _rows(rows, rows * columns))


def _word(r: Record, number: Shape) -> Sizes:
    words, hidden = _matrix(r)
    if number != ():
        raise _wrong(r, (number,), "one number")
    return Sizes(((hidden,),), {"words": words, "hidden": hidden}, {"weight": words * hidden, "factor": words})


def _conv(r: Record, x: Shape) -> Sizes:
    outputs, inputs, kernel_h, kernel_w = r.arrays["weight"].shape
    group, pads, (stride_y, stride_x) = r.number("group"), r.sizes("pads"), r.sizes("strides")
    if group not in (1, outputs) or (group != 1 and inputs != 1):
        raise ValueError(f"A convolution in {group} groups was given; C has dense and depthwise ones alone.")
    channels = inputs * group
    if len(x) != 3 or x[2] != channels:
        raise _wrong(r, (x,), f"(H, W, {channels})")
    height, width, _ = x
    down = (height + pads[0] + pads[2] - kernel_h) // stride_y + 1
    right = (width + pads[1] + pads[3] - kernel_w) // stride_x + 1
    if down < 1 or right < 1:
        raise _wrong(r, (x,), f"a map as large as its kernel, ({kernel_h}, {kernel_w})")
    numbers: Numbers = {
        "height": height, "width": width, "channels": channels, "outputs": outputs, "kernel_h": kernel_h,
        "kernel_w": kernel_w, "stride_y": stride_y, "stride_x": stride_x, **dict(zip(SIDES, pads, strict=True)),
    }  # fmt: skip
    return Sizes(((down, right, outputs),), numbers, _rows(outputs, outputs * inputs * kernel_h * kernel_w))


SIDES = ("top", "left", "bottom", "right")


def _strides(r: Record, part: Shape, whole: Shape) -> tuple[int, int]:
    """By how many numbers a value goes on from position to position and from channel to channel; 0 repeats it."""
    if part[-1] == whole[-1] and part[:-1] == whole[:-1]:
        return whole[-1], 1
    if all(n == 1 for n in part[:-1]):
        return 0, int(part[-1] == whole[-1] and part[-1] > 1)
    if part[:-1] == whole[:-1] and part[-1] == 1:
        return 1, 0
    raise _wrong(r, (part, whole), "values that repeat over all positions or over all channels")


def _add(r: Record, x: Shape, *other: Shape) -> Sizes:
    constant = laid_out(r, "constant", len(x)).shape if "constant" in r.arrays else None
    if len(other) != (constant is None):
        raise _wrong(r, (x, *other), "two values, or one and the record's constant")
    y = other[0] if constant is None else constant
    if not x or len(x) != len(y) or any(a != b and 1 not in (a, b) for a, b in zip(x, y, strict=True)):
        raise _wrong(r, (x, y), "two shapes of as many dimensions, equal or 1 in each")
    whole = tuple(map(max, x, y))
    strides = dict(
        zip(
            ("x_position", "x_channel", "other_position", "other_channel"),
            (*_strides(r, x, whole), *_strides(r, y, whole)),
            strict=True,
        )
    )
    numbers: Numbers = {"positions": math.prod(whole[:-1]), "channels": whole[-1], **strides}
    return Sizes((whole,), numbers, {} if constant is None else {"constant": math.prod(constant)})


def _map(r: Record, x: Shape) -> tuple[int, int]:
    """Positions and channels of a map."""
    if len(x) != 3:
        raise _wrong(r, (x,), "a map (H, W, C)")
    return x[0] * x[1], x[2]


def _mean(r: Record, x: Shape) -> Sizes:
    positions, channels = _map(r, x)
    extra = dict.fromkeys(("zero_x", "zero_y", "m", "s", "lift"), 0) if r.kind == "most" else {}
    return Sizes(((channels,),), {"positions": positions, "channels": channels, **extra})


def _pool(r: Record, x: Shape) -> Sizes:
    _map(r, x)
    (height, width, channels), side = x, r.number("side")
    numbers: Numbers = {"height": height, "width": width, "channels": channels}
    if r.kind == "enlarge":
        numbers |= dict.fromkeys(("zero_x", "zero_y", "m", "s", "lift"), 0)
        return Sizes(((height * side, width * side, channels),), numbers)
    if side < 1 or height % side or width % side:
        raise _wrong(r, (x,), f"a map whose sides are multiples of {side}")
    return Sizes(((height // side, width // side, channels),), numbers)


def _parts(r: Record, shapes: list[Shape]) -> tuple[Shape, Numbers]:
    """The whole of parts along their channels, and the numbers of the struct."""
    axis = 2 if len(shapes[0]) == 3 else 0  # the channels of a map; else what was the first axis after the batch
    rest = {shape[:axis] + shape[axis + 1 :] for shape in shapes}
    if len(shapes) > PARTS or len(rest) != 1 or len({len(shape) for shape in shapes}) != 1:
        raise _wrong(r, tuple(shapes), f"up to {PARTS} parts that differ in their channels alone")
    sizes = [math.prod(shape[axis:]) for shape in shapes]
    whole = (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])
    numbers: Numbers = {
        "positions": math.prod(shapes[0][:axis]),
        "parts": len(shapes),
        "sizes": sizes + [0] * (PARTS - len(sizes)),
    }
    return whole, numbers


def _concat(r: Record, *shapes: Shape) -> Sizes:
    if not shapes or not all(shapes) or r.number("axis") != 1:
        raise ValueError(f"concat along axis {r.numbers['axis']} of {shapes} was given; C joins channels, axis 1.")
    whole, numbers = _parts(r, list(shapes))
    return Sizes((whole,), numbers)


def _split(r: Record, x: Shape) -> Sizes:
    sizes = r.sizes("sizes")
    axis = 2 if len(x) == 3 else 0
    if not x or sum(sizes) != x[axis]:
        raise _wrong(r, (x,), f"{sum(sizes)} channels")
    shapes = [(*x[:axis], size, *x[axis + 1 :]) for size in sizes]
    _, numbers = _parts(r, shapes)
    return Sizes(tuple(shapes), numbers)


def _grn(r: Record, x: Shape) -> Sizes:
    positions, channels = _map(r, x)
    if channels != len(r.arrays["gamma"]):
        raise _wrong(r, (x,), f"(H, W, {len(r.arrays['gamma'])})")
    arrays = {"gamma": channels, "beta": channels, "roots": 96}
    return Sizes((x,), {"positions": positions, "channels": channels}, arrays, scratch=channels)


def _layer_norm(r: Record, x: Shape) -> Sizes:
    hidden = len(r.arrays["gamma"])
    if x != (hidden,):
        raise _wrong(r, (x,), f"({hidden},)")
    return Sizes((x,), {"hidden": hidden}, {"gamma": hidden, "beta": hidden, "roots": 96})


def _scan(r: Record, *shapes: Shape) -> Sizes:
    channels, states = r.arrays["A"].shape
    expected = ((channels,), (channels,), (states,), (states,), (channels, states))
    if shapes != expected:
        raise _wrong(r, shapes, ", ".join(map(str, expected)))
    each = ("A_shift", "write_m", "write_s", "read_m", "read_s", "D")
    tables = {"mantissa": 256, "shift": 256, "A": channels * states}
    numbers: Numbers = {"channels": channels, "states": states}
    return Sizes(((channels,), (channels, states)), numbers, tables | dict.fromkeys(each, channels))


def _scores(r: Record, x: Shape) -> Sizes:
    positions, channels = _map(r, x)
    if r.arrays["weight"].shape != (1, channels):
        raise _wrong(r, (x,), f"(H, W, {r.arrays['weight'].size})")
    return Sizes(((positions,),), {"positions": positions, "channels": channels}, _rows(1, channels))


def _softmax(r: Record, x: Shape) -> Sizes:
    if len(x) != 1:
        raise _wrong(r, (x,), "(positions,)")
    return Sizes((x,), {"positions": x[0]}, {"powers": 257}, scratch=x[0])


def _attend(r: Record, share: Shape, x: Shape) -> Sizes:
    positions, channels = _map(r, x)
    if share != (positions,):
        raise _wrong(r, (share, x), f"({positions},) and {x}")
    return Sizes(((channels,),), {"positions": positions, "channels": channels})


def _first(r: Record, x: Shape) -> Sizes:
    rows, columns = _matrix(r)
    if x != (columns,) or rows % 2:
        raise _wrong(r, (x,), f"({columns},) and an even number of rows")
    arrays = _rows(rows, rows * columns) | {"tanh": 513}
    return Sizes(((rows // 2,),) * 2, {"hidden": rows // 2, "columns": columns}, arrays)


def _lstm(r: Record, x: Shape, h: Shape, c: Shape) -> Sizes:
    (rows, columns), hidden = _matrix(r), r.arrays["weight_h"].shape[1]
    if (x, h, c) != ((columns,), (hidden,), (hidden,)) or rows != 4 * hidden:
        raise _wrong(r, (x, h, c), f"({columns},), ({hidden},), ({hidden},) and {4 * hidden} rows of weights")
    kept = {f"{name}_h": n for name, n in _rows(rows, rows * hidden).items()}
    arrays = _rows(rows, rows * columns) | kept | {"sigmoid": 513, "tanh": 513}
    return Sizes((h, c), {"hidden": hidden, "columns": columns}, arrays, scratch=4 * hidden)


SIZES: dict[str, Callable[..., Sizes]] = {
    "look_up": _look_up, "gemm": _gemm, "logits": _gemm, "word": _word, "conv": _conv, "add": _add, "mul": _add,
    "mean": _mean, "most": _mean, "pool": _pool, "enlarge": _pool, "concat": _concat, "split": _split, "grn": _grn,
    "layer_norm": _layer_norm, "scan": _scan, "scores": _scores, "softmax": _softmax, "attend": _attend,
    "first": _first, "lstm": _lstm,
}  # fmt: skip


def input_types(record: Record, count: int) -> tuple[np.dtype, ...]:
    """Types of a record's inputs."""
    return INPUTS.get(record.kind, (INT8,) * count)


def output_types(record: Record, count: int) -> tuple[np.dtype, ...]:
    """Types of a record's outputs."""
    return OUTPUTS.get(record.kind, (INT8,) * count)


def sizes_of(record: Record, *shapes: Shape) -> Sizes:
    """All that follows from the shapes of what a record reads.

    Parameters
    ----------
    record : of any kind but `view`, which needs no kernel.
    shapes : of its inputs, as C has them.

    Raises
    ------
    ValueError : another kind, shapes that do not go with the record, or an empty input.
    """
    if record.kind not in SIZES:
        raise ValueError(f"There is no C kernel for {record.kind}; it must be one of {', '.join(SIZES)}.")
    if any(n < 1 for shape in shapes for n in shape):
        raise _wrong(record, shapes, "no empty arrays")
    wanted = len(INPUTS.get(record.kind, ())) or (None if record.kind in ("add", "mul", "concat") else 1)
    if wanted not in (None, len(shapes)) or not shapes:
        raise ValueError(f"{record.kind} was given {len(shapes)} inputs, but takes {wanted or 'one or more'}.")
    return SIZES[record.kind](record, *shapes)


def struct(record: Record, sizes: Sizes, dims: int) -> tuple[Any, list[Any]]:
    """The C struct of a record, and the arrays that it points to, which must live as long as it does.

    Parameters
    ----------
    sizes : by `sizes_of`.
    dims : dimensions of the first input.

    Raises
    ------
    TypeError : an array of the record has another type than the struct's.
    ValueError : an array is missing or too short, a number is missing or does not fit in 32 bits.
    """
    ffi, _ = library()
    name = f"uvlm_{STRUCTS.get(record.kind, record.kind)}"
    made, alive = ffi.new(f"{name} *"), []
    for part, about in ffi.typeof(name).fields:
        if about.type.kind == "pointer":
            if part == "constant" and part not in record.arrays:
                continue  # NULL
            array = _array(record, part, sizes.arrays[part], np.dtype(about.type.item.cname.removesuffix("_t")), dims)
            alive.append(ffi.from_buffer(about.type.item.cname + "[]", array))
            setattr(made, part, alive[-1])
        else:
            value = sizes.numbers.get(part, record.numbers.get(part))
            if value is None:
                raise ValueError(f"The record {record.kind} has no number {part}; make it with this package.")
            try:
                setattr(made, part, value)
            except OverflowError:
                raise ValueError(f"{part} = {value} of {record.kind} does not fit in int32; scale it down.") from None
    return made, alive


def _array(record: Record, name: str, count: int, kind: np.dtype, dims: int) -> np.ndarray:
    if name not in record.arrays:
        raise ValueError(f"The record {record.kind} has no array {name}; make it with this package.")
    x = laid_out(record, name, dims)
    if x.dtype != kind:
        raise TypeError(f"{name} of {record.kind} is {x.dtype}, but C reads {kind}; convert it.")
    if x.size != count:
        raise ValueError(f"{name} of {record.kind} has {x.size} numbers, but needs {count}; make the record again.")
    return x
