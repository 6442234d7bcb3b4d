"""What the STM32N6's table says of one node of an ONNX file: its conditions, looked up in the graph.

The numbers are those of ``operators.LIMITS``; what was seen against a row stands in the row.
"""

from __future__ import annotations

from collections.abc import Callable

from uvlm_mini.npu.graph import Graph, attribute, onnx
from uvlm_mini.npu.operators import LIMITS
from uvlm_mini.npu.rows import NPU, Found, answer, seen, x
from uvlm_mini.npu.window import depthwise, over_the_map, window


def stm32n6(graph: Graph, node: onnx.NodeProto) -> tuple[str, Found]:
    """The row of a node, and its answer."""
    row = "Resize" if node.op_type == "Upsample" else node.op_type  # its older name
    if row == "Conv":
        if max(window(graph, node).dilations, default=1) > 1:
            row = "Conv(dilated)"
        elif depthwise(graph, node):
            row = "Conv(depthwise)"
    found = answer("stm32n6", row)
    if found[0] in NPU:
        deep = max(len(graph.shape(node) if node.input else ()), len(graph.made(node)))
        if deep > (most := LIMITS["stm32n6"]["Reshape"]["dimensions"]):
            return row, ("refused", f"{deep} dimensions; tensors have at most {most}")
    return row, _CONDITIONS[node.op_type](graph, node, found) if node.op_type in _CONDITIONS else found


def _convolution(graph: Graph, node: onnx.NodeProto, found: Found) -> Found:
    if not graph.fixed(node, 1):
        return "refused", "the kernel is computed, and must be a constant"
    if found[0] != "hw":
        return found
    if node.op_type == "ConvTranspose":
        return "hw", ""
    at, most = window(graph, node), LIMITS["stm32n6"]["Conv"]
    high, wide = (1, *at.kernel)[-2:]
    notes = []
    if high > most["height"] or wide > most["strided width" if min(at.strides) >= 2 else "width"]:
        notes.append(f"{x(at.kernel)} kernel, split into several passes")
    if any(stride not in (1, 2, 4) or stride > size for stride, size in zip(at.strides, at.kernel, strict=True)):
        notes.append(f"stride {x(at.strides)} not among the cheap ones")
    if max(at.pads, default=0) > most["cheap padding"]:
        notes.append(f"padding {max(at.pads)} is above {most['cheap padding']}, not free")
    notes += _columns(graph, node, most)
    groups = attribute(node, "group", 1)
    if groups > 1 and not depthwise(graph, node):
        return "conditional", "; ".join([f"{groups} groups: works in reports, undocumented", *notes])
    return "hw", "; ".join(notes)


def _columns(graph: Graph, node: onnx.NodeProto, most: dict[str, int]) -> list[str]:
    """A note where a feature map is too wide for one pass."""
    _, channels, *sides = graph.shape(node)
    many = sides[-1] * channels if len(sides) > 1 and sides[-2] > 1 else 0  # no limit at height 1
    limit = most["width x channels"]
    return [f"width x channels {many} > {limit}, split into columns"] if many > limit else []


def _product(graph: Graph, node: onnx.NodeProto, found: Found) -> Found:
    if graph.fixed(node, 1):
        return "hw", "second operand constant"
    if graph.fixed(node, 0):
        return "software", "the second operand is computed, and must be the constant one"
    return "software", "both operands are computed; the second must be a constant"


def _pool(graph: Graph, node: onnx.NodeProto, found: Found) -> Found:
    at, most = window(graph, node), LIMITS["stm32n6"]["AveragePool"]
    if len(at.kernel) not in (1, 2):
        return "refused", f"{len(at.kernel)} dimensions; pools have one or two"
    if max(at.dilations) > 1:
        return "unknown", f"dilation {x(at.dilations)}: no source names pools with one"
    if max(at.strides) > most["stride"] or max(at.pads) > most["padding"]:
        return "refused", (
            f"stride {x(at.strides)}, padding {max(at.pads)}; at most {most['stride']} and {most['padding']}"
        )
    if at.pads[len(at.kernel)] >= at.kernel[0]:
        return "refused", f"padding {at.pads[len(at.kernel)]} at the bottom, and the window is {at.kernel[0]} high"
    notes = [f"{x(at.kernel)} window, split into passes"] if max(at.kernel) > most["window"] else []
    if notes and node.op_type.startswith("Global"):
        notes.append(seen("stm32n6", "GlobalAveragePool"))
    return "hw", "; ".join([*notes, *_columns(graph, node, most)])


def _reduction(graph: Graph, node: onnx.NodeProto, found: Found) -> Found:
    sides = over_the_map(graph, node)
    if sides is None:
        return "software", "not over height and width alone: no global pool, in float"
    pool = "Global" + {"ReduceMean": "AveragePool", "ReduceMax": "MaxPool"}[node.op_type]
    notes = [f"a {pool} in disguise"]
    if max(sides) > LIMITS["stm32n6"]["AveragePool"]["window"]:
        notes += [f"{x(sides)} window, split into passes", seen("stm32n6", "GlobalAveragePool")]
    return "hw", "; ".join(notes)


