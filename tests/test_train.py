"""The training loop: a run that was stopped is the run that was not."""

import csv
import itertools
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import ROOT, TINY
from uvlm_mini import metrics, search
from uvlm_mini.baselines.nic import NIC
from uvlm_mini.datasets.coco import CaptionSet
from uvlm_mini.datasets.drawing import COLORS, KINDS
from uvlm_mini.datasets.scenes import samples, scene
from uvlm_mini.datasets.vocab import EOS, PAD
from uvlm_mini.model import UVLM, read_tensors, write_tensors
from uvlm_mini.train import loop
from uvlm_mini.train.loop import Trainer
from uvlm_mini.train.shared import schedule
from uvlm_mini.train.stages import (
    LAMBDA_AUX,
    RECIPES,
    SIDES,
    UNASKED,
    SceneHeads,
    Stage,
    caption_loss,
    cells,
    owners,
    recolor,
    standings,
)

STAGES = (  # 4 steps an epoch, 24 steps in all
    Stage("pretrain", epochs=2, rate=3e-3, batch=16),
    Stage("decoder", epochs=2, rate=3e-3, batch=16),
    Stage("together", epochs=1, rate=1e-3, batch=16, captions=2),
    Stage("scst", epochs=1, rate=1e-3, batch=16, clip=1.0, samples=3),
)


@pytest.fixture(scope="module")
def data() -> tuple[CaptionSet, CaptionSet]:
    """64 scenes to train on, 12 to validate."""
    return CaptionSet.gather(samples("train", 64)), CaptionSet.gather(samples("val", 12))


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A run that nothing disturbs: its folder and its weights."""
    folder = tmp_path_factory.mktemp("whole")
    model = Trainer(TINY, STAGES, *data, folder, seed=3, quiet=True).run()
    return folder, {k: v.clone() for k, v in model.state_dict().items()}


def at_step(trainer: Trainer, stage: int, step: int, do) -> None:
    """Let `do` happen in the middle of a run, as a step's batch is made."""
    make = trainer._batch

    def batch(*args):
        if (trainer.progress.stage, trainer.progress.step) == (stage, step):
            do()
        return make(*args)

    trainer._batch = batch


def stop_at(trainer: Trainer, stage: int, step: int) -> None:
    """Run until a stop is asked for, as Ctrl-C does, during one step."""
    at_step(trainer, stage, step, lambda: setattr(trainer, "stop", True))
    with pytest.raises(KeyboardInterrupt, match=f"Stopped at step {step + 1} of stage .*resumes"):
        trainer.run()


def rows(folder) -> list[dict[str, str]]:
    """The lines of a log."""
    with open(folder / "log.csv", newline="") as file:
        return list(csv.DictReader(file))


def assert_same_files(folder, expected) -> None:
    """Weights, best weights, moments and generator to the bit, and every number in the log but the time."""
    for name in ("weights.safetensors", "best.safetensors", "last.safetensors"):
        found, wanted = (read_tensors(f / name)[0] for f in (folder, expected))
        assert found.keys() == wanted.keys()
        for key, value in found.items():
            assert torch.equal(value, wanted[key]), (name, key)
    logs = ([{k: v for k, v in row.items() if k != "seconds"} for row in rows(f)] for f in (folder, expected))
    assert next(logs) == next(logs)


def assert_same_run(folder, model: UVLM, whole) -> None:
    """Every weight to the bit, and all that is on disk."""
    expected_folder, expected = whole
    assert model.state_dict().keys() == expected.keys()
    for key, value in model.state_dict().items():
        assert torch.equal(value, expected[key]), key
    assert_same_files(folder, expected_folder)


# ----------------------------------------------------------------------------------------------------------------
# Stopped and resumed


def test_training_learns(whole, data):
    """Every stage leaves its mark: the log has a line an epoch, the losses fall, the weights moved."""
    folder, weights = whole
    log = rows(folder)
    done = [("pretrain", "4"), ("pretrain", "8"), ("decoder", "4"), ("decoder", "8"), ("together", "4"), ("scst", "4")]
    assert [(r["stage"], r["step"]) for r in log] == done
    assert [r["epoch"] for r in log] == ["1", "2", "1", "2", "1", "1"]
    assert [r["reward"] == "" for r in log] == [True] * 5 + [False] and 0 < float(log[5]["reward"]) < 10
    assert all((r["right_things"] == "") == (r["stage"] == "pretrain") for r in log)
    assert float(log[1]["loss"]) < float(log[0]["loss"])
    assert float(log[4]["val_loss"]) < float(log[3]["val_loss"]) < float(log[2]["val_loss"])
    fresh = Trainer(TINY, STAGES, *data, folder / "fresh", seed=3, quiet=True).model.state_dict()
    assert all(not torch.equal(v, weights[k]) for k, v in fresh.items() if v.is_floating_point())


