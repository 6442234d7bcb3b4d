"""The lectures: every part that is listed is in its chapter, and every slide can be read by everyone, from a disk."""

import base64
import dataclasses
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from bs4 import BeautifulSoup, Tag

from scripts import slide_text, slides
from scripts.lectures import LECTURES, PARTS, Quiz, Show
from tests.browser import Browser
from tests.conftest import ROOT
from tests.test_book import contrast, outside_addresses

NAMES = [one.name for one in LECTURES]
SHOWN = [(number, part) for number, parts in PARTS.items() for part in parts if isinstance(part, Show)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the lectures, made here: building the book takes longer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slides, "TARGET", tmp_path_factory.mktemp("book") / "lectures")
        return slides.build()


@pytest.fixture(scope="module", params=NAMES)
def lecture(request: pytest.FixtureRequest, made: Path) -> BeautifulSoup:
    """One of them, parsed."""
    return BeautifulSoup((made / f"{request.param}.html").read_text(encoding="utf-8"), "html.parser")


# --- the parts ------------------------------------------------------------------------------------------------------


def test_every_chapter_is_in_one_lecture() -> None:
    """In order, with something to see or read and a question."""
    assert [number for one in LECTURES for number in one.chapters] == sorted(PARTS) == list(range(13))
    for number, parts in PARTS.items():
        assert any(isinstance(part, Quiz) for part in parts), number
        assert any(isinstance(part, Show) and (part.figure or part.output) for part in parts), number
        assert any(isinstance(part, Show) and (part.code or part.output) for part in parts), number


@pytest.mark.parametrize(("number", "part"), SHOWN, ids=[f"{n}-{p.figure or p.code or p.output}" for n, p in SHOWN])
def test_a_part_is_in_its_chapter(number: int, part: Show) -> None:
    """And one that is not there is named: another heading, another cell, a point that begins in another way."""
    assert slides.shown(slides.read(number), part).body
    for change in ({"heading": "Not there"}, {"points": ("Not there",)}, {"figure": "cell-0"}):
        with pytest.raises(ValueError, match=r"mend the list of chapter \d+ in scripts/lectures.py"):
            slides.shown(slides.read(number), dataclasses.replace(part, **change))  # type: ignore[arg-type]


def test_a_question_that_is_gone_is_named() -> None:
    """By number."""
    with pytest.raises(ValueError, match="has no '### Question 9'"):
        slides.asked(slides.read(0), Quiz(9))


def test_a_part_that_is_gone_fails_the_build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In one sentence, and what was there stays."""
    monkeypatch.setattr(slides, "TARGET", tmp_path)
    (tmp_path / "one.html").write_text("before")
    monkeypatch.setitem(PARTS, 3, (Show("Parts of a block", figure="cell-99999"),))
    with pytest.raises(SystemExit, match=r"were not made: 03_overmod_the_encoder\.ipynb has no cell"):
        slides.build()
    assert (tmp_path / "one.html").read_text() == "before"


def sections(lecture: BeautifulSoup, kind: str) -> list[Tag]:
    """The slides of a kind."""
    return lecture.select(f"section.{kind}")


def words(text: str) -> str:
    """Letters and figures alone, so that what formulas and code look like does not matter."""
    text = re.sub(r"\{term\}`([^`<]+?)\s*(?:<[^>]*>)?`", r"\1", re.sub(r"\$[^$]*\$", "", text))
    return re.sub(r"[\W_]", "", text)


def test_every_point_of_a_summary_is_on_one_slide(lecture: BeautifulSoup) -> None:
    """The objectives, too; nothing is told twice, and nothing left out."""
    for formula in lecture.select("math"):
        formula.clear()
    told = [words(item.get_text()) for item in lecture.select(".body li")]
    number = int(lecture.title.get_text().split()[1].rstrip(":")) if lecture.title else 0
    for chapter in map(slides.read, LECTURES[number - 1].chapters):
        assert len(chapter.free) > 2 and len(chapter.goals) > 2
        for text in (*chapter.free, *chapter.goals):
            assert told.count(words(text)) == 1, text


def test_an_answer_follows_its_question(lecture: BeautifulSoup) -> None:
    """The question does not tell which choice is right; the answers do, in words."""
    questions, answers = sections(lecture, "question"), sections(lecture, "answers")
    assert len(questions) == len(answers) > 5
    for question, answer in zip(questions, answers, strict=True):
        assert question.find_next_sibling("section") is answer
        assert not question.select(".right") and "Right:" not in question.get_text()
        asked = [item.get_text() for item in question.select("li")]
        assert [item.strong.get_text() for item in answer.select("li") if item.strong] == asked and len(asked) > 2
        (right,) = answer.select("li.right")
        assert "Right:" in right.get_text() and answer.get_text().count("Not so:") == len(asked) - 1


# --- what a slide says ----------------------------------------------------------------------------------------------


def test_no_markup_is_left(lecture: BeautifulSoup) -> None:
    """Neither dollars nor roles, directives, stars or backquotes."""
    for code in lecture.select("code, script, style"):
        code.decompose()
    left = r".*(?:\$|\{\w+\}|:::|`|\*\*|\\[a-z]|<[a-z/]).*"
    assert re.findall(left, lecture.get_text()) == []


def test_nothing_comes_from_outside(lecture: BeautifulSoup) -> None:
    """Nor from beside the file: pictures, style and script are in it."""
    assert outside_addresses(lecture) == []
    assert not lecture.select("link, script[src]")
    assert all(str(image["src"]).startswith("data:image/png;base64,") for image in lecture.select("img"))


def test_pictures_are_told(lecture: BeautifulSoup) -> None:
    """With the text of the chapter."""
    images = lecture.select("img")
    assert len(images) > 10 and all(len(str(image["alt"]).split()) > 8 for image in images)


def test_links_lead_into_the_book(built_book: Path) -> None:
    """From the slides to the chapters, and from the guide to the slides."""
    for name in NAMES:
        file = built_book / "_static" / "lectures" / f"{name}.html"
        links = BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser").select("a[href]")
        assert len(links) > 20 and all((file.parent / str(link["href"])).is_file() for link in links)
    guide = BeautifulSoup((built_book / "book" / "instructor.html").read_text(encoding="utf-8"), "html.parser")
    found = [str(link["href"]) for link in guide.select("a[href*=lectures]")]
    assert found == [f"../_static/lectures/{name}.html" for name in NAMES]
    assert all((built_book / "book" / href).is_file() for href in found)


def test_the_book_is_built_again_when_a_lecture_changes() -> None:
    """Its list, its style and what makes it are sources of the book; what is made is none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        script: ModuleType = importlib.import_module("build_book")
    found = {path.relative_to(ROOT).as_posix() for path in script.sources()}
    assert {f"scripts/{name}.py" for name in ("slides", "slide_text", "lectures")} <= found
    assert {"book/lectures/lecture.css", "book/lectures/lecture.js"} <= found
    assert not [path for path in found if path.startswith("book/_static/lectures")]


