"""What a step of each decoder costs at the paper's size, and what looking costs as picture and width grow.

python -m benchmarks.decoder_cost          about two minutes

Multiply-adds and elementwise results are counted by a dispatcher that sees every operation of the real modules; bytes
are those of the weights that a step reads; time is that of PyTorch, one picture, one thread, float32. AttSSM stands
beside the LSTM with Bahdanau attention, whose keys are computed once a picture, and once more with keys that are
computed at every step anew. The products of every part are also done and timed alone: what is left of the part's time
is its elementwise work. Chapter 5 reads the result.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from benchmarks import record
from benchmarks.encoder_ablation import parameters
from benchmarks.encoder_peers import peak_activations
from uvlm_mini import paper
from uvlm_mini.baselines.bahdanau import BahdanauLSTM
from uvlm_mini.config import PRESETS
from uvlm_mini.decoder import AttSSM, Decoder
from uvlm_mini.encoder import Classifier
from uvlm_mini.modulation import GCDM
from uvlm_mini.npu.size import int8_bytes
from uvlm_mini.reparam import fuse

SOURCES = [
    "benchmarks/decoder_cost.py",
    "uvlm_mini/baselines/bahdanau.py",
    "uvlm_mini/baselines/lstm.py",
    "uvlm_mini/config.py",
    "uvlm_mini/decoder.py",
    "uvlm_mini/encoder.py",
    "uvlm_mini/modulation.py",
    "uvlm_mini/npu/size.py",
    "uvlm_mini/reparam.py",
    "uvlm_mini/ssm.py",
]
PAPER = PRESETS["b"].decoder
FREE = {"view", "_unsafe_view", "t", "transpose", "expand", "unsqueeze", "squeeze", "detach", "split", "alias", "slice"}
FREE |= {"split_with_sizes", "select", "unbind", "permute", "cat", "stack", "clone", "zeros", "zeros_like", "embedding"}
FREE |= {
    "new_zeros",
    "as_strided",
    "chunk",
    "_to_copy",
    "unsafe_split",
    "unsafe_chunk",
    "copy_",
    "empty",
    "reshape",
    "aminmax",
}


class Work(TorchDispatchMode):
    """Counts multiply-adds of products and convolutions, and the results of all elementwise operations by name; keeps
    the products, so that they can be done again alone."""

    def __init__(self) -> None:
        super().__init__()
        self.multiply_adds = 0
        self.products: list[Callable[[], Any]] = []
        self.elementwise: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        packet, name = func.overloadpacket, func.overloadpacket.__name__
        if packet in flop_registry:
            self.multiply_adds += flop_registry[packet](*args, **(kwargs or {}), out_val=out) // 2
            self.products.append(partial(func, *args, **(kwargs or {})))
        elif name not in FREE and isinstance(first := out[0] if isinstance(out, (tuple, list)) else out, Tensor):
            reads = args[0].numel() if isinstance(args[0], Tensor) else 0  # a reduction works on what it reads
            self.elementwise[name.strip("_")] += max(first.numel(), reads)
        return out


@torch.no_grad()  # inference mode would show composite operations whole
def counted(call: Callable[[], Any]) -> dict[str, Any]:
    """Multiply-adds and elementwise operations of a call."""
    with Work() as work:
        call()
    return {"multiply-adds": work.multiply_adds, "elementwise": dict(sorted(work.elementwise.items()))}


@torch.no_grad()
def products(call: Callable[[], Any]) -> Callable[[], Any]:
    """The products and convolutions of a call, with the same operands, and nothing else."""
    with Work() as work:
        call()
    return lambda: [product() for product in work.products]


# ----------------------------------------------------------------------------------------------------------------
# A step at the paper's size, in three parts: look, core, output


def decoders() -> dict[str, Decoder]:
    """Both decoders of the paper's deployment table."""
    torch.manual_seed(0)
    return {
        "AttSSM": AttSSM(PAPER, paper.VOCABULARY).eval(),
        "LSTM + Bahdanau": BahdanauLSTM(PAPER, paper.VOCABULARY).eval(),
    }


