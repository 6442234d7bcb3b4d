"""The float kernels against PyTorch, against each other, and the tables against float64 over their whole range.

"1e-5 relative" is meant number by number, and relative to what was added up for it: a sum may be near 0 because its
terms cancel, and then its last bits are no kernel's fault. So every comparison comes with `terms`, the sum of the
magnitudes of the terms of each number, and a number may be off by 1e-5 of that.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from uvlm_mini.baselines.bahdanau import Attention
from uvlm_mini.baselines.lstm import lstm_cell
from uvlm_mini.encoder import GRN
from uvlm_mini.kernels.compilers import find
from uvlm_mini.ssm import SelectiveSSM, discretise

pytest.importorskip("cffi")
try:
    find()
except RuntimeError as none:
    pytest.skip(str(none), allow_module_level=True)

from uvlm_mini.kernels import f32, library
from uvlm_mini.kernels.s8 import FORMS, forms

FFI, LIB = library()
HERE = forms()
HOW = [("expf", "plain"), *itertools.product(("table", "polynomial"), HERE)]  # every SSM kernel that runs here
SEED = st.integers(0, 2**32 - 1)
LOWEST = np.float32(-126 * math.log(2))  # from here down exp stays where it is
SMALLEST = np.float32(2.0**-126)
CONSTANT = {"table": 2.0e-7, "polynomial": 3.1e-7}  # of the bounds in csrc/exp_f32.h
SLOPE = 7.4e-8


def near(found: np.ndarray, wanted: np.ndarray | Tensor, terms: np.ndarray | Tensor) -> None:
    """Whether each number is off by at most 1e-5 of its terms."""
    wanted, terms = np.asarray(wanted, np.float64), np.asarray(terms, np.float64)
    assert found.dtype == np.float32 and found.shape == wanted.shape == terms.shape
    assert np.isfinite(found).all()
    off = np.abs(found - wanted)
    assert (off <= 1e-5 * terms).all(), f"off by {(off / np.maximum(terms, 1e-300)).max():.1e} of its terms"


def framed(x: np.ndarray) -> np.ndarray:
    """The same numbers with NaN before and behind them: who reads beside the array gets NaN out."""
    whole = np.full(x.size + 64, np.nan, np.float32)
    whole[32:-32] = x.ravel()
    return whole[32:-32].reshape(x.shape)


def untouched(x: np.ndarray) -> bool:
    """Whether nothing was written beside a framed array."""
    whole = x.base
    assert whole.shape == (x.size + 64,)
    return bool(np.isnan(whole[:32]).all() and np.isnan(whole[-32:]).all())


class Draw:
    """Normal numbers as float32 NumPy arrays."""

    def __init__(self, seed: int) -> None:
        self.dice = np.random.default_rng(seed)

    def __call__(self, *shape: int, scale: float = 1.0) -> np.ndarray:
        return framed((scale * self.dice.normal(size=shape)).astype(np.float32))


def ssm_case(seed: int, channels: int, states: int, steps: int = 1) -> tuple[f32.SSM, np.ndarray, list[np.ndarray]]:
    """A recurrence, its A_log, and delta, u (T, I), b, c (T, N), h: step sizes and rates over all magnitudes, 0 too."""
    draw = Draw(seed)
    A_log = draw(channels, states, scale=2.0)
    A = framed(-np.exp(A_log))
    delta = np.exp(draw(steps, channels, scale=2.0) - 1)
    delta[draw.dice.random(delta.shape) < 0.1] = 0.0
    inputs = [framed(delta), draw(steps, channels), draw(steps, states), draw(steps, states), draw(channels, states)]
    return f32.SSM(A, draw(channels)), A_log, inputs


def in_torch(
    D: np.ndarray, A_log: np.ndarray, delta: np.ndarray, u: np.ndarray, b: np.ndarray, c: np.ndarray, h: np.ndarray
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What SelectiveSSM.step does between its projections: y and h, and the terms of both."""
    D, A_log, delta, u, b, c, h = (torch.tensor(x) for x in (D, A_log, delta, u, b, c, h))
    decay, write = discretise(delta, A_log, b, u)
    new = decay * h + write
    y = torch.einsum("in,n->i", new, c) + D * u
    terms = decay * h.abs() + write.abs()
    return y, new, terms @ c.abs() + (D * u).abs(), terms


SIZES = st.integers(1, 40)


