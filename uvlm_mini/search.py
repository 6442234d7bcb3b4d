"""From logits to words: greedy search and beam search.

Both score a caption by the sum of its words' log-probabilities, EOS included, without dividing by its length.
Padding and BOS are never chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .datasets.vocab import BOS, EOS, PAD
from .decoder import Decoder


@dataclass(frozen=True)
class Found:
    """A caption as numbers without BOS and EOS, its log-probability, and whether it ended by itself."""

    tokens: list[int]
    log_prob: float
    ended: bool


def _pick(parts: Any, rows: Tensor) -> Any:
    """The rows of every tensor of a named tuple."""
    return type(parts)(*(part[rows] for part in parts))


def _log_probs(logits: Tensor) -> Tensor:
    logits = logits.clone()
    logits[..., [PAD, BOS]] = -torch.inf
    return torch.log_softmax(logits, -1)


def _longest(longest: int) -> int:
    if longest < 1:
        raise ValueError(f"A caption needs room for one word at least, not {longest}.")
    return longest


@torch.inference_mode()
def greedy(decoder: Decoder, features: Tensor, longest: int = 32) -> list[Found]:
    """The likeliest word at every step.

    Parameters
    ----------
    decoder : in eval mode.
    features : (B, C, h, w), of B pictures.
    longest : words a caption may have.
    """
    batch = len(features)
    context = decoder.prepare(features)
    state = decoder.start(context)
    token = torch.full((batch,), BOS)
    tokens, total, done = [], torch.zeros(batch), torch.zeros(batch, dtype=torch.bool)
    for step in range(_longest(longest) + 1):  # one more for EOS
        logits, state = decoder.step(token, context, state)
        best, token = _log_probs(logits).max(-1)  # (B,), (B,)
        unused = done | (token != EOS) if step == longest else done  # there is no room for another word
        total += torch.where(unused, 0.0, best)
        tokens.append(torch.where(done, EOS, token))
        done = done | (token == EOS)
        if done.all():
            break
    rows = torch.stack(tokens, 1).tolist()
    cut = [row.index(EOS) if EOS in row else longest for row in rows]
    return [Found(r[:n], float(p), bool(d)) for r, n, p, d in zip(rows, cut, total, done, strict=True)]


@torch.inference_mode()
def beam(
    decoder: Decoder,
    features: Tensor,
    width: int = 3,
    longest: int = 32,
    watch: Callable[[Tensor, Tensor], None] | None = None,
) -> list[list[Found]]:
    """The likeliest captions that beam search finds for each picture, at most `width`, the best first.

    Greedy search's caption is among those that are compared: the best is never less likely than that.

    Parameters
    ----------
    decoder : in eval mode.
    features : (B, C, h, w), of B pictures.
    width : captions kept at every step; 1 is greedy search. The paper uses 3.
    longest : words a caption may have.
    watch : called after every step with the living beginnings, (B, W, t) words and (B, W) log-probabilities.

    Raises
    ------
    ValueError : a width or a length under 1.
    """
    if width < 1:
        raise ValueError(f"A beam needs a width of 1 at least, not {width}.")
    batch = len(features)
    rows = torch.arange(batch).repeat_interleave(width)  # (B W,) picture of each row
    context = _pick(decoder.prepare(features), rows)
    state = decoder.start(context)
    token = torch.full((batch * width,), BOS)
    total = torch.full((batch, width), -torch.inf)
    total[:, 0] = 0.0  # all rows of a picture are alike at first: only one may grow
    paths = torch.zeros(batch, width, 0, dtype=torch.long)
    ended: list[list[Found]] = [[] for _ in range(batch)]
    for step in range(_longest(longest) + 1):
        logits, state = decoder.step(token, context, state)
        grown = total[..., None] + _log_probs(logits).view(batch, width, -1)  # (B, W, V)
        words = grown.shape[-1]
        before = total
        total, index = grown.flatten(1).topk(2 * width, dim=1)  # twice as many: each may be one that ends
        parent, word = index // words, index % words  # (B, 2W)
        kept = torch.zeros(batch, width, dtype=torch.long)
        for b in range(batch):
            alive: list[int] = []
            for rank in range(2 * width):
                log_prob = float(total[b, rank])
                if log_prob == -torch.inf:
                    continue
                if word[b, rank] == EOS:
                    if rank < width:
                        ended[b].append(Found(paths[b, parent[b, rank]].tolist(), log_prob, True))
                elif len(alive) < width:
                    alive.append(rank)
            alive += [2 * width - 1] * (width - len(alive))
            kept[b] = torch.tensor(alive)
        if step == longest:  # no room for another word: what has not ended is cut off
            total = before
            break
        total, parent, word = (part.gather(1, kept) for part in (total, parent, word))
        paths = torch.cat([paths.gather(1, parent[..., None].expand(-1, -1, step)), word[..., None]], 2)
        if watch is not None:
            watch(paths, total)
        source = (torch.arange(batch)[:, None] * width + parent).flatten()
        state, token = _pick(state, source), word.flatten()
        if all(_settled(e, float(t), width) for e, t in zip(ended, total[:, 0], strict=True)):
            break
    for b in range(batch):
        if not ended[b]:  # nothing came to its end in time: the likeliest beginnings are all there is
            rows_of = zip(paths[b].tolist(), total[b].tolist(), strict=True)
            ended[b] = [Found(path, p, False) for path, p in rows_of if p > -torch.inf]
    if width > 1:  # a beam may drop the beginning that greedy search follows, though it ends better than all it kept
        for finds, other in zip(ended, greedy(decoder, features, longest), strict=True):
            if other.ended and all(other.tokens != found.tokens for found in finds):
                finds.append(other)
    return [sorted(e, key=lambda found: -found.log_prob)[:width] for e in ended]


def _settled(ended: list[Found], best_alive: float, width: int) -> bool:
    """No living beginning can still overtake: log-probabilities only fall."""
    return len(ended) >= width and sorted(f.log_prob for f in ended)[-width] >= best_alive
