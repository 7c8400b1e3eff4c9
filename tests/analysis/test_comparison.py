"""Whether series can be compared, and how they differ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_dainr.analysis.comparison import difference_maps, metric_table, pair, why_not_comparable
from napari_dainr.data import ImageSeries
from napari_dainr.errors import InputError
from napari_dainr.metrics import fit_factor, score

RNG = np.random.default_rng(4)


def series(n: int = 4, shape: tuple[int, int] = (9, 8), step: float = 2.0, method: str = "nufft") -> ImageSeries:
    image = RNG.uniform(0.1, 1, (n, *shape)).astype(np.complex64)
    return ImageSeries(image, 1 + step * np.arange(n), (1.5, 1.5), 2.0, np.zeros(n, bool), method)


def upsampled(one: ImageSeries, k: int) -> ImageSeries:
    """k frame steps per measured one; measured frames at their own times."""
    n = (one.n_frames - 1) * k + 1
    image = np.repeat(one.image, k, axis=0)[:n]
    times = one.times_s[0] + one.frame_step_s / k * np.arange(n)
    return replace(one, image=image, times_s=times, interpolated=np.arange(n) % k != 0, method="dainr")


def test_frames_of_the_same_times_are_paired() -> None:
    a = series(5)
    b = upsampled(a, 3)
    both = pair(b, a)
    np.testing.assert_array_equal(both.first, [0, 3, 6, 9, 12])
    np.testing.assert_array_equal(both.second, np.arange(5))
    np.testing.assert_array_equal(pair(a, b).second, both.first)
    shifted = replace(a, times_s=a.times_s + 0.19)
    assert pair(a, shifted).first.size == 5
    assert pair(a, replace(a, times_s=a.times_s + 0.21)).first.size == 0
    later = replace(a, times_s=a.times_s + 4)
    np.testing.assert_array_equal(pair(a, later).first, [2, 3, 4])
    one = replace(a, image=a.image[:1], times_s=a.times_s[:1], interpolated=a.interpolated[:1])
    assert pair(one, a).first.tolist() == [0] and pair(a, one).second.tolist() == [0]


def test_scores_are_those_of_the_common_frames() -> None:
    truth = series(5)
    noisy = replace(truth, image=(truth.image + 0.1 * RNG.normal(size=truth.image.shape)).astype(np.complex64))
    rows = metric_table({"plain": noisy, "finer": upsampled(noisy, 2), "small": series(5, (9, 7))}, truth)
    wanted = score(noisy.magnitude, truth.magnitude)
    assert [row.name for row in rows] == ["plain", "finer", "small"]
    assert rows[0].scores == wanted and rows[1].scores == wanted
    assert (rows[0].n_frames, rows[1].n_frames, rows[2].n_frames) == (5, 5, 0)
    assert rows[2].scores == {} and "9 × 7" in rows[2].reason
    cut = metric_table({"plain": noisy}, truth, (1, 9, 0, 8))[0].scores
    assert cut == score(noisy.magnitude, truth.magnitude, (1, 9, 0, 8)) != wanted


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (series(4, (8, 9)), "8 × 9"),
        (replace(series(), pixel_mm=(1.5, 1.6)), "1.5 × 1.6 mm"),
        (replace(series(), times_s=100 + np.arange(4.0)), "no frame at the same time"),
    ],
)
def test_what_cannot_be_compared_gets_a_sentence(other: ImageSeries, words: str) -> None:
    said = why_not_comparable(series(), other)
    assert said is not None and words in said and said.endswith(".") and said.count(". ") == 0
    assert why_not_comparable(series(), series()) is None


def test_difference_is_scaled_enlarged_and_signed() -> None:
    truth = np.abs(series().image)
    np.testing.assert_allclose(difference_maps(3 * truth, truth), 0, atol=1e-6)
    np.testing.assert_allclose(difference_maps(3 * truth, truth, gain=2, fit=False), 4 * truth, rtol=1e-6)
    other = np.abs(series().image)
    maps = difference_maps(other, truth, gain=7)
    assert maps.dtype == np.float32 and maps.min() < 0 < maps.max()
    factor, *_ = np.linalg.lstsq(other.reshape(-1, 1).astype(float), truth.ravel().astype(float))
    assert fit_factor(other, truth) == pytest.approx(float(factor[0]))
    np.testing.assert_allclose(maps, 7 * (factor[0] * other - truth), atol=1e-5)
    with pytest.raises(InputError, match="shapes differ"):
        difference_maps(other[1:], truth)
