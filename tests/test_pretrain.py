"""Stage 1 at scale: however it is stopped, and however many processes share it, it is the same training."""

import csv
import json
import math
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from tests.conftest import ROOT
from tests.test_imagenet import draw_folder
from uvlm_mini import cli
from uvlm_mini.config import AttSSMConfig, OverModConfig, UVLMConfig
from uvlm_mini.datasets.imagenet import eval_transform, open_folders
from uvlm_mini.datasets.vocab import Vocabulary
from uvlm_mini.encoder import Classifier, OverMod
from uvlm_mini.model import UVLM, read_tensors
from uvlm_mini.train import pretrain
from uvlm_mini.train.pretrain import Pretrainer, PretrainRecipe, ema_update, load_classifier, load_encoder
from uvlm_mini.train.shared import decay_groups

SMALL = OverModConfig(image=32, widths=(4, 6, 8, 8), depths=(1, 1, 1, 1), mod_width=8, mod_depths=(1, 0), out=10)
RECIPE = PretrainRecipe(epochs=2, batch=8, micro=4, rate_1024=0.4, ema=0.3)  # 3 steps an epoch, 2 micro-batches each
os.environ["ACCELERATE_USE_CPU"] = "1"


def trainer(pictures: Path, folder: Path, recipe: PretrainRecipe = RECIPE, **options) -> Pretrainer:
    """A small one, whose model also draws random numbers in training."""
    options = {"config": SMALL, "seed": 3, "workers": 0, "quiet": True, **options}
    made = Pretrainer(options.pop("config"), recipe, pictures, folder, **options)
    made.model.encoder.merge.register_forward_hook(lambda part, _, out: F.dropout(out, 0.1, part.training))
    return made


def at_micro_batch(made: Pretrainer, number: int, do) -> None:
    """Let `do` happen as the loss of a micro-batch is computed; they are counted from 0 over the whole run."""
    count, loss = iter(range(10**6)), made.loss

    def wrapped(*args):
        if next(count) == number:
            do()
        return loss(*args)

    made.loss = wrapped


def die() -> None:
    """What a kill from within looks like."""
    raise RuntimeError("killed")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 training and 12 validation pictures in three classes."""
    return draw_folder(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def whole(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing disturbs."""
    folder = tmp_path_factory.mktemp("whole")
    trainer(pictures, folder).run()
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    """The lines of a log, but for the time."""
    with open(folder / "log.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def assert_same_run(folder: Path, whole: Path) -> None:
    """Weights, averages and moments to the bit, and the log."""
    for name in ("weights.safetensors", "last.safetensors"):
        found, expected = (read_tensors(f / name)[0] for f in (folder, whole))
        assert found.keys() == expected.keys()
        for key, value in found.items():
            assert torch.equal(value, expected[key]), key
    assert rows(folder) == rows(whole)


# ----------------------------------------------------------------------------------------------------------------
# One run


def test_it_learns(pictures: Path, whole: Path) -> None:
    """Every weight moves, heads and auxiliary head included; the log tells an epoch a line."""
    log = rows(whole)
    assert [(row["epoch"], row["step"]) for row in log] == [("1", "3"), ("2", "6")]
    assert float(log[1]["loss"]) < float(log[0]["loss"])
    torch.manual_seed(3)
    fresh = Classifier(SMALL, 3).state_dict()
    trained, _ = read_tensors(whole / "last.safetensors")
    assert all(not torch.equal(v, trained[f"model.{k}"]) for k, v in fresh.items())


def test_top1_is_counted_by_hand(pictures: Path, whole: Path) -> None:
    """The log's last scores are those of the model and of its average on every validation picture."""
    _, val = open_folders(pictures)
    look = eval_transform(32)
    batch = torch.stack([look(picture) for picture, _ in val])
    average, classes = load_classifier(whole / "weights.safetensors")
    assert classes == ["beach", "meadow", "snow"] and not average.training
    tensors, _ = read_tensors(whole / "last.safetensors")
    model = Classifier(SMALL, 3).eval()
    model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    for score, one in (("top1", model), ("top1_ema", average)):
        with torch.inference_mode():
            right = (one(batch).argmax(1) == torch.tensor(val.targets)).float().mean().item()
        assert rows(whole)[-1][score] == f"{right:.4f}"


def test_the_loss_is_that_of_the_paper(pictures: Path, tmp_path: Path) -> None:
    """L_final + λ_aux L_aux, both cross-entropies against labels that are mixed and smoothed."""
    made = trainer(pictures, tmp_path, replace(RECIPE, lambda_aux=0.7))
    x, shares = torch.rand(4, 3, 32, 32), torch.rand(4, 3).softmax(1)
    made.model.train()
    torch.manual_seed(0)
    found = made.loss(x, shares)
    torch.manual_seed(0)
    logits, auxiliary = made.model(x)
    smooth = shares * 0.9 + 0.1 / 3
    final, aux = (-(smooth * one.log_softmax(1)).sum(1).mean() for one in (logits, auxiliary))
    torch.testing.assert_close(found, final + 0.7 * aux)


def test_the_rate_warms_up_and_ends_at_the_least(pictures: Path, tmp_path: Path) -> None:
    """Up over a tenth of a short run or five epochs of a long one, then a cosine; the height grows with the batch."""
    assert PretrainRecipe().rate == 2e-3 and PretrainRecipe(batch=512).rate == 5e-4
    made = trainer(pictures, tmp_path, replace(RECIPE, epochs=100, warmup=5))
    rates = [made.rate_at(step) for step in range(301)]
    top = 0.4 / 128
    assert rates[14] == max(rates) == pytest.approx(top) and rates[0] == pytest.approx(1e-5 + top / 15, rel=0.01)
    assert rates[15 + 285 // 2] == pytest.approx(top / 2, rel=0.02) and rates[300] == pytest.approx(1e-5)
    made.recipe = replace(made.recipe, warmup=80)
    assert max(range(300), key=made.rate_at) in (29, 30)


def test_weight_decay_spares_what_it_must() -> None:
    """Convolutions and matrices decay; norms, biases, Layer Scale and GRN do not; nothing is forgotten."""
    model = Classifier(SMALL, 3)
    decayed, spared = decay_groups(model.named_parameters(), 0.05)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.05, 0.0)
    names = {id(p): name for name, p in model.named_parameters()}
    norms = {
        f"{name}.{part}"
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.BatchNorm2d)
        for part in ("weight", "bias")
    }
    expected = norms | {name for name in names.values() if name.endswith(("bias", "scale", "gamma", "beta"))}
    assert {names[id(p)] for p in spared["params"]} == expected and len(norms) > 20
    assert {names[id(p)] for p in decayed["params"]} == set(names.values()) - expected
    assert any("scale" in name for name in expected) and any("gamma" in name for name in expected)


