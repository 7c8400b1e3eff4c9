"""cufinufft on an NVIDIA GPU.

Not run by its authors: written from cufinufft's documentation and source on a machine without a GPU. The tests of the
other backends run on it wherever it loads and a GPU is present; until they have, treat it as untested.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_dainr.errors import ResourceError
from napari_dainr.optional import require

from .nufft import Nufft

__all__ = ["CufinufftNufft", "cufinufft_runs"]

_EPS = 3e-5
_UPSAMPFAC = 2.0  # cufinufft's own default
_PLAN_BYTES = 2**29
"""GPU memory for the fine grids of all plans: each plan keeps its own, unlike on the CPU."""
_BATCH = 8
"""Coils that a plan transforms at once, at most; cufinufft's own choice."""


@lru_cache
def cufinufft_runs(index: int) -> bool:
    """Whether cufinufft loads and gives the right answer to a 4 × 4 transform on a GPU; asked once for each GPU."""
    try:
        tiny = CufinufftNufft(np.zeros((1, 1, 2)), (4, 4), torch.device("cuda", index))
        ones = torch.ones((1, 1, 4, 4), dtype=torch.complex64, device=tiny.device)
        return bool(abs(tiny(ones, [0]).item() - 4) < 1e-3)
    except (ResourceError, RuntimeError, OSError, TypeError, AttributeError):
        # Whatever stops it (no library, wrong driver, another interface), auto then takes torchkbnufft.
        return False


class CufinufftNufft(Nufft):
    """NUFFT by cufinufft in single precision, for tensors on CUDA; one plan per frame and transform type, reused.

    A plan is made when its frame is first seen: its points are sorted, which waits for the device. After that nothing
    here waits. Plans run on the stream that was PyTorch's when they were made; a call takes those of its own stream.
    A plan treats as many coils at once as leaves room for the plans of all frames. Where there is none even for one
    coil at a time, the plan that was not used for longest gets the new frame's points, which is cheaper than a new one.

    The adjoint adds in no fixed order, so it varies in the last digits from run to run.
    """

    name = "cufinufft"

    def __init__(self, ktraj: NDArray[np.floating], matrix: tuple[int, int], device: torch.device) -> None:
        super().__init__(ktraj, matrix, device)
        self._cufinufft = require("cufinufft", extra="gpu", purpose="The NUFFT backend cufinufft")
        # (axis, frame, sample): plans refer to contiguous rows of this array.
        points = np.ascontiguousarray(np.moveaxis(self._radians(), -1, 0).astype(np.float32))
        self._points = torch.from_numpy(points).to(device)
        self._plans: OrderedDict[tuple[int, int, int, int], Any] = OrderedDict()
        self._lock = threading.Lock()
        grid_bytes = 8 * int(_UPSAMPFAC**2 * matrix[0] * matrix[1])
        room = _PLAN_BYTES // grid_bytes
        self._batch = max(1, min(_BATCH, room // (2 * self.n_frames)))
        self._most_plans = max(2, room // self._batch)

    def _plan(self, kind: int, frame: int, n_coils: int) -> Any:
        stream = torch.cuda.current_stream(self.device).cuda_stream
        key = (kind, frame, n_coils, stream)
        if key in self._plans:
            self._plans.move_to_end(key)
            return self._plans[key]
        plan = None
        if len(self._plans) >= self._most_plans:
            alike = next((old for old in self._plans if (old[0], *old[2:]) == (kind, n_coils, stream)), None)
            # Points and work of one stream are in order, so the old frame's transforms are not disturbed.
            old = self._plans.pop(alike) if alike is not None else self._plans.popitem(last=False)[1]
            plan = old if alike is not None else None
        if plan is None:
            plan = self._cufinufft.Plan(
                kind,
                self.matrix,
                n_trans=n_coils,
                eps=_EPS,
                isign=-1 if kind == 2 else 1,
                dtype="complex64",
                upsampfac=_UPSAMPFAC,
                gpu_maxbatchsize=min(self._batch, n_coils),
                gpu_device_id=self._points.get_device(),
                gpu_stream=stream,
            )
        plan.setpts(self._points[0, frame], self._points[1, frame])
        self._plans[key] = plan
        return plan

    def _transform(self, kind: int, data: Tensor, frames: Sequence[int], shape: tuple[int, ...]) -> Tensor:
        source = data.detach().to(torch.complex64).resolve_conj().resolve_neg().contiguous()
        target = torch.empty((*source.shape[:2], *shape), dtype=torch.complex64, device=source.device)
        with self._lock, torch.cuda.device(self.device):
            for row, frame in enumerate(frames):
                self._plan(kind, frame, source.shape[1]).execute(source[row], out=target[row])
        return target.mul_(self._scale)

    def _forward(self, image: Tensor, frames: Sequence[int]) -> Tensor:
        return self._transform(2, image, frames, (self.n_samples,))

    def _adjoint(self, kdata: Tensor, frames: Sequence[int]) -> Tensor:
        return self._transform(1, kdata, frames, self.matrix)
