"""LSTM with Bahdanau attention, "Show, Attend and Tell": what the paper measures AttSSM against on the chip.

    keys     W_e x, computed once a picture                     (B, L, A)
    alpha    softmax(w . tanh(keys + W_d h)), where to look      (B, L)
    z        beta * sum_l alpha_l x_l, what is seen there        (B, C)

beta is a gate that the state opens or closes. Bahdanau et al., ICLR 2015, and Xu et al., ICML 2015. Chapter 5 trains
it beside AttSSM.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..config import AttSSMConfig
from ..decoder import Decoder
from .lstm import lstm_cell


class Context(NamedTuple):
    """What a picture gives to every step: computed once."""

    x: Tensor  # (B, L, C) features by position
    keys: Tensor  # (B, L, A)


class State(NamedTuple):
    """What a step hands to the next."""

    h: Tensor  # (B, H) output of the LSTM
    c: Tensor  # (B, H) its memory


class Attention(nn.Module):
    """Additive attention over the positions of a picture.

    Parameters
    ----------
    features : channels C of a position.
    query : width of what asks.
    wide : width A in which both meet.
    """

    def __init__(self, features: int, query: int, wide: int) -> None:
        super().__init__()
        self.key = nn.Linear(features, wide)
        self.query = nn.Linear(query, wide, bias=False)
        self.score = nn.Linear(wide, 1, bias=False)

    def weights(self, keys: Tensor, query: Tensor) -> Tensor:
        """(B, L, A) keys and (B, Q) query -> (B, L) weights that add up to 1."""
        return self.score(torch.tanh(keys + self.query(query)[:, None])).squeeze(-1).softmax(1)

    def forward(self, x: Tensor, keys: Tensor, query: Tensor) -> Tensor:
        """(B, L, C) features, their keys and (B, Q) query -> (B, C) what is seen."""
        return torch.einsum("bl,blc->bc", self.weights(keys, query), x)


class BahdanauLSTM(Decoder):
    """LSTM with Bahdanau attention.

    Parameters
    ----------
    config : sizes; features, hidden and dropout of it are used.
    words : size V of the vocabulary, specials included.
    wide : width A of the attention; None: as wide as the LSTM.
    """

    def __init__(self, config: AttSSMConfig, words: int, wide: int | None = None) -> None:
        super().__init__(words, config.hidden, config.dropout)
        c, h = config.features, config.hidden
        self.attention = Attention(c, h, wide or h)
        self.gate = nn.Linear(h, c)
        self.lstm = lstm_cell(h + c, h)
        self.first_h, self.first_c = nn.Linear(c, h), nn.Linear(c, h)

    def prepare(self, features: Tensor) -> Context:
        """(B, C, h, w) features -> positions and their keys."""
        x = features.flatten(2).mT  # (B, L, C)
        return Context(x, self.attention.key(x))

    def start(self, context: Context) -> State:
        """The state that the picture's mean suggests."""
        mean = context.x.mean(1)  # (B, C)
        return State(torch.tanh(self.first_h(mean)), torch.tanh(self.first_c(mean)))

    def advance(self, token: Tensor, context: Context, state: State) -> tuple[Tensor, State]:
        """As `step`, without the output matrix: (B, H) output and the next state."""
        seen = torch.sigmoid(self.gate(state.h)) * self.attention(context.x, context.keys, state.h)  # (B, C)
        both = torch.cat([self.word(token), seen], 1)  # (B, H + C)
        state = State(*self.lstm(both, tuple(state)))
        return state.h, state
