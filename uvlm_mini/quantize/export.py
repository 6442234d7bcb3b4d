"""The float model as two ONNX files: encoder.onnx, run once a picture, and decoder_step.onnx, run once a word.

    picture (1, 3, S, S) --> encoder.onnx --> x, signal (1, C, h, w), gate (1, C)
                                                  |
    word (1, H), h (1, I, N), y (1, H) --> decoder_step.onnx --> logits (1, V), h_next, y_next

What the decoder prepares once a picture (`AttSSM.prepare`: fusion, and the picture's part of GCDM) stands at the end of
encoder.onnx: it is convolutions over a whole map, and in the step it would be computed again for every word. The step
is then one network for the presets t, s and b. Looking up a word's vector is left to the application, which has the
table `word_vectors` makes.

PyTorch's exporter writes both graphs from the model itself. Three parts are exchanged first, in a copy:

- GRN becomes primitive operators, so that encoder.onnx is of the standard domain alone.
- LayerNorm and the recurrence of the SSM become one node each of the domain uvlm.mini, for which the NPU has no
  operator. They are ONNX functions: the file says in standard operators what they compute, and any runtime that knows
  functions runs it, in float.

The step's matrices stay nodes of their own (Gemm): they are what quantization is about. decoder_step.onnx also
holds the words and the longest caption, so that the pair can be run without the checkpoint. Quantization is chapter 8.
"""

from __future__ import annotations

import copy
import json
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..decoder import AttSSM, Context, State
from ..encoder import GRN
from ..model import UVLM
from ..npu import reader
from ..npu.reader import LIMIT, OPSETS, STANDARD, need
from ..reparam import fuse
from ..ssm import SelectiveSSM

if TYPE_CHECKING:
    from onnx import FunctionProto, ModelProto

__all__ = [
    "DOMAIN", "ENCODER", "LIMIT", "OPSET", "OPSETS", "STANDARD", "STEP", "check", "encoder_graph", "export",
    "functions", "load", "step_graph", "word_vectors",
]  # fmt: skip

DOMAIN = "uvlm.mini"  # of our functions
OPSET = 18  # what PyTorch's exporter writes without converting; one of OPSETS, which ST's tool reads
ENCODER, STEP = "encoder.onnx", "decoder_step.onnx"
ADVICE = reader.Advice("make one with `uvlm export`", "write it again with `uvlm export`", "use a smaller model")

# In ONNX's own text form. dt is the step size before softplus, A the negative decay rates; see ssm.py.
FUNCTIONS = (
    f"""
    <domain: "{DOMAIN}", opset_import: ["": {OPSET}]>
    LayerNorm <epsilon> (x, gamma, beta) => (normed) {{
        last = Constant <value_ints = [-1]> ()
        mean = ReduceMean (x, last)
        centred = Sub (x, mean)
        square = Mul (centred, centred)
        variance = ReduceMean (square, last)
        least = Constant <value_float: float = @epsilon> ()
        raised = Add (variance, least)
        deviation = Sqrt (raised)
        share = Div (centred, deviation)
        scaled = Mul (share, gamma)
        normed = Add (scaled, beta)
    }}
    """,
    f"""
    <domain: "{DOMAIN}", opset_import: ["": {OPSET}]>
    SelectiveScan (dt, u, b, c, h, A, D) => (y, h_next) {{
        channel = Constant <value_ints = [1]> ()
        state = Constant <value_ints = [2]> ()
        delta = Softplus (dt)
        delta_column = Unsqueeze (delta, state)
        exponent = Mul (delta_column, A)
        decay = Exp (exponent)
        input = Mul (delta, u)
        input_column = Unsqueeze (input, state)
        b_row = Unsqueeze (b, channel)
        write = Mul (input_column, b_row)
        kept = Mul (decay, h)
        h_next = Add (kept, write)
        c_column = Unsqueeze (c, state)
        read_column = MatMul (h_next, c_column)
        read = Squeeze (read_column, state)
        direct = Mul (D, u)
        y = Add (read, direct)
    }}
    """,
)


