"""The training loop: every stage runs in it, any moment may be the last.

What happens at a step depends on the seed, the stage and the number of the step alone, and a checkpoint holds all
that the next step needs: weights, optimiser, the state of the random generator. A run that was stopped or killed
therefore ends with the same weights as one that was not.

    last.safetensors       the checkpoint; a failed step never gets there
    best.safetensors       the weights with the highest CIDEr on the validation pictures so far
    weights.safetensors    the weights at the end
    log.csv                a line an epoch
    lock                   held while a process trains here
"""

from __future__ import annotations

import hashlib
import json
import math
import signal
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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
from .reward import CiderD
from .scst import scst_loss
from .shared import (
    add_line,
    alone,
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
    loss: float = 0.0  # sum over the steps of the epoch that is under way
    reward: float = 0.0  # likewise, in stage 4
    best: float = -1.0  # highest CIDEr on the validation pictures so far


class Trainer:
    """Trains one model through its stages.

    Parameters
    ----------
    config : sizes of the model.
    stages : what to run, in order.
    train, val : captioned pictures; the vocabulary is built from `train` alone.
    folder : checkpoint, log and weights go here; a checkpoint that stands there is resumed.
    seed : of weights, order, dropout and drawn captions.
    quiet : no progress bar.
    command : noted in the weights, so that they can be made again.
    encoder : one to start from, such as `load_encoder` gives; else the encoder starts untrained.
    memory : gigabytes that the features of a frozen encoder may take in memory; see `remember`.
    only : the name of the one stage to run; the stages before it are done in the folder, or `weights` stand for them.
    weights : a file of weights to start from instead of random ones, whose vocabulary is kept.

    Raises
    ------
    ValueError : the folder holds a run of another configuration, recipe, vocabulary, seed or encoder, or one that is
        not ready for the stage that was asked for, or finished weights without a checkpoint; the encoder's sizes are
        not the configuration's; too few pictures for a batch.
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
        only: str | None = None,
        weights: str | Path | None = None,
    ) -> None:
        names = [stage.name for stage in stages]
        if only is not None and only not in names:
            raise ValueError(f"This recipe has no stage {only!r}; use one of {', '.join(names)}.")
        first = names.index(only) if only else 0
        self.end = first + 1 if only else len(stages)  # the stage that is not run any more
        torch.manual_seed(seed)
        self.config, self.stages, self.data, self.val = config, stages, train, val
        self.folder, self.seed, self.quiet, self.command = Path(folder), seed, quiet, command
        start = UVLM.load(weights) if weights else None
        if start is not None and start.config != config:
            raise ValueError(f"{weights} holds a model of other sizes than this recipe's; give weights of this recipe.")
        built = Vocabulary.build(caption for captions in train.captions for caption in captions)
        self.vocabulary = start.vocabulary if start else built
        self.tokens = encode_told(self.vocabulary, train.captions, train.names, config.longest)
        self.model = UVLM(config, self.vocabulary)
        if start is not None:
            start.familiarity = None  # learned anew at the end
            self.model.load_state_dict(start.state_dict())
        if encoder is not None:
            start_from(self.model.encoder, encoder)
        self.model.encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # depthwise convolutions are faster so
        self.heads = SceneHeads(config.encoder.out, config.encoder.widths[3])
        self.targets: dict[str, np.ndarray] = {}
        self.memory = memory
        self.features: Tensor | FeatureFile | None = None  # of every training picture, while the encoder is frozen
        self.reward: CiderD | None = None  # of stage 4
        self.progress = Progress(stage=first if weights else 0)
        self.identity = {
            "config": config.to_dict(),
            "stages": [asdict(s) for s in stages],
            "words": list(self.vocabulary.words),
            "seed": seed,
            "pictures": len(train),
            "encoder": None if encoder is None else fingerprint(encoder),
            "start": hashlib.sha256(Path(weights).read_bytes()).hexdigest() if weights else "",
        }
        self.optimizer = self._optimizer()
        self.stop = False
        largest = max(stage.batch for stage in stages)
        if len(train) < largest:
            raise ValueError(f"{len(train)} training pictures do not fill a batch of {largest}; give more pictures.")
        if self.checkpoint.exists():
            self._resume()
        elif (self.folder / "weights.safetensors").exists():
            raise ValueError(
                f"{self.folder} holds the weights of a training and no checkpoint of it; give another --out, or move "
                "them away."
            )
        if only and self.progress.stage < first:
            raise ValueError(
                f"Stage {only} starts from trained weights, and {self.folder} is not there yet; give --weights, or run "
                f"stage {names[self.progress.stage]} first."
            )

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

    def _tidy(self) -> None:
        """Let nothing stand in the folder that comes after the checkpoint, or from a run that never had one."""
        if not self.checkpoint.exists():
            for name in ("log.csv", "best.safetensors"):
                (self.folder / name).unlink(missing_ok=True)
            return
        self._resume()  # another process may have gone on since this trainer was made
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
            "scst": self.model.decoder,
        }
        groups = decay_groups(parts[stage.name].named_parameters(), 0.02)
        return torch.optim.AdamW(groups, lr=stage.rate, betas=(0.9, 0.98))

    def steps(self, stage: Stage) -> int:
        """Steps of a stage."""
        return stage.epochs * (len(self.data) // stage.batch)

    def run(self) -> UVLM:
        """Run what is left of every stage; returns the model, or raises KeyboardInterrupt once a stop is saved.

        SIGINT (Ctrl-C) and SIGTERM ask for a stop after the step that is under way.

        Raises
        ------
        ValueError : another process trains into the folder.
        FloatingPointError : a loss or its gradient is no number.
        """
        with alone(self.folder):
            self._tidy()
            self.stop = False
            signals = (signal.SIGINT, signal.SIGTERM)
            old = [signal.signal(s, self._ask_to_stop) for s in signals]
            try:
                while self.progress.stage < self.end:
                    self._run_stage(self.stages[self.progress.stage])
                    done, self.features, self.reward = self.features, None, None
                    self.progress.stage, self.progress.step = self.progress.stage + 1, 0
                    self.optimizer = self._optimizer()
                    self.save()
                    forget(done)
            finally:
                for s, handler in zip(signals, old, strict=True):
                    signal.signal(s, handler)
            self.model.eval()
            self._familiarize()
            self.model.save(
                self.folder / "weights.safetensors", **self._notes(), seconds=f"{self.progress.seconds:.0f}"
            )
        return self.model

    def _notes(self) -> dict[str, str]:
        return {"command": self.command, "seed": str(self.seed)}

    def _ask_to_stop(self, *_: object) -> None:
        self.stop = True

    def _set_modes(self, stage: Stage) -> None:
        """What is not trained computes as it will be used; so does the decoder where it draws its own captions."""
        self.model.train()
        if stage.frozen:
            self.model.encoder.eval()
        if stage.name == "scst":
            self.model.decoder.eval()

    def _run_stage(self, stage: Stage) -> None:
        from tqdm import tqdm

        total = self.steps(stage)
        per_epoch = total // stage.epochs
        bar = tqdm(total=total, initial=self.progress.step, desc=stage.name, disable=self.quiet, unit="step")
        self._set_modes(stage)
        if stage.frozen:
            self._remember_features()
        if stage.name == "scst":
            self.reward = CiderD([[self.vocabulary.encode(c) for c in cs] for cs in self.data.captions], stage.eos)
        saved, tick = time.monotonic(), time.monotonic()
        recent: deque[float] = deque(maxlen=50)
        plan: list[np.ndarray] = []
        while self.progress.step < total:
            step = self.progress.step
            if not plan or step % per_epoch == 0:
                plan = self._plan(stage, step // per_epoch)
            rate = stage.rate * schedule(step, total)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            rows = plan[step % per_epoch]
            following = plan[(step + 1) % per_epoch] if (step + 1) % per_epoch else rows[:0]
            loss, reward = self._loss(stage, rows, step, following)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            length = nn.utils.clip_grad_norm_((p for g in self.optimizer.param_groups for p in g["params"]), stage.clip)
            if not torch.isfinite(loss) or not torch.isfinite(length):
                raise FloatingPointError(self._not_finite(stage, step, rows, loss.item(), length.item()))
            self.optimizer.step()
            self.progress.step += 1
            self.progress.loss += loss.item()
            self.progress.reward += reward
            now = time.monotonic()
            self.progress.seconds, tick = self.progress.seconds + now - tick, now
            recent.append(reward if stage.name == "scst" else loss.item())
            shown = {"reward" if stage.name == "scst" else "loss": f"{np.mean(recent):.3f}", "rate": f"{rate:.1e}"}
            bar.set_postfix(shown, refresh=False)
            bar.update()
            if self.progress.step % per_epoch == 0:
                self._end_epoch(stage, per_epoch, rate, bar)
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

    def _loss(self, stage: Stage, rows: np.ndarray, step: int, following: np.ndarray) -> tuple[Tensor, float]:
        """The loss of one batch, and in stage 4 the mean reward of what was drawn; the pictures of the next one are
        read meanwhile."""
        batch = self._batch(stage, rows, step)
        if len(following) and not stage.frozen:
            expect(self.data.pictures, following)
        if stage.name != "scst":
            return loss_of(stage, self.model, self.heads, batch), 0.0
        assert self.reward is not None
        seed = int(np.random.default_rng([self.seed, self.progress.stage, step, 2]).integers(2**63))
        return scst_loss(
            self.model.decoder, batch["features"], rows.tolist(), self.reward, stage.samples, self.config.longest,
            torch.Generator().manual_seed(seed), greedy=stage.baseline == "greedy",
        )  # fmt: skip

    def _not_finite(self, stage: Stage, step: int, rows: np.ndarray, loss: float, length: float) -> str:
        """What to say of a step that would spoil the weights."""
        what = f"has a gradient of length {length}" if math.isfinite(loss) else f"is {loss}"
        return (
            f"The loss of stage {stage.name}, step {step} {what}, with the pictures "
            f"{', '.join(self.data.names[row] for row in rows)}; the checkpoint before it is kept. Look at these "
            "pictures, or lower the rate of this stage and start again in another folder."
        )

    def _end_epoch(self, stage: Stage, steps: int, rate: float, bar: Any) -> None:
        """Validate, log, and keep the weights if they are the best so far."""
        score = self.validate(stage)
        if stage.name == "scst":
            score["reward"] = f"{self.progress.reward / steps:.4f}"
        epoch, loss = self.progress.step // steps, self.progress.loss / steps
        self.progress.loss = self.progress.reward = 0.0
        self.log(
            stage=stage.name, step=self.progress.step, epoch=epoch, rate=f"{rate:.3e}", loss=f"{loss:.4f}", **score,
            seconds=f"{self.progress.seconds:.0f}",
        )  # fmt: skip
        if not self.quiet:
            bar.write(f"{stage.name} epoch {epoch}: " + ", ".join(f"{name} {value}" for name, value in score.items()))
        cider = float(score.get("cider", -math.inf))
        if cider > self.progress.best:
            self.progress.best = cider
            about = {"stage": stage.name, "step": str(self.progress.step), "cider": score["cider"]}
            self.model.save(self.folder / "best.safetensors", **self._notes(), **about)

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
        if stage.name == "scst":
            return batch
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
        """Scores on the validation pictures: cell accuracy in stage 1; afterwards the loss, and of greedy captions
        CIDEr and, where the scenes are known, the share that name all things rightly, the share that tell a relation
        where there is one to tell, and the share of told relations that are true (empty where none is told)."""
        from ..metrics import cider, truthfulness

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
            if all(scene is not None for scene in self.val.scenes):
                shares = truthfulness(said, self.val.scenes)
                scores |= {name: f"{shares[of]:.4f}".replace("nan", "") for name, of in TRUTHS.items()}
        self._set_modes(stage)
        return scores


TRUTHS = {"right_things": "right things", "told_relation": "told relation", "true_relations": "relations"}
LOG = ("stage", "step", "epoch", "rate", "loss", "reward", "val_loss", "cells", "cider", *TRUTHS, "seconds")


def encode(model: UVLM, pictures: np.ndarray) -> Tensor:
    """Features of (B, S, S, 3) uint8 pictures."""
    return model.encoder(_tensor(pictures))


def _tensor(pictures: np.ndarray) -> Tensor:
    return to_tensor(pictures).contiguous(memory_format=torch.channels_last)


def _parts(pictures: np.ndarray, size: int = 250) -> list[np.ndarray]:
    """The pictures in parts of at most `size`."""
    return [pictures[i : i + size] for i in range(0, len(pictures), size)]
