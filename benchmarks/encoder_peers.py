"""What one would pick instead of OverMod: torchvision's small networks, at the same number of parameters.

python -m benchmarks.encoder_peers             about twenty minutes on two idle cores; may be stopped and run again

MobileNetV2, MobileNetV3-small and ShuffleNetV2 keep their blocks and their first three halvings, so that they end in
the 8 x 8 cells of the task; later strides are 1. The widest layers at their ends, made for 1,000 classes, give way to
the same pointwise convolution to 128 channels that OverMod ends in. Their width is scaled until the parameters are
equal.
Chapter 3 reads the result.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import encoder_ablation, record, table, task
from uvlm_mini.config import PRESETS
from uvlm_mini.datasets.vision import need_torchvision
from uvlm_mini.paths import result
from uvlm_mini.reparam import ConvNorm, fuse

SOURCES = [*encoder_ablation.SOURCES, "benchmarks/encoder_peers.py", "uvlm_mini/datasets/vision.py"]
ROWS = ["OverMod-mini", "MobileNetV2", "MobileNetV3-small", "ShuffleNetV2"]
ALONE = "OverMod-mini without auxiliary loss"  # taught as the peers are, which have no prior to be taught
HALVINGS = 3  # 64 pixels to 8 cells
OUT = PRESETS["mini"].encoder.out
WIDTHS = {"MobileNetV2": 0.48, "MobileNetV3-small": 0.7, "ShuffleNetV2": 0.72}  # to within 3 % of the parameters


class Peer(nn.Module):
    """A network of torchvision as an encoder of the task: (B, 3, 64, 64) -> (B, 128, 8, 8), and no prior."""

    def __init__(self, parts: list[nn.Module]) -> None:
        super().__init__()
        halvings = 0
        for part in parts:
            strided = [m for m in part.modules() if isinstance(m, nn.Conv2d) and m.stride != (1, 1)]
            halvings += bool(strided)
            for conv in strided if halvings > HALVINGS else ():
                conv.stride = (1, 1)
        self.body = nn.Sequential(*parts)
        for norm in self.body.modules():
            if isinstance(norm, nn.BatchNorm2d):  # MobileNetV3's 0.01 and 0.001 are for long trainings: after a few
                norm.momentum, norm.eps = (
                    0.1,
                    1e-5,
                )  # hundred steps its running statistics would still be the first ones
        with torch.no_grad():
            channels = self.body.eval()(torch.empty(1, 3, 64, 64)).shape[1]
        self.end = nn.Sequential(ConvNorm(channels, OUT, 1), nn.Hardswish())

    def look(self, x: Tensor) -> tuple[Tensor, None]:
        """As OverMod.look."""
        return self.end(self.body(x)), None


def parts_of(row: str, width: float) -> list[nn.Module]:
    """The blocks of a network of torchvision, up to the layer before its last wide one."""
    need_torchvision()
    from torchvision import models

    if row == "MobileNetV2":
        return list(models.mobilenet_v2(width_mult=width, round_nearest=2).features[:-1])
    if row == "MobileNetV3-small":
        return list(models.mobilenet_v3_small(width_mult=width).features[:-1])
    c = 2 * round(58 * width)  # channels of the second stage; those of x1.0 are 116, 232, 464
    net = models.shufflenetv2.ShuffleNetV2([4, 8, 4], [24, c, 2 * c, 4 * c, 1024])
    return [net.conv1, net.stage2, net.stage3, net.stage4]  # its max pool, made for 224 pixels, is left out


def deploy(encoder: nn.Module) -> nn.Module:
    """In place: every batch-norm folded into the convolution before it."""
    fuse(encoder)
    for part in encoder.modules():
        if isinstance(part, nn.Sequential):
            for i in range(len(part) - 1):
                if isinstance(part[i], nn.Conv2d) and isinstance(part[i + 1], nn.BatchNorm2d):
                    part[i] = nn.utils.fuse_conv_bn_eval(part[i], part[i + 1])
                    part[i + 1] = nn.Identity()
    return encoder


def build(row: str, seed: int) -> task.Named:
    """The network of a row with its head, with the first weights of a seed."""
    if row in (ROWS[0], ALONE):
        model = encoder_ablation.build("full", seed)
        model.auxiliary = None if row == ALONE else model.auxiliary
        return model
    torch.manual_seed(seed)
    return task.Named(Peer(parts_of(row, WIDTHS[row])), OUT, None)


def run(row: str, seed: int) -> dict[str, float]:
    """Train and test one network."""
    model = build(row, seed)
    task.train(model, seed)
    return task.accuracy(model)


def small(row: str) -> dict[str, float]:
    """The losses of a training of five steps."""
    losses = task.train(build(row, 0), 0, n=encoder_ablation.SMALL, epochs=1)
    return {f"loss {i}": round(loss, 5) for i, loss in enumerate(losses)}


# ----------------------------------------------------------------------------------------------------------------
# What a picture costs

VIEWS = ("view", "reshape", "unsqueeze", "squeeze", "expand", "permute", "transpose", "slice", "split", "chunk",
         "getitem", "flatten", "detach", "alias", "contiguous")  # fmt: skip
IN_PLACE = ("hardswish", "relu", "hardtanh", "hardsigmoid", "sigmoid", "clamp")  # done as the layer before writes


def peak_activations(encoder: nn.Module, x: Tensor) -> int:
    """Numbers that must be kept at once while a picture is encoded, in the order in which PyTorch computes.

    A tensor lives from the step that makes it to the last one that reads it; a step needs its inputs and its output.
    Views take no room, and an activation function that is its input's only reader writes in place.
    """
    graph = torch.export.export(Looking(encoder), (x,)).graph
    home: dict[Any, Any] = {}  # node -> the node whose memory it lies in
    size: dict[Any, int] = {}
    last: dict[Any, int] = {}
    nodes = [n for n in graph.nodes if n.op in ("placeholder", "call_function", "output")]
    learned = {n for n in nodes if n.op == "placeholder" and n.name != "x"}
    for step, node in enumerate(nodes):
        reads = [n for n in node.all_input_nodes if n not in learned]
        name = str(getattr(node.target, "__name__", node.target)).split(".")[0]
        lone = reads and len(reads[0].users) == 1
        shares = node.op == "call_function" and reads and (name in VIEWS or (name.rstrip("_") in IN_PLACE and lone))
        home[node] = home[reads[0]] if shares else node
        value = node.meta.get("val")
        if home[node] is node and node not in learned:
            size[node] = value.numel() if isinstance(value, Tensor) else 0
        for n in (*reads, *(() if node in learned else (node,))):
            last[home[n]] = step
    born = {node: step for step, node in enumerate(nodes)}
    return max(sum(s for n, s in size.items() if born[n] <= t <= last[n]) for t in range(len(nodes)))


class Looking(nn.Module):
    """An encoder whose `forward` is what it hands on: features alone."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, 64, 64) -> (B, C, 8, 8)."""
        return self.encoder.look(x)[0]  # type: ignore[operator]


