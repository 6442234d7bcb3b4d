"""The paper's recipe on COCO in small: from a trained encoder to the results file, and every mistake in a sentence."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import TINY
from tests.test_cli import one_sentence
from tests.test_coco import LISTS, OWN, edit, make_coco
from uvlm_mini import cli, config
from uvlm_mini.config import OverModConfig
from uvlm_mini.datasets.coco import CaptionSet
from uvlm_mini.datasets.scenes import samples
from uvlm_mini.datasets.vocab import Vocabulary
from uvlm_mini.encoder import Classifier, OverMod
from uvlm_mini.model import UVLM, write_tensors
from uvlm_mini.train import loop, stages
from uvlm_mini.train.loop import Trainer
from uvlm_mini.train.pretrain import load_encoder, start_from
from uvlm_mini.train.stages import PAPER, Stage


def write_encoder(path: Path, sizes: OverModConfig = TINY.encoder, seed: int = 7) -> Path:
    """What `uvlm pretrain` leaves behind."""
    torch.manual_seed(seed)
    about = {"config": json.dumps(asdict(sizes)), "classes": json.dumps(["a", "b"])}
    write_tensors(path, Classifier(sizes, 2).state_dict(), about)
    return path


@pytest.fixture
def coco(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """COCO in small, a trained encoder, a recipe of a few steps, and a preset that is as small."""
    monkeypatch.setitem(config.PRESETS, "t", TINY)
    brief = tuple(replace(stage, epochs=1, batch=4) for stage in PAPER[:2])
    monkeypatch.setattr(stages, "PAPER", brief)
    write_encoder(tmp_path / "encoder.safetensors")
    return make_coco(tmp_path)


def train(root: Path, *more: str, recipe: str = "paper", encoder: str = "encoder.safetensors") -> list[str]:
    """The command, with COCO's own files and archives."""
    data = ["--data", *(str(root / name) for name in OWN), "--lists", *(str(root / name) for name in LISTS)]
    images = ["--images", str(root / "train2014.zip"), str(root / "val2014.zip")]
    start = ["--encoder", str(root / encoder), "--preset", "t", "--out", str(root / "run")]
    return ["train", "--recipe", recipe, *start, *data, *images, *more]


def test_stages_follow_the_encoder() -> None:
    """No pretraining on scenes: first the decoder on a frozen encoder, then both."""
    assert [stage.name for stage in PAPER] == ["decoder", "together", "scst"]


