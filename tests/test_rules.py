"""The conditions of the operator tables: every limit from both sides, real padding, unknown shapes, old opsets."""

import re
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.onnx_models import RNG, model, numbers, one, only, weight
from uvlm_mini.npu.check import check
from uvlm_mini.npu.graph import Graph
from uvlm_mini.npu.operators import LIMITS, TARGETS, lookup
from uvlm_mini.npu.rows import NPU, seen
from uvlm_mini.npu.window import window

PICTURE = {"a": (1, 8, 12, 12)}


def conv(op: str = "Conv", sides: tuple[int, ...] = (12, 12), kernel: tuple[int, ...] = (8, 8, 3, 3), **attributes):
    """A convolution of a map; its channels are those of the kernel."""
    channels = kernel[0] if op == "ConvTranspose" else kernel[1] * attributes.get("group", 1)
    return one(op, {"a": (1, channels, *sides)}, [weight("w", *kernel)], **attributes)


def pool(op: str, kernel: tuple[int, int], sides: tuple[int, int] = (40, 40), **attributes):
    """A pool of two channels."""
    return one(op, {"a": (1, 2, *sides)}, kernel_shape=kernel, **attributes)


def mean(high: int, n: int, keep: int) -> onnx.ModelProto:
    """A mean over a map of n places or little more."""
    return one("ReduceMean", {"a": (1, 2, high, -(-n // high))}, axes=[2, 3], keepdims=keep)


def sum_of(n: int) -> onnx.ModelProto:
    """A sum of n operands."""
    return one("Sum", {f"a{i:02}": (1, 8) for i in range(n)})


def vela(row: str, group: int) -> dict[tuple[str, str, str], Callable[[int], onnx.ModelProto]]:
    """The limits that two kinds of convolution share."""
    c = 8 // group
    return {
        ("ethos-u55", row, "stride"): lambda n: conv(kernel=(8, c, 7, 7), group=group, strides=[n, n]),
        ("ethos-u55", row, "height"): lambda n: conv(sides=(70, 3), kernel=(8, c, n, 1), group=group),
        ("ethos-u55", row, "area"): lambda n: conv(sides=(1, 5000), kernel=(8, c, 1, n), group=group),
    }


# A model of which the named quantity is n, for every number in LIMITS
AT: dict[tuple[str, str, str], Callable[[int], onnx.ModelProto]] = {
    ("stm32n6", "Conv", "height"): lambda n: conv(kernel=(8, 8, n, 1)),
    ("stm32n6", "Conv", "width"): lambda n: conv(kernel=(8, 8, 1, n)),
    ("stm32n6", "Conv", "strided width"): lambda n: conv(sides=(20, 20), kernel=(8, 8, 2, n), strides=[2, 2]),
    ("stm32n6", "Conv", "width x channels"): lambda n: conv(sides=(2, n), kernel=(8, 1, 1, 1)),
    ("stm32n6", "Conv", "cheap padding"): lambda n: conv(pads=[n] * 4),
    ("stm32n6", "AveragePool", "window"): lambda n: pool("AveragePool", (n, n)),
    ("stm32n6", "AveragePool", "stride"): lambda n: pool("MaxPool", (2, 2), strides=[n, n]),
    ("stm32n6", "AveragePool", "padding"): lambda n: pool("MaxPool", (20, 20), pads=[n] * 4),
    ("stm32n6", "AveragePool", "width x channels"): lambda n: one("MaxPool", {"a": (1, 1, 2, n)},
                                                              kernel_shape=[2, 2]),
    ("stm32n6", "Reshape", "dimensions"): lambda n: one("Reshape", PICTURE, [numbers("w", 8, 12, 12, *[1] * (n - 3))]),
    ("ethos-u55", "*", "dimensions"): lambda n: one("Sigmoid", {"a": (1,) * n}),
    ("ethos-u55", "*", "size"): lambda n: one("Sigmoid", {"a": (1, n)}),
    ("ethos-u55", "*", "batch"): lambda n: one("Sigmoid", {"a": (n, 2, 3, 3)}),
    **vela("CONV_2D", 1),
    **vela("DEPTHWISE_CONV_2D", 8),
    ("ethos-u55", "DEPTHWISE_CONV_2D", "channels"): lambda n: conv(kernel=(2 * n, 1, 3, 3), group=n),
    ("ethos-u55", "FULLY_CONNECTED", "dimensions"): lambda n: one("MatMul", {"a": (1,) * (n - 1) + (8,)},
                                                                  [weight("w", 8, 3)]),
    **{("ethos-u55", row, "stride"): lambda n, op=op: pool(op, (2, 2), strides=[n, n])
       for row, op in (("AVERAGE_POOL_2D", "AveragePool"), ("MAX_POOL_2D", "MaxPool"))},
    **{("ethos-u55", row, "height"): lambda n, op=op: pool(op, (n, 1), (300, 2))
       for row, op in (("AVERAGE_POOL_2D", "AveragePool"), ("MAX_POOL_2D", "MaxPool"))},
    **{("ethos-u55", row, "area"): lambda n, op=op: pool(op, (256, -(-n // 256)), (300, 300))
       for row, op in (("AVERAGE_POOL_2D", "AveragePool"), ("MAX_POOL_2D", "MaxPool"))},
    ("ethos-u55", "AVERAGE_POOL_2D", "padded side"): lambda n: pool("AveragePool", (n, n), pads=[1, 1, 1, 1]),
    ("ethos-u55", "MEAN", "area"): lambda n: mean(256, n, 0),
    ("ethos-u55", "MEAN", "kept area"): lambda n: mean(64, n, 1),
    ("max78000", "Conv2d", "padding"): lambda n: conv(pads=[n] * 4),
    ("max78000", "Conv2d", "stride"): lambda n: conv(strides=[n, n]),
    ("max78000", "Conv2d", "dilation"): lambda n: conv(dilations=[n, n]),
    ("max78000", "Conv2d", "channels"): lambda n: conv(sides=(4, 4), kernel=(4, n, 3, 3)),
    ("max78000", "Conv1d", "kernel"): lambda n: conv(sides=(40,), kernel=(8, 8, n)),
    ("max78000", "Conv1d", "padding"): lambda n: conv(sides=(40,), kernel=(8, 8, 3), pads=[n, n]),
    ("max78000", "Conv1d", "stride"): lambda n: conv(sides=(40,), kernel=(8, 8, 3), strides=[n]),
    ("max78000", "Conv1d", "dilated kernel"): lambda n: conv(sides=(40,), kernel=(8, 8, n), dilations=[2]),
    ("max78000", "Conv1d", "dilation"): lambda n: conv(sides=(1023,), kernel=(8, 8, 2), dilations=[n], pads=[1, 1]),
    ("max78000", "ConvTranspose2d", "kernel"): lambda n: conv("ConvTranspose", kernel=(8, 8, n, n), strides=[2, 2],
                                                              output_padding=[1, 1]),
    ("max78000", "ConvTranspose2d", "stride"): lambda n: conv("ConvTranspose", strides=[n, n], output_padding=[1, 1]),
    ("max78000", "ConvTranspose2d", "padding"): lambda n: conv("ConvTranspose", strides=[2, 2], output_padding=[1, 1],
                                                               pads=[n] * 4),
    ("max78000", "ConvTranspose2d", "output padding"): lambda n: conv("ConvTranspose", strides=[2, 2],
                                                                      output_padding=[n, n]),
    ("max78000", "MaxPool", "window"): lambda n: pool("MaxPool", (n, n)),
    ("max78000", "AvgPool", "window"): lambda n: pool("AveragePool", (n, n)),
    ("max78000", "Linear", "channels"): lambda n: one("Gemm", {"a": (1, 8)}, [weight("w", 8, n)]),
    ("max78000", "Add", "inputs"): sum_of,
}  # fmt: skip


def test_every_limit_stands_in_its_row_and_is_tried() -> None:
    """A number that the sources do not say cannot be a limit, and none is left out below."""
    written = {(target, row, what) for target in LIMITS for row in LIMITS[target] for what in LIMITS[target][row]}
    assert written == AT.keys() and set(LIMITS) == set(TARGETS)
    for target, row, what in written:
        rule = lookup(target, row)
        assert rule is not None
        assert str(LIMITS[target][row][what]) in re.findall(r"\d+", rule.constraints), (row, what)


@pytest.mark.parametrize(("target", "row", "what"), AT)
def test_a_limit_is_kept_to_the_last_and_no_further(target: str, row: str, what: str) -> None:
    """At the limit the node is on the NPU; one more, and it is not, or in several passes, and the reason says so."""
    most = LIMITS[target][row][what]
    within, beyond = (only(check(AT[target, row, what](n), target)) for n in (most, most + 1))
    assert within.where == "hw", within
    if target == "stm32n6" and row in ("Conv", "AveragePool") and what not in ("stride", "padding"):
        assert beyond.where == "hw" and beyond.why and beyond.why != within.why and not within.why.count("split")
    else:
        assert beyond.where == {"ethos-u55": "software"}.get(target, "refused") and beyond.why


@pytest.mark.parametrize(("built", "target", "where", "why"), [
    (conv(kernel=(8, 4, 3, 3), group=2), "ethos-u55", "unknown", "grouped convolutions"),
    (one("Conv", {**PICTURE, "b": (8, 8, 3, 3)}), "ethos-u55", "software", "must be constant"),
    (one("Conv", {**PICTURE, "b": (8, 8, 3, 3)}), "max78000", "refused", "must be a constant"),
    (conv(kernel=(8, 4, 3, 3), group=2), "max78000", "refused", "2 groups"),
    (conv(sides=(5, 5, 5), kernel=(8, 8, 3, 3, 3)), "max78000", "unknown", "no source"),
    (conv(kernel=(8, 8, 1, 3)), "max78000", "refused", "only 1x1 and 3x3"),
    (conv(sides=(2, 1024)), "max78000", "refused", "1023 rows and columns"),
    (conv(sides=(92, 92)), "max78000", "hw", "streamed"),
    (one("Gemm", {"a": (1, 8)}, [weight("w", 8, 3)]), "ethos-u55", "hw", "one scale for the whole matrix"),
    (one("Add", {"a": (1, 8, 4, 4)}, [weight("w", 8, 1, 1)]), "max78000", "refused", "broadcast"),
    (one("Add", {"a": (1, 8)}, [weight("w", 1, 8)]), "max78000", "hw", "constant is not said"),
    (one("Max", {"a": (1, 8), "b": (1, 8), "c": (1, 1)}), "ethos-u55", "hw", "two operands each"),
    (pool("MaxPool", (3, 3), dilations=[2, 2]), "ethos-u55", "unknown", "dilation"),
    (pool("MaxPool", (3, 3), dilations=[2, 2]), "stm32n6", "unknown", "dilation"),
    (pool("MaxPool", (3, 3), dilations=[2, 2]), "max78000", "refused", "dilation"),
    (pool("MaxPool", (2, 3)), "max78000", "refused", "the same both ways"),
    (pool("MaxPool", (2, 2), strides=[2, 1]), "max78000", "refused", "stride 2x1"),
    (pool("MaxPool", (2, 2), pads=[0, 0, 1, 0]), "max78000", "refused", "padding 1"),
    (one("GlobalMaxPool", PICTURE), "max78000", "hw", ""),
    (one("GlobalMaxPool", PICTURE), "ethos-u55", "hw", ""),
    (mean(80, 80 * 80, 0), "ethos-u55", "hw", "if both sides get the same scale"),
    (one("ReduceMean", PICTURE, axes=[1]), "ethos-u55", "software", "not over height and width"),
    (one("ReduceMean", PICTURE), "stm32n6", "software", "not over height and width"),
    (one("Softmax", {"a": (1, 8, 4)}, axis=1), "ethos-u55", "hw", "last axis"),
    (one("Softmax", {"a": (1, 8, 4)}), "ethos-u55", "hw", ""),
    (one("Reshape", PICTURE, [numbers("w", 1, -1)]), "ethos-u55", "hw", "same quantization"),
    (one("Pad", PICTURE, [numbers("w", 0, 0, 1, 1, 0, 0, 1, 1)]), "ethos-u55", "hw", ""),
    (one("Pad", PICTURE, [numbers("w", 0, 1, 0, 0, 0, 0, 0, 0)]), "ethos-u55", "software", "channels"),
    (one("Pad", PICTURE, [numbers("w", 0, 0, 1, 1, 0, 0, 1, 1)], mode="reflect"), "ethos-u55", "software", "left to"),
    (one("Slice", PICTURE, [numbers("b", 0), numbers("c", 9), numbers("d", 2), numbers("e", 2)]), "ethos-u55",
     "software", "steps of 2"),
    (one("Slice", PICTURE, [numbers("b", 0), numbers("c", 9), numbers("d", 2)]), "ethos-u55", "hw", ""),
    (conv(sides=(60, 60), kernel=(8, 8, 3, 3)), "stm32n6", "hw", ""),
    (one("GlobalAveragePool", PICTURE), "stm32n6", "hw", "one of 50x11 was seen on the CPU, in float (src AB)"),
    (one("ReduceMean", PICTURE, axes=[2, 3]), "stm32n6", "hw", "one of 50x11 was seen on the CPU, in float (src AB)"),
])  # fmt: skip
def test_what_the_tables_say_beside_numbers(built: onnx.ModelProto, target: str, where: str, why: str) -> None:
    node = only(check(built, target))
    assert node.where == where and (why in node.why if why else not node.why), node


def test_what_was_seen_stands_in_the_row() -> None:
    for row in ("GlobalAveragePool", "Sub"):
        rule = lookup("stm32n6", row)
        assert rule is not None and rule.seen and rule.constraints.endswith(rule.seen)
        assert f"(src {''.join(rule.sources)})" in seen("stm32n6", row)


# --------------------------------------------------------------------------------------------------------------------
# padding


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_padding_that_is_computed_is_what_onnxruntime_computes(data: st.DataObject) -> None:
    """auto_pad, ceil_mode and output_shape, written out as pads: the same numbers come out."""
    runtime = pytest.importorskip("onnxruntime")
    op = data.draw(st.sampled_from(["Conv", "MaxPool", "AveragePool", "ConvTranspose"]))
    draw = {key: [data.draw(st.integers(*ends)) for _ in range(2)]
            for key, ends in (("sides", (4, 9)), ("kernel_shape", (1, 4)), ("strides", (1, 3)))}  # fmt: skip
    sides = draw.pop("sides")
    how = data.draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"]))
    more: dict = {"auto_pad": how}
    if op == "Conv":
        draw["dilations"] = [data.draw(st.integers(1, 2)) for _ in range(2)]
    if op == "ConvTranspose":
        assume(how in ("NOTSET", "VALID"))  # onnxruntime grows SAME outputs otherwise than ONNX defines them
        if how == "NOTSET":
            whole = [s * (n - 1) + k for s, n, k in zip(draw["strides"], sides, draw["kernel_shape"], strict=True)]
            more = {"output_shape": [size - data.draw(st.integers(0, min(2, size - 1))) for size in whole]}
    elif how == "NOTSET":
        more["pads"] = [data.draw(st.integers(0, size - 1)) for size in (*draw["kernel_shape"],) * 2]
        if op == "MaxPool":
            more["ceil_mode"] = 1
    inputs, weights = {"a": (1, 2, *sides)}, [weight("w", 2, 2, *draw["kernel_shape"])] if "Conv" in op else []
    asked = one(op, inputs, weights, **draw, **more)
    try:
        graph = Graph(asked)
    except ValueError:
        assume(False)  # a kernel larger than its map
    pads = window(graph, graph.nodes[0]).pads
    given = one(op, inputs, weights, **draw, pads=pads)
    x = RNG.normal(size=(1, 2, *sides)).astype(np.float32)
    made = []
    for built in (asked, given):
        built.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
        try:
            session = runtime.InferenceSession(built.SerializeToString(), providers=["CPUExecutionProvider"])
            made.append(session.run(None, {"a": x})[0])
        except Exception as error:
            assume("pad" not in str(error).lower() and "shape" not in str(error).lower())
            raise
    assert np.array_equal(made[0], made[1])


@pytest.mark.parametrize(("how", "pads"), [("SAME_UPPER", [0, 0, 1, 1]), ("SAME_LOWER", [1, 1, 0, 0])])
def test_transposed_padding_is_as_onnx_defines_it(how: str, pads: list[int]) -> None:
    """An output as large as input times stride: of a total of one, the half that is left over."""
    graph = Graph(conv("ConvTranspose", strides=[2, 2], auto_pad=how))
    assert graph.made(graph.nodes[0]) == (1, 8, 24, 24) and window(graph, graph.nodes[0]).pads == pads


def test_padding_that_is_computed_counts() -> None:
    """On the NPU padding above 2 is not free, also where SAME asks for it; on the MAX78000 it is refused."""
    built = conv(kernel=(8, 8, 7, 7), auto_pad="SAME_UPPER")
    assert "padding 3 is above 2" in only(check(built)).why
    assert "padding 3, at most 2" in only(check(built, "max78000")).why
    assert "padding" not in only(check(conv(kernel=(8, 8, 7, 7), auto_pad="VALID"))).why
    pooled = pool("AveragePool", (9, 9), auto_pad="SAME_LOWER")
    assert "with padding, at most 8" in only(check(pooled, "ethos-u55")).why


# --------------------------------------------------------------------------------------------------------------------
# unknown shapes

OPEN = [
    ("Relu", [], []), ("Sigmoid", [], []), ("Transpose", [], []), ("Softmax", [], []), ("GlobalAveragePool", [], []),
    ("Flatten", [], []), ("Add", ["b"], []), ("Mul", [], [weight("w", 1)]), ("Concat", ["b"], []),
    ("Max", ["b"], []),
    ("Conv", [], [weight("w", 4, 8, 3, 3)]), ("MatMul", [], [weight("w", 8, 3)]), ("Gemm", [], [weight("w", 8, 3)]),
    ("ReduceMean", [], []), ("Pow", [], [weight("w", 1)]), ("MaxPool", [], []), ("Abs", [], []), ("Slice", [], [
        numbers("w0", 0), numbers("w1", 1)]),
]  # fmt: skip
ATTRIBUTES = {"Concat": {"axis": 0}, "MaxPool": {"kernel_shape": [2, 2]}}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("op", "more", "weights"), OPEN, ids=[op for op, *_ in OPEN])
def test_no_place_on_the_npu_without_a_shape(target: str, op: str, more: list[str], weights: list) -> None:
    """After an operator whose output nobody can size, what would be on the NPU is unknown, and the reason names it."""
    reads = ["t", *more, *(tensor.name for tensor in weights)]
    size = {"MatMul": (1, 8), "Gemm": (1, 8)}.get(op, (1, 8, 4, 4))
    found = []
    for before in ("Nope", "Relu"):
        nodes = [helper.make_node(before, ["a"], ["t"]), helper.make_node(op, reads, ["y"], **ATTRIBUTES.get(op, {}))]
        found.append(check(model(nodes, {"a": size, "b": size}, weights), target))
    verdict, (open_, known) = found[0], [one.nodes[1] for one in found]
    if known.where in NPU:
        assert open_.where == "unknown" and re.fullmatch("the shape of '[ty]' could not be inferred", open_.why)
    else:
        assert open_.where in (known.where, "unknown")
    assert verdict.fits["budget"] is None
    assert any("Memory, weights and multiply-adds are lower bounds" in line for line in verdict.warnings)


@pytest.mark.parametrize("target", TARGETS)
def test_what_no_shape_would_change_stays_what_it_is(target: str) -> None:
    nodes = [helper.make_node("Nope", ["a"], ["t"]), helper.make_node("Gather", ["t", "i"], ["y"])]
    found = check(model(nodes, {"a": (1, 8)}, [numbers("i", 0)]), target).nodes[1].where
    assert found == {"max78000": "refused"}.get(target, "software")


def test_a_lower_bound_can_only_fail() -> None:
    nodes = [helper.make_node("Nope", ["a"], ["t"]), helper.make_node("Relu", ["t"], ["y"])]
    assert check(model(nodes, {"a": (1, 5_000_000)})).fits == {"sram": False, "flash": None, "budget": None}


def test_a_function_with_an_open_shape_inside_is_a_lower_bound() -> None:
    """Given shapes or not, a custom layer stays one, and the warning names it."""
    body = [helper.make_node("NonZero", ["x"], ["n"]), helper.make_node("Shape", ["n"], ["o"])]
    layer = helper.make_function("uvlm.mini", "Layer", ["x"], ["o"], body, [helper.make_opsetid("", 17)])
    call = helper.make_node("Layer", ["a"], ["t"], domain="uvlm.mini")
    after = helper.make_node("Layer", ["u"], ["y"], domain="uvlm.mini")
    nodes = [call, helper.make_node("Nope", ["a"], ["u"]), after]
    verdict = check(model(nodes, {"a": (1, 8)}, functions=[layer], **{"uvlm.mini": 1}))
    assert [node.where for node in verdict.nodes] == ["software", "unknown", "software"]
    assert any("first Layer (0)" in line for line in verdict.warnings)


# --------------------------------------------------------------------------------------------------------------------
# quantized files, on the Ethos-U55


def quantized(op: str, kinds: list[type], scales: list[float], more: list = (), **attributes) -> onnx.ModelProto:
    """An operator whose inputs and output are quantized to these types with these scales; the last is the output's."""
    nodes, constants, inputs = [], list(more), {}
    for i, (kind, scale) in enumerate(zip(kinds, scales, strict=True)):
        constants.append(numpy_helper.from_array(np.float32(scale), f"s{i}"))
        constants.append(numpy_helper.from_array(kind(0), f"z{i}"))
        if i < len(kinds) - 1:
            inputs[f"a{i}"] = (1, 2, 100, 100)
            nodes.append(helper.make_node("QuantizeLinear", [f"a{i}", f"s{i}", f"z{i}"], [f"q{i}"]))
            nodes.append(helper.make_node("DequantizeLinear", [f"q{i}", f"s{i}", f"z{i}"], [f"d{i}"]))
    reads = [*(f"d{i}" for i in range(len(kinds) - 1)), *(tensor.name for tensor in more)]
    last = len(kinds) - 1
    nodes.append(helper.make_node(op, reads, ["f"], **attributes))
    nodes.append(helper.make_node("QuantizeLinear", ["f", f"s{last}", f"z{last}"], ["q"]))
    nodes.append(helper.make_node("DequantizeLinear", ["q", f"s{last}", f"z{last}"], ["y"]))
    return model(nodes, inputs, constants, opset=21)


I8, U8, I16, U16 = np.int8, np.uint8, np.int16, np.uint16


@pytest.mark.parametrize(("built", "where", "why"), [
    (quantized("HardSwish", [I8, U8], [0.1, 0.1]), "hw", ""),
    (quantized("HardSwish", [I16, I16], [0.1, 0.1]), "software", "int8 and uint8 only"),
    (quantized("Sigmoid", [I16, I16], [0.1, 0.1]), "hw", ""),
    (quantized("Sigmoid", [U16, U16], [0.1, 0.1]), "software", "uint16"),
    (quantized("Add", [I8, I8, I8], [0.1, 0.2, 0.3]), "hw", ""),
    (quantized("Add", [I8, U8, I8], [0.1, 0.2, 0.3]), "software", "signed"),
    (quantized("Softmax", [I8, U8], [0.1, 0.1]), "software", "another type"),
    (quantized("Flatten", [I8, I8], [0.1, 0.1]), "hw", ""),
    (quantized("Flatten", [I8, I8], [0.1, 0.2]), "software", "another quantization"),
    (quantized("ReduceMean", [I8, I8], [0.1, 0.1], [numbers("w", 2, 3)], keepdims=0), "hw", ""),
    (quantized("ReduceMean", [I8, I8], [0.1, 0.2], [numbers("w", 2, 3)], keepdims=0), "software", "at most 4096"),
    (quantized("ReduceMean", [I16, I16], [0.1, 0.1], [numbers("w", 2, 3)]), "software", "int8 and uint8"),
])  # fmt: skip
def test_types_and_scales_of_a_quantized_file(built: onnx.ModelProto, where: str, why: str) -> None:
    (node,) = [node for node in check(built, "ethos-u55").nodes if "Linear" not in node.op]
    assert node.where == where and (why in node.why if why else not node.why), node


@pytest.mark.parametrize(("target", "known", "unknown"), [
    ("stm32n6", "hw", "unknown"), ("ethos-u55", "hw", "unknown"), ("max78000", "unknown", "unknown")])  # fmt: skip
def test_int8_to_int8(target: str, known: str, unknown: str) -> None:
    """Rescaling has a row on two targets; of a tensor that nobody can size nothing is said."""
    constants = [numpy_helper.from_array(np.float32(0.1), "s"), numpy_helper.from_array(np.int8(0), "z")]
    for before, expected in (("Relu", known), ("Nope", unknown)):
        nodes = [
            helper.make_node(before, ["a"], ["t"]),
            *(helper.make_node(op, [x, "s", "z"], [y]) for op, x, y in (
                ("QuantizeLinear", "t", "q"), ("DequantizeLinear", "q", "d"), ("QuantizeLinear", "d", "r"),
                ("DequantizeLinear", "r", "e"))),
            helper.make_node("Sigmoid", ["e"], ["y"]),
        ]  # fmt: skip
        assert check(model(nodes, {"a": (1, 8)}, constants), target).nodes[3].where == expected


def test_one_scale_a_channel_is_not_for_every_operator() -> None:
    """Vela 3.6.1 takes scales by channel in convolutions, not in FULLY_CONNECTED."""
    for size, where in ((1, "hw"), (3, "software")):
        constants = [
            numpy_helper.from_array(np.float32(0.1), "s"), numpy_helper.from_array(np.int8(0), "z"),
            numpy_helper.from_array(np.ones((8, 3), np.int8), "w8"),
            numpy_helper.from_array(np.full(size, 0.1, np.float32) if size > 1 else np.float32(0.1), "sw"),
        ]  # fmt: skip
        nodes = [
            helper.make_node("QuantizeLinear", ["a", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
            helper.make_node("DequantizeLinear", ["w8", "sw"], ["w"], axis=1),
            helper.make_node("MatMul", ["d", "w"], ["f"]),
            helper.make_node("QuantizeLinear", ["f", "s", "z"], ["r"]),
            helper.make_node("DequantizeLinear", ["r", "s", "z"], ["y"]),
        ]
        found = check(model(nodes, {"a": (1, 8)}, constants), "ethos-u55").nodes[3]
        assert found.where == where and ("one scale a channel" in found.why) == (size > 1)


# --------------------------------------------------------------------------------------------------------------------
# old opsets


def enlarged(opset: int, mode: str = "nearest", by: float = 2) -> onnx.ModelProto:
    """A map enlarged as files of that opset say it."""
    scales = numpy_helper.from_array(np.array([1, 1, by, by], np.float32), "s")
    if opset < 9:
        return one("Upsample", PICTURE, opset=opset, mode=mode, scales=[1.0, 1.0, by, by])
    if opset < 11:
        node = helper.make_node("Upsample" if opset == 9 else "Resize", ["a", "s"], ["y"], mode=mode)
        return model([node], PICTURE, [scales], opset=opset)
    node = helper.make_node("Resize", ["a", "", "s"], ["y"], mode=mode, nearest_mode="floor",
                            coordinate_transformation_mode="asymmetric")  # fmt: skip
    return model([node], PICTURE, [scales], opset=opset)


@pytest.mark.parametrize("opset", [7, 9, 10, 11, 13, 18])
def test_enlarging_is_the_same_in_every_opset(opset: int) -> None:
    """Upsample, the first Resize and today's: nearest, asymmetric, floor is on the NPU, linear is not."""
    node = only(check(enlarged(opset)))
    assert (node.where, node.row) == ("hw", "Resize") and "nearest, asymmetric, floor" in node.why
    assert only(check(enlarged(opset, "linear"))).where == "software"
    for by, where in ((2, "hw"), (2.5, "software"), (3, "software"), (4, "hw")):
        found = only(check(enlarged(opset, by=by), "ethos-u55"))
        assert (found.where, found.row) == (where, "RESIZE_NEAREST_NEIGHBOR")


@pytest.mark.parametrize("opset", [7, 11, 13])
@pytest.mark.parametrize(("low", "high", "row"), [(0, 6, "RELU6"), (-1, 1, "RELU_N1_TO_1"), (0, 5, "")])
def test_clip_by_attributes_and_by_inputs(opset: int, low: float, high: float, row: str) -> None:
    if opset < 11:
        built = one("Clip", PICTURE, opset=opset, min=float(low), max=float(high))
    else:
        ends = [numpy_helper.from_array(np.float32(end), name) for name, end in (("w0", low), ("w1", high))]
        built = one("Clip", PICTURE, ends, opset=opset)
    assert only(check(built)).where == "hw"
    node = only(check(built, "ethos-u55"))
    assert (node.where, node.row) == ("hw" if row else "unknown", row)


@pytest.mark.parametrize(("old", "new"), [
    (one("ReduceMean", PICTURE, opset=9, axes=[2, 3]), one("ReduceMean", PICTURE, [numbers("w", 2, 3)], opset=18)),
    (one("ReduceMean", PICTURE, opset=9, axes=[1]), one("ReduceMean", PICTURE, [numbers("w", 1)], opset=18)),
    (one("Slice", PICTURE, opset=9, starts=[0], ends=[3], axes=[2]),
     one("Slice", PICTURE, [numbers("b", 0), numbers("c", 3), numbers("d", 2)], opset=13)),
    (one("Slice", {"a": (4, 8)}, opset=9, starts=[0], ends=[3], axes=[0]),
     one("Slice", {"a": (4, 8)}, [numbers("b", 0), numbers("c", 3), numbers("d", 0)], opset=13)),
    (one("Pad", PICTURE, opset=9, pads=[0, 0, 1, 1, 0, 0, 1, 1]),
     one("Pad", PICTURE, [numbers("w", 0, 0, 1, 1, 0, 0, 1, 1)], opset=13)),
    (one("Pad", PICTURE, opset=9, pads=[0, 1, 0, 0, 0, 0, 0, 0]),
     one("Pad", PICTURE, [numbers("w", 0, 1, 0, 0, 0, 0, 0, 0)], opset=13)),
    (one("Unsqueeze", {"a": (1, 8)}, opset=9, axes=[2]), one("Unsqueeze", {"a": (1, 8)}, [numbers("w", 2)], opset=13)),
    (one("Split", PICTURE, opset=9, axis=1, split=[8]), one("Split", PICTURE, [numbers("w", 8)], opset=13, axis=1)),
])  # fmt: skip
def test_axes_as_attributes_are_axes(old: onnx.ModelProto, new: onnx.ModelProto) -> None:
    for target in TARGETS:
        a, b = (only(check(built, target)) for built in (old, new))
        assert (a.where, a.why, a.row, a.shape) == (b.where, b.why, b.row, b.shape)
