"""Time and memory of one step of a recurrent core, as the caption grows from 1 to 1,024 words.

python -m benchmarks.core_cost                 about two minutes

Four cores of the same width H, for one caption in float32 on one thread: the selective SSM (r = 2, N = 16), the whole
Mamba block around it, PyTorch's LSTMCell, and one layer of causal self-attention that keeps the keys and values of
all words so far. Chapter 4 reads the result.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import record
from uvlm_mini.baselines.mamba import MambaBlock
from uvlm_mini.baselines.transformer import attend
from uvlm_mini.ssm import SelectiveSSM

SOURCES = [
    "benchmarks/core_cost.py",
    "uvlm_mini/baselines/mamba.py",
    "uvlm_mini/baselines/transformer.py",
    "uvlm_mini/ssm.py",
]
WIDTHS = [160, 512]
LENGTHS = [1, 4, 16, 64, 256, 1024]
STATES, HEADS = 16, 4
BYTES = 4  # float32


class CachedAttention(nn.Module):
    """One layer of causal self-attention; its state holds the keys and values of the words so far.

    Room for the whole caption is taken at the start, as on a chip, so that a step copies nothing.
    """

    def __init__(self, hidden: int, heads: int, longest: int) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(hidden, 3 * hidden)
        self.out = nn.Linear(hidden, hidden)
        self.room = torch.zeros(1, 2, longest, hidden)

    def step(self, x: Tensor, t: int) -> Tensor:
        """The word at place t, after those that are in the cache: (1, H) -> (1, H)."""
        q, k, v = self.project(x).chunk(3, 1)
        self.room[:, 0, t], self.room[:, 1, t] = k, v
        return self.out(attend(q, self.room[:, :, : t + 1], self.heads))


def cores(hidden: int) -> dict[str, nn.Module]:
    """The cores of one width, with fixed weights."""
    torch.manual_seed(0)
    return {
        "SSM": SelectiveSSM(hidden, 2, STATES).eval(),
        "Mamba block": MambaBlock(hidden, 2, STATES).eval(),
        "LSTM": nn.LSTMCell(hidden, hidden).eval(),
        "attention": CachedAttention(hidden, HEADS, max(LENGTHS)).eval(),
    }


def calls(hidden: int, length: int) -> dict[str, Callable[[], Any]]:
    """For every core the step that writes word number `length`, from a state of the words before it."""
    made = cores(hidden)
    x = torch.randn(1, hidden)
    ssm, mamba, lstm, attention = made.values()
    h, past = torch.randn(1, 2 * hidden, STATES), mamba.start(1)  # type: ignore[operator]
    pair = torch.randn(1, hidden), torch.randn(1, hidden)
    u, dt, seen = torch.randn(1, 2 * hidden), torch.randn(1, ssm.rank), torch.randn(1, hidden)  # type: ignore[arg-type]
    return {
        "SSM": lambda: ssm.step(x, h),  # type: ignore[operator]
        "Mamba block": lambda: mamba.step(x, past),  # type: ignore[operator]
        "LSTM": lambda: lstm(x, pair),
        "attention": lambda: attention.step(x, length - 1),  # type: ignore[operator]
        "SSM, matrices alone": lambda: (ssm.in_proj(x), ssm.x_proj(u), ssm.dt_proj(dt), ssm.out_proj(u)),  # type: ignore[operator]
        "LSTM, matrices alone": lambda: (
            F.linear(x, lstm.weight_ih, lstm.bias_ih),  # type: ignore[arg-type]
            F.linear(seen, lstm.weight_hh, lstm.bias_hh),  # type: ignore[arg-type]
        ),
    }


def state_bytes(name: str, hidden: int, length: int) -> int:
    """Bytes that must be kept from one step to the next, once `length` words are written."""
    core = cores(hidden)[name]
    if name == "attention":
        return BYTES * core.room[:, :, :length].numel()  # type: ignore[index, operator]
    if name == "LSTM":
        return BYTES * sum(part.numel() for part in core(torch.zeros(1, hidden)))
    state = core.start(1)  # type: ignore[operator]
    return BYTES * sum(part.numel() for part in ([state] if isinstance(state, Tensor) else state))


def products(name: str, hidden: int, length: int) -> int:
    """Multiply-adds of a step in matrix products and convolutions; what goes element by element is not among them."""
    step = calls(hidden, length)[name]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops() // 2


def operators(name: str, hidden: int) -> int:
    """Operators of PyTorch that a step calls, views not counted."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Count(TorchDispatchMode):
        number = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.number += not func.is_view
            return func(*args, **(kwargs or {}))

    step = calls(hidden, 16)[name]
    with torch.no_grad(), Count() as count:
        step()
    return count.number


@torch.inference_mode()
def times(hidden: int, length: int, rounds: int) -> dict[str, dict[str, float]]:
    """Microseconds of a step and its ratio to the LSTM's, the cores taking turns.

    Returns
    -------
    By core: the shortest time, and the median over all rounds of the ratio to the LSTM's step of the same round, in
    which what else runs on the machine cancels out.
    """
    steps = calls(hidden, length)
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            taken[name].append(time.perf_counter() - start)
    lstm = np.array(taken["LSTM"])
    return {
        name: {
            "us": round(1e6 * min(seconds), 2),
            "times the LSTM's": round(float(np.median(np.array(seconds) / lstm)), 3),
        }
        for name, seconds in taken.items()
    }


def counted(hidden: int, lengths: list[int]) -> dict[str, Any]:
    """What does not depend on the machine's speed: parameters, operators, multiply-adds, bytes of state."""
    rows: dict[str, Any] = {}
    for name, core in cores(hidden).items():
        rows[name] = {
            "parameters": sum(p.numel() for p in core.parameters()),
            "operators": operators(name, hidden),
            **{
                str(length): {
                    "multiply-adds": products(name, hidden, length),
                    "state bytes": state_bytes(name, hidden, length),
                }
                for length in lengths
            },
        }
    return rows


def main() -> None:
    """Measure and write the result file."""
    torch.set_num_threads(1)
    rows: dict[str, Any] = {}
    for hidden in WIDTHS:
        rows[str(hidden)] = counted(hidden, LENGTHS)
        for length in LENGTHS:
            for name, numbers in times(hidden, length, 1000).items():
                rows[str(hidden)].setdefault(name, {}).setdefault(str(length), {}).update(numbers)
    rows["counted at 160, 16 words"] = counted(160, [16])
    note = "one caption, one thread, float32; shortest time of 1,000, and the median ratio to the LSTM's step beside it"
    print(record.save("core_cost", rows, [0], SOURCES, spread=0.0, note=note))


if __name__ == "__main__":
    main()
