"""A Transformer decoder: every word attends to the words before it and to the positions of the picture.

    past     keys and values of the words so far, of every layer     (B, layers, 2, t, H): it grows with the caption

The parts are those of Vaswani et al., NeurIPS 2017, with the norm before each part and H-Swish in the middle. What an
SSM keeps constant grows here, and softmax over products of two computed operands is what a µNPU lacks. Chapter 5
trains it beside AttSSM.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import AttSSMConfig
from ..decoder import Decoder


class Context(NamedTuple):
    """What a picture gives to every step: computed once."""

    seen: Tensor  # (B, layers, 2, L, H) keys and values of its positions


class State(NamedTuple):
    """What a step hands to the next."""

    past: Tensor  # (B, layers, 2, t, H) keys and values of the words so far


def attend(query: Tensor, pairs: Tensor, heads: int) -> Tensor:
    """Multi-head attention of one query: (B, H), and (B, 2, n, H) keys and values -> (B, H)."""
    q = query.unflatten(-1, (heads, -1))  # (B, heads, H / heads)
    k, v = pairs.unflatten(-1, (heads, -1)).unbind(1)  # (B, n, heads, H / heads) each
    weights = (torch.einsum("bhd,bnhd->bhn", q, k) / math.sqrt(q.shape[-1])).softmax(-1)
    return torch.einsum("bhn,bnhd->bhd", weights, v).flatten(1)


class Layer(nn.Module):
    """Attention to the words, attention to the picture, and a feed-forward part, each with a norm before it.

    Parameters
    ----------
    hidden, features, heads : H, channels C of the picture's positions, and heads.
    dropout : share of numbers dropped in training.
    """

    def __init__(self, hidden: int, features: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(3))
        self.own = nn.Linear(hidden, 3 * hidden)
        self.own_out = nn.Linear(hidden, hidden)
        self.picture = nn.Linear(features, 2 * hidden)
        self.asks = nn.Linear(hidden, hidden)
        self.asks_out = nn.Linear(hidden, hidden)
        self.wide, self.narrow = nn.Linear(hidden, 2 * hidden), nn.Linear(2 * hidden, hidden)
        self.drop = nn.Dropout(dropout)

    def forward(self, y: Tensor, seen: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """(B, H) word, (B, 2, L, H) picture and (B, 2, t, H) past words -> (B, H), and (B, 2, t + 1, H)."""
        q, kv = self.own(self.norms[0](y)).split([y.shape[1], 2 * y.shape[1]], 1)
        past = torch.cat([past, kv.view(len(y), 2, 1, -1)], 2)
        y = y + self.drop(self.own_out(attend(q, past, self.heads)))
        y = y + self.drop(self.asks_out(attend(self.asks(self.norms[1](y)), seen, self.heads)))
        y = y + self.drop(self.narrow(F.hardswish(self.wide(self.norms[2](y)))))
        return y, past


class TransformerDecoder(Decoder):
    """A small Transformer decoder with cross-attention.

    Parameters
    ----------
    config : sizes; features, side, hidden and dropout of it are used.
    words : size V of the vocabulary, specials included.
    layers, heads : how many.
    longest : words a caption may have, EOS included; there is a learned vector for each place.
    """

    def __init__(self, config: AttSSMConfig, words: int, layers: int = 2, heads: int = 4, longest: int = 64) -> None:
        super().__init__(words, config.hidden, config.dropout)
        c, h = config.features, config.hidden
        self.places = nn.Parameter(torch.randn(longest, h) * 0.02)  # of words
        self.positions = nn.Parameter(torch.randn(config.side**2, c) * 0.02)  # of the picture
        self.layers = nn.ModuleList(Layer(h, c, heads, config.dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(h)

    def prepare(self, features: Tensor) -> Context:
        """(B, C, h, w) features -> keys and values of the positions, for every layer."""
        x = features.flatten(2).mT + self.positions  # (B, L, C)
        pairs = [layer.picture(x).unflatten(-1, (2, -1)).transpose(1, 2) for layer in self.layers]  # type: ignore[operator]
        return Context(torch.stack(pairs, 1))

    def start(self, context: Context) -> State:
        """No word yet."""
        batch, layers, _, _, hidden = context.seen.shape
        return State(context.seen.new_zeros(batch, layers, 2, 0, hidden))

    def advance(self, token: Tensor, context: Context, state: State) -> tuple[Tensor, State]:
        """As `step`, without the output matrix: (B, H) output and the next state.

        Raises
        ------
        ValueError : more words than there are places.
        """
        t = state.past.shape[3]
        if t >= len(self.places):
            raise ValueError(f"This Transformer was made for {len(self.places)} words; give it a larger `longest`.")
        y = self.word(token) + self.places[t]  # (B, H)
        past = []
        for i, layer in enumerate(self.layers):
            y, own = layer(y, context.seen[:, i], state.past[:, i])
            past.append(own)
        return self.norm(y), State(torch.stack(past, 1))
