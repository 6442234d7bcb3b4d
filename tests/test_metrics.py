"""Scores equal pycocoevalcap's, people are scored on equal terms, and truth is judged as by hand."""

import math
import shutil
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest

from uvlm_mini import metrics
from uvlm_mini.datasets.scenes import Scene, Thing, samples

STANDIN = Path(__file__).parent / "data" / "standin" / "standin.jar"
needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="needs a Java runtime")


@pytest.fixture(scope="module")
def drawn() -> list:
    """A few pictures with their captions."""
    return list(samples("val", 30))


def thing(kind: str, color: str, x: int, y: int, size: str = "small") -> Thing:
    """A thing with its box at (x, y)."""
    return Thing(kind, color, size, x, y, 16 if size == "small" else 24, (0, 0, 0), False)


CAR = thing("car", "red", 4, 20)
TREE = thing("tree", "blue", 40, 20, "large")
SCENE = Scene("beach", 0, (CAR, TREE))


def as_dictionaries(captions: list[str], references: list[list[str]]) -> tuple[dict, dict]:
    """The form that pycocoevalcap takes."""
    return dict(enumerate(references)), {i: [c] for i, c in enumerate(captions)}


@needs_java
def test_scores_equal_pycocoevalcap(drawn: list) -> None:
    """Every score is the one that pycocoevalcap's own classes give, METEOR's program included."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge

    captions, references = [s.captions[0] for s in drawn], [s.captions[1:] for s in drawn]
    scores, _ = metrics.agreement(captions, references)
    refs, said = as_dictionaries(captions, references)
    assert [scores[f"BLEU-{n}"] for n in (1, 2, 3, 4)] == pytest.approx(Bleu(4).compute_score(refs, said, verbose=0)[0])
    assert scores["ROUGE-L"] == pytest.approx(Rouge().compute_score(refs, said)[0])
    assert scores["CIDEr"] == pytest.approx(Cider().compute_score(refs, said)[0])
    theirs = Meteor()
    assert scores["METEOR"] == pytest.approx(theirs.compute_score(refs, said)[0])
    theirs.meteor_p.kill()


@needs_java
def test_meteor_of_several_sets_is_that_of_each(drawn: list) -> None:
    """One program for several sets gives what a program for each gives, empty captions included."""
    references = [s.captions for s in drawn]
    sets = [([r[k] for r in references], references) for k in (0, 3)] + [([""] * len(drawn), references)]
    together = metrics.meteor(sets)
    assert together == pytest.approx([metrics.meteor([one])[0] for one in sets])
    assert together[0] > 0.9 > together[2]


@needs_java
def test_meteor_of_chapter_7() -> None:
    """Its few lines give the program's score where only equal words count, and no more where it knows synonyms."""
    known = chapter_7("jar", "aligned", "weight", "meteor")
    by_hand = known["meteor"]
    refs = ["a white cat is to the left of a blue star indoors", "there is a small white cat left of a star in a room"]
    captions = [
        refs[0],
        "a white cat a white cat a white cat",
        "there is a white cat to the left of a blue star in a room",
        "room a in star blue a of left the to cat white a is there",
        "a a a a a a",
        "two dogs",
        "there is a little white cat left of a star in a room",  # the program knows little
    ]
    program = metrics.meteor([([c], [refs]) for c in captions])
    ours = [by_hand(c, refs) for c in captions]
    assert ours[:-1] == pytest.approx(program[:-1], abs=1e-6)
    assert ours[0] == 1 and 0 < ours[-1] < program[-1] - 0.01


def chapter_7(*names: str) -> dict:
    """What the cells of chapter 7 that define these names leave behind, each run after a few imports."""
    notebook = nbformat.read(Path(__file__).parent.parent / "notebooks" / "07_search_and_scores.ipynb", as_version=4)
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    known: dict = {"Path": Path, "refs": ["a"], "captions": defaultdict(lambda: "a")}
    for name in names:
        (source,) = [c for c in cells if f"def {name}(" in c or f"as {name}:" in c]
        lines = [line for line in source.splitlines() if not line.startswith(("assert", "print"))]
        exec("\n".join(lines), known)
    return known


