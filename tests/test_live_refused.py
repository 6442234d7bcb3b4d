"""The live page where something is wrong: with a file, with the browser, with what the page itself brings.

Each time a sentence stands in the page, and nothing in the console.
"""

import base64
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.browser import Browser, Page, chromium, find_chromium
from tests.test_live import READY, captioned, drop, lacking, scene_of
from uvlm_mini.datasets.scenes import scene
from uvlm_mini.deploy import wasm
from uvlm_mini.paths import data_path

pytestmark = pytest.mark.skipif(bool(lacking(wasm.compiler)), reason=lacking(wasm.compiler))

STATUS = "document.querySelector('[data-live=status]').textContent"
TIME = "document.querySelector('[data-live=time]').textContent"
GOLDEN = data_path("golden.txt").read_text(encoding="utf-8").strip()


@pytest.fixture(scope="module")
def address(built_book: Path) -> str:
    return (built_book / "book" / "live.html").as_uri()


def png(image: Image.Image, **options: Any) -> bytes:
    """A picture as the bytes of a PNG file."""
    made = io.BytesIO()
    image.save(made, "PNG", **options)
    return made.getvalue()


SCENE = png(Image.fromarray(scene("test", 28).draw()))


# ----------------------------------------------------------------------------------------------------------------
# Files


@pytest.fixture(scope="module")
def live(address: str, browser: Browser) -> Iterator[Browser]:
    """The page with a caption in it."""
    page = browser.open(address)
    assert browser.wait_until(READY, 30)
    yield browser
    assert browser.evaluate("1") == 1  # what happened last has been recorded
    assert page.errors == [] and page.outside == []


