r"""Stage 1 at scale: OverMod learns ImageNet-1K, with its auxiliary head, through Hugging Face Accelerate.

    L = L_final + lambda_aux L_aux

One process, the GPUs of one machine, or several machines: only the launch line differs.

    uvlm pretrain FOLDER --preset t --out runs/imagenet
    accelerate launch --multi_gpu --num_processes 8 -m uvlm_mini.cli pretrain FOLDER --preset t --out runs/imagenet
    accelerate launch --multi_gpu --num_machines 2 --num_processes 16 --machine_rank 0 --main_process_ip HOST \
        --main_process_port 29500 -m uvlm_mini.cli pretrain FOLDER --preset t --out runs/imagenet
        (the same with --machine_rank 1 on the second machine; both must see FOLDER and the folder of the run)

A step sees `batch` pictures in micro-batches of `micro`, which the processes share; what a process has more than one
of, it accumulates. So eight processes compute what one computes, but for the order of sums. The exception is
batch-norm, which is kept as DDP (DistributedDataParallel) keeps it: every micro-batch is normalised by its own
statistics, whoever computes it, and of the running statistics those of process 0 are handed to the others. One process
alone puts every micro-batch into its running statistics, process 0 of eight every eighth. OverLoCK's recipe
synchronises the statistics of all processes instead.

On one process and on the CPU, a run that was stopped or killed ends with the weights of one that was not, to the bit.
A GPU's own sums may come in another order from run to run.

The result, weights.safetensors, holds the averaged weights, heads included. A captioner starts stage 2 from it:

    uvlm train --recipe paper --preset t --encoder runs/imagenet/weights.safetensors --data ... --images ...

    model = UVLM(preset("t"), vocabulary)
    start_from(model.encoder, load_encoder("runs/imagenet/weights.safetensors"))

Glossary: EMA is the exponential moving average of the weights; top-1 the share of pictures whose first guess is right.
"""

from __future__ import annotations

import hashlib
import json
import math
import signal
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Subset

from ..config import OverModConfig
from ..datasets.imagenet import Key, Mix, Order, Pictures, eval_transform, open_folders, seed_of, train_transform
from ..encoder import Classifier, OverMod
from ..model import fit_weights, read_tensors, write_tensors
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
from .stages import LAMBDA_AUX

if TYPE_CHECKING:
    from torchvision.datasets import ImageFolder

SAVE_SECONDS = 300  # a kill costs five minutes of work at most
LOG = ("epoch", "step", "rate", "loss", "top1", "top1_ema", "seconds")


@dataclass(frozen=True)
class PretrainRecipe:
    """How stage 1 learns. The paper publishes none of it: where no other source is named, it is OverLoCK's recipe."""

    epochs: int = 300
    batch: int = 2048  # pictures a step, over all processes: 8 of 256
    micro: int = 256  # pictures that a process takes at once; they share batch statistics
    rate_1024: float = 1e-3  # highest rate for a batch of 1024; it grows with the batch
    least_rate: float = 1e-5  # where the cosine ends
    warmup: int = 5  # epochs, a tenth of the run at most; from the least rate up (OverLoCK starts at 1e-6: ours)
    decay: float = 0.05  # weight decay of AdamW; norms and biases are spared there too, Layer Scale and GRN are ours
    clip: float = 5.0  # gradients longer than this are shortened to it
    magnitude: int = 9  # of RandAugment, 0 to 10
    erasing: float = 0.25  # share of pictures that are partly erased
    mixup: float = 0.8  # α of the Beta distribution; 0 leaves it out
    cutmix: float = 1.0
    smoothing: float = 0.1  # of the labels
    ema: float = 0.9999  # what the average keeps at each step; it rises to this (ours, see `ema_update`)
    lambda_aux: float = LAMBDA_AUX

    @property
    def rate(self) -> float:
        """Highest learning rate."""
        return self.rate_1024 * self.batch / 1024

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.micro < 2 or self.batch < self.micro or self.batch % self.micro:
            raise ValueError(
                f"{self.epochs} epochs with steps of {self.batch} pictures in micro-batches of {self.micro} cannot be "
                "trained; take 1 epoch at least, micro-batches of 2 at least, and steps of a multiple of that."
            )
        if not 0 < self.rate_1024 < math.inf:  # false for NaN, too
            raise ValueError(f"The learning rate must be a number above 0, not {self.rate_1024}.")