def test_cider_is_the_published_formula() -> None:
    """CIDEr of a tiny corpus, computed here from its definition: tf-idf vectors of 1 to 4-grams, clipped, times the
    penalty of the length, times 10."""
    references = [["a red car", "a car"], ["a blue tree", "the tree is blue"], ["a cat", "one cat"]]
    captions = ["a red tree", "a blue tree", "a cat cat cat"]

    def grams(text: str, n: int) -> dict[tuple[str, ...], int]:
        words = text.split()
        found: dict[tuple[str, ...], int] = {}
        for i in range(len(words) - n + 1):
            gram = tuple(words[i : i + n])
            found[gram] = found.get(gram, 0) + 1
        return found

    def frequency(gram: tuple[str, ...]) -> int:
        return sum(any(gram in grams(r, len(gram)) for r in refs) for refs in references)

    def vector(text: str, n: int) -> dict[tuple[str, ...], float]:
        return {g: c * math.log(3 / max(1, frequency(g))) for g, c in grams(text, n).items()}

    def norm(v: dict) -> float:
        return math.sqrt(sum(x * x for x in v.values()))

    total = 0.0
    for caption, refs in zip(captions, references, strict=True):
        for ref in refs:
            bigrams = [sum(grams(text, 2).values()) for text in (caption, ref)]  # pycocoevalcap's length
            for n in (1, 2, 3, 4):
                c, r = vector(caption, n), vector(ref, n)
                if norm(c) and norm(r):
                    overlap = sum(min(x, r.get(g, 0.0)) * r.get(g, 0.0) for g, x in c.items())
                    penalty = math.exp(-((bigrams[0] - bigrams[1]) ** 2) / (2 * 6.0**2))
                    total += 10 * overlap / (norm(c) * norm(r)) * penalty / 4 / len(refs) / 3
    assert metrics.cider(captions, references) == pytest.approx(total, rel=1e-9)


def test_equal_terms_are_equal(drawn: list) -> None:
    """A model that says a random reference, left out of its own judges, would score as people do; one that says
    what is among the references scores higher."""
    references = [s.captions for s in drawn]
    first = [r[0] for r in references]
    model, people, _ = metrics.on_equal_terms(first, references, java=False)
    by_hand = []
    for k in range(5):
        rest = [r[:k] + r[k + 1 :] for r in references]
        by_hand.append((metrics.cider(first, rest), metrics.cider([r[k] for r in references], rest)))
    assert model["CIDEr"] == pytest.approx(sum(a for a, _ in by_hand) / 5)
    assert people["CIDEr"] == pytest.approx(sum(b for _, b in by_hand) / 5)
    assert model["CIDEr"] > people["CIDEr"]  # four folds of five hold the very caption


@needs_java
def test_spice_reads_what_its_program_writes() -> None:
    """The adapter asks as SPICE is asked and reads as SPICE answers; NaN counts as nothing found."""
    captions, references = ["a cat", "a dog", "unparsable"], [["a cat", "one cat"], ["a cat"], ["x"]]
    assert metrics.spice([(captions, references)], STANDIN) == pytest.approx([(1.0 + 0.5 + 0.0) / 3])


@needs_java
def test_spice_that_fails_is_left_out() -> None:
    """A program that fails is a sentence, not a traceback."""
    with pytest.raises(RuntimeError, match=r"SPICE is left out: its program failed \(.*\)\."):
        metrics.spice([(["please fail"], [["x"]])], STANDIN)