# --- formulas and text ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tex", "expected"),
    [
        ("N k^2", "<mi>N</mi><msup><mi>k</mi><mn>2</mn></msup>"),
        ("A_\\text{log in}", "<msub><mi>A</mi><mtext>log in</mtext></msub>"),
        ("x_i^2", "<msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup>"),
        ("10^{-2}", '<msup><mn>10</mn><mrow><mo stretchy="false">−</mo><mn>2</mn></mrow></msup>'),
        ("\\frac{1}p", "<mfrac><mrow><mn>1</mn></mrow><mi>p</mi></mfrac>"),
        ("\\mathbb E \\nabla", "<mi>𝔼</mi><mi>∇</mi>"),
        ("1.5 \\cdot \\Delta", "<mn>1.5</mn><mo>·</mo><mi>Δ</mi>"),
    ],
)
def test_formulas(tex: str, expected: str) -> None:
    """TeX as MathML, number by number and sign by sign."""
    assert slide_text.mathml(tex) == f"<math><mrow>{expected}</mrow></math>"


@pytest.mark.parametrize("tex", ["\\oint x", "{x", "x^", "\\frac{1}", "x & y"])
def test_a_formula_that_is_not_understood_is_named(tex: str) -> None:
    """Nothing is left out in silence."""
    with pytest.raises(ValueError, match=r"teach it to scripts/slide_text\.py"):
        slide_text.mathml(tex)


def test_text_becomes_html() -> None:
    """Emphasis, code and terms; a link is its text; a citation has no place on a slide."""
    given = "*a* {term}`bias maps <bias map>` and {term}`GSM`, `x < y` [there](else.ipynb), 1 < 2"
    assert slide_text.inline(given) == (
        "<em>a</em> bias maps and GSM, <code>x &lt; y</code> there, 1 &lt; 2"
    )  # fmt: skip
    with pytest.raises(ValueError, match="has no place on a slide"):
        slide_text.inline("{cite}`chen2026uvlm`")


def test_points_are_spread_evenly() -> None:
    """In their order, on as few slides as hold them."""
    assert slides.grouped(["a b", "c", "d e f g h"], 3) == [["a b", "c"], ["d e f g h"]]
    chapter = slides.read(0)
    chapter.free = [f"{i} " + "w " * 49 for i in range(5)]
    assert [slide.body.count("<li>") for slide in slides.rest(chapter)] == [2, 2, 1]


# --- in a browser ---------------------------------------------------------------------------------------------------

FITS = """[...document.querySelectorAll('.slide')].map(slide => {
  slide.style.display = 'flex';
  const body = slide.querySelector('.body'), over = part => part.scrollWidth > part.clientWidth;
  const cut = [...slide.querySelectorAll('pre'), body].some(over) || body.scrollHeight > body.clientHeight;
  const broken = [...slide.querySelectorAll('img')].some(image => !image.naturalWidth || image.width < 250);
  const flat = [...slide.querySelectorAll('math')].some(one => one.getBoundingClientRect().width < 3);
  const size = [slide.offsetWidth, slide.offsetHeight].join();
  slide.style.display = '';
  return [slide.id, cut, broken, flat, size];
})"""


