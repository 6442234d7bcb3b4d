"""Many processes that train as one: which part of a step is whose, what is added up over all, and who alone writes.

The launcher of Hugging Face Accelerate starts them, and Accelerate says what each computes on, in which precision, and
carries numbers between them. Without a launcher there is one process, and nothing here costs anything.

A step sees its batch in K micro-batches; the k-th holds every K-th picture, from the k-th on. Process p of P takes
those with the numbers p, p + P, ..., one after the other. What is drawn by chance depends on k and not on p, and every
micro-batch counts by what it holds of the step. So P processes compute what one computes, but for the order of sums.

Gradients are added up here, once a step, and not by DistributedDataParallel, which `uvlm pretrain` uses: that one
wants a model that is called as a whole, and stage 4 calls the decoder word by word.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from ..datasets.vocab import PAD


class Processes:
    """This process among all that train together.

    Parameters
    ----------
    precision : "no", "fp16" or "bf16"; None leaves it to the launch line.
    """

    def __init__(self, precision: str | None = None) -> None:
        from accelerate import Accelerator

        self.accelerator = Accelerator(mixed_precision=precision)
        self.device: torch.device = self.accelerator.device
        self.many, self.index = self.accelerator.num_processes, self.accelerator.process_index
        self.main: bool = self.accelerator.is_main_process  # writes checkpoint, log and weights, and shows progress

    # -- what is whose ------------------------------------------------------------------------------------------

    def micro_batches(self, name: str, batch: int, micro: int | None) -> int:
        """How many micro-batches of a step are this process's.

        Raises
        ------
        ValueError : the processes cannot share them evenly.
        """
        whole = batch // (micro or batch)
        if whole % self.many:
            raise ValueError(
                f"A step of stage {name} takes {batch} pictures, {micro or batch} at once, which {self.many} processes "
                f"cannot share evenly; choose --micro so that {batch} is a multiple of {self.many} times as many."
            )
        return whole // self.many

    def own(self, rows: Any) -> Any:
        """Of a step's pictures, or of whatever else is shared, those of this process."""
        return rows[self.index :: self.many]

    # -- what is added up and told ------------------------------------------------------------------------------

    def sum(self, *values: float) -> list[float]:
        """Every value, added up over all processes."""
        if self.many == 1:
            return list(values)
        return self.accelerator.reduce(torch.tensor(values, dtype=torch.float64, device=self.device), "sum").tolist()

    def any(self, flag: bool) -> bool:
        """Whether any process says so."""
        return self.sum(flag)[0] > 0

    def gather(self, found: list[Any]) -> list[Any]:
        """What every process made of its `own` things, all of it, in the order of the things."""
        if self.many == 1:
            return found
        from accelerate.utils import gather_object

        numbered = [(self.index + i * self.many, one) for i, one in enumerate(found)]
        return [one for _, one in sorted(gather_object(numbered), key=lambda pair: pair[0])]

    def tell(self, tensor: Tensor, process: int = 0) -> Tensor:
        """In place: what a process has in this contiguous tensor, the main one if no other is named."""
        if self.many > 1:
            from accelerate.utils import broadcast

            broadcast(tensor, process)
        return tensor

    def tell_buffers(self, model: nn.Module) -> None:
        """In place: the running statistics of the main process, as DistributedDataParallel keeps them."""
        for buffer in model.buffers():
            self.tell(buffer)

    def wait(self) -> None:
        """Until all have come here."""
        if self.many > 1:
            self.accelerator.wait_for_everyone()

    # -- a step -------------------------------------------------------------------------------------------------

    def autocast(self) -> AbstractContextManager[None]:
        """Where what may be computed in half precision is."""
        return self.accelerator.autocast()

    def backward(self, loss: Tensor) -> None:
        """Add the loss's gradients to those that are there; in fp16 they are scaled up, lest they vanish."""
        self.accelerator.backward(loss)

    def add_up(self, weights: Iterable[nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
        """In place: the gradients of all processes, as they are without scaling."""
        if self.many > 1:
            gradients = [w.grad for w in weights if w.grad is not None]
            whole = self.accelerator.reduce(torch.cat([g.flatten() for g in gradients]), "sum")
            for gradient, part in zip(gradients, whole.split([g.numel() for g in gradients]), strict=True):
                gradient.copy_(part.view(gradient.shape))
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.unscale_(optimizer)

    @property
    def overflows(self) -> bool:
        """Whether a gradient that is no number means only that fp16 was scaled up too far: the step is left out."""
        scaler = self.accelerator.scaler
        return scaler is not None and scaler.get_scale() >= 1

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Let the optimiser take its step."""
        scaler = self.accelerator.scaler
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()

    def scale(self) -> dict[str, str]:
        """How far fp16 is scaled up now, as a note for the checkpoint; nothing in other precisions."""
        scaler = self.accelerator.scaler
        return {} if scaler is None else {"scaler": json.dumps(scaler.state_dict())}

    def rescale(self, about: dict[str, str]) -> None:
        """Go on with what `scale` noted."""
        if self.accelerator.scaler is not None and "scaler" in about:
            self.accelerator.scaler.load_state_dict(json.loads(about["scaler"]))


def split(batch: dict[str, Tensor], many: int, captions: int) -> list[dict[str, Tensor]]:
    """A process's part of a step in its micro-batches: every many-th picture, with `captions` lines of tokens each.

    Captions are padded to the longest of their own micro-batch, whatever else the process has.
    """
    if many == 1:
        return [batch]
    parts = [{name: value[k::many] for name, value in batch.items() if value.ndim} for k in range(many)]
    for k, part in enumerate(parts):
        if "tokens" in batch:
            tokens = batch["tokens"].unflatten(0, (-1, captions))[k::many].flatten(0, 1)
            part["tokens"] = tokens[:, : int((tokens != PAD).sum(1).max())]
        if "recolored" in batch:  # so many pictures of stage 1, the first ones
            part["recolored"] = torch.tensor(len(range(k, int(batch["recolored"]), many)))
    return parts


def weight(batch: dict[str, Tensor]) -> int:
    """What a micro-batch counts by: the words to be said, EOS included; in stage 1, which has none, its pictures."""
    return int((batch["tokens"][:, 1:] != PAD).sum()) if "tokens" in batch else len(batch["pictures"])