def test_the_average_is_the_plain_formula() -> None:
    """mean <- keep mean + (1 - keep) weight, first the weight itself; batch statistics too, their counters copied."""
    model = torch.nn.BatchNorm1d(5).double()
    average = AveragedModel(model, multi_avg_fn=ema_update(0.8), use_buffers=True)
    expected: list[torch.Tensor] = []
    for n in range(60):
        model.weight.data.normal_()
        model(torch.randn(7, 5, dtype=torch.float64))
        now = [model.weight.data.clone(), model.running_mean.clone()]
        keep = min(0.8, (1 + n) / (10 + n)) if n else 0.0
        expected = [keep * a + (1 - keep) * b for a, b in zip(expected or now, now, strict=True)]
        average.update_parameters(model)
        torch.testing.assert_close([average.module.weight.data, average.module.running_mean], expected)
    assert average.module.num_batches_tracked == 60


# ----------------------------------------------------------------------------------------------------------------
# Stopped, killed and resumed


@pytest.mark.parametrize(("number", "sign"), [(1, signal.SIGINT), (5, signal.SIGTERM), (8, signal.SIGINT)])
def test_a_stopped_run_ends_as_an_undisturbed_one(
    pictures: Path, whole: Path, tmp_path: Path, number: int, sign: signal.Signals
) -> None:
    """Ctrl-C or a scheduler's signal, within a step and an epoch or at its end: the step is done, and all is saved."""
    made = trainer(pictures, tmp_path)
    at_micro_batch(made, number, lambda: os.kill(os.getpid(), sign))
    before = signal.getsignal(sign)
    with pytest.raises(KeyboardInterrupt, match=f"Stopped at step {number // 2 % 3 + 1} of epoch {number // 6 + 1}"):
        made.run()
    assert signal.getsignal(sign) is before and not (tmp_path / "weights.safetensors").exists()
    torch.manual_seed(99)  # what happens elsewhere in between must not matter
    again = trainer(pictures, tmp_path)
    assert again.progress.step == number // 2 + 1
    again.run()
    assert_same_run(tmp_path, whole)