@pytest.mark.parametrize(("stage", "step"), [(0, 3), (0, 5), (1, 2), (2, 3), (3, 1)])
def test_a_stopped_run_ends_as_an_undisturbed_one(data, whole, tmp_path, stage, step):
    """Stopped in any stage, within an epoch or at its end, and resumed by a new trainer: the same to the bit."""
    stop_at(Trainer(TINY, STAGES, *data, tmp_path, seed=3, quiet=True), stage, step)
    assert not (tmp_path / "weights.safetensors").exists()
    torch.manual_seed(999)  # what happens elsewhere in between must not matter
    model = Trainer(TINY, STAGES, *data, tmp_path, seed=3, quiet=True).run()
    assert_same_run(tmp_path, model, whole)


def test_a_run_stopped_again_and_again_ends_the_same(data, whole, tmp_path):
    """Eight stops, one of them on the very next step."""
    for stage, step in [(0, 1), (0, 2), (0, 6), (1, 0), (1, 5), (2, 0), (2, 2), (3, 0)]:
        stop_at(Trainer(TINY, STAGES, *data, tmp_path, seed=3, quiet=True), stage, step)
    assert_same_run(tmp_path, Trainer(TINY, STAGES, *data, tmp_path, seed=3, quiet=True).run(), whole)


@pytest.mark.parametrize(("stage", "step", "every"), [(1, 5, 0), (1, 5, 1000), (3, 2, 1000)])
def test_a_killed_run_ends_as_an_undisturbed_one(data, whole, tmp_path, monkeypatch, stage, step, every):
    """Killed between two checkpoints, steps after the last one are done again; none is logged twice."""
    monkeypatch.setattr(loop, "SAVE_SECONDS", every)
    trainer = Trainer(TINY, STAGES, *data, tmp_path, seed=3, quiet=True)

    def die() -> None:
        raise RuntimeError("killed")

    at_step(trainer, stage, step, die)
    with pytest.raises(RuntimeError, match="killed"):
        trainer.run()
    assert_same_run(tmp_path, Trainer(TINY, STAGES, *data, tmp_path, seed=3, quiet=True).run(), whole)


def test_a_run_killed_before_its_first_checkpoint_leaves_no_lines_behind(data, whole, tmp_path):
    """The run starts anew, and so does its log: no step stands in it twice."""
    trainer = Trainer(TINY, STAGES, *data, tmp_path, seed=3, quiet=True)

    def die() -> None:
        raise RuntimeError("killed")

    at_step(trainer, 0, 5, die)  # after the first epoch, and before the first minute
    with pytest.raises(RuntimeError, match="killed"):
        trainer.run()
    assert_same_run(tmp_path, Trainer(TINY, STAGES, *data, tmp_path, seed=3, quiet=True).run(), whole)


@pytest.mark.parametrize("half", ["toge", "together,4,1,1.0e-03,3.5"])
def test_a_line_that_broke_off_is_written_again(data, whole, tmp_path, half):
    """A log that ends in the middle of a line, as after a power cut, neither stops the run nor keeps the half."""
    stop_at(Trainer(TINY, STAGES, *data, tmp_path, seed=3, quiet=True), 2, 1)
    with open(tmp_path / "log.csv", "a") as file:
        file.write(half)
    assert_same_run(tmp_path, Trainer(TINY, STAGES, *data, tmp_path, seed=3, quiet=True).run(), whole)


def test_a_finished_run_has_nothing_left_to_do(data, whole):
    """Run once more, it gives the finished weights and logs nothing."""
    folder, weights = whole
    before = rows(folder)
    model = Trainer(TINY, STAGES, *data, folder, seed=3, quiet=True).run()
    assert all(torch.equal(v, weights[k]) for k, v in model.state_dict().items())
    assert rows(folder) == before


@pytest.mark.parametrize("other", ["seed", "stages", "config", "words", "pictures", "decoder"])
def test_a_folder_of_another_run_is_refused(data, whole, other):
    """Another seed, recipe, size, vocabulary or set of pictures: the sentence names which, the checkpoint stays."""
    folder, _ = whole
    train, val = data
    config, stages, seed, decoder = TINY, STAGES, 3, None
    if other == "decoder":
        decoder = partial(NIC, TINY.decoder)
    elif other == "seed":
        seed = 4
    elif other == "stages":
        stages = (*STAGES[:2], replace(STAGES[2], rate=2e-3), STAGES[3])
    elif other == "config":
        config = replace(TINY, longest=9)
    elif other == "words":
        train = replace(train, captions=[["grey " * 5, *c] for c in train.captions])
    else:
        train = CaptionSet.gather([*samples("train", 64), *samples("train", 1)])
        train = replace(train, captions=[*train.captions[:64], ["a"]])
    before = (folder / "last.safetensors").read_bytes()
    with pytest.raises(ValueError, match=f"another {other}"):
        Trainer(config, stages, train, val, folder, seed=seed, quiet=True, decoder=decoder)
    assert (folder / "last.safetensors").read_bytes() == before


