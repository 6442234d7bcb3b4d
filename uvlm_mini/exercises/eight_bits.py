"""Checkers for the exercises of chapter 8: another ruler, the best cut, one rounding, and a gap beside its error.

    print(check_ruler(uint8_ruler))
    print(check_cut(best_cut))
    print(check_once(requantised_once))
    print(check_gap(gap_and_error))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..quantize.affine import dequantize, quantize, scale_and_zero_point, sqnr
from . import Verdict
from .attempt import Hint, expect_array, expect_function, judged
from .mistakes import expect_unlike


@judged(seconds=10)
def check_ruler(uint8_ruler: Callable[[float, float], Any]) -> Verdict:
    """Judge a function that gives scale and zero point of a range for marks from 0 to 255.

    Parameters
    ----------
    uint8_ruler : from the two ends of a range, of which zero need not be inside, to scale and zero point.

    Notes
    -----
    Source: chapter 8, exercise 1.
    """
    expect_function(uint8_ruler, "low, high")
    for low, high in ((-0.375, 12.04), (-3.0, 5.0), (0.0, 6.0), (2.0, 10.0), (-5.0, -1.0), (-0.3, 0.1)):
        scale, zero = _two(uint8_ruler(low, high), "scale and zero point")
        right, marked = (float(part) for part in scale_and_zero_point(low, high))
        wide, narrow = max(high, 0.0) - min(low, 0.0), high - low
        name = f"of the range from {low:g} to {high:g}"
        mistakes = {
            f"zero is not taken into the range from {low:g} to {high:g}; it needs a mark of its own.": narrow / 255,
            "256 marks have 255 steps between them.": wide / 256,
            "the marks are laid as many below zero as above; from 0 to 255 the range may begin where it does.": (
                max(abs(low), abs(high)) / 127
            ),
        }
        expect_unlike(scale, right, f"the scale {name}", mistakes, rtol=1e-4)
        exact = -min(low, 0.0) / right
        mistakes = {
            "the zero point is that of marks from −128 to 127; these begin at 0.": marked,
            "the zero point is no whole number; zero must stand on a mark, or every border is off.": exact,
            "the zero point has the wrong sign: the low end stands at mark 0, and zero above it.": -marked - 128,
            "the zero point is cut off; round it to the nearest mark.": np.floor(exact),
        }
        expect_unlike(zero, marked + 128, f"the zero point {name}", mistakes, rtol=0, atol=1e-3)
    return Verdict(True, "six ranges, with zero inside and without, have their marks from 0 to 255.")


def _two(value: Any, names: str) -> tuple[Any, Any]:
    """The two parts of an answer."""
    if not isinstance(value, tuple | list | np.ndarray) or len(value) != 2:
        raise Hint(f"{names} are wanted, two numbers, as in `return one, other`.")
    return value[0], value[1]


SPREADS = (0.3, 1.0, 8.0)  # standard deviations of what is cut


@judged(seconds=40)
def check_cut(best_cut: Callable[[np.ndarray, int], Any]) -> Verdict:
    """Judge a function that searches the symmetric range with the best ratio of signal to noise.

    Parameters
    ----------
    best_cut : from (n,) values and bits to the end c of the range from -c to c, in the unit of the values.

    Notes
    -----
    Source: chapter 8, exercise 2. An end is right if its ratio is within 0.2 dB of the best.
    """
    expect_function(best_cut, "values, bits")
    for spread in SPREADS:
        values = np.random.default_rng(8).laplace(scale=spread * 0.5**0.5, size=20_000)
        cuts = {}
        for bits in (2, 4, 8):
            trials = {c: _ratio(values, c, bits) for c in spread * np.arange(0.5, 13, 0.1)}
            best = max(trials, key=trials.__getitem__)
            name = f"the end for {bits} bits"
            cuts[bits] = found = float(expect_array(best_cut(values.copy(), bits), (), name))
            if not found > 0:
                raise Hint(f"{name} is {found:g}; the range from -c to c wants a number above 0.")
            if _ratio(values, found, bits) > trials[best] - 0.2:
                continue
            if abs(found - abs(values).max()) < 0.02 * found:
                raise Hint(f"in {bits} bits nothing is cut off, and most marks wait for few values; try smaller ends.")
            if _ratio(values, found * spread, bits) > trials[best] - 0.2:
                raise Hint("the end is in standard deviations; give it in the unit of the values.")
            if len({round(c, 6) for c in cuts.values()}) == 1 < len(cuts):
                raise Hint("the end is the same for all bits; with more marks it pays to reach further out.")
            side = "far out" if found > best else "far in"
            raise Hint(f"in {bits} bits the end {found:.3g} is too {side}; near {best:.2g} more of the signal is kept.")
    return Verdict(True, "in 2, 4 and 8 bits, on three widths, within 0.2 dB of the best end.")


def _ratio(values: np.ndarray, end: float, bits: int) -> float:
    scale, zero = scale_and_zero_point(-end, end, bits, symmetric=True)
    return sqnr(values, dequantize(quantize(values, scale, zero, bits), scale, zero))


@judged(seconds=10)
def check_once(requantised_once: Callable[[np.ndarray, int, int], Any]) -> Verdict:
    """Judge a function that scales sums by an integer and one shift.

    Parameters
    ----------
    requantised_once : from (n,) int32 sums, a multiplier m from 2^30 to 2^31 and a shift from 0 to whole numbers near
        sums * m / 2^(31 + shift), rounded once, and half up.

    Notes
    -----
    Source: chapter 8, exercise 3.
    """
    expect_function(requantised_once, "sums, m, shift")
    dice = np.random.default_rng(8)
    cases = [
        (dice.integers(-100_000, 100_000, 400), int(dice.integers(2**30, 2**31)), shift) for shift in (0, 3, 9, 15)
    ]
    cases += [(np.arange(-9, 10), 2**30, shift) for shift in (0, 1, 2)]  # halves among them
    cases.append((np.array([-295, -294, 294, 295]), 1_869_169_767, 9))  # the chapter's
    for sums, m, shift in cases:
        sums = sums.astype(np.int32)
        exact = [int(s) * m for s in sums]
        down = 31 + shift
        right = [(product + (1 << (down - 1))) >> down for product in exact]
        high = [(product + (1 << 30)) >> 31 for product in exact]
        real = np.array(exact, float) / 2.0**down
        name = f"with m = {m} and shift {shift}, the results"
        mistakes = {
            "it rounds down; add half of what the shift takes away before it.": [product >> down for product in exact],
            "it rounds twice, as the chapter does; one shift by 31 + shift is wanted.": [
                (h + (1 << shift >> 1)) >> shift for h in high
            ],
            "the half is added in the wrong place: half of 2^(31 + shift) is 1 << (30 + shift).": [
                (product + (1 << 30)) >> down for product in exact
            ],
            "halves go to the even number; integers with a shift take them up.": np.rint(real),
            "halves below zero go down; a shift takes them up.": np.sign(real) * np.floor(np.abs(real) + 0.5),
            "the product has run over 32 bits; make the sums int64 first.": [
                (_wrapped(product) + (1 << (down - 1))) >> down for product in exact
            ],
            "product and half have run over 32 bits; make the sums int64 first.": [
                _wrapped(_wrapped(product) + (1 << (down - 1))) >> down for product in exact
            ],
        }
        expect_unlike(requantised_once(sums.copy(), m, shift), right, name, mistakes, rtol=0, atol=1e-6)
    return Verdict(True, "eight multipliers and shifts are rounded once and half up, below zero too.")


def _wrapped(number: int) -> int:
    """What 32 bits keep of a number."""
    return (number + 2**31) % 2**32 - 2**31


@judged(seconds=10)
def check_gap(gap_and_error: Callable[[np.ndarray, np.ndarray], Any]) -> Verdict:
    """Judge a function that sets the gap of two calibrations beside its standard error, picture by picture.

    Parameters
    ----------
    gap_and_error : from two (n,) arrays of booleans, whether a caption of the same pictures is right, to the difference
        of the shares, first less second, and its standard error.

    Notes
    -----
    Source: chapter 8, exercise 6. Dividing by n or by n - 1 is both right.
    """
    expect_function(gap_and_error, "one, other")
    dice = np.random.default_rng(8)
    for n, share in ((400, 0.03), (900, 0.1)):
        one = dice.random(n) < 0.9
        other = one ^ (dice.random(n) < share)
        gap, error = _two(gap_and_error(one.copy(), other.copy()), "the gap and its standard error")
        d = one.astype(float) - other
        shares = np.array([one.mean(), other.mean()])
        expect_unlike(gap, d.mean(), "the gap", {"the gap is the second less the first.": -d.mean()}, rtol=1e-6)
        apart = np.sqrt(shares * (1 - shares) / n)
        mistakes = {
            "the error is that of two sets of pictures; both saw the same, so take the differences one by one.": (
                np.sqrt((apart**2).sum())
            ),
            "the two errors are added; take the differences picture by picture, and their error.": apart.sum(),
            "it is the spread of a single difference; that of their mean is smaller by the root of n.": d.std(),
            "the spread is divided by n; the error of a mean falls with the root of n.": d.std() / n,
            "it is a variance; the standard error is its root.": d.var() / n,
        }
        expect_unlike(error, d.std() / n**0.5, "the standard error", mistakes, rtol=3e-3)
    return Verdict(True, "two pairs of calibrations, each judged by the pictures on which they disagree.")
