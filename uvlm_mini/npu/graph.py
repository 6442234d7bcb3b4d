"""An ONNX file read for what a checker asks: shapes, constants, int8, multiply-adds, and memory by liveness.

types       shape and element type of every tensor, from ONNX's own shape inference
constant    tensors known before the first picture: initializers and whatever is computed from them alone
integer     nodes that compute in int8: every float input comes from DequantizeLinear, every output goes to
            QuantizeLinear, with at most one ReLU between
buffer      tensors that are one piece of memory: a view, a ReLU on the spot, the two ends of a Q/DQ node
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

try:
    import onnx
    from onnx import TensorProto, helper, inliner, numpy_helper
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"{error.name} is not installed; install uvlm_mini[quantize] to read ONNX files.", name=error.name
    ) from None

LIMIT = 2 * 2**30  # bytes of a file: more than this is no protocol buffer
SMALL = 2**16  # bytes: data that a file keeps beside itself is read up to this size only; weights need no reading
STANDARD = ("", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training")  # ONNX's own domains
FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}
WIDE = {TensorProto.INT64, TensorProto.UINT64, TensorProto.BOOL, TensorProto.STRING}  # shapes and axes, not weights
VIEWS = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"}  # other names for the same bytes
ON_THE_SPOT = {"Relu", "Clip", "BatchNormalization"}  # right after what computes their only input
PRODUCERS = {"Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Sub", "Mul"}
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


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


# --------------------------------------------------------------------------------------------------------------------
# from a file


def load(path: str | Path) -> onnx.ModelProto:
    """Read an ONNX file, without the weights that it may keep in a file of their own.

    Raises
    ------
    FileNotFoundError
        There is no such file, or one that it points to is missing.
    ValueError
        It is too large, is not ONNX, or is cut off.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}; give an ONNX file.")
    if (size := path.stat().st_size) > LIMIT:
        raise ValueError(
            f"{path} has {size / 2**30:.3g} GiB and an ONNX file at most {LIMIT / 2**30:.3g}; export it with its "
            "weights in a file of their own (external data)."
        )
    broken = f"{path} is not an ONNX file, or is cut off; expected what torch.onnx.export writes, so export it again."
    try:
        model = onnx.load(str(path), load_external_data=False)
    except OSError:  # no permission: the file may be fine
        raise
    except Exception as error:  # protobuf's error has no public name that is the same in all its versions
        raise ValueError(broken) from error
    if not model.ir_version or not model.opset_import or not model.graph.node:
        raise ValueError(broken)
    _read_small(model, path)
    return model


def _read_small(model: onnx.ModelProto, path: Path) -> None:
    """Fetch the shapes and axes that the file keeps beside itself."""
    from onnx import external_data_helper as external

    for tensor in model.graph.initializer:
        if not external.uses_external_data(tensor):
            continue
        place = path.parent / external.ExternalDataInfo(tensor).location
        if not place.is_file():
            raise FileNotFoundError(f"{path} keeps its weights in {place}, which is not there; put it there.")
        if Tensor(tuple(tensor.dims), tensor.data_type).bytes <= SMALL:
            external.load_external_data_for_tensor(tensor, str(path.parent))
            tensor.data_location = TensorProto.DEFAULT
            del tensor.external_data[:]


