"""The project for the STM32N657: its files agree with each other, its C is compiled, and run with stand-ins in QEMU."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import integer as bench
from uvlm_mini.deploy import m55, stm32
from uvlm_mini.kernels.compilers import find

pytest.importorskip("cffi")
try:
    find()
except RuntimeError as none:
    pytest.skip(str(none), allow_module_level=True)

PORT = stm32.PORT
STANDIN = PORT / "standin"
STRICT = ["-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Werror"]
needs_qemu = pytest.mark.skipif(bool(m55.missing()), reason=m55.missing() or "all is there")


@pytest.fixture(scope="module")
def parts() -> stm32.Parts:
    """The shipped weights, calibrated on few pictures."""
    return stm32.Parts.of(*bench.pair(8))


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return bench.pictures("test", 4)


@pytest.fixture(scope="module")
def place(parts, tmp_path_factory) -> Path:
    """A folder with project.h and the blob."""
    folder = tmp_path_factory.mktemp("stm32")
    (folder / "project.h").write_text(stm32.header(parts))
    (folder / "blob.bin").write_bytes(parts.data)
    return folder


@pytest.fixture(scope="module")
def objects(place) -> list[Path]:
    """The kernels, with Helium."""
    return m55.compile_kernels(place)


def built(place: Path, objects: list[Path], main: str, *sources: Path) -> Path:
    """A program of the stand-ins with sources of the port."""
    flags = [*STRICT, f"-I{PORT}", f"-I{STANDIN}", f"-I{place}", f'-DUVLM_BLOB="{place / "blob.bin"}"']
    return m55.build(STANDIN / main, place / f"{Path(main).stem}.elf", objects, True, [*flags, *map(str, sources)])


@pytest.fixture(scope="module")
def application(place, objects) -> Path:
    return built(place, objects, "caption.c", PORT / "app.c", STANDIN / "npu.c")


@needs_qemu
@pytest.mark.parametrize("known", ["scales", "order"])
def test_application_says_the_reference_s_caption(parts, pictures, place, application, known) -> None:
    """app.c with the C encoder as NPU: words and score of the integer reference, the caches kept in order."""
    decoder = parts.captioner.decoder
    for picture in pictures[:2] if known == "scales" else pictures[2:3]:
        (place / "picture.raw").write_bytes(picture.tobytes())
        code, text = m55.run(application, [str(place / "picture.raw"), known])
        assert code == 0, text
        best = decoder.beam(parts.captioner.encode(picture[None]))[0][0]
        lines = text.splitlines()
        assert f"caption {decoder.text(best)}" in lines
        assert f"score {best.score} ended {int(best.ended)}" in lines
        assert "words " + " ".join(map(str, best.tokens)) in lines
        assert "runs 2 addresses 0 stale 0 refused 0" in lines
        for n, (_, size, _) in enumerate(parts.seen):
            assert f"context {n} of {size} differ 0 by at most 0" in lines
