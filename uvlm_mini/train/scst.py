"""Stage 4, self-critical sequence training: the model draws captions, and those that earn more get likelier.

    r_i   reward of the i-th of k captions drawn for a picture
    b_i   baseline: the mean reward of the other k - 1, or the reward of the greedy caption
    loss  = - mean over all words of (r_i - b_i) log p(word | picture, words before it)

Its gradient is, in expectation, that of the mean reward turned round: a baseline that does not depend on the caption
itself changes the spread of the estimate and not its mean. EOS is a word like any other; the padding after it is none.
Captions are drawn without gradient; a second pass with the words given has it. Both run in eval mode, for dropout
would make the second pass another distribution than the one that was drawn from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import search
from ..datasets.vocab import BOS, EOS, PAD
from ..decoder import Decoder

Reward = Callable[[list[list[int]], list[int]], Any]  # captions, rows of their pictures -> (n,) rewards


class Drawn(NamedTuple):
    """Captions that were drawn: k rows for each picture, one after the other."""

    tokens: Tensor  # (B k, T + 1) BOS, words, EOS, and PAD behind it
    log_probs: Tensor  # (B k, T) of every word, EOS included; 0 in the padding

    def captions(self, longest: int) -> list[list[int]]:
        """What is rewarded: the words and EOS; without EOS where the caption was cut off after `longest` words."""
        rows = self.tokens[:, 1:].tolist()
        return [row[: row.index(EOS) + 1] if EOS in row else row[:longest] for row in rows]


def _rows(parts: Any, rows: Any) -> Any:
    """Some rows of every tensor of a named tuple."""
    return type(parts)(*(part[rows] for part in parts))


def _repeated(context: Any, k: int) -> Any:
    """Every picture's row k times."""
    return type(context)(*(part.repeat_interleave(k, 0) for part in context))


def _log_softmax(logits: Tensor) -> Tensor:
    """Log-probabilities of what may be said: everything but PAD and BOS."""
    never = torch.tensor([PAD, BOS], device=logits.device)
    return logits.index_fill(-1, never, -torch.inf).log_softmax(-1)


@torch.no_grad()
def sample(decoder: Decoder, features: Tensor, k: int, longest: int, generator: torch.Generator) -> Drawn:
    """Draw k captions a picture, word by word from the model's own distribution.

    Parameters
    ----------
    decoder : in eval mode.
    features : (B, C, h, w), of B pictures.
    longest : words a caption may have. One word more is drawn, as search does: where that is not EOS, the caption is
        cut off before it. The word is part of what was drawn, so its log-probability counts, but nobody reads it.
    generator : where the chance comes from.
    """
    context = _repeated(decoder.prepare(features), k)
    state = decoder.start(context)
    tokens = torch.full((k * len(features), longest + 2), PAD)
    log_probs = torch.zeros(k * len(features), longest + 1, dtype=features.dtype)
    tokens[:, 0] = token = torch.full((len(tokens),), BOS)
    alive = torch.arange(len(tokens))  # captions that have not ended: only these are computed
    for t in range(longest + 1):
        logits, state = decoder.step(token, context, state)
        allowed = _log_softmax(logits)  # (alive, V)
        word = torch.multinomial(allowed.exp(), 1, generator=generator)  # (alive, 1)
        log_probs[alive, t], token = allowed.gather(1, word)[:, 0], word[:, 0]
        tokens[alive, t + 1] = token
        on = (token != EOS).nonzero()[:, 0]
        if len(on) == 0:
            break
        if len(on) < len(alive):
            alive, token, context, state = alive[on], token[on], _rows(context, on), _rows(state, on)
    return Drawn(tokens[:, : t + 2], log_probs[:, : t + 1])


def log_probs_of(decoder: Decoder, features: Tensor, tokens: Tensor) -> Tensor:
    """Log-probabilities of given captions, with gradient: teacher forcing, each picture prepared once.

    The longest captions come first, so that the rows that still speak stand together and a step computes no padding:
    among a few hundred captions the longest is twice as long as most.

    Parameters
    ----------
    features : (B, C, h, w), of B pictures.
    tokens : (B k, T + 1) as in `Drawn`.

    Returns
    -------
    (B k, T), 0 in the padding.
    """
    said = tokens[:, 1:] != PAD  # (B k, T)
    order = said.sum(1).argsort(descending=True, stable=True)
    context = _rows(_repeated(decoder.prepare(features), len(tokens) // len(features)), order)
    state = decoder.start(context)
    found = torch.zeros(said.shape, dtype=features.dtype)
    for t in range(said.shape[1]):
        alive = order[: int(said[:, t].sum())]
        if len(alive) < len(context[0]):
            context, state = (_rows(part, slice(len(alive))) for part in (context, state))
        logits, state = decoder.step(tokens[alive, t], context, state)
        log_prob = _log_softmax(logits).gather(1, tokens[alive, t + 1, None])[:, 0]
        found = found.index_put((alive, torch.tensor(t)), log_prob)
    return found


def advantage(rewards: Tensor, greedy: Tensor | None = None) -> Tensor:
    """(B, k) rewards -> how much each is above its baseline: the mean of the k - 1 others, or (B,) greedy rewards."""
    if greedy is not None:
        return rewards - greedy[:, None]
    k = rewards.shape[1]
    return rewards - (rewards.sum(1, keepdim=True) - rewards) / (k - 1)


def policy_loss(log_probs: Tensor, tokens: Tensor, gain: Tensor) -> Tensor:
    """(B k, T) log-probabilities of (B k, T + 1) tokens, with (B k,) advantages -> the loss, a mean over words."""
    return -(gain[:, None] * log_probs).sum() / (tokens[:, 1:] != PAD).sum()


def scst_loss(
    decoder: Decoder,
    features: Tensor,
    rows: list[int],
    reward: Reward,
    k: int,
    longest: int,
    generator: torch.Generator,
    greedy: bool = False,
) -> tuple[Tensor, float]:
    """The loss of one batch, and the mean reward of its captions.

    Parameters
    ----------
    decoder : in eval mode.
    features : (B, C, h, w), of the pictures whose numbers are `rows`.
    reward : such as a CiderD.
    k : captions drawn of each.
    greedy : the baseline is the greedy caption's reward instead of the others'.

    Raises
    ------
    ValueError : the decoder is in training mode.
    """
    if decoder.training:
        raise ValueError("Stage 4 needs the decoder in eval mode: with dropout it would learn from other odds.")
    drawn = sample(decoder, features, k, longest, generator)
    numbers = [row for row in rows for _ in range(k)]
    rewards = torch.as_tensor(reward(drawn.captions(longest), numbers)).view(len(rows), k)  # (B, k) float64
    base = None
    if greedy:
        found = search.greedy(decoder, features, longest)
        base = torch.as_tensor(reward([f.tokens + [EOS] * f.ended for f in found], rows))
    gain = advantage(rewards, base).flatten().to(features.dtype)
    loss = policy_loss(log_probs_of(decoder, features, drawn.tokens), drawn.tokens, gain)
    return loss, float(rewards.mean())
