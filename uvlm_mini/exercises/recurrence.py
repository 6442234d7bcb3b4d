"""Checkers for the exercises of chapter 4: half-lives, a scan without a loop, a break-even, errors that die.

print(check_step_size(my_step_size))
print(check_scan(my_scan))
print(check_heavier(my_heavier_from))
print(check_grown(my_grown))
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..baselines.mamba import MambaBlock
from ..ssm import scan
from . import Verdict
from .attempt import Hint, expect_array, expect_close, expect_function, judged


@judged()
def check_step_size(step_size: Callable[[float, int], float]) -> Verdict:
    """Judge a function that says which step size halves a state in so many steps without input.

    Parameters
    ----------
    step_size : from the rate, positive, and the number of steps to the step size.

    Notes
    -----
    Source: chapter 4, exercise 1. The recurrence itself is run with the answer.
    """
    expect_function(step_size, "rate, steps")
    for rate, steps in ((1, 10), (1, 1), (2, 10), (16, 3), (4, 250)):
        found = float(expect_array(step_size(rate, steps), (), f"the step size for rate {rate} and {steps} steps"))
        decay = torch.full((1, steps, 1, 1), math.exp(-found * rate), dtype=torch.float64)
        left = scan(decay, torch.zeros_like(decay), torch.ones(1, 1, 1, dtype=torch.float64))[0, -1].item()
        if abs(left - 0.5) < 1e-4:
            continue
        what = f"a state of rate {rate} keeps {left:.3g} of what it had after {steps} steps of {found:.4g}"
        if math.isclose(left, math.exp(-1), rel_tol=1e-6):
            raise Hint(f"{what}: that is 1/e, the time constant, and one half is wanted.")
        if math.isclose(found, 0.5 / (rate * steps), rel_tol=1e-6):
            raise Hint(f"{what}: one half of a straight line, but the state decays by a factor at every step.")
        if rate > 1 and math.isclose(found, math.log(2) / steps, rel_tol=1e-6):
            raise Hint(f"{what}: right for rate 1, and a state of rate {rate} decays {rate} times as fast.")
        if rate > 1 and math.isclose(found, math.log(2) * rate / steps, rel_tol=1e-6):
            raise Hint(f"{what}: a faster rate needs a smaller step size, not a larger one.")
        if math.isclose(found, -math.log(2) / (rate * steps), rel_tol=1e-6):
            raise Hint(f"{what}: it grows, since a step size is positive and the rate's sign is in A already.")
        raise Hint(f"{what}, and not one half.")
    return Verdict(True, "five states of rates 1 to 16 are halved after as many steps as asked.")


class _Calls(TorchFunctionMode):
    """Counts what is asked of PyTorch."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


