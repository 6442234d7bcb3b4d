"""Every decoder of the paper on equal terms: the same frozen encoder, as many parameters, as many steps.

python -m benchmarks.decoders          about 70 minutes on two idle cores; may be stopped and run again

The learning rate of each is chosen among five, by the validation loss with the first seed; the other seeds run with the
best. Three rows exchange one thing at a time in the frame of AttSSM: the recurrent core, the way of looking, both.
Chapter 5 reads the result.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import captions, record, table
from benchmarks.captions import LONGEST, MINI, parameters
from uvlm_mini.baselines.bahdanau import Attention, BahdanauLSTM
from uvlm_mini.baselines.dynamic_decoder import DynamicAttSSM
from uvlm_mini.baselines.lstm import lstm_cell
from uvlm_mini.baselines.nic import NIC
from uvlm_mini.baselines.transformer import TransformerDecoder
from uvlm_mini.baselines.updown import UpDown
from uvlm_mini.config import AttSSMConfig
from uvlm_mini.datasets.coco import CaptionSet
from uvlm_mini.datasets.grammar import read
from uvlm_mini.decoder import AttSSM, Context, Decoder, State

SOURCES = [
    *captions.SOURCES,
    "benchmarks/decoders.py",
    "uvlm_mini/baselines/bahdanau.py",
    "uvlm_mini/baselines/dynamic_conv.py",
    "uvlm_mini/baselines/dynamic_decoder.py",
    "uvlm_mini/baselines/lstm.py",
    "uvlm_mini/baselines/nic.py",
    "uvlm_mini/baselines/transformer.py",
    "uvlm_mini/baselines/updown.py",
]
SEEDS = [0, 1, 2]
RATES = [1e-3, 2e-3, 4e-3, 8e-3, 16e-3]
SPLITS = ("test", "compositional", "hard")


# ----------------------------------------------------------------------------------------------------------------
# What stands between AttSSM and the LSTM with attention


class LSTMCore(nn.Module):
    """An LSTM in the place of the SSM; its state is (B, 2, H), output and memory."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.cell = lstm_cell(hidden, hidden)

    def start(self, batch: int) -> Tensor:
        """The empty state."""
        return self.cell.weight_hh.new_zeros(batch, 2, self.cell.hidden_size)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """One step: (B, H) input and (B, 2, H) state -> (B, H) output and the next state."""
        new = torch.stack(self.cell(x, tuple(h.unbind(1))), 1)
        return new[:, 0], new


class Framed(AttSSM):
    """The frame of AttSSM (fusion, joining, norms, residual) around another recurrent core or another way of looking.

    Parameters
    ----------
    config, words : as AttSSM.
    lstm : an LSTM in the place of the SSM.
    attention : Bahdanau attention, gated as in the LSTM's own decoder, in the place of GCDM.
    """

    def __init__(self, config: AttSSMConfig, words: int, lstm: bool, attention: bool) -> None:
        super().__init__(config, words)
        c, h = config.features, config.hidden
        if lstm:
            self.ssm = LSTMCore(h)  # type: ignore[assignment]
        self.attention = Attention(c, h, h) if attention else None
        if attention:
            self.gcdm = nn.Identity()  # type: ignore[assignment]
            self.gate, self.project = nn.Linear(h, c), nn.Linear(c, h)

    def prepare(self, features: Tensor) -> Context:
        """With attention: places and their keys, in the fields of AttSSM's context, and no gate."""
        if self.attention is None:
            return super().prepare(features)
        x = self.fusion(features).flatten(2).mT  # (B, L, C)
        return Context(x, self.attention.key(x), x[:, 0, :0])

    def look(self, context: Context, state: State, query: Tensor) -> Tensor:
        """What is seen, (B, 2C), or by attention (B, C)."""
        if self.attention is None:
            return super().look(context, state, query)
        return torch.sigmoid(self.gate(query)) * self.attention(context.x, context.signal, query)


CLASSES: dict[str, Callable[[AttSSMConfig, int], Decoder]] = {
    "AttSSM": AttSSM,
    "LSTM in the frame, GCDM": partial(Framed, lstm=True, attention=False),
    "SSM in the frame, attention": partial(Framed, lstm=False, attention=True),
    "LSTM in the frame, attention": partial(Framed, lstm=True, attention=True),
    "NIC": NIC,
    "LSTM + Bahdanau": BahdanauLSTM,
    "Up-Down": UpDown,
    "Transformer": TransformerDecoder,
    "dynamic convolution": DynamicAttSSM,
}


