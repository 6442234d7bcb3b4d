"""The checkers of chapter 12 take right answers, and say of wrong ones what is wrong."""

import re

import numpy as np
import pytest

from tests.answers import withstands
from uvlm_mini.config import OverModConfig
from uvlm_mini.exercises.munpus import check_encoder, check_unpack
from uvlm_mini.quantize.int4 import unpack


def by_table(packed: np.ndarray, columns: int) -> np.ndarray:
    """Another right answer: a table of both halves of every byte."""
    table = np.array([[(half ^ 8) - 8 for half in (byte & 15, byte >> 4)] for byte in range(256)])
    return table[packed].reshape(len(packed), -1)[:, :columns]


def spoil(packed: np.ndarray, columns: int) -> np.ndarray:
    """Right, but the bytes are gone afterwards."""
    found = unpack(packed, columns)
    packed[:] = 0
    return found


def test_right_answers_are_right() -> None:
    """The package's own, and one that is made differently."""
    assert check_unpack(unpack) and check_unpack(by_table)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda p, k: np.stack([p & 15, p >> 4], 2).reshape(len(p), -1)[:, :k], "makes 8, and not -8"),
        (lambda p, k: by_table((p >> 4) | (p << 4), k), "makes -7, and not -8"),
        (lambda p, k: by_table(p, 2 * p.shape[1]), "the shape"),
        (lambda p, k: by_table(p, k).sum(), r"the shape \(\)"),
        (lambda p, k: None, "the shape"),
        (lambda p, k: p[:, 99], "raises IndexError"),
        (spoil, "only read"),
    ],
)
def test_wrong_answers_are_told_why(wrong, says: str) -> None:
    """Signs, order, widths, and what is no answer."""
    verdict = check_unpack(wrong)
    assert not verdict
    assert re.search(says, verdict.says), verdict.says


SMALL = OverModConfig(widths=(16, 24, 32, 48), depths=(0, 0, 1, 1), mod_width=32, mod_depths=(1, 0), out=32)


@pytest.mark.slow
def test_encoders_for_the_max78000() -> None:
    """One that fits; too wide, too deep, without modulation, and for other pictures."""
    pytest.importorskip("onnxscript")
    from dataclasses import replace

    right = check_encoder(SMALL)
    assert right and "32 layers" in right.says and right.measured is not None and 0.5 < right.measured < 1
    wide = check_encoder(replace(SMALL, widths=(16, 32, 48, 64), mod_width=64, out=64))
    assert not wide and "has room for 442,368" in wide.says
    assert "the chip has 32" in check_encoder(replace(SMALL, depths=(0, 1, 1, 1))).says
    assert "no ED block" in check_encoder(replace(SMALL, mod_depths=(0, 0))).says
    assert "keep 64" in check_encoder(replace(SMALL, image=96)).says


def test_unpack_withstands_everything() -> None:
    """No answer, other types, mistakes and loops."""
    half = lambda p, k: np.repeat(p & 15, 2, 1)[:, :k]  # noqa: E731
    withstands(check_unpack, unpack, [half, lambda p, k: by_table(p, k) + 8, lambda p: p])


@pytest.mark.slow
def test_encoder_withstands_everything() -> None:
    """No answer, other types, and two encoders that do not fit."""
    pytest.importorskip("onnxscript")
    from dataclasses import replace

    withstands(check_encoder, SMALL, [replace(SMALL, depths=(0, 1, 1, 1)), replace(SMALL, image=96)])
