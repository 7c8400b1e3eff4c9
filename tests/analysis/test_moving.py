"""A region that moves, against reading all of its pixels at every place."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_dainr.analysis.curves import mask_curve
from napari_dainr.analysis.masks import Mask, region_mask
from napari_dainr.analysis.moving import MovingStatistics
from napari_dainr.analysis.pixel_grid import PixelGrid
from napari_dainr.analysis.regions import Region, box_corners, ellipse_corners

SHAPE = (97, 110)
PLACE = PixelGrid(SHAPE, (1.0, 1.0))
TIMES = np.arange(5.0)


def agrees(moving: MovingStatistics, image: NDArray[np.floating], mask: Mask) -> None:
    """Against NumPy, pixel by pixel."""
    got = moving.read(mask)
    assert got is not None
    values = image[:, mask.full()].astype(np.float64)
    np.testing.assert_allclose(got[0], values.mean(axis=1), rtol=1e-11)
    np.testing.assert_allclose(got[1], values.std(axis=1, ddof=1), rtol=1e-9)
    np.testing.assert_array_equal(got[2], np.median(values, axis=1))
    np.testing.assert_array_equal(got[3:], [values.min(axis=1), values.max(axis=1)])


@pytest.mark.parametrize("levels", [0, 3, 40], ids=["all differ", "three values", "forty values"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_place_of_a_walk_is_read_as_if_it_were_the_first(levels: int, dtype: type) -> None:
    rng = np.random.default_rng(levels)
    image = rng.random((5, *SHAPE)) + np.linspace(0, 2, 110)  # the middle of the values moves with the region
    image = (np.floor(levels * image / 3) if levels else image).astype(dtype) + dtype(1)
    region = Region(ellipse_corners((48, 50), (40, 38), 20), kind="ellipse")
    moving = MovingStatistics(image)
    for _ in range(60):
        region = region.moved(*rng.normal(0, 1.3, 2))
        agrees(moving, image, region_mask(region, PLACE))
    for other in (Region(box_corners(3, 3, 9, 12), kind="rectangle"), region, region.moved(40, 0)):
        agrees(moving, image, region_mask(other, PLACE))


def test_a_region_that_grows_and_shrinks_pixel_by_pixel() -> None:
    rng = np.random.default_rng(8)
    image = rng.normal(5, 1, (3, 7, 9))
    moving, inside = MovingStatistics(image), np.zeros((7, 9), bool)
    inside[2:6, 2:7] = True
    for place in rng.integers(0, 63, 150):
        inside = inside.copy()
        inside.ravel()[place] ^= True
        agrees(moving, image, Mask.of(inside))


def test_sums_are_made_anew_before_rounding_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_dainr.analysis.moving._MOST_STEPS", 3)
    image = np.random.default_rng(1).random((4, *SHAPE), dtype=np.float32)
    moving = MovingStatistics(image)
    for step in range(11):
        agrees(moving, image, region_mask(Region(box_corners(5, 5 + step, 70, 80 + step), kind="rectangle"), PLACE))


@pytest.mark.parametrize("kind", ["equal", "not finite", "one pixel", "nothing"])
def test_what_it_cannot_say_is_read_in_one_go(kind: str) -> None:
    image = np.random.default_rng(2).random((5, *SHAPE))
    if kind == "equal":
        image[:] = 1e3 + 1e-9 * image
    if kind == "not finite":
        image[2, 40, 70] = np.nan
    moving = MovingStatistics(image)
    for right in (60, 80, 50):  # the second place has the pixel that is not finite, the third has not
        chosen = np.zeros(SHAPE, bool)
        chosen[20:60, 10:right] = kind in ("equal", "not finite")
        if kind == "one pixel":
            chosen[20, right] = True
        if kind == "nothing":
            assert moving.read(Mask.of(chosen)) is None
            continue
        mask = Mask.of(chosen)
        curve, plain = mask_curve(image, mask, TIMES, moving=moving), mask_curve(image, mask, TIMES)
        for key in ("mean", "sd", "median", "minimum", "maximum"):
            np.testing.assert_allclose(getattr(curve, key), getattr(plain, key), rtol=1e-9)


def test_only_arrays_that_lie_in_memory_as_a_whole() -> None:
    image = np.zeros((2, 4, 6), np.float32)
    assert MovingStatistics.can_read(image)
    for other in (image[:, ::2], image.astype(np.int16), image.transpose(0, 2, 1), "image"):
        assert not MovingStatistics.can_read(other)
