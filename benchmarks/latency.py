"""What a latency model, fitted on other networks' published times, says of the paper's three times on the STM32N657.

python -m benchmarks.latency          a few seconds

The model and its rows are uvlm_mini/npu/latency.py. Here it meets the paper: encoder, a step of AttSSM, a step of the
LSTM with attention. The paper publishes their sizes, and not what they compute; so every prediction is an interval over
readings of it, and over what the rows do not decide. What is assumed, and no published row tells, stands in capitals.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import record
from benchmarks.decoder_cost import PAPER, counted
from uvlm_mini import paper
from uvlm_mini.baselines.bahdanau import BahdanauLSTM
from uvlm_mini.config import PRESETS, OverModConfig
from uvlm_mini.decoder import AttSSM, Decoder
from uvlm_mini.encoder import Classifier
from uvlm_mini.npu import energy, latency
from uvlm_mini.npu.latency import CPU_MHZ, ROWS, Constants, Row, Work, predict
from uvlm_mini.npu.nets import Layer
from uvlm_mini.npu.operators import RUNS
from uvlm_mini.paths import result
from uvlm_mini.reparam import fuse

SOURCES = [
    "benchmarks/decoder_cost.py",
    "benchmarks/latency.py",
    "uvlm_mini/baselines/bahdanau.py",
    "uvlm_mini/baselines/lstm.py",
    "uvlm_mini/config.py",
    "uvlm_mini/decoder.py",
    "uvlm_mini/encoder.py",
    "uvlm_mini/modulation.py",
    "uvlm_mini/npu/energy.py",
    "uvlm_mini/npu/latency.py",
    "uvlm_mini/npu/nets.py",
    "uvlm_mini/npu/operators.py",
    "uvlm_mini/paper.py",
    "uvlm_mini/reparam.py",
    "uvlm_mini/ssm.py",
]
RATES = (150.0, latency.NOMINAL_GMAC_S)  # GMAC/s between which the rows do not decide
HAND = (1.0, 4.0)  # cycles a value of a loop written by hand with SIMD and tables: ours
POINT = 2.0  # the one in between for a prediction without an interval: ours
HAND_MACS = (1.0, 4.0)  # int8 multiply-adds a cycle of such a loop: ours
SIDES = (7, 14)  # of the map that a decoder looks at: 49 or 196 positions
NATIVE = (3, 6)  # height and width of a kernel up to which the NPU takes it whole, at stride one
STEPS = 10  # of a caption
# Encoders of about the paper's 18.1 million parameters: preset b, and one that is wider and less deep
ENCODERS: dict[str, OverModConfig] = {
    "preset b": PRESETS["b"].encoder,
    "wider": replace(PRESETS["b"].encoder, widths=(72, 144, 288, 432), depths=(2, 2, 3, 2), mod_width=288,
                     mod_depths=(4, 2), out=432),
    "deeper": replace(PRESETS["b"].encoder, widths=(48, 96, 192, 384), depths=(3, 3, 12, 2), mod_width=192,
                      mod_depths=(10, 2)),
}  # fmt: skip

# ----------------------------------------------------------------------------------------------------------------
# The encoder, layer by layer


@dataclass(frozen=True)
class Operator:
    """What an operator reads and writes, and the shape of its kernel (out, in, height, width), if it has one."""

    name: str
    read: int
    written: int
    kernel: tuple[int, ...] = ()


class Seen(TorchDispatchMode):
    """Lists the operators that run and take time on a chip."""

    TIMED = ("convolution", "hardswish", "add", "upsample_nearest2d", "cat", "linalg_vector_norm", "addcmul")

    def __init__(self) -> None:
        super().__init__()
        self.operators: list[Operator] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name, x = func.overloadpacket.__name__, args[0]
        if name in self.TIMED:
            read = x.numel() if isinstance(x, Tensor) else out.numel()  # cat takes a list
            kernel = tuple(args[1].shape) if name == "convolution" else ()
            self.operators.append(Operator(name, read, out.numel(), kernel))
        return out


@cache
@torch.no_grad()
def seen(name: str) -> tuple[list[Operator], int]:
    """Operators of a fused encoder, and its parameters with the classifier, as the paper counts them."""
    config = ENCODERS[name]
    with torch.device("meta"):  # shapes are enough
        whole = Classifier(config, 1000).eval()
        picture = torch.zeros(1, 3, config.image, config.image)
    fuse(whole)
    with Seen() as found:
        whole.encoder(picture)
    return found.operators, sum(p.numel() for p in whole.parameters())


def layers(operators: list[Operator], apart: bool, alone: bool) -> tuple[tuple[Layer, ...], int]:
    """Layers on the NPU, and the values that GRN reads or writes, which are the processor's.

    Parameters
    ----------
    apart : kernels above `NATIVE` are taken apart, each piece adding to the result of those before.
    alone : H-Swish is a layer of its own, and not part of the convolution before it.
    """
    found, grn = [], 0
    for op in operators:
        if op.kernel:
            height, width = op.kernel[2:]
            pieces = -(-height // NATIVE[0]) * -(-width // NATIVE[1]) if apart else 1
            moved = pieces * op.read + (2 * pieces - 1) * op.written
            weights = math.prod(op.kernel)
            found.append(Layer(op.written * weights // op.kernel[0], moved, weights))
        elif op.name in ("linalg_vector_norm", "addcmul"):  # GRN: its sums read the map, its products write it
            grn += max(op.read, op.written)
        elif op.name != "hardswish" or alone:
            found.append(Layer(0, (3 if op.name == "add" else 2) * op.written))
    return tuple(found), grn


def encoders() -> tuple[dict[str, Work], dict[str, Any]]:
    """Every reading of the encoder as work of the published bytes; and what each configuration counts."""
    bytes_read = paper.DEPLOYMENT["encoder"].size_mb * 1e6
    works, counts = {}, {}
    for name, apart, alone in product(ENCODERS, (False, True), (False, True)):
        operators, parameters = seen(name)
        found, grn = layers(operators, apart, alone)
        if not apart and not alone:
            counts[name] = {
                "parameters": parameters,
                "multiply-adds": sum(x.macs for x in found),
                "values of products": sum(x.values for x in found if x.macs),
                "values of GRN": grn,
            }
        for cycles in (*HAND, POINT):
            what = f"{name}, kernels {'apart' if apart else 'whole'}, H-Swish {'alone' if alone else 'folded'}, GRN"
            works[f"{what} {cycles:g}"] = Work(bytes_read, found, cycles=cycles * grn)
    return works, counts


# ----------------------------------------------------------------------------------------------------------------
# The decoders


def counted_step(decoder: Decoder, side: int) -> dict[str, Any]:
    """Multiply-adds and elementwise results of a step, and multiply-adds of the LSTM's keys."""
    context = decoder.prepare(torch.randn(1, PAPER.features, side, side))
    state, token = decoder.start(context), torch.zeros(1, dtype=torch.long)
    row = counted(lambda: decoder.step(token, context, state))
    row["keys"] = 0
    if isinstance(decoder, BahdanauLSTM):
        row["keys"] = counted(lambda: decoder.attention.key(context.x))["multiply-adds"]
    return row


