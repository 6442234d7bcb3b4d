"""GSM and GCDM compute what their formulas say, position by position."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from uvlm_mini.modulation import GCDM, GSM, SignalGenerator, adapt


def hard_swish(v: float) -> float:
    """x relu6(x + 3) / 6, of one number."""
    return v * min(max(v + 3, 0), 6) / 6


# ----------------------------------------------------------------------------------------------------------------
# Adaptive pooling


@settings(deadline=None)
@given(st.integers(1, 24), st.integers(1, 24))
def test_adapt_is_adaptive_pooling_where_one_side_divides_the_other(h, side):
    """Equal to PyTorch's adaptive_avg_pool2d there; elsewhere refused, with both sides named."""
    x = torch.randn(2, 3, h, h, dtype=torch.float64)
    if h % side and side % h:
        with pytest.raises(ValueError, match=f"side {h} cannot be pooled or enlarged to {side}"):
            adapt(x, side)
    else:
        torch.testing.assert_close(adapt(x, side), F.adaptive_avg_pool2d(x, side), rtol=1e-12, atol=1e-12)


# ----------------------------------------------------------------------------------------------------------------
# GSM


def gsm_by_hand(gsm: GSM, x: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """x + hswish(W pool(prior) + b), each output position from the block of the prior that it lies over."""
    weight = gsm.signal.point.weight.detach().numpy()[:, :, 0, 0]  # (C, P)
    bias = gsm.signal.point.bias.detach().numpy()
    side, h = x.shape[-1], prior.shape[-1]
    result = x.copy()
    for b in range(len(x)):
        for i in range(side):
            for j in range(side):
                rows = slice(i * h // side, max(i * h // side + 1, (i + 1) * h // side))
                columns = slice(j * h // side, max(j * h // side + 1, (j + 1) * h // side))
                seen = prior[b, :, rows, columns].mean(axis=(1, 2))  # (P,)
                result[b, :, i, j] += [hard_swish(v) for v in weight @ seen + bias]
    return result


@pytest.mark.parametrize(("side", "h"), [(8, 4), (4, 8), (6, 6), (6, 2), (4, 1), (3, 12)])
def test_gsm_is_its_formula(side, h):
    """Against NumPy, with a smaller, a larger and an equal prior."""
    gsm = GSM(5, 3).double()
    x, prior = torch.randn(2, 3, side, side).double(), 3 * torch.randn(2, 5, h, h).double()
    expected = gsm_by_hand(gsm, x.numpy(), prior.numpy())
    np.testing.assert_allclose(gsm(x, prior).detach().numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(("h", "side"), [(2, 8), (4, 8), (8, 8), (8, 4), (8, 2)])
def test_working_on_the_smaller_map_changes_nothing(h, side):
    """Enlarging or pooling first, and the pointwise convolution then, gives the same bias map."""
    signal = SignalGenerator(5, 3).double()
    prior = 3 * torch.randn(2, 5, h, h).double()
    first = F.hardswish(signal.point(adapt(prior, side)))
    torch.testing.assert_close(signal(prior, side), first, rtol=1e-12, atol=1e-12)
    linear = F.hardswish(adapt(signal.point(prior), side))
    torch.testing.assert_close(signal(prior, side), linear, rtol=1e-12, atol=1e-12)


def test_the_bias_is_not_bounded():
    """Ten times the prior gives about ten times the bias: no sigmoid stands at the end."""
    signal = SignalGenerator(5, 3)
    prior = 30 * torch.rand(1, 5, 4, 4)
    one, ten = (signal(times * prior, 4).max().item() for times in (1, 10))
    assert one > 3
    assert 8 < ten / one < 12


# ----------------------------------------------------------------------------------------------------------------
# GCDM


def gcdm_by_hand(gcdm: GCDM, x: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Bias map, mean and maximum, gate of one picture, with a loop over positions."""
    own = {name: p.detach().numpy() for name, p in gcdm.named_parameters()}
    channels, side = x.shape[0], x.shape[-1]
    steer = own["signal_q.weight"] @ q
    bias = np.zeros((side, side))
    for i in range(side):
        for j in range(side):
            signal = own["signal_x.weight"][:, :, 0, 0] @ x[:, i, j] + own["signal_x.bias"] + steer
            bias[i, j] = sum(own["point.weight"][0, c, 0, 0] * hard_swish(signal[c]) for c in range(channels))
    logit = own["gate_x.weight"] @ [x[c].mean() for c in range(channels)] + own["gate_x.bias"]
    gate = [1 / (1 + math.exp(-v)) for v in logit + own["gate_q.weight"] @ q]
    mean = [gate[c] * np.mean([hard_swish(v) for v in (x[c] + bias).flat]) for c in range(channels)]
    most = [gate[c] * ((x[c] + bias).max() - bias.max()) for c in range(channels)]
    return np.array(mean + most)


def test_gcdm_is_its_formula():
    """Against NumPy: what `prepare` computes once a picture and what a step adds make up the formula."""
    gcdm = GCDM(6, 4).double()
    x, q = 2 * torch.randn(3, 4, 5, 5).double(), 2 * torch.randn(3, 6).double()
    found = gcdm(x, gcdm.prepare(x), q).detach().numpy()
    for b in range(3):
        np.testing.assert_allclose(found[b], gcdm_by_hand(gcdm, x[b].numpy(), q[b].numpy()), atol=1e-12)


def test_the_joined_prior_falls_apart():
    """A pointwise convolution of q joined with x equals W_q q + W_x x: nothing is lost by preparing W_x x."""
    gcdm = GCDM(6, 4).double()
    x, q = torch.randn(3, 4, 5, 5).double(), torch.randn(3, 6).double()
    joined = torch.cat([x, q[:, :, None, None].expand(-1, -1, 5, 5)], 1)
    weight = torch.cat([gcdm.signal_x.weight, gcdm.signal_q.weight[:, :, None, None]], 1)
    whole = F.conv2d(F.hardswish(F.conv2d(joined, weight, gcdm.signal_x.bias)), gcdm.point.weight)
    torch.testing.assert_close(gcdm.bias(gcdm.prepare(x)[0], q), whole, rtol=1e-12, atol=1e-12)


def test_a_bias_before_a_linear_pooling_cannot_attend():
    """Wherever the bias map points, a mean over x + bias is the same; GCDM's pooling tells the places apart."""
    gcdm = GCDM(6, 4).double()
    x, q = 2 * torch.randn(1, 4, 8, 8).double(), torch.randn(1, 6).double()
    signal, gate = gcdm.prepare(x)
    elsewhere = signal.flip(2, 3)
    here, there = (x + gcdm.bias(s, q) for s in (signal, elsewhere))
    assert (here - there).abs().max() > 0.5
    torch.testing.assert_close(here.mean((2, 3)), there.mean((2, 3)), rtol=1e-12, atol=1e-12)
    difference = gcdm(x, (signal, gate), q) - gcdm(x, (elsewhere, gate), q)
    assert difference[:, :4].abs().max() > 0.01  # the mean over positions
    assert difference[:, 4:].abs().max() > 0.01  # and the maximum


def test_a_steep_bias_map_chooses_one_position():
    """Where the map is steep, the maximum gives the features of its highest position, however high that is; softmax
    attention over the same map tends to the same."""
    gcdm = GCDM(6, 4).double()
    x, q = torch.randn(2, 4, 5, 5).double(), torch.randn(2, 6).double()
    gcdm.point.weight.data *= 1e4
    signal, gate = gcdm.prepare(x)
    bias = gcdm.bias(signal, q)
    place = bias.flatten(2).argmax(2)  # (B, 1)
    chosen = x.flatten(2).gather(2, place[:, None].expand(-1, 4, -1))[..., 0]
    most = gcdm(x, (signal, gate), q)[:, 4:] / torch.sigmoid(gate + gcdm.gate_q(q))
    torch.testing.assert_close(most, chosen, rtol=0, atol=1e-9)
    attended = torch.einsum("bl,bcl->bc", bias.flatten(1).softmax(1), x.flatten(2))
    torch.testing.assert_close(attended, chosen, rtol=0, atol=1e-9)


def test_a_constant_in_the_bias_does_not_reach_the_maximum():
    """What lifts all positions alike chooses none: it cancels."""
    gcdm = GCDM(6, 4).double()
    x, q = torch.randn(2, 4, 5, 5).double(), torch.randn(2, 6).double()
    before = gcdm(x, gcdm.prepare(x), q)[:, 4:]
    plain = gcdm.bias
    gcdm.bias = lambda signal, q: plain(signal, q) + 7.0  # type: ignore[method-assign]
    torch.testing.assert_close(gcdm(x, gcdm.prepare(x), q)[:, 4:], before, rtol=1e-12, atol=1e-12)