class PrimitiveGRN(nn.Module):
    """GRN out of Mul, ReduceMean, Sqrt, Add and Div. Root mean squares stand for norms: a factor that cancels.

    Parameters
    ----------
    grn : whose gamma and beta it takes.
    """

    def __init__(self, grn: GRN) -> None:
        super().__init__()
        self.gamma, self.beta = grn.gamma, grn.beta

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        strength = (x * x).mean((2, 3), keepdim=True).sqrt()  # (B, C, 1, 1)
        least = 1e-6 / (x.shape[2] * x.shape[3]) ** 0.5  # GRN's own, divided as the norms are
        share = strength / (strength.mean(1, keepdim=True) + least)
        return x * (self.gamma * share + 1) + self.beta


class LayerNormNode(nn.Module):
    """One node uvlm.mini::LayerNorm; computes nothing outside of an export.

    Parameters
    ----------
    norm : whose weight, bias and epsilon it takes.
    """

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.gamma, self.beta, self.epsilon = norm.weight, norm.bias, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        """(1, H) -> (1, H)."""
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::LayerNorm",
            (x, self.gamma, self.beta),
            {"epsilon": self.epsilon},
            dtype=x.dtype,
            shape=x.shape,
            version=1,
        )


class ScanNode(nn.Module):
    """The SSM's step with its recurrence as one node uvlm.mini::SelectiveScan; computes nothing outside of an export.

    Parameters
    ----------
    ssm : whose weights it takes.
    """

    A: Tensor  # (I, N) decay rates, negative

    def __init__(self, ssm: SelectiveSSM) -> None:
        super().__init__()
        self.ssm = ssm
        self.register_buffer("A", -torch.exp(ssm.A_log.detach()))

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """As SelectiveSSM.step: (1, H) and (1, I, N) -> (1, H) and (1, I, N)."""
        ssm = self.ssm
        u = ssm.in_proj(x)  # (1, I)
        dt, b, c = ssm.x_proj(u).split([ssm.rank, ssm.states, ssm.states], -1)  # (1, R), (1, N), (1, N)
        y, h = torch.onnx.ops.symbolic_multi_out(
            f"{DOMAIN}::SelectiveScan",
            (ssm.dt_proj(dt), u, b, c, h, self.A, ssm.D),
            dtypes=[u.dtype, h.dtype],
            shapes=[u.shape, h.shape],
            version=1,
        )
        return ssm.out_proj(y), h


class _Encoder(nn.Module):
    """What encoder.onnx computes."""

    def __init__(self, model: UVLM) -> None:
        super().__init__()
        self.encoder, self.decoder = model.encoder, model.decoder
        blocks = [block for block in self.encoder.modules() if isinstance(getattr(block, "grn", None), GRN)]
        for block in blocks:
            block.grn = PrimitiveGRN(block.grn)  # type: ignore[arg-type]

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.decoder.prepare(self.encoder(picture)))


class _Step(nn.Module):
    """What decoder_step.onnx computes."""

    def __init__(self, decoder: AttSSM) -> None:
        super().__init__()
        self.decoder = decoder
        decoder.norm = LayerNormNode(decoder.norm)  # type: ignore[assignment]
        decoder.norm_out = LayerNormNode(decoder.norm_out)  # type: ignore[assignment]
        decoder.ssm = ScanNode(decoder.ssm)  # type: ignore[assignment]
        decoder.word = lambda vector: vector  # type: ignore[method-assign,assignment]  # looked up outside

    def forward(
        self, word: Tensor, x: Tensor, signal: Tensor, gate: Tensor, h: Tensor, y: Tensor
    ) -> tuple[Tensor, ...]:
        y, state = self.decoder.advance(word, Context(x, signal, gate), State(h, y))
        return F.linear(y, self.decoder.embedding.weight), *state


