"""The live page: the data set's drawings in JavaScript, and the captioner in a browser, to the same bytes as here."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts import build_live
from tests.browser import Browser
from tests.conftest import ROOT
from uvlm_mini.datasets.drawing import COLORS
from uvlm_mini.datasets.scenes import Scene, Thing, compose
from uvlm_mini.deploy import wasm
from uvlm_mini.paths import data_path

READY = "Number(document.getElementById('live').dataset.captions || 0) > 0"


def lacking(find: Any) -> str:
    """What is missing, in one sentence; nothing if it is here."""
    try:
        find()
    except RuntimeError as error:
        return str(error)
    return ""


pytestmark = pytest.mark.skipif(bool(lacking(wasm.compiler)), reason=lacking(wasm.compiler))


@pytest.mark.skipif(bool(lacking(wasm.node)), reason=lacking(wasm.node))
def test_drawings_are_the_data_sets(tmp_path: Path) -> None:
    """Every kind, every background, mirrored or not, at the model's size and at another: not one byte differs."""
    scenes = [compose(f"live/{i}", {3: 1.0}) for i in range(40)]
    given = {"drawing": build_live.drawing(16), "scenes": [scene.graph() for scene in scenes], "sizes": [64, 128]}
    assert {s.background for s in scenes} == set(given["drawing"]["backgrounds"])
    assert {t.kind for s in scenes for t in s.things} == set(given["drawing"]["kinds"])
    assert {t.flip for s in scenes for t in s.things} == {True, False}
    (tmp_path / "given.json").write_text(json.dumps(given))
    (tmp_path / "draw.js").write_text(
        f"const {{ Drawing }} = require({json.dumps(str(ROOT / 'book' / 'live' / 'draw.js'))});\n"
        "const given = JSON.parse(require('fs').readFileSync('given.json'));\n"
        "const drawing = new Drawing(given.drawing), made = [];\n"
        "for (const scene of given.scenes)\n"
        "  for (const side of given.sizes) made.push(Buffer.from(drawing.scene(scene, side)));\n"
        "require('fs').writeFileSync('made.bin', Buffer.concat(made));\n"
    )
    subprocess.run([wasm.node(), "draw.js"], cwd=tmp_path, check=True, timeout=120)
    expected = b"".join(scene.draw(side).tobytes() for scene in scenes for side in given["sizes"])
    assert (tmp_path / "made.bin").read_bytes() == expected


def test_a_page_of_two_megabytes(built_book: Path) -> None:
    """Everything that the page brings beside the theme."""
    made = built_book / "_static" / "live"
    assert {path.name for path in made.iterdir()} == {"data.js", "draw.js", "live.css", "live.js", "stage.js"}
    page = built_book / "book" / "live.html"
    assert sum(path.stat().st_size for path in (*made.iterdir(), page)) < 2_000_000


@pytest.fixture(scope="module", params=["simd", "plain"])
def live(request: pytest.FixtureRequest, built_book: Path, browser: Browser) -> Iterator[Browser]:
    """The page, opened from the disk, with a caption in it."""
    query = "" if request.param == "simd" else "?plain"
    page = browser.open(f"{(built_book / 'book' / 'live.html').as_uri()}{query}")
    assert browser.wait_until(READY, 30)
    assert browser.evaluate("document.getElementById('live').dataset.build") == request.param
    assert page.errors == [] and page.outside == []
    yield browser
    assert page.errors == [] and page.outside == []


def captioned(live: Browser, action: str) -> str:
    """What the page says once it has captioned what an action leaves on the stage."""
    idle = "!document.getElementById('live').dataset.busy"
    assert live.wait_until(idle)
    before = live.evaluate("Number(document.getElementById('live').dataset.captions)")
    live.evaluate(action)
    assert live.wait_until(f"{idle} && Number(document.getElementById('live').dataset.captions) > {before}")
    return str(live.evaluate("document.querySelector('[data-live=told]').textContent"))


def scene_of(live: Browser) -> Scene:
    """The scene on the stage."""
    scene = live.evaluate("JSON.parse(document.getElementById('live').dataset.scene)")
    things = tuple(
        Thing(t["kind"], t["color"], t["size"], t["x"], t["y"], t["box"], COLORS[t["color"]], t["flip"])
        for t in scene["things"]
    )
    return Scene(scene["background"], scene["variant"], things)


def test_it_says_what_c_says(live: Browser) -> None:
    """Of the scenes that its button composes."""
    from uvlm_mini.deploy.blob import CCaptioner

    captioner = CCaptioner(data_path("uvlm_mini.bin").read_bytes())
    for _ in range(6):
        said = captioned(live, "document.querySelector('[data-live=another]').click()")
        assert said == captioner.caption(scene_of(live).draw())


def press(live: Browser, key: str) -> str:
    """Press a key on the stage."""
    event = f"new KeyboardEvent('keydown', {{key: {json.dumps(key)}, bubbles: true, cancelable: true}})"
    return captioned(live, f"document.querySelector('[data-live=stage]').dispatchEvent({event})")


