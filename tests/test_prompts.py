"""Prompts on how things stand: what is asked, and how answers are judged."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks import prompts
from uvlm_mini import search
from uvlm_mini.datasets.coco import CaptionSet
from uvlm_mini.datasets.scenes import samples
from uvlm_mini.model import UVLM, to_tensor
from uvlm_mini.paths import data_path

TURNED = {"left": "right", "right": "left", "above": "below", "below": "above"}


@pytest.fixture(scope="module")
def model():
    return UVLM.load(data_path("uvlm_mini.safetensors"))


def speaker(sentences, vocabulary):
    """A model to which every word is likely that goes on with one of these sentences, and no other."""

    def decoder(features, tokens):
        logits = torch.zeros(*tokens.shape, len(vocabulary))
        for row, line in enumerate(tokens.tolist()):
            for t in range(len(line)):
                for s in sentences:
                    if len(s) > t + 1 and s[: t + 1] == line[: t + 1]:
                        logits[row, t, s[t + 1]] = 9
        return logits

    return SimpleNamespace(vocabulary=vocabulary, decoder=decoder, encoder=lambda x: torch.zeros(1, 1, 1, 1))


def test_who_tells_the_truth_has_all_who_lies_nothing_who_sees_the_axis_half(model):
    """By models that say what we want of a single picture."""
    encode = model.vocabulary.encode
    for sample in (s for s in samples("val", 30) if prompts.pairs(s.scene)):
        data = CaptionSet.gather([sample])
        pairs = prompts.pairs(sample.scene)
        answers = {}
        for kind, turn in (
            ("honest", lambda how: how),
            ("liar", TURNED.get),
            ("axis", lambda how: {"left": "left", "right": "left"}.get(how, "above")),
        ):
            said = [f"{prompts.name(a)} {prompts.WORDING[turn(how)]} {prompts.name(b)}" for a, how, b in pairs]
            answers[kind] = prompts.prompted(speaker([encode(s) for s in said], model.vocabulary), data)
        assert answers["honest"]["what stands so"] == answers["honest"]["how it stands"] == 1
        assert answers["liar"]["how it stands"] == 0
        assert answers["axis"]["how it stands"] == 0.5
        assert all(a["prompts"] == len(pairs) + len({(x, how) for x, how, _ in pairs}) for a in answers.values())


def test_pairs_are_the_relations_of_the_scene_between_things_with_a_name_of_their_own():
    """Both ways round; a thing that has a twin is not asked for."""
    twins = 0
    for sample in samples("val", 200):
        scene = sample.scene
        alone = [i for i, t in enumerate(scene.things) if len(scene.groups[t.kind, t.color]) == 1]
        twins += len(alone) < len(scene.things)
        want = {(i, how, j) for i, how, j in scene.relations if {i, j} <= set(alone)}
        index = {id(t): i for i, t in enumerate(scene.things)}
        assert {(index[id(a)], how, index[id(b)]) for a, how, b in prompts.pairs(scene)} == want
    assert twins > 5


def test_an_answer_must_name_something_that_is_there_and_stands_so():
    """Also without the colour; a second relation does not count."""
    scene = next(s.scene for s in samples("val", 200) if len(s.scene.groups) == 3 and len(prompts.pairs(s.scene)) == 6)
    (a, how, b), *_ = prompts.pairs(scene)
    start = f"{prompts.name(a)} {prompts.WORDING[how]}"
    assert prompts.holds(f"{start} {prompts.name(b)}", scene)
    assert prompts.holds(f"{start} a {b.kind}", scene)
    assert not prompts.holds(f"{prompts.name(a)} {prompts.WORDING[TURNED[how]]} {prompts.name(b)}", scene)
    assert not prompts.holds(f"{start} {prompts.name(a)}", scene)
    assert not prompts.holds(start, scene)


def test_the_trained_model_goes_on_as_greedy_search_does(model):
    """From the first words of its own captions; and a line is as likely as its words together."""
    for sample in samples("val", 12):
        features = model.encoder(to_tensor(sample.picture[None]))
        with torch.inference_mode():
            (found,) = search.greedy(model.decoder, features)
            line = model.vocabulary.encode(model.vocabulary.decode(found.tokens))
            ends = prompts.go_on(model, features, [line[:4], line[:2]])
            assert ends == [model.vocabulary.decode(line[k : k + prompts.NAMED]) for k in (4, 2)]
            lines = [line[:6], [*line[:5], line[2]], line[:3], [*line[:2], line[5], line[4]]]
            sums = []
            for one in lines:
                logs = model.decoder(features, torch.tensor([one[:-1]])).log_softmax(-1)[0]
                sums.append(sum(float(logs[t, word]) for t, word in enumerate(one[1:])))
            np.testing.assert_allclose(prompts.log_probs(model, features, lines).numpy(), sums, atol=1e-4)
