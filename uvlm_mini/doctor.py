"""What a class machine needs, checked: one OK or FAIL line each, with the remedy."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

Check = tuple[str, Callable[[], str], str]  # what, a function that returns a detail or raises, the remedy


def report() -> tuple[list[str], int]:
    """All lines, and how many of them say FAIL."""
    lines, failures = [], 0
    for what, check, remedy in CHECKS:
        try:
            lines.append(f"OK    {what}: {check()}")
        except Exception as error:  # whatever goes wrong is what the doctor is asked to find
            failures += 1
            lines.append(f"FAIL  {what}: {str(error).rstrip('.')}. {remedy}.")
    return lines, failures


def _python() -> str:
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        raise RuntimeError(f"this is Python {sys.version.split()[0]}")
    return sys.version.split()[0]


def _package(name: str) -> Callable[[], str]:
    def check() -> str:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            raise RuntimeError("not installed") from None

    return check


def _memory() -> str:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return "unknown on this system"
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    if size < 3.5:
        raise RuntimeError(f"{size:.1f} GiB")
    return f"{size:.1f} GiB"


def _disk() -> str:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    if free < 1:
        raise RuntimeError(f"{free:.1f} GiB free here")
    return f"{free:.1f} GiB free here"


def _write() -> str:
    if not os.access(Path.cwd(), os.W_OK):
        raise RuntimeError(f"{Path.cwd()} may not be written")
    return "yes"


def _program(*names: str, flag: str = "--version") -> Callable[[], str]:
    def check() -> str:
        for name in names:
            if path := shutil.which(name):
                done = subprocess.run([path, flag], capture_output=True, text=True, timeout=30)
                return (done.stdout or done.stderr).strip().splitlines()[0]
        raise RuntimeError("not found")

    return check


def _weights() -> str:
    from .datasets.scenes import scene
    from .model import UVLM
    from .paths import data_path

    return f'"{UVLM.load(data_path("uvlm_mini.safetensors")).caption(scene("test", 0).draw())}"'


def _compiler() -> str:
    from .kernels.compilers import find

    return find().name


def _kernels() -> str:
    from .kernels.__main__ import forms
    from .kernels.build import loaded

    made = loaded()
    return f"{forms(made)}; {made.path}"


CHECKS: tuple[Check, ...] = (
    ("Python 3.11 to 3.13", _python, "Install one of them and run `make book` again"),
    ("memory", _memory, "Training and tests want 4 GiB; notebooks alone run with less"),
    ("disk", _disk, "Make room: the packages and the book take about 2 GiB"),
    ("this folder can be written", _write, "Work in a folder of your own"),
    *(
        (name, _package(name), f"pip install 'uvlm_mini[{extra}]'")
        for name, extra in (
            ("torch", "run"),
            ("numpy", "run"),
            ("pillow", "run"),
            ("safetensors", "run"),
            ("matplotlib", "book"),
            ("ipywidgets", "book"),
            ("jupyterlab", "book"),
            ("jupyter-book", "book"),
            ("pycocoevalcap", "train"),
            ("tqdm", "run"),
            ("nbval", "test"),
            ("onnx", "quantize"),
            ("onnxruntime", "quantize"),
            ("cffi", "kernels"),
        )
    ),
    (
        "Java, for METEOR",
        _program("java", flag="-version"),
        "Install default-jre-headless; without it METEOR is left out",
    ),
    ("C compiler", _compiler, "Chapters 9 and 10 need one"),
    ("C kernels", _kernels, "Chapters 9 and 10 need them; nothing else does"),
    ("shipped weights caption a scene", _weights, "Get the repository again: a file in data/ is missing or broken"),
)
