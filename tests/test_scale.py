"""Captioning on several processes: they train as one that accumulates, one of them writes, and all stop together."""

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import ROOT, TINY
from uvlm_mini.datasets.coco import CaptionSet
from uvlm_mini.datasets.scenes import samples
from uvlm_mini.datasets.vocab import PAD
from uvlm_mini.model import UVLM, read_tensors
from uvlm_mini.train import features, loop
from uvlm_mini.train.loop import Trainer
from uvlm_mini.train.processes import split, weight
from uvlm_mini.train.scst import log_probs_of, policy_loss
from uvlm_mini.train.stages import Stage, caption_loss, loss_of

SMALL = replace(TINY, longest=20)  # captions of many lengths
STAGES = (  # 2 steps each, of 4 micro-batches
    Stage("pretrain", epochs=1, rate=3e-3, batch=8, micro=2, relations=True, recolored=0.5),
    Stage("decoder", epochs=1, rate=3e-3, batch=8, micro=2, captions=2),
    Stage("together", epochs=1, rate=3e-3, batch=8, micro=2, captions=2),
    Stage("scst", epochs=1, rate=3e-3, batch=8, micro=2, samples=3),
)
FILES = {"last.safetensors", "best.safetensors", "weights.safetensors", "log.csv", "lock"}
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"}


def trainer(folder: Path | str, stages: tuple[Stage, ...] = STAGES, **options) -> Trainer:
    """A small one, of 16 pictures to train on and 10 to validate, looked at in parts of 4."""
    loop.PART = features.PART = 4
    data = CaptionSet.gather(samples("train", 16)), CaptionSet.gather(samples("val", 10))
    return Trainer(SMALL, stages, *data, folder, **{"seed": 3, "quiet": True, **options})


