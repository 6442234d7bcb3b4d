"""What a caption costs in energy on the STM32N657, from above and from below (chapter 1).

    from above   time times the 300 mW that the paper stays below
    from below   the NPU's multiply-adds times what third parties measured for one, above idle

Between the two lies what is published nowhere: the idle chip, the flash, the processor.

The third parties' figures carry the unit nJ. With it, the published runs of known multiply-adds would draw ten to six
hundred watts (`watts`); with pJ none draws more than 0.6 watts. So they are read as pJ, and that is our reading.
"""

from __future__ import annotations

from uvlm_mini.npu.operators import CHIPS
from uvlm_mini.paper import POWER_BELOW_MW

UNITS = {"nJ": 1e-9, "pJ": 1e-12}
UNIT = "pJ"  # of the reported figures, as read here
REPORTED = tuple(CHIPS["stm32n657"].facts[f"energy_reported_{end}"].value for end in ("low", "high"))


def watts(mmac: float, ms: float, unit: str = UNIT) -> tuple[float, float]:
    """Power of a network's multiply-adds above idle, by the lowest and the highest reported energy of one.

    Parameters
    ----------
    mmac : million multiply-adds of an inference.
    ms : its time.
    unit : of the reported energies, "nJ" or "pJ".

    Raises
    ------
    ValueError : another unit, or a time that is not positive.
    """
    if unit not in UNITS:
        raise ValueError(f"No unit {unit!r} of an energy here: choose one of {', '.join(UNITS)}.")
    if not ms > 0:
        raise ValueError(f"A network that takes {ms} ms has no power: give a positive time.")
    rate = mmac * 1e6 / (ms / 1e3)  # multiply-adds a second
    low, high = (value * UNITS[unit] * rate for value in REPORTED)
    return low, high


def from_below(mmac: tuple[float, float]) -> tuple[float, float]:
    """mJ above idle of the NPU's arithmetic alone, least and greatest, of so many million multiply-adds.

    Parameters
    ----------
    mmac : least and greatest, over the readings of what is not published.
    """
    low, high = (amount * 1e9 * value * UNITS[UNIT] for amount, value in zip(mmac, REPORTED, strict=True))
    return low, high


def from_above(ms: tuple[float, float], mw: float = POWER_BELOW_MW) -> tuple[float, float]:
    """mJ that a time of so many ms stays below, if the power stays below `mw`."""
    return mw * ms[0] / 1e3, mw * ms[1] / 1e3
