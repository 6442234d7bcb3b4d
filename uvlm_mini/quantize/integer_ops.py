"""The operators of the int8 captioner, and how a list of them runs. Integers only; see fixed.py for the arithmetic.

A network is a list of records. A record names what it reads and writes and holds all its numbers as integers: written
one after the other they are the network as C has it. Maps are (B, C, H, W) and vectors (B, F), int8 but for the SSM's
state; B pictures at once change nothing in the numbers of each.

    zero_x, zero_y    zero points of input and output
    m, s              multiplier and shift, one each or one a channel
    lift              bits by which a sum is shifted left first; see fixed.py
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from .fixed import (
    INT8,
    INT16,
    divide,
    inverse_root,
    matmul,
    power,
    power_q15,
    requantise,
    rounded,
    saturate,
    shift_half_up,
    wide,
)


@dataclass(frozen=True)
class Record:
    """One operator.

    kind : the function of this file that runs it.
    inputs, outputs : names of values.
    numbers : integers by name, or tuples of them.
    arrays : weights, multipliers, shifts and tables by name; integers.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    numbers: Mapping[str, int | tuple[int, ...]] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

    def number(self, name: str) -> int:
        """A number that is no tuple."""
        value = self.numbers[name]
        assert isinstance(value, int)
        return value

    def sizes(self, name: str) -> tuple[int, ...]:
        """A number that is a tuple."""
        value = self.numbers[name]
        assert isinstance(value, tuple)
        return value


@dataclass(frozen=True)
class Program:
    """A network: its records in the order in which they run, and the names of what goes in and comes out."""

    records: tuple[Record, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def run(self, given: Mapping[str, np.ndarray], keep: bool = False) -> dict[str, np.ndarray]:
        """The outputs by name; with `keep`, every value.

        Parameters
        ----------
        given : every input, integers of the type that the program expects.

        Raises
        ------
        ValueError : inputs are missing, unknown or of floating point.
        """
        if set(given) != set(self.inputs):
            raise ValueError(f"This network takes {', '.join(self.inputs)}, not {', '.join(given) or 'nothing'}.")
        floats = [name for name, value in given.items() if value.dtype.kind not in "iu"]
        if floats:
            raise ValueError(f"This network takes integers, not {given[floats[0]].dtype} as {floats[0]}; quantize it.")
        values = dict(given)
        for record in self.records:
            made = KERNELS[record.kind](record, *(values[name] for name in record.inputs))
            values.update(zip(record.outputs, made if isinstance(made, tuple) else (made,), strict=True))
        return values if keep else {name: values[name] for name in self.outputs}


def look_up(r: Record, x: np.ndarray) -> np.ndarray:
    """Any function of one int8 number, as a table: H-Swish, sigmoid, another scale, bytes of a picture."""
    return r.arrays["table"][x.astype(np.int16) + 128]


def view(r: Record, x: np.ndarray) -> np.ndarray:
    """The same numbers in another shape."""
    return x.reshape(len(x), *r.sizes("shape"))


def conv(r: Record, x: np.ndarray) -> np.ndarray:
    """A convolution: dense (group 1) or depthwise (group C). The bias holds -zero_x times the sum of the weights."""
    w = r.arrays["weight"]  # (O, C / group, k, k)
    (top, left, bottom, right), (sy, sx) = r.sizes("pads"), r.sizes("strides")
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=r.number("zero_x"))
    kh, kw = w.shape[2:]
    high, broad = (x.shape[2] - kh) // sy + 1, (x.shape[3] - kw) // sx + 1
    if r.number("group") == 1:
        windows = np.lib.stride_tricks.sliding_window_view(x, (kh, kw), (2, 3))[:, :, ::sy, ::sx]
        columns = windows.transpose(0, 1, 4, 5, 2, 3).reshape(len(x), -1, high * broad)  # (B, C k k, H W)
        acc = matmul(w.reshape(len(w), -1), columns).reshape(len(x), -1, high, broad)
    else:
        acc = np.zeros((len(x), len(w), high, broad), np.int32)
        for dy in range(kh):
            for dx in range(kw):
                part = x[:, :, dy : dy + sy * high : sy, dx : dx + sx * broad : sx][:, :, :high, :broad]
                acc += part.astype(np.int32) * w[:, 0, dy, dx].astype(np.int32)[:, None, None]
    acc = acc + r.arrays["bias"][:, None, None]
    m, s = r.arrays["m"][:, None, None], r.arrays["s"][:, None, None]
    return saturate(wide(requantise(acc << r.number("lift"), m, s)) + r.number("zero_y"), INT8)


