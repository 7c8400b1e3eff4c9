"""ESPIRiT: coil maps as eigenvectors (Uecker et al., MRM 71:990, 2014).

Every block of k × k neighbouring k-space samples of all coils lies in a small space, spanned by the leading right
singular vectors of the calibration matrix, whose rows are all such blocks of a fully sampled centre. In the image the
projection onto that space is a (coil, coil) matrix in each pixel; the sensitivities are its eigenvector of eigenvalue
1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

__all__ = ["central_kspace", "espirit_maps"]


def _centred(transform: str, array: NDArray[np.complexfloating]) -> NDArray[Any]:
    axes = (-2, -1)
    call = getattr(fft, transform)
    return np.asarray(fft.fftshift(call(fft.ifftshift(array, axes=axes), axes=axes, norm="ortho"), axes=axes))


def _placed(array: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Cut or filled with zeros about the centre, which lies at n // 2."""
    result = np.zeros((*array.shape[:-2], *shape), dtype=array.dtype)
    here, there = [], []
    for size, wanted in zip(array.shape[-2:], shape, strict=True):
        low = min(size // 2, wanted // 2)
        high = min(size - size // 2, wanted - wanted // 2)
        here.append(slice(size // 2 - low, size // 2 + high))
        there.append(slice(wanted // 2 - low, wanted // 2 + high))
    result[..., there[0], there[1]] = array[..., here[0], here[1]]
    return result


def central_kspace(coil_images: NDArray[np.complexfloating], size: int = 24) -> NDArray[np.complex128]:
    """The centre of the Cartesian k-space of coil images, (coil, y, x) → (coil, size, size) or smaller."""
    spectrum = _centred("fft2", coil_images.astype(np.complex128))
    shape = (min(size, spectrum.shape[-2]), min(size, spectrum.shape[-1]))
    return _placed(spectrum, shape)


def espirit_maps(
    calibration: NDArray[np.complexfloating],
    matrix: tuple[int, int],
    *,
    kernel: int = 6,
    threshold: float = 0.001,
) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
    """Coil maps from the centre of k-space.

    Parameters
    ----------
    calibration : (coil, ky, kx) complex
        Fully sampled centre of Cartesian k-space, 24 × 24 or so.
    matrix : (y, x)
        Pixels of the maps.
    kernel
        Samples along each side of a block.
    threshold
        Squared singular values below this part of the largest belong to the noise.

    Returns
    -------
    csm : (coil, y, x) complex64
        Sum of squares 1 in every pixel; the first virtual coil (most energy) has phase zero.
    eigenvalue : (y, x) float32
        1 where one set of maps explains the data, less outside the object: where it is low, maps mean nothing.
    """
    coils = len(calibration)
    kernel = min(kernel, *calibration.shape[1:])
    data = calibration / np.abs(calibration).max()
    blocks = np.lib.stride_tricks.sliding_window_view(data, (kernel, kernel), axis=(1, 2))
    rows = blocks.transpose(1, 2, 0, 3, 4).reshape(-1, coils * kernel * kernel)
    values, vectors = np.linalg.eigh(rows.conj().T @ rows)
    keep = values > threshold * values[-1]
    kernels = vectors[:, keep].conj().T.reshape(-1, coils, kernel, kernel)
    gram = _projection(kernels, matrix)
    eigenvalues, eigenvectors = np.linalg.eigh(gram)
    maps = eigenvectors[..., -1]
    # One phase for all pixels: that of the virtual coil which holds most energy of the calibration data.
    flat = data.reshape(coils, -1)
    strongest = np.linalg.eigh(flat @ flat.conj().T)[1][:, -1]
    reference = maps @ strongest.conj()
    size = np.abs(reference)
    maps = maps * np.where(size > 0, reference.conj() / np.maximum(size, 1e-30), 1.0)[..., None]
    csm = np.ascontiguousarray(maps.transpose(2, 0, 1)).astype(np.complex64)
    return csm, np.asarray(eigenvalues[..., -1], dtype=np.float32)


def _projection(kernels: NDArray[np.complex128], matrix: tuple[int, int]) -> NDArray[np.complex64]:
    """The projection onto the signal space, averaged over the blocks that hold a sample, in each pixel: (y, x, c, c).

    A product of two kernels in the image is a correlation in k-space, which reaches 2k − 1 samples: summed there over
    all kernels, one transform for each pair of coils is enough.
    """
    _, coils, size, _ = kernels.shape
    reach = 2 * size - 1
    spectrum = fft.fft2(kernels, s=(reach, reach))
    products = np.einsum("ncyx,ndyx->cdyx", spectrum, spectrum.conj(), optimize=True)
    correlation = fft.fftshift(fft.ifft2(products), axes=(-2, -1))
    gram = np.empty((*matrix, coils, coils), dtype=np.complex64)
    pixels = matrix[0] * matrix[1]
    for c in range(coils):
        for d in range(c, coils):
            image = _centred("ifft2", _placed(correlation[c, d], matrix)) * np.sqrt(pixels) / size**2
            gram[..., c, d] = image
            gram[..., d, c] = image.conj()
    return gram
