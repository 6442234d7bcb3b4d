"""Remembered features: in memory or in a file they are the encoder's, however often the writing was stopped."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import TINY
from uvlm_mini.datasets.coco import CaptionSet
from uvlm_mini.datasets.scenes import samples
from uvlm_mini.encoder import OverMod
from uvlm_mini.model import to_tensor
from uvlm_mini.train import features
from uvlm_mini.train.features import FeatureFile, fingerprint, forget, remember
from uvlm_mini.train.loop import Trainer
from uvlm_mini.train.stages import Stage

SHAPE = (10, 8, 8)
ROW = 2 * 10 * 8 * 8  # bytes of a picture's features in the file
STAGES = (
    Stage("decoder", epochs=2, rate=3e-3, batch=8, captions=2),
    Stage("together", epochs=1, rate=1e-3, batch=8),
)


@pytest.fixture(scope="module")
def data() -> CaptionSet:
    """Scenes whose features are asked for."""
    return CaptionSet.gather(samples("train", 32))


@pytest.fixture(scope="module")
def encoder() -> OverMod:
    """One that is frozen."""
    torch.manual_seed(1)
    return OverMod(TINY.encoder).eval()


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four parts of ten pictures at most."""
    monkeypatch.setattr(features, "PART", 10)


def write(encoder: OverMod, data: CaptionSet, path: Path, memory: float = 0.0, **options) -> tuple:
    """What is remembered, and how many pictures were encoded at a time."""
    seen: list[int] = []

    def encode(pictures: np.ndarray) -> torch.Tensor:
        seen.append(len(pictures))
        return encoder(to_tensor(pictures))

    return remember(encode, encoder, data, SHAPE, path, memory, True, **options), seen


@pytest.fixture
def file(encoder: OverMod, data: CaptionSet, tmp_path: Path) -> Path:
    """A file that was written without a stop."""
    assert write(encoder, data, tmp_path / "f.float16")[1] == [10, 10, 10, 2]
    return tmp_path / "f.float16"


def test_a_file_holds_what_memory_holds_in_float16(encoder: OverMod, data: CaptionSet, file: Path) -> None:
    """To the bit, and given as float32; where they fit they stay in memory as they are, and no file is made."""
    with torch.inference_mode():
        expected = torch.cat([encoder(to_tensor(data.pictures[i : i + 10])) for i in (0, 10, 20, 30)])
    limit = 4 * expected.numel() / 1e9
    kept, _ = write(encoder, data, file.parent / "no.float16", limit)
    assert isinstance(kept, torch.Tensor) and torch.equal(kept, expected)
    assert not (file.parent / "no.float16").exists()
    more, seen = write(encoder, data, file, limit * 0.999)
    assert isinstance(more, FeatureFile) and len(more) == 32 and seen == []  # it was there
    rows = torch.tensor([3, 31, 3, 0])
    assert more[rows].dtype == torch.float32 and torch.equal(more[rows], expected[rows].half().float())
    assert file.stat().st_size == 32 * ROW


@pytest.mark.parametrize("rows", [0, 0.3, 1, 9.99, 10, 17.5, 29, 31, 31.999])
def test_a_file_that_was_cut_off_is_completed(encoder, data, file: Path, rows: float) -> None:
    """Whole parts are kept, the rest is encoded in the same company: the file of a run that was not stopped."""
    whole = file.read_bytes()
    file.write_bytes(whole[: int(rows * ROW)])
    made, seen = write(encoder, data, file)
    assert seen == [10, 10, 10, 2][int(rows // 10) :] and file.read_bytes() == whole
    assert len(made) == 32


def test_a_stop_is_heard_between_parts(encoder, data, file: Path, tmp_path: Path) -> None:
    """What is encoded by then stays."""
    answers = iter([False, False, True])
    with pytest.raises(KeyboardInterrupt, match="the same command resumes"):
        write(encoder, data, tmp_path / "g.float16", stopped=lambda: next(answers))
    assert (tmp_path / "g.float16").read_bytes() == file.read_bytes()[: 20 * ROW]
    assert write(encoder, data, tmp_path / "g.float16")[1] == [10, 2]
    assert (tmp_path / "g.float16").read_bytes() == file.read_bytes()


def other_encoder(encoder: OverMod, data: CaptionSet, file: Path) -> tuple[OverMod, CaptionSet]:
    """Of which a single number differs."""
    changed = OverMod(TINY.encoder).eval()
    changed.load_state_dict(encoder.state_dict())
    with torch.no_grad():
        changed.merge[0][0].weight.view(-1)[0] += 1e-3
    assert fingerprint(changed) != fingerprint(encoder)
    return changed, data


def other_pictures(encoder: OverMod, data: CaptionSet, file: Path) -> tuple[OverMod, CaptionSet]:
    """The same in another order."""
    return encoder, replace(data, names=data.names[::-1])


def fewer_pictures(encoder: OverMod, data: CaptionSet, file: Path) -> tuple[OverMod, CaptionSet]:
    """The last one is missing."""
    return encoder, CaptionSet(data.pictures[:-1], data.captions[:-1], data.names[:-1], data.scenes[:-1])


def no_note(encoder: OverMod, data: CaptionSet, file: Path) -> tuple[OverMod, CaptionSet]:
    """Whose it is, nobody says."""
    file.with_suffix(".json").unlink()
    return encoder, data


def too_long(encoder: OverMod, data: CaptionSet, file: Path) -> tuple[OverMod, CaptionSet]:
    """It has a byte that it should not have."""
    file.write_bytes(file.read_bytes() + b"x")
    return encoder, data


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (other_encoder, "belongs to a run with another encoder; give another --out"),
        (other_pictures, "belongs to a run with another set of pictures; give another --out"),
        (fewer_pictures, "belongs to a run with another shape of features; give another --out"),
        (no_note, "lacks f.json, which says what it holds; remove it"),
        (too_long, r"has \d+ bytes where \d+ are enough; remove it"),
    ],
)
def test_a_file_of_something_else_is_refused(encoder, data, file: Path, harm, says: str) -> None:
    """In one sentence, and nothing is overwritten."""
    given = harm(encoder, data, file)
    before = {path: path.read_bytes() for path in file.parent.iterdir()}
    with pytest.raises(ValueError, match=says) as error:
        write(*given, file)
    assert "\n" not in str(error.value) and str(error.value).endswith(".")
    assert {path: path.read_bytes() for path in file.parent.iterdir()} == before