def parts(decoder: Decoder) -> tuple[dict[str, Callable[[], Any]], dict[str, list[nn.Module]]]:
    """The parts of a step as calls, and the modules whose weights each reads."""
    x = torch.randn(1, PAPER.features, PAPER.side, PAPER.side)
    context = decoder.prepare(x)
    state = decoder.start(context)
    token, y = torch.zeros(1, dtype=torch.long), torch.randn(1, PAPER.hidden)
    word = decoder.word(token)
    calls: dict[str, Callable[[], Any]] = {"output": lambda: F.linear(y, decoder.embedding.weight)}
    weights: dict[str, list[nn.Module]] = {"output": [decoder.embedding]}
    if isinstance(decoder, AttSSM):
        g = decoder.gcdm

        def look() -> Tensor:
            return decoder.look(context, state, state.y + decoder.ask(word))

        seen = look()

        def core() -> Tensor:
            u = F.hardswish(decoder.join(torch.cat([word, decoder.project(seen)], 1)))
            return decoder.norm_out(u + decoder.ssm.step(decoder.norm(u), state.h)[0])

        calls |= {"look": look, "core": core}
        weights["look"] = [decoder.ask, g.signal_q, g.point, g.gate_q]
        weights["core"] = [decoder.project, decoder.join, decoder.norm, decoder.ssm, decoder.norm_out]
    elif isinstance(decoder, BahdanauLSTM):

        def attend(keys: Tensor) -> Tensor:
            return torch.sigmoid(decoder.gate(state.h)) * decoder.attention(context.x, keys, state.h)

        both = torch.cat([word, attend(context.keys)], 1)
        calls |= {"look": lambda: attend(context.keys), "core": lambda: decoder.lstm(both, tuple(state))}
        calls["look, keys anew"] = lambda: attend(decoder.attention.key(context.x))
        weights["look"] = [decoder.attention.query, decoder.attention.score, decoder.gate]
        weights["look, keys anew"] = [decoder.attention, decoder.gate]
        weights["core"] = [decoder.lstm]
    calls["step"] = lambda: decoder.step(token, context, state)
    return calls, weights


@torch.no_grad()
def step(timed: bool) -> dict[str, Any]:
    """Both decoders, part by part: multiply-adds, elementwise operations, weights that are read, and time."""
    rows: dict[str, Any] = {}
    for name, decoder in decoders().items():
        calls, weights = parts(decoder)
        rows[name] = {part: counted(call) for part, call in calls.items()}
        for part, modules in weights.items():
            rows[name][part]["weights"] = sum(p.numel() for m in modules for p in m.parameters())
        rows[name]["step"]["weights"] = sum(rows[name][part]["weights"] for part in ("look", "core", "output"))
        rows[name]["parameters"] = parameters(decoder)
        rows[name]["int8 bytes"] = int8_bytes(decoder)
    if timed:
        calls = {(name, part, "us"): call for name, d in decoders().items() for part, call in parts(d)[0].items()}
        calls |= {(n, part, "us, products alone"): products(call) for (n, part, _), call in calls.items()}
        cold = torch.empty(64 << 18)  # 64 MiB, read between calls: on the chip no weight is still in a cache
        for (name, part, key), seconds in median(calls, cold).items():
            rows[name][part][key] = round(1e6 * seconds, 1)
    return rows


@torch.no_grad()
def median(calls: dict[Any, Callable[[], Any]], cold: Tensor, rounds: int = 100) -> dict[Any, float]:
    """The median time of every call in seconds, other memory being read before each until caches hold none of it."""
    times: dict[Any, list[float]] = {key: [] for key in calls}
    for _ in range(rounds):
        for key, call in calls.items():
            cold.add_(1.0)
            start = time.perf_counter()
            call()
            times[key].append(time.perf_counter() - start)
    return {key: float(np.median(seconds)) for key, seconds in times.items()}


# ----------------------------------------------------------------------------------------------------------------
# Looking, as the picture and the width grow


class CrossAttention(nn.Module):
    """One query against all places of a picture, C = H: keys and values computed at every step, or once a picture."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.query, self.out = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.key, self.value = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)

    def prepare(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, L, H) places -> keys and values."""
        return self.key(x), self.value(x)

    def forward(self, keys: Tensor, values: Tensor, y: Tensor) -> Tensor:
        """(B, H) query -> (B, H) what is seen."""
        weights = (keys @ self.query(y)[..., None] * y.shape[1] ** -0.5).softmax(1)  # (B, L, 1)
        return self.out((weights.mT @ values).squeeze(1))