@pytest.mark.parametrize(("number", "every"), [(7, 0), (9, 1000), (3, 1000)])
def test_a_killed_run_ends_as_an_undisturbed_one(
    pictures: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, every: int
) -> None:
    """Between two micro-batches, whether it saved at every step, at the end of the epoch, or never: no line twice."""
    monkeypatch.setattr(pretrain, "SAVE_SECONDS", every)
    made = trainer(pictures, tmp_path)
    at_micro_batch(made, number, die)
    with pytest.raises(RuntimeError, match="killed"):
        made.run()
    again = trainer(pictures, tmp_path)
    assert again.progress.step == {7: 3, 9: 3, 3: 0}[number]
    again.run()
    assert_same_run(tmp_path, whole)


def test_a_run_killed_as_it_validates_ends_the_same(pictures: Path, whole: Path, tmp_path: Path) -> None:
    """The epoch is not trained again, only validated."""
    made = trainer(pictures, tmp_path)
    made.validate = die
    with pytest.raises(RuntimeError, match="killed"):
        made.run()
    again = trainer(pictures, tmp_path)
    assert (again.progress.epoch, again.progress.step) == (0, 3)
    again.run()
    assert_same_run(tmp_path, whole)


def killed(pictures: str, folder: str) -> None:
    """A run that kills itself within its fifth step, as kill -9 does; it has saved every step before."""
    pretrain.SAVE_SECONDS = 0
    made = trainer(Path(pictures), Path(folder))
    at_micro_batch(made, 9, lambda: os.kill(os.getpid(), signal.SIGKILL))
    made.run()


def program(tmp_path: Path, function: str) -> Path:
    """A script that calls a function of this file with its arguments."""
    path = tmp_path / f"{function}.py"
    path.write_text(f"import sys\nfrom tests.test_pretrain import {function}\n{function}(*sys.argv[1:])\n")
    return path


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def test_kill_9_and_resume(pictures: Path, whole: Path, tmp_path: Path) -> None:
    """A process that is gone without a word; another one ends with the same weights to the bit."""
    command = [sys.executable, str(program(tmp_path, "killed")), str(pictures), str(tmp_path / "run")]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    again = trainer(pictures, tmp_path / "run")
    assert (again.progress.epoch, again.progress.step) == (1, 4)
    again.run()
    assert_same_run(tmp_path / "run", whole)


def asleep(pictures: str, folder: str) -> None:
    """A run that falls asleep within its fifth step, all steps before being saved."""
    pretrain.SAVE_SECONDS = 0
    made = trainer(Path(pictures), Path(folder))
    at_micro_batch(made, 9, lambda: print("asleep", flush=True) or time.sleep(600))
    made.run()


def test_two_runs_never_write_into_one_folder(pictures: Path, whole: Path, tmp_path: Path) -> None:
    """The second says so and touches nothing, though it would resume; once the first is killed, it goes on."""
    folder = tmp_path / "run"
    command = [sys.executable, str(program(tmp_path, "asleep")), str(pictures), str(folder)]
    first = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout is not None and first.stdout.readline() == "asleep\n"
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert {"log.csv", "last.safetensors"} <= before.keys()
        second = trainer(pictures, folder)
        with pytest.raises(ValueError, match="Another run is writing into"):
            second.run()
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    finally:
        first.kill()
        first.communicate()
    second.run()
    assert_same_run(folder, whole)


def test_a_finished_run_has_nothing_left_to_do(pictures: Path, whole: Path, tmp_path: Path) -> None:
    """Run once more, it gives the same weights and logs nothing."""
    folder = shutil.copytree(whole, tmp_path / "run")
    made = trainer(pictures, folder)
    at_micro_batch(made, 0, die)
    made.run()
    assert_same_run(folder, whole)


@pytest.mark.parametrize("other", ["config", "recipe", "seed", "set of pictures"])
def test_a_folder_of_another_run_is_refused(pictures: Path, whole: Path, tmp_path: Path, other: str) -> None:
    """The sentence names what differs; the checkpoint stays as it is."""
    before = (whole / "last.safetensors").read_bytes()
    with pytest.raises(ValueError, match=f"belongs to a run with another {other}; give another --out"):
        if other == "config":
            trainer(pictures, whole, config=replace(SMALL, out=12))
        elif other == "recipe":
            trainer(pictures, whole, replace(RECIPE, smoothing=0.2))
        elif other == "seed":
            trainer(pictures, whole, seed=4)
        else:
            moved = shutil.copytree(pictures, tmp_path / "pictures")
            (path,) = list((moved / "train" / "snow").iterdir())[:1]
            path.rename(path.with_name("renamed.png"))
            trainer(moved, whole)
    assert (whole / "last.safetensors").read_bytes() == before


# ----------------------------------------------------------------------------------------------------------------
# Several processes


