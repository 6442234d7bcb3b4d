"""Mend what the pages' makers write in a way that helpers for the blind do not read.

docutils gives each entry of a bibliography the role "doc-biblioentry", which no longer counts as an item of the list
that it stands in: the list seems empty.
"""

from pathlib import Path

from sphinx.application import Sphinx

MENDED = {'role="doc-biblioentry"': 'role="listitem"'}


def mend(app: Sphinx, error: Exception | None) -> None:
    """Replace the roles on every page that has been written."""
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for wrong, right in MENDED.items():
            text = text.replace(wrong, right)
        page.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("build-finished", mend)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
