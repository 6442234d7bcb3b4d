"""How long every chapter's notebook runs, once, from top to bottom, with the start of its kernel.

python -m benchmarks.notebooks             some ten minutes; nothing else should run meanwhile

The notebooks stay as they are. book/times.md shows what this wrote, through book/_ext/times.py.
"""

from __future__ import annotations

import hashlib
import os
import platform
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from benchmarks import record

FOLDER = record.ROOT / "notebooks"
NOTE = "seconds of one run, with the start of the kernel; nothing is warmed up, and compiled kernels are there already"


def code_of(notebook: nbformat.NotebookNode) -> list[str]:
    """The sources of its code cells, which decide how long it takes."""
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def title_of(notebook: nbformat.NotebookNode) -> str:
    """Its first heading."""
    return notebook.cells[0].source.splitlines()[0].lstrip("# ")


def described(path: Path) -> dict[str, Any]:
    """What a row has beside the seconds: number and hash of the code cells, and the time that the notebook promises."""
    notebook = nbformat.read(path, as_version=4)
    code = code_of(notebook)
    return {
        "code cells": len(code),
        "code sha256": hashlib.sha256("\0".join(code).encode()).hexdigest(),
        "budget seconds": notebook.metadata.get("uvlm", {}).get("budget_seconds"),
    }


def measure(path: Path) -> dict[str, Any]:
    """One row: the notebook run once in its own folder, its outputs thrown away.

    Raises
    ------
    nbclient.exceptions.CellExecutionError : a cell of it failed, so that there is no time to tell.
    """
    notebook = nbformat.read(path, as_version=4)
    begun = time.perf_counter()
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": path.parent}}).execute()
    return {"seconds": round(time.perf_counter() - begun, 1), **described(path)}


def machine() -> dict[str, Any]:
    """What the seconds were measured on."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    return {"processor": name, "cores": os.cpu_count(), "system": platform.system()}


def main() -> None:
    """Run every notebook, and keep the seconds."""
    rows: dict[str, Any] = {"machine": machine()}
    paths = sorted(FOLDER.glob("*.ipynb"))
    for path in paths:
        rows[path.stem] = measure(path)
        print(f"{path.stem:40} {rows[path.stem]['seconds']:7.1f} s", flush=True)
    record.save("notebooks", rows, [], ["benchmarks/notebooks.py"], spread=0.5, note=NOTE)


if __name__ == "__main__":
    main()
