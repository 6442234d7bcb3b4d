"""The firmware against its references, line by line: the same captioner in NumPy, in C on this computer, on the chip.

Compared are checksums of what the encoder gives, of every greedy step's logits and bias map, and the best caption of a
beam with its score. All of it is integers: nothing may differ.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ..datasets.vocab import BOS, EOS
from ..quantize.integer import Captioner
from . import firmware, wasm
from .blob import CCaptioner, bias_map

BUILDS = {True: "with Helium", False: "scalar"}


def in_numpy(captioner: Captioner, picture: np.ndarray, beam: int = 3) -> list[str]:
    """What the firmware should say of a picture, by the integer reference.

    Parameters
    ----------
    picture : (S, S, 3) uint8.
    beam : of the caption; the steps are those of a greedy search.

    Returns
    -------
    A line for each value from the encoder and each step, as csrc/ports/m55/main/caption.c has them, and the caption.
    """
    given = captioner.encode(picture[None])
    sums = [np.moveaxis(value[0], 0, -1) if value[0].ndim == 3 else value[0] for value in given.values()]
    made = [f"context {i} {_sum(x)}" for i, x in enumerate(sums)]
    context, state = captioner.decoder.start(given)
    word, name = BOS, bias_map(captioner.decoder.step)
    for t in range(captioner.decoder.longest + 1):
        heard = {"word": captioner.decoder.hear(np.array([word])), **context, **state}
        values = captioner.decoder.step.run(heard, keep=True)
        made.append(f"step {t} after {word} logits {_sum(values['logits'][0])} bias {_sum(values[name][0])}")
        state = {key: values[f"{key}_next"] for key in state}
        word = EOS + int(values["logits"][0, EOS:].argmax())
        if word == EOS:
            break
    (found, *_), *_ = captioner.decoder.beam(given, beam)
    return [*made, _caption(found.tokens, found.score, found.ended, captioner.decoder.text(found))]


def in_c(captioner: CCaptioner, picture: np.ndarray) -> list[str]:
    """The same lines by C on this computer, with the beam that it was made for."""
    captioner.encode(picture)
    made = [f"context {i} {_sum(x)}" for i, x in enumerate(captioner.contexts())]
    captioner.start()
    word = BOS
    for t in range(captioner.longest + 1):
        logits = captioner.step(word)
        made.append(f"step {t} after {word} logits {_sum(logits)} bias {_sum(captioner.map())}")
        word = EOS + int(logits[EOS:].argmax())
        if word == EOS:
            break
    words, score, ended = captioner.search()
    return [*made, _caption(words, score, ended, " ".join(captioner.text(n) for n in words if n > 3))]


def on_chip(program: Path, picture: np.ndarray, beam: int = 3, seconds: float = 120) -> list[str]:
    """The same lines by the firmware in QEMU."""
    told = firmware.run(program, picture, beam, "trace", count=False, seconds=seconds)
    return [*told.trace, _caption(told.words, told.score, told.ended, told.caption)]


def _sum(x: np.ndarray) -> str:
    return f"{zlib.crc32(np.ascontiguousarray(x).tobytes()):08x}"


def _caption(words: list[int], score: int, ended: bool, text: str) -> str:
    return f"caption {text!r}, words {words}, score {score}, {'ended' if ended else 'cut off'}"


def difference(wanted: list[str], found: list[str]) -> str:
    """The first line that differs, in one sentence; nothing if none does."""
    for one, other in zip(wanted, found, strict=False):
        if one != other:
            return f"it says '{other}', not '{one}'"
    return f"it says {len(found)} lines, not {len(wanted)}" if len(wanted) != len(found) else ""


def check(
    data: bytes,
    pictures: np.ndarray,
    reference: Captioner | None = None,
    beam: int = 3,
    tell: Callable[[str], None] = lambda line: None,
    workers: int = 2,
) -> list[str]:
    """Compare firmware with Helium, firmware without, and the integer reference with C on this computer.

    Parameters
    ----------
    data : a blob.
    pictures : (B, S, S, 3) uint8.
    reference : the captioner whose blob `data` is; None leaves NumPy out.
    beam : of the captions.
    tell : is called with one line a picture.
    workers : how many emulators run at once.

    Returns
    -------
    One sentence for each picture and build that differs, which names it by its number.

    Raises
    ------
    RuntimeError : compiler or emulator are missing, or the firmware refused.
    TimeoutError : the firmware did not end.
    """
    programs = {name: firmware.build(data, helium) for helium, name in BUILDS.items()}
    ours = CCaptioner(data, beam)
    found = []
    with ThreadPoolExecutor(workers) as pool:
        running = [
            {name: pool.submit(on_chip, program, picture, beam) for name, program in programs.items()}
            for picture in pictures
        ]
        for number, (picture, jobs) in enumerate(zip(pictures, running, strict=True)):
            wanted = in_c(ours, picture)
            said = {} if reference is None else {"in NumPy": in_numpy(reference, picture, beam)}
            said |= {f"on the emulated Cortex-M55 {name}": job.result() for name, job in jobs.items()}
            wrong = {name: text for name, lines in said.items() if (text := difference(wanted, lines))}
            found += [f"Picture {number}, {name}: {text}." for name, text in wrong.items()]
            tell(f"picture {number}: {len(wanted)} lines, {'differ' if wrong else 'equal'}; {wanted[-1]}")
    return found


def in_page(told: wasm.Told) -> list[str]:
    """The same lines of what WebAssembly said of a picture, with its trace."""
    best = told.found[0]
    return [*told.trace, _caption(best.words, best.score, best.ended, best.text)]