def word_vectors(model: UVLM) -> np.ndarray:
    """What decoder_step.onnx hears of each word: (V, H) float32, a row a word, the embedding times sqrt(H)."""
    with torch.inference_mode():
        table = model.decoder.embedding.weight
        return (table * table.shape[1] ** 0.5).cpu().numpy()


def encoder_graph(model: UVLM) -> ModelProto:
    """encoder.onnx in memory: picture (1, 3, S, S) in -1..1 -> x and signal, (1, C, h, w) each, and gate (1, C).

    Of the standard domain alone; float32, static shapes. The largest difference from `UVLM.encode` is under 1e-5 of the
    largest absolute value of the same output (a test measures it, output by output).

    Parameters
    ----------
    model : in train or deploy form; it is left as it is.
    """
    model = _deployed(model)
    side = model.config.encoder.image
    return _export(_Encoder(model), (torch.zeros(1, 3, side, side),), ["picture"], ["x", "signal", "gate"])


def step_graph(model: UVLM) -> ModelProto:
    """decoder_step.onnx in memory: one step of AttSSM, without the look-up of the word.

    word (1, H), a row of `word_vectors`; x, signal and gate, what encoder.onnx gave; h (1, I, N) and y (1, H), zeros at
    first -> logits (1, V), h_next and y_next, the state of the next step. One node uvlm.mini::SelectiveScan and two
    uvlm.mini::LayerNorm, named scan, norm and norm_out, each an ONNX function; float32, static shapes, as close to
    `UVLM.step` as the encoder is to `UVLM.encode`. Its metadata hold the vocabulary and the longest caption, so that
    the two files caption without the checkpoint.

    Parameters
    ----------
    model : in train or deploy form; it is left as it is.
    """
    decoder = _deployed(model).decoder
    config = decoder.config
    with torch.inference_mode():
        context = decoder.prepare(torch.zeros(1, config.features, config.side, config.side))
    context = Context(*(torch.zeros(part.shape) for part in context))  # no inference tensors in an export
    example = (torch.zeros(1, config.hidden), *context, *decoder.start(context))
    graph = _export(_Step(decoder), example, ["word", *Context._fields, *State._fields], ["logits", "h_next", "y_next"])
    graph.functions.extend(functions())
    own = [node for node in graph.graph.node if node.domain == DOMAIN]
    for node, name in zip(own, ("norm", "scan", "norm_out"), strict=True):  # the order in which they run
        node.name = name
    graph.metadata_props.add(key="words", value=json.dumps(model.vocabulary.words, ensure_ascii=False))
    graph.metadata_props.add(key="longest", value=str(model.config.longest))
    return graph


def functions() -> list[FunctionProto]:
    """The functions of the domain uvlm.mini, parsed."""
    from onnx import parser

    return [parser.parse_function(text) for text in FUNCTIONS]


def export(model: UVLM, folder: str | Path) -> tuple[Path, Path]:
    """Write encoder.onnx and decoder_step.onnx, both or neither: an older pair survives a failure.

    Parameters
    ----------
    model : in train or deploy form; it is left as it is.
    folder : made if it is not there.

    Returns
    -------
    The two paths.

    Raises
    ------
    ModuleNotFoundError : without onnx and onnxscript, the extra "quantize".
    ValueError : a file would have more than 2 GB.
    OSError : the folder cannot be written.
    """
    need("onnx", "onnxscript")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    graphs = {folder / ENCODER: encoder_graph(model), folder / STEP: step_graph(model)}
    for path, graph in graphs.items():
        check(graph, path)
    parts = {path: path.with_name(path.name + ".part") for path in graphs}
    try:
        for path, graph in graphs.items():
            parts[path].write_bytes(graph.SerializeToString(deterministic=True))
        _exchange(parts[folder / ENCODER], folder / ENCODER, parts[folder / STEP], folder / STEP)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
    return folder / ENCODER, folder / STEP


