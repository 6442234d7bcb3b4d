"""Where compiled libraries are kept, how a damaged one is noticed, and how two processes do not disturb each other."""

from __future__ import annotations

import atexit
import hashlib
import os
import platform
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

SUFFIX = ".pyd" if os.name == "nt" else ".so"


def cpu_features() -> str:
    """What the processor can do, as the system tells it; its name where the system tells no more."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    lines = [line for line in text.splitlines() if line.lower().startswith(("flags", "features"))]
    return lines[0] if lines else platform.processor()


def folder() -> Path | None:
    """The folder for kept libraries: $UVLM_CACHE, else the user's; None if neither is known. It need not exist."""
    if named := os.environ.get("UVLM_CACHE"):
        return Path(named).absolute() / "kernels"
    try:
        if sys.platform == "win32":
            base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        elif sys.platform == "darwin":
            base = Path.home() / "Library" / "Caches"
        else:
            base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # a user without a home
        return None
    return base.absolute() / "uvlm_mini" / "kernels"


def folders() -> list[Path]:
    """The folder as a list of one, or empty."""
    found = folder()
    return [found] if found else []


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def kept(where: Path, prefix: str) -> Iterator[Path]:
    """The libraries there whose names begin so; a `*` in prefix stands for anything.

    A name ends in the digest of the content. Where the two differ the file is damaged: that is said, and the file
    removed, for loading half a library can end the process.
    """
    try:
        found = sorted(where.glob(f"{prefix}*{SUFFIX}"))
    except OSError:
        return
    for path in found:
        try:
            whole = path.stem.rpartition("-")[2] == _digest(path)
        except OSError:
            continue
        if whole:
            yield path
            continue
        warnings.warn(f"The kept library {path} is damaged and is made anew.", RuntimeWarning, stacklevel=4)
        with suppress(OSError):
            path.unlink()


def keep(fresh: Path, prefix: str) -> Path:
    """Put a fresh library into the folder, under its full name, and return where it is.

    It is copied beside its place and then renamed, which is one step: whoever looks meanwhile sees all of it or
    nothing, and if two processes do it at once, the second replaces like by like. Where the folder cannot be written,
    that is said, and a temporary one serves until this process ends.
    """
    name = f"{prefix}{_digest(fresh)}{SUFFIX}"
    where = folder()
    if where is not None:
        try:
            return _put(fresh, where, name)
        except OSError as error:
            warnings.warn(
                f"The folder {where} cannot be written ({error.strerror or error}), so that the kernels are compiled "
                "again in every process: set UVLM_CACHE to a folder that can.",
                RuntimeWarning,
                stacklevel=4,
            )
    temporary = Path(tempfile.mkdtemp(prefix="uvlm_"))
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    return _put(fresh, temporary, name)


def _put(fresh: Path, where: Path, name: str) -> Path:
    where.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=where, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(fresh.read_bytes())
        os.chmod(beside, 0o700)
        os.replace(beside, where / name)
    except OSError:
        with suppress(OSError):
            os.unlink(beside)
        if (where / name).is_file() and _digest(where / name) == _digest(fresh):
            return where / name  # Windows does not replace a library that another process has loaded
        raise
    return where / name