def test_without_java(monkeypatch: pytest.MonkeyPatch, drawn: list) -> None:
    """No Java: METEOR and SPICE are left out, each with a sentence, and the others are there."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    scores, notes = metrics.agreement([s.captions[0] for s in drawn], [s.captions[1:] for s in drawn])
    assert "METEOR" not in scores and "SPICE" not in scores and scores["CIDEr"] > 1
    assert [note.split()[0] for note in notes] == ["METEOR", "SPICE"]
    assert all("Java" in note and note.endswith(".") for note in notes)


def test_wrong_numbers_of_captions() -> None:
    """Captions and pictures that do not match are refused."""
    with pytest.raises(ValueError, match="2 captions were given for 1 pictures"):
        metrics.cider(["a", "b"], [["a"]])
    with pytest.raises(ValueError, match="Picture 1 has no reference"):
        metrics.cider(["a", "b"], [["a"], []])
    with pytest.raises(ValueError, match="two references"):
        metrics.on_equal_terms(["a"], [["a"]])


JUDGED = [
    # caption, claims that are true of all claims, groups named, right
    ("a red car to the left of a blue tree on the beach", 8, 8, 2, True),
    ("a red car to the right of a blue tree on the beach", 7, 8, 2, False),
    ("a blue tree to the right of a small red car", 8, 8, 2, True),
    ("a blue car and a red tree", 2, 4, 0, False),  # both there, both colours bound wrongly
    ("a red car on the beach", 4, 4, 1, False),  # true, but a tree is missing
    ("two red cars and a blue tree", 5, 6, 2, False),
    ("a big red car and a blue tree", 6, 7, 2, False),
    ("a red car and a blue tree at night", 6, 7, 2, False),
    ("a car left of a tree", 5, 5, 0, False),  # true, but without colours
    ("a green cat", 0, 1, 0, False),  # the colour of what is not there is not judged
    ("a red car and a blue tree and a red", 6, 6, 2, False),  # a stray word
    ("", 0, 0, 0, False),
]


@pytest.mark.parametrize(("caption", "true", "claimed", "named", "right"), JUDGED)
def test_truth_is_judged_as_by_hand(caption: str, true: int, claimed: int, named: int, right: bool) -> None:
    """Captions of one scene, judged by hand."""
    found = metrics.truth(caption, SCENE)
    assert (found.true.total(), found.claimed.total(), found.named, found.right) == (true, claimed, named, right)


def test_truth_of_groups() -> None:
    """Counts, and how the members of a group stand to each other."""
    pair = Scene("night", 0, (thing("fish", "red", 4, 4), thing("fish", "red", 40, 6)))
    assert metrics.truth("two red fish side by side at night", pair).right
    assert not metrics.truth("two red fish one above the other at night", pair).right
    assert not metrics.truth("a red fish at night", pair).right
    assert not metrics.truth("a red fish and a red fish and a red fish", pair).right


def test_near_is_near() -> None:
    """Next to is true of boxes up to NEAR units apart."""
    assert metrics.truth("a red car next to a blue tree", Scene("sea", 0, (CAR, thing("tree", "blue", 28, 20)))).right
    assert not metrics.truth("a red car next to a blue tree", SCENE).right


def test_references_are_true_and_shuffled_ones_are_not(drawn: list) -> None:
    """References claim nothing false of their own scene, and much that is false of the next one."""
    scenes = [s.scene for s in drawn]
    captions = [s.captions[2] for s in drawn]
    own = metrics.truthfulness(captions, scenes)
    assert all(own[c] == 1 for c in metrics.CATEGORIES if not math.isnan(own[c]))
    other = metrics.truthfulness(captions[1:] + captions[:1], scenes)
    assert other["right"] == 0 and other["colours"] < 0.5 and other["objects"] < 0.5


def test_shares_by_number_average_to_the_whole(drawn: list) -> None:
    """`right` is the mean of `right 1`, `right 2` and `right 3`, weighted by how many pictures have as many things."""
    scenes = [s.scene for s in drawn]
    scores = metrics.truthfulness([s.captions[0] for s in drawn], scenes)
    numbers = [len(s.things) for s in scenes]
    assert scores["right"] == pytest.approx(sum(scores[f"right {n}"] for n in numbers) / len(numbers))
    assert all(a != b for a, b in pairwise(sorted(set(numbers))))
