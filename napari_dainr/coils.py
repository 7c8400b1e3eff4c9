"""Coils: compression to few virtual coils, and sensitivity maps estimated from the data's own time average."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["adaptive_combine_maps", "compress_coils"]


def compress_coils(
    kdata: NDArray[np.complex64], n_coils: int | None = None, energy: float = 0.99, at_least: int = 12
) -> tuple[NDArray[np.complex64], float]:
    """Project onto the virtual coils that hold most energy (principal components over all samples).

    Parameters
    ----------
    kdata : (frame, coil, spoke, readout) complex64
    n_coils
        Virtual coils to keep; None keeps ``energy`` of the total and ``at_least`` coils where there are more.

    Returns
    -------
    kdata : (frame, n_coils, spoke, readout) complex64
    kept : float
        Fraction of the energy that is kept.
    """
    coils = kdata.shape[1]
    rows = np.moveaxis(kdata, 1, 0).reshape(coils, -1)
    values, vectors = np.linalg.eigh((rows @ rows.conj().T).astype(np.complex128))
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    share = np.cumsum(values) / values.sum()
    keep = n_coils if n_coils is not None else max(at_least, int(np.searchsorted(share, energy)) + 1)
    keep = min(keep, coils)
    if keep == coils:
        return kdata, 1.0
    basis = vectors[:, :keep].astype(np.complex64)
    return np.ascontiguousarray(np.einsum("cn,fcsr->fnsr", basis.conj(), kdata, optimize=True)), float(share[keep - 1])


def _gaussian(image: Tensor, sigma: float) -> Tensor:
    """Separable Gaussian along the last two axes of a real tensor, edges replicated."""
    radius = max(1, round(3 * sigma))
    offset = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    kernel = torch.exp(-0.5 * (offset / sigma) ** 2)
    kernel = kernel / kernel.sum()
    flat = image.reshape(-1, 1, *image.shape[-2:])
    flat = torch.nn.functional.pad(flat, (radius, radius, radius, radius), mode="replicate")
    flat = torch.nn.functional.conv2d(flat, kernel.view(1, 1, -1, 1))
    flat = torch.nn.functional.conv2d(flat, kernel.view(1, 1, 1, -1))
    return flat.reshape(image.shape)


def adaptive_combine_maps(coil_images: Tensor, sigma: float = 2.5) -> Tensor:
    """Sensitivity maps by adaptive combination (Walsh, Gmitro, Marcellin, MRM 43:682, 2000).

    Each pixel's map is the dominant eigenvector of the coil covariance, averaged over a Gaussian neighbourhood.

    Parameters
    ----------
    coil_images : (coil, y, x) complex64
    sigma : float
        Width of the neighbourhood, pixels.

    Returns
    -------
    csm : (coil, y, x) complex64
        Sum of squares 1 everywhere; phase relative to the first coil.
    """
    coils = coil_images.shape[0]
    # Scaled to unit maximum: raw data of 1e-6 would otherwise underflow in the products below.
    images = coil_images / coil_images.abs().max()
    covariance = torch.empty(*images.shape[-2:], coils, coils, dtype=torch.complex64, device=images.device)
    for i in range(coils):
        product = images[i] * images[i:].conj()
        smooth = torch.complex(_gaussian(product.real, sigma), _gaussian(product.imag, sigma))
        covariance[..., i, i:] = smooth.permute(1, 2, 0)
        covariance[..., i:, i] = smooth.conj().permute(1, 2, 0)
    vector = torch.linalg.eigh(covariance).eigenvectors[..., -1]
    reference = vector[..., :1]
    phase = torch.where(reference.abs() > 0, reference.conj() / reference.abs().clamp_min(1e-20), 1.0)
    return (vector * phase).permute(2, 0, 1).contiguous()
