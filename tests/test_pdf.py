"""The PDF of the book: what is on the pages is in it, whole, and its links and its outline lead there."""

import json
import re
from pathlib import Path

import pytest
import yaml
from pypdf import PdfReader

from scripts import build_pdf
from scripts.build_pdf import Chapter
from scripts.chromium import Tab, find_chromium, started
from tests.conftest import ROOT
from tests.notebook_lint import MAX_COLUMNS
from tests.test_book import TOC, toc_entries

NOTEBOOK = "notebooks/00_a_caption_in_five_minutes"
LOOKED_UP = "book/bibliography"
BAD = "<!doctype html><meta charset=utf-8><div class=bd-article><section id=a><h1>A</h1>{}</section></div>"

needs_chromium = pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine")


def squeezed(text: str) -> str:
    """Without white space, which a PDF does not keep, and with plain quotation marks."""
    return re.sub(r"\s+", "", text).translate(str.maketrans("’“”", '\'""'))


@pytest.fixture(scope="module")
def pdf(built_book: Path, tmp_path_factory: pytest.TempPathFactory) -> PdfReader:
    """A book of two pages."""
    out = tmp_path_factory.mktemp("pdf") / "book.pdf"
    chapters = [Chapter(NOTEBOOK, 0, part="First steps"), Chapter(LOOKED_UP, 1)]
    count = build_pdf.build(chapters, out, built_book)
    made = PdfReader(out)
    assert len(made.pages) == count
    return made


def test_chapters_are_those_of_the_table_of_contents() -> None:
    """In its order, with its parts, and what stands below a page one level down."""
    found = build_pdf.contents(yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8")))
    assert [one.name for one in found] == toc_entries(TOC)
    assert [one.part for one in found if one.part] == [part["caption"] for part in TOC["parts"]]
    assert {one.level for one in found if one.name.startswith("book/reference/")} == {0, 1}


@pytest.mark.browser
@needs_chromium
def test_text_code_and_solutions_are_there(pdf: PdfReader) -> None:
    """Every line of code to its end, every printed line, every solution, and the words before a formula."""
    text = squeezed("".join(page.extract_text() for page in pdf.pages))
    cells = json.loads((ROOT / f"{NOTEBOOK}.ipynb").read_text(encoding="utf-8"))["cells"]
    lines = [line for cell in cells if cell["cell_type"] == "code" for line in "".join(cell["source"]).splitlines()]
    outputs = [out for cell in cells for out in cell.get("outputs", []) if out["output_type"] == "stream"]
    lines += [line for out in outputs for line in "".join(out["text"]).splitlines()]
    missing = [line for line in lines if squeezed(line) not in text]
    assert len(lines) > 100 and missing == []
    prose = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    sentence = r"Solution \d+\n:class.*\n+([^`*_$.]+\.)"
    solutions = [squeezed(found) for one in prose for found in re.findall(sentence, one)]
    assert solutions and all(solution in text for solution in solutions)
    lines = [line for one in prose for line in re.findall(r"(.+)\n+\$\$\n", one)]
    before = [squeezed(line.rpartition("$")[2].replace("`", "")) for line in lines]
    assert before and all(words in text for words in before)


@pytest.mark.browser
@needs_chromium
def test_title_contents_and_numbers(pdf: PdfReader) -> None:
    """A title page without a number, then the contents with the numbers that stand at the feet."""
    texts = [page.extract_text() for page in pdf.pages]
    assert "µVLM-mini" in texts[0] and "Version" in texts[0]
    numbers = {squeezed(t): int(n) for t, n in re.findall(r"(.+?)\s*(\d+)\n", texts[1] + "\n")}
    for title in ("A caption in five minutes", "Bibliography"):
        at = numbers[squeezed(title)]
        assert squeezed(title) in squeezed(texts[at - 1])
        assert squeezed(f"{title}{at}") in squeezed(texts[at - 1])  # the foot
    assert numbers["Acaptioninfiveminutes"] == 3
    for number, text in enumerate(texts[2:], 3):
        assert re.search(rf"\b{number}\s*$", text), number


@pytest.mark.browser
@needs_chromium
def test_outline_and_links(pdf: PdfReader) -> None:
    """Part, chapter, section; a citation leads to the bibliography; nothing leads to a file of this computer."""
    contents, part, below = pdf.outline
    assert contents.title == "Contents" and part.title == "First steps"
    chapter, sections = below[0], below[1]
    assert chapter.title == "A caption in five minutes"
    assert "Beam search" in [one.title for one in sections if not isinstance(one, list)]
    (beam,) = (one for one in sections if not isinstance(one, list) and one.title == "Beam search")
    assert "Beam search" in pdf.pages[pdf.get_destination_page_number(beam)].extract_text()
    links = [one.get_object() for page in pdf.pages for one in page.get("/Annots", [])]
    assert not [one for one in links if str(one.get("/A", {}).get("/URI", "")).startswith("file:")]
    pages = [page.indirect_reference.idnum for page in pdf.pages]
    start = next(
        i for i, page in enumerate(pdf.pages) if i > 1 and re.search(r"Bibliography\s*\d+\s*$", page.extract_text())
    )
    reached = {pages.index(one["/Dest"][0].idnum) for one in links if "/Dest" in one}
    assert any(number >= start for number in reached) and 2 in reached


@pytest.mark.browser
@needs_chromium
def test_the_longest_line_fits_and_a_longer_one_is_refused(built_book: Path) -> None:
    """Code of MAX_COLUMNS fits in a page and in a solution, and what does not is told by its page and first words."""
    with started() as port:
        tab = Tab(port)
        chapter = Chapter(NOTEBOOK, 0)
        build_pdf.print_chapter(tab, chapter, built_book, set())
        fill = "document.querySelectorAll('.bd-article pre').forEach(e => { e.textContent = 'm'.repeat(%d) })"
        tab.evaluate(fill % MAX_COLUMNS)
        assert tab.evaluate(build_pdf.CUT) == []
        tab.evaluate(fill % (MAX_COLUMNS + 40))
        assert tab.evaluate(build_pdf.CUT)


@pytest.mark.browser
@needs_chromium
@pytest.mark.parametrize(
    ("inside", "told"),
    [
        (f"<pre style='overflow: auto'>first words {'m' * 300}</pre>", r"wider than the paper: pre first words mmm"),
        ("<table><tr><td><div style='width: 900px'>cells</div></table>", r"wider than the paper: table cells"),
        ("<span class=math>x</span>", r"formulas were not typeset"),
    ],
)
def test_what_is_wrong_is_refused(inside: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the page's name."""
    (tmp_path / "bad.html").write_text(BAD.format(inside), encoding="utf-8")
    wait = Tab.wait_until
    monkeypatch.setattr(Tab, "wait_until", lambda tab, what, seconds=1.0: wait(tab, what, min(seconds, 1.0)))
    with started() as port, pytest.raises(RuntimeError, match=rf"^bad: {told}"):
        build_pdf.print_chapter(Tab(port), Chapter("bad", 0), tmp_path, set())