@pytest.fixture(autouse=True)
def _parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `trainer` changes is changed back."""
    monkeypatch.setattr(loop, "PART", loop.PART)
    monkeypatch.setattr(features, "PART", features.PART)


def rows(folder: Path) -> list[dict[str, str]]:
    """The lines of a log, but for the time."""
    with open(folder / "log.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


# ----------------------------------------------------------------------------------------------------------------
# Two processes and one


def record(folder: str, stop: str = "", as_two: str = "") -> None:
    """A program of its own, in float64: a training that notes every micro-batch's loss and every step's gradients.

    stop : ask for a stop in the second step of stage together, but only in the last process.
    as_two : let every other micro-batch alone into batch-norm's running statistics, as process 0 of two has them.
    """
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    to_tensor, real = loop.to_tensor, loop.loss_of
    loop.to_tensor = lambda pictures: to_tensor(pictures).double()
    rows_of = features.FeatureFile.__getitem__
    features.FeatureFile.__getitem__ = lambda file, rows: rows_of(file, rows).double()
    made = trainer(folder, memory=0.0)  # features go through the file
    made._familiarize = lambda: None
    seen: dict[str, list] = {"loss": [], "words": [], "gradient": [], "drawn": []}
    buffers, before = list(made.model.buffers()), list[torch.Tensor]()

    def put_back() -> None:
        for buffer, value in zip(buffers, before, strict=bool(before)):
            buffer.copy_(value)
        before.clear()

    def wrapped(stage, model, heads, batch):
        put_back()
        if as_two and len(seen["loss"]) % 2:
            before.extend(buffer.clone() for buffer in buffers)  # to be put back once its gradients are there
        loss = real(stage, model, heads, batch)
        seen["loss"].append(loss.item())
        seen["words"].append(weight(batch))
        if stage.name == "scst":
            seen["drawn"].append((batch["tokens"].tolist(), batch["gain"].tolist()))
        if stop and made.processes.index == made.processes.many - 1 and len(seen["loss"]) == 12:
            made.stop = True
        return loss

    def optimizer() -> torch.optim.Optimizer:
        found = Trainer._optimizer(made)
        learned = [p for group in found.param_groups for p in group["params"]]
        found.register_step_pre_hook(lambda *_: seen["gradient"].append([p.grad.clone() for p in learned]))
        found.register_step_post_hook(lambda *_: put_back())
        return found

    loop.loss_of, made._optimizer = wrapped, optimizer
    made.optimizer = optimizer()
    if made.checkpoint.exists():
        made._resume()
    name = "stopped" if stop else "seen"
    try:
        made.run()
    except KeyboardInterrupt as stopped:
        seen["said"] = [str(stopped)]
    torch.save(seen, Path(folder) / f"{name}{made.processes.index}.pt")
    made.processes.accelerator.end_training()


def run(processes: int, function: str, *arguments: object) -> subprocess.CompletedProcess:
    """Call a function of this file in so many processes."""
    program = f"from tests.test_scale import {function}; {function}(*{[str(a) for a in arguments]!r})"
    script = Path(str(arguments[0])).with_suffix(".py")
    script.write_text(program)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command = [sys.executable, *(launch if processes > 1 else []), str(script)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on two processes."""
    folder = tmp_path_factory.mktemp("two") / "run"
    run(2, "record", folder)
    return folder


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the same run on one process, which accumulates the same micro-batches."""
    folder = tmp_path_factory.mktemp("one") / "run"
    run(1, "record", folder, "", "as two")
    return folder


def assert_close_runs(folder: Path, other: Path) -> None:
    """Weights and moments to 1e-6, and the log."""
    for name in ("weights.safetensors", "last.safetensors"):
        found, expected = (read_tensors(f / name)[0] for f in (folder, other))
        assert found.keys() == expected.keys()
        for key, value in found.items():
            if key != "generator":  # every micro-batch has a seed of its own: what is left behind is used by nobody
                torch.testing.assert_close(value, expected[key], rtol=0, atol=1e-6, msg=key)
    assert rows(folder) == rows(other)


def test_two_processes_train_as_one_that_accumulates(two: Path, one: Path) -> None:
    """Through all four stages: losses, drawn captions, gradients, weights, moments, and the log."""
    (alone,) = (torch.load(one / "seen0.pt"),)
    both = [torch.load(two / f"seen{process}.pt") for process in (0, 1)]
    assert len(alone["loss"]) == 32 and len(set(alone["loss"])) == 32 and len(set(alone["words"][8:])) > 4
    for process in (0, 1):
        assert both[process]["loss"] == pytest.approx(alone["loss"][process::2], rel=0, abs=1e-6)
        assert both[process]["words"] == alone["words"][process::2]
        tokens, gains = zip(*both[process]["drawn"], strict=True)
        expected, wanted = zip(*alone["drawn"][process::2], strict=True)
        assert tokens == expected and np.allclose(gains, wanted, rtol=0, atol=1e-9)
        assert len(both[process]["gradient"]) == len(alone["gradient"]) == 8
        for found, expected in zip(both[process]["gradient"], alone["gradient"], strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert max(float(g.abs().max()) for g in alone["gradient"][-1]) > 1e-3
    assert_close_runs(two, one)


def test_one_process_writes(two: Path) -> None:
    """Every file is there once and whole, a line an epoch stands in the log, and no file of features is left."""
    assert {path.name for path in two.iterdir()} == FILES | {"seen0.pt", "seen1.pt"}
    assert [(row["stage"], row["step"]) for row in rows(two)] == [(stage.name, "2") for stage in STAGES]


def test_all_stop_when_one_is_asked_to_and_go_on_together(two: Path, tmp_path: Path) -> None:
    """A signal that only the second process gets; resumed on two, the end is that of an undisturbed run."""
    run(2, "record", tmp_path / "run", "stop")
    for process in (0, 1):
        (said,) = torch.load(tmp_path / "run" / f"stopped{process}.pt")["said"]
        assert said.startswith("Stopped at step 2 of stage together;")
    _, about = read_tensors(tmp_path / "run" / "last.safetensors")
    assert [json.loads(about["progress"])[k] for k in ("stage", "step")] == [2, 2]
    run(2, "record", tmp_path / "run")
    assert len(torch.load(tmp_path / "run" / "seen1.pt")["gradient"]) == 2  # the work of before is not done again
    assert_close_runs(tmp_path / "run", two)


# ----------------------------------------------------------------------------------------------------------------
# A step in micro-batches is the step


def exact(made: Trainer) -> Trainer:
    """In float64, and without dropout."""
    made.model.double()
    for part in made.model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    return made


def gradients(made: Trainer) -> list[torch.Tensor]:
    """Those of the decoder."""
    return [p.grad.clone() for p in made.model.decoder.parameters()]


@pytest.mark.parametrize("micro", [1, 2, 4, 8])
def test_a_step_counts_words_not_micro_batches(tmp_path: Path, micro: int) -> None:
    """Loss and gradients of the decoder's stage are those of the whole batch at once, by its definition."""
    stage = replace(STAGES[1], micro=micro)
    made = exact(trainer(tmp_path, (stage,)))
    made.features = torch.randn(16, 10, 8, 8, dtype=torch.float64)
    picks = made._plan(stage, 0)[0]
    whole = made._batch(stage, picks, 0)
    lengths = (whole["tokens"] != PAD).sum(1)
    assert lengths.min() < lengths.max()
    found, _ = made._learn(stage, picks, 0, picks[:0])
    mine = gradients(made)
    made.model.zero_grad()
    x = whole["features"].repeat_interleave(2, 0)
    loss = caption_loss(made.model.decoder(x, whole["tokens"][:, :-1]), whole["tokens"])
    loss.backward()
    assert found == pytest.approx(loss.item(), abs=1e-12)
    torch.testing.assert_close(mine, gradients(made), rtol=0, atol=1e-12)


