"""Stage 4: what is drawn is the model's own distribution, and the loss has the gradient of the expected reward."""

from itertools import product

import numpy as np
import pytest
import torch

from tests.conftest import TINY_DECODER
from tests.test_search import pictures, random_decoder, speaks
from uvlm_mini import search
from uvlm_mini.datasets.vocab import BOS, EOS, PAD
from uvlm_mini.decoder import AttSSM
from uvlm_mini.train.scst import Drawn, advantage, log_probs_of, policy_loss, sample, scst_loss

CHOICES = (EOS, 3, 4, 5)  # of a decoder of six words; PAD and BOS are never said


def dice(seed: int = 0) -> torch.Generator:
    """A source of chance."""
    return torch.Generator().manual_seed(seed)


def tiny(seed: int = 0, words: int = 6) -> AttSSM:
    """A decoder with opinions, in float64."""
    return random_decoder(seed, words).double()


def every_course(longest: int) -> torch.Tensor:
    """All that can be drawn, (n, longest + 2): captions that end, and those that draw a word too many."""
    ended = [[*words, EOS] for n in range(longest + 1) for words in product(CHOICES[1:], repeat=n)]
    cut = [list(words) for words in product(CHOICES[1:], repeat=longest + 1)]
    return torch.tensor([[BOS, *c, *[PAD] * (longest + 1 - len(c))] for c in ended + cut])


def forced(decoder: AttSSM, features: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of captions by the decoder's own forward, padding as 0."""
    logits = decoder(features, tokens[:, :-1])
    logits = torch.cat([torch.full_like(logits[..., :2], -1e9), logits[..., 2:]], -1)
    found = logits.log_softmax(-1).gather(2, tokens[:, 1:, None].clamp(min=EOS))[..., 0]
    return torch.where(tokens[:, 1:] == PAD, 0.0, found)


def gradient(loss: torch.Tensor, decoder: AttSSM) -> torch.Tensor:
    """Of all weights, as one vector."""
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(decoder.parameters()))])


# ----------------------------------------------------------------------------------------------------------------
# What is drawn


def test_log_probabilities_are_those_that_were_drawn() -> None:
    """The pass with gradient gives those that the words were drawn with, and those of the decoder's forward."""
    for seed in range(3):
        decoder, features = random_decoder(seed), pictures(4)
        drawn = sample(decoder, features, 3, 6, dice(seed))
        lengths = (drawn.tokens[:, 1:] != PAD).sum(1)
        assert lengths.min() < lengths.max()  # there is padding to go wrong
        again = log_probs_of(decoder, features, drawn.tokens)
        assert again.requires_grad and not drawn.log_probs.requires_grad
        torch.testing.assert_close(again.detach(), drawn.log_probs, rtol=0, atol=1e-5)
        own = forced(decoder, features.repeat_interleave(3, 0), drawn.tokens)
        torch.testing.assert_close(again, own, rtol=0, atol=1e-5)
        assert (again[drawn.tokens[:, 1:] == PAD] == 0).all()


def test_frequencies_are_the_models_probabilities() -> None:
    """Of every caption that can be drawn of two pictures, by chi-square."""
    decoder, features, courses = tiny(1), pictures(2).double(), every_course(1)
    k = 20_000
    drawn = sample(decoder, features, k, 1, dice(5))
    for b in range(2):
        p = forced(decoder, features[b : b + 1].expand(len(courses), -1, -1, -1), courses).sum(1).exp().detach()
        assert p.sum().item() == pytest.approx(1)
        mine = drawn.tokens[b * k : (b + 1) * k]
        counts = (mine[:, None] == courses).all(2).sum(0)
        assert counts.sum() == k
        often = p * k > 5
        chi = ((counts - p * k) ** 2 / (p * k))[often].sum()
        assert often.sum() > 6 and chi < 2.5 * often.sum()


