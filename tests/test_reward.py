"""The reward of stage 4 equals the published score: by its code, and by its definition."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.cider.cider import Cider

from uvlm_mini.datasets.scenes import samples
from uvlm_mini.datasets.vocab import BOS, EOS, UNK, Vocabulary, tokenize
from uvlm_mini.train.reward import CiderD

WORDS = ("a", "cat", "dog", "red", "sits")
VOCABULARY = Vocabulary(WORDS)


def by_pycocoevalcap(captions: list[str], references: list[list[str]]) -> np.ndarray:
    """Its score of every caption, the end being a word like any other."""
    said = {i: [f"{c} eos"] for i, c in enumerate(captions)}
    return Cider().compute_score({i: [f"{r} eos" for r in refs] for i, refs in enumerate(references)}, said)[1]


def by_definition(
    said: list[list[int]], rows: list[int], references: list[list[list[int]]], eos: bool = True, sigma: float = 6.0
) -> list[float]:
    """CIDEr-D of captions, written down as it is published, one n-gram after the other."""

    def counts(line: list[int]) -> Counter:
        kept = [w for w in line if w != BOS and (eos or w != EOS)]
        return Counter(tuple(kept[i : i + n]) for n in range(1, 5) for i in range(len(kept) - n + 1))

    theirs = [[counts(line) for line in several] for several in references]
    df = Counter(gram for several in theirs for gram in set().union(*several))

    def vector(count: Counter) -> dict:
        return {g: times * (math.log(len(references)) - math.log(max(1, df[g]))) for g, times in count.items()}

    rewards = []
    for mine, row in zip(map(counts, said), rows, strict=True):
        total, h = 0.0, vector(mine)
        for count in theirs[row]:
            r = vector(count)
            bigrams = [sum(times for gram, times in one.items() if len(gram) == 2) for one in (mine, count)]
            penalty = math.exp(-((bigrams[0] - bigrams[1]) ** 2) / (2 * sigma**2))
            for n in range(1, 5):
                dot = sum(min(h[g], r[g]) * r[g] for g in h.keys() & r.keys() if len(g) == n)
                norms = [math.sqrt(sum(w * w for g, w in v.items() if len(g) == n)) for v in (h, r)]
                if all(norms):
                    total += penalty * dot / (norms[0] * norms[1]) / 4
        rewards.append(10 * total / len(theirs[row]))
    return rewards


words = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)
pictures = st.lists(st.tuples(words, st.lists(words, min_size=1, max_size=3)), min_size=1, max_size=6)


@given(pictures)
@settings(max_examples=60, deadline=None)
def test_rewards_equal_pycocoevalcap(drawn: list[tuple[str, list[str]]]) -> None:
    """Of any captions, repeated words, empty ones and a single picture included."""
    captions, references = [c for c, _ in drawn], [r for _, r in drawn]
    reward = CiderD([[VOCABULARY.encode(r) for r in refs] for refs in references])
    found = reward([VOCABULARY.encode(c)[1:] for c in captions], range(len(drawn)))
    np.testing.assert_allclose(found, by_pycocoevalcap(captions, references), rtol=0, atol=1e-9)


def test_rewards_of_scenes_equal_pycocoevalcap() -> None:
    """Of people's captions against the other four, and of one scene's caption for the next."""
    drawn = list(samples("val", 60))
    vocabulary = Vocabulary.build((c for s in drawn for c in s.captions), at_least=1)
    references = [[" ".join(tokenize(c)) for c in s.captions[1:]] for s in drawn]
    reward = CiderD([[vocabulary.encode(r) for r in refs] for refs in references])
    for shift in (0, 1):
        captions = [" ".join(tokenize(drawn[(i + shift) % 60].captions[0])) for i in range(60)]
        found = reward([vocabulary.encode(c)[1:] for c in captions], range(60))
        np.testing.assert_allclose(found, by_pycocoevalcap(captions, references), rtol=0, atol=1e-9)
        assert (found.mean() > 2) == (shift == 0)


lines = st.lists(st.integers(4, 8), max_size=9)
sets = st.lists(st.lists(lines, min_size=1, max_size=3), min_size=2, max_size=5).filter(
    lambda references: any(line for several in references for line in several)
)


@given(sets, st.data(), st.booleans(), st.sampled_from([2.0, 6.0]))
@settings(max_examples=60, deadline=None)
def test_rewards_equal_the_definition(
    references: list[list[list[int]]], data: st.DataObject, eos: bool, sigma: float
) -> None:
    """Several captions a picture, in any order, cut off or ended, with words that no reference has."""
    references = [[[BOS, *line, EOS] for line in several] for several in references]
    said = st.tuples(st.lists(st.integers(4, 11), max_size=9), st.booleans())
    drawn = data.draw(st.lists(st.tuples(said, st.integers(0, len(references) - 1)), min_size=1, max_size=7))
    candidates = [[*line, EOS] if ended else line for (line, ended), _ in drawn]
    rows = [row for _, row in drawn]
    reward = CiderD(references, eos, sigma)
    found = reward(candidates, rows)
    expected = by_definition(candidates, rows, references, eos, sigma)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    alone = [reward([c], [row])[0] for c, row in zip(candidates, rows, strict=True)]
    np.testing.assert_allclose(found, alone, rtol=0, atol=1e-12)


REFERENCES = [[VOCABULARY.encode(c) for c in several] for several in (["a red cat", "the cat"], ["a dog sits"], ["a"])]


def test_breaking_off_pays_only_where_the_end_is_no_word() -> None:
    """A caption cut off earns less than a whole one; without EOS both earn the same."""
    whole = VOCABULARY.encode("a red cat")[1:]
    with_eos, without = (CiderD(REFERENCES, eos)([whole, whole[:-1]], [0, 0]) for eos in (True, False))
    assert with_eos[0] > with_eos[1] + 1 and without[0] == without[1]


def test_an_unknown_word_earns_nothing() -> None:
    """`the` is unknown here, in the reference as in the caption: saying <unk> is saying a word that nobody said."""
    assert UNK in REFERENCES[0][1]
    unknown, strange = CiderD(REFERENCES)([[UNK, 5, EOS], [99, 5, EOS]], [0, 0])
    assert unknown == strange > 0


def test_what_cannot_be_scored_is_refused() -> None:
    """One sentence each."""
    with pytest.raises(ValueError, match="Picture 1 has no reference"):
        CiderD([[[BOS, 5, EOS]], []])
    with pytest.raises(ValueError, match="hold no word"):
        CiderD([[[BOS, EOS]], [[BOS, EOS]]], eos=False)
    with pytest.raises(ValueError, match="prune the vocabulary"):
        CiderD([[[BOS, 60_000, EOS]]])
    with pytest.raises(ValueError, match="2 captions were given with 1 pictures"):
        CiderD(REFERENCES)([[5], [5]], [0])
