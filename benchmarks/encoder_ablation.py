"""What each part of the encoder is worth: OverMod-mini with one part changed at a time.

python -m benchmarks.encoder_ablation          about half an hour on two idle cores; may be stopped and run again

The first six rows are the paper's Table 4 at our size. The others put something else in the place of GSM: a bias that
is bounded, and a dynamic convolution. Chapters 2 and 3 read the result.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import record, table, task
from uvlm_mini.baselines.dynamic_conv import DynamicConv
from uvlm_mini.config import PRESETS
from uvlm_mini.encoder import EDBlock, OverMod
from uvlm_mini.modulation import GSM, adapt
from uvlm_mini.reparam import fuse

SOURCES = [
    *task.SOURCES,
    "benchmarks/encoder_ablation.py",
    "uvlm_mini/baselines/dynamic_conv.py",
    "uvlm_mini/config.py",
    "uvlm_mini/encoder.py",
    "uvlm_mini/modulation.py",
    "uvlm_mini/reparam.py",
]
SEEDS = [0, 1, 2]
SMALL = 160  # pictures of the row that the tests compute again

SWITCHES: dict[str, dict[str, Any]] = {
    "full": {},
    "without ED": {"dynamic": False},
    "without Dilated RepConv": {"dilated": False},
    "without GRN": {"grn": False},
    "without Layer Scale": {"layer_scale": None},
    "with SE": {"se": True},
}
BOUNDS = {"sigmoid bias": torch.sigmoid, "tanh bias": torch.tanh, "bias without activation": lambda x: x}
ROWS = [*SWITCHES, *BOUNDS, "dynamic convolution"]


class OtherBias(nn.Module):
    """GSM with another function at the end of its signal generator."""

    def __init__(self, gsm: GSM, bound: Any) -> None:
        super().__init__()
        self.point, self.bound = gsm.signal.point, bound

    def forward(self, x: Tensor, prior: Tensor) -> Tensor:
        """(B, C, H, H) features and (B, P, h, h) prior -> (B, C, H, H)."""
        return x + adapt(self.bound(self.point(adapt(prior, min(x.shape[-1], prior.shape[-1])))), x.shape[-1])


class Dynamic(nn.Module):
    """In the place of GSM: a depthwise dynamic convolution, of the side of the large kernel, added to its result.

    Added and not put in its place, as GSM's bias is: the block keeps what it has, and gains what depends on the prior.
    """

    def __init__(self, channels: int, prior: int, kernel: int) -> None:
        super().__init__()
        self.conv = DynamicConv(channels, channels, kernel, prior, groups=channels)

    def forward(self, x: Tensor, prior: Tensor) -> Tensor:
        """(B, C, H, H) features and (B, P, h, h) prior -> (B, C, H, H)."""
        return x + self.conv(x, prior)


def build(row: str, seed: int) -> task.Named:
    """The network of a row, with the first weights of a seed."""
    config = replace(PRESETS["mini"].encoder, **SWITCHES.get(row, {}))
    torch.manual_seed(seed)
    encoder = OverMod(config)
    for block in encoder.modules():
        if isinstance(block, EDBlock) and row in BOUNDS:
            block.gsm = OtherBias(block.gsm, BOUNDS[row])  # type: ignore[assignment]
        elif isinstance(block, EDBlock) and row == "dynamic convolution":
            block.gsm = Dynamic(config.mod_width, config.widths[3], config.kernels[2])  # type: ignore[assignment]
    return task.Named(encoder, config.out, config.widths[3])


def parameters(model: nn.Module) -> int:
    """Learned numbers."""
    return sum(p.numel() for p in model.parameters())


def run(row: str, seed: int) -> dict[str, float]:
    """Train and test one network."""
    model = build(row, seed)
    task.train(model, seed)
    scores = task.accuracy(model)
    return {**scores, "parameters": parameters(fuse(model.encoder))}


def small(row: str) -> dict[str, float]:
    """The losses of a training of five steps."""
    losses = task.train(build(row, 0), 0, n=SMALL, epochs=1)
    return {f"loss {i}": round(loss, 5) for i, loss in enumerate(losses)}


def main() -> None:
    """Run what has not been run, and write the result file."""
    lines = table.runs("encoder_ablation", run, ROWS, SEEDS, SOURCES)
    rows = table.summary(lines, ROWS)
    rows["five steps of full"] = small("full")
    note = (
        f"{task.EPOCHS} passes over {task.TRAIN} pictures, tested on {task.TEST}; accuracy is over filled cells; "
        f"parameters of the encoder in deploy form; {max(line['seconds'] for line in lines):.0f} s the longest run"
    )
    print(record.save("encoder_ablation", rows, SEEDS, SOURCES, spread=0.01, note=note))


if __name__ == "__main__":
    main()