def test_padding_and_the_beginning_are_never_drawn() -> None:
    """However likely the logits make them; and chance comes from the generator alone."""
    decoder = speaks(random_decoder(0), pad=9.0, bos=9.0, eos=1.0)
    first, again, other = (sample(decoder, pictures(3), 50, 5, dice(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.tokens, again.tokens) and not torch.equal(first.tokens, other.tokens[:, :7])
    for row in first.tokens.tolist():
        words = row[1 : row.index(EOS)] if EOS in row else row[1:]
        assert row[0] == BOS and PAD not in words and BOS not in words and EOS not in words
        assert EOS not in row or set(row[row.index(EOS) + 1 :]) <= {PAD}


def test_a_caption_without_end_is_cut_off() -> None:
    """It is rewarded without EOS, `longest` words long; the word that was not EOS in its place is nobody's reward."""
    drawn = sample(speaks(random_decoder(0), word=50.0), pictures(1), 2, 3, dice())
    assert drawn.tokens.shape == (2, 5) and drawn.captions(3) == [[4, 4, 4]] * 2
    tokens = torch.tensor([[BOS, 4, EOS, PAD, PAD], [BOS, 4, 5, 6, EOS], [BOS, EOS, PAD, PAD, PAD]])
    assert Drawn(tokens, torch.zeros(3, 4)).captions(3) == [[4, EOS], [4, 5, 6, EOS], [EOS]]


# ----------------------------------------------------------------------------------------------------------------
# What is learned


def test_the_advantage_is_over_the_others() -> None:
    """The mean of the other captions of the same picture, by a loop; or the greedy caption's reward."""
    rewards = torch.rand(3, 4, generator=dice()).double()
    for b, i in product(range(3), range(4)):
        others = [float(rewards[b, j]) for j in range(4) if j != i]
        assert float(advantage(rewards)[b, i]) == pytest.approx(float(rewards[b, i]) - np.mean(others))
    greedy = torch.tensor([1.0, 2.0, 3.0]).double()
    assert torch.equal(advantage(rewards, greedy), rewards - greedy[:, None])


@pytest.mark.parametrize("baseline", ["none", "greedy", "others"])
def test_the_expected_gradient_is_that_of_the_expected_reward(baseline: str) -> None:
    """Over all that can be drawn of a picture (all pairs, for two captions a picture): to rounding, by any baseline."""
    decoder, features, courses = tiny(2), pictures(1).double(), every_course(2)
    rewards = torch.rand(len(courses), dtype=torch.float64, generator=dice(3))
    log_probs = log_probs_of(decoder, features, courses)  # all captions as if drawn of the one picture
    p = log_probs.sum(1).exp()
    assert len(courses) == 40 and p.sum().item() == pytest.approx(1)
    wanted = gradient(-(p * rewards).sum(), decoder)

    total = torch.zeros((), dtype=torch.float64)
    log_probs, p = log_probs_of(decoder, features, courses), p.detach()
    for pair in product(range(40), repeat=2) if baseline == "others" else ((i,) for i in range(40)):
        rows = list(pair)
        base = {"none": torch.zeros(1), "greedy": torch.tensor([0.7]), "others": None}[baseline]
        gain = advantage(rewards[rows][None], base)[0]
        words = (courses[rows, 1:] != PAD).sum()
        a_caption = policy_loss(log_probs[rows], courses[rows], gain) * words / len(rows)
        total = total + p[rows].prod() * a_caption
    found = gradient(total, decoder)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
    assert wanted.abs().max() > 1e-3


def test_the_end_is_learned_and_the_padding_is_not() -> None:
    """Captions of different lengths together have the gradients that each has alone; one that is only EOS has one."""
    decoder, features = tiny(3), pictures(1).double()
    lines, gains = [[EOS], [4, 5, 3, EOS], [5, EOS], [3, 4, 3, 5]], torch.tensor([1.0, -2.0, 0.5, 1.5]).double()
    alone = []
    for line, gain in zip(lines, gains, strict=True):
        tokens = torch.tensor([[BOS, *line]])
        alone.append(gradient(-gain * forced(decoder, features, tokens).sum(), decoder))
        mine = policy_loss(log_probs_of(decoder, features, tokens), tokens, gain[None]) * len(line)
        torch.testing.assert_close(gradient(mine, decoder), alone[-1], rtol=0, atol=1e-12)
        assert alone[-1].abs().max() > 1e-3
    tokens = torch.tensor([[BOS, *line, *[PAD] * (4 - len(line))] for line in lines])
    loss = policy_loss(log_probs_of(decoder, features, tokens), tokens, gains)
    torch.testing.assert_close(gradient(loss, decoder), sum(alone) / 11, rtol=0, atol=1e-12)


@pytest.mark.parametrize("greedy", [False, True])
def test_what_is_rewarded_gets_likelier(greedy: bool) -> None:
    """A word of its own for each picture; the reward is asked for every caption with the number of its picture."""
    decoder, features = random_decoder(4), pictures(2)
    asked: list[list[int]] = []

    def reward(captions: list[list[int]], rows: list[int]) -> list[float]:
        asked.append(rows)
        return [float({7: 4, 9: 5}[row] in caption) for caption, row in zip(captions, rows, strict=True)]

    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.02)
    means = []
    for step in range(40):
        loss, mean = scst_loss(decoder, features, [7, 9], reward, 8, 4, dice(step), greedy)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        means.append(mean)
    assert asked[0] == [7] * 8 + [9] * 8 and (not greedy or asked[1] == [7, 9])
    assert np.mean(means[:3]) < 0.75 < 0.85 < np.mean(means[-5:])
    said = [found.tokens for found in search.greedy(decoder, features, 4)]
    assert 4 in said[0] and 5 in said[1]


def test_dropout_is_refused() -> None:
    """In training mode the words would be drawn from other odds than those that are learned."""
    decoder = AttSSM(TINY_DECODER, 6).train()
    with pytest.raises(ValueError, match="eval mode"):
        scst_loss(decoder, pictures(1), [0], lambda captions, rows: [0.0] * len(rows), 2, 3, dice())
