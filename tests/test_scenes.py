"""Scenes: the same bytes everywhere, splits that do not leak, relations that hold."""

import hashlib
import json
from itertools import combinations

import numpy as np
import pytest

from uvlm_mini.datasets.coco import CaptionSet, Sample
from uvlm_mini.datasets.drawing import BACKGROUNDS, COLORS, KINDS, VARIANTS
from uvlm_mini.datasets.scenes import BOXES, GAP, HELD_OUT, SPLITS, Scene, Thing, compose, samples, scene

# sha256 of the first 20 of each split: pictures, captions, graphs
GOLDEN = {
    "train": ("e846fa120b211ab4", "b07855dda2f4ca7d", "3ddb03e8f43e5946"),
    "val": ("45d32b7b17fbc3b1", "52dc593000ee93b8", "e0ffcc556745f9a3"),
    "test": ("6431b102bdbddf92", "02e0884826fc4ae7", "b12d6cbc8c13b93f"),
    "compositional": ("96ebfe0ba85850e4", "87f65776ddfc2fd8", "9dbbf40b53238363"),
    "hard": ("ca6cce89e9a5e504", "24374b0d9a605571", "8d0b779f1e8b0c0d"),
}
OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}


@pytest.fixture(scope="module")
def all_scenes() -> dict[str, list[Scene]]:
    """Every scene of every split; composing one takes a tenth of a millisecond."""
    return {split: [scene(split, i) for i in range(n)] for split, n in SPLITS.items()}


def digest(data: bytes) -> str:
    """The beginning of a sha256."""
    return hashlib.sha256(data).hexdigest()[:16]


@pytest.mark.parametrize("split", SPLITS)
def test_golden_scenes(split):
    """Pictures, captions and graphs of the first 20 scenes have these bytes on every machine."""
    rows = list(samples(split, 20))
    pictures = digest(b"".join(s.picture.tobytes() for s in rows))
    captions = digest("\n".join(c for s in rows for c in s.captions).encode())
    graphs = digest(json.dumps([s.scene.graph() for s in rows], sort_keys=True).encode())
    assert (pictures, captions, graphs) == GOLDEN[split]


def test_samples_are_the_scenes_drawn_and_told():
    """What training reads is what `scene`, `draw` and `captions` give, five captions a picture."""
    rows = list(samples("val", 30))
    assert len(rows) == 30
    for i, row in enumerate(rows):
        one = scene("val", i)
        assert row.scene == one
        assert row.name == f"val/{i}"
        assert np.array_equal(row.picture, one.draw())
        assert row.picture.shape == (64, 64, 3) and row.picture.dtype == np.uint8
        assert row.captions == one.captions(f"captions/val/{i}")
        assert len(set(row.captions)) == 5


def test_splits_have_their_sizes():
    """20,000 to train, and 1,000 each to validate, to test, with new pairs and crowded."""
    assert SPLITS == {"train": 20_000, "val": 1_000, "test": 1_000, "compositional": 1_000, "hard": 1_000}


def test_no_scene_stands_in_two_splits_or_twice_in_one(all_scenes):
    """No graph is drawn twice: neither does a test picture leak into training, nor is one trained on twice."""
    graphs = [json.dumps(s.graph(), sort_keys=True) for found in all_scenes.values() for s in found]
    assert len(set(graphs)) == len(graphs) == sum(SPLITS.values())


@pytest.mark.parametrize("split", ["train", "val", "test", "hard"])
def test_held_out_pairs_stay_out(all_scenes, split):
    """No kind in a colour that is held out, in any scene."""
    assert not {(t.kind, t.color) for s in all_scenes[split] for t in s.things} & HELD_OUT


def test_compositional_has_held_out_pairs_and_all_of_them(all_scenes):
    """Nothing in this split was ever seen in that colour, and every held-out pair is asked for."""
    assert {(t.kind, t.color) for s in all_scenes["compositional"] for t in s.things} == HELD_OUT


