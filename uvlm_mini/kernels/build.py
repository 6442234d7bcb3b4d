"""Compiles csrc/ into a shared library and loads it through cffi: at first use, or before by `python -m` this package.

pip has no moment after the installation at which a wheel could run a compiler. So `make install` calls
``python -m uvlm_mini.kernels``, and for whoever installs by pip the first call of `library` compiles, which takes some
seconds, once.

Two ways lead to the library. Where Python's headers are (Python.h), cffi writes a wrapper in C, which is compiled with
the kernels: the compiler then compares the declarations with the headers, and calls are fast. Where they are not, the
same kernels are opened as a plain shared library. What `library` gives looks alike.

A library is kept in the user's cache folder (`UVLM_CACHE`, else what the system has for that) under a name made of all
that it depends on: system, Python, processor, sources, compiler and flags, and of its own content, so that a damaged
file is noticed before it is loaded. Nothing is ever deleted there but damaged files; the folder may be.

With ``UVLM_SANITIZE=1`` the library is built with AddressSanitizer and UndefinedBehaviorSanitizer;
tests/test_kernels_safety.py shows how a Python must be started to load it.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.machinery
import importlib.util
import json
import os
import platform
import re
import subprocess
import sys
import sysconfig
import tempfile
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..paths import csrc
from .cache import cpu_features, folders, keep, kept
from .compilers import Compiler, complaint, find

FLAGS = ("-std=c99", "-ffp-contract=off", "-O3")  # the kernels', under every compiler
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g", "-O1")
MODULE = "_uvlm_kernels"


@dataclass(frozen=True)
class Library:
    """A loaded library.

    Attributes
    ----------
    ffi, lib
        cffi's two objects.
    path : Path
        The file.
    way : str
        "api" with the compiled wrapper, "abi" without.
    compiler : str
        What made it; "unknown" if the file was found and no compiler is here.
    flags : tuple of str
        With which the kernels were compiled; empty if unknown.
    seconds : float or None
        What compiling took; None if the file was there already.
    """

    ffi: Any
    lib: Any
    path: Path
    way: str
    compiler: str
    flags: tuple[str, ...]
    seconds: float | None


@dataclass(frozen=True)
class Plan:
    """All that decides what is built."""

    compiler: Compiler
    include: str | None = field(default_factory=lambda: python_headers())
    sanitize: bool = field(default_factory=lambda: sanitized())

    @property
    def way(self) -> str:
        """With cffi's wrapper, or without."""
        return "api" if self.include else "abi"

    @property
    def flags(self) -> tuple[str, ...]:
        """Of the kernels. zig's library cannot ask the processor at run time, so that zig builds for this one."""
        flags = (*FLAGS, *(("-march=native",) if self.compiler.is_zig else ()), *(SANITIZE if self.sanitize else ()))
        return (*flags, *(() if os.name == "nt" else ("-fPIC",)), *(("-fvisibility=hidden",) if self.include else ()))

    @property
    def linking(self) -> tuple[str, ...]:
        """Of the library."""
        flags = ["-shared"]
        if self.sanitize:
            flags += SANITIZE[:1]
            if "clang" in self.compiler.version:
                flags.append("-shared-libasan")
        if self.include and sys.platform == "darwin":
            flags += ["-undefined", "dynamic_lookup"]
        if self.include and os.name == "nt":
            flags += [f"-L{Path(sys.base_prefix) / 'libs'}", "-lpython3"]
        return (*flags, "-lm")

    @property
    def key(self) -> str:
        """A name for the part of it that depends on the compiler."""
        return digest(self.way, self.compiler.command, self.compiler.version, self.flags, self.linking)


def digest(*parts: object) -> str:
    """Sixteen letters that stand for all of that."""
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:16]


def sanitized() -> bool:
    """Whether the environment asks for a build with the sanitizers."""
    return os.environ.get("UVLM_SANITIZE", "0") not in ("", "0")


def python_headers() -> str | None:
    """The folder of Python.h, None if it is not installed."""
    folder = sysconfig.get_path("include")
    return folder if folder and (Path(folder) / "Python.h").is_file() else None


def headers() -> list[Path]:
    """The headers that declare something for Python, status.h first, because the others need it."""
    found = [path for path in csrc().glob("*.h") if "/* declarations */" in path.read_text(encoding="utf-8")]
    return sorted(found, key=lambda path: (path.name != "status.h", path.name))


def declarations() -> str:
    """What the headers declare, as cffi reads it: all that stands between the two lines that say so."""
    parts: list[str] = []
    for path in headers():
        text = path.read_text(encoding="utf-8")
        parts += re.findall(r"/\* declarations \*/(.*?)/\* end of declarations \*/", text, re.S)
    return "\n".join(parts)


def _surroundings(sanitize: bool) -> str:
    """A name for what a library depends on, the compiler apart."""
    import _cffi_backend

    sources = [(path.name, path.read_text(encoding="utf-8")) for path in sorted(csrc().glob("*.[ch]"))]
    python = (sys.implementation.cache_tag, sysconfig.get_config_var("SOABI"), _cffi_backend.__version__)
    machine = (platform.system(), platform.machine(), cpu_features())
    return digest(machine, python, FLAGS, sanitize, sources)