def test_from_a_trained_encoder_to_the_results_file(coco: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pictures out of archives, features out of a file, captions for COCO's server; and it can be resumed."""
    started = load_encoder(coco / "encoder.safetensors").state_dict()
    assert cli.main(train(coco, "--memory", "0")) == 0
    assert "weights.safetensors" in capsys.readouterr().out
    assert {path.name for path in (coco / "run").iterdir()} >= {"last.safetensors", "log.csv", "weights.safetensors"}
    assert not list((coco / "run").glob("features*"))
    model = UVLM.load(coco / "run" / "weights.safetensors")
    assert model.config == TINY and model.familiarity is not None
    captions = (
        json.loads((coco / OWN[0]).read_text())["annotations"] + json.loads((coco / OWN[1]).read_text())["annotations"]
    )
    trained = [line.split()[1] for line in (coco / LISTS[0]).read_text().splitlines()]
    said = [a["caption"] for a in captions if str(a["image_id"]) in trained]
    assert model.vocabulary == Vocabulary.build(said)
    assert started.keys() == model.encoder.state_dict().keys()
    assert cli.main(train(coco)) == 0  # where the features are is no part of what is learned
    assert "Resuming" in capsys.readouterr().err

    evaluate = ["evaluate", "--weights", str(coco / "run" / "weights.safetensors"), "--no-java", *train(coco)[9:]]
    assert cli.main([*evaluate, "--split", "val", "--results", str(coco / "results.json")]) == 0
    results = json.loads((coco / "results.json").read_text())
    assert [r["image_id"] for r in results] == [
        int(line.split()[1]) for line in (coco / LISTS[1]).read_text().splitlines()
    ]
    assert all(set(r) == {"image_id", "caption"} and isinstance(r["caption"], str) for r in results)
    assert "2 pictures of val" in capsys.readouterr().out


def test_the_encoder_is_where_training_starts(coco: Path, tmp_path: Path) -> None:
    """Its weights, whatever the seed; they are frozen in stage 2 and move in stage 3."""
    data = CaptionSet.gather(samples("train", 16)), CaptionSet.gather(samples("val", 4))
    given = load_encoder(coco / "encoder.safetensors")
    run = (Stage("decoder", 1, 1e-3, batch=8), Stage("together", 1, 1e-3, batch=8))
    trainer = Trainer(TINY, run, *data, tmp_path / "a", seed=5, quiet=True, encoder=given)
    expected = {k: v.clone() for k, v in given.state_dict().items()}
    seen = []
    real = trainer._run_stage

    def watched(stage: Stage) -> None:
        same = [torch.equal(v, expected[k]) for k, v in trainer.model.encoder.state_dict().items()]
        seen.append(all(same))
        real(stage)

    trainer._run_stage = watched
    trainer.run()
    assert seen == [True, True]
    assert not torch.equal(trainer.model.encoder.merge[0][0].weight, expected["merge.0.0.weight"])
    assert all(torch.equal(v, expected[k]) for k, v in given.state_dict().items())  # the one that was given stays


def test_an_encoder_of_other_pictures_fits_one_of_other_sizes_does_not() -> None:
    """Weights do not depend on how large the pictures were."""
    larger = OverMod(replace(TINY.encoder, image=96))
    mine = OverMod(TINY.encoder)
    start_from(mine, larger)
    assert all(torch.equal(v, larger.state_dict()[k]) for k, v in mine.state_dict().items())
    with pytest.raises(ValueError, match=r"has out 12, and this model's has 10; give the --preset"):
        start_from(mine, OverMod(replace(TINY.encoder, out=12)))


# ----------------------------------------------------------------------------------------------------------------
# What is learned from


@pytest.mark.parametrize(("side", "most"), [(32, 1), (96, 3), (224, 7)])
def test_pictures_of_any_side_are_shifted_by_a_32nd(side: int, most: int, tmp_path: Path) -> None:
    """Every shift up to that is a validation picture moved, its edge repeated; none is larger."""
    sizes = replace(TINY.encoder, image=side)
    small = replace(TINY, encoder=sizes, decoder=replace(TINY.decoder, side=sizes.side))
    data = CaptionSet.gather(samples("train", 4, side))
    trainer = Trainer(small, (Stage("together", 1, 1e-3, batch=2),), data, data, tmp_path, quiet=True)
    seen = set()
    for step in range(12):
        batch = trainer._batch(trainer.stages[0], np.array([1, 3]), step)["pictures"]
        got = (batch.permute(0, 2, 3, 1).numpy() * 128 + 128).astype(np.uint8)
        moves = []
        for dy in range(-most - 1, most + 2):
            for dx in range(-most - 1, most + 2):
                rows, columns = (np.clip(np.arange(side) + d, 0, side - 1) for d in (dy, dx))
                if (data.pictures[np.array([1, 3])][:, rows][:, :, columns] == got).all():
                    moves.append((dy, dx))
        assert moves
        seen.add(moves[0])
    assert len(seen) > 4 and max(max(map(abs, move)) for move in seen) == most


def test_a_picture_with_fewer_captions_than_a_batch_takes_repeats_them(tmp_path: Path) -> None:
    """Rows stay with their pictures; with enough captions all are different."""
    data = CaptionSet.gather(samples("train", 8))
    data.captions[3][2:] = []
    data.captions[5][1] = "Qwertz."  # no word that is kept
    stage = Stage("decoder", 1, 1e-3, batch=4, captions=5)
    trainer = Trainer(TINY, (stage,), data, data, tmp_path, quiet=True)
    trainer._remember_features()
    rows = trainer._batch(stage, np.array([2, 3, 5]), 0)["tokens"].tolist()
    told = [[w for w in row if w] for row in rows]
    assert [len({tuple(line) for line in told[i : i + 5]}) for i in (0, 5, 10)] == [5, 2, 4]
    for i, picture in enumerate((2, 3, 5)):
        lines = [trainer.vocabulary.encode(c, TINY.longest) for c in data.captions[picture]]
        assert all(line in lines and len(line) > 2 for line in told[5 * i : 5 * i + 5])


def test_reading_ahead_is_asked_for_what_comes_next(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a stage that reads pictures, at every step but the last of an epoch; where features are there, never."""
    data = CaptionSet.gather(samples("train", 16))
    expected, used = [], []
    monkeypatch.setattr(loop, "expect", lambda pictures, rows: expected.append(rows.tolist()))
    run = (Stage("decoder", 1, 1e-3, batch=4), Stage("together", 2, 1e-3, batch=4))
    trainer = Trainer(TINY, run, data, data, tmp_path, quiet=True)
    make = trainer._batch

    def batch(stage: Stage, rows: np.ndarray, step: int):
        used.append((stage.name, step, rows.tolist()))
        return make(stage, rows, step)

    trainer._batch = batch
    trainer.run()
    assert expected == [rows for name, step, rows in used if name == "together" and step % 4]


# ----------------------------------------------------------------------------------------------------------------
# Mistakes


def half_a_folder(root: Path) -> None:
    """Pictures that the captions tell of are not all there."""
    (root / "train2014.zip").unlink()
    (root / "train2014.zip").write_bytes((root / "val2014.zip").read_bytes())


def half_an_archive(root: Path) -> None:
    """The download was cut off."""
    content = (root / "train2014.zip").read_bytes()
    (root / "train2014.zip").write_bytes(content[:-1000])


def nothing_but_rare_words(root: Path) -> None:
    """A picture's captions are empty after pruning."""

    def change(content: dict) -> None:
        for annotation in content["annotations"]:
            if annotation["image_id"] == 2:
                annotation["caption"] = f"word{annotation['id']}"

    edit(root / OWN[0], change)


def other_sizes(root: Path) -> None:
    """An encoder of another preset."""
    write_encoder(root / "encoder.safetensors", replace(TINY.encoder, out=12))


def no_encoder(root: Path) -> None:
    """Weights of a whole captioner in place of what `uvlm pretrain` writes."""
    UVLM(TINY, Vocabulary(["cat"])).save(root / "encoder.safetensors")


MISTAKES = [
    (half_a_folder, [], "There is no picture COCO_train2014_"),
    (half_an_archive, [], "is not a zip archive, or only its beginning"),
    (
        nothing_but_rare_words,
        [],
        "No caption of picture COCO_train2014_000000000002.jpg has a word that the vocabulary",
    ),
    (other_sizes, [], "has out 12, and this model's has 10; give the --preset"),
    (no_encoder, [], "holds no classifier; give the weights.safetensors that `uvlm pretrain` wrote"),
    (None, ["--encoder", "none.safetensors"], "There is no checkpoint none.safetensors"),
    (None, ["--encoder", ""], "Recipe paper starts from an encoder"),
    (None, ["--preset", "x"], "There is no preset 'x'"),
    (None, ["--memory", "-1"], "--memory is a number of gigabytes, 0 or more, not -1.0"),
    (None, ["--memory", "nan"], "--memory is a number of gigabytes, 0 or more, not nan"),
    (None, ["--limit", "3"], "3 training pictures do not fill a batch of 4"),
]


@pytest.mark.parametrize(("harm", "more", "says"), MISTAKES)
def test_mistakes(coco: Path, capsys: pytest.CaptureFixture[str], harm, more: list[str], says: str) -> None:
    """Each is one sentence, status 2, and nothing is written or overwritten."""
    if harm is not None:
        harm(coco)
    before = {path: path.read_bytes() for path in coco.rglob("*") if path.is_file()}
    assert cli.main(train(coco, *more)) == 2
    err = capsys.readouterr().err.splitlines()[-1] + "\n"
    assert one_sentence(err) and says in err
    assert {path: path.read_bytes() for path in coco.rglob("*") if path.is_file()} == before


def test_another_encoder_does_not_continue_a_run(coco: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run belongs to the encoder that it started from; its files stay."""
    assert cli.main(train(coco)) == 0
    write_encoder(coco / "other.safetensors", seed=8)
    before = {path: path.read_bytes() for path in (coco / "run").iterdir()}
    assert cli.main(train(coco, encoder="other.safetensors")) == 2
    assert "belongs to a run with another encoder" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (coco / "run").iterdir()} == before


def test_results_need_ids_and_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The embedded scenes have no ids, Karpathy's other sets have none either; both are told before any captioning."""
    evaluate = ["evaluate", "--limit", "2", "--split", "val", "--no-java"]
    assert cli.main(["scenes", str(tmp_path), "--splits", "val", "--limit", "2"]) == 0
    capsys.readouterr()
    data = ["--data", str(tmp_path / "captions.json")]
    for more, says in (
        (
            ["--results", str(tmp_path / "r.json")],
            "names pictures by their ids, which these lack; give COCO with --data",
        ),
        ([*data, "--results", str(tmp_path / "none" / "r.json")], "There is no folder"),
    ):
        assert cli.main([*evaluate, *more]) == 2
        err = capsys.readouterr().err
        assert one_sentence(err) and says in err
    edit(tmp_path / "captions.json", lambda c: c["images"][1].pop("cocoid"))
    assert cli.main([*evaluate, *data, "--results", str(tmp_path / "r.json")]) == 2
    assert "which these lack" in capsys.readouterr().err and not (tmp_path / "r.json").exists()
