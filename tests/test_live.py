"""The live page: the data set's drawings in JavaScript, and the captioner in a browser, to the same bytes as here."""

import base64
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks import familiar as strange
from benchmarks import live as bench
from scripts import build_live
from tests.browser import Browser
from tests.conftest import ROOT
from uvlm_mini import cli
from uvlm_mini.datasets.drawing import COLORS
from uvlm_mini.datasets.scenes import Scene, Thing, compose, scene
from uvlm_mini.deploy import familiar, wasm
from uvlm_mini.deploy.blob import CCaptioner
from uvlm_mini.paths import data_path, result

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
    assert {path.name for path in made.iterdir()} == {"data.js", *build_live.PAGE}
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
    captioner = CCaptioner(data_path("uvlm_mini.bin").read_bytes())
    for _ in range(6):
        said = captioned(live, "document.querySelector('[data-live=another]').click()")
        assert said == captioner.caption(scene_of(live).draw())


KEYS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Delete": 46, " ": 32}


def strike(live: Browser, key: str, shift: bool = False) -> None:
    """A key of the keyboard, wherever the focus is."""
    about = {"key": key, "windowsVirtualKeyCode": KEYS[key], "modifiers": 8 * shift}
    for kind in ("keyDown", "keyUp"):
        live.call("Input.dispatchKeyEvent", type=kind, **about)


def press(live: Browser, key: str) -> str:
    """Press a key on the stage, and wait for what is said then."""
    live.evaluate("document.querySelector('[data-live=stage]').focus()")
    idle = "!document.getElementById('live').dataset.busy"
    assert live.wait_until(idle)
    before = live.evaluate("Number(document.getElementById('live').dataset.captions)")
    strike(live, key)
    assert live.wait_until(f"{idle} && Number(document.getElementById('live').dataset.captions) > {before}")
    return str(live.evaluate("document.querySelector('[data-live=told]').textContent"))


def test_keys_move_choose_and_remove(live: Browser) -> None:
    """The arrow keys move the chosen thing and no other; space chooses the next; Delete takes it away."""
    captioned(live, "document.querySelector('[data-live=clear]').click()")
    for kind in ("cat", "star"):
        captioned(live, f"document.querySelector('[aria-label=\"Add: {kind}\"]').click()")
    press(live, " ")
    cat, star = scene_of(live).things
    for _ in range(40):
        strike(live, "ArrowLeft")
    assert live.evaluate("document.activeElement.dataset.live") == "stage"
    press(live, "ArrowDown")
    moved, other = scene_of(live).things
    assert (moved.kind, moved.x, moved.y) == ("cat", 0, min(cat.y + 2, 64 - cat.box)) and other == star
    strike(live, "ArrowRight", shift=True)
    assert scene_of(live).things[0].x == 8
    at = live.evaluate("scrollY")
    press(live, "Delete")
    assert [t.kind for t in scene_of(live).things] == ["star"]
    assert live.evaluate("scrollY") == at  # the keys moved the thing, not the page


def dragged(live: Browser, events: tuple[str, str, str], send: Callable[[str, float, float], object]) -> None:
    """A lone apple from where it lies to the middle of the picture, by three events of some kind."""
    captioned(live, "document.querySelector('[data-live=clear]').click()")
    captioned(live, "document.querySelector('[aria-label=\"Add: apple\"]').click()")
    thing = scene_of(live).things[0]
    left, top, width = live.evaluate(
        "(() => { const r = document.querySelector('[data-live=stage]').getBoundingClientRect();"
        " return [r.left, r.top, r.width]; })()"
    )
    assert abs(thing.x + thing.box / 2 - 32) > 1 or abs(thing.y + thing.box / 2 - 32) > 1
    start = [left + (thing.x + thing.box / 2) * width / 64, top + (thing.y + thing.box / 2) * width / 64]
    end = [left + width / 2, top + width / 2]
    for kind, (x, y) in zip(events, (start, end, end), strict=True):
        send(kind, x, y)
    assert live.wait_until(
        "(() => { const t = JSON.parse(document.getElementById('live').dataset.scene).things[0];"
        " return Math.abs(t.x + t.box / 2 - 32) <= 1 && Math.abs(t.y + t.box / 2 - 32) <= 1; })()"
    )
    assert live.wait_until("!document.getElementById('live').dataset.busy")
    captioner = CCaptioner(data_path("uvlm_mini.bin").read_bytes())
    said = live.evaluate("document.querySelector('[data-live=told]').textContent")
    assert said == captioner.caption(scene_of(live).draw())


def test_the_pointer_drags(live: Browser) -> None:
    """A mouse."""

    def send(kind: str, x: float, y: float) -> None:
        live.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    dragged(live, ("mousePressed", "mouseMoved", "mouseReleased"), send)


def test_a_finger_drags(live: Browser) -> None:
    """Touch comes as a pointer of that type, and the page under it does not scroll."""

    def send(kind: str, x: float, y: float) -> None:
        live.call("Input.dispatchTouchEvent", type=kind, touchPoints=[] if kind == "touchEnd" else [{"x": x, "y": y}])

    live.call("Emulation.setTouchEmulationEnabled", enabled=True)
    try:
        live.evaluate(
            "(window.types = [], document.querySelector('[data-live=stage]').addEventListener('pointermove',"
            " (event) => types.push(event.pointerType)), true)"
        )
        dragged(live, ("touchStart", "touchMove", "touchEnd"), send)
        assert set(live.evaluate("types")) == {"touch"}
        assert live.evaluate("scrollY") == 0
    finally:
        live.call("Emulation.setTouchEmulationEnabled", enabled=False)


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
    Image.fromarray(scene("test", 28).draw()).save(tmp_path / "golden.png")
    said = captioned(live, drop("golden.png", (tmp_path / "golden.png").read_bytes()))
    assert said == data_path("golden.txt").read_text(encoding="utf-8").strip()