def decoders() -> dict[str, dict[str, Work]]:
    """Every reading of a step, of both decoders. A step reads all that is published, or what our own step reads of it.

    In AttSSM everything that goes element by element is the paper's own code; in the LSTM, tanh and softmax are either
    such code, or the tool's software at the cost that the published rows give it. Its keys are computed once a
    picture, or at every step, by the NPU or by the processor.
    """
    torch.manual_seed(0)
    ours = result("decoder_cost")["rows"]["step counted"]
    found: dict[str, dict[str, Work]] = {"attssm": {}, "lstm": {}}
    for side in SIDES:
        config = replace(PAPER, side=side)
        made = {
            "attssm": AttSSM(config, paper.VOCABULARY).eval(),
            "lstm": BahdanauLSTM(config, paper.VOCABULARY).eval(),
        }
        for (key, decoder), part in product(made.items(), ("all", "ours")):
            row = counted_step(decoder, side)
            own = ours["AttSSM" if key == "attssm" else "LSTM + Bahdanau"]
            share = 1.0 if part == "all" else own["step"]["weights"] / own["parameters"]
            base = Work(paper.DEPLOYMENT[key].size_mb * 1e6 * share, (Layer(row["multiply-adds"], 0),))
            work = row["elementwise"]
            every = sum(work.values())
            hard = sum(work.get(name, 0) for name in ("tanh", "sigmoid", "softmax"))
            name = f"{side * side} positions, {part} bytes"
            for cycles in (*HAND, POINT):
                by_hand = replace(base, cycles=cycles * every)
                if key == "attssm":
                    found[key][f"{name}, by hand {cycles:g}"] = by_hand
                    continue
                library = replace(base, software=hard, cycles=cycles * (every - hard))
                for how, choice in (("by hand", by_hand), ("library", library)):
                    label = f"{name}, tanh {how} {cycles:g}"
                    found[key][f"{label}, keys once"] = choice
                    on_npu = (Layer(row["multiply-adds"] + row["keys"], 0),)
                    found[key][f"{label}, keys on the NPU"] = replace(choice, layers=on_npu)
                    for rate in HAND_MACS:
                        more = choice.cycles + row["keys"] / rate
                        found[key][f"{label}, keys on the CPU {rate:g}"] = replace(choice, cycles=more)
    return found


