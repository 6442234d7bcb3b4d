"""Everything of the live page that is made, not written: book/_static/live/.

The captioner as WebAssembly (plain and with SIMD), the shipped blob, what is familiar to it and the geometry of the
drawings become one classic script, data.js, since a page that was opened from a disk may fetch nothing. The scripts
beside it are copied.
"""

from __future__ import annotations

import base64
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "book" / "live"
TARGET = ROOT / "book" / "_static" / "live"
PORT = ROOT / "csrc" / "ports" / "wasm"
PAGE = ("live.js", "live.css", "draw.js", "picture.js", "stage.js")
WORKER = (  # one text, from which the page makes its worker
    PORT / "captioner.js",
    SOURCE / "familiarity.js",
    SOURCE / "worker.js",
)
VARIANTS = 3  # pictures of each background that a reader can choose among


def shape_of(shape: Any) -> list[Any]:
    """A shape as draw.js has it: its kind, then its numbers."""
    from uvlm_mini.datasets.drawing import Ellipse, Line

    if isinstance(shape, Ellipse):
        return ["ellipse", shape.cx, shape.cy, shape.rx, shape.ry]
    if isinstance(shape, Line):
        return ["line", shape.x1, shape.y1, shape.x2, shape.y2, shape.w]
    return ["polygon", *(number for corner in shape.corners for number in corner)]


def drawing(variants: int = VARIANTS) -> dict[str, Any]:
    """The geometry of uvlm_mini/datasets/drawing.py."""
    from uvlm_mini.datasets import drawing as d

    def layer(one: d.Layer) -> dict[str, Any]:
        return {"role": one.role, "shapes": [*map(shape_of, one.shapes)], "cut": [*map(shape_of, one.cut)]}

    def variant(name: str, number: int) -> dict[str, Any]:
        dice = d.Dice(f"background/{name}/{number}")
        h = dice.between(44, 59)
        shapes = [{"rgb": rgb, "shape": shape_of(shape)} for rgb, shape in d._details(name, h, dice)]
        return {"h": h, "shapes": shapes}

    return {
        "units": d.UNITS,
        "roles": d.ROLES,
        "fixed": [*d.FIXED.values()],
        "colors": d.COLORS,
        "sided": d.SIDED,
        "kinds": {kind: [*map(layer, layers)] for kind, layers in d.KINDS.items()},
        "backgrounds": {
            name: {"colors": colors, "variants": [variant(name, i) for i in range(variants)]}
            for name, colors in d._GROUNDS.items()
        },
    }


def coded(content: bytes) -> str:
    """Bytes as base64."""
    return base64.b64encode(content).decode()


def familiar(blob: bytes) -> dict[str, Any]:
    """What familiarity.js goes by, arrays as base64 of float32; and the sentence of the command line."""
    from uvlm_mini.cli import UNLIKE
    from uvlm_mini.deploy import familiar
    from uvlm_mini.deploy.blob import CCaptioner

    learned = familiar.read(blob)
    return {
        **familiar.stage(CCaptioner(blob))._asdict(),
        "limit": learned.limit.item(),
        "mean": coded(learned.mean.numpy().astype("<f4").tobytes()),
        "whiten": coded(learned.whiten.numpy().astype("<f4").tobytes()),
        "sentence": UNLIKE,
    }


def data() -> dict[str, Any]:
    """What data.js holds."""
    from uvlm_mini.deploy import wasm
    from uvlm_mini.paths import data_path

    blob = data_path("uvlm_mini.bin").read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        built = {
            name: coded(wasm.build(simd, Path(folder) / f"{name}.wasm").read_bytes())
            for name, simd in (("plain", False), ("simd", True))
        }
    return {
        "wasm": built,
        "blob": coded(blob),
        "familiarity": familiar(blob),
        "worker": "\n".join(path.read_text(encoding="utf-8") for path in WORKER),
        "drawing": drawing(),
    }


def build() -> Path:
    """Write book/_static/live/ anew; raise SystemExit with one sentence where it cannot be made."""
    sys.path.insert(0, str(ROOT))
    try:
        made = data()
    except RuntimeError as error:
        raise SystemExit(f"The live page was not built: {error}") from error
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir(parents=True)
    for name in PAGE:
        shutil.copyfile(SOURCE / name, TARGET / name)
    text = json.dumps(made, separators=(",", ":"), ensure_ascii=False).replace("</", "<\\/")
    (TARGET / "data.js").write_text(f"window.UVLM = {text};\n", encoding="utf-8")
    return TARGET


if __name__ == "__main__":
    place = build()
    size = sum(path.stat().st_size for path in place.iterdir())
    print(f"{place.relative_to(ROOT)}: {size:,} bytes")