@judged()
def check_scan(scan_at_once: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Verdict:
    """Judge a scan that has no loop over the steps.

    Parameters
    ----------
    scan_at_once : as `uvlm_mini.ssm.scan`: (B, T, I, N) decays and writes and the (B, I, N) state before them to all
        states, (B, T, I, N). Decays are near 1 here, so that a product of all of them is no small number.

    Notes
    -----
    Source: chapter 4, exercise 2. A loop is recognised by the calls to PyTorch, which grow with the steps.
    """
    expect_function(scan_at_once, "decay, write, h")
    dice = torch.Generator().manual_seed(4)
    calls = {}
    for batch, steps, inner, states in ((1, 1, 1, 1), (1, 12, 1, 1), (2, 8, 3, 4), (2, 64, 3, 4)):
        shape = batch, steps, inner, states
        decay = 0.9 + 0.1 * torch.rand(shape, generator=dice, dtype=torch.float64)
        write = torch.randn(shape, generator=dice, dtype=torch.float64)
        h = torch.randn(batch, inner, states, generator=dice, dtype=torch.float64)
        given = [decay.clone(), write.clone(), h.clone()]
        with _Calls() as counter:
            found = scan_at_once(*given)
        calls[steps] = counter.count
        if not all(torch.equal(a, b) for a, b in zip(given, (decay, write, h), strict=True)):
            raise Hint("it changes the tensors that it is given; make new ones.")
        states_ = torch.as_tensor(expect_array(found, shape, f"what it gives for {steps} steps"))
        _explain_scan(states_, decay, write, h)
        expect_close(states_, scan(decay, write, h), f"the states of {steps} steps", rtol=1e-6, atol=1e-6)
    if calls[64] > 3 * calls[8]:
        raise Hint(f"the states are right; but it asks PyTorch {calls[8]} times for 8 steps and {calls[64]} for 64, so "
                   "there is a loop in it: cumprod and cumsum know all steps at once.")  # fmt: skip
    return Verdict(True, "the states of 1 to 64 steps are those of the loop, and no loop made them.")


def _explain_scan(found: Tensor, decay: Tensor, write: Tensor, h: Tensor) -> None:
    """Raise a Hint if the states are what a known mistake gives."""
    if torch.allclose(found, scan(decay, write, h)):
        return
    p = decay.cumprod(1)
    known = {
        "as if the state before the first step were 0": scan(decay, write, torch.zeros_like(h)),
        "as if the state before the first step did not decay": p * (write / p).cumsum(1) + h[:, None],
        "as if no decay touched what was written": p * h[:, None] + write.cumsum(1),
        "the sum of w / P alone, which P has still to multiply": h[:, None] + (write / p).cumsum(1),
    }
    for what, states in known.items():
        if torch.allclose(found, states):
            raise Hint(f"the states are {what}; put h into the solution's formula and run one step by hand.")


def _weight(H: int, N: int) -> tuple[int, int]:
    """Weights of a Mamba block and of an LSTM cell of width H."""
    with torch.device("meta"):
        made = MambaBlock(H, 2, N), nn.LSTMCell(H, H)
    block, cell = (sum(p.numel() for p in m.parameters()) for m in made)
    return block, cell


@judged()
def check_heavier(heavier_from: Callable[[int], int]) -> Verdict:
    """Judge a function that says from how many states on a Mamba block is heavier than an LSTM of its width.

    Parameters
    ----------
    heavier_from : from H, a multiple of 16, to the smallest N; r = 2 and R = H / 16.

    Notes
    -----
    Source: chapter 4, exercise 3. Compared with the modules.
    """
    expect_function(heavier_from, "H")
    for H in (160, 32, 64, 256, 320, 512):
        value = expect_array(heavier_from(H), (), f"the N for H = {H}")
        n = int(value)
        if n != value:
            raise Hint(f"for H = {H} it gives {float(value):.6g}, and N is a whole number of states.")
        if n < 1:
            raise Hint(f"for H = {H} it gives N = {n}, and a block needs a state at least.")
        block, cell = _weight(H, n)
        below, _ = _weight(H, n - 1)
        if block > cell >= below:
            continue
        what = f"for H = {H} it gives N = {n}, where the block has {block:,} weights and the LSTM {cell:,}"
        if block > cell:
            raise Hint(f"{what}; but with one state less the block is heavier already.")
        if _weight(H, n + 1)[0] > cell:
            raise Hint(f"{what}; one state more is wanted: look at the rounding, and at two equal weights.")
        raise Hint(f"{what}; that is not heavier yet: see that your count has every term of `differences`.")
    return Verdict(True, "at six widths the block is heavier from this N on, and not before.")


@judged()
def check_grown(grown: Callable[[float, float], float]) -> Verdict:
    """Judge a function that says what a state makes of an error that every step adds to it.

    Parameters
    ----------
    grown : from the step size and the rate to how many times the error of one step the state is off in the end.

    Notes
    -----
    Source: chapter 4, exercise 4. Compared with the recurrence, run until it rests.
    """
    expect_function(grown, "delta, rate")
    for delta, rate in ((0.001, 16), (0.001, 1), (0.05, 2), (0.1, 16)):
        found = float(expect_array(grown(delta, rate), (), f"the answer for a step size of {delta:g} and rate {rate}"))
        z = delta * rate
        decay = torch.full((1, math.ceil(25 / z), 1, 1), math.exp(-z), dtype=torch.float64)
        wanted = scan(decay, torch.ones_like(decay), decay.new_zeros(1, 1, 1))[0, -1].item()
        if math.isclose(found, wanted, rel_tol=1e-6):
            continue
        what = f"a step size of {delta:g} and rate {rate} are said to give {found:.6g} times the error"
        known = {
            1 / z: "which is right for tiny steps only, and the decay is exact: sum the geometric series",
            1 / delta: "which does not depend on the rate; the state decays by exp(-step size x rate)",
            1 / -math.expm1(-delta): "which does not depend on the rate; the state decays by exp(-step size x rate)",
            math.exp(-z) / -math.expm1(-z): "so the newest error is missing, which has not decayed yet",
            -math.expm1(-z): "which is the other way up: a slow decay lets much come together",
        }
        for value, why in known.items():
            if math.isclose(found, value, rel_tol=1e-6):
                raise Hint(f"{what}, {why}.")
        raise Hint(f"{what}, and the recurrence comes to rest at {wanted:.6g}.")
    return Verdict(True, "the recurrence comes to rest there, for four pairs of step size and rate.")