def test_keys_move_choose_and_remove(live: Browser) -> None:
    """The arrow keys move the chosen thing and no other; space chooses the next; Delete takes it away."""
    captioned(live, "document.querySelector('[data-live=clear]').click()")
    for kind in ("cat", "star"):
        captioned(live, f"document.querySelector('[aria-label=\"Add: {kind}\"]').click()")
    press(live, " ")
    cat, star = scene_of(live).things
    for key in ("ArrowLeft",) * 40:
        live.evaluate(
            "document.querySelector('[data-live=stage]').dispatchEvent("
            f"new KeyboardEvent('keydown', {{key: '{key}', bubbles: true}}))"
        )
    press(live, "ArrowDown")
    moved, other = scene_of(live).things
    assert (moved.kind, moved.x, moved.y) == ("cat", 0, min(cat.y + 2, 64 - cat.box)) and other == star
    press(live, "Delete")
    assert [t.kind for t in scene_of(live).things] == ["star"]


def test_the_pointer_drags(live: Browser) -> None:
    """From the middle of a thing to the middle of the picture."""
    captioned(live, "document.querySelector('[data-live=clear]').click()")
    captioned(live, "document.querySelector('[aria-label=\"Add: apple\"]').click()")
    thing = scene_of(live).things[0]
    frame = live.evaluate(
        "(() => { const r = document.querySelector('[data-live=stage]').getBoundingClientRect();"
        " return [r.left, r.top, r.width]; })()"
    )
    left, top, width = frame
    start = [left + (thing.x + thing.box / 2) * width / 64, top + (thing.y + thing.box / 2) * width / 64]
    end = [left + width / 2, top + width / 2]
    for kind, (x, y) in (("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end)):
        buttons = {"button": "left", "buttons": 1, "clickCount": 1}
        live.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **buttons)
    assert live.wait_until(
        "(() => { const t = JSON.parse(document.getElementById('live').dataset.scene).things[0];"
        " return Math.abs(t.x + t.box / 2 - 32) <= 1 && Math.abs(t.y + t.box / 2 - 32) <= 1; })()"
    )


def test_five_things_are_enough(live: Browser) -> None:
    """A sixth is refused in one sentence."""
    captioned(live, "document.querySelector('[data-live=clear]').click()")
    live.evaluate("document.querySelector('[name=live-size][value=small]').click()")
    for _ in range(6):
        live.evaluate("document.querySelector('[aria-label=\"Add: ball\"]').click()")
    assert len(scene_of(live).things) == 5
    live.evaluate("document.querySelector('[aria-label=\"Add: ball\"]').click()")
    assert "remove one" in live.evaluate("document.querySelector('[data-live=status]').textContent")


def drop(name: str, content: bytes) -> str:
    """JavaScript that drops a file on the page."""
    data = base64.b64encode(content).decode()
    return (
        "(() => { const transfer = new DataTransfer();"
        f" const bytes = Uint8Array.from(atob('{data}'), (c) => c.charCodeAt(0));"
        f" transfer.items.add(new File([bytes], '{name}'));"
        " const event = new DragEvent('drop', {dataTransfer: transfer, bubbles: true});"
        " document.getElementById('live').dispatchEvent(event); })()"
    )


def test_a_dropped_picture_is_captioned(live: Browser, tmp_path: Path) -> None:
    """The picture whose caption is known, as a file of its own size: its very pixels are captioned."""
    from PIL import Image

    from uvlm_mini.datasets.scenes import scene

    Image.fromarray(scene("test", 28).draw()).save(tmp_path / "golden.png")
    said = captioned(live, drop("golden.png", (tmp_path / "golden.png").read_bytes()))
    assert said == data_path("golden.txt").read_text(encoding="utf-8").strip()


def test_what_is_no_picture_is_told(live: Browser) -> None:
    """And the stage stays as it is."""
    before = scene_of(live)
    live.evaluate(drop("notes.txt", b"not a picture"))
    told = "document.querySelector('[data-live=status]').textContent"
    assert live.wait_until(f"{told}.includes('notes.txt is no picture')")
    assert scene_of(live) == before


def test_a_damaged_blob_is_told(live: Browser) -> None:
    """The worker answers with a sentence."""
    said = live.evaluate(
        "new Promise((done) => { const bytes = (t) => Uint8Array.from(atob(t), (c) => c.charCodeAt(0));"
        " const worker = new Worker(URL.createObjectURL(new Blob([UVLM.worker])));"
        " worker.onmessage = ({data}) => done(data.error); const blob = bytes(UVLM.blob); blob[5000] ^= 1;"
        " worker.postMessage({wasm: bytes(UVLM.wasm.plain), blob, beam: 3}); })"
    )
    assert "damaged" in said


def test_words_show_where_the_decoder_looked(live: Browser) -> None:
    """A word under the pointer lays its bias map over the picture, and each has one of its own."""
    captioned(live, "document.querySelector('[data-live=another]').click()")
    count = "document.querySelectorAll('.live-word').length"
    seen = live.evaluate(
        "(() => [...document.querySelectorAll('.live-word')].map((word) => {"
        " word.dispatchEvent(new PointerEvent('pointerenter'));"
        " const veil = document.querySelector('[data-live=veil]');"
        " return Array.from(veil.getContext('2d').getImageData(0, 0, veil.width, veil.height).data).join(); }))()"
    )
    assert len(seen) == live.evaluate(count) and len(set(seen)) > 2
    assert np.sqrt(len(seen[0].split(",")) / 4) == 8  # as many places as the features have


def test_geometry_that_changed_is_noticed() -> None:
    """What draw.js is given is made from drawing.py, so that a new kind arrives without anybody's help."""
    from uvlm_mini.datasets import drawing

    made = build_live.drawing()
    assert list(made["kinds"]) == list(drawing.KINDS) and set(made["backgrounds"]) == set(drawing.BACKGROUNDS)
    assert sys.getsizeof(json.dumps(made)) < 200_000
