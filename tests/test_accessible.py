"""The built pages for everyone: what axe-core, the engine of most accessibility checkers, finds on them.

It looks at each page in a browser, in light and dark, with everything unfolded: contrast, names of buttons and links,
alternative texts, order of headings, regions that scroll. What it cannot decide (contrast over a picture) it reports as
undecided, and that is not counted here; nor is what it calls moderate or minor.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import axe_core_python
import pytest

from tests.browser import Browser
from tests.test_book import PAGES
from tests.test_pages import GENERATED

AXE = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
SERIOUS = ("serious", "critical")
UNFOLD = """
document.querySelectorAll('details').forEach(e => { e.open = true });
document.querySelectorAll('.toggle-hidden').forEach(e => e.classList.remove('toggle-hidden'));
"""
# Nothing may be in between: a colour that still changes is neither the old nor the new one.
STILL = """
document.head.appendChild(document.createElement('style')).textContent =
  '* { transition: none !important; animation: none !important }'
"""
RUN = """
axe.run(document, {resultTypes: ['violations']}).then(result => JSON.stringify({
  contrasts: result.passes.filter(rule => rule.id === 'color-contrast').length,
  violations: result.violations.map(rule => ({
    id: rule.id, impact: rule.impact, where: rule.nodes.map(node => node.html.slice(0, 120)),
  })),
}))
"""


def findings(browser: Browser) -> dict:
    """What axe-core says of the page that is open, once it is unfolded."""
    browser.evaluate(f"{STILL}; {UNFOLD}; {AXE}; 1")
    found: dict = json.loads(browser.evaluate(RUN))
    return found


def grave(found: dict) -> list[dict]:
    """The violations that count."""
    return [rule for rule in found["violations"] if rule["impact"] in SERIOUS]


@pytest.fixture
def patient(browser: Browser) -> Iterator[Browser]:
    """The browser, given more time than usual: on a page with thousands of elements axe-core takes a while."""
    browser.socket.settimeout(240)
    yield browser
    browser.socket.settimeout(60)


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", [*PAGES, *GENERATED])
def test_page_has_no_serious_finding(page: str, scheme: str, built_book: Path, patient: Browser) -> None:
    """And its contrasts were looked at."""
    patient.open(built_book / f"{page}.html", scheme=scheme)
    found = findings(patient)
    assert found["contrasts"], "no contrast was looked at"
    assert grave(found) == []


BAD = """<!doctype html><html lang="en"><head><title>A page</title></head><body><main><h1>A page</h1>
<p style="color: #999; background: #fff">grey</p><img src="x.png"><button></button>
<details><summary>More</summary><a href="x.html"></a></details></main></body></html>"""


@pytest.mark.browser
def test_axe_would_notice(tmp_path: Path, patient: Browser) -> None:
    """Grey on white, a picture and a button without a name, and a nameless link that is folded away."""
    page = tmp_path / "bad.html"
    page.write_text(BAD, encoding="utf-8")
    patient.open(page)
    found = grave(findings(patient))
    assert {rule["id"] for rule in found} == {"color-contrast", "image-alt", "button-name", "link-name"}
