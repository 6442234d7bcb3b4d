"""Up-Down on grid features: one LSTM decides where to look, a second one what to say.

    h1       asks: reads the word, the picture's mean and what was said     (B, H)
    z        what attention sees with h1 as its query                       (B, C)
    h2       answers: reads z and h1                                        (B, H)

Anderson et al., CVPR 2018, on the positions of a grid instead of a detector's regions: a detector fits no µNPU.
Chapter 5 trains it beside AttSSM.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..config import AttSSMConfig
from ..decoder import Decoder
from .bahdanau import Attention
from .lstm import lstm_cell


class Context(NamedTuple):
    """What a picture gives to every step: computed once."""

    x: Tensor  # (B, L, C) features by position
    keys: Tensor  # (B, L, A)
    mean: Tensor  # (B, C)


class State(NamedTuple):
    """What a step hands to the next: outputs and memories of both LSTMs."""

    h1: Tensor  # (B, H)
    c1: Tensor  # (B, H)
    h2: Tensor  # (B, H)
    c2: Tensor  # (B, H)


class UpDown(Decoder):
    """The decoder of "Bottom-Up and Top-Down Attention", on grid features.

    Parameters
    ----------
    config : sizes; features, hidden and dropout of it are used.
    words : size V of the vocabulary, specials included.
    wide : width A of the attention; None: half as wide as the LSTMs, about the original's ratio.
    """

    def __init__(self, config: AttSSMConfig, words: int, wide: int | None = None) -> None:
        super().__init__(words, config.hidden, config.dropout)
        c, h = config.features, config.hidden
        self.attention = Attention(c, h, wide or h // 2)
        self.ask = lstm_cell(h + c + h, h)
        self.answer = lstm_cell(c + h, h)

    def prepare(self, features: Tensor) -> Context:
        """(B, C, h, w) features -> positions, their keys and their mean."""
        x = features.flatten(2).mT  # (B, L, C)
        return Context(x, self.attention.key(x), x.mean(1))

    def start(self, context: Context) -> State:
        """Both LSTMs empty."""
        return State(*context.mean.new_zeros(4, len(context.mean), self.embedding.embedding_dim))

    def advance(self, token: Tensor, context: Context, state: State) -> tuple[Tensor, State]:
        """As `step`, without the output matrix: (B, H) output and the next state."""
        asked = torch.cat([state.h2, context.mean, self.word(token)], 1)  # (B, H + C + H)
        h1, c1 = self.ask(asked, (state.h1, state.c1))
        seen = self.attention(context.x, context.keys, h1)  # (B, C)
        h2, c2 = self.answer(torch.cat([seen, h1], 1), (state.h2, state.c2))
        return h2, State(h1, c1, h2, c2)
