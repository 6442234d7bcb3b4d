"""Checkers for the exercises of chapter 1: a missing score, milliseconds for bytes, a block that stays on the NPU.

print(check_missing(36.6))
print(check_saving(my_saving))
print(check_block(["Gemm", "Relu", "Gemm", "Add"]))
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import linear_regression

from .. import paper
from ..npu.operators import lookup
from . import Verdict
from .attempt import Hint, expect_array, expect_close, expect_function, judged

TARGET = "stm32n6"
PRODUCTS = ("Conv", "Gemm", "MatMul")
CURVES = ("HardSwish", "Relu", "Clip", "LeakyRelu", "PRelu", "Sigmoid", "Tanh")  # what bends, and the NPU takes


@judged(seconds=10)
def check_missing(bleu4: float) -> Verdict:
    """Judge a prediction of SmallCap's BLEU-4 from its CIDEr, by a line through the complete rows of the paper's table.

    Parameters
    ----------
    bleu4 : in the table's units, so between 0 and 100.

    Notes
    -----
    Source: chapter 1, exercise 1.
    """
    found = float(expect_array(bleu4, (), "the prediction"))
    rows = [(row.cider, row.bleu4, row.model) for row in paper.COMPARISON if row.bleu4 is not None]
    cider, known, models = zip(*rows, strict=True)
    strong = {row.model: row.cider for row in paper.COMPARISON if row.bleu4 is None}
    slope, start = linear_regression(cider, known)
    wanted = start + slope * strong["SmallCap"]
    if math.isclose(found, wanted, abs_tol=0.06):
        return Verdict(True, f"the line is at {wanted:.1f} where SmallCap's CIDEr is.")
    back, base = linear_regression(known, cider)
    ours = [i for i, model in enumerate(models) if model.startswith("µVLM")]
    few, at = linear_regression([cider[i] for i in ours], [known[i] for i in ours])
    mistakes = {
        "that is the number that slipped into its place": 28.3,
        "that line gives CIDEr from BLEU-4; the other direction is wanted": (strong["SmallCap"] - base) / back,
        "that line goes through three rows; NIC is complete, too": at + few * strong["SmallCap"],
        "that is the slope of the line; go along it to SmallCap's CIDEr": slope,
        "that is a share; the table counts in hundredths": wanted / 100,
        "that is where Up-Down's CIDEr is": start + slope * strong["Up-Down"],
    }
    for why, value in mistakes.items():
        if math.isclose(found, value, rel_tol=4e-4):
            raise Hint(f"{found:.4g} is not on the line: {why}.")
    raise Hint(
        f"{found:.4g} is not on the line of BLEU-4 over CIDEr through the four complete rows at SmallCap's CIDEr."
    )


@judged(seconds=10)
def check_saving(saving: Callable[[int, int, float], float]) -> Verdict:
    """Judge a function that tells the milliseconds by which reading an SSM is faster than reading an LSTM.

    Parameters
    ----------
    saving : from the hidden width H, the states N of a channel and the bandwidth in MB/s (a million bytes each) to
        milliseconds a step, the weights in int8, and r = 2.

    Notes
    -----
    Source: chapter 1, exercise 2; the counts are the paper's.
    """
    expect_function(saving, "H, N, mb_s")
    H, N, mb_s = 512, 16, 390.0
    name = f"the saving at H = {H}, N = {N} and {mb_s:g} MB/s"
    found = float(expect_array(saving(H, N, mb_s), (), name))
    wanted = _saved(H, N) / mb_s / 1e3
    mistakes = {
        "in seconds, it seems": wanted / 1000,
        "eight times too much: a weight is one byte, and the bandwidth counts bytes": 8 * wanted,
        "an eighth of it: a weight is one byte, and the bandwidth counts bytes": wanted / 8,
        "four times too much: in int8 a weight is one byte": 4 * wanted,
        "turned: the LSTM reads more, so that the saving is positive": -wanted,
        "that is the time of reading the LSTM": paper.lstm_count(H) / mb_s / 1e3,
        "that is the time of reading the SSM": paper.ssm_count(H, N) / mb_s / 1e3,
        "as if r were 1": (paper.lstm_count(H) - paper.ssm_count(H, N, 1)) / mb_s / 1e3,
        "as if a MB had 1024 × 1024 bytes; in this chapter it has a million": _saved(H, N) / mb_s / 2**20 * 1e3,
        "those are bytes; divide them by the bandwidth": _saved(H, N),
    }
    for why, value in mistakes.items():
        if math.isclose(found, value, rel_tol=1e-4):
            raise Hint(f"{name} is {found:.4g}: {why}.")
    expect_close(found, wanted, name, rtol=1e-4)
    for H, N, mb_s in ((256, 64, 400.0), (48, 80, 100.0), (1024, 16, 72.5)):
        expect_close(
            saving(H, N, mb_s), _saved(H, N) / mb_s / 1e3, f"the saving at H = {H}, N = {N}, {mb_s:g} MB/s", 1e-4
        )
    return Verdict(True, f"{wanted:.1f} ms at H = 512 and N = 16, and below 0 where the SSM is the larger one.")


def _saved(hidden: int, states: int) -> int:
    """The bytes that an SSM has less than an LSTM."""
    return paper.lstm_count(hidden) - paper.ssm_count(hidden, states)


@judged(seconds=10)
def check_block(ops: Sequence[str]) -> Verdict:
    """Judge a feed-forward block, as a list of ONNX operators, for the STM32N6 without any compiler option.

    Parameters
    ----------
    ops : in the order in which they run. A norm, two products with constant weights, a curve between the two, and at
        the end the addition of the block's input.

    Notes
    -----
    Source: chapter 1, exercise 3. A batch norm is a norm only for the convolution that it folds into.
    """
    if isinstance(ops, str) or not isinstance(ops, Sequence) or not all(isinstance(op, str) for op in ops):
        raise Hint("a list of operators' names is wanted, such as the block in the exercise.")
    for i, op in enumerate(ops):
        rule = lookup(TARGET, op)
        if rule is None:
            raise Hint(f"no source says where {op[:40]!r} runs; take an operator that the table has.")
        if op == "BatchNormalization":
            if i == 0 or ops[i - 1] != "Conv":
                raise Hint("this BatchNormalization folds into nothing: it has to stand directly behind a Conv.")
        elif rule.where != "hw" and op not in PRODUCTS:
            raise Hint(f"{op} is {rule.where} and not hw. {rule.constraints.rstrip('.') or 'Take another one'}.")
    products = [i for i, op in enumerate(ops) if op in PRODUCTS]
    if len(products) != 2:
        raise Hint(f"the block has two products with weights, and here there are {len(products)}.")
    if not any(op in CURVES for op in ops[products[0] : products[1]]):
        raise Hint(
            f"between the products nothing bends, so that both are one; the NPU has {', '.join(CURVES[:4])} and more."
        )
    if "BatchNormalization" not in ops:
        raise Hint("the norm is gone; one can be had that folds into a convolution.")
    if ops[-1] != "Add":
        raise Hint("at the end the block's input is added; keep that.")
    return Verdict(True, "all of it runs on the NPU, without any option, and the norm is gone at run time.")