@torch.inference_mode()
def fastest(calls: dict[str, Callable[[], Any]], rounds: int = 40) -> dict[str, float]:
    """The shortest of many times of every call, in seconds; all take turns, so that none has the quieter machine."""
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def costs(row: str, encoder: nn.Module) -> dict[str, float]:
    """Parameters, multiply-adds and peak activations (one byte a number in int8) for one 64 x 64 picture."""
    x = torch.zeros(1, 3, 64, 64)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        Looking(encoder)(x)
    return {
        "parameters": encoder_ablation.parameters(encoder),
        "multiply-adds": counter.get_total_flops() // 2,
        "peak activations": peak_activations(encoder, x),
        "width": WIDTHS.get(row, 1.0),
    }


def main() -> None:
    """Run what has not been run, and write the result file."""
    trained = [*ROWS[1:], ALONE]  # OverMod-mini itself is the row "full" of the ablation: same pictures, same steps
    rows: dict[str, Any] = {ROWS[0]: dict(result("encoder_ablation")["rows"]["full"])}
    rows |= table.summary(table.runs("encoder_peers", run, trained, encoder_ablation.SEEDS, SOURCES), trained)
    torch.set_num_threads(1)
    encoders = {row: deploy(build(row, 0).encoder.eval()) for row in ROWS}
    picture = torch.zeros(1, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    for encoder in encoders.values():
        encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    seconds = fastest({row: lambda e=e: e.look(picture) for row, e in encoders.items()})  # type: ignore[misc]
    for row in ROWS:
        rows[row] |= costs(row, encoders[row])
        rows[row]["latency ms"] = round(1e3 * seconds[row], 2)
    rows["five steps of MobileNetV2"] = small("MobileNetV2")
    rows["costs of ShuffleNetV2"] = costs("ShuffleNetV2", deploy(build("ShuffleNetV2", 0).encoder.eval()))
    note = "accuracy over filled cells; latency of one picture on one thread, the shortest of 40, in float32"
    print(record.save("encoder_peers", rows, encoder_ablation.SEEDS, SOURCES, spread=0.01, note=note))


if __name__ == "__main__":
    main()
