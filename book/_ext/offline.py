"""Keep the built pages free of scripts that would load code from outside, or that are large and do nothing.

Jupyter Book always activates sphinx-thebe, which runs cells on a remote server. The book does not use it, and its
script, written into every page twice, is an error in the browser's console. The page that searches would fetch every
page that it finds, to quote it; a page that was opened from a disk may fetch nothing, and there it shows titles only.
The theme draws its icons twice: from a font, and then by a script of half a megabyte, compressed, that puts drawings in
their place.
"""

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx


def drop_thebe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Remove the scripts of sphinx-thebe from one page."""
    context["script_files"] = [
        script
        for script in context["script_files"]
        if "thebe" not in str(script).lower() and "thebe" not in str(getattr(script, "attributes", "")).lower()
    ]


NO_QUOTES = 'if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;'


def search_without_fetching(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Tell the page that searches to quote nothing where it may not."""
    if page == "search":
        app.add_js_file(None, body=NO_QUOTES)


def drop_drawn_icons(app: Sphinx, error: Exception | None) -> None:
    """Remove the script of the icons from every page, and from the build; their font stays."""
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        page.write_text(re.sub(r"<script[^>]*/fontawesome\.js[^>]*></script>", "", text), encoding="utf-8")
    for script in Path(app.outdir, "_static", "scripts").glob("fontawesome.js*"):
        script.unlink()


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx; what takes scripts out comes after everybody else."""
    app.connect("html-page-context", search_without_fetching)
    app.connect("html-page-context", drop_thebe, priority=900)
    app.connect("build-finished", drop_drawn_icons)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
