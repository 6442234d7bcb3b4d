"""From an int8 ONNX file (QDQ) to a list of integer records: all multipliers, shifts and tables are made here.

Every operator stands in the file between DequantizeLinear and QuantizeLinear nodes, which say what its integers mean.
They vanish: what is left of them is a zero point, a multiplier and a shift in the record. Reshaping nodes become
`view`, a change of scale alone a table.

GRN is ten nodes in the file, in float between its int8 neighbours or, if so quantized, each rounded to int8. Either way
it becomes one record from int8 to int8, as C has it, without roundings to int8 between. LayerNorm and SelectiveScan are
one node each in the file, float inside, and one record here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import integer_units as units
from .fixed import PLACES
from .integer_ops import Program, Record
from .integer_units import bounded
from .tables import LOG2E, Scale, factors, half_up, hardswish, lift, multipliers, sigmoid, table

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

UNARY: dict[str, Callable[[np.ndarray], np.ndarray]] = {"HardSwish": hardswish, "Sigmoid": sigmoid, "Tanh": np.tanh}
VIEWS = ("Unsqueeze", "Squeeze", "Reshape", "Flatten", "Identity")
NOTES = ("words", "longest", "state")  # metadata of the files
HEADROOM = 16.0  # the state's int16 range over the largest value seen: a word that was not said may write more


class Compiled(NamedTuple):
    """A network in integers, and what they mean."""

    program: Program
    scales: dict[str, Scale]  # of every int8 value by name: for tests and for who wants to look; nothing runs by it
    rows: dict[str, np.ndarray]  # steps of values whose channels differ in them: the SSM's state
    notes: dict[str, Any]  # what the file's metadata say


def compile_graph(model: ModelProto) -> Compiled:
    """The integer network of an int8 ONNX model of this package.

    Parameters
    ----------
    model : encoder or step, as `quantize` wrote it.

    Raises
    ------
    ValueError : a float model, an operator that the integer captioner does not have, or scales that it cannot hold.
    """
    return _Compiler(model).compiled()


class _Compiler:
    """Goes through the graph once, in its order."""

    def __init__(self, model: ModelProto) -> None:
        from onnx import numpy_helper, shape_inference

        model = shape_inference.infer_shapes(model)  # a file need not tell them
        self.graph = model.graph
        self.notes = {item.key: json.loads(item.value) for item in model.metadata_props if item.key in NOTES}
        self.constants = {item.name: numpy_helper.to_array(item) for item in self.graph.initializer}
        self.shapes = {
            item.name: tuple(d.dim_value for d in item.type.tensor_type.shape.dim)
            for item in (*self.graph.value_info, *self.graph.input, *self.graph.output)
        }
        self.quantized = {n.input[0]: n for n in self.graph.node if n.op_type == "QuantizeLinear"}
        self.readers: dict[str, list[NodeProto]] = {}
        for node in self.graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.integer: dict[str, str] = {}  # float name -> name of the int8 value or constant behind it
        self.scales: dict[str, Scale] = {}
        self.steps: dict[str, np.ndarray] = {}  # of constants with one scale a channel
        self.rows: dict[str, np.ndarray] = {}
        self.records: list[Record] = []
        self.done: set[str] = set()  # outputs of nodes that another record has taken in
        if not self.quantized:
            raise ValueError("This ONNX model is in float; give the int8 file that `uvlm quantize` writes.")

    def compiled(self) -> Compiled:
        """The whole graph."""
        inputs = [item.name for item in self.graph.input]
        for node in self.graph.node:  # constants first: a unit reads those of several nodes
            if node.op_type == "DequantizeLinear" and node.input[0] in self.constants:
                self.dequantize(node)
        for node in self.graph.node:
            if not self.done.issuperset(node.output):
                self.node(node)
        outputs = [item.name for item in self.graph.output]
        for name in outputs:  # under the names that the graph gives them
            if self.integer.get(name, name) != name:
                self.rename(self.integer[name], name)
        return Compiled(Program(tuple(self.records), tuple(inputs), tuple(outputs)), self.scales, self.rows, self.notes)

    def rename(self, old: str, new: str) -> None:
        """Give a value another name, in all records."""
        self.scales[new] = self.scales.pop(old)

        def names(given: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(new if name == old else name for name in given)

        self.records = [Record(r.kind, names(r.inputs), names(r.outputs), r.numbers, r.arrays) for r in self.records]

    def node(self, node: NodeProto) -> None:
        """Add the record of one node, if it has one."""
        kind = node.op_type
        if kind == "QuantizeLinear":
            self.quantize(node)
        elif kind == "DequantizeLinear":
            self.dequantize(node)
        elif kind in UNARY:
            x, y = self.input(node), self.output(node)
            self.emit("look_up", [x], [y], table=table(UNARY[kind], self.scales[x], self.scales[y]))
        elif kind in VIEWS:
            self.reshape(node)
        else:
            method = getattr(self, f"on_{kind}", None)
            if method is None:
                raise ValueError(f"The integer captioner has no operator {kind}; give the encoder or the step.")
            method(node)

    # What a node reads and writes

    def input(self, node: NodeProto, i: int = 0) -> str:
        """The int8 value behind an input."""
        name = node.input[i]
        if name not in self.integer:
            raise ValueError(
                f"{name}, which {node.op_type} reads, is in float; give the int8 file that `uvlm quantize` writes."
            )
        return self.integer[name]

    def constant(self, node: NodeProto, i: int) -> np.ndarray | None:
        """The integers of a constant input, None if it is none."""
        return self.constants.get(self.integer.get(node.input[i], node.input[i]))

    def value(self, node: NodeProto, i: int) -> np.ndarray:
        """What a constant input stands for, int8, int32 or float in the file, as float64."""
        name = self.integer.get(node.input[i], node.input[i])
        if name not in self.constants:
            raise ValueError(f"{node.input[i]}, which {node.op_type} reads, is no constant of the file.")
        if name in self.steps:
            return self.constants[name] * self.steps[name]
        return self.scales[name].of(self.constants[name]) if name in self.scales else self.constants[name].astype(float)

    def output(self, node: NodeProto, i: int = 0) -> str:
        """Name the int8 value that a node's output becomes, and note its scale."""
        name = node.output[i]
        if name not in self.quantized:
            raise ValueError(
                f"{name}, which {node.op_type} makes, stays in float; give the int8 file that `uvlm quantize` writes."
            )
        quantize = self.quantized[name]
        made = quantize.output[0]
        self.scales[made] = self.scale(quantize)
        self.done.add(made)
        return made

    def scale(self, node: NodeProto) -> Scale:
        """What a QuantizeLinear or DequantizeLinear of one scale says."""
        return Scale(float(self.constants[node.input[1]]), int(self.constants[node.input[2]]))

    def emit(self, kind: str, inputs: list[str], outputs: list[str], **parts: Any) -> None:
        """Append a record; arrays and plain integers are told apart by their type."""
        arrays = {k: v for k, v in parts.items() if isinstance(v, np.ndarray) and v.ndim}
        numbers = {
            k: tuple(map(int, v)) if isinstance(v, tuple | list) else int(v)
            for k, v in parts.items()
            if k not in arrays
        }
        self.records.append(Record(kind, tuple(inputs), tuple(outputs), numbers, arrays))

    def attribute(self, node: NodeProto, name: str, default: Any = None) -> Any:
        """An attribute of a node."""
        from onnx import helper

        found = [helper.get_attribute_value(a) for a in node.attribute if a.name == name]
        return found[0] if found else default

    # Scales

    def quantize(self, node: NodeProto) -> None:
        """QuantizeLinear of an input of the graph: it comes in as int8 under its own name."""
        name = node.input[0]
        if name not in {item.name for item in self.graph.input}:
            raise ValueError(f"{name} is made in float; give the int8 file that `uvlm quantize` writes.")
        self.scales[name] = self.scale(node)
        self.integer[node.output[0]] = name

    def dequantize(self, node: NodeProto) -> None:
        """What it gives is read as integers."""
        given = self.integer.get(node.input[0], node.input[0])
        self.integer[node.output[0]] = given
        if given in self.constants:
            steps = self.constants[node.input[1]].astype(np.float64)
            if steps.ndim:
                self.steps[given] = steps
            else:
                self.scales[given] = self.scale(node)

    def rescaled(self, x: str, scale: Scale) -> str:
        """A value on another scale: itself, or what a table makes of it."""
        if self.scales[x] == scale:
            return x
        y = f"{x}_on_{scale.step:.8g}_{scale.zero}"
        if y not in self.scales:
            self.scales[y] = scale
            self.emit("look_up", [x], [y], table=table(lambda v: v, self.scales[x], scale))
        return y

    # Reshaping

    def reshape(self, node: NodeProto) -> None:
        x, y = self.input(node), self.output(node)
        shape = self.shape(node.output[0])[1:]
        self.emit("view", [self.rescaled(x, self.scales[y])], [y], shape=shape)

    def on_Split(self, node: NodeProto) -> None:
        sizes = tuple(int(v) for v in self.constants[node.input[1]])
        outputs = [self.output(node, i) for i in range(len(node.output))]
        x = self.rescaled(self.input(node), self.scales[outputs[0]])
        if any(self.scales[y] != self.scales[outputs[0]] for y in outputs):
            raise ValueError("The parts of a Split have different scales; calibrate the network again.")
        self.emit("split", [x], outputs, sizes=sizes)

    def on_Concat(self, node: NodeProto) -> None:
        y = self.output(node)
        parts = [self.rescaled(self.input(node, i), self.scales[y]) for i in range(len(node.input))]
        self.emit("concat", parts, [y], axis=self.attribute(node, "axis"))

    def on_Resize(self, node: NodeProto) -> None:
        wanted = [float(v) for v in self.constants[node.input[2]]]
        whole = wanted == [1, 1, wanted[2], wanted[2]] and wanted[2] % 1 == 0
        if not whole or self.attribute(node, "mode") != b"nearest":
            raise ValueError("The integer captioner enlarges a map by whole numbers alone; export the model again.")
        y = self.output(node)
        self.emit("enlarge", [self.rescaled(self.input(node), self.scales[y])], [y], side=wanted[2])

    # Sums of products

    def linear(self, node: NodeProto) -> tuple[str, np.ndarray, np.ndarray, np.ndarray, int]:
        """Input, weight (O, ...), bias with the zero point in it, the step of a sum, one a row, and a sum's limit."""
        x, weight = self.input(node), self.constant(node, 1)
        if weight is None:
            raise ValueError(f"The weight of {node.op_type} {node.name} is no constant of the file.")
        name = self.integer[node.input[1]]
        steps = self.steps[name] if name in self.steps else np.full(len(weight), self.scales[name].step)
        steps = steps * self.scales[x].step
        whole = weight.reshape(len(weight), -1).astype(np.int64)
        bias = np.zeros(len(weight), np.int64)
        if len(node.input) > 2 and node.input[2]:
            bias = half_up(self.value(node, 2) / steps)
        bias = bias - self.scales[x].zero * whole.sum(1)
        limit = int((np.abs(whole).sum(1) * 128 + np.abs(bias)).max())
        bounded(node.name, limit)
        return x, weight, bias.astype(np.int32), steps, limit

    def on_Conv(self, node: NodeProto) -> None:
        x, weight, bias, steps, limit = self.linear(node)
        group = self.attribute(node, "group", 1)
        depthwise = group == len(weight) and weight.shape[1] == 1
        if not (group == 1 or depthwise) or set(self.attribute(node, "dilations", [1])) != {1}:
            raise ValueError(f"{node.name} is neither a dense nor a depthwise convolution without gaps.")
        y = self.output(node)
        m, s = multipliers(steps / self.scales[y].step)
        up = lift(limit)
        self.emit(
            "conv", [x], [y], weight=weight, bias=bias, m=m, s=s + up, lift=up, group=group, zero_x=self.scales[x].zero,
            zero_y=self.scales[y].zero, strides=self.attribute(node, "strides", [1, 1]),
            pads=self.attribute(node, "pads", [0, 0, 0, 0]),
        )  # fmt: skip

    def on_Gemm(self, node: NodeProto) -> None:
        plain = all(self.attribute(node, name, 1) == 1 for name in ("alpha", "beta", "transB"))
        if not plain or self.attribute(node, "transA", 0):
            raise ValueError(f"{node.name} is no plain matrix times a vector; export the model again.")
        x, weight, bias, steps, limit = self.linear(node)
        if node.output[0].removesuffix("_QuantizeLinear_Input") == "logits":
            self.logits(node, x, weight, bias, steps)
            return
        y = self.output(node)
        m, s = multipliers(steps / self.scales[y].step)
        up = lift(limit)
        self.emit("gemm", [x], [y], weight=weight, bias=bias, m=m, s=s + up, lift=up, zero_y=self.scales[y].zero)

    def logits(self, node: NodeProto, x: str, weight: np.ndarray, bias: np.ndarray, steps: np.ndarray) -> None:
        """The last matrix: not rounded to int8 even if the file does so, since the search compares words by it."""
        if node.output[0] in self.quantized:
            self.done.update(self.quantized[node.output[0]].output)
            for reader in self.readers[self.quantized[node.output[0]].output[0]]:
                self.done.update(reader.output)
        self.rows["embedding"] = steps / self.scales[x].step
        m, s = multipliers(steps * LOG2E * 2**PLACES)
        limit = np.abs(weight.astype(np.int64)).sum(1) * 128 + np.abs(bias.astype(np.int64))
        bounded("the logits", int((limit.astype(np.float64) * 2.0 ** np.maximum(-s.astype(int), 0)).max()))
        self.emit("logits", [x], ["logits"], weight=weight, bias=bias, m=m, s=s)

    # Elementwise

    def on_Add(self, node: NodeProto) -> None:
        self.sum(node, 1)

    def on_Sub(self, node: NodeProto) -> None:
        self.sum(node, -1)

    def sum(self, node: NodeProto, sign: int) -> None:
        (x, other, values), y = self.pair(node), self.output(node)
        step = self.scales[y].step
        ratios = self.scales[x].step / step, sign * self.scales[other].step / step
        (first, second), s = factors(ratios, 255)
        self.emit(
            "add", [x] if values else [x, other], [y], zero_x=self.scales[x].zero, zero_other=self.scales[other].zero,
            zero_y=self.scales[y].zero, factor_x=first, factor_other=second, s=s, **values,
        )  # fmt: skip

    def on_Mul(self, node: NodeProto) -> None:
        if node.input[0] == node.input[1] and self.grn(node):
            return
        (x, other, values), y = self.pair(node), self.output(node)
        m, s = multipliers(self.scales[x].step * self.scales[other].step / self.scales[y].step)
        self.emit(
            "mul", [x] if values else [x, other], [y], zero_x=self.scales[x].zero, zero_other=self.scales[other].zero,
            zero_y=self.scales[y].zero, m=m, s=s + lift(255**2), lift=lift(255**2), **values,
        )  # fmt: skip

    def pair(self, node: NodeProto) -> tuple[str, str, dict[str, np.ndarray]]:
        """Names of a value and of another value or constant, and the constant."""
        a, b = self.input(node, 0), self.input(node, 1)
        if a in self.constants:
            if node.op_type == "Sub":
                raise ValueError(f"{node.name} takes a value from a constant; export the model again.")
            a, b = b, a
        return a, b, {"constant": self.constants[b]} if b in self.constants else {}

    # Over a map

    def axes(self, node: NodeProto) -> None:
        """Refuse a reduction that is not from a map to a vector."""
        if list(self.constants.get(node.input[1], ())) not in ([2, 3], [-2, -1]) or self.attribute(node, "keepdims", 1):
            raise ValueError(f"{node.name} does not make a vector of a map; export the model again.")

    def on_ReduceMean(self, node: NodeProto) -> None:
        self.axes(node)
        x, y = self.input(node), self.output(node)
        n = math.prod(self.shape(x)[2:])
        bounded(node.name, n * 255)
        m, s = multipliers(self.scales[x].step / (n * self.scales[y].step))
        zeros = {"zero_x": self.scales[x].zero, "zero_y": self.scales[y].zero}
        self.emit("mean", [x], [y], m=m, s=s + lift(n * 255), lift=lift(n * 255), **zeros)

    def on_ReduceMax(self, node: NodeProto) -> None:
        self.axes(node)
        x, y = self.input(node), self.output(node)
        self.emit("most", [self.rescaled(x, self.scales[y])], [y])

    def on_AveragePool(self, node: NodeProto) -> None:
        side, strides = self.attribute(node, "kernel_shape"), self.attribute(node, "strides")
        if len({*side, *strides}) != 1 or any(self.attribute(node, "pads", [0])):
            raise ValueError(f"{node.name} pools over squares that overlap or have a border; export the model again.")
        x, y = self.input(node), self.output(node)
        n = side[0] ** 2
        m, s = multipliers(self.scales[x].step / (n * self.scales[y].step))
        zeros = {"zero_x": self.scales[x].zero, "zero_y": self.scales[y].zero}
        self.emit("pool", [x], [y], side=side[0], m=m, s=s + lift(n * 255), lift=lift(n * 255), **zeros)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of an int8 value."""
        for end in ("", "_QuantizeLinear_Output"):
            if name.removesuffix(end) in self.shapes:
                return self.shapes[name.removesuffix(end)]
        raise ValueError(f"The shape of {name} is not in the file; write it again with `uvlm quantize`.")

    # Units

    def grn(self, node: NodeProto) -> bool:
        """Whether x * x begins a GRN; if so, add it as one record."""
        chain = [node]
        for kind in ("ReduceMean", "Sqrt", "ReduceMean", "Add", "Div", "Mul", "Add", "Mul", "Add"):
            following = [n for n in self.following(chain[-1]) if n.op_type == kind]
            if len(following) != 1:
                return False
            chain += following
        (across, raised), (scaled, raised_too, weighed, made) = chain[3:5], chain[6:]
        x, y = self.input(node), self.output(made)
        if x not in [self.integer.get(name) for name in weighed.input] or list(self.constants[across.input[1]]) != [1]:
            return False
        one, least = self.other(raised_too), self.other(raised)
        if not np.allclose(one, 1.0, atol=1e-6):
            return False
        shape = self.shape(x)
        gamma, beta = (np.broadcast_to(self.other(n).reshape(-1), shape[1:2]) for n in (scaled, made))
        for taken in chain:
            for maker in (taken, *self.readers[taken.output[0]]):
                self.done.update(maker.output)
        ready = units.grn(gamma, beta, float(least.reshape(())), math.prod(shape[2:]), self.scales[x], self.scales[y])
        self.emit("grn", [x], [y], **ready)
        return True

    def following(self, node: NodeProto) -> list[NodeProto]:
        """The nodes that read what a node makes, those behind QuantizeLinear and DequantizeLinear too."""
        found: list[NodeProto] = []
        for reader in self.readers.get(node.output[0], ()):
            found += self.following(reader) if reader.op_type in ("QuantizeLinear", "DequantizeLinear") else [reader]
        return found

    def other(self, node: NodeProto) -> np.ndarray:
        """The constant that an Add or Mul takes."""
        i = 1 if self.constant(node, 1) is not None else 0
        return self.value(node, i)

    def on_LayerNorm(self, node: NodeProto) -> None:
        x, y = self.input(node), self.output(node)
        gamma, beta = self.value(node, 1), self.value(node, 2)
        ready = units.layer_norm(gamma, beta, self.attribute(node, "epsilon"), self.scales[x], self.scales[y])
        self.emit("layer_norm", [x], [y], **ready)

    def on_SelectiveScan(self, node: NodeProto) -> None:
        dt, u, b, c = (self.input(node, i) for i in range(4))
        a, d = self.value(node, 5), self.value(node, 6)
        if "state" not in self.notes or len(self.notes["state"]) != len(a):
            raise ValueError(
                "The step's file does not say how large the state gets in each channel; write it with `uvlm quantize`."
            )
        largest = np.asarray(self.notes["state"], np.float64)
        h = np.maximum(largest, largest.max() * 1e-3) * HEADROOM / 32767
        y = self.output(node)
        s = self.scales
        ready = units.scan(a, d, h, dt=s[dt], u=s[u], b=s[b], c=s[c], made=s[y])
        self.rows[node.input[4]] = self.rows[node.output[1]] = h
        self.emit("scan", [dt, u, b, c, node.input[4]], [y, node.output[1]], **ready)