def record(pictures: str, folder: str, first_statistics: bool = False) -> dict:
    """Run in float64; returns, and leaves in the folder, every micro-batch's loss and every step's gradients.

    first_statistics : of the two micro-batches of a step, let the first alone into the running statistics.
    """
    torch.set_default_dtype(torch.float64)
    try:
        made = trainer(Path(pictures), Path(folder))
        collate, loss, seen = made.loader.collate_fn, made.loss, {"loss": [], "gradient": []}
        made.loader.collate_fn = lambda samples: tuple(
            x.double() if isinstance(x, torch.Tensor) else x for x in collate(samples)
        )
        made.val_loader.dataset.dataset.transform = lambda picture: eval_transform(32)(picture).double()

        def wrapped(*batch):
            if len(seen["loss"]) % 2:
                statistics[:] = [buffer.clone() for buffer in made.model.buffers()]
            found = loss(*batch)
            seen["loss"].append(found.item())
            return found

        def at_step(*_):
            seen["gradient"].append([p.grad.clone() for p in made.model.parameters()])
            if first_statistics:
                for buffer, first in zip(made.model.buffers(), statistics, strict=True):
                    buffer.copy_(first)

        statistics: list[torch.Tensor] = []
        made.loss = wrapped
        made.optimizer.register_step_pre_hook(at_step)
        made.run()
    finally:
        torch.set_default_dtype(torch.float32)
    torch.save(seen, Path(folder) / f"seen{made.accelerator.process_index}.pt")
    return seen


