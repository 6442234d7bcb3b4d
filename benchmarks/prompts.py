"""What the model knows of how things stand when it is not free to choose what it says.

Whoever writes freely may keep to what is easy. Here the beginning of a caption is given, for every thing that has its
name to itself and every relation in which it stands:

- *what stands so*: "a red car to the left of", and greedy search names a thing. Right if the car does stand so to it.
- *how it stands*: "a red car ... a blue tree", and of left, right, above and below the likeliest in between is taken,
  each in the wording that most captions use. Right if it holds. Guessing gives a quarter; who sees the axis but not
  the way gets half.
"""

from __future__ import annotations

import numpy as np
import torch

from uvlm_mini.datasets.coco import CaptionSet
from uvlm_mini.datasets.grammar import RELATIONS, read
from uvlm_mini.datasets.scenes import Scene, Thing
from uvlm_mini.model import UVLM, to_tensor

WORDING = {how: max(ways, key=ways.__getitem__) for how, ways in RELATIONS.items() if how != "near"}
PICTURES = 300  # the first ones of a split
NAMED = 5  # words in which a thing is named, article, size and colour included


def name(thing: Thing) -> str:
    """A thing as most captions call it."""
    return f"{'an' if thing.color[0] in 'aeiou' else 'a'} {thing.color} {thing.kind}"


def pairs(scene: Scene) -> list[tuple[Thing, str, Thing]]:
    """Which thing stands how to which, of things that have their names to themselves."""
    alone = [group[0] for group in scene.groups.values() if len(group) == 1]
    return [(a, how, b) for a in alone for b in alone if a is not b and (how := a.stands(b))]


def padded(lines: list[list[int]]) -> torch.Tensor:
    """Lines of different lengths as one (n, T) tensor; a decoder that looks back does not see what stands behind."""
    length = max(map(len, lines))
    return torch.tensor([line + [0] * (length - len(line)) for line in lines])


def go_on(model: UVLM, features: torch.Tensor, beginnings: list[list[int]]) -> list[str]:
    """The words by which greedy search goes on after each beginning (BOS first), of a picture with these features."""
    lines = [list(line) for line in beginnings]
    for _ in range(NAMED):
        logits = model.decoder(features.expand(len(lines), -1, -1, -1), padded(lines))
        for i, line in enumerate(lines):
            line.append(int(logits[i, len(line) - 1].argmax()))
    ends = (line[len(start) :] for line, start in zip(lines, beginnings, strict=True))
    return [model.vocabulary.decode(end) for end in ends]


def holds(caption: str, scene: Scene) -> bool:
    """Whether the first relation of a caption is true of the scene."""
    told = read(caption)
    if not told.relations:
        return False
    i, how, j = told.relations[0]
    a, b = (
        [t for t in scene.things if t.kind == claim.kind and claim.color in (None, t.color)]
        for claim in (told.groups[i], told.groups[j])
    )
    return any(one is not other and one.stands(other) == how for one in a for other in b)


def log_probs(model: UVLM, features: torch.Tensor, lines: list[list[int]]) -> torch.Tensor:
    """Log-probability of each of some beginnings (BOS first) of a caption, (n,)."""
    tokens = padded(lines)
    logs = model.decoder(features.expand(len(lines), -1, -1, -1), tokens[:, :-1]).log_softmax(-1)
    each = logs.gather(2, tokens[:, 1:, None])[..., 0]
    there = torch.arange(1, tokens.shape[1]) < torch.tensor([[len(line)] for line in lines])
    return (each * there).sum(1)


@torch.inference_mode()
def prompted(model: UVLM, data: CaptionSet) -> dict[str, float]:
    """Share of prompts of each kind that are answered rightly, of the first pictures, and how many there were."""
    encode = model.vocabulary.encode
    thing: list[bool] = []
    relation: list[bool] = []
    for picture, scene in zip(data.pictures[:PICTURES], data.scenes[:PICTURES], strict=True):
        asked = pairs(scene)
        if not asked:
            continue
        features = model.encoder(to_tensor(picture[None]))
        starts = sorted({f"{name(a)} {WORDING[how]}" for a, how, _ in asked})
        ends = go_on(model, features, [encode(start)[:-1] for start in starts])
        thing += [holds(f"{start} {end}", scene) for start, end in zip(starts, ends, strict=True)]
        lines = [encode(f"{name(a)} {way} {name(b)}")[:-1] for a, _, b in asked for way in WORDING.values()]
        best = log_probs(model, features, lines).view(len(asked), len(WORDING)).argmax(1).tolist()
        relation += [list(WORDING)[i] == how for i, (_, how, _) in zip(best, asked, strict=True)]
    return {
        "what stands so": round(float(np.mean(thing)), 4),
        "how it stands": round(float(np.mean(relation)), 4),
        "prompts": len(thing) + len(relation),
    }
