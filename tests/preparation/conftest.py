"""Phantoms measured on trajectories of any kind, by the sum that defines k-space, and BART where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import finufft
import numpy as np
import pytest
from numpy.typing import NDArray

from napari_dainr.bench.bart import read_cfl, write_cfl
from napari_dainr.phantom import cine_phantom, coil_maps, liver_phantom

Measure = Callable[..., NDArray[np.complex64]]
Bart = Callable[..., str]


def _measure(
    image: NDArray[np.complexfloating],
    ktraj: NDArray[np.floating],
    *,
    coils: int = 6,
    snr: float = np.inf,
    seed: int = 0,
) -> NDArray[np.complex64]:
    """(coil, spoke, readout) of a series whose frames share the spokes equally; SNR as in ``simulate_kspace``."""
    frames, ny, nx = image.shape
    csm = coil_maps(coils, (ny, nx))
    spokes, readout = ktraj.shape[:2]
    kdata = np.empty((coils, spokes, readout), np.complex64)
    for frame, block in enumerate(np.array_split(np.arange(spokes), frames)):
        k = 2 * np.pi * ktraj[block].reshape(-1, 2).astype(np.float64) / (ny, nx)
        values = finufft.nufft2d2(
            k[:, 0].copy(), k[:, 1].copy(), (csm * image[frame]).astype(complex), isign=-1, eps=1e-9
        )
        kdata[:, block] = values.reshape(coils, len(block), readout) / np.sqrt(ny * nx)
    if np.isfinite(snr):
        magnitude = np.abs(image)
        deviation = magnitude[magnitude > 0.1 * magnitude.max()].mean() / snr
        noise = np.random.default_rng(seed).standard_normal((*kdata.shape, 2), dtype=np.float32)
        kdata += np.float32(deviation / np.sqrt(2)) * noise.view(np.complex64)[..., 0]
    return kdata


@pytest.fixture(scope="session")
def measure() -> Measure:
    """``measure(image, ktraj, coils=, snr=, seed=)`` → (coil, spoke, readout)."""
    return _measure


@pytest.fixture(scope="session")
def objects() -> dict[str, NDArray[np.complex64]]:
    """Series (frame, 48, 40): a heart that beats, a liver with contrast."""
    return {"cine": cine_phantom((48, 40), 10), "liver": liver_phantom((48, 40), 10)[0]}


@pytest.fixture
def bart(tmp_path: Path) -> Bart:
    """``bart(words…)``: run BART in the test's folder; skips where it is absent."""
    program = shutil.which("bart")
    if program is None:
        pytest.skip("BART is not installed")

    def run(*words: object) -> str:
        done = subprocess.run(
            [program, *map(str, words)], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
        )
        return done.stdout

    return run


__all__ = ["read_cfl", "write_cfl"]
