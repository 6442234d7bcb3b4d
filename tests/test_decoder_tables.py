"""The decoder tables compare what they say they compare: tasks, readings, frames and counts."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks import captions, decoder_ablation, decoder_cost, decoders, gcdm_readings
from benchmarks.captions import MINI
from benchmarks.gcdm_readings import READINGS, Choice, Reading
from uvlm_mini.config import AttSSMConfig
from uvlm_mini.datasets.coco import CaptionSet
from uvlm_mini.datasets.scenes import samples
from uvlm_mini.datasets.vocab import BOS
from uvlm_mini.decoder import AttSSM
from uvlm_mini.search import greedy

SMALL = AttSSMConfig(features=6, side=4, hidden=12, states=4, dt_rank=2, dropout=0.0)
WORDS = 12


def x_of(batch: int = 3) -> torch.Tensor:
    """Features of some pictures."""
    return 2 * torch.randn(batch, 6, 4, 4)


def strong(decoder: nn.Module) -> nn.Module:
    """The decoder in eval mode, with weights large enough to tell things apart."""
    for p in decoder.parameters():
        if p.ndim > 1:
            p.data *= 2
    return decoder.eval()


# ----------------------------------------------------------------------------------------------------------------
# The task


def test_a_pass_shows_every_picture_once_and_little_padding():
    """Pictures, captions and order are those of the seed; captions of like length go together."""
    dice = np.random.default_rng(0)
    lines = [[[BOS, *dice.integers(4, 9, n), 2] for n in dice.integers(3, 20, 5)] for _ in range(16 * captions.BATCH)]
    tokens = [[[int(v) for v in line] for line in several] for several in lines]
    made = list(captions.batches(tokens, 0, 0))
    assert sorted(row for rows, _ in made for row in rows) == list(range(len(tokens)))
    for rows, said in made:
        for row, line in zip(rows, said.tolist(), strict=True):
            assert any(line == one + [0] * (len(line) - len(one)) for one in tokens[row])
    padding = np.mean([(said == 0).double().mean() for _, said in made])
    shuffled = captions.padded([several[0] for several in tokens[: captions.BATCH]])
    assert padding < 0.05 < (shuffled == 0).double().mean()
    again, other = (list(captions.batches(tokens, seed, 0)) for seed in (0, 1))
    assert all(a[0] == b[0] and torch.equal(a[1], b[1]) for a, b in zip(made, again, strict=True))
    assert [rows for rows, _ in other] != [rows for rows, _ in made]


def test_a_decoder_learns_the_captions_of_its_pictures():
    """Thirty-two pictures, each with a caption of its own, are learnt by heart; scores and loss see that."""
    torch.manual_seed(0)
    data = CaptionSet.gather(samples("val", 32))
    x = torch.randn(32, MINI.features, MINI.side, MINI.side).half()
    one = [c[:1] for c in data.captions]
    decoder = gcdm_readings.build("AttSSM", len(captions.vocabulary()))
    before = captions.loss_on(decoder, x, one)
    losses = captions.train(decoder, x, one, 0, steps=60)
    assert captions.loss_on(decoder, x, one) < 0.2 * before and losses[-1] < losses[0]
    alone = CaptionSet(data.pictures, one, data.names, data.scenes)
    assert captions.scores(decoder, x, alone)["CIDEr"] > 4


def test_crowded_pictures_are_crowded():
    """Three to five things, none of the pairs that training never shows, five captions each."""
    some = list(captions.crowded("train", 40))
    assert {len(s.scene.things) for s in some} == {3, 4, 5}
    assert all(len(set(s.captions)) == 5 for s in some)
    assert [s.name for s in captions.crowded("test", 2)] == ["crowded/test/0", "crowded/test/1"]
    assert (next(captions.crowded("test", 1)).picture != some[0].picture).any()


# ----------------------------------------------------------------------------------------------------------------
# Readings of the prior


@pytest.mark.parametrize("name", READINGS)
def test_a_reading_is_a_decoder(name):
    """Stepping is teacher forcing, every parameter learns, and greedy search takes it."""
    decoder = Reading(SMALL, WORDS, READINGS[name]).eval()
    tokens = torch.randint(4, WORDS, (3, 5))
    x = x_of()
    whole = decoder(x, tokens)
    context = decoder.prepare(x)
    state = decoder.start(context)
    for t in range(5):
        logits, state = decoder.step(tokens[:, t], context, state)
        torch.testing.assert_close(logits, whole[:, t], rtol=1e-5, atol=1e-5)
    whole.square().sum().backward()
    assert all(p.grad is not None for p in decoder.parameters())
    assert len(greedy(decoder, x, 4)) == 3


def test_the_last_reading_is_attssm():
    """With AttSSM's weights it gives AttSSM's logits."""
    decoder, model = Reading(SMALL, WORDS, READINGS["AttSSM"]).eval(), AttSSM(SMALL, WORDS).eval()
    decoder.load_state_dict(model.state_dict())
    tokens, x = torch.randint(4, WORDS, (3, 5)), x_of()
    torch.testing.assert_close(decoder(x, tokens), model(x, tokens), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["no modulation", "vector", "state as a map"])
def test_a_plain_sum_sees_the_mean_alone(name):
    """Readings whose bias does not know the picture and is averaged without a bend: permuted places change nothing."""
    decoder = strong(Reading(SMALL, WORDS, READINGS[name]))
    decoder.fusion = nn.Identity()  # the fusion's scales would see what lies beside what
    tokens, x = torch.randint(4, WORDS, (3, 5)), x_of()
    mixed = x.flatten(2)[..., torch.randperm(16)].view_as(x)
    torch.testing.assert_close(decoder(mixed, tokens), decoder(x, tokens), rtol=1e-4, atol=1e-4)
    flat = x.mean((2, 3), keepdim=True).expand_as(x)
    torch.testing.assert_close(decoder(flat, tokens), decoder(x, tokens), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", [n for n in READINGS if n not in ("no modulation", "vector", "state as a map")])
def test_the_other_readings_see_more_than_the_mean(name):
    """A bend, a joined prior or a maximum tells pictures of the same mean apart."""
    decoder = strong(Reading(SMALL, WORDS, READINGS[name]))
    decoder.fusion = nn.Identity()
    tokens, x = torch.randint(4, WORDS, (3, 5)), x_of()
    flat = x.mean((2, 3), keepdim=True).expand_as(x)
    assert (decoder(flat, tokens) - decoder(x, tokens)).abs().max() > 1e-3


def test_a_map_needs_a_square():
    """Five states a channel are no map; four are."""
    bad = AttSSMConfig(features=6, side=4, hidden=12, states=5, dt_rank=2)
    with pytest.raises(ValueError, match="5 numbers a channel is no square map; give a square such as 4"):
        Reading(bad, WORDS, Choice("map"))
    Reading(SMALL, WORDS, Choice("map"))


# ----------------------------------------------------------------------------------------------------------------
# Equal terms


@pytest.mark.parametrize("name", decoders.CLASSES)
def test_decoders_are_equally_large(name):
    """Within 3 % of AttSSM-mini, which itself is as the preset has it."""
    with torch.device("meta"):
        made = decoders.build(name, 89)
        target = captions.parameters(AttSSM(MINI, 89))
    assert abs(captions.parameters(made) / target - 1) < 0.03
    if name == "AttSSM":
        assert captions.parameters(made) == target


def test_a_frame_with_nothing_exchanged_is_attssm():
    """And with attention it sees what Bahdanau attention gives, gated."""
    plain, model = decoders.Framed(SMALL, WORDS, lstm=False, attention=False).eval(), AttSSM(SMALL, WORDS).eval()
    plain.load_state_dict(model.state_dict())
    tokens, x = torch.randint(4, WORDS, (3, 5)), x_of()
    torch.testing.assert_close(plain(x, tokens), model(x, tokens))
    attending = strong(decoders.Framed(SMALL, WORDS, lstm=True, attention=True))
    context = attending.prepare(x)
    state, query = attending.start(context), torch.randn(3, 12)
    places = attending.fusion(x).flatten(2).mT
    weights = attending.attention.weights(attending.attention.key(places), query)
    seen = torch.sigmoid(attending.gate(query)) * (weights[..., None] * places).sum(1)
    torch.testing.assert_close(attending.look(context, state, query), seen)


def test_an_lstm_core_is_an_lstm():
    """Step by step it gives what nn.LSTM gives."""
    core, lstm = decoders.LSTMCore(5), nn.LSTM(5, 5, batch_first=True)
    for (_, a), (_, b) in zip(core.cell.named_parameters(), lstm.named_parameters(), strict=True):
        a.data.copy_(b.data)
    x, state = torch.randn(2, 6, 5), core.start(2)
    whole, _ = lstm(x)
    for t in range(6):
        y, state = core.step(x[:, t], state)
        torch.testing.assert_close(y, whole[:, t])


def test_the_pointing_game_counts_hits():
    """A decoder whose map always points at the named thing hits always; cells lie where the boxes are."""
    data = CaptionSet.gather(samples("hard", 30))
    inside = [decoders.cells_of(data, i, t.kind, 8) for i in range(30) for t in data.scenes[i].things]
    assert any(cells.any() for cells in inside) and all(cells.sum() <= 16 for cells in inside)
    thing = next(t for t in data.scenes[0].things if sum(o.kind == t.kind for o in data.scenes[0].things) == 1)
    cells = decoders.cells_of(data, 0, thing.kind, 64)
    rows, columns = np.nonzero(cells)
    assert (columns.min(), rows.min()) == (thing.x, thing.y)
    assert columns.max() - columns.min() + 1 == rows.max() - rows.min() + 1 == thing.box
    assert not decoders.cells_of(data, 0, "no such kind", 8).any()

    found = decoders.pointing(decoders.build("AttSSM", len(captions.vocabulary())), torch.randn(30, 128, 8, 8), data)
    assert set(found) == {
        f"points at {when}, {name}"
        for when in ("noun", "before")
        for name in ("chance", "map", "map, mass", "gradient", "gradient, mass")
    }
    mean = np.mean([cells.mean() for cells in inside if cells.any()])
    assert abs(found["points at noun, chance"] - mean) < 0.03
    assert all(0 <= value <= 1 for value in found.values())


@pytest.mark.parametrize("row", decoder_ablation.ROWS)
def test_rows_of_the_ablation_learn_everywhere(row, monkeypatch):
    """No part is built and left out of the computation."""
    monkeypatch.setattr(decoder_ablation, "MINI", SMALL)
    decoder = decoder_ablation.build(row, WORDS)
    decoder(x_of(), torch.randint(4, WORDS, (3, 5))).square().sum().backward()
    assert all(p.grad is not None for p in decoder.parameters())


def test_the_ablation_ends_at_attssm():
    """Nothing taken out is AttSSM; the bias map and the gate are each worth their weights."""
    make = partial(decoder_ablation.build, words=WORDS)
    assert type(make("AttSSM")) is AttSSM
    sizes = [captions.parameters(make(row)) for row in decoder_ablation.INSTEAD]
    assert sizes == sorted(sizes) and len(set(sizes)) == 3
    assert type(make("SE encoder, gated decoder")) is AttSSM
    assert not make("SE encoder, plain decoder").gcdm.gate_x.state_dict()


# ----------------------------------------------------------------------------------------------------------------
# Counts


def test_work_is_counted_by_hand():
    """Products by their multiply-adds, elementwise operations by their results, reductions by what they read."""
    layer, x = nn.Linear(7, 5), torch.randn(3, 7)
    assert decoder_cost.counted(lambda: layer(x)) == {"multiply-adds": 3 * 7 * 5, "elementwise": {}}
    assert decoder_cost.counted(lambda: F.hardswish(x) + x)["elementwise"] == {"add": 21, "hardswish": 21}
    assert decoder_cost.counted(lambda: x.amax(1))["elementwise"] == {"amax": 21}


def test_the_fit_finds_what_was_put_in():
    """Work made of known shares of H^2, L H and L H^2 gives these shares."""
    points = [(h, n, 3 * h**2 + 5 * n * h + 2 * n * h**2) for h in (8, 16, 64) for n in (4, 49, 100)]
    fit = decoder_cost.fitted(points)
    assert fit["H^2"] == pytest.approx(3, abs=1e-3) and fit["L H"] == pytest.approx(5, abs=1e-3)
    assert fit["L H^2"] == pytest.approx(2, abs=1e-3) and fit["worst"] < 1e-4


def test_parts_add_up_to_the_step():
    """Look, core and output are the whole step, in multiply-adds and in weights."""
    for row in decoder_cost.step(timed=False).values():
        parts = [row[part] for part in ("look", "core", "output")]
        assert sum(p["multiply-adds"] for p in parts) == row["step"]["multiply-adds"]
        assert row["step"]["weights"] < row["parameters"]


def test_products_alone_are_the_products_of_the_call():
    """They do as many multiply-adds as the call, nothing elementwise, and give the same numbers again."""
    for decoder in decoder_cost.decoders().values():
        calls, _ = decoder_cost.parts(decoder)
        alone = decoder_cost.products(calls["core"])
        assert decoder_cost.counted(alone) == {
            "multiply-adds": decoder_cost.counted(calls["core"])["multiply-adds"],
            "elementwise": {},
        }
        assert all(torch.equal(a, b) for a, b in zip(alone(), alone(), strict=True))
    x, layer = torch.randn(2, 5), nn.Linear(5, 3)
    (product,) = decoder_cost.products(lambda: torch.tanh(layer(x)))()
    torch.testing.assert_close(product, layer(x))
