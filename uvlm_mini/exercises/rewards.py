"""Checkers for the exercises of chapter 6: the loss of words, the best baseline, and pay for what is true.

    print(check_surprise(mean_surprise))
    print(check_baseline(best_baseline))
    print(check_pay(pay_for_truth))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..datasets.vocab import BOS, EOS, PAD
from . import Verdict
from .attempt import Hint, expect_array, expect_function, judged
from .mistakes import expect_unlike

# Captions of four, one and two words; PAD behind the end.
LINES = torch.tensor([[BOS, 5, 6, 4, 5, EOS], [BOS, 4, EOS, PAD, PAD, PAD], [BOS, 6, 4, EOS, PAD, PAD]])
WORDS = 7


@judged(seconds=10)
def check_surprise(mean_surprise: Callable[[Tensor, Tensor], Any]) -> Verdict:
    """Judge a function that computes the cross-entropy of captions without PyTorch's.

    Parameters
    ----------
    mean_surprise : from (B, T, V) logits and (B, T + 1) tokens, BOS first and padded by PAD, to the mean over words.

    Notes
    -----
    Source: chapter 6, exercise 2.
    """
    expect_function(mean_surprise, "logits, tokens")
    for seed in range(3):
        logits = 2 * torch.randn(3, 5, WORDS, generator=torch.Generator().manual_seed(seed))
        wanted, mistakes = _surprises(logits, LINES)
        found = mean_surprise(logits.clone(), LINES.clone())
        expect_unlike(found, wanted, "the loss of three captions", mistakes, rtol=1e-4)
    logits = logits + 300
    far = float(expect_array(_infinite_is_one(mean_surprise(logits.clone(), LINES.clone())), (), "the loss"))
    if far == 1e30:
        raise Hint("where all logits lie near 300 the loss is no finite number: take a row's largest off before exp.")
    expect_unlike(far, _surprises(logits, LINES)[0], "the loss where all logits are larger by 300", {}, rtol=1e-3)
    return Verdict(True, "the mean over the words and ends of three captions, whatever the padding holds.")


def _infinite_is_one(value: Any) -> Any:
    """A number that stands for all that are not finite, so that their own hint can be given."""
    if value is None or isinstance(value, str):
        return value
    number = torch.as_tensor(value)
    return number if number.ndim or torch.isfinite(number) else 1e30


def _surprises(logits: Tensor, tokens: Tensor) -> tuple[float, dict[str, float]]:
    """The mean surprise of a word, and what mistakes give."""
    each = F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")  # (B, T)
    unmoved = F.cross_entropy(logits.transpose(1, 2), tokens[:, :-1], reduction="none")
    is_word, is_end = tokens[:, 1:] != PAD, tokens[:, 1:] == EOS
    of_each = [row[kept].mean() for row, kept in zip(each, is_word, strict=True)]
    right = each[is_word].mean()
    mistakes = {
        "the padding behind the end is counted; leave out the places where the token is PAD.": each.mean(),
        "the sum leaves the padding out, and its divisor does not; divide by the number of words alone.": (
            each[is_word].sum() / each.numel()
        ),
        "the logits are held against the words that went in; the first logits are asked for the second token.": (
            unmoved[tokens[:, :-1] != PAD].mean()
        ),
        "the end mark is left out; it is a word, and the model has to know when to stop.": (
            each[is_word & ~is_end].mean()
        ),
        "every caption weighs the same, however long; take one mean over all words of the batch.": sum(of_each) / 3,
        "it is the sum over a caption's words, averaged over captions; divide by the words.": each[is_word].sum() / 3,
        "it is a sum; divide by the number of words.": each[is_word].sum(),
        "the sign is turned: a surprise is minus the log-probability.": -right,
    }
    return float(right), {hint: float(value) for hint, value in mistakes.items()}


@judged(seconds=10)
def check_baseline(best_baseline: Callable[[Tensor, Tensor, Tensor], Any]) -> Verdict:
    """Judge a function that finds the baseline with the least variance.

    Parameters
    ----------
    best_baseline : from (n,) probabilities and (n,) rewards of captions and (n, m) gradients of their log-probability
        to a number.

    Notes
    -----
    Source: chapter 6, exercise 4.
    """
    expect_function(best_baseline, "p, reward, score")
    for seed in range(4):
        chance = torch.Generator().manual_seed(seed)
        p = torch.randn(5, generator=chance, dtype=torch.float64).softmax(0)
        reward = 3 + 2 * torch.rand(5, generator=chance, dtype=torch.float64)
        score = torch.eye(5, dtype=torch.float64) - p  # row c: the gradient of log p(c) by the five logits
        square = (score**2).sum(1)
        wanted = (p * reward) @ square / (p @ square)
        mistakes = {
            "it is the mean reward, which is near; weigh by the square of the gradient as well.": p @ reward,
            "every caption counts the same; a mean over what is drawn weighs each by its probability.": (
                reward @ square / square.sum()
            ),
            "captions are weighed by the length of their gradient; the variance has its square.": (
                (p * reward) @ square.sqrt() / (p @ square.sqrt())
            ),
            "the weighted rewards are summed; divide by the sum of the weights.": (p * reward) @ square,
            "it is the plain mean of the rewards; captions are not equally likely, nor equally strong.": reward.mean(),
        }
        found = best_baseline(p.clone(), reward.clone(), score.clone())
        expect_unlike(found, wanted, "the best baseline of five captions", mistakes, rtol=1e-4)
    return Verdict(True, "no baseline has a smaller variance, in four languages of five captions.")


@judged(seconds=10)
def check_pay(pay_for_truth: Callable[[int, int, int, int], Any]) -> Verdict:
    """Judge a reward for truth that silence does not earn.

    Parameters
    ----------
    pay_for_truth : from true claims, claims, things named with their colour, and things in the picture, to a number.

    Notes
    -----
    Source: chapter 6, exercise 5. Many answers are right; five properties are asked for, and no values.
    """
    expect_function(pay_for_truth, "true, claimed, named, present")

    def pay(true: int, claimed: int, named: int, present: int) -> float:
        given = f"the pay of {true} true claims of {claimed}, with {named} of {present} things named,"
        return float(expect_array(pay_for_truth(true, claimed, named, present), (), given))

    for present in (1, 2, 4):
        whole = pay(2 * present, 2 * present, present, present)
        safe, nothing = pay(1, 1, 0, present), pay(0, 0, 0, present)
        if not safe < whole:
            raise Hint("one safe claim that names nothing earns as much as the whole truth; silence must cost.")
        if not nothing < whole:
            raise Hint("a caption that claims nothing earns as much as the whole truth.")
        if nothing > safe:
            raise Hint("a caption that claims nothing earns more than one that is true.")
        for true in range(1, 2 * present + 1):
            named = (true + 1) // 2
            right = pay(true, true, named, present)
            if not pay(true, true + 1, named, present) < right:
                raise Hint("a false claim costs nothing beside true ones; whoever lists everything would be paid best.")
            if named < present and not pay(true + 1, true + 1, named + 1, present) > right:
                raise Hint("one more thing, named rightly, earns nothing; completeness must pay.")
        if not pay(2 * present, 2 * present + 20, present, present) < 0.75 * whole:
            raise Hint("twenty false claims beside the whole truth cost less than a quarter of the pay.")
    return Verdict(True, "silence, safety and lists of all there is earn less than the whole truth.")
