"""Checkers for the exercises of chapter 7: a lost beginning, a bound, tamed chances, and a lie that BLEU likes.

    print(check_lost(garden))
    print(check_bound(mean_at_best))
    print(check_chances(chances_drawn))
    print(check_lie(lie))
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..datasets.vocab import tokenize
from ..search import nucleus, temper
from . import Verdict
from .attempt import Hint, expect_function, judged
from .mistakes import expect_unlike

END = "<eos>"
MOST_LINES = 200  # of a table
Table = dict[str, dict[str, float]]


@judged(seconds=10)
def check_lost(garden: Table) -> Verdict:
    """Judge a table on which a beam of 2 loses the beginning that greedy search follows, and is the worse for it.

    Parameters
    ----------
    garden : for a beginning ("" for none, then words with a space between) the probabilities of the words that may
        follow. A beginning without a line of its own is a caption that ends there.

    Notes
    -----
    Source: chapter 7, exercise 1. The beam is the chapter's, without greedy search's caption among its own.
    """
    _expect_table(garden)
    by_greedy, by_beam = _greedy(garden), _beam(garden, 2)
    said, chance = by_greedy
    other, best = by_beam
    if said == other:
        raise Hint(
            f"a beam of 2 finds greedy search's {said!r}, too; at some word two other beginnings must be likelier than "
            "all that greedy's grows to."
        )
    if not best < chance * (1 - 1e-9):
        raise Hint(
            f"the beam's {other!r} has {best:.4f}, greedy search's {said!r} only {chance:.4f}; what the beam keeps "
            "must lose more later on."
        )
    return Verdict(True, f"greedy search finds {said!r} ({chance:.4f}), the beam {other!r} ({best:.4f}).")


def _expect_table(table: Any) -> None:
    if not isinstance(table, dict) or not all(isinstance(row, dict) for row in table.values()):
        raise Hint("a table is wanted: a dict from beginnings to dicts from words to probabilities.")
    if "" not in table:
        raise Hint('the table has no line for "", the beginning of all beginnings.')
    if len(table) > MOST_LINES:
        raise Hint(f"the table has {len(table)} lines; {MOST_LINES} at most are looked at, and a few will do.")
    for said, row in table.items():
        if not row or not all(isinstance(p, int | float) and 0 < p <= 1 for p in row.values()):
            raise Hint(f"the line {said!r} must hold probabilities above 0, and up to 1.")
        if abs(sum(row.values()) - 1) > 1e-6:
            raise Hint(f"the probabilities of the line {said!r} add up to {sum(row.values()):.4g}, and not to 1.")
        if not all(isinstance(word, str) and len(word.split()) == 1 for word in row):
            raise Hint(f"the line {said!r} has something else than single words.")


def _grown(table: Table, said: str, chance: float) -> list[tuple[float, str, str]]:
    """All that a beginning grows to: probability, beginning, word."""
    return [(chance * p, said, word) for word, p in table.get(said, {END: 1.0}).items()]


def _greedy(table: Table) -> tuple[str, float]:
    said, chance, word = "", 1.0, ""
    while word != END:
        said = f"{said} {word}".strip()
        chance, _, word = max(_grown(table, said, chance), key=lambda one: one[0])
    return said, chance


def _beam(table: Table, width: int) -> tuple[str, float]:
    alive = [("", 1.0)]
    ended: list[tuple[str, float]] = []
    while alive and not (len(ended) >= width and sorted(p for _, p in ended)[-width] >= alive[0][1]):
        tried = sorted((one for said, p in alive for one in _grown(table, said, p)), key=lambda one: -one[0])
        tried = tried[: 2 * width]
        ended += [(said, p) for p, said, word in tried[:width] if word == END]
        alive = [(f"{said} {word}".strip(), p) for p, said, word in tried if word != END][:width]
    return max(ended, key=lambda one: one[1])


@judged(seconds=10)
def check_bound(mean_at_best: Callable[[float, int, int], Any]) -> Verdict:
    """Judge a function that bounds the mean log-probability that a beginning can still reach.

    Parameters
    ----------
    mean_at_best : from the sum of a beginning's log-probabilities, its words, and the words that a caption may have, to
        the largest mean over the words of any caption that begins so, its end mark counted as a word.

    Notes
    -----
    Source: chapter 7, exercise 2.
    """
    expect_function(mean_at_best, "total, said, longest")
    for total, said, longest in ((-2.0, 3, 32), (-7.5, 11, 20), (-0.5, 1, 8), (-4.0, 8, 8)):
        mistakes = {
            "it ends at once; words to come that are certain cost nothing and make the mean better still.": (
                total / (said + 1)
            ),
            "it is the mean so far; words to come that are certain would raise it.": total / said,
            "the end mark is a word, too: the longest caption is a mean over one more.": total / longest,
            "the words to come are counted beside a whole caption; the beginning is part of it.": (
                total / (said + longest + 1)
            ),
            "it divides by the words to come alone; the mean is over all words.": (
                total / max(longest - said, 1)
            ),
            "the mean of a beginning that has a sum below 0 cannot reach 0.": 0.0,
            "it is the sum; divide it by the number of words that the caption can have at most.": total,
        }  # fmt: skip
        name = f"the best mean after {said} words with the sum {total:g}, of captions up to {longest} words,"
        expect_unlike(mean_at_best(total, said, longest), total / (longest + 1), name, mistakes)
    return Verdict(True, "certain words up to the greatest length: no caption has a larger mean.")


@judged(seconds=10)
def check_chances(chances_drawn: Callable[[Tensor, float, float], Any]) -> Verdict:
    """Judge a function that says how often each word is drawn with a temperature and a nucleus.

    Parameters
    ----------
    chances_drawn : from (V,) log-probabilities, a temperature and a share to (V,) chances in the order of the words.

    Notes
    -----
    Source: chapter 7, exercise 3. What is right is what `uvlm_mini.search.sample` draws with.
    """
    expect_function(chances_drawn, "logs, temperature, top_p")
    chances = torch.tensor([0.05, 0.4, 0.15, 0.3, 0.1], dtype=torch.float64)
    logs = chances.log()
    for temperature, top_p in ((1.0, 1.0), (1.0, 0.6), (0.5, 1.0), (2.0, 0.5), (0.5, 0.75), (1.5, 0.85)):
        tempered = temper(logs, temperature)
        right = _inside(tempered, top_p)
        by_size = right.sort(descending=True).values
        first = _inside(chances, top_p) ** (1 / temperature)
        mistakes = {
            "the chances add up to less than 1; what the nucleus leaves shares all of the probability.": (
                torch.where(right > 0, tempered, 0.0)
            ),
            "the chances are sorted; give them in the order of the words.": by_size,
            "the nucleus is taken before the temperature; `sample` tempers first, and takes the share of that.": (
                first / first.sum()
            ),
            "log-probabilities are multiplied by the temperature; divide by it.": _inside(
                temper(logs, 1 / temperature), top_p
            ),
            "the word that completes the share is left out; what is before it has not reached the share.": (
                _inside(tempered, top_p, completed=False)
            ),
            "the nucleus is left out; words beyond the share are never drawn.": tempered,
            "the temperature is left out.": _inside(chances, top_p),
            "these are logarithms; probabilities are wanted.": right.clamp_min(1e-300).log(),
        }
        name = f"the chances at temperature {temperature:g} and top-p {top_p:g}"
        expect_unlike(chances_drawn(logs.clone(), temperature, top_p), right, name, mistakes, rtol=1e-4)
    return Verdict(True, "six settings give the chances that the package draws with.")


def _inside(chances: Tensor, top_p: float, completed: bool = True) -> Tensor:
    """What a nucleus leaves, in the order of the words and adding up to 1; or without the word that completes it."""
    kept, words = nucleus(chances, top_p)
    if not completed and int((kept > 0).sum()) > 1 and top_p < 1:
        kept = torch.where(torch.arange(len(kept)) < (kept > 0).sum() - 1, kept, 0.0)
    kept = torch.zeros_like(kept).scatter(0, words, kept)
    return kept / kept.sum()


PICTURE = ("val", 46)
ENOUGH = 0.9  # of BLEU-4


@judged(seconds=10)
def check_lie(lie: str) -> Verdict:
    """Judge a caption of the chapter's picture that is false and that BLEU-4 puts above 90 all the same.

    Parameters
    ----------
    lie : its words.

    Notes
    -----
    Source: chapter 7, exercise 4.
    """
    from pycocoevalcap.bleu.bleu import Bleu

    from ..datasets.scenes import scene
    from ..metrics import truth

    if not isinstance(lie, str):
        raise Hint("a caption is wanted: words in quotes.")
    here = scene(*PICTURE)
    judges = here.captions("captions/val/46")[:4]
    words = tokenize(lie)
    found = truth(lie, here)
    score = Bleu(4).compute_score({0: judges}, {0: [" ".join(words)]}, verbose=0)[0][3]
    if score <= ENOUGH:
        raise Hint(f"its BLEU-4 is {100 * score:.1f}, and more than 90 is wanted; {_lost(words, judges)}")
    if found.true == found.claimed:
        raise Hint(f"its BLEU-4 is {100 * score:.1f}, but all that it claims is true; make it claim something false.")
    false = ", ".join(name for name in found.claimed if found.claimed[name] > found.true[name])
    return Verdict(True, f"BLEU-4 gives it {100 * score:.1f}, and there is something false in its {false}.")


def _lost(words: list[str], judges: list[str]) -> str:
    """Where a caption loses BLEU-4, in words."""

    def runs(line: list[str], n: int) -> Counter[tuple[str, ...]]:
        return Counter(tuple(line[i : i + n]) for i in range(len(line) - n + 1))

    for run in runs(words, 4):
        if not any(run in runs(tokenize(judge), 4) for judge in judges):
            return f"no judge has the run {' '.join(run)!r}."
    if len(words) < min(len(tokenize(judge)) for judge in judges):
        return "it is shorter than every judge."
    return "all its runs of four occur, but some words more often than in any one judge."
