"""Result files: numbers, and beside them how they were made.

A table or figure that takes longer than its chapter allows is read from such a file. tests/test_results.py computes
one small row of each again: to the digit while the sources are what they were, within the stated spread afterwards.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def source_hash(sources: list[str]) -> str:
    """SHA-256 over the named files of the repository, in order."""
    digest = hashlib.sha256()
    for name in sources:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def save(name: str, rows: dict[str, Any], seeds: list[int], sources: list[str], spread: float, note: str = "") -> Path:
    """Write benchmarks/results/NAME.json.

    Parameters
    ----------
    rows : the numbers, by name.
    seeds : those that they depend on.
    sources : files of the repository that they depend on.
    spread : by how much a row may differ, relatively, once the sources have changed.
    note : what a reader must know of the numbers.
    """
    result = {
        "command": " ".join(["python -m", f"benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]]),
        "seeds": seeds,
        "versions": {"python": platform.python_version(), **{p: version(p) for p in ("torch", "numpy", "uvlm_mini")}},
        "sources": {"files": sources, "sha256": source_hash(sources)},
        "spread": spread,
        "note": note,
        "rows": rows,
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