def cut_off() -> bytes:
    """A PNG file whose pixels end in the middle."""
    whole = png(scene_picture())
    return whole[: len(whole) // 2]


def scene_picture() -> Image.Image:
    return Image.fromarray(scene("test", 28).draw(256))


FILES = {
    "a text": ("notes.txt", b"not a picture", "notes.txt is no picture that this browser reads"),
    "nothing": ("empty.png", b"", "empty.png is no picture"),
    "a text with another name": ("notes.png", b"not a picture", "notes.png is no picture"),
    "a head alone": ("head.png", SCENE[:12], "head.png is no picture"),
    "cut off": ("half.png", cut_off(), "half.png cannot be read to its end"),
    "huge": ("huge.png", png(Image.new("1", (12000, 12000))), "huge.png is 12000 x 12000 pixels; scale it under"),
    "long": ("long.png", png(Image.new("1", (30000, 2500))), "long.png is 30000 x 2500 pixels; scale it under"),
    "tiny": ("tiny.png", png(Image.new("RGB", (100, 7))), "tiny.png is 100 x 7 pixels; give a picture of 8 x 8"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_captioned_is_told(live: Browser, name: str) -> None:
    """In one sentence, and the scene stays on the stage. The page answers meanwhile."""
    file, content, sentence = FILES[name]
    before = scene_of(live)
    live.evaluate(
        "(window.longest = 0, window.beat = performance.now(), window.clock ||= setInterval(() => {"
        " longest = Math.max(longest, performance.now() - beat); beat = performance.now(); }, 10))"
    )
    live.evaluate(drop(file, content))
    assert live.wait_until(f"{STATUS}.includes({json.dumps(sentence)})"), live.evaluate(STATUS)
    assert live.evaluate(STATUS).endswith(".")
    assert live.evaluate("longest") < 2000  # ms: nothing of that size was decoded where the page is drawn
    assert scene_of(live) == before
    assert live.evaluate("document.querySelector('[data-live=stage]').ariaLabel").startswith("Scene")


def test_a_file_of_too_many_bytes_is_told(live: Browser) -> None:
    """Before anything of it is read."""
    live.evaluate(
        "(() => { const transfer = new DataTransfer();"
        " transfer.items.add(new File([new Uint8Array(51e6)], 'photo.raw'));"
        " document.getElementById('live').dispatchEvent("
        "new DragEvent('drop', {dataTransfer: transfer, bubbles: true})); })()"
    )
    assert live.evaluate(STATUS) == "photo.raw has 51 MB; give a picture of at most 50 MB."


def test_what_is_no_file_is_let_be(live: Browser) -> None:
    """Dropped text, or a chooser that was left without choosing."""
    captions = live.evaluate("document.getElementById('live').dataset.captions")
    live.evaluate(
        "(() => { const transfer = new DataTransfer(); transfer.setData('text/plain', 'a cat');"
        " document.getElementById('live').dispatchEvent("
        "new DragEvent('drop', {dataTransfer: transfer, bubbles: true}));"
        " document.getElementById('live-file').dispatchEvent(new Event('change')); })()"
    )
    assert live.evaluate("document.getElementById('live').dataset.captions") == captions


def test_after_all_that_a_picture_is_captioned(live: Browser) -> None:
    assert captioned(live, drop("golden.png", SCENE)) == GOLDEN
    assert live.evaluate(STATUS) == ""


def test_of_two_files_the_last_one_is_shown(live: Browser) -> None:
    """However long the first one takes."""
    large = png(Image.effect_noise((3000, 3000), 80).convert("RGB"), compress_level=1)
    live.evaluate(drop("large.png", large))
    assert captioned(live, drop("golden.png", SCENE)) == GOLDEN
    live.evaluate("new Promise((done) => setTimeout(done, 1500))")
    said = live.evaluate("document.querySelector('[data-live=told]').textContent")
    assert said == GOLDEN and live.evaluate(STATUS) == ""


# ----------------------------------------------------------------------------------------------------------------
# Browsers


def another(*flags: str) -> Iterator[Browser]:
    if find_chromium() is None:
        pytest.skip("no Chromium on this machine (apt install chromium, or set CHROME)")
    with chromium(*flags) as running:
        yield running


@pytest.fixture(scope="module")
def without_simd() -> Iterator[Browser]:
    """As on a processor whose vectors WebAssembly's cannot be made of."""
    yield from another("--js-flags=--no-enable-sse4-1")


@pytest.fixture(scope="module")
def without_webassembly() -> Iterator[Browser]:
    """No code is made at run time, as some devices are set to."""
    yield from another("--js-flags=--jitless")


def failed(browser: Browser, page: Page, sentence: str, seconds: float = 15) -> None:
    """The page says so, says nothing else, offers nothing, and its console is empty."""
    assert browser.wait_until(f"{STATUS}.includes({json.dumps(sentence)})", seconds), browser.evaluate(STATUS)
    assert browser.evaluate(STATUS).endswith(".") and browser.evaluate(TIME) == ""
    hidden = "[...document.querySelectorAll('#live button, #live input')].every((one) => !one.checkVisibility())"
    assert browser.evaluate(hidden)
    assert browser.evaluate("document.querySelector('[data-live=status]').checkVisibility()")
    assert page.errors == [] and page.outside == []


def test_without_simd_the_plain_build_says_the_same(without_simd: Browser, address: str) -> None:
    """Caption and the number behind the warning, to the last digit."""
    page = without_simd.open(address)
    assert without_simd.wait_until(READY, 30)
    assert not without_simd.evaluate(
        "WebAssembly.validate(Uint8Array.from(atob(UVLM.wasm.simd), (c) => c.charCodeAt(0)))"
    )
    assert without_simd.evaluate("document.getElementById('live').dataset.build") == "plain"
    assert "without SIMD" in without_simd.evaluate(TIME)
    assert captioned(without_simd, drop("golden.png", SCENE)) == GOLDEN
    strange = without_simd.evaluate("document.getElementById('live').dataset.strange")
    assert page.errors == [] and page.outside == []
    from uvlm_mini.deploy import familiar
    from uvlm_mini.deploy.blob import CCaptioner

    blob = data_path("uvlm_mini.bin").read_bytes()
    ours = familiar.strangeness(CCaptioner(blob), familiar.read(blob), scene("test", 28).draw()[None])
    assert float(strange) == pytest.approx(ours[0], rel=1e-9)


def test_without_webassembly_a_sentence(without_webassembly: Browser, address: str) -> None:
    page = without_webassembly.open(address)
    assert without_webassembly.evaluate("typeof WebAssembly") == "undefined"
    failed(without_webassembly, page, "This browser runs no WebAssembly")


def test_without_storage_it_captions(browser: Browser, address: str) -> None:
    """The page keeps nothing. What the theme makes of it is the theme's: nothing of ours stands in the console."""
    refused = (
        "for (const name of ['localStorage', 'sessionStorage', 'indexedDB', 'caches']) Object.defineProperty(window,"
        " name, {get() { throw new DOMException('Access is denied for this document.', 'SecurityError'); }});"
    )
    with browser.running_first(refused):
        page = browser.open(address)
        assert browser.wait_until(READY, 30)
        assert captioned(browser, drop("golden.png", SCENE)) == GOLDEN
    assert [text for text in page.errors if "/live/" in text] == [] and page.outside == []


WORKERS = {
    "none": (
        "window.Worker = class { constructor() { throw new DOMException('no worker here', 'SecurityError'); } };",
        "This browser starts no worker for a page like this (no worker here)",
    ),
    "one that does not start": (
        "const Whole = Worker; window.Worker = class extends Whole {"
        " constructor() { super(URL.createObjectURL(new Blob(['throw new Error(\"broken\")']))); } };",
        "The captioner stopped: Uncaught Error: broken; load the page again",
    ),
}


@pytest.mark.parametrize("name", WORKERS)
def test_without_a_worker_a_sentence(browser: Browser, address: str, name: str) -> None:
    script, sentence = WORKERS[name]
    with browser.running_first(script):
        failed(browser, browser.open(address), sentence)


# ----------------------------------------------------------------------------------------------------------------
# What the page brings


def flipped(blob: bytes) -> str:
    """A blob with one bit changed, as base64."""
    place = len(blob) // 2
    return base64.b64encode(blob[:place] + bytes([blob[place] ^ 1]) + blob[place + 1 :]).decode()


BLOB = data_path("uvlm_mini.bin").read_bytes()
DAMAGED = {
    "no base64": ("it.blob = '?' + it.blob.slice(1);", "The captioner's data came damaged; load the page again."),
    "cut off": (
        "it.blob = it.blob.slice(0, 400000);",
        "could not be opened (The captioner refused the blob",
    ),
    "empty": ("it.blob = '';", "could not be opened (The captioner refused the blob"),
    "one bit": (f"it.blob = {json.dumps(flipped(BLOB))};", "is cut off or damaged"),
    "no module": (
        "it.wasm.plain = it.wasm.simd = it.wasm.plain.slice(0, 20000);",
        "could not be opened (WebAssembly.Module()",
    ),
    "no measure": ("it.familiarity.whiten = '?';", "The captioner's data came damaged; load the page again."),
    "half of it": ("delete it.wasm;", "The captioner's data came damaged; load the page again."),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_data_is_told(browser: Browser, address: str, name: str) -> None:
    """The script of the data runs, but what it brings is not what was sent."""
    change, sentence = DAMAGED[name]
    script = (
        "{ let kept; Object.defineProperty(window, 'UVLM',"
        f" {{get() {{ return kept; }}, set(it) {{ {change} kept = it; }}}}); }}"
    )
    with browser.running_first(script):
        failed(browser, browser.open(address), sentence)


def test_data_that_do_not_come_are_told(browser: Browser, address: str) -> None:
    """The console says that the file was missing, which is the browser's own word; nothing else stands there."""
    browser.call("Network.setBlockedURLs", urls=["*/live/data.js"])
    try:
        page = browser.open(address)
        assert browser.wait_until(f"{STATUS}.includes('data did not come')")
    finally:
        browser.call("Network.setBlockedURLs", urls=[])
    assert page.errors and all(text.startswith("request failed") for text in page.errors)


def test_without_scripts_a_sentence(browser: Browser, address: str) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.call("Page.navigate", url=address)
        seen, end = "", time.monotonic() + 15
        while "runs none here" not in seen and time.monotonic() < end:
            told = browser.call("Runtime.evaluate", expression="document.body ? document.body.innerText : ''")
            seen = told["result"]["value"]
        assert "The captioner is a script, and this browser runs none here; allow it for this page." in seen
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
