"""Gridding on the CPU by compiled kernels around PyTorch's FFT: geometry prepared once, many frames and coils a call.

Kaiser–Bessel kernel of 8 taps on a grid 1.25 times as fine as k-space (Beatty, Nishimura, Pauly, IEEE TMI 24:799,
2005). Prepared for each sample are its first tap and its place between two rows of a table of the kernel, 24 bytes;
weights are looked up once for all coils of a call. Windows that wrap around the edge of the grid are two, each with the
taps that lie on its side and zeros, so that every window is eight neighbours in memory. k = 0 is at the grid's centre,
which costs a sign in the weights of the pixels: so the many samples there do not wrap.

Relative error 1.5e-5, dominated by the 8 taps.
"""

from __future__ import annotations

import threading

import numpy as np
import torch
from numpy.typing import NDArray

from napari_dainr.compiled import compiled

from .kaiser_bessel import TAPS, fine_size, kernel_shape, pixel_weights
from .nufft_threads import Complex, ThreadedNufft
from .nufft_windows import window_add, window_sum

__all__ = ["CompiledNufft"]

_STEPS = 512  # rows of the table for one cell; linear in between is right to 4e-7
_WIDE = 3 * TAPS  # a row of the table: taps from −8 to 15, zero outside 0 … 7
_BLOCK = 2048  # windows whose weights are held at a time
_STREAMS = 16  # places of a block that are spread in turn: neighbours would wait for each other's sums
_GROUP_BYTES = 2**20  # grids that are transformed together stay in the cache of a core

_Floats = NDArray[np.float32]
_Ints = NDArray[np.int32]


def _kernel_table(beta: float) -> _Floats:
    """(steps + 1, 24): the kernel at tap j − 8 of a sample that lies i / steps of a cell behind its first tap's place.

    Tap j of a window stands at distance j − 3 − i / steps from its sample.
    """
    place = np.arange(_STEPS + 1)[:, None] / _STEPS
    distance = np.arange(_WIDE) - TAPS - (TAPS / 2 - 1) - place
    inside = np.clip(1 - (2 * distance / TAPS) ** 2, 0, None)
    taps = np.arange(_WIDE)
    used = (taps >= TAPS) & (taps < 2 * TAPS)
    return np.where(used, np.i0(beta * np.sqrt(inside)) / np.i0(beta), 0).astype(np.float32)


