"""Make one PDF of the whole book out of its built pages: book/_build/uvlm-mini.pdf.

    python scripts/build_pdf.py

Chromium prints the pages in the order of the table of contents, as a reader would from the browser, with the style
sheet's rules for paper (book/_static/custom.css) and every solution unfolded. pypdf joins them: links between chapters
lead inside the file, and parts, chapters and sections are its outline. A page on which something does not fit the paper
is an error, which names it; so is a formula that was not typeset.
"""

from __future__ import annotations

import base64
import html
import io
import json
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag

import yaml
from pypdf import PageObject, PdfReader, PdfWriter
from pypdf.generic import ArrayObject, DictionaryObject, Fit, FloatObject, NameObject, NullObject, TextStringObject

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # scripts is not installed

from scripts import build_book
from scripts.chromium import Tab, started

ROOT = Path(__file__).resolve().parent.parent
OUT = build_book.BUILD / "uvlm-mini.pdf"
INCH = 25.4
WIDTH, HEIGHT, SIDE, TOP, BOTTOM = 210.0, 297.0, 18.0, 16.0, 20.0  # A4 and its margins, in mm
TEXT = int((WIDTH - 2 * SIDE) / INCH * 96)  # the text's width in CSS pixels

PREPARE = """
document.querySelectorAll('details').forEach(e => { if (!e.closest('.beam-tree')) e.open = true });
document.querySelectorAll('.toggle-hidden').forEach(e => e.classList.remove('toggle-hidden'));
document.querySelectorAll('.headerlink').forEach(e => e.remove());
document.querySelectorAll('img').forEach(e => { e.loading = 'eager' });
"""
# What is wider than the paper, by its first words. MathJax's own boxes inside a line may overlap it by a pixel or two.
CUT = """
[...document.querySelectorAll('.bd-article :is(pre, table, img, mjx-container, .jupyter-widgets)')].filter(e =>
  e.scrollWidth > e.clientWidth + 1 && e.clientWidth && e.tagName === 'PRE'
  || e.getBoundingClientRect().right > document.documentElement.clientWidth + 2)
.map(e => e.tagName.toLowerCase() + ' ' + (e.textContent.trim() || e.alt || e.className).slice(0, 60))
"""
# Chromium makes a destination of an id only where the same page links to it: hidden links do that.
ANCHOR = """
for (const id of IDS) {
  const a = document.createElement('a');
  a.href = '#' + id; a.hidden = true;
  document.querySelector('.bd-article').append(a);
}
"""
HEADINGS = """
[...document.querySelectorAll('.bd-article :is(h1, h2)')].map(e => {
  const at = e.closest('section[id]');
  return [Number(e.tagName[1]), e.textContent.trim(), at ? at.id : ''];
})
"""
FRONT = """<!doctype html><html lang="en"><head><meta charset="utf-8"><style>
body { font-family: sans-serif; font-variant-ligatures: none; margin: 0; }
#title { break-after: page; padding-top: 70mm; }
#title h1 { font-size: 38pt; margin: 0; }
#title p { font-size: 13pt; line-height: 1.5; max-width: 130mm; }
#title .small { font-size: 10pt; margin-top: 60mm; }
h2 { font-size: 18pt; } h3 { font-size: 11pt; margin: 5mm 0 1mm; }
a { color: inherit; display: flex; font-size: 11pt; padding: 0.6mm 0; text-decoration: none; }
a.low { padding-left: 8mm; } a span { border-bottom: 1px dotted; flex: 1; margin: 0 2mm 1mm; }
</style></head><body>"""


@dataclass
class Chapter:
    """One page of the built book, and what came of it."""

    name: str  # as the table of contents has it
    level: int  # 0 for chapters, 1 for what stands below one
    part: str = ""  # caption of the part that it opens
    pdf: PdfReader | None = None
    headings: list[tuple[int, str, str]] = field(default_factory=list)  # (level, text, id)
    start: int = 0  # its first page in the book, from 0

    @property
    def title(self) -> str:
        """Its first heading."""
        return self.headings[0][1] if self.headings else self.name


