"""The Kaiser–Bessel kernel of our own gridding: 8 taps on a grid 1.25 times as fine as k-space.

Beatty, Nishimura, Pauly, IEEE TMI 24:799, 2005. k = 0 is at the grid's centre, which costs a sign in the weights of the
pixels. Relative error 1.5e-5, dominated by the 8 taps.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["TAPS", "fine_size", "kernel_shape", "pixel_weights"]

TAPS = 8
_OVERSAMPLING = 1.25
_SMALLEST = 2 * TAPS


@lru_cache(maxsize=64)
def fine_size(n: int) -> int:
    """The least multiple of 4 without prime factors above 5 that is 1.25 n or more."""
    size = max(_SMALLEST, int(np.ceil(_OVERSAMPLING * n / 4)) * 4)
    while True:
        rest = size
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 4


def kernel_shape(n: int, fine: int) -> float:
    """Shape of the kernel for the true oversampling, Eq. 5 of Beatty et al."""
    ratio = fine / n
    return float(np.pi * np.sqrt((TAPS / ratio) ** 2 * (ratio - 0.5) ** 2 - 0.8))


def pixel_weights(n: int, fine: int, beta: float) -> NDArray[np.float64]:
    """(n,) 1 over the kernel's Fourier transform at each pixel, with the sign that puts k = 0 at the grid's centre."""
    r = np.arange(n) - n // 2
    # ∫ I0(β √(1 − (2u/J)²)) exp(−2πi u r / fine) du = J sinh(s) / s, s = √(β² − (π J r / fine)²)
    s = np.sqrt((beta**2 - (np.pi * TAPS * r / fine) ** 2).astype(np.complex128))
    transform = np.where(abs(s) > 1e-6, TAPS * np.sinh(s) / np.where(s == 0, 1, s), TAPS).real / np.i0(beta)
    weights: NDArray[np.float64] = np.where(r % 2 == 0, 1, -1) / transform
    return weights
