"""Words and their numbers.

The paper prunes words seen fewer than five times. They are counted on the training split alone: counting the
test captions as well, as some codebases do, leaks which words the test will need.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

PAD, BOS, EOS, UNK = 0, 1, 2, 3
SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>")


def tokenize(caption: str) -> list[str]:
    """Lower-case words of letters, digits and apostrophes; punctuation separates and is dropped."""
    return re.findall(r"[a-z0-9']+", caption.lower())


class Vocabulary:
    """The words that a model knows, by number: four specials, then the words.

    Parameters
    ----------
    words : the words without the specials, each once.
    """

    def __init__(self, words: Sequence[str]) -> None:
        if len(set(words)) != len(words) or set(words) & set(SPECIALS):
            raise ValueError(
                "A vocabulary needs each word once and none of the specials; build it with Vocabulary.build."
            )
        self.words = (*SPECIALS, *words)
        self._number = {word: i for i, word in enumerate(self.words)}

    @staticmethod
    def build(captions: Iterable[str], at_least: int = 5) -> Vocabulary:
        """Words that the captions hold `at_least` times, the most frequent first, ties in alphabetical order."""
        counts = Counter(word for caption in captions for word in tokenize(caption))
        kept = [word for word, n in counts.items() if n >= at_least]
        if not kept:
            raise ValueError(
                f"No word occurs {at_least} times in these captions; lower at_least or give more captions."
            )
        return Vocabulary(sorted(kept, key=lambda word: (-counts[word], word)))

    def __len__(self) -> int:
        return len(self.words)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.words == other.words

    def __hash__(self) -> int:
        return hash(self.words)

    def encode(self, caption: str, longest: int | None = None) -> list[int]:
        """Numbers of the caption's words between BOS and EOS; at most `longest` words, unknown ones as UNK."""
        return [BOS, *(self._number.get(word, UNK) for word in tokenize(caption)[:longest]), EOS]

    def decode(self, numbers: Iterable[int]) -> str:
        """The words of the numbers up to the first EOS, specials left out."""
        words = []
        for number in numbers:
            if number == EOS:
                break
            if number >= len(SPECIALS):
                words.append(self.words[number])
        return " ".join(words)


def encode_told(
    vocabulary: Vocabulary, captions: Sequence[Sequence[str]], names: Sequence[str], longest: int
) -> list[list[list[int]]]:
    """The captions of every picture as numbers, without those of which no word is known: they would teach silence.

    Raises
    ------
    ValueError : a picture has no other caption.
    """
    unknown = {BOS, EOS, UNK}
    encoded = []
    for name, several in zip(names, captions, strict=True):
        lines = [vocabulary.encode(caption, longest) for caption in several]
        encoded.append([line for line in lines if not unknown.issuperset(line)])
        if not encoded[-1]:
            raise ValueError(
                f"No caption of picture {name} has a word that the vocabulary keeps; give it another one, or take the "
                "picture out of the file."
            )
    return encoded
