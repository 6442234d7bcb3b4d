"""What the list of Vela 3.6.1 says of one node of an ONNX file on the Ethos-U55: its limits, looked up in the graph.

A node beyond a limit runs on the CPU. What a float file does not tell yet, because only its quantization decides it,
stands in the reason.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from uvlm_mini.npu.graph import FLOATS, Graph, OpenShape, attribute, onnx
from uvlm_mini.npu.operators import LIMITS, ONNX_NAMES
from uvlm_mini.npu.rows import NPU, Found, answer, x
from uvlm_mini.npu.window import depthwise, over_the_map, window

T = onnx.TensorProto
EIGHT = {T.INT8, T.UINT8}
TYPES = {*EIGHT, T.INT16}
WITH_INT32 = {"ADD", "MUL", "SUB"}
PER_CHANNEL = {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"}
Limits = tuple[str, list[str], list[str]]  # a row, the limits that are broken, and what is to be said otherwise


def ethos_u55(graph: Graph, node: onnx.NodeProto) -> tuple[str, Found]:
    """The row of a node, and its answer."""
    row = ONNX_NAMES["ethos-u55"].get(node.op_type, "")
    notes: list[str] = []
    if node.op_type in _CONDITIONS and (not row or answer("ethos-u55", row)[0] in NPU):
        row, broken, notes = _CONDITIONS[node.op_type](graph, node, row)
    else:
        broken = []
    if not row:
        return "", ("unknown", "; ".join([*broken, *notes]) or "no name in the table's language is known here")
    found = answer("ethos-u55", row)
    if found[0] != "hw":
        return row, found
    broken = [*_general(graph, node, row), *broken]
    return row, ("software", "; ".join(broken)) if broken else ("hw", "; ".join(notes))


def _general(graph: Graph, node: onnx.NodeProto, row: str) -> list[str]:
    """Limits that hold for every operator: dimensions, batch, types, scales."""
    most, broken = LIMITS["ethos-u55"]["*"], []
    data = node.input[:1] if row in ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "STRIDED_SLICE", "PAD") else node.input
    for name in dict.fromkeys([*data, *node.output]):
        tensor = graph.type(name)
        if not name or (tensor.dtype == T.INT64 and name in graph.constant):
            continue
        if tensor.shape is None:
            raise OpenShape(name)
        if len(tensor.shape) > most["dimensions"] or any(not 1 <= side <= most["size"] for side in tensor.shape):
            broken.append(f"{x(tensor.shape)}: at most {most['dimensions']} dimensions of 1 to {most['size']}")
        if len(tensor.shape) == 4 and tensor.shape[0] != most["batch"] and name not in graph.constant:
            broken.append(f"a batch of {tensor.shape[0]}, only {most['batch']}")
    for i, name in enumerate([*data, *node.output]):
        if not name or (i >= 2 and i < len(data)) or (name in graph.constant and graph.quantizer(name) is None):
            continue  # biases and settings; what is left in float is said by the precision
        kind = graph.element(name)
        if kind not in TYPES and not (kind == T.INT32 and row in WITH_INT32):
            broken.append(f"{T.DataType.Name(kind).lower()}: only int8, uint8 and int16 here")
        scale = graph.scale(name)
        if scale is not None and scale.size > 1 and row not in PER_CHANNEL:
            broken.append("one scale a channel, and this operator takes one a tensor")
    return list(dict.fromkeys(broken))


def _eight(graph: Graph, node: onnx.NodeProto) -> list[str]:
    """What is wrong with the second operand where it must be a constant of 8 bits."""
    if not graph.fixed(node, 1):
        return ["the weights are computed, and must be constant"]
    return [] if graph.element(node.input[1]) in EIGHT else ["the weights must have 8 bits"]


def _convolution(graph: Graph, node: onnx.NodeProto, row: str) -> Limits:
    at, broken = window(graph, node), _eight(graph, node)
    row = "DEPTHWISE_CONV_2D" if depthwise(graph, node) else "CONV_2D"
    most = LIMITS["ethos-u55"][row]
    if len(at.kernel) > 2:
        return "(other)", [], []
    if row == "CONV_2D" and attribute(node, "group", 1) > 1:
        return "", [f"{attribute(node, 'group')} groups: the list does not name grouped convolutions"], []
    broken += [f"stride {x(at.strides)}, at most {most['stride']}"] if max(at.strides) > most["stride"] else []
    high, wide = (1, *at.reach)[-2:]
    if high > most["height"] or high * wide > most["area"]:
        broken.append(f"kernel {x(at.reach)} once dilated; height at most {most['height']}, area {most['area']}")
    out, channels = graph.shape(node, 1)[0], graph.shape(node)[1]
    if row == "DEPTHWISE_CONV_2D" and out != channels > most["channels"]:
        broken.append(f"a depth multiplier of {out // channels} on {channels} channels, above 1 only on one")
    if len(node.input) > 2 and node.input[2] and not _fits_40(graph, node.input[2]):
        broken.append("a bias beyond 40 bits")
    return row, broken, []


def _fits_40(graph: Graph, bias: str) -> bool:
    """Whether a bias fits 40 bits: one of 32 does, one of 64 by its numbers."""
    quantizer = graph.quantizer(bias)
    if quantizer is None or graph.element(bias) != T.INT64:
        return True  # float: it becomes int32
    values = graph.value(quantizer.input[0])
    return values is not None and bool((np.abs(values.astype(np.float64)) < 2.0**39).all())


def _product(graph: Graph, node: onnx.NodeProto, row: str) -> Limits:
    if not graph.fixed(node, 1):
        return "BATCH_MATMUL", [], []
    broken, rank = _eight(graph, node), len(graph.made(node))
    most = LIMITS["ethos-u55"]["FULLY_CONNECTED"]["dimensions"]
    broken += [f"output of {rank} dimensions, {most} only"] if rank != most else []
    quantized = graph.quantizer(node.input[1]) is not None
    return "FULLY_CONNECTED", broken, [] if quantized else ["with one scale for the whole matrix"]


def _pool(graph: Graph, node: onnx.NodeProto, row: str) -> Limits:
    at, most, broken = window(graph, node), LIMITS["ethos-u55"][row], []
    if max(at.dilations) > 1:
        return "", [f"dilation {x(at.dilations)}: TensorFlow Lite's pools have none"], []
    broken += [f"stride {x(at.strides)}, at most {most['stride']}"] if max(at.strides) > most["stride"] else []
    high, wide = (1, *at.kernel)[-2:]
    if any(at.pads) and max(at.kernel) > most.get("padded side", max(at.kernel)):
        broken.append(f"kernel {x(at.kernel)} with padding, at most {most['padded side']}")
    elif high > most["height"] or high * wide > most["area"]:
        broken.append(f"kernel {x(at.kernel)}; height at most {most['height']}, area {most['area']}")
    return row, broken, []


def _mean(graph: Graph, node: onnx.NodeProto, row: str) -> Limits:
    reduction = node.op_type == "ReduceMean"
    sides = over_the_map(graph, node) if reduction else graph.shape(node)[2:]
    if sides is None:
        return row, ["not over height and width alone"], []
    kinds = {graph.element(name) for name in (node.input[0], node.output[0])}
    broken = [] if kinds <= EIGHT else ["int8 and uint8 only"]
    area, most = int(np.prod(sides)), LIMITS["ethos-u55"][row]
    before, after = (graph.scale(name) for name in (node.input[0], node.output[0]))
    kept = not reduction or bool(attribute(node, "keepdims", 1))
    open_ = before is None or after is None
    if kept or (before is not None and after is not None and not np.array_equal(before, after)):
        if area > most["kept area"]:
            broken.append(f"{x(sides)}; area at most {most['kept area']} where scales differ or dimensions are kept")
    elif area > most["area"]:
        broken.append(f"{x(sides)}; area at most {most['area']}")
    return row, broken, ["if both sides get the same scale"] if area > most["kept area"] and open_ else []


def _arithmetic(graph: Graph, node: onnx.NodeProto, row: str) -> Limits:
    made, shapes = graph.made(node), [graph.shape(node, i) for i in range(len(node.input))]
    whole = [(1,) * (len(made) - len(shape)) + shape == made for shape in shapes]
    broken = [] if any(whole) else [f"{' and '.join(map(x, shapes))}: broadcast both ways, only one may be"]
    kinds = {graph.element(name) for name in node.input if graph.quantizer(name) is not None}
    broken += ["one operand signed and one not"] if len(kinds & EIGHT) > 1 else []
    return row, broken, [f"as {len(shapes) - 1} of two operands each"] if len(shapes) > 2 else []


def _resize(graph: Graph, node: onnx.NodeProto, row: str) -> Limits:
    mode = attribute(node, "mode", "nearest")
    if mode not in ("nearest", "linear"):
        return "(other)", [], []
    row = "RESIZE_NEAREST_NEIGHBOR" if mode == "nearest" else "RESIZE_BILINEAR"
    before, after = graph.shape(node), graph.made(node)
    scales = {b / a for a, b in zip(before[2:], after[2:], strict=True)}
    broken = [] if len(scales) == 1 and scales <= {2, 4, 8} else ["the same scale of 2, 4 or 8 only"]
    place = attribute(node, "coordinate_transformation_mode", "half_pixel" if graph.opset > 10 else "asymmetric")
    if mode == "linear" and place in ("half_pixel", "pytorch_half_pixel") and not broken and scales != {2}:
        broken.append("bilinear with half-pixel centres by 2 only")
    return row, broken if before[:2] == after[:2] else [*broken, "channels are enlarged, too"], []


def _clip(graph: Graph, node: onnx.NodeProto, row: str) -> Limits:
    """ReLUs by another name."""
    given = [graph.value(name) for name in node.input[1:3]] + [None, None]
    low, high = (attribute(node, key, given[i]) for i, key in enumerate(("min", "max")))
    ends = None if low is None else float(low), None if high is None else float(high)
    known: dict[object, str] = {(0.0, 6.0): "RELU6", (-1.0, 1.0): "RELU_N1_TO_1", (0.0, None): "RELU"}
    row = known.get(ends, "")
    return row, [] if row else [f"no clip from {ends[0]} to {ends[1]} is in the list"], []


def _eight_bits(graph: Graph, node: onnx.NodeProto, row: str) -> Limits:
    wrong = {graph.element(name) for name in (node.input[0], node.output[0])} - EIGHT
    return row, ["int8 and uint8 only"] if wrong else [], []


def _softmax(graph: Graph, node: onnx.NodeProto, row: str) -> Limits:
    kinds = {graph.element(name) for name in (node.input[0], node.output[0])}
    rank = len(graph.shape(node))
    last = attribute(node, "axis", -1 if graph.opset > 12 else 1) % rank == rank - 1
    broken = ["another type at the output than at the input"] if len(kinds) > 1 else []
    return row, broken, [] if last else ["along the last axis: others are transposed before, which the list leaves out"]


def _pad(graph: Graph, node: onnx.NodeProto, row: str) -> Limits:
    pads, rank = graph.setting(node, "pads", 1), len(graph.shape(node))
    broken = []
    if attribute(node, "mode", "constant") != "constant":
        return "(other)", [], []  # MIRROR_PAD
    axes = graph.setting(node, "axes", 3) or list(range(rank))
    if pads is None:
        broken.append("the padding is computed, and must be constant")
    elif any(pad for i, pad in enumerate(pads) if axes[i % len(axes)] % rank < 2):
        broken.append("pads batch or channels, only height and width may be")
    return row, broken, []


def _slice(graph: Graph, node: onnx.NodeProto, row: str) -> Limits:
    steps = graph.setting(node, "steps", 4)
    computed = steps is None and len(node.input) > 4 and bool(node.input[4])
    ones = not computed and set(steps or [1]) == {1}
    return row, [] if ones else [f"steps of {x(steps) if steps else 'unknown size'}, only 1"], []


def _reshape(graph: Graph, node: onnx.NodeProto, row: str) -> Limits:
    broken = []
    if node.op_type == "Reshape" and len(node.input) > 1 and not graph.fixed(node, 1):
        broken.append("to a shape that is computed, and must be constant")
    before, after = (graph.scale(name) for name in (node.input[0], node.output[0]))
    if before is None or after is None:
        floats = graph.type(node.input[0]).dtype in FLOATS
        return row, broken, ["if both sides get the same quantization"] if floats else []
    return row, broken if np.array_equal(before, after) else [*broken, "another quantization at the output"], []


_CONDITIONS: dict[str, Callable[[Graph, onnx.NodeProto, str], Limits]] = {
    "Conv": _convolution, "Gemm": _product, "MatMul": _product, "AveragePool": _pool, "MaxPool": _pool,
    "GlobalMaxPool": _pool, "GlobalAveragePool": _mean, "ReduceMean": _mean,
    "Add": _arithmetic, "Sub": _arithmetic, "Mul": _arithmetic,
    "Min": _arithmetic, "Max": _arithmetic, "Resize": _resize, "Upsample": _resize, "Clip": _clip,
    "HardSwish": _eight_bits, "Softmax": _softmax, "Pad": _pad, "Slice": _slice, "Reshape": _reshape,
    "Flatten": _reshape,
}  # fmt: skip
