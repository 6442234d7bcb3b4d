"""Where each node of an ONNX file would run on a µNPU, and whether the whole fits: `uvlm check`.

The operator tables of ``operators`` say what a target takes; here their conditions are looked up in the graph. No
vendor's tool is asked and nothing runs on a chip: a verdict is as good as its source, whose letter stands beside it.

    hw           on the NPU, all stated limits kept
    conditional  on the NPU with an option of the tool, or reports disagree
    hybrid       memory move: NPU, DMA or a CPU copy
    software     on the CPU
    folded       gone before run time: constants, Q/DQ around int8 nodes, what merges into a neighbour
    refused      outside the limits, and no stand-in is named
    unknown      the sources do not name it
"""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from uvlm_mini.npu.graph import VIEWS, Graph, attribute, load, onnx
from uvlm_mini.npu.operators import CHIPS, ONNX_NAMES, OPSETS, SOURCES, lookup
from uvlm_mini.paper import BUDGET_MB

PLACES = ("hw", "conditional", "hybrid", "software", "folded", "refused", "unknown")
SEEN = "one of 50x11 was seen on the CPU"
ORDER = "the file's own order of nodes"
Found = tuple[str, str]  # a place, and why; an empty reason where there is nothing to say


@dataclass(frozen=True)
class NodeVerdict:
    """One node of the file.

    Attributes
    ----------
    number : int
        Place in the file, from 0.
    name, op : str
        As the file has them.
    row : str
        Its row in the target's table, in the target's own language; empty where there is none.
    where : str
        One of ``PLACES``.
    why : str
        The condition that decided; empty where the row has none to tell.
    sources : tuple of str
        Keys of ``operators.SOURCES``.
    shape : tuple of int or None
        Of its first output.
    multiply_adds, weight_bytes : int
        Weights as they would be deployed; what several nodes share is counted at the first.
    """

    number: int
    name: str
    op: str
    row: str
    where: str
    why: str
    sources: tuple[str, ...]
    shape: tuple[int, ...] | None
    multiply_adds: int
    weight_bytes: int


@dataclass(frozen=True)
class Verdict:
    """A whole file on one target.

    Attributes
    ----------
    file, target : str
    precision : str
        ``"float"``, ``"int8"`` or ``"mixed"``. Of a float file everything is judged and counted as if it were int8.
    nodes : tuple of NodeVerdict
    peak_bytes : int
        Most activations alive at once, in the order ``order``.
    peak_node : int
        The node that runs then.
    order : str
    weight_bytes : int
        As deployed: an int8 file's own bytes, a float file's in int8 by rule.
    file_weight_bytes : int
        As the file has them.
    multiply_adds : int
    fits : dict of str to bool or None
        ``"sram"``: the activations; ``"flash"``: the weights; ``"budget"``: weights and activations against the
        paper's line. None where no size was published.
    warnings : tuple of str
    """

    file: str
    target: str
    precision: str
    nodes: tuple[NodeVerdict, ...]
    peak_bytes: int
    peak_node: int
    order: str
    weight_bytes: int
    file_weight_bytes: int
    multiply_adds: int
    fits: dict[str, bool | None]
    warnings: tuple[str, ...]

    def count(self, where: str) -> int:
        """Nodes with one answer."""
        return sum(node.where == where for node in self.nodes)


