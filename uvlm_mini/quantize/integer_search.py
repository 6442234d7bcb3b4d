"""From integer logits to words: log-softmax, greedy search and beam search without floating point.

Scores are logarithms to base 2 in Q16, int32: a unit is 2^-16 bit. As in search.py, all score a caption by the sum over
its words, EOS included, without dividing by the length; padding and BOS are never chosen; what greedy search found
competes with the beam. Ties are decided so that C decides them alike: the beginning with the lower place in the beam
goes first, then the word with the lower number; of two equally good captions the one that ended first goes first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..datasets.vocab import BOS, EOS, PAD
from .fixed import PLACES, logarithm, power, wide

FLOOR = -(2**23)  # 128 bits: no word is called less likely
DEAD = -(2**30)  # the score of a row of the beam that has no beginning
LONGEST = 126  # words: so many FLOORs and an EOS are still above DEAD
NEVER = [PAD, BOS]

State = dict[str, np.ndarray]
Step = Callable[[np.ndarray, State, State], tuple[np.ndarray, State]]  # words, context, state -> logits, state


@dataclass(frozen=True)
class Found:
    """A caption as numbers without BOS and EOS, its score in units of 2^-16 bit, and whether it ended by itself."""

    tokens: list[int]
    score: int
    ended: bool

    @property
    def log_prob(self) -> float:
        """The score as a natural logarithm, for display."""
        return self.score / 2**PLACES * math.log(2)


def log_softmax(logits: np.ndarray, powers: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """Logarithms to base 2 of the words' probabilities, Q16, FLOOR at least: (..., V) int32 -> (..., V).

    The sum of the powers needs 64 bits: V times 2^30. Padding and BOS get DEAD. Off by 2.7 units at most.
    """
    x = wide(logits).copy()
    x[..., NEVER] = np.iinfo(np.int64).min // 4
    below = x.max(-1, keepdims=True) - x
    total = power(np.minimum(below, 64 << PLACES), powers)
    total[..., NEVER] = 0
    whole = logarithm(total.sum(-1, keepdims=True), logs) - (30 << PLACES)
    made = np.maximum(-below - whole, FLOOR)
    made[..., NEVER] = DEAD
    return made


def pick(parts: Mapping[str, np.ndarray], rows: np.ndarray) -> State:
    """The rows of every value."""
    return {name: part[rows] for name, part in parts.items()}


def greedy(
    step: Step, context: State, state: State, longest: int, tables: tuple[np.ndarray, np.ndarray]
) -> list[Found]:
    """The likeliest word at every step, for each of B pictures.

    Parameters
    ----------
    step : takes (B,) words, context and state, gives (B, V) logits and the next state.
    context, state : of the pictures, and before the first word.
    longest : words a caption may have, up to 126.
    tables : powers and logs.
    """
    batch = len(next(iter(context.values())))
    token, done, total = np.full(batch, BOS), np.zeros(batch, bool), np.zeros(batch, np.int64)
    tokens = []
    for t in range(_longest(longest) + 1):  # one more for EOS
        logits, state = step(token, context, state)
        logs = log_softmax(logits, *tables)
        token = logs.argmax(-1)  # the first of equals
        unused = done | (token != EOS) if t == longest else done  # there is no room for another word
        total += np.where(unused, 0, logs.max(-1))
        tokens.append(np.where(done, EOS, token))
        done = done | (token == EOS)
        if done.all():
            break
    rows = np.stack(tokens, 1).tolist()
    ends = zip(rows, total.tolist(), done.tolist(), strict=True)
    return [Found(row[: row.index(EOS)] if end else row[:-1], p, end) for row, p, end in ends]


def beam(
    step: Step, context: State, state: State, width: int, longest: int, tables: tuple[np.ndarray, np.ndarray]
) -> list[list[Found]]:
    """The likeliest captions that beam search finds for each picture, at most `width`, the best first.

    Parameters
    ----------
    width : captions kept at every step.
    step, context, state, longest, tables : as for `greedy`.

    Raises
    ------
    ValueError : a width under 1, or a length out of range.
    """
    if width < 1:
        raise ValueError(f"A beam needs a width of 1 at least, not {width}.")
    batch = len(next(iter(context.values())))
    rows = np.arange(batch).repeat(width)
    wide_context, now = pick(context, rows), pick(state, rows)
    token = np.full(batch * width, BOS)
    total = np.full((batch, width), DEAD, np.int64)
    total[:, 0] = 0  # all rows of a picture are alike at first: only one may grow
    paths: list[list[list[int]]] = [[[] for _ in range(width)] for _ in range(batch)]
    ended: list[list[Found]] = [[] for _ in range(batch)]
    for t in range(_longest(longest) + 1):
        logits, now = step(token, wide_context, now)
        best, parent, word = grow(log_softmax(logits, *tables), total)  # (B, 2W) each
        for b in range(batch):
            for rank in range(width):
                if word[b, rank] == EOS and best[b, rank] > DEAD:
                    ended[b].append(Found(paths[b][parent[b, rank]], int(best[b, rank]), True))
        if t == longest:  # no room for another word: what has not ended is cut off
            break
        kept = (word == EOS).argsort(1, kind="stable")[:, :width]  # the first W that go on
        total, parent, word = (np.take_along_axis(part, kept, 1) for part in (best, parent, word))
        paths = [
            [[*paths[b][p], w] for p, w in zip(parent[b].tolist(), word[b].tolist(), strict=True)] for b in range(batch)
        ]
        now, token = pick(now, (np.arange(batch)[:, None] * width + parent).ravel()), word.ravel()
        if all(settled(e, int(best_alive), width) for e, best_alive in zip(ended, total[:, 0], strict=True)):
            break
    for b in range(batch):
        if not ended[b]:  # nothing came to its end in time: the likeliest beginnings are all there is
            alive = zip(paths[b], total[b].tolist(), strict=True)
            ended[b] = [Found(path, p, False) for path, p in alive if p > DEAD]
    if width > 1:  # a beam may drop the beginning that greedy search follows, though it ends better than all it kept
        for finds, other in zip(ended, greedy(step, context, state, longest, tables), strict=True):
            if other.ended and all(other.tokens != found.tokens for found in finds):
                finds.append(other)
    return [sorted(e, key=lambda found: -found.score)[:width] for e in ended]


def grow(logs: np.ndarray, total: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The 2W best ways to go on with W beginnings by one word: (B W, V) and (B, W) -> three times (B, 2W).

    Scores, the best first; places of the beginnings they grow from; words. A dead beginning and a word that is never
    chosen give DEAD.
    """
    batch, width = total.shape
    logs = logs.reshape(batch, width, -1)
    dead = (total[..., None] <= DEAD) | (logs <= DEAD)
    grown = np.where(dead, DEAD, total[..., None] + logs).reshape(batch, -1)  # (B, W V)
    words = logs.shape[-1]
    index = (-grown).argsort(1, kind="stable")[:, : 2 * width]
    return np.take_along_axis(grown, index, 1), index // words, index % words


def settled(ended: list[Found], best_alive: int, width: int) -> bool:
    """No living beginning can still overtake: scores only fall."""
    return len(ended) >= width and sorted(found.score for found in ended)[-width] >= best_alive


def _longest(longest: int) -> int:
    if not 1 <= longest <= LONGEST:
        raise ValueError(f"A caption has room for 1 to {LONGEST} words here, not {longest}.")
    return longest
