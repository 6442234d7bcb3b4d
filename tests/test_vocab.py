"""The vocabulary: which words are kept, and that captions survive it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uvlm_mini.datasets.scenes import scene
from uvlm_mini.datasets.vocab import BOS, EOS, PAD, SPECIALS, UNK, Vocabulary, encode_told, tokenize

word = st.text("abcdefgh0'", min_size=1, max_size=4)


def test_words_seen_four_times_go_and_five_times_stay():
    """The paper's threshold, counted over all captions and within one."""
    words = Vocabulary.build(["a a a cat", "a dog a", "cat cat cat", "dog dog dog dog", "bird"]).words
    assert words == (*SPECIALS, "a", "dog")
    assert "cat" in Vocabulary.build(["cat cat", "cat cat"], at_least=4).words


def test_the_most_frequent_come_first_and_ties_by_alphabet():
    """So that the numbers of the words never depend on the order of the captions."""
    captions = ["z y x", "x y z", "b b b", "a"]
    expected = (*SPECIALS, "b", "x", "y", "z", "a")
    assert Vocabulary.build(captions, 1).words == Vocabulary.build(captions[::-1], 1).words
    assert Vocabulary.build(captions, 1).words == (*SPECIALS, "b", "x", "y", "z", "a")
    assert [w for w in expected if w in SPECIALS] == list(SPECIALS)


def test_specials_have_the_first_four_numbers():
    """Padding is 0: zeros in a batch are no words."""
    vocabulary = Vocabulary(["cat"])
    assert [vocabulary.words[i] for i in (PAD, BOS, EOS, UNK)] == ["<pad>", "<bos>", "<eos>", "<unk>"]
    assert len(vocabulary) == 5


def test_a_caption_is_encoded_by_hand():
    """BOS, the words, EOS; unknown words are UNK; a limit counts words, not specials."""
    vocabulary = Vocabulary(["a", "red", "cat"])
    assert vocabulary.encode("A red, RED zebra!") == [BOS, 4, 5, 5, UNK, EOS]
    assert vocabulary.encode("a red cat", longest=2) == [BOS, 4, 5, EOS]
    assert vocabulary.encode("") == [BOS, EOS]


def test_captions_without_a_known_word_are_left_out():
    """The others stay in their order, cut as `encode` cuts them; a picture that has none left is named."""
    vocabulary = Vocabulary(["a", "red", "cat"])
    said = [["a red cat", "zebra", "...", "zebra zebra a", "red"], ["cat"]]
    assert encode_told(vocabulary, said, ["x", "y"], 2) == [[[BOS, 4, 5, EOS], [BOS, 5, EOS]], [[BOS, 6, EOS]]]
    with pytest.raises(
        ValueError, match=r"No caption of picture y has a word that the vocabulary keeps; give it another"
    ):
        encode_told(vocabulary, [["cat"], ["zebra", ""]], ["x", "y"], 2)


def test_decoding_stops_at_the_first_end_and_leaves_specials_out():
    """What a search hands over is decoded, with or without specials around it."""
    vocabulary = Vocabulary(["a", "red", "cat"])
    assert vocabulary.decode([BOS, 4, UNK, 6, PAD, EOS, 5, 5]) == "a cat"
    assert vocabulary.decode([]) == vocabulary.decode([EOS, 4]) == ""


@given(st.lists(word, min_size=1, max_size=12))
def test_known_words_come_back(words):
    """decode(encode(caption)) is the caption."""
    vocabulary = Vocabulary.build([" ".join(words)], at_least=1)
    caption = " ".join(tokenize(" ".join(words)))
    assert vocabulary.decode(vocabulary.encode(caption)) == caption


@given(st.lists(st.lists(word, max_size=6), min_size=1, max_size=6), st.integers(1, 4))
def test_kept_words_are_those_counted_by_hand(captions, at_least):
    """A plain count over all words gives the same set."""
    said = [w for caption in captions for w in caption]
    kept = {w for w in said if said.count(w) >= at_least}
    lines = [" ".join(caption) for caption in captions]
    if kept:
        assert set(Vocabulary.build(lines, at_least).words[4:]) == kept
    else:
        with pytest.raises(ValueError, match=f"No word occurs {at_least} times"):
            Vocabulary.build(lines, at_least)


def test_scene_captions_survive():
    """Every caption of the first scenes comes back from its numbers, to the letter."""
    captions = [c for i in range(300) for c in scene("train", i).captions(f"captions/train/{i}")]
    vocabulary = Vocabulary.build(captions, at_least=1)
    assert all(vocabulary.decode(vocabulary.encode(c)) == c for c in captions)


def test_equal_words_make_equal_vocabularies():
    """Another order is another vocabulary: numbers would mean other words."""
    assert Vocabulary(["a", "b"]) == Vocabulary(["a", "b"]) != Vocabulary(["b", "a"])
    assert hash(Vocabulary(["a", "b"])) == hash(Vocabulary(["a", "b"]))


@pytest.mark.parametrize("words", [["a", "a"], ["<pad>"], ["a", "<eos>"]])
def test_doubled_words_and_specials_are_refused(words):
    """Either would give one word two numbers."""
    with pytest.raises(ValueError, match="each word once"):
        Vocabulary(words)


@pytest.mark.parametrize("captions", [[], [""], ["!?"], ["rare words"]])
def test_captions_without_a_frequent_word_are_refused(captions):
    """An empty vocabulary would train a model that can say nothing; the sentence says what to do."""
    with pytest.raises(ValueError, match=r"No word occurs 5 times.*lower at_least"):
        Vocabulary.build(captions)
