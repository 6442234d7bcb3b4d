"""CFQ, coordinated quantization of two networks: the decoder is calibrated on what the quantized encoder hands over.

    1  pictures ------------> encoder.onnx ---- calibrate, quantize ----> encoder_int8.onnx
    2  the same pictures ---> encoder_int8.onnx ---> x, signal, gate, with int8's errors in them
    3  x, signal, gate -----> decoder_step.onnx, whole captions, word by word: every input of every step is kept
    4  those inputs --------> decoder_step.onnx - calibrate, quantize --> decoder_step_int8.onnx

Two things are coordinated, and can be switched apart: `features`, whether step 3 starts from the int8 encoder's
outputs or from the float one's, and `shared`, whether both sides of the interface have the same scale and zero point,
so that nothing is rounded between them. The step's own interface, y_next handed to itself as y, always shares them.

Quantization is onnxruntime's own: int8 weights, symmetric, a scale an output channel; int8 activations, asymmetric, a
scale a tensor; int32 biases. What the NPU has no operator for stays in float between its int8 neighbours, as one unit,
and is integer arithmetic in `integer`: SelectiveScan and LayerNorm, which are one node each, and GRN, which is ten.
Squares in eight bits would cost GRN most of its signal (`norms`, below, and chapter 8).
"""

from __future__ import annotations

import io
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import search
from ..decoder import Context
from ..model import UVLM, to_tensor
from . import export
from .pair import INT8, Inputs, Pair, is_int8, session

Range = tuple[float, float]

LEAST = 4  # pictures: fewer say nothing of a range
PIXELS = (1 / 128, 0)  # scale and zero point of a picture in -1..1: the int8 pixels are the bytes less 128
METHODS = ("minmax", "percentile", "entropy")
# What quantize_static leaves float by itself, and what stands before it would be float, too.
MORE = ("HardSwish", "ReduceMean", "ReduceMax", "Sub", "Sqrt", "Div")

# What follows the square in PrimitiveGRN of export.py: strength, its mean over channels, share, gamma, one, x, beta.
GRN = ("ReduceMean", "Sqrt", "ReduceMean", "Add", "Div", "Mul", "Add", "Mul", "Add")


@dataclass(frozen=True)
class Settings:
    """How a pair is quantized.

    features : "int8" or "float", whose outputs the decoder is calibrated on.
    shared : whether the decoder's inputs have the scale and zero point of the encoder's outputs.
    per_channel : a scale for each output channel of a weight, or one for all.
    method : how a range is taken from what was seen: "minmax", "percentile" (99.999 % of it) or "entropy".
    norms : "float", or "int8" to quantize the operators that GRN is made of one by one, as a tool does that does not
        know GRN.
    activations : "static", with scales from calibration; "dynamic", with scales made anew in every run from what
        passes by; or "float": only weights are int8.
    """

    features: str = "int8"
    shared: bool = True
    per_channel: bool = True
    method: str = "minmax"
    norms: str = "float"
    activations: str = "static"


CFQ = Settings()
MODES = {
    "cfq": CFQ,
    "features alone": replace(CFQ, shared=False),
    "scales alone": replace(CFQ, features="float"),
    "independent": replace(CFQ, features="float", shared=False),
    "per tensor": replace(CFQ, per_channel=False),
    "GRN in int8": replace(CFQ, norms="int8"),
    "dynamic": replace(CFQ, activations="dynamic"),
    "weights": replace(CFQ, activations="float"),
}