@given(SEED, SIZES, SIZES)
@example(0, 1, 1)
@example(1, 3, 16)  # no block of four channels
@example(2, 4, 16)
@example(3, 7, 17)
@example(4, 5, 8)
@example(5, 1024, 16)
@example(6, 6, 256)
@settings(deadline=None, max_examples=150)
def test_ssm_step(seed: int, channels: int, states: int) -> None:
    """y and h in every way and form; nothing is read or written beside the arrays, and no input is changed."""
    ssm, A_log, (delta, u, b, c, h) = ssm_case(seed, channels, states)
    y, new, y_terms, h_terms = in_torch(ssm.D, A_log, delta[0], u[0], b[0], c[0], h)
    inputs = [framed(x[0]) for x in (delta, u, b, c)]
    for way, form in HOW:
        state, before, out = framed(h), [x.copy() for x in inputs], framed(np.zeros(channels, np.float32))
        assert ssm.ready(*inputs, state, out, way, form)() is out
        near(state, new, h_terms)
        near(out, y, y_terms)
        assert untouched(state) and untouched(out)
        assert all(np.array_equal(x, old) for x, old in zip(inputs, before, strict=True))


@given(SEED, SIZES, SIZES)
@settings(deadline=None, max_examples=60)
def test_forms_stay_within_the_bounds_of_both(seed: int, channels: int, states: int) -> None:
    """The decay alone, read as the state after a step from 1 with nothing written, against float64: the derived bound.

    The step rounds once more than exp does, and so has twice the slope.
    """
    ssm, A_log, (delta, u, b, c, _) = ssm_case(seed, channels, states)
    rates = -np.exp(A_log).astype(np.float64)
    x = delta[0].astype(np.float64)[:, None] * rates
    for way, form in HOW[1:]:
        h = np.ones((channels, states), np.float32)
        ssm.step(delta[0], np.zeros_like(u[0]), b[0], c[0], h, way, form)
        bound = CONSTANT[way] + 2 * SLOPE * -x
        assert (np.abs(h - np.exp(x)) <= bound * np.exp(x) + 2.0**-126).all()


@given(SEED, st.integers(1, 9), SIZES, st.integers(1, 20))
@settings(deadline=None, max_examples=60)
def test_scan_is_the_step_again_and_again(seed: int, channels: int, states: int, steps: int) -> None:
    """To the bit, in every way and form; and a sequence in two parts is the sequence."""
    ssm, _, (delta, u, b, c, h) = ssm_case(seed, channels, states, steps)
    for way, form in HOW:
        state, other, third = h.copy(), h.copy(), h.copy()
        y = ssm.scan(delta, u, b, c, state, way, form)
        one = np.array([ssm.step(*(x[t] for x in (delta, u, b, c)), other, way, form) for t in range(steps)])
        assert np.array_equal(y, one) and np.array_equal(state, other)
        if steps > 1:
            parts = [ssm.scan(*(x[p] for x in (delta, u, b, c)), third, way, form) for p in (np.s_[:1], np.s_[1:])]
            assert np.array_equal(y, np.concatenate(parts)) and np.array_equal(state, third)


@given(SEED, st.integers(1, 8), st.integers(1, 20), st.integers(1, 12))
@settings(deadline=None, max_examples=40)
def test_selective_ssm(seed: int, hidden: int, states: int, steps: int) -> None:
    """The module itself, a sequence through its own projections, with the recurrence in C."""
    torch.manual_seed(seed)
    ssm, x = SelectiveSSM(hidden, states=states), torch.randn(1, steps, hidden)
    with torch.no_grad():
        wanted, last = ssm(x)
        u = ssm.in_proj(x[0])
        dt, b, c = (part.contiguous() for part in ssm.x_proj(u).split([ssm.rank, states, states], -1))
        recurrence = f32.SSM((-torch.exp(ssm.A_log)).numpy(), ssm.D.numpy())
        dt = ssm.dt_proj(dt)
        assert np.allclose(f32.softplus(dt.numpy()), F.softplus(dt), rtol=1e-6, atol=0)
        for way, form in HOW:
            h = recurrence.start()
            y = recurrence.scan(f32.softplus(dt.numpy()), u.numpy(), b.numpy(), c.numpy(), h, way, form)
            found = ssm.out_proj(torch.from_numpy(y))
            assert (found - wanted[0]).abs().max() <= 1e-5 * wanted.abs().max()
            assert (torch.from_numpy(h) - last[0]).abs().max() <= 1e-5 * last.abs().max()


