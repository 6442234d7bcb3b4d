"""A pytest plugin: what the cells of notebooks printed under nbval, kept in the file that UVLM_OUTPUTS names.

    UVLM_OUTPUTS=first.json python -m pytest -p scripts.keep_outputs notebooks --nbval ...

nbval compares a run with the committed outputs; `make release` compares two runs with each other, by these files. Kept
is what nbval compares: text, after its replacements; cells that it does not check, and pictures, are left out.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

_kept: dict[str, list[str]] = {}


def texts(cell: Any) -> list[str]:
    """The outputs of a cell that nbval has run, as far as nbval compares them."""
    found = []
    for out in cell.test_outputs or []:
        parts = {out.get("name", ""): out["text"]} if "text" in out else out.get("data", {})
        for kind, text in sorted(parts.items()):
            if kind not in cell.parent.skip_compare:
                found.append(f"{kind}: {cell.sanitize(text)}")
    return found


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: Any) -> None:
    """Keep the outputs of one cell."""
    if getattr(item, "options", None) and item.options.get("check"):
        _kept[item.nodeid] = texts(item)


def pytest_sessionfinish() -> None:
    """Write them all."""
    Path(os.environ["UVLM_OUTPUTS"]).write_text(json.dumps(_kept, indent=1, ensure_ascii=False), encoding="utf-8")
