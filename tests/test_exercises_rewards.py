"""The checkers of chapter 6 take what the chapter does, and say of other answers what is wrong with them."""

import pytest
import torch
from torch.nn import functional as F

from tests.answers import withstands
from tests.solutions import solution
from uvlm_mini.datasets.vocab import EOS, PAD
from uvlm_mini.exercises.mistakes import Hint, expect_unlike
from uvlm_mini.exercises.rewards import check_baseline, check_pay, check_surprise

CHAPTER = "06_training_in_four_stages"


def surprises(logits, tokens):
    """Minus the log-probability of every word (B, T), padding included."""
    return F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")


def per_caption(logits, tokens):
    each, said = surprises(logits, tokens), tokens[:, 1:] != PAD
    return ((each * said).sum(1) / said.sum(1)).mean()


def unshifted(logits, tokens):
    return F.cross_entropy(logits.flatten(0, 1), tokens[:, :-1].flatten(), ignore_index=PAD)


def careless(logits, tokens):
    """Right, but for large logits."""
    logs = logits - logits.exp().sum(-1, keepdim=True).log()
    own = logs.gather(2, tokens[:, 1:, None])[..., 0]
    return -own[tokens[:, 1:] != PAD].mean()


SURPRISES = [
    (lambda x, t: surprises(x, t).mean(), "padding behind the end is counted"),
    (lambda x, t: surprises(x, t)[t[:, 1:] != PAD].sum(), "it is a sum"),
    (lambda x, t: (surprises(x, t) * (t[:, 1:] != PAD)).mean(), "divisor does not"),
    (lambda x, t: surprises(x, t)[(t[:, 1:] != PAD) & (t[:, 1:] != EOS)].mean(), "end mark is left out"),
    (lambda x, t: -surprises(x, t)[t[:, 1:] != PAD].mean(), "sign is turned"),
    (per_caption, "one mean over all words"),
    (unshifted, "words that went in"),
    (careless, "near 300"),
    (lambda x, t: surprises(x, t), "has the shape (3, 5)"),
]


def test_loss_of_words() -> None:
    """The chapter's answer, PyTorch's, and what is wrong."""
    withstands(check_surprise, solution(CHAPTER, "mean_surprise"), [wrong for wrong, _ in SURPRISES])
    assert check_surprise(lambda x, t: F.cross_entropy(x.flatten(0, 1), t[:, 1:].flatten(), ignore_index=PAD))


@pytest.mark.parametrize(("wrong", "says"), SURPRISES)
def test_mistakes_of_the_loss_are_named(wrong, says) -> None:
    """Each by its own sentence."""
    assert says in check_surprise(wrong).says


def weights(score):
    return (score**2).sum(1)


BASELINES = [
    (lambda p, r, s: p @ r, "it is the mean reward"),
    (lambda p, r, s: r @ weights(s) / weights(s).sum(), "every caption counts the same"),
    (lambda p, r, s: (p * r) @ weights(s).sqrt() / (p @ weights(s).sqrt()), "the variance has its square"),
    (lambda p, r, s: (p * r) @ weights(s), "divide by the sum of the weights"),
    (lambda p, r, s: r.mean(), "plain mean"),
    (lambda p, r, s: r, "the shape (5,)"),
]


def test_best_baseline() -> None:
    """The chapter's answer has the least variance, by any trial beside it; others have more."""
    right = solution(CHAPTER, "best_baseline")
    withstands(check_baseline, right, [wrong for wrong, _ in BASELINES])
    p = torch.tensor([0.4, 0.3, 0.2, 0.1]).double()
    reward, score = torch.tensor([4.0, 1.0, 3.0, 2.0]).double(), torch.eye(4).double() - p

    def variance(b):
        return (p @ ((reward - b)[:, None] * score) ** 2).sum()  # the mean is the same for all b

    best = right(p, reward, score)
    assert all(variance(best) < variance(best + off) for off in (-0.1, -0.01, 0.01, 0.1))


@pytest.mark.parametrize(("wrong", "says"), BASELINES)
def test_mistakes_of_the_baseline_are_named(wrong, says) -> None:
    """Each by its own sentence."""
    assert says in check_baseline(wrong).says


PAYS = [
    (lambda t, c, n, g: t / max(c, 1), "earns as much as the whole truth; silence"),
    (lambda t, c, n, g: n / g, "a false claim costs nothing"),
    (lambda t, c, n, g: t, "a false claim costs nothing"),
    (lambda t, c, n, g: 1.0 if t == c and n == g else 0.5 * (t == c and c > 0), "one more thing, named rightly"),
    (lambda t, c, n, g: n / g - 0.001 * (c - t), "twenty false claims"),
    (lambda t, c, n, g: n / g - (c - t) - (c > 0) * 0.5, "more than one that is true"),
    (lambda t, c, n, g: t / c * n / g, "ZeroDivisionError"),
]


def test_pay_for_truth() -> None:
    """The chapter's answer, two others that do as well, and those that can be played."""
    withstands(check_pay, solution(CHAPTER, "pay_for_truth"), [wrong for wrong, _ in PAYS])
    assert check_pay(lambda t, c, n, g: t / max(c, 1) * n / g)
    assert check_pay(lambda t, c, n, g: n / g - 0.2 * (c - t))


@pytest.mark.parametrize(("wrong", "says"), PAYS)
def test_how_a_pay_is_played_is_told(wrong, says) -> None:
    """Each by its own sentence."""
    assert says in check_pay(wrong).says


def test_a_known_mistake_is_named_only_where_it_is_one() -> None:
    """What is right by accident is right."""
    expect_unlike(2.0, 2.0, "x", {"it is the wrong one.": 2.0})
    with pytest.raises(Hint, match="wrong one"):
        expect_unlike(torch.tensor(3.0), 2.0, "x", {"it is the wrong one.": torch.tensor(3.0)})
    with pytest.raises(Hint, match="x is 4, and 2 is wanted"):
        expect_unlike(4.0, 2.0, "x", {"it is the wrong one.": 3.0})
