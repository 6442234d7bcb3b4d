"""The checkers of chapter 3 take the chapter's answers and others that are right, and name the mistakes they know."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.answers import withstands
from tests.solutions import solution
from uvlm_mini.config import PRESETS
from uvlm_mini.encoder import EDBlock, ESBlock
from uvlm_mini.exercises.encoder import check_block, check_fold_before, check_window
from uvlm_mini.reparam import fold

Fold = tuple[Tensor, Tensor]


@cache
def from_chapter(name: str) -> Any:
    return solution("03_overmod_the_encoder", name)


def parts(norm: nn.BatchNorm2d, eps: bool = True) -> Fold:
    """Scale and shift of a batch-norm."""
    assert norm.running_var is not None and norm.running_mean is not None
    scale = norm.weight / torch.sqrt(norm.running_var + (norm.eps if eps else 0))
    return scale, norm.bias - norm.running_mean * scale


def behind(norm: nn.BatchNorm2d, weight: Tensor, bias: Tensor) -> Fold:
    """What the chapter's fold does, for a norm behind the convolution."""
    return fold(weight, bias, norm)


def without_eps(norm: nn.BatchNorm2d, weight: Tensor, bias: Tensor) -> Fold:
    scale, shift = parts(norm, eps=False)
    return weight * scale[:, None, None], bias + weight.sum((2, 3)) @ shift


def old_bias(norm: nn.BatchNorm2d, weight: Tensor, bias: Tensor) -> Fold:
    return weight * parts(norm)[0][:, None, None], bias


def own_shift(norm: nn.BatchNorm2d, weight: Tensor, bias: Tensor) -> Fold:
    scale, shift = parts(norm)
    return weight * scale[:, None, None], bias + shift


def scaled_twice(norm: nn.BatchNorm2d, weight: Tensor, bias: Tensor) -> Fold:
    scale, shift = parts(norm)
    weight = weight * scale[:, None, None]
    return weight, bias + weight.sum((2, 3)) @ shift


def one_tap(norm: nn.BatchNorm2d, weight: Tensor, bias: Tensor) -> Fold:
    scale, shift = parts(norm)
    middle = weight.shape[-1] // 2
    return weight * scale[:, None, None], bias + weight[:, :, middle, middle] @ shift


def by_asking(norm: nn.BatchNorm2d, weight: Tensor, bias: Tensor) -> Fold:
    """Right in another way: the shift goes through the convolution as a picture of its own."""
    scale, shift = parts(norm)
    constant = shift[None, :, None, None].expand(1, -1, *weight.shape[2:])
    return weight * scale[None, :, None, None], nn.functional.conv2d(constant, weight, bias).flatten()


FOLDS: dict[str, Callable[..., Any]] = {
    "output channels": behind,
    "eps": without_eps,
    "the old one": old_bias,
    "shifts of all inputs": own_shift,
    "scaled twice": scaled_twice,
    "one tap": one_tap,
    "two things": lambda norm, weight, bias: weight,
    "shape": lambda norm, weight, bias: (weight[0], bias),
    "one convolution's result": lambda norm, weight, bias: (weight, bias),
}


def test_fold_before() -> None:
    withstands(check_fold_before, from_chapter("fold_before"), FOLDS.values())
    assert check_fold_before(by_asking)


@pytest.mark.parametrize("says", FOLDS)
def test_fold_before_names_the_mistake(says: str) -> None:
    assert says in check_fold_before(FOLDS[says]).says


def forwards(layers: list[tuple[int, int]], place: int) -> tuple[int, int]:
    return from_chapter("window")(layers[::-1], place)


def around_the_cell(layers: list[tuple[int, int]], place: int) -> tuple[int, int]:
    """As wide as it should be, around the middle of the cell that the feature stands for."""
    first, last = from_chapter("window")(layers, place)
    step = 1
    for _, stride in layers:
        step *= stride
    return first + step // 2, last + step // 2


def by_formula(layers: list[tuple[int, int]], place: int) -> tuple[float, float]:
    """Right in another way: the chapter's reach, half of it to either side of the middle tap."""
    side, step = 1, 1
    for kernel, stride in layers:
        side += (kernel - 1) * step
        step *= stride
    return place * step - (side - 1) / 2, place * step + (side - 1) / 2


def without_strides(layers: list[tuple[int, int]], place: int) -> tuple[int, int]:
    """In the right place, but every kernel counted as if it stood on the picture itself."""
    far, step = 0, 1
    for kernel, stride in layers:
        far += kernel // 2
        step *= stride
    return place * step - far, place * step + far


WINDOWS: dict[str, Callable[..., Any]] = {
    "walk from the feature": forwards,
    "too far to the right": around_the_cell,
    "gradient touches": without_strides,
    "too far to the left": lambda layers, place: forwards(layers, 0),
    "shape": lambda layers, place: place,
}


def test_window() -> None:
    withstands(check_window, from_chapter("window"), WINDOWS.values())
    assert check_window(by_formula)


@pytest.mark.parametrize("says", WINDOWS)
def test_window_names_the_mistake(says: str) -> None:
    assert says in check_window(WINDOWS[says]).says


def unfused(c: int, k: int, e: float, p: int) -> int:
    config = replace(PRESETS["mini"].encoder, expand=e)
    block = EDBlock(c, p, k, config) if p else ESBlock(c, k, config)
    return sum(w.numel() for w in block.parameters())


def right(c: int, k: int, e: float, p: int) -> int:
    return int(from_chapter("formula")(c, k, e, p))


BLOCKS: dict[str, Callable[..., Any]] = {
    "before it is fused": unfused,
    "GRN's gamma and beta": lambda c, k, e, p: right(c, k, e, p) - 2 * int(e * c),
    "biases are missing": lambda c, k, e, p: int(2 * e * c * c + c * (9 + k * k + 11 * e) + p * c),
    "what GSM adds": lambda c, k, e, p: right(c, k, e, 0),
    "every convolution has": lambda c, k, e, p: right(c, k, e, p) - c,
    "block without GSM": lambda c, k, e, p: right(c, k, e, 0) + p * c + c,
    "too many": lambda c, k, e, p: right(c, k, e, p) + 7,
}


def test_block() -> None:
    withstands(check_block, from_chapter("formula"), BLOCKS.values())


@pytest.mark.parametrize("says", BLOCKS)
def test_block_names_the_mistake(says: str) -> None:
    assert says in check_block(BLOCKS[says]).says
