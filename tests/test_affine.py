"""The affine map is onnxruntime's to the bit, and keeps the bounds that chapter 8 derives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uvlm_mini.quantize.affine import (
    dequantize,
    levels,
    quantize,
    quantize_weights,
    scale_and_zero_point,
    sqnr,
)

ends = st.floats(-1e4, 1e4, width=32)


@given(ends, ends, st.sampled_from([4, 8, 16]), st.booleans())
def test_scale_and_zero_point_are_onnxruntimes(one: float, other: float, bits: int, symmetric: bool) -> None:
    """Its own function, given the same ends, finds the same numbers."""
    from onnxruntime.quantization.quant_utils import compute_scale_zp

    low, high = np.array(sorted([one, other]), np.float32)[:, None]
    bottom, top = (np.array(end, np.int32) for end in levels(bits, symmetric))
    zero, scale = compute_scale_zp(low, high, bottom, top, symmetric)
    ours = scale_and_zero_point(low, high, bits, symmetric)
    assert (ours[0].item(), ours[1].item()) == (scale.item(), zero.item())


@pytest.fixture(scope="module")
def node() -> tuple:
    """QuantizeLinear and DequantizeLinear of onnxruntime, with scale and zero point as inputs."""
    import onnxruntime
    from onnx import TensorProto, helper

    named = {"x": TensorProto.FLOAT, "s": TensorProto.FLOAT, "z": TensorProto.INT8}
    inputs = [helper.make_tensor_value_info(n, kind, [None] if n == "x" else []) for n, kind in named.items()]
    outputs = [helper.make_tensor_value_info("q", TensorProto.INT8, [None])]
    outputs.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, [None]))
    nodes = [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"])]
    nodes.append(helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]))
    graph = helper.make_graph(nodes, "qdq", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return (onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]),)


@pytest.mark.parametrize(("low", "high"), [(-0.375, 12.6), (-13.7, 12.6), (0, 1e-3), (3, 5), (-0.5, 0.5)])
def test_rounding_is_onnxruntimes(low: float, high: float, node: tuple) -> None:
    """Halves, ends and what lies beyond them included."""
    scale, zero = scale_and_zero_point(low, high)
    halves = (np.arange(-140, 140) + 0.5 - zero) * scale
    x = np.concatenate([halves, np.random.default_rng(0).uniform(2 * low - 1, 2 * high + 1, 5000)]).astype(np.float32)
    q, y = node[0].run(None, {"x": x, "s": scale, "z": np.array(zero, np.int8)})
    np.testing.assert_array_equal(quantize(x, scale, zero), q)
    np.testing.assert_array_equal(dequantize(q, scale, zero), y)


@given(st.lists(ends, min_size=2, max_size=20), st.sampled_from([2, 4, 8]))
def test_error_is_half_a_step_inside_of_the_range(values: list[float], bits: int) -> None:
    """And a whole one at its ends, which the rounding of the zero point moves by half a step at most."""
    x = np.array(values, np.float32)
    scale, zero = scale_and_zero_point(x.min(), x.max(), bits)
    error = np.abs(dequantize(quantize(x, scale, zero, bits), scale, zero) - x)
    bottom, top = (dequantize(end, scale, zero) for end in levels(bits))
    inside = (x >= bottom) & (x <= top)
    room = 1 + 1e-4  # float32's own rounding
    assert (error[inside] <= scale / 2 * room).all()
    assert (error <= scale * room).all()


@given(ends, ends, st.sampled_from([2, 4, 8]), st.booleans())
def test_zero_has_a_level(one: float, other: float, bits: int, symmetric: bool) -> None:
    """Whatever the range is."""
    scale, zero = scale_and_zero_point(min(one, other), max(one, other), bits, symmetric)
    bottom, top = levels(bits, symmetric)
    assert bottom <= zero <= top
    assert quantize(0.0, scale, zero, bits) == zero
    assert dequantize(zero, scale, zero) == 0
    assert zero == 0 or not symmetric


def test_weights_a_channel_are_never_worse() -> None:
    """A channel's own scale is the smaller one, or the same; both are onnxruntime's."""
    from onnx import TensorProto
    from onnxruntime.quantization.quant_utils import quantize_data

    sizes = np.array([1, 2, 4, 8, 0, 0.1]).reshape(6, 1, 1, 1)
    w = np.array(np.random.default_rng(0).normal(size=(6, 3, 2, 2)) * sizes, np.float32)
    q, scale = quantize_weights(w)
    one, for_all = quantize_weights(w, per_channel=False)
    assert q.dtype == np.int8 and scale.shape == (6, 1, 1, 1) and for_all.shape == (1, 1, 1, 1)
    for channel in range(6):
        _, expected, rows = quantize_data(w[channel], TensorProto.INT8, symmetric=True)
        np.testing.assert_array_equal(q[channel], rows)
        assert scale[channel].item() == expected
    _, expected, rows = quantize_data(w, TensorProto.INT8, symmetric=True)
    np.testing.assert_array_equal(one, rows)
    assert for_all.item() == expected
    assert (abs(q * scale - w) <= abs(one * for_all - w).max(initial=0) + 1e-6).all()
    assert sqnr(w, q * scale) > sqnr(w, one * for_all)
    assert (abs(q).reshape(6, -1).max(1) == [127, 127, 127, 127, 0, 127]).all()


def test_sqnr_by_hand() -> None:
    """An error of a tenth is 20 dB; no error is no noise; a bit is 6 dB."""
    x = np.random.default_rng(0).uniform(-1, 1, 100_000)
    assert sqnr(x, 1.1 * x) == pytest.approx(20)
    assert sqnr(x, x) == float("inf")
    found = []
    for bits in range(6, 13):
        scale, zero = scale_and_zero_point(-1, 1, bits)
        found.append(sqnr(x, dequantize(quantize(x, scale, zero, bits), scale, zero)))
    np.testing.assert_allclose(np.diff(found), 20 * np.log10(2), atol=0.15)
    assert found[2] == pytest.approx(20 * 8 * np.log10(2), abs=0.1)  # of an even distribution over the whole range


def test_a_range_that_is_none_is_refused() -> None:
    """One sentence."""
    for low, high in ((np.nan, 1), (0, np.inf)):
        with pytest.raises(ValueError, match="not finite"):
            scale_and_zero_point(low, high)
