"""Bytes of weights as int8 by the rule of npu.size, and as a file has them."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.onnx_models import model, numbers, one, weight
from uvlm_mini.model import UVLM
from uvlm_mini.npu import cost
from uvlm_mini.npu.check import check
from uvlm_mini.npu.graph import Graph
from uvlm_mini.npu.size import int8_bytes
from uvlm_mini.paths import data_path
from uvlm_mini.quantize import export
from uvlm_mini.reparam import fuse

PICTURE = {"a": (1, 8, 12, 12)}


@pytest.mark.parametrize(("built", "expected"), [
    (one("Conv", PICTURE, [weight("w", 6, 8, 3, 3)]), 6 * 8 * 9 + 4 * 6),
    (one("Conv", PICTURE, [weight("w", 6, 8, 3, 3), weight("x", 6)]), 6 * 8 * 9 + 4 * 6 + 4 * 6),
    (one("Conv", PICTURE, [weight("w", 8, 1, 3, 3)], group=8), 8 * 9 + 4 * 8),
    (one("ConvTranspose", PICTURE, [weight("w", 8, 3, 2, 2)], group=2), 8 * 3 * 4 + 4 * 6),
    (one("MatMul", {"a": (1, 4, 8)}, [weight("w", 8, 3)]), 8 * 3 + 4 * 3),
    (one("MatMul", {"a": (2, 4, 8)}, [weight("w", 2, 8, 3)]), 2 * 8 * 3 + 4 * 6),
    (one("MatMul", {"a": (4, 8)}, [weight("w", 8)]), 8 + 4),
    (one("MatMul", {"x": (1, 8, 3)}, [weight("w", 4, 8)]), 4 * 8 + 4 * 4),
    (one("Gemm", {"a": (1, 8)}, [weight("w", 8, 3), weight("x", 3)]), 8 * 3 + 4 * 3 + 4 * 3),
    (one("Gemm", {"a": (1, 8)}, [weight("w", 3, 8)], transB=1), 8 * 3 + 4 * 3),
    (one("Gemm", {"x": (8, 1)}, [weight("w", 8, 3)], transA=1), 8 * 3 + 4 * 3),
    (one("Gather", {"x": (1, 2)}, [weight("w", 9, 4)]), 9 * 4 + 4 * 9),
    (one("Add", PICTURE, [weight("w", 8, 1, 1)]), 2 * 8),
    (one("Mul", {"a": (1, 8)}, [weight("w")]), 2),
    (one("PRelu", PICTURE, [weight("w", 8, 1, 1)]), 2 * 8),
    (one("LayerNormalization", {"a": (1, 8)}, [weight("w", 8), weight("x", 8)]), 2 * 16),
    (one("Clip", PICTURE, [weight("w"), weight("x")]), 0),
    (one("Reshape", PICTURE, [numbers("w", 1, -1)]), 0),
    (one("LSTM", {"a": (5, 1, 3)}, [weight("r0", 2, 16, 3), weight("r1", 2, 16, 4), weight("r2", 2, 32)],
         hidden_size=4, direction="bidirectional"), 2 * 16 * (3 + 4) + 4 * 2 * 32 + 4 * 2 * 32),
])  # fmt: skip
def test_bytes_by_hand(built: onnx.ModelProto, expected: int) -> None:
    """A byte a weight and four a scale of each output channel, four a bias, two what is neither."""
    if built.graph.node[0].op_type == "Gather":
        built.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
        built.graph.node[0].input[:] = ["w", "x"]
    assert check(built).weight_bytes == expected


def test_a_weight_is_counted_as_it_is_read() -> None:
    """Turned before it is used, used twice, or made of two others: once, and by what is read at run time."""
    turned = [helper.make_node("Transpose", ["w"], ["v"]), helper.make_node("MatMul", ["a", "v"], ["y"])]
    assert check(model(turned, {"a": (1, 8)}, [weight("w", 3, 8)])).weight_bytes == 24 + 4 * 3
    table = [helper.make_node("Gather", ["w", "i"], ["b"]), helper.make_node("Transpose", ["w"], ["v"]),
             helper.make_node("MatMul", ["b", "v"], ["y"])]  # fmt: skip
    tied = model(table, {"a": (1, 8)}, [weight("w", 3, 8), numbers("i", 0)])
    tied.graph.node[0].input[1] = "j"
    tied.graph.input[0].CopyFrom(helper.make_tensor_value_info("j", TensorProto.INT64, [1]))
    assert check(tied).weight_bytes == 24 + 4 * 3 and check(tied).file_weight_bytes == 4 * 24
    made = [helper.make_node("Mul", ["w", "f"], ["v"]), helper.make_node("MatMul", ["a", "v"], ["y"])]
    verdict = check(model(made, {"a": (1, 8)}, [weight("w", 8, 3), weight("f", 1, 3)]))
    assert verdict.weight_bytes == 24 + 4 * 3 and verdict.file_weight_bytes == 4 * (24 + 3)


def test_a_norm_that_folds_leaves_a_bias() -> None:
    """Into a convolution that has one already it leaves nothing; alone it is a norm."""
    norm = [weight(name, 6) for name in "bcde"]
    after = helper.make_node("BatchNormalization", ["t", *"bcde"], ["y"])
    for more, expected in (([], 4 * 6), ([weight("x", 6)], 4 * 6)):
        conv = helper.make_node("Conv", ["a", "w", *(tensor.name for tensor in more)], ["t"])
        built = model([conv, after], PICTURE, [weight("w", 6, 8, 1, 1), *more, *norm])
        assert check(built).weight_bytes == 6 * 8 + 4 * 6 + expected
    alone = one("BatchNormalization", PICTURE, [weight(name, 8) for name in "bcde"])
    assert check(alone).weight_bytes == 2 * 4 * 8


def test_a_quantized_file_has_its_own_bytes() -> None:
    """Weights, scales, zero points and biases as they stand there, and nothing by rule."""
    constants = [
        numpy_helper.from_array(np.float32(0.1), "s"), numpy_helper.from_array(np.int8(0), "z"),
        numpy_helper.from_array(np.ones((8, 3), np.int8), "w8"),
        numpy_helper.from_array(np.full(3, 0.1, np.float32), "sw"),
        numpy_helper.from_array(np.zeros(3, np.int8), "zw"),
    ]  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["a", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["w8", "sw", "zw"], ["w"], axis=1),
        helper.make_node("MatMul", ["d", "w"], ["f"]),
        helper.make_node("QuantizeLinear", ["f", "s", "z"], ["r"]),
        helper.make_node("DequantizeLinear", ["r", "s", "z"], ["y"]),
    ]
    verdict = check(model(nodes, {"a": (1, 8)}, constants))
    assert verdict.weight_bytes == verdict.file_weight_bytes == 24 + 4 * 3 + 3 + 4 + 1


def test_both_files_take_what_their_modules_take() -> None:
    """The exported pair by the rule here, and the modules by npu.size: equal, but for the scalars of norms.

    The embedding stands in the step as its output matrix, once. A scalar, such as an epsilon, counts two bytes.
    """
    net = UVLM.load(data_path("uvlm_mini.safetensors")).eval()
    total, scalars = 0, 0
    for built in (export.encoder_graph(net), export.step_graph(net)):
        graph = Graph(built)
        found: dict = {}
        for node in graph.nodes:
            found |= {key: size for key, size in cost.int8_weights(graph, node).items() if key not in found}
        assert check(built).weight_bytes == sum(found.values())
        total += sum(found.values())
        scalars += sum(size == 2 for size in found.values())
    assert total == int8_bytes(fuse(net)) + 2 * scalars and 0 < scalars < 10
