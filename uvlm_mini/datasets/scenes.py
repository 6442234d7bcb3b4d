"""Scenes: the data set that the book carries inside itself.

A scene is a background and one to five coloured things, kept as a graph: every thing with its kind, colour, size
and place, every pair with the relation that holds between them. The picture is drawn from the graph
(drawing.py), the five captions are said from it (grammar.py), and because the graph is known, a caption can be
checked: metrics.truthfulness reads it back and tells what is true.

Glossary: a *thing* is one object; a *group* is all things of one kind and colour, which captions count; a *unit*
is 1/64 of the picture's side, so the 64 x 64 picture that the model sees has one pixel a unit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np

from . import grammar
from .coco import Sample
from .dice import Dice
from .drawing import BACKGROUNDS, COLORS, KINDS, SIDED, VARIANTS, background, paint

SIDE = 64  # units of the picture's side, and pixels of the picture that the model sees
GAP = 2  # units that stay free between two things
NEAR = 8  # things whose boxes are no farther apart than this stand next to each other
BOXES = {"small": (15, 17), "large": (23, 26)}  # side of a thing's box, in units

# How many pictures each split has, and of how many things.
SPLITS = {"train": 20_000, "val": 1_000, "test": 1_000, "compositional": 1_000, "hard": 1_000}
_COUNTS: dict[str, dict[int, float]] = {"hard": {3: 1, 4: 1, 5: 1}}
_USUAL = {1: 0.3, 2: 0.4, 3: 0.3}

# Two colours of every kind are kept out of all splits but `compositional`, which has nothing else.
HELD_OUT = frozenset(
    (kind, list(COLORS)[(3 * i + offset) % len(COLORS)]) for i, kind in enumerate(KINDS) for offset in (1, 5)
)


@dataclass(frozen=True)
class Thing:
    """One object: x, y is the upper left corner of its box, box its side, both in units of 1/64 of the picture."""

    kind: str
    color: str
    size: str
    x: int
    y: int
    box: int
    rgb: tuple[int, int, int]
    flip: bool

    def gap(self, other: Thing) -> int:
        """Units between the two boxes, by the larger of the two axes; negative where they overlap."""
        across = max(self.x - other.x - other.box, other.x - self.x - self.box)
        down = max(self.y - other.y - other.box, other.y - self.y - self.box)
        return max(across, down)

    def stands(self, other: Thing) -> str | None:
        """How this thing stands to the other: left, right, above, below, or None where neither axis dominates."""
        dx = (2 * other.x + other.box) - (2 * self.x + self.box)  # twice the distance of the centres
        dy = (2 * other.y + other.box) - (2 * self.y + self.box)
        if 2 * abs(dx) > 3 * abs(dy):
            return "left" if dx > 0 else "right"
        if 2 * abs(dy) > 3 * abs(dx):
            return "above" if dy > 0 else "below"
        return None


@dataclass(frozen=True)
class Scene:
    """A background and its things."""

    background: str
    variant: int
    things: tuple[Thing, ...]

    @cached_property
    def groups(self) -> dict[tuple[str, str], tuple[Thing, ...]]:
        """Things by (kind, colour), in the order of the scene."""
        groups: dict[tuple[str, str], tuple[Thing, ...]] = {}
        for thing in self.things:
            key = (thing.kind, thing.color)
            groups[key] = (*groups.get(key, ()), thing)
        return groups

    @cached_property
    def relations(self) -> tuple[tuple[int, str, int], ...]:
        """Every (i, relation, j) that holds between two things, i and j being their places in `things`."""
        found = []
        for i, a in enumerate(self.things):
            for j, b in enumerate(self.things):
                if i != j and (how := a.stands(b)):
                    found.append((i, how, j))
        return tuple(found)

    def draw(self, pixels: int = SIDE) -> np.ndarray:
        """The picture, (pixels, pixels, 3) uint8; sharp at any size, and with `pixels=64` what the model sees."""
        canvas = background(self.background, self.variant, pixels).copy()
        for t in self.things:
            x, y, box = (round(v * pixels / SIDE) for v in (t.x, t.y, t.box))
            box = min(box, pixels - max(x, y))
            if box > 0:
                paint(canvas, t.kind, t.rgb, x, y, box, t.flip)
        return canvas

    def captions(self, seed: str) -> list[str]:
        """Five different captions, as five people might write them."""
        return grammar.captions(self, Dice(seed))

    def graph(self) -> dict:
        """The scene as plain JSON values, relations included."""
        return {
            "background": self.background,
            "variant": self.variant,
            "things": [asdict(t) for t in self.things],
            "relations": [list(r) for r in self.relations],
        }

    @staticmethod
    def from_graph(graph: dict) -> Scene:
        """The scene that `graph()` wrote."""
        things = tuple(Thing(**{**t, "rgb": tuple(t["rgb"])}) for t in graph["things"])
        return Scene(graph["background"], graph["variant"], things)


def compose(seed: str, counts: dict[int, float] = _USUAL, held_out: bool = False) -> Scene:
    """A random scene.

    Parameters
    ----------
    seed : the same seed gives the same scene, to the byte, everywhere.
    counts : how often a scene has how many things, for example ``{1: 0.3, 2: 0.7}``.
    held_out : use only the kind-colour pairs that training never shows, instead of only the others.
    """
    dice = Dice(seed)
    n = dice.weigh(counts)
    while True:  # a crowded draw may leave no room or no clear relation; then all but the number is drawn again
        scene = _attempt(dice, n, held_out)
        if scene is not None and grammar.tellable(scene):
            return scene


def _attempt(dice: Dice, n: int, held_out: bool) -> Scene | None:
    pairs = _names(dice, n, held_out)
    things: list[Thing] = []
    for kind, color in pairs:
        twins = [t for t in things if (t.kind, t.color) == (kind, color)]
        size = twins[0].size if twins else dice.pick(("small", "large") if n < 4 else ("small", "small", "large"))
        rgb = tuple(min(255, max(0, c + dice.between(-12, 12))) for c in COLORS[color])
        flip = kind in SIDED and dice.chance(0.5)
        for _ in range(30):
            box = dice.between(*BOXES[size])
            x, y = dice.between(1, SIDE - 1 - box), dice.between(1, SIDE - 1 - box)
            thing = Thing(kind, color, size, x, y, box, rgb, flip)  # type: ignore[arg-type]
            if all(thing.gap(t) >= GAP for t in things):
                things.append(thing)
                break
        else:
            return None
    return Scene(dice.pick(BACKGROUNDS), dice.between(0, VARIANTS - 1), tuple(things))


def _names(dice: Dice, n: int, held_out: bool) -> list[tuple[str, str]]:
    """Kind and colour of n things; now and then two or three are alike, so that there is something to count."""
    names: list[tuple[str, str]] = []
    while len(names) < n:
        kind = dice.pick(list(KINDS))
        color = dice.pick([c for c in COLORS if ((kind, c) in HELD_OUT) == held_out])
        if names and dice.chance(0.08):
            kind, color = names[-1]  # a twin
        elif names and dice.chance(0.08) and (names[-1][0], color) not in HELD_OUT and not held_out:
            kind = names[-1][0]  # the same kind in another colour
        if names.count((kind, color)) < 3:
            names.append((kind, color))
    return names


def scene(split: str, index: int) -> Scene:
    """Picture number `index` of a split."""
    if split not in SPLITS:
        raise ValueError(f"There is no split {split!r}; use one of {', '.join(SPLITS)}.")
    if not 0 <= index < SPLITS[split]:
        raise ValueError(f"Split {split!r} has pictures 0 to {SPLITS[split] - 1}, not {index}.")
    return compose(f"scene/{split}/{index}", _COUNTS.get(split, _USUAL), held_out=split == "compositional")


def samples(split: str, limit: int | None = None, pixels: int = SIDE) -> Iterator[Sample]:
    """The pictures of a split with their captions, as every data set of this package gives them."""
    if split not in SPLITS:
        raise ValueError(f"There is no split {split!r}; use one of {', '.join(SPLITS)}.")
    drawn = range(SPLITS[split] if limit is None else min(limit, SPLITS[split]))
    return (_sample(split, index, pixels) for index in drawn)


def _sample(split: str, index: int, pixels: int) -> Sample:
    one = scene(split, index)
    return Sample(f"{split}/{index}", one.draw(pixels), one.captions(f"captions/{split}/{index}"), one)
