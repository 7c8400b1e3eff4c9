"""Small problems for the methods, and small fits of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_dainr.data import KSpace, bin_spokes
from napari_dainr.methods.base import Method, Problem
from napari_dainr.methods.config import CONFIGS
from napari_dainr.methods.fit import make_method
from napari_dainr.methods.problem import density_compensated, make_problem

SMALL: dict[str, dict[str, Any]] = {
    "tddip": {"width": 12, "levels": 2, "mapping_width": 32},
    "hashinr": {"width": 24, "depth": 2, "n_min": 4, "table_log2": 11, "frames_per_step": 2},
    "stinr": {"width": 24, "depth": 2, "n_min": 4, "table_log2": 11, "learning_rate": 1e-2},
    "fmlp": {"space_features": 64, "time_features": 16, "space_cycles": 3.0, "width": 32, "depth": 3},
    "nik": {"features": 128, "space_spread": 5.0, "time_spread": 0.5, "width": 96, "depth": 3, "batch": 1500},
    "dainr": {"width": 32, "depth": 3, "n_min": 4, "table_log2": 12, "feature_steps": 40},
}
"""Settings with which a method's fit of ``tiny_problem`` takes seconds; a method that is not here has its defaults."""


@pytest.fixture(scope="session")
def tiny_problem(tiny_kspace: KSpace) -> Problem:
    """5 frames of 8 spokes, 33 × 28 pixels, 3 coils."""
    return make_problem(bin_spokes(tiny_kspace, 8), threads=1)


@pytest.fixture(scope="session")
def small_method() -> Callable[..., Any]:
    """``small_method(name, seed=0, **settings)``: a method with :data:`SMALL` and other settings."""

    def make(name: str, seed: int = 0, **settings: object) -> Method:
        return make_method(name, CONFIGS[name].model_validate({**SMALL.get(name, {}), **settings}), seed)

    return make


@pytest.fixture(scope="session")
def fit_tiny(tiny_problem: Problem, small_method: Callable[..., Any]) -> Callable[..., tuple[Any, Any]]:
    """``fit_tiny(name, n_steps, **settings)``: a small method and its state after a whole fit of ``tiny_problem``."""

    def fit(name: str, n_steps: int, **settings: object) -> tuple[Any, Any]:
        method = small_method(name, n_steps=n_steps, **settings)
        state = method.start(tiny_problem)
        while not method.done(state):
            method.step(tiny_problem, state)
        return method, state

    return fit


@pytest.fixture(scope="session")
def fitted_psnr(tiny_images: NDArray[np.complex64]) -> Callable[[Tensor], float]:
    """PSNR of a magnitude against ``tiny_images`` after one least-squares factor, dB; not the code under test."""

    def psnr(recon: Tensor) -> float:
        r, t = recon.abs().numpy().astype(float), np.abs(tiny_images).astype(float)
        error = ((r * t).sum() / (r * r).sum() * r - t) / t.max()
        return float(-10 * np.log10((error**2).mean()))

    return psnr


@pytest.fixture(scope="session")
def nufft_psnr(tiny_problem: Problem, fitted_psnr: Callable[[Tensor], float]) -> float:
    """``fitted_psnr`` of the density-compensated NuFFT, which every other method has to beat."""
    return fitted_psnr(density_compensated(tiny_problem))


@pytest.fixture
def one_torch_thread() -> Iterator[None]:
    """Torch with one thread, as the engine sets it: its own threads beside those of the methods only wait."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