def _exchange(new: Path, path: Path, other_new: Path, other: Path) -> None:
    """Put two whole files in their places; if the second cannot be, the first is what it was before."""
    kept = path.with_name(path.name + ".old")
    there = path.exists()
    if there:
        os.replace(path, kept)
    try:
        os.replace(new, path)
        os.replace(other_new, other)
    except BaseException:
        if there:
            os.replace(kept, path)
        else:
            path.unlink(missing_ok=True)
        raise
    kept.unlink(missing_ok=True)


def load(path: str | Path) -> ModelProto:
    """Read an ONNX file that the later steps can take: complete, static, of known operators.

    Parameters
    ----------
    path : of a file under 2 GB with its weights inside, opset 7 to 20, batch 1; every node of the standard domain, or
        of a function that the file itself defines in the domain uvlm.mini.

    Raises
    ------
    ModuleNotFoundError : without onnx, the extra "quantize".
    FileNotFoundError : no such file.
    ValueError : a file that is not so, in one sentence.
    """
    model = reader.load(path, ADVICE)
    check(model, path)
    return model


def check(model: ModelProto, name: str | Path) -> None:
    """Raise ValueError, in one sentence, if a model is not as `load` wants it; `name` is what the sentence calls it."""
    need("onnx")
    import onnx

    size = model.ByteSize()
    if size > LIMIT:
        raise ValueError(reader.too_large(name, size, ADVICE))
    reader.whole(model, name, ADVICE)
    if any(part.data_location == onnx.TensorProto.EXTERNAL for part in model.graph.initializer):
        raise ValueError(f"{name} keeps weights in another file; save it with all of them inside.")
    opset = reader.opset(model)
    if opset not in OPSETS:
        raise ValueError(f"{name} has opset {opset}, not {OPSETS[0]} to {OPSETS[-1]}; export it again with {OPSET}.")
    own = [function for function in model.functions if function.domain == DOMAIN]
    for node in reader.foreign(model, own, STANDARD):
        raise ValueError(
            f"{name} has an operator {node.domain}::{node.op_type}, which is neither ONNX's own nor a function "
            f"that the file defines in {DOMAIN}; export the model with `uvlm export`."
        )
    for value in (*model.graph.input, *model.graph.output):
        sides = reader.sides(value) or []
        if not all(isinstance(side, int) and side > 0 for side in sides):
            raise ValueError(
                f"{name} leaves the shape of {value.name} open, ({', '.join(map(str, sides))}); export it with "
                "a fixed one."
            )
        if not sides or sides[0] != 1:
            raise ValueError(
                f"{name} has {value.name} of shape {tuple(sides)}, not of batch 1; export it for one picture."
            )
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        why = " ".join(str(error).split())[:200]
        raise ValueError(f"{name} is truncated or no valid ONNX file ({why}); {ADVICE.broken}.") from None


def _deployed(model: UVLM) -> UVLM:
    """A copy in deploy form and eval mode, on the CPU."""
    model = copy.deepcopy(model).cpu().eval()
    fused = not any(isinstance(part, nn.BatchNorm2d) for part in model.modules())
    return model if fused else fuse(model)  # type: ignore[return-value]


def _export(part: nn.Module, example: tuple[Tensor, ...], inputs: list[str], outputs: list[str]) -> ModelProto:
    """The graph of a module, by PyTorch's exporter, without the notes on where in our source every node comes from."""
    need("onnx", "onnxscript")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", FutureWarning)  # of the exporter about itself
        program = torch.onnx.export(
            part.eval(), example, dynamo=True, opset_version=OPSET, input_names=inputs, output_names=outputs,
            verbose=False,
        )  # fmt: skip
    assert program is not None
    model = program.model_proto
    graph = model.graph
    for item in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        item.ClearField("metadata_props")  # stack traces, with paths of this machine
        item.ClearField("doc_string")
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name == "allowzero":
                attribute.i = 0  # as the NPU's compiler wants it; it matters only where a size is 0, and here none is
    return model
