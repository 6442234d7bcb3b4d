"""The checkers of chapter 8 take what the chapter does, and say of other answers what is wrong with them."""

import numpy as np
import pytest

from tests.answers import withstands
from tests.solutions import solution
from uvlm_mini.exercises.eight_bits import check_cut, check_gap, check_once, check_ruler
from uvlm_mini.quantize.affine import scale_and_zero_point
from uvlm_mini.quantize.fixed import requantise
from uvlm_mini.quantize.show import rounded

CHAPTER = "08_cfq_quantization"


def ruler(low, high, steps=255, wide=True, mark=round):
    low, high = (min(low, 0), max(high, 0)) if wide else (low, high)
    scale = (high - low) / steps
    return scale, mark(-low / scale)


RULERS = [
    (lambda low, high: ruler(low, high, wide=False), "zero is not taken into the range from 2 to 10"),
    (lambda low, high: ruler(low, high, steps=256), "255 steps"),
    (lambda low, high: ruler(low, high, mark=float), "no whole number"),
    (lambda low, high: ruler(low, high, mark=int), "round it to the nearest"),
    (lambda low, high: ruler(low, high, mark=lambda z: -round(z)), "wrong sign"),
    (scale_and_zero_point, "from −128 to 127"),
    (lambda low, high: (max(abs(low), abs(high)) / 127, 0), "as many below zero"),
    (lambda low, high: high - low, "two numbers"),
]


def test_another_ruler() -> None:
    """The chapter's answer, one made of the package's, and others."""
    withstands(check_ruler, solution(CHAPTER, "uint8_ruler"), [wrong for wrong, _ in RULERS])
    scale, zero = scale_and_zero_point(-0.3, 0.1)
    assert check_ruler(ruler) and ruler(-0.3, 0.1) == (pytest.approx(float(scale)), int(zero) + 128)


@pytest.mark.parametrize(("wrong", "says"), RULERS)
def test_mistakes_of_the_ruler_are_named(wrong, says) -> None:
    """Each by its own sentence."""
    assert says in check_ruler(wrong).says


BEST = {2: 1.25, 4: 3.25, 8: 7.0}  # in standard deviations
CUTS = [
    (lambda v, bits: abs(v).max(), "nothing is cut off"),
    (lambda v, bits: BEST[bits], "in standard deviations"),
    (lambda v, bits: 1.25 * v.std(), "the same for all bits"),
    (lambda v, bits: np.quantile(abs(v), 0.9), "too far out"),
    (lambda v, bits: 0.5 * BEST[bits] * v.std(), "too far in"),
    (lambda v, bits: -v.std(), "above 0"),
]


def test_best_cut() -> None:
    """The chapter's search, and ends that are no best ones."""
    withstands(check_cut, solution(CHAPTER, "best_cut", rounded=rounded), [wrong for wrong, _ in CUTS])
    assert check_cut(lambda v, bits: BEST[bits] * v.std())


@pytest.mark.parametrize(("wrong", "says"), CUTS)
def test_mistakes_of_the_cut_are_named(wrong, says) -> None:
    """Each by its own sentence."""
    assert says in check_cut(wrong).says


def away_from_zero(sums, m, shift):
    real = sums.astype(float) * m / 2.0 ** (31 + shift)
    return np.sign(real) * np.floor(abs(real) + 0.5)


def in_32_bits(sums, m, shift):
    product = sums * np.int32(m)
    return (product.astype(np.int64) + (1 << (30 + shift))) >> (31 + shift)


ONCES = [
    (lambda s, m, shift: (s.astype(np.int64) * m) >> (31 + shift), "rounds down"),
    (requantise, "rounds twice"),
    (lambda s, m, shift: (s.astype(np.int64) * m + (1 << 30)) >> (31 + shift), "in the wrong place"),
    (lambda s, m, shift: np.rint(s.astype(float) * m / 2.0 ** (31 + shift)), "to the even number"),
    (away_from_zero, "halves below zero"),
    (in_32_bits, "over 32 bits"),
    (lambda s, m, shift: (s * np.int32(m) + np.int32(1 << 30)) >> 31, "over 32 bits"),
    (lambda s, m, shift: s * m, "with m ="),
]


def test_one_rounding() -> None:
    """The chapter's shift, Python's integers, and other roundings."""
    withstands(check_once, solution(CHAPTER, "requantised_once"), [wrong for wrong, _ in ONCES])
    assert check_once(lambda s, m, shift: [(int(a) * m * 2 + (1 << 31 + shift)) >> (32 + shift) for a in s])


@pytest.mark.parametrize(("wrong", "says"), ONCES)
def test_mistakes_of_the_rounding_are_named(wrong, says) -> None:
    """Each by its own sentence."""
    assert says in check_once(wrong).says


def apart(one, other):
    return [share.mean() * (1 - share.mean()) / len(one) for share in (one, other)]


def difference(one, other):
    return one.astype(float) - other


GAPS = [
    (lambda a, b: (a.mean() - b.mean(), sum(apart(a, b)) ** 0.5), "two sets of pictures"),
    (lambda a, b: (a.mean() - b.mean(), sum(v**0.5 for v in apart(a, b))), "errors are added"),
    (lambda a, b: (a.mean() - b.mean(), difference(a, b).std()), "spread of a single difference"),
    (lambda a, b: (a.mean() - b.mean(), difference(a, b).std() / len(a)), "falls with the root of n"),
    (lambda a, b: (a.mean() - b.mean(), difference(a, b).var() / len(a)), "it is a variance"),
    (lambda a, b: (b.mean() - a.mean(), 1.0), "second less the first"),
    (lambda a, b: a.mean() - b.mean(), "two numbers"),
    (lambda a, b: (a - b).mean(), "TypeError"),
]


def test_a_gap_and_its_error() -> None:
    """The chapter's answer, one that divides by n - 1, and others."""
    withstands(check_gap, solution(CHAPTER, "gap_and_error"), [wrong for wrong, _ in GAPS])
    assert check_gap(lambda a, b: (a.mean() - b.mean(), difference(a, b).std(ddof=1) / len(a) ** 0.5))


@pytest.mark.parametrize(("wrong", "says"), GAPS)
def test_mistakes_of_the_gap_are_named(wrong, says) -> None:
    """Each by its own sentence."""
    assert says in check_gap(wrong).says
