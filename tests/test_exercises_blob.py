"""The checker of chapter 10's blob reader takes what is right, and says of everything else what is wrong with it."""

import zlib

import numpy as np
import pytest

from tests.answers import withstands
from uvlm_mini.deploy.blob import MAGIC, VERSION
from uvlm_mini.exercises.blob_reader import check, damaged, whole
from uvlm_mini.kernels import compilers


def sound(data: bytes) -> bool:
    if len(data) < 16:
        return False
    magic, version, size, checksum = np.frombuffer(data[:16], "<u4").tolist()
    return [magic, version, size] == [MAGIC, VERSION, len(data)] and checksum == zlib.crc32(data[16:])


def test_takes_what_is_right() -> None:
    verdict = check(sound)
    assert verdict and str(verdict).startswith("Right: "), verdict


def test_sound_and_damaged_blobs_are_what_c_takes_and_refuses() -> None:
    """The captioner in C gives the same answers."""
    blob = pytest.importorskip("uvlm_mini.deploy.blob")
    try:
        compilers.find()
    except RuntimeError as none:
        pytest.skip(str(none))
    for data in whole().values():
        blob.CCaptioner(data)
    for name, data in damaged():
        with pytest.raises(ValueError, match="damaged"):
            blob.CCaptioner(data)
            pytest.fail(name)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda data: None, "gives None"),
        (lambda data: True, "no bytes at all sound"),
        (lambda data: False, "the shipped blob damaged"),
        (lambda data: data[0] == 85, "raises IndexError"),
        (lambda data: data == next(iter(whole().values())), "another last word damaged"),
        (lambda data: len(data) > 100 and data[:4] == b"UVLM", "cut off"),
        (lambda data: len(data) > 15 and zlib.crc32(data[16:]).to_bytes(4, "little") == data[12:16], "old length"),
        (lambda data: sound(b"UVLM" + data[4:]), "magic number"),
        (lambda data: sound(data[:4] + VERSION.to_bytes(4, "little") + data[8:]), "another version"),
        (lambda data: sound(data[:8] + len(data).to_bytes(4, "little") + data[12:]), "old length"),
        (lambda data: sound(data[:12] + zlib.crc32(data[16:]).to_bytes(4, "little") + data[16:]), "checksum"),
    ],
)
def test_notices_what_is_wrong(answer, says) -> None:
    verdict = check(answer)
    assert not verdict and says in verdict.says and str(verdict).startswith("Not yet: "), verdict


def test_withstands_everything() -> None:
    """No answer, other types, mistakes and loops."""
    withstands(check, sound, [lambda data: data[:4] == b"UVLM", lambda data: True, lambda: True])
