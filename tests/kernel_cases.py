"""Records of every integer kernel and what they are run on: drawn by a seed, from the makers that the captioner uses.

A record is `real` or `wild`. A real one has the scales of a network: results spread over int8 and some saturate. A wild
one has any multipliers, shifts and zero points that the definition allows: 2^30 and 2^31 - 1, -31 to 32, -128 and 127.
What no compiler would write, sums that leave int32, it has not: there Python and C may differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from uvlm_mini.kernels.structs import Shape, input_types
from uvlm_mini.quantize import integer_units as units
from uvlm_mini.quantize import tables
from uvlm_mini.quantize.integer import word_record
from uvlm_mini.quantize.integer_ops import Record
from uvlm_mini.quantize.tables import Scale, factors, lift, multipliers

INT32 = 2**31 - 1
M = (2**30, 2**31 - 1)
ROWS = (1, 2, 3, 4, 5, 7, 8, 9, 16, 18)  # forms take several at once, and have to see to the rest
CHANNELS = (1, 3, 8, 15, 16, 17, 31, 33, 64, 70)


@dataclass(frozen=True)
class Case:
    """A record, the shapes of its inputs without the batch, as Python has them, and their largest values if limited."""

    record: Record
    shapes: tuple[Shape, ...]
    limits: tuple[int, int] | None = None

    def inputs(self, dice: Dice, batch: int) -> tuple[np.ndarray, ...]:
        """A batch of inputs: random ones, and at its head those in which all numbers are at an end, or at either."""
        types = input_types(self.record, len(self.shapes))
        made = []
        for place, (shape, kind) in enumerate(zip(self.shapes, types, strict=True)):
            low, high = (np.iinfo(kind).min, np.iinfo(kind).max) if self.limits is None else self.limits
            x = dice.whole(low, high, (batch, *shape)).astype(kind)
            for row in range(min(batch - 1, 5)):  # of several inputs not always the same ends meet
                end = (row >> (place % 2)) % 3
                x[row] = (low, high, 0)[end] if end < 2 else np.where(dice.whole(0, 1, shape) == 1, high, low)
            made.append(x)
        return tuple(made)


class Dice:
    """Random numbers made of the generator's raw bits, which no version of NumPy changes."""

    def __init__(self, seed: int) -> None:
        self.bits = np.random.PCG64(seed)

    def whole(self, low: int, high: int, shape: Shape = ()) -> Any:
        """Integers from low to high, both included, int64."""
        raw = self.bits.random_raw(int(np.prod(shape, dtype=int)) or 1)
        found = low + ((raw >> np.uint64(11)) % np.uint64(high - low + 1)).astype(np.int64)
        return found.reshape(shape) if shape else int(found[0])

    def real(self, low: float, high: float, shape: Shape = ()) -> Any:
        """Numbers from low to high, float64."""
        return low + (high - low) * (self.whole(0, 2**40, shape) / 2**40)

    def one(self, of: Any) -> Any:
        """One of several."""
        return of[self.whole(0, len(of) - 1)]

    def zero(self, wild: bool) -> int:
        """A zero point."""
        return self.one((-128, 127)) if wild else self.whole(-128, 127)

    def scale(self) -> Scale:
        """A scale of values about as large as 1."""
        return Scale(self.real(0.004, 0.03), self.whole(-128, 127))

    def multiplier(self, wild: bool, shape: Shape, real: Any, up: int) -> dict[str, Any]:
        """m and s: those of real ratios, with the lift's bits in s; or any."""
        if not wild:
            m, s = multipliers(real)
            return {"m": m, "s": (s + up).astype(np.int8)}
        m = np.where(self.whole(0, 2, shape) == 0, self.whole(*M, shape), np.array(M)[self.whole(0, 1, shape)])
        return {"m": m.astype(np.int32), "s": self.whole(-31, 32, shape).astype(np.int8)}


def _sums(dice: Dice, wild: bool, shape: Shape, spread: float = 60.0, ends: str = "") -> tuple[dict[str, Any], int]:
    """Weights, bias, m and s of a matrix or convolution, and its lift, if it spreads to int8; others have none."""
    rows, terms = shape[0], int(np.prod(shape[1:]))
    weight = dice.whole(-128 if wild else -127, 127, shape).astype(np.int8)
    if wild and rows > 1:
        weight[0], weight[-1] = -128, 127
    limit = np.abs(weight.astype(int)).reshape(rows, -1).sum(1) * 128
    if wild:
        bias = np.where(dice.whole(0, 1, (rows,)) == 1, INT32 - limit, -INT32 + limit)
    else:
        bias = dice.whole(-2000, 2000, (rows,))
    up = 0 if wild or spread > 128 else lift(int((limit + np.abs(bias)).max()))
    scaled = dice.multiplier(wild, (rows,), dice.real(0.5, 2, (rows,)) * spread / (5400 * terms**0.5), up)
    arrays = {"weight": weight, "bias": bias.astype(np.int32), **scaled}
    if wild and rows > 1:  # sums so small that int8 shows the rounding of the product
        weight[1::3] = 0
        arrays["bias"][1::3] = dice.whole(-300, 300, arrays["bias"][1::3].shape)
        arrays["s"][1::3] = dice.whole(0, 3, arrays["s"][1::3].shape)
    return {name + ends: x for name, x in arrays.items()}, up


