"""Every decoder of the paper on equal terms: the same frozen encoder, as many parameters, as many steps.

python -m benchmarks.decoders          about 40 minutes on two idle cores; may be stopped and run again

The learning rate of each is chosen among three, by the validation loss of a run of a third of the steps. Two rows stand
between AttSSM and the LSTM with Bahdanau attention and exchange one thing at a time, the recurrent core or the way of
looking. Rows named "fused" look at AttSSM's fused features, with its map of places. Chapter 5 reads the result.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import captions, record, table
from benchmarks.captions import LONGEST, MINI, parameters
from uvlm_mini.baselines.bahdanau import Attention, BahdanauLSTM
from uvlm_mini.baselines.bahdanau import Context as Keys
from uvlm_mini.baselines.dynamic_decoder import DynamicAttSSM
from uvlm_mini.baselines.nic import NIC
from uvlm_mini.baselines.transformer import TransformerDecoder
from uvlm_mini.baselines.updown import UpDown
from uvlm_mini.config import AttSSMConfig
from uvlm_mini.datasets.coco import CaptionSet
from uvlm_mini.datasets.grammar import read
from uvlm_mini.decoder import AttSSM, Context, Decoder, MultiScaleFusion, State

SOURCES = [
    *captions.SOURCES,
    "benchmarks/decoders.py",
    "uvlm_mini/baselines/bahdanau.py",
    "uvlm_mini/baselines/dynamic_conv.py",
    "uvlm_mini/baselines/dynamic_decoder.py",
    "uvlm_mini/baselines/nic.py",
    "uvlm_mini/baselines/transformer.py",
    "uvlm_mini/baselines/updown.py",
]
SEEDS = [0, 1, 2]
RATES = [1e-3, 2e-3, 4e-3]
SPLITS = ("test", "compositional", "hard")


# ----------------------------------------------------------------------------------------------------------------
# What stands between AttSSM and the LSTM with attention


class LSTMCore(nn.Module):
    """An LSTM in the place of the SSM; its state is (B, 2, H), output and memory."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(hidden, hidden)

    def start(self, batch: int) -> Tensor:
        """The empty state."""
        return self.cell.weight_hh.new_zeros(batch, 2, self.cell.hidden_size)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """One step: (B, H) input and (B, 2, H) state -> (B, H) output and the next state."""
        new = torch.stack(self.cell(x, tuple(h.unbind(1))), 1)
        return new[:, 0], new


class LSTMWithGCDM(AttSSM):
    """AttSSM with another recurrent core."""

    def __init__(self, config: AttSSMConfig, words: int) -> None:
        super().__init__(config, words)
        self.ssm = LSTMCore(config.hidden)  # type: ignore[assignment]


class SSMWithAttention(AttSSM):
    """AttSSM that looks by Bahdanau attention, gated as in the LSTM's; no modulation."""

    def __init__(self, config: AttSSMConfig, words: int, fused: bool = True) -> None:
        super().__init__(config, words)
        c, h = config.features, config.hidden
        if not fused:
            self.fusion = nn.Identity()  # type: ignore[assignment]
        self.gcdm = nn.Identity()  # type: ignore[assignment]
        self.attention = Attention(c, h, h)
        self.gate = nn.Linear(h, c)
        self.project = nn.Linear(c, h)

    def prepare(self, features: Tensor) -> Context:
        """Positions and their keys, in the fields of AttSSM's context; no gate."""
        x = self.fusion(features).flatten(2).mT  # (B, L, C)
        return Context(x, self.attention.key(x), x[:, 0, :0])

    def look(self, context: Context, state: State) -> Tensor:
        """What attention sees, (B, C)."""
        return torch.sigmoid(self.gate(state.y)) * self.attention(context.x, context.signal, state.y)


class FusedBahdanau(BahdanauLSTM):
    """The LSTM with attention on AttSSM's fused features."""

    def __init__(self, config: AttSSMConfig, words: int) -> None:
        super().__init__(config, words)
        self.fusion = MultiScaleFusion(config.features, config.features, config.side)

    def prepare(self, features: Tensor) -> Keys:
        """As BahdanauLSTM, of fused features."""
        return super().prepare(self.fusion(features))


