"""Pictures sorted by class: read, augmented and mixed as said, whoever asks; and every mistake named in a sentence."""

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from tests.conftest import ROOT
from uvlm_mini.datasets import imagenet
from uvlm_mini.datasets.imagenet import Mix, Order, Pictures, check, eval_transform, open_folders, train_transform
from uvlm_mini.datasets.scenes import scene
from uvlm_mini.model import to_tensor

CLASSES = ("beach", "meadow", "snow")


def draw_folder(root: Path, train: int = 8, val: int = 4) -> Path:
    """Scenes sorted by their background: `train` and `val` pictures a class."""
    for part, wanted in (("train", train), ("val", val)):
        drawn: Counter[str] = Counter()
        i = 0
        while sum(drawn.values()) < wanted * len(CLASSES):
            one = scene(part, i)
            if one.background in CLASSES and drawn[one.background] < wanted:
                drawn[one.background] += 1
                folder = root / part / one.background
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(one.draw()).save(folder / f"{i}.png")
            i += 1
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 training and 12 validation pictures in three classes."""
    return draw_folder(tmp_path_factory.mktemp("pictures"))


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A copy of them, to be broken."""
    return shutil.copytree(folder, tmp_path / "copy")


# ----------------------------------------------------------------------------------------------------------------
# torchvision beside a PyTorch that it was not compiled for


STUBS = """
import sys
from pathlib import Path
import torch
from uvlm_mini.datasets import vision

def try_it(body):
    for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    Path("torchvision.py").write_text(body)
    try:
        vision.need_torchvision()
    except RuntimeError as error:
        return str(error)
    return "fine"

sys.path.insert(0, ".")
sys.dont_write_bytecode = True
missed = "import torch\\nfor name in ('nms', 'qnms'):\\n    torch.library.register_fake('torchvision::' + name)(len)"
print(try_it("x = 1"), hasattr(torch.ops.torchvision, "nms"))
print(try_it("raise RuntimeError('other')"), hasattr(torch.ops.torchvision, "nms"))
print(try_it(missed), hasattr(torch.ops.torchvision, "nms"))
print(try_it(missed), len(vision._declared))
"""


def test_the_remedy_is_used_only_where_it_is_needed(tmp_path: Path) -> None:
    """A torchvision that works is left alone, another error passes, missing operators are declared, and once."""
    done = subprocess.run(
        [sys.executable, "-c", STUBS], cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)}
    )
    assert done.stdout.splitlines() == ["fine False", "other False", "fine True", "fine 1"], done.stderr


# ----------------------------------------------------------------------------------------------------------------
# Reading and augmenting


def test_validation_looks_at_the_middle(folder: Path) -> None:
    """Scaled so that 7/8 of the shorter side is S, the middle cut out, and every pixel v given as (v - 128) / 128."""
    wide = Image.open(next((folder / "val" / "snow").iterdir())).resize((90, 60))
    found = eval_transform(28)(wide)
    scaled = wide.resize((48, 32), Image.Resampling.BICUBIC)
    assert torch.equal(found, to_tensor(scaled.crop((10, 2, 38, 30))))
    assert torch.equal(found * 128 + 128, (found * 128 + 128).round())


