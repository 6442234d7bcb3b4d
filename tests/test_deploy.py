"""The captioner in C against the integer reference, its blob against damage, and the firmware in QEMU."""

import re
import shutil
import zlib
from dataclasses import replace

import numpy as np
import pytest
from onnx import ModelProto

from benchmarks import integer as bench
from scripts import firmware_check
from tests.conftest import ROOT
from uvlm_mini import cli
from uvlm_mini.datasets.scenes import scene
from uvlm_mini.datasets.vocab import BOS
from uvlm_mini.deploy import blob as blobs
from uvlm_mini.deploy import check, firmware, m55, stages
from uvlm_mini.deploy.commands import BLOB
from uvlm_mini.kernels.build import library
from uvlm_mini.kernels.compilers import find
from uvlm_mini.paths import data_path
from uvlm_mini.quantize.integer import Captioner
from uvlm_mini.quantize.integer_ops import Record

pytest.importorskip("cffi")
try:
    find()
except RuntimeError as none:
    pytest.skip(str(none), allow_module_level=True)

PICTURES, EMULATED = 200, 3
GOLDEN = ("test", 28)  # of test_cli.py


@pytest.fixture(scope="module")
def files() -> tuple[ModelProto, ModelProto]:
    """The shipped weights, calibrated on few pictures."""
    return bench.pair(8)


@pytest.fixture(scope="module")
def captioner(files) -> Captioner:
    return Captioner.of(*files)


@pytest.fixture(scope="module")
def data(captioner) -> bytes:
    return blobs.write(captioner)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return bench.pictures("test", PICTURES)


def resealed(data: bytes) -> bytes:
    """With the length and the checksum that it should have."""
    head = np.frombuffer(data[:8], "<i4").tolist()
    return np.array([*head, len(data), zlib.crc32(data[16:])], "<i8").astype("<u4").tobytes() + data[16:]


@pytest.mark.slow
def test_captions_are_those_of_the_reference(captioner, data, pictures) -> None:
    """Words, score and end, greedy and with a beam of three."""
    given = captioner.encode(pictures)
    for beam, wanted in (
        (3, [best[0] for best in captioner.decoder.beam(given)]),
        (1, captioner.decoder.greedy(given)),
    ):
        ours = blobs.CCaptioner(data, beam)
        for picture, want in zip(pictures, wanted, strict=True):
            ours.encode(picture)
            assert ours.search() == (want.tokens, want.score, want.ended)
        assert ours.caption(pictures[0]) == captioner.decoder.text(wanted[0])


@pytest.mark.parametrize("longest", [1, 3])
def test_captions_that_are_cut_off_are_those_of_the_reference(captioner, pictures, longest) -> None:
    """With too little room nothing ends, or little; wide beams too."""
    short = replace(captioner, decoder=replace(captioner.decoder, longest=longest))
    few = pictures[:8]
    for width in (2, 8):
        ours = blobs.CCaptioner(blobs.write(short), width)
        for picture, wanted in zip(few, short.decoder.beam(short.encode(few), width), strict=True):
            ours.encode(picture)
            assert ours.search() == (wanted[0].tokens, wanted[0].score, wanted[0].ended)


def test_steps_are_those_of_the_reference(captioner, data, pictures) -> None:
    """Logits to the bit, and the bias map, after words that no search would say."""
    ours = blobs.CCaptioner(data)
    for picture in pictures[:3]:
        context, state = captioner.decoder.start(captioner.encode(picture[None]))
        ours.encode(picture)
        for word in (BOS, 7, 100, 3, 50, 50):
            logits, state = captioner.decoder.advance(np.array([word]), context, state)
            assert (ours.step(word) == logits[0]).all()
        assert ours.bias().shape == (8, 8) and np.abs(ours.bias()).max() > 0


def test_shipped_blob_says_the_golden_caption() -> None:
    ours = blobs.CCaptioner(data_path(BLOB).read_bytes())
    assert ours.caption(scene(*GOLDEN).draw()) == data_path("golden.txt").read_text().strip()


