"""The whole Mamba block: in NumPy, step by step, and counted."""

import numpy as np
import pytest
import torch
from torch.func import functional_call

from uvlm_mini.baselines.mamba import MambaBlock


def sigmoid(x: np.ndarray) -> np.ndarray:
    """The logistic function."""
    return 1 / (1 + np.exp(-x))


def by_hand(block: MambaBlock, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One sequence (T, H) in float64, with a loop over time, channels, taps and states."""
    own = {name: p.detach().double().numpy() for name, p in block.named_parameters()}
    inner, n, rank, taps = block.inner, block.states, block.rank, block.kernel
    h = np.zeros((inner, n))
    both = x @ own["in_proj.weight"].T
    seen, outputs = both[:, :inner], []
    for t in range(len(x)):
        conv = own["conv.bias"].copy()
        for i in range(inner):
            for k in range(taps):
                if t - k >= 0:
                    conv[i] += own["conv.weight"][i, 0, taps - 1 - k] * seen[t - k, i]
        u = conv * sigmoid(conv)
        rows = own["x_proj.weight"] @ u
        dt, b, c = rows[:rank], rows[rank : rank + n], rows[rank + n :]
        delta = np.log1p(np.exp(own["dt_proj.weight"] @ dt + own["dt_proj.bias"]))
        y = own["D"] * u
        for i in range(inner):
            for k in range(n):
                h[i, k] = np.exp(-delta[i] * np.exp(own["A_log"][i, k])) * h[i, k] + delta[i] * b[k] * u[i]
                y[i] += c[k] * h[i, k]
        z = both[t, inner:]
        outputs.append(own["out_proj.weight"] @ (y * z * sigmoid(z)))
    return np.array(outputs), h


@pytest.mark.parametrize(
    ("hidden", "expand", "states", "rank", "kernel"), [(8, 2, 4, None, 4), (6, 1, 1, 3, 2), (5, 3, 2, 1, 6)]
)
def test_it_is_its_definition(hidden, expand, states, rank, kernel):
    """Against loops in NumPy: as it starts in float32, with weights of any kind in float64."""
    block = MambaBlock(hidden, expand, states, rank, kernel)
    x = 2 * torch.randn(2, 11, hidden)
    for within in (1e-5, 1e-10):
        y, state = block(x)
        for b in range(2):
            expected, last = by_hand(block, x[b].double().numpy())
            np.testing.assert_allclose(y[b].detach().numpy(), expected, rtol=within, atol=within)
            np.testing.assert_allclose(state.h[b].detach().numpy(), last, rtol=within, atol=within)
        block, x = block.double(), x.double()
        for weight in (block.D, block.A_log, block.dt_proj.bias, block.conv.bias):
            torch.nn.init.normal_(weight)


@pytest.mark.parametrize("kernel", [2, 4])
def test_forward_is_step_by_step(kernel):
    """A whole sequence, the same word by word, and in two parts with the state handed over; one word is a sequence."""
    block = MambaBlock(8, 2, 4, kernel=kernel).double()
    x = torch.randn(3, 9, 8).double()
    whole, last = block(x)
    state = block.start(3)
    for t in range(9):
        y, state = block.step(x[:, t], state)
        torch.testing.assert_close(y, whole[:, t], rtol=1e-10, atol=1e-12)
    for one, other in zip(state, last, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
    for cut in (1, 4, 8):
        first, middle = block(x[:, :cut])
        second, end = block(x[:, cut:], middle)
        torch.testing.assert_close(torch.cat([first, second], 1), whole, rtol=1e-10, atol=1e-12)
        for one, other in zip(end, last, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_it_does_not_look_ahead():
    """Another future leaves the outputs as they are; another past does not."""
    block = MambaBlock(6, 2, 4).double()
    x = torch.randn(1, 8, 6).double()
    later, earlier = x.clone(), x.clone()
    later[:, 5:] += 1
    earlier[:, 0] += 1
    whole = block(x)[0]
    torch.testing.assert_close(block(later)[0][:, :5], whole[:, :5])
    assert ((block(earlier)[0] - whole).abs().amax(-1) > 0).all()


def test_gradients_are_those_of_finite_differences():
    """Of input, both states and every parameter, in float64."""
    block = MambaBlock(3, 2, 2, 1, 3).double()
    names, values = zip(*block.named_parameters(), strict=True)

    def run(x, past, h, *parameters):
        y, state = functional_call(block, dict(zip(names, parameters, strict=True)), (x, (past, h)))
        return y, *state

    x, past, h = (
        torch.randn(shape).double().requires_grad_() for shape in ((2, 3, 3), (2, block.inner, 2), (2, block.inner, 2))
    )
    assert torch.autograd.gradcheck(run, (x, past, h, *values))


@pytest.mark.parametrize(
    ("hidden", "states", "rank", "total"), [(512, 16, 32, 1_694_720), (256, 16, 16, 437_760), (160, 16, 10, None)]
)
def test_parameters_are_counted_by_hand(hidden, states, rank, total):
    """3 r H^2 + I (3 N + 2 R + K + 3); the published sizes to the digit."""
    inner = 2 * hidden
    expected = 3 * inner * hidden + inner * (3 * states + 2 * rank + 4 + 3)
    found = sum(p.numel() for p in MambaBlock(hidden, 2, states, rank).parameters())
    assert found == expected
    assert total is None or found == total


def test_a_kernel_without_past_is_refused():
    """One tap is no convolution over time."""
    with pytest.raises(ValueError, match="sees no past"):
        MambaBlock(8, kernel=1)