def test_a_picture_depends_on_its_key_alone(folder: Path) -> None:
    """The same for the same seed, epoch and number, whatever was drawn before; and nothing else is disturbed."""
    train, _ = open_folders(folder)
    data = Pictures(train, train_transform(32), seed=1)
    torch.manual_seed(5)
    first = [data[0, i][0] for i in range(24)]
    after = torch.rand(1)
    torch.manual_seed(5)
    assert after == torch.rand(1)
    again = [data[0, i][0] for i in reversed(range(24))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    for other in (Pictures(train, train_transform(32), seed=2), data):
        others = [other[other is data, i][0] for i in range(24)]  # another seed; then another epoch
        assert not any(torch.equal(a, b) for a, b in zip(first, others, strict=True))
    stacked = torch.stack(first)
    assert stacked.shape == (24, 3, 32, 32) and stacked.min() >= -1 and stacked.max() <= 127 / 128
    assert [data[0, i][1] for i in range(24)] == train.targets


def test_augmentation_is_what_it_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RandAugment at 9 of 10, twice and one time in two; erased one time in four, over 2 to 33 % of the area."""
    from torchvision.transforms import v2

    made, used = [], Counter()

    class Spy(v2.RandAugment):
        def __init__(self, *args: object, **options: object) -> None:
            made.append((args, options["num_magnitude_bins"]))
            super().__init__(*args, **options)

        def forward(self, picture: Image.Image) -> Image.Image:
            used["operations"] += 1
            return picture

    monkeypatch.setattr(v2, "RandAugment", Spy)
    grey = Image.new("RGB", (40, 40), (128, 128, 128))  # becomes 0 wherever it is not erased
    transform, shares = train_transform(32), []
    with imagenet.chance(0):
        for _ in range(400):
            shares.append((transform(grey) != 0).any(0).float().mean().item())
    assert set(made) == {((1, 9), 11)}
    assert 340 < used["operations"] < 460  # 400 expected, standard deviation 14
    erased = [share for share in shares if share]
    assert 70 < len(erased) < 130 and 0.01 < min(erased) < 0.05 and 0.25 < max(erased) < 0.36
    plain = train_transform(32, erasing=0.0)
    assert all(torch.equal(plain(grey), torch.zeros(3, 32, 32)) for _ in range(20))


# ----------------------------------------------------------------------------------------------------------------
# Order


def test_an_epoch_shows_every_picture_once_at_most() -> None:
    """In another order each epoch and seed; what does not fill a step is left out."""
    order = Order(26, batch=8, micro=4, seed=3)
    seen = []
    for order.epoch in (0, 1):
        keys = [key for micro in order for key in micro]
        assert {epoch for epoch, _ in keys} == {order.epoch}
        seen.append([number for _, number in keys])
        assert len(seen[-1]) == 24 == len(set(seen[-1])) == 4 * len(order) and set(seen[-1]) <= set(range(26))
    assert seen[0] != seen[1]
    assert [number for micro in Order(26, 8, 4, seed=4) for _, number in micro] != seen[0]


def test_processes_share_the_micro_batches_of_every_step() -> None:
    """Two processes in turns see what one sees, and a step that is resumed is the one that was left."""
    alone = list(Order(64, batch=16, micro=4, seed=3))
    parts = [Order(64, batch=16, micro=4, seed=3, process=p, processes=2) for p in (0, 1)]
    assert [list(part) for part in parts] == [alone[0::2], alone[1::2]]
    for part in parts:
        part.start = 2
        assert len(part) == 4
    assert [list(part) for part in parts] == [alone[8::2], alone[9::2]]


def test_batches_do_not_depend_on_workers(folder: Path) -> None:
    """Read by the training process itself or by two workers: the same to the bit, augmentation and mixing included."""
    train, _ = open_folders(folder)
    data, mix = Pictures(train, train_transform(32), seed=1), Mix(3, 0.8, 1.0, seed=1)
    read = [list(DataLoader(data, batch_sampler=Order(24, 8, 4, 1), collate_fn=mix, num_workers=n)) for n in (0, 2)]
    assert len(read[0]) == 6
    for (a, b, keys), (c, d, others) in zip(*read, strict=True):
        assert torch.equal(a, c) and torch.equal(b, d) and keys == others


# ----------------------------------------------------------------------------------------------------------------
# Mixing


def mixed(mix: Mix, epoch: int) -> tuple[str, torch.Tensor]:
    """Which way a batch of four classes was mixed, and its share of the picture itself; every pixel is checked."""
    pictures = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(epoch))
    found, shares, keys = mix([(pictures[i], i, (epoch, i)) for i in range(4)])
    assert keys == [(epoch, i) for i in range(4)]
    assert shares.shape == (4, 4)
    torch.testing.assert_close(shares.sum(1), torch.ones(4))
    share = shares.diagonal()
    torch.testing.assert_close(shares[torch.arange(4), torch.arange(4) - 1], 1 - share)  # the rest is the neighbour's
    assert (share == share[0]).all()
    neighbours = pictures.roll(1, 0)
    foreign = (found != pictures).all(1)[0]  # (16, 16): where the rectangle of CutMix lies
    if not torch.equal(found, torch.where(foreign, neighbours, pictures)):
        torch.testing.assert_close(found, share[0] * pictures + (1 - share[0]) * neighbours)
        return "mixup", share[0]
    assert torch.equal(foreign, foreign.any(1)[:, None] & foreign.any(0))
    torch.testing.assert_close(foreign.float().mean(), 1 - share[0])
    return "cutmix", share[0]


def test_pictures_and_labels_are_mixed_by_the_same_shares() -> None:
    """One batch in two by mixup, one by CutMix; the label is what the picture is made of."""
    ways = Counter(mixed(Mix(4, 0.8, 1.0, seed=0), epoch)[0] for epoch in range(60))
    assert ways["mixup"] + ways["cutmix"] == 60 and min(ways.values()) > 15


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.8, 0.0), (0.0, 1.0)])
def test_one_way_of_mixing_alone(mixup: float, cutmix: float) -> None:
    """α = 0 leaves a way out; shares spread as the Beta distribution of the other's α does, variance 1 / (8α + 4)."""
    found = [mixed(Mix(4, mixup, cutmix, seed=0), epoch) for epoch in range(200)]
    assert {way for way, _ in found} == {"mixup" if mixup else "cutmix"}
    if mixup:  # CutMix's rectangles are cut off at the border: their shares are no Beta variates
        shares = np.array([share for _, share in found])
        assert shares.mean() == pytest.approx(0.5, abs=0.06)
        assert shares.var() == pytest.approx(1 / (8 * mixup + 4), abs=0.02)


def test_without_mixing_labels_are_ones_and_zeros() -> None:
    """And the pictures are what they were."""
    pictures = torch.rand(4, 3, 8, 8)
    found, shares, _ = Mix(4, 0.0, 0.0, seed=0)([(pictures[i], 3 - i, (0, i)) for i in range(4)])
    assert torch.equal(found, pictures) and torch.equal(shares, torch.eye(4).flip(0))


# ----------------------------------------------------------------------------------------------------------------
# Mistakes


def empty(root: Path) -> None:
    """A class without pictures."""
    for path in (root / "train" / "snow").iterdir():
        path.unlink()


def other_classes(root: Path) -> None:
    """A class that validation lacks."""
    shutil.rmtree(root / "val" / "meadow")


def flat(root: Path) -> None:
    """Validation pictures in one folder, as ImageNet's own archive has them."""
    for path in list((root / "val").rglob("*.png")):
        path.rename(root / "val" / f"{path.parent.name}{path.name}")
    for path in [p for p in (root / "val").iterdir() if p.is_dir()]:
        path.rmdir()


def no_val(root: Path) -> None:
    """No validation pictures at all."""
    shutil.rmtree(root / "val")


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (empty, "Class snow in .* has no picture; put some into it"),
        (other_classes, "have different classes .* for example meadow"),
        (flat, "val has no folder of a class; sort the pictures"),
        (no_val, "There is no folder .*val; give one that has train/ and val/"),
    ],
)
def test_a_folder_that_cannot_be_trained_on(copy: Path, harm, says: str) -> None:
    """Opening it says so in one sentence, and so does the check."""
    harm(copy)
    with pytest.raises((ValueError, FileNotFoundError), match=says) as caught:
        open_folders(copy)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")
    assert str(caught.value) in check(copy).problems


