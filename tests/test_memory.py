"""What lies where: the link map and the blob add up to what is there, and stay within the chip's limits."""

import struct
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cffi")

from uvlm_mini.deploy import firmware, m55, memory
from uvlm_mini.deploy.commands import BLOB
from uvlm_mini.kernels.compilers import find
from uvlm_mini.paths import data_path

try:
    find()
except RuntimeError as none:
    pytest.skip(str(none), allow_module_level=True)

BLOB_LIMIT, ARENA_LIMIT = 1_100_000, 512 * 1024
needs_compiler = pytest.mark.skipif(bool(m55.missing()), reason=m55.missing() or "all is there")


@pytest.fixture(scope="module")
def data() -> bytes:
    return data_path(BLOB).read_bytes()


def test_regions_are_those_of_the_chip() -> None:
    """Together the three in RAM are AXISRAM1 to 6; each says what it stands for."""
    found = {r.name: r for r in memory.regions()}
    assert list(found) == ["CODE", "DATA", "ARENA", "FLASH"]
    assert sum(found[name].length for name in ("CODE", "DATA", "ARENA")) == (2 * 1024 + 4 * 448) * 1024
    assert found["ARENA"].chip.startswith("AXISRAM3 to 6") and found["FLASH"].chip.startswith("octo flash")
    assert found["FLASH"].origin == 0x60000000 and found["FLASH"].length == 128 << 20


def test_the_blob_adds_up(data) -> None:
    """Every byte is told once; weights are what the float model has as matrices, and a little."""
    found = memory.contents(data)
    assert sum(found.values()) == len(data) < BLOB_LIMIT
    assert min(found.values()) > 0 and found["alignment"] < 1000
    head = np.frombuffer(data[: 4 * len(memory.HEAD)], "<i4")
    assert found["words"] == len(data) - head[memory.HEAD.index("texts")]


def test_a_blob_that_is_cut_off_is_told(data) -> None:
    with pytest.raises(ValueError, match="cut off or damaged"):
        memory.contents(data[:4000])


def test_the_captioner_needs_less_than_the_limit(data) -> None:
    """With the widest beam."""
    assert firmware.memory(data) < ARENA_LIMIT


@needs_compiler
def test_the_link_map_is_the_firmware(data) -> None:
    """Each region holds what the compiler's own tool says, and no more than it has."""
    elf = firmware.build(data)
    held = memory.linked(elf)
    sizes = {(part.region, part.what): part.bytes for part in held}
    assert sizes["FLASH", "blob"] - len(data) in range(4)
    assert sizes["ARENA", "arena"] == firmware.memory(data)
    for region in memory.regions():
        assert sum(part.bytes for part in held if part.region == region.name) <= region.length
    assert "blob" in memory.table(elf) and f"{firmware.memory(data):,} arena" in memory.table(elf)


@needs_compiler
def test_activations_that_are_too_large_do_not_link(data, monkeypatch, tmp_path) -> None:
    """One byte more than the NPU's RAM."""
    (limit,) = (r.length for r in memory.regions() if r.name == "ARENA")
    monkeypatch.setattr(firmware, "memory", lambda blob: limit + 1)
    with pytest.raises(RuntimeError, match="ARENA' overflowed"):
        firmware.build(data, out=tmp_path / "x.elf")


def test_other_files_and_places_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no ELF file"):
        memory.sections(b"\x7fELF\x02\x01 of another machine")
    path = tmp_path / "x.elf"
    names, row = b"\0.text\0", [1, 1, 2, 0x50000000, 0, 8, 0, 0, 0, 0]
    rows = struct.pack("<10I", *row) + struct.pack("<10I", 0, 3, 0, 0, 132, len(names), 0, 0, 0, 0)
    head = b"\x7fELF\x01\x01" + bytes(26) + struct.pack("<I10xHHH", 52, 40, 2, 1)
    path.write_bytes(head + rows + names)
    with pytest.raises(ValueError, match=r"section \.text at 0x50000000"):
        memory.linked(path)