SIDES, WIDTHS = [4, 7, 14, 28, 56], [64, 128, 256, 512, 1024]


@torch.no_grad()
def looking(hidden: int, side: int) -> dict[str, Any]:
    """Work of one step's look at a picture of side x side places, H = C = hidden."""
    attention, gcdm = CrossAttention(hidden), GCDM(hidden, hidden)
    x, y = torch.randn(1, hidden, side, side), torch.randn(1, hidden)
    places = x.flatten(2).mT
    kept, prepared = attention.prepare(places), gcdm.prepare(x)
    return {
        "attention, keys anew": counted(lambda: attention(*attention.prepare(places), y)),
        "attention": counted(lambda: attention(*kept, y)),
        "GCDM, all anew": counted(lambda: gcdm(x, gcdm.prepare(x), y)),
        "GCDM": counted(lambda: gcdm(x, prepared, y)),
    }


def total(row: dict[str, Any]) -> int:
    """Multiply-adds and elementwise results together."""
    return row["multiply-adds"] + sum(row["elementwise"].values())


def fitted(points: list[tuple[int, int, int]]) -> dict[str, float]:
    """Least squares of the work over H^2, L H and L H^2: how much of each there is."""
    h, n, work = (np.array(column, float) for column in zip(*points, strict=True))
    terms = np.stack([h**2, n * h, n * h**2], 1)
    weigh = 1 / work  # relative errors count, or the largest sizes alone would decide
    found = np.linalg.lstsq(terms * weigh[:, None], work * weigh, rcond=None)[0]
    worst = np.abs(terms @ found / work - 1).max()
    return {"H^2": round(found[0], 3), "L H": round(found[1], 3), "L H^2": round(found[2], 3), "worst": round(worst, 4)}


def looks() -> dict[str, Any]:
    """Work of a look over a grid of sizes, and what fits it."""
    grid = {(h, s): looking(h, s) for h in WIDTHS for s in SIDES}
    rows: dict[str, Any] = {}
    for name in grid[WIDTHS[0], SIDES[0]]:
        rows[name] = {
            "fit": fitted([(h, s * s, total(row[name])) for (h, s), row in grid.items()]),
            "at H = 512": {str(s * s): grid[512, s][name] for s in SIDES},
        }
    return rows


# ----------------------------------------------------------------------------------------------------------------
# Whole models


def sizes(preset: str) -> dict[str, Any]:
    """Parameters and int8 bytes of a preset's parts, and what could stand between bytes and parameters."""
    config = PRESETS[preset]
    torch.manual_seed(0)
    whole = Classifier(config.encoder, 1000).eval()
    before = parameters(whole.encoder)
    fuse(whole)
    encoder = whole.encoder
    decoder = AttSSM(config.decoder, paper.VOCABULARY)
    return {
        "encoder parameters": parameters(encoder),
        "encoder parameters before fusing": before,
        "encoder parameters with classifiers": parameters(whole),
        "encoder bytes": int8_bytes(encoder),
        "encoder bytes with classifiers": int8_bytes(whole),
        "encoder peak activations": peak_activations(encoder, torch.zeros(1, 3, 224, 224)),
        "decoder parameters": parameters(decoder),
        "decoder bytes": int8_bytes(decoder),
        "decoder bytes without output matrix": int8_bytes(decoder) - int8_bytes(decoder.embedding),
    }


def main() -> None:
    """Measure and write the result file."""
    torch.set_num_threads(1)
    rows = {"step": step(timed=True), "step counted": step(timed=False), "look": looks()}
    rows["sizes"] = {name: sizes(name) for name in ("t", "s", "b")}
    rows["sizes of t"] = rows["sizes"]["t"]
    note = "one picture, one thread, float32; us is the median time, other memory having been read before every call"
    print(record.save("decoder_cost", rows, [0], SOURCES, spread=0.0, note=note))


if __name__ == "__main__":
    main()
