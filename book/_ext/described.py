"""A description on every page, for search engines and for whoever is sent a link: its first paragraph.

Paragraphs in boxes, tables, lists, figures and outputs are passed over: a chapter's first words to its reader are those
that follow its objectives. A page that has none is described by its title.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

LONGEST = 200  # letters; what search engines show at most
SHORTEST = 25  # of a paragraph that says something
SENTENCES = 80  # whole sentences are kept if they say at least as much
TITLES = {"genindex": "Index", "search": "Search"}  # of pages that no source is written for


def plain(node: nodes.Node) -> str:
    """A paragraph in words: without its notes and the numbers of what it cites."""
    words = re.sub(r"\s*\[[\d,\s]+\]", "", node.astext())
    return " ".join(words.split())


def first_paragraph(doctree: nodes.document) -> str:
    """The first paragraph that stands in the text itself; empty if there is none."""
    for node in doctree.findall(nodes.paragraph):
        if isinstance(node.parent, nodes.section | nodes.document) and len(plain(node)) >= SHORTEST:
            return plain(node)
    return ""


def shortened(text: str) -> str:
    """As many whole sentences as fit, or else as many whole words."""
    if len(text) <= LONGEST and text.endswith((".", "?", "…")):
        return text
    cut = text[: LONGEST + 1]
    end = max(cut.rfind(mark) for mark in (". ", "? "))
    if end >= (SENTENCES if len(text) > LONGEST else SHORTEST):  # a short one goes on in a table or a line of code
        return cut[: end + 1]
    return cut[: cut.rfind(" ", 0, LONGEST - 1)].rstrip(",;:") + " …"


def describe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Add the description and what social media ask for to the head of one page."""
    book = app.config.html_title
    title = re.sub(r"<[^>]+>", "", context.get("title", "")) or TITLES.get(page, book)
    text = (first_paragraph(doctree) if doctree else "") or f"{title}: a page of {book}."
    tags = {
        "name": {"description": shortened(text)},
        "property": {
            "og:title": title,
            "og:description": shortened(text),
            "og:site_name": book,
            "og:type": "article",
        },
    }
    for kind, pairs in tags.items():
        for name, content in pairs.items():
            known = content if name == "og:title" else escape(content, quote=True)  # a title is escaped already
            context["metatags"] = context.get("metatags", "") + f'\n<meta {kind}="{name}" content="{known}" />'


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("html-page-context", describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
