"""What can be said of a scene: the grammar that writes captions, and the reader that takes them apart again.

    caption    = [opening] body [place]          "there is" + "a red car left of a blue tree" + "on the beach"
    body       = group [relation group] ...
    group      = (article | number) [size] [colour] noun

A relation binds the groups right and left of it, nothing farther away: "a cat left of a dog and a cup" says
nothing of where the cup is. Words and weights are frozen: weights trained on these captions stay comparable.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .dice import Dice
from .drawing import COLORS, KINDS

if TYPE_CHECKING:
    from .scenes import Scene, Thing

    Group = tuple[Thing, ...]

SYNONYMS = {"cat": "kitty", "dog": "puppy", "boat": "ship", "cup": "mug"}
PLURALS = {"fish": "fish", "kitty": "kitties", "puppy": "puppies", "butterfly": "butterflies"}
NUMBERS = {"two": 2, "three": 3}
SIZES = {"small": {"small": 0.7, "little": 0.3}, "large": {"big": 0.6, "large": 0.4}}

RELATIONS: dict[str, dict[str, float]] = {
    "left": {"to the left of": 0.75, "left of": 0.25},
    "right": {"to the right of": 0.75, "right of": 0.25},
    "above": {"above": 0.8, "over": 0.2},
    "below": {"below": 0.75, "under": 0.25},
    "near": {"next to": 0.7, "beside": 0.3},
}
AMONG = {
    "left": "side by side",
    "right": "side by side",
    "above": "one above the other",
    "below": "one above the other",
}

PLACES: dict[str, dict[str, float]] = {
    "meadow": {"on the grass": 0.6, "in a meadow": 0.25, "in a green field": 0.15},
    "beach": {"on the beach": 0.6, "at the beach": 0.25, "on the sand": 0.15},
    "snow": {"in the snow": 0.75, "on a snowy day": 0.25},
    "desert": {"in the desert": 0.75, "among sand dunes": 0.25},
    "sea": {"on the water": 0.6, "in the sea": 0.25, "at sea": 0.15},
    "night": {"at night": 0.65, "under a night sky": 0.2, "in the dark": 0.15},
    "city": {"in the city": 0.6, "on a street": 0.25, "in front of tall buildings": 0.15},
    "room": {"in a room": 0.65, "indoors": 0.35},
}

OPENINGS = {"": 0.62, "there is": 0.23, "a picture of": 0.09, "an image of": 0.06}


# ----------------------------------------------------------------------------------------------------------------
# Saying


def tellable(scene: Scene) -> bool:
    """Whether a scene of two groups or more has two that clearly stand left, right, above or below."""
    groups = list(scene.groups.values())
    return len(groups) == 1 or bool(_related(groups))


def captions(scene: Scene, dice: Dice, n: int = 5) -> list[str]:
    """n captions of the scene, all different."""
    found: list[str] = []
    while len(found) < n:
        caption = _caption(scene, dice)
        if caption not in found:
            found.append(caption)
    return found


def _caption(scene: Scene, dice: Dice) -> str:
    opening = dice.weigh(OPENINGS)
    place = dice.weigh(PLACES[scene.background]) if dice.chance(0.95) else ""
    first = bool(place) and dice.chance(0.14)  # "on the beach there is ..."
    opening = "there is" if first else opening
    body, plural = _body(scene, dice, verb=not opening and dice.chance(0.3), place=place)
    if opening == "there is" and plural:
        opening = "there are"
    parts = (place, opening, body) if first else (opening, body, place)
    return " ".join(part for part in parts if part)


def _body(scene: Scene, dice: Dice, verb: bool, place: str) -> tuple[str, bool]:
    """What stands between opening and place, and whether it starts with a plural."""
    groups = sorted(scene.groups.values(), key=lambda g: (g[0].size != "large", g[0].x))  # the salient first
    sizes = {t.size for g in groups for t in g}
    told = 0.35 if len(sizes) > 1 else 0.12

    def name(group: Group) -> str:
        return _name(group, dice, dice.chance(told), dice.chance(0.96))

    def be(group: Group) -> str:
        return ("are " if len(group) > 1 else "is ") if verb else ""

    if len(groups) == 1:
        group = groups[0]
        among = _among(group) if dice.chance(0.7) else None
        words = [name(group)]
        if among:
            words.append(be(group) + among)
        elif verb and place:
            words.append(be(group).strip())
        return " ".join(words), len(group) > 1

    pairs = _related(groups)
    a, how, b = pairs[0] if dice.chance(0.7) else dice.pick(pairs)
    if dice.chance(0.22):
        a, how, b = b, _OPPOSITE[how], a
    rest = [g for g in groups if g is not a and g is not b]
    relation = f"{name(a)} {be(a)}{dice.weigh(RELATIONS[how])} {name(b)}"

    if len(groups) == 2:
        form = dice.weigh({"relation": 0.8, "near": 0.08, "list": 0.12})
        if form == "near" and _near(a, b):
            return f"{name(a)} {be(a)}{dice.weigh(RELATIONS['near'])} {name(b)}", len(a) > 1
        if form == "relation":
            return relation, len(a) > 1
        return _list([name(a), name(b)]), len(a) > 1

    listed = dice.shuffled(groups) if dice.chance(0.4) else groups
    if len(groups) == 3:
        c = rest[0]
        form = dice.weigh({"then": 0.42, "first": 0.16, "both": 0.26, "list": 0.16})
        kinds = [g[0].kind for g in groups]
        anchors = [
            (how_c, anchor)
            for _, how_c, anchor in _related([c, a]) + _related([c, b])
            if kinds.count(anchor[0].kind) == 1
        ]
        if form == "both" and anchors:
            how_c, anchor = dice.pick(anchors)
            noun = _noun(anchor[0].kind, len(anchor))
            return f"{relation} and {name(c)} {dice.weigh(RELATIONS[how_c])} the {noun}", len(a) > 1
        if form == "first":
            return f"{name(c)} and {relation}", len(c) > 1
        if form == "list":
            return _list([name(g) for g in listed]), len(listed[0]) > 1
        return f"{relation} and {name(c)}", len(a) > 1

    if dice.chance(0.25):
        return _list([name(g) for g in listed]), len(listed[0]) > 1
    return f"{relation} with {_list([name(g) for g in rest])}", len(a) > 1


_OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}


def _related(groups: list[Group]) -> list[tuple[Group, str, Group]]:
    """Pairs of groups whose every two members stand alike, the more salient group first."""
    pairs = []
    for i, a in enumerate(groups):
        for b in groups[i + 1 :]:
            how = {s.stands(t) for s in a for t in b}
            if len(how) == 1 and (only := how.pop()):
                pairs.append((a, only, b))
    return pairs


def _near(a: Group, b: Group) -> bool:
    from .scenes import NEAR

    return all(s.gap(t) <= NEAR for s in a for t in b)


def _among(group: Group) -> str | None:
    """How the members of one group stand to each other, where it can be said."""
    if len(group) != 2:
        return None
    how = group[0].stands(group[1])
    return AMONG[how] if how else None


def _noun(kind: str, n: int, synonym: bool = False) -> str:
    word = SYNONYMS[kind] if synonym else kind
    return word if n == 1 else PLURALS.get(word, word + "s")


def _name(group: Group, dice: Dice, sized: bool, colored: bool) -> str:
    thing, n = group[0], len(group)
    words = [dice.weigh(SIZES[thing.size])] if sized and len({t.size for t in group}) == 1 else []
    words += [thing.color] if colored else []
    words.append(_noun(thing.kind, n, synonym=thing.kind in SYNONYMS and dice.chance(0.2)))
    if n > 1:
        return " ".join([next(w for w, k in NUMBERS.items() if k == n), *words])
    return " ".join(["an" if words[0][0] in "aeiou" else "a", *words])


def _list(names: list[str]) -> str:
    return " ".join(names[:-1]) + " and " + names[-1]


# ----------------------------------------------------------------------------------------------------------------
# Reading


@dataclass(frozen=True)
class Claim:
    """One group as a caption names it; colour and size are None where the caption leaves them out."""

    kind: str
    color: str | None
    size: str | None
    count: int


@dataclass
class Reading:
    """What a caption claims.

    relations holds (i, how, j), places in `groups`; i equals j where a group's members stand so to each other.
    strays are content words that belong to no group ("a red and a car" has the stray "red").
    """

    groups: list[Claim] = field(default_factory=list)
    relations: list[tuple[int, str, int]] = field(default_factory=list)
    backgrounds: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)


def _phrases(table: dict[str, dict[str, float]]) -> dict[tuple[str, ...], str]:
    found = {tuple(phrase.split()): name for name, phrases in table.items() for phrase in phrases}
    return dict(sorted(found.items(), key=lambda item: -len(item[0])))  # the longest first


_NOUNS = {
    _noun(kind, n, synonym): (kind, n)
    for kind in KINDS
    for synonym in ([False, True] if kind in SYNONYMS else [False])
    for n in (2, 1)
}
_SIZE_OF = {word: size for size, words in SIZES.items() for word in words}
_CONTENT = {*_NOUNS, *COLORS, *_SIZE_OF, *NUMBERS}
_PLACE_PHRASES = _phrases(PLACES)
_RELATION_PHRASES = _phrases(RELATIONS)
_AMONG_PHRASES = {tuple(phrase.split()): how for how, phrase in AMONG.items() if how in ("left", "above")}


def _match(phrases: dict[tuple[str, ...], str], words: list[str], at: int) -> tuple[str, int] | None:
    for phrase, name in phrases.items():
        if tuple(words[at : at + len(phrase)]) == phrase:
            return name, at + len(phrase)
    return None


def read(caption: str) -> Reading:
    """Take a caption apart into what it claims. Any string can be read; words it does not know claim nothing."""
    words = caption.lower().replace(",", " ").replace(".", " ").split()
    reading = Reading()
    last: int | None = None  # the group that a relation would start from
    pending: tuple[int, str] | None = None  # a relation that waits for its second group
    at = 0
    while at < len(words):
        if found := _match(_PLACE_PHRASES, words, at):
            reading.backgrounds.append(found[0])
            at = found[1]
            continue
        if found := _match(_AMONG_PHRASES, words, at):
            if last is not None:
                reading.relations.append((last, found[0], last))
            at = found[1]
            continue
        if found := _match(_RELATION_PHRASES, words, at):
            pending = None if last is None else (last, found[0])
            at = found[1]
            continue
        group = _read_group(words, at)
        if group is None:
            if words[at] in _CONTENT:
                reading.strays.append(words[at])
            at += 1
            continue
        claim, definite, at = group
        known = [i for i, g in enumerate(reading.groups) if g.kind == claim.kind]
        if definite and claim.color is None and known:
            last = known[-1]  # "the car" is a car already named, not another one
        else:
            reading.groups.append(claim)
            last = len(reading.groups) - 1
        if pending:
            reading.relations.append((*pending, last))
            pending = None
    return reading


def _read_group(words: list[str], at: int) -> tuple[Claim, bool, int] | None:
    """The group that starts at `at`: the claim, whether it began with "the", and where it ends."""
    definite, count, size, color = False, None, None, None
    if words[at] in ("a", "an", "the"):
        definite, at = words[at] == "the", at + 1
    elif words[at] in NUMBERS:
        count, at = NUMBERS[words[at]], at + 1
    if at < len(words) and words[at] in _SIZE_OF:
        size, at = _SIZE_OF[words[at]], at + 1
    if at < len(words) and words[at] in COLORS:
        color, at = words[at], at + 1
    if at < len(words) and words[at] in _NOUNS:
        kind, number = _NOUNS[words[at]]
        return Claim(kind, color, size, count or number), definite, at + 1
    return None