@dataclass
class Progress:
    """Where a run stands; stored in its checkpoint."""

    epoch: int = 0  # epochs done and validated
    step: int = 0  # steps done in all
    loss: float = 0.0  # sum over the steps of the epoch that is under way
    seconds: float = 0.0  # of training in all, over every resumption


def ema_update(decay: float) -> Callable[[Any, Any, Tensor | int], None]:
    """For AveragedModel: mean <- keep mean + (1 - keep) weight, with keep = min(decay, (1 + n) / (10 + n)).

    n is the number of updates before. Without the second term, which is TensorFlow's, an average that keeps 0.9999
    would still hold more than a third of the first, untrained weights after ten thousand steps.
    """

    @torch.no_grad()
    def update(means: list[Tensor], weights: list[Tensor], n: Tensor | int) -> None:
        keep = min(decay, (1 + int(n)) / (10 + int(n)))
        if means[0].is_floating_point():
            torch._foreach_lerp_(means, weights, 1 - keep)
        else:  # batch-norm's counters
            torch._foreach_copy_(means, weights)

    return update


class Pretrainer:
    """Trains OverMod as a classifier, on as many processes as the launcher has started.

    Parameters
    ----------
    config : sizes of the encoder.
    recipe : how it learns.
    pictures : folder that has train/ and val/, with one folder a class in each.
    folder : checkpoint, log and weights go here; a checkpoint that stands there is resumed.
    seed : of weights, order, augmentation and mixing.
    workers : processes that read pictures, beside each process that trains.
    precision : "no", "fp16" or "bf16"; None leaves it to the launch line. A resumption may change it.
    quiet : no progress bar.
    command : noted in the weights, so that they can be made again.

    Raises
    ------
    FileNotFoundError, ValueError : see `open_folders`; or there are fewer pictures than a step takes, or the processes
        cannot share the micro-batches of a step evenly, or the folder holds a run of another configuration, recipe,
        seed or set of pictures.
    """

    def __init__(
        self,
        config: OverModConfig,
        recipe: PretrainRecipe,
        pictures: str | Path,
        folder: str | Path,
        seed: int = 0,
        workers: int = 8,
        precision: str | None = None,
        quiet: bool = False,
        command: str = "",
    ) -> None:
        from accelerate import Accelerator

        self.config, self.recipe, self.folder, self.seed, self.command = config, recipe, Path(folder), seed, command
        train, val = open_folders(pictures)
        if len(train) < recipe.batch:
            raise ValueError(
                f"{train.root} has {len(train)} pictures and a step takes {recipe.batch}; give more pictures, or a "
                "smaller --batch."
            )
        self.accelerator = Accelerator(mixed_precision=precision)
        processes = self.accelerator.num_processes
        if recipe.batch // recipe.micro % processes:
            raise ValueError(
                f"A step has {recipe.batch // recipe.micro} micro-batches, which {processes} processes cannot share "
                f"evenly; choose --micro so that --batch is a multiple of {processes} times as many pictures."
            )
        self.accumulate = recipe.batch // recipe.micro // processes  # micro-batches of a step for each process
        self.accelerator.gradient_accumulation_steps = self.accumulate
        self.main = self.accelerator.is_main_process
        self.quiet = quiet or not self.main
        self._open_loaders(train, val, workers)

        torch.manual_seed(seed)
        self.model = Classifier(config, len(train.classes))
        self.model.to(self.accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = AveragedModel(self.model, multi_avg_fn=ema_update(recipe.ema), use_buffers=True)
        groups = decay_groups(self.model.named_parameters(), recipe.decay)
        self.optimizer = torch.optim.AdamW(groups, lr=recipe.rate)
        self.wrapped, self.stepper = self.accelerator.prepare(self.model, self.optimizer)

        self.progress = Progress()
        files = "\n".join(path[len(str(train.root)) :] for path, _ in train.samples)
        self.classes = list(train.classes)
        self.identity: dict[str, Any] = {
            "config": asdict(config),
            "recipe": asdict(recipe),
            "seed": seed,
            "set of pictures": hashlib.sha256(files.encode()).hexdigest(),
        }
        self.asked: float | None = None  # when a signal asked for a stop
        self.saved = time.monotonic()
        if self.checkpoint.exists():
            self._resume()
        self.accelerator.wait_for_everyone()  # nobody may write a checkpoint that another has not looked for yet

    def _open_loaders(self, train: ImageFolder, val: ImageFolder, workers: int) -> None:
        recipe, side, accelerator = self.recipe, self.config.image, self.accelerator
        process, processes = accelerator.process_index, accelerator.num_processes
        self.names = [path for path, _ in train.samples]
        self.order = Order(len(train), recipe.batch, recipe.micro, self.seed, process, processes)
        val.transform = eval_transform(side)
        self.loader: DataLoader = DataLoader(
            Pictures(train, train_transform(side, recipe.magnitude, recipe.erasing), self.seed),
            batch_sampler=self.order,
            collate_fn=Mix(len(train.classes), recipe.mixup, recipe.cutmix, self.seed),
            num_workers=workers,
            pin_memory=accelerator.device.type == "cuda",
            worker_init_fn=_leave_signals,
        )
        self.val_loader: DataLoader = DataLoader(
            Subset(val, range(process, len(val), processes)),
            recipe.micro,
            num_workers=workers,
            pin_memory=accelerator.device.type == "cuda",
            worker_init_fn=_leave_signals,
        )

    # -- what stands on disk ------------------------------------------------------------------------------------

    @property
    def checkpoint(self) -> Path:
        return self.folder / "last.safetensors"

    def save(self) -> None:
        """Write the checkpoint, from the main process alone; the old one survives a failure."""
        self.saved = time.monotonic()
        if not self.main:
            return
        tensors = named("model", self.model.state_dict()) | named("ema", self.ema.state_dict())
        tensors |= named("optimizer", optimizer_tensors(self.optimizer))
        scaler = self.accelerator.scaler
        about = {
            "identity": json.dumps(self.identity),
            "progress": json.dumps(asdict(self.progress)),
            "scaler": json.dumps(scaler.state_dict() if scaler is not None else None),
        }
        write_tensors(self.checkpoint, tensors, about)

    def _resume(self) -> None:
        tensors, about = read_tensors(self.checkpoint)
        check_identity(self.checkpoint, about.get("identity", "{}"), self.identity)
        parts = by_part(tensors, "model", "ema", "optimizer")
        fit_weights(self.model, parts["model"], self.checkpoint)
        fit_weights(self.ema, parts["ema"], self.checkpoint)
        load_optimizer(self.optimizer, parts["optimizer"])
        scaler, state = self.accelerator.scaler, json.loads(about["scaler"])
        if scaler is not None and state:
            scaler.load_state_dict(state)
        self.progress = Progress(**json.loads(about["progress"]))

    def _tidy(self) -> None:
        """Let no line stand in the log that comes after the checkpoint, or from a run that never had one."""
        if self.checkpoint.exists():
            trim_log(self.folder / "log.csv", LOG, lambda row: int(row["epoch"]) <= self.progress.epoch)
        else:
            (self.folder / "log.csv").unlink(missing_ok=True)

    # -- running ------------------------------------------------------------------------------------------------

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.recipe.epochs * self.order.steps

    def rate_at(self, step: int) -> float:
        """The learning rate of a step."""
        recipe = self.recipe
        share = schedule(step, self.steps, recipe.warmup * self.order.steps)
        return recipe.least_rate + (recipe.rate - recipe.least_rate) * share

    def run(self) -> Classifier:
        """Run what is left of every epoch; returns the averaged model, or raises KeyboardInterrupt once all is saved.

        SIGINT (Ctrl-C) and SIGTERM ask for a stop after the step that is under way; another one, more than five
        seconds later, stops at once (a launcher passes on the signal that the process has got already).

        Raises
        ------
        ValueError : another run is writing into the folder.
        """
        with alone(self.folder) if self.main else nullcontext():
            if self.main:
                self._tidy()
            return self._run()

    def _run(self) -> Classifier:
        from tqdm import tqdm

        signals = (signal.SIGINT, signal.SIGTERM)
        old = [signal.signal(s, self._ask_to_stop) for s in signals]
        self.tick = time.monotonic()
        self.bar = tqdm(total=self.steps, initial=self.progress.step, desc="pretrain", disable=self.quiet, unit="step")
        try:
            for epoch in range(self.progress.epoch, self.recipe.epochs):
                self._train_epoch(epoch)
                self._end_epoch(epoch)
        finally:
            self.bar.close()
            for s, handler in zip(signals, old, strict=True):
                signal.signal(s, handler)
        averaged = self.ema.module.eval()
        assert isinstance(averaged, Classifier)
        if self.main:
            about = {
                "config": json.dumps(asdict(self.config)),
                "classes": json.dumps(self.classes),
                "command": self.command,
                "seed": str(self.seed),
                "seconds": f"{self.progress.seconds:.0f}",
            }
            write_tensors(self.folder / "weights.safetensors", averaged.state_dict(), about)
        return averaged

    def _ask_to_stop(self, *_: object) -> None:
        if self.asked is not None and time.monotonic() - self.asked > 5:
            raise KeyboardInterrupt("Stopped at once; the same command resumes from the last checkpoint.")
        self.asked = self.asked or time.monotonic()

    def _train_epoch(self, epoch: int) -> None:
        self.order.epoch, self.order.start = epoch, self.progress.step - epoch * self.order.steps
        self.wrapped.train()
        with closing(_sentences(self.loader)) as batches:  # ends the workers, however this ends
            for step in range(self.order.start, self.order.steps):
                loss, stop = self._step(batches, epoch, step)
                self.ema.update_parameters(self.model)
                self.progress.step += 1
                self.progress.loss += loss
                self._clock()
                self.bar.update()
                self.bar.set_postfix(epoch=epoch + 1, loss=f"{self.progress.loss / (step + 1):.3f}")
                if stop or time.monotonic() - self.saved > SAVE_SECONDS:
                    self.save()
                if stop:
                    raise KeyboardInterrupt(
                        f"Stopped at step {step + 1} of epoch {epoch + 1}; the same command resumes."
                    )

    def _step(self, batches: Iterator[Any], epoch: int, step: int) -> tuple[float, bool]:
        """One step of the optimiser; returns the loss over all processes, and whether any of them wants to stop."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate_at(self.progress.step)
        losses: list[Tensor] = []
        keys: list[list[Key]] = []
        for k in range(self.accumulate):
            pictures, shares, seen = next(batches)
            keys.append(seen)
            # Whatever the model draws by itself (there is nothing yet) depends on the micro-batch, not on the process.
            torch.manual_seed(seed_of(self.seed, *seen[0], 2))
            with self.accelerator.accumulate(self.wrapped):
                loss = self.loss(pictures.to(self.accelerator.device, non_blocking=True), shares)
                losses.append(loss.detach())
                self.accelerator.backward(loss)
                if k == self.accumulate - 1:
                    told = torch.stack(
                        [torch.stack(losses).mean(), torch.tensor(float(self.asked is not None)).to(loss)]
                    )
                    mean, stops = self.accelerator.reduce(told, "mean").tolist()
                    if not math.isfinite(mean):
                        raise FloatingPointError(self._not_finite(mean, losses, keys, epoch, step))
                    self.accelerator.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
                self.stepper.step()
                self.stepper.zero_grad()
        return mean, stops > 0

    def loss(self, pictures: Tensor, shares: Tensor) -> Tensor:
        """L_final + lambda_aux L_aux of (B, 3, S, S) pictures with (B, K) shares of the classes."""
        shares = shares.to(pictures.device, non_blocking=True)
        logits, auxiliary = self.wrapped(pictures.contiguous(memory_format=torch.channels_last))
        final, aux = (F.cross_entropy(x, shares, label_smoothing=self.recipe.smoothing) for x in (logits, auxiliary))
        return final + self.recipe.lambda_aux * aux

    def _not_finite(self, mean: float, losses: list[Tensor], keys: list[list[Key]], epoch: int, step: int) -> str:
        """What to say of a loss that is no number: where it was, and of which pictures."""
        own = [seen for loss, seen in zip(losses, keys, strict=True) if not torch.isfinite(loss)]
        whose = f"the micro-batch that begins with {self.names[own[0][0][1]]}" if own else "another process's pictures"
        return (
            f"The loss of epoch {epoch + 1}, step {step + 1} is {mean}, from {whose}; the last checkpoint is kept. "
            "Look at these pictures, leave fp16 out, or lower the rate and start again in another folder."
        )

    def _clock(self) -> None:
        now = time.monotonic()
        self.progress.seconds, self.tick = self.progress.seconds + now - self.tick, now

    def _end_epoch(self, epoch: int) -> None:
        self.save()  # a kill during validation costs the validation alone
        top1, top1_ema = self.validate()
        self._clock()
        loss = self.progress.loss / self.order.steps
        if self.main:
            row = {
                "epoch": epoch + 1,
                "step": self.progress.step,
                "rate": f"{self.rate_at(self.progress.step - 1):.3e}",
                "loss": f"{loss:.6f}",
                "top1": f"{top1:.4f}",
                "top1_ema": f"{top1_ema:.4f}",
                "seconds": f"{self.progress.seconds:.0f}",
            }
            add_line(self.folder / "log.csv", LOG, row)
        if not self.quiet:
            self.bar.write(f"epoch {epoch + 1}: loss {loss:.3f}, top-1 {top1:.2%}, of the average {top1_ema:.2%}")
        self.progress.epoch, self.progress.loss = epoch + 1, 0.0
        self.save()

    @torch.inference_mode()
    def validate(self) -> tuple[float, float]:
        """Top-1 of the model and of its average on all validation pictures, each looked at by one process."""
        from accelerate.utils import broadcast

        models = (self.model.eval(), self.ema.module.eval())
        for model in models:  # the processes' running statistics differ: those of process 0 count
            for buffer in model.buffers():
                broadcast(buffer)
        right = torch.zeros(3, device=self.accelerator.device)  # of the model, of the average, of all
        for pictures, labels in _sentences(self.val_loader):
            pictures = pictures.to(self.accelerator.device, memory_format=torch.channels_last)
            labels = labels.to(self.accelerator.device)
            with self.accelerator.autocast():
                guesses = [model(pictures).argmax(1) for model in models]
            right += torch.stack([(guess == labels).sum() for guess in (*guesses, labels)])
        model, average, total = self.accelerator.reduce(right, "sum").tolist()
        self.wrapped.train()
        return model / total, average / total


def _leave_signals(_: int) -> None:
    """In a process that reads: whether to stop is decided by the one that trains, even if the signal reaches both.

    SIGTERM leaves that one five seconds to end its step; then the alarm ends this process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(5))