def check(model: str | Path | onnx.ModelProto, target: str = "stm32n6", int8: bool = False) -> Verdict:
    """Judge an ONNX file.

    Parameters
    ----------
    model : str, Path or onnx.ModelProto
    target : str
        One of ``operators.TARGETS``.
    int8 : bool
        Insist on a quantized file.

    Returns
    -------
    Verdict

    Raises
    ------
    FileNotFoundError, ValueError
        One sentence: no such target or file, not ONNX, cut off, too large, open shapes, an unknown domain, or float
        where int8 was insisted on.
    """
    lookup(target, "")  # an unknown target before a long look at the file
    name = "the model" if isinstance(model, onnx.ModelProto) else str(model)
    graph = Graph(model if isinstance(model, onnx.ModelProto) else load(model), name)
    as_int8 = graph.precision == "float"
    if int8 and as_int8:
        raise ValueError(
            f"{name} is float, and --int8 expects a quantized file: the NPU takes int8 only, quantize first."
        )
    counted: set[str] = set()
    functions: set[tuple[str, str]] = set()
    in_file = 0
    nodes = []
    for number, node in enumerate(graph.nodes):
        row, (where, why) = _judge(graph, node, target, as_int8)
        rule = lookup(target, row)
        weights = set() if graph.gone(node) else graph.used_weights(node) - counted
        counted |= weights
        size = graph.weight_bytes(weights, as_int8)
        in_file += graph.weight_bytes(weights, False)
        key = node.domain, node.op_type
        if key in graph.functions and key not in functions:  # its body is there once, however often it is called
            functions.add(key)
            size += graph.body_bytes(node, as_int8)
            in_file += graph.body_bytes(node, False)
        shape = graph.type(node.output[0]).shape if node.output else None
        nodes.append(
            NodeVerdict(
                number, node.name, node.op_type, row if rule else "", where, why, rule.sources if rule else (), shape,
                graph.multiply_adds(node), size,
            )
        )  # fmt: skip
    peak, at = graph.peak(as_int8)
    weight_bytes = sum(node.weight_bytes for node in nodes)
    return Verdict(
        name, target, graph.precision, tuple(nodes), peak, at, ORDER, weight_bytes, in_file,
        sum(node.multiply_adds for node in nodes), _fits(target, peak, weight_bytes),
        tuple(_warnings(graph, target, nodes)),
    )  # fmt: skip


def _fits(target: str, peak: int, weights: int) -> dict[str, bool | None]:
    """Activations against SRAM, weights against flash, both against the paper's line."""
    if target != "stm32n6":
        return {"sram": None, "flash": None, "budget": peak + weights <= BUDGET_MB * 1e6}
    chip = CHIPS["stm32n657"]
    return {
        "sram": peak <= chip.sram_kib * 1024,
        "flash": weights <= _flash_kib() * 1024,
        "budget": peak + weights <= BUDGET_MB * 1e6,
    }


def _flash_kib() -> int:
    return next(memory.kib for memory in CHIPS["stm32n657"].memories if memory.name == "octo flash")


# --------------------------------------------------------------------------------------------------------------------
# one node


def _judge(graph: Graph, node: onnx.NodeProto, target: str, as_int8: bool) -> tuple[str, Found]:
    """The row of the target's table for a node, and the verdict."""
    if graph.gone(node):
        return "", ("folded", "constants only")
    if (node.domain, node.op_type) in graph.functions:
        inside = graph.inside(node)
        n = sum(not inside.gone(inner) for inner in inside.nodes)
        return "", ("software", f"custom layer: a function of domain {node.domain}, {n} operators inside")
    if node.domain not in ("", "ai.onnx"):
        return "", ("unknown", f"domain {node.domain}: no source names it")
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        return _border(graph, node, target)
    row, found = {"stm32n6": _stm32n6, "ethos-u55": _ethos_u55, "max78000": _max78000}[target](graph, node)
    if found[0] in ("hw", "conditional", "hybrid") and not as_int8 and not graph.integer(node):
        found = "software", "float in a file that has int8: on the CPU, converted on either side"
    return row, found


def _border(graph: Graph, node: onnx.NodeProto, target: str) -> tuple[str, Found]:
    """QuantizeLinear and DequantizeLinear: most of them only say that their neighbours are int8."""
    row = {"stm32n6": node.op_type, "ethos-u55": "QUANTIZE"}.get(target, "")
    found: dict[str, Found] = {
        "weights": ("folded", "constants only"),
        "inside": ("folded", "part of the int8 node beside it"),
        "rescale": ("hw", "int8 to int8"),
        "to int8": ("software", "the border between float and int8"),
        "to float": ("software", "the border between int8 and float"),
    }
    return row, found[graph.border(node)]


