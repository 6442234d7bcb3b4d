"""Checkers for the exercises of chapter 3: a norm folded forwards, a feature's window, the weights of a block.

print(check_fold_before(my_fold_before))
print(check_window(my_window))
print(check_block(my_formula))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import PRESETS
from ..encoder import EDBlock, ESBlock
from ..reparam import fuse
from . import Verdict
from .attempt import Hint, expect_array, expect_close, expect_function, judged

Layers = list[tuple[int, int]]  # kernel and stride of convolutions, the first one first


def _norm(channels: int, dice: torch.Generator) -> nn.BatchNorm2d:
    """A batch-norm in eval mode with arbitrary statistics, and an epsilon that shows if it is forgotten."""
    norm = nn.BatchNorm2d(channels, eps=0.25).eval().requires_grad_(False)
    for values, low, high in (
        (norm.running_mean, -1.0, 1.0),
        (norm.running_var, 0.5, 2.0),
        (norm.weight, 0.5, 2.0),
        (norm.bias, -1.0, 1.0),
    ):
        assert values is not None
        values.copy_(low + (high - low) * torch.rand(channels, generator=dice))
    return norm


def _same(found: object, other: Tensor) -> bool:
    """Whether an answer is what a known mistake gives."""
    value = torch.as_tensor(found).detach()
    return value.shape == other.shape and torch.allclose(value.float(), other.float(), rtol=1e-4, atol=1e-5)


@judged()
def check_fold_before(fold_before: Callable[[nn.BatchNorm2d, Tensor, Tensor], tuple[Tensor, Tensor]]) -> Verdict:
    """Judge a function that folds a batch-norm into the convolution *behind* it, which has no padding.

    Parameters
    ----------
    fold_before : from a norm of I channels, (O, I, k, k) weight and (O,) bias to the weight and bias of the one
        convolution that equals both.

    Notes
    -----
    Source: chapter 3, exercise 3.
    """
    expect_function(fold_before, "norm, weight, bias")
    dice = torch.Generator().manual_seed(3)
    for outputs, inputs, side in ((4, 4, 3), (5, 3, 1), (2, 6, 5)):
        norm = _norm(inputs, dice)
        weight = torch.randn(outputs, inputs, side, side, generator=dice)
        bias = torch.randn(outputs, generator=dice)
        x = torch.randn(2, inputs, 9, 9, generator=dice)
        wanted = F.conv2d(norm(x), weight, bias)
        found = fold_before(norm, weight.clone(), bias.clone())
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise Hint("it should give two things, the weight and the bias of the one convolution.")
        _explain_fold(norm, weight, bias, *found)
        w = torch.as_tensor(expect_array(found[0], tuple(weight.shape), "the weight")).to(x)
        b = torch.as_tensor(expect_array(found[1], (outputs,), "the bias")).to(x)
        expect_close(F.conv2d(x, w, b), wanted, "the one convolution's result", rtol=1e-4, atol=1e-4)
    return Verdict(True, "one convolution gives what norm and convolution give, with 1, 3 and 5 taps.")


def _explain_fold(norm: nn.BatchNorm2d, weight: Tensor, bias: Tensor, w: object, b: object) -> None:
    """Raise a Hint if the weight or the bias is what a known mistake gives."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)  # (I,)
    shift = norm.bias - norm.running_mean * scale  # (I,)
    outputs, inputs, side, _ = weight.shape
    if outputs == inputs and _same(w, weight * scale[:, None, None, None]):
        raise Hint(
            "it scales the output channels, as for a norm behind the convolution; this one stands before it, so "
            "look at which index of the weight is the input channel."
        )
    bare = norm.weight / torch.sqrt(norm.running_var)
    if _same(w, weight * bare[:, None, None]):
        raise Hint("the weight is right but for the norm's eps, which is added to the variance under the root.")
    if not _same(w, weight * scale[:, None, None]):
        return
    if _same(b, bias):
        raise Hint("the weight is right, and the bias is the old one; the shift goes through the convolution as well.")
    if outputs == inputs and _same(b, bias + shift):
        raise Hint("the weight is right; but an output's bias gets the shifts of all inputs, through its weights.")
    if _same(b, bias + (weight * scale[:, None, None]).sum((2, 3)) @ shift):
        raise Hint("the weight is right; but the shift was scaled twice, once in itself and once in the new weight.")
    middle = weight[:, :, side // 2, side // 2]
    if side > 1 and _same(b, bias + middle @ shift):
        raise Hint("the weight is right; but the bias takes the shift of one tap, and every tap of a kernel sees it.")


def _touched(layers: Layers, place: int) -> tuple[int, int]:
    """First and last column that move the feature at `place`, from the gradient of convolutions of ones."""
    step = 1
    for _, stride in layers:
        step *= stride
    x = torch.zeros(1, 1, 2 * (place + 1) * step, dtype=torch.float64, requires_grad=True)
    y: Tensor = x
    for kernel, stride in layers:
        y = F.conv1d(y, y.new_ones(1, 1, kernel), stride=stride, padding=kernel // 2)
    (slope,) = torch.autograd.grad(y[0, 0, place], x)
    columns = slope[0, 0].nonzero()[:, 0].tolist()
    return columns[0], columns[-1]


@judged()
def check_window(window: Callable[[Layers, int], tuple[int, int]]) -> Verdict:
    """Judge a function that says which columns of a picture reach a feature.

    Parameters
    ----------
    window : from (kernel, stride) of every convolution, the first one first, and the feature's column to the first and
        the last column of the picture. Kernels are odd and padded by half of themselves; no window is cut by a border.

    Notes
    -----
    Source: chapter 3, exercise 4. Compared with the gradient through convolutions of ones.
    """
    expect_function(window, "layers, place")
    block = [(3, 1), (5, 1), (3, 1)]  # near, far, mix
    first, second = [(3, 2), *block], [(3, 2), *block, (3, 2), *block]
    cases: list[tuple[Layers, int]] = [
        ([(5, 1)], 9),
        ([(3, 2)], 9),
        ([(3, 2), (5, 2), (3, 1)], 9),
        ([(3, 1), (3, 2)], 9),
    ]
    cases += [([(7, 2), (3, 3), (5, 1)], 12), (first, 16), (second, 16), ([(1, 1), (3, 4)], 5)]
    for layers, place in cases:
        found = expect_array(window(list(layers), place), (2,), f"the window of {layers}")
        wanted = _touched(layers, place)
        if (found == wanted).all():
            continue
        low, high = (f"{v:g}" for v in found.tolist())
        what = f"through {layers} the feature {place} is said to see columns {low} to {high}"
        forwards = list(reversed(layers))
        if forwards != layers and (found == _touched(forwards, place)).all():
            raise Hint(f"{what}; so it is if the last layer comes first: walk from the feature to the picture.")
        if found[1] - found[0] == wanted[1] - wanted[0]:
            raise Hint(
                f"{what}, which is as wide as it should be and {abs(found[0] - wanted[0]):g} too far to the "
                f"{'right' if found[0] > wanted[0] else 'left'}; look at where the middle tap of column i stands."
            )
        raise Hint(f"{what}, and the gradient touches {wanted[0]} to {wanted[1]}.")
    return Verdict(True, f"{len(cases)} stacks of convolutions, and the gradient touches just these columns.")


def _blocks() -> Iterator[tuple[str, int, int, float, int]]:
    """Every kind of block of every preset: what it is, channels, kernel, expansion, channels of the prior or 0."""
    for name, preset in PRESETS.items():
        c = preset.encoder
        prior = c.widths[3]
        for width, kernel in zip(c.widths, c.kernels, strict=True):
            yield f"an ES block of {name}", width, kernel, c.expand, 0
        for width, kernel, depth in zip((c.mod_width, prior), c.kernels[2:], c.mod_depths, strict=True):
            if depth:
                yield f"an ED block of {name}", width, kernel, c.expand, prior


@judged()
def check_block(formula: Callable[[int, int, float, int], int]) -> Verdict:
    """Judge a formula for the parameters of a fused block.

    Parameters
    ----------
    formula : from channels C, kernel K, expansion e and channels P of the prior, 0 in an ES block, to their number.

    Notes
    -----
    Source: chapter 3, exercise 5. Compared with the modules, for every block of every preset.
    """
    expect_function(formula, "c, k, e, p")
    count = 0
    for what, c, k, e, p in _blocks():
        config = replace(PRESETS["mini"].encoder, expand=e)
        with torch.device("meta"):
            block = EDBlock(c, p, k, config) if p else ESBlock(c, k, config)
            before = sum(w.numel() for w in block.parameters())
            wanted = sum(w.numel() for w in fuse(block).parameters())
        found = int(expect_array(formula(c, k, e, p), (), f"the number for {what}"))
        count += 1
        if found == wanted:
            continue
        wide = int(e * c)
        biases = 3 * c + 2 * wide + (c if p else 0)
        known = {
            before: "that is the block before it is fused, with its branches, batch-norms and Layer Scale",
            wanted - 2 * wide: "GRN's gamma and beta are missing, one of each a channel of the wide map",
            wanted - biases: "the biases are missing, and a fused block has one everywhere",
            wanted - (p * c + c): "what GSM adds is missing",
            wanted - c: "C are missing; look whether every convolution has its bias",
            wanted + c: "C are too many; look for Layer Scale, or GSM's bias in a block without GSM",
        }
        why = known.get(found, f"{abs(found - wanted):,} are too {'many' if found > wanted else 'few'}")
        raise Hint(f"for {what}, with C = {c}, K = {k}, e = {e:g} and P = {p}, it gives {found:,}; {why}.")
    return Verdict(True, f"{count} blocks, every kind in every preset, are counted to the last weight.")
