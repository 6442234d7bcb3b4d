"""The training loop: every stage runs in it, any moment may be the last.

What happens at a step depends on the seed, the stage and the number of the step alone, and a checkpoint holds all
that the next step needs: weights, optimiser, the state of the random generator. A run that was stopped therefore
ends with the same weights as one that was not.
"""

from __future__ import annotations

import json
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .. import search
from ..config import UVLMConfig
from ..datasets.coco import CaptionSet
from ..datasets.files import expect
from ..datasets.vocab import PAD, Vocabulary, encode_told
from ..encoder import OverMod
from ..model import UVLM, Familiarity, fit_weights, read_tensors, to_tensor, write_tensors
from .features import FeatureFile, fingerprint, forget, remember
from .pretrain import start_from
from .shared import (
    add_line,
    by_part,
    check_identity,
    decay_groups,
    load_optimizer,
    named,
    optimizer_tensors,
    schedule,
    trim_log,
)
from .stages import SceneHeads, Stage, caption_loss, cells, loss_of, torch_batch

SAVE_SECONDS = 60  # a kill costs a minute of work at most
SHIFT = 32  # a training picture may be moved by the 32nd part of its side: two pixels of 64, seven of 224


@dataclass
class Progress:
    """Where a run stands; stored in its checkpoint."""

    stage: int = 0
    step: int = 0  # steps done in this stage
    seconds: float = 0.0  # of training in all, over every resumption


