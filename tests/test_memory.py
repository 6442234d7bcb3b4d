"""What lies where: the link map and the blob add up to what is there, and stay within the chip's limits."""

import struct
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

pytest.importorskip("cffi")

from uvlm_mini.deploy import firmware, m55, memory, show
from uvlm_mini.deploy.commands import BLOB
from uvlm_mini.kernels.compilers import find
from uvlm_mini.paths import data_path, result

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


@pytest.mark.slow
def test_activations_are_those_that_run(data) -> None:
    """The parts add to what the captioner in C asks for; no plan is smaller than the worst moment."""
    from benchmarks import integer
    from uvlm_mini.deploy.blob import CCaptioner, write
    from uvlm_mini.quantize.integer import Captioner

    captioner = Captioner.of(*integer.pair(8))
    needs = memory.activations(captioner, 3)
    ours = CCaptioner(write(captioner), 3)
    assert needs.encoder + needs.step + needs.others == ours.memory and needs.worst <= needs.encoder
    row = result("memory")["rows"]["mini"]["activations"]
    assert needs._asdict() == pytest.approx(row, rel=0.02)


def test_what_the_file_says_of_the_presets() -> None:
    """All fit; the blobs add up, and are in the order of the presets; mini keeps its limits."""
    rows = result("memory")["rows"]
    for preset in ("mini", "t", "b"):
        row, needs = rows[preset], memory.Activations(**rows[preset]["activations"])
        assert sum(size for what, size in row["blob"].items() if what != "bytes") == row["blob"]["bytes"]
        assert needs.worst <= needs.encoder and needs.encoder + needs.step + needs.others < memory.RAM
        share = (needs.encoder + needs.step + needs.others) / memory.RAM
        assert row["of 4.2 MB"] == pytest.approx(share, abs=1e-4)
        wanted = memory.laid(rows["linked"], None if preset == "mini" else needs)
        for part, found in zip(row["laid"], wanted, strict=True):
            assert part[0] == found[0] and part[1:] == pytest.approx(found[1:], abs=1e-3)
    assert rows["mini"]["blob"]["bytes"] < rows["t"]["blob"]["bytes"] < rows["b"]["blob"]["bytes"]
    assert rows["mini"]["blob"]["bytes"] < BLOB_LIMIT and rows["linked"]["ARENA"]["arena"] < ARENA_LIMIT
    assert sum(rows["banks"].values()) == memory.RAM == 4224 * 1024


def test_what_does_not_fit_is_not_laid() -> None:
    held = {"CODE": {"program": 1000}, "DATA": {"data": 1000}, "ARENA": {"arena": 1000}}
    assert [what for what, _, _ in memory.laid(held)] == ["program", "data", "arena"]
    with pytest.raises(ValueError, match="ARENA of the STM32N657 is too small"):
        memory.laid(held, memory.Activations(1793 * 1024, 0, 0, 0))
    with pytest.raises(ValueError, match="DATA of the STM32N657 is too small"):
        memory.laid(held, memory.Activations(0, 0, 1536 * 1024, 0))


def test_figure_is_what_the_file_says() -> None:
    """Bars begin and end where the file says; banks are lines, in their order."""
    rows = result("memory")["rows"]
    ram, flash = show.plot_memory(rows).axes
    bars = [(bar.get_x(), bar.get_width()) for bar in ram.patches]
    wanted = [(at, size) for preset in ("mini", "t", "b") for _, at, size in show.drawn(rows[preset]["laid"])]
    assert bars == [pytest.approx(bar) for bar in wanted]
    assert [line.get_xdata()[0] for line in ram.lines] == [0, 1024, 2048, 2496, 2944, 3392, 3840]
    ends = [bar.get_x() + bar.get_width() for bar in flash.patches][1::2]
    assert ends == pytest.approx([rows[preset]["blob"]["bytes"] / 1e6 for preset in ("mini", "t", "b")])
    plt.close("all")


def test_neighbours_of_one_name_are_one_bar() -> None:
    laid = [["program", 0.0, 70.0], ["its constants", 70.0, 2.0], ["stack", 512.0, 64.0], ["encoder", 2048.0, 9.0]]
    assert show.drawn(laid) == [("program", 0.0, 72.0), ("data, heap, stack", 512.0, 64.0), ("encoder", 2048.0, 9.0)]


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