def warning(live: Browser) -> str:
    """The sentence on a picture that is unlike any scene; "" if none stands there."""
    return str(live.evaluate("document.querySelector('[data-live=warning][role=status]').textContent"))


def file_of(picture: np.ndarray) -> bytes:
    """A picture as the bytes of a PNG file."""
    made = io.BytesIO()
    Image.fromarray(picture).save(made, "PNG")
    return made.getvalue()


def test_strange_pictures_are_warned_of(live: Browser, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the command line's words and no others; of scenes, from a file or on the stage, nothing is said."""
    blob = data_path("uvlm_mini.bin").read_bytes()
    captioner, learned = CCaptioner(blob), familiar.read(blob)
    pictures = {kind: strange.strange(kind, 1)[0] for kind in ("noise", "one colour", "gradients", "text")}
    pictures |= {"scene": scene("test", 28).draw(), "inverted": 255 - scene("test", 4).draw()}
    for name, picture in pictures.items():
        (tmp_path / f"{name}.png").write_bytes(file_of(picture))
        captioned(live, drop(f"{name}.png", file_of(picture)))
        expected = familiar.strangeness(captioner, learned, picture[None])[0]
        strangeness = live.evaluate("document.getElementById('live').dataset.strange")
        assert float(strangeness) == pytest.approx(expected, rel=1e-9)
        assert cli.main(["caption", str(tmp_path / f"{name}.png")]) == 0
        on_the_command_line = capsys.readouterr().err.removeprefix("uvlm: ").replace(f"{tmp_path}/", "").strip()
        times = re.compile(r"\d+\.\d times")  # float maps there, int8 maps here: the tenths may differ
        assert times.sub("", warning(live)) == times.sub("", on_the_command_line), name
        assert bool(warning(live)) == (name != "scene")
    assert warning(live).startswith("inverted.png is unlike anything this model was trained on (")
    captioned(live, "document.querySelector('[data-live=another]').click()")
    assert warning(live) == ""


def test_the_chooser_takes_a_file(live: Browser, tmp_path: Path) -> None:
    """A scene of four times the size, and then a strip of noise: the browser scales both as it likes, and only one of
    them is warned of."""
    said = []
    for name, picture in (("large", scene("test", 4).draw(256)), ("strip", strange.strange("noise", 1)[0][:40])):
        path = tmp_path / f"{name}.png"
        path.write_bytes(file_of(picture))
        idle = "!document.getElementById('live').dataset.busy"
        assert live.wait_until(idle)
        before = live.evaluate("Number(document.getElementById('live').dataset.captions)")
        root = live.call("DOM.getDocument", depth=0)["root"]["nodeId"]
        node = live.call("DOM.querySelector", nodeId=root, selector="#live-file")["nodeId"]
        live.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])
        assert live.wait_until(f"{idle} && Number(document.getElementById('live').dataset.captions) > {before}")
        said.append(warning(live))
    assert said[0] == "" and said[1].startswith("strip.png is unlike anything")


def test_a_scene_that_no_training_had_is_warned_of(live: Browser) -> None:
    """The stage is judged like a file: a clock is ordinary, five of one colour are not."""
    blob = data_path("uvlm_mini.bin").read_bytes()
    captioner, learned = CCaptioner(blob), familiar.read(blob)
    captioned(live, "document.querySelector('[data-live=clear]').click()")
    for choice in ("live-size][value=small", "live-color][value=red"):
        live.evaluate(f"document.querySelector('[name={choice}]').click()")
    said = []
    for _ in range(5):
        captioned(live, "document.querySelector('[aria-label=\"Add: clock\"]').click()")
        expected = familiar.strangeness(captioner, learned, scene_of(live).draw()[None])[0]
        assert bool(warning(live)) == (expected > 1)
        said.append(warning(live))
    assert said[0] == "" and said[4].startswith("This scene is unlike anything this model was trained on (")


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


def test_its_times_are_measured(built_book: Path, browser: Browser) -> None:
    """Every change is counted once, and takes longer than encoder and search alone; how long, the benchmark tells."""
    row = bench.measure(browser, "without SIMD", openings=1, changes=3)
    assert browser.evaluate("document.getElementById('live').dataset.build") == "plain"
    assert int(browser.evaluate("document.getElementById('live').dataset.captions")) == 1 + 3 * len(bench.ACTIONS)
    assert row["first caption after the load event, ms"]["median"] < 60_000
    for action in bench.ACTIONS:
        assert row[action]["ms"]["median"] > row[action]["encoder and search, ms"]["median"] - 1 > 0
    assert bench.spread(np.arange(101.0)) == {"median": 50.0, "95 %": 95.0, "worst": 100.0}


def test_geometry_that_changed_is_noticed() -> None:
    """What draw.js is given is made from drawing.py, so that a new kind arrives without anybody's help."""
    from uvlm_mini.datasets import drawing

    made = build_live.drawing()
    assert list(made["kinds"]) == list(drawing.KINDS) and set(made["backgrounds"]) == set(drawing.BACKGROUNDS)
    assert sys.getsizeof(json.dumps(made)) < 200_000


def test_the_measured_times_are_those_that_the_page_is_to_keep() -> None:
    """Of the result file, which was written on a machine with nothing else to do: no time is measured here."""
    for build, row in result("live")["rows"].items():
        if build in bench.BUILDS:
            assert row["first caption after the load event, ms"]["worst"] <= bench.FIRST
            assert all(row[action]["ms"]["worst"] <= bench.FURTHER for action in bench.ACTIONS)
