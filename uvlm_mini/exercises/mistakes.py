"""What common mistakes give, computed beside what is right, so that a hint can name the one that was made.

    expect_unlike(found, 6.0, "the mean of 4 and 8", {"it is their sum; divide by how many they are.": 12.0})
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .attempt import Hint, expect_array, expect_close


def expect_unlike(
    value: Any, wanted: Any, name: str, mistakes: Mapping[str, Any], rtol: float = 1e-5, atol: float = 1e-8
) -> None:
    """Raise a Hint unless `value` is near `wanted`; it names the mistake if one of those known gives just this value.

    Parameters
    ----------
    value : what an answer gives: array, tensor or number.
    wanted : what is right, of the right shape.
    name : what the Hint calls it if the mistake is unknown.
    mistakes : a sentence for each known mistake, and what it gives. Those that are right by accident are passed over.
    rtol, atol : as in numpy.isclose.
    """
    wanted = _numbers(wanted)
    found = expect_array(value, wanted.shape, name).astype(float)
    for hint, given in mistakes.items():
        given = _numbers(given)
        if np.allclose(found, given, rtol, atol) and not np.allclose(given, wanted, rtol, atol):
            raise Hint(hint)
    expect_close(found, wanted, name, rtol, atol)


def _numbers(value: Any) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    return np.asarray(value, dtype=float)
