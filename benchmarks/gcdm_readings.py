"""How can the decoder's state steer what is seen? The readings of GCDM's context prior, on crowded pictures.

python -m benchmarks.gcdm_readings          about 40 minutes on two idle cores; may be stopped and run again

The paper calls the SSM's hidden state the context prior. That leaves open what becomes of it: its vector, the same
at every place; its N states a channel as a map of sqrt(N) x sqrt(N); or vector and picture joined at every place.
Each is trained with a plain addition before the mean and with an H-Swish in between, by as many steps on the features
of the same frozen encoder. Then come what AttSSM adds, one thing at a time: a maximum beside the mean, one map for all
channels, the map's height taken off again. The last row takes the word out of the query. Chapter 5 reads the result.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import captions, record, table
from benchmarks.captions import MINI, parameters
from uvlm_mini.config import AttSSMConfig
from uvlm_mini.decoder import AttSSM, Context, State
from uvlm_mini.modulation import adapt

SOURCES = [*captions.SOURCES, "benchmarks/gcdm_readings.py"]
SEEDS = [0, 1, 2]


@dataclass(frozen=True)
class Choice:
    """One reading."""

    prior: str | None  # None, "vector", "map" or "joined"
    bend: bool = True  # an H-Swish between addition and mean
    maximum: bool = False  # a maximum beside the mean
    single: bool = False  # one bias map for all channels
    level: bool = False  # the map's own maximum taken off the maximum
    word: bool = True  # the word in the query


READINGS: dict[str, Choice] = {
    "no modulation": Choice(None, bend=False),
    "vector": Choice("vector", bend=False),
    "vector, H-Swish": Choice("vector"),
    "state as a map": Choice("map", bend=False),
    "state as a map, H-Swish": Choice("map"),
    "joined": Choice("joined", bend=False),
    "joined, H-Swish": Choice("joined"),
    "joined, one map, H-Swish": Choice("joined", single=True),
    "no modulation, maximum": Choice(None, maximum=True),
    "joined, maximum": Choice("joined", maximum=True),
    "joined, one map, maximum": Choice("joined", maximum=True, single=True),
    "AttSSM": Choice("joined", maximum=True, single=True, level=True),
    "AttSSM, asked without the word": Choice("joined", maximum=True, single=True, level=True, word=False),
}


class Reading(AttSSM):
    """AttSSM with another reading of GCDM. The gate reads the same prior as the bias, and is not there without one.

    Parameters
    ----------
    config, words : as AttSSM.
    choice : the reading.

    Raises
    ------
    ValueError : a map of a number of states that is not a square.
    """

    def __init__(self, config: AttSSMConfig, words: int, choice: Choice) -> None:
        super().__init__(config, words)
        c, inner = config.features, config.expand * config.hidden
        self.choice, self.root = choice, round(config.states**0.5)
        if choice.prior == "map" and self.root**2 != config.states:
            raise ValueError(
                f"A state of {config.states} numbers a channel is no square map; give a square such as "
                f"{self.root**2}, or another prior."
            )
        gcdm, none = self.gcdm, nn.Identity()
        if choice.prior != "joined":
            gcdm.signal_x = gcdm.gate_x = none  # type: ignore[assignment]
        if choice.prior in (None, "map"):
            gcdm.signal_q = gcdm.gate_q = self.ask = none  # type: ignore[assignment]
        if not choice.word:
            self.ask = none  # type: ignore[assignment]
        if not choice.single:
            gcdm.point = none  # type: ignore[assignment]
        if choice.prior == "map":
            self.scale = nn.RMSNorm(inner)  # over the channels of a place: an unbounded prior diverges
            self.signal_h, self.gate_h = nn.Conv2d(inner, c, 1), nn.Linear(inner, c)
        self.project = nn.Linear((1 + choice.maximum) * c, config.hidden)

    def steer(self, context: Context, state: State, query: Tensor) -> tuple[Tensor, Tensor]:
        """Bias (B, C, h, w), or with ones where it is the same at every place or channel, and (B, C) gate."""
        gcdm = self.gcdm
        if not self.choice.word:
            query = state.y
        if self.choice.prior == "joined":
            return gcdm.bias(context.signal, query), torch.sigmoid(context.gate + gcdm.gate_q(query))
        if self.choice.prior == "vector":
            return F.hardswish(gcdm.signal_q(query))[:, :, None, None], torch.sigmoid(gcdm.gate_q(query))
        places = self.scale(state.h.mT).mT.unflatten(2, (self.root, self.root))  # (B, I, sqrt N, sqrt N)
        bias = adapt(F.hardswish(self.signal_h(places)), context.x.shape[-1])
        return bias, torch.sigmoid(self.gate_h(places.mean((2, 3))))

    def look(self, context: Context, state: State, query: Tensor) -> Tensor:
        """Modulated and pooled, (B, C) or (B, 2C)."""
        x, gate = context.x, torch.ones(())
        bias = x.new_zeros(1, 1, 1, 1)
        if self.choice.prior is not None:
            bias, gate = self.steer(context, state, query)
            x = x + bias
        seen = (F.hardswish(x) if self.choice.bend else x).mean((2, 3)) * gate
        if not self.choice.maximum:
            return seen
        most = x.amax((2, 3)) - bias.amax((2, 3)) if self.choice.level else x.amax((2, 3))
        return torch.cat([seen, most * gate], 1)


def build(row: str, words: int) -> Reading:
    """The decoder of a row."""
    return Reading(MINI, words, READINGS[row])


@torch.inference_mode()
def work(decoder: AttSSM) -> int:
    """Multiply-adds of a step without the output matrix, those of products and convolutions."""
    context = decoder.prepare(torch.zeros(1, MINI.features, MINI.side, MINI.side))
    state = decoder.start(context)
    with FlopCounterMode(display=False) as counter:
        decoder.advance(torch.zeros(1, dtype=torch.long), context, state)
    return counter.get_total_flops() // 2


def run(row: str, seed: int) -> dict[str, float]:
    """Train and test one reading."""
    decoder = captions.learn(partial(build, row), "crowded", seed)
    scores = captions.tested(decoder, "crowded", ("test",))
    return {**scores, "parameters": parameters(decoder), "multiply-adds": work(decoder)}


def main() -> None:
    """Run what has not been run, and write the result file."""
    captions.prepare()
    lines = table.runs("gcdm_readings", run, list(READINGS), SEEDS, SOURCES)
    rows = table.summary(lines, list(READINGS))
    rows["five steps of vector, H-Swish"] = captions.small(partial(build, "vector, H-Swish"))
    note = (
        f"{captions.STEPS} steps of {captions.BATCH} captions of pictures of three to five things, greedy search; "
        f"{max(line['seconds'] for line in lines):.0f} s the longest run"
    )
    print(json.dumps({name: rows[name]["test CIDEr"] for name in READINGS}, indent=1))
    print(record.save("gcdm_readings", rows, SEEDS, SOURCES, spread=0.01, note=note))


if __name__ == "__main__":
    main()
