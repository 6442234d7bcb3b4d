"""Energies follow from power and time, and the unit in which one is reported is found by arithmetic."""

import pytest

from uvlm_mini import paper
from uvlm_mini.npu import energy
from uvlm_mini.npu.operators import RUNS
from uvlm_mini.paths import result


def test_by_hand() -> None:
    """A billion multiply-adds a second at 5 and 7.2 pJ are 5 and 7.2 mW; at nJ, watts."""
    assert energy.watts(1000.0, 1000.0) == pytest.approx((5.0e-3, 7.2e-3))
    assert energy.watts(1000.0, 1000.0, "nJ") == pytest.approx((5.0, 7.2))
    assert energy.from_below((1000.0, 2000.0)) == pytest.approx((5.0, 14.4))
    assert energy.from_above((100.0, 200.0)) == pytest.approx((30.0, 60.0))
    assert energy.from_above((100.0, 200.0), mw=50.0) == pytest.approx((5.0, 10.0))


def test_energy_is_power_times_time() -> None:
    """What lies below is what the power above idle makes in the same time."""
    low, high = energy.watts(2700.0, 187.0)
    assert energy.from_below((2700.0, 2700.0)) == pytest.approx((low * 187.0, high * 187.0))


def test_nanojoules_cannot_be_meant() -> None:
    """With nJ every published run draws ten watts or more and some hundreds; with pJ all stay below 0.6 watts."""
    runs = [run for run in RUNS if run.mmac]
    assert len(runs) == 7
    nano = [energy.watts(run.mmac or 0.0, run.ms, "nJ") for run in runs]
    pico = [energy.watts(run.mmac or 0.0, run.ms) for run in runs]
    assert min(low for low, _ in nano) > 10 and max(high for _, high in nano) > 500
    assert all(high < 0.6 for _, high in pico)
    assert [low for low, _ in nano] == pytest.approx([1000 * low for low, _ in pico])


@pytest.mark.parametrize(("arguments", "says"), [((1.0, 1.0, "mJ"), "No unit 'mJ'"), ((1.0, 0.0), "takes 0.0 ms")])
def test_bad_input(arguments, says: str) -> None:
    """One sentence."""
    with pytest.raises(ValueError, match=says):
        energy.watts(*arguments)


def test_a_caption_in_the_result() -> None:
    """The file's energies are these functions of its times and counts; what is from below stays below the bound."""
    row = result("latency")["rows"]["caption"]
    ms = row["TTFT"]["low"] + row["steps"] * row["TBT"]["low"], row["TTFT"]["high"] + row["steps"] * row["TBT"]["high"]
    above, below = row["mJ below, at the power's bound"], row["mJ of them, above idle"]
    assert (above["low"], above["high"]) == pytest.approx(energy.from_above(ms), rel=1e-3)
    million = row["million multiply-adds"]
    assert (below["low"], below["high"]) == pytest.approx(
        energy.from_below((million["low"], million["high"])), rel=1e-3
    )
    assert below["high"] < above["low"]
    mean = row["mW of them, over the published time"]
    published = paper.TTFT_MS + row["steps"] * paper.TBT_MS
    assert mean["high"] == pytest.approx(below["high"] / published * 1e3, rel=1e-3)
    assert mean["high"] < paper.POWER_BELOW_MW