@pytest.fixture
def screen(browser: Browser) -> Iterator[Browser]:
    """The browser, put back as it was afterwards."""
    yield browser
    browser.call("Emulation.setEmulatedMedia", media="", features=[])


@pytest.mark.browser
@pytest.mark.parametrize("name", NAMES)
def test_each_slide_fits_its_box(name: str, made: Path, screen: Browser) -> None:
    """At 1280 x 720: nothing scrolls or is cut off, figures are there and formulas drawn."""
    page = screen.open(made / f"{name}.html", width=1280, height=720)
    assert page.errors == [] and page.outside == [] and len(page.requests) > 1
    seen = screen.evaluate(FITS)
    assert len(seen) > 40
    assert [row for row in seen if row[1:] != [False, False, False, "1280,720"]] == []
    screen.evaluate("document.querySelectorAll('.body').forEach(body => body.append(...Array.from({length: 30},"
                    " () => document.createElement('p')).map(p => (p.textContent = 'more', p))))")  # fmt: skip
    assert all(row[1] for row in screen.evaluate(FITS) if row[0] != "slide-1"), "the measure would notice"


def shown_now(browser: Browser) -> list[str]:
    """The slides that are seen."""
    seen = "[...document.querySelectorAll('.slide')].filter(s => s.checkVisibility()).map(s => s.id)"
    return list(browser.evaluate(seen))


def press(browser: Browser, key: str, code: int) -> None:
    """A key, down and up."""
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)


@pytest.mark.browser
def test_keys_and_buttons_turn_the_slides(made: Path, screen: Browser) -> None:
    """One is seen at a time; the address remembers which; a window of any size holds it."""
    screen.open(made / "one.html", width=1280, height=720)
    assert shown_now(screen) == ["slide-1"]
    last = f"slide-{screen.evaluate('document.querySelectorAll(`.slide`).length')}"
    keys = [("ArrowRight", 39, "slide-2"), ("ArrowDown", 40, "slide-3"), ("ArrowLeft", 37, "slide-2"),
            (" ", 32, "slide-3"), ("PageUp", 33, "slide-2"), ("End", 35, last), ("ArrowRight", 39, last),
            ("Home", 36, "slide-1"), ("ArrowLeft", 37, "slide-1")]  # fmt: skip
    for key, code, expected in keys:
        press(screen, key, code)
        assert shown_now(screen) == [expected] == [screen.evaluate("document.activeElement.id")], key
    screen.evaluate("document.querySelector('[data-by=\"1\"]').click()")
    assert shown_now(screen) == ["slide-2"]
    screen.open(f"{(made / 'one.html').as_uri()}#slide-7", width=1000, height=900)
    assert shown_now(screen) == ["slide-7"]
    box = "(r => [r.left, r.top, r.width, r.height].map(Math.round))(document.querySelector('.now')"
    assert screen.evaluate(f"{box}.getBoundingClientRect())") == [0, 169, 1000, 563]


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_can_be_read(scheme: str, made: Path, screen: Browser) -> None:
    """Of titles, text, captions, feet and each sign of the code, in both schemes."""
    screen.open(made / "two.html", scheme=scheme, width=1280, height=720)
    ground = screen.evaluate("getComputedStyle(document.querySelector('.slide')).backgroundColor")
    assert (contrast(ground, "rgb(0, 0, 0)") < 2) == (scheme == "dark")
    parts = "h1, h2, p, li, figcaption, footer, small"
    used = "[...new Set([...document.querySelectorAll('{}')].map(e => getComputedStyle(e).color))]"
    colours, code = (screen.evaluate(used.format(which)) for which in (parts, "pre.code span"))
    panel = screen.evaluate("getComputedStyle(document.querySelector('pre.code')).backgroundColor")
    assert len(colours) >= 3 and len(code) >= 3
    assert min(contrast(colour, ground) for colour in colours) >= 4.5
    assert min(contrast(colour, panel) for colour in code) >= 4.5


@pytest.mark.browser
def test_printed_there_is_one_slide_a_page(made: Path, screen: Browser) -> None:
    """All of them, on paper of their own size."""
    screen.open(made / "one.html", scheme="dark", width=1280, height=720)
    count = screen.evaluate("document.querySelectorAll('.slide').length")
    paper = base64.b64decode(screen.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)["data"])
    pages = re.findall(rb"/Type\s*/Page\b[^s]", paper)
    assert len(pages) == count
    assert set(re.findall(rb"/MediaBox\s*\[([^\]]+)\]", paper)) == {b"0 0 960 540"}


@pytest.mark.browser
def test_without_a_script_all_slides_are_there(made: Path, screen: Browser) -> None:
    """Below each other."""
    screen.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        screen.call("Page.navigate", url=(made / "one.html").as_uri())
        screen.wait_until("document.readyState === 'complete'")
        assert len(shown_now(screen)) > 40
        assert not screen.evaluate("document.querySelector('nav').checkVisibility()")
    finally:
        screen.call("Emulation.setScriptExecutionDisabled", value=False)
