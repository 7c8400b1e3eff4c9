"""Phantoms: simulated k-space against the Fourier sum, and truths that are what they say."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_dainr.analysis import roi_curve
from napari_dainr.errors import InputError
from napari_dainr.phantom import band_limit, cine_phantom, coil_maps, liver_phantom, sample_kspace, simulate_kspace


def _sum(image: NDArray[np.complexfloating], ky: float, kx: float) -> complex:
    """The Fourier sum of one frame at one point, cycles per field of view, pixel by pixel."""
    ny, nx = image.shape
    y, x = (np.arange(ny) - ny // 2) / ny, (np.arange(nx) - nx // 2) / nx
    return complex((image * np.exp(-2j * np.pi * (ky * y[:, None] + kx * x[None, :]))).sum())


@pytest.mark.parametrize("matrix", [(33, 28), (21, 20)])
def test_kspace_is_the_exact_fourier_sum(tiny_images: NDArray[np.complex64], matrix: tuple[int, int]) -> None:
    kspace = simulate_kspace(tiny_images, spokes_per_frame=3, n_coils=4, snr=np.inf, matrix=matrix)
    assert kspace.kdata.shape == (1, 4, 15, 2 * max(matrix))
    csm = coil_maps(4, (33, 28))
    gain = np.sqrt(matrix[0] * matrix[1]) / (33 * 28)
    scale = np.abs(kspace.kdata).max()
    rng = np.random.default_rng(0)
    for _ in range(60):
        coil, spoke, sample = rng.integers(4), rng.integers(15), rng.integers(2 * max(matrix))
        ky, kx = kspace.ktraj[spoke, sample].astype(float)
        expected = gain * _sum(tiny_images[spoke // 3] * csm[coil], ky, kx)
        assert abs(kspace.kdata[0, coil, spoke, sample] - expected) < 1e-5 * scale


def test_a_finer_grid_gives_the_kspace_of_its_band_limited_image(tiny_images: NDArray[np.complex64]) -> None:
    fine = np.zeros((1, 66, 56), np.complex64)
    fine[0, 20:40, 15:30] = 1 + 0.5j
    coarse = band_limit(fine, (33, 28))
    assert np.abs(coarse).mean() == pytest.approx(np.abs(fine).mean(), rel=0.15)
    for ky, kx in ((0, 0), (3, -2), (-7, 5), (16, 13)):
        a = _sum(fine[0], ky, kx) / (66 * 56)
        b = _sum(coarse[0], ky, kx) / (33 * 28)
        assert abs(a - b) < 1e-5


def test_noise_has_the_level_asked_for_and_is_independent(tiny_images: NDArray[np.complex64]) -> None:
    common = {"spokes_per_frame": 8, "n_coils": 3, "seed": 5}
    clean = simulate_kspace(tiny_images, snr=np.inf, **common)
    noise = simulate_kspace(tiny_images, snr=20.0, **common).kdata - clean.kdata
    magnitude = np.abs(tiny_images)
    expected = magnitude[magnitude > 0.1 * magnitude.max()].mean() / 20
    assert noise.std() == pytest.approx(expected, rel=0.03)
    assert noise.real.std() == pytest.approx(noise.imag.std(), rel=0.05)
    coils = noise[0].reshape(3, -1)
    correlation = np.abs(np.corrcoef(coils))
    assert correlation[~np.eye(3, dtype=bool)].max() < 0.08
    again = simulate_kspace(tiny_images, snr=20.0, **common)
    assert np.array_equal(again.kdata - clean.kdata, noise)


@pytest.mark.parametrize(("n_coils", "matrix"), [(1, (16, 16)), (5, (33, 28)), (32, (24, 40))])
def test_coil_maps_are_smooth_different_and_of_unit_power(n_coils: int, matrix: tuple[int, int]) -> None:
    csm = coil_maps(n_coils, matrix)
    np.testing.assert_allclose((np.abs(csm) ** 2).sum(axis=0), 1, rtol=1e-5)
    if n_coils > 1:
        flat = csm.reshape(n_coils, -1)
        likeness = np.abs(flat @ flat.conj().T)
        norm = np.sqrt(np.outer(np.diag(likeness), np.diag(likeness)))
        assert (likeness / norm)[~np.eye(n_coils, dtype=bool)].max() < 0.999
        brightest = np.abs(csm).reshape(n_coils, -1).argmax(axis=1)
        assert len(np.unique(brightest)) > n_coils // 2


def test_the_heart_beats_and_the_chest_does_not() -> None:
    image = np.abs(cine_phantom((64, 60), n_frames=12))
    assert image.shape == (12, 64, 60)
    change = image.std(axis=0)
    heart = np.s_[20:46, 15:49]
    assert change[heart].mean() > 0.03
    change[heart] = 0
    assert change.max() < 1e-4  # soft edges have long tails
    pool = (image[:, 22:44, 18:46] > 0.7).sum(axis=(1, 2))
    assert pool.argmin() in range(2, 7)  # systole comes early in the beat
    assert pool.min() < 0.75 * pool.max()
    assert np.array_equal(cine_phantom((64, 60), 12, seed=0), cine_phantom((64, 60), 12, seed=0))
    assert not np.array_equal(cine_phantom((64, 60), 12, seed=0), cine_phantom((64, 60), 12, seed=1))


def test_the_liver_phantom_follows_its_curves() -> None:
    image, masks, curves = liver_phantom((128, 112), n_frames=17)
    assert set(masks) == set(curves) == {"AO", "PV", "liver"}
    for name, tolerance in (("AO", 0.01), ("PV", 0.01), ("liver", 0.04)):
        assert masks[name].sum() >= 10
        np.testing.assert_allclose(roi_curve(np.abs(image), masks[name]), curves[name], rtol=tolerance)
    assert curves["AO"].argmax() < curves["PV"].argmax() < curves["liver"].argmax()
    assert not (masks["AO"] & masks["PV"]).any()


@pytest.mark.parametrize("kind", ["cine", "liver"])
def test_sample_data(kind: str) -> None:
    kspace = sample_kspace(kind)  # type: ignore[arg-type]
    assert kspace.matrix == (96, 96)
    assert kspace.spokes_per_frame_hint
    assert kspace.n_spokes % kspace.spokes_per_frame_hint == 0


def test_what_cannot_be_simulated(tiny_images: NDArray[np.complex64]) -> None:
    with pytest.raises(InputError, match="finer than the image"):
        simulate_kspace(tiny_images, spokes_per_frame=3, matrix=(64, 64))
    with pytest.raises(InputError, match="finite"):
        simulate_kspace(tiny_images[0], spokes_per_frame=3)
    with pytest.raises(InputError, match="positive"):
        simulate_kspace(tiny_images, spokes_per_frame=0)
    with pytest.raises(InputError, match="cine or liver"):
        sample_kspace("brain")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="seed"):
        simulate_kspace(tiny_images, spokes_per_frame=3, seed=-1)


@pytest.mark.parametrize(
    ("matrix", "n_frames", "seed"), [((0, 16), 3, 0), ((16, -5), 3, 0), ((16, 16), 0, 0), ((16, 16), 3, -1)]
)
@pytest.mark.parametrize("draw", [cine_phantom, liver_phantom])
def test_phantoms_that_cannot_be_drawn(draw: object, matrix: tuple[int, int], n_frames: int, seed: int) -> None:
    with pytest.raises(InputError, match="phantom"):
        draw(matrix, n_frames, seed)  # type: ignore[operator]
