"""The checkers of chapter 0 take the chapter's own answers, and say of wrong ones what is wrong; the book's page on
checkers shows what they say."""

import math
import re

import numpy as np
import pytest

from tests.answers import withstands
from tests.chapter_contract import solved
from tests.conftest import ROOT
from uvlm_mini.exercises.captions import check_alike, check_relation, check_score

RIGHT = solved(0)


def product(chances):
    """Right on paper, and 0 in a float where there are many."""
    return np.log(np.prod(chances))


SCORES = {
    "that is their probability": np.prod,
    "base 2": lambda chances: np.log2(chances).sum(),
    "base 10": lambda chances: np.log10(chances).sum(),
    "the sign": lambda chances: -np.log(chances).sum(),
    "that is the mean": lambda chances: np.log(chances).mean(),
    "sum of the probabilities": sum,
    "minus infinity": product,
    "is -2, and -2.07944 is wanted": lambda chances: -2.0,
    "fourteen words": lambda chances: math.log(0.125),
}


def test_a_score_is_judged() -> None:
    """Also one by math.log."""
    withstands(check_score, RIGHT["score"], SCORES.values())
    assert check_score(lambda chances: sum(math.log(p) for p in chances))


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("says", SCORES)
def test_a_wrong_score_is_told_why(says: str) -> None:
    """The usual ones by name."""
    assert says in check_score(SCORES[says]).says


FALSE, TRUE = RIGHT["two"]
PAIRS = {
    "a pair of captions": FALSE,
    "have to be texts": (FALSE, 3),
    "nothing that could be read": ("lovely weather", TRUE),
    "nothing in the first caption is false": (TRUE, FALSE),
    "false, of its relations": (FALSE, FALSE),
    "has to name both things": (FALSE, "a pink butterfly"),
    "as much is wanted": (FALSE, "there is a pink butterfly to the left of a yellow flower in the snow"),
}


def test_a_false_caption_and_a_true_one_are_judged() -> None:
    """As a list, too; `measured` is how far the false one is ahead."""
    withstands(check_alike, RIGHT["two"], PAIRS.values())
    verdict = check_alike([FALSE, TRUE])
    assert verdict and verdict.measured is not None and verdict.measured > 2


@pytest.mark.parametrize("says", PAIRS)
def test_a_wrong_pair_is_told_why(says: str) -> None:
    """What is no pair, not false, not true, not right, or not far enough ahead."""
    assert says in check_alike(PAIRS[says]).says


def turned(**ways):
    """The right answer with some words in the place of others."""
    return lambda dx, dy: ways.get(RIGHT["relation"](dx, dy), RIGHT["relation"](dx, dy))


def nearest(dx, dy):
    """An answer everywhere."""
    return RIGHT["relation"](dx, 0) if abs(dx) > abs(dy) else RIGHT["relation"](0, dy)


RELATIONS = {
    "pictures count from the top": turned(above="below", below="above"),
    "where the other one is": turned(left="right", right="left"),
    "about the first thing": turned(left="right", right="left", above="below", below="above"),
    "neither distance": nearest,
    "none of the four": turned(left="beside"),
    "gives None, and 'right' is wanted": lambda dx, dy: None,
}


def test_a_relation_is_judged() -> None:
    """The word for it, in every direction."""
    withstands(check_relation, RIGHT["relation"], RELATIONS.values())


@pytest.mark.parametrize("says", RELATIONS)
def test_a_wrong_relation_is_told_why(says: str) -> None:
    """Signs, the wrong axis, and a word that is none."""
    assert says in check_relation(RELATIONS[says]).says


def test_the_page_on_checkers_shows_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Each piece of code is run, and printed what stands below it."""
    page = (ROOT / "book" / "exercises.md").read_text(encoding="utf8")
    names: dict[str, object] = {}
    pairs = re.findall(
        r"```python\n(.*?)```\n\n```(?:text|{code-block} text\n:class: wrapped\n)\n(.*?)```", page, re.DOTALL
    )
    assert len(pairs) == page.count("```python") == 2
    for code, printed in pairs:
        exec(code, names)
        assert capsys.readouterr().out == printed
