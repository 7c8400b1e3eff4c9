"""The oracle: the sum of the contract written out, in double precision, on any device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .nufft import Nufft

__all__ = ["ExactNufft"]

_CHUNK_VALUES = 2**22  # complex128 values of one intermediate: 64 MiB


class ExactNufft(Nufft):
    """Direct Fourier sum, separable in y and x; costs samples × pixels per coil. For tests and tiny problems.

    Computes in complex128 and answers in the precision it was asked in.
    """

    name = "exact"

    def __init__(self, ktraj: NDArray[np.floating], matrix: tuple[int, int], device: torch.device) -> None:
        super().__init__(ktraj, matrix, device)
        self._omega = torch.from_numpy(self._radians()).to(device)
        self._offsets = [torch.arange(n, dtype=torch.float64, device=device) - n // 2 for n in matrix]

    def _phases(self, frame: int, n_coils: int) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Chunks of samples with exp(−i ω_y r_y), (sample, y), and exp(−i ω_x r_x), (sample, x)."""
        step = max(1, _CHUNK_VALUES // (n_coils * max(self.matrix)))
        for start in range(0, self.n_samples, step):
            part = slice(start, min(start + step, self.n_samples))
            omega = self._omega[frame, part]
            e_y, e_x = (torch.exp(-1j * omega[:, i, None] * self._offsets[i]) for i in range(2))
            yield part, e_y, e_x

    def _forward(self, image: Tensor, frames: Sequence[int]) -> Tensor:
        wide = image.to(torch.complex128)
        out = wide.new_empty(*wide.shape[:2], self.n_samples)
        for row, frame in enumerate(frames):
            for part, e_y, e_x in self._phases(frame, wide.shape[1]):
                out[row, :, part] = ((wide[row] @ e_x.T) * e_y.T).sum(1)
        return (out * self._scale).to(_result_dtype(image))

    def _adjoint(self, kdata: Tensor, frames: Sequence[int]) -> Tensor:
        wide = kdata.to(torch.complex128)
        out = wide.new_zeros(*wide.shape[:2], *self.matrix)
        for row, frame in enumerate(frames):
            for part, e_y, e_x in self._phases(frame, wide.shape[1]):
                out[row] += (wide[row, :, None, part] * e_y.conj().T) @ e_x.conj()
        return (out * self._scale).to(_result_dtype(kdata))


def _result_dtype(data: Tensor) -> torch.dtype:
    return torch.complex128 if data.dtype in (torch.complex128, torch.float64) else torch.complex64
