"""Coil maps: ESPIRiT beside the truth and BART, maps from a file through compression, and images with each of them."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_dainr.bench.bart import read_cfl, write_cfl
from napari_dainr.coils import adaptive_combine_maps, compress_coils, given_maps, project_coils, virtual_coils
from napari_dainr.data import KSpace, bin_spokes
from napari_dainr.errors import InputError
from napari_dainr.methods.problem import density_compensated, make_problem
from napari_dainr.phantom import coil_maps, liver_phantom, simulate_kspace
from napari_dainr.preparation.espirit import central_kspace, espirit_maps

Complex = NDArray[np.complexfloating]
MATRIX = (45, 38)


def _correlation(one: Complex, other: Complex) -> NDArray[np.float64]:
    """Of two sets of maps in each pixel, whatever their phase and size."""
    product = np.abs((one.conj() * other).sum(axis=0))
    return product / np.linalg.norm(one, axis=0) / np.linalg.norm(other, axis=0)


@pytest.fixture(scope="module")
def coil_images() -> tuple[Complex, Complex, NDArray[np.bool_]]:
    """Coil images of a liver at SNR 100, the true maps, and where the object is."""
    image, maps = liver_phantom(MATRIX, 1)[0][0], coil_maps(6, MATRIX)
    inside = np.abs(image) > 0.1 * np.abs(image).max()
    rng = np.random.default_rng(0)
    shape = (6, *MATRIX)
    noise = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    return maps * image + np.abs(image)[inside].mean() / 100 / np.sqrt(2) * noise, maps, inside


def test_espirit_finds_the_maps(coil_images: tuple[Complex, Complex, NDArray[np.bool_]]) -> None:
    images, truth, inside = coil_images
    found, eigenvalue = espirit_maps(central_kspace(images), MATRIX)
    assert _correlation(found, truth)[inside].min() > 0.99
    np.testing.assert_allclose((np.abs(found) ** 2).sum(axis=0), 1, rtol=1e-5)
    assert eigenvalue[inside].min() > 0.9 and eigenvalue.max() < 1.01
    assert eigenvalue[0, 0] < 0.9  # a corner, where there is no object
    # No worse than adaptive combination, which smooths over pixels.
    adaptive = adaptive_combine_maps(torch.from_numpy(images.astype(np.complex64))).numpy()
    assert (1 - _correlation(found, truth)[inside]).mean() < (1 - _correlation(adaptive, truth)[inside]).mean()


def test_espirit_at_any_scale(coil_images: tuple[Complex, Complex, NDArray[np.bool_]]) -> None:
    images, _, inside = coil_images
    reference, _ = espirit_maps(central_kspace(images), MATRIX)
    for factor in (1e-20, 1e20):
        found, _ = espirit_maps(central_kspace(images * factor), MATRIX)
        np.testing.assert_allclose(found[:, inside], reference[:, inside], atol=1e-3)


def test_espirit_beside_bart(coil_images: tuple[Complex, Complex, NDArray[np.bool_]], tmp_path: Path) -> None:
    program = shutil.which("bart")
    if program is None:
        pytest.skip("BART is not installed")
    images, _, inside = coil_images
    axes = (1, 2)
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(images, axes=axes), axes=axes, norm="ortho"), axes=axes)
    write_cfl(kspace.transpose(2, 1, 0)[:, :, None], tmp_path / "kspace")
    command = [program, "ecalib", "-m1", "-c0", "-r24", "kspace", "maps"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    theirs = read_cfl(tmp_path / "maps").squeeze().transpose(2, 1, 0)
    found, _ = espirit_maps(central_kspace(images), MATRIX)
    agreement = _correlation(found, theirs)[inside]
    # BART draws its maps coarsely and interpolates them; they part at the rim.
    assert np.percentile(agreement, 2) > 0.99 and np.median(agreement) > 0.9999


@pytest.fixture(scope="module")
def kspace() -> tuple[KSpace, Complex]:
    """Fully sampled k-space of a liver that stands still, 16 coils, with the true maps; and the image."""
    image = liver_phantom(MATRIX, 1)[0]
    data = simulate_kspace(image, spokes_per_frame=89, n_coils=16, snr=30.0)
    return replace(data, csm=coil_maps(16, MATRIX)[None]), image[0]


def _error(kspace: KSpace, image: Complex, how: str, coils: int | None) -> float:
    problem = make_problem(bin_spokes(kspace, 89), threads=1, coils=coils, coil_maps=how)
    np.testing.assert_allclose(problem.csm.abs().square().sum(0).numpy(), 1, rtol=1e-4)
    found = np.abs((density_compensated(problem) * problem.unit).numpy()[0])
    truth = np.abs(image)
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))


@pytest.mark.parametrize("coils", [6, 16])
def test_images_by_each_kind_of_maps(kspace: tuple[KSpace, Complex], coils: int) -> None:
    data, image = kspace
    errors = {how: _error(data, image, how, coils) for how in ("adaptive", "espirit", "given")}
    assert errors["espirit"] < 1.05 * errors["adaptive"], errors
    assert errors["given"] < 1.05 * errors["adaptive"], errors


def test_maps_go_through_compression_as_the_samples_do(kspace: tuple[KSpace, Complex]) -> None:
    data, image = kspace
    assert data.csm is not None
    samples = data.kdata[0][None]
    basis, kept = virtual_coils(samples, 5)
    assert basis is not None and 0.5 < kept < 1
    np.testing.assert_array_equal(compress_coils(samples, 5)[0], project_coils(samples, basis))
    maps = given_maps(data.csm[0], basis, MATRIX, "x")
    # Coil images of the virtual coils are the maps times one image.
    expected = np.einsum("cn,cyx->nyx", basis.conj(), data.csm[0] * image)
    one = (maps.conj() * expected).sum(axis=0)
    np.testing.assert_allclose(maps * one, expected, atol=1e-4 * np.abs(expected).max())


def test_masked_maps_go_on(kspace: tuple[KSpace, Complex]) -> None:
    data, _ = kspace
    assert data.csm is not None
    masked = data.csm[0].copy() * 3
    masked[:, :, :9] = 0
    maps = given_maps(masked, None, MATRIX, "x")
    np.testing.assert_allclose(maps[:, :, 9:], data.csm[0][:, :, 9:], atol=1e-5)
    np.testing.assert_allclose(maps[:, :, 3], data.csm[0][:, :, 9], atol=1e-5)


def test_maps_that_cannot_be(kspace: tuple[KSpace, Complex]) -> None:
    data, _ = kspace
    assert data.csm is not None
    with pytest.raises(InputError, match="it holds no coil maps"):
        make_problem(bin_spokes(replace(data, csm=None), 89), coil_maps="given")
    with pytest.raises(InputError, match="its coil maps are 44 × 38 and the matrix is 45 × 38"):
        given_maps(data.csm[0][:, :-1], None, MATRIX, "x")
    with pytest.raises(InputError, match="NaN"):
        given_maps(data.csm[0] * np.nan, None, MATRIX, "x")
    with pytest.raises(InputError, match="empty"):
        given_maps(data.csm[0] * 0, None, MATRIX, "x")
    with pytest.raises(InputError, match="coil maps are not"):
        replace(data, csm=data.csm[:, :3])


@pytest.mark.slow
def test_real_data_by_espirit(shared_data: Path) -> None:
    from napari_dainr.io import read_kspace
    from napari_dainr.metrics import score

    data = read_kspace(shared_data / "cine_13.h5")
    truth = np.load(shared_data / "cine_13.truth.npy")
    scores = {}
    for how in ("adaptive", "espirit"):
        problem = make_problem(bin_spokes(data, 13), threads=2, coil_maps=how)
        scores[how] = score(np.abs(density_compensated(problem).numpy()), truth)["psnr_fit"]
    assert scores["espirit"] > scores["adaptive"] - 0.2, scores
