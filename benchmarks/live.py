"""How soon the live page speaks: the first caption after the page's load event, and every further one after a change.

python -m benchmarks.live          a minute; builds the book if it is not built, and takes a Chromium (tests/browser.py)

Each build of the captioner, with SIMD and without. A change is a click or a key in the page itself; its caption is
there once the page has written it. What the worker counts of it, encoder and search, stands beside.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np

from benchmarks import record
from tests.browser import Browser, chromium

HTML = record.ROOT / "book" / "_build" / "html"
SOURCES = [
    "benchmarks/live.py",
    "book/live/draw.js",
    "book/live/familiarity.js",
    "book/live/live.js",
    "book/live/stage.js",
    "book/live/worker.js",
    "csrc/ports/wasm/captioner.c",
    "csrc/ports/wasm/captioner.js",
    "data/uvlm_mini.bin",
    "tests/browser.py",
]
BUILDS = {"with SIMD": "", "without SIMD": "?plain"}
OPENINGS, CHANGES = 10, 100
FIRST, FURTHER = 1000, 150  # ms: what the page is to keep
LIVE = "document.getElementById('live')"
ACTIONS = {
    "another scene": "document.querySelector('[data-live=another]').click()",
    "an arrow key": "document.querySelector('[data-live=stage]').dispatchEvent("
    "new KeyboardEvent('keydown', {key: ['ArrowLeft', 'ArrowRight'][i % 2], bubbles: true, cancelable: true}))",
}
# One change after the other, each when the page is idle; [ms until its caption is written, ms that the worker counted].
CHANGE = """
(async () => {
  const live = document.getElementById('live'), told = [];
  for (let i = 0; i < COUNT; i++) {
    while (live.dataset.busy) await new Promise((done) => setTimeout(done, 1));
    const written = new Promise((done) => {
      const observer = new MutationObserver(() => { observer.disconnect(); done(performance.now()); });
      observer.observe(live, { attributes: true, attributeFilter: ['data-captions'] });
    });
    const start = performance.now();
    ACTION;
    const end = await written;
    told.push([end - start, parseFloat(document.querySelector('[data-live=time]').textContent)]);
    await new Promise((done) => setTimeout(done, 20));
  }
  return told;
})()
"""


def opened(browser: Browser, query: str) -> float:
    """Load the page; ms from its load event to its first caption, below 0 if the caption was there before."""
    browser.open(f"{(HTML / 'book' / 'live.html').as_uri()}{query}")
    if not browser.wait_until(f"{LIVE}.dataset.first", 60):
        raise RuntimeError("The live page says nothing within a minute; run `pytest tests/test_live.py`.")
    loaded = browser.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    return float(browser.evaluate(f"{LIVE}.dataset.first")) - loaded


def changed(browser: Browser, action: str, count: int) -> np.ndarray:
    """(count, 2): ms from a change to its caption, and ms of encoder and search, to a whole one."""
    script = CHANGE.replace("COUNT", str(count)).replace("ACTION", ACTIONS[action])
    return np.array(browser.evaluate(script))


def spread(ms: np.ndarray | list[float]) -> dict[str, float]:
    """Median, the time that 95 of 100 stay under, and the worst."""
    return {
        "median": round(float(np.median(ms)), 1),
        "95 %": round(float(np.quantile(ms, 0.95)), 1),
        "worst": round(float(np.max(ms)), 1),
    }


def measure(browser: Browser, build: str, openings: int = OPENINGS, changes: int = CHANGES) -> dict[str, Any]:
    """One row: a build of the captioner."""
    firsts = [opened(browser, BUILDS[build]) for _ in range(openings)]
    row: dict[str, Any] = {"openings": openings, "first caption after the load event, ms": spread(firsts)}
    for action in ACTIONS:
        told = changed(browser, action, changes)
        row[action] = {"changes": changes, "ms": spread(told[:, 0]), "encoder and search, ms": spread(told[:, 1])}
    return row


def weight() -> dict[str, int]:
    """Bytes of what the page brings beside the theme, by file."""
    files = [HTML / "book" / "live.html", *sorted((HTML / "_static" / "live").iterdir())]
    return {path.name: path.stat().st_size for path in files}


def main() -> None:
    """Measure both builds, print them and write the result file."""
    subprocess.run([sys.executable, str(record.ROOT / "scripts" / "build_book.py")], cwd=record.ROOT, check=True)
    with chromium() as browser:
        rows: dict[str, Any] = {build: measure(browser, build) for build in BUILDS}
        version = browser.call("Browser.getVersion")["product"]
    for build, row in rows.items():
        first = row["first caption after the load event, ms"]
        further = ", ".join(f"{action} {row[action]['ms']['worst']} ms" for action in ACTIONS)
        print(f"{build}: first caption at worst {first['worst']} ms after the load event; at worst after {further}")
    rows["bytes"] = weight()
    note = f"{version} without a window or a GPU, the page from the disk; times depend on the machine and its load"
    print(record.save("live", rows, [], SOURCES, spread=0.0, note=note))


if __name__ == "__main__":
    main()
