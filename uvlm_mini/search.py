"""From logits to words: greedy search, beam search and sampling.

All score a caption by the sum of its words' log-probabilities, EOS included, without dividing by its length.
Padding and BOS are never chosen. Chapter 7 derives the parts, and writes both searches plainly, for one picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .datasets.vocab import BOS, EOS, PAD
from .decoder import Decoder


@dataclass(frozen=True)
class Found:
    """A caption as numbers without BOS and EOS, its log-probability, and whether it ended by itself."""

    tokens: list[int]
    log_prob: float
    ended: bool


@dataclass(frozen=True)
class Tried:
    """A beginning that beam search has looked at.

    tokens, log_prob : its words, without BOS and with EOS where it ended, and its log-probability.
    fate : "kept", to be gone on with; "ended", put aside as a caption; "dropped", since others were likelier or there
        was no room; "greedy", what greedy search found and the beam did not: it competes all the same.
    """

    tokens: list[int]
    log_prob: float
    fate: str


def pick(parts: Any, rows: Tensor) -> Any:
    """The rows of every tensor of a named tuple."""
    return type(parts)(*(part[rows] for part in parts))


def log_probs(logits: Tensor) -> Tensor:
    """(..., V) logits -> (..., V) log-probabilities of the words that may follow: padding and BOS never do."""
    logits = logits.clone()
    logits[..., [PAD, BOS]] = -torch.inf
    return torch.log_softmax(logits, -1)


def _longest(longest: int) -> int:
    if longest < 1:
        raise ValueError(f"A caption needs room for one word at least, not {longest}.")
    return longest


def _found(tokens: list[Tensor], total: Tensor, done: Tensor) -> list[Found]:
    """Captions from (B,) words of every step, (B,) log-probabilities, and (B,) whether they ended."""
    rows = torch.stack(tokens, 1).tolist()
    ends = zip(rows, total.tolist(), done.tolist(), strict=True)
    return [Found(row[: row.index(EOS)] if end else row[:-1], p, end) for row, p, end in ends]


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
    token = torch.full((batch,), BOS, device=features.device)
    tokens, total, done = [], torch.zeros(batch).to(token.device), torch.zeros_like(token, dtype=torch.bool)
    for step in range(_longest(longest) + 1):  # one more for EOS
        logits, state = decoder.step(token, context, state)
        best, token = log_probs(logits).max(-1)  # (B,), (B,)
        unused = done | (token != EOS) if step == longest else done  # there is no room for another word
        total += torch.where(unused, 0.0, best)
        tokens.append(torch.where(done, EOS, token))
        done = done | (token == EOS)
        if done.all():
            break
    return _found(tokens, total, done)


@torch.inference_mode()
def beam(
    decoder: Decoder,
    features: Tensor,
    width: int = 3,
    longest: int = 32,
    watch: Callable[[list[list[Tried]]], None] | None = None,
) -> list[list[Found]]:
    """The likeliest captions that beam search finds for each picture, at most `width`, the best first.

    Greedy search's caption is among those that are compared: the best is never less likely than that.

    Parameters
    ----------
    decoder : in eval mode.
    features : (B, C, h, w), of B pictures.
    width : captions kept at every step; 1 is greedy search. The paper uses 3.
    longest : words a caption may have.
    watch : called after every step with what was tried for each picture, the likeliest first, and at the end with
        greedy search's captions, where they were added.

    Raises
    ------
    ValueError : a width or a length under 1.
    """
    if width < 1:
        raise ValueError(f"A beam needs a width of 1 at least, not {width}.")
    batch = len(features)
    rows = torch.arange(batch).repeat_interleave(width)  # (B W,) picture of each row
    context = pick(decoder.prepare(features), rows)
    state = decoder.start(context)
    token = torch.full((batch * width,), BOS)
    total = torch.full((batch, width), -torch.inf)
    total[:, 0] = 0.0  # all rows of a picture are alike at first: only one may grow
    paths = torch.zeros(batch, width, 0, dtype=torch.long)
    ended: list[list[Found]] = [[] for _ in range(batch)]
    for step in range(_longest(longest) + 1):
        logits, state = decoder.step(token, context, state)
        best, parent, word = grow(logits, total)  # (B, 2W) each
        kept, ends = sift(word)  # (B, W) each
        for b, rank in (ends & best[:, :width].isfinite()).nonzero().tolist():
            ended[b].append(Found(paths[b, parent[b, rank]].tolist(), float(best[b, rank]), True))
        if watch is not None:
            watch(_tried(paths, best, parent, word, kept[:, :0] if step == longest else kept))
        if step == longest:  # no room for another word: what has not ended is cut off
            break
        total, parent, word = (part.gather(1, kept) for part in (best, parent, word))  # (B, W)
        paths = torch.cat([paths.gather(1, parent[..., None].expand(-1, -1, step)), word[..., None]], 2)
        state, token = pick(state, (torch.arange(batch)[:, None] * width + parent).flatten()), word.flatten()
        if all(settled(e, t, width) for e, t in zip(ended, total[:, 0].tolist(), strict=True)):
            break
    for b in range(batch):
        if not ended[b]:  # nothing came to its end in time: the likeliest beginnings are all there is
            rows_of = zip(paths[b].tolist(), total[b].tolist(), strict=True)
            ended[b] = [Found(path, p, False) for path, p in rows_of if p > -torch.inf]
    if width > 1:  # a beam may drop the beginning that greedy search follows, though it ends better than all it kept
        late: list[list[Tried]] = [[] for _ in range(batch)]
        for finds, other, more in zip(ended, greedy(decoder, features, longest), late, strict=True):
            if other.ended and all(other.tokens != found.tokens for found in finds):
                finds.append(other)
                more.append(Tried([*other.tokens, EOS], other.log_prob, "greedy"))
        if watch is not None:
            watch(late)
    return [sorted(e, key=lambda found: -found.log_prob)[:width] for e in ended]


def grow(logits: Tensor, total: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The 2W likeliest ways to go on with W beginnings by one word: twice as many, since half of them may end.

    Parameters
    ----------
    logits : (B W, V) of the next word.
    total : (B, W) log-probabilities of the beginnings.

    Returns
    -------
    (B, 2W) log-probabilities, the largest first; (B, 2W) places of the beginnings they grow from; (B, 2W) words.
    """
    batch, width = total.shape
    grown = total[..., None] + log_probs(logits).view(batch, width, -1)  # (B, W, V)
    words = grown.shape[-1]
    best, index = grown.flatten(1).topk(2 * width, dim=1)
    return best, index // words, index % words


