"""The grammar says nothing false, and reads back what it says.

The judge below shares no code with the package: it works on the plain JSON of a scene graph.
"""

import re
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uvlm_mini.datasets import grammar
from uvlm_mini.datasets.grammar import Claim, Reading, read
from uvlm_mini.datasets.scenes import SPLITS, Scene, Thing, scene

_TEXT = """
a above among an and apple apples are at ball balls beach below beside big bird birds blue boat boats buildings
butterflies butterfly by car cars cat cats city clock clocks cup cups dark day desert dog dogs dunes field fish flower
flowers front grass green hat hats house houses image in indoors is kite kites kitties kitty large left little meadow
moon moons mug mugs mushroom mushrooms next night of on one orange other over picture pink puppies puppy purple red
right room sand sea ship ships side sky small snow snowy star stars street sun suns tall the there three to train
trains tree trees two umbrella umbrellas under water white with yellow
"""
WORDS = _TEXT.split()

ONE_MANY = {w: w + "s" for w in WORDS if w + "s" in WORDS} | {
    "fish": "fish", "kitty": "kitties", "puppy": "puppies", "butterfly": "butterflies",
}  # fmt: skip
NOUNS = {*ONE_MANY, *ONE_MANY.values()}
ADJECTIVES = ["small", "little", "big", "large", "red", "orange", "yellow", "green", "blue", "purple", "pink", "white"]


# ----------------------------------------------------------------------------------------------------------------
# The judge


def how_it_stands(a: dict, b: dict) -> str | None:
    """Left, right, above or below, from the centres of two boxes, where one axis clearly dominates."""
    right = (b["x"] + b["box"] / 2) - (a["x"] + a["box"] / 2)
    down = (b["y"] + b["box"] / 2) - (a["y"] + a["box"] / 2)
    if abs(right) > 1.5 * abs(down):
        return "left" if right > 0 else "right"
    if abs(down) > 1.5 * abs(right):
        return "above" if down > 0 else "below"
    return None


def is_near(a: dict, b: dict) -> bool:
    """No more than eight units between the boxes, by the larger of the two axes."""
    free = [max(a[k] - b[k] - b["box"], b[k] - a[k] - a["box"]) for k in "xy"]
    return max(free) <= 8


def holds(first: list[dict], how: str, second: list[dict]) -> bool:
    """Whether a relation is true of all members of two groups, or within one group of two."""
    if first is second:
        pair = {"left": {"left", "right"}, "above": {"above", "below"}}[how]
        return len(first) == 2 and how_it_stands(*first) in pair
    if how == "near":
        return all(is_near(a, b) for a in first for b in second)
    return all(how_it_stands(a, b) == how for a in first for b in second)


def is_true(reading: Reading, graph: dict) -> bool:
    """Whether the claims can be laid on different groups of the graph so that every one of them is so."""
    if reading.strays or any(b != graph["background"] for b in reading.backgrounds):
        return False
    groups: dict[tuple, list[dict]] = {}
    for thing in graph["things"]:
        groups.setdefault((thing["kind"], thing["color"]), []).append(thing)

    def fits(claim: Claim, group: list[dict]) -> bool:
        return (
            claim.kind == group[0]["kind"]
            and claim.color in (None, group[0]["color"])
            and claim.count == len(group)
            and all(claim.size in (None, thing["size"]) for thing in group)
        )

    return any(
        all(fits(c, g) for c, g in zip(reading.groups, laid, strict=True))
        and all(holds(laid[i], how, laid[j]) for i, how, j in reading.relations)
        for laid in permutations(groups.values(), len(reading.groups))
    )


@pytest.fixture(scope="module")
def told() -> list[tuple[dict, list[str]]]:
    """Graphs and captions of the first thousand scenes of every split."""
    found = [(scene(split, i), f"captions/{split}/{i}") for split in SPLITS for i in range(1000)]
    return [(one.graph(), one.captions(seed)) for one, seed in found]


@pytest.fixture(scope="module")
def readings(told) -> list[list[Reading]]:
    """Those captions, read."""
    return [[read(caption) for caption in captions] for _, captions in told]


# ----------------------------------------------------------------------------------------------------------------
# What is said


def test_every_caption_says_the_truth_and_names_every_group(told, readings):
    """25,000 captions, read back, claim nothing false, nothing stray, and leave no group out."""
    for (graph, captions), found in zip(told, readings, strict=True):
        groups = {(t["kind"], t["color"]) for t in graph["things"]}
        for caption, reading in zip(captions, found, strict=True):
            assert is_true(reading, graph), (caption, graph)
            assert len(reading.groups) == len(groups), caption


