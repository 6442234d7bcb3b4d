"""The built book: every page is there, complete without a network, and readable by everyone."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup
from filelock import FileLock

from tests.browser import Browser
from tests.conftest import ROOT
from tests.notebook_lint import MAX_COLUMNS

TOC = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf8"))


def toc_entries(node: dict | list) -> list[str]:
    """Return every page that a table of contents names, in order."""
    if isinstance(node, list):
        return [page for child in node for page in toc_entries(child)]
    own = [node[key] for key in ("root", "file") if key in node]
    return own + [page for key in ("parts", "chapters", "sections") for page in toc_entries(node.get(key, []))]


PAGES = toc_entries(TOC)


def read(path: Path) -> BeautifulSoup:
    """Parse a built page."""
    return BeautifulSoup(path.read_text(encoding="utf8"), "html.parser")


def is_outside(address: str) -> bool:
    """Tell whether an address leaves the built book."""
    return bool(re.match(r"\s*(?:[a-z][a-z+.-]*:)?//", address, re.IGNORECASE))


def outside_addresses(soup: BeautifulSoup) -> list[str]:
    """Return the outside addresses that a browser would load with this page. Links to follow are none."""
    loads = [(tag, "src") for tag in soup.select("[src]")]
    loads += [(tag, "href") for tag in soup.select("link[href]") if set(tag.get("rel", [])) - {"canonical", "license"}]
    loads += [(tag, "data") for tag in soup.select("object[data]")]
    loads += [(tag, "poster") for tag in soup.select("video[poster]")]
    found = [str(tag[name]) for tag, name in loads if is_outside(str(tag[name]))]
    for tag in soup.select("[srcset]"):
        found += [part.split()[0] for part in str(tag["srcset"]).split(",") if is_outside(part)]
    for tag in soup.select("style"):
        found += outside_in_css(tag.get_text())
    for tag in soup.select("[style]"):
        found += outside_in_css(str(tag["style"]))
    return found


def outside_in_css(text: str) -> list[str]:
    """Return the outside addresses that a style sheet loads."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    found = re.findall(r"url\(\s*['\"]?([^'\")\s]+)", text) + re.findall(r"@import\s+['\"]([^'\"]+)", text)
    return [address for address in found if is_outside(address)]


def nameless_images(soup: BeautifulSoup) -> list[str]:
    """Return the pictures in the text that a reader who cannot see would not be told about.

    A figure of a notebook gets its alternative text from the metadata of its cell,
    ``{"mystnb": {"image": {"alt": "..."}}}``; a picture of a markdown page from ``![...](...)`` or ``:alt:``.
    """
    images = soup.select("article img, .bd-article img")
    return [str(img.get("src")) for img in images if len(str(img.get("alt", "")).strip()) < 5]


def test_jupyter_book_is_the_first_generation() -> None:
    """Jupyter Book 2 does not read _config.yml: it would build something else, without complaint."""
    assert importlib.metadata.version("jupyter-book").startswith("1.")


def test_only_one_process_builds(built_book: Path) -> None:
    """Whoever comes while another builds waits, and then finds the book up to date."""
    command = [sys.executable, str(ROOT / "scripts" / "build_book.py")]
    with FileLock(ROOT / "build" / "book.lock"):
        waiting = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(5)
    said, _ = waiting.communicate(timeout=120)
    assert waiting.returncode == 0 and said == "The book is up to date.\n"


@pytest.mark.parametrize("page", PAGES)
def test_page_is_built_and_loads_nothing_from_outside(page: str, built_book: Path) -> None:
    """Each entry of the table of contents has a page of some size that needs only the build."""
    html = built_book / f"{page}.html"
    assert html.stat().st_size > 2000
    assert outside_addresses(read(html)) == []


@pytest.mark.parametrize("page", PAGES)
def test_every_picture_has_alternative_text(page: str, built_book: Path) -> None:
    """See nameless_images for where it comes from."""
    assert nameless_images(read(built_book / f"{page}.html")) == []


def test_style_sheets_load_nothing_from_outside(built_book: Path) -> None:
    """Fonts and imports of the theme are local."""
    sheets = list(built_book.rglob("*.css"))
    assert sheets
    offenders = {sheet.name: found for sheet in sheets if (found := outside_in_css(sheet.read_text(encoding="utf8")))}
    assert offenders == {}


def test_start_page_leads_into_the_book(built_book: Path) -> None:
    """The file that `make book` names sends the reader to the landing page."""
    refresh = read(built_book / "index.html").select_one("meta[http-equiv]")
    assert refresh is not None
    target = str(refresh["content"]).split("url=")[1]
    assert (built_book / target).is_file()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_page_opens_without_network(page: str, scheme: str, built_book: Path, browser: Browser) -> None:
    """Opened as a file, in light and dark: no outside request, no console error, mathematics and widgets drawn."""
    html = built_book / f"{page}.html"
    seen = browser.open(html, scheme=scheme)
    assert seen.requests, "nothing was loaded at all"
    assert seen.outside == []
    assert seen.errors == []
    assert browser.evaluate("document.documentElement.dataset.theme") == scheme

    soup = read(html)
    formulas = len(soup.select("article .math, .bd-article .math"))
    assert browser.evaluate("document.querySelectorAll('mjx-container').length") >= formulas
    assert browser.evaluate("document.querySelectorAll('mjx-merror').length") == 0

    widgets = len(soup.select('script[type="application/vnd.jupyter.widget-view+json"]'))
    drawn = "document.querySelectorAll('.widget-subarea > *').length"
    assert browser.wait_until(f"{drawn} >= {widgets}"), f"{widgets} widgets saved, {browser.evaluate(drawn)} drawn"

    broken = "[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
    assert browser.evaluate(broken) == []
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the window"


@pytest.mark.browser
@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_cut_off(page: str, built_book: Path, browser: Browser) -> None:
    """Neither code nor formulas scroll sideways, unfolded solutions included; nor would lines of MAX_COLUMNS."""
    browser.open(built_book / f"{page}.html")
    browser.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true })")
    browser.evaluate("document.querySelectorAll('.toggle-hidden').forEach(e => e.classList.remove('toggle-hidden'))")
    boxes = "[...document.querySelectorAll('.bd-article pre, .bd-article mjx-container[display=true]')]"
    cut = f"{boxes}.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent.trim().slice(0, 70))"
    assert browser.evaluate(cut) == []
    line = "m" * MAX_COLUMNS
    browser.evaluate(f"document.querySelectorAll('.bd-article pre').forEach(e => {{ e.textContent = '{line}' }})")
    assert browser.evaluate(cut) == []


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_tree_of_beginnings_unfolds(scheme: str, built_book: Path, browser: Browser) -> None:
    """In chapter 7, by the keyboard alone, and its words stand out from the page in both schemes."""
    browser.open(built_book / "notebooks" / "07_search_and_scores.html", scheme=scheme)
    opened = "document.querySelectorAll('.beam-tree details[open]').length"
    before = browser.evaluate(opened)
    browser.evaluate("document.querySelector('.beam-tree details:not([open]) > summary').focus()")
    for kind, text in (("keyDown", "\r"), ("keyUp", "")):
        browser.call(
            "Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text=text, windowsVirtualKeyCode=13
        )
    assert browser.wait_until(f"{opened} === {before + 1}")

    ground = "getComputedStyle(document.querySelector('.output:has(> .beam-tree)')).backgroundColor"
    assert browser.evaluate(ground) == "rgba(0, 0, 0, 0)"  # that of the page shines through
    page = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    words = "[...document.querySelectorAll('.beam-tree summary, .beam-tree li, .beam-tree span')]"
    colours = browser.evaluate(f"[...new Set({words}.map(e => getComputedStyle(e).color))]")
    assert len(colours) == 2
    assert all(contrast(colour, page) >= 4.5 for colour in colours), (colours, page)


