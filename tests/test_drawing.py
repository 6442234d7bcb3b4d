"""Sprites and backgrounds: the right shapes, the same bytes, at any size."""

import hashlib
import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uvlm_mini.datasets.drawing import (
    BACKGROUNDS,
    COLORS,
    FIXED,
    KINDS,
    OUTLINE,
    SIDED,
    VARIANTS,
    Box,
    Ellipse,
    Layer,
    Line,
    Polygon,
    background,
    paint,
    sprite,
)

GREY = 200


def drawn(kind: str, pixels: int, color: str = "red", flip: bool = False) -> np.ndarray:
    """One object that fills a grey picture."""
    canvas = np.full((pixels, pixels, 3), GREY, np.uint8)
    paint(canvas, kind, COLORS[color], 0, 0, pixels, flip)
    return canvas


def digest(*arrays: np.ndarray) -> str:
    """The beginning of the sha256 of the arrays' bytes."""
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()[:16]


def area(shape, margin: float = 0.0) -> float:
    """Area of a shape in square units, by sixteen points a unit."""
    points = (np.arange(96 * 4) * 2 + 1) / 8
    return float(shape.covers(points[None, :], points[:, None], margin).mean()) * 96 * 96


# ----------------------------------------------------------------------------------------------------------------
# Shapes against geometry


@settings(max_examples=25, deadline=None)
@given(st.floats(6, 40), st.floats(6, 40), st.floats(0, 4))
def test_ellipse_has_the_area_of_an_ellipse(rx, ry, margin):
    """pi rx ry, both radii longer by the margin."""
    assert area(Ellipse(48, 48, rx, ry), margin) == pytest.approx(math.pi * (rx + margin) * (ry + margin), rel=0.03)


@settings(max_examples=25, deadline=None)
@given(st.floats(15, 80), st.floats(15, 80), st.floats(2, 6), st.floats(0, 4))
def test_line_has_the_area_of_a_stroke_with_round_ends(x2, y2, w, margin):
    """2 w length + pi w^2."""
    length, half = math.hypot(x2 - 48, y2 - 48), w + margin
    assert area(Line(48, 48, x2, y2, w), margin) == pytest.approx(2 * half * length + math.pi * half**2, rel=0.05)


@settings(max_examples=25, deadline=None)
@given(st.floats(20, 40), st.floats(20, 40), st.floats(0, 20), st.floats(1, 6))
def test_polygon_has_its_shoelace_area_and_its_contour_too(a, b, skew, margin):
    """A convex polygon grown by m has the area A + perimeter m + pi m^2."""
    corners = [(20, 30), (20 + a, 30), (20 + a + skew, 30 + b), (20 + skew, 30 + b)]
    polygon = Polygon(*[v for corner in corners for v in corner])
    inside = a * b
    around = 2 * a + 2 * math.hypot(skew, b)
    assert area(polygon) == pytest.approx(inside, rel=0.03)
    assert area(polygon, margin) == pytest.approx(inside + around * margin + math.pi * margin**2, rel=0.03)


def test_polygon_follows_the_even_odd_rule():
    """A self-crossing bow tie covers its two triangles; the middle of a doubly wound square is bare."""
    assert area(Polygon(20, 20, 80, 80, 80, 20, 20, 80)) == pytest.approx(1800, rel=0.03)
    twice = Polygon(20, 20, 80, 20, 80, 80, 20, 80, 20, 20, 80, 20, 80, 80, 20, 80)
    assert area(twice) == 0


def test_cut_takes_away_and_a_contour_narrows_the_cut():
    """A ring is the difference of two discs; grown by m, its hole is smaller by m."""
    ring = Layer("main", (Ellipse(48, 48, 30, 30),), cut=(Ellipse(48, 48, 20, 20),))
    assert area(ring) == pytest.approx(math.pi * (30**2 - 20**2), rel=0.03)
    assert area(ring, 4) == pytest.approx(math.pi * (34**2 - 16**2), rel=0.03)
    assert area(Layer("main", (Box(10, 10, 50, 50),), cut=(Box(10, 30, 50, 50),))) == pytest.approx(800, rel=0.03)


