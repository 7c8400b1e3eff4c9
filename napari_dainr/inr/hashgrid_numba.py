"""Compiled CPU kernels of the hash encoding (float32).

The forward pass is split over points, the backward pass over levels: each level's part of the table belongs to one
thread, so nothing is added concurrently and results are bit-identical for any number of threads. Each thread makes one
call without the GIL per pass, however many levels there are, so a busy viewer does not hold it up. Arithmetic follows
the order of the plain PyTorch backend, without fast-math.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from napari_dainr.compiled import compiled

from .hashgrid import PRIMES, HashGridSpec
from .hashgrid_lanes import (
    BLOCK,
    LANES,
    add_pairs_2d,
    add_pairs_3d,
    add_slopes,
    blend_pairs_2d,
    blend_pairs_3d,
    clear_pair,
)
from .parallel import get_threads, run_parts
from .prefetch import prefetch_row

__all__ = ["backward", "forward"]

_Floats = NDArray[np.float32]

_PZ, _PY = np.uint32(PRIMES[0]), np.uint32(PRIMES[1])
_NONE, _STEP = np.uint32(0), np.uint32(1)
_ZERO, _ONE = np.float32(0), np.float32(1)
_HALF = np.float32(0.5)
SPARSE = 4  # entries of a level for each point, beyond which single ones are emptied
_NEAR = 2**15  # entries of a level that stays in a core's cache, and need not be asked for
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


def _corners_2d(columns, first, n, cells, mask, low, entry, fraction):  # type: ignore[no-untyped-def]
    """Entries (4, block) and fractions (2, block) of n points from ``first`` on, given by axis, at one level.

    Mask 0: the grid fits the table.
    """
    for axis in range(2):
        _locate(columns[axis, first : first + n], n, cells, low[axis], fraction[axis])
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
            corner_0 = np.uint32(np.uint32(np.uint32(low[0, q]) * side) + np.uint32(low[1, q]))
            for corner in range(4):
                entry[corner, q] = corner_0 + (side if corner & 2 else _NONE) + (_STEP if corner & 1 else _NONE)


_corners_2d = compiled(_corners_2d)


def _corners_3d(columns, first, n, cells, mask, low, entry, fraction):  # type: ignore[no-untyped-def]
    """As `_corners_2d`, (8, block) and (3, block)."""
    for axis in range(3):
        _locate(columns[axis, first : first + n], n, cells, low[axis], fraction[axis])
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


def _ask(values, entry, first, last):  # type: ignore[no-untyped-def]
    """Start loading the rows of ``values`` that points first … last of a block will need."""
    for q in range(first, last):
        for corner in range(entry.shape[0]):
            prefetch_row(values, np.int64(entry[corner, q]))


_ask = compiled(_ask)


def _forward_2d(columns, table, out, slope, want_slope, start, stop, geometry, features):  # type: ignore[no-untyped-def]
    """Encoding of points start … stop, and its derivative (n, 2, L·F) per cell.

    While a level is interpolated, the rows of the next one are asked for.
    """
    low = np.empty((2, BLOCK), np.int32)
    fractions, entries = np.empty((2, 2, BLOCK), np.float32), np.empty((2, 4, BLOCK), np.uint32)
    for block in range(start, stop, BLOCK):
        n = min(BLOCK, stop - block)
        done = n - n % LANES if len(features) == 2 else 0
        _corners_2d(columns, block, n, geometry[0, 0], geometry[0, 3], low, entries[0], fractions[0])
        for level in range(len(geometry)):
            values, column = table[geometry[level, 1] :], level * len(features)
            now, then = level % 2, 1 - level % 2
            entry, fraction, ahead = entries[now], fractions[now], entries[then]
            after = min(level + 1, len(geometry) - 1)
            later, ask = table[geometry[after, 1] :], after > level and geometry[after, 2] > _NEAR
            if after > level:
                _corners_2d(
                    columns, block, n, geometry[after, 0], geometry[after, 3], low, ahead, fractions[1 - level % 2]
                )
            for q in range(0, done, LANES):
                if ask:
                    _ask(later, ahead, q, q + LANES)
                blend_pairs_2d(values, entry, fraction, q, out, slope, want_slope, block + q, out.shape[1], column)
            if ask:
                _ask(later, ahead, done, n)
            for q in range(done, n):
                fy, fx = fraction[0, q], fraction[1, q]
                gy, gx = _ONE - fy, _ONE - fx
                w00, w01, w10, w11 = gy * gx, gy * fx, fy * gx, fy * fx
                for f in range(len(features)):
                    v00, v01 = values[entry[0, q], f], values[entry[1, q], f]
                    v10, v11 = values[entry[2, q], f], values[entry[3, q], f]
                    out[block + q, column + f] = v00 * w00 + v01 * w01 + v10 * w10 + v11 * w11
                    if want_slope:
                        slope[block + q, 0, column + f] = gx * (v10 - v00) + fx * (v11 - v01)
                        slope[block + q, 1, column + f] = gy * (v01 - v00) + fy * (v11 - v10)


_forward_2d = compiled(_forward_2d)


def _forward_3d(columns, table, out, slope, want_slope, start, stop, geometry, features):  # type: ignore[no-untyped-def]
    """Encoding of points start … stop, and its derivative (n, 3, L·F) per cell."""
    fraction = np.empty((3, BLOCK), np.float32)
    low, entry = np.empty((3, BLOCK), np.int32), np.empty((8, BLOCK), np.uint32)
    for block in range(start, stop, BLOCK):
        n = min(BLOCK, stop - block)
        for level in range(len(geometry)):
            values, column = table[geometry[level, 1] :], level * len(features)
            _corners_3d(columns, block, n, geometry[level, 0], geometry[level, 3], low, entry, fraction)
            _ask(values, entry, 0, n)
            done = n - n % LANES if len(features) == 2 and not want_slope else 0
            for q in range(0, done, LANES):
                blend_pairs_3d(values, entry, fraction, q, out, slope, want_slope, block + q, out.shape[1], column)
            for q in range(done, n):
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
                        slope[block + q, 0, column + f] = dz
                        slope[block + q, 1, column + f] = dy
                        slope[block + q, 2, column + f] = dx


_forward_3d = compiled(_forward_3d)


def _empty(values, stale, sizes, low, entry, fraction):  # type: ignore[no-untyped-def]
    """Set a level to zero; where all else is zero already, only the entries of the ``stale`` points."""
    if stale.shape[1] == 0 or len(values) <= SPARSE * stale.shape[1]:
        values[:] = 0
        return
    for block in range(0, stale.shape[1], BLOCK):
        n = min(BLOCK, stale.shape[1] - block)
        if len(stale) == 2:
            _corners_2d(stale, block, n, sizes[0], sizes[3], low, entry, fraction)
        else:
            _corners_3d(stale, block, n, sizes[0], sizes[3], low, entry, fraction)
        _ask(values, entry, 0, n)
        for q in range(n):
            for corner in range(entry.shape[0]):
                if values.shape[1] == 2:
                    clear_pair(values, np.int64(entry[corner, q]))
                else:
                    for f in range(values.shape[1]):
                        values[entry[corner, q], f] = 0


_empty = compiled(_empty)


def _table_2d(columns, grad_out, grad_table, stale, first, step, geometry, features):  # type: ignore[no-untyped-def]
    """Gradient of the table parts of levels first, first − step, …, written over what was there (see `_empty`)."""
    fraction = np.empty((2, BLOCK), np.float32)
    low, entry = np.empty((2, BLOCK), np.int32), np.empty((4, BLOCK), np.uint32)
    for level in range(first, -1, -step):
        values, column = grad_table[geometry[level, 1] : geometry[level, 1] + geometry[level, 2]], level * len(features)
        _empty(values, stale, geometry[level], low, entry, fraction)
        for block in range(0, columns.shape[1], BLOCK):
            n = min(BLOCK, columns.shape[1] - block)
            _corners_2d(columns, block, n, geometry[level, 0], geometry[level, 3], low, entry, fraction)
            if len(values) > _NEAR:
                _ask(values, entry, 0, n)
            done = n - n % LANES if len(features) == 2 else 0
            for q in range(0, done, LANES):
                add_pairs_2d(values, entry, fraction, q, grad_out, grad_out.shape[1], block + q, column)
            for q in range(done, n):
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


def _table_3d(columns, grad_out, grad_table, stale, first, step, geometry, features):  # type: ignore[no-untyped-def]
    """As `_table_2d`, for points (z, y, x)."""
    fraction = np.empty((3, BLOCK), np.float32)
    low, entry = np.empty((3, BLOCK), np.int32), np.empty((8, BLOCK), np.uint32)
    for level in range(first, -1, -step):
        values, column = grad_table[geometry[level, 1] : geometry[level, 1] + geometry[level, 2]], level * len(features)
        _empty(values, stale, geometry[level], low, entry, fraction)
        for block in range(0, columns.shape[1], BLOCK):
            n = min(BLOCK, columns.shape[1] - block)
            _corners_3d(columns, block, n, geometry[level, 0], geometry[level, 3], low, entry, fraction)
            if len(values) > _NEAR:
                _ask(values, entry, 0, n)
            done = n - n % LANES if len(features) == 2 else 0
            for q in range(0, done, LANES):
                add_pairs_3d(values, entry, fraction, q, grad_out, grad_out.shape[1], block + q, column)
            for q in range(done, n):
                fz, fy, fx = fraction[0, q], fraction[1, q], fraction[2, q]
                for bits in range(8):
                    uz, uy, ux = bits >> 2, bits >> 1 & 1, bits & 1
                    wz, wy, wx = fz if uz else _ONE - fz, fy if uy else _ONE - fy, fx if ux else _ONE - fx
                    w = wz * wy * wx
                    for f in range(len(features)):
                        values[entry[bits, q], f] += grad_out[block + q, column + f] * w


_table_3d = compiled(_table_3d)


def _coords(coords, slope, grad_out, grad_coords, start, stop, geometry, features):  # type: ignore[no-untyped-def]
    """Gradient of points start … stop: slopes by order of level, times d(cell)/d(coordinate); 0 outside the box."""
    scales = np.empty(len(geometry), np.float32)
    for level in range(len(geometry)):
        scales[level] = np.float32(geometry[level, 0]) * _HALF
    dims, width = slope.shape[1:]
    done = len(geometry) - len(geometry) % LANES if len(features) == 2 else 0
    for p in range(start, stop):
        for axis in range(dims):
            total = np.float32(0)
            for level in range(0, done, LANES):
                row = (p * dims + axis) * width + 2 * level
                total = add_slopes(total, grad_out, p * width + 2 * level, slope, row, scales, level)
            for level in range(done, len(geometry)):
                share = np.float32(0)
                for f in range(len(features)):
                    column = level * len(features) + f
                    share += grad_out[p, column] * slope[p, axis, column]
                total += share * scales[level]
            inside = -_ONE <= coords[p, axis] <= _ONE
            grad_coords[p, axis] = total if inside else np.float32(0)


_coords = compiled(_coords)


@lru_cache(maxsize=64)
def _geometry(spec: HashGridSpec) -> NDArray[np.int64]:
    """(level, 4): cells along an axis, first entry, number of entries, hash mask or 0."""
    masks = [2**spec.table_log2 - 1 if hashed else 0 for hashed in spec.hashed]
    return np.array([spec.resolutions, spec.offsets[:-1], spec.entries, masks], dtype=np.int64).T.copy()


def _edges(n_points: int) -> list[int]:
    """Where points are cut into parts, at whole blocks."""
    n_parts = max(1, min(get_threads(), n_points // _MIN_POINTS))
    blocks = -(-n_points // BLOCK)
    return [min(n_points, blocks * part // n_parts * BLOCK) for part in range(n_parts + 1)]


def forward(coords: _Floats, table: _Floats, out: _Floats, slope: _Floats | None, spec: HashGridSpec) -> None:
    """Encode ``coords`` (n, dims) by ``table`` into ``out`` (n, L·F), and its derivative into ``slope`` (n, dims, L·F).

    The derivative is per cell; reading the table once for both is what makes the backward pass cheap.
    """
    kernel = _forward_2d if spec.dims == 2 else _forward_3d
    geometry, features = _geometry(spec), (0,) * spec.features
    want = slope is not None
    target = slope if slope is not None else np.empty((0, 0, 0), np.float32)
    edges, columns = _edges(len(coords)), np.ascontiguousarray(coords.T)
    run_parts(
        lambda part: kernel(columns, table, out, target, want, edges[part], edges[part + 1], geometry, features),
        len(edges) - 1,
    )


def backward(
    coords: _Floats,
    grad_out: _Floats,
    spec: HashGridSpec,
    *,
    grad_table: _Floats | None = None,
    stale: _Floats | None = None,
    grad_coords: _Floats | None = None,
    slope: _Floats | None = None,
) -> None:
    """Gradients of ``sum(grad_out · encode)`` with respect to table and points, where arrays for them are given.

    Parameters
    ----------
    grad_table : (entries, F)
        Written over.
    stale : (m, dims) or None
        Points outside whose entries ``grad_table`` is zero already; None where it holds anything.
    grad_coords : (n, dims)
        From what `forward` left in ``slope``.
    """
    kernel = _table_2d if spec.dims == 2 else _table_3d
    geometry, features = _geometry(spec), (0,) * spec.features
    edges = _edges(len(coords)) if grad_coords is not None else [0]
    n_parts = max(len(edges) - 1, min(get_threads(), spec.levels) if grad_table is not None else 1)
    columns = np.ascontiguousarray(coords.T)
    old = np.ascontiguousarray(stale.T) if stale is not None else np.empty((spec.dims, 0), np.float32)

    def work(part: int) -> None:
        if grad_table is not None and part < spec.levels:
            # Finer levels cost more: deal the levels out in turn.
            kernel(columns, grad_out, grad_table, old, spec.levels - 1 - part, n_parts, geometry, features)
        if grad_coords is not None and part < len(edges) - 1:
            _coords(coords, slope, grad_out, grad_coords, edges[part], edges[part + 1], geometry, features)

    run_parts(work, n_parts)