CHOICES = """(() => {
  const style = (part, name, pseudo) => getComputedStyle(part, pseudo)[name];
  const [first] = document.querySelectorAll('.admonition.choice');
  const ring = () => ['Style', 'Width', 'Color'].map(name => style(title, 'outline' + name, '::before'));
  const open = () => !first.classList.contains('toggle-hidden');
  const button = first.querySelector('button'), title = first.querySelector('.admonition-title');
  const text = first.querySelector('.admonition-title ~ p');
  const seen = {page: style(document.body, 'backgroundColor'), title: style(title, 'color'),
    arrow: style(button, 'color'), ground: style(title, 'backgroundColor') + style(first, 'backgroundColor'),
    closed: [open(), style(first, 'borderLeftColor'), style(text, 'visibility')], before: ring()};
  button.focus();
  seen.after = ring();
  for (const choice of document.querySelectorAll('.admonition.choice')) choice.querySelector('button').click();
  seen.open = [...document.querySelectorAll('.admonition.choice')].map(choice =>
    [choice.querySelector('.admonition-title ~ p').innerText, style(choice, 'borderLeftColor')]);
  seen.text = style(text, 'color');
  return seen;
})()"""


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_choices_of_a_quiz_are_lines_that_unfold(scheme: str, built_book: Path, browser: Browser) -> None:
    """No boxes; a ring around the focus; what is right is said in words, and shown by colour only when it is open."""
    browser.open(built_book / "notebooks" / "00_a_caption_in_five_minutes.html", scheme=scheme)
    browser.call("Emulation.setFocusEmulationEnabled", enabled=True)
    seen = browser.evaluate(CHOICES)
    browser.call("Emulation.setFocusEmulationEnabled", enabled=False)
    assert seen["ground"] == "rgba(0, 0, 0, 0)" * 2
    assert seen["closed"] == [False, "rgba(0, 0, 0, 0)", "hidden"]
    assert seen["before"][0] == "none" and seen["after"][:2] == ["solid", "3px"]
    assert min(contrast(seen[part], seen["page"]) for part in ("title", "text", "arrow")) >= 4.5
    colours = {
        start: {colour for text, colour in seen["open"] if text.startswith(start)} for start in ("Right:", "Not")
    }
    assert all(len(same) == 1 for same in colours.values()) and colours["Right:"] != colours["Not"], colours
    assert contrast(seen["after"][2], seen["page"]) >= 3
    assert all(contrast(*same, seen["page"]) >= 3 for same in colours.values())
    assert len([text for text, _ in seen["open"] if text.startswith("Right:")]) >= 4


