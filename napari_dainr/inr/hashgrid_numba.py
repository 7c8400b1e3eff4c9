"""Compiled CPU kernels of the hash encoding (float32).

The forward pass is split over points, the backward pass over levels: each level's part of the table belongs to one
thread, so nothing is added concurrently and results are bit-identical for any number of threads. Each thread makes one
call without the GIL per pass, however many levels there are, so a busy viewer does not hold it up. Arithmetic follows
the order of the plain PyTorch backend, without fast-math.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from .hashgrid import PRIMES, HashGridSpec
from .parallel import get_threads, run_parts

__all__ = ["backward", "forward"]

_Floats = NDArray[np.float32]

_PZ, _PY, _ = PRIMES
_ONE = np.float32(1)
_HALF = np.float32(0.5)
_MIN_POINTS = 512  # fewer are not worth another thread


def compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """``numba.njit`` without the GIL, cached on disk where a cache can be written."""
    options = {"nogil": True, "error_model": "numpy", **options}
    try:
        kernel: Callable[..., Any] = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # "cannot cache": neither the package's folder nor the user's cache is writable
        kernel = numba.njit(**options)(function)
    return kernel


def _locate(coordinate, cells):  # type: ignore[no-untyped-def]
    """(cell, fraction) along an axis; fraction in [0, 1]. A NaN gives a cell that exists and a fraction of NaN."""
    unit = (coordinate + _ONE) * _HALF
    if unit < np.float32(0):
        unit = np.float32(0)
    if unit > _ONE:
        unit = _ONE
    position = unit * np.float32(cells)
    cell = cells - 1
    if position < np.float32(cell):
        cell = int(position)
    return cell, position - np.float32(cell)


_locate = compiled(_locate, inline="always")


def _vertex_2d(y, x, side, mask):  # type: ignore[no-untyped-def]
    """Entry of a vertex within its level; mask 0 stands for a grid that fits the table."""
    return ((y * _PY) ^ x) & mask if mask else y * side + x


_vertex_2d = compiled(_vertex_2d, inline="always")


def _vertex_3d(z, y, x, side, mask):  # type: ignore[no-untyped-def]
    return ((z * _PZ) ^ (y * _PY) ^ x) & mask if mask else (z * side + y) * side + x


_vertex_3d = compiled(_vertex_3d, inline="always")


def _forward_2d(coords, table, out, start, stop, geometry, features):  # type: ignore[no-untyped-def]
    for level in range(len(geometry)):
        cells, offset, mask = geometry[level, 0], geometry[level, 1], geometry[level, 3]
        column = level * len(features)
        side = cells + 1
        values = table[offset:]
        for p in range(start, stop):
            y, fy = _locate(coords[p, 0], cells)
            x, fx = _locate(coords[p, 1], cells)
            i00 = _vertex_2d(y, x, side, mask)
            i01 = _vertex_2d(y, x + 1, side, mask)
            i10 = _vertex_2d(y + 1, x, side, mask)
            i11 = _vertex_2d(y + 1, x + 1, side, mask)
            gy, gx = _ONE - fy, _ONE - fx
            w00, w01, w10, w11 = gy * gx, gy * fx, fy * gx, fy * fx
            for f in range(len(features)):
                out[p, column + f] = (
                    values[i00, f] * w00 + values[i01, f] * w01 + values[i10, f] * w10 + values[i11, f] * w11
                )


_forward_2d = compiled(_forward_2d)


def _table_2d(coords, grad_out, grad_table, first, step, geometry, features):  # type: ignore[no-untyped-def]
    """Gradient of the table parts of levels first, first − step, …, written over what was there."""
    for level in range(first, -1, -step):
        cells, offset, entries, mask = geometry[level, 0], geometry[level, 1], geometry[level, 2], geometry[level, 3]
        column = level * len(features)
        side = cells + 1
        values = grad_table[offset : offset + entries]
        values[:] = 0
        for p in range(coords.shape[0]):
            y, fy = _locate(coords[p, 0], cells)
            x, fx = _locate(coords[p, 1], cells)
            i00 = _vertex_2d(y, x, side, mask)
            i01 = _vertex_2d(y, x + 1, side, mask)
            i10 = _vertex_2d(y + 1, x, side, mask)
            i11 = _vertex_2d(y + 1, x + 1, side, mask)
            gy, gx = _ONE - fy, _ONE - fx
            w00, w01, w10, w11 = gy * gx, gy * fx, fy * gx, fy * fx
            for f in range(len(features)):
                g = grad_out[p, column + f]
                values[i00, f] += g * w00
                values[i01, f] += g * w01
                values[i10, f] += g * w10
                values[i11, f] += g * w11


_table_2d = compiled(_table_2d)


def _coords_2d(coords, table, grad_out, shares, first, step, geometry, features):  # type: ignore[no-untyped-def]
    """Shares of levels first, first − step, … in the gradient of the points, per cell."""
    for level in range(first, -1, -step):
        cells, offset, mask = geometry[level, 0], geometry[level, 1], geometry[level, 3]
        column = level * len(features)
        side = cells + 1
        values = table[offset:]
        for p in range(coords.shape[0]):
            y, fy = _locate(coords[p, 0], cells)
            x, fx = _locate(coords[p, 1], cells)
            i00 = _vertex_2d(y, x, side, mask)
            i01 = _vertex_2d(y, x + 1, side, mask)
            i10 = _vertex_2d(y + 1, x, side, mask)
            i11 = _vertex_2d(y + 1, x + 1, side, mask)
            gy, gx = _ONE - fy, _ONE - fx
            dy = np.float32(0)
            dx = np.float32(0)
            for f in range(len(features)):
                g = grad_out[p, column + f]
                v00, v01, v10, v11 = values[i00, f], values[i01, f], values[i10, f], values[i11, f]
                dy += g * (gx * (v10 - v00) + fx * (v11 - v01))
                dx += g * (gy * (v01 - v00) + fy * (v11 - v10))
            shares[level, p, 0] = dy
            shares[level, p, 1] = dx


_coords_2d = compiled(_coords_2d)


def _forward_3d(coords, table, out, start, stop, geometry, features):  # type: ignore[no-untyped-def]
    for level in range(len(geometry)):
        cells, offset, mask = geometry[level, 0], geometry[level, 1], geometry[level, 3]
        column = level * len(features)
        side = cells + 1
        values = table[offset:]
        for p in range(start, stop):
            z, fz = _locate(coords[p, 0], cells)
            y, fy = _locate(coords[p, 1], cells)
            x, fx = _locate(coords[p, 2], cells)
            for f in range(len(features)):
                out[p, column + f] = 0
            for bits in range(8):
                uz, uy, ux = bits >> 2, bits >> 1 & 1, bits & 1
                w = (fz if uz else _ONE - fz) * (fy if uy else _ONE - fy) * (fx if ux else _ONE - fx)
                i = _vertex_3d(z + uz, y + uy, x + ux, side, mask)
                for f in range(len(features)):
                    out[p, column + f] += values[i, f] * w


_forward_3d = compiled(_forward_3d)


def _table_3d(coords, grad_out, grad_table, first, step, geometry, features):  # type: ignore[no-untyped-def]
    for level in range(first, -1, -step):
        cells, offset, entries, mask = geometry[level, 0], geometry[level, 1], geometry[level, 2], geometry[level, 3]
        column = level * len(features)
        side = cells + 1
        values = grad_table[offset : offset + entries]
        values[:] = 0
        for p in range(coords.shape[0]):
            z, fz = _locate(coords[p, 0], cells)
            y, fy = _locate(coords[p, 1], cells)
            x, fx = _locate(coords[p, 2], cells)
            for bits in range(8):
                uz, uy, ux = bits >> 2, bits >> 1 & 1, bits & 1
                w = (fz if uz else _ONE - fz) * (fy if uy else _ONE - fy) * (fx if ux else _ONE - fx)
                i = _vertex_3d(z + uz, y + uy, x + ux, side, mask)
                for f in range(len(features)):
                    values[i, f] += grad_out[p, column + f] * w


_table_3d = compiled(_table_3d)


def _coords_3d(coords, table, grad_out, shares, first, step, geometry, features):  # type: ignore[no-untyped-def]
    for level in range(first, -1, -step):
        cells, offset, mask = geometry[level, 0], geometry[level, 1], geometry[level, 3]
        column = level * len(features)
        side = cells + 1
        values = table[offset:]
        for p in range(coords.shape[0]):
            z, fz = _locate(coords[p, 0], cells)
            y, fy = _locate(coords[p, 1], cells)
            x, fx = _locate(coords[p, 2], cells)
            dz = np.float32(0)
            dy = np.float32(0)
            dx = np.float32(0)
            for bits in range(8):
                uz, uy, ux = bits >> 2, bits >> 1 & 1, bits & 1
                wz, wy, wx = fz if uz else _ONE - fz, fy if uy else _ONE - fy, fx if ux else _ONE - fx
                i = _vertex_3d(z + uz, y + uy, x + ux, side, mask)
                product = np.float32(0)
                for f in range(len(features)):
                    product += grad_out[p, column + f] * values[i, f]
                dz += product * (wy * wx) * (_ONE if uz else -_ONE)
                dy += product * (wz * wx) * (_ONE if uy else -_ONE)
                dx += product * (wz * wy) * (_ONE if ux else -_ONE)
            shares[level, p, 0] = dz
            shares[level, p, 1] = dy
            shares[level, p, 2] = dx


_coords_3d = compiled(_coords_3d)


def _gather_coords(coords, shares, geometry, grad_coords, start, stop):  # type: ignore[no-untyped-def]
    """Sum of the levels' shares, in the order of levels, times d(cell)/d(coordinate); 0 outside the box."""
    for p in range(start, stop):
        for axis in range(coords.shape[1]):
            total = np.float32(0)
            for level in range(len(geometry)):
                total += shares[level, p, axis] * (np.float32(geometry[level, 0]) * _HALF)
            inside = -_ONE <= coords[p, axis] <= _ONE
            grad_coords[p, axis] = total if inside else np.float32(0)


