"""Chapter 10's exercise: a function that tells a sound blob from a damaged one.

    print(check(sound))

It is asked about the shipped blob and another that is sound, and about all kinds of damage to both.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

import numpy as np

from ..paths import data_path
from . import Verdict
from .attempt import expect_function, judged

SEALED = 16  # bytes of magic number, version, length and checksum, which the checksum leaves out


def reseal(data: bytes) -> bytes:
    """The bytes with the length and the checksum that they should have."""
    numbers = [len(data), zlib.crc32(data[SEALED:])]
    return data[:8] + np.array(numbers, "<u4").tobytes() + data[SEALED:]


def whole() -> dict[str, bytes]:
    """Blobs that are sound: the shipped one, and one with another last word."""
    shipped = data_path("uvlm_mini.bin").read_bytes()
    return {"the shipped blob": shipped, "a sound blob with another last word": reseal(shipped[:-2] + b"x\0")}


def damaged() -> Iterator[tuple[str, bytes]]:
    """What happened to a blob, and what is left of it."""
    dice = np.random.default_rng(10)
    for data in whole().values():
        yield "no bytes at all", b""
        yield "a text file", b"there is a red boat on the water\n" * 30_000
        for end in (1, 3, 4, 15, 16, 17, 300, len(data) // 2, len(data) - 1):
            yield f"a blob cut off behind byte {end}", data[:end]
        yield "a blob whose end was cut off before it was sealed, at its old length", _old_length(data)
        yield "a blob with four bytes more", data + bytes(4)
        for name, at in (("magic number", 0), ("version", 4), ("length", 8), ("checksum", 12)):
            for bit in range(0, 32, 5):
                yield f"a blob with another {name}", _flipped(data, at + bit // 8, bit % 8)
        for at in [SEALED, len(data) - 1, *dice.integers(SEALED, len(data), 40).tolist()]:
            yield f"a blob with a flipped bit in byte {at}", _flipped(data, at, int(dice.integers(8)))
        swapped = bytearray(data)
        swapped[20_000:20_004], swapped[30_000:30_004] = data[30_000:30_004], data[20_000:20_004]
        assert bytes(swapped) != data
        yield "a blob with two pieces swapped", bytes(swapped)


def _old_length(data: bytes) -> bytes:
    short = reseal(data[:-100])
    return short[:8] + data[8:12] + short[12:]


def _flipped(data: bytes, at: int, bit: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1 << bit
    return bytes(changed)


@judged()
def check(sound: Callable[[bytes], object]) -> Verdict:
    """Judge a function that says whether a blob is sound.

    Parameters
    ----------
    sound : from bytes to True or False.

    Notes
    -----
    Source: chapter 10, exercises.
    """
    expect_function(sound, "data")
    asked = [(name, data, True) for name, data in whole().items()]
    for name, data, wanted in [*asked, *((name, data, False) for name, data in damaged())]:
        try:
            said = sound(data)
        except Exception as error:  # whatever a reader's code does becomes a sentence
            return Verdict(False, f"asked about {name} it raises {type(error).__name__}; answer True or False.")
        if not isinstance(said, bool | np.bool_):
            return Verdict(False, f"asked about {name} it gives {said!r}; answer True or False.")
        if bool(said) != wanted:
            return Verdict(False, f"it calls {name} {'sound' if said else 'damaged'}.")
    return Verdict(True, "it takes every sound blob, and no damage escapes it.")