@pytest.mark.parametrize("baseline", ["others", "greedy"])
def test_a_step_of_stage_4_is_a_mean_over_all_that_was_drawn(tmp_path: Path, monkeypatch, baseline: str) -> None:
    """The gradient is that of all captions together, and the reward their mean; each micro-batch draws its own."""
    stage = replace(STAGES[3], baseline=baseline)
    made = exact(trainer(tmp_path, (stage,)))
    made.model.eval()
    made.features = torch.randn(16, 10, 8, 8, dtype=torch.float64)
    made.reward = lambda captions, rows: np.array([len(c) + 0.1 * row for c, row in zip(captions, rows, strict=True)])
    kept: list[dict] = []
    monkeypatch.setattr(loop, "loss_of", lambda *a: (kept.append(a[3]), loss_of(*a))[1])
    picks = made._plan(stage, 0)[0]
    found, reward = made._learn(stage, picks, 0, picks[:0])
    assert [part["features"].shape[0] for part in kept] == [2] * 4
    for k, part in enumerate(kept):
        assert torch.equal(part["features"], made.features[torch.from_numpy(picks[k::4])])
    mine = gradients(made)
    made.model.zero_grad()
    longest = max(part["tokens"].shape[1] for part in kept)
    pad = torch.nn.functional.pad
    tokens = torch.cat([pad(p["tokens"], (0, longest - p["tokens"].shape[1]), value=PAD) for p in kept])
    assert len({tuple(row) for row in tokens.tolist()}) > 12  # no two micro-batches draw with the same dice
    x, gain = (torch.cat([part[name] for part in kept]) for name in ("features", "gain"))
    loss = policy_loss(log_probs_of(made.model.decoder, x, tokens), tokens, gain)
    loss.backward()
    assert found == pytest.approx(loss.item(), abs=1e-12)
    torch.testing.assert_close(mine, gradients(made), rtol=0, atol=1e-12)
    said = (tokens[:, 1:] != PAD).sum(1).clamp(max=SMALL.longest + 1).double()
    cut = (tokens[:, -1] > 2) if longest == SMALL.longest + 2 else torch.zeros(len(tokens), dtype=torch.bool)
    lengths = said - cut.double()
    row = torch.tensor(np.concatenate([picks[k::4] for k in range(4)])).repeat_interleave(3).double()
    assert reward == pytest.approx(float((lengths + 0.1 * row).mean()), abs=1e-9)


def test_micro_batches_hold_every_picture_once() -> None:
    """Every K-th, its captions with it and padded to their own longest; of the recoloured ones each its part."""
    tokens = torch.tensor([[1, 4, 2, 0], [1, 4, 4, 2]] * 3 + [[1, 2, 0, 0]] * 6)
    batch = {"pictures": torch.arange(6.0)[:, None], "tokens": tokens, "recolored": torch.tensor(4)}
    found = split(batch, 3, captions=2)
    assert [part["pictures"][:, 0].tolist() for part in found] == [[0, 3], [1, 4], [2, 5]]
    assert [part["tokens"].shape for part in found] == [(4, 4)] * 3
    assert found[1]["tokens"].tolist() == [[1, 4, 2, 0], [1, 4, 4, 2], [1, 2, 0, 0], [1, 2, 0, 0]]
    assert [int(part["recolored"]) for part in found] == [2, 1, 1]
    assert split({"tokens": tokens[4:8]}, 2, captions=2)[1]["tokens"].shape == (2, 2)
    assert split(batch, 1, 2) == [batch]