@compiled
def _fill(image, weights_y, weights_x, grid):  # type: ignore[no-untyped-def]
    """Pixels times their weights into the corners of (coil, fine y, fine x); the rest of the grid is zero already."""
    height, width = image.shape[1:]
    low = width // 2
    for coil in range(image.shape[0]):
        for y in range(height):
            row = (y - height // 2) % grid.shape[1]
            w = weights_y[y]
            for x in range(low):
                grid[coil, row, x + grid.shape[2] - low] = image[coil, y, x] * (w * weights_x[x])
            for x in range(low, width):
                grid[coil, row, x - low] = image[coil, y, x] * (w * weights_x[x])


@compiled
def _crop(grid, weights_y, weights_x, image):  # type: ignore[no-untyped-def]
    """The way back: the corners of the grid times the weights of the pixels."""
    height, width = image.shape[1:]
    low = width // 2
    for coil in range(image.shape[0]):
        for y in range(height):
            row = (y - height // 2) % grid.shape[1]
            w = weights_y[y]
            for x in range(low):
                image[coil, y, x] = grid[coil, row, x + grid.shape[2] - low] * (w * weights_x[x])
            for x in range(low, width):
                image[coil, y, x] = grid[coil, row, x - low] * (w * weights_x[x])


@compiled
def _look_up(table, row, part, first, n, copies, weights):  # type: ignore[no-untyped-def]
    """Weights of n windows from ``first`` on, each ``copies`` times."""
    for k in range(n):
        start, a = row[first + k], part[first + k]
        for j in range(8):
            low = table[start + j]
            value = low + a * (table[start + 24 + j] - low)
            for c in range(copies):
                weights[k, copies * j + c] = value


@compiled
def _gather(grid, fine_x, geometry, out):  # type: ignore[no-untyped-def]
    """Samples (coil, sample, 2) from grids (coil, number, 2)."""
    tables, rows, parts, places, samples = geometry
    along_y, along_x = np.empty((_BLOCK, 8), np.float32), np.empty((_BLOCK, 16), np.float32)
    out[:] = 0
    size, n_samples = grid.shape[1], out.shape[1]
    for first in range(0, len(places), _BLOCK):
        n = min(_BLOCK, len(places) - first)
        _look_up(tables[0], rows[0], parts[0], first, n, 1, along_y)
        _look_up(tables[1], rows[1], parts[1], first, n, 2, along_x)
        for coil in range(grid.shape[0]):
            for k in range(n):
                at, sample = coil * size + places[first + k], coil * n_samples + samples[first + k]
                window_sum(grid, at, fine_x, along_y, along_x, k, out, sample)


@compiled
def _spread(values, fine_x, geometry, grid):  # type: ignore[no-untyped-def]
    """Samples (coil, sample, 2) added into grids (coil, number, 2), which are emptied first."""
    tables, rows, parts, places, samples = geometry
    along_y, along_x = np.empty((_BLOCK, 8), np.float32), np.empty((_BLOCK, 16), np.float32)
    grid[:] = 0
    size, n_samples = grid.shape[1], values.shape[1]
    for first in range(0, len(places), _BLOCK):
        n = min(_BLOCK, len(places) - first)
        _look_up(tables[0], rows[0], parts[0], first, n, 1, along_y)
        _look_up(tables[1], rows[1], parts[1], first, n, 2, along_x)
        length = -(-n // _STREAMS)
        for coil in range(grid.shape[0]):
            for turn in range(length):
                for k in range(turn, n, length):
                    at, sample = coil * size + places[first + k], coil * n_samples + samples[first + k]
                    window_add(grid, at, fine_x, along_y, along_x, k, values, sample)


class _Windows:
    """Where a frame's samples touch the grid: (axis, window) rows and parts of the tables, places and samples."""

    def __init__(self, cells: NDArray[np.float64], fine: tuple[int, int]) -> None:
        """``cells`` is (sample, 2): positions on the fine grid, in [0, fine)."""
        start = np.floor(cells).astype(np.int64) - (TAPS // 2 - 1)
        inside = cells - np.floor(cells)
        step = np.minimum((inside * _STEPS).astype(np.int64), _STEPS - 1)
        part = inside * _STEPS - step
        pieces = []
        every = np.arange(len(cells))
        for axis_y in (False, True):
            for axis_x in (False, True):
                chosen = every
                bases = []
                for axis, second in ((0, axis_y), (1, axis_x)):
                    base = np.clip(start[:, axis], 0, fine[axis] - TAPS)
                    if second:  # the taps beyond the edge come in again at the other one
                        chosen = chosen[base[chosen] != start[chosen, axis]]
                        base = np.where(base == 0, fine[axis] - TAPS, 0)
                    bases.append(base)
                pieces.append((chosen, bases[0][chosen], bases[1][chosen]))
        samples = np.concatenate([piece[0] for piece in pieces])
        bases_of = [np.concatenate([piece[axis] for piece in pieces]) for axis in (1, 2)]
        rows = []
        for axis, base in enumerate(bases_of):
            # Tap j of this window is tap j + shift of the sample's own, for which the table has zeros left and right.
            shift = base - start[samples, axis]
            shift = np.where(shift > TAPS, shift - fine[axis], np.where(shift < -TAPS, shift + fine[axis], shift))
            rows.append(step[samples, axis] * _WIDE + TAPS + shift)
        self.rows: _Ints = np.array(rows, dtype=np.int32)
        self.parts: _Floats = np.ascontiguousarray(part[samples].T, dtype=np.float32)
        self.places: _Ints = (bases_of[0] * fine[1] + bases_of[1]).astype(np.int32)
        self.samples: _Ints = samples.astype(np.int32)


class CompiledNufft(ThreadedNufft):
    """NUFFT by kernels of our own, for tensors on the CPU; relative error about 2e-5."""

    name = "compiled"

    def __init__(
        self, ktraj: NDArray[np.floating], matrix: tuple[int, int], device: torch.device, threads: int = 1
    ) -> None:
        super().__init__(ktraj, matrix, device, threads)
        self._fine = (fine_size(matrix[0]), fine_size(matrix[1]))
        betas = [kernel_shape(n, fine) for n, fine in zip(matrix, self._fine, strict=True)]
        self._tables = np.stack([_kernel_table(beta).ravel() for beta in betas])
        y, x = (pixel_weights(n, f, b) for n, f, b in zip(matrix, self._fine, betas, strict=True))
        self._weights: tuple[_Floats, _Floats] = ((y * self._scale).astype(np.float32), x.astype(np.float32))
        self._windows: dict[int, _Windows] = {}
        self._scratch = threading.local()

    def _windows_of(self, frame: int) -> _Windows:
        """Made at a frame's first use; two threads that make them at once make the same."""
        if frame not in self._windows:
            fine = np.asarray(self._fine)
            cells = self.ktraj[frame] * (fine / np.asarray(self.matrix)) + fine // 2
            self._windows[frame] = _Windows(np.mod(cells, fine) % fine, self._fine)
        return self._windows[frame]

    def _grid(self, n_coils: int, filled: bool) -> torch.Tensor:
        """(coil, fine y, fine x) complex64, this thread's own; one with zeros wherever `_fill` does not write."""
        name = "filled" if filled else "spread"
        grid: torch.Tensor | None = getattr(self._scratch, name, None)
        if grid is None or len(grid) < n_coils:
            grid = torch.zeros((n_coils, *self._fine), dtype=torch.complex64)
            setattr(self._scratch, name, grid)
        return grid[:n_coils]

    def _execute(self, kind: int, frame: int, lane: int, source: Complex, target: Complex) -> None:
        torch.get_num_threads()  # OpenMP's number of threads is a thread's own, set by its first call of this
        together = max(1, _GROUP_BYTES // (8 * self._fine[0] * self._fine[1]))
        w = self._windows_of(frame)
        geometry = (self._tables, w.rows, w.parts, w.places, w.samples)
        for first in range(0, len(source), together):
            some, out = source[first : first + together], target[first : first + together]
            grid = self._grid(len(some), kind == 2)
            if kind == 2:
                _fill(some, *self._weights, grid.numpy())
                _gather(_pairs(torch.fft.fft2(grid).numpy()), self._fine[1], geometry, _pairs(out))
            else:
                _spread(_pairs(some), self._fine[1], geometry, _pairs(grid.numpy()))
                _crop(torch.fft.ifft2(grid, norm="forward").numpy(), *self._weights, out)


def _pairs(values: Complex) -> _Floats:
    """(coil, …) complex as (coil, number, 2) floats, the same memory."""
    return values.view(np.float32).reshape(len(values), -1, 2)
