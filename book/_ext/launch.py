"""A line on every notebook's page that opens it on Colab or Binder, once the repository has a public address.

The address is [project.urls] Repository in pyproject.toml; scripts/colab.py tells what else belongs to it. Without one
no page shows anything. The links are to follow: the page itself still asks no outside address.
"""

from __future__ import annotations

import sys
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))
from scripts import colab  # noqa: E402


def links(repository: str, name: str) -> dict[str, str]:
    """Where a notebook opens, by the name of the place."""
    return {
        "Colab": f"https://colab.research.google.com/github/{repository}/blob/{colab.BRANCH}/colab/{name}.ipynb",
        "Binder": f"https://mybinder.org/v2/gh/{repository}/{colab.BRANCH}?labpath=notebooks%2F{name}.ipynb",
    }


def line(repository: str, name: str) -> nodes.paragraph:
    """The line itself."""
    made = nodes.paragraph("", "", nodes.Text("Run this chapter on "), classes=["launch"])
    for number, (place, address) in enumerate(links(repository, name).items()):
        made += [nodes.Text(" or ")] if number else []
        made += nodes.reference("", place, refuri=address, internal=False)
    made += nodes.Text(", without installing anything.")
    return made


def add_line(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Put the line under the title of a notebook's page."""
    repository = colab.address()
    if repository is None or not page.startswith("notebooks/"):
        return
    title = next(iter(doctree.findall(nodes.title)))
    title.parent.insert(title.parent.index(title) + 1, line(repository, page.partition("/")[2]))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("doctree-resolved", add_line)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
