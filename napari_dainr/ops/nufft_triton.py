"""Gridding on NVIDIA GPUs by Triton kernels around PyTorch's FFT: all frames and coils of a call in four launches.

The kernel is that of `nufft_compiled` (`kaiser_bessel`). Prepared once for each sample are its first tap and its
weights along y and x, 72 bytes. Nothing in a call waits for the device, and a call can be captured in a CUDA graph:
what depends on the trajectory is the content of these arrays alone.

One program treats a block of samples of one coil. A window is 8 rows of 8 complex taps; a row is treated as 16 numbers
side by side, so that 8 neighbouring threads read, or add to, 64 bytes that follow each other, a complex number each:
two sectors of the L2 instead of eight. Coils are the next axis of the launch, so that the programs at work at one
time share the weights of their samples. A frame of 10 coils and 13 spokes of 256 samples has 1,040 programs of 32.

The adjoint adds atomically in no fixed order, so it varies in the last digits from run to run. Not run on a card by its
authors; tested in Triton's interpreter (see `hashgrid_triton`) and compiled for compute capability 9.0.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray
from torch import Tensor

from napari_dainr.errors import ResourceError
from napari_dainr.machine import sent

from .kaiser_bessel import TAPS, fine_size, kernel_shape, pixel_weights
from .nufft import Nufft

__all__ = ["TritonNufft", "triton_nufft_runs"]

BLOCK, PIXELS, WARPS = 32, 256, 4
_GRID_BYTES = 2**27
"""Fine grids of the frames that are transformed together; the FFT needs as much again."""


@triton.jit
def _window(start, weights, base, used, ny, nx, taps: tl.constexpr):  # type: ignore[no-untyped-def]
    """First row (samples,), columns in numbers and weights along x (samples, 2 · taps) of a block of samples."""
    k = tl.arange(0, 2 * taps)
    y = tl.load(start + 2 * base, mask=used, other=0)
    x = tl.load(start + 2 * base + 1, mask=used, other=0)[:, None] + (k // 2)[None, :]
    column = 2 * tl.where(x >= nx, x - nx, x) + (k % 2)[None, :]
    along_x = tl.load(weights + (2 * taps * base + taps)[:, None] + (k // 2)[None, :], mask=used[:, None], other=0.0)
    return y, column, along_x


@triton.jit
def _gather(grid, start, weights, frames, out, n_samples, ny, nx, taps: tl.constexpr, block: tl.constexpr):  # type: ignore[no-untyped-def]
    """Samples (row, coil, sample, 2) from grids (row, coil, y, x, 2)."""
    coil, row = tl.program_id(1), tl.program_id(2)
    plane = (row * tl.num_programs(1) + coil).to(tl.int64)
    p = tl.program_id(0) * block + tl.arange(0, block)
    used = p < n_samples
    base = tl.load(frames + row).to(tl.int64) * n_samples + p
    y, column, along_x = _window(start, weights, base, used, ny, nx, taps)
    grid += plane * (2 * ny * nx)
    total = tl.zeros((block, 2 * taps), tl.float32)
    for tap in tl.static_range(taps):
        at = tl.where(y + tap >= ny, y + tap - ny, y + tap)
        along_y = tl.load(weights + 2 * taps * base + tap, mask=used, other=0.0)
        value = tl.load(grid + (2 * nx * at)[:, None] + column, mask=used[:, None], other=0.0)
        total += value * along_y[:, None]
    sample = tl.sum(tl.reshape(total * along_x, (block, taps, 2)), axis=1)
    part = tl.arange(0, 2)
    tl.store(out + 2 * (plane * n_samples + p)[:, None] + part[None, :], sample, mask=used[:, None])


@triton.jit
def _spread(values, start, weights, frames, grid, n_samples, ny, nx, taps: tl.constexpr, block: tl.constexpr):  # type: ignore[no-untyped-def]
    """Samples (row, coil, sample, 2) added to grids (row, coil, y, x, 2)."""
    coil, row = tl.program_id(1), tl.program_id(2)
    plane = (row * tl.num_programs(1) + coil).to(tl.int64)
    p = tl.program_id(0) * block + tl.arange(0, block)
    used = p < n_samples
    base = tl.load(frames + row).to(tl.int64) * n_samples + p
    y, column, along_x = _window(start, weights, base, used, ny, nx, taps)
    grid += plane * (2 * ny * nx)
    part = tl.arange(0, 2 * taps) % 2
    value = tl.load(values + 2 * (plane * n_samples + p)[:, None] + part[None, :], mask=used[:, None], other=0.0)
    value = value * along_x
    for tap in tl.static_range(taps):
        at = tl.where(y + tap >= ny, y + tap - ny, y + tap)
        along_y = tl.load(weights + 2 * taps * base + tap, mask=used, other=0.0)
        place = grid + (2 * nx * at)[:, None] + column
        tl.atomic_add(place, value * along_y[:, None], mask=used[:, None], sem="relaxed")


@triton.jit
def _fill(image, weights_y, weights_x, grid, height, width, ny, nx, block: tl.constexpr):  # type: ignore[no-untyped-def]
    """Pixels times their weights into the corners of grids (plane, y, x, 2), zeros elsewhere."""
    plane = tl.program_id(1).to(tl.int64)
    p = tl.program_id(0) * block + tl.arange(0, block)
    used = p < ny * nx
    row, column = p // nx, p % nx
    y = tl.where(row < height - height // 2, row + height // 2, row - ny + height // 2)
    x = tl.where(column < width - width // 2, column + width // 2, column - nx + width // 2)
    pixel = used & (y >= 0) & (x >= 0)
    weight = tl.load(weights_y + y, mask=pixel, other=0.0) * tl.load(weights_x + x, mask=pixel, other=0.0)
    part = tl.arange(0, 2)
    source = image + 2 * (plane * (height * width) + y * width + x)[:, None] + part[None, :]
    value = tl.load(source, mask=pixel[:, None], other=0.0) * weight[:, None]
    tl.store(grid + 2 * (plane * (ny * nx) + p)[:, None] + part[None, :], value, mask=used[:, None])


@triton.jit
def _crop(grid, weights_y, weights_x, image, height, width, ny, nx, block: tl.constexpr):  # type: ignore[no-untyped-def]
    """The way back: the corners of the grids times the weights of the pixels."""
    plane = tl.program_id(1).to(tl.int64)
    p = tl.program_id(0) * block + tl.arange(0, block)
    used = p < height * width
    y, x = p // width, p % width
    row = tl.where(y >= height // 2, y - height // 2, y + ny - height // 2)
    column = tl.where(x >= width // 2, x - width // 2, x + nx - width // 2)
    weight = tl.load(weights_y + y, mask=used, other=0.0) * tl.load(weights_x + x, mask=used, other=0.0)
    part = tl.arange(0, 2)
    source = grid + 2 * (plane * (ny * nx) + row * nx + column)[:, None] + part[None, :]
    value = tl.load(source, mask=used[:, None], other=0.0) * weight[:, None]
    tl.store(image + 2 * (plane * (height * width) + p)[:, None] + part[None, :], value, mask=used[:, None])


class TritonNufft(Nufft):
    """NUFFT by Triton kernels of our own, for tensors on CUDA; relative error about 2e-5."""

    name = "triton"

    def __init__(self, ktraj: NDArray[np.floating], matrix: tuple[int, int], device: torch.device) -> None:
        super().__init__(ktraj, matrix, device)
        where = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
        if device.type != where:
            raise ResourceError(f"The NUFFT backend triton runs on {where} here, not on {device}: use auto.")
        self._fine = (fine_size(matrix[0]), fine_size(matrix[1]))
        betas = [kernel_shape(n, fine) for n, fine in zip(matrix, self._fine, strict=True)]
        y, x = (pixel_weights(n, f, b) for n, f, b in zip(matrix, self._fine, betas, strict=True))
        self._pixels = [torch.from_numpy(w.astype(np.float32)).to(device) for w in (y * self._scale, x)]
        self._start, self._weights = self._windows(betas)
        self._every = torch.arange(self.n_frames, dtype=torch.int32, device=device)

    def _windows(self, betas: list[float]) -> tuple[Tensor, Tensor]:
        """First taps (frame, sample, 2) int32, and weights (frame, sample, 2, taps) float32."""
        fine = torch.tensor(self._fine, dtype=torch.float64)
        cells = torch.from_numpy(self.ktraj) * (fine / torch.tensor(self.matrix)) + fine // 2
        cells = torch.remainder(torch.remainder(cells, fine), fine).to(self.device)  # −1e-20 has the remainder ``fine``
        first = cells.floor()
        distance = torch.arange(TAPS, device=self.device) - (TAPS / 2 - 1) - (cells - first)[..., None]
        beta = torch.tensor(betas, dtype=torch.float64, device=self.device)[:, None]
        inside = (1 - (2 * distance / TAPS) ** 2).clamp_min(0)
        weights = torch.special.i0(beta * inside.sqrt()) / torch.special.i0(beta)
        start = torch.remainder(first - (TAPS // 2 - 1), fine.to(self.device))
        return start.to(torch.int32).contiguous(), weights.to(torch.float32).contiguous()

    def _rows(self, frames: Sequence[int]) -> Tensor:
        """Frames as int32 on the device; a view where they follow each other."""
        first = frames[0]
        if list(frames) == list(range(first, first + len(frames))):
            return self._every[first : first + len(frames)]
        return sent(torch.tensor(frames, dtype=torch.int32), self.device)

    def _in_chunks(
        self,
        data: Tensor,
        frames: Sequence[int],
        shape: tuple[int, ...],
        work: Callable[[Tensor, Tensor, Tensor], None],
    ) -> Tensor:
        """``work(source, frames, target)`` on some frames at a time, so that the grids stay within their bound."""
        source = data.detach().to(torch.complex64).resolve_conj().resolve_neg().contiguous()
        target = torch.empty((*source.shape[:2], *shape), dtype=torch.complex64, device=source.device)
        if source.numel() == 0:
            return target
        rows = self._rows(frames)
        some = max(1, _GRID_BYTES // (8 * source.shape[1] * self._fine[0] * self._fine[1]))
        with torch.cuda.device_of(source):
            for first in range(0, len(frames), some):
                part = slice(first, first + some)
                work(source[part], rows[part], target[part])
        return target

    def _forward(self, image: Tensor, frames: Sequence[int]) -> Tensor:
        return self._in_chunks(image, frames, (self.n_samples,), self._forward_chunk)

    def _adjoint(self, kdata: Tensor, frames: Sequence[int]) -> Tensor:
        return self._in_chunks(kdata, frames, self.matrix, self._adjoint_chunk)

    def _forward_chunk(self, image: Tensor, frames: Tensor, kdata: Tensor) -> None:
        n, coils = image.shape[:2]
        ny, nx = self._fine
        grid = image.new_empty(n, coils, ny, nx)
        _fill[triton.cdiv(ny * nx, PIXELS), n * coils](
            _numbers(image), *self._pixels, _numbers(grid), *self.matrix, ny, nx, block=PIXELS, num_warps=WARPS
        )
        grid = torch.fft.fft2(grid)
        _gather[self._launch(n, coils)](
            _numbers(grid), self._start, self._weights, frames, _numbers(kdata), self.n_samples, ny, nx, **_SIZES
        )

    def _adjoint_chunk(self, kdata: Tensor, frames: Tensor, image: Tensor) -> None:
        n, coils = kdata.shape[:2]
        ny, nx = self._fine
        grid = kdata.new_zeros(n, coils, ny, nx)
        _spread[self._launch(n, coils)](
            _numbers(kdata), self._start, self._weights, frames, _numbers(grid), self.n_samples, ny, nx, **_SIZES
        )
        grid = torch.fft.ifft2(grid, norm="forward")
        _crop[triton.cdiv(ny * nx, PIXELS), n * coils](
            _numbers(grid), *self._pixels, _numbers(image), *self.matrix, ny, nx, block=PIXELS, num_warps=WARPS
        )

    def _launch(self, n: int, coils: int) -> tuple[int, int, int]:
        return triton.cdiv(self.n_samples, BLOCK), coils, n


_SIZES: dict[str, Any] = {"taps": TAPS, "block": BLOCK, "num_warps": WARPS}


def _numbers(values: Tensor) -> Tensor:
    """Contiguous complex numbers as pairs of floats, the same memory."""
    return torch.view_as_real(values)


@lru_cache
def triton_nufft_runs(device: torch.device) -> str | None:
    """Why the kernels do not run on a device, or None; tried once for each, on a 4 × 6 image and back."""
    from .nufft_exact import ExactNufft

    ktraj = np.array([[[0.3, -1.2], [1.9, 2.9], [-2.0, 0.0]]])
    try:
        x = torch.linspace(-1, 1, 24, device=device).reshape(1, 1, 4, 6).to(torch.complex64)
        answers = []
        for kind in (TritonNufft, ExactNufft):
            nufft = kind(ktraj, (4, 6), device)
            y = nufft(x, [0])
            answers.append((y, nufft.adjoint(y, [0])))
        wrong = max(float((a - b).abs().max()) for a, b in zip(*answers, strict=True))
    except Exception as error:  # Triton's errors share no class: no compiler, no driver, a card that is too old
        return " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return None if wrong < 1e-3 else f"its result differs by {wrong:.1e} from the exact sum"
