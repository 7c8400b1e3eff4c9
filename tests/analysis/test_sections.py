"""Curves and cuts, against loops and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from napari_dainr.analysis import roi_curve, xt_section
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
