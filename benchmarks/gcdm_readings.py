"""How can the decoder's state steer what is seen? The readings of GCDM's context prior, on crowded pictures.

python -m benchmarks.gcdm_readings          about 40 minutes on two idle cores; may be stopped and run again

The paper calls the SSM's hidden state the context prior. That leaves open what becomes of it: its vector, the same
at every place; its N states a channel as a map of sqrt(N) x sqrt(N); or vector and picture joined at every place. Each
is trained with a plain addition before the pooling and with an H-Swish in between, by as many steps on the features of
the same frozen encoder. Chapter 5 will read the result.
"""

from __future__ import annotations

import json
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

# prior, H-Swish after the addition, maximum beside the mean
READINGS: dict[str, tuple[str | None, bool, bool]] = {
    "no modulation": (None, False, False),
    "vector": ("vector", False, False),
    "vector, H-Swish": ("vector", True, False),
    "state as a map": ("map", False, False),
    "state as a map, H-Swish": ("map", True, False),
    "joined": ("joined", False, False),
    "joined, H-Swish": ("joined", True, False),
    "no modulation, maximum": (None, False, True),
    "vector, H-Swish, maximum": ("vector", True, True),
    "joined, H-Swish, maximum": ("joined", True, True),  # AttSSM
}


class Reading(AttSSM):
    """AttSSM with another reading of GCDM. The gate reads the same prior as the bias, and is not there without one.

    Parameters
    ----------
    config, words : as AttSSM.
    prior : None, "vector", "map" or "joined".
    bend : an H-Swish after the addition.
    maximum : the maximum over the places beside the mean.

    Raises
    ------
    ValueError : a map of a number of states that is not a square.
    """

    def __init__(self, config: AttSSMConfig, words: int, prior: str | None, bend: bool, maximum: bool) -> None:
        super().__init__(config, words)
        c, inner = config.features, config.expand * config.hidden
        self.prior, self.bend, self.maximum = prior, bend, maximum
        self.root = round(config.states**0.5)
        if prior == "map" and self.root**2 != config.states:
            raise ValueError(
                f"A state of {config.states} numbers a channel is no square map; give a square such as "
                f"{self.root**2}, or another prior."
            )
        if prior != "joined":
            self.gcdm.signal_x = self.gcdm.gate_x = nn.Identity()  # type: ignore[assignment]
        if prior in (None, "map"):
            self.gcdm.signal_y = self.gcdm.gate_y = nn.Identity()  # type: ignore[assignment]
        if prior == "map":
            self.scale = nn.RMSNorm(inner)  # over the channels of a place: an unbounded prior diverges
            self.signal_h, self.gate_h = nn.Conv2d(inner, c, 1), nn.Linear(inner, c)
        self.project = nn.Linear((1 + maximum) * c, config.hidden)

    def steer(self, context: Context, state: State) -> tuple[Tensor, Tensor]:
        """Bias (B, C, h, w), or (B, C, 1, 1) where it is the same at every place, and (B, C) gate."""
        gcdm, y = self.gcdm, state.y
        if self.prior == "joined":
            return gcdm.bias(context.signal, y), torch.sigmoid(context.gate + gcdm.gate_y(y))
        if self.prior == "vector":
            return F.hardswish(gcdm.signal_y(y))[:, :, None, None], torch.sigmoid(gcdm.gate_y(y))
        places = self.scale(state.h.mT).mT.unflatten(2, (self.root, self.root))  # (B, I, sqrt N, sqrt N)
        bias = adapt(F.hardswish(self.signal_h(places)), context.x.shape[-1])
        return bias, torch.sigmoid(self.gate_h(places.mean((2, 3))))

    def look(self, context: Context, state: State) -> Tensor:
        """Modulated and pooled, (B, C) or (B, 2C)."""
        x, gate = context.x, torch.ones(())
        if self.prior is not None:
            bias, gate = self.steer(context, state)
            x = x + bias
        if self.bend:
            x = F.hardswish(x)
        seen = x.mean((2, 3)) * gate
        return torch.cat([seen, x.amax((2, 3)) * gate], 1) if self.maximum else seen


def build(row: str, words: int) -> Reading:
    """The decoder of a row."""
    return Reading(MINI, words, *READINGS[row])


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