class Trainer:
    """Trains one model through its stages.

    Parameters
    ----------
    config : sizes of the model.
    stages : what to run, in order.
    train, val : captioned pictures; the vocabulary is built from `train` alone.
    folder : checkpoint, log and weights go here; a checkpoint that stands there is resumed.
    seed : of weights, order and dropout.
    quiet : no progress bar.
    command : noted in the weights, so that they can be made again.
    encoder : one to start from, such as `load_encoder` gives; else the encoder starts untrained.
    memory : gigabytes that the features of a frozen encoder may take in memory; see `remember`.

    Raises
    ------
    ValueError : the folder holds a run of another configuration, recipe, vocabulary, seed or encoder; or the encoder's
        sizes are not the configuration's.
    """

    def __init__(
        self,
        config: UVLMConfig,
        stages: tuple[Stage, ...],
        train: CaptionSet,
        val: CaptionSet,
        folder: str | Path,
        seed: int = 0,
        quiet: bool = False,
        command: str = "",
        encoder: OverMod | None = None,
        memory: float = 4.0,
    ) -> None:
        torch.manual_seed(seed)
        self.config, self.stages, self.data, self.val = config, stages, train, val
        self.folder, self.seed, self.quiet, self.command = Path(folder), seed, quiet, command
        self.vocabulary = Vocabulary.build(caption for captions in train.captions for caption in captions)
        self.tokens = encode_told(self.vocabulary, train.captions, train.names, config.longest)
        self.model = UVLM(config, self.vocabulary)
        if encoder is not None:
            start_from(self.model.encoder, encoder)
        self.model.encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # depthwise convolutions are faster so
        self.heads = SceneHeads(config.encoder.out, config.encoder.widths[3])
        self.targets: dict[str, np.ndarray] = {}
        self.memory = memory
        self.features: Tensor | FeatureFile | None = None  # of every training picture, while the encoder is frozen
        self.progress = Progress()
        self.identity = {
            "config": config.to_dict(),
            "stages": [asdict(s) for s in stages],
            "words": list(self.vocabulary.words),
            "seed": seed,
            "pictures": len(train),
            "encoder": None if encoder is None else fingerprint(encoder),
        }
        self.optimizer = self._optimizer()
        self.stop = False
        largest = max(stage.batch for stage in stages)
        if len(train) < largest:
            raise ValueError(f"{len(train)} training pictures do not fill a batch of {largest}; give more pictures.")
        if self.checkpoint.exists():
            self._resume()
        else:
            (self.folder / "log.csv").unlink(missing_ok=True)  # of a run that was killed before its first checkpoint

    # -- what stands on disk ------------------------------------------------------------------------------------

    @property
    def checkpoint(self) -> Path:
        return self.folder / "last.safetensors"

    def save(self) -> None:
        """Write the checkpoint; the old one survives a failure."""
        tensors = named("model", self.model.state_dict()) | named("heads", self.heads.state_dict())
        tensors |= named("optimizer", optimizer_tensors(self.optimizer))
        tensors["generator"] = torch.get_rng_state()
        write_tensors(
            self.checkpoint,
            tensors,
            {"identity": json.dumps(self.identity), "progress": json.dumps(asdict(self.progress))},
        )

    def _resume(self) -> None:
        tensors, about = read_tensors(self.checkpoint)
        check_identity(self.checkpoint, about.get("identity", "{}"), self.identity)
        generator = tensors.pop("generator")
        parts = by_part(tensors, "model", "heads", "optimizer")
        fit_weights(self.model, parts["model"], self.checkpoint)
        fit_weights(self.heads, parts["heads"], self.checkpoint)
        self.progress = Progress(**json.loads(about["progress"]))
        self.optimizer = self._optimizer()
        load_optimizer(self.optimizer, parts["optimizer"])
        torch.set_rng_state(generator)
        names = [s.name for s in self.stages]
        at = (self.progress.stage, self.progress.step)
        trim_log(self.folder / "log.csv", LOG, lambda row: (names.index(row["stage"]), int(row["step"])) <= at)

    def log(self, **row: object) -> None:
        """Add a line to log.csv."""
        add_line(self.folder / "log.csv", LOG, row)

    # -- running ------------------------------------------------------------------------------------------------

    def _optimizer(self) -> torch.optim.Optimizer:
        """AdamW over what the current stage trains; norms, biases, A, D and what knows places are not decayed."""
        stage = self.stages[min(self.progress.stage, len(self.stages) - 1)]
        parts: dict[str, nn.Module] = {
            "pretrain": nn.ModuleList([self.model.encoder, self.heads]),
            "decoder": self.model.decoder,
            "together": self.model,
        }
        groups = decay_groups(parts[stage.name].named_parameters(), 0.02)
        return torch.optim.AdamW(groups, lr=stage.rate, betas=(0.9, 0.98))

    def steps(self, stage: Stage) -> int:
        """Steps of a stage."""
        return stage.epochs * (len(self.data) // stage.batch)

    def run(self) -> UVLM:
        """Run what is left of every stage; returns the model, or raises KeyboardInterrupt once a stop is saved."""
        self.folder.mkdir(parents=True, exist_ok=True)
        old = signal.signal(signal.SIGINT, self._ask_to_stop)
        try:
            while self.progress.stage < len(self.stages):
                self._run_stage(self.stages[self.progress.stage])
                done, self.features = self.features, None
                self.progress.stage, self.progress.step = self.progress.stage + 1, 0
                self.optimizer = self._optimizer()
                self.save()
                forget(done)
        finally:
            signal.signal(signal.SIGINT, old)
        self.model.eval()
        self._familiarize()
        notes = {"command": self.command, "seed": str(self.seed), "seconds": f"{self.progress.seconds:.0f}"}
        self.model.save(self.folder / "weights.safetensors", **notes)
        return self.model

    def _ask_to_stop(self, *_: object) -> None:
        self.stop = True

    def _run_stage(self, stage: Stage) -> None:
        from tqdm import tqdm

        total = self.steps(stage)
        per_epoch = total // stage.epochs
        bar = tqdm(total=total, initial=self.progress.step, desc=stage.name, disable=self.quiet, unit="step")
        self.model.train()
        if stage.frozen:
            self.model.encoder.eval()
            self._remember_features()
        saved, tick = time.monotonic(), time.monotonic()
        losses: list[float] = []
        plan: list[np.ndarray] = []
        while self.progress.step < total:
            step = self.progress.step
            if not plan or step % per_epoch == 0:
                plan = self._plan(stage, step // per_epoch)
            rate = stage.rate * schedule(step, total)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            batch = self._batch(stage, plan[step % per_epoch], step)
            if not stage.frozen and (step + 1) % per_epoch:
                expect(self.data.pictures, plan[(step + 1) % per_epoch])
            loss = loss_of(stage, self.model, self.heads, batch)
            if not torch.isfinite(loss):
                raise FloatingPointError(
                    f"The loss of stage {stage.name}, step {step} is {loss.item()}; the checkpoint before it is kept. "
                    "Lower the rate of this stage and start again in another folder."
                )
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_((p for g in self.optimizer.param_groups for p in g["params"]), stage.clip)
            self.optimizer.step()
            self.progress.step += 1
            now = time.monotonic()
            self.progress.seconds, tick = self.progress.seconds + now - tick, now
            losses.append(loss.item())
            bar.update()
            bar.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}", rate=f"{rate:.1e}")
            if self.progress.step % per_epoch == 0:
                score = self.validate(stage)
                self.log(
                    stage=stage.name, step=self.progress.step, epoch=self.progress.step // per_epoch,
                    rate=f"{rate:.3e}", loss=f"{np.mean(losses[-per_epoch:]):.4f}", **score,
                    seconds=f"{self.progress.seconds:.0f}",
                )  # fmt: skip
                bar.write(f"{stage.name} epoch {self.progress.step // per_epoch}: {score}") if not self.quiet else None
                tick = time.monotonic()
            if self.stop or time.monotonic() - saved > SAVE_SECONDS:
                self.save()
                saved = tick = time.monotonic()
            if self.stop:
                bar.close()
                raise KeyboardInterrupt(
                    f"Stopped at step {self.progress.step} of stage {stage.name}; the same command resumes."
                )
        bar.close()

    # -- batches ------------------------------------------------------------------------------------------------

    def _plan(self, stage: Stage, epoch: int) -> list[np.ndarray]:
        """Which pictures each step of an epoch sees."""
        order = np.random.default_rng([self.seed, self.progress.stage, epoch]).permutation(len(self.data))
        return [order[i * stage.batch : (i + 1) * stage.batch] for i in range(len(order) // stage.batch)]

    def _batch(self, stage: Stage, rows: np.ndarray, step: int) -> dict[str, Tensor]:
        dice = np.random.default_rng([self.seed, self.progress.stage, step, 1])
        batch: dict[str, Tensor] = {}
        if stage.frozen:
            assert self.features is not None
            batch["features"] = self.features[torch.from_numpy(rows)]
        else:
            side = self.config.encoder.image
            most = side // SHIFT
            y, x = most + dice.integers(-most, most + 1, 2)
            pictures = np.pad(self.data.pictures[rows], ((0, 0), (most, most), (most, most), (0, 0)), "edge")
            pictures = pictures[:, y : y + side, x : x + side]
            batch["pictures"] = _tensor(pictures)
        if stage.name == "pretrain":
            return batch | torch_batch({name: value[rows] for name, value in self._targets().items()})
        lines = []
        for row in rows:
            several = self.tokens[row]
            lines += [several[i] for i in np.resize(dice.permutation(len(several)), stage.captions)]
        longest = max(map(len, lines))
        tokens = np.full((len(lines), longest), PAD, np.int64)
        for line, into in zip(lines, tokens, strict=True):
            into[: len(line)] = line
        batch["tokens"] = torch.from_numpy(tokens)
        return batch

    def _targets(self) -> dict[str, np.ndarray]:
        """What stage 1 teaches, made once."""
        if not self.targets:
            from ..datasets.drawing import BACKGROUNDS

            if any(s is None for s in self.data.scenes):
                raise ValueError("Stage pretrain needs pictures with a scene graph; for others, pre-train on ImageNet.")
            side = self.config.encoder.side
            self.targets = {
                "cells": np.stack([cells(s, side, 0.3) for s in self.data.scenes]),
                "cells_aux": np.stack([cells(s, side // 2, 0.15) for s in self.data.scenes]),
                "place": np.array([BACKGROUNDS.index(s.background) for s in self.data.scenes]),
            }
        return self.targets

    def _remember_features(self) -> None:
        """Encode every training picture once; a frozen encoder would only give the same again."""
        shape = (self.config.encoder.out, self.config.encoder.side, self.config.encoder.side)
        path = self.folder / f"features_{self.stages[self.progress.stage].name}.float16"
        self.features = remember(
            lambda pictures: encode(self.model, pictures), self.model.encoder, self.data, shape, path, self.memory,
            self.quiet, lambda: self.stop,
        )  # fmt: skip

    def _familiarize(self) -> None:
        """Learn what ordinary pictures look like to the encoder, for the warning about others."""
        self.model.familiarity = Familiarity(self.config.encoder.widths[1])
        vector = self.model.familiarity.vector
        with torch.inference_mode():
            train, val = (
                torch.cat([vector(self.model.encoder.overnet.early(_tensor(p))) for p in _parts(data.pictures[:4000])])
                for data in (self.data, self.val)
            )
        self.model.familiarity.fit(train, val)

    @torch.inference_mode()
    def validate(self, stage: Stage) -> dict[str, str]:
        """Scores on the validation pictures: cell accuracy in stage 1, afterwards loss and CIDEr of greedy captions."""
        from ..metrics import cider

        self.model.eval()
        parts = _parts(self.val.pictures)
        scores: dict[str, str] = {}
        if stage.name == "pretrain":
            side = self.config.encoder.side
            right = total = 0
            for k, pictures in enumerate(parts):
                kinds = self.heads.cell(encode(self.model, pictures))[:, : self.heads.sizes[0]].argmax(1).numpy()
                truth = np.stack([cells(s, side, 0.3)[0] for s in self.val.scenes[k * 250 : k * 250 + 250]])
                right += int((kinds == truth)[truth > 0].sum())
                total += int((truth > 0).sum())
            scores["cells"] = f"{right / total:.4f}"
        else:
            said, loss = [], []
            for k, pictures in enumerate(parts):
                features = encode(self.model, pictures)
                found = search.greedy(self.model.decoder, features, self.config.longest)
                said += [self.vocabulary.decode(f.tokens) for f in found]
                lines = [
                    self.vocabulary.encode(c[0], self.config.longest)
                    for c in self.val.captions[k * 250 : k * 250 + 250]
                ]
                tokens = torch.tensor([line + [PAD] * (self.config.longest + 2 - len(line)) for line in lines])
                loss.append(caption_loss(self.model.decoder(features, tokens[:, :-1]), tokens).item())
            scores["val_loss"] = f"{np.mean(loss):.4f}"
            scores["cider"] = f"{cider(said, self.val.captions):.4f}"
        self.model.train()
        if stage.frozen:
            self.model.encoder.eval()
        return scores


LOG = ("stage", "step", "epoch", "rate", "loss", "val_loss", "cells", "cider", "seconds")


def encode(model: UVLM, pictures: np.ndarray) -> Tensor:
    """Features of (B, S, S, 3) uint8 pictures."""
    return model.encoder(_tensor(pictures))


def _tensor(pictures: np.ndarray) -> Tensor:
    return to_tensor(pictures).contiguous(memory_format=torch.channels_last)


def _parts(pictures: np.ndarray, size: int = 250) -> list[np.ndarray]:
    """The pictures in parts of at most `size`."""
    return [pictures[i : i + size] for i in range(0, len(pictures), size)]