# ----------------------------------------------------------------------------------------------------------------
# Sprites


@pytest.mark.parametrize("kind", KINDS)
def test_weights_sum_to_256_at_every_pixel(kind):
    """Mixing with them can neither brighten nor overflow."""
    for pixels in (1, 5, 15, 16, 25, 64):
        weights = sprite(kind, pixels, False)
        assert (weights.sum(axis=0) == 256).all()
        assert weights.min() >= 0


@pytest.mark.parametrize("kind", KINDS)
def test_flip_mirrors(kind):
    """A flipped sprite is the mirror image, but for samples that lie exactly on an edge (two a pixel at most)."""
    for pixels in (15, 17, 24, 32, 64):
        there, back = sprite(kind, pixels, False)[:, :, ::-1], sprite(kind, pixels, True)
        differs = np.abs(there - back)
        assert differs.max() <= 2 * 256 // 16
        assert (differs > 0).any(axis=0).sum() <= 0.02 * pixels**2


def test_the_sided_kinds_look_another_way_mirrored():
    """Only for these does the flip of a scene show; their mirror image differs visibly."""
    for kind in SIDED:
        a, b = (drawn(kind, 16, flip=f).astype(int) for f in (False, True))
        assert np.abs(a - b).mean() > 3, kind


@pytest.mark.parametrize("kind", KINDS)
def test_twice_the_size_averaged_is_the_size(kind):
    """Anti-aliasing is right: a large drawing, box-averaged, is close to the small one."""
    small = drawn(kind, 24).astype(float)
    large = drawn(kind, 48).reshape(24, 2, 24, 2, 3).mean(axis=(1, 3))
    assert np.abs(small - large).mean() < 2.5
    assert (np.abs(small - large).max(axis=2) > 40).mean() < 0.02


def test_a_clock_drawn_another_way_is_the_same():
    """256 samples a pixel, painted one over the other with plain circles and distances, agree with the sprite."""
    pixels, fine = 32, 16
    at = (np.arange(pixels * fine) + 0.5) * 96 / (pixels * fine)
    x, y = at[None, :], at[:, None]
    centre = np.hypot(x - 48, y - 48)

    def stroke(x2: float, y2: float, w: float) -> np.ndarray:
        length = math.hypot(x2 - 48, y2 - 48)
        along = ((x - 48) * (x2 - 48) + (y - 48) * (y2 - 48)) / length
        aside = np.abs((x - 48) * (y2 - 48) - (y - 48) * (x2 - 48)) / length
        ends = np.minimum(centre, np.hypot(x - x2, y - y2))
        return np.where((along >= 0) & (along <= length), aside, ends) <= w

    picture = np.full((pixels * fine, pixels * fine, 3), float(GREY))
    for mask, color in (
        (centre <= 40 + OUTLINE, FIXED["ink"]),
        (centre <= 40, COLORS["red"]),
        (centre <= 29, FIXED["paper"]),
        (stroke(48, 26, 3) | stroke(64, 56, 3) | (centre <= 4), FIXED["ink"]),
    ):
        picture[mask] = color
    expected = picture.reshape(pixels, fine, pixels, fine, 3).mean(axis=(1, 3))
    error = np.abs(expected - drawn("clock", pixels))
    assert error.mean() < 1.5
    assert error.max() < 40
    assert np.abs(np.roll(expected, 1, axis=1) - drawn("clock", pixels)).mean() > 10  # a pixel beside it


