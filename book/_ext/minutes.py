"""How long each section of a chapter takes, as a table for each chapter that unfolds.

    ```{minutes}
    ```

A chapter says its minutes in its first cell. Here they are shared among its sections by what there is to read: words,
lines of code and figures, each at a weight that is our guess. Nobody has been timed; only the sums are the chapter's.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

NOTEBOOKS = Path(__file__).resolve().parent.parent.parent / "notebooks"
LINE, FIGURE = 12, 60  # words that could be read in the time of a line of code, and of a figure
OPENING = "before the first heading"
APART = ("Exercises", "Quiz", "Further reading")  # which the minutes of a chapter do not count
Sections = list[tuple[str, int]]


def weights(cells: list[dict[str, Any]]) -> Sections:
    """What there is to read in each section of the second level, in words."""
    found: dict[str, int] = {}
    heading = OPENING
    for place, cell in enumerate(cells):
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            lines = [line for line in source.splitlines() if line.strip()]
            figures = sum("image/png" in output.get("data", {}) for output in cell.get("outputs", []))
            found[heading] = found.get(heading, 0) + LINE * len(lines) + FIGURE * figures
            continue
        for line in source.splitlines():
            if title := re.fullmatch(r"## (.+?)\s*", line):
                heading = title[1].replace("`", "")
            elif place:  # the first cell is what a chapter says of itself
                found[heading] = found.get(heading, 0) + len(line.split())
    return [(title, weight) for title, weight in found.items() if title not in APART and weight]


def shared(parts: Sections, minutes: int) -> Sections:
    """Whole minutes in proportion to the weights, at least one each, whose sum is what was given.

    Raises
    ------
    ValueError
        If there are more sections than minutes.
    """
    if len(parts) > minutes:
        raise ValueError(f"{len(parts)} sections cannot share {minutes} minutes; give each a whole one.")
    total, spare = sum(weight for _, weight in parts), minutes - len(parts)
    exact = [spare * weight / total for _, weight in parts]
    whole = [int(one) for one in exact]
    late = sorted(range(len(parts)), key=lambda i: whole[i] - exact[i])[: spare - sum(whole)]  # largest remainders
    return [(title, 1 + whole[i] + (i in late)) for i, (title, _) in enumerate(parts)]


def chapter(path: Path) -> tuple[str, int, Sections]:
    """A chapter's title, its minutes, and those of its sections."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    opening = "".join(cells[0]["source"])
    said = re.search(r"\*\*About (\d+) minutes\*\*", opening)
    if not said:
        raise ValueError(f"{path.name} does not say '**About 50 minutes**' in its first cell.")
    return opening.splitlines()[0].removeprefix("# "), int(said[1]), shared(weights(cells), int(said[1]))


def row(*texts: str) -> nodes.row:
    """A row of a table."""
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", text)) for text in texts))


def table(sections: Sections) -> nodes.table:
    """Two columns, section and minutes."""
    columns = [nodes.colspec(colwidth=width) for width in (80, 20)]
    head = nodes.thead("", row("section", "minutes"))
    body = nodes.tbody("", *(row(title, str(minutes)) for title, minutes in sections))
    return nodes.table("", nodes.tgroup("", *columns, head, body, cols=2), classes=["minutes"])


class Minutes(SphinxDirective):
    """A table for each chapter."""

    def run(self) -> list[nodes.Node]:
        """Each in a box that unfolds."""
        self.env.note_dependency(__file__)
        made: list[nodes.Node] = []
        for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")):
            self.env.note_dependency(str(path))
            title, minutes, sections = chapter(path)
            name = f"{int(path.name[:2])} {title}: {minutes} minutes"
            made.append(nodes.admonition("", nodes.title("", name), table(sections), classes=["dropdown"]))
        return made


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_directive("minutes", Minutes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
