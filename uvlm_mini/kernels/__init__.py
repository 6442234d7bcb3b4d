"""The C kernels of csrc/, called from Python through cffi: NumPy in, NumPy out.

Importing this needs neither cffi nor a compiler; calling a kernel needs both.
"""

from .build import library

__all__ = ["library"]
