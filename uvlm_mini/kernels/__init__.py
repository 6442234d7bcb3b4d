"""The C kernels of csrc/, called from Python through cffi: NumPy in, NumPy out."""

from .build import library

__all__ = ["library"]