def _closed(model: onnx.ModelProto, name: str) -> None:
    """Raise ValueError where the file asks for what no shape inference can know."""
    functions = {(function.domain, function.name) for function in model.functions}
    bodies = [list(_all_nodes(model.graph.node)), *(list(_all_nodes(function.node)) for function in model.functions)]
    for node in (node for body in bodies for node in body):
        if node.domain not in STANDARD and (node.domain, node.op_type) not in functions:
            raise ValueError(
                f"{name} uses {node.op_type} of domain {node.domain!r}, which is not defined in the file; expected "
                "ONNX's own operators or functions that the file holds: export it with them."
            )
    weights = {tensor.name for tensor in model.graph.initializer}
    for given in model.graph.input:
        dims = given.type.tensor_type.shape.dim
        if given.name in weights or not given.type.HasField("tensor_type"):
            continue
        if not given.type.tensor_type.HasField("shape") or any(not dim.HasField("dim_value") for dim in dims):
            shape = ", ".join(str(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param or "?" for dim in dims)
            raise ValueError(
                f"{name} has an input {given.name!r} of open shape ({shape}); an NPU takes fixed sizes only: export "
                "it without dynamic axes."
            )


def _all_nodes(nodes: Any) -> Iterator[onnx.NodeProto]:
    """The nodes of a list and of all bodies of control flow in it."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                yield from _all_nodes(graph.node)


def _read(node: onnx.NodeProto) -> list[str]:
    """The tensors that a node reads, those that the bodies in it take from outside included; "" for one left out."""
    names = list(node.input)
    for attribute in node.attribute:
        for graph in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
            own = {value.name for value in [*graph.input, *graph.initializer]}
            own |= {made for inner in graph.node for made in inner.output}
            names += [name for inner in graph.node for name in _read(inner) if name not in own]
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

    Raises
    ------
    ValueError
        An input has an open shape, a domain is unknown, or the graph contradicts itself.
    """

    def __init__(self, model: onnx.ModelProto, name: str = "the model") -> None:
        _closed(model, name)
        try:
            inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        except Exception as error:  # InferenceError, or the checker's ValidationError
            said = " ".join(str(error).split())[:200].rstrip(".")
            raise ValueError(f"{name} contradicts itself ({said}); export it again.") from error
        self.model, self.name = model, name
        self._inside: dict[str, Graph] = {}
        graph = inferred.graph
        self.nodes = list(graph.node)
        self.opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
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
            for read in dict.fromkeys(_read(node)):
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
            if fixed or all(read in self.constant for read in _read(node) if read):
                self.constant.update(made for made in node.output if made)

    # what a tensor is

    def type(self, name: str) -> Tensor:
        """Shape and type of a tensor."""
        return self.types.get(name, Tensor(None, 0))

    def shape(self, node: onnx.NodeProto, i: int = 0) -> tuple[int, ...]:
        """Shape of the i-th input of a node; () where it is unknown."""
        return self.type(node.input[i]).shape or () if i < len(node.input) else ()

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

    # int8

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
            elif not (self._on_the_spot(node) and maker is not None and self._integer_in(maker)):
                return False
        return True

    def _integer_out(self, node: onnx.NodeProto) -> bool:
        for made in node.output:
            if not made or self.type(made).dtype not in FLOATS:
                continue
            readers = self.read_by(made)
            if made in self.outputs or not readers:
                return False
            if len(readers) == 1 and self._on_the_spot(readers[0]):
                if not self._integer_out(readers[0]):
                    return False
            elif any(reader.op_type != "QuantizeLinear" for reader in readers):
                return False
        return True

    def _on_the_spot(self, node: onnx.NodeProto) -> bool:
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

    # counts

    def multiply_adds(self, node: onnx.NodeProto) -> int:
        """Multiply-adds of a node: convolutions, matrix products, recurrences and what is inside a function.

        Arithmetic element by element and pooling count 0, as in the usual tables.
        """
        if self.gone(node):
            return 0
        made = self.type(node.output[0]).size if node.output else 0
        if (node.domain, node.op_type) in self.functions:
            inside = self.inside(node)
            return sum(inside.multiply_adds(inner) for inner in inside.nodes)
        if node.op_type in ("Conv", "ConvInteger", "QLinearConv"):
            kernel = self.shape(node, 3 if node.op_type == "QLinearConv" else 1)  # (out, in / groups, ...)
            return made * math.prod(kernel[1:])
        if node.op_type == "ConvTranspose":
            return self.type(node.input[0]).size * math.prod(self.shape(node, 1)[1:])  # (in, out / groups, ...)
        if node.op_type == "Gemm":
            shape = self.shape(node)
            return made * (shape[0 if attribute(node, "transA") else 1] if len(shape) == 2 else 0)
        if node.op_type in ("MatMul", "MatMulInteger", "QLinearMatMul"):
            return made * (self.shape(node)[-1:] or (0,))[0]
        if node.op_type in GATES and len(self.shape(node)) == 3:
            steps, batch, width = self.shape(node)  # layout 0
            directions, rows, hidden = self.shape(node, 2)
            return steps * batch * directions * rows * (width + hidden)
        return 0

    @cached_property
    def functions(self) -> dict[tuple[str, str], onnx.FunctionProto]:
        """The functions that the file holds, by domain and name."""
        return {(function.domain, function.name): function for function in self.model.functions}

    def inside(self, node: onnx.NodeProto) -> Graph:
        """The body of a function at the place where it is called, with all functions in it laid open."""
        if node.output[0] in self._inside:
            return self._inside[node.output[0]]
        given = [read for read in dict.fromkeys(node.input) if read and read not in self.weights]
        made = [name for name in node.output if name]
        info = helper.make_tensor_value_info
        graph = helper.make_graph(
            [node],
            "inside",
            [info(read, self.type(read).dtype, self.type(read).shape) for read in given],
            [info(name, self.type(name).dtype, self.type(name).shape) for name in made],
            [self.weights[read] for read in dict.fromkeys(node.input) if read in self.weights],
        )
        model = helper.make_model(
            graph,
            opset_imports=list(self.model.opset_import),
            functions=list(self.model.functions),
            ir_version=self.model.ir_version,
        )
        self._inside[node.output[0]] = Graph(inliner.inline_local_functions(model), f"{node.op_type} in {self.name}")
        return self._inside[node.output[0]]

    def used_weights(self, node: onnx.NodeProto) -> set[str]:
        """The constants in the file that a node needs, directly or through nodes that are gone at run time.

        A ``Constant`` node counts by the tensor that it writes; shapes, axes and other 64-bit integers do not count.
        """
        found: set[str] = set()
        todo = [read for read in _read(node) if read]
        while todo:
            name = todo.pop()
            maker = self.made_by(name)
            if name in found or name not in self.constant:
                continue
            if name in self.weights or (maker is not None and maker.op_type == "Constant"):
                if self.type(name).dtype not in WIDE:
                    found.add(name)
            elif maker is not None and maker.op_type != "Shape":
                todo += [read for read in _read(maker) if read]
        return found

    def weight_bytes(self, names: set[str], int8: bool) -> int:
        """Bytes of constants: as the file has them, or as they would be in int8.

        In int8 by the rule of ``npu.size``: 1 byte a weight of a matrix or kernel and 4 for the scale of each of its
        rows; 4 bytes for everything with fewer dimensions.
        """
        total = 0
        for name in names:
            tensor = self.type(name)
            if int8 and tensor.dtype in FLOATS:
                total += tensor.size + 4 * self._rows(name) if len(tensor.shape or ()) > 1 else 4 * tensor.size
            else:
                total += tensor.bytes
        return total

    def body_bytes(self, node: onnx.NodeProto, int8: bool) -> int:
        """Bytes of the constants that stand in the body of a function, as ``weight_bytes`` counts them."""
        inside = self.inside(node)
        names = set().union(*map(inside.used_weights, inside.nodes))
        return inside.weight_bytes(names - set(self.weights), int8)

    def _rows(self, name: str) -> int:
        """Output channels of a matrix or kernel: where its node keeps them."""
        shape = self.type(name).shape or (0,)
        reader = self.read_by(name)[0]
        if (reader.domain, reader.op_type) in self.functions:
            inside = self.inside(reader)
            return inside._rows(name) if inside.read_by(name) else shape[0]
        if reader.op_type == "MatMul" or (reader.op_type == "Gemm" and not attribute(reader, "transB")):
            return shape[-1]
        return shape[1] if reader.op_type in (*GATES, "ConvTranspose") else shape[0]

    # memory

    def peak(self, int8: bool) -> tuple[int, int]:
        """Most bytes of activations alive at once, in the order of the file, and the node that runs then.

        A tensor lives from the node that writes it to the last one that reads it; inputs live from the start, outputs
        to the end. Views, a ReLU right after its convolution and Q/DQ nodes inside int8 take nothing of their own.

        Parameters
        ----------
        int8 : bool
            Count a float tensor as 1 byte an element, as it would be once quantized.
        """
        one = self._buffers()
        size: dict[str, int] = {}
        life: dict[str, tuple[int, int]] = {}
        for name, buffer in one.items():
            tensor = self.type(name)
            own = tensor.size if int8 and tensor.dtype in FLOATS else tensor.bytes
            size[buffer] = min(size.get(buffer, own), own)
            birth = self.producer.get(name, 0)
            death = len(self.nodes) if name in self.outputs else max(self.readers.get(name, [birth]))
            first, last = life.get(buffer, (birth, death))
            life[buffer] = min(first, birth), max(last, death)
        change = [0] * (len(self.nodes) + 2)
        for buffer, (first, last) in life.items():
            change[first] += size[buffer]
            change[last + 1] -= size[buffer]
        alive = np.cumsum(change)[: len(self.nodes)]
        at = int(alive.argmax())
        return int(alive[at]), at

    def _buffers(self) -> dict[str, str]:
        """For every tensor that is not constant the name of the piece of memory that it is in."""
        names = [*self.inputs, *(made for node in self.nodes for made in node.output if made)]
        one = {name: name for name in names if name not in self.constant}

        def root(name: str) -> str:
            while one[name] != name:
                name = one[name]
            return name

        for node in self.nodes:
            if not node.input or node.input[0] not in one or self.gone(node):
                continue
            quantizer = node.op_type in ("QuantizeLinear", "DequantizeLinear")
            if (quantizer and self.border(node) == "inside") or node.op_type in VIEWS or self._on_the_spot(node):
                one[root(node.output[0])] = root(node.input[0])
        return {name: root(name) for name in one}


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
