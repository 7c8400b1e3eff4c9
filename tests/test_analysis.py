"""Curves and sections against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_dainr.analysis import roi_curve, xt_section
from napari_dainr.errors import InputError


def test_roi_curve_is_the_mean_of_its_pixels() -> None:
    rng = np.random.default_rng(0)
    image, mask = rng.random((5, 9, 7)).astype(np.float32), rng.random((9, 7)) > 0.6
    expected = [np.mean([f[y, x] for y in range(9) for x in range(7) if mask[y, x]]) for f in image]
    np.testing.assert_allclose(roi_curve(image, mask), expected, rtol=1e-6)


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


def test_a_section_along_a_row_is_that_row() -> None:
    image = np.random.default_rng(1).random((3, 9, 7))
    np.testing.assert_allclose(xt_section(image, (4, 0), (4, 6), 7), image[:, 4, :])


def test_what_cannot_be_measured() -> None:
    image = np.ones((3, 9, 7))
    with pytest.raises(InputError, match="no pixel"):
        roi_curve(image, np.zeros((9, 7), bool))
    with pytest.raises(InputError, match="mask"):
        roi_curve(image, np.ones((7, 9), bool))
    with pytest.raises(InputError, match="at least 2 points"):
        xt_section(image, (0, 0), (1, 1), 1)
