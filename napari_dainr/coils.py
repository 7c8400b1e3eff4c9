"""Coils: compression to few virtual coils, and sensitivity maps, estimated or given."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_dainr.errors import InputError
from napari_dainr.paged import let_go, room

__all__ = ["FRAMES_AT_ONCE", "adaptive_combine_maps", "compress_coils", "given_maps", "project_coils", "virtual_coils"]


FRAMES_AT_ONCE = 64
"""Frames whose samples are worked on together, so that what that takes does not grow with the series."""


def virtual_coils(
    kdata: NDArray[np.complex64], n_coils: int | None = None, energy: float = 0.99, at_least: int = 12
) -> tuple[NDArray[np.complex64] | None, float]:
    """The virtual coils that hold most energy (principal components over all samples).

    Parameters
    ----------
    kdata : (frame, coil, spoke, readout) complex64
    n_coils
        Virtual coils to keep; None keeps ``energy`` of the total and ``at_least`` coils where there are more.

    Returns
    -------
    basis : (coil, n_coils) complex64 or None
        Orthonormal columns; samples and maps are projected by its conjugate transpose. None where all coils are kept.
    kept : float
        Fraction of the energy that is kept.
    """
    coils = kdata.shape[1]
    covariance = np.zeros((coils, coils), np.complex128)
    for first in range(0, len(kdata), FRAMES_AT_ONCE):
        rows = np.moveaxis(kdata[first : first + FRAMES_AT_ONCE], 1, 0).reshape(coils, -1)
        covariance += rows @ rows.conj().T
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    share = np.cumsum(values) / values.sum()
    keep = n_coils if n_coils is not None else max(at_least, int(np.searchsorted(share, energy)) + 1)
    keep = min(keep, coils)
    if keep == coils:
        return None, 1.0
    return vectors[:, :keep].astype(np.complex64), float(share[keep - 1])


def compress_coils(
    kdata: NDArray[np.complex64], n_coils: int | None = None, energy: float = 0.99, at_least: int = 12
) -> tuple[NDArray[np.complex64], float]:
    """Project onto :func:`virtual_coils`.

    Returns
    -------
    kdata : (frame, n_coils, spoke, readout) complex64
    kept : float
        Fraction of the energy that is kept.
    """
    basis, kept = virtual_coils(kdata, n_coils, energy, at_least)
    return (kdata if basis is None else project_coils(kdata, basis)), kept


def project_coils(kdata: NDArray[np.complex64], basis: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """Samples in the coils of a basis, (frame, coil, spoke, readout) → (frame, n_coils, spoke, readout)."""
    projected = room((len(kdata), basis.shape[1], *kdata.shape[2:]))
    for first in range(0, len(kdata), FRAMES_AT_ONCE):
        rows = slice(first, first + FRAMES_AT_ONCE)
        projected[rows] = np.einsum("cn,fcsr->fnsr", basis.conj(), kdata[rows], optimize=True)
        let_go(projected)
    return projected


def given_maps(
    csm: NDArray[np.complex64], basis: NDArray[np.complex64] | None, matrix: tuple[int, int], name: str
) -> NDArray[np.complex64]:
    """Maps from a file as a reconstruction can use them: in the virtual coils, defined and of unit size everywhere.

    Where the file masks its maps with zeros, the nearest map goes on: the data then hold the image down there, while
    with zeros nothing would.

    Parameters
    ----------
    csm : (coil, y, x) complex64
    basis : (coil, n_coils) or None
        Of :func:`virtual_coils`.

    Raises
    ------
    InputError
        If they do not fit the matrix, are empty, or hold NaN or Inf.
    """
    from scipy.ndimage import distance_transform_edt

    if csm.shape[1:] != matrix:
        raise InputError(
            f"{name}: its coil maps are {csm.shape[1]} × {csm.shape[2]} and the matrix is {matrix[0]} × {matrix[1]}; "
            "choose that matrix, or other coil maps than 'given'."
        )
    if not np.isfinite(csm).all():
        raise InputError(f"{name}: its coil maps hold NaN or Inf; choose other coil maps than 'given'.")
    maps = csm if basis is None else np.einsum("cn,cyx->nyx", basis.conj(), csm, optimize=True)
    largest = float(np.abs(maps).max())
    if largest == 0:
        raise InputError(f"{name}: its coil maps are empty; choose other coil maps than 'given'.")
    maps = maps / np.float32(largest)
    size = np.sqrt((np.abs(maps) ** 2).sum(axis=0))
    masked = size < 1e-3 * size.max()
    if masked.any():
        nearest = distance_transform_edt(masked, return_distances=False, return_indices=True)
        maps, size = maps[:, nearest[0], nearest[1]], size[nearest[0], nearest[1]]
    return np.asarray(maps / size, dtype=np.complex64)


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
