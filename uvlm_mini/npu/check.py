"""Where each node of an ONNX file would run on a µNPU, and whether the whole fits: `uvlm check`.

The operator tables of ``operators`` say what a target takes; ``rules`` looks their conditions up in the graph. No
vendor's tool is asked and nothing runs on a chip: a verdict is as good as its source, whose letter stands beside it.

    hw           on the NPU, all stated limits kept
    conditional  on the NPU with an option of the tool, or reports disagree
    hybrid       memory move: NPU, DMA or a CPU copy
    software     on the CPU
    folded       gone before run time: constants, Q/DQ around int8 nodes, what merges into a neighbour
    refused      outside the limits, and no stand-in is named
    unknown      the sources do not name it, or a shape that decides could not be inferred
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

from uvlm_mini.npu import cost
from uvlm_mini.npu.graph import VIEWS, Graph, OpenShape, load, onnx
from uvlm_mini.npu.operators import CHIPS, OPSETS, lookup
from uvlm_mini.npu.report import table
from uvlm_mini.npu.rows import PLACES
from uvlm_mini.npu.rules import judge
from uvlm_mini.npu.window import depthwise, window
from uvlm_mini.paper import BUDGET_MB

__all__ = ["ORDER", "PLACES", "NodeVerdict", "Verdict", "check", "table"]

ORDER = "the file's own order of nodes"


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
        As deployed: a quantized file's own bytes, a float file's in int8 by the rule of ``cost``.
    file_weight_bytes : int
        As the file has them.
    multiply_adds : int
    fits : dict of str to bool or None
        ``"sram"``: the activations; ``"flash"``: the weights; ``"budget"``: weights and activations against the
        paper's line. None where no size was published, or where shapes that could not be inferred leave it open.
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
    counted: set[Hashable] = set()
    stored: set[Hashable] = set()
    in_file = 0
    nodes = []
    for number, node in enumerate(graph.nodes):
        row, where, why = judge(graph, node, target, as_int8)
        rule = lookup(target, row)
        own = cost.file_weights(graph, node)
        deployed = cost.int8_weights(graph, node) if as_int8 else own
        size = sum(bytes_ for key, bytes_ in deployed.items() if key not in counted)
        counted |= deployed.keys()
        in_file += sum(bytes_ for key, bytes_ in own.items() if key not in stored)
        stored |= own.keys()
        shape = graph.type(node.output[0]).shape if node.output else None
        nodes.append(
            NodeVerdict(
                number, node.name, node.op_type, row if rule else "", where, why, rule.sources if rule else (), shape,
                cost.multiply_adds(graph, node), size,
            )
        )  # fmt: skip
    peak, at = cost.peak(graph, as_int8)
    weight_bytes = sum(node.weight_bytes for node in nodes)
    unknown = cost.open_shapes(graph)
    return Verdict(
        name, target, graph.precision, tuple(nodes), peak, at, ORDER, weight_bytes, in_file,
        sum(node.multiply_adds for node in nodes), _fits(target, peak, weight_bytes, bool(unknown)),
        tuple(_warnings(graph, target, nodes, unknown)),
    )  # fmt: skip


def _fits(target: str, peak: int, weights: int, at_least: bool) -> dict[str, bool | None]:
    """Activations against SRAM, weights against flash, both against the paper's line; lower bounds can only fail."""
    chip = CHIPS["stm32n657"]
    sizes: dict[str, tuple[int, float | None]] = {
        "sram": (peak, chip.sram_kib * 1024 if target == "stm32n6" else None),
        "flash": (weights, chip.flash_kib * 1024 if target == "stm32n6" else None),
        "budget": (peak + weights, BUDGET_MB * 1e6),
    }
    return {
        key: None if room is None or (at_least and size <= room) else size <= room
        for key, (size, room) in sizes.items()
    }


# --------------------------------------------------------------------------------------------------------------------
# what to be warned of


def _warnings(graph: Graph, target: str, nodes: list[NodeVerdict], open_shapes: list[int]) -> list[str]:
    said = []
    if graph.precision == "float":
        said.append("float: the NPU takes int8 only, quantize first. Everything here is judged as if it were int8.")
    if open_shapes:
        first = nodes[open_shapes[0]]
        said.append(
            f"Nodes whose output has no shape that could be inferred: {len(open_shapes)}, first {first.op} "
            f"({first.number}). Memory, weights and multiply-adds are lower bounds."
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
    return said + (_hangs(graph) if target == "stm32n6" else _store(nodes) if target == "max78000" else [])


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
        # Reports say so of kernels and matrices; a constant that is added or multiplied is an activation to the tool.
        readers = {reader.op_type for name in node.output for reader in graph.read_by(name)}
        multiplies = bool(readers & {"Conv", "ConvTranspose", "Gemm", "MatMul"})
        zero = graph.value(node.input[2]) if weights and multiplies and len(node.input) > 2 else None
        if zero is not None and zero.any():
            shifted.append(number)
    said = [f"{_named(kind)}: quantized to another type than int8; reports name signed int8."] if kind else []
    return said + ([f"{_named(shifted)}: weights with a zero point, which must be 0."] if shifted else [])


def _hangs(graph: Graph) -> list[str]:
    """The two silent hangs that were reported with compiler 4.0.1."""
    strided, reshaped = [], []
    for number, node in enumerate(graph.nodes):
        if node.op_type == "Conv" and _strided_depthwise(graph, node):
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


def _strided_depthwise(graph: Graph, node: onnx.NodeProto) -> bool:
    try:
        return depthwise(graph, node) and max(window(graph, node).strides) >= 2
    except OpenShape:
        return False  # its verdict is "unknown"


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


def _store(nodes: list[NodeVerdict]) -> list[str]:
    """Limits of the MAX78000 that hold for the whole network."""
    facts, said = CHIPS["max78000"].facts, []
    n, most = sum(node.op in ("Conv", "ConvTranspose", "Gemm", "MatMul") for node in nodes), facts["most_layers"].value
    if n > most:
        said.append(f"{n} layers with weights; the chip has {most:.0f}.")
    weights, room = sum(node.weight_bytes for node in nodes), 9 * facts["weight_kernels"].value
    if weights > room:
        said.append(f"{weights:,} bytes of weights; the chip has room for {room:,.0f}, in kernels of 3x3.")
    return said
