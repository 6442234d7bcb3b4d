"""What the figures of chapter 8 are made of, the widget, and the listener between the nodes of a graph."""

import numpy as np
import onnx
import pytest
from onnx import parser

from uvlm_mini.quantize import cfq, layers, show
from uvlm_mini.quantize.affine import scale_and_zero_point, sqnr

X = np.random.default_rng(0).standard_t(4, 20_000).astype(np.float32)


def test_a_tail_is_cut_on_both_sides() -> None:
    """Of the values the given share lies outside; zero never does."""
    low, high = show.ends(X, 0.01)
    assert ((low > X) | (high < X)).mean() == pytest.approx(0.01, abs=1e-4)
    assert show.ends(X, 0) == (X.min(), X.max())
    assert show.ends(X + 100, 0.5)[0] == 0


@pytest.mark.parametrize("symmetric", [False, True])
def test_noise_has_two_sources_and_no_third(symmetric: bool) -> None:
    """Rounding and clipping together are the whole error; without a tail nothing is cut off."""
    for tail in (0, 0.01, 0.1):
        chosen = (*show.ends(X, tail), 5, symmetric)
        parts = show.split_noise(X, *chosen)
        assert sum(parts) == pytest.approx(np.square(X.astype(float) - show.rounded(X, *chosen)).mean())
        scale, _ = scale_and_zero_point(*chosen)
        assert parts[0] <= np.square(scale / 2) * (1 + 1e-5)
        assert (parts[1] > 0.01 * parts[0]) == (tail > 0)


def test_widget_follows_the_hand() -> None:
    """Each control changes the picture and what is told, and back."""
    import matplotlib.pyplot as plt

    widget = show.ruler_widget(X[:2000], bits=4, tail=0.001)
    depth, cut, even, says, picture = widget.children
    first = picture.value, says.value
    for control, other, back in ((depth, 8, 4), (cut, 0.0, 0.001), (even, True, False)):
        control.value = other
        assert picture.value != first[0] and says.value != first[1]
        control.value = back
        assert (picture.value, says.value) == first
    even.value = True
    assert "zero point <b>0</b>" in says.value
    assert not plt.get_fignums()


# --- between the nodes ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def graph() -> onnx.ModelProto:
    """Three nodes: a product, something that bends, and a sum with the input."""
    model = parser.parse_model(
        """<ir_version: 10, opset_import: ["": 18]>
        net (float[1, 8] x) => (float[1, 8] y) <float[8, 8] w> {
            product = Gemm <transB = 1> (x, w)
            bent = HardSwish (product)
            y = Add (bent, x)
        }"""
    )
    w = np.random.default_rng(1).normal(size=(8, 8)).astype(np.float32)
    del model.graph.initializer[:]
    model.graph.initializer.append(onnx.numpy_helper.from_array(w, "w"))
    return model


RUNS = [{"x": row[None].astype(np.float32)} for row in np.random.default_rng(2).normal(size=(40, 8))]


def test_values_are_those_of_the_nodes(graph: onnx.ModelProto) -> None:
    """Computed once more by hand; the graph's own output is among them."""
    w = onnx.numpy_helper.to_array(graph.graph.initializer[0])
    x = np.stack([run["x"] for run in RUNS])
    found = layers.values(graph, RUNS)
    assert list(found) == layers.outputs(graph) == ["product", "bent", "y"]
    product = x @ w.T
    bent = product * np.clip(product + 3, 0, 6) / 6
    for name, expected in (("product", product), ("bent", bent), ("y", bent + x)):
        np.testing.assert_allclose(found[name], expected, atol=1e-5)
    assert len(graph.graph.output) == 1  # the graph was left as it is
    np.testing.assert_allclose(layers.values(graph, RUNS, ["bent"], fused=True)["bent"], bent, atol=1e-5)
    with pytest.raises(ValueError, match="puts out 'nobody'"):
        layers.values(graph, RUNS, ["nobody"])


def test_noise_is_what_the_next_node_hears(graph: onnx.ModelProto) -> None:
    """Behind QuantizeLinear and DequantizeLinear; the same by the values of both graphs."""
    int8 = cfq.quantized(graph, RUNS)
    at = layers.heard(int8)
    assert at["bent"] == "bent_DequantizeLinear_Output" and at["y"] == "y"
    found = layers.noise(graph, int8, RUNS)
    assert list(found) == layers.outputs(graph)
    real, rough = layers.values(graph, RUNS), layers.values(int8, RUNS)
    for name, ratio in found.items():
        assert ratio == pytest.approx(sqnr(real[name], rough[at[name]]))
        assert 25 < ratio < 60
    other = [{"x": run["x"] + np.float32(0.1)} for run in RUNS]
    assert layers.noise(graph, int8, RUNS, other)["y"] < found["y"] - 5
    assert all(ratio == float("inf") for ratio in layers.noise(graph, graph, RUNS).values())


def test_nothing_is_fused_unless_it_may_be(graph: onnx.ModelProto) -> None:
    """The int8 sums of a QLinear kernel and the float ones of separate nodes round alike, all but."""
    int8 = cfq.quantized(graph, RUNS)
    apart, joined = (layers.values(int8, RUNS, ["y_QuantizeLinear_Output"], fused)[
        "y_QuantizeLinear_Output"] for fused in (False, True))  # fmt: skip
    assert apart.dtype == joined.dtype == np.int8
    assert abs(apart.astype(int) - joined).max() <= 1