def test_the_judge_finds_lies(told):
    """In a mirrored scene, on another background, in another colour, or with a thing less, captions are false."""
    lies = {"mirror": 0, "background": 0, "color": 0, "less": 0, "size": 0}
    for graph, captions in told[:1000]:
        things = graph["things"]
        mirrored = graph | {"things": [t | {"x": 64 - t["x"] - t["box"]} for t in things]}
        elsewhere = graph | {"background": "sea" if graph["background"] != "sea" else "room"}
        recolored = graph | {"things": [t | {"color": "grey"} for t in things]}
        resized = graph | {"things": [t | {"size": "huge"} for t in things]}
        for caption in captions:
            reading = read(caption)
            if all(c.color for c in reading.groups):
                assert not is_true(reading, recolored), caption
                lies["color"] += 1
                if any(how in ("left", "right") and i != j for i, how, j in reading.relations):
                    assert not is_true(reading, mirrored), caption
                    lies["mirror"] += 1
            if reading.backgrounds:
                assert not is_true(reading, elsewhere), caption
                lies["background"] += 1
            if any(c.size for c in reading.groups):
                assert not is_true(reading, resized), caption
                lies["size"] += 1
            assert not is_true(reading, graph | {"things": things[1:]}), caption
            lies["less"] += 1
    assert min(lies.values()) > 500, lies


def test_five_captions_differ(told):
    """No scene has the same caption twice."""
    assert all(len(captions) == len(set(captions)) == 5 for _, captions in told)


def test_the_same_seed_says_the_same():
    """Captions depend on the scene and the seed."""
    one = scene("train", 3)
    assert one.captions("a") == one.captions("a") != one.captions("b")


def test_most_captions_of_two_groups_state_a_relation(readings):
    """More than half of them, and each of the five relations is stated in hundreds."""
    counts = {"left": 0, "right": 0, "above": 0, "below": 0, "near": 0}
    several = [reading for found in readings for reading in found if len(reading.groups) > 1]
    stated = [[how for i, how, j in reading.relations if i != j] for reading in several]
    assert sum(map(bool, stated)) > 0.5 * len(stated)
    for relations in stated:
        for how in relations:
            counts[how] += 1
    assert min(counts.values()) > 100, counts


def test_colours_and_backgrounds_are_usually_told(readings):
    """As people would: nearly always the colour, nearly always the place, the size now and then."""
    every = [reading for found in readings for reading in found]
    claims = [claim for reading in every for claim in reading.groups]
    assert 0.93 < sum(c.color is not None for c in claims) / len(claims) < 0.99
    assert 0.92 < sum(len(r.backgrounds) for r in every) / len(every) < 0.98
    assert 0.1 < sum(c.size is not None for c in claims) / len(claims) < 0.4
    assert max(len(r.backgrounds) for r in every) == 1


def test_words_are_the_frozen_ones(told):
    """Golden vocabulary: weights trained on these captions stay usable only while no word comes or goes."""
    said = {word for _, captions in told for caption in captions for word in caption.split()}
    assert sorted(said) == WORDS
    assert len(WORDS) == 115


def test_articles_and_numbers_agree_with_their_nouns(told):
    """A vowel takes "an"; nouns are singular after an article, plural after a number, and every noun has one."""
    group = re.compile(rf"\b(a|an|the|two|three)((?: (?:{'|'.join(ADJECTIVES)}))*) ({'|'.join(NOUNS)})\b")
    for _, captions in told:
        for caption in captions:
            assert all((a == "an") == (w[0] in "aeiou") for a, w in re.findall(r"\b(an?) (\w+)", caption)), caption
            found = group.findall(caption)
            assert len(found) == sum(w in NOUNS for w in caption.split()), caption
            for opener, _, noun in found:
                assert opener == "the" or noun in (ONE_MANY if opener in ("a", "an") else ONE_MANY.values()), caption


def test_verbs_agree_with_the_group_beside_them(told):
    """One thing "is", several "are": after "there" the next group decides, else the one before the verb."""
    verbs = 0
    for _, captions in told:
        for caption in captions:
            words = caption.split()
            for at in [i for i, w in enumerate(words) if w in ("is", "are")]:
                there = at > 0 and words[at - 1] == "there"
                side = words[at + 1 :] if there else words[:at][::-1]
                opener = next(w for w in side if w in ("a", "an", "two", "three"))
                assert (words[at] == "are") == (opener in ("two", "three")), caption
                verbs += 1
    assert verbs > 5000


def test_untellable_scenes_are_told_apart():
    """Two things on a diagonal have no relation to state; side by side they have one."""

    def pair(x: int, y: int) -> Scene:
        cat = Thing("cat", "red", "small", 1, 1, 15, (0, 0, 0), False)
        return Scene("sea", 0, (cat, Thing("dog", "blue", "small", x, y, 15, (0, 0, 0), False)))

    assert not grammar.tellable(pair(30, 30))
    assert grammar.tellable(pair(30, 2))
    assert grammar.tellable(Scene("sea", 0, pair(30, 30).things[:1]))


# ----------------------------------------------------------------------------------------------------------------
# What is read

CAT, DOG, CAR = Claim("cat", None, None, 1), Claim("dog", None, None, 1), Claim("car", None, None, 1)
CUP = Claim("cup", None, None, 1)

