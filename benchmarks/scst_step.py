"""Where the time of a step of stage 4 goes: drawing captions, rewarding them, learning from them, encoding pictures.

python -m benchmarks.scst_step               about two minutes

The mini model with the shipped weights, and the pictures of the validation split. A part is measured by the processor's
time on one thread, so that what else runs on the machine does not count, and compared with the other parts of the same
round. Chapter 6 reads the result.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import record
from uvlm_mini import search
from uvlm_mini.datasets.coco import CaptionSet
from uvlm_mini.datasets.scenes import samples
from uvlm_mini.datasets.vocab import EOS, Vocabulary
from uvlm_mini.model import UVLM, to_tensor
from uvlm_mini.train.reward import CiderD
from uvlm_mini.train.scst import advantage, log_probs_of, policy_loss, sample
from uvlm_mini.train.stages import RECIPES

WEIGHTS = "data/uvlm_mini.safetensors"
SOURCES = [
    WEIGHTS,
    "benchmarks/scst_step.py",
    "uvlm_mini/datasets/drawing.py",
    "uvlm_mini/datasets/grammar.py",
    "uvlm_mini/datasets/scenes.py",
    "uvlm_mini/decoder.py",
    "uvlm_mini/encoder.py",
    "uvlm_mini/modulation.py",
    "uvlm_mini/ssm.py",
    "uvlm_mini/train/reward.py",
    "uvlm_mini/train/scst.py",
]
STAGE = RECIPES["mini"][3]
PICTURES, ROUNDS = 1_000, 9  # pictures whose references the reward knows; rounds of measuring
SMALL = 100  # pictures of the row that the tests compute again
PARTS = ("remembered features", "drawing", "reward", "learning")  # of a step; their sum is the step


class Step:
    """The parts of one step of stage 4, each a method that leaves behind what the next needs."""

    def __init__(self, pictures: int, batch: int) -> None:
        self.model = UVLM.load(record.ROOT / WEIGHTS)
        data = CaptionSet.gather(samples("val", pictures))
        self.rows = np.arange(batch)
        self.pictures = data.pictures[self.rows]
        self.reward = CiderD([[self.model.vocabulary.encode(c) for c in several] for several in data.captions])
        self.longest = self.model.config.longest
        self.optimizer = torch.optim.AdamW(self.model.decoder.parameters(), lr=0.0)  # every round learns from the same
        with torch.inference_mode():
            self.kept = self.model.encoder(to_tensor(self.pictures))

    def remember(self) -> None:
        """Features of the batch, from memory."""
        self.features = self.kept[torch.from_numpy(self.rows)]

    def draw(self) -> None:
        """Captions by chance."""
        chance = torch.Generator().manual_seed(0)
        self.drawn = sample(self.model.decoder, self.features, STAGE.samples, self.longest, chance)

    def pay(self) -> None:
        """Their rewards."""
        rows = self.rows.repeat(STAGE.samples)
        found = self.reward(self.drawn.captions(self.longest), rows)
        self.rewards = torch.as_tensor(found).view(-1, STAGE.samples)

    def learn(self) -> None:
        """The loss, its gradient, and the optimiser's step."""
        log_probs = log_probs_of(self.model.decoder, self.features, self.drawn.tokens)
        loss = policy_loss(log_probs, self.drawn.tokens, advantage(self.rewards).flatten().float())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.decoder.parameters(), STAGE.clip)
        self.optimizer.step()

    @torch.inference_mode()
    def encode(self) -> None:
        """What a step would do that does not remember: the features of the batch, from its pictures."""
        self.model.encoder(to_tensor(self.pictures))

    @torch.inference_mode()
    def greedy(self) -> None:
        """What the greedy baseline costs more: a caption a picture, and its reward."""
        found = search.greedy(self.model.decoder, self.features, self.longest)
        self.reward([f.tokens + [EOS] * f.ended for f in found], self.rows)


def times(step: Step, rounds: int) -> dict[str, float]:
    """Seconds of a step, each part's share of it, and the ratio of other steps to it: medians over the rounds."""
    calls = dict(zip(PARTS, (step.remember, step.draw, step.pay, step.learn), strict=True))
    calls |= {"encoding": step.encode, "greedy baseline": step.greedy}
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.process_time()
            call()
            taken[name].append(time.process_time() - start)
    all_times = {name: np.array(seconds) for name, seconds in taken.items()}
    whole = sum(all_times[name] for name in PARTS)

    def median(values: Any) -> float:
        return round(float(np.median(values)), 4)

    made = {"seconds": median(whole)} | {f"share of {name}": median(all_times[name] / whole) for name in PARTS}
    made["with encoding, times"] = median((whole - all_times["remembered features"] + all_times["encoding"]) / whole)
    made["with the greedy baseline, times"] = median((whole + all_times["greedy baseline"]) / whole)
    return made


def references(pictures: int) -> dict[str, float]:
    """Rewards of what people said, each caption against the four others, and of its first five words."""
    drawn = list(samples("val", pictures))
    vocabulary = Vocabulary.build((c for s in drawn for c in s.captions), at_least=1)
    lines = [[vocabulary.encode(c) for c in s.captions] for s in drawn]
    reward = CiderD([several[1:] for several in lines])
    rewards = [reward([several[0][1:end] for several in lines], np.arange(pictures)) for end in (None, 6)]
    return {
        "n-grams": len(reward.grams),
        "whole": round(float(rewards[0].mean()), 4),
        "cut off after five words": round(float(rewards[1].mean()), 4),
    }


def counted(step: Step) -> dict[str, float]:
    """What was drawn: captions, their words with EOS, and their mean reward."""
    lengths = (step.drawn.log_probs != 0).sum(1).double()
    return {
        "captions": len(lengths),
        "words a caption": round(lengths.mean().item(), 3),
        "words of the longest": int(lengths.max()),
        "mean reward": round(step.rewards.mean().item(), 4),
    }


def main() -> None:
    """Measure and write the result file."""
    torch.set_num_threads(1)
    step = Step(PICTURES, STAGE.batch)
    times(step, 1)  # the first round pays for memory
    rows: dict[str, Any] = {
        "step": times(step, ROUNDS),
        "drawn": counted(step),
        f"references of {SMALL}": references(SMALL),
    }
    note = (
        f"{STAGE.batch} pictures, {STAGE.samples} captions each, one thread, float32; processor time, medians of "
        f"{ROUNDS} rounds; the others' mean as baseline where nothing else is said"
    )
    print(record.save("scst_step", rows, [0], SOURCES, spread=0.05, note=note))


if __name__ == "__main__":
    main()
