"""The integer arithmetic against exact rational numbers, and every table entry against what it stands for."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from uvlm_mini.quantize import fixed, tables

INT32 = st.integers(-(2**31), 2**31 - 1)
MULTIPLIER = st.integers(2**30, 2**31 - 1)


def half_up(x: Fraction) -> int:
    """The nearest whole number, halves up."""
    return math.floor(x + Fraction(1, 2))


def defined(a: int, m: int, s: int) -> int:
    """Requantising as the definition has it, in exact numbers."""
    if s < 0:
        a = min(max(a * 2**-s, -(2**31)), 2**31 - 1)
    t = half_up(Fraction(a * m, 2**31))
    return half_up(Fraction(t, 2 ** max(s, 0)))


@given(INT32, MULTIPLIER, st.integers(-31, 40))
@example(-(2**31), 2**31 - 1, 0)
@example(2**31 - 1, 2**31 - 1, 0)
@example(-(2**31), 2**31 - 1, 32)
@example(2**31 - 1, 2**31 - 1, 32)
@example(1, 2**30, 0)  # a half, up
@example(-1, 2**30, 0)  # minus a half, up
@example(-5, 2**30, 1)
@example(2**31 - 1, 2**30, -31)
@example(-(2**31), 2**30, -1)
def test_requantising_is_its_definition(a: int, m: int, s: int) -> None:
    """And where nothing saturates it is off from the exact product by the stated bound at most."""
    found = fixed.requantise(np.array(a), m, s)
    assert found.dtype == np.int32 and int(found) == defined(a, m, s)
    if s >= 0:
        assert abs(int(found) - Fraction(a * m, 2 ** (31 + s))) <= Fraction(1, 2) + Fraction(1, 2 ** (s + 1))


@given(INT32, st.integers(1, 31))
def test_the_shift_needs_no_64_bits(t: int, s: int) -> None:
    """What fixed.py says C may do instead is the same."""
    assert int(fixed.shift_half_up(np.array(t), s)) == ((t >> (s - 1)) + 1) >> 1 == half_up(Fraction(t, 2**s))


def test_halves_go_up() -> None:
    assert fixed.shift_half_up(np.array([5, -5, 3, -3, 1, -1]), 1).tolist() == [3, -2, 2, -1, 1, 0]


@given(st.floats(2.0**-32, 2.0**30, exclude_max=True), INT32)
def test_a_multiplier_is_its_number(ratio: float, a: int) -> None:
    """To 2^-31, and so the whole requantising to what fixed.py states."""
    m, s = (int(part) for part in tables.multipliers(ratio))
    exact = Fraction(ratio)
    assert 2**30 <= m < 2**31
    assert abs(Fraction(m, 2**31) * Fraction(2) ** -s - exact) <= exact * Fraction(1, 2**31)
    if s >= 0:
        bound = Fraction(1, 2) + Fraction(1, 2 ** (s + 1)) + Fraction(abs(a), 2 ** (32 + s))
        assert abs(int(fixed.requantise(np.array(a), m, s)) - a * exact) <= bound


@given(st.floats(2.0**-20, 1.0), st.integers(1, 2**31 - 1), st.data())
def test_lifting(ratio: float, limit: int, data) -> None:
    """No sum within the limit leaves int32, and the result is within a half and a little of the exact product."""
    up = tables.lift(limit)
    assert limit << up < 2**31 <= limit << (up + 1)
    a = data.draw(st.integers(-limit, limit))
    m, s = (int(part) for part in tables.multipliers(ratio))
    assume(s + up >= 0)  # a ratio of 1 is a shift to the left, which stops at int32's end where the limit is above 2^30
    found = int(fixed.requantise(np.array(a << up), m, s + up))
    little = Fraction(1, 2 ** (s + up + 1)) + Fraction(abs(a), 2 ** (32 + s))
    assert abs(found - a * Fraction(ratio)) <= Fraction(1, 2) + little


def test_a_tiny_multiplier_gives_zero() -> None:
    m, s = tables.multipliers(np.array([1e-30, 2.0**-34]))
    for a in (2**31 - 1, -(2**31)):
        assert not fixed.requantise(np.array([a, a]), m, s).any()


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf, 2.0**31])
def test_no_multiplier_of_a_bad_scale(bad: float) -> None:
    with pytest.raises(ValueError, match="a scale that is 0, infinite, NaN or far out of range"):
        tables.multipliers(np.array([1.0, bad]))


@given(st.lists(st.floats(-300.0, 300.0), min_size=1, max_size=3), st.integers(1, 255), st.integers(0, 300))
def test_weighing_fits_in_int32(ratios: list[float], reach: int, offset: int) -> None:
    """At the largest values of all terms, with the rounding's half; and the sum is right to a half and little more."""
    found, s = tables.factors(ratios, reach, offset)
    most = sum(abs(int(f)) for f in found) * reach + offset * 2**s + 2**s // 2
    assert most < 2**31
    total = sum(int(f) * reach for f in found)
    exact = sum(Fraction(r) * reach for r in ratios)
    assert abs(Fraction(int(fixed.shift_half_up(np.array(total), s))) - exact) <= Fraction(1, 2) + Fraction(
        len(found) * reach, 2 ** (s + 1)
    )


