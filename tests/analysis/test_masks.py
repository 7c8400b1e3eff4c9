"""Which pixels a region holds, against matplotlib, closed forms, and exact fractions where centres lie on edges."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path
from numpy.typing import NDArray

from napari_dainr.analysis.masks import Mask, region_mask, remark
from napari_dainr.analysis.outlines import frozen, mask_outline, mask_rings, region_outline
from napari_dainr.analysis.pixel_grid import PixelGrid
from napari_dainr.analysis.regions import Region, box_corners, ellipse_corners
from napari_dainr.errors import InputError

SHAPE = (23, 18)
PIXEL = (1.3, 0.7)
PLACE = PixelGrid(SHAPE, PIXEL, (-4.1, 2.25))
PLAIN = PixelGrid(SHAPE, (1.0, 1.0))
Y, X = np.meshgrid(np.arange(SHAPE[0]), np.arange(SHAPE[1]), indexing="ij")
CENTRES = np.stack([Y.ravel(), X.ravel()], axis=-1).astype(float)
UNSURE = 1e-4
"""Pixels: centres nearer to the outline than this are not compared; vertices are rounded to 1/65536 pixel."""


def distance_to_edges(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of every pixel centre to a closed polygon."""
    nearest = np.full(len(CENTRES), np.inf)
    for a, b in zip(points, np.roll(points, -1, axis=0), strict=True):
        along = b - a
        part = np.clip(((CENTRES - a) @ along) / max(along @ along, 1e-30), 0, 1)
        nearest = np.minimum(nearest, np.hypot(*(CENTRES - a - part[:, None] * along).T))
    return nearest.reshape(SHAPE)


def agree(region: Region, wanted: NDArray[np.bool_], sure: NDArray[np.bool_]) -> int:
    """Compare and return how many pixels are inside."""
    got = region_mask(region, PLACE).full()
    np.testing.assert_array_equal(got[sure], wanted[sure])
    return int(got.sum())