def _sentences(loader: DataLoader) -> Generator[Any, None, None]:
    """The batches; what a worker could not read is told in its own sentence, without the worker's traceback."""
    batches = iter(loader)
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except (ValueError, FileNotFoundError) as error:
            said = str(error).strip().splitlines()[-1].split("Error: ", 1)[-1]
            error.__traceback__ = None  # its frames hold the workers, and themselves
            break
        yield batch
    del batches  # ends the workers
    raise ValueError(said)


# ----------------------------------------------------------------------------------------------------------------
# What stage 1 leaves behind


def load_classifier(path: str | Path) -> tuple[Classifier, list[str]]:
    """The averaged model that `Pretrainer.run` wrote, in eval mode, and the names of its classes.

    Raises
    ------
    FileNotFoundError, ValueError : no such file, or not one that `uvlm pretrain` wrote.
    """
    tensors, about = read_tensors(path)
    if "classes" not in about:
        raise ValueError(f"{path} holds no classifier; give the weights.safetensors that `uvlm pretrain` wrote.")
    sizes: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(about["config"]).items()}
    classes = json.loads(about["classes"])
    model = Classifier(OverModConfig(**sizes), len(classes))
    fit_weights(model, tensors, path)
    return model.eval(), classes


def load_encoder(path: str | Path) -> OverMod:
    """The encoder alone, for stage 2."""
    return load_classifier(path)[0].encoder


def start_from(encoder: OverMod, trained: OverMod) -> None:
    """Give an encoder the weights of a trained one, which may have looked at larger or smaller pictures.

    Raises
    ------
    ValueError : they are of other sizes.
    """
    ours, theirs = asdict(encoder.config), asdict(trained.config)
    for name in ours:
        if ours[name] != theirs[name] and name != "image":
            raise ValueError(
                f"The encoder to start from has {name} {theirs[name]}, and this model's has {ours[name]}; give the "
                "--preset with which it was trained."
            )
    encoder.load_state_dict(trained.state_dict())