def _rule(target: str, row: str) -> Found:
    """The answer of a row whose condition, if it has one, is not looked up here."""
    rule = lookup(target, row)
    if rule is None:
        return "unknown", "no source names it"
    if rule.where == "none":
        return "software", rule.constraints or "read by the tool, but no mapping to the NPU is listed"
    place = {"sw": "software", "hw?": "conditional"}.get(rule.where, rule.where)
    return place, rule.constraints if place != "hw" else ""


def _spatial(graph: Graph, node: onnx.NodeProto) -> tuple[int, ...]:
    """Sizes of the input without batch and channels."""
    return graph.shape(node)[2:]


def _window(graph: Graph, node: onnx.NodeProto) -> tuple[list[int], list[int], list[int], list[int]]:
    """Kernel, strides, dilations and padding of a convolution or pool, defaults filled in."""
    kernel = attribute(node, "kernel_shape") or list(graph.shape(node, 1)[2:])
    ones = [1] * len(kernel)
    strides, dilations = (list(attribute(node, key) or ones) for key in ("strides", "dilations"))
    return list(kernel), strides, dilations, list(attribute(node, "pads") or [0] * 2 * len(kernel))


def _x(numbers: list[int] | tuple[int, ...]) -> str:
    return "x".join(map(str, numbers))


def _depthwise(graph: Graph, node: onnx.NodeProto) -> bool:
    groups = attribute(node, "group", 1)
    return groups > 1 and graph.shape(node)[1:2] == (groups,)


# --------------------------------------------------------------------------------------------------------------------
# stm32n6


def _stm32n6(graph: Graph, node: onnx.NodeProto) -> tuple[str, Found]:
    op = node.op_type
    if op == "Conv":
        if max(_window(graph, node)[2], default=1) > 1:
            op = "Conv(dilated)"
        elif _depthwise(graph, node):
            op = "Conv(depthwise)"
    found = _rule("stm32n6", op)
    deep = max((len(graph.type(name).shape or ()) for name in [*node.input[:1], *node.output[:1]]), default=0)
    if deep > 4 and found[0] in ("hw", "hybrid", "conditional"):
        return op, ("refused", f"{deep} dimensions; tensors have at most 4")
    return op, _CONDITIONS[node.op_type](graph, node, found) if node.op_type in _CONDITIONS else found


def _convolution(graph: Graph, node: onnx.NodeProto, found: Found) -> Found:
    kernel, strides, _, pads = _window(graph, node)
    if not graph.fixed(node, 1):
        return "refused", "the kernel is computed, and must be a constant"
    if found[0] != "hw":
        return found
    if node.op_type == "ConvTranspose":
        return "hw", ""
    high, wide = (1, *kernel)[-2:]
    notes = []
    if high > 3 or wide > (12 if min(strides) >= 2 else 6):
        notes.append(f"{_x(kernel)} kernel, split into several passes")
    if any(stride not in (1, 2, 4) or stride > size for stride, size in zip(strides, kernel, strict=False)):
        notes.append(f"stride {_x(strides)} not among the cheap ones")
    if max(pads, default=0) > 2:
        notes.append(f"padding {max(pads)} is above 2, not free")
    notes += _columns(graph, node)
    groups = attribute(node, "group", 1)
    if groups > 1 and not _depthwise(graph, node):
        return "conditional", "; ".join([f"{groups} groups: works in reports, undocumented", *notes])
    return "hw", "; ".join(notes)


def _columns(graph: Graph, node: onnx.NodeProto) -> list[str]:
    """A note where a feature map is too wide for one pass."""
    _, channels, *sides = graph.shape(node)
    many = sides[-1] * channels if len(sides) > 1 and sides[-2] > 1 else 0  # no limit at height 1
    return [f"width x channels {many} > 2048, split into columns"] if many > 2048 else []


def _product(graph: Graph, node: onnx.NodeProto, found: Found) -> Found:
    if graph.fixed(node, 1):
        return "hw", "second operand constant"
    if graph.fixed(node, 0):
        return "software", "the second operand is computed, and must be the constant one"
    return "software", "both operands are computed; the second must be a constant"