def calibrate(
    model: UVLM,
    pictures: np.ndarray,
    folder: str | Path,
    settings: Settings = CFQ,
    progress: Callable[[str], None] = lambda text: None,
) -> tuple[Path, Path]:
    """Write encoder_int8.onnx and decoder_step_int8.onnx, both or neither; older files survive a failure.

    Parameters
    ----------
    model : in train or deploy form; it is left as it is.
    pictures : (n, S, S, 3) uint8 to calibrate on, from the training split; n is 4 at least.
    folder : made if it is not there.
    settings : CFQ itself, or one of MODES to compare it with.
    progress : told, in a few words, what is done next.

    Returns
    -------
    The two paths.

    Raises
    ------
    ValueError : no or too few pictures, of another size than the model's, or activations that are no numbers.
    ModuleNotFoundError : without the extra "quantize".
    OSError : the folder cannot be written.
    """
    side = model.config.encoder.image
    if len(pictures) < LEAST:
        raise ValueError(f"{len(pictures)} pictures are too few to calibrate on; give {LEAST} at least, better 64.")
    if pictures.shape[1:] != (side, side, 3) or pictures.dtype != np.uint8:
        raise ValueError(
            f"Calibration takes pictures (n, {side}, {side}, 3) uint8, not {pictures.shape} {pictures.dtype}."
        )
    if settings.method not in METHODS:
        raise ValueError(f"There is no calibration method {settings.method!r}; use one of {', '.join(METHODS)}.")
    progress("exporting")
    graphs = export.encoder_graph(model), export.step_graph(model)
    return _write(Path(folder), *coordinate(*graphs, to_tensor(pictures), settings, progress))


def coordinate(
    encoder: Any,
    step: Any,
    pictures: torch.Tensor,
    settings: Settings = CFQ,
    progress: Callable[[str], None] = lambda text: None,
) -> tuple[Any, Any]:
    """The two float graphs as two int8 ones (onnx.ModelProto); what `calibrate` does between export and files.

    Parameters
    ----------
    encoder, step : as export.encoder_graph and export.step_graph make them.
    pictures : (n, 3, S, S) in -1..1.
    """
    progress("quantizing the encoder")
    runs = [{"picture": one[None].numpy()} for one in pictures]
    int8 = quantized(encoder, runs, settings, fixed={"picture": PIXELS})
    progress("rolling captions out")
    seen = roll_out(Pair(int8 if settings.features == "int8" else encoder, step), pictures)
    known = scales(int8)
    fixed = {name: known[name] for name in Context._fields if name in known} if settings.shared else {}
    said = [run["y"] for run in seen.inputs]
    own = min(map(np.min, said)).item(), max(map(np.max, said)).item()
    progress("quantizing the decoder")
    found = quantized(step, seen.inputs, settings, fixed, {"y": own, "y_next": own})
    _describe(found, step, seen.largest)
    return int8, found


@dataclass(frozen=True)
class Rollout:
    """Whole captions, word by word.

    inputs : what every step of every caption was given, the picture's part and the state included.
    largest : (I,) the largest absolute value that each channel of the SSM's state had.
    """

    inputs: list[Inputs]
    largest: np.ndarray


@torch.inference_mode()
def roll_out(pair: Pair, tensors: torch.Tensor) -> Rollout:
    """Caption pictures greedily, and keep what the decoder step was given.

    Parameters
    ----------
    pair : the captioner.
    tensors : (n, 3, S, S) pictures in -1..1.
    """
    inputs: list[Inputs] = []
    largest = np.zeros(0)
    for number, picture in enumerate(tensors):
        steps: list[Inputs] = []
        pair.decoder.watch = steps.append
        search.greedy(pair.decoder, picture[None], pair.config.longest)
        inputs += steps
        most = np.abs(np.stack([step["h"][0] for step in steps])).max((0, 2))  # (I,)
        largest = most if number == 0 else np.maximum(largest, most)
    pair.decoder.watch = None
    return Rollout(inputs, largest)


# --------------------------------------------------------------------------------------------------------------------
# onnxruntime's quantizer


class _Reader:
    """Calibration data as onnxruntime wants to read it: one by one, in parts."""

    def __init__(self, inputs: list[Inputs]) -> None:
        self.inputs = inputs
        self.set_range(0, len(inputs))

    def __len__(self) -> int:
        return len(self.inputs)

    def set_range(self, start_index: int, end_index: int) -> None:
        self.part: Iterator[Inputs] = iter(self.inputs[start_index:end_index])

    def get_next(self) -> Inputs | None:
        return next(self.part, None)


