"""The checkers of chapter 7 take what the chapter does, and say of other answers what is wrong with them."""

import pytest
import torch

from tests.answers import withstands
from tests.solutions import solution
from uvlm_mini.exercises.search import check_bound, check_chances, check_lie, check_lost
from uvlm_mini.search import nucleus, temper

CHAPTER = "07_search_and_scores"

NAPKIN = {
    "": {"a": 0.55, "there": 0.45},
    "a": {"cat": 0.4, "kitty": 0.35, "small": 0.25},
    "a small": {"cat": 1.0},
    "there": {"is": 1.0},
    "there is": {"a": 1.0},
    "there is a": {"cat": 0.72, "kitty": 0.28},
}
TABLES = [
    (NAPKIN, "'there is a cat' has 0.3240"),
    ({"": {"a": 0.9, "one": 0.1}}, "finds greedy search's 'a', too"),
    ({"": {"a": 0.5, "one": 0.4}}, "add up to 0.9"),
    ({"a": {"b": 1.0}}, 'no line for ""'),
    ({"": {"a": 1.5, "b": -0.5}}, "above 0"),
    ({"": {"a cat": 1.0}}, "single words"),
    ({"": {f"w{i}": 1 / 300 for i in range(300)}} | {f"w{i}": {"x": 1.0} for i in range(300)}, "has 301 lines"),
    ([{"a": 1.0}], "a dict from beginnings"),
]


def test_a_table_on_which_the_beam_is_worse() -> None:
    """The chapter's, and tables that are none or on which nothing is lost."""
    withstands(check_lost, solution(CHAPTER, "garden"), [wrong for wrong, _ in TABLES])


@pytest.mark.parametrize(("wrong", "says"), TABLES)
def test_what_a_table_lacks_is_told(wrong, says) -> None:
    """Each by its own sentence."""
    assert says in check_lost(wrong).says


BOUNDS = [
    (lambda total, said, longest: total / (said + 1), "ends at once"),
    (lambda total, said, longest: total / said, "mean so far"),
    (lambda total, said, longest: total / longest, "end mark is a word"),
    (lambda total, said, longest: total / (said + longest + 1), "beside a whole caption"),
    (lambda total, said, longest: total / max(longest - said, 1), "words to come alone"),
    (lambda total, said, longest: 0.0, "cannot reach 0"),
    (lambda total, said, longest: total, "it is the sum"),
]


def test_bound_of_a_mean() -> None:
    """The chapter's answer, which no caption exceeds; and others."""
    right = solution(CHAPTER, "mean_at_best")
    withstands(check_bound, right, [wrong for wrong, _ in BOUNDS])
    assert right(-3.0, 2, 5) == max(-3.0 / (words + 1) for words in range(2, 6))


@pytest.mark.parametrize(("wrong", "says"), BOUNDS)
def test_mistakes_of_the_bound_are_named(wrong, says) -> None:
    """Each by its own sentence."""
    assert says in check_bound(wrong).says


def cut(chances, top_p, divide=True, ordered=True):
    kept, words = nucleus(chances, top_p)
    kept = torch.zeros_like(kept).scatter(0, words, kept) if ordered else kept
    return kept / kept.sum() if divide else kept


def without_the_last(logs, temperature, top_p):
    kept, words = temper(logs, temperature).sort(descending=True)
    kept = torch.where((kept.cumsum(0) < top_p) | (torch.arange(5) == 0) | (top_p == 1), kept, 0.0)
    return (kept / kept.sum())[words.argsort()]


CHANCES = [
    (lambda x, t, p: cut(temper(x, t), p, divide=False), "add up to less than 1"),
    (lambda x, t, p: cut(temper(x, t), p, ordered=False), "in the order of the words"),
    (lambda x, t, p: temper(cut(x.exp(), p).log(), t), "before the temperature"),
    (lambda x, t, p: cut(temper(x, 1 / t), p), "divide by it"),
    (lambda x, t, p: temper(x, t), "the nucleus is left out"),
    (lambda x, t, p: cut(x.exp(), p), "the temperature is left out"),
    (without_the_last, "completes the share"),
    (lambda x, t, p: x[:2], "has the shape (2,)"),
]


def test_tamed_chances() -> None:
    """The chapter's answer, and others."""
    withstands(check_chances, solution(CHAPTER, "chances_drawn"), [wrong for wrong, _ in CHANCES])


@pytest.mark.parametrize(("wrong", "says"), CHANCES)
def test_mistakes_of_the_chances_are_named(wrong, says) -> None:
    """Each by its own sentence."""
    assert says in check_chances(wrong).says


LIES = [
    ("there is a white cat to the left of a blue star in a room", "all that it claims is true"),
    ("there is a white cat to the right of a blue star in a room", "has the run 'cat to the right'"),
    ("a white cat to the left of a blue star in a room there is a white cat to the left of a blue star", "more often"),
    ("a white cat", "shorter than every judge"),
    ("there is a red dog on the beach", "no judge has the run 'there is a red'"),
    (12, "words in quotes"),
]


def test_a_lie_that_bleu_likes() -> None:
    """The chapter's, and truths and clumsy lies."""
    pytest.importorskip("pycocoevalcap")
    withstands(check_lie, solution(CHAPTER, "lie"), [wrong for wrong, _ in LIES])


@pytest.mark.parametrize(("wrong", "says"), LIES)
def test_why_a_lie_fails_is_told(wrong, says) -> None:
    """Each by its own sentence."""
    pytest.importorskip("pycocoevalcap")
    assert says in check_lie(wrong).says