def contents(toc: dict[str, Any]) -> list[Chapter]:
    """The chapters of a table of contents, in its order."""

    def below(entries: list[dict[str, Any]], level: int) -> Iterator[Chapter]:
        for entry in entries:
            yield Chapter(entry["file"], level)
            yield from below(entry.get("sections", []), level + 1)

    found = [Chapter(toc["root"], 0)]
    for part in toc["parts"]:
        inside = list(below(part["chapters"], 0))
        inside[0].part = part["caption"]
        found += inside
    return found


def printed(tab: Tab, **options: Any) -> bytes:
    """The page that the tab shows, as a PDF on our paper."""
    paper = {
        "paperWidth": WIDTH / INCH,
        "paperHeight": HEIGHT / INCH,
        "marginLeft": SIDE / INCH,
        "marginRight": SIDE / INCH,
        "marginTop": TOP / INCH,
        "marginBottom": BOTTOM / INCH,
        "generateTaggedPDF": False,
        **options,
    }
    return base64.b64decode(tab.call("Page.printToPDF", **paper)["data"])


def as_on_paper(tab: Tab) -> None:
    """Lay pages out from now on as the paper will have them: light, and as wide as its text."""
    light = [{"name": "prefers-color-scheme", "value": "light"}]
    tab.call("Emulation.setEmulatedMedia", media="print", features=light)
    tab.call("Emulation.setDeviceMetricsOverride", width=TEXT, height=1000, deviceScaleFactor=1, mobile=False)


def print_chapter(tab: Tab, chapter: Chapter, folder: Path, ids: set[str]) -> None:
    """Print one page, with destinations for its headings and these ids.

    Raises
    ------
    RuntimeError : something on the page does not fit the paper, or was not drawn.
    """
    as_on_paper(tab)
    tab.settle((folder / f"{chapter.name}.html").resolve().as_uri())
    missing = [
        (".math", "document.querySelectorAll('mjx-container').length", "formulas were not typeset"),
        (
            'script[type="application/vnd.jupyter.widget-view+json"]',
            "document.querySelectorAll('.widget-subarea > :not(script)').length",
            "widgets were not drawn",
        ),
    ]
    for selector, drawn, sentence in missing:
        wanted = f"document.querySelectorAll('.bd-article {selector}').length"
        if not tab.wait_until(f"{drawn} >= {wanted}"):
            raise RuntimeError(f"{chapter.name}: {sentence}; open the built page and look at its console.")
    tab.evaluate(PREPARE)
    tab.evaluate("Promise.all([...document.images].map(i => i.decode().catch(() => null))).then(() => true)")
    if cut := tab.evaluate(CUT):
        raise RuntimeError(f"{chapter.name}: wider than the paper: {'; '.join(cut)}. Break it, or mend @media print.")
    chapter.headings = [(level, text, at) for level, text, at in tab.evaluate(HEADINGS)]
    names = ids | {at for _, _, at in chapter.headings}
    tab.evaluate(f"const IDS = {json.dumps(sorted(names))};{ANCHOR}")
    chapter.pdf = PdfReader(io.BytesIO(printed(tab, printBackground=True)))


def linked_ids(folder: Path, chapters: Sequence[Chapter]) -> dict[str, set[str]]:
    """For each chapter the ids that other pages link to."""
    from bs4 import BeautifulSoup

    found: dict[str, set[str]] = {one.name: set() for one in chapters}
    for one in chapters:
        path = (folder / f"{one.name}.html").resolve()
        soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        for link in soup.select(".bd-article a[href*='#']"):
            address, at = urldefrag(str(link["href"]))
            name = str((path.parent / address).resolve().relative_to(folder.resolve()))[: -len(".html")]
            if address.endswith(".html") and "://" not in address and name in found:
                found[name].add(unquote(at))
    return found


