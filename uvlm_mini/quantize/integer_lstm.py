"""The LSTM with Bahdanau attention in integers: what AttSSM's step is measured against, by the same rules.

It is quantized from the PyTorch module directly, without an ONNX file: its few layers become the same records that a
file would give. Weights are int8 with a step for each output, activations int8 with one step a tensor, found by running
the float decoder over whole captions; the memory c is int16. tanh and sigmoid of the gates are tables of 513 entries
with straight lines between them, the attention's softmax is integer as the search's is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..baselines.bahdanau import BahdanauLSTM
from ..datasets.vocab import BOS, PAD
from . import tables
from .fixed import PLACES
from .integer import IntegerDecoder, word_record
from .integer_ops import Program, Record
from .integer_units import bounded
from .tables import LOG2E, Scale, factors, half_up, lift, multipliers, sigmoid, table

Numbers = dict[str, int | tuple[int, ...]]

UNIT, SHARE = Scale(1 / 128, 0), Scale(1 / 256, -128)  # of numbers in -1..1, and in 0..1
ROOM = 4.0  # the memory's int16 range over the largest value seen in calibration
GATE, ONE = 2.0**12, 2.0**15  # units in 1 of a gate before its nonlinearity, and after
BIT = 1 / (LOG2E * 2**PLACES)  # what a unit of a score stands for, as a natural logarithm


@torch.inference_mode()
def watch(decoder: BahdanauLSTM, features: Tensor, longest: int) -> dict[str, np.ndarray]:
    """Smallest and largest value of every activation over whole greedy captions; of c for every step.

    Parameters
    ----------
    decoder : in eval mode.
    features : (B, C, h, w), of B pictures.
    longest : words a caption may have.
    """
    ranges: dict[str, np.ndarray] = {}

    def see(**values: Tensor) -> None:
        for name, value in values.items():
            found = np.array([float(value.min()), float(value.max())])
            old = ranges.get(name, found)
            ranges[name] = np.array([min(old[0], found[0]), max(old[1], found[1])])

    context = decoder.prepare(features)
    state = decoder.start(context)
    words = decoder.embedding.weight * decoder.embedding.embedding_dim**0.5
    see(features=context.x, keys=context.keys, mean=context.x.mean(1), both=words, c=state.c)
    token = torch.full((len(features),), BOS)
    for _ in range(longest):
        query = decoder.attention.query(state.h)
        gate = decoder.gate(state.h)
        z = decoder.attention(context.x, context.keys, state.h)
        see(query=query, total=context.keys + query[:, None], gate=gate, z=z, both=torch.sigmoid(gate) * z)
        logits, state = decoder.step(token, context, state)
        see(c=state.c)
        logits[:, [PAD, BOS]] = -torch.inf
        token = logits.argmax(1)
    return ranges


def scale_of(low: float, high: float) -> Scale:
    """The int8 scale of a range, which is widened to hold 0."""
    low, high = min(low, 0.0), max(high, 0.0)
    step = (high - low) / 255 or 1.0
    return Scale(step, int(np.clip(half_up(-128 - low / step), -128, 127)))


def quantize_lstm(
    decoder: BahdanauLSTM, features: Tensor, words: Sequence[str], longest: int
) -> tuple[Program, IntegerDecoder, Scale]:
    """The decoder in integers.

    Parameters
    ----------
    decoder : is left as it is; its dropout does not act.
    features : (n, C, h, w) of pictures to calibrate on.
    words : all that it can say, specials included.
    longest : words a caption may have.

    Returns
    -------
    The program that prepares a picture, from "features" (B, C, h, w) int8; the decoder, which takes what that gives;
    and the scale of "features".

    Raises
    ------
    ValueError : no features, or words that do not fit the output matrix.
    """
    if not len(features) or len(words) != decoder.embedding.num_embeddings:
        raise ValueError(
            f"{len(features)} pictures and {len(words)} words were given; give one picture at least, and the "
            f"{decoder.embedding.num_embeddings} words of the decoder."
        )
    training = decoder.training
    ranges = watch(decoder.eval(), features, longest)
    decoder.train(training)
    scales = {name: scale_of(*found) for name, found in ranges.items() if name != "c"}
    scales |= {"bent": UNIT, "h": UNIT, "open": SHARE}
    memory = float(np.abs(ranges["c"]).max()) * ROOM / 32767 or 1.0
    weights = {name: part.detach().double().numpy() for name, part in decoder.state_dict().items()}
    positions = features.shape[2] * features.shape[3]
    prepare = Program(
        _preparing(weights, scales, memory, positions), ("features",), ("features", "keys", "h_first", "c_first")
    )
    step = Program(
        _stepping(weights, scales, memory, positions),
        ("word", "features", "keys", "h", "c"),
        ("logits", "h_next", "c_next"),
    )
    rows, steps = _int8(weights["embedding.weight"])
    search = (tables.powers(), tables.logs())
    said = IntegerDecoder(word_record(rows, steps, scales["both"]), step, {}, tuple(words), longest, search)
    return prepare, said, scales["features"]


def _int8(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(O, F) weights as int8 and the (O,) steps of the rows."""
    steps = np.maximum(np.abs(weight).max(1), 1e-12) / 127
    return half_up(weight / steps[:, None]).astype(np.int8), steps


def _sums(weight: np.ndarray, bias: np.ndarray | None, given: Scale, unit: float, ends: str = "") -> dict[str, Any]:
    """Weight, bias with the zero point in it, multipliers and shifts of a matrix whose sums end in a unit."""
    rows, steps = _int8(weight)
    whole = np.zeros(len(rows), np.int64) if bias is None else half_up(bias / (steps * given.step))
    whole = whole - given.zero * rows.astype(np.int64).sum(1)
    bounded("a matrix of the LSTM", _limit(rows, whole))
    m, s = multipliers(steps * given.step / unit)
    return {f"weight{ends}": rows, f"bias{ends}": whole.astype(np.int32), f"m{ends}": m, f"s{ends}": s}