def test_a_loss_that_is_no_number_stops_the_run(data, tmp_path):
    """The sentence names stage, step and every picture of the batch; the checkpoint of before stands as it was."""
    stop_at(Trainer(TINY, STAGES, *data, tmp_path, seed=3, quiet=True), 0, 2)
    before = (tmp_path / "last.safetensors").read_bytes()
    trainer = Trainer(TINY, STAGES, *data, tmp_path, seed=3, quiet=True)
    at_step(trainer, 0, 5, lambda: torch.nn.init.constant_(trainer.heads.place.bias, math.nan))
    names = ", ".join(data[0].names[row] for row in trainer._plan(STAGES[0], 1)[1])
    with pytest.raises(FloatingPointError, match=f"loss of stage pretrain, step 5 is nan, with the pictures {names}; "):
        trainer.run()
    assert (tmp_path / "last.safetensors").read_bytes() == before
    tensors, _ = read_tensors(tmp_path / "last.safetensors")
    assert all(v.isfinite().all() for v in tensors.values())


def test_a_gradient_that_is_no_number_never_gets_into_the_weights(data, tmp_path, monkeypatch):
    """Though the loss itself is one, and though every step is saved; in stage 4."""
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0)
    trainer = Trainer(TINY, STAGES[3:], *data, tmp_path, quiet=True)
    weight = trainer.model.decoder.norm_out.weight
    at_step(trainer, 0, 2, lambda: weight.register_hook(lambda gradient: gradient * math.inf))
    with pytest.raises(FloatingPointError, match=r"stage scst, step 2 has a gradient of length (inf|nan), with"):
        trainer.run()
    tensors, about = read_tensors(tmp_path / "last.safetensors")
    assert json.loads(about["progress"])["step"] == 2
    assert all(v.isfinite().all() for v in tensors.values())


@pytest.mark.parametrize("rate", [0.0, -1e-3, math.nan, math.inf])
def test_a_rate_that_teaches_nothing_is_refused(rate):
    """Zero, negative, not a number, without end: one sentence, before anything is written."""
    with pytest.raises(ValueError, match="rate of stage scst must be a number above 0, not"):
        Stage("scst", 1, rate)
    for wrong, says in (
        ({"samples": 1}, "needs 2 samples"), ({"epochs": 0}, "needs 1 epochs"), ({"batch": 0}, "needs 1 batch"),
        ({"baseline": "best"}, "no baseline 'best'"), ({"clip": 0.0}, "clip of stage scst"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=says):
            replace(STAGES[3], **wrong)
    with pytest.raises(ValueError, match="no stage 'rest'"):
        Stage("rest", 1, 1e-3)


# ----------------------------------------------------------------------------------------------------------------
# Killed for good, and two at once


def many_kills(folder: str, kills: int) -> None:
    """A program of its own: a training that is killed (SIGKILL) at random moments, resumed, and at last left alone.

    Every attempt is a child, so that nothing is loaded twice; it saves at every step, so that kills hit that, too.
    Prints the stage and the step that the checkpoint of a killed one held, and whether it left half a file.
    """
    torch.set_num_threads(1)
    loop.SAVE_SECONDS = 0
    chance = random.Random(kills)
    train, val = CaptionSet.gather(samples("train", 64)), CaptionSet.gather(samples("val", 12))

    def attempt() -> int:
        child = os.fork()
        if child == 0:
            try:
                Trainer(TINY, STAGES, train, val, folder, seed=3, quiet=True).run()
                os._exit(0)
            finally:
                os._exit(1)
        return child

    def place() -> dict:
        at = Path(folder, "last.safetensors")
        if not at.exists():
            return {"stage": 0, "step": 0}
        blob = at.read_bytes()  # opened once: safe_open opens it twice, and the run may replace it in between
        header = json.loads(blob[8 : 8 + int.from_bytes(blob[:8], "little")])
        return json.loads(header["__metadata__"]["progress"])

    for kill in range(kills):
        target, child, gone = 24 * (kill + chance.random()) / kills, attempt(), (0, 0)
        while gone[0] == 0 and (0, 8, 16, 20, 24)[place()["stage"]] + place()["step"] < target:
            time.sleep(0.002)
            gone = os.waitpid(child, os.WNOHANG)
        time.sleep(chance.uniform(0, 0.05))
        gone = gone if gone[0] else os.waitpid(child, os.WNOHANG)
        if gone[0] == 0:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            print(place()["stage"], place()["step"], Path(folder, "last.safetensors.part").exists(), flush=True)
        else:
            assert gone[1] == 0  # it was quicker than the kill
    assert os.waitpid(attempt(), 0)[1] == 0


def waits(folder: str) -> None:
    """A program of its own: a training that falls asleep in its third step."""
    torch.set_num_threads(1)
    loop.SAVE_SECONDS = 0
    train, val = CaptionSet.gather(samples("train", 64)), CaptionSet.gather(samples("val", 12))
    trainer = Trainer(TINY, STAGES, train, val, folder, seed=3, quiet=True)
    at_step(trainer, 0, 2, lambda: print("asleep", flush=True) or time.sleep(600))
    trainer.run()


def program(function: str, *arguments: object) -> list[str]:
    """The command that calls a function of this file in a process of its own."""
    return [sys.executable, "-c", f"from tests.test_train import {function}; {function}(*{arguments!r})"]


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_run_killed_at_any_moment_ends_as_an_undisturbed_one(whole, tmp_path):
    """Five times, the last one in stage 4 or just before its end. KILLS=20 makes it twenty times."""
    kills = int(os.environ.get("KILLS", "5"))
    command = program("many_kills", str(tmp_path), kills)
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, cwd=ROOT)
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > kills // 2  # the others came too late
    assert_same_files(tmp_path, whole[0])


