"""How near a reconstruction is to the truth: PSNR, SSIM and error of magnitude series.

Two conventions. ``psnr`` and ``ssim`` are the paper's: each series scaled to [0, 1] by its own extremes, which one
stray pixel can upset. ``…_fit`` scales the reconstruction to the truth by one least-squares factor.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_dainr.errors import InputError

__all__ = ["fit_factor", "score"]

_SSIM_WINDOW = 7
_TINY = 1e-20


def _magnitude(series: ArrayLike, name: str, roi: tuple[int, int, int, int] | None) -> NDArray[np.float64]:
    given = np.asarray(series)
    if given.dtype.kind not in "biufc":
        raise InputError(f"{name} is not numeric but {given.dtype}; give a numeric (frame, y, x) series.")
    if given.ndim != 3 or given.shape[0] == 0:
        raise InputError(f"{name} has shape {given.shape}; a (frame, y, x) series with frames is needed.")
    values: NDArray[np.float64] = np.abs(given).astype(np.float64)
    if roi is not None:
        y0, y1, x0, x1 = roi
        if not (0 <= y0 < y1 <= values.shape[1] and 0 <= x0 < x1 <= values.shape[2]):
            raise InputError(
                f"roi {y0} {y1} {x0} {x1} does not lie in an image of {values.shape[1:]}; give Y0 Y1 X0 X1 inside it."
            )
        values = values[:, y0:y1, x0:x1]
    if min(values.shape[1:]) < _SSIM_WINDOW:
        raise InputError(
            f"{name}: {values.shape[1:]} are too few pixels; SSIM needs at least {_SSIM_WINDOW} × {_SSIM_WINDOW}."
        )
    if not np.isfinite(values).all():
        raise InputError(f"{name} holds NaN or Inf; there is no figure for that.")
    return values


def _unit_range(values: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = values.min(), values.max()
    return np.asarray((values - low) / max(high - low, _TINY))


def _psnr_ssim(recon: NDArray[np.float64], truth: NDArray[np.float64]) -> tuple[float, float]:
    """Means over frames for a data range of 1."""
    from skimage.metrics import structural_similarity

    mse = ((recon - truth) ** 2).mean(axis=(1, 2))
    psnr = -10 * np.log10(np.maximum(mse, _TINY)).mean()
    ssim = [structural_similarity(t, r, data_range=1.0) for r, t in zip(recon, truth, strict=True)]
    return float(psnr), float(np.mean(ssim))


def fit_factor(recon: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """a = ⟨recon, truth⟩ / ‖recon‖²: the factor that brings a magnitude series nearest to the truth; 0 for zeros."""
    r, t = (np.asarray(values, dtype=np.float64) for values in (recon, truth))
    return float((r * t).sum() / max((r * r).sum(), _TINY))


def score(recon: ArrayLike, truth: ArrayLike, roi: tuple[int, int, int, int] | None = None) -> dict[str, float]:
    """Figures of merit of a series against the truth.

    Parameters
    ----------
    recon, truth : (frame, y, x)
        Complex or magnitude, the same shape; only magnitudes are compared.
    roi : (y0, y1, x0, x1) or None
        Part of the image to look at, pixels, ends excluded.

    Returns
    -------
    dict
        ``psnr`` (dB) and ``ssim``: both series scaled to [0, 1] by their own minimum and maximum, mean over frames.
        ``psnr_fit`` (dB) and ``ssim_fit``: a · recon against truth, in units of the truth's maximum, with
        a = ⟨recon, truth⟩ / ‖recon‖². ``nrmse_fit``: ‖a · recon − truth‖ / ‖truth‖.

    Raises
    ------
    InputError
        For unequal shapes, NaN, a region outside the image or below 7 × 7 pixels, or a truth of zeros.
    """
    shapes = np.shape(recon), np.shape(truth)
    if shapes[0] != shapes[1]:
        raise InputError(f"shapes differ: reconstruction {shapes[0]}, truth {shapes[1]}; compare at the same size.")
    r, t = _magnitude(recon, "reconstruction", roi), _magnitude(truth, "truth", roi)
    peak, energy = t.max(), float((t**2).sum())
    if peak == 0:
        raise InputError("truth: is zero everywhere; there is nothing to compare with.")
    psnr, ssim = _psnr_ssim(_unit_range(r), _unit_range(t))
    fitted = r * fit_factor(r, t)
    psnr_fit, ssim_fit = _psnr_ssim(fitted / peak, t / peak)
    nrmse = float(np.sqrt(((fitted - t) ** 2).sum() / energy))
    return {"psnr": psnr, "ssim": ssim, "psnr_fit": psnr_fit, "ssim_fit": ssim_fit, "nrmse_fit": nrmse}