@pytest.mark.parametrize(("way", "form"), HOW)
def test_a_long_sequence(way: str, form: str) -> None:
    """Two thousand steps that hardly decay, where errors of the decay add up, beside float64.

    A decay d that float32 holds to 2^-25 makes a memory 1 / (1 - d) that is off by 2^-25 / (1 - d), for expf too; so
    the bound of 1e-5 is on the state with the rounding of its own decay taken as given.
    """
    steps, rates = 2000, np.linspace(0.5, 16, 16, dtype=np.float32)
    delta = np.full((steps, 1), 1e-3, np.float32)
    ssm, ones = f32.SSM(-rates[None], np.ones(1, np.float32)), np.ones((steps, 16), np.float32)
    h = ssm.start()
    ssm.scan(delta, np.ones_like(delta), ones, ones, h, way, form)
    decay = np.exp(-1e-3 * rates.astype(np.float64))
    exact = 1e-3 * (1 - decay**steps) / (1 - decay)
    least = 2.0**-25 / (1 - decay)
    assert (np.abs(h[0] / exact - 1) <= 4 * least + 1e-5).all()


# The tables


def exp_all(x: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
    return {(way, form): f32.exp(x, way, form) for way, form in HOW[1:]}


def share_of_bound(x: np.ndarray, way: str, y: np.ndarray) -> float:
    """How much of its derived bound exp uses at worst, for x from LOWEST to 0."""
    exact = np.exp(x.astype(np.float64))
    return float((np.abs(y / exact - 1) / (CONSTANT[way] + SLOPE * -x.astype(np.float64))).max())


def test_constants_of_the_tables() -> None:
    """Every entry is the float32 number nearest to what it stands for."""
    powers, logs, inverses = f32.tables()
    i, k = np.arange(16.0), np.arange(17.0)
    assert np.array_equal(powers, np.exp2(i / 16).astype(np.float32))
    assert np.array_equal(logs, np.log1p(k / 16).astype(np.float32))
    assert np.array_equal(inverses, (16 / (16 + k)).astype(np.float32))


@pytest.mark.parametrize(("way", "parts"), [("table", 16), ("polynomial", 1)])
def test_exp_at_every_entry_and_every_boundary(way: str, parts: int) -> None:
    """In the middle of each of the 2017 intervals of the table, at both its ends, and at the eight floats around them.

    That is every entry of the table with every power of two; without a table there are 127 intervals.
    """
    k = np.arange(-126 * parts, 1)
    places = (k[:, None] + np.array([-0.5, -0.25, 0.0, 0.25, 0.5])) / parts * math.log(2)
    x = places.astype(np.float32)
    around = [x]
    for direction in (-np.inf, np.inf):
        y = x
        for _ in range(4):
            y = np.nextafter(y, np.float32(direction))
            around.append(y)
    x = np.concatenate([y.ravel() for y in around])
    x = x[(x <= 0) & (x >= LOWEST)]
    entry = np.rint(x.astype(np.float64) / math.log(2) * parts).astype(int)
    assert set(entry) == set(range(-126 * parts, 1))
    for form in HERE:
        assert 0.5 < share_of_bound(x, way, f32.exp(x, way, form)) <= 1


def test_exp_over_its_whole_range() -> None:
    """A dense sweep over the bits of float32, from the smallest number there is to the end of the range."""
    ends = [np.float32(v).view(np.uint32) for v in (-0.0, LOWEST)]
    x = np.arange(ends[0], ends[1] + 1, 2011, dtype=np.uint32).view(np.float32)
    dense = np.linspace(float(LOWEST), 0, 400_000).astype(np.float32)
    x = np.concatenate([x, dense[dense >= LOWEST], [LOWEST]])
    for (way, _), y in exp_all(x).items():
        assert 0.5 < share_of_bound(x, way, y) <= 1
        constant = 2.3e-7 if way == "table" else 3.4e-7
        assert np.abs(y - np.exp(x.astype(np.float64))).max() <= constant
        assert y.max() == 1 and y.min() == SMALLEST


def test_exp_below_its_range() -> None:
    """It stays at 2^-126, to minus infinity; and at 0 it is 1, to the bit."""
    big = np.finfo(np.float32).max
    x = np.array([np.nextafter(LOWEST, np.float32(-100)), -88, -104, -1e3, -1e6, -1e9, -big, -np.inf], np.float32)
    zero = np.array([0.0, -0.0, -1e-45, -1e-38, -1e-30], np.float32)
    for y in exp_all(np.tile(x, 5)).values():
        assert (y == SMALLEST).all()
    for y in exp_all(np.tile(zero, 5)).values():
        assert (y == 1).all()


@pytest.mark.parametrize("size", [*range(1, 35), 1000])
def test_exp_of_any_length_and_in_place(size: int) -> None:
    """Nothing beside the array is read or written, whatever its length is modulo 8 and 16."""
    x = framed(-np.linspace(0, 50, size).astype(np.float32))
    for way, form in HOW[1:]:
        call = LIB.uvlm_exp_f32_lut_as if way == "table" else LIB.uvlm_exp_f32_poly_as
        y = framed(x)
        pointer = FFI.from_buffer("float[]", y, require_writable=True)
        assert call(FORMS.index(form), pointer, pointer, size) == LIB.UVLM_OK
        assert share_of_bound(x, way, y) <= 1 and untouched(y)


def line() -> np.ndarray:
    """Numbers from -87.3 to 1000, dense, by bits and evenly, with 0 and all boundaries of softplus's second table."""
    by_bits = np.arange(0, np.float32(1000).view(np.uint32), 3001, dtype=np.uint32).view(np.float32)
    even = np.linspace(-87.3, 100, 300_000).astype(np.float32)
    edges = -np.log(np.concatenate([np.arange(1, 17), np.arange(0.5, 16)]) / 16)  # where exp(-x) is i/16 or between
    near_edges = np.concatenate([np.nextafter(edges.astype(np.float32), np.float32(s * 9)) for s in (-1, 0, 1)])
    x = np.concatenate([by_bits, -by_bits[by_bits <= 87.3], even, near_edges, -near_edges, [0.0, -0.0]])
    return x.astype(np.float32)


def test_sigmoid_within_its_bound() -> None:
    x = line()
    exact = torch.sigmoid(torch.from_numpy(x).double()).numpy()
    share = np.abs(f32.sigmoid(x) / exact - 1) / np.where(x >= 0, 2.2e-7, 3.3e-7 + SLOPE * np.abs(x))
    assert share[x >= 0].max() <= 1 and share[x < 0].max() <= 1
    assert share[x >= 0].max() > 0.3 and share[x < 0].max() > 0.5
    assert np.array_equal(f32.sigmoid(np.array([0.0, 100.0, np.inf], np.float32)), [0.5, 1, 1])
    assert (f32.sigmoid(np.array([-88, -1e4, -np.inf], np.float32)) == SMALLEST).all()


def test_softplus_within_its_bound() -> None:
    x = line()
    wide = x.astype(np.float64)
    exact = np.maximum(wide, 0) + np.log1p(np.exp(-np.abs(wide)))
    share = np.abs(f32.softplus(x) / exact - 1) / np.where(x >= 0, 7.2e-7, 7.2e-7 + SLOPE * np.abs(wide))
    assert share[x >= 0].max() <= 1 and share[x < 0].max() <= 1
    assert share[x >= 0].max() > 0.15 and share[x < 0].max() > 0.5
    assert np.array_equal(f32.softplus(np.array([100, 1e30, np.inf], np.float32)), np.float32([100, 1e30, np.inf]))
    assert (f32.softplus(np.array([-88, -1e4, -np.inf], np.float32)) == SMALLEST).all()


# The other kernels


@given(SEED, st.integers(1, 700), st.floats(0.01, 30), st.floats(-5, 5), st.sampled_from([1e-6, 1e-5, 1e-3]))
@example(0, 1, 1.0, 0.0, 1e-5)
@settings(deadline=None, max_examples=80)
def test_layer_norm(seed: int, hidden: int, scale: float, offset: float, epsilon: float) -> None:
    draw = Draw(seed)
    x = framed(draw(hidden, scale=scale) + np.float32(offset))
    norm = nn.LayerNorm(hidden, epsilon)
    with torch.no_grad():
        for p in norm.parameters():
            p.copy_(torch.from_numpy(draw(hidden)))
        wanted, own = norm(torch.from_numpy(x)), [p.numpy() for p in norm.parameters()]
    spread = np.sqrt(x.astype(np.float64).var() + epsilon)
    terms = (np.abs(x) + np.abs(x.mean())) / spread * np.abs(own[0]) + np.abs(own[1])
    near(f32.layer_norm(x, *own, epsilon), wanted, terms)


@given(SEED, st.integers(1, 12), st.integers(1, 12), st.integers(1, 40))
@settings(deadline=None, max_examples=80)
def test_grn(seed: int, height: int, width: int, channels: int) -> None:
    draw, module = Draw(seed), GRN(channels)
    x = draw(height, width, channels)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.from_numpy(draw(channels, 1, 1)))
        wanted = module(torch.from_numpy(x).permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    gamma, beta = (p.detach().flatten().numpy() for p in (module.gamma, module.beta))
    strength = np.sqrt((x.astype(np.float64) ** 2).sum((0, 1)))
    share = strength / (strength.mean() + 1e-6)
    near(f32.grn(x, gamma, beta), wanted, np.abs(x) * (np.abs(gamma) * share + 1) + np.abs(beta))


def test_grn_of_nothing_but_zeros() -> None:
    """The 1e-6 keeps it from dividing by 0."""
    beta = np.array([1, -2], np.float32)
    assert np.array_equal(f32.grn(np.zeros((3, 3, 2), np.float32), beta, beta), np.tile(beta, (3, 3, 1)))


@given(SEED, st.integers(1, 120), st.integers(1, 60), st.integers(1, 6))
@settings(deadline=None, max_examples=60)
def test_lstm_step(seed: int, columns: int, hidden: int, steps: int) -> None:
    """Some steps in sequence, so that every gate is seen at work; h and c are those that were given."""
    torch.manual_seed(seed)
    draw, cell = Draw(seed), lstm_cell(columns, hidden)
    with torch.no_grad():
        for p in (cell.bias_ih, cell.bias_hh):
            p += torch.from_numpy(draw(4 * hidden))
    own = [p.detach().numpy() for p in (cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)]
    h, c = draw(hidden, scale=0.5), draw(hidden)
    state = (torch.tensor(h)[None], torch.tensor(c)[None])
    for _ in range(steps):
        x = draw(columns)
        with torch.no_grad():
            state = cell(torch.from_numpy(x)[None], state)
        made = f32.lstm_step(x, h, c, *own)
        assert made[0] is h and made[1] is c and untouched(h) and untouched(c)
        near(c, state[1][0], 1 + state[1][0].abs())
        near(h, state[0][0], 1 + state[0][0].abs())


@given(SEED, st.integers(1, 50), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
@settings(deadline=None, max_examples=80)
def test_bahdanau(seed: int, positions: int, features: int, query: int, wide: int) -> None:
    torch.manual_seed(seed)
    draw, module = Draw(seed), Attention(features, query, wide)
    x, asks = draw(positions, features), draw(query)
    with torch.no_grad():
        module.score.weight *= 3
        keys = module.key(torch.from_numpy(x)[None])
        shares = module.weights(keys, torch.from_numpy(asks)[None])[0]
        wanted = module(torch.from_numpy(x)[None], keys, torch.from_numpy(asks)[None])[0]
        own = [p.detach().numpy() for p in (module.query.weight, module.score.weight[0])]
    y, share = f32.bahdanau(x, keys[0].numpy(), asks, *own)
    near(share, shares, shares)
    near(y, wanted, shares.numpy() @ np.abs(x))


def test_attention_to_large_scores() -> None:
    """Scores of 1,000 and -1,000 overflow no exp: the one place gets all, or two get a half."""
    x, weight = np.array([[1, 2], [3, 4], [5, 7]], np.float32), np.zeros((1, 1), np.float32)
    keys, score = np.array([[9], [-9], [9]], np.float32), np.array([1000], np.float32)
    y, share = f32.bahdanau(x, keys, np.ones(1, np.float32), weight, score)
    assert share.tolist() == [0.5, 0, 0.5] and y.tolist() == [3, 4.5]
    y, share = f32.bahdanau(x, keys, np.ones(1, np.float32), weight, -score)
    assert share.tolist() == [0, 1, 0] and y.tolist() == [3, 4]


# What is refused: by Python in a sentence, by C with a status


def floats(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def ssm() -> f32.SSM:
    return f32.SSM(-floats(4, 3), floats(4))


def step(**other: Any) -> Callable[[], object]:
    """A step of 4 channels and 3 states with some arrays exchanged."""
    arrays = {"delta": floats(4), "u": floats(4), "b": floats(3), "c": floats(3), "h": floats(4, 3)}
    return lambda: ssm().step(**{**arrays, **other})


def scan(**other: Any) -> Callable[[], object]:
    arrays = {"delta": floats(2, 4), "u": floats(2, 4), "b": floats(2, 3), "c": floats(2, 3), "h": floats(4, 3)}
    return lambda: ssm().scan(**{**arrays, **other})


def aliased() -> object:
    h = floats(4, 3)
    return step(h=h, b=h[1])()


def frozen() -> np.ndarray:
    h = floats(4, 3)
    h.flags.writeable = False
    return h


def misaligned() -> np.ndarray:
    return np.frombuffer(bytes(13), np.uint8)[1:].view(np.float32)


def lstm(**other: Any) -> Callable[[], object]:
    arrays = {"x": floats(2), "h": floats(3), "c": floats(3), "weight": floats(12, 2), "weight_h": floats(12, 3)}
    return lambda: f32.lstm_step(**{**arrays, "bias": floats(12), "bias_h": floats(12), **other})


def attend(**other: Any) -> Callable[[], object]:
    arrays = {"x": floats(5, 2), "keys": floats(5, 3), "query": floats(4), "weight": floats(3, 4), "score": floats(3)}
    return lambda: f32.bahdanau(**{**arrays, **other})


BAD: list[tuple[Callable[[], object], type[Exception], str]] = [
    (step(delta=[1.0] * 4), TypeError, "delta is of type list; give a NumPy array of float32"),
    (step(u=np.ones(4)), TypeError, r"u holds float64, not float32; give u\.astype"),
    (step(b=np.ones(3, ">f4")), TypeError, "b holds >f4, not float32"),
    (step(c=floats(4)), ValueError, r"c has the shape \(4,\), not \(3,\)"),
    (step(c=floats(1, 3)), ValueError, r"c has the shape \(1, 3\), not \(3,\)"),
    (step(delta=floats(8)[::2]), ValueError, r"delta is not contiguous in memory; give np\.ascontiguousarray"),
    (step(h=floats(3, 4).T), ValueError, "h is not contiguous"),
    (step(b=misaligned()), ValueError, "b is not contiguous"),
    (step(h=frozen()), ValueError, r"h is changed in place and is read-only; give h\.copy"),
    (aliased, ValueError, "h and b share memory; give h memory of its own"),
    (step(delta=-floats(4)), ValueError, "delta holds a number below 0 or NaN; give what softplus makes of it"),
    (step(delta=np.float32([0, 1, 2, np.nan])), ValueError, "delta holds a number below 0 or NaN"),
    (step(way="series"), ValueError, "exp is computed by expf, table, polynomial, not by 'series'"),
    (step(form="sse"), ValueError, "'sse'"),
    (step(way="expf", form="avx2"), ValueError, "With expf there is the plain form alone, not 'avx2'"),
    (scan(delta=floats(3, 4)), ValueError, r"u has the shape \(2, 4\), not \(3, 4\)"),
    (scan(delta=floats(0, 4)), ValueError, r"delta has the shape \(0, 4\) and no number in it"),
    (scan(delta=floats(4)), ValueError, "delta has 1 dimensions, not 2"),
    (scan(delta=np.float32([[1] * 4, [1, 1, 1, -1]])), ValueError, "delta holds a number below 0 or NaN"),
    (lambda: f32.SSM(floats(4, 3), floats(4)), ValueError, r"A holds a number above 0 or NaN; give -exp\(A_log\)"),
    (lambda: f32.SSM(floats(4, 3) * np.nan, floats(4)), ValueError, "A holds a number above 0 or NaN"),
    (lambda: f32.SSM(-floats(2, 257), floats(2)), ValueError, "A has 257 states a channel, and 256 are the most"),
    (lambda: f32.SSM(-floats(65537, 1), floats(65537)), ValueError, "no size may be above 65536"),
    (lambda: f32.SSM(-floats(4, 3), floats(3)), ValueError, r"D has the shape \(3,\), not \(4,\)"),
    (lambda: f32.exp(floats(3)), ValueError, "x holds a number above 0 or NaN, for which there is no table"),
    (lambda: f32.exp(np.float32([-1, np.nan])), ValueError, "x holds a number above 0 or NaN"),
    (lambda: f32.exp(-floats(3), "expf"), ValueError, r"call np\.exp"),
    (lambda: f32.exp(-floats(0)), ValueError, "no number in it"),
    (lambda: f32.exp(np.broadcast_to(-floats(1), (3,))), ValueError, "x is not contiguous"),
    (lambda: f32.sigmoid(np.float32([np.nan])), ValueError, "x holds NaN, for which there is no table"),
    (lambda: f32.softplus(np.float32([0, np.nan])), ValueError, "x holds NaN, for which there is no table"),
    (lambda: f32.layer_norm(floats(3), floats(3), floats(4)), ValueError, r"beta has the shape \(4,\), not \(3,\)"),
    (lambda: f32.layer_norm(floats(3), floats(3), floats(3), 0.0), ValueError, "epsilon is 0.0, not above 0"),
    (lambda: f32.layer_norm(floats(3), floats(3), floats(3), math.nan), ValueError, "epsilon is nan"),
    (lambda: f32.layer_norm(floats(3, 3), floats(3), floats(3)), ValueError, "x has 2 dimensions, not 1"),
    (lambda: f32.grn(floats(2, 2, 3), floats(2), floats(3)), ValueError, r"gamma has the shape \(2,\), not \(3,\)"),
    (lambda: f32.grn(floats(257, 256, 1), floats(1), floats(1)), ValueError, "65792 positions, and 65536 are the most"),
    (lstm(weight=floats(9, 2)), ValueError, r"weight has the shape \(9, 2\), not \(12, 2\)"),
    (lstm(c=floats(2)), ValueError, r"c has the shape \(2,\), not \(3,\)"),
    (lstm(bias_h=None), TypeError, "bias_h is of type NoneType"),
    (attend(keys=floats(4, 3)), ValueError, r"keys has the shape \(4, 3\), not \(5, 3\)"),
    (attend(query=floats(3)), ValueError, r"query has the shape \(3,\), not \(4,\)"),
    (attend(x=floats(5, 0)), ValueError, "no number in it"),
]


@pytest.mark.parametrize(("call", "kind", "message"), BAD, ids=[message for _, _, message in BAD])
def test_python_refuses_in_a_sentence(call: Callable[[], object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as refused:
        call()
    said = str(refused.value)
    assert said.endswith(".") and "\n" not in said


def test_good_arrays_are_not_refused() -> None:
    """The calls from which BAD is made, unchanged."""
    for call in (step(), scan(), lstm(), attend(), step(way="expf", form="plain")):
        call()


STEP = {"delta": 4, "u": 4, "b": 3, "c": 3, "h": 12, "y": 4}
SCAN = {name: 2 * size if name != "h" else size for name, size in STEP.items()}
SSM = ("uvlm_float_ssm", {"A": 12, "D": 4}, {"channels": (4, 65536), "states": (3, 256)})
NORM = ("uvlm_float_layer_norm", {"gamma": 3, "beta": 3}, {"hidden": (3, 65536)})
MAP = ("uvlm_float_grn", {"gamma": 3, "beta": 3}, {"positions": (4, 65536), "channels": (3, 65536)})
CELL = (
    "uvlm_float_lstm",
    {"weight": 24, "bias": 12, "weight_h": 36, "bias_h": 12},
    {"hidden": (3, 65536), "columns": (2, 65536)},
)
LOOK = (
    "uvlm_float_attention",
    {"weight": 12, "score": 3},
    {"positions": (5, 65536), "channels": (2, 65536), "asking": (4, 65536), "wide": (3, 65536)},
)
COUNT = ("", {}, {"count": (4, 2**24)})
# Name of a kernel, whether a form comes first, its record, its arrays, and what number of them is out of its range
KERNELS: dict[
    str, tuple[bool, tuple[str, dict[str, int], dict[str, Any]], dict[str, int], tuple[str, float] | None]
] = {
    "uvlm_tables_f32": (False, ("", {}, {}), {"powers": 16, "logs": 17, "inverses": 17}, None),
    "uvlm_exp_f32_lut": (False, COUNT, {"x": 4, "y": 4}, ("x", 1.0)),
    "uvlm_exp_f32_lut_as": (True, COUNT, {"x": 4, "y": 4}, ("x", math.nan)),
    "uvlm_exp_f32_poly": (False, COUNT, {"x": 4, "y": 4}, ("x", math.nan)),
    "uvlm_exp_f32_poly_as": (True, COUNT, {"x": 4, "y": 4}, ("x", 1.0)),
    "uvlm_sigmoid_f32_lut": (False, COUNT, {"x": 4, "y": 4}, ("x", math.nan)),
    "uvlm_softplus_f32_lut": (False, COUNT, {"x": 4, "y": 4}, ("x", math.nan)),
    "uvlm_ssm_check_f32": (False, SSM, {}, ("A", 1.0)),
    "uvlm_ssm_step_f32": (False, SSM, STEP, ("delta", -1.0)),
    "uvlm_ssm_step_f32_lut": (False, SSM, STEP, ("delta", math.nan)),
    "uvlm_ssm_step_f32_lut_as": (True, SSM, STEP, ("delta", -1.0)),
    "uvlm_ssm_step_f32_poly": (False, SSM, STEP, ("delta", math.nan)),
    "uvlm_ssm_step_f32_poly_as": (True, SSM, STEP, ("delta", -1.0)),
    "uvlm_ssm_scan_f32": (False, SSM, SCAN, ("delta", -1.0)),
    "uvlm_ssm_scan_f32_lut": (False, SSM, SCAN, ("delta", -1.0)),
    "uvlm_ssm_scan_f32_lut_as": (True, SSM, SCAN, ("delta", math.nan)),
    "uvlm_ssm_scan_f32_poly": (False, SSM, SCAN, ("delta", math.nan)),
    "uvlm_ssm_scan_f32_poly_as": (True, SSM, SCAN, ("delta", -1.0)),
    "uvlm_layer_norm_f32": (False, NORM, {"x": 3, "y": 3}, ("epsilon", 0.0)),
    "uvlm_grn_f32": (False, MAP, {"x": 12, "y": 12, "scratch": 3}, None),
    "uvlm_lstm_step_f32": (False, CELL, {"x": 2, "h": 3, "c": 3, "scratch": 12}, None),
    "uvlm_bahdanau_f32": (
        False,
        LOOK,
        {"x": 10, "keys": 15, "query": 4, "y": 2, "share": 5, "scratch": 3},
        None,
    ),
}


class Raw:
    """A call of a kernel with everything right, in which single things can be made wrong."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.formed, (self.record, fields, sizes), arrays, self.outside = KERNELS[name]
        self.fields = {key: FFI.new("float[]", [-0.5] * size) for key, size in fields.items()}
        kind = {"scratch": "double[]"} if name == "uvlm_grn_f32" else {}
        self.arrays = {key: FFI.new(kind.get(key, "float[]"), size) for key, size in arrays.items()}
        self.sizes, self.most = ({key: pair[k] for key, pair in sizes.items()} for k in (0, 1))
        self.numbers = {"epsilon": 1e-5} if name == "uvlm_layer_norm_f32" else {}
        if "scan" in name:
            self.sizes["steps"], self.most["steps"] = 2, 65536

    def __call__(self, form: int = 0, record: bool = True, **wrong: Any) -> int:
        """The status, with some arrays, fields or sizes exchanged."""
        assert set(wrong) <= {*self.fields, *self.arrays, *self.sizes, *self.numbers}
        part = {key: wrong.get(key, value) for key, value in (self.fields | self.sizes | self.numbers).items()}
        arguments: list[Any] = [form] if self.formed else []
        if self.record:
            self.held = FFI.new(f"{self.record} *", {k: v for k, v in part.items() if k not in ("steps", "count")})
            arguments.append(self.held if record else FFI.NULL)
        arguments += [part["steps"]] if "steps" in part else []
        arguments += [wrong.get(key, value) for key, value in self.arrays.items()]
        arguments += [part["count"]] if "count" in part else []
        return int(getattr(LIB, self.name)(*arguments))

    def bytes(self) -> list[bytes]:
        """All that a kernel could have written to."""
        return [bytes(FFI.buffer(x)) for x in (self.fields | self.arrays).values()]


@pytest.mark.parametrize("name", KERNELS)
def test_c_refuses_with_a_status(name: str) -> None:
    """NULL in each place, each size at 0, below and above, a number out of range, a form that there is not."""
    call = Raw(name)
    before = call.bytes()
    for key in call.fields | call.arrays:
        assert call(**{key: FFI.NULL}) == LIB.UVLM_NULL, key
    if call.record:
        assert call(record=False) == LIB.UVLM_NULL
    for key, most in call.most.items():
        for size in (0, -1, -(2**31), most + 1, 2**31 - 1):
            assert call(**{key: size}) == LIB.UVLM_SIZE, (key, size)
    if call.outside:
        key, number = call.outside
        if key in call.numbers:
            assert call(**{key: number}) == call(**{key: math.nan}) == LIB.UVLM_RANGE
        else:
            held = (call.fields | call.arrays)[key]
            for place in range(len(held)):  # the last one counts as well
                kept, held[place] = held[place], number
                assert call() == LIB.UVLM_RANGE, place
                if "steps" in call.sizes:  # with no step there is no number to look at
                    assert call(steps=0) == call(steps=-1) == LIB.UVLM_SIZE
                held[place] = kept
    if call.formed:
        absent = [number for number, form in enumerate(FORMS) if form not in HERE]
        assert {call(form) for form in (*absent, -1, 99)} == {LIB.UVLM_FORM}
    assert call.bytes() == before
    assert call() == LIB.UVLM_OK


def test_every_kernel_of_the_header_is_asked() -> None:
    """None is missing in the table above."""
    declared = {name for name in dir(LIB) if name.startswith("uvlm_") and "_f32" in name}
    assert declared == set(KERNELS)


def test_the_best_form_is_the_one_that_is_taken() -> None:
    """Without a form: to the bit what the form gives that uvlm_form names."""
    recurrence, _, (delta, u, b, c, h) = ssm_case(3, 9, 19)
    best = FORMS[LIB.uvlm_form()]
    for way in ("table", "polynomial"):
        one, other = h.copy(), h.copy()
        y = recurrence.step(delta[0], u[0], b[0], c[0], one, way)
        assert np.array_equal(y, recurrence.step(delta[0], u[0], b[0], c[0], other, way, best))
        assert np.array_equal(one, other)
        x = -np.abs(u)
        assert np.array_equal(f32.exp(x, way), f32.exp(x, way, best))