def test_weighing_refuses_what_int32_cannot_hold() -> None:
    with pytest.raises(ValueError, match="differ too much for int32"):
        tables.factors([1e9], 255)


@given(st.integers(1, 2**62))
@example(1)
@example(2**62)
def test_leading_bit(x: int) -> None:
    assert int(fixed.leading(np.array(x))) == x.bit_length() - 1


@given(st.integers(-(2**60), 2**60), st.integers(1, 2**60))
def test_division(a: int, b: int) -> None:
    assert int(fixed.divide(np.array(a), np.array(b))) == half_up(Fraction(a, b))


def test_every_entry_of_the_three_tables() -> None:
    """Each is the nearest integer; float64 is right to a millionth of a unit here."""
    for i, value in enumerate(tables.powers().tolist()):
        assert abs(value - 2.0**30 * math.exp(-i / 256 * math.log(2))) <= 0.5 + 1e-5
    for i, value in enumerate(tables.logs().tolist()):
        assert abs(value - 2.0**30 * math.log1p(i / 256) / math.log(2)) <= 0.5 + 1e-5
    for i, value in enumerate(tables.roots().tolist()):
        assert abs(value - 2.0**30 * math.sqrt(128 / (32.5 + i))) <= 0.5 + 1e-5
    assert [len(t) for t in (tables.powers(), tables.logs(), tables.roots())] == [257, 257, 96]
    assert all(t.dtype == np.int32 for t in (tables.powers(), tables.logs(), tables.roots()))


def test_power_over_its_whole_range() -> None:
    """Every argument up to 2, so every entry and every place between two, then a grid: within the derived bound."""
    t = np.concatenate([np.arange(2 << 16), np.arange(2 << 16, 40 << 16, 97)])
    found, exact = fixed.power(t, tables.powers()), 2.0 ** (30 - t / 2**16)
    assert (np.diff(found) <= 0).all()
    line = 2.0**30 * math.log(2) ** 2 / (8 * 256**2)
    alive = t < 31 << 16
    assert (found - exact <= (line + 1) * 2.0 ** -(t >> 16) + 0.5)[alive].all()
    assert (found - exact >= -1 * 2.0 ** -(t >> 16) - 0.5)[alive].all()
    assert not found[~alive].any()
    assert fixed.power(np.array([0, 1 << 16, 30 << 16]), tables.powers()).tolist() == [2**30, 2**29, 1]


def test_power_q15_over_its_whole_range() -> None:
    """Every argument with every number of places: within the bound that the text gives, near a whole exponent too."""
    t = np.arange(-(2**15), 1)
    for places in range(1, 16):
        found, exact = fixed.power_q15(t, places), 2.0 ** (15 + t * 2.0**-places)
        off = np.abs(found - exact)
        assert off.max() <= 1.75 and off[t * 2.0**-places > -1 / 256].max() <= 1.3
        shifted = exact < 2**14 * 0.99
        assert (off[shifted] <= 1.75 / 2 + 0.5).all()
        assert found[-1] == 32767 and found.min() >= 0 and found.max() <= 32767
        assert (fixed.power_q15(-t, places) == 32767).all()


def test_no_partial_sum_of_the_power_leaves_int16() -> None:
    """So 16 bits are enough for each; the last sum reaches 2^15, for which it saturates."""
    g = np.arange(-(2**15), 2**15)
    power = np.int64(fixed.EXP2[4])
    for term in fixed.EXP2[3:0:-1]:
        power = fixed.rounded(power, g) + term
        assert power.min() >= -(2**15) and power.max() < 2**15
    power = fixed.rounded(power, g) + fixed.EXP2[0]
    assert power.min() == 2**14 and power.max() == 2**15


