"""Keep the built pages free of scripts that would load code from outside.

Jupyter Book always activates sphinx-thebe, which runs cells on a remote server. The book does not use it, and its
script, written into every page twice, is an error in the browser's console.
"""

from typing import Any

from sphinx.application import Sphinx


def drop_thebe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Remove the scripts of sphinx-thebe from one page."""
    context["script_files"] = [
        script
        for script in context["script_files"]
        if "thebe" not in str(script).lower() and "thebe" not in str(getattr(script, "attributes", "")).lower()
    ]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx, after everybody else."""
    app.connect("html-page-context", drop_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
