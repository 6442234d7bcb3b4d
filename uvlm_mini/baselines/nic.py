"""NIC, "Show and Tell": the picture is the first word that an LSTM reads, and it is not shown again.

    v        mean of the features, projected        (B, H)
    h, c     state of the LSTM                      (B, H)

Vinyals et al., CVPR 2015. Chapter 5 trains it beside AttSSM.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from ..config import AttSSMConfig
from ..decoder import Decoder
from .lstm import lstm_cell


class Context(NamedTuple):
    """What a picture gives: its one vector."""

    v: Tensor  # (B, H)


class State(NamedTuple):
    """What a step hands to the next."""

    h: Tensor  # (B, H) output of the LSTM
    c: Tensor  # (B, H) its memory


class NIC(Decoder):
    """The decoder of "Show and Tell".

    Parameters
    ----------
    config : sizes; features, hidden and dropout of it are used.
    words : size V of the vocabulary, specials included.
    """

    def __init__(self, config: AttSSMConfig, words: int) -> None:
        super().__init__(words, config.hidden, config.dropout)
        self.picture = nn.Linear(config.features, config.hidden)
        self.lstm = lstm_cell(config.hidden, config.hidden)

    def prepare(self, features: Tensor) -> Context:
        """(B, C, h, w) features -> their mean as a word vector, as loud as a word (see `Decoder.word`)."""
        return Context(self.picture(features.mean((2, 3))) * self.embedding.embedding_dim**0.5)

    def start(self, context: Context) -> State:
        """The LSTM has read the picture, and nothing else."""
        return State(*self.lstm(context.v))

    def advance(self, token: Tensor, context: Context, state: State) -> tuple[Tensor, State]:
        """As `step`, without the output matrix: (B, H) output and the next state."""
        state = State(*self.lstm(self.word(token), tuple(state)))
        return state.h, state
