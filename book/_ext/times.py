"""The table of book/times.md: how long the notebooks run, read from benchmarks/results/notebooks.json.

    ```{times}
    ```

Where there is no such file yet, the page says that nothing was measured; where a notebook is newer than its number, or
has none, its row says that.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))
from benchmarks import notebooks  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "notebooks.json"
HEAD = ("chapter", "seconds", "it promises", "code cells")
MISSING = "Not measured yet: there is no result file. The command above makes it."
Row = tuple[str, str, str, str]


def rows_of(measured: dict[str, Any], folder: Path) -> tuple[list[Row], list[str]]:
    """The table's rows, a notebook each and their sum, and what a reader must know besides."""
    rows: list[Row] = []
    notes, total = [], 0.0
    for path in sorted(folder.glob("*.ipynb")):
        now, row = notebooks.described(path), measured.get(path.stem)
        title = notebooks.title_of(notebooks.nbformat.read(path, as_version=4))
        promised = f"{now['budget seconds']} s" if now["budget seconds"] else ""
        seconds = f"{row['seconds']:.1f}" if row else "not measured yet"
        rows.append((title, seconds, promised, str(now["code cells"])))
        total += row["seconds"] if row else 0.0
        if row and row["code sha256"] != now["code sha256"]:
            notes.append(f"“{title}” has changed since it was measured.")
    if total:
        rows.append(("all that were measured", f"{total:.1f}", "", ""))
    return rows, notes


def table(rows: list[Row]) -> nodes.table:
    """Rows under HEAD, as docutils has tables."""

    def line(cells: tuple[str, ...]) -> nodes.row:
        entries = [nodes.entry("", nodes.paragraph("", "", nodes.Text(cell))) for cell in cells]
        return nodes.row("", *entries)

    columns = [nodes.colspec(colwidth=width) for width in (50, 16, 16, 16)]
    head, body = nodes.thead("", line(HEAD)), nodes.tbody("", *map(line, rows))
    return nodes.table("", nodes.tgroup("", *columns, head, body, cols=len(HEAD)), classes=["times"])


def shown(path: Path, folder: Path) -> list[nodes.Node]:
    """What stands in the place of the directive."""
    if not path.is_file():
        return [nodes.paragraph("", "", nodes.strong("", MISSING))]
    result = json.loads(path.read_text(encoding="utf-8"))
    rows, notes = rows_of(result["rows"], folder)
    on = result["rows"]["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    what = f"Made by {result['command']} on {on['processor']}, {on['cores']} cores, {on['system']}; {versions}."
    return [table(rows), *(nodes.paragraph("", "", nodes.Text(line)) for line in (what, result["note"] + ".", *notes))]


class Times(SphinxDirective):
    """How long the notebooks run."""

    def run(self) -> list[nodes.Node]:
        """The table, or that there is none."""
        for path in (Path(__file__), RESULT):
            self.env.note_dependency(str(path))
        return shown(RESULT, ROOT / "notebooks")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_directive("times", Times)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
