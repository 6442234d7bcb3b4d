"""Fixtures that several test files share."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import Browser, chromium, find_chromium

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def built_book() -> Path:
    """Return the folder of the built book, built anew if its sources have changed since."""
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
