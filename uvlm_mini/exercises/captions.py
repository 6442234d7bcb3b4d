"""Checkers for the exercises of chapter 0: a caption's score, a caption that is alike and false, and where left ends.

print(check_score(my_score))
print(check_alike((a_false_caption, a_true_caption)))
print(check_relation(my_relation))
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from . import Verdict
from .attempt import Hint, expect_array, expect_close, expect_function, judged

SCENE = 28  # of the test split: the first picture of the chapter
TIMES = 2  # how far the false caption has to be ahead
TURNED = {"left": "right", "right": "left", "above": "below", "below": "above"}


@judged(seconds=10)
def check_score(score: Callable[[Sequence[float]], float]) -> Verdict:
    """Judge a function that scores a caption by the probabilities of its words.

    Parameters
    ----------
    score : from the probabilities of all words of a caption, the end mark's among them, to its log-probability.

    Notes
    -----
    Source: chapter 0, exercise 1.
    """
    expect_function(score, "chances")
    pair = [0.5, 0.25]
    found = float(expect_array(score(list(pair)), (), "the score of two words of 50% and 25%"))
    whole = math.log(0.125)
    known = {
        0.125: "that is their probability; its logarithm is wanted",
        math.log2(0.125): "that is a logarithm to the base 2; the natural one is wanted",
        math.log10(0.125): "that is a logarithm to the base 10; the natural one is wanted",
        -whole: "the sign is turned: the logarithm of a probability is never above 0",
        whole / 2: "that is the mean; the sum is wanted, in which a longer caption counts as less likely",
        sum(pair): "that is the sum of the probabilities; their logarithms are to be added",
    }
    for value, why in known.items():
        if math.isclose(found, value, rel_tol=1e-4):
            raise Hint(f"of two words of 50% and 25% it makes {found:.3g}: {why}.")
    expect_close(found, whole, "the score of two words of 50% and 25%", rtol=1e-4)
    chances = np.random.default_rng(0).uniform(0.01, 1, 14)
    expect_close(score(chances.tolist()), np.log(chances).sum(), "the score of fourteen words", rtol=1e-4)
    with np.errstate(divide="ignore"):
        long = float(expect_array(score([0.01] * 400), (), "the score of 400 words of 1%"))
    if math.isinf(long):
        raise Hint("of 400 words of 1% it makes minus infinity: their product is too small for a float, "
                   "so add the logarithms instead.")  # fmt: skip
    expect_close(long, 400 * math.log(0.01), "the score of 400 words of 1%", rtol=1e-4)
    return Verdict(True, "the logarithms are added, and a caption of 400 words is no trouble.")


@judged(seconds=30)
def check_alike(pair: tuple[str, str]) -> Verdict:
    """Judge two captions of the first picture: the false one has to have a far higher BLEU-4 than the true one.

    Parameters
    ----------
    pair : the false caption and the true one.

    Returns
    -------
    Verdict
        `measured` is how many times the false one's BLEU-4 is that of the true one.

    Notes
    -----
    Source: chapter 0, exercise 2. "True" means right in the chapter's sense: all things with their colours, and
    nothing false.
    """
    from ..datasets import scenes
    from ..metrics import agreement, truth

    if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
        raise Hint("a pair of captions is wanted, first the false one and then the true one.")
    if not all(isinstance(caption, str) for caption in pair):
        raise Hint("both captions have to be texts.")
    scene = scenes.scene("test", SCENE)
    references = scene.captions(f"captions/test/{SCENE}")
    false, true = (truth(caption, scene) for caption in pair)
    if not false.claimed:
        raise Hint("the first caption claims nothing that could be read; use the words of the references.")
    if false.claimed == false.true:
        raise Hint("nothing in the first caption is false; a thing that is left out does not make it so.")
    if true.claimed != true.true:
        wrong = ", ".join(category for category, n in true.claimed.items() if true.true[category] < n)
        raise Hint(f"the second caption says something false, of its {wrong}.")
    if not true.right:
        raise Hint("the second caption is not right: it has to name both things, each with its colour.")
    ahead, behind = (agreement([c], [references], java=False)[0]["BLEU-4"] for c in pair)
    told = f"BLEU-4 is {ahead:.2f} for the false caption and {behind:.2f} for the true one"
    if ahead < TIMES * behind:
        raise Hint(f"{told}, and {TIMES} times as much is wanted: keep the references' runs of words in the first, "
                   "and avoid them in the second.")  # fmt: skip
    return Verdict(True, f"{told}.", ahead / behind if behind > 0 else math.inf)


@judged(seconds=10)
def check_relation(relation: Callable[[int, int], str | None]) -> Verdict:
    """Judge a function that says how a thing stands to another one.

    Parameters
    ----------
    relation : from (dx, dy), by how many pixels the other thing's centre lies further right and further down, to
        "left", "right", "above", "below" or None.

    Notes
    -----
    Source: chapter 0, exercise 4. It is compared with `Thing.stands` on a grid; where one distance is exactly half as
    large again as the other, either answer is taken.
    """
    from ..datasets import scenes

    expect_function(relation, "dx, dy")
    thing = replace(scenes.scene("test", SCENE).things[0], box=16, x=24, y=24)
    grid = [(dx, dy) for dx in range(-24, 25, 4) for dy in range(-24, 25, 4)]
    clear = [(dx, dy) for dx, dy in grid if 2 * abs(dx) != 3 * abs(dy) and 2 * abs(dy) != 3 * abs(dx)]
    wrong = []
    for dx, dy in clear:
        found, wanted = relation(dx, dy), thing.stands(replace(thing, x=thing.x + dx, y=thing.y + dy))
        if found is not None and found not in TURNED:
            raise Hint(
                f"for ({dx}, {dy}) it gives {str(found)[:40]!r}, which is none of the four relations and not None."
            )
        if found != wanted:
            wrong.append((dx, dy, found, wanted))
    if not wrong:
        return Verdict(True, f"as `Thing.stands` has it, in {len(clear)} places.")
    dx, dy, found, wanted = wrong[0]
    told = f"for ({dx}, {dy}) it gives {found!r}, and {wanted!r} is wanted"
    if all(one is not None and TURNED[one] == other for *_, one, other in wrong if other is not None):
        sides = {other for *_, other in wrong}
        if sides == {"above", "below"}:
            raise Hint(f"{told}: pictures count from the top, so that a larger y is further down.")
        if {"left", "right"} <= sides:
            raise Hint(f"{told}: the answer is about the first thing, and dx says where the other one is.")
    if all(other is None for *_, other in wrong):
        raise Hint(f"{told}: neither distance is half as large again as the other.")
    raise Hint(f"{told}.")