def some_middle(rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.uniform(-4, np.array(SHAPE) + 4.0)


def test_ten_thousand_shapes() -> None:
    """Ellipses and rectangles by their equations in turned coordinates, polygons by matplotlib."""
    rng = np.random.default_rng(20)
    inside = left_out = 0
    for number in range(10_000):
        if number % 5 < 3:
            middle, angle = some_middle(rng), rng.uniform(-200, 200)
            ry, rx = rng.uniform(0.05, 12, 2)
            turn = np.deg2rad(angle)
            dy, dx = Y - middle[0], X - middle[1]
            u, v = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
            corners = PLACE.to_mm(ellipse_corners(middle, (ry, rx), angle))
            if number % 5 < 2:
                reach = (u / rx) ** 2 + (v / ry) ** 2
                region, wanted = Region(corners, kind="ellipse"), reach <= 1
                sure = np.abs(np.sqrt(reach) - 1) * min(rx, ry) > UNSURE
            else:
                region, wanted = Region(corners, kind="rectangle"), (np.abs(u) <= rx) & (np.abs(v) <= ry)
                sure = np.minimum(np.abs(np.abs(u) - rx), np.abs(np.abs(v) - ry)) > UNSURE
        else:
            count = int(rng.integers(3, 12))
            points = some_middle(rng) + rng.normal(0, rng.uniform(0.3, 9), (count, 2))
            region = Region(PLACE.to_mm(points), kind="polygon" if number % 2 else "freehand")
            # matplotlib fills even–odd as well; its own rounding is far below the margin.
            wanted = Path(points).contains_points(CENTRES).reshape(SHAPE)
            sure = distance_to_edges(points) > UNSURE
        inside += agree(region, wanted, sure)
        left_out += int((~sure).sum())
    assert inside > 100_000
    assert left_out < 1000


def exact_rule(points: list[tuple[Fraction, Fraction]]) -> NDArray[np.bool_]:
    """Even–odd with every centre moved by an infinitely small step, mostly to larger x: the rule for ties."""
    step = Fraction(1, 10**6)
    found = np.zeros(SHAPE, bool)
    for y, x in np.ndindex(SHAPE):
        py, px = y + step**2, x + step
        for (ya, xa), (yb, xb) in zip(points, points[1:] + points[:1], strict=True):
            if (ya > py) != (yb > py) and px > xa + (py - ya) * (xb - xa) / (yb - ya):
                found[y, x] = not found[y, x]
    return found


QUARTERS = st.tuples(st.integers(-8, 4 * SHAPE[0] + 8), st.integers(-8, 4 * SHAPE[1] + 8))


@settings(max_examples=60, deadline=None)
@given(st.lists(QUARTERS, min_size=3, max_size=9))
def test_ties_of_polygons_follow_the_stated_rule(quarters: list[tuple[int, int]]) -> None:
    """Vertices at quarters of pixels, so that many centres lie on edges and on vertices."""
    exact = [(Fraction(y, 4), Fraction(x, 4)) for y, x in quarters]
    points = np.array(quarters, dtype=float) / 4
    np.testing.assert_array_equal(region_mask(Region(points), PLAIN).full(), exact_rule(exact))


@settings(max_examples=50, deadline=None)
@given(
    cut=st.floats(-3, 21), slope=st.floats(-2, 2), middle=st.tuples(st.floats(0, 20), st.floats(0, 16)),
    on_grid=st.booleans(),
)  # fmt: skip
def test_regions_that_share_a_side_share_no_pixel(
    cut: float, slope: float, middle: tuple[float, float], on_grid: bool
) -> None:
    if on_grid:
        cut, slope, middle = round(cut), round(slope), (round(middle[0]), round(middle[1]))
    a, b = (-2.0, cut), (25.0, cut + 27 * slope)
    left = Region(np.array([a, b, (25.0, -90.0), (-2.0, -90.0)]))
    right = Region(np.array([a, (-2.0, 90.0), (25.0, 90.0), b]))
    one, other = (region_mask(r, PLAIN).full() for r in (left, right))
    assert not (one & other).any()
    assert (one | other).all()
    parts = [box_corners(y0, x0, y1, x1) for y0, y1 in ((-1, middle[0]), (middle[0], 30))
             for x0, x1 in ((-1, middle[1]), (middle[1], 30))]  # fmt: skip
    total = sum(region_mask(Region(p, kind="rectangle"), PLAIN).full().astype(int) for p in parts)
    np.testing.assert_array_equal(total, 1)


def test_rule_for_ties_in_words() -> None:
    box = region_mask(Region(box_corners(3, 4, 6, 9), kind="rectangle"), PLAIN).full()
    assert box[3, 4] and box[5, 8]
    assert not box[6].any() and not box[:, 9].any()
    circle = region_mask(Region(ellipse_corners((10, 8), (3, 3)), kind="ellipse"), PLAIN).full()
    assert circle[7, 8] and circle[13, 8] and circle[10, 5] and circle[10, 11]
    assert circle.sum() == 29  # Gauss' circle problem for a radius of 3
    half = region_mask(Region(np.array([[2.5, 3.4]]), kind="voxel"), PLAIN).full()
    np.testing.assert_array_equal(np.argwhere(half), [[3, 3]])


@pytest.mark.parametrize(("radius", "lattice_points"), [(0, 1), (1, 5), (2, 13), (5, 81), (6, 113), (8, 197)])
def test_circles_hold_as_many_pixels_as_gauss_counted(radius: int, lattice_points: int) -> None:
    circle = Region(ellipse_corners((20, 20), (radius, radius)) + 0.0, kind="ellipse")
    place = PixelGrid((41, 41), (1.0, 1.0))
    assert region_mask(circle, place).n == (lattice_points if radius else 0)  # no radius, no area, no pixel


def test_order_and_direction_of_vertices_do_not_matter() -> None:
    rng = np.random.default_rng(3)
    for _ in range(100):
        points = rng.integers(0, 40, (6, 2)) / 2
        wanted = region_mask(Region(points), PLAIN).full()
        turned = np.roll(points[:: rng.choice([-1, 1])], int(rng.integers(6)), axis=0)
        np.testing.assert_array_equal(region_mask(Region(turned), PLAIN).full(), wanted)


def test_position_in_the_world_does_not_matter() -> None:
    """The same region in millimetres on images with other pixels and another origin."""
    corners = ellipse_corners((9.2, 7.1), (6.3, 4.4), 31)
    wanted = region_mask(Region(corners, kind="ellipse"), PLAIN).full()
    for pixel, origin in (((2.0, 0.5), (0, 0)), ((0.1, 0.3), (-70.3, 5.9))):
        place = PixelGrid(SHAPE, pixel, origin)
        np.testing.assert_array_equal(region_mask(Region(place.to_mm(corners), kind="ellipse"), place).full(), wanted)


def test_box_is_tight_and_clipping_is_said() -> None:
    mask = region_mask(Region(box_corners(-5, -5, 4.2, 3.6), kind="rectangle"), PLAIN)
    assert mask.clipped and mask.inside.shape == (5, 4) and mask.inside.all()
    assert not region_mask(Region(box_corners(1, 1, 4.2, 3.6), kind="rectangle"), PLAIN).clipped
    np.testing.assert_array_equal(mask.full().ravel()[mask.indices], True)
    assert mask.n == mask.indices.size == mask.full().sum() == 20
    again = Mask.of(mask.full())
    assert (again.y0, again.x0) == (0, 0)
    np.testing.assert_array_equal(again.inside, mask.inside)


@pytest.mark.parametrize(
    ("region", "words"),
    [
        (Region(box_corners(50, 50, 60, 60), kind="rectangle", name="far"), "far: lies outside the image"),
        (Region(np.array([[99.0, 1.0]]), kind="voxel", name="far"), "far: lies outside"),
        (Region(ellipse_corners((5.5, 5.5), (0.2, 0.2)), kind="ellipse", name="dot"), "dot: holds no pixel centre"),
        (Region(box_corners(1, 1, 3, 3), kind="rectangle", name="few"), "few: holds only 4 pixels"),
        (Region(np.array([[4.0, 4.0]]), kind="voxel", name="one"), "one: holds only 1 pixel;"),
    ],
)
def test_too_few_pixels_get_a_sentence(region: Region, words: str) -> None:
    said = remark(region_mask(region, PLAIN), region.name)
    assert said is not None and words in said and said.endswith(".") and "\n" not in said


def test_enough_pixels_get_none() -> None:
    assert remark(region_mask(Region(box_corners(1, 1, 4, 4), kind="rectangle"), PLAIN), "x") is None


def test_a_region_at_the_other_end_of_the_world_is_an_error() -> None:
    with pytest.raises(InputError, match="far outside"):
        region_mask(Region(box_corners(0, 0, 1e9, 1e9), kind="rectangle"), PLAIN)


def enhancing() -> NDArray[np.float32]:
    """Pixel (y, x) rises from 10 by y + x / 100 in the last two of five frames."""
    image = np.full((5, *SHAPE), 10.0, np.float32)
    image[3:] += (Y + X / 100).astype(np.float32)
    return image


@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.5, 1.0])
def test_threshold_keeps_the_most_enhanced_pixels(fraction: float) -> None:
    outline = ellipse_corners((11, 8), (8, 6), 20)
    image = enhancing()
    within = region_mask(Region(outline, kind="ellipse"), PLAIN)
    region = Region(outline, kind="threshold", outline="ellipse", fraction=fraction)
    got = region_mask(region, PLAIN, image).full()
    count = int(np.ceil(fraction * within.n))
    ranked = sorted(within.indices, key=lambda i: -(image.reshape(5, -1)[:, i].max() - 10))
    np.testing.assert_array_equal(np.flatnonzero(got), sorted(ranked[:count]))


