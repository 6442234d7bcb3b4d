"""The networks that `uvlm check --target ethos-u55 --compile` compiles: ours in parts, and what they are compared with.

Each comes with inputs of batch 1, the first of which gives the shapes. Ours has its own weights and is calibrated on
pictures and on the words it says of them; the others are untrained, and calibrated on the same features or on numbers
by lot. Where an operator runs does not depend on the weights; how well Vela packs them does, and so the flash.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..baselines import bahdanau
from ..datasets import scenes
from ..datasets.vision import need_torchvision
from ..datasets.vocab import BOS
from ..decoder import AttSSM, Context, Decoder, State
from ..encoder import GRN
from ..model import UVLM, to_tensor
from ..quantize.export import PrimitiveGRN
from ..reparam import fuse
from . import vela
from .vela import Compiled, Failed

PICTURES = 8  # that calibrate
WORDS = 8  # steps that calibrate a decoder, a picture


class Case(NamedTuple):
    """A network, and inputs of it."""

    name: str
    module: nn.Module
    inputs: Sequence[tuple[Tensor, ...]]


class Step(nn.Module):
    """A step of a decoder without the look-up of the word: tensors in, logits and state out.

    Parameters
    ----------
    decoder : which is changed.
    context, state : its named tuples, which the exporter does not know.
    """

    def __init__(self, decoder: Decoder, context: type, state: type) -> None:
        super().__init__()
        self.decoder, self.context, self.state = decoder, context, state
        self.heard = len(context._fields)  # type: ignore[attr-defined]
        decoder.word = lambda vector: vector  # type: ignore[method-assign,assignment]  # looked up outside

    def forward(self, word: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        """Word (1, H), context and state -> logits (1, V) and the next state."""
        context, state = self.context(*rest[: self.heard]), self.state(*rest[self.heard :])
        y, state = self.decoder.advance(word, context, state)
        return F.linear(y, self.decoder.embedding.weight), *state


class Prepare(nn.Module):
    """What a decoder computes once a picture.

    Parameters
    ----------
    decoder : whose `prepare` it is.
    """

    def __init__(self, decoder: AttSSM) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        """(1, G, h, w) -> the context of AttSSM."""
        return tuple(self.decoder.prepare(features))


class Look(nn.Module):
    """GCDM alone, as a step of AttSSM uses it.

    Parameters
    ----------
    decoder : whose GCDM it is.
    """

    def __init__(self, decoder: AttSSM) -> None:
        super().__init__()
        self.gcdm = decoder.gcdm

    def forward(self, x: Tensor, signal: Tensor, gate: Tensor, query: Tensor) -> Tensor:
        """(1, C, h, w) features, their prepared parts and (1, H) query -> (1, 2C)."""
        return self.gcdm(x, (signal, gate), query)


class SelfAttention(nn.Module):
    """One head of self-attention over the positions of a map, plainly.

    Parameters
    ----------
    width : channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(1, L, C) -> (1, L, C)."""
        q, k, v = self.qkv(x).chunk(3, -1)
        return self.out(torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, -1) @ v)


class Recurrence(nn.Module):
    """One step of an LSTM.

    Parameters
    ----------
    width : of input and state.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(width, width)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        """(1, H) input, output and memory -> the next output and memory."""
        return self.cell(x, (h, c))


def run(model: UVLM, pictures: int = PICTURES, tell: Callable[[str], object] = print) -> list[Compiled | Failed]:
    """Compile all of them for the Ethos-U55, some minutes; the model must take pictures of the embedded scenes' size.

    Parameters
    ----------
    model : in train or deploy form; it is left as it is.
    pictures : of the embedded validation scenes, to calibrate on.
    tell : what is called with the name of each network before it is compiled.

    Raises
    ------
    ModuleNotFoundError : without the extra "npu".
    ValueError : a model for pictures of another size.
    """
    vela.need()
    if model.config.encoder.image != scenes.SIDE:
        raise ValueError(
            f"The embedded scenes, which calibrate, are drawn at {scenes.SIDE} pixels, and this model takes "
            f"{model.config.encoder.image}; give weights of preset mini."
        )
    rows: list[Compiled | Failed] = []
    for case in cases(model, [to_tensor(scenes.scene("val", i).draw()) for i in range(pictures)]):
        tell(case.name)
        try:
            rows.append(vela.compile(case.module, case.inputs[0], case.inputs, case.name))
        except ValueError as error:  # it is a result, too
            rows.append(Failed(case.name, str(error)))
    return rows


def cases(model: UVLM, pictures: Sequence[Tensor]) -> Iterator[Case]:
    """The networks, one after the other.

    Parameters
    ----------
    model : in train or deploy form; it is left as it is.
    pictures : (3, S, S) each, in -1..1.

    Raises
    ------
    ModuleNotFoundError : torchvision, which has the MobileNet, is not installed.
    """
    need_torchvision()
    import torchvision

    model = copy.deepcopy(model).cpu().eval()
    if any(isinstance(part, nn.BatchNorm2d) for part in model.modules()):
        model = fuse(model)  # type: ignore[assignment]
    for block in [b for b in model.encoder.modules() if isinstance(getattr(b, "grn", None), GRN)]:
        block.grn = PrimitiveGRN(block.grn)  # type: ignore[arg-type]
    decoder, config = model.decoder, model.config
    side, hidden, width = config.encoder.image, config.decoder.hidden, config.decoder.features
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        rival = bahdanau.BahdanauLSTM(config.decoder, len(model.vocabulary)).eval()
        mobile = torchvision.models.mobilenet_v2(width_mult=0.35, weights=None).eval()
        attention, lstm = SelfAttention(width).eval(), Recurrence(hidden).eval()
        by_lot = [torch.rand(1, 3, side, side) * 2 - 1 for _ in pictures]
        held = [tuple(torch.rand(1, hidden) * 2 - 1 for _ in range(3)) for _ in pictures]
    shown = [(picture[None],) for picture in pictures]
    with torch.no_grad():
        features = [model.encoder(*row) for row in shown]
    positions = [(row.flatten(2).mT,) for row in features]
    step = Step(copy.deepcopy(decoder), Context, State)
    rival_step = Step(copy.deepcopy(rival), bahdanau.Context, bahdanau.State)
    yield Case("OverMod, the encoder", model.encoder, shown)
    yield Case("AttSSM, once a picture", Prepare(decoder), [(row,) for row in features])
    yield Case("AttSSM, a step", step, list(_said(decoder, features)))
    yield Case("GCDM alone", Look(decoder), list(_asked(decoder, features)))
    yield Case("LSTM + Bahdanau, a step", rival_step, list(_said(rival, features)))
    yield Case("MobileNetV2 0.35", mobile, [(row,) for row in by_lot])
    yield Case("self-attention", attention, positions)
    yield Case("LSTM, a step", lstm, held)


@torch.no_grad()
def _said(decoder: Decoder, features: Sequence[Tensor]) -> Iterator[tuple[Tensor, ...]]:
    """The inputs of the first steps of a decoder on each picture, each word the likeliest after the last."""
    for row in features:
        context = decoder.prepare(row)
        state, token = decoder.start(context), torch.tensor([BOS])
        for _ in range(WORDS):
            yield decoder.word(token).clone(), *context, *state
            logits, state = decoder.step(token, context, state)
            token = logits.argmax(-1)


@torch.no_grad()
def _asked(decoder: AttSSM, features: Sequence[Tensor]) -> Iterator[tuple[Tensor, ...]]:
    """What GCDM is asked in these steps."""
    for word, x, signal, gate, _, y in _said(decoder, features):
        yield x, signal, gate, y + decoder.ask(word)
