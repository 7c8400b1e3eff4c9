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

from napari_dainr.errors import ResourceError
from napari_dainr.machine import cores
from napari_dainr.optional import why_no_triton

__all__ = ["BACKENDS", "Nufft", "make_nufft"]

BACKENDS = ("compiled", "finufft", "cufinufft", "triton", "torchkbnufft", "exact")


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
        return int(self.ktraj.shape[0])

    @property
    def n_samples(self) -> int:
        return int(self.ktraj.shape[1])

    def _radians(self) -> NDArray[np.float64]:
        """(frame, sample, 2) trajectory in radians per pixel, in [−π, π).

        Pixel offsets are integers, so the transform is periodic in k: samples beyond ±n/2 are folded back in double
        precision, where that is exact to 1e-15.
        """
        omega = 2 * np.pi * self.ktraj / np.asarray(self.matrix, dtype=np.float64)
        folded: NDArray[np.float64] = np.remainder(omega + np.pi, 2 * np.pi) - np.pi
        return folded

    @property
    def _scale(self) -> float:
        """1 / √(Ny·Nx)."""
        return float(1 / np.sqrt(self.matrix[0] * self.matrix[1]))

    def _check(self, data: Tensor, frames: Sequence[int], tail: tuple[int, ...]) -> None:
        if data.ndim < 3 or tuple(data.shape[2:]) != tail or data.shape[0] != len(frames):
            raise ValueError(f"expected ({len(frames)}, coil, {', '.join(map(str, tail))}), got {tuple(data.shape)}")
        if any(not 0 <= f < self.n_frames for f in frames):
            raise IndexError(f"frames must lie in 0…{self.n_frames - 1}, got {list(frames)}")

    @abstractmethod
    def _forward(self, image: Tensor, frames: Sequence[int]) -> Tensor:
        """(n, coil, y, x) complex64 → (n, coil, sample), without gradient tracking."""

    @abstractmethod
    def _adjoint(self, kdata: Tensor, frames: Sequence[int]) -> Tensor:
        """(n, coil, sample) complex64 → (n, coil, y, x), without gradient tracking."""

    def __call__(self, image: Tensor, frames: Sequence[int]) -> Tensor:
        """Forward transform of (n, coil, y, x); row i uses the trajectory of ``frames[i]``."""
        self._check(image, frames, self.matrix)
        return _apply(image, self, frames, False)

    def adjoint(self, kdata: Tensor, frames: Sequence[int]) -> Tensor:
        """Adjoint transform of (n, coil, sample)."""
        self._check(kdata, frames, (self.n_samples,))
        return _apply(kdata, self, frames, True)


class _Apply(torch.autograd.Function):
    """The gradient of a linear map is its adjoint; saves no tensors."""

    @staticmethod
    def forward(ctx: Any, data: Tensor, nufft: Nufft, frames: Sequence[int], adjoint: bool) -> Tensor:
        ctx.nufft, ctx.frames, ctx.adjoint = nufft, frames, adjoint
        return nufft._adjoint(data, frames) if adjoint else nufft._forward(data, frames)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        # Through apply again, so that gradients of gradients are right too.
        return _apply(grads[0], ctx.nufft, ctx.frames, not ctx.adjoint), None, None, None


def _apply(data: Tensor, nufft: Nufft, frames: Sequence[int], adjoint: bool) -> Tensor:
    result: Tensor = _Apply.apply(data, nufft, tuple(int(f) for f in frames), adjoint)  # type: ignore[no-untyped-call]
    return result


def make_nufft(
    ktraj: NDArray[np.floating],
    matrix: tuple[int, int],
    device: torch.device | str = "cpu",
    backend: str = "auto",
    threads: int | None = None,
) -> Nufft:
    """A NUFFT of the given backend.

    ``auto`` is compiled on the CPU, and on CUDA the first that runs of cufinufft, triton and torchkbnufft.

    Parameters
    ----------
    ktraj : (frame, sample, 2) float array
        Last axis (ky, kx), cycles per field of view; values beyond ±n/2 wrap around.
    matrix : (y, x)
        Pixels.
    device : torch.device or str
        Where the tensors live.
    backend : str
        ``"auto"`` or one of `BACKENDS`.
    threads : int or None
        CPU threads; None takes every core this process may use. The result does not depend on it.

    Raises
    ------
    ResourceError
        If the backend asked for is not installed or does not run on the device.
    ValueError
        If the trajectory or the matrix is not of the form above.
    """
    ktraj = np.asarray(ktraj)
    if ktraj.ndim != 3 or ktraj.shape[2] != 2 or 0 in ktraj.shape:
        raise ValueError(f"ktraj must be (frame, sample, 2), got {ktraj.shape}")
    if not np.isfinite(ktraj).all():
        raise ValueError("ktraj holds NaN or infinite values")
    if len(matrix) != 2 or min(matrix) < 2:
        raise ValueError(f"matrix must be two sizes of at least 2, got {matrix}")
    matrix = (int(matrix[0]), int(matrix[1]))
    device = torch.device(device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ResourceError("The device is set to cuda, but PyTorch finds no CUDA GPU here: set the device to cpu.")
    if backend == "auto":
        backend = _choose(device)
    if backend in ("compiled", "finufft") and device.type != "cpu":
        raise ResourceError(f"The NUFFT backend {backend} runs on the CPU only, not on {device}: use auto.")
    if backend == "cufinufft" and device.type != "cuda":
        raise ResourceError(f"The NUFFT backend cufinufft runs on CUDA only, not on {device}: use auto.")
    # A backend's file is imported when it is used: each brings a package of its own.
    match backend:
        case "compiled":
            from .nufft_compiled import CompiledNufft

            return CompiledNufft(ktraj, matrix, device, threads or cores())
        case "finufft":
            from .nufft_finufft import FinufftNufft

            return FinufftNufft(ktraj, matrix, device, threads or cores())
        case "cufinufft":
            from .nufft_cufinufft import CufinufftNufft

            return CufinufftNufft(ktraj, matrix, device)
        case "triton":
            if (reason := why_no_triton()) is not None:
                raise ResourceError(f"The NUFFT backend triton cannot be used ({reason}): take another backend.")
            from .nufft_triton import TritonNufft

            return TritonNufft(ktraj, matrix, device)
        case "torchkbnufft":
            from .nufft_torchkb import TorchkbNufft

            return TorchkbNufft(ktraj, matrix, device)
        case "exact":
            from .nufft_exact import ExactNufft

            return ExactNufft(ktraj, matrix, device)
    raise ResourceError(f"There is no NUFFT backend {backend!r}: use auto or one of {', '.join(BACKENDS)}.")


def _choose(device: torch.device) -> str:
    """What ``auto`` means on a device."""
    if device.type == "cpu":
        return "compiled"
    if device.type == "cuda":
        from .nufft_cufinufft import cufinufft_runs

        if cufinufft_runs(device.index or 0):
            return "cufinufft"
        if why_no_triton() is None:
            from .nufft_triton import triton_nufft_runs

            if triton_nufft_runs(torch.device("cuda", device.index or 0)) is None:
                return "triton"
    return "torchkbnufft"