def test_two_processes_train_as_one_that_accumulates(pictures: Path, tmp_path: Path) -> None:
    """Losses, gradients, weights, averages and moments to 1e-6 (float64), and the log.

    The batch statistics of process 0 are those of the first of the two micro-batches, as DDP keeps them.
    """
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*launch, str(program(tmp_path, "record")), str(pictures), str(tmp_path / "two")]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    two = [torch.load(tmp_path / "two" / f"seen{i}.pt") for i in (0, 1)]
    one = record(str(pictures), str(tmp_path / "one"), first_statistics=True)
    assert len(one["loss"]) == 12 and len(set(one["loss"])) == 12
    for process in (0, 1):
        assert two[process]["loss"] == pytest.approx(one["loss"][process::2], abs=1e-6)
        assert len(two[process]["gradient"]) == len(one["gradient"]) == 6
        for found, expected in zip(two[process]["gradient"], one["gradient"], strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    found, expected = (read_tensors(tmp_path / name / "last.safetensors")[0] for name in ("two", "one"))
    assert found.keys() == expected.keys()
    for key, value in found.items():
        torch.testing.assert_close(value, expected[key], rtol=0, atol=1e-6, msg=key)
    assert found["model.encoder.merge.0.1.num_batches_tracked"] == 6
    assert rows(tmp_path / "two") == rows(tmp_path / "one")


# ----------------------------------------------------------------------------------------------------------------
# Mistakes


def test_a_loss_that_is_no_number_stops_the_run(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Epoch, step and the first picture of the micro-batch are named; weights and checkpoint are those of before."""
    monkeypatch.setattr(pretrain, "SAVE_SECONDS", 0)
    made = trainer(pictures, tmp_path)
    at_micro_batch(made, 9, lambda: torch.nn.init.constant_(made.model.widen.bias, math.nan))
    made.order.epoch, made.order.start = 1, 1
    path = made.names[list(made.order)[1][0][1]]  # the second micro-batch of the second epoch's second step
    made.order.epoch = made.order.start = 0
    with pytest.raises(FloatingPointError) as caught:
        made.run()
    assert str(caught.value).startswith(
        f"The loss of epoch 2, step 2 is nan, from the micro-batch that begins with {path};"
    )
    tensors, about = read_tensors(tmp_path / "last.safetensors")
    assert all(v.isfinite().all() for v in tensors.values() if v.is_floating_point())
    assert json.loads(about["progress"])["step"] == 4


@pytest.mark.parametrize("workers", [0, 2])
def test_a_picture_that_breaks_in_training_is_named(pictures: Path, tmp_path: Path, workers: int) -> None:
    """In one sentence, also where a worker met it."""
    broken = shutil.copytree(pictures, tmp_path / "pictures")
    path = next((broken / "train" / "meadow").iterdir())
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError) as caught:
        trainer(broken, tmp_path / "run", workers=workers).run()
    assert str(caught.value).startswith(f"{path} cannot be read to its end") and "\n" not in str(caught.value)
    assert multiprocessing.active_children() == []


def test_what_cannot_be_trained_is_refused(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps, micro-batches, sides and channels that do not fit: a sentence each."""
    with pytest.raises(
        ValueError, match=r"train has 24 pictures and a step takes 32; give more pictures, or a smaller"
    ):
        trainer(pictures, tmp_path, replace(RECIPE, batch=32))
    with pytest.raises(ValueError, match=r"steps of 10 pictures in micro-batches of 4 cannot be trained"):
        replace(RECIPE, batch=10)
    for rate in (0.0, -1e-3, math.nan):
        with pytest.raises(ValueError, match="learning rate must be a number above 0, not"):
            replace(RECIPE, rate_1024=rate)
    with pytest.raises(ValueError, match=r"side 40 does not divide .* give a multiple of 16\.$"):
        replace(SMALL, image=40)
    with pytest.raises(ValueError, match=r"takes pictures \(B, 3, 32, 32\), not \(2, 1, 32, 32\)"):
        Classifier(SMALL, 3)(torch.zeros(2, 1, 32, 32))
    from accelerate import Accelerator

    monkeypatch.setattr(Accelerator, "num_processes", 3)
    with pytest.raises(ValueError, match=r"2 micro-batches, which 3 processes cannot share evenly; choose --micro"):
        trainer(pictures, tmp_path)


# ----------------------------------------------------------------------------------------------------------------
# What is left, and the command


def test_a_captioner_starts_from_the_encoder(whole: Path, tmp_path: Path) -> None:
    """The encoder in the file gives the averaged model's features, and fits a captioner of the same sizes."""
    tensors, _ = read_tensors(whole / "last.safetensors")
    expected = OverMod(SMALL).eval()
    start = "ema.module.encoder."
    expected.load_state_dict({k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)})
    captioner = UVLM(
        UVLMConfig(SMALL, AttSSMConfig(features=10, side=4, hidden=8, states=2, dt_rank=2)), Vocabulary(["a"])
    )
    captioner.encoder.load_state_dict(load_encoder(whole / "weights.safetensors").state_dict())
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(captioner.eval().encoder(x), expected(x))
    with pytest.raises(ValueError, match=r"holds no classifier; give the weights\.safetensors"):
        load_encoder(whole / "last.safetensors")


COMMAND = ["--preset", "mini", "--pixels", "32", "--epochs", "1", "--batch", "12", "--micro", "6", "--workers", "0"]


def test_the_command_checks_a_folder(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Counts on standard output and status 0; a sentence for each broken file and status 2."""
    assert cli.main(["pretrain", str(pictures), "--check"]) == 0
    assert capsys.readouterr().out.startswith("train: 3 classes, 24 pictures, 8 to 8 a class\n")
    broken = shutil.copytree(pictures, tmp_path / "pictures")
    path = next((broken / "val" / "snow").iterdir())
    path.write_bytes(path.read_bytes()[:-200])
    assert cli.main(["pretrain", str(broken), "--check"]) == 0
    assert cli.main(["pretrain", str(broken), "--check", "--decode"]) == 2
    assert f"uvlm: {path} cannot be read to its end" in capsys.readouterr().err


def test_the_command_trains_under_a_launcher(pictures: Path, tmp_path: Path) -> None:
    """The launch line of the help; the weights load, and a step in bfloat16 is not one in float32."""
    launch = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--cpu", "-m", "uvlm_mini.cli"]
    arguments = ["pretrain", str(pictures), *COMMAND, "--out"]
    assert cli.main([*arguments, str(tmp_path / "no")]) == 0
    command = [*launch, *arguments, str(tmp_path / "bf16"), "--precision", "bf16"]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"Weights: {tmp_path / 'bf16' / 'weights.safetensors'}\n")
    assert rows(tmp_path / "bf16")[0]["step"] == rows(tmp_path / "no")[0]["step"] == "2"
    a, b = (load_encoder(tmp_path / p / "weights.safetensors").state_dict() for p in ("no", "bf16"))
    assert all(torch.isfinite(v).all() for v in b.values())
    assert 0 < (a["merge.0.0.weight"] - b["merge.0.0.weight"]).abs().max() < 1e-2


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--pixels", "50"], "side 50 does not divide"),
        (["--preset", "huge"], "no preset 'huge'"),
        (["--batch", "0"], "cannot be trained"),
        (["--batch", "1000", "--micro", "10"], "24 pictures and a step takes 1000"),
    ],
)
def test_mistakes_of_the_command(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], says: str
) -> None:
    """One sentence on standard error, status 2, and nothing written."""
    assert cli.main(["pretrain", str(pictures), *COMMAND, "--out", str(tmp_path / "run"), *more]) == 2
    err = capsys.readouterr().err
    assert says in err and err.startswith("uvlm: ") and err.count("\n") == 1
    assert not (tmp_path / "run").exists()
