"""What fusing gains: time and graph nodes of the encoder in train form and in deploy form.

python -m benchmarks.encoder_speed             about a minute

Both forms compute the same picture in turns on one thread, in the memory format that favours them. Chapter 3 reads it.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import record
from benchmarks.encoder_peers import fastest
from uvlm_mini.config import PRESETS
from uvlm_mini.encoder import Classifier
from uvlm_mini.reparam import fuse

SOURCES = [
    "benchmarks/encoder_speed.py",
    "uvlm_mini/config.py",
    "uvlm_mini/encoder.py",
    "uvlm_mini/modulation.py",
    "uvlm_mini/reparam.py",
]
ROWS = ["mini", "t"]


def nodes(model: nn.Module, x: Tensor) -> int:
    """Operators in the exported graph."""
    graph = torch.export.export(model, (x,)).graph
    return sum(node.op == "call_function" for node in graph.nodes)


def forms(name: str, dtype: torch.dtype = torch.float32) -> tuple[dict[str, nn.Module], Tensor]:
    """Train and deploy form of a preset with 1,000 classes, and a picture."""
    torch.manual_seed(0)
    train = Classifier(PRESETS[name].encoder).to(dtype).eval()
    side = PRESETS[name].encoder.image
    both = {"train": train, "deploy": fuse(deepcopy(train))}
    return both, torch.rand(1, 3, side, side, dtype=dtype) * 2 - 1


@torch.inference_mode()
def sizes(name: str) -> dict[str, float]:
    """What does not depend on the machine: nodes and parameters of both forms, and how far their logits differ."""
    both, x = forms(name, torch.float64)
    row: dict[str, float] = {}
    for form, model in both.items():
        row[f"{form} nodes"] = nodes(model, x)
        row[f"{form} parameters"] = sum(p.numel() for p in model.parameters())
    train, deploy = (model(x) for model in both.values())
    row["same to 1e-10"] = float((train - deploy).abs().max() < 1e-10)
    return row


def measure(name: str) -> dict[str, Any]:
    """One row: a preset."""
    both, x = forms(name)
    row: dict[str, Any] = sizes(name)
    for layout, memory in (("NCHW", torch.contiguous_format), ("channels last", torch.channels_last)):
        calls = {}
        for form, model in both.items():
            model.to(memory_format=memory)  # type: ignore[call-overload]
            picture = x.contiguous(memory_format=memory)
            calls[form] = lambda m=model, p=picture: m(p)  # type: ignore[misc]
        seconds = fastest(calls, 30)
        row[layout] = {f"{form} ms": round(1e3 * s, 2) for form, s in seconds.items()}
        row[layout]["ratio"] = round(seconds["train"] / seconds["deploy"], 3)
    return row


def main() -> None:
    """Measure and write the result file."""
    torch.set_num_threads(1)
    rows = {name: measure(name) for name in ROWS}
    rows["sizes of mini"] = sizes("mini")
    print(record.save("encoder_speed", rows, [0], SOURCES, spread=0.0, note="one picture, float32, shortest of 30"))


if __name__ == "__main__":
    main()