@given(st.integers(1, 2**62))
@example(1)
@example(2**62)
@example(2**32 - 1)
def test_logarithm(x: int) -> None:
    assert abs(int(fixed.logarithm(np.array(x), tables.logs())) - math.log2(x) * 2**16) < 0.7


def test_logarithm_at_every_entry() -> None:
    """At each entry and in the middle between two; it never falls."""
    x = (np.arange(256 * 64) + 256 * 64) << 20
    found = fixed.logarithm(x, tables.logs())
    assert (np.abs(found - np.log2(x.astype(float)) * 2**16) < 0.7).all() and (np.diff(found) >= 0).all()


def root_error(x: int) -> float:
    """Relative error of 1 / sqrt(x)."""
    m, s = (int(part) for part in fixed.inverse_root(np.array(x), tables.roots()))
    assert 2**30 <= m < 2**31
    return abs(m / 2**31 * 2.0**-s * math.sqrt(x) - 1)


@given(st.integers(1, 2**62))
@example(1)
@example(2**62)
@example(2**62 - 1)
def test_inverse_root(x: int) -> None:
    assert root_error(x) < 2.0**-25


def test_inverse_root_at_the_edges_of_every_interval() -> None:
    """Where the table is worst, for even and odd places of the leading bit."""
    for i in range(32, 128):
        for x in (i << 25, (i << 25) + 1, ((i + 1) << 25) - 1, i << 41, i << 26 << 8):
            assert root_error(x) < 2.0**-25


@given(st.floats(1e-12, 1e4))
def test_mantissas(x: float) -> None:
    m, s = (int(part) for part in tables.mantissas(np.array(x)))
    assert 2**14 <= m < 2**15 and abs(m * 2.0**-s / x - 1) <= 2.0**-15 + 1e-12


@pytest.mark.parametrize("function", [tables.hardswish, tables.sigmoid, np.tanh, tables.softplus])
@pytest.mark.parametrize("given_", [tables.Scale(0.03, -7), tables.Scale(0.2, 100)])
def test_every_entry_of_a_table(function, given_) -> None:
    """Each of the 256 entries is the nearest int8 number, or where the range ends."""
    made = tables.Scale(0.017, -60)
    entries = tables.table(function, given_, made)
    assert entries.shape == (256,) and entries.dtype == np.int8
    for q, entry in zip(range(-128, 128), entries.tolist(), strict=True):
        exact = float(function(np.array(given_.step * (q - given_.zero)))) / made.step + made.zero
        assert entry == min(max(math.floor(exact + 0.5), -128), 127)


@pytest.mark.parametrize(("function", "steepest"), [(tables.sigmoid, 0.0963), (np.tanh, 0.7699)])
def test_curve(function, steepest: float) -> None:
    """Every argument there is: the line between two entries is off by its second derivative / 8 / 32^2 at most."""
    from uvlm_mini.quantize.integer_ops import curve

    x = np.arange(-(2**15), 2**15)
    found = curve(x.astype(np.int16), tables.curve(function)) / 2**15
    assert (np.abs(found - function(x / 2**12)) <= steepest / (8 * 32**2) + 1.6 / 2**15).all()


@pytest.mark.parametrize("length", [1, 320, 4096])
@pytest.mark.parametrize(("kind", "other"), [(np.int8, np.int8), (np.int8, np.int16)])
def test_the_product_is_exact(length: int, kind: type, other: type) -> None:
    """In float64 by value, at the extremes as well: equal to int64's."""
    rng = np.random.default_rng(0)
    low = np.iinfo(kind).min, np.iinfo(other).min
    a, b = (np.full(shape, v, k) for shape, v, k in zip(((3, length), (length, 2)), low, (kind, other), strict=True))
    a[1] = rng.integers(*np.iinfo(kind).min + np.array([0, 256]), length)
    found = fixed.matmul(a, b)
    assert found.dtype == np.int64
    assert (found == a.astype(np.int64) @ b.astype(np.int64)).all()


def test_a_product_that_could_be_rounded_is_refused() -> None:
    with pytest.raises(ValueError, match="could be rounded"):
        fixed.matmul(np.ones((1, 4), np.int32), np.ones((4, 1), np.int32))


def test_saturation() -> None:
    found = fixed.saturate(np.array([-(10**9), -129, -128, 127, 128, 10**9]), fixed.INT8)
    assert found.dtype == np.int8 and found.tolist() == [-128, -128, -128, 127, 127, 127]