def test_two_runs_never_write_into_one_folder(data, whole, tmp_path):
    """The second says so and touches nothing; once the first is killed, the folder is free and the run goes on."""
    first = subprocess.Popen(
        program("waits", str(tmp_path)), env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert first.stdout.readline() == "asleep\n"
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        assert "last.safetensors" in before
        second = Trainer(TINY, STAGES, *data, tmp_path, seed=3, quiet=True)
        with pytest.raises(ValueError, match="Another run is writing into"):
            second.run()
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    finally:
        first.kill()
        first.communicate()
    assert_same_run(tmp_path, second.run(), whole)


def test_a_scheduler_may_stop_a_run_as_ctrl_c_does(data, tmp_path):
    """SIGTERM: the step is done, all is saved, and the handlers of before are back."""
    before = signal.getsignal(signal.SIGTERM)
    trainer = Trainer(TINY, STAGES, *data, tmp_path, seed=3, quiet=True)
    at_step(trainer, 0, 1, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt, match="Stopped at step 2"):
        trainer.run()
    assert signal.getsignal(signal.SIGTERM) is before and (tmp_path / "last.safetensors").exists()


def test_weights_without_a_checkpoint_are_not_written_over(data, whole, tmp_path):
    """They may be all that is left of a training."""
    (tmp_path / "weights.safetensors").write_bytes((whole[0] / "weights.safetensors").read_bytes())
    with pytest.raises(ValueError, match="weights of a training and no checkpoint"):
        Trainer(TINY, STAGES, *data, tmp_path, seed=3, quiet=True)


# ----------------------------------------------------------------------------------------------------------------
# One stage alone


def test_stage_by_stage_is_the_whole_run(data, whole, tmp_path):
    """Each stage by a trainer of its own, in one folder: the same to the bit; a stage that is done is left alone."""
    with pytest.raises(
        ValueError, match=r"Stage together starts from trained weights.*--weights, or run stage pretrain"
    ):
        Trainer(TINY, STAGES, *data, tmp_path, seed=3, quiet=True, only="together")
    for stage in STAGES:
        model = Trainer(TINY, STAGES, *data, tmp_path, seed=3, quiet=True, only=stage.name).run()
        assert UVLM.load(tmp_path / "weights.safetensors").config == TINY
        if stage.name == "pretrain":
            with pytest.raises(ValueError, match="run stage decoder first"):
                Trainer(TINY, STAGES, *data, tmp_path, seed=3, quiet=True, only="scst")
    assert_same_run(tmp_path, model, whole)
    model = Trainer(TINY, STAGES, *data, tmp_path, seed=3, quiet=True, only="decoder").run()
    assert_same_run(tmp_path, model, whole)
    with pytest.raises(ValueError, match="no stage 'rest'; use one of pretrain, decoder, together, scst"):
        Trainer(TINY, STAGES, *data, tmp_path, seed=3, quiet=True, only="rest")


def test_a_stage_starts_from_weights(data, whole, tmp_path):
    """Those of another run, with their vocabulary; stopped and resumed to the same bits, from these weights alone."""
    weights = whole[0] / "weights.safetensors"
    fewer = CaptionSet(*(part[:48] for part in (data[0].pictures, data[0].captions, data[0].names, data[0].scenes)))
    made = []
    for name, stop in (("a", False), ("b", True)):
        arguments = (TINY, STAGES, fewer, data[1], tmp_path / name)
        options = {"seed": 5, "quiet": True, "only": "scst", "weights": weights}
        trainer = Trainer(*arguments, **options)
        assert trainer.progress.stage == 3
        assert all(torch.equal(v, whole[1][k]) for k, v in trainer.model.state_dict().items())
        if stop:
            stop_at(trainer, 3, 1)
            with pytest.raises(ValueError, match="another start"):
                Trainer(*arguments, **{**options, "weights": whole[0] / "best.safetensors"})
            trainer = Trainer(*arguments, **options)
        made.append(trainer.run())
    a, b = (model.state_dict() for model in made)
    assert all(torch.equal(a[k], b[k]) for k in a) and made[0].vocabulary == UVLM.load(weights).vocabulary
    learned = {k for k in a if not k.startswith("familiarity") and not torch.equal(a[k], whole[1][k])}
    assert learned and all(k.startswith("decoder.") for k in learned)
    with pytest.raises(ValueError, match="a model of other sizes"):
        Trainer(replace(TINY, longest=9), STAGES, *data, tmp_path / "c", only="scst", weights=weights)


def test_weights_are_kept_stage_by_stage(data, whole, tmp_path):
    """Stopped and resumed, a run keeps at the end of each stage what a run of the stages so far ends with."""
    stop_at(Trainer(TINY, STAGES, *data, tmp_path, seed=3, quiet=True, keep=True), 2, 1)
    kept = ["stage_1_pretrain", "stage_2_decoder", "stage_3_together", "stage_4_scst"]
    assert sorted(path.stem for path in tmp_path.glob("stage_*")) == kept[:2]
    Trainer(TINY, STAGES, *data, tmp_path, seed=3, quiet=True, keep=True).run()
    assert sorted(path.stem for path in tmp_path.glob("stage_*")) == kept and not list(whole[0].glob("stage_*"))
    for last, name in enumerate(kept):
        model = UVLM.load(tmp_path / f"{name}.safetensors").state_dict()
        if last == 3:
            expected = whole[1]
        else:
            short = Trainer(TINY, STAGES[: last + 1], *data, tmp_path / name, seed=3, quiet=True)
            expected = short.run().state_dict()
        assert model and all(torch.equal(value, expected[key]) for key, value in model.items())


def test_another_decoder_goes_through_every_stage(data, tmp_path):
    """From a trained encoder, stopped in stage 4 and resumed: the same to the bit, and it learns in each stage."""
    eyes = Trainer(TINY, STAGES[:1], *data, tmp_path / "eyes", seed=3, quiet=True).run().encoder
    ends, options = [], {"seed": 3, "quiet": True, "encoder": eyes, "decoder": partial(NIC, TINY.decoder)}
    for name, stop in (("a", False), ("b", True)):
        trainer = Trainer(TINY, STAGES[1:], *data, tmp_path / name, keep=True, **options)
        assert isinstance(trainer.model.decoder, NIC)
        if stop:
            stop_at(trainer, 2, 1)
            trainer = Trainer(TINY, STAGES[1:], *data, tmp_path / name, keep=True, **options)
        ends.append(trainer.run().state_dict())
    assert all(torch.equal(ends[0][k], ends[1][k]) for k in ends[0])
    kept = [read_tensors(path)[0] for path in sorted((tmp_path / "a").glob("stage_*"))]
    for before, after in itertools.pairwise(kept):
        moved = {key for key in before if not torch.equal(before[key], after[key])}
        assert any(key.startswith("decoder.lstm") for key in moved)
    assert len(kept) == 3 and float(rows(tmp_path / "a")[-1]["reward"]) > 0


# ----------------------------------------------------------------------------------------------------------------
# What is told on the way


def greedy_captions(model: UVLM, val: CaptionSet) -> list[str]:
    """What a model says of the validation pictures."""
    with torch.inference_mode():
        found = search.greedy(model.decoder, loop.encode(model, val.pictures), TINY.longest)
    return [model.vocabulary.decode(f.tokens) for f in found]


def test_the_log_tells_scores_of_the_weights(data, whole):
    """The last line's scores are those of the weights at the end; the best weights have the best CIDEr."""
    folder, _ = whole
    log = rows(folder)
    said = greedy_captions(UVLM.load(folder / "weights.safetensors"), data[1])
    truth = metrics.truthfulness(said, data[1].scenes)
    assert log[-1]["cider"] == f"{metrics.cider(said, data[1].captions):.4f}"
    for column, name in (("right_things", "right things"), ("told_relation", "told relation")):
        assert log[-1][column] == f"{truth[name]:.4f}"
    assert log[-1]["true_relations"] == ("" if math.isnan(truth["relations"]) else f"{truth['relations']:.4f}")
    best = max((row for row in log if row["cider"]), key=lambda row: float(row["cider"]))
    _, about = read_tensors(folder / "best.safetensors")
    assert [about[k] for k in ("stage", "step", "cider")] == [best[k] for k in ("stage", "step", "cider")]
    said = greedy_captions(UVLM.load(folder / "best.safetensors"), data[1])
    assert f"{metrics.cider(said, data[1].captions):.4f}" == best["cider"]


def test_relations_that_are_true_are_counted(data, tmp_path, monkeypatch):
    """The log's shares are metrics.truthfulness's, under their names."""
    train, val = data
    trainer = Trainer(TINY, STAGES[1:], train, val, tmp_path, quiet=True)
    words = [one[0] for one in val.captions]
    monkeypatch.setattr(trainer.vocabulary, "decode", lambda tokens: words.pop(0))
    scores = trainer.validate(STAGES[1])
    truth = metrics.truthfulness([one[0] for one in val.captions], val.scenes)
    assert scores["right_things"] == f"{truth['right things']:.4f}" and float(scores["true_relations"]) == 1.0
    assert 0 < float(scores["told_relation"]) == pytest.approx(truth["told relation"], abs=1e-4)


def test_a_bar_shows_loss_rate_and_time_left(data, tmp_path, capsys):
    """And in stage 4 the reward, since its loss tells nothing."""
    Trainer(TINY, (STAGES[1], STAGES[3]), *data, tmp_path).run()
    out, err = capsys.readouterr()
    lines = err.replace("\r", "\n").splitlines()
    for name, shown in (("decoder", "loss="), ("scst", "reward=")):
        bars = [line for line in lines if line.startswith(f"{name}:") and shown in line]
        assert bars and all("rate=" in bar and "<" in bar for bar in bars)
    assert [line.split(":")[0] for line in out.splitlines()] == ["decoder epoch 1", "decoder epoch 2", "scst epoch 1"]
    assert all("cider 0." in line and "told_relation" in line for line in out.splitlines())


def test_fewer_pictures_than_a_batch_are_refused(data, tmp_path):
    """A run of no steps would hand over untrained weights as if they were trained."""
    with pytest.raises(ValueError, match="batch"):
        Trainer(TINY, (Stage("pretrain", 1, 1e-3, batch=65),), *data, tmp_path, quiet=True).run()


def test_two_seeds_make_two_models(data, whole, tmp_path):
    """And the same seed makes the same one."""
    stages = (replace(STAGES[0], epochs=1),)
    a, b, again = (
        Trainer(TINY, stages, *data, tmp_path / name, seed=seed, quiet=True).run().state_dict()
        for name, seed in (("a", 1), ("b", 2), ("again", 1))
    )
    assert all(torch.equal(a[k], again[k]) for k in a)
    assert not torch.equal(a["encoder.merge.0.0.weight"], b["encoder.merge.0.0.weight"])


# ----------------------------------------------------------------------------------------------------------------
# What a stage changes


@pytest.mark.parametrize("stage", [STAGES[1], STAGES[3]], ids=lambda stage: stage.name)
def test_a_frozen_encoder_is_left_as_it_is(data, tmp_path, stage):
    """In stages 2 and 4 neither its weights nor its batch statistics move; it is asked once for every picture."""
    train, val = data
    trainer = Trainer(TINY, (replace(stage, epochs=3),), train, val, tmp_path, seed=3, quiet=True)
    encoder = {k: v.clone() for k, v in trainer.model.encoder.state_dict().items()}
    decoder = {k: v.clone() for k, v in trainer.model.decoder.state_dict().items()}
    batches = []
    trainer.model.encoder.register_forward_hook(lambda part, args, out: batches.append((len(args[0]), part.training)))
    trainer._run_stage(trainer.stages[0])
    assert all(torch.equal(v, encoder[k]) for k, v in trainer.model.encoder.state_dict().items())
    assert all(not torch.equal(v, decoder[k]) for k, v in trainer.model.decoder.state_dict().items())
    assert batches == [(len(train), False)] + 3 * [(len(val), False)]


@pytest.mark.parametrize("stage", [STAGES[1], STAGES[3]], ids=lambda stage: stage.name)
def test_remembered_features_are_the_encoders(data, tmp_path, stage):
    """What the decoder learns on is what the encoder gives in eval mode, picture by picture."""
    trainer = Trainer(TINY, (stage,), *data, tmp_path, quiet=True)
    found = {}
    at_step(trainer, 0, 3, lambda: found.update(features=trainer.features.clone()))
    model = trainer.run()
    with torch.inference_mode():
        expected = loop.encode(model, data[0].pictures)
    torch.testing.assert_close(found["features"], expected, rtol=1e-4, atol=1e-5)


def test_pretraining_leaves_the_decoder_alone(data, tmp_path):
    """Stage 1 knows no words."""
    trainer = Trainer(TINY, (STAGES[0],), *data, tmp_path, quiet=True)
    before = {k: v.clone() for k, v in trainer.model.decoder.state_dict().items()}
    trainer.run()
    assert all(torch.equal(v, before[k]) for k, v in trainer.model.decoder.state_dict().items())


def test_weight_decay_spares_what_it_must(data, tmp_path):
    """Convolutions, matrices and the embedding decay; norms, biases, A_log, D and scales do not; all are trained."""
    trainer = Trainer(TINY, STAGES[2:3], *data, tmp_path, quiet=True)
    decayed, spared = (
        {name for name, p in trainer.model.named_parameters() if any(p is q for q in group["params"])}
        for group in sorted(trainer.optimizer.param_groups, key=lambda g: -g["weight_decay"])
    )
    assert [g["weight_decay"] > 0 for g in trainer.optimizer.param_groups] == [True, False]
    norms = {
        f"{name}.{part}"
        for name, module in trainer.model.named_modules()
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.LayerNorm)
        for part in ("weight", "bias")
    }
    ends = ("bias", "beta", "gamma", "scale", "A_log", ".D", "place")
    expected = norms | {name for name, _ in trainer.model.named_parameters() if name.endswith(ends)}
    assert spared == expected
    assert decayed == {name for name, _ in trainer.model.named_parameters()} - expected
    assert {"decoder.embedding.weight", "encoder.overnet.stages.0.0.0.weight", "decoder.ssm.x_proj.weight"} <= decayed


