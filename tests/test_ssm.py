"""The selective SSM: one recurrence, written three ways."""

import numpy as np
import pytest
import torch
from torch.func import functional_call

from uvlm_mini.ssm import SelectiveSSM, discretise, scan
from uvlm_mini.train.shared import decay_groups


def by_hand(ssm: SelectiveSSM, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One sequence (T, H) in float64, with a loop over time, channels and states."""
    own = {name: p.detach().double().numpy() for name, p in ssm.named_parameters()}
    inner, n, rank = ssm.inner, ssm.states, ssm.rank
    h = np.zeros((inner, n))
    outputs = []
    for x_t in x:
        u = own["in_proj.weight"] @ x_t
        rows = own["x_proj.weight"] @ u
        dt, b, c = rows[:rank], rows[rank : rank + n], rows[rank + n :]
        delta = np.log1p(np.exp(own["dt_proj.weight"] @ dt + own["dt_proj.bias"]))
        y = np.zeros(inner)
        for i in range(inner):
            for k in range(n):
                h[i, k] = np.exp(-delta[i] * np.exp(own["A_log"][i, k])) * h[i, k] + delta[i] * b[k] * u[i]
            y[i] = sum(c[k] * h[i, k] for k in range(n)) + own["D"][i] * u[i]
        outputs.append(own["out_proj.weight"] @ y)
    return np.array(outputs), h


def test_forward_is_step_by_step():
    """A whole sequence, the same word by word, and the same in two halves with the state handed over."""
    ssm = SelectiveSSM(8, 2, 4)
    x = torch.randn(3, 12, 8)
    whole, last = ssm(x)
    h = ssm.start(3)
    for t in range(12):
        y, h = ssm.step(x[:, t], h)
        torch.testing.assert_close(y, whole[:, t], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(h, last, rtol=1e-6, atol=1e-6)
    first, middle = ssm(x[:, :5])
    second, end = ssm(x[:, 5:], middle)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(end, last, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("hidden", "expand", "states", "rank"), [(8, 2, 4, None), (6, 1, 1, 3), (20, 2, 16, 2)])
def test_it_is_the_recurrence_of_its_definition(hidden, expand, states, rank):
    """Against loops in NumPy, output and last state: as it starts in float32, with weights of any kind in float64."""
    ssm = SelectiveSSM(hidden, expand, states, rank)
    x = 2 * torch.randn(2, 15, hidden)
    for within in (1e-5, 1e-10):
        y, h = ssm(x)
        for b in range(2):
            expected, state = by_hand(ssm, x[b].double().numpy())
            np.testing.assert_allclose(y[b].detach().numpy(), expected, rtol=within, atol=within)
            np.testing.assert_allclose(h[b].detach().numpy(), state, rtol=within, atol=within)
        ssm, x = ssm.double(), x.double()
        for weight in (ssm.D, ssm.A_log, ssm.dt_proj.bias):  # else D is 1, and every channel decays alike
            torch.nn.init.normal_(weight)


def test_constant_input_has_a_closed_form():
    """With h_1 = b and decay a, h_t = (1 - a^t) / (1 - a) b: a geometric series."""
    ssm = SelectiveSSM(6, 2, 4).double()
    x = torch.randn(1, 6).double()
    u = ssm.in_proj(x)
    dt = ssm.x_proj(u)[:, : ssm.rank]
    a = torch.exp(torch.nn.functional.softplus(ssm.dt_proj(dt))[..., None] * -torch.exp(ssm.A_log))
    _, b = ssm.step(x, ssm.start(1))
    h = ssm.start(1)
    for t in range(1, 60):
        _, h = ssm.step(x, h)
        torch.testing.assert_close(h, (1 - a**t) / (1 - a) * b, rtol=1e-9, atol=1e-12)


def test_without_input_the_state_only_decays():
    """Zero input leaves Delta = softplus(bias): h_t = exp(-t Delta k) h_0 for the k-th state."""
    ssm = SelectiveSSM(6, 2, 4).double()
    h0 = torch.randn(1, ssm.inner, 4).double()
    _, h = ssm(torch.zeros(1, 7, 6).double(), h0)
    delta = torch.log1p(torch.exp(ssm.dt_proj.bias))[:, None]
    torch.testing.assert_close(h[0], torch.exp(-7 * delta * torch.arange(1.0, 5).double()) * h0[0])


def test_step_sizes_start_between_their_bounds():
    """softplus(bias) fills 0.001 to 0.1 evenly by its logarithm: a third of it lies in every third."""
    ssm = SelectiveSSM(600, 2, 4)
    dt = torch.nn.functional.softplus(ssm.dt_proj.bias.double())
    assert dt.min() >= 0.999e-3 and dt.max() <= 1.001e-1
    share = torch.histc(torch.log10(dt), 3, -3, -1) / len(dt)
    assert (share - 1 / 3).abs().max() < 0.06


def test_decay_rates_start_as_minus_one_to_minus_n():
    """In every channel the same."""
    ssm = SelectiveSSM(4, 2, 16)
    rates = -torch.exp(ssm.A_log)
    torch.testing.assert_close(rates, -torch.arange(1.0, 17).expand(8, 16), rtol=1e-6, atol=0)


@torch.inference_mode()
def test_twenty_thousand_steps_do_not_drift():
    """Under constant input the float32 state stands at its fixed point b / (1 - a) and stays there."""
    ssm = SelectiveSSM(4, 2, 4)
    x = torch.randn(2, 4)
    h = ssm.start(2)
    at = {}
    for t in range(1, 20_001):
        y, h = ssm.step(x, h)
        if t in (15_000, 20_000):
            at[t] = y
    _, b = ssm.step(x, ssm.start(2))
    _, second = ssm.step(x, b)
    a = (second - b).double() / b.double()
    assert h.isfinite().all()
    torch.testing.assert_close(h.double(), b / (1 - a), rtol=5e-3, atol=1e-5)
    torch.testing.assert_close(at[20_000], at[15_000], rtol=1e-6, atol=1e-7)


def test_gradients_are_those_of_finite_differences():
    """Of input, state and every parameter, in float64."""
    ssm = SelectiveSSM(3, 2, 2, 1).double()
    names, values = zip(*ssm.named_parameters(), strict=True)

    def run(x, h, *parameters):
        return functional_call(ssm, dict(zip(names, parameters, strict=True)), (x, h))

    x = torch.randn(2, 3, 3).double().requires_grad_()
    h = torch.randn(2, ssm.inner, 2).double().requires_grad_()
    assert torch.autograd.gradcheck(run, (x, h, *values))


@pytest.mark.parametrize(("hidden", "expand", "states", "rank"), [(160, 2, 16, 10), (64, 2, 8, 4)])
def test_parameters_are_counted_by_hand(hidden, expand, states, rank):
    """in and out 2 r H^2, x_proj r H (R + 2N), dt_proj r H (R + 1), A r H N, D r H."""
    inner = expand * hidden
    expected = 2 * inner * hidden + inner * (rank + 2 * states) + inner * (rank + 1) + inner * states + inner
    assert sum(p.numel() for p in SelectiveSSM(hidden, expand, states, rank).parameters()) == expected


@pytest.mark.parametrize("within", [torch.float32, torch.float64])
def test_a_block_is_the_steps_one_after_the_other(within):
    """Coefficients of all steps at once, then `scan`, give the states and outputs of `step`."""
    ssm = SelectiveSSM(10, 2, 4, 3).to(within)
    torch.nn.init.normal_(ssm.A_log)
    x = torch.randn(2, 9, 10, dtype=within)
    u = ssm.in_proj(x)
    dt, b, c = ssm.x_proj(u).split([3, 4, 4], -1)
    decay, write = discretise(torch.nn.functional.softplus(ssm.dt_proj(dt)), ssm.A_log, b, u)
    h0 = torch.randn(2, 20, 4, dtype=within)
    states = scan(decay, write, h0)
    y = ssm.out_proj(torch.einsum("btin,btn->bti", states, c) + ssm.D * u)
    whole, last = ssm(x, h0)
    torch.testing.assert_close(states[:, -1], last)
    torch.testing.assert_close(y, whole)


def test_what_starts_the_memory_is_not_decayed():
    """Weight decay pulls at the projections alone: not at A_log, D and the bias that makes the step sizes."""
    ssm = SelectiveSSM(8, 2, 4)
    pulled, free = decay_groups(ssm.named_parameters(), 0.1)
    names = {id(p): name for name, p in ssm.named_parameters()}
    assert pulled["weight_decay"] == 0.1 and free["weight_decay"] == 0
    assert {names[id(p)] for p in free["params"]} == {"A_log", "D", "dt_proj.bias"}
    assert {names[id(p)] for p in pulled["params"]} == {
        f"{part}.weight" for part in ("in_proj", "x_proj", "dt_proj", "out_proj")
    }
