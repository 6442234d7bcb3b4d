"""What the explorables of the built pages need: book/_static/explore/.

A chapter's widget moves in a running notebook; in the page, a script of book/explore/ stands in its place. What it
computes with is what the widget was called with: the chapter's cells are run up to it, and the call is written down
instead of made. So there is no copy of a chapter's numbers. Each explorable gets one classic script,
data/<chapter>-<cell>.js, since a page that was opened from a disk may fetch nothing.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import inspect
import io
import json
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
SOURCE = ROOT / "book" / "explore"
TARGET = ROOT / "book" / "_static" / "explore"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

Given = dict[str, Any]  # arguments of a widget's call, defaults included
Names = dict[str, Any]  # what the chapter has defined by then


def png(picture: np.ndarray) -> str:
    """A picture as an address."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def short(values: Any, digits: int = 6) -> Any:
    """Nested lists of numbers with so many digits after the point."""
    return np.round(np.asarray(values, np.float64), digits).tolist()


# --------------------------------------------------------------------------------------------------------------------
# one function a widget


def bias_map(given: Given, names: Names) -> dict[str, Any]:
    """For viz.paint_widget; the generator and the scene are the chapter's."""
    point, scene = names["gsm"].signal.point, names["first"]
    return {
        "x": short(given["x"]),
        "start": short(given["start"]),
        "strength": given["strength"],
        "prior": short(names["adapt"](names["pictures"][:1], 4)[0]),
        "weights": short(point.weight.detach()[0, :, 0, 0]),
        "constant": float(point.bias[0]),
        "picture": png(scene.draw(128)),
        "alt": "A picture of " + ", ".join(f"a {thing.color} {thing.kind}" for thing in scene.things),
    }


def budget(given: Given, names: Names) -> dict[str, Any]:
    """For npu.show.budget_widget."""
    from uvlm_mini.npu.operators import CHIPS
    from uvlm_mini.paper import BUDGET_MB

    chip = CHIPS["stm32n657"]
    return given | {"chip": {"budget_mb": BUDGET_MB, "sram_kib": chip.sram_kib, "flash_kib": chip.flash_kib}}


def latency(given: Given, names: Names) -> dict[str, Any]:
    """For npu.show_latency.time_widget."""
    from dataclasses import asdict

    from uvlm_mini.npu.latency import CPU_MHZ
    from uvlm_mini.npu.show_latency import PARTS

    constants = asdict(given.pop("c")) | {"cpu_mhz": CPU_MHZ}
    return given | {"constants": constants, "parts": {part: name for part, (name, *_) in PARTS.items()}}


def counts(given: Given, names: Names) -> dict[str, Any]:
    """For viz.count_widget."""
    from uvlm_mini.baselines.mamba import MambaBlock

    return given | {"kernel": inspect.signature(MambaBlock).parameters["kernel"].default}


def quantize(given: Given, names: Names) -> dict[str, Any]:
    """For quantize.show.ruler_widget. Equal values are counted, after rounding to float16: so many fit a page."""
    from uvlm_mini.quantize.show import TAILS, ends

    x = given.pop("x")
    values, found = np.unique(x.astype(np.float16), return_counts=True)
    return given | {
        "values": [float(str(value)) for value in values],
        "counts": found.tolist(),
        "tails": TAILS,
        "ends": [ends(x, tail) for tail in TAILS],
    }


def beam(given: Given, names: Names) -> dict[str, Any]:
    """For viz.beam_widget."""
    from uvlm_mini import viz

    steps = viz.beam_steps(**given)
    return {"steps": steps, "first": min(5, len(steps))}


def look(given: Given, names: Names) -> dict[str, Any]:
    """For viz.look_widget."""
    from uvlm_mini import viz

    scenes = []
    for name, scene in given["scenes"].items():
        steps = viz.looks(given["model"], scene.draw())
        lifted = [step.bias - step.bias.mean() for step in steps]
        scenes.append(
            {
                "name": name,
                "picture": png(scene.draw(128)),
                "end": float(max(abs(bias).max() for bias in lifted)),
                "steps": [
                    {"heard": step.heard, "said": step.said, "bias": short(bias, 4), "read": short(step.read, 4)}
                    for step, bias in zip(steps, lifted, strict=True)
                ],
            }
        )
    return {"scenes": scenes, "first": min(3, len(scenes[0]["steps"]))}


#: For the function that makes a widget, what makes its data; the script in book/explore/ has the latter's name.
EXPLORABLES: dict[str, Callable[[Given, Names], dict[str, Any]]] = {
    "paint_widget": bias_map,
    "budget_widget": budget,
    "time_widget": latency,
    "count_widget": counts,
    "ruler_widget": quantize,
    "beam_widget": beam,
    "look_widget": look,
}

