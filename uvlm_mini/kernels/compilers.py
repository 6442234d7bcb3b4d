"""Which C compiler there is: $CC, cc, gcc, clang, or zig's, which comes as a Python package."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property

NONE = (
    "No C compiler was found, and the kernels want one ($CC, cc, gcc, clang and the package ziglang were looked for): "
    "install gcc, or run `pip install ziglang`."
)


@dataclass(frozen=True)
class Compiler:
    """A C compiler that runs.

    Attributes
    ----------
    command : tuple of str
        The words with which it is called.
    version : str
        What it says of itself, all lines.
    """

    command: tuple[str, ...]
    version: str

    @cached_property
    def is_zig(self) -> bool:
        """Whether it is zig's: it calls itself clang, and differs in what its library can do."""
        return "zig" in " ".join(self.command[-2:])

    @property
    def name(self) -> str:
        """What a person calls it, with the version: the first line of what it says."""
        return ("zig cc, " if self.is_zig else "") + self.version.splitlines()[0]


def _version(command: tuple[str, ...]) -> str | None:
    try:
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 and done.stdout.strip() else None


def find() -> Compiler:
    """The first compiler that runs, of $CC, cc, gcc, clang and zig.

    If $CC is set, no other is taken: who names a compiler means it.

    Raises
    ------
    RuntimeError
        If there is none, or $CC is none.
    """
    if named := os.environ.get("CC", "").strip():
        command = tuple(shlex.split(named))
        version = _version(command)
        if version is None:
            raise RuntimeError(
                f"The environment variable CC is {named!r}, which does not run as a C compiler: "
                "set it to one, such as gcc, or unset it."
            )
        return Compiler(command, version)
    for name in ("cc", "gcc", "clang"):
        if (path := shutil.which(name)) and (version := _version((path,))):
            return Compiler((path,), version)
    if importlib.util.find_spec("ziglang") and (version := _version(zig := (sys.executable, "-m", "ziglang", "cc"))):
        return Compiler(zig, version)
    raise RuntimeError(NONE)


def complaint(output: str) -> str:
    """The line of a compiler's output that says what is wrong: the first error, else the last line."""
    found = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in found if "error:" in line or "undefined reference" in line]
    return (errors or found[-1:] or ["it said nothing"])[0].rstrip(".")
