"""Weights of four bits: packed and unpacked exactly, and rounded by no more than half a step."""

import numpy as np
import pytest

from uvlm_mini.quantize import int4
from uvlm_mini.quantize.affine import quantize_weights


def matrix(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """Weights whose rows and groups are of different size, as trained ones are."""
    dice = np.random.default_rng(seed)
    parts = np.repeat(dice.normal(size=(rows, -(-columns // 8))), 8, 1)[:, :columns]
    sizes = np.exp(dice.normal(size=(rows, 1)) + parts)
    return (dice.normal(size=(rows, columns)) * sizes).astype(np.float32)


@pytest.mark.parametrize("columns", [0, 1, 2, 7, 32, 33])
def test_pack_and_unpack_are_inverse(columns: int) -> None:
    """Every pair of values, at every width, odd ones too."""
    q = np.random.default_rng(columns).integers(-8, 8, (50, columns), dtype=np.int8)
    packed = int4.pack(q)
    assert packed.dtype == np.uint8 and packed.shape == (50, -(-columns // 2))
    np.testing.assert_array_equal(int4.unpack(packed, columns), q)


def test_every_byte_is_two_weights() -> None:
    """All 256 bytes, against their halves read as two's complement, the even column low."""
    pairs = [(low, high) for high in (*range(8), *range(-8, 0)) for low in (*range(8), *range(-8, 0))]
    np.testing.assert_array_equal(int4.unpack(np.arange(256, dtype=np.uint8)[:, None], 2), pairs)
    np.testing.assert_array_equal(int4.pack(np.array(pairs)).ravel(), np.arange(256))


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("group", [None, 1, 8, 32, 64])
def test_rounding_is_bounded(bits: int, group: int | None) -> None:
    """Half a step at most; and a step is the group's own, or one part of the row's more where g was rounded up."""
    w = matrix(40, 64)
    made = int4.coarse(w, bits, group)
    top = 2 ** (bits - 1) - 1
    assert made.q.dtype == np.int8 and np.abs(made.q).max() == top
    assert made.g.shape == (40, 64 // (group or 64)) and made.g.min() >= 1 and made.g.max() <= int4.MOST
    assert (np.abs(made.real - w) <= made.step / 2 * (1 + 1e-4)).all()
    own = np.abs(w).reshape(40, -1, group or 64).max(2).repeat(group or 64, 1) / top
    assert (made.step <= own + made.scale * (1 + 1e-4)).all()


def test_a_matrix_of_four_bits_is_one_of_int8() -> None:
    """g q fits int8, and int8 times the row's scale is the matrix: to the bit."""
    made = int4.coarse(matrix(40, 64), group=32)
    wide = made.q.astype(int) * made.g.astype(int).repeat(32, 1)
    assert np.abs(wide).max() == 126
    np.testing.assert_array_equal(made.int8, wide)
    np.testing.assert_array_equal(made.real, wide.astype(np.float32) * made.scale)


def test_one_scale_a_row_is_chapter_8s() -> None:
    """The same integers as those of quantize_weights with four bits."""
    w = matrix(30, 48)
    q, scale = quantize_weights(w, 4)
    made = int4.coarse(w)
    np.testing.assert_array_equal(made.q, q)
    np.testing.assert_allclose(made.scale, scale, rtol=1e-6)


def test_smaller_groups_are_nearer() -> None:
    """The error falls with the group, on rows whose parts differ in size."""
    w = matrix(40, 64)
    errors = [np.square(int4.coarse(w, group=group).real - w).sum() for group in (None, 32, 8)]
    assert errors[0] > errors[1] > errors[2]


def test_rows_of_zeros_stay_zero() -> None:
    """A word that was never heard has a row of zeros, and a group may."""
    w = matrix(3, 64)
    w[1], w[2, :32] = 0, 0
    for group in (None, 32):
        made = int4.coarse(w, group=group)
        assert np.isfinite(made.scale).all() and not made.real[1].any() and not made.real[2, :32].any()


def test_bytes_are_those_of_the_arrays() -> None:
    """What `held` counts is what `pack` and `coarse` make."""
    for columns, group in ((64, None), (64, 32), (63, None)):
        made = int4.coarse(matrix(10, columns), group=group)
        assert int4.held(10, columns, group) == int4.pack(made.q).nbytes + (made.g.nbytes if group else 0)


def test_what_cannot_be_is_said() -> None:
    """One sentence each."""
    w = matrix(4, 64)
    with pytest.raises(ValueError, match="Groups of 24 do not divide 64 columns"):
        int4.coarse(w, group=24)
    with pytest.raises(ValueError, match="Groups of 0"):
        int4.coarse(w, group=0)
    with pytest.raises(ValueError, match="5 bits"):
        int4.coarse(w, 5)
    with pytest.raises(ValueError, match="no finite matrix"):
        int4.coarse(np.full((2, 2), np.nan))
    with pytest.raises(ValueError, match="no finite matrix"):
        int4.coarse(w[0])
    with pytest.raises(ValueError, match="from -9 to 8 do not fit"):
        int4.pack(np.array([[-9, 8]]))
    with pytest.raises(ValueError, match="no matrix of integers"):
        int4.pack(w)
    with pytest.raises(ValueError, match=r"give \(O, 2\) of uint8"):
        int4.unpack(np.zeros((1, 3), np.uint8), 4)
    with pytest.raises(ValueError, match="no rows of 4 packed"):
        int4.unpack(np.zeros((1, 2), np.int8), 4)


def test_exchange_is_exact() -> None:
    """The int8 step with a coarse matrix holds that matrix; with its own it stays as it was, for both uses."""
    pytest.importorskip("onnxruntime")
    from onnx import helper, numpy_helper

    from uvlm_mini.quantize.pair import embedding

    w = matrix(5, 64)
    q, scale = quantize_weights(w)
    held = [
        numpy_helper.from_array(array, name)
        for name, array in (
            ("weight", q), ("scale", scale[:, 0]), ("zero", np.zeros(5, np.int8)), ("step", np.float32(0.1)),
            ("middle", np.int8(3)),
        )
    ]  # fmt: skip
    nodes = [
        helper.make_node("DequantizeLinear", ["weight", "scale", "zero"], ["real"], axis=0),
        helper.make_node("Gemm", ["y", "real"], ["product"], transB=1),
        helper.make_node("QuantizeLinear", ["product", "step", "middle"], ["rounded"]),
        helper.make_node("DequantizeLinear", ["rounded", "step", "middle"], ["logits"]),
    ]
    step = helper.make_model(helper.make_graph(nodes, "step", [], [], held))
    before = step.SerializeToString()
    for bits, group in ((4, None), (4, 32), (2, 32)):
        made = int4.coarse(w, bits, group)
        np.testing.assert_array_equal(embedding(int4.exchange(step, made)), made.real)
    assert step.SerializeToString() == before
    own = int4.Coarse(q, np.ones((5, 1), np.uint8), scale, 8)
    assert int4.exchange(step, own).SerializeToString() == before
    with pytest.raises(ValueError, match="give a matrix like it"):
        int4.exchange(step, int4.coarse(matrix(6, 64)))
    step.graph.node[1].input.append("bias")
    with pytest.raises(ValueError, match="no int8 matrix without a bias"):
        int4.exchange(step, made)
