"""Compiles csrc/ into a shared library and loads it through cffi."""

from __future__ import annotations

import functools
import hashlib
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).resolve().parents[2] / "csrc"
FLAGS = ["-std=c99", "-ffp-contract=off", "-O3", "-fPIC", "-shared"]


def declarations() -> str:
    """What the headers declare, as cffi reads it."""
    found = [
        re.findall(r"/\* declarations \*/(.*?)/\* end of declarations \*/", path.read_text(), re.S)
        for path in sorted(SOURCES.glob("*.h"), key=lambda p: (p.name != "status.h", p.name))
    ]
    return "\n".join(part for parts in found for part in parts)


@functools.cache
def library() -> tuple[Any, Any]:
    """cffi's (ffi, lib) of the kernels, compiled if needed."""
    from cffi import FFI

    files = sorted(SOURCES.glob("*.c"))
    text = b"".join(path.read_bytes() for path in sorted(SOURCES.glob("*.[ch]")))
    path = Path(tempfile.gettempdir()) / f"uvlm_kernels_{hashlib.sha256(text).hexdigest()[:16]}.so"
    if not path.exists():
        subprocess.run(["cc", *FLAGS, "-o", str(path), *map(str, files), "-lm"], check=True)
    ffi = FFI()
    ffi.cdef(declarations())
    return ffi, ffi.dlopen(str(path))
