"""Multipliers, shifts and tables of the int8 captioner, computed once in float64 and kept as integers.

Nothing of this runs when a picture is captioned: fixed.py reads what is made here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

LEVELS = np.arange(-128, 128)  # every int8 number, in the order of a table of 256 entries


class Scale(NamedTuple):
    """An affine map of integers q to numbers, step * (q - zero)."""

    step: float
    zero: int

    def of(self, q: np.ndarray) -> np.ndarray:
        """The numbers that integers stand for, in float64."""
        return self.step * (np.asarray(q, np.float64) - self.zero)

    def nearest(self, x: np.ndarray, limits: tuple[int, int] = (-128, 127)) -> np.ndarray:
        """The nearest integers, halves up, saturated; int64."""
        return np.clip(half_up(np.asarray(x, np.float64) / self.step) + self.zero, *limits)


def half_up(x: np.ndarray | float) -> np.ndarray:
    """Nearest integers, halves up, as int64."""
    return np.floor(np.asarray(x, np.float64) + 0.5).astype(np.int64)


def multipliers(ratio: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Positive numbers as (int32 m in [2^30, 2^31), int8 s): m * 2^-31 * 2^-s, off by 2^-31 relatively at most.

    A number under 2^-33 gets the shift 32, with which `requantise` gives 0, as it has to.

    Raises
    ------
    ValueError : a number that is not finite, not above 0, or above 2^31.
    """
    ratio = np.asarray(ratio, np.float64)
    if not (np.isfinite(ratio).all() and (ratio > 0).all() and (ratio < 2.0**31).all()):
        raise ValueError(
            "A network to be compiled has a scale that is 0, infinite, NaN or far out of range; calibrate it again."
        )
    share, exponent = np.frexp(ratio)  # share in [1/2, 1)
    m = half_up(share * 2.0**31)
    full = m == 1 << 31
    m, exponent = np.where(full, 1 << 30, m), exponent + full
    return m.astype(np.int32), np.minimum(-exponent, 32).astype(np.int8)


def lift(limit: int) -> int:
    """How many bits sums can be shifted left whose absolute values `limit` bounds, without leaving int32."""
    return max(0, 31 - int(limit).bit_length())


def factors(ratios: Sequence[np.ndarray | float], reach: int, offset: float = 0.0) -> tuple[list[np.ndarray], int]:
    """Integer factors f and one shift s, as large as int32 allows: sum of f x, shifted, is the sum of ratio * x.

    Parameters
    ----------
    ratios : of each term of the sum, arrays that broadcast against each other; may be negative.
    reach : the largest absolute value of x.
    offset : the largest absolute value, in units of the result, of what is added besides.
    """
    for s in range(30, -1, -1):
        found = [half_up(np.asarray(ratio, np.float64) * 2.0**s) for ratio in ratios]
        total = sum(int(np.abs(f).max()) for f in found) * reach + (offset + 1) * 2**s
        if total < 2**31:
            return [f.astype(np.int32) for f in found], s
    raise ValueError("Two scales of a network to be compiled differ too much for int32; calibrate it again.")


def table(function: Callable[[np.ndarray], np.ndarray], given: Scale, made: Scale) -> np.ndarray:
    """A function of one int8 number as 256 int8 numbers: entry q + 128 is that of q."""
    return made.nearest(function(given.of(LEVELS))).astype(np.int8)


def hardswish(x: np.ndarray) -> np.ndarray:
    """x * min(max(x + 3, 0), 6) / 6."""
    return x * np.clip(x + 3, 0, 6) / 6


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), without overflow."""
    return np.exp(-np.logaddexp(0, -x))


def softplus(x: np.ndarray) -> np.ndarray:
    """log(1 + exp(x)), without overflow."""
    return np.logaddexp(0, x)


def mantissas(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positive numbers as int16 m in [2^14, 2^15) and int8 s: m * 2^-s, off by 2^-15 relatively at most.

    A number under 2^-100 counts as 2^-100.
    """
    share, exponent = np.frexp(np.maximum(x, 2.0**-100))
    m = half_up(share * 2.0**15)
    full = m == 1 << 15
    return np.where(full, 1 << 14, m).astype(np.int16), (15 - exponent - full).astype(np.int8)


def powers() -> np.ndarray:
    """2^-(i/256) in Q30 for i = 0 to 256, int32."""
    return half_up(2.0 ** (30 - np.arange(257) / 256)).astype(np.int32)


def logs() -> np.ndarray:
    """log2(1 + i/256) in Q30 for i = 0 to 256, int32."""
    return half_up(np.log2(1 + np.arange(257) / 256) * 2.0**30).astype(np.int32)


def roots() -> np.ndarray:
    """1 / sqrt(x) in Q30 for the middles x of [32/128, 33/128), ..., [127/128, 1), int32."""
    return half_up(2.0**30 / np.sqrt((np.arange(32, 128) + 0.5) / 128)).astype(np.int32)


def curve(function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """A function with values in -1..1 at -8, -8 + 1/32, ..., 8, in Q15, int16, 32,767 at most."""
    return np.clip(half_up(function(np.arange(-256, 257) / 32) * 2.0**15), -32767, 32767).astype(np.int16)


LOG2E = math.log2(math.e)