def _pool(graph: Graph, node: onnx.NodeProto, found: Found) -> Found:
    sides = _spatial(graph, node)
    if node.op_type.startswith("Global"):
        kernel, strides, pads = list(sides), [1], [0]
    else:
        kernel, strides, _, pads = _window(graph, node)
    if len(sides) not in (1, 2):
        return "refused", f"{len(sides)} dimensions; pools have one or two"
    if max(strides) > 15 or max(pads) > 7:
        return "refused", f"stride {_x(strides)}, padding {max(pads)}; at most 15 and 7"
    notes = [f"{_x(kernel)} window, split into passes"] if max(kernel) > 3 else []
    if notes and node.op_type.startswith("Global"):
        notes.append(SEEN)
    return "hw", "; ".join([*notes, *_columns(graph, node)])


def _reduction(graph: Graph, node: onnx.NodeProto, found: Found) -> Found:
    shape = graph.shape(node)
    rank = len(shape)
    given = graph.setting(node, "axes", 1)
    axes = sorted(axis % rank for axis in given) if given and rank else list(range(rank))
    if rank == len(axes) + 2 and axes == list(range(2, rank)):
        pool = "Global" + {"ReduceMean": "AveragePool", "ReduceMax": "MaxPool"}[node.op_type]
        split = f"; {_x(shape[2:])} window, split; {SEEN}" if max(shape[2:], default=1) > 3 else ""
        return "hw", f"a {pool} in disguise{split}"
    return "software", f"axes {axes} of {rank}: no global pool, in float"


def _arithmetic(graph: Graph, node: onnx.NodeProto, found: Found) -> Found:
    if node.op_type == "Sub" and graph.fixed(node, 0):
        return "software", "a constant minus a tensor was seen on the CPU"
    made = graph.type(node.output[0]).shape
    if made is None:
        return "unknown", "its shape could not be inferred"
    shapes = [graph.shape(node, 0), graph.shape(node, 1)]
    small = [shape for shape in shapes if (1,) * (len(made) - len(shape)) + shape != made]
    if len(small) > 1:
        return "refused", f"{_x(shapes[0])} and {_x(shapes[1])}: broadcast both ways, only one may be"
    if small and not _one_way(small[0], made):
        return "refused", f"broadcast of {_x(small[0])} to {_x(made)}; scalar, channel, H, W or HW only"
    note = f"broadcast of {_x(small[0]) or 'a scalar'}" if small else ""
    return "hw", note


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
    maker = graph.made_by(node.input[0])
    alone = maker is None or maker.op_type != "Conv" or len(graph.read_by(node.input[0])) > 1
    return ("software", "no convolution before it to fold into") if alone else ("folded", "into the Conv before it")


def _concat(graph: Graph, node: onnx.NodeProto, found: Found) -> Found:
    shape = graph.type(node.output[0]).shape or ()
    axis = attribute(node, "axis", 0) % (len(shape) or 1)
    slow = any(size != 1 for size in shape[:axis])
    return "hybrid", "a copy loop: a dimension before the axis is not 1" if slow else "fast: all before the axis is 1"


def _slice(graph: Graph, node: onnx.NodeProto, found: Found) -> Found:
    before, after = graph.shape(node), graph.type(node.output[0]).shape or ()
    cut = [i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b]
    if 0 in cut and len(before) > 1:
        return "refused", "cuts along the batch"
    return ("refused", "cuts more than 3 dimensions") if len(cut) > 3 else found


def _pad(graph: Graph, node: onnx.NodeProto, found: Found) -> Found:
    mode = attribute(node, "mode", "constant")
    return ("hw", "") if mode == "constant" else ("hybrid", f"mode {mode}: a library routine")


def _reshape(graph: Graph, node: onnx.NodeProto, found: Found) -> Found:
    return (
        ("refused", "allowzero is 1 and must be 0; it matters only where a size is 0")
        if attribute(node, "allowzero", 0)
        else found
    )