def test_check_counts_and_finds_broken_files(copy: Path) -> None:
    """Classes and pictures are counted; what is no picture is found by its header, what is truncated by decoding."""
    ticks: list[int] = []
    report = check(copy, tick=ticks.append)
    assert report.lines == [
        "train: 3 classes, 24 pictures, 8 to 8 a class",
        "val: 3 classes, 12 pictures, 4 to 4 a class",
    ]
    assert report.problems == [] and sum(ticks) == 36
    no_picture, short = (next((copy / "train" / name).iterdir()) for name in ("beach", "snow"))
    no_picture.write_text("no picture")
    short.write_bytes(short.read_bytes()[:-200])
    (copy / "val" / "snow" / "notes.txt").write_text("passed over")
    (copy / "val" / "snow" / next((copy / "val" / "snow").glob("*.png")).name).unlink()
    report = check(copy)
    assert report.lines[1:] == [
        "val: 3 classes, 11 pictures, 3 to 4 a class",
        "val: 1 files are passed over, because their names end as no picture's do",
    ]
    (problem,) = report.problems
    assert problem.startswith(f"{no_picture} is not a picture") and problem.endswith(".")
    decoded = check(copy, decode=True).problems
    assert decoded[0] == problem and decoded[1].startswith(f"{short} cannot be read to its end") and len(decoded) == 2