def test_the_rate_warms_up_and_falls_like_a_cosine():
    """A tenth of the steps up to the highest rate, at most a hundred; then down to nothing, without a jump."""
    for total in (20, 400, 5000):
        rates = np.array([schedule(step, total) for step in range(total)])
        top = min(100, total // 10)
        assert rates.max() == 1.0
        assert (np.diff(rates[: top + 1]) >= 0).all() and (np.diff(rates[top:]) < 0).all()
        assert rates[0] > 0 and rates[-1] < 0.01
        middle = (top + total) // 2
        assert rates[middle] == pytest.approx(0.5, abs=0.1)


def test_an_epoch_shows_every_picture_once(data, tmp_path):
    """In another order each epoch; which pictures a step sees depends on seed, stage and epoch alone."""
    trainer = Trainer(TINY, STAGES, *data, tmp_path, seed=3, quiet=True)
    first, second = (np.concatenate(trainer._plan(STAGES[0], epoch)) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(64))
    assert (first != second).any()
    assert (np.concatenate(trainer._plan(STAGES[0], 0)) == first).all()


# ----------------------------------------------------------------------------------------------------------------
# What is learned from


@pytest.mark.parametrize(("side", "least"), [(8, 0.3), (4, 0.15), (16, 0.5), (8, 0.0001)])
def test_cells_are_counted_pixel_by_pixel(side, least):
    """Kind and colour of the thing with the most pixels in a cell, nothing where that is under the least share."""
    size = 64 // side
    for i in range(60):
        s = scene("hard", i)
        found = cells(s, side, least)
        owner = np.zeros((64, 64), int)  # 0 nothing, else the number of a thing; boxes do not overlap
        for n, t in enumerate(s.things, 1):
            owner[t.y : t.y + t.box, t.x : t.x + t.box] = n
        for row in range(side):
            for column in range(side):
                cell = owner[row * size : (row + 1) * size, column * size : (column + 1) * size]
                counts = [int((cell == n).sum()) for n in range(1, len(s.things) + 1)]
                best = max(counts)
                if best == 0 or best / size**2 < least:
                    allowed = {(0, 0)}
                else:
                    winners = [t for t, n in zip(s.things, counts, strict=True) if n == best]
                    allowed = {(list(KINDS).index(t.kind) + 1, list(COLORS).index(t.color) + 1) for t in winners}
                assert tuple(found[:, row, column]) in allowed


def test_standings_are_what_the_centres_say():
    """By a loop over pairs: who lies farther along one axis, by more than half as much again, stands so."""
    asked = 0
    for i in range(60):
        s = scene("hard", i) if i % 2 else scene("train", i)
        who, found = owners(s, 8, 0.3), standings(s, 8, 0.3)
        for row, column in np.ndindex(8, 8):
            got = found[:, row, column].tolist()
            if not who[row, column] or len(s.things) == 1:
                assert got == [UNASKED] * 4
                continue
            t = s.things[who[row, column] - 1]
            expected = dict.fromkeys(SIDES, 0)
            for other in s.things:
                dx = other.x + other.box / 2 - t.x - t.box / 2
                dy = other.y + other.box / 2 - t.y - t.box / 2
                if abs(dx) > 1.5 * abs(dy):
                    expected["left" if dx > 0 else "right"] = 1
                if abs(dy) > 1.5 * abs(dx):
                    expected["above" if dy > 0 else "below"] = 1
            assert got == list(expected.values())
            asked += 1
    assert asked > 200


def test_recolored_pictures_keep_their_light():
    """Each has its three colours of light exchanged, in more than one way over a batch, and none stays as it was."""
    dice = np.random.default_rng(0)
    before = dice.integers(0, 256, (20, 4, 4, 3), np.uint8)
    after = before.copy()
    recolor(after, dice)
    ways = set()
    for a, b in zip(before, after, strict=True):
        found = [w for w in itertools.permutations(range(3)) if (a[..., list(w)] == b).all()]
        assert len(found) == 1 and found[0] != (0, 1, 2)
        ways.add(found[0])
    assert len(ways) > 2


@pytest.mark.parametrize("recolored", [0, 2, 3])
def test_what_recolored_pictures_teach(recolored):
    """Kinds and relations of every picture; colour and background of those alone that keep their colours."""
    torch.manual_seed(0)
    heads = SceneHeads(8, 6)
    batch = {
        "cells": torch.from_numpy(np.stack([cells(scene("hard", i), 8, 0.3) for i in range(3)])),
        "cells_aux": torch.from_numpy(np.stack([cells(scene("hard", i), 4, 0.15) for i in range(3)])),
        "stands": torch.from_numpy(np.stack([standings(scene("hard", i), 8, 0.3) for i in range(3)])),
        "place": torch.tensor([0, 1, 2]),
        "recolored": torch.tensor(recolored),
    }
    features, prior = torch.randn(3, 8, 8, 8), torch.randn(3, 6, 4, 4)
    heads(features, prior, batch).backward()
    whole = {name: parameter.grad for name, parameter in heads.named_parameters()}
    heads.zero_grad(set_to_none=True)

    def ce(logits, targets, weight=None):
        return torch.nn.functional.cross_entropy(logits, targets, weight)

    total = torch.zeros(())
    for share, x, cell, place, name in (
        (1.0, features, heads.cell, heads.place, "cells"),
        (LAMBDA_AUX, prior, heads.cell_aux, heads.place_aux, "cells_aux"),
    ):
        kind, color = cell(x).split(heads.sizes, 1)
        total = total + share * ce(kind, batch[name][:, 0], heads.kind_weight)
        plain = slice(recolored, None)
        if recolored < 3:
            total = total + share * ce(color[plain], batch[name][plain, 1], heads.color_weight)
            total = total + share * ce(place(x.mean((2, 3)))[plain], batch["place"][plain])
    p = torch.sigmoid(heads.stands(features))
    terms = [
        -torch.log(p[at]) if batch["stands"][at] else -torch.log(1 - p[at])
        for at in np.ndindex(*batch["stands"].shape)
        if batch["stands"][at] != UNASKED
    ]
    (total + torch.stack(terms).mean()).backward()
    for name, parameter in heads.named_parameters():
        assert (whole[name] is None) == (parameter.grad is None), name
        if parameter.grad is not None:
            torch.testing.assert_close(whole[name], parameter.grad, msg=name)


def test_relations_are_asked_where_the_stage_says(data, tmp_path):
    """In the batch, in the log, and of as many recoloured pictures as the stage says; else nowhere."""
    asking = Stage("pretrain", 1, 3e-3, batch=16, relations=True, recolored=0.25)
    for stage in (asking, Stage("pretrain", 1, 3e-3, batch=16)):
        trainer = Trainer(TINY, (stage,), *data, tmp_path / str(stage.relations), quiet=True)
        batch = trainer._batch(stage, np.arange(16), 0)
        assert ("stands" in batch) == ("recolored" in batch) == stage.relations
        trainer.run()
        (row,) = rows(trainer.folder)
        assert (row["stands"] != "") == stage.relations
    plain = trainer._batch(Stage("pretrain", 1, 3e-3, batch=16), np.arange(16), 0)["pictures"]
    other = trainer._batch(asking, np.arange(16), 0)["pictures"]
    same = (plain == other).flatten(1).all(1).tolist()
    assert same == [False] * 4 + [True] * 12


def test_caption_loss_is_the_mean_over_words():
    """Each word against the next token, EOS included and padding left out, by a loop."""
    logits = torch.randn(2, 4, 9, generator=torch.Generator().manual_seed(0))
    tokens = torch.tensor([[1, 5, 6, 7, EOS], [1, 8, EOS, PAD, PAD]])
    terms = []
    for b, t in [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1)]:
        terms.append(-torch.log_softmax(logits[b, t], -1)[tokens[b, t + 1]])
    torch.testing.assert_close(caption_loss(logits, tokens), torch.stack(terms).mean())


