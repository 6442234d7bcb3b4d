"""Time and memory of what can steer features by a picture, as the map grows from 7 x 7 to 112 x 112.

python -m benchmarks.modulation_cost           about five minutes

Five layers on C = 192 channels: the signal generator of GSM, squeeze-and-excitation, a depthwise and a dense dynamic
convolution with kernels of side 7, and self-attention with six heads, once with its L x L weights written out and once
with PyTorch's fused kernel, which never holds them all. Chapter 2 reads the result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import record
from benchmarks.encoder_peers import fastest
from uvlm_mini.baselines.dynamic_conv import DynamicConv
from uvlm_mini.encoder import SE
from uvlm_mini.modulation import GSM

SOURCES = [
    "benchmarks/modulation_cost.py",
    "uvlm_mini/baselines/dynamic_conv.py",
    "uvlm_mini/encoder.py",
    "uvlm_mini/modulation.py",
]
C, KERNEL, HEADS = 192, 7, 6
SIDES = [7, 14, 28, 56, 112]


class SelfAttention(nn.Module):
    """Multi-head self-attention over the positions of a map.

    Parameters
    ----------
    channels, heads : C and how many parts it is split into.
    fused : leave softmax and products to PyTorch's fused kernel.
    """

    def __init__(self, channels: int, heads: int, fused: bool) -> None:
        super().__init__()
        self.heads, self.fused = heads, fused
        self.project = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        tokens = x.flatten(2).mT  # (B, L, C)
        parts = self.project(tokens).unflatten(-1, (3, self.heads, -1))  # (B, L, 3, heads, C / heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)  # (B, heads, L, C / heads) each
        y = F.scaled_dot_product_attention(q, k, v) if self.fused else (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1) @ v
        return self.out(y.transpose(1, 2).flatten(2)).mT.reshape(x.shape)


def layers() -> dict[str, nn.Module]:
    """The layers by name, with fixed weights."""
    torch.manual_seed(0)
    return {
        "GSM": GSM(C, C),
        "SE": SE(C),
        "depthwise dynamic": DynamicConv(C, C, KERNEL, groups=C),
        "dense dynamic": DynamicConv(C, C, KERNEL),
        "attention": SelfAttention(C, HEADS, fused=False),
        "fused attention": SelfAttention(C, HEADS, fused=True),
    }


def call(name: str, layer: nn.Module, x: Tensor) -> Tensor:
    """The layer on features that are their own prior."""
    return layer(x, x) if name == "GSM" else layer(x)


@torch.inference_mode()
def peak_bytes(name: str, layer: nn.Module, x: Tensor) -> int:
    """Most bytes that PyTorch's allocator holds at once during a call, beside the input and the weights."""
    call(name, layer, x)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        call(name, layer, x)
    held = [e.nbytes() for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]  # type: ignore[union-attr]
    return int(np.cumsum(held).max())


@torch.inference_mode()
def work(name: str, layer: nn.Module, x: Tensor) -> int:
    """Multiply-adds of convolutions and matrix products."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):  # it cannot see into fused kernels
        call(name, layer, x)
    return counter.get_total_flops() // 2


def exponent(values: list[float], sides: list[int]) -> float:
    """Slope of the straight line through the last three points of log(value) over log(L)."""
    logs = np.log(np.array(sides[-3:], float) ** 2)
    return float(np.polyfit(logs, np.log(values[-3:]), 1)[0])


def counted(sides: list[int]) -> dict[str, Any]:
    """What does not depend on the machine's speed: learned numbers, multiply-adds, peak bytes."""
    rows: dict[str, Any] = {}
    for name, layer in layers().items():
        row: dict[str, Any] = {"learned": sum(p.numel() for p in layer.parameters())}
        for side in sides:
            x = torch.randn(1, C, side, side)
            row[str(side**2)] = {"multiply-adds": work(name, layer, x), "peak bytes": peak_bytes(name, layer, x)}
        rows[name] = row
    return rows


def main() -> None:
    """Measure and write the result file."""
    torch.set_num_threads(1)
    rows = counted(SIDES)
    made = layers()
    for side in SIDES:
        x = torch.randn(1, C, side, side)
        calls = {name: lambda n=name, m=layer, x=x: call(n, m, x) for name, layer in made.items()}  # type: ignore[misc]
        for name, seconds in fastest(calls, 50 if side < 56 else 5).items():
            rows[name][str(side**2)]["ms"] = round(1e3 * seconds, 4)
    for row in rows.values():
        points = [row[str(side**2)] for side in SIDES]
        row["exponent"] = {key: round(exponent([p[key] for p in points], SIDES), 3) for key in points[0]}
    rows["counted at 49"] = counted(SIDES[:1])
    note = "one picture, one thread, float32; peak bytes of PyTorch's allocator; exponents over the last three sizes"
    print(record.save("modulation_cost", rows, [0], SOURCES, spread=0.0, note=note))


if __name__ == "__main__":
    main()
