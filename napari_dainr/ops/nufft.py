"""The non-uniform FFT contract: one trajectory per frame, many coils at once; backends are files beside this one.

Forward, with r the pixel offset from the image centre ``n // 2`` and k in cycles per field of view::

    y_j = (1 / √(Ny·Nx)) Σ_r x_r exp(−2πi (k_y,j r_y / Ny + k_x,j r_x / Nx))

The adjoint is exactly the conjugate transpose of this.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["BACKENDS", "Nufft", "make_nufft"]

BACKENDS = ("finufft", "cufinufft", "torchkbnufft", "exact")


class Nufft(ABC):
    """Linear map (n, coil, y, x) ↔ (n, coil, sample) for n chosen frames, differentiable.

    Parameters
    ----------
    ktraj : (frame, sample, 2) float array
        Last axis (ky, kx), cycles per field of view.
    matrix : (y, x)
        Pixels; any sizes of at least 2, odd or even.
    device : torch.device
    """

    name: str

    def __init__(self, ktraj: NDArray[np.floating], matrix: tuple[int, int], device: torch.device) -> None:
        self.ktraj = np.ascontiguousarray(ktraj, dtype=np.float64)
        self.matrix = matrix
        self.device = device

    @property
    def n_frames(self) -> int:
        return self.ktraj.shape[0]

    @property
    def n_samples(self) -> int:
        return self.ktraj.shape[1]

    @abstractmethod
    def _forward(self, image: Tensor, frames: Sequence[int]) -> Tensor:
        """(n, coil, y, x) complex64 → (n, coil, sample), without gradient tracking."""

    @abstractmethod
    def _adjoint(self, kdata: Tensor, frames: Sequence[int]) -> Tensor:
        """(n, coil, sample) complex64 → (n, coil, y, x), without gradient tracking."""

    def __call__(self, image: Tensor, frames: Sequence[int]) -> Tensor:
        """Forward transform of (n, coil, y, x); row i uses the trajectory of ``frames[i]``."""
        result: Tensor = _Apply.apply(image, self, frames, False)
        return result

    def adjoint(self, kdata: Tensor, frames: Sequence[int]) -> Tensor:
        """Adjoint transform of (n, coil, sample)."""
        result: Tensor = _Apply.apply(kdata, self, frames, True)
        return result


class _Apply(torch.autograd.Function):
    """The gradient of a linear map is its adjoint; saves no tensors."""

    @staticmethod
    def forward(ctx: Any, data: Tensor, nufft: Nufft, frames: Sequence[int], adjoint: bool) -> Tensor:
        ctx.nufft, ctx.frames, ctx.adjoint = nufft, frames, adjoint
        return nufft._adjoint(data, frames) if adjoint else nufft._forward(data, frames)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        back = ctx.nufft._forward if ctx.adjoint else ctx.nufft._adjoint
        return back(grads[0], ctx.frames), None, None, None


def make_nufft(
    ktraj: NDArray[np.floating],
    matrix: tuple[int, int],
    device: torch.device | str = "cpu",
    backend: str = "auto",
    threads: int | None = None,
) -> Nufft:
    """A NUFFT of the given backend; ``auto`` is finufft on CPU, cufinufft on CUDA where it imports, else torchkbnufft.

    Raises
    ------
    ResourceError
        If the backend asked for is not installed or does not run on the device.
    """
    raise NotImplementedError