def test_every_way_to_cut_a_blob_is_noticed(data) -> None:
    places = [*range(800), *np.random.default_rng(0).integers(800, len(data), 200).tolist(), len(data) - 1]
    for end in places:
        with pytest.raises(ValueError, match="damaged"):
            blobs.CCaptioner(data[:end])
    with pytest.raises(ValueError, match="damaged"):
        blobs.CCaptioner(data + b"\0\0\0\0")


@pytest.mark.parametrize("place", [0, 4, 8, 12, 16, 20000, -1])
def test_a_changed_byte_is_noticed(data, place) -> None:
    changed = bytearray(data)
    changed[place] ^= 1
    with pytest.raises(ValueError, match="damaged"):
        blobs.CCaptioner(bytes(changed))


def test_a_blob_that_contradicts_itself_is_refused_or_runs(data, pictures) -> None:
    """Numbers of header and records changed, the checksum made right again: a sentence or a caption, never a crash."""
    rng, refused = np.random.default_rng(1), 0
    numbers = np.frombuffer(data[: len(data) // 4 * 4], "<i4")
    for _ in range(300):
        changed = numbers.copy()
        place = int(rng.choice([*range(4, 23), int(rng.integers(23, 3000))]))
        changed[place] = rng.choice(
            [-1, 0, 1, 2**31 - 1, -(2**31), int(rng.integers(-(2**20), 2**20)), changed[place] + 16]
        )
        try:
            ours = blobs.CCaptioner(resealed(changed.tobytes() + data[changed.nbytes :]))
            if ours.side == 64:
                ours.encode(pictures[0])
                ours.step(BOS)
        except ValueError as error:
            refused += 1
            assert str(error).endswith(".")
    assert 100 < refused < 300


def test_too_little_memory_and_wrong_addresses_are_refused(data) -> None:
    ffi, lib = library()
    blob, size = blobs.aligned(len(data) + 16), ffi.new("int64_t *")
    blob[: len(data)] = np.frombuffer(data, np.int8)
    at, made = ffi.from_buffer("int8_t[]", blob), ffi.new("uvlm *")
    assert lib.uvlm_memory(at, len(data), 3, size) == 0
    memory = blobs.aligned(size[0])
    room = ffi.from_buffer("int8_t[]", memory)
    assert lib.uvlm_open(made, at, len(data), 3, room, size[0] - 1) == lib.UVLM_SIZE
    assert lib.uvlm_open(made, at, len(data), 3, room + 4, size[0]) == lib.UVLM_RANGE
    assert lib.uvlm_memory(at + 1, len(data), 3, size) == lib.UVLM_RANGE
    for beam in (0, 9):
        assert lib.uvlm_memory(at, len(data), beam, size) == lib.UVLM_RANGE
    assert lib.uvlm_memory(ffi.NULL, len(data), 3, size) == lib.UVLM_NULL
    assert lib.uvlm_open(made, at, len(data), 3, ffi.NULL, 0) == lib.UVLM_NULL
    assert lib.uvlm_open(made, at, len(data), 3, room, len(memory)) == 0


def test_wrong_pictures_and_words_get_a_sentence(data) -> None:
    ours = blobs.CCaptioner(data)
    with pytest.raises(ValueError, match=r"pictures \(64, 64, 3\) of bytes, not \(32, 32, 3\)"):
        ours.encode(np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(ValueError, match="out of range"):
        ours.step(ours.words)
    assert ours.text(ours.words) == "" and ours.text(-1) == ""


needs_qemu = pytest.mark.skipif(bool(m55.missing()), reason=m55.missing() or "all is there")


@needs_qemu
@pytest.mark.slow
def test_firmware_has_the_bits_of_the_reference(captioner, data, pictures) -> None:
    """Encoder, every step's logits and bias map, caption and score: NumPy, C here, with Helium and without."""
    told: list[str] = []
    assert check.check(data, pictures[:EMULATED], captioner, tell=told.append) == []
    assert len(told) == EMULATED and all("lines, equal; caption 'there is" in line for line in told)
    assert firmware.run(firmware.build(data, False), pictures[0], count=False).form == "plain"


@needs_qemu
def test_a_difference_is_named(captioner, data, pictures) -> None:
    """Another captioner's words, and a firmware that says fewer lines."""
    other = replace(
        captioner, encoder=replace(captioner.encoder, records=tuple(map(louder, captioner.encoder.records)))
    )
    found = check.check(data, pictures[:1], other)
    assert len(found) == 1
    assert re.match(r"Picture 0, in NumPy: it says 'context 0 \w{8}', not 'context 0 \w{8}'\.", found[0])


def test_lines_that_are_missing_differ() -> None:
    """As lines that say something else do."""
    assert check.difference(["a", "b"], ["a"]) == "it says 1 lines, not 2"
    assert check.difference(["a"], ["a", "b"]) == "it says 2 lines, not 1"
    assert check.difference(["a", "b"], ["a", "c"]) == "it says 'c', not 'b'"
    assert check.difference(["a", "b"], ["a", "b"]) == ""


def louder(record: Record) -> Record:
    """A GRN that rounds a little otherwise."""
    if record.kind != "grn":
        return record
    return replace(record, arrays={**record.arrays, "beta": record.arrays["beta"] + (1 << 14)})


def test_the_check_without_tools_is_one_sentence(capsys, monkeypatch) -> None:
    monkeypatch.setattr(m55, "missing", lambda: "There is no compiler.")
    assert firmware_check.main([]) == 1
    assert capsys.readouterr().err == "There is no compiler.\n"


@needs_qemu
def test_the_check_ends_with_1_and_names_what_differs(capsys, monkeypatch) -> None:
    monkeypatch.setattr(check, "check", lambda *given, **more: ["Picture 3, in NumPy: it says 'a', not 'b'."])
    monkeypatch.setattr(firmware_check, "reference", lambda: None)
    assert firmware_check.main(["--pictures", "1"]) == 1
    assert "Picture 3, in NumPy: it says 'a', not 'b'." in capsys.readouterr().err


@needs_qemu
def test_firmware_refuses_a_picture_of_another_size(data) -> None:
    with pytest.raises(RuntimeError, match="another size"):
        firmware.run(firmware.build(data), np.zeros((63, 64, 3), np.uint8), count=False)


@needs_qemu
def test_firmware_that_does_not_end_is_stopped(data, pictures) -> None:
    with pytest.raises(TimeoutError, match=r"did not end within 0\.2 s"):
        firmware.run(firmware.build(data), pictures[0], seconds=0.2)


def test_commands(capsys, tmp_path, pictures) -> None:
    from PIL import Image

    path = tmp_path / "p.png"
    Image.fromarray(pictures[0]).save(path)
    assert cli.main(["deploy", "caption", str(path), "--beam", "1"]) == 0
    assert capsys.readouterr().out.startswith("there is")
    (tmp_path / "bad.bin").write_bytes(b"no blob")
    assert cli.main(["deploy", "caption", str(path), "--blob", str(tmp_path / "bad.bin")]) == 2
    assert "damaged" in capsys.readouterr().err
    if not m55.missing():
        assert cli.main(["deploy", "run", str(path)]) == 0
        out = capsys.readouterr().out
        assert out.startswith("there is") and "instructions, with Helium" in out
        assert all(stage in out for stage in stages.STAGES.values() if "fourth" not in stage)


def test_stages_are_those_of_the_modules(files, captioner) -> None:
    """The letters that a blob of preset mini gets are those of its file's names; another blob gets none."""
    assert stages.letters(files[0], captioner.encoder) == stages.MINI
    kinds = [record.kind for record in captioner.encoder.records]
    found = stages.of_blob(kinds)
    assert found[0] == "OverNet, stage 1" and found[-1] == "for the decoder" and len(found) == len(kinds)
    assert stages.of_blob(kinds[:-1]) == []
    with pytest.raises(ValueError, match="of no stage"):
        stages.of_module("familiarity.mean")


def test_without_the_tools_a_sentence(capsys, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert cli.main(["deploy", "firmware", "--out", str(tmp_path / "x.elf")]) == 1
    assert "apt-get install" in capsys.readouterr().err
    assert ROOT.is_dir()