# ----------------------------------------------------------------------------------------------------------------
# Tables


def rounded(value: Any, digits: int = 4) -> Any:
    """The same with fewer digits."""
    if isinstance(value, dict):
        return {str(key): rounded(v, digits) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(v, digits) for v in value]
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value


def fitted(rows: Iterable[Row]) -> dict[str, Any]:
    """Constants, every row's residual, the pairs, and the errors of networks and families that were left out."""
    rows = list(rows)
    c = latency.fit(rows)
    inside = latency.on_chip(rows)
    table = {}
    for row, error in zip(rows, latency.errors(rows, c).values(), strict=True):
        p = predict(row.work, c)
        table[f"{row.name}, {row.classes} classes"] = {
            "published": row.ms, "model": p.ms, "error": error, "flash": p.flash, "npu": p.npu, "cpu": p.cpu,
            "external": p.external, "bound": p.bound}  # fmt: skip
    more = {}
    for a, b in latency.pairs(rows):
        more[f"{a.name}, {a.classes} to {b.classes}"] = {
            "KiB": b.kib - a.kib,
            "published": b.ms - a.ms,
            "model": predict(b.work, c).ms - predict(a.work, c).ms,
        }
    apart = latency.left_out(rows)
    families = latency.left_out(inside, key=lambda row: row.network)
    chip = [f"{row.name}, {row.classes} classes" for row in inside]
    own = latency.errors(inside, c)
    return {
        "constants": asdict(c),
        "standard error": latency.flash_error(rows, c),
        "rows": table,
        "pairs": more,
        "left out, network": apart,
        "left out, family": families,
        "error": {
            "rms": latency.rms(own.values()),
            "worst": max(map(abs, own.values())),
            "rms, network left out": latency.rms(apart[name] for name in chip),
            "worst, network left out": max(abs(apart[name]) for name in chip),
            "rms, family left out": latency.rms(families.values()),
            "worst, family left out": max(map(abs, families.values())),
        },
        "meeting": latency.misfit(rows, c),
        "rates": {
            f"{rate:g}": {"rms": error, "alpha": k.product_gv_s, "epsilon": k.element_gv_s}
            for rate, (k, error) in latency.with_rate((40, 60, 82, 100, *RATES, 600), rows).items()
        },
    }


def others(c: Constants) -> dict[str, Any]:
    """Rows that were not fitted.

    Third parties' give multiply-adds and nothing of their maps: a bound from below. Those of a later tool are predicted
    as they are. Where activations leave the chip, what a MB of them costs can be held against sigma.
    """
    found = {}
    for run in RUNS:
        if run.mmac is None:
            continue
        layer = Layer(round(run.mmac * 1e6), 0)
        least = predict(Work((run.weights_kib or 0) * 1024, (layer,)), c).ms
        name = f"{run.model} {run.side}" if run.side else run.model
        found[name] = {"published": run.ms, "GMAC/s": run.mmac / run.ms, "at least": least}
    small, large = found["YuNet 320"]["published"], found["YuNet 640"]["published"]
    outside = next(run.external_kib for run in RUNS if run.model == "YuNet" and run.side == 640)
    assert outside is not None
    for row in latency.OTHERS:
        p = predict(row.work, c)
        found[row.name] = {"published": row.ms, "model": p.ms, "error": p.ms / row.ms - 1}
        if row.external_kib:
            found[row.name]["ms a MB outside"] = (row.ms - p.ms + p.external) / (row.external_kib * latency.KIB_MB)
    found["YuNet 640"]["ms a MB outside"] = (large - 4 * small) / (outside * latency.KIB_MB)
    return found