def print_front(tab: Tab, chapters: Sequence[Chapter], folder: Path) -> PdfReader:
    """Title page and table of contents; the chapters' starts are set to fit what comes out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    length, before = 0, -1
    while length != before:  # page numbers depend on how long this is, and hardly this on them
        before, at = length, length
        rows = []
        for one in chapters:
            one.start = at
            at += len(one.pdf.pages) if one.pdf else 0
            address = (folder / f"{one.name}.html").resolve().as_uri()
            rows += [f"<h3>{html.escape(one.part)}</h3>"] if one.part else []
            low = ' class="low"' if one.level else ""
            title = html.escape(one.title)
            rows.append(f'<a{low} href="{address}">{title}<span></span>{one.start + 1}</a>')
        title = (
            f'<div id="title"><h1>µVLM-mini</h1><p>{html.escape(project["description"])}</p>'
            f"<p>{html.escape(project['authors'][0]['name'])}</p>"
            f'<p class="small">Version {project["version"]}. Text: CC BY 4.0. Code: MIT.<br>The book is made of '
            "notebooks that run, and its pages in a browser show more than paper can: widgets that turn, and a "
            "captioner that answers.</p></div>"
        )
        with tempfile.TemporaryDirectory() as place:
            page = Path(place) / "front.html"
            page.write_text(f"{FRONT}{title}<h2>Contents</h2>{''.join(rows)}</body></html>", encoding="utf-8")
            as_on_paper(tab)
            tab.settle(page.as_uri())
            front = PdfReader(io.BytesIO(printed(tab)))
        length = len(front.pages)
    return front


def feet(tab: Tab, lines: Sequence[str]) -> PdfReader:
    """Pages that are empty but for a line at the foot each: chapter to the left, number to the right."""
    style = f"@page {{ margin: 0 }} body {{ margin: 0; font: 8.5pt sans-serif; \
        font-variant-ligatures: none; color: #444 }} div {{ display: flex; \
        justify-content: space-between; align-items: end; box-sizing: border-box; height: {HEIGHT - 0.2}mm; \
        padding: 0 {SIDE}mm 10mm; break-after: page }} div:last-child {{ break-after: avoid }}"
    rows = [
        f"<div><span>{html.escape(line)}</span><span>{number}</span></div>" if line else "<div></div>"
        for number, line in enumerate(lines, 1)
    ]
    text = f'<!doctype html><meta charset="utf-8"><style>{style}</style>{"".join(rows)}'
    with tempfile.TemporaryDirectory() as place:
        page = Path(place) / "feet.html"
        page.write_text(text, encoding="utf-8")
        tab.settle(page.as_uri())
        made = PdfReader(io.BytesIO(printed(tab, preferCSSPageSize=True, marginTop=0, marginBottom=0)))
    if len(made.pages) != len(lines):
        raise RuntimeError(f"The feet of {len(lines)} pages came out on {len(made.pages)}; mend `feet`.")
    return made


def places(chapter: Chapter) -> dict[str, tuple[int, float]]:
    """For each destination of a chapter its page in the book and how high it stands there, in points."""
    pdf = chapter.pdf
    assert pdf is not None
    found = {}
    for name, at in pdf.named_destinations.items():
        number = pdf.get_destination_page_number(at)
        if number is not None:
            found[unquote(str(name).lstrip("/"))] = (chapter.start + number, float(at.top or 0))
    return found


def lead_inside(page: PageObject, here: Chapter | None, where: dict[str, dict[str, tuple[int, float]]],
                folder: Path, pages: Sequence[PageObject]) -> None:  # fmt: skip
    """Make the links of one page that name a destination, or another page of the book, lead to that place."""
    for reference in page.get("/Annots", []):
        link = reference.get_object()
        if link.get("/Subtype") != "/Link":
            continue
        action = link.get("/A", DictionaryObject()).get_object()
        named = link.get("/Dest", action.get("/D"))
        target = None
        if isinstance(named, str) and here:
            target = where[here.name].get(unquote(named.lstrip("/")))
        elif str(action.get("/URI", "")).startswith("file:"):
            address, at = urldefrag(str(action["/URI"]))
            inside = address.removeprefix(folder.resolve().as_uri() + "/")
            there = where.get(unquote(inside).removesuffix(".html"), {})
            target = there.get(unquote(at)) or there.get("")
        if target is None and (named or str(action.get("/URI", "")).startswith("file:")):
            link.pop("/A", None)  # a file of this computer: nobody else has it
            link.pop("/Dest", None)
        elif target is not None:
            number, top = target
            link.pop("/A", None)
            xyz = [NameObject("/XYZ"), FloatObject(0), FloatObject(top), NullObject()]
            link[NameObject("/Dest")] = ArrayObject([pages[number].indirect_reference, *xyz])


def join(front: PdfReader, chapters: Sequence[Chapter], numbers: PdfReader, folder: Path) -> PdfWriter:
    """The book: front matter and chapters, with numbers at the feet, links and an outline."""
    writer = PdfWriter()
    owner: list[Chapter | None] = [None] * len(front.pages)
    for page in front.pages:
        writer.add_page(page)
    for one in chapters:
        assert one.pdf is not None
        for page in one.pdf.pages:
            writer.add_page(page)
            owner.append(one)
    pages = list(writer.pages)
    where = {one.name: {**places(one), "": (one.start, HEIGHT / INCH * 72)} for one in chapters}
    for page, foot, one in zip(pages, numbers.pages, owner, strict=True):
        page.merge_page(foot)
        page.compress_content_streams()  # merging unpacks them
        lead_inside(page, one, where, folder, pages)

    writer.add_outline_item(title="Contents", page_number=len(front.pages) - 1)
    part = above = None
    for one in chapters:
        if one.part:
            part = writer.add_outline_item(title=one.part, page_number=one.start)
        parent = above if one.level else part
        item = writer.add_outline_item(title=one.title, page_number=one.start, parent=parent)
        above = above if one.level else item
        for level, text, at in one.headings[1:]:
            number, top = where[one.name].get(at, (one.start, 0))
            if level == 2:
                writer.add_outline_item(title=text, page_number=number, parent=item, fit=Fit.xyz(0, top))
    writer.add_metadata({"/Title": "µVLM-mini", "/Author": "The µVLM-mini authors"})
    writer.root_object[NameObject("/Lang")] = TextStringObject("en")
    writer.page_mode = "/UseOutlines"
    writer.compress_identical_objects(remove_duplicates=True, remove_unreferenced=True)
    return writer


def build(chapters: Sequence[Chapter], out: Path, folder: Path = build_book.HTML) -> int:
    """Print these chapters from a built book into one file; returns its number of pages."""
    ids = linked_ids(folder, chapters)
    with started() as port:
        tab = Tab(port)
        for one in chapters:
            print_chapter(tab, one, folder, ids[one.name])
        front = print_front(tab, chapters, folder)
        lines = [""] * len(front.pages)
        for one in chapters:
            lines += [one.title] * len(one.pdf.pages if one.pdf else [])
        numbers = feet(tab, lines)
    join(front, chapters, numbers, folder).write(out)
    return len(lines)


def main() -> int:
    """Build the book if it is not up to date, and print it."""
    begun = time.time()
    if not build_book.is_current():
        build_book.build()
    try:
        chapters = contents(yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8")))
        count = build(chapters, OUT)
    except (RuntimeError, FileNotFoundError) as error:
        print(f"The PDF was not made: {error}", file=sys.stderr)
        return 1
    size = OUT.stat().st_size / 1e6
    print(f"{OUT.relative_to(ROOT)}: {count} pages, {size:.1f} MB, in {time.time() - begun:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