_gather_coords = compiled(_gather_coords)


def _geometry(spec: HashGridSpec) -> NDArray[np.int64]:
    """(level, 4): cells along an axis, first entry, number of entries, hash mask or 0."""
    masks = [2**spec.table_log2 - 1 if hashed else 0 for hashed in spec.hashed]
    return np.array([spec.resolutions, spec.offsets[:-1], spec.entries, masks], dtype=np.int64).T.copy()


def _parts(n_points: int) -> int:
    return max(1, min(get_threads(), n_points // _MIN_POINTS))


def forward(coords: _Floats, table: _Floats, out: _Floats, spec: HashGridSpec) -> None:
    """Encode ``coords`` (n, dims) by ``table`` into ``out`` (n, L·F)."""
    kernel = _forward_2d if spec.dims == 2 else _forward_3d
    geometry, features = _geometry(spec), (0,) * spec.features
    n_parts = _parts(len(coords))
    edges = np.linspace(0, len(coords), n_parts + 1).astype(int)
    run_parts(lambda part: kernel(coords, table, out, edges[part], edges[part + 1], geometry, features), n_parts)


def backward(
    coords: _Floats,
    table: _Floats,
    grad_out: _Floats,
    grad_coords: _Floats | None,
    grad_table: _Floats | None,
    spec: HashGridSpec,
) -> None:
    """Gradients of ``sum(grad_out · encode)``, written over ``grad_coords`` and ``grad_table`` where they are given."""
    on_table, on_coords = (_table_2d, _coords_2d) if spec.dims == 2 else (_table_3d, _coords_3d)
    geometry, features = _geometry(spec), (0,) * spec.features
    shares = None if grad_coords is None else np.empty((spec.levels, len(coords), spec.dims), np.float32)
    n_parts = min(get_threads(), spec.levels)

    def work(part: int) -> None:
        # Finer levels cost more: deal the levels out in turn.
        first = spec.levels - 1 - part
        if shares is not None:
            on_coords(coords, table, grad_out, shares, first, n_parts, geometry, features)
        if grad_table is not None:
            on_table(coords, grad_out, grad_table, first, n_parts, geometry, features)

    run_parts(work, n_parts)
    if grad_coords is not None:
        n_chunks = _parts(len(coords))
        edges = np.linspace(0, len(coords), n_chunks + 1).astype(int)
        run_parts(
            lambda part: _gather_coords(coords, shares, geometry, grad_coords, edges[part], edges[part + 1]), n_chunks
        )
