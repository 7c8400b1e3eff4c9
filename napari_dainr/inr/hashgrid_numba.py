"""Compiled CPU kernels of the hash encoding (float32).

The forward pass is split over points, the backward pass over levels: each level's part of the table belongs to one
thread, so nothing is added concurrently and results are bit-identical for any number of threads. Each thread makes one
call without the GIL per pass, however many levels there are, so a busy viewer does not hold it up. Arithmetic follows
the order of the plain PyTorch backend, without fast-math.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_dainr.compiled import compiled

from .hashgrid import PRIMES, HashGridSpec
from .parallel import get_threads, run_parts
from .prefetch import prefetch_row

__all__ = ["backward_coords", "backward_table", "forward"]

_Floats = NDArray[np.float32]

_PZ, _PY = np.uint32(PRIMES[0]), np.uint32(PRIMES[1])
_NONE, _STEP = np.uint32(0), np.uint32(1)
_ZERO, _ONE = np.float32(0), np.float32(1)
_HALF = np.float32(0.5)
_BLOCK = 128  # points whose rows are asked for together
_MIN_POINTS = 512  # fewer are not worth another thread


def _locate(column, n, cells, low, fraction):  # type: ignore[no-untyped-def]
    """Cell and fraction in [0, 1] along an axis; a NaN gives a cell that exists and a fraction of NaN.

    This loop and those of `_corners_2d` and `_corners_3d` are kept in a form that compiles to vector instructions.
    """
    top, last = np.float32(cells), np.int32(cells - 1)
    for q in range(n):
        unit = (column[q] + _ONE) * _HALF
        unit = _ZERO if unit < _ZERO else unit
        position = (_ONE if unit > _ONE else unit) * top
        cell = np.int32(position if position > _ZERO else _ZERO)
        cell = last if cell > last else cell
        low[q] = cell
        fraction[q] = position - np.float32(cell)


_locate = compiled(_locate)


def _corners_2d(points, n, cells, mask, low, entry, fraction):  # type: ignore[no-untyped-def]
    """Entries (4, block) and fractions (2, block) of points at one level; mask 0: the grid fits the table."""
    for axis in range(2):
        _locate(points[axis], n, cells, low[axis], fraction[axis])
    if mask:
        bits = np.uint32(mask)
        for q in range(n):
            y0, x0 = np.uint32(np.uint32(low[0, q]) * _PY), np.uint32(low[1, q])
            y1, x1 = np.uint32(y0 + _PY), np.uint32(x0 + _STEP)
            entry[0, q] = (y0 ^ x0) & bits
            entry[1, q] = (y0 ^ x1) & bits
            entry[2, q] = (y1 ^ x0) & bits
            entry[3, q] = (y1 ^ x1) & bits
    else:
        side = np.uint32(cells + 1)
        for q in range(n):
            first = np.uint32(np.uint32(np.uint32(low[0, q]) * side) + np.uint32(low[1, q]))
            for corner in range(4):
                entry[corner, q] = first + (side if corner & 2 else _NONE) + (_STEP if corner & 1 else _NONE)


_corners_2d = compiled(_corners_2d)


def _corners_3d(points, n, cells, mask, low, entry, fraction):  # type: ignore[no-untyped-def]
    """Entries (8, block) and fractions (3, block) of points at one level; mask 0: the grid fits the table."""
    for axis in range(3):
        _locate(points[axis], n, cells, low[axis], fraction[axis])
    if mask:
        bits = np.uint32(mask)
        for q in range(n):
            z, y, x = np.uint32(low[0, q]), np.uint32(low[1, q]), np.uint32(low[2, q])
            for corner in range(8):
                a = np.uint32(np.uint32(z + (_STEP if corner & 4 else _NONE)) * _PZ)
                b = np.uint32(np.uint32(y + (_STEP if corner & 2 else _NONE)) * _PY)
                entry[corner, q] = (a ^ b ^ np.uint32(x + (_STEP if corner & 1 else _NONE))) & bits
    else:
        side = np.uint32(cells + 1)
        for q in range(n):
            z, y, x = np.uint32(low[0, q]), np.uint32(low[1, q]), np.uint32(low[2, q])
            for corner in range(8):
                row = np.uint32((z + (_STEP if corner & 4 else _NONE)) * side + y + (_STEP if corner & 2 else _NONE))
                entry[corner, q] = row * side + x + (_STEP if corner & 1 else _NONE)


_corners_3d = compiled(_corners_3d)


def _columns(coords, start, n, points):  # type: ignore[no-untyped-def]
    """Copy n points from start on into (dims, block), so that each axis is contiguous."""
    for axis in range(coords.shape[1]):
        for q in range(n):
            points[axis, q] = coords[start + q, axis]


_columns = compiled(_columns)


def _ask(values, entry, n):  # type: ignore[no-untyped-def]
    """Start loading the rows of ``values`` that a block will need."""
    for q in range(n):
        for corner in range(entry.shape[0]):
            prefetch_row(values, np.int64(entry[corner, q]))


_ask = compiled(_ask)


def _forward_2d(coords, table, out, slope, want_slope, start, stop, geometry, features):  # type: ignore[no-untyped-def]
    """Encoding of points start … stop, and its derivative (n, L·F, 2) per cell."""
    points, fraction = np.empty((2, _BLOCK), np.float32), np.empty((2, _BLOCK), np.float32)
    low, entry = np.empty((2, _BLOCK), np.int32), np.empty((4, _BLOCK), np.uint32)
    for block in range(start, stop, _BLOCK):
        n = min(_BLOCK, stop - block)
        _columns(coords, block, n, points)
        for level in range(len(geometry)):
            values, column = table[geometry[level, 1] :], level * len(features)
            _corners_2d(points, n, geometry[level, 0], geometry[level, 3], low, entry, fraction)
            _ask(values, entry, n)
            for q in range(n):
                fy, fx = fraction[0, q], fraction[1, q]
                gy, gx = _ONE - fy, _ONE - fx
                w00, w01, w10, w11 = gy * gx, gy * fx, fy * gx, fy * fx
                for f in range(len(features)):
                    v00, v01 = values[entry[0, q], f], values[entry[1, q], f]
                    v10, v11 = values[entry[2, q], f], values[entry[3, q], f]
                    out[block + q, column + f] = v00 * w00 + v01 * w01 + v10 * w10 + v11 * w11
                    if want_slope:
                        slope[block + q, column + f, 0] = gx * (v10 - v00) + fx * (v11 - v01)
                        slope[block + q, column + f, 1] = gy * (v01 - v00) + fy * (v11 - v10)


_forward_2d = compiled(_forward_2d)


def _forward_3d(coords, table, out, slope, want_slope, start, stop, geometry, features):  # type: ignore[no-untyped-def]
    """Encoding of points start … stop, and its derivative (n, L·F, 3) per cell."""
    points, fraction = np.empty((3, _BLOCK), np.float32), np.empty((3, _BLOCK), np.float32)
    low, entry = np.empty((3, _BLOCK), np.int32), np.empty((8, _BLOCK), np.uint32)
    for block in range(start, stop, _BLOCK):
        n = min(_BLOCK, stop - block)
        _columns(coords, block, n, points)
        for level in range(len(geometry)):
            values, column = table[geometry[level, 1] :], level * len(features)
            _corners_3d(points, n, geometry[level, 0], geometry[level, 3], low, entry, fraction)
            _ask(values, entry, n)
            for q in range(n):
                fz, fy, fx = fraction[0, q], fraction[1, q], fraction[2, q]
                for f in range(len(features)):
                    total, dz, dy, dx = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
                    for bits in range(8):
                        uz, uy, ux = bits >> 2, bits >> 1 & 1, bits & 1
                        wz, wy, wx = fz if uz else _ONE - fz, fy if uy else _ONE - fy, fx if ux else _ONE - fx
                        v = values[entry[bits, q], f]
                        total += v * (wz * wy * wx)
                        dz += v * (wy * wx) * (_ONE if uz else -_ONE)
                        dy += v * (wz * wx) * (_ONE if uy else -_ONE)
                        dx += v * (wz * wy) * (_ONE if ux else -_ONE)
                    out[block + q, column + f] = total
                    if want_slope:
                        slope[block + q, column + f, 0] = dz
                        slope[block + q, column + f, 1] = dy
                        slope[block + q, column + f, 2] = dx


_forward_3d = compiled(_forward_3d)


def _table_2d(coords, grad_out, grad_table, first, step, geometry, features):  # type: ignore[no-untyped-def]
    """Gradient of the table parts of levels first, first − step, …, written over what was there."""
    points, fraction = np.empty((2, _BLOCK), np.float32), np.empty((2, _BLOCK), np.float32)
    low, entry = np.empty((2, _BLOCK), np.int32), np.empty((4, _BLOCK), np.uint32)
    for level in range(first, -1, -step):
        values, column = grad_table[geometry[level, 1] : geometry[level, 1] + geometry[level, 2]], level * len(features)
        values[:] = 0
        for block in range(0, len(coords), _BLOCK):
            n = min(_BLOCK, len(coords) - block)
            _columns(coords, block, n, points)
            _corners_2d(points, n, geometry[level, 0], geometry[level, 3], low, entry, fraction)
            _ask(values, entry, n)
            for q in range(n):
                fy, fx = fraction[0, q], fraction[1, q]
                gy, gx = _ONE - fy, _ONE - fx
                w00, w01, w10, w11 = gy * gx, gy * fx, fy * gx, fy * fx
                for f in range(len(features)):
                    g = grad_out[block + q, column + f]
                    values[entry[0, q], f] += g * w00
                    values[entry[1, q], f] += g * w01
                    values[entry[2, q], f] += g * w10
                    values[entry[3, q], f] += g * w11


_table_2d = compiled(_table_2d)


def _table_3d(coords, grad_out, grad_table, first, step, geometry, features):  # type: ignore[no-untyped-def]
    """As `_table_2d`, for points (z, y, x)."""
    points, fraction = np.empty((3, _BLOCK), np.float32), np.empty((3, _BLOCK), np.float32)
    low, entry = np.empty((3, _BLOCK), np.int32), np.empty((8, _BLOCK), np.uint32)
    for level in range(first, -1, -step):
        values, column = grad_table[geometry[level, 1] : geometry[level, 1] + geometry[level, 2]], level * len(features)
        values[:] = 0
        for block in range(0, len(coords), _BLOCK):
            n = min(_BLOCK, len(coords) - block)
            _columns(coords, block, n, points)
            _corners_3d(points, n, geometry[level, 0], geometry[level, 3], low, entry, fraction)
            _ask(values, entry, n)
            for q in range(n):
                fz, fy, fx = fraction[0, q], fraction[1, q], fraction[2, q]
                for bits in range(8):
                    uz, uy, ux = bits >> 2, bits >> 1 & 1, bits & 1
                    wz, wy, wx = fz if uz else _ONE - fz, fy if uy else _ONE - fy, fx if ux else _ONE - fx
                    for f in range(len(features)):
                        values[entry[bits, q], f] += grad_out[block + q, column + f] * (wz * wy * wx)


_table_3d = compiled(_table_3d)


def _coords(coords, slope, grad_out, grad_coords, start, stop, geometry, features):  # type: ignore[no-untyped-def]
    """Gradient of points start … stop: slopes by order of level, times d(cell)/d(coordinate); 0 outside the box."""
    for p in range(start, stop):
        for axis in range(coords.shape[1]):
            total = np.float32(0)
            for level in range(len(geometry)):
                share = np.float32(0)
                for f in range(len(features)):
                    column = level * len(features) + f
                    share += grad_out[p, column] * slope[p, column, axis]
                total += share * (np.float32(geometry[level, 0]) * _HALF)
            inside = -_ONE <= coords[p, axis] <= _ONE
            grad_coords[p, axis] = total if inside else np.float32(0)


_coords = compiled(_coords)


def _geometry(spec: HashGridSpec) -> NDArray[np.int64]:
    """(level, 4): cells along an axis, first entry, number of entries, hash mask or 0."""
    masks = [2**spec.table_log2 - 1 if hashed else 0 for hashed in spec.hashed]
    return np.array([spec.resolutions, spec.offsets[:-1], spec.entries, masks], dtype=np.int64).T.copy()


def _parts(n_points: int) -> int:
    return max(1, min(get_threads(), n_points // _MIN_POINTS))


def forward(coords: _Floats, table: _Floats, out: _Floats, slope: _Floats | None, spec: HashGridSpec) -> None:
    """Encode ``coords`` (n, dims) by ``table`` into ``out`` (n, L·F), and its derivative into ``slope`` (n, L·F, dims).

    The derivative is per cell; reading the table once for both is what makes the backward pass cheap.
    """
    kernel = _forward_2d if spec.dims == 2 else _forward_3d
    geometry, features = _geometry(spec), (0,) * spec.features
    want = slope is not None
    target = slope if slope is not None else np.empty((0, 0, 0), np.float32)
    n_parts = _parts(len(coords))
    edges = np.linspace(0, len(coords), n_parts + 1).astype(int)
    run_parts(
        lambda part: kernel(coords, table, out, target, want, edges[part], edges[part + 1], geometry, features), n_parts
    )


def backward_table(coords: _Floats, grad_out: _Floats, grad_table: _Floats, spec: HashGridSpec) -> None:
    """Gradient of ``sum(grad_out · encode)`` with respect to the table, written over ``grad_table``."""
    kernel = _table_2d if spec.dims == 2 else _table_3d
    geometry, features = _geometry(spec), (0,) * spec.features
    n_parts = min(get_threads(), spec.levels)
    # Finer levels cost more: deal the levels out in turn.
    run_parts(
        lambda part: kernel(coords, grad_out, grad_table, spec.levels - 1 - part, n_parts, geometry, features), n_parts
    )


def backward_coords(
    coords: _Floats, slope: _Floats, grad_out: _Floats, grad_coords: _Floats, spec: HashGridSpec
) -> None:
    """Gradient of ``sum(grad_out · encode)`` with respect to the points, from what `forward` left in ``slope``."""
    geometry, features = _geometry(spec), (0,) * spec.features
    n_parts = _parts(len(coords))
    edges = np.linspace(0, len(coords), n_parts + 1).astype(int)
    run_parts(
        lambda part: _coords(coords, slope, grad_out, grad_coords, edges[part], edges[part + 1], geometry, features),
        n_parts,
    )
