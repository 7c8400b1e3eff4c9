"""What the tests of the benchmark share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor


@pytest.fixture(scope="session")
def tiny_fitted_psnr(tiny_images: NDArray[np.complex64]) -> Callable[[Tensor], float]:
    """PSNR of a magnitude against ``tiny_images`` after one least-squares factor, dB; not the code under test."""

    def psnr(recon: Tensor) -> float:
        r, t = recon.abs().numpy().astype(float), np.abs(tiny_images).astype(float)
        error = ((r * t).sum() / (r * r).sum() * r - t) / t.max()
        return float(-10 * np.log10((error**2).mean()))

    return psnr
