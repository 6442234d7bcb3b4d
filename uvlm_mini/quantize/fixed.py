"""The integer arithmetic of the int8 captioner. This file is the definition: C must give the same bits.

**Requantising.** An int32 accumulator a becomes a smaller integer, about a * m * 2^-31 * 2^-s, in these steps:

1. If s < 0, a is shifted left by -s and saturated to int32. (The compiler of a network shows that nothing saturates.)
2. t = (a * m + 2^30) >> 31, the product in 64 bits. m is in [2^30, 2^31), so t fits in int32.
3. If s > 0, t is shifted right by s, rounding half up: (t + 2^(s-1)) >> s, as if in 64 bits. In 32 bits
   ((t >> (s-1)) + 1) >> 1 is the same and cannot overflow. An s above 32 counts as 32, which gives 0.

">>" is the arithmetic shift: it rounds towards minus infinity. So a half goes up for negative numbers as well: 2.5
becomes 3 and -2.5 becomes -2. What is off from the exact a * ratio is at most 1/2 by step 3, 2^-s / 2 by step 2 and
|a| * 2^-(32+s) by the rounding of m. The sum with a zero point is saturated to int8, -128 to 127, at the very end.

Step 2 is Armv8.1-M's VQRDMULH, step 3 its VRSHL with a negative shift.

**Lifting.** Two roundings are one too many: with s = 8 one result in 250 is another than that of a single one. So the
compiler gives most records a `lift`: it has shown how large their sums get, and they are shifted left by as many bits
as int32 has to spare before step 1; s is as much larger, and step 2's rounding shows in one result of thousands.

**Weighing.** An int8 value needs no 64 bits: it is multiplied by an integer factor, summed with others in int32, and
shifted right half up, (sum + 2^(s-1)) >> s. The compiler chooses s as large as int32 allows.

**Functions.** Powers of two, logarithms and reciprocal square roots are read from small tables (see tables.py) and
refined as each function below says; the recurrence's power of two, in 16 bits, is a polynomial. Their results are
integers with a fixed number of binary places; Q15 means 15.

NumPy holds intermediate values as int64 throughout. Where C needs 64 bits too the text says so; all else fits in 32.
"""

from __future__ import annotations

import numpy as np

EXP2 = (23170, 8030, 1393, 162, 13)  # in Q15: 2^((g - 1) / 2) is c0 + g (c1 + g (c2 + g (c3 + g c4))), g in [-1, 1)
INT8, INT16, INT32 = (-128, 127), (-(2**15), 2**15 - 1), (-(2**31), 2**31 - 1)
PLACES = 16  # binary places of a logarithm to base 2: an argument of `power` and a result of `logarithm`


def wide(x: np.ndarray | int) -> np.ndarray:
    """The same numbers as int64."""
    return np.asarray(x, np.int64)


def saturate(x: np.ndarray, limits: tuple[int, int]) -> np.ndarray:
    """The nearest numbers within INT8, INT16 or INT32, as that type."""
    kind = {INT8: np.int8, INT16: np.int16, INT32: np.int32}[limits]
    return np.clip(x, *limits).astype(kind)


def shift_half_up(x: np.ndarray, s: np.ndarray | int) -> np.ndarray:
    """x * 2^-s, halves up, s at least 0; above 62 counts as 62, which for an int32 x is what 32 gives: 0."""
    s = np.minimum(wide(s), 62)
    return (wide(x) + ((np.int64(1) << s) >> 1)) >> s