def test_training_shows_every_kind_colour_and_allowed_pair(all_scenes):
    """What is new in `compositional` is the pair alone: two colours a kind are held out, all else is trained on."""
    pairs = {(t.kind, t.color) for s in all_scenes["train"] for t in s.things}
    assert pairs == {(kind, color) for kind in KINDS for color in COLORS} - HELD_OUT
    assert all(sum(kind == k for k, _ in HELD_OUT) == 2 for kind in KINDS)
    assert {c for _, c in HELD_OUT} == set(COLORS)


def test_training_shows_every_background_variant_and_size(all_scenes):
    """And kinds, colours and backgrounds come about equally often (within a fifth of the mean)."""
    train = all_scenes["train"]
    assert {(s.background, s.variant) for s in train} == {(b, v) for b in BACKGROUNDS for v in range(VARIANTS)}
    for values in ([s.background for s in train], [t.kind for s in train for t in s.things]):
        counts = np.unique(values, return_counts=True)[1]
        assert np.abs(counts / counts.mean() - 1).max() < 0.2


@pytest.mark.parametrize(("split", "counts"), [(s, {3, 4, 5} if s == "hard" else {1, 2, 3}) for s in SPLITS])
def test_splits_have_the_counts_that_they_state(all_scenes, split, counts):
    """One to three things, three to five in `hard`; each count in a quarter of the scenes at least."""
    found = [len(s.things) for s in all_scenes[split]]
    assert set(found) == counts
    assert min(found.count(n) for n in counts) > 0.25 * len(found)


def test_things_are_counted_up_to_three(all_scenes):
    """Groups of two and of three occur, larger ones do not; members of a group are of one size."""
    groups = [g for found in all_scenes.values() for s in found for g in s.groups.values()]
    assert {len(g) for g in groups} == {1, 2, 3}
    assert all(len({t.size for t in g}) == 1 for g in groups)


def test_boxes_lie_in_the_picture_and_apart(all_scenes):
    """Recomputed as sets of pixels: each box, grown by the gap, touches no other box's pixels."""
    for found in all_scenes.values():
        for s in found:
            for t in s.things:
                assert t.x >= 0 and t.y >= 0 and t.x + t.box <= 64 and t.y + t.box <= 64
                assert BOXES[t.size][0] <= t.box <= BOXES[t.size][1]
    for s in [s for found in all_scenes.values() for s in found[:200]]:
        taken = np.zeros((64 + 2 * GAP, 64 + 2 * GAP), int)
        for t in s.things:
            taken[t.y + GAP : t.y + t.box + GAP, t.x + GAP : t.x + t.box + GAP] += 1
        for t in s.things:
            grown = taken[t.y + 1 : t.y + t.box + 2 * GAP - 1, t.x + 1 : t.x + t.box + 2 * GAP - 1]
            assert grown.sum() == t.box**2


def test_relations_are_those_of_the_centres(all_scenes):
    """Recomputed from the centres: the axis that is more than half as long again decides, else nothing is said."""
    for s in [s for found in all_scenes.values() for s in found[:1000]]:
        expected = set()
        for i, a in enumerate(s.things):
            for j, b in enumerate(s.things):
                right = (b.x + b.box / 2) - (a.x + a.box / 2)
                down = (b.y + b.box / 2) - (a.y + a.box / 2)
                if abs(right) > 1.5 * abs(down):
                    expected.add((i, "left" if right > 0 else "right", j))
                elif abs(down) > 1.5 * abs(right):
                    expected.add((i, "above" if down > 0 else "below", j))
        assert set(s.relations) == expected
        assert len(s.relations) == len(expected)


def test_relations_turn_round(all_scenes):
    """If a is left of b, then b is right of a, and neither is anything else to the other."""
    for s in all_scenes["hard"]:
        found = set(s.relations)
        assert {(j, OPPOSITE[how], i) for i, how, j in found} == found
        assert len({(i, j) for i, _, j in found}) == len(found)