def contrast(one: str, other: str) -> float:
    """The contrast of two colours rgb(r, g, b), from 1 to 21, as the guidelines for accessible pages define it."""

    def light(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, bright = sorted([light(one), light(other)])
    return (bright + 0.05) / (dark + 0.05)


def test_contrast_is_that_of_the_guidelines() -> None:
    """Black on white is 21, a colour on itself 1, and grey #767676 on white just passes."""
    white = "rgb(255, 255, 255)"
    assert contrast("rgb(0, 0, 0)", white) == pytest.approx(21)
    assert contrast(white, white) == 1
    assert 4.5 < contrast("rgb(118, 118, 118)", white) < 4.6


@pytest.mark.browser
def test_browser_would_notice(tmp_path: Path, browser: Browser) -> None:
    """A page that asks for an outside address, throws and logs an error is seen to do all three."""
    page = tmp_path / "bad.html"
    page.write_text(
        '<img src="http://pictures.example/a.png"><script>console.error("logged")</script>'
        '<script>throw new Error("thrown")</script>',
        encoding="utf8",
    )
    seen = browser.open(page)
    assert seen.outside == ["http://pictures.example/a.png"]
    assert any("logged" in error for error in seen.errors)
    assert any("thrown" in error for error in seen.errors)


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//cdn.example/x.css">',
        '<img src="http://cdn.example/x.png">',
        '<iframe src="https://cdn.example/"></iframe>',
        '<img srcset="https://cdn.example/x.png 2x">',
        "<style>@font-face{src:url('https://cdn.example/x.woff')}</style>",
        '<style>@import "//cdn.example/x.css"</style>',
        '<p style="background:url(https://cdn.example/x.png)"></p>',
    ],
)
def test_static_check_would_notice(html: str) -> None:
    """Each way to load something from outside is found."""
    assert len(outside_addresses(BeautifulSoup(html, "html.parser"))) == 1


def test_static_checks_accept_what_is_right() -> None:
    """Links to follow, local files and pictures with a text are fine; a picture without one is not."""
    fine = '<a href="https://a.example">x</a><article><img src="x.png" alt="A red car."></article>'
    assert outside_addresses(BeautifulSoup(fine, "html.parser")) == []
    assert nameless_images(BeautifulSoup(fine, "html.parser")) == []
    assert nameless_images(BeautifulSoup('<article><img src="x.png" alt=""></article>', "html.parser")) == ["x.png"]


@pytest.mark.slow
def test_a_warning_fails_the_build(tmp_path: Path) -> None:
    """The options of the build make a broken reference and a missing page an error, not a line in a log."""
    (tmp_path / "_config.yml").write_text("title: t\nexecute: {execute_notebooks: 'off'}\n", encoding="utf8")
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: a\nchapters:\n- file: gone\n", encoding="utf8")
    (tmp_path / "a.md").write_text("# A\n\n{term}`no such word`\n", encoding="utf8")
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(tmp_path)]
    done = subprocess.run([*command, "-W", "-n", "--keep-going", "-q"], capture_output=True, text=True)
    assert done.returncode != 0
    assert "no such word" in done.stderr
    assert "gone" in done.stderr
