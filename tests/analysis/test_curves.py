"""Curves against loops, and what they become relative to a baseline."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_dainr.analysis.curves import (
    MODES,
    Curve,
    baseline_frames,
    baseline_of,
    in_mode,
    mask_curve,
    series_curve,
    suggest_baseline,
)
from napari_dainr.analysis.masks import Mask, region_mask
from napari_dainr.analysis.pixel_grid import PixelGrid
from napari_dainr.analysis.regions import Region, box_corners, ellipse_corners
from napari_dainr.data import ImageSeries
from napari_dainr.errors import InputError

N_FRAMES, SHAPE = 7, (13, 9)
RNG = np.random.default_rng(11)
IMAGE = (RNG.normal(size=(N_FRAMES, *SHAPE)) + 1j * RNG.normal(size=(N_FRAMES, *SHAPE))).astype(np.complex64)
TIMES = np.array([0.7, 2.1, 3.5, 4.9, 6.3, 7.7, 9.1])
SERIES = ImageSeries(IMAGE, TIMES, (1.5, 1.25), 1.4, np.arange(N_FRAMES) % 2 == 1, "nufft")


@pytest.mark.parametrize("n", [1, 2, 3, 24, 25, 117])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_statistics_are_those_of_the_pixels(n: int, dtype: type) -> None:
    chosen = np.zeros(SHAPE, bool)
    chosen.ravel()[RNG.permutation(chosen.size)[:n]] = True
    magnitude = np.abs(IMAGE).astype(dtype)
    curve = mask_curve(magnitude, Mask.of(chosen), TIMES)
    assert curve.n == n
    for frame in range(N_FRAMES):
        values = [float(v) for v in magnitude[frame][chosen]]
        assert curve.mean[frame] == pytest.approx(statistics.fmean(values), rel=1e-12)
        assert curve.median[frame] == pytest.approx(statistics.median(values), rel=1e-12)
        assert (curve.minimum[frame], curve.maximum[frame]) == (min(values), max(values))
        if n > 1:
            assert curve.sd[frame] == pytest.approx(statistics.stdev(values), rel=1e-10)
        else:
            assert np.isnan(curve.sd[frame])


def test_curve_reads_nothing_outside_the_region() -> None:
    region = Region(box_corners(3, 3, 9, 7.5), kind="rectangle")
    mask = region_mask(region, PixelGrid.of(SERIES)).full()
    spoilt = np.where(mask, SERIES.magnitude, np.nan)
    curve, plain = series_curve(SERIES, region, image_magnitude=spoilt), series_curve(SERIES, region)
    np.testing.assert_array_equal(curve.mean, plain.mean)
    np.testing.assert_allclose(plain.mean, SERIES.magnitude[:, mask].mean(axis=1), rtol=1e-6)
    assert plain.frame_duration_s == 1.4
    np.testing.assert_array_equal(plain.times_s, TIMES)
    np.testing.assert_array_equal(plain.interpolated, SERIES.interpolated)


@pytest.mark.parametrize("box", [(0, 13, 0, 9), (2, 7, 3, 4), (12, 13, 0, 9)])
def test_filled_boxes_are_read_as_any_other_mask(box: tuple[int, int, int, int]) -> None:
    y0, y1, x0, x1 = box
    chosen = np.zeros(SHAPE, bool)
    chosen[y0:y1, x0:x1] = True
    curve = mask_curve(SERIES.magnitude, Mask.of(chosen), TIMES)
    values = SERIES.magnitude[:, chosen].astype(float)
    np.testing.assert_allclose(curve.mean, values.mean(axis=1), rtol=1e-12)
    np.testing.assert_array_equal(curve.median, np.median(values, axis=1))
    np.testing.assert_array_equal(curve.maximum, values.max(axis=1))


def test_views_and_transposed_arrays_are_read_as_they_are() -> None:
    magnitude = SERIES.magnitude
    mask = region_mask(Region(ellipse_corners((9, 6), (5, 3)), kind="ellipse"), PixelGrid.of(SERIES))
    wanted = mask_curve(magnitude, mask, TIMES)
    strange = np.asfortranarray(np.stack([magnitude] * 2, axis=-1))[..., 0]
    np.testing.assert_array_equal(mask_curve(strange, mask, TIMES).mean, wanted.mean)
    np.testing.assert_array_equal(mask_curve(magnitude[::2], mask, TIMES[::2]).median, wanted.median[::2])


def test_pixels_that_are_not_numbers_are_not_hidden() -> None:
    magnitude = SERIES.magnitude
    magnitude[2, 5, 5] = np.nan
    curve = mask_curve(magnitude, Mask.of(np.ones(SHAPE, bool)), TIMES)
    for name in ("mean", "sd", "median", "minimum", "maximum"):
        np.testing.assert_array_equal(np.isnan(getattr(curve, name)), np.arange(N_FRAMES) == 2, err_msg=name)


def test_threshold_region_follows_its_series() -> None:
    image = np.ones((6, *SHAPE), np.complex64)
    image[3:, 4, 4] = 5
    series = ImageSeries(image, np.arange(6.0), (1.0, 1.0), 1.0, np.zeros(6, bool), "nufft")
    place = PixelGrid.of(series)
    outline = place.to_mm(box_corners(1, 1, 9, 8))
    curve = series_curve(series, Region(outline, kind="threshold", outline="rectangle", fraction=0.01))
    assert curve.n == 1
    np.testing.assert_array_equal(curve.mean, [1, 1, 1, 5, 5, 5])


def test_region_without_pixels_is_an_error_with_its_name() -> None:
    with pytest.raises(InputError, match="needle: holds no pixel"):
        series_curve(SERIES, Region(ellipse_corners((9.7, 6.6), (0.1, 0.1)), kind="ellipse", name="needle"))
    with pytest.raises(InputError, match="needle: lies outside"):
        series_curve(SERIES, Region(ellipse_corners((90, 6), (2, 2)), kind="ellipse", name="needle"))
    with pytest.raises(InputError, match="complex"):
        mask_curve(IMAGE, Mask.of(np.ones(SHAPE, bool)), TIMES)  # type: ignore[arg-type]


def curve_of(mean: list[float], times: NDArray[np.float64] | None = None) -> Curve:
    values = np.array(mean, dtype=float)
    at = np.arange(len(values), dtype=float) if times is None else times
    sd = np.full(len(values), 0.5)
    return Curve(at, values, sd, values, values - 1, values + 1, 9, np.zeros(len(values), bool), 1.0)


def test_modes() -> None:
    curve = curve_of([10, 10, 15, 5])
    np.testing.assert_allclose(in_mode(curve, "absolute", 10).mean, [0, 0, 5, -5])
    np.testing.assert_allclose(in_mode(curve, "relative", 10).mean, [0, 0, 50, -50])
    np.testing.assert_allclose(in_mode(curve, "normalised", 10).mean, [1, 1, 1.5, 0.5])
    assert in_mode(curve, "signal") is curve
    np.testing.assert_allclose(in_mode(curve, "absolute", 10).sd, 0.5)
    np.testing.assert_allclose(in_mode(curve, "relative", 10).sd, 5)
    np.testing.assert_allclose(in_mode(curve, "relative", 10).maximum, [10, 10, 60, -40])
    assert set(MODES) == {"signal", "absolute", "relative", "normalised"}
    with pytest.raises(InputError, match="'other'"):
        in_mode(curve, "other", 1)


@pytest.mark.parametrize("baseline", [None, 0.0, -3.0])
def test_no_baseline_no_ratio(baseline: float | None) -> None:
    for mode in ("relative", "normalised"):
        changed = in_mode(curve_of([1, 2]), mode, baseline)
        assert np.isnan(changed.mean).all() and np.isnan(changed.sd).all() and np.isnan(changed.median).all()
    absolute = in_mode(curve_of([1, 2]), "absolute", baseline).mean
    assert np.isnan(absolute).all() if baseline is None else absolute[0] == 1 - baseline


def test_baseline_window_holds_its_ends_and_may_be_turned_round() -> None:
    times = np.array([0.7, 2.1, 3.5, 4.9])
    assert baseline_frames(times, (0.7, 3.5)) == slice(0, 3)
    assert baseline_frames(times, (3.5, 0.7)) == slice(0, 3)
    assert baseline_frames(times, (0.7 + 1.4, 2.1)) == slice(1, 2)
    assert baseline_frames(times, (2.2, 3.4)) == slice(0, 0)
    curve = curve_of([4, 6, 8, 100], times)
    assert baseline_of(curve, (0, 3.5)) == 6
    assert baseline_of(curve, (5, 9)) is None


def test_suggested_baseline_ends_before_the_first_rise() -> None:
    early, late = curve_of([1, 1.02, 1, 4, 9, 6]), curve_of([2, 2, 2.1, 2, 2, 7])
    assert suggest_baseline([late]) == (0, 4)
    assert suggest_baseline([late, early]) == (0, 2)
    assert suggest_baseline([curve_of([3, 3, 3])]) == (0, 2)
    assert suggest_baseline([curve_of([1, 9, 9])]) == (0, 0)
    assert suggest_baseline([]) == (0, 0)


def test_measured_frames_alone() -> None:
    curve = series_curve(SERIES, Region(box_corners(3, 3, 9, 7.5), kind="rectangle"))
    measured = curve.measured()
    np.testing.assert_array_equal(measured.times_s, TIMES[::2])
    np.testing.assert_array_equal(measured.sd, curve.sd[::2])
    assert not measured.interpolated.any() and measured.n == curve.n


def test_suggested_baseline_withstands_noise() -> None:
    """An aorta that rises at 20 s, with noise of a tenth of the rise, beside a region of nothing but noise."""
    rng = np.random.default_rng(8)
    times = np.arange(60) * 1.5
    clean = np.interp(times, [0, 20, 26, 89], [10, 10, 30, 18])
    unmoved, ends = 0, []
    for _ in range(200):
        aorta = curve_of(list(clean + rng.normal(0, 1.5, 60)), times)
        air = curve_of(list(rng.normal(1, 0.3, 60)), times)
        start, end = suggest_baseline([air, aorta])
        assert start == 0 and end <= 22.5
        ends.append(end)
        unmoved += suggest_baseline([aorta]) == (start, end)
    assert np.mean(ends) > 15
    assert unmoved >= 195  # noise looks like a curve now and then
