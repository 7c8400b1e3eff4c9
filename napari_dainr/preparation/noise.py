"""Noise prewhitening: coils mixed so that their noise is uncorrelated and of unit variance.

With the samples n of a noise scan, Ψ = E[n nᴴ] and its Cholesky factor Ψ = L Lᴴ, the data L⁻¹ y have noise of
covariance 1 (Pruessmann et al., MRM 46:638, 2001, appendix A).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from napari_dainr.errors import InputError

__all__ = ["RECEIVER_BANDWIDTH_RATIO", "bandwidth_ratio", "mix_coils", "noise_covariance", "whitening_matrix"]

RECEIVER_BANDWIDTH_RATIO = 0.793
"""Equivalent noise bandwidth of a Siemens noise scan over its sampling rate: its digital filter cuts the edges off."""

_WORST_CONDITION = 1e8


def bandwidth_ratio(image_dwell: float, noise_dwell: float, receiver: float = RECEIVER_BANDWIDTH_RATIO) -> float:
    """Variance of the noise in the image readout over that in the noise scan.

    Noise power grows with the bandwidth, which is one over the dwell time for the image readout and ``receiver`` over
    the dwell time for the noise scan.

    Raises
    ------
    InputError
        If one of them is not a positive number.
    """
    values = (image_dwell, noise_dwell, receiver)
    if not all(np.isfinite(value) and value > 0 for value in values):
        raise InputError("dwell times and receiver bandwidth of the noise scan must be positive; correct the header.")
    return noise_dwell / (image_dwell * receiver)


def noise_covariance(noise: NDArray[np.complexfloating], ratio: float = 1.0) -> NDArray[np.complex128]:
    """Covariance of the noise in the image readouts, Ψ = ratio · Σ n nᴴ / (N − 1).

    Parameters
    ----------
    noise : (coil, sample) complex
        Samples of a noise scan. Its mean is an offset of the receiver and is taken away.
    ratio
        See :func:`bandwidth_ratio`.

    Raises
    ------
    InputError
        If the scan cannot tell the covariance: too short, not finite, or a coil that holds no noise or that another
        coil repeats.
    """
    coils, samples = noise.shape
    if not np.isfinite(noise).all():
        raise InputError("the noise scan holds NaN or Inf")
    if samples < 10 * coils:
        raise InputError(f"the noise scan holds {samples} samples, too few for {coils} coils")
    values = noise.astype(np.complex128)
    values -= values.mean(axis=1, keepdims=True)
    deviation = np.sqrt((np.abs(values) ** 2).mean(axis=1))
    if not (deviation > 0).all():
        raise InputError(f"the noise scan is empty in coil {int(np.argmin(deviation))}")
    values /= deviation[:, None]
    correlation = values @ values.conj().T / (samples - 1)
    if np.linalg.cond(correlation) > _WORST_CONDITION:
        raise InputError("the noise of some coils repeats that of others")
    return correlation * (deviation[:, None] * deviation * ratio)


def whitening_matrix(covariance: NDArray[np.complexfloating]) -> NDArray[np.complex128]:
    """W = L⁻¹ with Ψ = L Lᴴ: W Ψ Wᴴ = 1; (coil, coil), lower triangular."""
    lower = np.linalg.cholesky(covariance.astype(np.complex128))
    return np.asarray(solve_triangular(lower, np.eye(len(lower)), lower=True), dtype=np.complex128)


def mix_coils(matrix: NDArray[np.complexfloating], data: NDArray[np.complex64], axis: int = 1) -> NDArray[np.complex64]:
    """Apply a matrix (new coil, coil) along the coil axis of samples or sensitivity maps."""
    # Row by row of the first axis, so that memory stays near the size of the result.
    shape = list(data.shape)
    shape[axis] = len(matrix)
    mixed = np.empty(shape, dtype=np.complex64)
    for row in range(len(data)):
        part = np.moveaxis(data[row], axis - 1, 0)
        product = matrix @ part.reshape(len(part), -1)
        mixed[row] = np.moveaxis(product.reshape(len(matrix), *part.shape[1:]), 0, axis - 1)
    return mixed
