"""What both training loops do in the same way: schedule, weight decay, what stands on disk, and who may write there."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


def schedule(step: int, total: int, warmup: int = 100) -> float:
    """Share of the highest rate at a step: up linearly, for a tenth of the run at most, then down a cosine."""
    warmup = min(warmup, total // 10)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def decay_groups(named: Iterable[tuple[str, nn.Parameter]], decay: float) -> list[dict[str, Any]]:
    """Parameters for an optimiser; norms, biases, Layer Scale, GRN, A, D and what knows places are not decayed."""
    learning = list(named)
    plain = [p for n, p in learning if p.ndim < 2 or "A_log" in n or "place" in n or p.shape[1:] == (1, 1)]
    ids = {id(p) for p in plain}
    decayed = [p for _, p in learning if id(p) not in ids]
    return [{"params": decayed, "weight_decay": decay}, {"params": plain, "weight_decay": 0.0}]


# ----------------------------------------------------------------------------------------------------------------
# A checkpoint


def named(part: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under names that start with the part's."""
    return {f"{part}.{name}": value for name, value in tensors.items()}


def by_part(tensors: dict[str, Tensor], *parts: str) -> dict[str, dict[str, Tensor]]:
    """What `named` put together, part by part."""
    found: dict[str, dict[str, Tensor]] = {part: {} for part in parts}
    for name, value in tensors.items():
        part, key = name.split(".", 1)
        found[part][key] = value
    return found


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The moments of every parameter, by its number."""
    states = optimizer.state_dict()["state"].items()
    return {f"{i}.{k}": torch.as_tensor(v) for i, state in states for k, v in state.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Give an optimiser the moments that `optimizer_tensors` took from one of the same parameters."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        i, key = name.split(".", 1)
        if value.ndim:  # in memory as the parameter lies there (channels last), as it was before
            value = torch.empty_like(parameters[int(i)]).copy_(value)
        state.setdefault(int(i), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def check_identity(path: Path, found: str, own: dict[str, Any]) -> None:
    """Refuse a checkpoint of a run that differs in anything that the identity names.

    Raises
    ------
    ValueError : names the first thing that differs.
    """
    identity = json.loads(found)
    for key, value in json.loads(json.dumps(own)).items():
        if identity.get(key) != value:
            raise ValueError(
                f"{path} belongs to a run with another {key}; give another --out, or the settings of that run."
            )


# ----------------------------------------------------------------------------------------------------------------
# The log


def add_line(path: Path, fields: Sequence[str], row: dict[str, Any]) -> None:
    """Add a line to a CSV file, which begins with its fields."""
    fresh = not path.exists()
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=fields)
        if fresh:
            writer.writeheader()
        writer.writerow(row)


def trim_log(path: Path, fields: Sequence[str], done: Callable[[dict[str, str]], bool]) -> None:
    """Drop the lines that were written after the checkpoint, whose work is done again, and a line that broke off."""
    if not path.exists():
        return
    with open(path, newline="") as file:
        kept = [row for row in csv.DictReader(file) if None not in row.values() and done(row)]
    beside = path.with_name(path.name + ".part")
    with open(beside, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=fields)
        writer.writeheader()
        writer.writerows(kept)
    beside.replace(path)


# ----------------------------------------------------------------------------------------------------------------
# One run a folder


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let no other process train into the folder meanwhile.

    The lock belongs to the process, not to the file that it is put on: it is gone with the process, even a killed one.

    Raises
    ------
    ValueError : another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "a+b") as file:
        try:
            if sys.platform == "win32":
                import msvcrt

                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise ValueError(
                f"Another run is writing into {folder}; wait for its end, stop it, or give another --out."
            ) from None
        yield
