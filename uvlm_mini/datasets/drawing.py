"""Pictures from shapes: the sprites and the backgrounds of the scenes.

Every drawing is a stack of layers, every layer a few plain shapes in a box of 96 x 96 units, so a picture is
sharp at any size. Two rules make the same bytes on every machine: coverage is decided with the four operations
of IEEE arithmetic alone (no sine, no power, no floating-point sum), and colours are mixed with integers.

Glossary: a *shape* says which points it covers; a *layer* paints shapes in the colour of its *role*; a *sprite*
is the finished stack as one integer weight per role and pixel, kept so that drawing a picture costs microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .dice import Dice

UNITS = 96  # side of the box that every object is drawn in
SAMPLES = 4  # samples a pixel side: coverage has 16 steps
OUTLINE = 4.0  # width of the dark contour, in units

# The eight colours of objects, sRGB 0..255.
COLORS: dict[str, tuple[int, int, int]] = {
    "red": (214, 40, 44),
    "orange": (247, 134, 24),
    "yellow": (250, 218, 50),
    "green": (52, 158, 66),
    "blue": (42, 98, 214),
    "purple": (134, 62, 176),
    "pink": (250, 150, 196),
    "white": (250, 250, 248),
}

# Roles of a layer. The first three follow the object's colour, the others are fixed.
ROLES = ("main", "shade", "light", "ink", "paper", "wood", "glass")
FIXED = {"ink": (44, 38, 52), "paper": (248, 246, 238), "wood": (128, 84, 48), "glass": (196, 224, 236)}


# ----------------------------------------------------------------------------------------------------------------
# Shapes: each answers, for sample points (x, y) in units and a margin m, which points lie inside it grown by m.


@dataclass(frozen=True)
class Ellipse:
    """Axis-parallel ellipse with centre (cx, cy) and radii rx, ry, all in units."""

    cx: float
    cy: float
    rx: float
    ry: float

    def covers(self, x: np.ndarray, y: np.ndarray, m: float = 0.0) -> np.ndarray:
        u = (x - self.cx) / (self.rx + m)
        v = (y - self.cy) / (self.ry + m)
        return u * u + v * v <= 1.0


@dataclass(frozen=True)
class Line:
    """Stroke of half-width w from (x1, y1) to (x2, y2) with round ends."""

    x1: float
    y1: float
    x2: float
    y2: float
    w: float

    def covers(self, x: np.ndarray, y: np.ndarray, m: float = 0.0) -> np.ndarray:
        return _near(x, y, (self.x1, self.y1), (self.x2, self.y2), self.w + m)


class Polygon:
    """Closed polygon through the given corners x1, y1, x2, y2, ... (even-odd rule)."""

    def __init__(self, *xy: float) -> None:
        self.corners = list(zip(xy[0::2], xy[1::2], strict=True))

    def covers(self, x: np.ndarray, y: np.ndarray, m: float = 0.0) -> np.ndarray:
        inside = np.zeros(np.broadcast(x, y).shape, bool)
        near = np.zeros_like(inside)
        for (x1, y1), (x2, y2) in zip(self.corners, self.corners[1:] + self.corners[:1], strict=True):
            if y1 != y2:
                crosses = (y1 <= y) != (y2 <= y)
                inside ^= crosses & (x < x1 + (y - y1) * ((x2 - x1) / (y2 - y1)))
            if m > 0.0:
                near |= _near(x, y, (x1, y1), (x2, y2), m)
        return inside | near


def _near(x: np.ndarray, y: np.ndarray, a: tuple[float, float], b: tuple[float, float], d: float) -> np.ndarray:
    """Points no farther than d from the segment a b."""
    ux, uy = b[0] - a[0], b[1] - a[1]
    t = np.clip(((x - a[0]) * ux + (y - a[1]) * uy) / max(ux * ux + uy * uy, 1e-9), 0.0, 1.0)
    px, py = x - a[0] - t * ux, y - a[1] - t * uy
    return px * px + py * py <= d * d


def Box(x0: float, y0: float, x1: float, y1: float) -> Polygon:
    """Rectangle between two corners."""
    return Polygon(x0, y0, x1, y0, x1, y1, x0, y1)


Shape = Ellipse | Line | Polygon


@dataclass(frozen=True)
class Layer:
    """Shapes painted in one role; what `cut` covers stays bare."""

    role: str
    shapes: tuple[Shape, ...]
    cut: tuple[Shape, ...] = ()

    def covers(self, x: np.ndarray, y: np.ndarray, m: float = 0.0) -> np.ndarray:
        mask = np.zeros(np.broadcast(x, y).shape, bool)
        for shape in self.shapes:
            mask |= shape.covers(x, y, m)
        for shape in self.cut:
            mask &= ~shape.covers(x, y, -m if isinstance(shape, Ellipse) else 0.0)
        return mask


def _(role: str, *shapes: Shape, cut: tuple[Shape, ...] = ()) -> Layer:
    return Layer(role, shapes, cut)


# ----------------------------------------------------------------------------------------------------------------
# The 22 kinds. x runs right, y runs down, everything stays between 6 and 90 so that the contour has room.

KINDS: dict[str, tuple[Layer, ...]] = {
    "house": (
        _("main", Box(16, 44, 80, 88)),
        _("shade", Polygon(8, 46, 48, 10, 88, 46)),
        _("wood", Box(40, 60, 56, 88)),
        _("glass", Box(22, 54, 34, 66), Box(62, 54, 74, 66)),
    ),
    "tree": (
        _("wood", Box(40, 58, 56, 90)),
        _("main", Ellipse(48, 28, 24, 21), Ellipse(28, 46, 20, 18), Ellipse(68, 46, 20, 18), Ellipse(48, 52, 22, 14)),
        _("light", Ellipse(40, 24, 8, 6), Ellipse(26, 42, 6, 5)),
    ),
    "car": (
        _("main", Polygon(24, 52, 34, 30, 66, 30, 78, 52), Polygon(8, 52, 88, 50, 90, 70, 8, 70)),
        _("glass", Polygon(32, 50, 38, 36, 48, 36, 48, 50), Polygon(52, 50, 52, 36, 63, 36, 70, 50)),
        _("ink", Ellipse(27, 71, 12, 12), Ellipse(70, 71, 12, 12)),
        _("paper", Ellipse(27, 71, 5, 5), Ellipse(70, 71, 5, 5)),
    ),
    "boat": (
        _("wood", Box(45, 10, 50, 66)),
        _("paper", Polygon(54, 14, 54, 58, 86, 58)),
        _("paper", Polygon(42, 22, 42, 58, 18, 58)),
        _("main", Polygon(6, 64, 90, 64, 74, 86, 22, 86)),
        _("shade", Polygon(6, 64, 90, 64, 86, 70, 10, 70)),
    ),
    "sun": (
        _(
            "main",
            Line(48, 10, 48, 86, 4),
            Line(10, 48, 86, 48, 4),
            Line(21, 21, 75, 75, 4),
            Line(75, 21, 21, 75, 4),
        ),
        _("main", Ellipse(48, 48, 25, 25)),
        _("light", Ellipse(48, 48, 17, 17)),
    ),
    "moon": (
        _("main", Ellipse(44, 48, 38, 40), cut=(Ellipse(62, 40, 32, 33),)),
        _("shade", Ellipse(24, 56, 5, 5), Ellipse(38, 76, 4, 4)),
    ),
    "star": (
        _("main", Polygon(48, 6, 60, 36, 90, 38, 66, 58, 75, 89, 48, 71, 21, 89, 30, 58, 6, 38, 36, 36)),
        _("light", Polygon(48, 24, 55, 43, 74, 44, 59, 56, 48, 54, 37, 56, 22, 44, 41, 43)),
    ),
    "ball": (
        _("main", Ellipse(48, 48, 39, 39)),
        _("paper", Ellipse(48, 48, 39, 13)),
        _("shade", Line(11, 36, 48, 33, 2), Line(48, 33, 85, 36, 2), Line(11, 60, 48, 63, 2), Line(48, 63, 85, 60, 2)),
        _("main", Ellipse(48, 48, 9, 9)),
    ),
    "cup": (
        _("main", Ellipse(70, 50, 19, 18), cut=(Ellipse(70, 50, 10, 9),)),
        _("main", Polygon(14, 24, 70, 24, 64, 84, 20, 84)),
        _("shade", Ellipse(42, 24, 28, 8)),
        _("wood", Ellipse(42, 25, 21, 5)),
    ),
    "fish": (
        _(
            "shade",
            Polygon(62, 48, 90, 22, 84, 48, 90, 74),
            Polygon(34, 32, 52, 14, 60, 34),
            Polygon(36, 64, 50, 80, 56, 62),
        ),
        _("main", Ellipse(40, 48, 34, 22)),
        _("paper", Ellipse(22, 43, 6, 6)),
        _("ink", Ellipse(21, 43, 3, 3), Line(46, 36, 46, 60, 1.5)),
    ),
    "bird": (
        _("shade", Polygon(60, 50, 90, 40, 88, 58, 64, 64)),
        _("main", Ellipse(48, 54, 27, 20), Ellipse(28, 32, 16, 15)),
        _("shade", Polygon(40, 48, 70, 48, 56, 68)),
        _("wood", Polygon(14, 28, 14, 38, 6, 34), Line(44, 72, 42, 88, 2.5), Line(54, 72, 56, 88, 2.5)),
        _("ink", Ellipse(25, 29, 3, 3)),
    ),
    "cat": (
        _("main", Line(78, 80, 86, 46, 5), Ellipse(52, 72, 28, 18)),
        _("main", Polygon(12, 8, 34, 22, 14, 40), Polygon(70, 8, 48, 22, 68, 40), Ellipse(41, 38, 29, 24)),
        _("ink", Ellipse(31, 34, 4, 6), Ellipse(51, 34, 4, 6)),
        _("light", Polygon(36, 45, 46, 45, 41, 51)),
    ),
    "dog": (
        _("main", Box(30, 48, 82, 72), Box(30, 64, 40, 90), Box(72, 64, 82, 90), Line(80, 52, 89, 36, 4)),
        _("main", Ellipse(30, 34, 19, 19), Ellipse(14, 42, 9, 8)),
        _("shade", Ellipse(42, 38, 8, 18)),
        _("ink", Ellipse(8, 39, 4, 4), Ellipse(25, 29, 3.5, 3.5)),
    ),
    "flower": (
        _("wood", Line(48, 50, 48, 88, 3)),
        _(
            "main",
            Ellipse(48, 19, 13, 12),
            Ellipse(68, 33, 13, 12),
            Ellipse(60, 54, 13, 12),
            Ellipse(36, 54, 13, 12),
            Ellipse(28, 33, 13, 12),
        ),
        _("ink", Ellipse(48, 38, 10, 10)),
        _("wood", Ellipse(62, 76, 12, 5), Ellipse(34, 80, 12, 5)),
    ),
    "kite": (
        _("main", Polygon(54, 6, 82, 34, 54, 70, 26, 34)),
        _("shade", Polygon(54, 6, 82, 34, 54, 34), Polygon(54, 34, 54, 70, 26, 34)),
        _("ink", Line(54, 70, 40, 80, 1.5), Line(40, 80, 22, 76, 1.5), Line(22, 76, 10, 88, 1.5)),
        _("light", Polygon(36, 72, 46, 84, 34, 86), Polygon(16, 72, 28, 72, 20, 82)),
    ),
    "hat": (
        _("main", Polygon(28, 22, 68, 22, 72, 68, 24, 68), Ellipse(48, 22, 20, 8)),
        _("ink", Polygon(26, 52, 70, 52, 71, 63, 25, 63)),
        _("main", Ellipse(48, 72, 42, 11)),
        _("shade", Ellipse(48, 70, 25, 4)),
    ),
    "apple": (
        _("main", Ellipse(34, 54, 26, 31), Ellipse(62, 54, 26, 31)),
        _("wood", Line(48, 30, 54, 10, 3)),
        _("light", Ellipse(28, 44, 6, 9)),
        _("ink", Ellipse(68, 15, 14, 6)),
    ),
    "clock": (
        _("main", Ellipse(48, 48, 40, 40)),
        _("paper", Ellipse(48, 48, 29, 29)),
        _("ink", Line(48, 48, 48, 26, 3), Line(48, 48, 64, 56, 3), Ellipse(48, 48, 4, 4)),
    ),
    "umbrella": (
        _("wood", Line(48, 12, 48, 78, 3), Line(48, 80, 58, 86, 3), Line(58, 86, 66, 78, 3)),
        _(
            "main",
            Ellipse(48, 50, 42, 38),
            cut=(Box(0, 50, 96, 96), Ellipse(20, 52, 14, 8), Ellipse(48, 52, 14, 8), Ellipse(76, 52, 14, 8)),
        ),
        _("shade", Polygon(48, 12, 62, 46, 34, 46)),
    ),
    "train": (
        _("main", Box(10, 24, 44, 70), Box(40, 40, 86, 70)),
        _("shade", Box(6, 18, 48, 28), Box(68, 18, 80, 42), Box(64, 14, 84, 22)),
        _("glass", Box(18, 34, 36, 50)),
        _(
            "ink",
            Ellipse(24, 76, 12, 12),
            Ellipse(52, 78, 10, 10),
            Ellipse(76, 78, 10, 10),
            Polygon(84, 64, 91, 74, 84, 74),
        ),
        _("paper", Ellipse(24, 76, 4, 4), Ellipse(52, 78, 3, 3), Ellipse(76, 78, 3, 3)),
    ),
    "mushroom": (
        _("paper", Polygon(38, 46, 58, 46, 64, 88, 32, 88)),
        _("main", Ellipse(48, 50, 41, 40), cut=(Box(0, 52, 96, 96),)),
        _("paper", Ellipse(48, 26, 8, 7), Ellipse(25, 41, 7, 6), Ellipse(71, 41, 7, 6)),
    ),
    "butterfly": (
        _("main", Ellipse(26, 32, 19, 20), Ellipse(70, 32, 19, 20)),
        _("shade", Ellipse(30, 66, 15, 17), Ellipse(66, 66, 15, 17)),
        _("paper", Ellipse(24, 30, 7, 7), Ellipse(72, 30, 7, 7)),
        _("ink", Ellipse(48, 50, 6, 30), Line(47, 24, 38, 9, 1.6), Line(49, 24, 58, 9, 1.6)),
    ),
}

# Kinds that look another way when mirrored: half of theirs are.
SIDED = ("car", "fish", "bird", "cat", "dog", "kite", "cup", "boat", "train", "moon")


@lru_cache(maxsize=2048)
def sprite(kind: str, pixels: int, flip: bool) -> np.ndarray:
    """The kind as weights: (len(ROLES) + 1, pixels, pixels) int32, summing to 256 at every pixel.

    The last plane is what stays of the background. Mixing colours with these weights is all that drawing does.
    """
    points = (np.arange(pixels * SAMPLES) * 2 + 1) * UNITS / (2 * pixels * SAMPLES)
    x, y = (UNITS - points if flip else points)[None, :], points[:, None]
    weights = np.zeros((len(ROLES) + 1, pixels, pixels), np.int32)
    weights[-1] = 256
    stack = [("ink", [layer.covers(x, y, OUTLINE) for layer in KINDS[kind]])]
    stack += [(layer.role, [layer.covers(x, y)]) for layer in KINDS[kind]]
    for role, masks in stack:
        mask = np.logical_or.reduce(masks).reshape(pixels, SAMPLES, pixels, SAMPLES)
        cover = mask.sum(axis=(1, 3), dtype=np.int32)  # 0..16 samples of each pixel
        weights = weights * (SAMPLES * SAMPLES - cover) // (SAMPLES * SAMPLES)
        weights[ROLES.index(role)] += 256 - weights.sum(axis=0)
    weights.setflags(write=False)
    return weights


def paint(canvas: np.ndarray, kind: str, rgb: tuple[int, int, int], x: int, y: int, pixels: int, flip: bool) -> None:
    """Paint an object into `canvas` (H, W, 3) uint8, its box's upper left corner at pixel (x, y)."""
    shade = tuple(c * 11 // 16 for c in rgb)
    light = tuple((c + 255) // 2 for c in rgb)
    palette = np.array([rgb, shade, light, *FIXED.values()], np.int32)  # (7, 3)
    weights = sprite(kind, pixels, flip)
    patch = canvas[y : y + pixels, x : x + pixels]
    mixed = np.tensordot(weights[:-1], palette, axes=(0, 0))  # (p, p, 3)
    mixed += weights[-1][..., None] * patch
    patch[:] = (mixed + 128) >> 8


# ----------------------------------------------------------------------------------------------------------------
# Backgrounds: a sky, a ground, and a few shapes, all in a box of 96 x 96 units as well.

VARIANTS = 16  # pictures of each background (two of the 16 rooms happen to be alike)

RGB = tuple[int, int, int]

# sky above, sky at the horizon, ground at the horizon, ground below
_GROUNDS: dict[str, tuple[RGB, RGB, RGB, RGB]] = {
    "meadow": ((150, 200, 238), (214, 234, 244), (158, 206, 122), (118, 180, 92)),
    "beach": ((136, 204, 240), (208, 236, 244), (238, 222, 176), (224, 200, 146)),
    "snow": ((186, 198, 216), (218, 226, 236), (232, 238, 246), (206, 218, 234)),
    "desert": ((248, 214, 164), (250, 232, 200), (226, 182, 122), (206, 154, 96)),
    "sea": ((170, 206, 226), (216, 230, 236), (66, 142, 176), (36, 100, 146)),
    "night": ((16, 20, 52), (44, 50, 94), (30, 44, 54), (20, 30, 40)),
    "city": ((196, 204, 212), (222, 224, 226), (128, 130, 136), (104, 106, 112)),
    "room": ((232, 216, 198), (226, 206, 186), (170, 128, 94), (146, 106, 76)),
}
BACKGROUNDS = tuple(_GROUNDS)


def _details(name: str, h: int, dice: Dice) -> list[tuple[RGB, Shape]]:
    """Shapes that make a background what it is; h is the height of the horizon in units."""

    def spots(n: int, y0: int, y1: int) -> list[tuple[int, int]]:
        return [(dice.between(0, UNITS - 1), dice.between(y0, y1 - 1)) for _ in range(n)]

    clouds: list[tuple[RGB, Shape]] = [
        ((246, 250, 252), Ellipse(x + dx, y, 9, 4)) for x, y in spots(2, 5, h - 14) for dx in (0, 8)
    ]
    if name == "meadow":
        hills = [((140, 194, 110), Ellipse(x, h + 4, 34, 12)) for x, _ in spots(2, 0, 2)]
        tufts = [
            ((96, 158, 76), Line(x + d, y, x + 2 * d, y - 4, 0.7)) for x, y in spots(14, h + 10, 96) for d in (-1, 1)
        ]
        return [*clouds, *hills, ((158, 206, 122), Box(0, h + 6, 96, h + 9)), *tufts]
    if name == "beach":
        foam = [((248, 252, 252), Ellipse(x, h + 16, 13, 1.6)) for x in range(6, 96, 20)]
        pebbles = [((204, 176, 124), Ellipse(x, y, 1.1, 0.9)) for x, y in spots(26, h + 20, 96)]
        return [*clouds, ((70, 156, 196), Box(0, h, 96, h + 16)), *foam, *pebbles]
    if name == "snow":
        firs = [((122, 146, 152), Polygon(x - 6, h + 2, x, h - 16, x + 6, h + 2)) for x, _ in spots(5, 0, 2)]
        flakes = [((252, 254, 255), Ellipse(x, y, 1.3, 1.3)) for x, y in spots(34, 0, 96)]
        return [*firs, *flakes]
    if name == "desert":
        dunes = [((214, 166, 106), Ellipse(x, h + 8, 38, 13)) for x, _ in spots(2, 0, 2)]
        ripples = [((190, 140, 86), Line(x, y, x + 12, y - 1, 0.6)) for x, y in spots(12, h + 16, 96)]
        return [*dunes, *ripples]
    if name == "sea":
        waves = [
            ((150, 200, 220), Line(x + s * 4, y - 2 * (s % 2), x + s * 4 + 4, y - 2 * ((s + 1) % 2), 0.8))
            for x, y in spots(12, h + 5, 96)
            for s in range(3)
        ]
        return [*clouds, *waves]
    if name == "night":
        return [((236, 236, 200), Ellipse(x, y, 0.9, 0.9)) for x, y in spots(30, 1, h - 2)]
    if name == "city":
        towers: list[tuple[RGB, Shape]] = []
        for x in range(-4, 96, 14):
            top = dice.between(8, h - 17)
            grey = dice.between(146, 181)
            towers.append(((grey, grey, grey + 8), Box(x, top, x + 12, h)))
            towers += [
                ((226, 222, 190), Box(x + c, y, x + c + 3, y + 3)) for y in range(top + 3, h - 5, 7) for c in (2, 7)
            ]
        dashes = [((226, 226, 214), Box(x, h + 26, x + 10, h + 28)) for x in range(2, 96, 20)]
        return [*towers, *dashes]
    stripes = [((222, 202, 180), Box(x, 0, x + 6, h)) for x in range(dice.between(0, 11), 96, 14)]
    boards = [((134, 96, 68), Line(0, y, 96, y, 0.5)) for y in range(h + 9, 96, 9)]
    return [*stripes, ((246, 240, 232), Box(0, h - 3, 96, h)), *boards]


@lru_cache(maxsize=512)
def background(name: str, variant: int, pixels: int) -> np.ndarray:
    """One of the VARIANTS pictures of a background: (pixels, pixels, 3) uint8, read-only."""
    dice = Dice(f"background/{name}/{variant}")
    h = dice.between(44, 59)
    far, near, front, close = (np.array(c, np.int64) for c in _GROUNDS[name])
    row = np.arange(pixels) * UNITS // pixels  # (p,) unit row of each pixel row
    sky = (far * (h - row[:, None]) + near * row[:, None]) // h
    ground = (front * (UNITS - row[:, None]) + close * (row[:, None] - h)) // (UNITS - h)
    canvas = np.where((row < h)[:, None], sky, ground)[:, None, :].repeat(pixels, axis=1)  # (p, p, 3)
    points = (np.arange(pixels * SAMPLES) * 2 + 1) * UNITS / (2 * pixels * SAMPLES)
    for rgb, shape in _details(name, h, dice):
        mask = shape.covers(points[None, :], points[:, None]).reshape(pixels, SAMPLES, pixels, SAMPLES)
        cover = mask.sum(axis=(1, 3), dtype=np.int64)[..., None]  # (p, p, 1)
        canvas = (canvas * (16 - cover) + np.array(rgb) * cover + 8) // 16
    canvas = canvas.astype(np.uint8)
    canvas.setflags(write=False)
    return canvas