def requantise(a: np.ndarray, m: np.ndarray | int, s: np.ndarray | int) -> np.ndarray:
    """a * m * 2^-31 * 2^-s as the definition above says.

    Parameters
    ----------
    a : int32 numbers.
    m : multipliers in [2^30, 2^31).
    s : shifts to the right; negative: to the left, -31 at least.

    Returns
    -------
    int32 numbers.
    """
    s = wide(s)
    a = np.clip(wide(a) << np.maximum(-s, 0), *INT32)
    t = (a * wide(m) + (1 << 30)) >> 31
    return shift_half_up(t, np.clip(s, 0, 32)).astype(np.int32)


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The product of two matrices of integers, exact, as int64.

    The one place where float64 is used: NumPy has a fast product for it alone. It is exact: a product of entries and
    all sums of products are integers under 2^53, which float64 holds without rounding, in whatever order they are
    added. The bound comes from the types, int8 and int16, so it does not depend on the numbers.

    Raises
    ------
    ValueError : the sums could reach 2^53.
    """
    if a.shape[-1] * _reach(a) * _reach(b) >= 2**53:
        raise ValueError(
            f"A product over {a.shape[-1]} numbers of {a.dtype} and {b.dtype} could be rounded; take narrower types."
        )
    return (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64)


def _reach(x: np.ndarray) -> int:
    return -int(np.iinfo(x.dtype).min)


def leading(x: np.ndarray) -> np.ndarray:
    """The place of the highest bit that is set: 0 of 1, 62 of 2^62. x is at least 1. C: 63 - clz."""
    x, place = wide(x), np.zeros(np.shape(x), np.int64)
    for k in (32, 16, 8, 4, 2, 1):
        high = x >> k
        place += np.where(high > 0, k, 0)
        x = np.where(high > 0, high, x)
    return place


def power(t: np.ndarray, powers: np.ndarray) -> np.ndarray:
    """2^-t in Q30, for t in Q16, at least 0.

    The table holds 2^-(i/256) in Q30, i = 0 to 256; between its entries a straight line. The line lies above the curve,
    by 2^30 (ln 2)^2 / (8 * 256^2) = 984 units at most, 0.92 millionths. From t = 31 on the result is 0.
    """
    t = wide(t)
    whole, i, rest = t >> PLACES, (t >> (PLACES - 8)) & 255, t & 255
    low, high = wide(powers)[i], wide(powers)[i + 1]
    y = low - (((low - high) * rest + 128) >> 8)
    return np.where(whole > 30, 0, shift_half_up(y, np.minimum(whole, 30)))


def rounded(a: np.ndarray, b: np.ndarray | int) -> np.ndarray:
    """a * b * 2^-15, halves up: VQRDMULH of int16, VPMULHRSW of x86. Not both of them -32,768."""
    return (wide(a) * wide(b) + 2**14) >> 15


def power_q15(t: np.ndarray, places: np.ndarray | int) -> np.ndarray:
    """2^(t * 2^-places) in Q15, in 16 bits throughout, for int16 t up to 0 and places from 1 to 15; 0 to 32,767.

    The exponent is whole + (g - 1) / 2 with g in [-1, 1): whole is the next integer above it. Half of one is added to
    t, so that whole is t * 2^-places rounded, halves up, and g what a shift to the left leaves of t, a number in Q15.
    The polynomial in g gives 2^((g - 1) / 2), from 1/2 to 1; its last sum saturates, all others are int16. It is
    shifted right by -whole, halves up; or left, and then it saturates: t = 0 gives whole = 1, g = -1 and 32,767. So
    does any t above 0, which no table makes.

    The polynomial is off by 1.75 units of Q15 at most, near a whole exponent by 1.3, and the result by as much: a shift
    to the right makes less of it, and adds half a unit of its own rounding.
    """
    t, places = wide(t), wide(places)
    t = saturate(t + (1 << (places - 1)), INT16)
    whole, g = shift_half_up(t, places), (wide(t) << (16 - places)).astype(np.int16)
    power = wide(EXP2[4])
    for term in EXP2[3::-1]:
        power = rounded(power, g) + term
    power = np.minimum(power, 32767)
    return np.where(whole > 0, 32767, shift_half_up(power, np.maximum(-whole, 0)))


def logarithm(x: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """log2 x in Q16, for x from 1 to 2^62. Needs 64 bits in C: x is a sum over the vocabulary.

    The table holds log2(1 + i/256) in Q30, i = 0 to 256; between its entries a straight line, under the curve by
    2^16 / (8 * 256^2 * ln 2) = 0.19 units at most. With the half unit of the last rounding the error is under 0.7.
    """
    x = wide(x)
    place = leading(x)
    part = (x << (62 - place)) >> 38  # 24 binary places, with the leading one in front
    i, rest = (part >> 16) & 255, part & 0xFFFF
    low, high = wide(logs)[i], wide(logs)[i + 1]
    y = low + (((high - low) * rest) >> 16)
    return (place << PLACES) + shift_half_up(y, 30 - PLACES)


def inverse_root(x: np.ndarray, roots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """1 / sqrt(x) as multiplier and shift: `requantise(a, m, s)` is a / sqrt(x). x is from 1 to 2^62.

    x = v * 2^p with v in [2^30, 2^32) and p even. The table holds 2^16 / sqrt(v) in Q30 for the middle of each of 96
    intervals of v, which is right to 1/128; two steps of Newton's method, r (3 - v r^2) / 2, follow. Each makes of a
    relative error 1.5 times its square, so 1.3e-8 is left, and with the roundings under 2^-25. v and the products need
    64 bits in C.
    """
    x = wide(x)
    p = (leading(x) - 30) & ~1
    v = np.where(p >= 0, x >> np.maximum(p, 0), x << np.maximum(-p, 0))
    r = wide(roots)[(v >> 25) - 32]
    for _ in range(2):
        square = (r * r) >> 30
        r = (r * ((3 << 30) - ((square * v) >> 32))) >> 31
    return np.clip(r, 1 << 30, (1 << 31) - 1), 15 + (p >> 1)


def divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b, halves up, for b above 0: floor((2 a + b) / (2 b))."""
    a, b = wide(a), wide(b)
    return (2 * a + b) // (2 * b)
