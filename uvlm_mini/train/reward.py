"""The reward of stage 4: CIDEr-D of captions that are lists of word numbers, against references kept ready.

An n-gram weighs its count times its idf; n goes from 1 to 4. With h and r for the weights in caption and reference:

    idf(g) = log N - log max(1, df(g))           N training pictures, df(g) of which have g in a reference
    cos_n  = sum over g of min(h_g, r_g) r_g / (|h| |r|)          clipped: a word repeated earns nothing
    reward = 10 x mean over references of  exp(-(l_h - l_r)^2 / 2 sigma^2) x mean over n of cos_n

l counts bigrams, as the published code has it. An n-gram is one whole number, its words being the digits, so that all
n-grams of a batch are looked up at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..datasets.vocab import BOS, EOS, UNK

N = 4  # longest n-gram
BASE = 55_000  # of the digits: four of them fit 63 bits


class Grams(NamedTuple):
    """Every n-gram of every line once, line by line."""

    line: np.ndarray  # (G,) which line it is in, ascending
    order: np.ndarray  # (G,) n - 1
    code: np.ndarray  # (G,) its words as digits, ascending within a line
    times: np.ndarray  # (G,) how often it stands there


def grams(lines: Sequence[Sequence[int]]) -> Grams:
    """Count the n-grams of lines of word numbers, which are below BASE - 1."""
    line = np.repeat(np.arange(len(lines)), [len(words) for words in lines])
    words = np.fromiter((word for words in lines for word in words), np.int64, len(line)) + 1  # no digit is 0
    code, orders, codes, owners = np.zeros_like(words), [], [], []
    for n in range(min(N, len(words))):
        code = code[: len(words) - n] * BASE + words[n:]  # one word longer
        whole = line[: len(words) - n] == line[n:]  # it does not reach into the next line
        orders.append(np.full(whole.sum(), n))
        codes.append(code[whole])
        owners.append(line[: len(words) - n][whole])
    if not codes:
        return Grams(*(np.zeros(0, np.int64) for _ in range(4)))
    order, code, line = (np.concatenate(parts) for parts in (orders, codes, owners))
    sort = np.lexsort([code, line])
    order, code, line = order[sort], code[sort], line[sort]
    first = np.flatnonzero(np.r_[True, (code[1:] != code[:-1]) | (line[1:] != line[:-1])])
    return Grams(line[first], order[first], code[first], np.diff(np.r_[first, len(code)]))


class CiderD:
    """CIDEr-D against the references of a training split, whose document frequencies it uses.

    Parameters
    ----------
    references : for each picture its references as `Vocabulary.encode` gives them, from BOS to EOS.
    eos : whether the end is a word. It must be: without it a caption that breaks off earns as much as a whole one, and
        stage 4 learns to break off. Chapter 6 shows that with False.
    sigma : width of the penalty on another length, in words.

    Raises
    ------
    ValueError : a picture without references, no word in all of them, or more words than fit.
    """

    def __init__(self, references: Sequence[Sequence[Sequence[int]]], eos: bool = True, sigma: float = 6.0) -> None:
        if not all(references):
            raise ValueError(f"Picture {[bool(r) for r in references].index(False)} has no reference; leave it out.")
        self.eos, self.sigma = eos, sigma
        many = np.array([len(several) for several in references])
        self.first = np.r_[0, many.cumsum()]  # (pictures + 1,) where the references of a picture begin
        lines = [self._words(line) for several in references for line in several]
        if not any(lines):
            raise ValueError("These references hold no word; give the captions of the training pictures.")
        largest = max(max(line) for line in lines if line)
        if largest >= BASE - 2:
            raise ValueError(f"The reward takes word numbers up to {BASE - 3}, not {largest}; prune the vocabulary.")
        found = grams(lines)
        picture = np.repeat(np.arange(len(many)), many)[found.line]
        self.grams, index = np.unique(found.code, return_inverse=True)  # all n-grams known
        pairs = np.unique(index * len(many) + picture)  # in how many pictures, not how often
        df = np.bincount(pairs // len(many), minlength=len(self.grams))
        self.unseen = np.log(len(many))  # idf of an n-gram that no reference has
        self.idf = self.unseen - np.log(np.maximum(1, df))
        self.index, self.order = index.astype(np.int32), found.order.astype(np.int8)
        self.weight = found.times * self.idf[index]
        self.start = np.searchsorted(found.line, np.arange(len(lines) + 1))  # where the n-grams of a reference begin
        self.norm, self.length = self._sizes(found, self.weight, len(lines))

    def _words(self, line: Sequence[int]) -> list[int]:
        """What is scored: no BOS, and EOS only if it counts."""
        return [word for word in line if word != BOS and (self.eos or word != EOS)]

    @staticmethod
    def _sizes(found: Grams, weight: np.ndarray, lines: int) -> tuple[np.ndarray, np.ndarray]:
        """(lines, N) norms, and (lines,) lengths in bigrams."""
        squares = np.bincount(found.line * N + found.order, weight**2, lines * N)
        bigram = found.order == 1
        return np.sqrt(squares).reshape(lines, N), np.bincount(found.line[bigram], found.times[bigram], lines)

    def __call__(self, candidates: Sequence[Sequence[int]], rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Rewards of captions.

        Parameters
        ----------
        candidates : n captions as word numbers, with EOS where they ended and without where they were cut off. UNK
            agrees with nothing, not even with a reference's.
        rows : for each the number of its picture.

        Returns
        -------
        (n,) float64, 0 to 10.
        """
        rows = np.asarray(rows)
        if len(rows) != len(candidates):
            raise ValueError(f"{len(candidates)} captions were given with {len(rows)} pictures; give each its picture.")
        found = grams([[BASE - 2 if w == UNK else w for w in self._words(line)] for line in candidates])
        place = np.searchsorted(self.grams, found.code).clip(max=len(self.grams) - 1)
        known = self.grams[place] == found.code
        weight = found.times * np.where(known, self.idf[place], self.unseen)
        norm, length = self._sizes(found, weight, len(candidates))

        # Every caption beside every reference of its picture ...
        many = self.first[rows + 1] - self.first[rows]
        said = np.repeat(np.arange(len(rows)), many)  # (P,) caption of each pair
        ref = _ranges(self.first[rows], many)  # (P,) reference of each pair
        # ... and every n-gram of such a reference, looked up in the caption.
        size = self.start[ref + 1] - self.start[ref]
        pair = np.repeat(np.arange(len(ref)), size)
        at = _ranges(self.start[ref], size)
        keys = found.line[known] * len(self.grams) + place[known]  # ascending
        asked = said[pair] * len(self.grams) + self.index[at]
        hit = np.searchsorted(keys, asked).clip(max=len(keys) - 1)
        h = np.where(keys[hit] == asked, weight[known][hit], 0.0) if len(keys) else np.zeros(len(asked))
        r = self.weight[at]
        dot = np.bincount(pair * N + self.order[at], np.minimum(h, r) * r, len(ref) * N).reshape(-1, N)

        scale = norm[said] * self.norm[ref]
        cos = np.divide(dot, scale, out=np.zeros(dot.shape), where=scale > 0)
        close = np.exp(-((length[said] - self.length[ref]) ** 2) / (2 * self.sigma**2))
        return 10 * np.bincount(said, cos.mean(1) * close, len(rows)) / many


def _ranges(first: np.ndarray, size: np.ndarray) -> np.ndarray:
    """first_0, first_0 + 1, ... (size_0 numbers), first_1, first_1 + 1, ... as one array."""
    return np.arange(size.sum()) + np.repeat(first - np.r_[0, size.cumsum()[:-1]], size)