# ----------------------------------------------------------------------------------------------------------------
# Half precision, mistakes, and the command


def bf16(folder: str) -> None:
    """A program of its own: the four stages in bfloat16, watching the decoder's state and who draws."""
    torch.set_num_threads(1)
    # On some processors oneDNN leaves parts of a small depthwise kernel's gradient unwritten in bfloat16.
    torch.backends.mkldnn.enabled = False
    made = trainer(folder, precision="bf16")
    kinds = set()
    made.model.decoder.ssm.in_proj.register_forward_hook(lambda part, args, out: kinds.add(f"in_proj {out.dtype}"))
    step = made.model.decoder.ssm.step

    def watched(x, h):
        y, after = step(x, h)
        kinds.add(f"state {h.dtype} {after.dtype}")
        return y, after

    made.model.decoder.ssm.step = watched
    made.run()
    Path(folder, "kinds.json").write_text(json.dumps(sorted(kinds)))


def test_half_precision_leaves_the_state_alone(tmp_path: Path) -> None:
    """Matrices multiply in bfloat16; state, weights and what is stored are float32, and the losses are close."""
    run(1, "bf16", tmp_path / "half")
    kinds = json.loads((tmp_path / "half" / "kinds.json").read_text())
    assert kinds == ["in_proj torch.bfloat16", "in_proj torch.float32", "state torch.float32 torch.float32"]
    trainer(tmp_path / "full").run()
    for mine, full in zip(rows(tmp_path / "half"), rows(tmp_path / "full"), strict=True):
        if mine["stage"] != "scst":
            assert mine["loss"] != full["loss"] and float(mine["loss"]) == pytest.approx(float(full["loss"]), rel=0.02)
    tensors, _ = read_tensors(tmp_path / "half" / "last.safetensors")
    assert all(v.dtype == torch.float32 and v.isfinite().all() for k, v in tensors.items() if v.is_floating_point())


def test_what_processes_cannot_share_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence each, before anything is written."""
    with pytest.raises(ValueError, match=r"Stage decoder cannot take 8 pictures 3 at a time; give a --micro that div"):
        replace(STAGES[1], micro=3)
    from accelerate import Accelerator

    monkeypatch.setattr(Accelerator, "num_processes", 3)
    for micro, many in ((None, 8), (2, 2)):
        stage = replace(STAGES[1], micro=micro)
        with pytest.raises(ValueError, match=rf"decoder takes 8 pictures, {many} at once, which 3 processes cannot"):
            trainer(tmp_path / "run", (stage,))
    assert not (tmp_path / "run").exists()


def test_the_micro_batch_is_part_of_a_run(tmp_path: Path) -> None:
    """A folder is resumed with the same alone; a run of before there were any goes on."""
    plain = replace(STAGES[1], micro=None)
    made = trainer(tmp_path, (plain,))
    assert all("micro" not in stage for stage in made.identity["stages"])
    made.run()
    with pytest.raises(ValueError, match="another stages"):
        trainer(tmp_path, STAGES[1:2])


def test_the_command_trains_under_a_launcher(tmp_path: Path) -> None:
    """Two processes, one voice: each thing is said once, and the weights load."""
    command = ["train", "--limit", "64", "--recipe", "class", "--stage", "decoder", "--micro", "8"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    weights = ROOT / "data" / "uvlm_mini.safetensors"
    arguments = ["-m", "uvlm_mini.cli", *command, "--weights", str(weights), "--out", str(tmp_path / "run")]
    done = subprocess.run([*launch, *arguments], env=ENVIRONMENT, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Weights: ") == 1 and done.stdout.count("decoder epoch 1:") == 1
    assert done.stderr.count("Drawing the pictures.") == 1
    model = UVLM.load(tmp_path / "run" / "weights.safetensors")
    assert model.familiarity is not None
    _, about = read_tensors(tmp_path / "run" / "weights.safetensors")
    assert about["command"].endswith("--micro 8")


def test_who_does_not_train_loads_no_engine() -> None:
    """The package, the model and the command are there without Accelerate having been imported."""
    program = "import sys, uvlm_mini.model, uvlm_mini.cli, uvlm_mini.train.stages, uvlm_mini.train.loop; "
    program += "print(sorted(m for m in sys.modules if m.startswith('accelerate')))"
    done = subprocess.run([sys.executable, "-c", program], env=ENVIRONMENT, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "[]\n", done.stderr
