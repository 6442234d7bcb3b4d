"""The numbers of GRN, LayerNorm and the SSM's step as integer units: what integer_ops.py needs to run each.

These three, and not the int8 graph, decide how a unit is rounded: each goes from int8 to int8 with finer integers
between. Parameters are int16, the SSM's state is int16 with a step of its own in every channel.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import tables
from .tables import LOG2E, Scale, factors, half_up, mantissas, multipliers

LARGEST = 2**31 - 1
STRENGTH_PLACES = 12  # of the square root in GRN: of a number under 2^31 it stays under 2^28
SHARE_BITS = 22  # of a channel's share of GRN's mean strength
GAMMA_SHIFT = 6  # off a share times gamma, 2^22 times 2^15, so that it fits in int32


def bounded(name: str, limit: float) -> None:
    """Refuse a sum that int32 cannot hold; `limit` bounds its parts in whatever order they are added.

    Raises
    ------
    ValueError : it is 2^31 or more.
    """
    if limit > LARGEST:
        raise ValueError(f"The sums of {name} can reach {limit:,.0f}, more than int32 holds; make the layer narrower.")


def short(x: np.ndarray) -> tuple[np.ndarray, float]:
    """Numbers as int16 with one step for all, the largest becoming 32,767."""
    step = float(np.abs(x).max()) / 32767 or 1.0
    return half_up(np.asarray(x, np.float64) / step).astype(np.int16), step


def grn(gamma: np.ndarray, beta: np.ndarray, least: float, positions: int, given: Scale, made: Scale) -> dict[str, Any]:
    """Numbers of a `grn` record.

    Parameters
    ----------
    gamma, beta : (C,) parameters.
    least : what is added to the mean of the root mean squares.
    positions : H W.
    given, made : scales of input and output.
    """
    channels = len(gamma)
    bounded("a GRN", 255**2 * positions)
    places = SHARE_BITS - math.ceil(math.log2(channels))
    ratio = given.step / made.step
    whole, step = short(gamma)
    # The largest factor that can be: one channel alone is strong
    largest = ratio * (1 + float(np.abs(gamma).max()) * channels)
    (_,), s = factors([largest], 255, offset=float(np.abs(beta).max()) / made.step)
    m, shift = multipliers(step * 2.0 ** (GAMMA_SHIFT - places) * ratio * 2.0**s)
    return {
        "zero_x": given.zero,
        "zero_y": made.zero,
        "places": places,
        "gamma_shift": GAMMA_SHIFT,
        "least": max(1, int(half_up(channels * least / given.step * positions**0.5 * 2**STRENGTH_PLACES))),
        "m": int(m),
        "shift": int(shift),
        "one": int(half_up(ratio * 2.0**s)),
        "s": s,
        "gamma": whole,
        "beta": half_up(beta / made.step * 2.0**s).astype(np.int32),
        "roots": tables.roots(),
    }


def layer_norm(gamma: np.ndarray, beta: np.ndarray, epsilon: float, given: Scale, made: Scale) -> dict[str, Any]:
    """Numbers of a `layer_norm` record.

    Parameters
    ----------
    gamma, beta : (H,) parameters.
    epsilon : what is added to the variance.
    given, made : scales of input and output.
    """
    hidden = len(gamma)
    whole, step = short(gamma)
    unit = step * hidden**0.5 / 2**15  # of the sum n * gamma
    offset = half_up(beta / unit)
    bounded("a LayerNorm", 2.0**30 + float(np.abs(offset).max()))
    m, s = multipliers(unit / made.step)
    return {
        "zero_y": made.zero,
        "epsilon": max(1, int(half_up(epsilon * hidden**3 / given.step**2))),
        "m": int(m),
        "s": int(s),
        "lift": 0,
        "gamma": whole,
        "beta": offset.astype(np.int32),
        "roots": tables.roots(),
    }


def scan(
    a: np.ndarray, d: np.ndarray, h: np.ndarray, dt: Scale, u: Scale, b: Scale, c: Scale, made: Scale
) -> dict[str, Any]:
    """Numbers of a `scan` record.

    Parameters
    ----------
    a : (I, N) decay rates, negative.
    d : (I,) what leads past the state.
    h : (I,) what one unit of the int16 state stands for.
    dt, u, b, c, made : scales of the step size before softplus, of the input, of B, C and of the output.
    """
    if not (a < 0).all():
        raise ValueError("The SSM's decay rates A must be negative; give the A of the exported step.")
    states = a.shape[1]
    bounded("the SSM's output", 2.0**15 * 255 * states)
    mantissa, k = mantissas(tables.softplus(dt.of(tables.LEVELS)))
    rate = -a * LOG2E  # (I, N)
    places = 14 - np.floor(np.log2(rate.max(1))).astype(int)  # (I,) so that the largest of a channel has 15 bits
    A = -np.clip(half_up(rate * 2.0 ** places[:, None]), 1, 32767).astype(np.int16)
    write_m, write_s = multipliers(2.0**8 * u.step * b.step / h)
    D, d_step = short(d)
    read, direct = h * c.step / made.step, d_step * u.step / made.step
    reach = 2.0**15 * 255 * states * float(read.max()) + 2.0**15 * 255 * direct + 1
    spare = max(0, min(8, math.floor(math.log2(LARGEST / reach))))
    bounded("the SSM's output", reach * 2.0**spare)
    read_m, read_s = multipliers(read * 2.0**spare)
    direct_m, direct_s = multipliers(direct * 2.0**spare)
    return {
        "zero_u": u.zero,
        "zero_b": b.zero,
        "zero_c": c.zero,
        "zero_y": made.zero,
        "places": spare,
        "direct_m": int(direct_m),
        "direct_s": int(direct_s),
        "mantissa": mantissa,
        "shift": k,
        "A": A,
        "A_shift": np.clip(places - 15, -128, 127).astype(np.int8),
        "write_m": write_m,
        "write_s": write_s,
        "read_m": read_m,
        "read_s": read_s,
        "D": D,
    }