def _resize(graph: Graph, node: onnx.NodeProto, found: Found) -> Found:
    mode = attribute(node, "mode", "nearest")
    place = attribute(node, "coordinate_transformation_mode", "half_pixel")
    rounding = attribute(node, "nearest_mode", "round_prefer_floor")
    if (mode, place, rounding) == ("nearest", "asymmetric", "floor") and graph.fixed(node, 2):
        return "hw", "nearest, asymmetric, floor, constant scales"
    how = f"{mode}, {place}" + (f", {rounding}" if mode == "nearest" else "")
    return "software", f"{how}; the NPU takes nearest, asymmetric, floor and constant scales"


_CONDITIONS: dict[str, Callable[[Graph, onnx.NodeProto, Found], Found]] = {
    "Conv": _convolution, "ConvTranspose": _convolution, "Gemm": _product, "MatMul": _product,
    "AveragePool": _pool, "MaxPool": _pool, "GlobalAveragePool": _pool, "GlobalMaxPool": _pool,
    "ReduceMean": _reduction, "ReduceMax": _reduction, "Add": _arithmetic, "Sub": _arithmetic, "Mul": _arithmetic,
    "Div": _division, "Pow": _power, "Exp": _quantized, "Sqrt": _quantized, "Erf": _quantized, "PRelu": _slope,
    "BatchNormalization": _norm, "Concat": _concat, "Slice": _slice, "Pad": _pad, "Reshape": _reshape,
    "Resize": _resize,
}  # fmt: skip


# --------------------------------------------------------------------------------------------------------------------
# ethos-u55 and max78000: a row, and what breaks its limits


def _limited(target: str, row: str, broken: list[str], else_: str) -> tuple[str, Found]:
    found = _rule(target, row)
    return row, (else_, "; ".join(broken)) if found[0] == "hw" and broken else found