def _limit(rows: np.ndarray, bias: np.ndarray) -> int:
    """What no sum of a matrix can pass, however it is ordered."""
    return int((np.abs(rows.astype(np.int64)).sum(1) * 128 + np.abs(bias.astype(np.int64))).max())


def _matrix(
    name: str, given: str, made: str, weights: dict[str, np.ndarray], scales: dict[str, Scale], kind: str = "gemm"
) -> Record:
    """A linear layer from int8 to int8: of a vector, or as a pointwise convolution of a map."""
    y = scales[made]
    arrays = _sums(weights[f"{name}.weight"], weights.get(f"{name}.bias"), scales[given], y.step)
    up = lift(_limit(arrays["weight"], arrays["bias"]))
    arrays["s"] += up
    numbers: Numbers = {"zero_y": y.zero, "lift": up}
    if kind == "conv":
        arrays["weight"] = arrays["weight"][:, :, None, None]
        numbers |= {"group": 1, "strides": (1, 1), "pads": (0, 0, 0, 0), "zero_x": scales[given].zero}
    return Record(kind, (given,), (made,), numbers, arrays)


def _preparing(
    weights: dict[str, np.ndarray], scales: dict[str, Scale], memory: float, positions: int
) -> tuple[Record, ...]:
    """What runs once a picture."""
    x, mean = scales["features"], scales["mean"]
    weight, bias = (np.concatenate([weights[f"first_{part}.{kind}"] for part in "hc"]) for kind in ("weight", "bias"))
    mean_m, mean_s = multipliers(x.step / (positions * mean.step))
    c_m, c_s = multipliers(1 / (ONE * memory))
    up = lift(positions * 255)
    return (
        _matrix("attention.key", "features", "keys", weights, scales, "conv"),
        Record(
            "mean", ("features",), ("mean",),
            {"zero_x": x.zero, "zero_y": mean.zero, "m": int(mean_m), "s": int(mean_s) + up, "lift": up},
        ),
        Record(
            "first", ("mean",), ("h_first", "c_first"), {"c_m": int(c_m), "c_s": int(c_s)},
            _sums(weight, bias, mean, 1 / GATE) | {"tanh": tables.curve(np.tanh)},
        ),
    )  # fmt: skip


def _stepping(
    weights: dict[str, np.ndarray], scales: dict[str, Scale], memory: float, positions: int
) -> tuple[Record, ...]:
    """What runs once a word."""
    keys, query, total, z, both = (scales[name] for name in ("keys", "query", "total", "z", "both"))
    (of_keys, of_query), s = factors([keys.step / total.step, query.step / total.step], 255)
    attend_m, attend_s = multipliers(scales["features"].step / (ONE * z.step))
    gate_m, gate_s = multipliers(SHARE.step * z.step / both.step)
    write_m, write_s = multipliers(1 / (ONE**2 * memory))
    c_m, c_s = multipliers(memory * GATE)
    bounded("the LSTM's attention", (ONE + positions) * 255)
    up = lift(int(ONE + positions) * 255)
    heard = _sums(
        weights["lstm.weight_ih"], weights["lstm.bias_ih"] + weights["lstm.bias_hh"], both, 1 / GATE
    )  # fmt: skip
    kept = _sums(weights["lstm.weight_hh"], None, UNIT, 1 / GATE, "_h")
    curves = {"sigmoid": tables.curve(sigmoid), "tanh": tables.curve(np.tanh)}
    wide: Numbers = {"shape": (len(weights["attention.query.weight"]), 1, 1)}
    return (
        _matrix("attention.query", "h", "query", weights, scales),
        Record("view", ("query",), ("query_map",), wide),
        Record(
            "add", ("keys", "query_map"), ("total",),
            {"zero_x": keys.zero, "zero_other": query.zero, "zero_y": total.zero, "s": s,
             "factor_x": int(of_keys), "factor_other": int(of_query)},
        ),
        Record("look_up", ("total",), ("bent",), arrays={"table": table(np.tanh, total, UNIT)}),
        Record("scores", ("bent",), ("score",), {}, _sums(weights["attention.score.weight"], None, UNIT, BIT)),
        Record("softmax", ("score",), ("share",), {}, {"powers": tables.powers()}),
        Record(
            "attend", ("share", "features"), ("z",),
            {"zero_x": scales["features"].zero, "zero_y": z.zero, "m": int(attend_m),
             "s": int(attend_s) + up, "lift": up},
        ),
        _matrix("gate", "h", "gate", weights, scales),
        Record("look_up", ("gate",), ("open",), arrays={"table": table(sigmoid, scales["gate"], SHARE)}),
        Record(
            "mul", ("open", "z"), ("seen",),
            {"zero_x": SHARE.zero, "zero_other": z.zero, "zero_y": both.zero, "m": int(gate_m),
             "s": int(gate_s) + lift(255**2), "lift": lift(255**2)},
        ),
        Record("concat", ("word", "seen"), ("both",), {"axis": 1}),
        Record(
            "lstm", ("both", "h", "c"), ("h_next", "c_next"),
            {"write_m": int(write_m), "write_s": int(write_s), "c_m": int(c_m), "c_s": int(c_s)},
            heard | kept | curves,
        ),
        Record("logits", ("h_next",), ("logits",), {}, _sums(weights["embedding.weight"], None, UNIT, BIT)),
    )  # fmt: skip