READINGS = {
    "": Reading(),
    "on": Reading(),
    "a": Reading(),
    "a cat": Reading([CAT]),
    "cat": Reading([CAT]),
    "A red cat.": Reading([Claim("cat", "red", None, 1)]),
    "a little orange kitty": Reading([Claim("cat", "orange", "small", 1)]),
    "a big ship at sea": Reading([Claim("boat", None, "large", 1)], [], ["sea"]),
    "three large pink butterflies": Reading([Claim("butterfly", "pink", "large", 3)]),
    "two fish": Reading([Claim("fish", None, None, 2)]),
    "a fish": Reading([Claim("fish", None, None, 1)]),
    "dogs": Reading([Claim("dog", None, None, 2)]),
    "in a green field there is a cat": Reading([CAT], [], ["meadow"]),
    "a cat in the dark at night": Reading([CAT], [], ["night", "night"]),
    "a cat in front of tall buildings": Reading([CAT], [], ["city"]),
    # relations bind their neighbours
    "a cat to the left of a dog": Reading([CAT, DOG], [(0, "left", 1)]),
    "a cat is right of a dog": Reading([CAT, DOG], [(0, "right", 1)]),
    "a cat over a dog under a car": Reading([CAT, DOG, CAR], [(0, "above", 1), (1, "below", 2)]),
    "a cat left of a dog and a car": Reading([CAT, DOG, CAR], [(0, "left", 1)]),
    "a car and a cat beside a dog": Reading([CAR, CAT, DOG], [(1, "near", 2)]),
    "a cat above a dog with a car and a cup": Reading([CAT, DOG, CAR, CUP], [(0, "above", 1)]),
    "a cat a dog and a car": Reading([CAT, DOG, CAR]),
    "left of a dog": Reading([DOG]),
    "a cat left of": Reading([CAT]),
    "on the beach a cat next to a dog indoors": Reading([CAT, DOG], [(0, "near", 1)], ["beach", "room"]),
    # "the car" is the one already named
    "a red car left of a dog and a cat above the car": Reading(
        [Claim("car", "red", None, 1), DOG, CAT], [(0, "left", 1), (2, "above", 0)]
    ),
    "a dog left of a car and a cat below the puppy": Reading([DOG, CAR, CAT], [(0, "left", 1), (2, "below", 0)]),
    "the car is above a dog": Reading([CAR, DOG], [(0, "above", 1)]),
    "a car left of the red car": Reading([CAR, Claim("car", "red", None, 1)], [(0, "left", 1)]),
    # among themselves
    "two cats side by side": Reading([Claim("cat", None, None, 2)], [(0, "left", 0)]),
    "two cats are one above the other in the snow": Reading([Claim("cat", None, None, 2)], [(0, "above", 0)], ["snow"]),
    "side by side": Reading(),
    # strays
    "a red and a car": Reading([CAR], strays=["red"]),
    "a small red": Reading(strays=["small", "red"]),
    "two of a cat": Reading([CAT], strays=["two"]),
    "a red blue cat": Reading([Claim("cat", "blue", None, 1)], strays=["red"]),
    "a zebra eats a cat": Reading([CAT]),
}


@pytest.mark.parametrize("caption", READINGS)
def test_hand_written_captions_are_read_as_people_read_them(caption):
    """The expected reading is written down beside each caption."""
    assert read(caption) == READINGS[caption]


def check_form(reading: Reading) -> None:
    """Every reading keeps to what its docstring promises."""
    n = len(reading.groups)
    assert all(0 <= i < n and 0 <= j < n for i, _, j in reading.relations)
    assert all(how in grammar.RELATIONS for _, how, _ in reading.relations)
    assert all(b in grammar.PLACES for b in reading.backgrounds)
    assert all(c.count in (1, 2, 3) for c in reading.groups)


@given(st.text(max_size=80))
def test_any_string_can_be_read(text):
    """Nothing raises, whatever is typed."""
    check_form(read(text))


@given(st.lists(st.sampled_from(WORDS), max_size=30))
def test_any_sequence_of_words_can_be_read(words):
    """What an untrained model babbles is read, and no noun is lost; "the" may name one again, never more."""
    reading = read(" ".join(words))
    check_form(reading)
    nouns = sum(word in NOUNS for word in words)
    assert nouns - words.count("the") <= len(reading.groups) <= nouns
    assert not NOUNS & set(reading.strays)


@given(st.integers(0, 999), st.randoms(use_true_random=False))
def test_a_shuffled_caption_names_the_same_objects(index, random):
    """Without "the", the words' order decides on colours and relations, never on which nouns were named."""
    words = [w for w in scene("test", index).captions("shuffle")[0].split() if w != "the"]
    before = sorted(claim.kind for claim in read(" ".join(words)).groups)
    random.shuffle(words)
    assert sorted(claim.kind for claim in read(" ".join(words)).groups) == before


@given(st.integers(0, 999))
def test_capitals_and_punctuation_change_nothing(index):
    """The sentence "A red cat, ..." reads as "a red cat ..."."""
    caption = scene("test", index).captions("typed")[0]
    assert read(caption.capitalize().replace(" and ", ", and ") + ".") == read(caption)
