"""What the programs on the stages of a training score, and from which weights."""

import json
import math
from functools import partial

import pytest
import torch

from benchmarks import card, decoders, quarter, record, shipped, stages, table
from tests.conftest import TINY
from uvlm_mini.baselines.nic import NIC
from uvlm_mini.datasets.coco import CaptionSet
from uvlm_mini.datasets.scenes import samples
from uvlm_mini.evaluate import evaluate
from uvlm_mini.model import UVLM, read_tensors
from uvlm_mini.paths import result
from uvlm_mini.train.loop import Trainer
from uvlm_mini.train.stages import Stage

STAGES = (
    Stage("pretrain", epochs=1, rate=3e-3, batch=16),
    Stage("decoder", epochs=1, rate=2e-3, batch=16),
    Stage("together", epochs=1, rate=1e-3, batch=16),
    Stage("scst", epochs=1, rate=1e-3, batch=16, samples=2),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A tiny run that kept the weights of its stages."""
    folder = tmp_path_factory.mktemp("run")
    data = CaptionSet.gather(samples("train", 32)), CaptionSet.gather(samples("val", 6))
    Trainer(TINY, STAGES, *data, folder, quiet=True, keep=True).run()
    return folder


def test_stages_are_scored_from_their_own_weights(run, tmp_path):
    """In the order of the training, without the first, which knows no words; every score is that of `evaluate`."""
    assert list(stages.kept(run)) == ["decoder", "together", "scst"]
    rows = stages.scores(run, 6, java=False)
    for name, number in (("decoder", 2), ("together", 3), ("scst", 4)):
        for split in ("test", "compositional"):
            data = CaptionSet.gather(samples(split, 6))
            found = evaluate(UVLM.load(run / f"stage_{number}_{name}.safetensors"), data, java=False)
            row = rows[name][split]
            whole = shipped.row(found)
            own = {name: row[name] for name in ("words a caption", "prompted")}
            assert {**row, "alarms": None} == {**whole, "alarms": None, **own}
            assert row["prompted"]["prompts"] > 10
            assert row["words a caption"] == pytest.approx(sum(len(c.split()) for c in found.captions) / 6, abs=1e-3)
    with pytest.raises(FileNotFoundError, match="train it with `uvlm train --keep`"):
        stages.kept(tmp_path)


def test_the_last_weights_must_be_the_shipped_ones(run, monkeypatch, tmp_path):
    """What is learned after the training does not count; a single changed weight does."""
    last, end = (read_tensors(run / name)[0] for name in ("stage_4_scst.safetensors", "weights.safetensors"))
    assert last.keys() < end.keys() and stages.same(last, end)
    changed = {**end, "decoder.norm_out.bias": end["decoder.norm_out.bias"] + 1e-6}
    assert not stages.same(last, changed)
    assert not stages.same(last, read_tensors(run / "stage_3_together.safetensors")[0])
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    with pytest.raises(SystemExit, match="are not the same weights"):
        stages.main(str(run))
    assert not list(tmp_path.iterdir())


def test_a_quarter_is_a_quarter_of_the_steps() -> None:
    """Same stages, same epochs, same batches; the rate is a decoder's own where it alone learns."""
    from uvlm_mini.train.stages import PICTURES, RECIPES

    assert RECIPES["mini"] == quarter.RECIPE and PICTURES["mini"] == 4 * quarter.TRAIN
    assert quarter.recipe(1.0) == RECIPES["mini"][1:]
    for changed, stage in zip(quarter.recipe(2.0), RECIPES["mini"][1:], strict=True):
        assert changed.rate == stage.rate * (1 if stage.name == "together" else 2)


def test_factors_are_those_of_the_table(tmp_path, monkeypatch) -> None:
    """Each decoder's best rate over AttSSM's; 1 without a table."""
    monkeypatch.setattr(quarter, "RATES", tmp_path / "decoders.json")
    assert quarter.factors() == dict.fromkeys(quarter.ROWS, 1.0)
    rows = {name: {"rate": 2e-3 * 2**i} for i, name in enumerate(quarter.ROWS)}
    quarter.RATES.write_text(json.dumps({"rows": rows}))
    assert quarter.factors() == {name: 2.0**i for i, name in enumerate(quarter.ROWS)}


def test_a_run_of_the_quarter(tmp_path, monkeypatch) -> None:
    """Tiny: two decoders on one encoder; scores after each stage are those of the weights that were kept then."""
    monkeypatch.setattr(record, "ROOT", tmp_path)
    monkeypatch.setattr(quarter, "SOURCES", [])
    monkeypatch.setattr(quarter, "PRESETS", {"mini": TINY})
    monkeypatch.setattr(quarter, "RECIPE", STAGES)
    monkeypatch.setattr(quarter, "recipe", lambda factor: STAGES[1:])
    monkeypatch.setattr(decoders, "build", lambda row, words: partial(NIC, TINY.decoder)(words))
    for name, many in (("TRAIN", 32), ("VAL", 6), ("TEST", 6)):
        monkeypatch.setattr(quarter, name, many)
    quarter.pictures.cache_clear()
    assert 0 <= quarter.look("encoder", 1)["cells"] <= 1
    numbers = {row: quarter.run(row, 1) for row in ("AttSSM", "NIC")}
    eyes = read_tensors(quarter.folder("encoder", 1) / "weights.safetensors")[0]
    for row, found in numbers.items():
        first = read_tensors(quarter.folder(row, 1) / "stage_1_decoder.safetensors")[0]
        shared = [k for k in eyes if k.startswith("encoder.")]
        assert shared and all(torch.equal(first[k], eyes[k]) for k in shared)
        assert any(k.startswith("decoder.lstm") for k in first) == (row == "NIC")
        for split in quarter.SPLITS:
            before, after = (found[f"{split} CIDEr after {stage}"] for stage in ("together", "scst"))
            assert found[f"{split} CIDEr gained by scst"] == after - before
    model = UVLM.load(quarter.folder("AttSSM", 1) / "stage_2_together.safetensors")
    found = evaluate(model, CaptionSet.gather(samples("test", 6)), java=False)
    told = numbers["AttSSM"]["test told relation after together"]
    assert math.isclose(told, found.truth["told relation"])
    quarter.pictures.cache_clear()


def test_the_card_tells_every_stage() -> None:
    """Each number stands in its row, under its split and stage; what nobody claimed stays empty."""
    stage = {
        name: {
            split: {
                "model": {"CIDEr": 1 + i + 10 * j, "BLEU-4": 0.5},
                "truth": {"told relation": 0.25 * i, "relations": None},
                "words a caption": 9.0,
                "prompted": {"what stands so": 0.75, "how it stands": 0.1 * i, "prompts": 7},
            }
            for j, split in enumerate(("test", "compositional"))
        }
        for i, name in enumerate(("decoder", "together", "scst"))
    }
    lines = card.stage_lines(stage | {"first 40 of test": {"model": {}}})
    head = "| score | test: decoder | test: together | test: scst | compositional: decoder | compositional: together |"
    assert any(line.startswith(head) for line in lines)
    assert "| CIDEr | 100.0 | 200.0 | 300.0 | 1100.0 | 1200.0 | 1300.0 |" in lines
    assert "| told relation | 0.0 | 25.0 | 50.0 | 0.0 | 25.0 | 50.0 |" in lines
    assert "| relations |  |  |  |  |  |  |" in lines and not any("METEOR" in line for line in lines)
    assert "| how it stands | 0.0 | 10.0 | 20.0 | 0.0 | 10.0 | 20.0 |" in lines


def test_the_card_tells_of_seeds_what_there_are() -> None:
    """Several runs have a mean and a spread, a single one has its number; an encoder is no decoder."""

    def row(*runs: float) -> dict:
        lines = [
            {
                "row": "x",
                "seed": seed,
                "numbers": {f"test CIDEr after {stage}": value for stage in card.STAGES}
                | {"test CIDEr gained by scst": value - 4.5},
            }
            for seed, value in enumerate(runs)
        ]
        return table.summary(lines, ["x"])["x"]

    lines = card.quarter_lines({"NIC": row(4.4, 4.5, 4.63), "Up-Down": row(4.2), "encoder": {"cells": {"runs": [0.5]}}})
    assert "| NIC | 3 | 451 ± 12 | 451 ± 12 | 451 ± 12 | -10, +0, +13 |" in lines
    assert "| Up-Down | 1 | 420 | 420 | 420 | -30 |" in lines
    assert not any("encoder" in line for line in lines)
    heads = [line.count("|") for line in lines if line.startswith("|")]
    assert len(heads) == 4 and len(set(heads)) == 1


def test_the_card_names_what_it_was_made_from() -> None:
    """With every result file, and with fewer."""
    rows, stage = (result(name)["rows"] for name in ("shipped", "stages"))
    path = record.ROOT / shipped.WEIGHTS
    told = partial(card.card, rows, read_tensors(path)[1], UVLM.load(path))
    all_three = told(stage, {"NIC": {}})
    assert "from `shipped.json`, `stages.json` and `quarter.json` in" in all_three
    assert "from `shipped.json` and `stages.json` in" in told(stage)
    assert "from `shipped.json` in" in told() and "## Stage by stage" not in told()
    assert max(map(len, all_three.splitlines()[:5])) <= 120
