"""Small ONNX graphs by hand, for the tests of what reads them."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from uvlm_mini.npu.check import NodeVerdict, Verdict

RNG = np.random.default_rng(0)


def weight(name: str, *shape: int) -> TensorProto:
    """A float constant."""
    return numpy_helper.from_array(RNG.normal(size=shape).astype(np.float32), name)


def numbers(name: str, *values: int) -> TensorProto:
    """A list of 64-bit integers, as shapes and axes are given."""
    return numpy_helper.from_array(np.array(values, np.int64), name)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: dict[str, Sequence[int | str]],
    weights: Sequence[TensorProto] = (),
    outputs: Sequence[str] = (),
    opset: int = 17,
    functions: Sequence[onnx.FunctionProto] = (),
    **domains: int,
) -> onnx.ModelProto:
    """A model of the given nodes; its output is what the last node writes."""
    info = helper.make_tensor_value_info
    made = [onnx.ValueInfoProto(name=name) for name in outputs or nodes[-1].output[:1]]
    graph = helper.make_graph(
        list(nodes), "g", [info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()], made, list(weights)
    )
    sets = [helper.make_opsetid("", opset), *(helper.make_opsetid(*item) for item in domains.items())]
    return helper.make_model(graph, opset_imports=sets, functions=list(functions), ir_version=9)


def one(op: str, inputs: dict[str, Sequence[int]], weights: Sequence[TensorProto] = (), opset: int = 17, **attributes):
    """A model of a single node that reads the inputs and then the weights; w* and x* in the order of their names."""
    reads = sorted([*inputs, *(tensor.name for tensor in weights)])
    return model([helper.make_node(op, reads, ["y"], **attributes)], inputs, weights, opset=opset)


def only(verdict: Verdict) -> NodeVerdict:
    """The node that is not folded."""
    (node,) = [node for node in verdict.nodes if node.where != "folded"]
    return node