CLASSES: dict[str, Callable[[AttSSMConfig, int], Decoder]] = {
    "AttSSM": AttSSM,
    "LSTM + Bahdanau": BahdanauLSTM,
    "LSTM + Bahdanau, fused": FusedBahdanau,
    "LSTM + GCDM": LSTMWithGCDM,
    "SSM + Bahdanau, fused": SSMWithAttention,
    "NIC": NIC,
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


def maps_of(decoder: Decoder, context: Keys | Context, state: tuple) -> dict[str, Tensor]:
    """What a decoder shows of its looking, (B, side, side) each: attention weights, or the bias of all channels."""
    if isinstance(decoder, SSMWithAttention):
        weights = decoder.attention.weights(context.signal, state.y)  # type: ignore[union-attr, attr-defined]
    elif isinstance(decoder, BahdanauLSTM):
        weights = decoder.attention.weights(context.keys, state.h)  # type: ignore[union-attr, attr-defined]
    elif type(decoder) in (AttSSM, LSTMWithGCDM):
        bias = decoder.gcdm.bias(context.signal, state.y)  # type: ignore[union-attr, attr-defined]
        return {"map": bias.mean(1), "map, size": bias.abs().mean(1)}
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
        said = captions.batch_of(
            [[words.encode(data.captions[i][0], LONGEST)] for i in some], np.arange(len(some)), np.random.default_rng(0)
        )
        look = x[some.start : some.stop].float()
        with torch.no_grad():
            state = decoder.start(decoder.prepare(look))
        for t in range(said.shape[1] - 1):
            seen = look.clone().requires_grad_()
            context = decoder.prepare(seen)
            logits, after = decoder.step(said[:, t], context, state)
            right = logits.log_softmax(1).gather(1, said[:, t + 1 : t + 2]).sum()
            (slope,) = torch.autograd.grad(right, seen, allow_unused=True)
            maps = {k: v.detach() for k, v in maps_of(decoder, context, state).items()}
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


def quick(row: str, seed: int) -> dict[str, float]:
    """The validation loss of a short training; the row's name ends with the rate."""
    name, rate = row.rsplit(" at ", 1)
    torch.manual_seed(seed)
    decoder = build(name, len(captions.vocabulary()))
    x, said = captions.features("usual", "train"), captions.pictures("usual", "train").captions
    captions.train(decoder, x, said, seed, steps=captions.STEPS // 3, rate=float(rate))
    return {
        "loss": captions.loss_on(decoder, captions.features("usual", "val"), captions.pictures("usual", "val").captions)
    }


def run(row: str, seed: int) -> dict[str, float]:
    """Train and test one decoder; the row's name ends with its rate."""
    name, rate = row.rsplit(" at ", 1)
    decoder = captions.learn(partial(build, name), "usual", seed, float(rate))
    torch.save(decoder.state_dict(), captions.KEPT / f"{name}-{seed}.pt")  # for a closer look; no table needs it
    scores = captions.tested(decoder, "usual", SPLITS)
    points = pointing(decoder, captions.features("usual", "hard"), captions.pictures("usual", "hard"))
    return {**scores, **points, "parameters": parameters(decoder), "H": decoder.embedding.embedding_dim}


def main() -> None:
    """Run what has not been run, and write the result file."""
    captions.prepare()
    tries = [f"{name} at {rate}" for name in CLASSES for rate in RATES]
    lines = table.runs("decoder_rates", quick, tries, SEEDS[:1], SOURCES)
    losses = {line["row"]: line["numbers"]["loss"] for line in lines}
    best = {name: min((f"{name} at {rate}" for rate in RATES), key=losses.__getitem__) for name in CLASSES}
    lines = table.runs("decoders", run, list(best.values()), SEEDS, SOURCES)
    summary = table.summary(lines, list(best.values()))
    rows = {name: summary[row] | {"rate": float(row.rsplit(" ", 1)[1])} for name, row in best.items()}
    rows["loss after a third, by rate"] = {name: round(loss, 4) for name, loss in losses.items()}
    rows["five steps of LSTM + Bahdanau"] = captions.small(partial(build, "LSTM + Bahdanau"))
    note = (
        f"{captions.STEPS} steps of {captions.BATCH} captions, greedy search; "
        f"{max(line['seconds'] for line in lines):.0f} s the longest run"
    )
    print(json.dumps({name: rows[name]["test CIDEr"] for name in best}, indent=1))
    print(record.save("decoders", rows, SEEDS, SOURCES, spread=0.01, note=note))


if __name__ == "__main__":
    main()
