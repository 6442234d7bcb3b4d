"""Changes to a network for a stricter µNPU: exact where they say so, and each takes away what it is there for."""

from collections import Counter

import numpy as np
import onnx
import pytest
import torch

from tests.conftest import TINY
from tests.test_export import randomised
from uvlm_mini.npu import rewrite
from uvlm_mini.npu.check import check
from uvlm_mini.npu.graph import Graph
from uvlm_mini.npu.rewrite import CHANGES, EXACT, changed

GONE = {  # what may not be there after a change
    "ReLU for H-Swish": {"HardSwish"},
    "GRN out": {"Sqrt", "Div", "Mul"},
    "ConvTranspose for Resize": {"Resize"},
    "a sum for Concat": {"Concat"},
    "a pool for the mean": {"ReduceMean", "Gemm"},
}
Series = dict[str, onnx.ModelProto]


@pytest.fixture(scope="module")
def series() -> Series:
    """A small encoder as it is, and after every change, one on top of the other."""
    pytest.importorskip("onnxscript")
    from uvlm_mini.quantize.export import encoder_graph

    torch.manual_seed(0)
    made = {"": encoder_graph(randomised(TINY))}
    for name, change in CHANGES.items():
        made[name] = changed(list(made.values())[-1], change)
    return made


def outputs(model: onnx.ModelProto) -> list[np.ndarray]:
    """What onnxruntime computes of a picture by lot, each output as a line of numbers."""
    onnxruntime = pytest.importorskip("onnxruntime")
    side = model.graph.input[0].type.tensor_type.shape.dim[-1].dim_value
    picture = np.random.default_rng(0).uniform(-1, 1, (1, 3, side, side)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [found.ravel() for found in session.run(None, {"picture": picture})]


def operators(model: onnx.ModelProto) -> Counter[str]:
    """Nodes by operator."""
    return Counter(node.op_type for node in model.graph.node)


@pytest.mark.parametrize("name", CHANGES)
def test_change_is_exact_or_another_network(series: Series, name: str) -> None:
    """Exact changes keep every output to rounding; the others do not, and are not called exact. All files are whole."""
    names = list(series)
    before, after = series[names[names.index(name) - 1]], series[name]
    onnx.checker.check_model(after, full_check=True)
    far = [float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(outputs(after), outputs(before), strict=True)]
    assert max(far) < 1e-5 if name in EXACT else max(far) > 1e-3, far
    assert not GONE.get(name, set()) & set(operators(after))


def test_every_change_leaves_fewer_nodes_to_others(series: Series) -> None:
    """After the last one every node is on the chip; no change makes it worse."""
    left = [
        sum(node.where not in ("hw", "folded") for node in check(model, "max78000").nodes) for model in series.values()
    ]
    assert left[-1] == 0 and left[0] > 20
    assert left == sorted(set(left), reverse=True)


def test_depthwise_of_three_is_exact_alone(series: Series) -> None:
    """A diagonal kernel computes what a depthwise one did; of 5 x 5 the middle is kept, and that is another network."""
    model = series["pools for strides"]

    def small(work: rewrite.Work, node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        kernel = work.value(node, 1)
        return rewrite.dense(work, node) if kernel is not None and kernel.shape[2:] == (3, 3) else None

    after = changed(model, small)
    for a, b in zip(outputs(after), outputs(model), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max())
    assert check(after, "max78000").weight_bytes > check(model, "max78000").weight_bytes


def test_maps_are_enlarged_once(series: Series) -> None:
    """Those that share a map share its enlarging, and nobody else's is touched."""
    before, after = (series[name] for name in ("dense for depthwise", "enlarge first, once"))
    assert operators(after)["Resize"] < operators(before)["Resize"]
    sources = [node.input[0] for node in after.graph.node if node.op_type == "Resize"]
    assert len(set(sources)) == len(sources)
    assert operators(after)["Conv"] == operators(before)["Conv"]


def test_what_a_change_does_not_know_stays(series: Series) -> None:
    """Each change leaves its own result as it is: a second time there is nothing to do."""
    for name, change in CHANGES.items():
        again = changed(series[name], change)
        assert operators(again) == operators(series[name]), name


def test_the_model_that_was_given_is_left_alone(series: Series) -> None:
    """A change works on a copy, and keeps no weight that nobody reads."""
    before = series[""].SerializeToString(deterministic=True)
    after = changed(series[""], CHANGES["GRN out"])
    assert series[""].SerializeToString(deterministic=True) == before
    read = {name for node in after.graph.node for name in node.input}
    assert {part.name for part in after.graph.initializer} <= read
    assert Graph(after).outputs == Graph(series[""]).outputs
