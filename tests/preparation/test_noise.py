"""Prewhitening: the noise is white afterwards, and what cannot be whitened is said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_dainr.errors import InputError
from napari_dainr.preparation.noise import bandwidth_ratio, mix_coils, noise_covariance, whitening_matrix


def _correlated(coils: int, samples: int, seed: int, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Samples of a known covariance."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((coils, coils)) + 1j * rng.standard_normal((coils, coils)) + 3 * np.eye(coils)
    mixing *= scale * np.logspace(0, 1.5, coils)[:, None]
    white = (rng.standard_normal((coils, samples)) + 1j * rng.standard_normal((coils, samples))) / np.sqrt(2)
    return (mixing @ white).astype(np.complex64), mixing


@settings(max_examples=20, deadline=None)
@given(coils=st.integers(1, 12), seed=st.integers(0, 99), exponent=st.integers(-12, 8), ratio=st.floats(0.1, 10))
def test_noise_of_the_image_is_white_afterwards(coils: int, seed: int, exponent: int, ratio: float) -> None:
    samples = 20000
    scan, mixing = _correlated(coils, samples, seed, 10.0**exponent)
    white = whitening_matrix(noise_covariance(scan, ratio))
    # Noise of the image readouts: the same coils, ``ratio`` times the variance, other samples.
    rng = np.random.default_rng(seed + 1000)
    fresh = (rng.standard_normal((coils, samples)) + 1j * rng.standard_normal((coils, samples))) * np.sqrt(ratio / 2)
    after = mix_coils(white, (mixing @ fresh).astype(np.complex64)[None])[0].astype(np.complex128)
    covariance = after @ after.conj().T / samples
    # Entries of a sample covariance scatter by 1/√N; two such are compared.
    assert np.abs(covariance - np.eye(coils)).max() < 6 * np.sqrt(2 / samples)


def test_the_covariance_itself() -> None:
    scan, mixing = _correlated(5, 200_000, 3)
    truth = mixing @ mixing.conj().T
    scale = np.sqrt(np.diag(truth).real)
    np.testing.assert_allclose(
        noise_covariance(scan + 50.0, 2.0) / 2 / np.outer(scale, scale), truth / np.outer(scale, scale), atol=0.015
    )


def test_bandwidths() -> None:
    # A noise scan sampled half as fast holds half the noise power of the image readout, more by the filter.
    assert bandwidth_ratio(2e-6, 4e-6, 1.0) == pytest.approx(2.0)
    assert bandwidth_ratio(2e-6, 4e-6) == pytest.approx(2.0 / 0.793)
    with pytest.raises(InputError, match="must be positive"):
        bandwidth_ratio(0.0, 1.0)


def test_mixing_maps_and_samples_is_one_thing() -> None:
    rng = np.random.default_rng(0)
    data = (rng.standard_normal((2, 3, 7, 5)) + 1j * rng.standard_normal((2, 3, 7, 5))).astype(np.complex64)
    matrix = rng.standard_normal((2, 3)) + 1j * rng.standard_normal((2, 3))
    np.testing.assert_allclose(mix_coils(matrix, data), np.einsum("nc,scij->snij", matrix, data), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda n: n[:, :20], "too few for 4 coils"),
        (lambda n: np.where(np.arange(n.shape[1]) == 7, np.nan, n), "NaN or Inf"),
        (lambda n: n * np.array([1, 0, 1, 1])[:, None], "empty in coil 1"),
        (lambda n: n[[0, 1, 2, 0]], "repeats"),
    ],
)
def test_what_cannot_be_whitened(spoil: object, words: str) -> None:
    scan, _ = _correlated(4, 1000, 1)
    with pytest.raises(InputError, match=words):
        noise_covariance(spoil(scan))  # type: ignore[operator]