def test_threshold_keeps_equals_together_and_looks_at_its_baseline() -> None:
    image = np.ones((4, *SHAPE), np.float32)
    image[2, 5:7, 5:7] = 3
    image[0, 10, 10] = 9  # bright before, not enhanced against frame 0
    region = Region(box_corners(2, 2, 15, 15), kind="threshold", outline="rectangle", fraction=0.01)
    got = region_mask(region, PLAIN, image, slice(0, 1)).full()
    np.testing.assert_array_equal(np.argwhere(got), [[5, 5], [5, 6], [6, 5], [6, 6]])
    assert region_mask(region, PLAIN, image, slice(1, 2)).full()[10, 10]


def test_threshold_without_a_fitting_series_is_an_error() -> None:
    region = Region(box_corners(2, 2, 15, 15), kind="threshold", outline="rectangle")
    with pytest.raises(InputError, match="needs a series"):
        region_mask(region, PLAIN)
    with pytest.raises(InputError, match="choose the series"):
        region_mask(region, PLAIN, np.ones((3, 5, 5), np.float32))
    with pytest.raises(InputError, match="no frame"):
        region_mask(region, PLAIN, enhancing(), slice(2, 2))


def test_frozen_threshold_keeps_its_pixels_and_identity() -> None:
    region = Region(box_corners(2, 2, 15, 15), kind="threshold", outline="rectangle", role="PV", fraction=0.3)
    fixed = frozen(region, PLACE, enhancing())
    assert (fixed.id, fixed.role, fixed.kind) == (region.id, "PV", "polygon")
    np.testing.assert_array_equal(
        region_mask(fixed, PLACE).full(), region_mask(region, PLACE, enhancing()).full()
    )  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1), st.floats(0.05, 0.95))
def test_outline_of_a_mask_gives_the_mask_again(height: int, width: int, seed: int, part: float) -> None:
    """Holes, separate parts and corners that touch included."""
    pixels = np.random.default_rng(seed).random((height, width)) < part
    mask = Mask.of(pixels)
    outline = mask_outline(mask)
    if outline is None:
        assert not pixels.any()
        return
    place = PixelGrid((height, width), (1.7, 0.3), (2.2, -9.1))
    np.testing.assert_array_equal(region_mask(Region(place.to_mm(outline)), place).full(), pixels)
    lengths = sum(np.abs(np.diff(np.concatenate([r, r[:1]]), axis=0)).sum() for r in mask_rings(mask))
    edges = np.pad(pixels, 1).astype(int)
    assert lengths == np.abs(np.diff(edges, axis=0)).sum() + np.abs(np.diff(edges, axis=1)).sum()


def test_outline_of_an_ellipse_lies_on_it() -> None:
    region = Region(ellipse_corners((3, 4), (2, 5), 30), kind="ellipse")
    points = region_outline(region, 40) - (3, 4)
    turn = np.deg2rad(30)
    u = points[:, 1] * np.cos(turn) + points[:, 0] * np.sin(turn)
    v = points[:, 0] * np.cos(turn) - points[:, 1] * np.sin(turn)
    np.testing.assert_allclose((u / 5) ** 2 + (v / 2) ** 2, 1, atol=1e-12)
    assert len(points) == 40