def quantized(
    graph: Any,
    inputs: list[Inputs],
    settings: Settings = CFQ,
    fixed: dict[str, tuple[float, int]] | None = None,
    ranges: dict[str, Range] | None = None,
) -> Any:
    """A float graph (onnx.ModelProto) as an int8 one.

    Parameters
    ----------
    graph : every node is quantized but those of the domain uvlm.mini and, with `norms` float, those of GRN.
    inputs : what to calibrate on.
    settings : all but `features` and `shared` are read.
    fixed : scale and zero point that a tensor must have.
    ranges : smallest and largest value of a tensor, in place of what calibration finds.

    Raises
    ------
    ValueError : the graph is int8 already, there is nothing to calibrate on, or an output is no finite number.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    if is_int8(graph):
        raise ValueError("This graph is int8 already; give the float one that `uvlm export` writes.")
    if not inputs:
        raise ValueError("There is nothing to calibrate on; give the inputs of one run at least.")
    graph = onnx.ModelProto.FromString(graph.SerializeToString())  # the quantizer would leave it without its weights
    _finite(graph, inputs)
    if settings.activations == "float":
        return _weights_only(graph, settings.per_channel)
    if settings.activations == "dynamic":
        return _dynamic(graph, settings.per_channel)
    given: dict[str, dict[str, Any]] = {}
    for name, (scale, zero) in (fixed or {}).items():
        given[name] = {
            "scale": np.array(scale, np.float32),
            "zero_point": np.array(zero, np.int8),
            "quant_type": QuantType.QInt8,
        }
    for name, (low, high) in (ranges or {}).items():
        given[name] = {"rmin": np.array(low, np.float32), "rmax": np.array(high, np.float32)}
    method = dict(zip(METHODS, ("MinMax", "Percentile", "Entropy"), strict=True))[settings.method]
    with tempfile.TemporaryDirectory() as place, _quiet():
        path = Path(place, "int8.onnx")
        quantize_static(
            graph,
            path,
            _Reader(inputs),
            QuantFormat.QDQ,
            # Once more by name: a list of our own is the only way to add to what it quantizes by itself.
            op_types_to_quantize=[*{*QDQRegistry, *QLinearOpsRegistry, *MORE}],
            nodes_to_exclude=grn_nodes(graph) if settings.norms == "float" else [],
            per_channel=settings.per_channel,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod[method],
            extra_options={
                "TensorQuantOverrides": {name: [how] for name, how in given.items()},
                "CalibStridedMinMax": 1,  # reads one input at a time; all at once would fill the memory
            },
        )
        return onnx.load(str(path))


def grn_nodes(graph: Any) -> list[str]:
    """Names of the nodes that each GRN of a float graph is made of, from the square of x to the last addition."""
    readers: dict[str, list[Any]] = {}
    for node in graph.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    names = []
    for node in graph.graph.node:
        chain = [node] if node.op_type == "Mul" and node.input[0] == node.input[1] else []
        for kind in GRN if chain else ():
            chain += [reader for reader in readers.get(chain[-1].output[0], []) if reader.op_type == kind][:1]
        names += [part.name for part in chain] if len(chain) == len(GRN) + 1 else []
    return names


def _finite(graph: Any, inputs: list[Inputs]) -> None:
    """Raise ValueError if a run of the float graph gives something that is no finite number: it would have no range."""
    names = [value.name for value in graph.graph.output]
    runs = session(graph)
    for number, given in enumerate(inputs):
        for name, value in zip(names, runs.run(names, given), strict=True):
            if not np.isfinite(value).all():
                raise ValueError(
                    f"Calibration input {number} gives {name} that is no finite number; look for broken weights in "
                    "the model, or leave the input out."
                )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the quantizer prints, nor its advice of a pre-processing, which would take our functions apart."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(level)


def scales(model: Any) -> dict[str, tuple[float, int]]:
    """Scale and zero point of every activation that an int8 graph quantizes, by the name it had in the float graph."""
    from onnx import numpy_helper

    held = {part.name: numpy_helper.to_array(part) for part in model.graph.initializer}
    found = {}
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] not in held:
            scale, zero = (held[name] for name in node.input[1:3])
            found[node.input[0].removesuffix("_QuantizeLinear_Input")] = float(scale), int(zero)
    return found


def _weights_only(graph: Any, per_channel: bool) -> Any:
    """The graph with its matrices and kernels in int8 and a DequantizeLinear behind each; activations stay float."""
    from onnx import helper, numpy_helper

    held = {part.name: part for part in graph.graph.initializer}
    weights = dict.fromkeys(n.input[1] for n in graph.graph.node if n.op_type in ("Conv", "Gemm"))
    for name in weights:
        real = numpy_helper.to_array(held[name])
        most = np.abs(real).reshape(len(real), -1).max(1) if per_channel else np.abs(real).max()
        scale = (np.maximum(most, 1e-12) / 127).astype(np.float32)
        step = scale.reshape(-1, *[1] * (real.ndim - 1)) if per_channel else scale
        parts = {name + "_int8": np.rint(real / step).astype(np.int8), name + "_scale": scale}
        graph.graph.initializer.remove(held[name])
        graph.graph.initializer.extend(numpy_helper.from_array(part, key) for key, part in parts.items())
        graph.graph.node.insert(0, helper.make_node("DequantizeLinear", [*parts], [name], f"{name}_dequantize", axis=0))
    return graph


def _dynamic(graph: Any, per_channel: bool) -> Any:
    """The graph by onnxruntime's dynamic quantization, which knows MatMul but not Gemm: each Gemm is taken apart."""
    import onnx
    from onnx import helper, numpy_helper
    from onnxruntime.quantization import QuantType, quantize_dynamic

    held = {part.name: part for part in graph.graph.initializer}
    nodes = []
    for node in graph.graph.node:
        if node.op_type != "Gemm":
            nodes.append(node)
            continue
        weight = f"{node.input[1]}_columns"  # Gemm has it as (out, in), MatMul wants (in, out)
        columns = np.ascontiguousarray(numpy_helper.to_array(held[node.input[1]]).T)
        graph.graph.initializer.remove(held[node.input[1]])
        graph.graph.initializer.append(numpy_helper.from_array(columns, weight))
        product = node.output[0] if len(node.input) == 2 else f"{node.output[0]}_product"
        nodes.append(helper.make_node("MatMul", [node.input[0], weight], [product], node.name))
        if len(node.input) == 3:
            nodes.append(helper.make_node("Add", [product, node.input[2]], [node.output[0]], f"{node.name}_bias"))
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    with tempfile.TemporaryDirectory() as place, _quiet():
        paths = Path(place, "float.onnx"), Path(place, "int8.onnx")
        onnx.save(graph, str(paths[0]))
        quantize_dynamic(*paths, per_channel=per_channel, weight_type=QuantType.QInt8)
        return onnx.load(str(paths[1]))


# --------------------------------------------------------------------------------------------------------------------
# the files


def _describe(step: Any, float_step: Any, largest: np.ndarray) -> None:
    """Take the metadata of the float step over, and add the range of the SSM's state."""
    from onnx import helper

    about = {entry.key: entry.value for entry in float_step.metadata_props}
    helper.set_model_props(step, about | {"state": json.dumps([round(float(v), 6) for v in largest])})


def _write(folder: Path, encoder: Any, step: Any) -> tuple[Path, Path]:
    """Both files, or neither."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in INT8.values()]
    parts = [path.with_name(path.name + ".part") for path in paths]
    try:
        for part, graph in zip(parts, (encoder, step), strict=True):
            part.write_bytes(graph.SerializeToString(deterministic=True))
        for path, part in zip(paths, parts, strict=True):
            os.replace(part, path)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
    return paths[0], paths[1]
