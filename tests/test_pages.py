"""The built pages as a reader meets them: links that lead somewhere, weight, description, search."""

import gzip
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

from tests.browser import Browser
from tests.test_book import PAGES, is_outside, read

LIGHTEST, HEAVIEST = 50_000, 1_500_000  # bytes that a page may weigh with all that it loads, compressed as servers do
GENERATED = ["genindex", "search"]
EVERY = [*PAGES, *GENERATED]

titles: dict[str, str] = {}  # title -> page, of those that were looked at


# --- links ----------------------------------------------------------------------------------------------------------


@cache
def anchors(html: Path) -> frozenset[str]:
    """Every place of a page that a link can lead to."""
    soup = read(html)
    return frozenset(str(tag["id"]) for tag in soup.select("[id]")) | {
        str(tag["name"]) for tag in soup.select("a[name]")
    }


def broken_links(soup: BeautifulSoup, page: Path) -> list[str]:
    """The links of a page that lead to no file of the book, or to no place on it; those that leave it are not asked."""
    found = []
    for tag in soup.select("a[href], area[href], link[href], img[src], script[src]"):
        address = str(tag.get("href", tag.get("src")))
        parts = urlsplit(address)
        if is_outside(address) or parts.scheme in ("mailto", "data", "javascript"):
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        place = unquote(parts.fragment)
        if not target.is_file() or (place and target.suffix == ".html" and place not in anchors(target)):
            found.append(address)
    return found


@pytest.mark.parametrize("page", EVERY)
def test_every_link_leads_somewhere(page: str, built_book: Path) -> None:
    """Files and places alike, in the text, the sidebars and the head."""
    html = built_book / f"{page}.html"
    assert broken_links(read(html), html) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    """A file that is not there, a place that is not there, here and on another page; the others are fine."""
    (tmp_path / "other page.html").write_text('<p id="hier">x</p><a name="old">x</a>', encoding="utf-8")
    links = [
        "#here",
        "#nowhere",
        "other%20page.html#hier",
        "other%20page.html#old",
        "other%20page.html#her",
        "none.html",
    ]
    links += ["https://a.example/#x", "//a.example/x", "mailto:a@b.example", "#", "other%20page.html?q=1"]
    page = tmp_path / "page.html"
    body = "".join(f'<a href="{link}">x</a>' for link in links)
    page.write_text(f'<p id="here">{body}<img src="none.png"></p>', encoding="utf-8")
    assert broken_links(read(page), page) == ["#nowhere", "other%20page.html#her", "none.html", "none.png"]


def test_students_copies_are_no_pages(built_book: Path) -> None:
    """They would double every chapter in the search."""
    assert (built_book / "notebooks").is_dir() and not (built_book / "notebooks" / "student").exists()


# --- weight ---------------------------------------------------------------------------------------------------------


def weight(addresses: list[str]) -> dict[str, int]:
    """Bytes of each file that was loaded, compressed; what a page carries inside itself is part of the page."""
    paths = {Path(unquote(urlsplit(address).path)) for address in addresses if address.startswith("file:")}
    return {path.name: len(gzip.compress(path.read_bytes())) for path in sorted(paths)}


@pytest.mark.browser
@pytest.mark.parametrize("page", [page for page in PAGES if page != "book/live"])  # a captioner weighs more
def test_page_is_light(page: str, built_book: Path, browser: Browser) -> None:
    """With scripts, styles, fonts and pictures, as a browser asks for them."""
    loaded = weight(browser.open(built_book / f"{page}.html").requests)
    total = sum(loaded.values())
    told = f"{total:,} bytes, of which {sorted(loaded.items(), key=lambda item: -item[1])[:5]}"
    assert total > LIGHTEST, f"only {told}"  # otherwise nothing was seen
    assert total <= HEAVIEST, told


def test_weight_counts_each_file_once(tmp_path: Path) -> None:
    """Compressed, and nothing that is not a file."""
    path = tmp_path / "a b.js"
    path.write_text("x" * 100_000)
    assert weight([path.as_uri(), f"{path.as_uri()}?v=1", "data:,x"]) == {
        "a b.js": len(gzip.compress(path.read_bytes()))
    }


# --- what search engines and whoever is sent a link see -------------------------------------------------------------


def content(soup: BeautifulSoup, selector: str) -> str:
    """What the only such element of a page's head says."""
    (tag,) = soup.head.select(selector) if soup.head else ()
    return str(tag.get("content", tag.get_text()))


@pytest.mark.parametrize("page", EVERY)
def test_page_says_what_it_is(page: str, built_book: Path) -> None:
    """A title of its own, and a description that is no piece of code."""
    soup = read(built_book / f"{page}.html")
    title = content(soup, "title")
    assert titles.setdefault(title, page) == page, f"{titles[title]} has the same title"
    name = title.removesuffix(" — µVLM-mini").removesuffix(" - µVLM-mini")
    assert name != title and content(soup, "meta[property='og:title']") == name
    described = content(soup, "meta[name=description]")
    assert 25 <= len(described) <= 200 and described[-1] in ".?…", described
    assert not set(described) & set("<>{}$\\`"), described
    assert content(soup, "meta[property='og:description']") == described
    assert content(soup, "meta[property='og:site_name']") == "µVLM-mini"


def test_descriptions_differ(built_book: Path) -> None:
    """A sentence that stands on every page says nothing of any."""
    said = [content(read(built_book / f"{page}.html"), "meta[name=description]") for page in EVERY]
    assert len(set(said)) == len(said)


# --- the search -----------------------------------------------------------------------------------------------------

HITS = "[...document.querySelectorAll('#search-results ul.search a')].map(a => a.getAttribute('href'))"


@pytest.fixture(scope="module")
def searching(built_book: Path, browser: Browser) -> Iterator[Browser]:
    """The page that searches, opened from the disk."""
    assert (built_book / "searchindex.js").stat().st_size > 10_000
    page = browser.open(f"{(built_book / 'search.html').as_uri()}?q=GCDM")
    yield browser
    assert page.errors == [] and page.outside == []


@pytest.mark.browser
def test_search_finds_a_word_without_a_server(searching: Browser, built_book: Path) -> None:
    """GCDM: its chapter and its entry in the glossary, by links that lead there."""
    done = "document.querySelector('#search-results .search-summary')?.textContent.includes('found')"
    assert searching.wait_until(done)
    hits = searching.evaluate(HITS)
    assert "notebooks/05_gcdm_and_attssm.html" in hits and "book/glossary.html#term-GCDM" in hits
    html = built_book / "search.html"
    links = "".join(f'<a href="{hit}">x</a>' for hit in hits)
    assert broken_links(BeautifulSoup(links, "html.parser"), html) == []


@pytest.mark.browser
def test_search_finds_nothing_where_nothing_is(built_book: Path, browser: Browser) -> None:
    """Otherwise the test above would prove little."""
    browser.open(f"{(built_book / 'search.html').as_uri()}?q=qwertzuiop")
    assert browser.wait_until("document.querySelector('#search-results').textContent.includes('did not match')")
    assert browser.evaluate(HITS) == []
