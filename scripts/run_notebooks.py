"""Run notebooks in place, so that their committed outputs are what the code says today.

    python scripts/run_notebooks.py                 all of notebooks/
    python scripts/run_notebooks.py notebooks/00_*  some

Widgets keep their state, for the rendered page. Pieces of one print that arrived apart are joined, and nothing that
tells when or where a notebook was run stays in it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent


def join_streams(outputs: list) -> list:
    """Outputs with consecutive pieces of the same stream joined."""
    joined: list = []
    for output in outputs:
        last = joined[-1] if joined else None
        if last and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            joined.append(output)
    return joined


def run(path: Path) -> None:
    """Execute one notebook from its own folder and write it back."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("widgets", None)
    here = {"metadata": {"path": path.parent}}
    NotebookClient(notebook, timeout=300, store_widget_state=True, resources=here).execute()
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = join_streams(cell.outputs)
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.write(notebook, path)


def main(names: list[str]) -> int:
    """Run the notebooks of these paths, or all; returns the exit status."""
    for path in [Path(n).resolve() for n in names] or sorted(ROOT.glob("notebooks/*.ipynb")):
        print(path.name, flush=True)
        run(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
