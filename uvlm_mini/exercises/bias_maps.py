"""Checkers for the exercises of chapter 2: a bias that silences, weights that let blue pass, a share of the work.

print(check_silence((bias, constant, opening)))
print(check_gate(([red, green, blue], constant)))
print(check_quadratic(my_share))
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.nn import functional as F

from ..modulation import GSM, adapt
from . import Verdict
from .attempt import Hint, expect_array, expect_close, expect_function, judged

PICTURE = 140  # of the validation split: a small blue sun and a large red cat in the city
CLOSED = -4.0  # the constant of the chapter's edge filters
FLOOR = -3 / 8  # of the paper's generator
MIN_SHARE, MIN_SUM, MAX_LIT = 0.5, 30.0, 0.15


@judged(seconds=10)
def check_silence(three: tuple[float, float, float]) -> Verdict:
    """Judge what silences every feature up to 5, without and with the floor of the paper's generator.

    Parameters
    ----------
    three : a bias that silences them without help; a constant of the convolution with which the generator can; the
        bias that lets a feature of 5 pass as 5 in spite of that constant.

    Notes
    -----
    Source: chapter 2, exercise 2.
    """
    bias, constant, opening = (float(v) for v in expect_array(three, (3,), "the answer (bias, constant, opening)"))
    x = torch.linspace(-5, 5, 1001)
    if _passes(x, bias):
        worst = 5 + bias
        why = "H-Swish is 0 only from −3 downwards" if worst > -3 else "try it at the features one by one"
        raise Hint(f"with a bias of {bias:g}, a feature of 5 comes to {worst:g}, and something passes: {why}.")
    if _passes(x, constant + FLOOR):
        raise Hint(f"with a constant of {constant:g}, the generator's lowest bias of −3/8 brings a feature of 5 to "
                   f"{5 + constant + FLOOR:g}, and something passes.")  # fmt: skip
    passed = float(F.hardswish(torch.tensor(5 + constant + opening))) + 0.0  # turns -0 into 0
    if not math.isclose(passed, 5, abs_tol=1e-4):
        raise Hint(f"with the constant {constant:g} and the bias {opening:g}, a feature of 5 passes as {passed:.4g}.")
    return Verdict(
        True, f"{bias:g} silences; behind a constant of {constant:g} a bias of {opening:g} lets 5 pass as 5."
    )


def _passes(x: torch.Tensor, bias: float) -> bool:
    return bool((F.hardswish(x + bias).abs() > 1e-6).any())


@judged(seconds=30)
def check_gate(gate: tuple[Sequence[float], float]) -> Verdict:
    """Judge a generator's weights: of the first picture's edges, those of the blue sun are to pass, and not the cat's.

    Parameters
    ----------
    gate : three weights for red, green and blue, and the constant, the same for all four edge filters.

    Returns
    -------
    Verdict
        `measured` is the share of what passes that lies in the sun's box.

    Notes
    -----
    Source: chapter 2, exercise 3, with the package's GSM. At least half has to lie in the box, and at most 15 % of the
    positions may be lit: a bias that is too large lights whole areas.
    """
    if not isinstance(gate, Sequence) or isinstance(gate, str) or len(gate) != 2:
        raise Hint("a pair is wanted, ([red, green, blue], constant).")
    weights = expect_array(gate[0], (3,), "the list of weights")
    constant = float(expect_array(gate[1], (), "the constant"))
    out, blue, red = _modulated(weights, constant)
    total, lit = float(out.sum()), float((out > 0).mean())
    if total < MIN_SUM:
        raise Hint(f"hardly anything passes, {total:.1f} in all: where the sun is, the bias has to make up for "
                   "the features' constant of −4.")  # fmt: skip
    inside, in_red = (float((out * box).sum()) / total for box in (blue, red))
    told = f"{inside:.0%} of what passes lies in the sun's box"
    if lit > MAX_LIT:
        raise Hint(
            f"{told}, but {lit:.0%} of the positions are lit: the bias is so large that areas without an edge pass."
        )
    if inside < MIN_SHARE:
        cat = f", and {in_red:.0%} in the cat's: which weight is for which colour" if in_red > inside else ""
        raise Hint(f"{told}{cat}.")
    return Verdict(True, f"{told}.", inside)


def _modulated(weights: np.ndarray, constant: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What passes at each of 64 x 64 positions, and the boxes of the blue and of the red thing."""
    from .. import viz
    from ..datasets.scenes import scene
    from ..model import to_tensor

    picture = scene("val", PICTURE)
    x = to_tensor(picture.draw())[None]
    sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    bank = torch.stack([sobel, -sobel, sobel.T, -sobel.T])[:, None]  # (4, 1, 3, 3)
    grey = F.pad(x.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    features = F.conv2d(grey, bank, bias=torch.full((4,), CLOSED))  # (1, 4, 64, 64)
    gsm = GSM(prior=3, channels=4)
    with torch.no_grad():
        gsm.signal.point.weight[:] = torch.tensor(weights, dtype=torch.float32)[:, None, None]
        assert gsm.signal.point.bias is not None
        gsm.signal.point.bias[:] = constant
        out = F.hardswish(gsm(features, adapt(x, 4)))[0].clamp(min=0).sum(0)
    return out.numpy(), viz.cover(picture, 64, "blue"), viz.cover(picture, 64, "red")


@judged(seconds=10)
def check_quadratic(share: Callable[[int, int], float]) -> Verdict:
    """Judge a function that tells which share of attention's multiply-adds grows with the square of the positions.

    Parameters
    ----------
    share : from the channels C and the number of positions L to a share between 0 and 1.

    Notes
    -----
    Source: chapter 2, exercise 4, with four projections and two products of positions with positions.
    """
    expect_function(share, "C, L")
    C, L = 192, 49
    name = f"the share at {C} channels and {L} positions"
    found, wanted = float(expect_array(share(C, L), (), name)), L / (L + 2 * C)
    mistakes = {
        "that counts one product of positions with positions; there are two, with keys and with values":
            L / (L + 4 * C),
        "that counts one projection; there are four, of queries, keys, values and the output": 2 * L / (2 * L + C),
        "that counts three projections; the output is projected, too": 2 * L / (2 * L + 3 * C),
        "that is the ratio of the two terms; the share is of both together": L / (2 * C),
        "that is the share of the other term": 2 * C / (L + 2 * C),
        "that is with C and L exchanged": C / (C + 2 * L),
        "that is a percentage; between 0 and 1 is wanted": 100 * wanted,
    }  # fmt: skip
    for why, value in mistakes.items():
        if math.isclose(found, value, rel_tol=1e-4):
            raise Hint(f"{name} is {found:.3g}: {why}.")
    expect_close(found, wanted, name, rtol=1e-4)
    for C, L in ((192, 384), (192, 12544), (8, 3), (64, 128)):
        expect_close(share(C, L), L / (L + 2 * C), f"the share at {C} channels and {L} positions", rtol=1e-4)
    return Verdict(True, "half of the work is quadratic at twice as many positions as channels.")
