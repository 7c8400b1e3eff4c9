"""Sections through space and time, against scipy; the plain curve of a mask, against a loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from napari_dainr.analysis import PixelGrid, roi_curve, xt_section
from napari_dainr.analysis.sections import Section, path_points, series_strip
from napari_dainr.data import ImageSeries
from napari_dainr.errors import InputError

SERIES = np.random.default_rng(5).uniform(0, 3, (4, 11, 8)).astype(np.float32)


def test_curve_is_the_mean_inside() -> None:
    mask = np.random.default_rng(6).random((11, 8)) > 0.6
    wanted = [np.mean([frame[y, x] for y, x in np.argwhere(mask)], dtype=np.float64) for frame in SERIES]
    got = roi_curve(SERIES, mask)
    assert got.shape == (4,)
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_curve_of_one_pixel_is_that_pixel() -> None:
    mask = np.zeros((11, 8), bool)
    mask[10, 0] = True
    np.testing.assert_array_equal(roi_curve(SERIES, mask), SERIES[:, 10, 0].astype(np.float64))


@pytest.mark.parametrize(
    ("mask", "word"),
    [(np.zeros((11, 8), bool), "no pixel"), (np.ones((8, 11), bool), "(8, 11)"), (np.ones((4, 11, 8), bool), "shape")],
)
def test_bad_region_is_named(mask: np.ndarray, word: str) -> None:
    with pytest.raises(InputError) as caught:
        roi_curve(SERIES, mask)
    assert word in str(caught.value)


def test_complex_series_is_refused() -> None:
    with pytest.raises(InputError, match="complex"):
        roi_curve(SERIES.astype(np.complex64), np.ones((11, 8), bool))


POINT = st.tuples(st.floats(0, 10), st.floats(0, 7))


@settings(max_examples=60, deadline=None)
@given(start=POINT, end=POINT, n_points=st.integers(1, 40))
def test_section_equals_scipy(start: tuple[float, float], end: tuple[float, float], n_points: int) -> None:
    got = xt_section(SERIES, start, end, n_points)
    line = np.array([np.linspace(a, b, n_points) for a, b in zip(start, end, strict=True)])
    wanted = np.stack([map_coordinates(frame.astype(np.float64), line, order=1) for frame in SERIES])
    assert got.shape == (4, n_points)
    np.testing.assert_allclose(got, wanted, atol=1e-6)


def test_section_along_the_edges_is_the_edge() -> None:
    np.testing.assert_allclose(xt_section(SERIES, (10, 0), (10, 7), 8), SERIES[:, 10], atol=1e-6)
    np.testing.assert_allclose(xt_section(SERIES, (0, 7), (10, 7), 11), SERIES[:, :, 7], atol=1e-6)


def test_section_through_a_single_row() -> None:
    row = SERIES[:, :1]
    np.testing.assert_allclose(xt_section(row, (0, 0), (0, 7), 8), row[:, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("start", "end", "n_points"),
    [((-0.1, 0), (5, 5), 4), ((0, 0), (10.5, 5), 4), ((0, 0), (5, 7.01), 4), ((0, float("nan")), (5, 5), 4),
     ((0, 0), (5, 5), 0)],
)  # fmt: skip
def test_bad_line_gets_a_sentence(start: tuple[float, float], end: tuple[float, float], n_points: int) -> None:
    with pytest.raises(InputError) as caught:
        xt_section(SERIES, start, end, n_points)
    assert "\n" not in str(caught.value)


@settings(max_examples=40, deadline=None)
@given(
    ends=st.tuples(*(st.floats(0, limit) for limit in (8, 6, 8, 6))),
    n=st.integers(2, 20),
    slopes=st.tuples(*(st.floats(-3, 3) for _ in range(3))),
)
def test_linear_images_are_sampled_exactly(
    ends: tuple[float, float, float, float], n: int, slopes: tuple[float, float, float]
) -> None:
    y, x = np.meshgrid(np.arange(9.0), np.arange(7.0), indexing="ij")
    a, b, c = slopes
    image = np.stack([a * y + b * x + c, 2 * a * y - b * x])
    section = xt_section(image, ends[:2], ends[2:], n)
    ys, xs = np.linspace(ends[0], ends[2], n), np.linspace(ends[1], ends[3], n)
    np.testing.assert_allclose(section, [a * ys + b * xs + c, 2 * a * ys - b * xs], atol=1e-9)


ANYWHERE = st.tuples(st.floats(-4, 14), st.floats(-4, 11))


@settings(max_examples=80, deadline=None)
@given(vertices=st.lists(ANYWHERE, min_size=2, max_size=5), step=st.floats(0.2, 3))
def test_polylines_at_any_angle_equal_scipy(vertices: list[tuple[float, float]], step: float) -> None:
    """Also where they leave the image: NaN there, as scipy fills it."""
    place = PixelGrid((11, 8), (1.7, 0.6), (3.0, -2.0))
    corners = place.to_mm(vertices)
    if np.hypot(*np.diff(corners, axis=0).T).sum() < 1e-6:
        return
    points, distance = path_points(corners, step)
    at = place.to_pixels(points)
    got = Section(at, (11, 8)).read(SERIES)
    wanted = np.stack(
        [map_coordinates(f.astype(np.float64), at.T, order=1, mode="constant", cval=np.nan) for f in SERIES]
    )
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-6)
    assert got.shape == (4, len(distance))


@settings(max_examples=60, deadline=None)
@given(vertices=st.lists(ANYWHERE, min_size=2, max_size=6), step=st.floats(0.05, 5))
def test_points_are_evenly_spaced_along_the_line(vertices: list[tuple[float, float]], step: float) -> None:
    corners = np.array(vertices)
    sides = np.hypot(*np.diff(corners, axis=0).T)
    if sides.sum() < 1e-3:
        return
    points, distance = path_points(corners, step)
    np.testing.assert_allclose(points[[0, -1]], corners[[0, -1]], atol=1e-9)
    np.testing.assert_allclose(np.diff(distance), sides.sum() / (len(distance) - 1), rtol=1e-6)
    assert distance[-1] == pytest.approx(sides.sum())
    starts = np.concatenate([[0], np.cumsum(sides)])
    for point, at in zip(points, distance, strict=True):  # walk along the corners
        side = min(int(np.searchsorted(starts, at, side="right")) - 1, len(sides) - 1)
        while side > 0 and sides[side] == 0:
            side -= 1
        part = 0 if sides[side] == 0 else min((at - starts[side]) / sides[side], 1)
        np.testing.assert_allclose(point, corners[side] + part * (corners[side + 1] - corners[side]), atol=1e-6)


def test_step_is_as_near_to_the_wish_as_both_ends_allow() -> None:
    assert len(path_points([(0, 0), (0, 10)], 3.0)[1]) == 4
    assert len(path_points([(0, 0), (0, 10)], 100.0)[1]) == 2


def test_frames_that_changed_are_read_again() -> None:
    section = Section([(1.5, 2.25), (9.0, 6.5), (3.0, 20.0)], (11, 8))
    values = section.read(SERIES)
    changed = SERIES.copy()
    changed[2] *= 3
    section.update(values, changed, np.array([2]))
    np.testing.assert_array_equal(values, section.read(changed))
    assert not np.isnan(values[:, :2]).any() and np.isnan(values[:, 2]).all()


def test_strip_of_a_series_has_millimetres_and_seconds() -> None:
    times = np.array([0.5, 1.5, 2.5, 3.5])
    series = ImageSeries(SERIES.astype(np.complex64), times, (2.0, 0.5), 1.0, times > 3, "nufft")
    strip = series_strip(series, [(1.0, 0.25), (1.0, 3.75)])  # pixel 0 is at 1 mm in y (odd), at 0 mm in x (even)
    np.testing.assert_allclose(strip.distance_mm, 0.5 * np.arange(8))
    np.testing.assert_allclose(strip.values[:, :7], (SERIES[:, 0, :-1] + SERIES[:, 0, 1:]) / 2, atol=1e-6)
    assert np.isnan(strip.values[:, 7]).all()
    np.testing.assert_array_equal(strip.times_s, times)
    np.testing.assert_array_equal(strip.interpolated, times > 3)


@pytest.mark.parametrize(
    ("vertices", "step", "words"),
    [
        ([(0, 0)], 1.0, "two or more"), ([(1, 1), (1, 1)], 1.0, "no length"),
        ([(0, 0), (0, float("inf"))], 1.0, "not finite"), ([(0, 0), (5, 5)], 0.0, "above 0"),
        ([(0, 0), (5, 5)], float("nan"), "above 0"), ([(0, 0), (1e6, 5)], 0.1, "larger steps"),
        ([(50, 50), (60, 60)], 1.0, "outside the image"),
    ],
)  # fmt: skip
def test_impossible_lines_get_a_sentence(vertices: list[tuple[float, float]], step: float, words: str) -> None:
    series = ImageSeries(SERIES.astype(np.complex64), np.arange(4.0), (1.0, 1.0), 1.0, np.zeros(4, bool), "nufft")
    with pytest.raises(InputError, match=words):
        series_strip(series, vertices, step_mm=step)


def test_series_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="lay it over"):
        Section([(1, 1)], (9, 9)).read(SERIES)