def _one(dice: Dice, wild: bool, ratio: float, limit: int) -> dict[str, int]:
    """The one multiplier and shift of a sum that `limit` bounds."""
    up = 0 if wild else lift(limit)
    found = dice.multiplier(wild, (1,), np.array([ratio]), up)
    return {"m": int(found["m"][0]), "s": int(found["s"][0]), "lift": up}


def look_up(dice: Dice, wild: bool) -> Case:
    shape = dice.one(((7,), (64,), (3, 5, 2), (2, 9), (131,), (70, 2, 3)))
    return Case(
        Record("look_up", ("x",), ("y",), {}, {"table": dice.whole(-128, 127, (256,)).astype(np.int8)}), (shape,)
    )


def gemm(dice: Dice, wild: bool) -> Case:
    rows, columns = dice.one(ROWS), dice.one((1, 7, 16, 31, 32, 33, 63, 64, 65, 100, 131, 160))
    arrays, up = _sums(dice, wild, (rows, columns))
    return Case(Record("gemm", ("x",), ("y",), {"lift": up, "zero_y": dice.zero(wild)}, arrays), ((columns,),))


def logits(dice: Dice, wild: bool) -> Case:
    rows, columns = dice.one(ROWS), dice.one((1, 15, 16, 32, 64, 67, 160))
    arrays, _ = _sums(dice, wild, (rows, columns), 1e6)
    return Case(Record("logits", ("x",), ("y",), {}, arrays), ((columns,),))


def word(dice: Dice, wild: bool) -> Case:
    words, hidden = dice.whole(1, 12), dice.one(CHANNELS)
    weight = dice.whole(-128, 127, (words, hidden)).astype(np.int8)
    record = word_record(weight, dice.real(0.001, 0.01, (words,)), Scale(dice.real(0.01, 0.1), dice.zero(wild)))
    return Case(record, ((),), (0, words - 1))


def conv(dice: Dice, wild: bool) -> Case:
    channels, kernel_h, kernel_w = dice.one(CHANNELS), dice.one((1, 1, 3, 5)), dice.one((1, 3))
    deep = dice.whole(0, 1) == 1
    shape = (channels, 1, kernel_h, kernel_w) if deep else (dice.one(ROWS), channels, kernel_h, kernel_w)
    arrays, up = _sums(dice, wild, shape)
    numbers = {
        "lift": up, "group": channels if deep else 1, "zero_x": dice.zero(wild), "zero_y": dice.zero(wild),
        "strides": (dice.whole(1, 2), dice.whole(1, 3)),
        "pads": tuple(dice.whole(0, 2) for _ in range(4)),
    }  # fmt: skip
    size = (channels, kernel_h + dice.whole(0, 3), kernel_w + dice.whole(0, 3))
    return Case(Record("conv", ("x",), ("y",), numbers, arrays), (size,))


PAIRS = (
    ((5,), (5,)), ((5,), (1,)), ((1,), (6,)), ((4, 2, 3), (4, 2, 3)), ((4, 2, 3), (4, 1, 1)), ((4, 2, 3), (1, 2, 3)),
    ((4, 1, 1), (4, 3, 2)), ((1, 2, 2), (5, 2, 2)), ((2, 7), (1, 7)), ((2, 7), (2, 7)), ((3, 1, 2), (1, 1, 1)),
    ((70,), (70,)), ((70, 2, 1), (70, 1, 1)), ((1, 1, 3), (67, 1, 3)), ((33, 2, 2), (33, 2, 2)), ((2, 50), (1, 50)),
)  # fmt: skip


def _pair(dice: Dice, kind: str, numbers: dict[str, int]) -> Case:
    """Two values whose shapes go together, the second at times a constant."""
    x, other = dice.one(PAIRS)
    if dice.whole(0, 2):
        return Case(Record(kind, ("x", "other"), ("y",), numbers), (x, other))
    constant = dice.whole(-128, 127, other).astype(np.int8)
    if other[0] == 1 and len(other) > 1:
        constant = constant[0]  # as short as it may be
    return Case(Record(kind, ("x",), ("y",), numbers, {"constant": constant}), (x,))


