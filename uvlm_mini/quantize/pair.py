"""The two ONNX files as a captioner: encoder and decoder step in onnxruntime, float or int8, for search and scores.

Nothing but the two files is needed. The vocabulary stands in the metadata of the step, and the table that a word's
vector is looked up in is the step's own output matrix (weight tying), so that the embedding is stored once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from .. import search
from ..datasets.vocab import SPECIALS, Vocabulary
from ..decoder import Context, Decoder, State
from ..model import to_tensor
from . import export

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime import InferenceSession

Inputs = dict[str, np.ndarray]  # what one run of a graph is given, by name

PRODUCTS = ("Gemm", "MatMul", "MatMulInteger")
INT8 = {export.ENCODER: "encoder_int8.onnx", export.STEP: "decoder_step_int8.onnx"}


def is_int8(model: ModelProto) -> bool:
    """Whether a graph quantizes: whether it has a QuantizeLinear, or the integers of a matrix."""
    return any(node.op_type in ("QuantizeLinear", "DequantizeLinear", "MatMulInteger") for node in model.graph.node)


def load_as(path: str | Path, int8: bool) -> ModelProto:
    """The model in a file, if it is float or int8 as wanted; see export.load.

    Raises
    ------
    FileNotFoundError : no such file.
    ValueError : not an ONNX file of ours, or of the other kind.
    """
    found, wanted, make = ("float", "int8", "quantize") if int8 else ("int8", "float", "export")
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no {wanted} file {path}; make one with `uvlm {make}`.")
    model = export.load(path)
    if is_int8(model) != int8:
        raise ValueError(f"{path} is {found}, and {wanted} is expected here; make it with `uvlm {make}`.")
    return model


def session(model: ModelProto | Path) -> InferenceSession:
    """A model in onnxruntime, on one thread: the networks are small, and several threads would wait for each other."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    data = str(model) if isinstance(model, Path) else model.SerializeToString()
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def embedding(step: ModelProto) -> np.ndarray:
    """(V, H) float32 output matrix of a step, which is the word embedding too; int8 rows times their scales."""
    from onnx import numpy_helper

    makers = {name: node for node in step.graph.node for name in node.output}
    held = {part.name: part for part in step.graph.initializer}
    node = makers["logits"]
    while node.op_type not in PRODUCTS:  # behind the product an int8 file has Q/DQ, a dynamic one its scales
        node = makers[node.input[0]]
    weight = node.input[1]
    turned = node.op_type != "Gemm"  # the others hold (H, V)
    if weight in held and node.op_type != "MatMulInteger":
        table = numpy_helper.to_array(held[weight])
        return table.T if turned else table
    holder = makers[weight].input if weight in makers else [weight, weight.removesuffix("_quantized") + "_scale"]
    rows, scale = (numpy_helper.to_array(held[part]).astype(np.float32) for part in holder[:2])
    return (rows.T if turned else rows) * (scale[:, None] if scale.ndim else scale)


class PairDecoder(Decoder):
    """Both files behind the interface that the searches know. What it calls features are the pictures themselves:
    encoder.onnx ends with what the decoder prepares.

    Parameters
    ----------
    encoder, step : the two graphs.

    Attributes
    ----------
    watch : called with what each run of the step is given.
    """

    def __init__(self, encoder: ModelProto, step: ModelProto) -> None:
        self.watch: Callable[[Inputs], None] | None = None
        table = embedding(step)  # (V, H)
        words, hidden = table.shape
        super().__init__(words, hidden, 0.0)
        self.embedding.weight = nn.Parameter(torch.tensor(table), requires_grad=False)
        self._encoder, self._step = session(encoder), session(step)
        self._state = [
            [d.dim_value for d in value.type.tensor_type.shape.dim] for value in step.graph.input if value.name in "hy"
        ]

    def prepare(self, features: Tensor) -> Context:
        """(B, 3, S, S) pictures in -1..1 -> x, signal and gate, by encoder.onnx, one by one."""
        rows = [self._encoder.run(list(Context._fields), {"picture": one[None].numpy()}) for one in features]
        return Context(*(torch.from_numpy(np.concatenate(part)) for part in zip(*rows, strict=True)))

    def start(self, context: Context) -> State:
        """The state before the first word: zeros."""
        return State(*(torch.zeros(len(context.x), *shape[1:]) for shape in self._state))

    def step(self, token: Tensor, context: Context, state: State) -> tuple[Tensor, State]:
        """One word, by decoder_step.onnx, row by row; as Decoder.step."""
        self._check(token)
        rows = []
        for i, word in enumerate(self.word(token)):
            parts = (context._asdict() | state._asdict()).items()
            given = {"word": word[None].numpy()} | {name: part[i : i + 1].numpy() for name, part in parts}
            if self.watch is not None:
                self.watch(given)
            rows.append(self._step.run(["logits", "h_next", "y_next"], given))
        logits, h, y = (torch.from_numpy(np.concatenate(part)) for part in zip(*rows, strict=True))
        return logits, State(h, y)


class Pair:
    """A captioner out of two ONNX files; `evaluate` and the searches take it as they take a UVLM.

    Parameters
    ----------
    encoder, step : the two graphs, both float or both int8.

    Raises
    ------
    ValueError : the step holds no vocabulary, or one that does not fit its matrix.
    """

    def __init__(self, encoder: ModelProto, step: ModelProto) -> None:
        about = {entry.key: entry.value for entry in step.metadata_props}
        words = json.loads(about.get("words", "[]"))
        self.decoder = PairDecoder(encoder, step).eval()
        if tuple(words[: len(SPECIALS)]) != SPECIALS or len(words) != self.decoder.embedding.num_embeddings:
            raise ValueError(
                f"The decoder step holds {len(words)} words for an output matrix of "
                f"{self.decoder.embedding.num_embeddings}; write both files again with `uvlm export`."
            )
        side = encoder.graph.input[0].type.tensor_type.shape.dim[-1].dim_value
        self.vocabulary = Vocabulary(words[len(SPECIALS) :])
        self.config = SimpleNamespace(longest=int(about["longest"]), encoder=SimpleNamespace(image=side))
        self.encoder = nn.Identity()  # see PairDecoder
        self.familiarity = None  # looks at maps that the files do not hand out

    @staticmethod
    def load(folder: str | Path, int8: bool = True) -> Pair:
        """The pair in a folder: what `uvlm quantize` wrote, or with int8=False what `uvlm export` wrote.

        Raises
        ------
        FileNotFoundError, ValueError : a file is missing, broken, or float where int8 is wanted.
        ModuleNotFoundError : without the extra "quantize".
        """
        names = INT8.values() if int8 else INT8.keys()
        encoder, step = (load_as(Path(folder, name), int8) for name in names)
        return Pair(encoder, step)

    def encode(self, pictures: Tensor) -> Context:
        """(B, 3, S, S) pictures -> what the decoder needs of them at every step."""
        return self.decoder.prepare(pictures)

    def caption(self, picture: np.ndarray | Tensor, width: int = 3) -> str:
        """The caption of one picture: (S, S, 3) uint8, or (3, S, S) as `to_tensor` makes it."""
        return self.captions(picture, width)[0][0]

    def captions(self, picture: np.ndarray | Tensor, width: int = 3) -> list[tuple[str, float]]:
        """The `width` best captions of one picture, each with its log-probability."""
        tensor = picture if isinstance(picture, Tensor) else to_tensor(picture)
        found = search.beam(self.decoder, tensor[None], width, self.config.longest)[0]
        return [(self.vocabulary.decode(f.tokens), f.log_prob) for f in found]
