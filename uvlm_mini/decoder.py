"""AttSSM: at every step GCDM looks at the picture with a query, and a selective SSM takes the next step.

    word t-1 --> embedding e -+------------.
                              |             join --> SSM --> y_t --> logits = E y_t
                              v            |                  |
    features ---------> GCDM(y_t-1 + W e) -'                  |
                              ^                               |
                              '-------------------------------'

The embedding matrix E is also the output matrix (weight tying). Chapter 5 builds it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import AttSSMConfig
from .modulation import GCDM, adapt
from .ssm import SelectiveSSM


class Decoder(nn.Module):
    """What every decoder of this package shares: the word embedding, which is the output matrix too, and the loop.

    A decoder adds three methods. `prepare` computes once what a picture gives to every step, `start` makes the state
    before the first word, `advance` takes one step. Context and state are named tuples of tensors whose first
    dimension is the batch, so that search can pick rows without knowing what they are.

    Parameters
    ----------
    words : size V of the vocabulary, specials included.
    hidden : width H of embedding and output.
    dropout : share of numbers dropped in training.
    """

    def __init__(self, words: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, hidden)
        nn.init.normal_(self.embedding.weight, std=0.05)
        self.drop = nn.Dropout(dropout)

    def prepare(self, features: Tensor) -> Any:
        """(B, G, h, w) features of the encoder -> what every step needs of them."""
        raise TypeError(f"{type(self).__name__} has no prepare; use one of the decoders of this package.")

    def start(self, context: Any) -> Any:
        """The state before the first word."""
        raise TypeError(f"{type(self).__name__} has no start; use one of the decoders of this package.")

    def advance(self, token: Tensor, context: Any, state: Any) -> tuple[Tensor, Any]:
        """As `step`, without the output matrix: (B, H) output and the next state."""
        raise TypeError(f"{type(self).__name__} has no advance; use one of the decoders of this package.")

    def word(self, token: Tensor) -> Tensor:
        """(B,) numbers -> (B, H) what a decoder hears of them: the embedding, sqrt(H) times as large.

        As output matrix the embedding is small, or the first logits would be wild; as input it is a number among
        others and should not be smaller than they are. The Transformer's remedy (Vaswani et al., 2017, section 3.4).
        """
        return self.drop(self.embedding(token)) * self.embedding.embedding_dim**0.5

    def step(self, token: Tensor, context: Any, state: Any) -> tuple[Tensor, Any]:
        """One word.

        Parameters
        ----------
        token : (B,) numbers of the previous words, BOS at first.
        context, state : from `prepare`, and from `start` or the previous step.

        Returns
        -------
        (B, V) logits of the next word, and the next state.

        Raises
        ------
        ValueError : words, pictures and state are not equally many, or a word is not in the vocabulary.
        """
        many = [len(token), len(context[0]), len(state[0])]
        if len(set(many)) > 1:
            raise ValueError(
                f"A step takes as many words as pictures and states, not {many[0]} words, {many[1]} pictures and "
                f"{many[2]} states; repeat the rows, or start a state of this context."
            )
        self._check(token)
        y, state = self.advance(token, context, state)
        return F.linear(y, self.embedding.weight), state

    def forward(self, features: Tensor, tokens: Tensor) -> Tensor:
        """Teacher forcing: (B, C, h, w) features and (B, T) previous words -> (B, T, V) logits, by `advance`.

        Raises
        ------
        ValueError : captions without a word, of another number than the pictures, or with an unknown word.
        """
        if tokens.ndim != 2 or not tokens.shape[1] or len(tokens) != len(features):
            raise ValueError(
                f"Captions come as (B, T) word numbers, BOS first, for the B = {len(features)} pictures, not as "
                f"{tuple(tokens.shape)}; an empty caption is BOS alone."
            )
        self._check(tokens)
        context = self.prepare(features)
        state = self.start(context)
        outputs = []
        for t in range(tokens.shape[1]):
            y, state = self.advance(tokens[:, t], context, state)
            outputs.append(y)
        return F.linear(self.drop(torch.stack(outputs, 1)), self.embedding.weight)

    def _check(self, tokens: Tensor) -> None:
        if tokens.device.type == "cpu" and tokens.numel():  # on a GPU looking would mean waiting
            low, high = (int(v) for v in tokens.aminmax())
            last = self.embedding.num_embeddings - 1
            if low < 0 or high > last:
                raise ValueError(
                    f"This decoder knows words 0 to {last}, not {low if low < 0 else high}; encode captions with the "
                    "vocabulary of its own checkpoint."
                )


class Context(NamedTuple):
    """What a picture gives to every step: computed once."""

    x: Tensor  # (B, C, h, w) fused features
    signal: Tensor  # (B, C, h, w) the picture's part of GCDM's bias
    gate: Tensor  # (B, C) and of its gate


class State(NamedTuple):
    """What a step hands to the next."""

    h: Tensor  # (B, I, N) state of the SSM
    y: Tensor  # (B, H) last output


class MultiScaleFusion(nn.Module):
    """Features seen at three scales, added up, with a learned map that tells where a position is.

    Parameters
    ----------
    given : channels of the encoder's features.
    channels, side : C and h = w of the result.
    """

    def __init__(self, given: int, channels: int, side: int) -> None:
        super().__init__()
        halves = (side, side // 2, side // 4)  # of 8: 8, 4, 2; of 7: 7 and the whole map, 1
        self.sides = [part for part in halves if part and side % part == 0]
        self.points = nn.ModuleList(nn.Conv2d(given, channels, 1) for _ in self.sides)
        self.place = nn.Parameter(torch.zeros(channels, side, side))

    def forward(self, x: Tensor) -> Tensor:
        """(B, G, h, w) -> (B, C, h, w)."""
        fused: Tensor = self.place
        for side, point in zip(self.sides, self.points, strict=True):
            fused = fused + adapt(point(adapt(x, side)), x.shape[-1])
        return F.hardswish(fused)


class AttSSM(Decoder):
    """The decoder.

    Parameters
    ----------
    config : sizes; see AttSSMConfig.
    words : size V of the vocabulary, specials included.
    """

    def __init__(self, config: AttSSMConfig, words: int) -> None:
        super().__init__(words, config.hidden, config.dropout)
        self.config = config
        c, h = config.channels or config.features, config.hidden
        self.fusion = MultiScaleFusion(config.features, c, config.side)
        self.ask = nn.Linear(h, h, bias=False)
        self.gcdm = GCDM(h, c)
        self.project = nn.Linear(2 * c, h)
        self.join = nn.Linear(2 * h, h)
        self.norm = nn.LayerNorm(h)
        self.ssm = SelectiveSSM(h, config.expand, config.states, config.dt_rank)
        self.norm_out = nn.LayerNorm(h)

    def prepare(self, features: Tensor) -> Context:
        """(B, G, h, w) features of the encoder -> fused features and the picture's part of GCDM."""
        x = self.fusion(features)
        return Context(x, *self.gcdm.prepare(x))

    def start(self, context: Context) -> State:
        """The state before the first word: nothing read, nothing said."""
        batch = len(context.x)
        return State(self.ssm.start(batch), context.x.new_zeros(batch, self.config.hidden))

    def look(self, context: Context, state: State, query: Tensor) -> Tensor:
        """What is seen of the picture, (B, 2C), by a (B, H) query."""
        return self.gcdm(context.x, (context.signal, context.gate), query)

    def advance(self, token: Tensor, context: Context, state: State) -> tuple[Tensor, State]:
        """As `step`, without the output matrix: (B, H) output and the next state."""
        word = self.word(token)  # (B, H)
        query = state.y + self.ask(word)  # what was meant, and which word was chosen for it
        seen = self.project(self.look(context, state, query))  # (B, H)
        u = F.hardswish(self.join(torch.cat([word, seen], 1)))  # (B, H)
        y, h = self.ssm.step(self.norm(u), state.h)
        y = self.norm_out(u + self.drop(y))
        return y, State(h, y)
