"""Figures of merit, against the benchmark's own scorer where it is at hand and against hand-worked cases."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

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


def _ssim(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Mean SSIM of one frame with a 7 × 7 box, sample covariance and data range 1 (Wang 2004, Eq. 13)."""
    n = 49 / 48
    ma, mb = uniform_filter(a, 7), uniform_filter(b, 7)
    va, vb = n * (uniform_filter(a * a, 7) - ma**2), n * (uniform_filter(b * b, 7) - mb**2)
    cov = n * (uniform_filter(a * b, 7) - ma * mb)
    c1, c2 = 0.01**2, 0.03**2
    full = (2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
    return float(full[3:-3, 3:-3].mean())


def _psnr(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(-10 * np.log10(((a - b) ** 2).mean()))


def _mean(figure: Callable[..., float], a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(np.mean([figure(p, q) for p, q in zip(a, b, strict=True)]))


def test_against_formulas_written_out_anew() -> None:
    rng = np.random.default_rng(3)
    truth = uniform_filter(rng.random((4, 31, 26)), (0, 3, 3)).astype(np.float32)
    recon = 7.5 * (truth + 0.03 * rng.standard_normal(truth.shape)) * np.exp(0.4j)
    found = score(recon, truth)
    r, t = np.abs(recon).astype(np.float64), truth.astype(np.float64)
    a = np.linalg.lstsq(r.reshape(-1, 1), t.ravel(), rcond=None)[0][0]
    assert found["nrmse_fit"] == pytest.approx(np.linalg.norm(a * r - t) / np.linalg.norm(t), rel=1e-9)
    u, v = a * r / t.max(), t / t.max()
    assert found["psnr_fit"] == pytest.approx(_mean(_psnr, u, v))
    assert found["ssim_fit"] == pytest.approx(_mean(_ssim, u, v), abs=1e-6)
    u, v = (r - r.min()) / np.ptp(r), (t - t.min()) / np.ptp(t)
    assert found["psnr"] == pytest.approx(_mean(_psnr, u, v))
    assert found["ssim"] == pytest.approx(_mean(_ssim, u, v), abs=1e-6)


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
