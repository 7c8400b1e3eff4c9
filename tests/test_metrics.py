"""Figures of merit against an independent implementation and against the benchmark's scorer."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from napari_dainr.errors import InputError
from napari_dainr.metrics import score


@pytest.fixture
def pair() -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
    rng = np.random.default_rng(3)
    truth = uniform_filter(rng.random((4, 31, 26)), (0, 3, 3)).astype(np.float32)
    recon = 7.5 * (truth + 0.03 * rng.standard_normal(truth.shape)) * np.exp(0.4j)
    return recon.astype(np.complex64), truth


def _ssim(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Mean SSIM of one frame with a 7 × 7 box, sample covariance and data range 1 (Wang 2004, Eq. 13)."""
    n = 49 / 48
    ma, mb = uniform_filter(a, 7), uniform_filter(b, 7)
    va, vb = n * (uniform_filter(a * a, 7) - ma**2), n * (uniform_filter(b * b, 7) - mb**2)
    cov = n * (uniform_filter(a * b, 7) - ma * mb)
    c1, c2 = 0.01**2, 0.03**2
    full = (2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
    return float(full[3:-3, 3:-3].mean())


def test_against_formulas_written_out_anew(pair: tuple[NDArray[np.complex64], NDArray[np.float32]]) -> None:
    recon, truth = pair
    found = score(recon, truth)
    r, t = np.abs(recon).astype(np.float64), truth.astype(np.float64)
    a = np.linalg.lstsq(r.reshape(-1, 1), t.ravel(), rcond=None)[0][0]
    assert found["nrmse_fit"] == pytest.approx(np.linalg.norm(a * r - t) / np.linalg.norm(t), rel=1e-9)
    u, v = a * r / t.max(), t / t.max()
    assert found["psnr_fit"] == pytest.approx(np.mean([-10 * np.log10(((p - q) ** 2).mean()) for p, q in zip(u, v)]))
    assert found["ssim_fit"] == pytest.approx(np.mean([_ssim(p, q) for p, q in zip(u, v)]), abs=1e-6)
    u, v = (r - r.min()) / np.ptp(r), (t - t.min()) / np.ptp(t)
    assert found["psnr"] == pytest.approx(np.mean([-10 * np.log10(((p - q) ** 2).mean()) for p, q in zip(u, v)]))
    assert found["ssim"] == pytest.approx(np.mean([_ssim(p, q) for p, q in zip(u, v)]), abs=1e-6)


def test_equal_to_the_benchmark_scorer(
    shared_data: Path, pair: tuple[NDArray[np.complex64], NDArray[np.float32]]
) -> None:
    path = shared_data.parent / "bench" / "score.py"
    if not path.is_file():
        pytest.skip("no benchmark scorer beside the data")
    spec = importlib.util.spec_from_file_location("bench_score", path)
    assert spec is not None
    assert spec.loader is not None
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    recon, truth = pair
    assert score(recon, truth) == pytest.approx(bench.score(recon, truth), abs=5e-5)
    roi = (4, 29, 3, 20)
    part = np.s_[:, 4:29, 3:20]
    assert score(recon, truth, roi) == pytest.approx(bench.score(recon[part], truth[part]), abs=5e-5)


def test_scale_and_phase_do_not_count(pair: tuple[NDArray[np.complex64], NDArray[np.float32]]) -> None:
    recon, truth = pair
    assert score(1e-7j * recon, truth) == pytest.approx(score(recon, truth), rel=1e-5)
    perfect = score(3 * truth, truth)
    assert perfect["ssim_fit"] == pytest.approx(1)
    assert perfect["nrmse_fit"] < 1e-7


@pytest.mark.parametrize(
    ("recon", "truth", "roi", "message"),
    [
        (np.ones((2, 9, 9)), np.ones((3, 9, 9)), None, "shapes differ"),
        (np.full((2, 9, 9), np.nan), np.ones((2, 9, 9)), None, "reconstruction: holds NaN"),
        (np.ones((2, 9, 9)), np.full((2, 9, 9), np.inf), None, "truth: holds NaN or Inf"),
        (np.ones((2, 9, 9)), np.zeros((2, 9, 9)), None, "truth: is zero"),
        (np.ones((9, 9)), np.ones((9, 9)), None, "2 axes"),
        (np.ones((2, 9, 9)), np.ones((2, 9, 9)), (0, 10, 0, 9), "roi"),
        (np.ones((2, 9, 9)), np.ones((2, 9, 9)), (0, 5, 0, 9), "too small"),
    ],
)
def test_what_cannot_be_scored(
    recon: NDArray[np.float64],
    truth: NDArray[np.float64],
    roi: tuple[int, int, int, int] | None,
    message: str,
) -> None:
    with pytest.raises(InputError, match=message):
        score(recon, truth, roi)