def add(dice: Dice, wild: bool) -> Case:
    sign = dice.one((1, -1))
    (a, b), s = factors([dice.real(0.2, 1.5), sign * dice.real(0.2, 1.5)], 255)
    if wild:
        s = dice.whole(0, 31)
        a, b = (dice.one((-4210751, 4210751, 1, 0, dice.whole(-4210751, 4210751))) for _ in range(2))
    zeros = {name: dice.zero(wild) for name in ("zero_x", "zero_other", "zero_y")}
    return _pair(dice, "add", {**zeros, "s": s, "factor_x": int(a), "factor_other": int(b)})


def mul(dice: Dice, wild: bool) -> Case:
    zeros = {name: dice.zero(wild) for name in ("zero_x", "zero_other", "zero_y")}
    return _pair(dice, "mul", {**zeros, **_one(dice, wild, dice.real(0.002, 0.02), 255**2)})


def mean(dice: Dice, wild: bool) -> Case:
    channels, height, width = dice.one(CHANNELS), dice.whole(1, 5), dice.whole(1, 5)
    n = height * width
    numbers = {"zero_x": dice.zero(wild), "zero_y": dice.zero(wild), **_one(dice, wild, 0.8 / n, 255 * n)}
    return Case(Record("mean", ("x",), ("y",), numbers), ((channels, height, width),))


def most(dice: Dice, wild: bool) -> Case:
    return Case(Record("most", ("x",), ("y",)), ((dice.one(CHANNELS), dice.whole(1, 5), dice.whole(1, 5)),))


def pool(dice: Dice, wild: bool) -> Case:
    side, channels = dice.whole(1, 4), dice.one(CHANNELS)
    one = _one(dice, wild, 0.9 / side**2, 255 * side**2)
    numbers = {"side": side, "zero_x": dice.zero(wild), "zero_y": dice.zero(wild), **one}
    return Case(
        Record("pool", ("x",), ("y",), numbers), ((channels, side * dice.whole(1, 3), side * dice.whole(1, 3)),)
    )


def enlarge(dice: Dice, wild: bool) -> Case:
    shape = (dice.whole(1, 9), dice.whole(1, 3), dice.whole(1, 3))
    return Case(Record("enlarge", ("x",), ("y",), {"side": dice.whole(1, 4)}), (shape,))


def concat(dice: Dice, wild: bool) -> Case:
    rest, parts = dice.one(((), (3,), (2, 3))), dice.whole(1, 4)
    shapes = tuple((dice.whole(1, 6), *rest) for _ in range(parts))
    return Case(Record("concat", tuple(f"x{i}" for i in range(parts)), ("y",), {"axis": 1}), shapes)


def split(dice: Dice, wild: bool) -> Case:
    sizes = tuple(dice.whole(1, 20) for _ in range(dice.whole(1, 4)))
    outputs = tuple(f"y{i}" for i in range(len(sizes)))
    return Case(Record("split", ("x",), outputs, {"sizes": sizes}), ((sum(sizes), *dice.one(((), (2, 2)))),))


def _record(kind: str, inputs: str, outputs: str, parts: dict[str, Any]) -> Record:
    """A record of what a maker gives, numbers and arrays together."""
    arrays = {name: x for name, x in parts.items() if isinstance(x, np.ndarray)}
    numbers = {name: x for name, x in parts.items() if name not in arrays}
    return Record(kind, tuple(inputs.split()), tuple(outputs.split()), numbers, arrays)


def grn(dice: Dice, wild: bool) -> Case:
    channels, height, width = dice.one(CHANNELS), dice.whole(1, 4), dice.whole(1, 4)
    gamma, beta = dice.real(-1, 1, (channels,)), dice.real(-0.5, 0.5, (channels,))
    least = dice.real(0.5, 2) if wild else 1e-6
    given, made = (dice.scale()._replace(zero=dice.zero(wild)) for _ in range(2))
    parts = units.grn(gamma, beta, least, height * width, given, made)
    return Case(_record("grn", "x", "y", parts), ((channels, height, width),))


def layer_norm(dice: Dice, wild: bool) -> Case:
    hidden = dice.one((1, 2, 5, 16, 32, 33, 160))
    gamma, beta = dice.real(0.5, 1.5, (hidden,)), dice.real(-0.5, 0.5, (hidden,))
    made = Scale(dice.real(0.01, 0.03), dice.zero(wild))
    parts = units.layer_norm(gamma, beta, 1e-5, dice.scale(), made)
    if wild:
        parts |= {
            "m": dice.one(M),
            "s": dice.whole(-31, 32),
            "gamma": np.full(hidden, dice.one((-32767, 32767)), np.int16),
        }
        parts["beta"] = np.zeros(hidden, np.int32)
    return Case(_record("layer_norm", "x", "y", parts), ((hidden,),))


