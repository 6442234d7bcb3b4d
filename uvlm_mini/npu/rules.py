"""Where one node of an ONNX file runs: what holds for every target. The tables' conditions are in a file each."""

from __future__ import annotations

from uvlm_mini.npu.ethos_u55 import ethos_u55
from uvlm_mini.npu.graph import Graph, OpenShape, onnx
from uvlm_mini.npu.max78000 import max78000
from uvlm_mini.npu.operators import lookup
from uvlm_mini.npu.reader import STANDARD
from uvlm_mini.npu.rows import NPU, Found
from uvlm_mini.npu.stm32n6 import stm32n6

CONDITIONS = {"stm32n6": stm32n6, "ethos-u55": ethos_u55, "max78000": max78000}


def judge(graph: Graph, node: onnx.NodeProto, target: str, as_int8: bool) -> tuple[str, str, str]:
    """Where a node runs, and why.

    Parameters
    ----------
    graph : Graph
        That the node is of.
    node : onnx.NodeProto
    target : str
        One of ``operators.TARGETS``.
    as_int8 : bool
        Take floats for int8, as in a file that is still to be quantized.

    Returns
    -------
    (str, str, str)
        The row of the target's table, "" if there is none; the place, a word of ``rows.PLACES``; the condition that
        decided, "" if there is none to tell. Where a condition needs a shape that could not be inferred, the place is
        ``"unknown"``.
    """
    if graph.gone(node):
        return "", "folded", "constants only"
    if graph.function(node):
        return "", "software", f"custom layer: a function of domain {node.domain}{_inside(graph, node)}"
    if node.domain not in STANDARD:
        return "", "unknown", f"domain {node.domain}: no source names it"
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        return _border(graph, node, target)
    try:
        row, (where, why) = CONDITIONS[target](graph, node)
    except OpenShape as error:
        return "", "unknown", str(error)
    if where in NPU:
        for name in (*node.input, *node.output):
            if name and graph.type(name).shape is None:
                return row, "unknown", str(OpenShape(name))
        if not as_int8 and not graph.integer(node):
            return row, "software", "float in a file that has int8: on the CPU, converted on either side"
    return row, where, why


def _inside(graph: Graph, node: onnx.NodeProto) -> str:
    inside = graph.inside(node)
    return f", {sum(not inside.gone(inner) for inner in inside.nodes)} operators inside"


def _border(graph: Graph, node: onnx.NodeProto, target: str) -> tuple[str, str, str]:
    """QuantizeLinear and DequantizeLinear: most of them only say that their neighbours are int8."""
    row = {"stm32n6": node.op_type, "ethos-u55": "QUANTIZE"}.get(target, "")
    found: dict[str, Found] = {
        "weights": ("folded", "constants only"),
        "inside": ("folded", "part of the int8 node beside it"),
        "rescale": ("hw", "int8 to int8"),
        "to int8": ("software", "the border between float and int8"),
        "to float": ("software", "the border between int8 and float"),
    }
    where, why = found[graph.border(node)]
    if where in NPU and lookup(target, row) is None:
        return "", "unknown", "no source names it"
    if where in NPU and graph.type(node.input[0]).shape is None:
        return row, "unknown", str(OpenShape(node.input[0]))
    return row, where, why