# --------------------------------------------------------------------------------------------------------------------
# the chapters


def call_in(source: str) -> ast.Call | None:
    """The call in a cell that makes a widget with an explorable."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in EXPLORABLES:
            return node
    return None


def explorables(notebook: dict[str, Any], chapter: str) -> Iterator[tuple[int, str, str]]:
    """Cells whose widget has an explorable: number, key ("04-cell-117") and the explorable's name.

    Parameters
    ----------
    notebook : as in its file.
    chapter : the file's name.
    """
    for number, cell in enumerate(notebook["cells"]):
        if any(WIDGET_VIEW in output.get("data", {}) for output in cell.get("outputs", [])):
            call = call_in("".join(cell["source"]))
            if call is not None:
                name = EXPLORABLES[call.func.attr].__name__  # type: ignore[attr-defined]
                yield number, f"{chapter[:2]}-{cell['id']}", name


class _WrittenDown(ast.NodeTransformer):
    """A widget's call becomes one of `write`, with the function before its arguments."""

    def visit_Call(self, node: ast.Call) -> ast.Call:
        if isinstance(node.func, ast.Attribute) and node.func.attr in EXPLORABLES:
            return ast.Call(ast.Name("write_down", ast.Load()), [node.func, *node.args], node.keywords)
        self.generic_visit(node)
        return node


def chapter_data(path: Path) -> dict[str, dict[str, Any]]:
    """The data of a chapter's explorables, by their keys; its cells are run up to the last of them."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    found = {number: key for number, key, _ in explorables(notebook, path.name)}
    if not found:
        return {}
    sources = ["".join(cell["source"]) if cell["cell_type"] == "code" else "" for cell in notebook["cells"]]
    if all(_literal(call_in(sources[number])) for number in found):  # then the chapter's imports are enough
        sources = [source if number in found else _imports(source) for number, source in enumerate(sources)]
    names: Names = {"__name__": "__main__"}
    made: dict[str, dict[str, Any]] = {}
    for number, source in enumerate(sources[: max(found) + 1]):

        def write_down(widget: Callable[..., Any], *args: Any, key: str = found.get(number, ""), **kwargs: Any) -> None:
            bound = inspect.signature(widget).bind(*args, **kwargs)
            bound.apply_defaults()
            made[key] = EXPLORABLES[widget.__name__](dict(bound.arguments), names)

        names["write_down"] = write_down
        tree: ast.AST = ast.parse(source)
        if number in found:
            tree = ast.fix_missing_locations(_WrittenDown().visit(tree))
        exec(compile(tree, f"{path.name}, cell {number}", "exec"), names)
    return made


def _literal(call: ast.Call | None) -> bool:
    """Whether a call's arguments are written out as numbers."""
    given = [*call.args, *(keyword.value for keyword in call.keywords)] if call else []
    return all(isinstance(value, ast.Constant) for value in given)


def _imports(source: str) -> str:
    """The imports of a cell alone."""
    kept = [node for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom)]
    return "\n".join(map(ast.unparse, kept))


def colors() -> dict[str, list[str]]:
    """The two scales of the book's maps, 256 colours each."""
    import matplotlib as mpl

    from uvlm_mini import viz

    scales = {"features": viz.FEATURES, "signed": viz.SIGNED}
    return {
        name: [mpl.colors.to_hex(mpl.colormaps[scale](i))[1:] for i in range(256)] for name, scale in scales.items()
    }


def build() -> Path:
    """Write book/_static/explore/ anew."""
    sys.path.insert(0, str(ROOT))
    import matplotlib as mpl

    mpl.use("agg")
    shutil.rmtree(TARGET, ignore_errors=True)
    (TARGET / "data").mkdir(parents=True)
    for path in sorted(SOURCE.iterdir()):
        shutil.copyfile(path, TARGET / path.name)
    texts = {"colors": f"Object.assign(Explore.colors, {_json(colors())});"}
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        with contextlib.chdir(NOTEBOOKS), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for key, data in chapter_data(path).items():
                texts[key] = f"Explore.give({_json(key)}, {_json(data)});"
    for name, text in texts.items():
        (TARGET / "data" / f"{name}.js").write_text(f"{text}\n", encoding="utf-8")
    return TARGET


def _json(data: Any) -> str:
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("</", "<\\/")


if __name__ == "__main__":
    place = build()
    for file in sorted(place.rglob("*.js")):
        print(f"{file.relative_to(ROOT)}: {file.stat().st_size:,} bytes")
