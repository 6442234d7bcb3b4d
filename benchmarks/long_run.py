"""A million steps of the selective SSM in float32, beside the same million in float64.

python -m benchmarks.long_run                  about five minutes

Two cores of the mini size (H = 160, r = 2, N = 16), one as it starts and the trained one of the shipped decoder, take
random inputs between -sqrt(3) and sqrt(3), whose variance of 1 is that of a layer-norm's output. What depends on the
input alone is computed for a block of steps at once; the recurrence goes step by step. Chapter 4 reads the result.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from benchmarks import record
from uvlm_mini.model import UVLM
from uvlm_mini.ssm import SelectiveSSM, discretise, scan

WEIGHTS = "data/uvlm_mini.safetensors"
SOURCES = [WEIGHTS, "benchmarks/long_run.py", "uvlm_mini/ssm.py"]
STEPS, SMALL, BLOCK = 1_000_000, 2_000, 50
CHECKPOINTS = [100, 1_000, 2_000, 10_000, 100_000, 1_000_000]
BOUND = math.sqrt(3)  # of the inputs


class Block(NamedTuple):
    """What a block of T steps makes of its inputs."""

    y: Tensor  # (1, T, H) outputs
    h: Tensor  # (1, T, I, N) states
    write: Tensor  # (1, T, I, N) what was added to the states
    delta: Tensor  # (1, T, I) step sizes


def block(ssm: SelectiveSSM, x: Tensor, h: Tensor) -> Block:
    """T steps from a state: (1, T, H) inputs and (1, I, N) state; as `ssm.step` one after the other."""
    u = ssm.in_proj(x)
    dt, b, c = ssm.x_proj(u).split([ssm.rank, ssm.states, ssm.states], -1)
    delta = F.softplus(ssm.dt_proj(dt))
    decay, write = discretise(delta, ssm.A_log, b, u)
    states = scan(decay, write, h)
    y = ssm.out_proj(torch.einsum("btin,btn->bti", states, c) + ssm.D * u)
    return Block(y, states, write, delta)


def core(name: str) -> SelectiveSSM:
    """The SSM as it starts, or that of the shipped decoder."""
    torch.manual_seed(0)
    return SelectiveSSM(160, 2, 16, 10) if name == "fresh" else UVLM.load(record.ROOT / WEIGHTS).decoder.ssm


@torch.inference_mode()
def drive(name: str, steps: int) -> dict[str, Any]:
    """Both precisions through the same inputs.

    Returns
    -------
    By checkpoint: the largest difference so far of outputs (at every step) and of states (at every 50th), relative to
    the largest number of the same step; the largest |h| of float32 so far, and the largest share of its bound that any
    |h| has reached. The bound of a state is the largest |write / loss| so far, where it would go if one step were
    repeated for ever.
    """
    single, double = core(name).float(), core(name).double()
    dice = torch.Generator().manual_seed(1)
    h32, h64 = single.start(1), double.start(1).double()
    bound = torch.zeros_like(h32[0])
    worst = {"output difference": 0.0, "state difference": 0.0, "largest |h|": 0.0, "share of the bound": 0.0}
    rows: dict[str, Any] = {}
    for end in tqdm(range(BLOCK, steps + 1, BLOCK), desc=name, unit="block"):
        x = (2 * torch.rand(1, BLOCK, 160, generator=dice) - 1) * BOUND
        one, two = block(single, x, h32), block(double, x.double(), h64)
        h32, h64 = one.h[:, -1], two.h[:, -1]
        loss = -torch.expm1(one.delta[..., None] * -torch.exp(single.A_log))  # 1 - exp(Delta A), exact near 0, too
        bound = torch.maximum(bound, (one.write / loss).abs().amax((0, 1)))
        for key, a, b in (
            ("output difference", one.y[0], two.y[0]),
            ("state difference", h32.flatten(1), h64.flatten(1)),
        ):
            off = (a.double() - b).abs().amax(-1) / b.abs().amax(-1)  # of each step
            worst[key] = max(worst[key], float(off.max()))
        reached = one.h.abs().amax((0, 1))
        worst["largest |h|"] = max(worst["largest |h|"], float(reached.max()))
        worst["share of the bound"] = max(worst["share of the bound"], float((reached / bound).max()))
        if not bool(one.h.isfinite().all() and one.y.isfinite().all()):
            raise FloatingPointError(f"The {name} SSM is not finite before step {end}; look at its weights.")
        if end in CHECKPOINTS:
            rows[str(end)] = {key: float(f"{value:.4g}") for key, value in worst.items()}
    return {"checkpoints": rows, "largest bound": float(f"{float(bound.max()):.4g}")}


def small() -> dict[str, Any]:
    """The first steps of both, which the tests compute again."""
    rows = {name: drive(name, SMALL)["checkpoints"][str(SMALL)] for name in ("fresh", "shipped")}
    # rounding errors depend on the machine's order of additions, so of them only the size is kept
    return {
        name: {key: round(math.log10(value)) if "difference" in key else value for key, value in row.items()}
        for name, row in rows.items()
    }


def main() -> None:
    """Drive both SSMs and write the result file."""
    torch.set_num_threads(1)
    rows: dict[str, Any] = {name: drive(name, STEPS) for name in ("fresh", "shipped")}
    rows[f"first {SMALL}"] = small()
    note = "differences of float32 from float64, the largest so far, relative to the largest number of the same step"
    print(record.save("long_run", rows, [0, 1], SOURCES, spread=0.02, note=note))


if __name__ == "__main__":
    main()