def met(works: dict[str, Work], options: list[Constants], error: float, ms: float, point: Work) -> dict[str, Any]:
    """The published time beside a point, its interval, and the readings at both ends and next to what is published."""
    c = options[-1]
    times = {name: predict(work, c).ms for name, work in works.items()}
    low, high = latency.interval(works.values(), options, error)
    p = predict(point, c)
    return {
        "published": ms,
        "point": p.ms,
        "point, error": p.ms / ms - 1,
        "flash": p.flash,
        "npu": p.npu,
        "cpu": p.cpu,
        "bound": p.bound,
        "low": low,
        "high": high,
        "inside": low <= ms <= high,
        "low, readings alone": min(times.values()),
        "high, readings alone": max(times.values()),
        "readings": len(works),
        "lowest": min(times, key=times.__getitem__),
        "highest": max(times, key=times.__getitem__),
        "nearest": min(times, key=lambda name: abs(times[name] - ms)),
        "nearest, ms": min(times.values(), key=lambda t: abs(t - ms)),
    }


def measure() -> dict[str, Any]:
    """All rows of the result file."""
    rows: dict[str, Any] = {"fit": fitted(ROWS)}
    options = [c for c, _ in latency.with_rate(RATES).values()]
    c = options[-1]
    rows["others"] = others(c)
    # The worst that is seen of a network without a part in the fit, all activations on the chip
    error = max(rows["fit"]["error"]["worst, network left out"],
                *(abs(rows["others"][row.name]["error"]) for row in latency.on_chip(latency.OTHERS)))  # fmt: skip
    rows["fit"]["error"]["by which intervals are widened"] = error
    pictures, rows["encoders"] = encoders()
    steps = decoders()
    parts = {"encoder": pictures, **steps}
    points = {
        "encoder": pictures[f"preset b, kernels apart, H-Swish alone, GRN {POINT:g}"],  # as the tool's rules have it
        "attssm": steps["attssm"][f"49 positions, all bytes, by hand {POINT:g}"],
        "lstm": steps["lstm"][f"49 positions, all bytes, tanh by hand {POINT:g}, keys once"],
    }
    table = {key: met(parts[key], options, error, paper.DEPLOYMENT[key].ms, points[key]) for key in parts}
    rows["paper"] = table
    rows["readings of the encoder"] = {
        name: asdict(p) | {"ms": p.ms} for name, work in pictures.items()
        if name.endswith(f" {POINT:g}") for p in [predict(work, c)]
    }  # fmt: skip
    rows["readings of the LSTM"] = {
        name: asdict(p) | {"ms": p.ms} for name, work in steps["lstm"].items()
        if "all bytes" in name and f" {POINT:g}, keys" in name for p in [predict(work, c)]
    }  # fmt: skip
    one, step = table["encoder"], table["attssm"]
    macs = [[work.macs / 1e6 for work in parts[key].values()] for key in ("encoder", "attssm")]
    million = tuple(end(macs[0]) + (STEPS + 1) * end(macs[1]) for end in (min, max))
    mj, published = energy.from_below(million), paper.TTFT_MS + STEPS * paper.TBT_MS
    rows["caption"] = {
        "TTFT": {"published": paper.TTFT_MS, **{k: one[k] + step[k] for k in ("low", "point", "high")}},
        "TBT": {"published": paper.TBT_MS, **{k: step[k] for k in ("low", "point", "high")}},
        "steps": STEPS,
        "mJ below, at the power's bound": {
            "published": paper.POWER_BELOW_MW * (paper.TTFT_MS + STEPS * paper.TBT_MS) / 1e3,
            **{k: paper.POWER_BELOW_MW * (one[k] + (STEPS + 1) * step[k]) / 1e3 for k in ("low", "point", "high")},
        },
        "million multiply-adds": {"low": million[0], "high": million[1]},
        "mJ of them, above idle": {"low": mj[0], "high": mj[1]},
        "mW of them, over the published time": {"low": mj[0] / published * 1e3, "high": mj[1] / published * 1e3},
    }
    rows["assumed"] = {
        "cycles a value, least": HAND[0],
        "most": HAND[1],
        "point": POINT,
        "MAC a cycle, least": HAND_MACS[0],
        "MAC a cycle, most": HAND_MACS[1],
        "CPU MHz": CPU_MHZ,
    }
    return rounded(rows)


def main() -> None:
    """Measure, print the residuals and write the result file."""
    torch.set_num_threads(1)
    rows = measure()
    print(latency.table(), "\n")
    for key, row in rows["paper"].items():
        print(
            f"{key:8} published {row['published']:g}, point {row['point']:.1f}, {row['low']:.1f} to {row['high']:.1f}"
        )
    note = (
        "times in ms, of a model and not of a board; readings of what the paper leaves open, see benchmarks/latency.py"
    )
    print(record.save("latency", rows, [0], SOURCES, spread=1e-3, note=note))


if __name__ == "__main__":
    main()
