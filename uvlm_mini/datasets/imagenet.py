"""ImageNet-1K, or any pictures sorted into one folder a class: reading, augmenting, mixing, checking.

    FOLDER/train/CLASS/PICTURE        FOLDER/val/CLASS/PICTURE

Every random choice depends on the seed, the epoch and the number of the picture alone: not on how many workers read,
not on how many processes train, not on where a run was stopped. Reading and augmenting are torchvision's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from ..model import to_tensor
from ..pictures import load_picture, picture_size
from .vision import need_torchvision

if TYPE_CHECKING:
    from torchvision.datasets import ImageFolder

PARTS = ("train", "val")
CROP = 0.875  # share of the scaled picture that is looked at: the usual 224 of 256; OverLoCK-XT takes 0.925
GREY = (128, 128, 128)  # what a shifted or turned picture leaves empty: 0 for the model

Key = tuple[int, int]  # epoch and number of a picture
Transform = Callable[[Any], Tensor]


def seed_of(*key: int) -> int:
    """One seed made of several numbers."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])


@contextmanager
def chance(*key: int) -> Iterator[None]:
    """Within, torch's random numbers on the CPU depend on the key alone; afterwards they go on as before."""
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(seed_of(*key))
    try:
        yield
    finally:
        torch.set_rng_state(before)


# ----------------------------------------------------------------------------------------------------------------
# Reading


def open_folders(folder: str | Path) -> tuple[ImageFolder, ImageFolder]:
    """The training and the validation pictures.

    Raises
    ------
    FileNotFoundError : no such folder, or one without folders of classes.
    ValueError : an empty class, or other classes in val than in train.
    """
    train, val = _open(folder, "train"), _open(folder, "val")
    for problem in _empty(train) + _empty(val) + _different(train, val):
        raise ValueError(problem)
    return train, val


def _open(folder: str | Path, part: str) -> ImageFolder:
    need_torchvision()
    from torchvision.datasets import ImageFolder

    root = Path(folder, part)
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder {root}; give one that has train/ and val/, each sorted by class.")
    if not any(entry.is_dir() for entry in os.scandir(root)):
        raise FileNotFoundError(f"{root} has no folder of a class; sort the pictures into one folder a class.")
    return ImageFolder(root, loader=load_picture, allow_empty=True)  # empty classes are named below, all of them


def _counts(pictures: ImageFolder) -> np.ndarray:
    return np.bincount(pictures.targets, minlength=len(pictures.classes))


def _empty(pictures: ImageFolder) -> list[str]:
    return [
        f"Class {name} in {pictures.root} has no picture; put some into it, or remove its folder from train and val."
        for name, n in zip(pictures.classes, _counts(pictures), strict=True)
        if n == 0
    ]


def _different(train: ImageFolder, val: ImageFolder) -> list[str]:
    lonely = sorted(set(train.classes) ^ set(val.classes))
    if not lonely:
        return []
    return [
        f"{train.root} and {val.root} have different classes ({len(lonely)} are in one of them only, for example "
        f"{lonely[0]}); give both the same folders, for classes are numbered in the order of their names."
    ]


class Pictures(Dataset):
    """Augmented pictures under keys (epoch, number), each the same whenever and wherever it is asked for.

    Parameters
    ----------
    folder : where the pictures are.
    transform : from a PIL picture to a (3, S, S) tensor.
    seed : of the augmentation.
    """

    def __init__(self, folder: ImageFolder, transform: Transform, seed: int) -> None:
        self.folder, self.transform, self.seed = folder, transform, seed

    def __len__(self) -> int:
        return len(self.folder)

    def __getitem__(self, key: Key) -> tuple[Tensor, int, Key]:
        epoch, number = key
        path, label = self.folder.samples[number]
        picture = load_picture(path)
        with chance(self.seed, epoch, number, 0):
            return self.transform(picture), label, key


class Order:
    """Which pictures each micro-batch of a process sees: a batch sampler for PyTorch's DataLoader.

    An epoch is a permutation, cut into steps of `batch` pictures, cut into micro-batches of `micro`. The processes
    take the micro-batches of a step in turns, so that a step sees the same ones however many processes there are.

    Parameters
    ----------
    pictures : how many there are; those that do not fill a step sit the epoch out.
    batch, micro : pictures a step, over all processes, and pictures a micro-batch.
    seed : of the permutations.
    process, processes : number of this process, and how many there are.
    """

    def __init__(self, pictures: int, batch: int, micro: int, seed: int, process: int = 0, processes: int = 1) -> None:
        self.pictures, self.batch, self.micro, self.seed = pictures, batch, micro, seed
        self.process, self.processes = process, processes
        self.steps = pictures // batch  # in an epoch
        self.epoch = self.start = 0  # where the next iteration begins: epoch, and step in it

    def __iter__(self) -> Iterator[list[Key]]:
        permutation = np.random.default_rng([self.seed, self.epoch]).permutation(self.pictures)
        first, last = self.start * self.batch, self.steps * self.batch
        micro_batches = permutation[first:last].reshape(-1, self.micro)
        for row in micro_batches[self.process :: self.processes]:
            yield [(self.epoch, int(number)) for number in row]

    def __len__(self) -> int:
        return (self.steps - self.start) * self.batch // self.micro // self.processes


# ----------------------------------------------------------------------------------------------------------------
# Augmenting and mixing


