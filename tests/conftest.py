"""Fixtures that several test files share."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.browser import Browser, chromium, find_chromium
from uvlm_mini.config import AttSSMConfig, OverModConfig, UVLMConfig
from uvlm_mini.deploy import wasm

ROOT = Path(__file__).resolve().parent.parent

# The smallest model that has every part: a step takes a few milliseconds.
TINY = UVLMConfig(
    OverModConfig(widths=(4, 6, 8, 8), depths=(1, 1, 1, 1), mod_width=8, mod_depths=(1, 0), out=10),
    AttSSMConfig(features=10, side=8, hidden=12, states=4, dt_rank=2),
    longest=8,
)
# A decoder smaller still, small enough to try every caption. Its dropout shows only in training.
TINY_DECODER = AttSSMConfig(features=6, side=4, hidden=10, states=4, dt_rank=2, dropout=0.3)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Compute on one thread: for models this small the others only get in the way."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Start every test from the same random numbers."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _figures() -> Iterator[None]:
    """Close what a test leaves open, so that the next one of the process counts its own figures."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(scope="session")
def built_book() -> Path:
    """Return the folder of the built book, built anew if its sources have changed since."""
    try:
        wasm.compiler()  # the live page is compiled when the book is built
    except RuntimeError as none:
        pytest.skip(str(none))
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "build_book.py")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return ROOT / "book" / "_build" / "html"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Return a headless Chromium that reaches no network."""
    if find_chromium() is None:
        pytest.skip("no Chromium on this machine (apt install chromium, or set CHROME)")
    with chromium() as running:
        yield running
