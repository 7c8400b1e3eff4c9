"""Figures of merit, against the benchmark's own scorer where it is at hand and against hand-worked cases."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_dainr.errors import InputError
from napari_dainr.metrics import score

KEYS = ["psnr", "ssim", "psnr_fit", "ssim_fit", "nrmse_fit"]
Series = NDArray[np.complex64]


@pytest.fixture(scope="module")
def benchmark_score(shared_data: Path) -> Callable[[Series, Series], dict[str, float]]:
    script = shared_data.parent / "bench" / "score.py"
    if not script.is_file():
        pytest.skip("no benchmark scorer beside the benchmark data")
    return runpy.run_path(str(script))["score"]


def series(seed: int, shape: tuple[int, int, int] = (4, 23, 16)) -> Series:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("roi", [None, (2, 20, 3, 15)])
def test_equals_the_benchmark_scorer(
    benchmark_score: Callable[[Series, Series], dict[str, float]], seed: int, roi: tuple[int, int, int, int] | None
) -> None:
    truth = np.abs(series(seed))
    recon = 3.7 * truth + 0.3 * series(seed + 10)
    y0, y1, x0, x1 = roi or (0, 23, 0, 16)
    wanted = benchmark_score(recon[:, y0:y1, x0:x1], truth[:, y0:y1, x0:x1])
    got = score(recon, truth, roi)
    assert list(got) == KEYS
    for key in KEYS:
        assert round(got[key], 4) == round(wanted[key], 4), key


def test_a_scaled_copy_is_perfect() -> None:
    truth = np.abs(series(0))
    got = score(5.0 * truth * np.exp(0.7j), truth)
    assert got["psnr"] > 120
    assert got["psnr_fit"] > 120
    assert got["ssim"] == pytest.approx(1, abs=1e-9)
    assert got["ssim_fit"] == pytest.approx(1, abs=1e-9)
    assert got["nrmse_fit"] < 1e-6


def test_known_error_gives_known_decibels() -> None:
    recon = np.zeros((2, 10, 10))
    recon[:, :5] = 1.0
    truth = recon.copy()
    truth[:, 9, :] = 0.5  # the error is orthogonal to the reconstruction, so that the fitted scale is 1
    got = score(recon, truth)
    mse = 10 * 0.25 / 100
    assert got["psnr_fit"] == pytest.approx(-10 * np.log10(mse), abs=1e-9)
    assert got["psnr"] == pytest.approx(-10 * np.log10(mse), abs=1e-9)
    assert got["nrmse_fit"] == pytest.approx(np.sqrt(2.5 / 52.5), abs=1e-12)


def test_decibels_are_averaged_over_frames_not_errors() -> None:
    recon = np.zeros((2, 10, 10))
    recon[:, :5] = 1.0
    truth = recon.copy()
    truth[0, 9, :], truth[1, 9, :] = 0.5, 0.05
    decibels = -10 * np.log10(np.array([0.25, 0.0025]) * 10 / 100)
    assert score(recon, truth)["psnr_fit"] == pytest.approx(decibels.mean(), abs=1e-9)


def test_a_bright_pixel_spoils_the_own_range_but_not_the_fit() -> None:
    truth = np.abs(series(1)) + 0.5
    recon = truth.copy()
    recon[0, 3, 3] = 8 * truth.max()
    got = score(recon, truth)
    assert got["psnr"] < got["psnr_fit"] - 1


def test_a_reconstruction_of_nothing_scores_badly_but_scores() -> None:
    got = score(np.zeros((2, 9, 9)), np.ones((2, 9, 9)))
    assert got["nrmse_fit"] == pytest.approx(1)
    assert got["psnr_fit"] == pytest.approx(0)


BAD: list[tuple[NDArray, NDArray, tuple[int, int, int, int] | None, str]] = [
    (np.ones((2, 9, 9)), np.ones((2, 9, 8)), None, "shape"),
    (np.ones((3, 9, 9)), np.ones((2, 9, 9)), None, "shape"),
    (np.ones((9, 9)), np.ones((9, 9)), None, "(frame, y, x)"),
    (np.ones((0, 9, 9)), np.ones((0, 9, 9)), None, "(frame, y, x)"),
    (np.full((2, 9, 9), "a"), np.ones((2, 9, 9)), None, "numeric"),
    (np.full((2, 9, 9), np.nan), np.ones((2, 9, 9)), None, "reconstruction holds NaN"),
    (np.ones((2, 9, 9)), np.full((2, 9, 9), np.inf), None, "truth holds NaN"),
    (np.ones((2, 9, 9)), np.zeros((2, 9, 9)), None, "zero everywhere"),
    (np.ones((2, 9, 9)), np.ones((2, 9, 9)), (0, 10, 0, 9), "roi 0 10 0 9"),
    (np.ones((2, 9, 9)), np.ones((2, 9, 9)), (-8, 8, 0, 9), "roi -8 8 0 9"),
    (np.ones((2, 9, 9)), np.ones((2, 9, 9)), (8, 1, 0, 9), "roi 8 1 0 9"),
    (np.ones((2, 9, 9)), np.ones((2, 9, 9)), (0, 9, 0, 6), "too few"),
]


@pytest.mark.parametrize(("recon", "truth", "roi", "word"), BAD)
def test_bad_input_gets_one_sentence(
    recon: NDArray, truth: NDArray, roi: tuple[int, int, int, int] | None, word: str
) -> None:
    with pytest.raises(InputError) as caught:
        score(recon, truth, roi)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)