def test_pictures_are_shifted_and_nothing_else(data, tmp_path):
    """A training picture is a validation picture moved by up to two pixels, its edge repeated; the same at each run."""
    trainer = Trainer(TINY, STAGES, *data, tmp_path, seed=3, quiet=True)
    picks, seen = np.array([5, 9]), set()

    def moved(dy: int, dx: int) -> np.ndarray:
        rows, columns = (np.clip(np.arange(64) + d, 0, 63) for d in (dy, dx))
        return data[0].pictures[picks][:, rows][:, :, columns]

    for step in range(12):
        batch = trainer._batch(STAGES[0], picks, step)["pictures"]
        assert torch.equal(batch, trainer._batch(STAGES[0], picks, step)["pictures"])
        got = (batch.permute(0, 2, 3, 1).numpy() * 128 + 128).astype(np.uint8)
        moves = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if (moved(dy, dx) == got).all()]
        assert moves
        seen.add(moves[0])
    assert len(seen) > 4


def test_captions_of_a_batch_belong_to_their_pictures(data, tmp_path):
    """With two captions a picture, rows come in pairs, each caption one of its picture's, both different."""
    trainer = Trainer(TINY, STAGES[2:], *data, tmp_path, quiet=True)
    picks = np.array([3, 40, 8])
    tokens = trainer._batch(STAGES[2], picks, 0)["tokens"].tolist()
    assert len(tokens) == 6
    for n, row in enumerate(tokens):
        told = [trainer.vocabulary.encode(c, TINY.longest) for c in data[0].captions[picks[n // 2]]]
        assert [w for w in row if w != PAD] in told


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_run_the_stages_in_order(name):
    """First what lies where, then what to say, then both together, at last what pays."""
    assert [s.name for s in RECIPES[name]] == ["pretrain", "decoder", "together", "scst"]
    assert [s.frozen for s in RECIPES[name]] == [False, True, False, True]


def test_a_checkpoint_that_is_truncated_is_refused(data, whole, tmp_path):
    """Resuming from half a file: one sentence, and the file is left for inspection."""
    data_bytes = (whole[0] / "last.safetensors").read_bytes()
    (tmp_path / "last.safetensors").write_bytes(data_bytes[: len(data_bytes) // 2])
    with pytest.raises(ValueError, match="truncated or not a checkpoint"):
        Trainer(TINY, STAGES, *data, tmp_path, seed=3, quiet=True)


def test_weights_in_place_of_a_checkpoint_are_refused(data, whole, tmp_path):
    """A file of another purpose belongs to no run."""
    tensors, about = read_tensors(whole[0] / "weights.safetensors")
    write_tensors(tmp_path / "last.safetensors", tensors, about)
    with pytest.raises(ValueError, match="another config"):
        Trainer(TINY, STAGES, *data, tmp_path, seed=3, quiet=True)