def test_paint_changes_its_box_and_nothing_else():
    """Outside the box the canvas keeps its bytes; a transparent corner keeps them inside as well."""
    canvas = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    before = canvas.copy()
    paint(canvas, "sun", COLORS["yellow"], 20, 30, 24, False)
    changed = (canvas != before).any(axis=2)
    assert changed[30:54, 20:44].mean() > 0.4
    changed[30:54, 20:44] = False
    assert not changed.any()
    assert (canvas[30, 20] == before[30, 20]).all()


def test_kinds_differ_where_the_model_sees_them():
    """At 16 pixels, in one colour, no two kinds look alike: 10 levels a channel apart on average at least."""
    pictures = {kind: drawn(kind, 16).astype(int) for kind in KINDS}
    for a, b in combinations(KINDS, 2):
        assert np.abs(pictures[a] - pictures[b]).mean() > 10, (a, b)


def test_colours_differ_more_than_they_are_varied():
    """Two colours of the palette are farther apart than two shades of one can be (12 levels a channel)."""
    assert len(COLORS) >= 8
    for a, b in combinations(COLORS.values(), 2):
        assert math.dist(a, b) > 2 * math.sqrt(3) * 12


def test_there_are_kinds_and_backgrounds_enough():
    """Twenty kinds and six backgrounds at least."""
    assert len(KINDS) >= 20
    assert len(BACKGROUNDS) >= 6
    assert set(SIDED) <= set(KINDS)


# ----------------------------------------------------------------------------------------------------------------
# The same bytes everywhere

PAINTED = {
    "house": "b6b7df978f8992fd",
    "moon": "33759b5133e1e6ed",
    "kite": "6c7a3d510346984a",
    "umbrella": "07357502748dc2b2",
}
SPRITES = {16: "33070844ae5757be", 25: "d50c1cb6f57f4f2a"}
GROUNDS = {
    "meadow": "8bfdffc316f4f62d",
    "beach": "c33cea2fb531f401",
    "snow": "fbe66b994c827aaf",
    "desert": "bb548f65bd0e4142",
    "sea": "835c4796d136b6bd",
    "night": "4077d411f53abc9d",
    "city": "5197dbadc2544148",
    "room": "488aec28589979bb",
}


@pytest.mark.parametrize("kind", PAINTED)
def test_golden_objects(kind):
    """The bytes of four painted objects."""
    canvas = np.full((96, 96, 3), GREY, np.uint8)
    paint(canvas, kind, COLORS["red"], 10, 20, 64, False)
    assert digest(canvas) == PAINTED[kind]


@pytest.mark.parametrize("pixels", SPRITES)
def test_golden_sprites(pixels):
    """The weights of all kinds, both ways round, as 32-bit little-endian numbers."""
    weights = [sprite(kind, pixels, flip).astype("<i4") for kind in KINDS for flip in (False, True)]
    assert digest(*weights) == SPRITES[pixels]


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_golden_backgrounds(name):
    """The bytes of every variant of every background at 64 pixels."""
    assert digest(*[background(name, variant, 64) for variant in range(VARIANTS)]) == GROUNDS[name]


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_every_variant_is_another_picture(name):
    """VARIANTS says how many pictures of a background there are; two of the rooms happen to be alike."""
    pictures = {background(name, variant, 64).tobytes() for variant in range(VARIANTS)}
    assert len(pictures) == (VARIANTS - 1 if name == "room" else VARIANTS)


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_backgrounds_are_sharp_at_any_size(name):
    """A background at 192 pixels, box-averaged, is close to the one at 96."""
    small = background(name, 3, 96).astype(float)
    large = background(name, 3, 192).reshape(96, 2, 96, 2, 3).mean(axis=(1, 3))
    assert np.abs(small - large).mean() < 2.0


def test_what_is_remembered_cannot_be_painted_over():
    """Sprites and backgrounds are kept between calls, so they are read-only."""
    for kept in (sprite("cat", 16, False), background("sea", 0, 64)):
        with pytest.raises(ValueError, match="read-only"):
            kept[0] = 0
