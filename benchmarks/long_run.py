"""A million steps of the selective SSM in float32, beside the same million in float64.

python -m benchmarks.long_run                  about five minutes

Two cores of the mini size (H = 160, r = 2, N = 16), one as it starts and the trained one of the shipped decoder, take
random inputs between -sqrt(3) and sqrt(3), whose variance of 1 is that of a layer-norm's output. What depends on the
input alone is computed for a block of steps at once; the recurrence goes step by step. Chapter 4 reads the result.
"""

from __future__ import annotations

import math
from typing import Any

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


def block(ssm: SelectiveSSM, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """T steps from a state, as `ssm.step` one after the other.

    Parameters
    ----------
    x : (1, T, H) inputs.
    h : (1, I, N) state.

    Returns
    -------
    (1, T, H) outputs and (1, T, I, N) states.
    """
    u = ssm.in_proj(x)
    dt, b, c = ssm.x_proj(u).split([ssm.rank, ssm.states, ssm.states], -1)
    decay, write = discretise(F.softplus(ssm.dt_proj(dt)), ssm.A_log, b, u)
    states = scan(decay, write, h)
    return ssm.out_proj(torch.einsum("btin,btn->bti", states, c) + ssm.D * u), states


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
    the largest number of the same step, and the largest |h| of float32 so far.

    Raises
    ------
    FloatingPointError : a state or an output is not finite.
    """
    single, double = core(name).float(), core(name).double()
    dice = torch.Generator().manual_seed(1)
    h32, h64 = single.start(1), double.start(1).double()
    worst = {"output difference": 0.0, "state difference": 0.0, "largest |h|": 0.0}
    rows: dict[str, Any] = {}
    for end in tqdm(range(BLOCK, steps + 1, BLOCK), desc=name, unit="block"):
        x = (2 * torch.rand(1, BLOCK, 160, generator=dice) - 1) * BOUND
        (y32, states), (y64, others) = block(single, x, h32), block(double, x.double(), h64)
        h32, h64 = states[:, -1], others[:, -1]
        pairs = {"output difference": (y32[0], y64[0]), "state difference": (h32.flatten(1), h64.flatten(1))}
        for key, (a, b) in pairs.items():
            off = (a.double() - b).abs().amax(-1) / b.abs().amax(-1)  # of each step
            worst[key] = max(worst[key], float(off.max()))
        reached = max(-float(states.min()), float(states.max()))  # NaN if there is one among them
        if not math.isfinite(reached) or not bool(y32.isfinite().all()):
            raise FloatingPointError(f"The {name} SSM is not finite before step {end}; look at its weights.")
        worst["largest |h|"] = max(worst["largest |h|"], reached)
        if end in CHECKPOINTS:
            rows[str(end)] = {key: float(f"{value:.4g}") for key, value in worst.items()}
    return rows


def small() -> dict[str, Any]:
    """The first steps of both, which the tests compute again."""
    rows = {name: drive(name, SMALL)[str(SMALL)] for name in ("fresh", "shipped")}
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
