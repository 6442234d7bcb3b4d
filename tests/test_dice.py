"""The dice give the same choices on every machine, and fair ones."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uvlm_mini.datasets.dice import Dice


def test_the_same_seed_gives_these_choices_everywhere():
    """Golden values: a Python or a change that rolls otherwise would change every picture of the data set."""
    dice = Dice("golden")
    assert [dice.between(0, 999) for _ in range(8)] == [811, 486, 268, 85, 374, 977, 177, 144]
    assert dice.pick("abcdefgh") == "g"
    assert dice.shuffled("abcdefgh") == list("facehdgb")
    assert dice.weigh({"x": 1, "y": 2, "z": 3}) == "z"
    assert dice.chance(0.5) is False


def test_two_dice_of_one_seed_agree_and_of_two_seeds_do_not():
    """A sequence depends on its seed string and on nothing else."""

    def rolls(seed: str) -> list[int]:
        dice = Dice(seed)
        return [dice.between(1, 10**6) for _ in range(20)]

    assert rolls("a") == rolls("a")
    assert rolls("a") != rolls("b")


@given(st.text(max_size=8), st.integers(-50, 50), st.integers(0, 100))
def test_between_stays_between(seed, low, width):
    """Both ends are included and never passed."""
    dice = Dice(seed)
    assert all(low <= dice.between(low, low + width) <= low + width for _ in range(20))


def test_between_reaches_every_number_about_equally_often():
    """The mean count of a face is 1000; five standard deviations are about 150."""
    dice = Dice("fair")
    counts = Counter(dice.between(1, 6) for _ in range(6000))
    assert sorted(counts) == [1, 2, 3, 4, 5, 6]
    assert all(abs(n - 1000) < 150 for n in counts.values())


def test_pick_reaches_every_item():
    """No item is left out, the first and the last included."""
    dice = Dice("pick")
    assert {dice.pick("abcde") for _ in range(200)} == set("abcde")


def test_weigh_follows_the_weights():
    """Shares equal weights, whatever their sum; a weight of nothing is never drawn."""
    dice = Dice("weigh")
    counts = Counter(dice.weigh({"a": 6.0, "never": 0.0, "b": 3.0, "c": 1.0}) for _ in range(10_000))
    assert counts["never"] == 0
    for item, share in {"a": 0.6, "b": 0.3, "c": 0.1}.items():
        assert counts[item] / 10_000 == pytest.approx(share, abs=0.025)


@given(st.text(max_size=8), st.lists(st.integers(), max_size=12))
def test_shuffled_keeps_every_item(seed, items):
    """A shuffle is a permutation, and leaves the list that it was given alone."""
    before = list(items)
    assert sorted(Dice(seed).shuffled(items)) == sorted(before)
    assert items == before


def test_shuffled_reaches_every_order():
    """All six orders of three items come up, each about as often."""
    dice = Dice("orders")
    counts = Counter("".join(dice.shuffled("abc")) for _ in range(1200))
    assert len(counts) == 6
    assert all(abs(n - 200) < 70 for n in counts.values())


@pytest.mark.parametrize(("p", "always"), [(0.0, False), (1.0, True)])
def test_chance_at_its_ends(p, always):
    """Probability 0 never happens, probability 1 always."""
    dice = Dice("ends")
    assert all(dice.chance(p) is always for _ in range(200))