def sift(word: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 2W) words that `grow` found -> (B, W) places of the first W that go on, (B, W) whether the first W end.

    An end below the first W is lost: as many others are likelier.
    """
    width = word.shape[1] // 2
    ends = word == EOS
    return ends.to(torch.int8).argsort(dim=1, stable=True)[:, :width], ends[:, :width]


def _tried(paths: Tensor, best: Tensor, parent: Tensor, word: Tensor, kept: Tensor) -> list[list[Tried]]:
    """What a step of the beam has tried, by picture: (B, W, t) beginnings, (B, 2W) that grew from them."""
    found: list[list[Tried]] = [[] for _ in range(len(best))]
    for (b, rank), p in zip(best.isfinite().nonzero().tolist(), best[best.isfinite()].tolist(), strict=True):
        if word[b, rank] == EOS:
            fate = "ended" if rank < paths.shape[1] else "dropped"
        else:
            fate = "kept" if rank in kept[b] else "dropped"
        found[b].append(Tried([*paths[b, parent[b, rank]].tolist(), int(word[b, rank])], p, fate))
    return found


def settled(ended: list[Found], best_alive: float, width: int) -> bool:
    """No living beginning can still overtake: log-probabilities only fall."""
    return len(ended) >= width and sorted(f.log_prob for f in ended)[-width] >= best_alive


@torch.inference_mode()
def sample(
    decoder: Decoder,
    features: Tensor,
    number: int = 1,
    temperature: float = 1.0,
    top_p: float = 1.0,
    generator: torch.Generator | None = None,
    longest: int = 32,
) -> list[list[Found]]:
    """Captions drawn by lot, word by word, `number` of each picture in the order in which they were drawn.

    A caption takes longest + 1 random numbers, used or not, and those of a picture come one after the other: pictures
    in a batch get the captions that they get one by one from the same generator.

    Parameters
    ----------
    decoder : in eval mode.
    features : (B, C, h, w), of B pictures.
    number : captions to draw of each.
    temperature : what log-probabilities are divided by before the lot is drawn. Below 1 likely words become likelier
        still, near 0 this is greedy search; above 1 all words draw nearer to each other.
    top_p : share of the probability, after tempering, that the likeliest words must hold together to be the only ones
        in the draw; see `nucleus`. 1 leaves all in.
    generator : where the random numbers come from; None: torch's own.
    longest : words a caption may have.

    Returns
    -------
    For each picture its captions. Their log-probabilities are those under the model's own distribution, not under the
    tempered or cut one, so that they compare with what the searches find.

    Raises
    ------
    ValueError : no caption asked for, no room for a word, a temperature that is no number above 0, or a share
        outside of (0, 1].
    """
    if number < 1:
        raise ValueError(f"Sampling draws one caption a picture at least, not {number}.")
    batch = len(features) * number
    context = pick(decoder.prepare(features), torch.arange(len(features)).repeat_interleave(number))
    state = decoder.start(context)
    token = torch.full((batch,), BOS)
    lots = torch.rand(batch, _longest(longest) + 1, generator=generator, dtype=torch.float64)
    tokens, total, done = [], torch.zeros(batch), torch.zeros(batch, dtype=torch.bool)
    for step in range(longest + 1):  # one more for EOS
        logits, state = decoder.step(token, context, state)
        logs = log_probs(logits)
        token = draw(*nucleus(temper(logs, temperature), top_p), lots[:, step])
        own = logs.gather(1, token[:, None])[:, 0]
        unused = done | (token != EOS) if step == longest else done  # there is no room for another word
        total += torch.where(unused, 0.0, own)
        tokens.append(torch.where(done, EOS, token))
        done = done | (token == EOS)
        if done.all():
            break
    found = _found(tokens, total, done)
    return [found[first : first + number] for first in range(0, batch, number)]


def temper(logs: Tensor, temperature: float) -> Tensor:
    """(B, V) log-probabilities -> (B, V) probabilities, in float64, proportional to exp(logs / temperature)."""
    if not 0 < temperature < math.inf:
        raise ValueError(f"A temperature is a finite number above 0, not {temperature}; near 0 it is greedy search.")
    logs = logs.double()
    return torch.softmax((logs - logs.amax(-1, keepdim=True)) / temperature, -1)  # at most 0: no overflow


def nucleus(chances: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """The smallest set of likeliest words whose probability reaches `top_p`.

    Parameters
    ----------
    chances : (B, V) probabilities.
    top_p : above 0, up to 1.

    Returns
    -------
    (B, V) probabilities, the largest first, with those outside of the set put to 0; and the (B, V) words they are of.
    Of equally likely words the one with the lower number comes first.
    """
    if not 0 < top_p <= 1:
        raise ValueError(f"A nucleus holds a share above 0 and up to 1 of the probability, not {top_p}.")
    chances, words = chances.sort(dim=-1, descending=True, stable=True)
    before = F.pad(chances.cumsum(-1)[..., :-1], (1, 0))  # what the likelier words hold together
    return torch.where(before < top_p, chances, 0.0), words


def draw(chances: Tensor, words: Tensor, lots: Tensor) -> Tensor:
    """Draw a word a row: (B, V) chances, the largest first, of (B, V) words, by (B,) lots from [0, 1) -> (B,) words."""
    passed = chances.cumsum(-1)
    place = (passed <= lots[:, None] * passed[:, -1:]).sum(-1)
    last = (chances > 0).sum(-1) - 1  # where rounding leads past the end
    return words.gather(-1, place.minimum(last)[:, None])[:, 0]
