"""Widgets of the chapters in the built pages: an explorable where there is one, else a still.

A page has no kernel. So a notebook is read here as if it had no widgets: an output that is one becomes a place for a
script of book/explore/, with what the widget showed at first inside; one that needs the model becomes that alone, with
a word on where to run it. The saved state of the widgets, which would need a megabyte of scripts, stays behind.
"""

from __future__ import annotations

import html
import json
import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))
from scripts.build_explore import WIDGET_VIEW, explorables  # noqa: E402

WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
PLACE = re.compile(r'data-explore="(\w+)" data-key="([\w-]+)"')
NOTE = (
    "<p>This widget asks the model, so it needs Python: run the chapter with <code>make lab</code>. On the "
    "<a href='{}'>live page</a> the captioner runs without.</p>"
)
State = dict[str, dict[str, Any]]


def parts(state: State, model: str) -> list[dict[str, Any]]:
    """The saved models of a widget and of all that it holds, in reading order."""
    one = state[model]
    inside = [child.removeprefix("IPY_MODEL_") for child in one["state"].get("children", [])]
    return [one, *(part for child in inside for part in parts(state, child))]


def setting(part: dict[str, Any]) -> str:
    """A control and where it stands: "colour red"; nothing for what is no control."""
    saved = part["state"]
    labels, name = saved.get("_options_labels"), saved.get("description")
    value = labels[saved["index"]] if labels else saved.get("value")
    return f"{name} {value}" if name and value is not None else ""


def still(state: State, model: str, pictures: bool) -> str:
    """What a widget showed when it was saved, as HTML: its pictures if they are wanted, and its words."""
    found = parts(state, model)
    settings = ", ".join(filter(None, map(setting, found)))
    shown = [part["state"]["value"] for part in found if part["model_name"] == "HTMLModel"]
    if pictures:
        for part in (part for part in found if part["model_name"] == "ImageModel"):
            data = "".join(part["buffers"][0]["data"].split())
            text = html.escape(f"What the widget draws for: {settings}.")
            shown.insert(0, f'<img class="explore-still" src="data:image/png;base64,{data}" alt="{text}">')
        shown.append(f'<p class="explore-note">Its controls stood at: {html.escape(settings)}.</p>')
    return "".join(shown)


def without_widgets(notebook: dict[str, Any], page: str) -> None:
    """Put explorables and stills in the places of the widgets of a notebook.

    Parameters
    ----------
    notebook : as in its file; it is changed.
    page : the page's name, "notebooks/04_ssm_against_lstm".
    """
    state: State = notebook["metadata"].pop("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    known = {number: (key, name) for number, key, name in explorables(notebook, page.split("/")[-1])}
    live = "../" * page.count("/") + "book/live.html"
    for number, cell in enumerate(notebook["cells"]):
        for output in cell.get("outputs", []):
            view = output.get("data", {}).get(WIDGET_VIEW)
            if not view:
                continue
            if number in known:
                key, name = known[number]
                place, note = f' data-explore="{name}" data-key="{key}"', ""
            else:
                place, note = "", NOTE.format(live)
            inside = still(state, view["model_id"], pictures=number not in known)
            output["data"] = {"text/html": f'<div class="explore"{place}>{inside}{note}</div>'}


def on_source(app: Sphinx, page: str, source: list[str]) -> None:
    """Let Sphinx read a notebook without its widgets."""
    if str(app.env.doc2path(page)).endswith(".ipynb"):
        notebook = json.loads(source[0])
        without_widgets(notebook, page)
        source[0] = json.dumps(notebook)


def on_page(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Give a page the scripts of its explorables, and no other."""
    raw = [node.astext() for node in doctree.findall(nodes.raw)] if doctree else []
    if not any('class="explore"' in text for text in raw):
        return
    app.add_css_file("explore/explore.css")
    found = [place for text in raw for place in PLACE.findall(text)]
    if found:
        names = dict.fromkeys(name for name, _ in found)
        data = ("colors", *(key for _, key in found))
        for script in ("explore", *names, *(f"data/{key}" for key in data)):
            app.add_js_file(f"explore/{script}.js")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", on_source)
    app.connect("html-page-context", on_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
