"""torchkbnufft: table interpolation in plain PyTorch, on any device.

Its default table (1024 steps, nearest entry) is wrong by 7e-4; with 2^15 steps and 6 neighbours the error is 2.5e-5 at
the same speed, for 1.5 MB a table.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_dainr.optional import require

from .nufft import Nufft

__all__ = ["TorchkbNufft"]

_NEIGHBOURS = 6


class TorchkbNufft(Nufft):
    """NUFFT by torchkbnufft, all chosen frames in one batch; relative error about 2.5e-5.

    On the GPU the adjoint adds in no fixed order, so it varies in the last digits from run to run.
    """

    name = "torchkbnufft"

    def __init__(self, ktraj: NDArray[np.floating], matrix: tuple[int, int], device: torch.device) -> None:
        super().__init__(ktraj, matrix, device)
        with warnings.catch_warnings():
            # It compiles two functions with TorchScript as it is imported, which newer PyTorch frowns upon.
            warnings.filterwarnings("ignore", message="`torch.jit", category=DeprecationWarning)
            tkbn = require("torchkbnufft", extra=None, purpose="The NUFFT backend torchkbnufft")
        options = {
            "im_size": matrix,
            "grid_size": tuple(max(2 * n, 2 * _NEIGHBOURS) for n in matrix),  # tiny images still fit the kernel
            "numpoints": _NEIGHBOURS,
            "table_oversamp": 2**15,
            "dtype": torch.complex64,
        }
        self._kb_forward = tkbn.KbNufft(**options).to(device)
        self._kb_adjoint = tkbn.KbNufftAdjoint(**options).to(device)
        # (frame, 2, sample)
        self._omega = torch.from_numpy(np.ascontiguousarray(np.moveaxis(self._radians(), -1, 1))).float().to(device)

    def _choose(self, frames: Sequence[int]) -> Tensor:
        return self._omega[torch.as_tensor(list(frames), device=self.device)]

    @torch.no_grad()
    def _forward(self, image: Tensor, frames: Sequence[int]) -> Tensor:
        result: Tensor = self._kb_forward(image.to(torch.complex64), self._choose(frames))
        return result * self._scale

    @torch.no_grad()
    def _adjoint(self, kdata: Tensor, frames: Sequence[int]) -> Tensor:
        result: Tensor = self._kb_adjoint(kdata.to(torch.complex64), self._choose(frames))
        return result * self._scale