def scan(dice: Dice, wild: bool) -> Case:
    channels, states = dice.one((1, 4, 9, 17, 35)), dice.one((1, 4, 8, 15, 16, 17, 33))
    scales = [dice.scale()._replace(zero=dice.zero(wild)) for _ in range(5)]
    scales[0] = Scale(dice.real(0.02, 0.08), scales[0].zero)
    rate = -dice.real(0.3, 8, (channels, states))
    parts = units.scan(rate, dice.real(-1, 1, (channels,)), dice.real(1e-6, 3e-5, (channels,)), *scales)
    if wild:
        for name in ("write", "read"):
            found = dice.multiplier(True, (channels,), None, 0)
            parts |= {f"{name}_m": found["m"], f"{name}_s": found["s"]}
        rates = dice.one(((-1, -1), (32767, 32767), (-32768, 32767)))
        parts |= {
            "A": dice.whole(*rates, (channels, states)).astype(np.int16),
            "A_shift": dice.whole(-40, 60, (channels,)).astype(np.int8),
            "D": np.full(channels, dice.one((-32767, 32767)), np.int16),
        }
        parts |= {"direct_m": dice.one(M), "direct_s": dice.whole(-31, 32), "places": dice.whole(0, 8)}
    record = _record("scan", "dt u b c h", "y h_next", parts)
    return Case(record, ((channels,), (channels,), (states,), (states,), (channels, states)))


def scores(dice: Dice, wild: bool) -> Case:
    channels = dice.one(CHANNELS)
    arrays, _ = _sums(dice, wild, (1, channels), 1e5)
    return Case(Record("scores", ("x",), ("y",), {}, arrays), ((channels, dice.whole(1, 4), dice.whole(1, 4)),))


def softmax(dice: Dice, wild: bool) -> Case:
    limits = (-(2**31), INT32) if wild else (-5 << 16, 5 << 16)
    record = Record("softmax", ("x",), ("y",), {}, {"powers": tables.powers()})
    return Case(record, ((dice.one((1, 2, 16, 40, 67)),),), limits)


def attend(dice: Dice, wild: bool) -> Case:
    channels, height, width = dice.one(CHANNELS), dice.whole(1, 4), dice.whole(1, 4)
    n = height * width
    one = _one(dice, wild, 1 / (2**15 * n), 255 * 2**15 * n)
    numbers = {"zero_x": dice.zero(wild), "zero_y": dice.zero(wild), **one}
    return Case(Record("attend", ("share", "x"), ("y",), numbers), ((n,), (channels, height, width)))


CURVES = {"sigmoid": tables.curve(tables.sigmoid), "tanh": tables.curve(np.tanh)}


def first(dice: Dice, wild: bool) -> Case:
    hidden, columns = dice.one((1, 2, 5, 9, 16, 19)), dice.one((1, 6, 16, 33, 70))
    arrays, _ = _sums(dice, wild, (2 * hidden, columns), 15000)
    one = _one(dice, wild, 0.3, INT32)
    record = Record("first", ("x",), ("h", "c"), {"c_m": one["m"], "c_s": one["s"]}, {**arrays, "tanh": CURVES["tanh"]})
    return Case(record, ((columns,),))


def lstm(dice: Dice, wild: bool) -> Case:
    hidden, columns = dice.one((1, 2, 5, 9, 16, 19)), dice.one((1, 6, 16, 33, 70))
    heard, _ = _sums(dice, wild, (4 * hidden, columns), 9000)
    kept, _ = _sums(dice, wild, (4 * hidden, hidden), 4000, "_h")
    write, bent = _one(dice, wild, 2.0**-17, INT32), _one(dice, wild, 0.4, INT32)
    numbers = {"write_m": write["m"], "write_s": write["s"], "c_m": bent["m"], "c_s": bent["s"]}
    record = Record("lstm", ("x", "h", "c"), ("h_next", "c_next"), numbers, heard | kept | CURVES)
    return Case(record, ((columns,), (hidden,), (hidden,)))


MAKERS: dict[str, Callable[[Dice, bool], Case]] = {
    maker.__name__: maker
    for maker in (
        look_up, gemm, logits, word, conv, add, mul, mean, most, pool, enlarge, concat, split, grn, layer_norm, scan,
        scores, softmax, attend, first, lstm,
    )
}  # fmt: skip
