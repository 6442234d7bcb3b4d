"""The explorables: what they compute is what the package computes, and in the page they follow the hand."""

import json
import random
import re
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup

from scripts import build_explore
from tests.browser import Browser
from tests.conftest import ROOT
from tests.test_book import contrast
from uvlm_mini import viz
from uvlm_mini.deploy import wasm
from uvlm_mini.model import UVLM, to_tensor
from uvlm_mini.modulation import GSM, SignalGenerator
from uvlm_mini.npu import latency, show
from uvlm_mini.npu.nets import Layer
from uvlm_mini.npu.operators import CHIPS
from uvlm_mini.paper import BUDGET_MB
from uvlm_mini.paths import data_path
from uvlm_mini.quantize import affine
from uvlm_mini.quantize.show import split_noise

CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def lacking_node() -> str:
    """Why no Node runs here; nothing if one does."""
    try:
        wasm.node()
    except RuntimeError as error:
        return str(error)
    return ""


needs_node = pytest.mark.skipif(bool(lacking_node()), reason=lacking_node() or "it is there")


def in_node(folder: Path, name: str, function: str, given: list[list[Any]]) -> list[Any]:
    """What a function of an explorable returns for each list of arguments; infinity arrives as text."""
    (folder / "given.json").write_text(json.dumps(given))
    (folder / "run.js").write_text(
        f"const it = require({json.dumps(str(ROOT / 'book' / 'explore' / name))});\n"
        "const given = JSON.parse(require('fs').readFileSync('given.json'));\n"
        f"const made = given.map((one) => it.{function}(...one));\n"
        "console.log(JSON.stringify(made, (_, v) => (v === Infinity ? 'inf' : v)));\n"
    )
    done = subprocess.run([wasm.node(), "run.js"], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# --------------------------------------------------------------------------------------------------------------------
# arithmetic, in Node


@needs_node
@pytest.mark.parametrize("kind", ["f", "g"])
def test_numbers_are_written_as_python_does(kind: str, tmp_path: Path) -> None:
    """Large and small ones, and those that lie in the middle of two."""
    dice = random.Random(1)
    values = [dice.uniform(-1, 1) * 10 ** dice.randint(-8, 9) for _ in range(2000)]
    values += [n / 2**k for n in range(-200, 200) for k in range(5)]  # many of them ties
    values += [0.0, 9.5, 99.5, 0.5, 1.5, 2.5, 1e-5, 9.9996e-5, 123456.5, 1e20]
    given = [[value, digits] for value in values for digits in ((0, 1, 2) if kind == "f" else (1, 2, 3, 4))]
    made = in_node(tmp_path, "explore.js", {"f": "fixed", "g": "general"}[kind], given)
    for (value, digits), text in zip(given, made, strict=True):
        assert text == f"{value:.{digits}{kind}}", (value, digits)


@needs_node
def test_rounding_and_groups_are_pythons(tmp_path: Path) -> None:
    """Halves to the even integer, and a comma every three digits."""
    halves = [n / 2 for n in range(-21, 22)] + [2.0**40 + 0.5, -0.2, 7.7]
    assert in_node(tmp_path, "explore.js", "rint", [[x] for x in halves]) == [round(x) for x in halves]
    whole = [0, 7, 999, 1000, 12345678, 100000]
    assert in_node(tmp_path, "explore.js", "grouped", [[n] for n in whole]) == [f"{n:,}" for n in whole]
    near = [-2.5, -0.25, 0, 3.75]
    assert in_node(tmp_path, "explore.js", "signed", [[x, 1] for x in near]) == [f"{x:+.1f}" for x in near]


@needs_node
def test_counts_are_exact(tmp_path: Path) -> None:
    """At every place of two of the sliders, and at every third of the longest."""
    given = [
        [hidden, states, expand, 4]
        for hidden in range(16, 1025, 48)
        for states in (1, 4, 8, 16, 32, 64, 128, 256)
        for expand in (1, 2, 3, 4)
    ]
    made = in_node(tmp_path, "counts.js", "counts", given)
    assert made == [viz.core_counts(*one[:3]) for one in given]
    assert [list(one) for one in made[:1]] == [list(viz.core_counts(160, 16, 2))]  # in the same order


@needs_node
def test_budget_says_what_python_says(tmp_path: Path) -> None:
    """Where the sliders reach, and at both limits of size; numbers to the last bit, sentences to the letter."""
    chip = CHIPS["stm32n657"]
    facts = {"budget_mb": BUDGET_MB, "sram_kib": chip.sram_kib, "flash_kib": chip.flash_kib}
    edges = [chip.sram_kib * 1024 / 1e6, BUDGET_MB, chip.flash_kib * 1024 / 1e6]
    sizes = [10 ** (e / 10) for e in range(-10, 31)] + [e * f for e in edges for f in (0.999999, 1.0, 1.000001)]
    given = [
        [size, bits, flash, facts] for size in sizes for bits in (2, 4, 8, 16, 32) for flash in (50, 130, 390, 450)
    ]
    for one, made in zip(given, in_node(tmp_path, "budget.js", "budget", given), strict=True):
        expected = {
            name: value if value != float("inf") else "inf" for name, value in asdict(show.budget(*one[:3])).items()
        }
        assert made == expected, one
    for one, made in zip(given, in_node(tmp_path, "budget.js", "answers", given), strict=True):
        assert [text for row in made for text in row] == cells(show.budget_html(*one[:3])), one


@needs_node
def test_latency_is_that_of_the_model(tmp_path: Path) -> None:
    """With the fitted constants, to 1e-9 of each part, on layers with and without multiply-adds."""
    fitted = latency.fit()
    constants = asdict(fitted) | {"cpu_mhz": latency.CPU_MHZ}
    dice = random.Random(2)
    sliders = [[0.0, 1.0, 40, 0, 0.0], [2.5e-6, 1.0, 0, 0, 0.0]]
    for _ in range(500):
        intensity = 10 ** dice.uniform(0, 3.5)
        sliders.append([dice.uniform(0, 32), intensity, dice.randint(0, 150), dice.randint(0, 120), dice.uniform(0, 8)])
    works = in_node(tmp_path, "latency.js", "workOf", sliders)
    made = in_node(tmp_path, "latency.js", "predict", [[work, constants] for work in works])
    for (mb, times, moved, values, outside), found in zip(sliders, made, strict=True):
        layer = Layer(round(mb * 1e6 * times), round(moved * 1e6))  # as show_latency.time_widget
        work = latency.Work(mb * 1e6, (layer,), software=values * 1e3, external_bytes=outside * 1e6)
        assert found == pytest.approx(asdict(latency.predict(work, fitted)), rel=1e-9, abs=0)


@needs_node
def test_bias_maps_are_those_of_the_shipped_generators(tmp_path: Path) -> None:
    """Every GSM of the shipped encoder, on a scene's own prior, to 1e-5; and a prior that is larger than its map."""
    from uvlm_mini.datasets.scenes import scene

    model = UVLM.load(data_path("uvlm_mini.safetensors"))
    seen: list[tuple[SignalGenerator, torch.Tensor, int, torch.Tensor]] = []

    def note(module: SignalGenerator, given: tuple, out: torch.Tensor) -> None:
        seen.append((module, given[0], given[1], out))

    generators = [block.signal for block in model.modules() if isinstance(block, GSM)]
    hooks = [generator.register_forward_hook(note) for generator in generators]
    with torch.inference_mode():
        model.encoder(to_tensor(scene("val", 140).draw())[None])
        small = SignalGenerator(5, 3)
        pooled = torch.randn(1, 5, 8, 8)
        seen.append((small, pooled, 4, small(pooled, 4)))
        seen.append((small, pooled, 8, small(pooled, 8)))
    for hook in hooks:
        hook.remove()
    assert len(seen) == len(generators) + 2 and generators
    given = [
        [prior[0].tolist(), g.point.weight.detach()[:, :, 0, 0].tolist(), g.point.bias.tolist(), side]
        for g, prior, side, _ in seen
    ]
    for (*_, expected), made in zip(seen, in_node(tmp_path, "bias_map.js", "signal", given), strict=True):
        torch.testing.assert_close(torch.tensor(made), expected[0], atol=1e-5, rtol=0)


@needs_node
def test_painted_features_are_pythons(tmp_path: Path) -> None:
    """To 1e-5, and what is told of them, for biases of three sizes."""
    dice = np.random.default_rng(3)
    given = [
        [dice.normal(0, 3, (16, 16)).tolist(), np.round(dice.normal(0, 3, (side, side))).tolist()]
        for side in (1, 4, 16)
    ]
    for (x, bias), made in zip(given, in_node(tmp_path, "bias_map.js", "painted", given), strict=True):
        np.testing.assert_allclose(made, viz.painted(np.array(x), np.array(bias)), atol=1e-5)
    for (x, bias), made in zip(given, in_node(tmp_path, "bias_map.js", "tell", given), strict=True):
        b, after = np.array(bias), viz.painted(np.array(x), np.array(bias))
        assert (made["amplify"], made["suppress"]) == ((b > 0).sum(), (b < 0).sum())
        assert made["after"] == pytest.approx(after.clip(0).sum())
        assert made["before"] == pytest.approx(viz.painted(np.array(x), 0 * b).clip(0).sum())


@needs_node
def test_quantizing_is_pythons_to_the_bit(tmp_path: Path) -> None:
    """Scale, zero point, levels and what comes back; with values that lie in the middle of two marks."""
    dice = np.random.default_rng(4)
    ranges = [[float(low), float(high)] for low, high in dice.normal(0, 4, (40, 2))]
    ranges += [[-0.375, 12.04], [0.0, 0.0], [-1.0, 0.0], [0.0, 7.0], [-8.0, 7.0], [1e-39, -1e-39]]
    for k in range(20, 120, 9):  # a zero point between two integers, where the last bit of the scale decides
        ranges.append([-(k + 0.5) * 0.1, (255 - k - 0.5) * 0.1])
    cases = [[*sorted(ends), bits, even] for ends in ranges for bits in range(2, 9) for even in (False, True)]
    made = in_node(tmp_path, "quantize.js", "scaleAndZeroPoint", cases)
    expected = [affine.scale_and_zero_point(*case) for case in cases]
    assert made == [[float(scale), int(zero)] for scale, zero in expected]

    given, levels = [], []
    for (*_, bits, _even), (scale, zero) in zip(cases, expected, strict=True):
        middles = (np.arange(-6, 6) + 0.5) * float(scale)
        for x in np.concatenate([middles, dice.normal(0, 4, 20)]).astype(np.float32):
            given.append([float(x), float(scale), int(zero), bits])
            levels.append(affine.quantize(x, scale, zero, bits))
    assert in_node(tmp_path, "quantize.js", "quantize", given) == [int(q) for q in levels]
    back = in_node(
        tmp_path, "quantize.js", "dequantize", [[int(q), *g[1:3]] for q, g in zip(levels, given, strict=True)]
    )
    assert back == [float(affine.dequantize(q, np.float32(g[1]), g[2])) for q, g in zip(levels, given, strict=True)]


@needs_node
@pytest.mark.parametrize("symmetric", [False, True])
def test_noise_is_split_as_python_does(symmetric: bool, tmp_path: Path) -> None:
    """Of values that count once and of such that count often."""
    dice = np.random.default_rng(5)
    values = np.unique(dice.normal(0, 2, 400).astype(np.float16)).astype(np.float32)
    counts = dice.integers(1, 9, values.size)
    x = np.repeat(values, counts)
    given = [
        [values.tolist(), counts.tolist(), -1.5, high, bits, symmetric]
        for high in (1.0, 3.0, 9.0)
        for bits in (2, 4, 8)
    ]
    for (_, _, *chosen), made in zip(given, in_node(tmp_path, "quantize.js", "tell", given), strict=True):
        scale, zero = affine.scale_and_zero_point(*chosen)
        q = affine.quantize(x, scale, zero, chosen[2])
        by_rounding, by_clipping = split_noise(x, *chosen)
        assert (made["scale"], made["zero"], made["used"]) == (float(scale), int(zero), len(np.unique(q)))
        assert made["rounding"] == pytest.approx(by_rounding, rel=1e-9)
        assert made["clipping"] == pytest.approx(by_clipping, rel=1e-9, abs=1e-15)
        assert made["ratio"] == pytest.approx(affine.sqnr(x, affine.dequantize(q, scale, zero)), rel=1e-9)


# --------------------------------------------------------------------------------------------------------------------
# data


def test_a_chapters_call_is_written_down(tmp_path: Path) -> None:
    """With what its cells have computed by then and with the defaults; the widget itself is never made."""
    view = {"data": {build_explore.WIDGET_VIEW: {"model_id": "a"}}}
    cells = [
        {"cell_type": "code", "id": "cell-0", "source": "from uvlm_mini import viz\nwide = 10", "outputs": []},
        {"cell_type": "markdown", "id": "cell-1", "source": "viz.count_widget(1)"},
        {
            "cell_type": "code",
            "id": "cell-2",
            "source": "wide += 6\nviz.count_widget(wide, expand=3)",
            "outputs": [view],
        },
        {"cell_type": "code", "id": "cell-3", "source": "viz.core_counts(2, 2, 2)", "outputs": []},
        {"cell_type": "code", "id": "cell-4", "source": "wide += 1\nviz.count_widget(wide)", "outputs": [view]},
        {"cell_type": "code", "id": "cell-5", "source": "raise RuntimeError", "outputs": []},
    ]
    (tmp_path / "07_x.ipynb").write_text(json.dumps({"cells": cells}))
    made = build_explore.chapter_data(tmp_path / "07_x.ipynb")
    assert made == {
        "07-cell-2": {"hidden": 16, "states": 16, "expand": 3, "kernel": 4},
        "07-cell-4": {"hidden": 17, "states": 16, "expand": 2, "kernel": 4},
    }


def test_a_call_of_numbers_needs_imports_alone(tmp_path: Path) -> None:
    """A chapter is not run for a widget that starts at numbers."""
    view = {"data": {build_explore.WIDGET_VIEW: {"model_id": "a"}}}
    cells = [
        {"cell_type": "code", "id": "cell-0", "source": "from uvlm_mini import viz\nraise RuntimeError", "outputs": []},
        {"cell_type": "code", "id": "cell-1", "source": "viz.count_widget(32, 8, 1)", "outputs": [view]},
    ]
    (tmp_path / "08_x.ipynb").write_text(json.dumps({"cells": cells}))
    made = build_explore.chapter_data(tmp_path / "08_x.ipynb")
    assert made == {"08-cell-1": {"hidden": 32, "states": 8, "expand": 1, "kernel": 4}}


def test_colours_are_those_of_the_figures() -> None:
    """The ends and the middle of both scales."""
    import matplotlib as mpl

    found = build_explore.colors()
    for name, scale in (("features", viz.FEATURES), ("signed", viz.SIGNED)):
        assert len(found[name]) == 256
        for i in (0, 100, 128, 255):
            assert f"#{found[name][i]}" == mpl.colors.to_hex(mpl.colormaps[scale](i / 255))


# --------------------------------------------------------------------------------------------------------------------
# the pages

PLACES = [
    (path.stem, *place)
    for path in CHAPTERS
    for place in build_explore.explorables(json.loads(path.read_text(encoding="utf8")), path.name)
]
READY = "[...document.querySelectorAll('.explore[data-key]')].every((e) => e.dataset.ready)"


def test_every_explorable_is_used() -> None:
    """Each stands in some chapter, and each chapter's place has its script."""
    names = {name for _, _, _, name in PLACES}
    assert names == {function.__name__ for function in build_explore.EXPLORABLES.values()}
    assert names | {"explore"} == {path.stem for path in (ROOT / "book" / "explore").glob("*.js")}


def cells(html: str) -> list[str]:
    """What stands in the cells of a table, bars left out."""
    found = (
        cell.get_text().replace("\xa0", " ").replace("█", "")
        for cell in BeautifulSoup(html, "html.parser")(["th", "td"])
    )
    return [text for text in (" ".join(text.split()) for text in found) if text]


def words(html: str) -> str:
    """Text as it is read."""
    return " ".join(BeautifulSoup(html.replace("<br>", " "), "html.parser").get_text().split())


def open_chapter(chapter: str, built_book: Path, browser: Browser, **options: Any) -> Any:
    """Open a chapter and wait for its explorables."""
    seen = browser.open(built_book / "notebooks" / f"{chapter}.html", **options)
    assert browser.wait_until(READY)
    return seen


@pytest.mark.browser
@pytest.mark.parametrize(("chapter", "number", "key", "name"), PLACES, ids=[key for _, _, key, _ in PLACES])
def test_it_starts_as_the_widget_does(
    chapter: str, number: int, key: str, name: str, built_book: Path, browser: Browser
) -> None:
    """What the notebook's widget said when it was saved, the page says, to the last digit."""
    notebook = json.loads((ROOT / "notebooks" / f"{chapter}.ipynb").read_text(encoding="utf8"))
    state = notebook["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    view = next(o["data"][build_explore.WIDGET_VIEW] for o in notebook["cells"][number]["outputs"] if "data" in o)

    def html(model: str) -> list[str]:
        one = state[model]
        inside = [child.removeprefix("IPY_MODEL_") for child in one["state"].get("children", [])]
        own = [one["state"]["value"]] if one["model_name"] == "HTMLModel" else []
        return own + [value for child in inside for value in html(child)]

    (saved,) = html(view["model_id"])
    open_chapter(chapter, built_book, browser)
    here = f"document.querySelector('[data-key=\"{key}\"]')"
    if "<table>" in saved:
        assert cells(browser.evaluate(f"{here}.querySelector('table').outerHTML")) == cells(saved)
    else:
        assert words(saved) in words(
            browser.evaluate(f"[...{here}.querySelectorAll('p')].map(p => p.outerHTML).join(' ')")
        )


def move(browser: Browser, key: str, place: int, value: float | str) -> str:
    """Set a control of an explorable as a hand would, and return all that the explorable then shows."""
    return str(
        browser.evaluate(
            f"(() => {{ const e = document.querySelector('[data-key=\"{key}\"]');"
            f" const c = e.querySelectorAll('input, select')[{place}];"
            f" if (c.type === 'checkbox') c.click(); else {{ c.value = '{value}';"
            " c.dispatchEvent(new Event(c.tagName === 'SELECT' ? 'change' : 'input', {bubbles: true})); }"
            " return e.innerText + [...e.querySelectorAll('[role=status]')].map((p) => p.textContent).join(' '); })()"
        )
    )


MOVES: list[tuple[str, int, float | str, str]] = [
    ("00-cell-31", 0, 2, "The likeliest after 2 steps"),
    ("01-cell-39", 1, 4, "32.8 MB"),  # 32 bits
    ("01-cell-104", 3, 0, "23.11 ms"),  # nothing in software
    ("04-cell-117", 0, 512, "2,097,152"),
    ("05-cell-85", 1, 1, "the first word"),
    ("05-cell-85", 0, "val 140", "sun"),
    ("08-cell-46", 0, 8, "of 256 marks"),
    ("08-cell-46", 2, "", "zero point 0;"),  # symmetric
]


@pytest.mark.browser
@pytest.mark.parametrize(("key", "place", "value", "expected"), MOVES, ids=[f"{m[0]}-{m[1]}" for m in MOVES])
def test_it_follows_the_hand(
    key: str, place: int, value: float | str, expected: str, built_book: Path, browser: Browser
) -> None:
    """A control is set, and a number appears that was not there, in what a screen reader is told, too."""
    chapter = next(chapter for chapter, _, one, _ in PLACES if one == key)
    seen = open_chapter(chapter, built_book, browser)
    here = f"document.querySelector('[data-key=\"{key}\"]')"
    told = f"{here}.querySelector('[role=status][aria-live=polite]').textContent"
    before, told_before = browser.evaluate(f"{here}.innerText"), browser.evaluate(told)
    assert expected not in before
    assert expected in move(browser, key, place, value)
    assert browser.evaluate(told) != told_before
    assert seen.errors == [] and seen.outside == []


def press(browser: Browser, key: str, code: int, text: str = "") -> None:
    """Press a key of the keyboard."""
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code,
                     **({"text": text} if text and kind == "keyDown" else {}))  # fmt: skip


@pytest.mark.browser
def test_a_slider_moves_by_the_keyboard(built_book: Path, browser: Browser) -> None:
    """One press of an arrow is one step, and its value is said in words."""
    open_chapter("04_ssm_against_lstm", built_book, browser)
    browser.evaluate("document.querySelector('.explore input').focus()")
    press(browser, "ArrowRight", 39)
    assert browser.evaluate("document.querySelector('.explore output').textContent") == "176"
    assert browser.evaluate("document.querySelector('.explore input').getAttribute('aria-valuetext')") == "176"
    assert f"{8 * 176**2:,}" in browser.evaluate("document.querySelector('.explore').innerText")


@pytest.mark.browser
def test_a_bias_is_painted_by_keyboard_mouse_and_generator(built_book: Path, browser: Browser) -> None:
    """The picture's numbers are those of viz.painted for what was painted."""
    open_chapter("02_gsm_attention_as_a_bias_map", built_book, browser)
    file = (built_book / "_static" / "explore" / "data" / "02-cell-111.js").read_text(encoding="utf8")
    data = json.loads(file[file.index(",") + 1 : file.rindex(")")])
    x, bias = np.array(data["x"]), np.array(data["start"])

    def says() -> None:
        after = viz.painted(x, bias).clip(0).sum()
        text = browser.evaluate("document.querySelector('.explore [role=status]').textContent")
        assert f"amplify: {(bias > 0).sum()}, that suppress: {(bias < 0).sum()}." in text
        assert f"{after:.0f} with it." in text

    says()
    browser.evaluate("document.querySelector('.explore-fields button').focus()")
    press(browser, "ArrowDown", 40)
    press(browser, "ArrowRight", 39)
    press(browser, " ", 32, " ")
    bias[1, 1] = 4
    says()
    browser.evaluate("document.querySelector('.explore-fields').scrollIntoView({block: 'center'})")
    box = "document.querySelectorAll('.explore-fields button')[{}].getBoundingClientRect()"
    middle = "(({{x, y, width, height}}) => [x + width / 2, y + height / 2])({})"
    middles = [browser.evaluate(middle.format(box.format(i))) for i in (48, 49)]
    for kind, (mx, my) in (("mousePressed", middles[0]), ("mouseMoved", middles[1]), ("mouseReleased", middles[1])):
        browser.call("Input.dispatchMouseEvent", type=kind, x=mx, y=my, button="left", buttons=1, clickCount=1)
    bias[6, :2] = 4
    says()
    browser.evaluate("[...document.querySelectorAll('.explore button')].find((b) => b.textContent === 'clear').click()")
    bias[:] = 0
    says()
    browser.evaluate("[...document.querySelectorAll('.explore button')].find((b) => b.textContent === 'paint').click()")
    generator = SignalGenerator(3, 1)
    with torch.no_grad():
        generator.point.weight[0, :, 0, 0] = torch.tensor(data["weights"])
        generator.point.bias[0] = data["constant"]
        bias = generator(torch.tensor(data["prior"])[None], 8)[0, 0].numpy()
    says()
    assert bias.max() > 3  # the red cat


@pytest.mark.browser
@pytest.mark.parametrize("chapter", sorted({chapter for chapter, *_ in PLACES}))
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_and_reached(scheme: str, chapter: str, built_book: Path, browser: Browser) -> None:
    """On a telephone, in light and dark: every control has a name, all words stand out, nothing is cut off."""
    seen = open_chapter(chapter, built_book, browser, scheme=scheme, width=400, height=800)
    assert seen.errors == [] and seen.outside == []
    assert browser.evaluate("document.documentElement.scrollWidth") <= 400
    controls = "[...document.querySelectorAll('.explore input, .explore select')]"
    assert (
        browser.evaluate(f"{controls}.filter((c) => !c.labels.length || !c.labels[0].textContent.trim()).length") == 0
    )
    wide = "[...document.querySelectorAll('.explore, .explore *')].filter((e) => e.scrollWidth > e.clientWidth + 1"
    wide += " && !e.closest('.explore-hidden') && !['INPUT', 'svg', 'BUTTON'].includes(e.tagName) && e.clientWidth)"
    assert browser.evaluate(f"{wide}.map((e) => e.tagName + e.className)") == []

    page = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    text = "[...document.querySelectorAll('.explore :is(p, label, output, th, td, figcaption, summary, li)')]"
    colours = browser.evaluate(f"[...new Set({text}.map((e) => getComputedStyle(e).color))]")
    assert colours and all(contrast(colour, page) >= 4.5 for colour in colours), (colours, page)
    ground = "[...document.querySelectorAll('.output:has(> .explore), .explore, .explore table, .explore td')]"
    grounds = browser.evaluate(f"[...new Set({ground}.map((e) => getComputedStyle(e).backgroundColor))]")
    assert grounds == ["rgba(0, 0, 0, 0)"]
    svg = browser.evaluate(
        "[...new Set([...document.querySelectorAll('.explore text')].map((e) => getComputedStyle(e).fill))]"
    )
    assert all(contrast(fill, page) >= 4.5 for fill in svg)


def test_no_widget_reaches_a_page(built_book: Path) -> None:
    """Neither its state nor what would draw it; where the model is needed, a picture, its caption and two ways on."""
    for path in CHAPTERS:
        html = (built_book / "notebooks" / f"{path.stem}.html").read_text(encoding="utf8")
        assert not re.search(r"vnd\.jupyter\.widget|require\.js|embed-amd|html-manager", html), path.name
    soup = BeautifulSoup(
        (built_book / "notebooks" / f"{CHAPTERS[0].stem}.html").read_text(encoding="utf8"), "html.parser"
    )
    (still,) = soup.select(".explore:not([data-key])")
    image = still.select_one("img")
    assert image is not None and "thing house, colour red" in str(image["alt"])
    assert "there is a red house" in still.get_text() and "make lab" in still.get_text()
    target = still.select_one("a[href]")
    assert target is not None and (built_book / "notebooks" / str(target["href"])).resolve().is_file()
