"""Integers that stand for real numbers: scale, zero point, and how much is lost.

    real = S (q - Z)

S is the scale, the distance of two neighbouring levels; Z the zero point, the integer that stands for 0. Both are
shared by a whole tensor, or S by each output channel of a weight. The arithmetic is that of onnxruntime's quantizer and
of ONNX's QuantizeLinear, to the bit: float32, halves rounded to the even integer. Chapter 8 builds it.
"""

from __future__ import annotations

import numpy as np

Numbers = np.ndarray | float


def levels(bits: int = 8, symmetric: bool = False) -> tuple[int, int]:
    """Smallest and largest integer: -128 and 127 for eight bits; symmetric, with as many below zero as above, -127."""
    top = 2 ** (bits - 1) - 1
    return (-top if symmetric else -top - 1), top


def scale_and_zero_point(
    low: Numbers, high: Numbers, bits: int = 8, symmetric: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The affine map that covers a range.

    Parameters
    ----------
    low, high : ends of the range, as numbers or as (O,) arrays, one for each channel. Zero is taken in if it is not.
    bits : 2 to 16.
    symmetric : whether the zero point is to be 0; the range then becomes as wide below zero as above.

    Returns
    -------
    Scale, float32 and positive, and zero point, one of the levels; of the shape of the ends. A range of zero alone gets
    scale 1 and zero point 0.

    Raises
    ------
    ValueError : an end is no finite number.

    Derived in chapter 8, section "A ruler with 256 marks".
    """
    low, high = np.minimum(low, 0.0, dtype=float), np.maximum(high, 0.0, dtype=float)
    if not np.all(np.isfinite(high - low)):
        raise ValueError("The range of an activation or weight is not finite; look for NaN or infinity in it.")
    if symmetric:
        high = np.maximum(-low, high)
        low = -high
    bottom, top = levels(bits, symmetric)
    scale = (high - low) / (top - bottom)
    nothing = scale < np.finfo(np.float32).tiny
    scale = np.where(nothing, 1.0, scale)
    zero = np.where(nothing | symmetric, 0, np.rint(bottom - low / scale))
    return scale.astype(np.float32), zero.astype(np.int32)


def quantize(x: Numbers, scale: Numbers, zero: Numbers = 0, bits: int = 8) -> np.ndarray:
    """The nearest levels, as ONNX's QuantizeLinear; what lies outside of the range becomes the nearest end.

    Parameters
    ----------
    x : real numbers, computed with as float32.
    scale, zero : they broadcast against x.
    bits : 2 to 16.

    Returns
    -------
    int8, or int16 for more than 8 bits; of the shape of x.

    Derived in chapter 8, section "A ruler with 256 marks".
    """
    bottom, top = levels(bits)
    q = np.rint(np.asarray(x, np.float32) / scale) + zero
    return np.clip(q, bottom, top).astype(np.int8 if bits <= 8 else np.int16)


def dequantize(q: Numbers, scale: Numbers, zero: Numbers = 0) -> np.ndarray:
    """The real numbers that levels stand for, as ONNX's DequantizeLinear: float32.

    Derived in chapter 8, section "A ruler with 256 marks".
    """
    return (np.asarray(q, np.int32) - zero).astype(np.float32) * scale


def quantize_weights(w: np.ndarray, bits: int = 8, per_channel: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Weights as symmetric integers.

    Parameters
    ----------
    w : (O, ...) weights, output channels first.
    bits : 2 to 16.
    per_channel : a scale for each output channel, or one for all.

    Returns
    -------
    Integers of the shape of w, and scales of shape (O, 1, ...) or (1, 1, ...), so that their product is the weights.

    Derived in chapter 8, section "One scale, or one a channel".
    """
    axes = tuple(range(1 if per_channel else 0, w.ndim))
    most = np.abs(w).max(axes, keepdims=True)
    scale, _ = scale_and_zero_point(-most, most, bits, symmetric=True)
    return quantize(w, scale, 0, bits), scale


def sqnr(x: Numbers, rounded: Numbers) -> float:
    """Signal-to-quantization-noise ratio in decibels: 10 log10 of the sum of x squared by that of the errors squared.

    Derived in chapter 8, section "Six decibels a bit".
    """
    x, rounded = np.asarray(x, np.float64), np.asarray(rounded, np.float64)
    noise = np.square(x - rounded).sum()
    return float(10 * np.log10(np.square(x).sum() / noise)) if noise else float("inf")
