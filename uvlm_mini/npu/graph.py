"""An ONNX file as a checker asks about it: shapes, constants, and what computes in int8.

types       shape and element type of every tensor, from ONNX's own shape inference
constant    tensors known before the first picture: initializers and whatever is computed from them alone
integer     nodes that compute in int8: every float input comes from DequantizeLinear, every output goes to
            QuantizeLinear, with at most one ReLU between

Reading the file is `reader`'s part; bytes, multiply-adds and memory are `cost`'s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from uvlm_mini.npu import reader
from uvlm_mini.npu.reader import DEFINED, LIMIT, OPSETS, STANDARD, every_node, load

reader.need("onnx")

import onnx  # noqa: E402 (after the sentence that says what to install)
from onnx import TensorProto, helper, inliner, numpy_helper  # noqa: E402

__all__ = ["DEFINED", "LIMIT", "OPSETS", "STANDARD", "Graph", "OpenShape", "Tensor", "attribute", "every_node", "load"]

FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}
VIEWS = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"}  # other names for the same bytes
ON_THE_SPOT = {"Relu", "Clip", "BatchNormalization"}  # right after what computes their only input
PRODUCERS = {"Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Sub", "Mul"}


class OpenShape(Exception):
    """A question that only a shape could answer, about a tensor whose shape could not be inferred."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the shape of {name!r} could not be inferred")


