"""Whole networks on the emulated Cortex-M55: the same bits as C here, and the instructions that the result file has."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cffi")

from benchmarks import int8_steps, m55, record
from uvlm_mini.deploy import image
from uvlm_mini.deploy import m55 as port
from uvlm_mini.deploy.image import Counted
from uvlm_mini.kernels.compilers import find
from uvlm_mini.kernels.program import CProgram
from uvlm_mini.paths import result
from uvlm_mini.quantize.integer_ops import Program, Record

try:
    find()
except RuntimeError as none:
    pytest.skip(str(none), allow_module_level=True)

needs_tools = pytest.mark.skipif(bool(port.missing()), reason=port.missing() or "all is there")


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, list[Path]]:
    """The kernels in both builds."""
    made = {}
    for helium in m55.BUILDS:
        folder = tmp_path_factory.mktemp("objects")
        made[helium] = port.compile_kernels(folder, helium)
    return made


def test_what_was_asked_for() -> None:
    """Matrix-vector products keep the limits; the file says of every goal whether it is reached, as its numbers do."""
    rows = result("m55")["rows"]
    for name, most in m55.MOST.items():
        assert rows["multiply-add"][name]["Helium"] <= most
        assert rows["multiply-add"][name]["times fewer"] >= m55.FEWER
    assert rows["multiply-add"] == m55.multiply_adds() and rows["exp"] == result("m55_exp")["rows"]
    assert rows["reached"] == m55.reached(rows)
    is_, asked = rows["reached"]["AttSSM's step by the LSTM's"]["is"], m55.RATIO
    assert rows["reached"]["AttSSM's step by the LSTM's"]["reached"] == (is_ <= asked)


def test_parts_add_up() -> None:
    """To the whole step, in both builds; AttSSM reads fewer bytes."""
    rows = result("m55")["rows"]["step"]
    for build in m55.BUILDS.values():
        for name in (int8_steps.SSM, int8_steps.LSTM):
            row = rows[build][name]
            assert sum(row["parts"].values()) == row["whole"] and set(row["parts"]) == set(int8_steps.PARTS)
            assert 0 <= row["whole"] - sum(row["operators"].values()) < 0.01 * row["whole"]
        assert rows[build]["ratio"]["whole"] == pytest.approx(
            rows[build][int8_steps.SSM]["whole"] / rows[build][int8_steps.LSTM]["whole"], abs=1e-4
        )
    assert rows["bytes"]["ratio"] < 1


@needs_tools
@pytest.mark.parametrize("helium", [True, False])
def test_norms_take_what_the_file_says(helium, objects, tmp_path) -> None:
    """In fixed point, with the bits of C here; counted twice they are equal."""
    made = result("m55")
    for norm, c in m55.fixed_norms().items():
        start = c.arena.copy()
        first = image.counted(c, objects[helium], tmp_path, helium)
        c.arena[:] = start
        again = image.counted(c, objects[helium], tmp_path, helium)
        assert first == again and len(first.records) == 1
        assert abs(first.whole - first.records[0] - first.looked) < 100
        label = "int8, Helium" if helium else "int8, plain C, scalar build"
        size = c.array("x").size
        assert first.records[0] / size == pytest.approx(made["rows"]["norms"][norm][label], rel=made["spread"])


@needs_tools
@pytest.mark.slow
def test_steps_take_what_the_file_says(objects, tmp_path) -> None:
    """Counted again, nearly to the instruction while sources and tools are the same.

    Nearly: another processor's float arithmetic rounds a few numbers of the tables to the other side, and they decide
    a few branches.
    """
    made = result("m55")
    again = m55.steps(objects, tmp_path)
    same = record.source_hash(made["sources"]["files"]) == made["sources"]["sha256"] and made["note"] == m55.note()
    for build in m55.BUILDS.values():
        for name in (int8_steps.SSM, int8_steps.LSTM):
            row, old = again[build][name], made["rows"]["step"][build][name]
            if same:
                assert set(row["operators"]) == set(old["operators"])
                for kind, count in row["operators"].items():
                    assert count == pytest.approx(old["operators"][kind], rel=1e-4), kind
            assert row["whole"] == pytest.approx(old["whole"], rel=made["spread"])


@needs_tools
def test_another_result_is_noticed(objects, tmp_path, monkeypatch) -> None:
    """If C here leaves another arena than QEMU, nothing is counted."""
    c = small()
    monkeypatch.setattr(CProgram, "once", lambda self: None)
    with pytest.raises(RuntimeError, match="differs from C here"):
        image.counted(c, objects[True], tmp_path)


def small() -> CProgram:
    """A table, three times: the others have no bytes of their own in the image."""
    table, names = np.arange(-128, 128).astype(np.int8)[::-1].copy(), ("x", "y", "z", "out")
    records = tuple(Record("look_up", (x,), (y,), {}, {"table": table}) for x, y in pairwise(names))
    return m55.in_place(Program(records, ("x",), ("out",)), {"x": (40,)})


def test_image_has_every_array_once_and_its_own_address() -> None:
    data = image.image(small())
    words = np.frombuffer(data[:16], "<u4")
    assert words[0] == image.BASE and words[3] == 3
    assert data.count(np.arange(-128, 128).astype(np.int8)[::-1].tobytes()) == 1


def test_rest_is_what_is_left() -> None:
    """Of a step's whole."""
    names = ["gemm", "concat", "lstm", "logits"]
    records = tuple(Record(kind, ("x",), ("y",)) for kind in names)
    row = m55.step(int8_steps.LSTM, Program(records, ("x",), ("y",)), Counted(100, [10, 20, 30, 35], 3))
    assert row["parts"] == {"output": 35, "core": 30, "look": 10, "rest": 25}
    assert row["operators"] == {"logits": 35, "lstm": 30, "concat": 20, "gemm": 10}
