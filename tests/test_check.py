"""Verdicts on ONNX files: small graphs by hand, files that torch.onnx writes, and files that are none."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tests.conftest import ROOT
from tests.onnx_models import RNG, model, numbers, one, only, weight
from uvlm_mini import cli
from uvlm_mini.datasets.vision import need_torchvision
from uvlm_mini.npu import reader, stm32n6
from uvlm_mini.npu.check import PLACES, check, table
from uvlm_mini.npu.graph import Graph, load
from uvlm_mini.npu.operators import CHIPS, ONNX_NAMES, SOURCES, TARGETS, lookup

# --------------------------------------------------------------------------------------------------------------------
# conditions

PICTURE = {"a": (1, 8, 12, 12)}
CASES = {
    "Conv 3x3": (one("Conv", PICTURE, [weight("w", 4, 8, 3, 3)]), "hw", ""),
    "Conv 7x7": (one("Conv", PICTURE, [weight("w", 4, 8, 7, 7)]), "hw", "7x7 kernel, split"),
    "Conv 1x6 at stride 1": (one("Conv", PICTURE, [weight("w", 4, 8, 1, 6)]), "hw", ""),
    "Conv 1x7 at stride 1": (one("Conv", PICTURE, [weight("w", 4, 8, 1, 7)]), "hw", "split"),
    "Conv 2x7 at stride 2": (one("Conv", PICTURE, [weight("w", 4, 8, 2, 7)], strides=[2, 2]), "hw", ""),
    "Conv of stride 3": (one("Conv", PICTURE, [weight("w", 4, 8, 3, 3)], strides=[3, 3]), "hw", "stride 3x3"),
    "Conv, wide": (one("Conv", {"a": (1, 200, 3, 11)}, [weight("w", 4, 200, 1, 1)]), "hw", "2200 > 2048"),
    "Conv, wide and of height 1": (one("Conv", {"a": (1, 200, 1, 11)}, [weight("w", 4, 200, 1, 1)]), "hw", ""),
    "Conv, dilated": (one("Conv", PICTURE, [weight("w", 4, 8, 3, 3)], dilations=[2, 2]), "conditional", "dilation"),
    "Conv, grouped": (one("Conv", PICTURE, [weight("w", 4, 4, 3, 3)], group=2), "conditional", "undocumented"),
    "Conv with a computed kernel": (one("Conv", {**PICTURE, "b": (4, 8, 3, 3)}), "refused", "must be a constant"),
    "Conv of a volume": (one("Conv", {"a": (1, 2, 5, 5, 5)}, [weight("w", 2, 2, 3, 3, 3)]), "refused", "5 dim"),
    "MatMul by a constant": (one("MatMul", {"a": (1, 4, 8)}, [weight("w", 8, 3)]), "hw", "constant"),
    "MatMul of two": (one("MatMul", {"a": (1, 4, 8), "b": (1, 8, 3)}), "software", "both operands are computed"),
    "MatMul of a constant": (one("MatMul", {"x": (1, 8, 3)}, [weight("w", 4, 8)]), "software", "second operand is"),
    "Gemm by a constant": (one("Gemm", {"a": (1, 8)}, [weight("w", 8, 3)]), "hw", "constant"),
    "Gemm of two": (one("Gemm", {"a": (1, 8), "b": (8, 3)}), "software", "both operands are computed"),
    "Add": (one("Add", {"a": (1, 8, 4, 4), "b": (1, 8, 4, 4)}), "hw", ""),
    "Add of a channel": (one("Add", {"a": (1, 8, 4, 4)}, [weight("w", 8, 1, 1)]), "hw", "broadcast of 8x1x1"),
    "Add of a map": (one("Add", {"a": (1, 8, 4, 4), "b": (1, 1, 4, 4)}), "hw", "broadcast of 1x1x4x4"),
    "Add of a whole constant": (one("Add", {"a": (1, 8, 4, 4)}, [weight("w", 8, 4, 4)]), "hw", ""),
    "Add of channel and row": (one("Add", {"a": (1, 8, 4, 4), "b": (1, 8, 4, 1)}), "refused", "HW only"),
    "Add both ways": (one("Add", {"a": (1, 8, 4, 1), "b": (1, 1, 4, 4)}), "refused", "both ways"),
    "Sub from a constant": (one("Sub", {"x": (1, 8, 4, 4)}, [weight("w", 1)]), "software", "seen on the CPU"),
    "Sub of a constant": (one("Sub", {"a": (1, 8, 4, 4)}, [weight("w", 1)]), "hw", "broadcast"),
    "Div by a constant": (one("Div", {"a": (1, 8)}, [weight("w", 1)]), "hw", "constant"),
    "Div by a tensor": (one("Div", {"a": (1, 8), "b": (1, 8)}), "software", "computed"),
    "Pow": (one("Pow", {"a": (1, 8)}, [weight("w", 1)]), "hw", "constant"),
    "Softmax": (one("Softmax", {"a": (1, 8)}), "conditional", "--expand-softmax"),
    "MaxPool 2x2": (one("MaxPool", PICTURE, kernel_shape=[2, 2], strides=[2, 2]), "hw", ""),
    "AveragePool 4x4": (one("AveragePool", PICTURE, kernel_shape=[4, 4]), "hw", "4x4 window, split"),
    "AveragePool of stride 16": (
        one("AveragePool", {"a": (1, 1, 32, 32)}, kernel_shape=[16, 16], strides=[16, 16]), "refused", "at most 15"),
    "GlobalAveragePool": (one("GlobalAveragePool", {"a": (1, 8, 3, 3)}), "hw", ""),
    "ReduceMean, global": (one("ReduceMean", PICTURE, axes=[-1, -2]), "hw", "in disguise"),
    "ReduceMean, by an input": (one("ReduceMean", PICTURE, [numbers("w", 2, 3)], opset=18), "hw", "in disguise"),
    "ReduceMean of channels": (one("ReduceMean", PICTURE, axes=[1]), "software", "no global pool"),
    "ReduceMean of a row": (one("ReduceMean", PICTURE, axes=[3]), "software", "no global pool"),
    "ReduceSum": (one("ReduceSum", PICTURE), "software", "In float"),
    "Concat of channels": (one("Concat", {**PICTURE, "b": (1, 2, 12, 12)}, axis=1), "hybrid", "fast"),
    "Concat of rows": (one("Concat", {**PICTURE, "b": (1, 8, 2, 12)}, axis=2), "hybrid", "a copy loop"),
    "Slice": (one("Slice", PICTURE, [numbers("b", 0), numbers("c", 3), numbers("d", 2)]), "hybrid", "Not along"),
    "Slice of the batch": (
        one("Slice", {"a": (4, 8)}, [numbers("b", 0), numbers("c", 3), numbers("d", 0)]), "refused", "batch"),
    "Pad": (one("Pad", PICTURE, [numbers("w", 0, 0, 1, 1, 0, 0, 1, 1)]), "hw", ""),
    "Pad, reflected": (one("Pad", PICTURE, [numbers("w", 0, 0, 1, 1, 0, 0, 1, 1)], mode="reflect"), "hybrid", "refl"),
    "Reshape": (one("Reshape", PICTURE, [numbers("w", 1, -1)]), "hw", ""),
    "Reshape to five": (one("Reshape", PICTURE, [numbers("w", 1, 2, 4, 12, 12)]), "refused", "5 dimensions"),
    "Reshape, allowzero": (one("Reshape", PICTURE, [numbers("w", 1, 1152)], allowzero=1), "refused", "allowzero"),
    "Transpose": (one("Transpose", PICTURE, perm=[0, 2, 3, 1]), "hybrid", "attention"),
    "BatchNormalization alone": (
        one("BatchNormalization", PICTURE, [weight(name, 8) for name in "bcde"]), "software", "no convolution"),
    "LayerNormalization": (one("LayerNormalization", {"a": (1, 8)}, [weight("w", 8)]), "software", "float routines"),
    "HardSigmoid": (one("HardSigmoid", {"a": (1, 8)}), "unknown", "In no readable copy"),
    "Det": (one("Det", {"a": (1, 8, 8)}), "unknown", "no source names it"),
    "Einsum": (one("Einsum", {"a": (1, 8), "b": (8, 3)}, equation="ij,jk->ik"), "refused", "front end"),
    "NonZero": (one("NonZero", {"a": (1, 8)}), "refused", "depends on the data"),
    "LSTM": (
        model([helper.make_node("LSTM", ["a", "w", "r"], ["y"], hidden_size=4)], {"a": (5, 1, 3)},
              [weight("w", 1, 16, 3), weight("r", 1, 16, 4)]), "software", "Cortex-M55"),
    "Expand": (one("Expand", {"a": (1, 8, 1)}, [numbers("w", 1, 8, 4)]), "software", "no mapping"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_conditions_of_stm32n6_are_looked_up(case: str) -> None:
    """The place, the reason, and the letters of the row that the verdict rests on."""
    built, where, why = CASES[case]
    node = only(check(built))
    assert (node.where, bool(node.why)) == (where, bool(why)) and why in node.why, node
    rule = lookup("stm32n6", node.row)
    assert (node.sources == rule.sources) if rule else (node.sources == () and where == "unknown")


@pytest.mark.parametrize(("scales", "mode", "where"), [
    ("asymmetric floor", "nearest", "hw"),
    ("half_pixel floor", "nearest", "software"),
    ("asymmetric ceil", "nearest", "software"),
    ("asymmetric floor", "linear", "software"),
])  # fmt: skip
def test_resize_has_one_way_on_the_npu(scales: str, mode: str, where: str) -> None:
    place, rounding = scales.split()
    node = helper.make_node(
        "Resize", ["a", "", "s"], ["y"], mode=mode, coordinate_transformation_mode=place, nearest_mode=rounding
    )
    s = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "s")
    assert only(check(model([node], PICTURE, [s]))).where == where


OTHER = {
    ("ethos-u55", "CONV_2D"): (one("Conv", PICTURE, [weight("w", 4, 8, 7, 7)], strides=[4, 4]), "hw"),
    ("ethos-u55", "CONV_2D of stride 5"): (one("Conv", PICTURE, [weight("w", 4, 8, 7, 7)], strides=[5, 5]), "software"),
    ("ethos-u55", "DEPTHWISE_CONV_2D"): (one("Conv", PICTURE, [weight("w", 8, 1, 3, 3)], group=8), "hw"),
    ("ethos-u55", "FULLY_CONNECTED"): (one("Gemm", {"a": (1, 8)}, [weight("w", 8, 3)]), "hw"),
    ("ethos-u55", "FULLY_CONNECTED to 3 dimensions"): (CASES["MatMul by a constant"][0], "software"),
    ("ethos-u55", "ADD"): (CASES["Add of channel and row"][0], "hw"),
    ("ethos-u55", "ADD of two ways"): (CASES["Add both ways"][0], "software"),
    ("ethos-u55", "BATCH_MATMUL"): (one("MatMul", {"a": (1, 4, 8), "b": (1, 8, 3)}), "software"),
    ("ethos-u55", "SOFTMAX"): (one("Softmax", {"a": (1, 8)}), "hw"),
    ("ethos-u55", "MEAN"): (one("GlobalAveragePool", PICTURE), "hw"),
    ("ethos-u55", ""): (one("Erf", {"a": (1, 8)}), "unknown"),
    ("max78000", "Conv2d"): (one("Conv", PICTURE, [weight("w", 4, 8, 3, 3)]), "hw"),
    ("max78000", "Conv2d of 5x5"): (one("Conv", PICTURE, [weight("w", 4, 8, 5, 5)]), "refused"),
    ("max78000", "Conv2d of stride 2"): (one("Conv", PICTURE, [weight("w", 4, 8, 3, 3)], strides=[2, 2]), "refused"),
    ("max78000", "Conv2d(depthwise)"): (one("Conv", PICTURE, [weight("w", 8, 1, 3, 3)], group=8), "refused"),
    ("max78000", "Conv1d"): (one("Conv", {"a": (1, 8, 40)}, [weight("w", 4, 8, 9)]), "hw"),
    ("max78000", "Linear"): (one("Gemm", {"a": (1, 8)}, [weight("w", 8, 3)]), "hw"),
    ("max78000", "Linear to 1025"): (one("Gemm", {"a": (1, 8)}, [weight("w", 8, 1025)]), "refused"),
    ("max78000", "Linear of 4 rows"): (CASES["MatMul by a constant"][0], "refused"),
    ("max78000", "MatMul(dynamic)"): (one("MatMul", {"a": (1, 4, 8), "b": (1, 8, 3)}), "refused"),
    ("max78000", "Sigmoid"): (one("Sigmoid", {"a": (1, 8)}), "refused"),
    ("max78000", ""): (one("Erf", {"a": (1, 8)}), "unknown"),
}


@pytest.mark.parametrize(("target", "row"), OTHER)
def test_conditions_of_the_other_targets(target: str, row: str) -> None:
    built, where = OTHER[target, row]
    node = only(check(built, target))
    assert (node.row, node.where) == (row.split(" of ")[0].split(" to ")[0], where), node


def test_names_and_conditions_belong_to_rows() -> None:
    """What an ONNX operator is called elsewhere is in that table, and a condition is looked up for a row that is."""
    for target, names in ONNX_NAMES.items():
        for op, row in names.items():
            assert lookup(target, row) is not None, (target, op, row)
            assert onnx.defs.has(op), op
    assert all(lookup("stm32n6", op) for op in stm32n6._CONDITIONS if op != "Upsample")


# --------------------------------------------------------------------------------------------------------------------
# the silent hangs


def test_a_depthwise_stride_of_two_is_warned_of() -> None:
    for stride, group, hangs in ((1, 8, 0), (2, 8, 1), (2, 1, 0)):
        kernel = weight("w", 8, 8 // group, 3, 3)
        said = check(one("Conv", PICTURE, [kernel], strides=[stride, stride], group=group)).warnings
        assert sum("depthwise Conv of stride 2" in line for line in said) == hangs


@pytest.mark.parametrize(
    "between", [["Reshape", "Relu"], ["Relu", "Reshape"], ["Flatten", "Clip"], ["Identity", "Relu"]]
)
def test_a_view_between_conv_and_relu_is_warned_of(between: list[str]) -> None:
    nodes, name = [helper.make_node("Conv", ["a", "w"], ["t0"])], "t0"
    for i, op in enumerate(between, 1):
        nodes.append(helper.make_node(op, [name, "s"] if op == "Reshape" else [name], [f"t{i}"]))
        name = f"t{i}"
    built = model(nodes, PICTURE, [weight("w", 4, 8, 3, 3), numbers("s", 1, -1)])
    warned = [line for line in check(built).warnings if "Reshape between Conv and ReLU" in line]
    assert len(warned) == (between[0] in ("Reshape", "Flatten"))


# --------------------------------------------------------------------------------------------------------------------
# counts


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_peak_is_that_of_a_brute_count(data: st.DataObject) -> None:
    """A random graph of sums and products: at each node, whatever is written by then and still needed."""
    n = data.draw(st.integers(2, 9))
    nodes, size = [], {"a": 6}
    for i in range(n):
        x, y = (data.draw(st.sampled_from(sorted(size))) for _ in range(2))
        wide = data.draw(st.booleans()) and size[x] == size[y]
        nodes.append(helper.make_node("Concat" if wide else "Max", [x, y], [f"t{i}"], **({"axis": 1} if wide else {})))
        if not wide and size[x] != size[y]:
            nodes[-1] = helper.make_node("Sigmoid", [x], [f"t{i}"])
        size[f"t{i}"] = 2 * size[x] if wide else size[x]
    outputs = [f"t{n - 1}"]
    alive = []
    for i in range(n):
        needed = set(outputs) | {read for node in nodes[i:] for read in node.input} | set(nodes[i].output)
        written = {"a"} | {f"t{k}" for k in range(i + 1)}
        used = needed & written - ({"a"} if not any("a" in node.input for node in nodes[i:]) else set())
        alive.append(sum(size[name] for name in used))
    verdict = check(model(nodes, {"a": (1, 6)}, outputs=outputs))
    assert verdict.peak_bytes == max(alive) and verdict.peak_node == alive.index(max(alive))


def test_views_and_a_relu_take_nothing_of_their_own() -> None:
    nodes = [
        helper.make_node("Conv", ["a", "w"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Reshape", ["r", "s"], ["v"]),
        helper.make_node("Sigmoid", ["v"], ["y"]),
    ]
    weights = [weight("w", 4, 8, 1, 1), numbers("s", 1, -1)]
    assert check(model(nodes, PICTURE, weights)).peak_bytes == (8 + 4) * 144  # picture and map, at the Conv
    narrow, weights[0] = {"a": (1, 2, 12, 12)}, weight("w", 4, 2, 1, 1)
    assert check(model(nodes, narrow, weights)).peak_bytes == 2 * 4 * 144  # map and answer, at the Sigmoid
    kept = model(nodes, narrow, weights, outputs=["c", "y"])  # now the ReLU may not write over its input
    assert check(kept).peak_bytes == 3 * 4 * 144
    both = [*nodes[:2], helper.make_node("Mul", ["c", "r"], ["y"])]  # nor here, where another node reads it
    assert check(model(both, narrow, weights[:1])).peak_bytes == 3 * 4 * 144


def test_what_fits_is_compared_with_the_chip() -> None:
    """A byte more than the SRAM does not fit; nor do weights beyond the flash or beyond the paper's line."""
    sram = CHIPS["stm32n657"].sram_kib * 1024
    for more, fits in ((0, True), (1, False)):
        verdict = check(one("Sigmoid", {"a": (1, sram // 2 + more)}))  # input and output
        assert verdict.fits["sram"] is fits and verdict.peak_bytes == sram + 2 * more
    for rows, flash, line in ((1000, True, True), (40_000, True, False), (200_000, False, False)):
        big = TensorProto(name="w", data_type=TensorProto.INT8, dims=[rows, 1000], raw_data=bytes(rows * 1000))
        verdict = check(_int8_product(big))
        assert (verdict.weight_bytes, verdict.fits["flash"], verdict.fits["budget"]) == (rows * 1000, flash, line)
    assert check(CASES["MatMul of two"][0], "ethos-u55").fits["sram"] is None


def _int8_product(big: TensorProto) -> onnx.ModelProto:
    info = helper.make_tensor_value_info
    node = helper.make_node("MatMulInteger", ["a", "w"], ["y"])
    graph = helper.make_graph(
        [node], "g", [info("a", TensorProto.INT8, [1, big.dims[0]])], [onnx.ValueInfoProto(name="y")], [big]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


# --------------------------------------------------------------------------------------------------------------------
# int8


def quantized(float_file: Path, out: Path) -> Path:
    """The file as onnxruntime quantizes it: QDQ, signed, one scale a channel."""
    pytest.importorskip("onnxruntime")
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    inputs = onnx.load(float_file).graph.input
    shapes = {given.name: [dim.dim_value for dim in given.type.tensor_type.shape.dim] for given in inputs}

    class Reader(CalibrationDataReader):
        left = 2

        def get_next(self) -> dict[str, np.ndarray] | None:
            self.left -= 1
            draw = {name: RNG.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
            return draw if self.left >= 0 else None

    quantize_static(
        str(float_file), str(out), Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
    )  # fmt: skip
    return out


def small_net() -> onnx.ModelProto:
    """Conv and ReLU, a depthwise Conv, a residual sum, a pool, a view and a product."""
    nodes = [
        helper.make_node("Conv", ["a", "w0", "b0"], ["c0"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c0"], ["r0"]),
        helper.make_node("Conv", ["r0", "w1"], ["c1"], pads=[1, 1, 1, 1], group=16),
        helper.make_node("Add", ["c1", "r0"], ["s"]),
        helper.make_node("GlobalAveragePool", ["s"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "w2", "b2"], ["y"], transB=1),
    ]
    weights = [weight("w0", 16, 8, 3, 3), weight("b0", 16), weight("w1", 16, 1, 3, 3), weight("w2", 5, 16),
               weight("b2", 5)]  # fmt: skip
    built = model(nodes, PICTURE, weights, opset=13)
    built.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 5]))
    return built


def test_qdq_gives_the_verdict_of_its_integer_operators(tmp_path: Path) -> None:
    """A float file judged as if it were int8, and the same network quantized: the same places, counts and memory."""
    onnx.save(small_net(), tmp_path / "net.onnx")
    before = check(tmp_path / "net.onnx")
    after = check(quantized(tmp_path / "net.onnx", tmp_path / "net_q.onnx"), int8=True)
    assert (before.precision, after.precision) == ("float", "int8")
    core = [[(node.op, node.where, node.why, node.multiply_adds) for node in verdict.nodes if node.where == "hw"]
            for verdict in (before, after)]  # fmt: skip
    kept = [node for node in core[0] if node[0] != "Relu"]  # onnxruntime drops a ReLU that the zero point does already
    assert [node for node in core[1] if node[0] != "Relu"] == kept and len(kept) == 6
    assert before.multiply_adds == after.multiply_adds > 0
    border = [node for node in after.nodes if node.where == "software"]
    assert [node.op for node in border] == ["QuantizeLinear", "DequantizeLinear"]
    picture = 8 * 144
    assert before.peak_bytes == 3 * 16 * 144  # at the sum: both operands and the result
    assert after.peak_bytes == max(before.peak_bytes, 5 * picture)  # at the border: the picture in float and int8
    assert after.weight_bytes == pytest.approx(before.weight_bytes, rel=0.15)  # scales of activations on top
    assert before.file_weight_bytes == 4 * sum(int(np.prod(w.dims)) for w in small_net().graph.initializer)
    assert any(line.startswith("float: the NPU takes int8 only, quantize first") for line in before.warnings)
    assert not any("float" in line for line in after.warnings)


def qdq(name: str, out: str) -> list[onnx.NodeProto]:
    """A pair of Q and DQ."""
    return [
        helper.make_node("QuantizeLinear", [name, "scale", "zero"], [f"{out}_q"]),
        helper.make_node("DequantizeLinear", [f"{out}_q", "scale", "zero"], [out]),
    ]


SCALE = [numpy_helper.from_array(np.float32(0.1), "scale"), numpy_helper.from_array(np.int8(0), "zero")]


def test_a_float_operator_between_int8_ones_is_software() -> None:
    nodes = [
        *qdq("a", "q0"),
        helper.make_node("Sigmoid", ["q0"], ["s"]),
        *qdq("s", "q1"),
        helper.make_node("Tanh", ["q1"], ["t"]),  # no Q after it: float
        helper.make_node("HardSwish", ["t"], ["h"]),
        *qdq("h", "q2"),
        helper.make_node("HardSwish", ["q2"], ["i"]),
        *qdq("i", "y"),
    ]
    verdict = check(model(nodes, PICTURE, SCALE))
    assert verdict.precision == "mixed"
    found = [node.where for node in verdict.nodes]
    border = {0: "software", 1: "folded", 3: "folded", 4: "software", 7: "software", 8: "folded", 10: "folded"}
    assert found == [
        border.get(i) or {2: "hw", 5: "software", 6: "software", 9: "hw", 11: "software"}[i] for i in range(len(nodes))
    ]


def test_a_weight_in_float_is_not_int8() -> None:
    nodes = [*qdq("a", "q0"), helper.make_node("Conv", ["q0", "w"], ["c"]), *qdq("c", "y")]
    verdict = check(model(nodes, PICTURE, [*SCALE, weight("w", 4, 8, 3, 3)]))
    assert [node.where for node in verdict.nodes if node.op == "Conv"] == ["software"]


def test_int8_to_int8_is_rescaled_on_the_npu() -> None:
    nodes = [*qdq("a", "q0"), *qdq("q0", "q1"), helper.make_node("Sigmoid", ["q1"], ["s"]), *qdq("s", "y")]
    assert [node.where for node in check(model(nodes, PICTURE, SCALE)).nodes] == [
        "software", "folded", "hw", "folded", "hw", "folded", "software"]  # fmt: skip


def test_other_integers_than_reports_name_are_warned_of() -> None:
    """Unsigned activations, and weights with a zero point; int8 with zero points of 0 and int32 biases are fine."""
    for kind, shift, said in ((np.int8, 0, []), (np.uint8, 0, ["another type"]), (np.int8, 3, ["zero point"])):
        constants = [
            numpy_helper.from_array(np.float32(0.1), "scale"),
            numpy_helper.from_array(kind(0), "zero"),
            numpy_helper.from_array(np.int8(shift), "shift"),
            numpy_helper.from_array(np.ones((4, 8, 1, 1), np.int8), "w8"),
            numpy_helper.from_array(np.ones(4, np.int32), "b32"),
        ]
        nodes = [
            *qdq("a", "q0"),
            helper.make_node("DequantizeLinear", ["w8", "scale", "shift"], ["w"]),
            helper.make_node("DequantizeLinear", ["b32", "scale"], ["b"]),
            helper.make_node("Conv", ["q0", "w", "b"], ["c"]),
            *qdq("c", "y"),
        ]
        verdict = check(model(nodes, PICTURE, constants))
        assert verdict.precision == "int8" and [node.where for node in verdict.nodes if node.op == "Conv"] == ["hw"]
        assert len(verdict.warnings) == len(said)
        assert all(word in line for word, line in zip(said, verdict.warnings, strict=True))


# --------------------------------------------------------------------------------------------------------------------
# functions


def test_a_function_of_an_own_domain_is_a_custom_layer() -> None:
    """It is software, and what is inside is counted as if it were written out."""
    opsets = [helper.make_opsetid("", 17)]
    half = helper.make_node("Constant", [], ["h"], value=weight("h", 6, 6))
    body = [
        helper.make_node("MatMul", ["x", "w"], ["p"]),
        half,
        helper.make_node("MatMul", ["p", "h"], ["i"]),
        helper.make_node("MatMul", ["i", "z"], ["o"]),
    ]
    layer = helper.make_function("uvlm.mini", "Layer", ["x", "w", "z"], ["o"], body, opsets)
    inputs, weights = {"a": (1, 4, 8), "b": (1, 6, 5)}, [weight("w", 8, 6)]
    call = helper.make_node("Layer", ["a", "w", "b"], ["t"], domain="uvlm.mini")
    after = helper.make_node("Relu", ["t"], ["y"])
    built = model([call, after], inputs, weights, functions=[layer], **{"uvlm.mini": 1})
    plain = [helper.make_node("MatMul", ["a", "w"], ["p"]), *body[1:3], helper.make_node("MatMul", ["i", "b"], ["t"])]
    found, expected = check(built), check(model([*plain, after], inputs, weights))
    assert found.nodes[0].where == "software" and "custom layer" in found.nodes[0].why
    assert found.nodes[0].shape == (1, 4, 5) and found.nodes[1].where == "hw"
    assert found.multiply_adds == expected.multiply_adds == 4 * 8 * 6 + 4 * 6 * 6 + 4 * 6 * 5
    assert found.weight_bytes == expected.weight_bytes == 8 * 6 + 4 * 6 + 6 * 6 + 4 * 6
    assert found.file_weight_bytes == expected.file_weight_bytes == 4 * (8 * 6 + 6 * 6)
    twice = [call, helper.make_node("Layer", ["a", "w", "b"], ["u"], domain="uvlm.mini"),
             helper.make_node("Add", ["t", "u"], ["y"])]  # fmt: skip
    again = check(model(twice, inputs, weights, functions=[layer], **{"uvlm.mini": 1}))
    assert again.weight_bytes == found.weight_bytes and again.multiply_adds == 2 * found.multiply_adds


@pytest.mark.parametrize("op", ["Nope", "NonZero"])
def test_where_a_shape_is_unknown_the_counts_are_lower_bounds(op: str) -> None:
    """An operator that ONNX does not know is unknown, and so are the sizes of what follows."""
    nodes = [helper.make_node(op, ["a"], ["t"]), helper.make_node("Cast", ["t"], ["y"], to=TensorProto.FLOAT)]
    verdict = check(model(nodes, {"a": (1, 6)}))
    assert verdict.nodes[0].where == ("unknown" if op == "Nope" else "refused")
    assert [node.shape for node in verdict.nodes] == [None, None]
    assert any("lower bounds" in line and f"2, first {op} (0)" in line for line in verdict.warnings)


def test_control_flow_is_refused_and_its_reads_are_kept_alive() -> None:
    info = helper.make_tensor_value_info
    ways = {
        f"{way}_branch": helper.make_graph(
            [helper.make_node(op, ["t"], [way])], way, [], [info(way, TensorProto.FLOAT, [1, 6])]
        )
        for way, op in (("then", "Relu"), ("else", "Sigmoid"))
    }
    nodes = [
        helper.make_node("Tanh", ["a"], ["t"]),
        helper.make_node("Cast", ["b"], ["c"], to=TensorProto.BOOL),
        helper.make_node("If", ["c"], ["y"], **ways),
    ]
    verdict = check(model(nodes, {"a": (1, 6), "b": ()}))
    assert verdict.nodes[2].where == "refused" and verdict.nodes[1].where == "unknown"
    assert verdict.peak_bytes == 6 + 6 + 1  # t until the If reads it, what it writes, and the answer
    assert any("What is inside If" in line for line in verdict.warnings)


# --------------------------------------------------------------------------------------------------------------------
# files that torch.onnx writes


class Attention(nn.Module):
    """One head, plainly."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(32, 96), nn.Linear(32, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)  # (B, L, 32) each
        return self.out(torch.softmax(q @ k.transpose(1, 2) / 32**0.5, -1) @ v)


def export(net: nn.Module, x: torch.Tensor, path: Path) -> int:
    """Write an ONNX file; returns the multiply-adds that PyTorch counts."""
    pytest.importorskip("onnxscript")
    net.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(x)
    torch.onnx.export(net, (x,), path, dynamo=True, external_data=False, verbose=False)
    return counter.get_total_flops() // 2


def test_attention_is_software_where_two_tensors_meet(tmp_path: Path) -> None:
    count = export(Attention(), torch.zeros(1, 16, 32), tmp_path / "attention.onnx")
    verdict = check(tmp_path / "attention.onnx")
    assert verdict.multiply_adds == count
    products = [(node.where, node.multiply_adds) for node in verdict.nodes if node.op == "MatMul"]
    assert products == [("hw", 16 * 32 * 96), ("software", 16 * 16 * 32), ("software", 16 * 16 * 32),
                        ("hw", 16 * 32 * 32)]  # fmt: skip
    assert [node.where for node in verdict.nodes if node.op == "Softmax"] == ["conditional"]
    assert verdict.count("refused") == verdict.count("unknown") == 0


def test_an_lstm_is_software(tmp_path: Path) -> None:
    net = nn.LSTM(32, 64)
    export(net, torch.zeros(7, 1, 32), tmp_path / "lstm.onnx")
    verdict = check(tmp_path / "lstm.onnx")
    (node,) = [node for node in verdict.nodes if node.op == "LSTM"]
    assert node.where == "software" and "Cortex-M55" in node.why
    assert verdict.multiply_adds == node.multiply_adds == 7 * 4 * 64 * (32 + 64)
    parameters = sum(p.numel() for p in net.parameters())
    assert parameters * 4 <= verdict.file_weight_bytes <= (parameters + 2 * 64) * 4  # the zeros that it starts from


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """MobileNetV2 at a third of its width, and PyTorch's count of it."""
    need_torchvision()
    import torchvision

    path = tmp_path_factory.mktemp("mobilenet") / "mobilenet.onnx"
    return path, export(torchvision.models.mobilenet_v2(width_mult=0.35), torch.zeros(1, 3, 96, 96), path)


@pytest.mark.slow
def test_a_mobilenet_runs_on_the_npu(mobilenet: tuple[Path, int], capsys: pytest.CaptureFixture[str]) -> None:
    """Every convolution does, its multiply-adds are PyTorch's, and its strided depthwise ones are warned of."""
    path, count = mobilenet
    verdict = check(path)
    assert verdict.multiply_adds == count and verdict.fits == {"sram": True, "flash": True, "budget": True}
    assert verdict.count("hw") + verdict.count("folded") + 1 == len(verdict.nodes)
    (left,) = [node for node in verdict.nodes if node.where == "refused"]  # torch.onnx sets allowzero
    assert (left.op, left.multiply_adds) == ("Reshape", 0) and "allowzero" in left.why
    strided = [node for node in verdict.nodes if node.row == "Conv(depthwise)" and "C" in node.sources]
    assert len(strided) == 17
    (warned,) = [line for line in verdict.warnings if "depthwise" in line]
    assert warned.split(":")[0].count(",") == 3  # four of them halve the map
    assert cli.main(["check", str(path), "--target", "stm32n6"]) == 0
    out = capsys.readouterr().out
    assert out == table(verdict) + "\n" and max(map(len, out.splitlines())) <= 100
    assert cli.main(["check", str(path), "--target", "max78000"]) == 0
    assert "refused" in capsys.readouterr().out


# --------------------------------------------------------------------------------------------------------------------
# the table


@pytest.mark.parametrize("target", TARGETS)
def test_the_table_has_a_line_for_every_node(target: str, tmp_path: Path) -> None:
    """Every node that is not folded, its place, no line over 100 columns, and each source that was used."""
    for built, *_ in CASES.values():
        verdict = check(built, target)
        text = table(verdict)
        assert all(len(line) <= 100 for line in text.splitlines())
        for node in verdict.nodes:
            assert node.where in PLACES and (not node.sources or node.row)
            if node.where != "folded":
                (line,) = [line for line in text.splitlines() if line.startswith(f"{node.number:5} ")]
                assert f" {node.where} " in line + " "
                if node.where != "hw":  # and once more among those of its kind
                    (apart,) = [line for line in text.splitlines() if line.startswith(f"{node.where:12} ")]
                    assert str(node.number) in apart.split("nodes ")[1].split(", ")
                assert all(f"src {letter}: {SOURCES[letter]}"[:60] in text for letter in node.sources)


# --------------------------------------------------------------------------------------------------------------------
# what is no ONNX file, or not one for an NPU


def refusal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence on standard error."""
    assert cli.main(["check", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("uvlm: ") and err.count("\n") == 1 and err.endswith(".\n"), err
    return err


def test_bad_files_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = tmp_path / "good.onnx"
    onnx.save(small_net(), good)
    content = good.read_bytes()
    assert cli.main(["check", str(good)]) == 0
    capsys.readouterr()
    for cut in (0, 1, 7, len(content) // 2, len(content) - 1):
        (tmp_path / "cut.onnx").write_bytes(content[:cut])
        assert "is truncated or no ONNX file" in refusal([str(tmp_path / "cut.onnx")], capsys)
    for text in ("a picture\n", "PK\x03\x04" * 9, "{}"):
        (tmp_path / "text.onnx").write_text(text)
        assert "is truncated or no ONNX file" in refusal([str(tmp_path / "text.onnx")], capsys)
    assert "There is no ONNX file" in refusal([str(tmp_path / "none.onnx")], capsys)
    assert "There is no ONNX file" in refusal([str(tmp_path)], capsys)
    assert "choose one of stm32n6, ethos-u55, max78000" in refusal([str(good), "--target", "tpu"], capsys)
    assert "is float" in refusal([str(good), "--int8"], capsys)
    monkeypatch.setattr(reader, "LIMIT", 1000)
    assert "external data" in refusal([str(good)], capsys)


@pytest.mark.parametrize(("built", "said"), [
    (model([helper.make_node("Relu", ["a"], ["y"])], {"a": ("n", 3, 8, 8)}), "open shape (n, 3, 8, 8)"),
    (model([helper.make_node("Relu", ["a"], ["y"])], {"a": (None, 3)}), "open shape (?, 3)"),
    (model([helper.make_node("F", ["a"], ["y"], domain="who")], {"a": (1,)}, who=1), "domain 'who'"),
    (model([helper.make_node("Relu", ["b"], ["y"])], {"a": (1,)}), "contradicts itself"),
    (one("Add", {"a": (1, 3), "b": (1, 4)}), "contradicts itself"),
])  # fmt: skip
def test_bad_models_are_one_sentence(
    built: onnx.ModelProto, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.onnx").write_bytes(built.SerializeToString())
    assert said in refusal([str(tmp_path / "bad.onnx")], capsys)


def test_weights_in_a_file_of_their_own_need_not_be_read(tmp_path: Path) -> None:
    """Shapes and axes are read, weights are only counted; a missing file is one sentence."""
    built = model(
        [helper.make_node("MatMul", ["a", "w"], ["p"]), helper.make_node("Reshape", ["p", "s"], ["y"])],
        {"a": (1, 4, 300)},
        [weight("w", 300, 100), numbers("s", 1, -1)],
    )
    onnx.save(built, tmp_path / "whole.onnx")
    onnx.save(built, tmp_path / "split.onnx", save_as_external_data=True, location="split.data", size_threshold=0)
    whole, split = check(tmp_path / "whole.onnx"), check(tmp_path / "split.onnx")
    assert whole.nodes == split.nodes and whole.weight_bytes == split.weight_bytes == 300 * 100 + 4 * 100
    assert Graph(load(tmp_path / "split.onnx")).value("w") is None
    (tmp_path / "split.data").unlink()
    with pytest.raises(FileNotFoundError, match=r"keeps its weights in .*split\.data, which is not there"):
        check(tmp_path / "split.onnx")


def test_without_onnx_the_extra_is_named(tmp_path: Path) -> None:
    code = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "onnx":
            raise ModuleNotFoundError(f"blocked {name}", name=name)
sys.meta_path.insert(0, Nothing())
import uvlm_mini.cli
print(uvlm_mini.cli.main(["check", "x.onnx"]))
import uvlm_mini.npu.check
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}
    )
    assert done.stdout == "1\n"
    first, *_, last = done.stderr.splitlines()
    assert first == "uvlm: onnx is not installed; install uvlm_mini[quantize]."
    assert last.endswith("onnx is not installed, and ONNX files need it; install uvlm_mini[quantize].")