@dataclass(frozen=True)
class Tensor:
    """Shape and ONNX element type of a tensor; shape None where it could not be inferred."""

    shape: tuple[int, ...] | None
    dtype: int

    @property
    def size(self) -> int:
        """Elements; 0 where the shape is unknown."""
        return 0 if self.shape is None else math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes as the file has it."""
        if self.dtype in (TensorProto.INT4, TensorProto.UINT4):
            return (self.size + 1) // 2
        return self.size * helper.tensor_dtype_to_np_dtype(self.dtype).itemsize if self.dtype else 0


def _closed(model: onnx.ModelProto, name: str) -> None:
    """Raise ValueError where the file asks for what no shape inference can know."""
    for node in reader.foreign(model, model.functions):
        raise ValueError(
            f"{name} uses {node.op_type} of domain {node.domain!r}, which is not defined in the file; expected "
            "ONNX's own operators or functions that the file holds: export it with them."
        )
    weights = {tensor.name for tensor in model.graph.initializer}
    for given in model.graph.input:
        if given.name in weights or not given.type.HasField("tensor_type"):
            continue
        shape = reader.sides(given)
        if shape is None or not all(isinstance(side, int) for side in shape):
            raise ValueError(
                f"{name} has an input {given.name!r} of open shape ({', '.join(map(str, shape or '?'))}); an NPU takes "
                "fixed sizes only: export it without dynamic axes."
            )


def reads(node: onnx.NodeProto) -> list[str]:
    """The tensors that a node reads, those that the bodies in it take from outside included; "" for one left out."""
    names = list(node.input)
    for attribute in node.attribute:
        for graph in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
            own = {value.name for value in [*graph.input, *graph.initializer]}
            own |= {made for inner in graph.node for made in inner.output}
            names += [name for inner in graph.node for name in reads(inner) if name not in own]
            names += [value.name for value in graph.output if value.name not in own]
    return names


# --------------------------------------------------------------------------------------------------------------------
# the graph


class Graph:
    """A model with the answers to a checker's questions.

    Parameters
    ----------
    model : onnx.ModelProto
        With fixed input shapes.
    name : str
        What errors call it.
    inside : bool
        It is the body of a function, whose inputs may be of any shape.

    Raises
    ------
    ValueError
        An input has an open shape, a domain is unknown, or the graph contradicts itself.
    """

    def __init__(self, model: onnx.ModelProto, name: str = "the model", inside: bool = False) -> None:
        if not inside:
            _closed(model, name)
        if not model.graph.node:
            raise ValueError(f"{name} has no operators; expected a network: export it again.")
        try:
            strict = not inside  # what is given to a function may be of unknown shape and type
            inferred = onnx.shape_inference.infer_shapes(model, check_type=strict, strict_mode=strict, data_prop=True)
        except Exception as error:  # InferenceError, or the checker's ValidationError
            said = " ".join(str(error).split())[:200].rstrip(".")
            raise ValueError(f"{name} contradicts itself ({said}); export it again.") from error
        self.model, self.name = model, name
        self._inside: dict[str, Graph] = {}
        graph = inferred.graph
        self.nodes = list(graph.node)
        self.opset = reader.opset(model)
        self.weights = {tensor.name: tensor for tensor in graph.initializer}
        self.inputs = [value.name for value in graph.input if value.name not in self.weights]
        self.outputs = [value.name for value in graph.output]
        self.types: dict[str, Tensor] = {}
        for value in [*graph.value_info, *graph.output, *graph.input]:
            self.types[value.name] = _type(value.type)
        for tensor in graph.initializer:
            self.types[tensor.name] = Tensor(tuple(tensor.dims), tensor.data_type)
        self.producer = {made: i for i, node in enumerate(self.nodes) for made in node.output if made}
        self.readers: dict[str, list[int]] = {}
        for i, node in enumerate(self.nodes):
            for read in dict.fromkeys(reads(node)):
                if read and self.producer.get(read, -1 if read in {*self.inputs, *self.weights} else i) >= i:
                    raise ValueError(
                        f"{name} contradicts itself (node {i}, {node.op_type}, reads {read!r}, which nothing before it "
                        "writes); export it again."
                    )
                self.readers.setdefault(read, []).append(i)
        self.constant = set(self.weights)
        for node in self.nodes:
            if node.op_type.startswith("Random") or node.op_type == "Bernoulli":
                continue
            fixed = node.op_type == "Shape" and self.type(node.input[0]).shape is not None
            if fixed or all(read in self.constant for read in reads(node) if read):
                self.constant.update(made for made in node.output if made)

    # what a tensor is

    def type(self, name: str) -> Tensor:
        """Shape and type of a tensor."""
        return self.types.get(name, Tensor(None, 0))

    def shape(self, node: onnx.NodeProto, i: int = 0) -> tuple[int, ...]:
        """Shape of the i-th input of a node; () where the node has none. Raises OpenShape where it is unknown."""
        return self._shape(node.input[i]) if i < len(node.input) and node.input[i] else ()

    def made(self, node: onnx.NodeProto) -> tuple[int, ...]:
        """Shape of the first output of a node. Raises OpenShape where it is unknown."""
        return self._shape(node.output[0])

    def _shape(self, name: str) -> tuple[int, ...]:
        shape = self.type(name).shape
        if shape is None:
            raise OpenShape(name)
        return shape

    def fixed(self, node: onnx.NodeProto, i: int) -> bool:
        """Whether the i-th input of a node is a constant."""
        return i < len(node.input) and node.input[i] in self.constant

    def value(self, name: str) -> np.ndarray | None:
        """A small constant that stands in the file, or None."""
        if name in self.weights:
            tensor = self.weights[name]
            return None if tensor.data_location == TensorProto.EXTERNAL else numpy_helper.to_array(tensor)
        node = self.made_by(name)
        if node is None or node.op_type not in ("Constant", "Identity"):
            return None
        if node.op_type == "Identity":
            return self.value(node.input[0])
        given = helper.get_attribute_value(node.attribute[0])
        return numpy_helper.to_array(given) if isinstance(given, TensorProto) else np.asarray(given)

    def setting(self, node: onnx.NodeProto, name: str, i: int | None = None) -> list[int] | None:
        """A list of integers that a node takes as an attribute or, since a later opset, as its i-th input."""
        found = attribute(node, name)
        if found is None and i is not None and i < len(node.input) and node.input[i]:
            found = self.value(node.input[i])
        return None if found is None else [int(n) for n in np.atleast_1d(found)]

    def made_by(self, name: str) -> onnx.NodeProto | None:
        """The node that writes a tensor; None for inputs and initializers."""
        return self.nodes[self.producer[name]] if name in self.producer else None

    def read_by(self, name: str) -> list[onnx.NodeProto]:
        """The nodes that read a tensor."""
        return [self.nodes[i] for i in self.readers.get(name, [])]

    def gone(self, node: onnx.NodeProto) -> bool:
        """Whether a node has nothing to do at run time: all that it writes is constant."""
        return all(made in self.constant for made in node.output if made)

    def folds(self, node: onnx.NodeProto) -> bool:
        """Whether a BatchNormalization is the only reader of a convolution, and so can be merged into it."""
        maker = self.made_by(node.input[0])
        return maker is not None and maker.op_type == "Conv" and len(self.read_by(node.input[0])) == 1

    # int8

    def quantizer(self, name: str) -> onnx.NodeProto | None:
        """The Q or DQ node that says how a float tensor is quantized, if it is."""
        maker = self.made_by(name)
        if maker is not None and maker.op_type == "DequantizeLinear":
            return maker
        return next((reader for reader in self.read_by(name) if reader.op_type == "QuantizeLinear"), None)

    def element(self, name: str) -> int:
        """ONNX type of a tensor as it is computed with: that of its integers, INT8 for a float that none says of."""
        node = self.quantizer(name)
        if node is not None:
            return self.type(node.input[0] if node.op_type == "DequantizeLinear" else node.output[0]).dtype
        dtype = self.type(name).dtype
        return TensorProto.INT8 if dtype in FLOATS else dtype

    def scale(self, name: str) -> np.ndarray | None:
        """The scales of a quantized tensor, if they stand in the file."""
        node = self.quantizer(name)
        return None if node is None else self.value(node.input[1])

    @cached_property
    def precision(self) -> str:
        """``"float"``: nothing is quantized; ``"int8"``: all that computes is; ``"mixed"``: some of it is."""
        whole = [self.integer(node) for node in self.nodes if self._computes(node)]
        some = any(node.op_type.startswith(("QLinear", "Quantize", "Dequantize")) or node.op_type.endswith("Integer")
                   for node in self.nodes)  # fmt: skip
        return "int8" if some and all(whole) else "mixed" if some else "float"

    def _computes(self, node: onnx.NodeProto) -> bool:
        return node.op_type not in ("QuantizeLinear", "DequantizeLinear") and not self.gone(node)

    def integer(self, node: onnx.NodeProto) -> bool:
        """Whether a node computes in int8, or on no floats at all."""
        return self._integer_in(node) and self._integer_out(node)

    def _integer_in(self, node: onnx.NodeProto) -> bool:
        for i, read in enumerate(node.input):
            if not read or self.type(read).dtype not in FLOATS:
                continue
            maker = self.made_by(read)
            if maker is not None and maker.op_type == "DequantizeLinear":
                continue
            if read in self.constant:
                if node.op_type in (*PRODUCERS, "Div", "Max", "Min", "PRelu") and i < 2:
                    return False  # a weight in float; limits, exponents and biases are left to the tool
            elif not (self.on_the_spot(node) and maker is not None and self._integer_in(maker)):
                return False
        return True

    def _integer_out(self, node: onnx.NodeProto) -> bool:
        for made in node.output:
            if not made or self.type(made).dtype not in FLOATS:
                continue
            readers = self.read_by(made)
            if made in self.outputs or not readers:
                return False
            if len(readers) == 1 and self.on_the_spot(readers[0]):
                if not self._integer_out(readers[0]):
                    return False
            elif any(reader.op_type != "QuantizeLinear" for reader in readers):
                return False
        return True

    def on_the_spot(self, node: onnx.NodeProto) -> bool:
        """A ReLU, or what folds likewise, that is the only reader of a convolution or the like."""
        maker = self.made_by(node.input[0]) if node.input else None
        return (
            node.op_type in ON_THE_SPOT
            and maker is not None
            and maker.op_type in PRODUCERS
            and len(self.readers[node.input[0]]) == 1
            and node.input[0] not in self.outputs
        )

    def border(self, node: onnx.NodeProto) -> str:
        """What a QuantizeLinear or DequantizeLinear does.

        Returns
        -------
        str
            ``"weights"``: on constants; ``"inside"``: only says that its neighbours compute in int8; ``"rescale"``:
            int8 to int8; ``"to int8"`` or ``"to float"``: converts at run time.
        """
        if self.gone(node):
            return "weights"
        if node.op_type == "DequantizeLinear":
            readers = self.read_by(node.output[0])
            whole = all(reader.op_type == "QuantizeLinear" or self.integer(reader) for reader in readers)
            return "inside" if readers and whole and node.output[0] not in self.outputs else "to float"
        maker = self.made_by(node.input[0])
        if maker is not None and maker.op_type == "DequantizeLinear":
            return "rescale"
        return "inside" if maker is not None and self.integer(maker) else "to int8"

    # functions

    def function(self, node: onnx.NodeProto) -> bool:
        """Whether a node calls a function that the file holds."""
        return (node.domain, node.op_type) in self.functions

    @cached_property
    def functions(self) -> dict[tuple[str, str], onnx.FunctionProto]:
        """The functions that the file holds, by domain and name."""
        return {(function.domain, function.name): function for function in self.model.functions}

    def inside(self, node: onnx.NodeProto) -> Graph:
        """The body of a function at the place where it is called, with all functions in it laid open."""
        if node.output[0] in self._inside:
            return self._inside[node.output[0]]
        named = list(dict.fromkeys(node.input))
        known = {read for read in named if read in self.weights or self.computed(read)}
        given = [read for read in named if read and read not in known]
        made = [name for name in node.output if name]
        info = helper.make_tensor_value_info
        graph = helper.make_graph(
            [node],
            "inside",
            [info(read, self.type(read).dtype or TensorProto.FLOAT, self.type(read).shape) for read in given],
            [onnx.ValueInfoProto(name=name) for name in made],
            [self._as_weight(read) for read in named if read in known],
        )
        model = helper.make_model(
            graph,
            opset_imports=list(self.model.opset_import),
            functions=list(self.model.functions),
            ir_version=self.model.ir_version,
        )
        laid_open = inliner.inline_local_functions(model)
        self._inside[node.output[0]] = Graph(laid_open, f"{node.op_type} in {self.name}", inside=True)
        return self._inside[node.output[0]]

    def computed(self, name: str) -> bool:
        """Whether a tensor of floats is computed from constants alone."""
        tensor = self.type(name)
        return name in self.constant and tensor.dtype in FLOATS and tensor.shape is not None

    def _as_weight(self, name: str) -> TensorProto:
        """A constant as an initializer; one that other constants give has its type and shape, and no numbers."""
        if name in self.weights:
            return self.weights[name]
        known = self.value(name)
        if known is not None:
            return numpy_helper.from_array(known, name)
        tensor = TensorProto(name=name, data_type=self.type(name).dtype, dims=self._shape(name))
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="computed")
        return tensor


def _type(value: onnx.TypeProto) -> Tensor:
    """Shape and type as inferred; no shape where a dimension is open."""
    tensor = value.tensor_type
    if not tensor.HasField("shape") or any(not dim.HasField("dim_value") for dim in tensor.shape.dim):
        return Tensor(None, tensor.elem_type)
    return Tensor(tuple(dim.dim_value for dim in tensor.shape.dim), tensor.elem_type)


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """An attribute of a node; text as str."""
    for given in node.attribute:
        if given.name == name:
            found = helper.get_attribute_value(given)
            return found.decode() if isinstance(found, bytes) else found
    return default