def train_transform(side: int, magnitude: int = 9, erasing: float = 0.25) -> Transform:
    """From a PIL picture to (3, side, side): cropped, flipped, distorted, partly erased.

    As timm does it for OverLoCK ("rand-m9-mstd0.5-inc1"), with torchvision's parts: crops of 8 % to 100 % of the area
    and 3/4 to 4/3 of the aspect, flipped one time in two; then twice one of RandAugment's operations, one time in two
    each, at magnitude 9 of 10; then noise over 2 % to 33 % of the area, one time in four. Left out are the noise on
    the magnitude (mstd0.5), and Invert and SolarizeAdd, which torchvision's list does not have.

    Parameters
    ----------
    side : S in pixels.
    magnitude : strength of RandAugment, 0 to 10. torchvision counts to 30 by itself; timm's scale is meant here.
    erasing : share of the pictures that are partly erased.
    """
    need_torchvision()
    from torchvision.transforms import InterpolationMode, v2

    ways = (InterpolationMode.BILINEAR, InterpolationMode.BICUBIC)  # timm's "random"
    crops = [v2.RandomResizedCrop(side, interpolation=way) for way in ways]
    operation = v2.RandAugment(1, magnitude, num_magnitude_bins=11, interpolation=ways[0], fill=GREY)
    return v2.Compose(
        [
            v2.RandomChoice(crops),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([operation], p=0.5),
            v2.RandomApply([operation], p=0.5),
            to_tensor,
            v2.RandomErasing(erasing, value="random"),
            _in_range,
        ]
    )


def eval_transform(side: int) -> Transform:
    """From a PIL picture to (3, side, side): scaled, then the middle; see `CROP`."""
    need_torchvision()
    from torchvision.transforms import InterpolationMode, v2

    scaled = v2.Resize(round(side / CROP), interpolation=InterpolationMode.BICUBIC)
    return v2.Compose([scaled, v2.CenterCrop(side), to_tensor])


def _in_range(picture: Tensor) -> Tensor:
    """Noise from a normal distribution is cut to what a pixel can be."""
    return picture.clamp(-1.0, 127 / 128)


class Mix:
    """Put samples together into a batch, and mix each with its neighbour: a collate function.

    One batch in two by mixup (both pictures, faded into each other), the other by CutMix (a rectangle from the
    neighbour), and the labels by the same shares.

    Parameters
    ----------
    classes : number K of classes.
    mixup, cutmix : α of the Beta distribution that the share is drawn from; 0 leaves this way of mixing out.
    seed : of the choices; they depend on it and on the first picture's key.
    """

    def __init__(self, classes: int, mixup: float, cutmix: float, seed: int) -> None:
        need_torchvision()
        from torchvision.transforms import v2

        self.classes, self.seed = classes, seed
        ways: list[Any] = [v2.MixUp(alpha=mixup, num_classes=classes)] if mixup else []
        ways += [v2.CutMix(alpha=cutmix, num_classes=classes)] if cutmix else []
        self.mix = v2.RandomChoice(ways) if ways else None

    def __call__(self, samples: list[tuple[Tensor, int, Key]]) -> tuple[Tensor, Tensor, list[Key]]:
        """Samples of `Pictures` -> (B, 3, S, S) pictures, (B, K) shares of the classes, and the keys."""
        pictures = torch.stack([picture for picture, _, _ in samples])
        labels = torch.tensor([label for _, label, _ in samples])
        keys = [key for _, _, key in samples]
        if self.mix is None:
            return pictures, F.one_hot(labels, self.classes).to(pictures), keys
        with chance(self.seed, *keys[0], 1):
            pictures, shares = self.mix(pictures, labels)
        return pictures, shares, keys


# ----------------------------------------------------------------------------------------------------------------
# Checking


@dataclass
class Report:
    """What `check` found: lines to read, and problems, each a sentence."""

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def check(
    folder: str | Path, decode: bool = False, tick: Callable[[int], object] | None = None, threads: int = 16
) -> Report:
    """Look for whatever would stop a training, before a day is spent on it.

    Parameters
    ----------
    folder : has train/ and val/.
    decode : decode every picture to its end; otherwise only headers are read, and a truncated file may pass.
    tick : called with the number of files that were read since.
    threads : how many files are read at a time.
    """
    report, opened = Report(), []
    for part in PARTS:
        try:
            pictures = _open(folder, part)
        except FileNotFoundError as error:
            report.problems.append(str(error))
            continue
        opened.append(pictures)
        counts = _counts(pictures)
        report.lines.append(
            f"{part}: {len(counts)} classes, {len(pictures)} pictures, {counts.min()} to {counts.max()} a class"
        )
        others = sum(len(files) for _, _, files in os.walk(pictures.root, followlinks=True)) - len(pictures)
        if others:
            report.lines.append(f"{part}: {others} files are passed over, because their names end as no picture's do")
        report.problems += _empty(pictures)
    if len(opened) == len(PARTS):
        report.problems += _different(*opened)
    paths = [path for pictures in opened for path, _ in pictures.samples]
    report.problems += unreadable(paths, load_picture if decode else picture_size, tick, threads)
    return report


def unreadable(
    files: Iterable[Any], read: Callable[[Any], object], tick: Callable[[int], object] | None, threads: int
) -> list[str]:
    """What `read` says of the files that it cannot read, in their order."""

    def broken(file: Any) -> str | None:
        try:
            read(file)
        except (ValueError, OSError) as error:
            return str(error)
        return None

    problems, rest = [], iter(files)
    with ThreadPool(threads) as pool:
        while some := list(islice(rest, 1024)):  # a pool is handed a part at a time: a million would wait in memory
            problems += [problem for problem in pool.map(broken, some) if problem]
            if tick is not None:
                tick(len(some))
    return problems
