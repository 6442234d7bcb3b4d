"""The captioning task of chapter 5: the same frozen encoder, the same captions and as many steps for every decoder.

python -m benchmarks.captions           trains the encoder and encodes all pictures: about ten minutes, once

The encoder knows what lies where (stage 1 of the training) and has never seen a caption, so that it has not adapted
itself to any decoder. Two worlds are there to learn: the usual pictures of one to three things, and crowded ones of
three to five. What the encoder says of every picture is kept in runs/captions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import count, islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import record
from uvlm_mini import search
from uvlm_mini.config import PRESETS, OverModConfig
from uvlm_mini.datasets.coco import CaptionSet, Sample
from uvlm_mini.datasets.scenes import compose, samples
from uvlm_mini.datasets.vocab import PAD, Vocabulary
from uvlm_mini.decoder import Decoder
from uvlm_mini.encoder import OverMod
from uvlm_mini.metrics import cider, truthfulness
from uvlm_mini.model import UVLM, read_tensors, to_tensor
from uvlm_mini.paths import data_path
from uvlm_mini.train.loop import Trainer
from uvlm_mini.train.shared import decay_groups, schedule
from uvlm_mini.train.stages import Stage, caption_loss

SOURCES = [
    "benchmarks/captions.py",
    "uvlm_mini/datasets/drawing.py",
    "uvlm_mini/datasets/grammar.py",
    "uvlm_mini/datasets/scenes.py",
    "uvlm_mini/decoder.py",
    "uvlm_mini/modulation.py",
    "uvlm_mini/metrics.py",
    "uvlm_mini/ssm.py",
]
KEPT = record.ROOT / "runs" / "captions"
CROWDED = {3: 1.0, 4: 1.0, 5: 1.0}
TRAIN, VAL, TEST = 10_000, 500, 1_000  # pictures of a world
STAGE_1 = Stage("pretrain", epochs=3, rate=3e-3, batch=32)
STEPS, BATCH, RATE, DECAY, CLIP = 800, 32, 2e-3, 0.02, 2.0
LONGEST = 32
MINI = PRESETS["mini"].decoder
Build = Callable[[int], Decoder]


# ----------------------------------------------------------------------------------------------------------------
# Pictures, and what the frozen encoder makes of them


def crowded(split: str, n: int) -> Iterator[Sample]:
    """Captioned pictures of three to five things, drawn as the usual ones are."""
    for i in range(n):
        scene = compose(f"crowded/{split}/{i}", CROWDED)
        yield Sample(f"crowded/{split}/{i}", scene.draw(), scene.captions(f"crowded captions/{split}/{i}"), scene)


@lru_cache(maxsize=8)
def pictures(world: str, split: str) -> CaptionSet:
    """The captioned pictures of a split: train and val of both worlds; test, and of the usual one also
    compositional and hard."""
    n = {"train": TRAIN, "val": VAL}.get(split, TEST)
    return CaptionSet.gather(crowded(split, n) if world == "crowded" else samples(split, n))


def joined(*sets: CaptionSet) -> CaptionSet:
    """Several sets as one."""
    return CaptionSet(
        np.concatenate([s.pictures for s in sets]),
        [c for s in sets for c in s.captions],
        [n for s in sets for n in s.names],
        [x for s in sets for x in s.scenes],
    )


@lru_cache(maxsize=1)
def vocabulary() -> Vocabulary:
    """The words of the shipped model, which are those of the grammar; crowded pictures need no others."""
    return UVLM.load(data_path("uvlm_mini.safetensors")).vocabulary


def encoder(config: OverModConfig, folder: Path, seed: int, sets: tuple[CaptionSet, ...], stage: Stage) -> OverMod:
    """An encoder after stage 1 alone, from `folder` if it stands there; a stopped training goes on.

    Of the file the encoder alone is read: its decoder has not been trained, and may be of another version.
    """
    weights = folder / "weights.safetensors"
    if not weights.exists():
        whole = PRESETS["mini"].to_dict() | {"encoder": vars(config)}
        trainer = Trainer(
            type(PRESETS["mini"]).from_dict(whole), (stage,), joined(*sets), pictures("usual", "val"), folder, seed
        )
        trainer.run()
    eyes, tensors = OverMod(config), read_tensors(weights)[0]
    eyes.load_state_dict(
        {name.removeprefix("encoder."): one for name, one in tensors.items() if name.startswith("encoder.")}
    )
    return eyes.eval()


@torch.inference_mode()
def encode(eyes: OverMod, data: CaptionSet) -> Tensor:
    """(n, C, h, w) float16 features."""
    parts = (data.pictures[i : i + 250] for i in range(0, len(data), 250))
    return torch.cat([eyes(to_tensor(part)).half() for part in parts])


WORLDS = {"usual": ("train", "val", "test", "compositional", "hard"), "crowded": ("train", "val", "test")}


def features(world: str, split: str, folder: Path = KEPT) -> Tensor:
    """The kept features of a split."""
    return torch.load(folder / f"{world}-{split}.pt", mmap=True)


def prepare() -> None:
    """Train the encoder of all tables and encode every picture; what is there is kept."""
    both = (pictures("usual", "train"), pictures("crowded", "train"))
    eyes = encoder(PRESETS["mini"].encoder, KEPT, 0, both, STAGE_1)
    for world, splits in WORLDS.items():
        for split in splits:
            path = KEPT / f"{world}-{split}.pt"
            if not path.exists():
                torch.save(encode(eyes, pictures(world, split)), path)


# ----------------------------------------------------------------------------------------------------------------
# Training and testing a decoder


def padded(lines: list[list[int]]) -> Tensor:
    """Captions of word numbers as one (B, T) tensor."""
    longest = max(map(len, lines))
    return torch.tensor([line + [PAD] * (longest - len(line)) for line in lines])


def batches(tokens: list[list[list[int]]], seed: int, epoch: int) -> Iterator[tuple[list[int], Tensor]]:
    """The batches of a pass: numbers of pictures, and a caption of each.

    Within sixteen batches at a time, captions of like length go together, so that few steps are spent on padding.
    """
    dice = np.random.default_rng([seed, epoch])
    order = dice.permutation(len(tokens)).tolist()
    lines = [several[dice.integers(len(several))] for several in tokens]
    found = []
    for start in range(0, len(order), 16 * BATCH):
        block = sorted(order[start : start + 16 * BATCH], key=lambda i: len(lines[i]))
        found += [block[i : i + BATCH] for i in range(0, len(block) - BATCH + 1, BATCH)]
    for i in dice.permutation(len(found)):
        yield found[i], padded([lines[row] for row in found[i]])


def train(
    decoder: Decoder, x: Tensor, captions: list[list[str]], seed: int, steps: int = STEPS, rate: float = RATE
) -> list[float]:
    """Train in place on (n, C, h, w) features and their captions; returns the loss of every step."""
    words = vocabulary()
    tokens = [[words.encode(c, LONGEST) for c in several] for several in captions]
    optimizer = torch.optim.AdamW(decay_groups(decoder.named_parameters(), DECAY), lr=rate, betas=(0.9, 0.98))
    decoder.train()
    endless = (batch for epoch in count() for batch in batches(tokens, seed, epoch))
    losses = []
    for step, (rows, said) in enumerate(islice(endless, steps)):
        for group in optimizer.param_groups:
            group["lr"] = rate * schedule(step, steps)
        loss = caption_loss(decoder(x[rows].float(), said[:, :-1]), said)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(decoder.parameters(), CLIP)
        optimizer.step()
        losses.append(loss.item())
    return losses


@torch.inference_mode()
def loss_on(decoder: Decoder, x: Tensor, captions: list[list[str]]) -> float:
    """Mean cross-entropy a word of the first caption of every picture."""
    words = vocabulary()
    decoder.eval()
    said = padded([words.encode(several[0], LONGEST) for several in captions])
    return caption_loss(decoder(x.float(), said[:, :-1]), said).item()


def scores(decoder: Decoder, x: Tensor, data: CaptionSet) -> dict[str, float]:
    """CIDEr and truthfulness of greedy captions."""
    decoder.eval()
    found = [f for i in range(0, len(x), 250) for f in search.greedy(decoder, x[i : i + 250].float(), LONGEST)]
    said = [vocabulary().decode(f.tokens) for f in found]
    truth = truthfulness(said, data.scenes)
    kept = ("right things", "recall", "colours", "right", "relations")
    return {"CIDEr": cider(said, data.captions), **{name: truth[name] for name in kept}}


def learn(build: Build, world: str, seed: int, rate: float = RATE, folder: Path = KEPT) -> Decoder:
    """A decoder of a table, trained in one of the worlds."""
    torch.manual_seed(seed)
    decoder = build(len(vocabulary()))
    train(decoder, features(world, "train", folder), pictures(world, "train").captions, seed, rate=rate)
    return decoder


def tested(decoder: Decoder, world: str, splits: tuple[str, ...], folder: Path = KEPT) -> dict[str, float]:
    """Its scores on several splits, and its validation loss."""
    row = {"loss": loss_on(decoder, features(world, "val", folder), pictures(world, "val").captions)}
    for split in splits:
        found = scores(decoder, features(world, split, folder), pictures(world, split))
        row |= {f"{split} {name}": value for name, value in found.items()}
    return row


def small(build: Build) -> dict[str, float]:
    """The losses of a training of five steps, on what the shipped encoder says of 160 pictures."""
    eyes = UVLM.load(data_path("uvlm_mini.safetensors")).encoder
    data = CaptionSet.gather(samples("val", 160))
    torch.manual_seed(0)
    losses = train(build(len(vocabulary())), encode(eyes, data), data.captions, 0, steps=5)
    return {f"loss {i}": round(loss, 4) for i, loss in enumerate(losses)}


def parameters(model: nn.Module) -> int:
    """Learned numbers."""
    return sum(p.numel() for p in model.parameters())


if __name__ == "__main__":
    prepare()
