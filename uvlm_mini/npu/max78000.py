"""What the README of ai8x-training says of one node of an ONNX file on the MAX78000, its limits looked up.

There is no fallback: a node beyond a limit is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from uvlm_mini.npu.graph import Graph, attribute, onnx
from uvlm_mini.npu.operators import CHIPS, LIMITS, ONNX_NAMES, lookup
from uvlm_mini.npu.rows import Found, answer, x
from uvlm_mini.npu.window import depthwise, window

Limits = tuple[str, list[str], list[str]]  # a row, the limits that are broken, and what is to be said otherwise


def max78000(graph: Graph, node: onnx.NodeProto) -> tuple[str, Found]:
    """The row of a node, and its answer."""
    found: Limits = ONNX_NAMES["max78000"].get(node.op_type, ""), [], []
    if node.op_type in _CONDITIONS:
        found = _CONDITIONS[node.op_type](graph, node, found[0])
    row, broken, notes = found
    if lookup("max78000", row) is None:
        return "", ("unknown", "no source names it")
    if (said := answer("max78000", row))[0] != "hw":
        return row, said
    sides, facts = graph.shape(node)[2:], CHIPS["max78000"].facts
    if max(sides, default=0) > (longest := int(facts["longest_side"].value)):
        broken = [*broken, f"a map of {x(sides)}, at most {longest} rows and columns"]
    if math.prod(sides) > facts["largest_map_unstreamed"].value:
        notes = [*notes, f"a map of {x(sides)} has to be streamed"]
    return row, ("refused", "; ".join(broken)) if broken else ("hw", "; ".join(notes))


def _convolution(graph: Graph, node: onnx.NodeProto, row: str) -> Limits:
    at, channels = window(graph, node), LIMITS["max78000"]["Conv2d"]["channels"]
    row = f"{node.op_type}{len(at.kernel)}d"
    if row == "Conv2d" and depthwise(graph, node):
        return "Conv2d(depthwise)", [], []
    if row not in LIMITS["max78000"]:
        return "", [], []
    most = LIMITS["max78000"][row]
    broken = [] if graph.fixed(node, 1) else ["the kernel is computed, and must be a constant"]
    broken += [f"padding {max(at.pads)}, at most {most['padding']}"] if max(at.pads) > most["padding"] else []
    many = max(graph.shape(node)[1], graph.made(node)[1])
    broken += [f"{many} channels, at most {channels}"] if many > channels else []
    broken += [f"{attribute(node, 'group', 1)} groups"] if attribute(node, "group", 1) > 1 else []
    dilation = max(at.dilations)
    if row == "ConvTranspose2d":
        shape = [most["kernel"]] * 2, [most["stride"]] * 2
        broken += [] if (at.kernel, at.strides) == shape else [f"kernel {x(at.kernel)}, stride {x(at.strides)}"]
        more = list(attribute(node, "output_padding") or [0, 0])
        broken += [] if more == [most["output padding"]] * 2 else [f"output padding {x(more)}"]
        return row, broken + ([f"dilation {x(at.dilations)}: not named"] if dilation > 1 else []), []
    broken += [f"stride {x(at.strides)}, only 1"] if max(at.strides) > most["stride"] else []
    if row == "Conv1d":
        broken += [f"kernel {x(at.kernel)}, at most {most['kernel']}"] if at.kernel[0] > most["kernel"] else []
        most_dilated = most["dilation"] if at.kernel[0] <= most["dilated kernel"] else 1
    else:
        broken += [] if at.kernel in ([1, 1], [3, 3]) else [f"kernel {x(at.kernel)}, only 1x1 and 3x3"]
        most_dilated = most["dilation"]
    broken += [f"dilation {x(at.dilations)}, at most {most_dilated}"] if dilation > most_dilated else []
    return row, broken, []


def _product(graph: Graph, node: onnx.NodeProto, row: str) -> Limits:
    if not graph.fixed(node, 1):
        return "MatMul(dynamic)", [], []
    made, most = graph.made(node), LIMITS["max78000"]["Linear"]["channels"]
    rows = math.prod(made[:-1])
    broken = [f"{rows} rows, one vector only"] if rows > 1 else []
    widest = max(graph.shape(node, 1)[-2:])
    return "Linear", broken + ([f"{widest} inputs or outputs, at most {most}"] if widest > most else []), []


def _pool(graph: Graph, node: onnx.NodeProto, row: str) -> Limits:
    at, most, broken = window(graph, node), LIMITS["max78000"][row]["window"], []
    strides = at.kernel if node.op_type.startswith("Global") else at.strides  # one window: any stride will do
    for what, sides in (("window", at.kernel), ("stride", strides)):
        if max(sides) > most or len(set(sides)) > 1:
            broken.append(f"{what} {x(sides)}, at most {most} and the same both ways")
    broken += [f"padding {max(at.pads)}, only 0"] if max(at.pads) else []
    return row, broken + ([f"dilation {x(at.dilations)}: not named"] if max(at.dilations) > 1 else []), []


def _elementwise(graph: Graph, node: onnx.NodeProto, row: str) -> Limits:
    made, most = graph.made(node), LIMITS["max78000"]["Add"]["inputs"]
    shapes = [graph.shape(node, i) for i in range(len(node.input))]
    broken = [f"broadcast of {' and '.join(map(x, shapes))}"] if any(shape != made for shape in shapes) else []
    broken += [] if 2 <= len(shapes) <= most else [f"{len(shapes)} inputs, 2 to {most}"]
    constant = any(graph.fixed(node, i) for i in range(len(shapes)))
    return row, broken, ["that an operand may be a constant is not said"] if constant else []


_CONDITIONS: dict[str, Callable[[Graph, onnx.NodeProto, str], Limits]] = {
    "Conv": _convolution, "ConvTranspose": _convolution, "Gemm": _product, "MatMul": _product, "AveragePool": _pool,
    "MaxPool": _pool, "GlobalAveragePool": _pool, "GlobalMaxPool": _pool, "Add": _elementwise, "Sub": _elementwise,
    "Sum": _elementwise, "BitwiseOr": _elementwise, "BitwiseXor": _elementwise,
}  # fmt: skip
