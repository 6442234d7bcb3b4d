"""Weights of four bits: half the bytes of int8, and coarser.

    real = S g q          S one a row, g a whole number every `group` columns, q in -7..7

A scale a row is g = 1 everywhere. A scale every 32 columns would be one more float each; a whole number g of 1 to 18
costs one byte, and keeps the product g q within int8 (18 x 7 = 126). So a matrix of four bits is exactly one of int8
whose rows have the scale S, and everything that runs int8 can say what the four bits would. Chapter 12 measures it.

Two weights share a byte, the one with the even column in its low half. Nothing here runs on a chip: it is the file's
form, and what a kernel would unpack.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .affine import levels

if TYPE_CHECKING:
    from onnx import ModelProto

MOST = 18  # of the whole numbers g: with q of 7 the largest product that int8 holds


@dataclass(frozen=True)
class Coarse:
    """A matrix in few bits.

    Attributes
    ----------
    q : (O, K) int8, symmetric.
    g : (O, G) uint8, a whole number for each group of columns; G = 1 where a row has one scale.
    scale : (O, 1) float32, S.
    bits : of q.
    """

    q: np.ndarray
    g: np.ndarray
    scale: np.ndarray
    bits: int

    @property
    def int8(self) -> np.ndarray:
        """(O, K) int8, g q: what a row of int8 with the scale S would hold."""
        return (self.q * self._spread).astype(np.int8)

    @property
    def real(self) -> np.ndarray:
        """(O, K) float32, S g q."""
        return self.int8.astype(np.float32) * self.scale

    @property
    def step(self) -> np.ndarray:
        """(O, K) float32, S g: the distance of two neighbouring levels. Nothing is off by more than half of it."""
        return (self._spread * self.scale).astype(np.float32)

    @property
    def _spread(self) -> np.ndarray:
        return np.repeat(self.g.astype(np.int16), self.q.shape[1] // self.g.shape[1], 1)


def coarse(w: np.ndarray, bits: int = 4, group: int | None = None) -> Coarse:
    """The nearest matrix in few bits.

    Parameters
    ----------
    w : (O, K) finite weights, output channels first.
    bits : 2 to 4.
    group : columns that share a whole number g, a divisor of K; None for one scale a row.

    Returns
    -------
    Coarse
        Each weight is off by half a step at most, since no group's largest weight is cut off.

    Raises
    ------
    ValueError : weights that are no finite matrix, other bits, or a group that does not divide the columns.

    Derived in chapter 12, section "Four bits".
    """
    w = np.asarray(w, np.float64)
    if w.ndim != 2 or not np.isfinite(w).all():
        raise ValueError(f"Weights of shape {w.shape} are no finite matrix; give rows and columns of finite numbers.")
    if bits not in (2, 3, 4):
        raise ValueError(f"{bits} bits were asked for, and 2 to 4 are coarse; use `affine.quantize_weights` for more.")
    columns = w.shape[1]
    if group is not None and (group < 1 or columns % group):
        raise ValueError(f"Groups of {group} do not divide {columns} columns; give a divisor.")
    _, top = levels(bits, symmetric=True)
    most = np.abs(w).reshape(len(w), -1, group or columns).max(2)  # (O, G)
    parts = MOST if group else 1
    scale = most.max(1, keepdims=True) / top / parts  # (O, 1)
    scale = np.where(scale < np.finfo(np.float32).tiny, 1.0, scale).astype(np.float32)
    g = np.clip(np.ceil(most / top / scale - 1e-6), 1, parts)  # rounded up: the largest weight stays within top
    wide = np.repeat(g, columns // g.shape[1], 1) * scale
    return Coarse(np.clip(np.rint(w / wide), -top, top).astype(np.int8), g.astype(np.uint8), scale, bits)


def pack(q: np.ndarray) -> np.ndarray:
    """Two weights a byte, row by row.

    Parameters
    ----------
    q : (O, K) integers in -8..7.

    Returns
    -------
    (O, ceil(K / 2)) uint8, even columns in the low half; where K is odd, the last high half is 0.

    Raises
    ------
    ValueError : no matrix of integers, or a number that four bits do not hold.

    Derived in chapter 12, section "Four bits".
    """
    q = np.asarray(q)
    if q.ndim != 2 or q.dtype.kind not in "iu":
        raise ValueError(f"An array {q.shape} of {q.dtype} is no matrix of integers; give what `coarse` makes.")
    if q.size and (q.min() < -8 or q.max() > 7):
        raise ValueError(f"Weights from {q.min()} to {q.max()} do not fit four bits; give -8 to 7.")
    half = np.pad(q.astype(np.int8), ((0, 0), (0, q.shape[1] % 2))).view(np.uint8) & 15
    return half[:, ::2] | (half[:, 1::2] << 4)


def unpack(packed: np.ndarray, columns: int) -> np.ndarray:
    """What `pack` packed.

    Parameters
    ----------
    packed : (O, ceil(columns / 2)) uint8.
    columns : K.

    Returns
    -------
    (O, K) int8 in -8..7.

    Raises
    ------
    ValueError : another type or width.

    Derived in chapter 12, section "Four bits".
    """
    packed = np.asarray(packed)
    if packed.dtype != np.uint8 or packed.ndim != 2 or packed.shape[1] != -(-columns // 2):
        raise ValueError(
            f"{packed.shape} {packed.dtype} are no rows of {columns} packed weights; give (O, {-(-columns // 2)}) of "
            "uint8."
        )
    both = np.stack([packed << 4, packed & 0xF0], 2).view(np.int8) >> 4  # the shift to the right keeps the sign
    return both.reshape(len(packed), -1)[:, :columns]


def held(rows: int, columns: int, group: int | None = None) -> int:
    """Bytes of a packed matrix and its whole numbers g; what int8 has too, a row's scale and bias, is not among them.

    Parameters
    ----------
    rows, columns : O and K.
    group : as in `coarse`; a byte each.
    """
    return rows * (-(-columns // 2) + (columns // group if group else 0))


def exchange(step: ModelProto, table: Coarse) -> ModelProto:
    """The int8 step with another tied matrix: what four bits would say, by everything that runs int8.

    Parameters
    ----------
    step : as `quantize` wrote it, with a scale a row; it is left as it is.
    table : (V, H) as the step's own. All other scales stay as they were calibrated.

    Raises
    ------
    ValueError : a step without such a matrix, or of another shape.
    """
    from onnx import ModelProto, numpy_helper

    step = ModelProto.FromString(step.SerializeToString())
    makers = {name: node for node in step.graph.node for name in node.output}
    parts = {part.name: part for part in step.graph.initializer}
    node = makers["logits"]
    while node.op_type in ("DequantizeLinear", "QuantizeLinear"):
        node = makers[node.input[0]]
    names = makers[node.input[1]].input if len(node.input) == 2 and node.input[1] in makers else []
    if node.op_type != "Gemm" or len(names) != 3 or any(name not in parts for name in names):
        raise ValueError(
            "The step's output is no int8 matrix without a bias; give the file that `uvlm quantize` writes."
        )
    new = (table.int8, table.scale[:, 0], np.zeros(len(table.q), np.int8))
    for name, array in zip(names, new, strict=True):
        if list(parts[name].dims) != list(array.shape):
            raise ValueError(
                f"{name} is {tuple(parts[name].dims)}, and {array.shape} was given; give a matrix like it."
            )
        parts[name].CopyFrom(numpy_helper.from_array(array, name))
    return step