def test_what_float16_cannot_hold_is_refused(encoder, data, tmp_path: Path) -> None:
    """The picture is named, and its part is not written."""

    def encode(pictures: np.ndarray) -> torch.Tensor:
        features = encoder(to_tensor(pictures)).clone()
        if (pictures[-3:] == data.pictures[17:20]).all():
            features[-3, 4, 0, 0] = 7e4
        return features

    with pytest.raises(
        FloatingPointError, match=r"Features of train/17 are beyond .*; give more --memory than 0\.0 GB"
    ):
        remember(encode, encoder, data, SHAPE, tmp_path / "f.float16", 0.0, True)
    assert (tmp_path / "f.float16").stat().st_size == 10 * ROW


def test_a_full_disk_is_told_in_a_sentence() -> None:
    """How much is needed, and what helps."""

    class Full(io.BytesIO):
        name = "runs/coco/f.float16"

        def write(self, part) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(
        OSError, match=r"Could not write runs/.*float16 \(No space left .*takes 8\.5 GB in all; make room"
    ):
        features._write(Full(), b"part", 8_526_432_256)


# ----------------------------------------------------------------------------------------------------------------
# In a training


def test_memory_and_file_give_the_same_training(data: CaptionSet, tmp_path: Path) -> None:
    """To the bit as if memory held float16; with memory's float32 the losses differ by rounding alone."""
    val = CaptionSet.gather(samples("val", 4))
    weights, losses = {}, {}
    for name, memory in (("float32", 1.0), ("halves", 1.0), ("file", 0.0)):
        trainer = Trainer(TINY, STAGES, data, val, tmp_path / name, seed=3, quiet=True, memory=memory)
        if name == "halves":
            real = trainer._remember_features

            def rounded(trainer=trainer, real=real) -> None:
                real()
                trainer.features = trainer.features.half().float()

            trainer._remember_features = rounded
        kinds: set[type] = set()
        make = trainer._batch
        trainer._batch = lambda *a, t=trainer, make=make, kinds=kinds: (kinds.add(type(t.features)), make(*a))[1]
        losses[name] = []
        trainer.log = lambda name=name, **row: losses[name].append(float(row["loss"]))
        weights[name] = trainer.run().state_dict()
        assert kinds == {FeatureFile if name == "file" else torch.Tensor, type(None)}
        assert not list((tmp_path / name).glob("features*"))  # gone when its stage is over
    assert all(torch.equal(weights["file"][k], value) for k, value in weights["halves"].items())
    assert any(not torch.equal(weights["file"][k], value) for k, value in weights["float32"].items())
    assert losses["file"] == losses["halves"]
    np.testing.assert_allclose(losses["file"], losses["float32"], rtol=2e-3)


def test_a_run_resumes_with_the_file_that_it_wrote(data: CaptionSet, tmp_path: Path) -> None:
    """Stopped in the middle of the stage, the encoder is not asked again; the end is that of an undisturbed run."""
    val = CaptionSet.gather(samples("val", 4))

    def made(folder: str) -> Trainer:
        return Trainer(TINY, STAGES, data, val, tmp_path / folder, seed=3, quiet=True, memory=0.0)

    expected = made("whole").run().state_dict()
    first = made("stopped")
    make = first._batch

    def batch(stage, rows, step):
        first.stop = step == 5
        return make(stage, rows, step)

    first._batch = batch
    with pytest.raises(KeyboardInterrupt):
        first.run()
    note = json.loads((tmp_path / "stopped" / "features_decoder.json").read_text())
    assert note["shape of features"] == [32, *SHAPE]
    second = made("stopped")
    asked: list[int] = []
    hook = second.model.encoder.register_forward_hook(lambda part, args, out: asked.append(len(args[0])))
    second._remember_features()
    hook.remove()
    assert asked == [] and second.progress.step == 6
    assert all(torch.equal(expected[k], value) for k, value in second.run().state_dict().items())
    forget(None)