def test_gap_is_the_free_space():
    """Between boxes beside each other, diagonal to each other, and overlapping, either way round."""

    def thing(x: int, y: int) -> Thing:
        return Thing("cat", "red", "small", x, y, 10, (0, 0, 0), False)

    for (x, y), gap in {(15, 0): 5, (0, 13): 3, (15, 18): 8, (10, 3): 0, (4, 4): -6}.items():
        assert thing(0, 0).gap(thing(x, y)) == thing(x, y).gap(thing(0, 0)) == gap


def test_graph_survives_json(all_scenes):
    """The scene that comes back draws and says the same."""
    for found in all_scenes.values():
        for s in found[:50]:
            back = Scene.from_graph(json.loads(json.dumps(s.graph())))
            assert back == s
            assert back.captions("any") == s.captions("any")
    assert np.array_equal(Scene.from_graph(json.loads(json.dumps(s.graph()))).draw(), s.draw())


def test_picture_shows_its_things_where_the_graph_says():
    """A picture differs from its empty background inside the boxes alone, and in each of them."""
    for i in range(60):
        s = scene("hard", i)
        differs = (s.draw() != Scene(s.background, s.variant, ()).draw()).any(axis=2)
        for t in s.things:
            inside = differs[t.y : t.y + t.box, t.x : t.x + t.box]
            assert inside.mean() > 0.15
            inside[:] = False
        assert not differs.any()


@pytest.mark.parametrize("times", [2, 3])
def test_pictures_are_sharp_at_any_size(times):
    """Larger drawings, averaged down, are close to what the model sees."""
    for i in range(4):
        s = scene("test", i)
        large = s.draw(64 * times).reshape(64, times, 64, times, 3).mean(axis=(1, 3))
        assert np.abs(s.draw() - large).mean() < 3


@pytest.mark.parametrize("pixels", [1, 2, 7, 63, 65, 100])
def test_odd_sizes_are_drawn(pixels):
    """No size makes a box run out of the picture."""
    for i in range(20):
        assert scene("hard", i).draw(pixels).shape == (pixels, pixels, 3)


def test_every_number_of_things_can_be_composed():
    """compose keeps to the counts that it is given, and to its seed."""
    for n in range(1, 6):
        assert len(compose(f"n{n}", {n: 1.0}).things) == n
    assert compose("same") == compose("same")
    assert compose("same") != compose("other")
    held = compose("held", held_out=True)
    assert {(t.kind, t.color) for t in held.things} <= HELD_OUT


@pytest.mark.parametrize("ask", [lambda split: scene(split, 0), lambda split: list(samples(split))])
def test_a_split_that_does_not_exist_is_named(ask):
    """The sentence lists the splits that there are, for one scene and for a whole split."""
    with pytest.raises(ValueError, match=r"no split 'training'.*train, val"):
        ask("training")


@pytest.mark.parametrize("index", [-1, 1000])
def test_an_index_out_of_range_is_named(index):
    """The sentence says which there are."""
    with pytest.raises(ValueError, match=f"0 to 999, not {index}"):
        scene("val", index)


def test_a_caption_set_gathers_samples_in_order():
    """Pictures, captions, names and scenes stay together; an empty set is refused."""
    rows = list(samples("val", 4))
    found = CaptionSet.gather(iter(rows))
    assert len(found) == 4
    for i, row in enumerate(rows):
        assert np.array_equal(found.pictures[i], row.picture)
        assert (found.captions[i], found.names[i], found.scenes[i]) == (row.captions, row.name, row.scene)
    assert CaptionSet.gather([Sample("x", rows[0].picture, ["a cat"])]).scenes == [None]
    with pytest.raises(ValueError, match="no picture"):
        CaptionSet.gather([])


def test_relations_are_balanced(all_scenes):
    """Left, right, above and below each come up in a fifth of the related pairs at least: no answer is a safe bet."""
    how = [h for s in all_scenes["train"][:4000] for i, h, j in s.relations if i < j]
    assert min(how.count(name) for name in OPPOSITE) > 0.2 * len(how)
    pairs = sum(len(list(combinations(s.things, 2))) for s in all_scenes["train"][:4000])
    assert len(how) > 0.5 * pairs