def _arithmetic(graph: Graph, node: onnx.NodeProto, found: Found) -> Found:
    if node.op_type == "Sub" and graph.fixed(node, 0):
        return "software", seen("stm32n6", "Sub")
    made, shapes = graph.made(node), [graph.shape(node, 0), graph.shape(node, 1)]
    small = [shape for shape in shapes if (1,) * (len(made) - len(shape)) + shape != made]
    if len(small) > 1:
        return "refused", f"{x(shapes[0])} and {x(shapes[1])}: broadcast both ways, only one may be"
    if small and not _one_way(small[0], made):
        return "refused", f"broadcast of {x(small[0])} to {x(made)}; scalar, channel, H, W or HW only"
    return "hw", f"broadcast of {x(small[0]) or 'a scalar'}" if small else ""


def _one_way(small: tuple[int, ...], made: tuple[int, ...]) -> bool:
    """Whether an operand is a scalar, a channel, a row, a column or a map beside the other."""
    rank = len(made)
    wide = [rank - len(small) + i for i, size in enumerate(small) if size > 1]  # axes that it does have
    return len(wide) < 2 or wide == [rank - 2, rank - 1]


def _division(graph: Graph, node: onnx.NodeProto, found: Found) -> Found:
    if graph.fixed(node, 1):
        return "hw", "the divisor is a constant"
    return "software", "the divisor is computed: an integer routine"


def _power(graph: Graph, node: onnx.NodeProto, found: Found) -> Found:
    return ("hw", "the exponent is a constant") if graph.fixed(node, 1) else ("software", "the exponent is computed")


def _quantized(graph: Graph, node: onnx.NodeProto, found: Found) -> Found:
    return "hw", "in int8; left in float it runs on the CPU"


def _slope(graph: Graph, node: onnx.NodeProto, found: Found) -> Found:
    return ("hw", "the slope must be quantized") if graph.fixed(node, 1) else ("refused", "the slope is computed")


def _norm(graph: Graph, node: onnx.NodeProto, found: Found) -> Found:
    if graph.folds(node):
        return "folded", "into the Conv before it"
    return "software", "no convolution before it to fold into"


def _concat(graph: Graph, node: onnx.NodeProto, found: Found) -> Found:
    shape = graph.made(node)
    axis = attribute(node, "axis", 0) % len(shape)
    slow = any(size != 1 for size in shape[:axis])
    return "hybrid", "a copy loop: a dimension before the axis is not 1" if slow else "fast: all before the axis is 1"


def _slice(graph: Graph, node: onnx.NodeProto, found: Found) -> Found:
    before, after = graph.shape(node), graph.made(node)
    if before[:1] != after[:1] and len(before) > 1:
        return "refused", "cuts along the batch"
    return found  # of at most 4 dimensions, without the batch, no more than 3 can be cut


def _pad(graph: Graph, node: onnx.NodeProto, found: Found) -> Found:
    mode = attribute(node, "mode", "constant")
    return ("hw", "") if mode == "constant" else ("hybrid", f"mode {mode}: a library routine")


def _reshape(graph: Graph, node: onnx.NodeProto, found: Found) -> Found:
    if attribute(node, "allowzero", 0):
        return "refused", "allowzero is 1 and must be 0; it matters only where a size is 0"
    return found


def _resize(graph: Graph, node: onnx.NodeProto, found: Found) -> Found:
    mode = attribute(node, "mode", "nearest")
    if graph.opset > 10:
        place = attribute(node, "coordinate_transformation_mode", "half_pixel")
        rounding = attribute(node, "nearest_mode", "round_prefer_floor")
        constant = graph.fixed(node, 2)
    else:  # Upsample, and Resize as it was first: one way only, and the scales an attribute or the second input
        place, rounding = "asymmetric", "floor"
        constant = graph.fixed(node, 1) or attribute(node, "scales") is not None
    if (mode, place, rounding) == ("nearest", "asymmetric", "floor") and constant:
        return "hw", "nearest, asymmetric, floor, constant scales"
    how = f"{mode}, {place}" + (f", {rounding}" if mode == "nearest" else "") + ("" if constant else ", other scales")
    return "software", f"{how}; the NPU takes nearest, asymmetric, floor and constant scales"


_CONDITIONS: dict[str, Callable[[Graph, onnx.NodeProto, Found], Found]] = {
    "Conv": _convolution, "ConvTranspose": _convolution, "Gemm": _product, "MatMul": _product,
    "AveragePool": _pool, "MaxPool": _pool, "GlobalAveragePool": _pool, "GlobalMaxPool": _pool,
    "ReduceMean": _reduction, "ReduceMax": _reduction, "Add": _arithmetic, "Sub": _arithmetic, "Mul": _arithmetic,
    "Div": _division, "Pow": _power, "Exp": _quantized, "Sqrt": _quantized, "Erf": _quantized, "PRelu": _slope,
    "BatchNormalization": _norm, "Concat": _concat, "Slice": _slice, "Pad": _pad, "Reshape": _reshape,
    "Resize": _resize, "Upsample": _resize,
}  # fmt: skip
