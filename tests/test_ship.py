"""What is shipped belongs together, and a run that does not leaves what was shipped before as it is."""

import json
import shutil

import pytest
import torch

from scripts import ship
from tests.conftest import TINY
from uvlm_mini.datasets.coco import CaptionSet
from uvlm_mini.datasets.scenes import samples, scene
from uvlm_mini.model import UVLM, read_tensors, write_tensors
from uvlm_mini.train.loop import Trainer
from uvlm_mini.train.stages import Stage

STAGES = tuple(
    Stage(name, epochs=1, rate=1e-3, batch=16, samples=2) for name in ("pretrain", "decoder", "together", "scst")
)
LAST, BEFORE, END = "stage_4_scst.safetensors", "stage_3_together.safetensors", "weights.safetensors"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A tiny run that kept the weights of its stages."""
    folder = tmp_path_factory.mktemp("run")
    data = CaptionSet.gather(samples("train", 32)), CaptionSet.gather(samples("val", 6))
    Trainer(TINY, STAGES, *data, folder, quiet=True, keep=True, command="uvlm train").run()
    return folder


@pytest.fixture
def run(whole, tmp_path):
    """A copy of it that a test may spoil."""
    return shutil.copytree(whole, tmp_path / "runs" / "tiny")


@pytest.fixture
def started(monkeypatch, tmp_path):
    """The repository is an empty folder, the preset a tiny one; the programs that would be started, in order."""
    commands = []
    monkeypatch.setattr(ship, "ROOT", tmp_path)
    monkeypatch.setattr(ship, "CONFIG", TINY)
    monkeypatch.setattr(ship.subprocess, "run", lambda command, **_: commands.append(command[1:]))
    (tmp_path / "data").mkdir()
    (tmp_path / "book" / "_static").mkdir(parents=True)
    return commands


def test_ships_what_the_run_ended_with(run, started, tmp_path):
    """Weights as they are, those from before stage 4 with the familiarity of the end, log, caption and picture."""
    assert ship.main(str(run)) == 0
    data = tmp_path / "data"
    for name, of in (("uvlm_mini", END), ("uvlm_mini_before_scst", BEFORE)):
        tensors, about = read_tensors(data / f"{name}.safetensors")
        expected, noted = read_tensors(run / of)
        familiar = {k: v for k, v in read_tensors(run / END)[0].items() if k.startswith("familiarity.")}
        expected |= familiar
        assert about == noted and tensors.keys() == expected.keys() and familiar
        assert all(torch.equal(value, expected[key]) for key, value in tensors.items())
    assert (data / "uvlm_mini.csv").read_bytes() == (run / "log.csv").read_bytes()
    says = UVLM.load(run / END).caption(scene(*ship.GOLDEN).draw())
    assert (data / "golden.txt").read_text() == says + "\n"
    assert (tmp_path / "book" / "_static" / "readme.png").stat().st_size > 1000
    assert started == [
        ["-m", "uvlm_mini.cli", "quantize", "--out", "runs/int8"],
        ["-m", "uvlm_mini.cli", "deploy", "blob", "runs/int8", "--out", "data/uvlm_mini.bin"],
        ["-m", "benchmarks.familiar"],
        ["-m", "benchmarks.stages", "runs/tiny"],
        ["-m", "benchmarks.shipped"],
        ["scripts/run_notebooks.py"],
    ]


def rewrite(path, tensors=None, drop=(), **notes):
    """The same file with some tensors and notes exchanged."""
    old, about = read_tensors(path)
    about = {k: v for k, v in about.items() if k not in (*drop, "format")}
    write_tensors(path, old | (tensors or {}), about | notes)


def moved(path, name):
    """A tensor of a file, a little off."""
    return {name: read_tensors(path)[0][name] + 1e-6}


def forget(run):
    """Take from the final weights what tells strange pictures."""
    tensors, about = read_tensors(run / END)
    about.pop("format")
    write_tensors(run / END, {k: v for k, v in tensors.items() if not k.startswith("familiarity.")}, about)


def other_words(path):
    """The file's list of words, the last two exchanged."""
    *words, one, other = json.loads(read_tensors(path)[1]["words"])
    return json.dumps([*words, other, one])


SPOILED = {
    "no stage 3": (lambda run: (run / BEFORE).unlink(), "lacks together"),
    "no weights": (lambda run: (run / END).unlink(), f"lacks {END}"),
    "no log": (lambda run: (run / "log.csv").unlink(), "lacks log.csv"),
    "half a log": (
        lambda run: (run / "log.csv").write_text("".join((run / "log.csv").read_text().splitlines(True)[:-1])),
        "tells of the stages",
    ),
    "truncated": (lambda run: (run / BEFORE).write_bytes((run / BEFORE).read_bytes()[:-9]), "is truncated"),
    "no seed": (lambda run: rewrite(run / END, drop=["seed"]), "does not note its seed"),
    "no time": (lambda run: rewrite(run / END, drop=["seconds"]), "does not note its seconds"),
    "another seed": (lambda run: rewrite(run / BEFORE, seed="9"), "is of seed 9"),
    "other words": (lambda run: rewrite(run / BEFORE, words=other_words(run / BEFORE)), "has other words"),
    "other weights at the end": (
        lambda run: rewrite(run / END, moved(run / END, "decoder.norm_out.bias")), "are not the same weights"
    ),
    "another encoder before": (
        lambda run: rewrite(run / BEFORE, moved(run / BEFORE, "encoder.modnet.enter.0.weight")), "has another encoder"
    ),
    "nothing familiar": (forget, "cannot tell strange pictures"),
}  # fmt: skip


@pytest.mark.parametrize("spoil", SPOILED)
def test_changes_nothing_before_all_is_checked(spoil, run, started, tmp_path):
    """What is missing or of another run is named, no file of data/ is written, and no program is started."""
    do, message = SPOILED[spoil]
    do(run)
    with pytest.raises(SystemExit, match=message):
        ship.main(str(run))
    assert not list((tmp_path / "data").iterdir()) and not started


def test_another_preset_is_refused(run, started, monkeypatch, tmp_path):
    """So is a folder that is none."""
    with pytest.raises(SystemExit, match="There is no folder"):
        ship.main(str(tmp_path / "nothing"))
    monkeypatch.setattr(ship, "CONFIG", ship.PRESETS["mini"])
    with pytest.raises(SystemExit, match="is not of preset mini"):
        ship.main(str(run))
    assert not list((tmp_path / "data").iterdir()) and not started