def sized(make: Callable[[AttSSMConfig, int], Decoder], words: int, target: int) -> AttSSMConfig:
    """The configuration whose width H, a multiple of 4, comes nearest to `target` parameters."""

    def off(hidden: int) -> int:
        config = AttSSMConfig(hidden=hidden, dt_rank=max(1, hidden // 16))
        with torch.device("meta"):
            return abs(parameters(make(config, words)) - target)

    hidden = min(range(64, 320, 4), key=off)
    return AttSSMConfig(hidden=hidden, dt_rank=max(1, hidden // 16))


def build(row: str, words: int) -> Decoder:
    """The decoder of a row, as large as AttSSM-mini as a multiple of 4 for its width allows."""
    make = CLASSES[row]
    with torch.device("meta"):
        target = parameters(AttSSM(MINI, words))
    return make(sized(make, words, target), words)


# ----------------------------------------------------------------------------------------------------------------
# Where does it look?


def cells_of(data: CaptionSet, i: int, kind: str, side: int) -> np.ndarray:
    """(side, side) bool: cells whose centre lies in the box of the only thing of that kind; empty if not one."""
    inside = np.zeros((side, side), bool)
    things = [t for t in data.scenes[i].things if t.kind == kind]
    if len(things) == 1:
        centre = (np.arange(side) + 0.5) * 64 / side
        (t,) = things
        down, across = ((centre >= at) & (centre < at + t.box) for at in (t.y, t.x))
        inside = down[:, None] & across[None, :]
    return inside


def maps_of(decoder: Decoder, token: Tensor, context: Any, state: Any) -> dict[str, Tensor]:
    """What a decoder shows of its looking, as weights (B, side, side) that add up to 1; nothing where it has none.

    Of a bias map the softmax is taken: its highest place stays the highest.
    """
    if isinstance(decoder, BahdanauLSTM):
        weights = decoder.attention.weights(context.keys, state.h)
    elif isinstance(decoder, AttSSM) and not isinstance(decoder, DynamicAttSSM):
        query = state.y + decoder.ask(decoder.word(token))
        if isinstance(decoder, Framed) and decoder.attention is not None:
            weights = decoder.attention.weights(context.signal, query)
        else:
            weights = decoder.gcdm.bias(context.signal, query).flatten(1).softmax(1)
    else:
        return {}
    return {"map": weights.unflatten(1, (MINI.side, -1))}


def pointing(decoder: Decoder, x: Tensor, data: CaptionSet) -> dict[str, float]:
    """The pointing game: how often the highest place of a map lies in the box of the thing that is being named.

    Played at the noun and at the word before it, of the first caption of every picture, on things that are the only
    ones of their kind. Beside the decoder's own maps, gradient times input is asked: by how much each place of the
    features, through this one look, speaks for the word. "chance" is the share of cells inside the box, "mass" the
    share of a map's positive part that lies inside.
    """
    decoder.eval()
    words = captions.vocabulary()
    named = {i: claims[0].kind for i, word in enumerate(words.words) if (claims := read(word).groups)}
    hits: dict[str, list[float]] = {}
    for start in range(0, len(x), 250):
        some = range(start, min(start + 250, len(x)))
        said = captions.padded([words.encode(data.captions[i][0], LONGEST) for i in some])
        look = x[some.start : some.stop].float()
        with torch.no_grad():
            state = decoder.start(decoder.prepare(look))
        for t in range(said.shape[1] - 1):
            seen = look.clone().requires_grad_()
            context = decoder.prepare(seen)
            logits, after = decoder.step(said[:, t], context, state)
            right = logits.log_softmax(1).gather(1, said[:, t + 1 : t + 2]).sum()
            (slope,) = torch.autograd.grad(right, seen, allow_unused=True)
            maps = {k: v.detach() for k, v in maps_of(decoder, said[:, t], context, state).items()}
            if slope is not None:
                maps["gradient"] = (slope * seen).sum(1).detach()
            state = type(after)(*(part.detach() for part in after))
            for row, i in enumerate(some):
                for when, at in (("noun", t + 1), ("before", t + 2)):
                    if at < said.shape[1] and (kind := named.get(int(said[row, at]))):
                        inside = cells_of(data, i, kind, look.shape[-1])
                        if inside.any():
                            hits.setdefault(f"{when}, chance", []).append(float(inside.mean()))
                            for name, one in maps.items():
                                value = one[row].numpy()
                                top = np.unravel_index(value.argmax(), value.shape)
                                mass = np.clip(value, 0, None)
                                hits.setdefault(f"{when}, {name}", []).append(float(inside[top]))
                                hits.setdefault(f"{when}, {name}, mass", []).append(
                                    float(mass[inside].sum() / max(mass.sum(), 1e-9))
                                )
    return {f"points at {name}": float(np.mean(values)) for name, values in hits.items()}


# ----------------------------------------------------------------------------------------------------------------


def run(row: str, seed: int) -> dict[str, float]:
    """Train and test one decoder; the row's name ends with its rate."""
    name, rate = row.rsplit(" at ", 1)
    decoder = captions.learn(partial(build, name), "usual", seed, float(rate))
    scores = captions.tested(decoder, "usual", SPLITS)
    points = pointing(decoder, captions.features("usual", "hard"), captions.pictures("usual", "hard"))
    return {**scores, **points, "parameters": parameters(decoder), "H": decoder.embedding.embedding_dim}


def main() -> None:
    """Run what has not been run, and write the result file."""
    captions.prepare()
    tries = [f"{name} at {rate}" for name in CLASSES for rate in RATES]
    lines = table.runs("decoders", run, tries, SEEDS[:1], SOURCES)
    losses = {line["row"]: line["numbers"]["loss"] for line in lines}
    best = {name: min((f"{name} at {rate}" for rate in RATES), key=losses.__getitem__) for name in CLASSES}
    lines += table.runs("decoders", run, list(best.values()), SEEDS[1:], SOURCES)
    summary = table.summary(lines, list(best.values()))
    rows = {name: summary[row] | {"rate": float(row.rsplit(" ", 1)[1])} for name, row in best.items()}
    rows["validation loss, by rate"] = {name: round(loss, 4) for name, loss in losses.items()}
    rows["five steps of LSTM + Bahdanau"] = captions.small(partial(build, "LSTM + Bahdanau"))
    note = (
        f"{captions.STEPS} steps of {captions.BATCH} captions, greedy search; "
        f"{max(line['seconds'] for line in lines):.0f} s the longest run"
    )
    print(json.dumps({name: rows[name]["test CIDEr"] for name in best}, indent=1))
    print(record.save("decoders", rows, SEEDS, SOURCES, spread=0.01, note=note))


if __name__ == "__main__":
    main()