def _run(plan: Plan, what: str, arguments: list[str]) -> None:
    command = [*plan.compiler.command, *arguments]
    surroundings = {
        name: value for name, value in os.environ.items() if name != "LD_PRELOAD"
    }  # a sanitizer is not for it
    surroundings["LC_ALL"] = "C"  # its errors in English, where `complaint` finds them
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=surroundings)
    if done.returncode:
        error = RuntimeError(
            f"The C compiler ({plan.compiler.name}) failed at {what}, where it should say nothing: "
            f"{complaint(done.stderr + done.stdout)}; undo what was changed in csrc/, or name another compiler "
            "by the environment variable CC."
        )
        error.add_note(" ".join(command) + "\n" + done.stderr + done.stdout)
        raise error


def _wrapper(folder: Path) -> Path:
    """cffi's C file, which makes the library a module of Python."""
    from cffi import FFI

    ffi = FFI()
    ffi.cdef(declarations())
    ffi.set_source(MODULE, "\n".join(f'#include "{path.name}"' for path in headers()), compiler_verbose=0)
    path = folder / f"{MODULE}.c"
    ffi.emit_c_code(str(path))
    return path


def compile_to(plan: Plan, path: Path) -> None:
    """Compile all kernels, as many at a time as there are cores, and link them to one file.

    Raises
    ------
    RuntimeError
        If the compiler refuses: one sentence, with everything that it said as a note.
    """
    with tempfile.TemporaryDirectory(prefix="uvlm_") as name:
        folder = Path(name)
        jobs = [(file.name, [*plan.flags, str(file)]) for file in sorted(csrc().glob("*.c"))]
        if plan.include:
            # No -std=c99 and no warnings: the wrapper and Python's headers have rules of their own.
            more = [flag for flag in plan.flags if flag in ("-fPIC", "-fvisibility=hidden")]
            more += ["-O2", "-w", f"-I{plan.include}", f"-I{csrc()}"]
            jobs.insert(0, (f"{MODULE}.c", [*more, str(_wrapper(folder))]))
        objects = [folder / f"{what}.o" for what, _ in jobs]

        def one(job: tuple[tuple[str, list[str]], Path]) -> None:
            (what, arguments), target = job
            _run(plan, what, [*arguments, "-c", "-o", str(target)])

        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            list(pool.map(one, zip(jobs, objects, strict=True)))
        _run(plan, "linking", [*plan.flags, "-o", str(path), *map(str, objects), *plan.linking])


def _load(path: Path, way: str) -> tuple[Any, Any]:
    if way == "api":
        loader = importlib.machinery.ExtensionFileLoader(MODULE, str(path))
        spec = importlib.util.spec_from_file_location(MODULE, path, loader=loader)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
        return module.ffi, module.lib
    from cffi import FFI

    ffi = FFI()
    ffi.cdef(declarations())
    return ffi, ffi.dlopen(str(path))


def _candidates(plan: Plan | None, surroundings: str) -> Iterator[tuple[Path, str]]:
    """Kept libraries that fit, and their way: of this compiler; or of any, if there is none."""
    for folder in folders():
        for way in ("api", "abi") if plan is None else (plan.way,):
            pattern = f"{way}-{surroundings}-{plan.key if plan else '*'}-"
            for path in kept(folder, pattern):
                yield path, way


@functools.cache
def loaded() -> Library:
    """The library with what is known of it, compiled if needed. See `library`."""
    try:
        import cffi  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "cffi is not installed, and the C kernels are called through it; install uvlm_mini[kernels].", name="cffi"
        ) from error
    sanitize, plan, none = sanitized(), None, None
    surroundings = _surroundings(sanitize)
    try:
        plan = Plan(find())
    except RuntimeError as error:
        if os.environ.get("CC"):  # who names one wants to know that it is none
            raise
        none = error
    name, flags = (plan.compiler.name, plan.flags) if plan else ("unknown", ())
    for path, way in _candidates(plan, surroundings):
        try:
            return Library(*_load(path, way), path, way, name, flags, None)
        except (ImportError, OSError) as error:
            warnings.warn(f"{path} cannot be loaded ({error}) and is made anew.", RuntimeWarning, stacklevel=3)
            with suppress(OSError):
                path.unlink()
    if plan is None:
        assert none is not None
        raise none
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="uvlm_") as folder:
        fresh = Path(folder) / MODULE
        compile_to(plan, fresh)
        path = keep(fresh, f"{plan.way}-{surroundings}-{plan.key}-")
    seconds = time.perf_counter() - start
    try:
        return Library(*_load(path, plan.way), path, plan.way, name, flags, seconds)
    except (ImportError, OSError) as error:
        raise RuntimeError(
            f"What {name} built does not load in this Python ({str(error).rstrip('.')}), where a shared library for "
            f"{platform.machine()} was expected: name another compiler by the environment variable CC."
        ) from error


def library() -> tuple[Any, Any]:
    """The kernels, compiled if needed.

    Returns
    -------
    ffi, lib
        As cffi has them: ``lib.uvlm_gemm_s8(ffi.new("uvlm_gemm *"), x, y)``, and so on, with all that csrc/'s headers
        declare.

    Raises
    ------
    ModuleNotFoundError
        If cffi is not installed.
    RuntimeError
        If there is no compiler, or it fails. Nothing else of the package needs one.

    Notes
    -----
    Source: chapter 9.
    """
    made = loaded()
    return made.ffi, made.lib
