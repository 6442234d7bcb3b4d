"""What a network takes, counted on its ONNX file: bytes of weights, multiply-adds, memory by liveness.

The bytes of an int8 file are its own. A float file is counted as int8 by this rule, which is that of `npu.size`:

    kernels, matrices, tables   1 byte a weight, and 4 for the scale of every output channel
    biases                      4 bytes a number, int32: the third operand of Conv, ConvTranspose and Gemm, the fourth
                                of a recurrence
    all other constants         2 bytes a number, int16: norms, operands of arithmetic, A and D of the SSM
    no weights                  shapes, axes, limits of Clip, scales of Resize, padding; a BatchNormalization that folds
                                into its Conv, but for the bias that the Conv then needs

A matrix is a constant operand of Gemm or MatMul or one of a recurrence's two, a table what Gather reads rows of.
Counted is what nodes read at run time: what is computed from constants alone is computed before, and what is only
transposed or reshaped stays one weight. A constant that several nodes read counts once, as the first of them reads it.

buffer      tensors that are one piece of memory: a view, a ReLU on the spot, the two ends of a Q/DQ node
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator

import numpy as np

from uvlm_mini.npu.graph import FLOATS, VIEWS, Graph, OpenShape, Tensor, attribute, onnx, reads

TensorProto = onnx.TensorProto
WIDE = {TensorProto.INT64, TensorProto.UINT64, TensorProto.BOOL, TensorProto.STRING}  # shapes and axes, not weights
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
SETTINGS = {"Clip": (1, 2), "Pad": (1, 2, 3), "Resize": (1, 2, 3), "Upsample": (1,)}  # inputs that are no data


# --------------------------------------------------------------------------------------------------------------------
# multiply-adds


def multiply_adds(graph: Graph, node: onnx.NodeProto) -> int:
    """Multiply-adds of a node: convolutions, matrix products, recurrences and what is inside a function.

    Arithmetic element by element and pooling count 0, as in the usual tables; so does a node that gives too little of
    its shapes away to be counted.
    """
    if graph.gone(node):
        return 0
    if graph.function(node):
        inside = graph.inside(node)
        return sum(multiply_adds(inside, inner) for inner in inside.nodes)
    try:
        return _products(graph, node)
    except OpenShape:
        return 0


def _products(graph: Graph, node: onnx.NodeProto) -> int:
    op = node.op_type
    if op in ("Conv", "ConvInteger", "QLinearConv"):
        kernel = graph.shape(node, 3 if op == "QLinearConv" else 1)  # (out, in / groups, ...)
        return math.prod(graph.made(node)) * math.prod(kernel[1:])
    if op == "ConvTranspose":
        return math.prod(graph.shape(node)) * math.prod(graph.shape(node, 1)[1:])  # (in, out / groups, ...)
    if op == "Gemm":
        return math.prod(graph.made(node)) * graph.shape(node)[0 if attribute(node, "transA") else 1]
    if op in ("MatMul", "MatMulInteger", "QLinearMatMul"):
        return math.prod(graph.made(node)) * graph.shape(node)[-1]
    if op in GATES:
        steps, batch, width = graph.shape(node)  # layout 0; with layout 1 the first two change places
        directions, rows, hidden = graph.shape(node, 2)
        return steps * batch * directions * rows * (width + hidden)
    return 0


# --------------------------------------------------------------------------------------------------------------------
# weights


def int8_weights(graph: Graph, node: onnx.NodeProto) -> dict[Hashable, int]:
    """Bytes as int8, by the rule above, of every constant that a node of a float file reads at run time.

    Returns
    -------
    dict
        By a key that is the same wherever the same weight is read.
    """
    if graph.gone(node):
        return {}
    found: dict[Hashable, int] = {}
    for i, name in enumerate(reads(node)):
        if graph.function(node) or not name or name not in graph.constant or i in SETTINGS.get(node.op_type, ()):
            continue
        found.setdefault(_root(graph, name), _as_int8(node, i, graph.type(name)))
    if node.op_type == "BatchNormalization" and graph.folds(node):
        maker = graph.made_by(node.input[0])
        assert maker is not None
        return {} if len(maker.input) > 2 else {node.output[0]: 4 * graph.type(node.input[1]).size}
    if graph.function(node):
        inside = graph.inside(node)
        for inner in inside.nodes:
            for key, size in int8_weights(inside, inner).items():
                own = key in inside.weights and key in node.input  # given from outside, else one of the body
                found.setdefault(_root(graph, str(key)) if own else (node.domain, node.op_type, key), size)
    return found


def _root(graph: Graph, name: str) -> str:
    """The tensor that a constant is, but for the order and shape of its numbers."""
    maker = graph.made_by(name)
    while maker is not None and maker.op_type in (*VIEWS, "Transpose"):
        name = maker.input[0]
        maker = graph.made_by(name)
    return name


def _as_int8(node: onnx.NodeProto, i: int, tensor: Tensor) -> int:
    """Bytes of the i-th input of a node, a constant."""
    if tensor.dtype in WIDE:
        return 0
    if tensor.dtype not in FLOATS or tensor.shape is None:
        return tensor.bytes
    if i == (3 if node.op_type in GATES else 2) and node.op_type in (*GATES, "Conv", "ConvTranspose", "Gemm"):
        return 4 * tensor.size
    channels = _output_channels(node, i, tensor.shape)
    return 2 * tensor.size if channels is None else tensor.size + 4 * channels


def _output_channels(node: onnx.NodeProto, i: int, shape: tuple[int, ...]) -> int | None:
    """Output channels of the i-th input of a node, if it is a kernel, a matrix or a table."""
    op = node.op_type
    if op == "Conv" and i == 1:
        return shape[0]
    if op == "ConvTranspose" and i == 1:
        return shape[1] * attribute(node, "group", 1)
    if op == "Gemm" and i < 2:
        return shape[i ^ 1 if attribute(node, ("transA", "transB")[i]) else i]
    if op == "MatMul" and i < 2:
        reduced = shape[-1] if i == 0 or len(shape) == 1 else shape[-2]
        return math.prod(shape) // (reduced or 1)
    if op in GATES and i in (1, 2):
        return shape[0] * shape[1]  # directions and gates
    if op == "Gather" and i == 0 and len(shape) > 1:
        return shape[attribute(node, "axis", 0)]
    return None


def file_weights(graph: Graph, node: onnx.NodeProto) -> dict[Hashable, int]:
    """Bytes, as they stand in the file, of every constant that a node needs, also through nodes gone at run time.

    A ``Constant`` node counts by the tensor that it writes; shapes, axes and other 64-bit integers do not count.
    """
    if graph.gone(node):
        return {}
    found: dict[Hashable, int] = dict(_used(graph, node))
    if graph.function(node):
        inside = graph.inside(node)
        for inner in inside.nodes:
            for name, size in _used(inside, inner):
                if name not in graph.weights:
                    found[node.domain, node.op_type, name] = size
    return found


def _used(graph: Graph, node: onnx.NodeProto) -> Iterator[tuple[str, int]]:
    seen: set[str] = set()
    todo = [read for read in reads(node) if read]
    while todo:
        name = todo.pop()
        maker = graph.made_by(name)
        if name in seen or name not in graph.constant:
            continue
        seen.add(name)
        if name in graph.weights or (maker is not None and maker.op_type == "Constant"):
            if graph.type(name).dtype not in WIDE:
                yield name, graph.type(name).bytes
        elif maker is not None and maker.op_type != "Shape":
            todo += [read for read in reads(maker) if read]


# --------------------------------------------------------------------------------------------------------------------
# memory


def open_shapes(graph: Graph) -> list[int]:
    """The nodes that do something and write, or hold inside, a tensor whose shape could not be inferred."""

    def is_open(node: onnx.NodeProto) -> bool:
        return any(graph.type(name).shape is None for name in node.output if name) or (
            graph.function(node) and bool(open_shapes(graph.inside(node)))
        )

    return [number for number, node in enumerate(graph.nodes) if not graph.gone(node) and is_open(node)]


def peak(graph: Graph, int8: bool) -> tuple[int, int]:
    """Most bytes of activations alive at once, in the order of the file, and the node that runs then.

    A tensor lives from the node that writes it to the last one that reads it; inputs live from the start, outputs
    to the end. Views, a ReLU right after its convolution and Q/DQ nodes inside int8 take nothing of their own. A tensor
    of unknown shape counts 0.

    Parameters
    ----------
    graph : Graph
    int8 : bool
        Count a float tensor as 1 byte an element, as it would be once quantized.
    """
    one = _buffers(graph)
    size: dict[str, int] = {}
    life: dict[str, tuple[int, int]] = {}
    for name, buffer in one.items():
        tensor = graph.type(name)
        own = tensor.size if int8 and tensor.dtype in FLOATS else tensor.bytes
        size[buffer] = min(size.get(buffer, own), own)
        birth = graph.producer.get(name, 0)
        death = len(graph.nodes) if name in graph.outputs else max(graph.readers.get(name, [birth]))
        first, last = life.get(buffer, (birth, death))
        life[buffer] = min(first, birth), max(last, death)
    change = [0] * (len(graph.nodes) + 2)
    for buffer, (first, last) in life.items():
        change[first] += size[buffer]
        change[last + 1] -= size[buffer]
    alive = np.cumsum(change)[: len(graph.nodes)]
    at = int(alive.argmax())
    return int(alive[at]), at


def _buffers(graph: Graph) -> dict[str, str]:
    """For every tensor that is not constant the name of the piece of memory that it is in."""
    names = [*graph.inputs, *(made for node in graph.nodes for made in node.output if made)]
    one = {name: name for name in names if name not in graph.constant}

    def root(name: str) -> str:
        while one[name] != name:
            name = one[name]
        return name

    for node in graph.nodes:
        if not node.input or node.input[0] not in one or graph.gone(node):
            continue
        quantizer = node.op_type in ("QuantizeLinear", "DequantizeLinear")
        if (quantizer and graph.border(node) == "inside") or node.op_type in VIEWS or graph.on_the_spot(node):
            one[root(node.output[0])] = root(node.input[0])
    return {name: root(name) for name in one}
