"""Changes to an ONNX file that a stricter µNPU asks for, each by its name: what the MAX78000 would take of OverMod.

Each takes a float model and gives another one; `check` then judges again. Some are exact, the new network computes what
the old one did, and are marked so in `EXACT`; the others are other networks, which would have to be trained. Chapter 12
makes them one after the other and prints what each brings, in nodes, layers and bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .graph import Graph

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

# What follows the square in a GRN written out in operators; see quantize/export.py.
GRN = ("ReduceMean", "Sqrt", "ReduceMean", "Add", "Div", "Mul", "Add", "Mul", "Add")
Change = Callable[["Work", "NodeProto"], "list[NodeProto] | None"]


class Work:
    """A graph under change: what is known of it, new constants, and names that stand for others from now on.

    Parameters
    ----------
    model : which is left as it is.
    """

    def __init__(self, model: ModelProto) -> None:
        self.graph = Graph(model)
        self.constants: dict[str, np.ndarray] = {}
        self.renamed: dict[str, str] = {}
        self.made: set[str] = set()

    def constant(self, name: str, value: np.ndarray) -> str:
        """Keep a new constant, and give its name."""
        self.constants[name] = np.ascontiguousarray(value)
        return name

    def value(self, node: NodeProto, i: int) -> np.ndarray | None:
        """The i-th input of a node if it is a constant."""
        return self.graph.value(node.input[i]) if i < len(node.input) and node.input[i] else None


def changed(model: ModelProto, change: Change) -> ModelProto:
    """The model with every node replaced by what `change` gives for it; None keeps a node, [] drops it."""
    from onnx import ModelProto, helper, numpy_helper, shape_inference

    work = Work(model)
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        made = change(work, node)
        nodes += [node] if made is None else made
    new = ModelProto.FromString(model.SerializeToString())
    del new.graph.node[:], new.graph.value_info[:]
    for node in nodes:
        copy = helper.make_node(node.op_type, [], node.output, node.name, domain=node.domain)
        copy.attribute.extend(node.attribute)
        for name in node.input:
            while name in work.renamed:
                name = work.renamed[name]
            copy.input.append(name)
        new.graph.node.append(copy)
    read = {name for node in new.graph.node for name in node.input}
    kept = [part for part in model.graph.initializer if part.name in read]
    del new.graph.initializer[:]
    new.graph.initializer.extend(kept)
    new.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in work.constants.items())
    for output in new.graph.output:
        output.type.tensor_type.ClearField("shape")  # a vector may have become a map
    return shape_inference.infer_shapes(new, strict_mode=True)


def _attribute(node: NodeProto, name: str, default: object) -> object:
    from onnx import helper

    found = [helper.get_attribute_value(a) for a in node.attribute if a.name == name]
    return found[0] if found else default


def _with(node: NodeProto, **attributes: object) -> NodeProto:
    """A copy of a node with other attributes."""
    from onnx import helper

    own = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return helper.make_node(node.op_type, node.input, node.output, node.name, **own | attributes)


# --------------------------------------------------------------------------------------------------------------------
# the changes


def relu(work: Work, node: NodeProto) -> list[NodeProto] | None:
    """H-Swish becomes ReLU, the one activation of the chip beside the absolute value."""
    from onnx import helper

    return [helper.make_node("Relu", node.input, node.output, node.name)] if node.op_type == "HardSwish" else None


def no_grn(work: Work, node: NodeProto) -> list[NodeProto] | None:
    """GRN goes: it multiplies activations by each other, takes a root and divides."""
    if node.output[0] in work.renamed:
        return []
    if node.op_type != "Mul" or node.input[0] != node.input[1]:
        return None
    chain, last = [node], node
    for kind in GRN:
        following = [reader for reader in work.graph.read_by(last.output[0]) if reader.op_type == kind]
        if not following:
            return None
        last = following[-1]
        chain.append(last)
    for part in chain:
        work.renamed[part.output[0]] = node.input[0]
    return []


def pooled(work: Work, node: NodeProto) -> list[NodeProto] | None:
    """A convolution with a stride goes one pixel at a time, and a maximum pool halves its map."""
    from onnx import helper

    strides = list(_attribute(node, "strides", [1, 1]))  # type: ignore[call-overload]
    if node.op_type != "Conv" or max(strides) == 1:
        return None
    whole = _with(node, strides=[1] * len(strides))
    whole.output[0] += "_whole"
    pool = helper.make_node("MaxPool", whole.output, node.output, kernel_shape=strides, strides=strides)
    return [whole, pool]


def dense(work: Work, node: NodeProto) -> list[NodeProto] | None:
    """A depthwise convolution becomes a dense one of 3 x 3, in which the channels do not mix yet. Of 5 x 5 only the
    middle is kept; 3 x 3 is exact."""
    weight = work.value(node, 1)
    if node.op_type != "Conv" or weight is None or _attribute(node, "group", 1) == 1:
        return None
    cut = (weight.shape[2] - 3) // 2
    middle = weight[:, 0, cut : cut + 3, cut : cut + 3]
    wide = np.zeros((len(weight), len(weight), 3, 3), weight.dtype)
    wide[np.arange(len(weight)), np.arange(len(weight))] = middle
    made = _with(node, group=1, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    made.input[1] = work.constant(f"{node.output[0]}_dense", wide)
    return [made]


def transposed(work: Work, node: NodeProto) -> list[NodeProto] | None:
    """Enlarging by 2 or 4 becomes one or two transposed convolutions of 3 x 3 whose kernel copies: exact."""
    from onnx import helper

    if node.op_type != "Resize":
        return None
    channels, side = work.graph.shape(node)[1:3]
    times = work.graph.made(node)[2] // side
    copies = np.zeros((channels, channels, 3, 3), np.float32)
    copies[np.arange(channels), np.arange(channels), 1:, 1:] = 1  # pixel i to 2 i and 2 i + 1, both ways
    weight = work.constant(f"copies_{channels}_{node.output[0]}", copies)
    made, given = [], node.input[0]
    while times > 1:
        times //= 2
        output = node.output[0] if times == 1 else f"{node.output[0]}_{times}"
        made.append(
            helper.make_node(
                "ConvTranspose", [given, weight], [output], strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]
            )
        )
        given = output
    return made


def enlarged_first(work: Work, node: NodeProto) -> list[NodeProto] | None:
    """What is enlarged after a pointwise convolution is enlarged before it, once for all that read the same map: exact,
    since copying pixels and computing on each by itself may change places. The convolution then has a larger map."""
    if node.op_type == "Resize":
        source = _source(work, node)
        large = f"{source}_large"
        if node.output[0] == large:
            return None  # done before
        work.renamed[node.output[0]] = large if source == node.input[0] else node.input[0]
        return _enlarge(work, node, source)
    follows = _follows(work, node)
    if node.op_type == "Conv" and follows is not None:
        made = _with(node)
        made.input[0] = f"{node.input[0]}_large"
        return [*_enlarge(work, follows, node.input[0]), made]
    return None


def _enlarge(work: Work, resize: NodeProto, source: str) -> list[NodeProto]:
    """The node that enlarges a map, the first time that it is asked for."""
    from onnx import helper

    large = f"{source}_large"
    if large in work.made:
        return []
    work.made.add(large)
    own = {a.name: helper.get_attribute_value(a) for a in resize.attribute}
    return [helper.make_node("Resize", [source, *resize.input[1:]], [large], **own)]


def _source(work: Work, resize: NodeProto) -> str:
    """The map in front of the pointwise convolution and activation that a Resize reads, or what it reads itself."""
    maker = work.graph.made_by(resize.input[0])
    while maker is not None and maker.op_type in ("Relu", "HardSwish"):
        maker = work.graph.made_by(maker.input[0])
    return maker.input[0] if maker is not None and _follows(work, maker) is not None else resize.input[0]


def _follows(work: Work, node: NodeProto) -> NodeProto | None:
    """The Resize that alone reads a pointwise convolution, an activation between them or not."""
    weight = work.value(node, 1)
    if node.op_type != "Conv" or weight is None or weight.shape[2:] != (1, 1):
        return None
    readers = work.graph.read_by(node.output[0])
    while len(readers) == 1 and readers[0].op_type in ("Relu", "HardSwish"):
        readers = work.graph.read_by(readers[0].output[0])
    return readers[0] if len(readers) == 1 and readers[0].op_type == "Resize" else None


def added(work: Work, node: NodeProto) -> list[NodeProto] | None:
    """A pointwise convolution of joined maps becomes the sum of one on each: exact."""
    from onnx import helper

    if node.op_type == "Concat":
        (reader,) = work.graph.read_by(node.output[0])
        return [] if reader.op_type == "Conv" else None
    maker = work.graph.made_by(node.input[0]) if node.op_type == "Conv" else None
    weight = work.value(node, 1)
    if maker is None or maker.op_type != "Concat" or weight is None or weight.shape[2:] != (1, 1):
        return None
    made, parts, at = [], [], 0
    for i, name in enumerate(maker.input):
        channels = work.graph.shape(maker, i)[1]
        part = _with(node)
        del part.input[:]
        part.input.extend([name, work.constant(f"{node.output[0]}_weight_{i}", weight[:, at : at + channels])])
        part.input.extend(node.input[2:] if i == 0 else [])  # the bias once
        part.name, part.output[0] = f"{node.name}_{i}", f"{node.output[0]}_{i}"
        made.append(part)
        parts.append(part.output[0])
        at += channels
    return [*made, helper.make_node("Sum", parts, node.output)]


def averaged(work: Work, node: NodeProto) -> list[NodeProto] | None:
    """The mean of a whole map becomes a pool over it, and the matrix behind it a pointwise convolution: exact. What was
    a vector is then a map of one pixel."""
    from onnx import helper

    if node.op_type == "ReduceMean" and np.array_equal(work.value(node, 1), [2, 3]):  # type: ignore[arg-type]
        return [helper.make_node("GlobalAveragePool", node.input[:1], node.output)]
    weight, maker = work.value(node, 1), work.graph.made_by(node.input[0]) if node.input else None
    if node.op_type == "Gemm" and weight is not None and maker is not None and maker.op_type == "ReduceMean":
        if not _attribute(node, "transB", 0):
            return None
        kernel = work.constant(f"{node.output[0]}_kernel", weight[:, :, None, None])
        return [helper.make_node("Conv", [node.input[0], kernel, *node.input[2:]], node.output)]
    return None


def spread(work: Work, node: NodeProto) -> list[NodeProto] | None:
    """A constant that is added is written out in the shape of the result, so that nothing is broadcast: exact."""
    if node.op_type != "Add":
        return None
    made, shape = _with(node), work.graph.made(node)
    for i in range(2):
        value = work.value(node, i)
        if value is not None and value.shape != shape:
            wide = np.broadcast_to(value, shape).astype(value.dtype)
            made.input[i] = work.constant(f"{node.output[0]}_{i}", wide)
    return [made] if made != node else None


#: In the order in which chapter 12 makes them; later ones expect what earlier ones leave.
CHANGES: dict[str, Change] = {
    "ReLU for H-Swish": relu,
    "GRN out": no_grn,
    "pools for strides": pooled,
    "dense for depthwise": dense,
    "enlarge first, once": enlarged_first,
    "ConvTranspose for Resize": transposed,
    "a sum for Concat": added,
    "a pool for the mean": averaged,
    "constants spread": spread,
}
EXACT = (
    "enlarge first, once",
    "ConvTranspose for Resize",
    "a sum for Concat",
    "a pool for the mean",
    "constants spread",
)
