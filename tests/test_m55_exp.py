"""The ways to exp on the emulated Cortex-M55 are accurate, and take the instructions that the result file has."""

from pathlib import Path

import pytest

from benchmarks import m55_exp
from uvlm_mini.deploy import m55
from uvlm_mini.paths import result


@pytest.mark.slow
@pytest.mark.skipif(bool(m55.missing()), reason=m55.missing())
def test_instructions_are_those_of_the_result_file(tmp_path: Path) -> None:
    """Of another compiler's version the order of magnitude."""
    found, kept = m55_exp.measure(tmp_path), result("m55_exp")
    within = m55_exp.SPREAD if m55_exp.note() == kept["note"] else 0.5
    for build, row in kept["rows"].items():
        assert found[build] == pytest.approx(row, rel=within), build