def _ethos_u55(graph: Graph, node: onnx.NodeProto) -> tuple[str, Found]:
    op, row, broken = node.op_type, ONNX_NAMES["ethos-u55"].get(node.op_type, ""), []
    made = graph.type(node.output[0]).shape or () if node.output else ()
    if len(made) > 4 or max(made, default=1) > 65535:
        broken.append(f"output {_x(made)}: at most 4 dimensions of 65535")
    if op == "Conv":
        row = "DEPTHWISE_CONV_2D" if _depthwise(graph, node) else "CONV_2D"
        kernel, strides, dilations, _ = _window(graph, node)
        sides = [dilation * (size - 1) + 1 for size, dilation in zip(kernel, dilations, strict=True)]
        most = 3 if row == "DEPTHWISE_CONV_2D" else 4
        broken += [f"stride {_x(strides)}, at most {most}"] if max(strides) > most else []
        area = sides[0] * sides[-1] if len(sides) > 1 else sides[0]
        broken += [f"kernel {_x(sides)} once dilated"] if sides[0] > 64 or area > 4096 else []
        broken += [] if graph.fixed(node, 1) else ["the kernel is computed, and must be a constant"]
    elif op in ("Gemm", "MatMul"):
        row = "FULLY_CONNECTED" if graph.fixed(node, 1) else "BATCH_MATMUL"
        broken += [f"output of {len(made)} dimensions, 2 only"] if len(made) != 2 else []
    elif op in ("AveragePool", "MaxPool"):
        kernel, strides, _, pads = _window(graph, node)
        broken += [f"stride {_x(strides)}, at most 3"] if max(strides) > 3 else []
        most = 8 if op == "AveragePool" and any(pads) else 256
        broken += [f"kernel {_x(kernel)}, at most {most}"] if max(kernel) > most else []
    elif op in ("GlobalAveragePool", "ReduceMean"):
        if op == "ReduceMean" and _reduction(graph, node, ("", ""))[0] != "hw":
            broken.append("not over H and W")
    elif op in ("Add", "Sub", "Mul", "Min", "Max"):
        whole = [(1,) * (len(made) - len(shape)) + shape == made for shape in (graph.shape(node), graph.shape(node, 1))]
        broken += [] if any(whole) else ["broadcast both ways, only one may be"]
    elif op == "Resize":
        row = "RESIZE_NEAREST_NEIGHBOR" if attribute(node, "mode", "nearest") == "nearest" else "RESIZE_BILINEAR"
        scales = {after // before for before, after in zip(_spatial(graph, node), made[2:], strict=False)}
        broken += [] if scales and scales <= {2, 4, 8} and len(scales) == 1 else ["the same scale of 2, 4 or 8 only"]
    elif op == "Clip":
        low, high = ([graph.value(name) for name in node.input[1:]] + [None, None])[:2]
        if low is not None and high is not None:
            row = {(0.0, 6.0): "RELU6", (-1.0, 1.0): "RELU_N1_TO_1"}.get((float(low), float(high)), "")
    if not row:
        return "", ("unknown", "no name in the table's language is known here")
    return _limited("ethos-u55", row, broken, "software")


def _max78000(graph: Graph, node: onnx.NodeProto) -> tuple[str, Found]:
    op, row, broken = node.op_type, ONNX_NAMES["max78000"].get(node.op_type, ""), []
    sides = _spatial(graph, node)
    if op in ("Conv", "ConvTranspose"):
        kernel, strides, dilations, pads = _window(graph, node)
        kernels = graph.shape(node, 1)
        row = f"{op}{len(sides)}d"
        if _depthwise(graph, node) and row == "Conv2d":
            row = "Conv2d(depthwise)"
        broken += [f"padding {max(pads)}, at most 2"] if max(pads, default=0) > 2 else []
        broken += [f"{max(kernels[:2])} channels, at most 1024"] if max(kernels[:2], default=0) > 1024 else []
        broken += [f"{attribute(node, 'group', 1)} groups"] if attribute(node, "group", 1) > 1 else []
        if op == "Conv":
            broken += [f"stride {_x(strides)}, only 1"] if max(strides) > 1 else []
            narrow = len(sides) == 1 and kernel[0] <= 9
            broken += [] if narrow or kernel in ([1, 1], [3, 3]) else [f"kernel {_x(kernel)}"]
            free = len(sides) == 1 and kernel[0] <= 3
            broken += [f"dilation {_x(dilations)}"] if max(dilations) > (1023 if free else 1) else []
        elif (kernel, strides) != ([3, 3], [2, 2]):
            broken.append(f"kernel {_x(kernel)}, stride {_x(strides)}; 3x3 and 2 only")
    elif op in ("Gemm", "MatMul"):
        row = "Linear" if graph.fixed(node, 1) else "MatMul(dynamic)"
        rows = math.prod(graph.shape(node)[:-1])
        broken += [f"{rows} rows, one vector only"] if rows > 1 else []
        most = max(graph.shape(node, 1)[-2:], default=0)
        broken += [f"{most} inputs or outputs, at most 1024"] if most > 1024 else []
    elif op in ("AveragePool", "MaxPool", "GlobalAveragePool"):
        row = "MaxPool" if op == "MaxPool" else "AvgPool"
        same = op == "GlobalAveragePool"
        kernel, strides, _, pads = (list(sides), list(sides), [], [0]) if same else _window(graph, node)
        broken += [f"window {_x(kernel)}"] if max(kernel) > 16 or len(set(kernel)) > 1 else []
        broken += [f"stride {_x(strides)}"] if max(strides) > 16 or len(set(strides)) > 1 else []
        broken += [f"padding {max(pads)}, only 0"] if max(pads, default=0) else []
    if not row:
        return "", ("unknown", "no source names it")
    return _limited("max78000", row, broken, "refused")


# --------------------------------------------------------------------------------------------------------------------
# what to be warned of


def _warnings(graph: Graph, target: str, nodes: list[NodeVerdict]) -> list[str]:
    said = []
    if graph.precision == "float":
        said.append("float: the NPU takes int8 only, quantize first. Everything here is judged as if it were int8.")
    open_shapes = [node for node in nodes if node.shape is None and node.where != "folded"]
    if open_shapes:
        first = open_shapes[0]
        said.append(
            f"Nodes whose output has no shape that could be inferred: {len(open_shapes)}, first {first.op} "
            f"({first.number}). Memory and multiply-adds are lower bounds."
        )
    unknown = sorted({node.op for node in nodes if node.where == "unknown"})
    if unknown:
        said.append(f"Unknown to the sources: {', '.join(unknown)}. Of multiply-adds only known kinds are counted.")
    bodies = sorted({node.op for node in nodes if node.op in ("If", "Loop", "Scan")})
    if bodies:
        said.append(f"What is inside {', '.join(bodies)} is not looked at, and not counted.")
    for name in graph.inputs:
        shape = graph.type(name).shape or ()
        if len(shape) == 4 and shape[0] != 1:
            said.append(f"Input {name!r} has a batch of {shape[0]}; the NPU takes one picture at a time.")
    low, high = OPSETS.get(target, (0, 10**6))
    if not low <= graph.opset <= high:
        said.append(f"Opset {graph.opset}: reports name {low} to {high}; export with one of these.")
    said += _integers(graph)
    return said + (_hangs(graph) if target == "stm32n6" else _layers(nodes) if target == "max78000" else [])


def _integers(graph: Graph) -> list[str]:
    """Integers of another kind than reports name: int8, and weights with a zero point of 0."""
    kind, shifted = [], []
    for number, node in enumerate(graph.nodes):
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        weights = graph.gone(node)
        dtype = graph.type(node.input[0] if node.op_type == "DequantizeLinear" else node.output[0]).dtype
        if dtype != onnx.TensorProto.INT8 and not (weights and dtype == onnx.TensorProto.INT32):  # biases are int32
            kind.append(number)
        zero = graph.value(node.input[2]) if weights and len(node.input) > 2 else None
        if zero is not None and zero.any():
            shifted.append(number)
    said = [f"{_named(kind)}: quantized to another type than int8; reports name signed int8."] if kind else []
    return said + ([f"{_named(shifted)}: weights with a zero point, which must be 0."] if shifted else [])


def _hangs(graph: Graph) -> list[str]:
    """The two silent hangs that were reported with compiler 4.0.1."""
    strided, reshaped = [], []
    for number, node in enumerate(graph.nodes):
        if node.op_type == "Conv" and _depthwise(graph, node) and max(_window(graph, node)[1]) >= 2:
            strided.append(number)
        if node.op_type in ("Relu", "Clip", "LeakyRelu", "PRelu") and _reshaped_conv(graph, node):
            reshaped.append(number)
    hang = "reported to hang the NPU without a message (compiler 4.0.1, source C)"
    said = []
    if strided:
        said.append(f"{_named(strided)}: depthwise Conv of stride 2, {hang}; move the stride to the 1x1 Conv after it.")
    if reshaped:
        said.append(f"{_named(reshaped)}: a Reshape between Conv and ReLU, {hang}; put the ReLU before the Reshape.")
    return said


def _named(numbers: list[int]) -> str:
    more = f" and {len(numbers) - 12} more" if len(numbers) > 12 else ""
    return ("Node " if len(numbers) == 1 else "Nodes ") + ", ".join(map(str, numbers[:12])) + more


def _reshaped_conv(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a convolution reaches a node through views, one Reshape or more; Q/DQ on the way do not count."""
    seen = False
    maker = graph.made_by(node.input[0])
    while maker is not None and maker.op_type in (*VIEWS, "QuantizeLinear", "DequantizeLinear"):
        seen |= maker.op_type in VIEWS and maker.op_type != "Identity"
        maker = graph.made_by(maker.input[0])
    return seen and maker is not None and maker.op_type == "Conv"


def _layers(nodes: list[NodeVerdict]) -> list[str]:
    most = int(CHIPS["max78000"].facts["most_layers"].value)
    n = sum(node.op in ("Conv", "ConvTranspose", "Gemm", "MatMul") for node in nodes)
    return [f"{n} layers with weights; the chip has {most}."] if n > most else []


# --------------------------------------------------------------------------------------------------------------------
# as text


def table(verdict: Verdict, width: int = 100) -> str:
    """The verdict as text: one line a node that is not folded, then the sums, then the warnings.

    Parameters
    ----------
    verdict : Verdict
    width : int
        Columns.

    Returns
    -------
    str
    """
    lines = [
        f"{Path(verdict.file).name[-30:]} on {verdict.target}: {verdict.precision}, {len(verdict.nodes)} nodes in "
        f"{verdict.order}",
        "",
        f"{'node':>5} {'operator':18} {'output':14} {'runs':11} {'src':4} {'kMAC':>7}  why",
    ]  # fmt: skip
    fill = len(lines[-1]) - len("why")
    said: dict[str, int] = {}  # a reason, and the node that it was printed at
    for node in verdict.nodes:
        if node.where == "folded" and not node.why.startswith("into"):
            continue
        shape = "?" if node.shape is None else _x(node.shape) or "scalar"
        row = node.row if node.row and verdict.target == "stm32n6" else node.op
        macs = f"{node.multiply_adds / 1000:.0f}" if node.multiply_adds else ""
        src = "".join(node.sources)
        head = f"{node.number:5} {row[:18]:18} {shape[:14]:14} {node.where:11} {src:4} {macs:>7}  "
        why = textwrap.wrap(node.why, width - fill) or [""]
        if len(why) > 1 and said.setdefault(node.why, node.number) != node.number:
            why = [f"as node {said[node.why]}"]
        lines += [(head + why[0]).rstrip(), *(" " * fill + more for more in why[1:])]
    return "\n".join([*lines, "", *summary(verdict, width)])


def summary(verdict: Verdict, width: int = 100) -> list[str]:
    """The sums, the sources and the warnings of a verdict, as lines."""
    macs: Counter[str] = Counter()
    for node in verdict.nodes:
        macs[node.where] += node.multiply_adds
    lines = [f"{'':12}{'nodes':>7}{'MMAC':>10}"]
    for where in PLACES:
        numbers = [str(node.number) for node in verdict.nodes if node.where == where]
        apart = textwrap.wrap(", ".join(numbers), width - 38) if where not in ("hw", "folded") else [""]
        if numbers:
            named = f"   nodes {apart[0]}" if apart[0] else ""
            lines.append(f"{where:12}{len(numbers):7}{macs[where] / 1e6:10.2f}{named}")
            lines += [" " * 38 + more for more in apart[1:]]
    lines.append(f"{'all':12}{len(verdict.nodes):7}{verdict.multiply_adds / 1e6:10.2f}")
    if verdict.target == "stm32n6":
        sram, flash = f"SRAM of {CHIPS['stm32n657'].sram_kib:,} KiB", f"flash of {_flash_kib():,} KiB"
    else:
        sram, flash = "SRAM", "flash"
    fits = {None: "size not known here", True: "fits", False: "does not fit"}
    at = verdict.nodes[verdict.peak_node]
    as_int8 = "as int8, " if verdict.precision == "float" else ""
    file = f" ({_kib(verdict.file_weight_bytes)} in the file)" if as_int8 else ""
    both = verdict.weight_bytes + verdict.peak_bytes
    rows = [
        ("activations", f"{as_int8}{_kib(verdict.peak_bytes)} at most, at node {at.number} ({at.op})", sram, "sram"),
        ("weights", f"{as_int8}{_kib(verdict.weight_bytes)}{file}", flash, "flash"),
        ("both", f"{as_int8}{_kib(both)}", f"the paper's {BUDGET_MB:g} MB", "budget"),
    ]
    lines += ["", *(f"{what:12} {size}; {memory}: {fits[verdict.fits[key]]}" for what, size, memory, key in rows), ""]
    return lines + [part for text in _notes(verdict) for part in textwrap.wrap(text, width, subsequent_indent="  ")]


def _notes(verdict: Verdict) -> list[str]:
    letters = sorted({letter for node in verdict.nodes for letter in node.sources if node.where != "folded"})
    return [
        f"Memory by liveness, in {verdict.order}: another order may need less, and a tool's own buffers more. Views "
        "and a ReLU right after its convolution take none of their own. A multiply-add is one of a convolution, a "
        "matrix product or a recurrence.",
        *(f"src {letter}: {SOURCES[letter]}" for letter in letters),
        *(f"! {text}" for text in verdict.warnings),
    ]


def _kib(n: int) -> str:
    return f"{n / 1024:,.0f} KiB"
