"""Small problems for the methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_dainr.data import KSpace, bin_spokes
from napari_dainr.methods.base import Problem
from napari_dainr.methods.problem import make_problem


@pytest.fixture(scope="session")
def tiny_problem(tiny_kspace: KSpace) -> Problem:
    """5 frames of 8 spokes, 33 × 28 pixels, 3 coils."""
    return make_problem(bin_spokes(tiny_kspace, 8), threads=1)


@pytest.fixture(scope="session")
def fitted_psnr(tiny_images: NDArray[np.complex64]) -> Callable[[Tensor], float]:
    """PSNR of a magnitude against ``tiny_images`` after one least-squares factor, dB; not the code under test."""

    def psnr(recon: Tensor) -> float:
        r, t = recon.abs().numpy().astype(float), np.abs(tiny_images).astype(float)
        error = ((r * t).sum() / (r * r).sum() * r - t) / t.max()
        return float(-10 * np.log10((error**2).mean()))

    return psnr


@pytest.fixture
def one_torch_thread() -> Iterator[None]:
    """Torch with one thread, as the engine sets it: its own threads beside those of the methods only wait."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