def gemm(r: Record, x: np.ndarray) -> np.ndarray:
    """A matrix times a vector, with a bias as in `conv`: (B, F) -> (B, O)."""
    acc = matmul(x, r.arrays["weight"].T) + r.arrays["bias"]
    scaled = requantise(acc << r.number("lift"), r.arrays["m"], r.arrays["s"])
    return saturate(wide(scaled) + r.number("zero_y"), INT8)


def logits(r: Record, x: np.ndarray) -> np.ndarray:
    """As `gemm`, but int32 in Q16 of a logarithm to base 2, all words on one scale: (B, H) -> (B, V)."""
    acc = matmul(x, r.arrays["weight"].T) + r.arrays["bias"]
    return requantise(acc, r.arrays["m"], r.arrays["s"])


def word(r: Record, number: np.ndarray) -> np.ndarray:
    """The row of a word out of the int8 embedding, brought to the input's scale: (B,) -> (B, H)."""
    rows = wide(r.arrays["weight"][number])
    scaled = shift_half_up(rows * wide(r.arrays["factor"][number])[:, None], r.number("s"))
    return saturate(scaled + r.number("zero_y"), INT8)


def add(r: Record, x: np.ndarray, *other: np.ndarray) -> np.ndarray:
    """A sum or difference of two values, or of a value and a constant, weighed; shapes broadcast."""
    y = other[0] if other else r.arrays["constant"]
    sum_ = (wide(x) - r.number("zero_x")) * r.number("factor_x") + (wide(y) - r.number("zero_other")) * r.number(
        "factor_other"
    )
    return saturate(shift_half_up(sum_, r.number("s")) + r.number("zero_y"), INT8)


def mul(r: Record, x: np.ndarray, *other: np.ndarray) -> np.ndarray:
    """A product of two values, or of a value and a constant; shapes broadcast."""
    y = other[0] if other else r.arrays["constant"]
    return _narrow(r, (wide(x) - r.number("zero_x")) * (wide(y) - r.number("zero_other")))


def mean(r: Record, x: np.ndarray) -> np.ndarray:
    """The mean over a map, (B, C, H, W) -> (B, C): the sum is requantised, the count is in m and s."""
    acc = wide(x).sum((2, 3)) - r.number("zero_x") * x.shape[2] * x.shape[3]
    return _narrow(r, acc)


def most(r: Record, x: np.ndarray) -> np.ndarray:
    """The maximum over a map, (B, C, H, W) -> (B, C)."""
    return x.max((2, 3))


def pool(r: Record, x: np.ndarray) -> np.ndarray:
    """Means over squares of side k that do not overlap."""
    k = r.number("side")
    tiles = wide(x).reshape(*x.shape[:2], x.shape[2] // k, k, x.shape[3] // k, k)
    return _narrow(r, tiles.sum((3, 5)) - r.number("zero_x") * k * k)


def enlarge(r: Record, x: np.ndarray) -> np.ndarray:
    """Every number becomes a square of side k."""
    k = r.number("side")
    return x.repeat(k, 2).repeat(k, 3)


def concat(r: Record, *parts: np.ndarray) -> np.ndarray:
    """One behind the other along the channels; all have the scale of the result."""
    return np.concatenate(parts, r.number("axis"))


def split(r: Record, x: np.ndarray) -> tuple[np.ndarray, ...]:
    """Parts of a vector."""
    ends = np.cumsum(r.sizes("sizes"))
    return tuple(x[:, end - size : end] for end, size in zip(ends, r.sizes("sizes"), strict=True))


def grn(r: Record, x: np.ndarray) -> np.ndarray:
    """Global Response Normalization as one unit, int8 to int8: (B, C, H, W).

    strength = sqrt(sum of (x - zero_x)^2) in Q12, by `inverse_root`; the product needs 64 bits
    share    = strength / mean strength in Q(places), one 64-bit division a channel
    factor   = gamma * share + 1, then x is weighed with it and beta added
    """
    x = wide(x) - r.number("zero_x")
    squares = (x * x).sum((2, 3))  # (B, C), below 2^31
    m, s = inverse_root(np.maximum(squares, 1), r.arrays["roots"])
    strength = shift_half_up(squares * m, 31 + s - 12)  # (B, C)
    whole = strength.sum(1, keepdims=True) + r.number("least")  # (B, 1)
    share = divide(strength * (x.shape[1] << r.number("places")), whole)  # (B, C), at most C, in 22 bits
    scaled = shift_half_up(r.arrays["gamma"] * share, r.number("gamma_shift"))  # the product in 64 bits
    factor = wide(requantise(scaled, r.number("m"), r.number("shift"))) + r.number("one")
    acc = x * factor[:, :, None, None] + r.arrays["beta"][:, None, None]
    return saturate(shift_half_up(acc, r.number("s")) + r.number("zero_y"), INT8)


def layer_norm(r: Record, x: np.ndarray) -> np.ndarray:
    """LayerNorm, int8 to int8: (B, H).

    c = H x - sum x, which needs no mean and no zero point
    n = c / sqrt(sum c^2 + epsilon) in Q15: int16, since no |c| is larger than that root; the sum needs 64 bits
    y = n * gamma + beta, requantised; gamma is int16, and sqrt(H) is in m and s
    """
    x = wide(x)
    c = x.shape[1] * x - x.sum(1, keepdims=True)
    m, s = inverse_root((c * c).sum(1, keepdims=True) + r.number("epsilon"), r.arrays["roots"])
    n = saturate(requantise(c, m, s - 15), INT16)
    return _narrow(r, wide(n) * r.arrays["gamma"] + r.arrays["beta"])


def scan(
    r: Record, dt: np.ndarray, u: np.ndarray, b: np.ndarray, c: np.ndarray, h: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One step of the SSM: (B, I) dt and u, (B, N) b and c, int8, and (B, I, N) h, int16 -> (B, I) y int8 and h.

    delta  softplus(dt) from two tables, mantissa in [2^14, 2^15) and shift k
    decay  2^-(delta |A| log2 e) in Q15: the exponent in int16, with as many binary places as its largest one leaves
    write  g (b - zero) 2^-8, g being delta (u - zero) requantised to int16; halves up, as decay h. g saturates where
           the largest b would fill the state, whose range is 16 times what calibration saw
    h      decay h plus write, saturated to int16
    y      sum of h (c - zero) and D (u - zero), both requantised to 2^-places of the unit of y, added, shifted half up

    All that is done for each state is in 16 bits but for the sum.
    """
    a = r.arrays
    mantissa, k = wide(a["mantissa"])[wide(dt) + 128], wide(a["shift"])[wide(dt) + 128]  # (B, I)
    u, b, c = wide(u) - r.number("zero_u"), wide(b) - r.number("zero_b"), wide(c) - r.number("zero_c")
    places = np.maximum(k + a["A_shift"], 1)  # (B, I)
    spare = np.maximum(places - 15, 0)  # more than 15 places would be lost in Q15, so the mantissa goes without them
    t = rounded(np.maximum(shift_half_up(mantissa, spare), 1)[..., None], a["A"])  # (B, I, N)
    decay = power_q15(t, (places - spare)[..., None])
    g = saturate(requantise(mantissa * u, a["write_m"], a["write_s"] + k), INT16)  # (B, I)
    write = rounded(g[..., None], b[:, None] << 7)  # (B, I, N)
    h = saturate(rounded(decay, h) + write, INT16)
    read = requantise((wide(h) * c[:, None]).sum(2), a["read_m"], a["read_s"])  # (B, I)
    direct = requantise(wide(a["D"]) * u, r.number("direct_m"), r.number("direct_s"))
    y = shift_half_up(wide(read) + direct, r.number("places"))
    return saturate(y + r.number("zero_y"), INT8), h


def scores(r: Record, x: np.ndarray) -> np.ndarray:
    """One int32 number a position of a map, in Q16 of a logarithm to base 2: (B, A, H, W) -> (B, H W)."""
    acc = matmul(r.arrays["weight"], x.reshape(*x.shape[:2], -1))[:, 0] + r.arrays["bias"]
    return requantise(acc, r.arrays["m"], r.arrays["s"])


def softmax(r: Record, x: np.ndarray) -> np.ndarray:
    """Scores of a logarithm to base 2 -> shares in Q15, int16, 32,767 at most: (B, L). A 64-bit division each."""
    parts = power(x.max(1, keepdims=True) - wide(x), r.arrays["powers"])
    return np.minimum(divide(parts << 15, parts.sum(1, keepdims=True)), 32767).astype(np.int16)


def attend(r: Record, share: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Positions of a map, weighed and added: (B, L) and (B, C, H, W) -> (B, C). The L shares add up to 2^15 + L / 2."""
    acc = matmul(x.reshape(*x.shape[:2], -1), share[..., None])[..., 0]
    return _narrow(r, acc - r.number("zero_x") * wide(share).sum(1, keepdims=True))


def curve(x: np.ndarray, table: np.ndarray) -> np.ndarray:
    """A function of a Q12 number in -8..8 as 513 entries, 2^-5 apart, in Q15; between them a straight line."""
    x = wide(x)
    i, rest = (x >> 7) + 256, x & 127
    low, high = wide(table)[i], wide(table)[i + 1]
    return low + (((high - low) * rest + 64) >> 7)


def first(r: Record, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What an LSTM starts with, h int8 and c int16: tanh of two matrices times (B, C)."""
    acc = matmul(x, r.arrays["weight"].T) + r.arrays["bias"]  # (B, 2 H)
    h, c = np.split(curve(saturate(requantise(acc, r.arrays["m"], r.arrays["s"]), INT16), r.arrays["tanh"]), 2, 1)
    return saturate(shift_half_up(h, 8), INT8), saturate(requantise(c, r.number("c_m"), r.number("c_s")), INT16)


def lstm(r: Record, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One step of an LSTM: (B, F) and (B, H) int8, (B, H) int16 -> h int8 in Q7, c int16.

    gates  both matrices' sums requantised to Q12, added, saturated to int16: input, forget, cell, output
    c      forget * c shifted half up by 15, plus input * cell requantised from Q30, saturated
    h      output * tanh(c) in Q30, shifted half up by 23, saturated to int8
    """
    a = r.arrays
    heard = requantise(matmul(x, a["weight"].T) + a["bias"], a["m"], a["s"])
    kept = requantise(matmul(h, a["weight_h"].T) + a["bias_h"], a["m_h"], a["s_h"])
    z = np.split(saturate(wide(heard) + kept, INT16), 4, 1)  # (B, H) each
    i, f, o = (curve(z[gate], a["sigmoid"]) for gate in (0, 1, 3))
    g = curve(z[2], a["tanh"])
    c = saturate(shift_half_up(f * c, 15) + requantise(i * g, r.number("write_m"), r.number("write_s")), INT16)
    t = curve(saturate(requantise(c, r.number("c_m"), r.number("c_s")), INT16), a["tanh"])
    return saturate(shift_half_up(o * t, 23), INT8), c


def _narrow(r: Record, acc: np.ndarray) -> np.ndarray:
    """int32 sums -> int8 with the record's one multiplier and shift."""
    return saturate(wide(requantise(acc << r.number("lift"), r.number("m"), r.number("s"))) + r.number("zero_y"), INT8)


KERNELS: dict[str, Callable[..., np.ndarray | tuple[np.ndarray, ...]]] = {
    kernel.__name__: kernel
    for kernel in (
        look_up, view, conv, gemm, logits, word, add, mul, mean, most, pool, enlarge, concat, split, grn, layer_norm,
        scan, scores, softmax, attend, first, lstm,
    )
}  # fmt: skip
