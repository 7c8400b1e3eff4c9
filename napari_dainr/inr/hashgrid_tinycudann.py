"""The hash encoding by tiny-cuda-nn's PyTorch binding ``tinycudann``, where it is installed (decision 13).

Not run by its authors: written from tiny-cuda-nn's source on a machine without a GPU. ``benchmarks/gpu.py`` and
tests/inr/test_hashgrid_tinycudann.py compare it with the reference wherever it loads.

tiny-cuda-nn puts level l of one grid encoding at ``u · (R b^l − 1) + 0.5`` for u in [0, 1] and rounds the table of a
dense level up to a multiple of 8 entries. No choice of R and b makes our ``u · N_l`` of that for all levels, since 0.5
shifts each level by another part of the box. For one level it can be had: with R = N + 1, ``N (u − 0.5 / N) + 0.5``. So
each level is an encoding of one level with coordinates of its own, and all of them are one composite encoding. Hash
factors (1, 2654435761, 805459861) and dense order, first axis fastest, are ours with the axes reversed.

The table stays ours: it is padded for each call, without a copy where no level needs it, so checkpoints need no
conversion. Float32 throughout.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_dainr.errors import ResourceError
from napari_dainr.optional import require

from .hashgrid import HashGridSpec

__all__ = ["encode_tinycudann", "level_coordinates", "packed_table", "composite_config"]

_ENTRIES = 8
"""Levels begin at multiples of this many entries."""
_FEATURES = (1, 2, 4, 8)


def composite_config(spec: HashGridSpec) -> dict[str, Any]:
    """Settings of the composite encoding, one nested grid per level.

    Raises
    ------
    ResourceError
        If tiny-cuda-nn has no grid of this kind.
    """
    if spec.features not in _FEATURES or 2**spec.table_log2 < _ENTRIES:
        raise ResourceError(
            f"tinycudann has no hash grid of {spec.features} features and 2^{spec.table_log2} entries: "
            "set level_features to 1, 2, 4 or 8 and table_log2 to at least 3, or take another hash grid."
        )
    grid = {
        "otype": "Grid",
        "type": "Hash",
        "hash": "CoherentPrime",
        "interpolation": "Linear",
        "n_levels": 1,
        "n_features_per_level": spec.features,
        "log2_hashmap_size": spec.table_log2,
        "per_level_scale": 1.0,
        "n_dims_to_encode": spec.dims,
    }
    # base_resolution counts vertices: tiny-cuda-nn subtracts 1 for the cells.
    return {"otype": "Composite", "nested": [{**grid, "base_resolution": n + 1} for n in spec.resolutions]}


def _bounds(cells: int) -> tuple[float, float]:
    """The shift 0.5 / N, and the highest coordinate, in float32, such that the point stays in cells 0 … N − 1.

    Rounded the other way, a point on the first or last face would get the slope of a cell that does not exist.
    """
    shift = np.float32(0.5 / cells)
    while Fraction(float(shift)) * cells > Fraction(1, 2):
        shift = np.nextafter(shift, np.float32(0))
    top = np.float32((cells - 0.5) / cells)
    while np.float32(float(top) * cells + 0.5) >= cells:
        top = np.nextafter(top, np.float32(0))
    return float(shift), float(top)


@lru_cache(maxsize=64)
def _level_bounds(spec: HashGridSpec, device: torch.device) -> Tensor:
    """(2, L, 1) shift and highest coordinate of each level, on the device."""
    bounds = torch.tensor([_bounds(cells) for cells in spec.resolutions], dtype=torch.float32)
    return bounds.T[:, :, None].contiguous().to(device)


def level_coordinates(coords: Tensor, spec: HashGridSpec) -> Tensor:
    """(n, dims) in [−1, 1], last axis fastest → (n, L · dims) of tiny-cuda-nn, first axis fastest; differentiable."""
    shift, top = _level_bounds(spec, coords.device)
    unit = ((coords + 1) * 0.5).clamp(0, 1).flip(1)
    return torch.minimum(unit[:, None, :] - shift, top).reshape(len(coords), -1)


def packed_table(table: Tensor, spec: HashGridSpec) -> Tensor:
    """(entries, F) → flat parameters of the composite encoding, with gaps of zeros where a level is rounded up."""
    if all(entries % _ENTRIES == 0 for entries in spec.entries):
        return table.reshape(-1)
    levels = []
    for entries, part in zip(spec.entries, torch.split(table, list(spec.entries)), strict=True):
        levels.append(part)
        if entries % _ENTRIES:
            levels.append(table.new_zeros(-entries % _ENTRIES, spec.features))
    return torch.cat(levels).reshape(-1)


@lru_cache(maxsize=16)
def _encoding(spec: HashGridSpec, device: torch.device) -> Any:
    """tiny-cuda-nn's module; it is given the table with each call and keeps none of its own."""
    config = composite_config(spec)
    tinycudann = require("tinycudann", extra=None, purpose="The hash grid tinycudann")
    with torch.cuda.device(device):
        module = tinycudann.Encoding(spec.levels * spec.dims, config, dtype=torch.float32)
    expected = sum(-(-entries // _ENTRIES) * _ENTRIES for entries in spec.entries) * spec.features
    if module.params.numel() != expected or module.n_output_dims != spec.width:
        raise ResourceError(
            f"The installed tinycudann lays out its hash grid in a way this version does not know ({expected} numbers "
            f"expected, {module.params.numel()} found): take another hash grid."
        )
    module.params = torch.nn.Parameter(torch.empty(0, device=device))
    return module


def encode_tinycudann(coords: Tensor, table: Tensor, spec: HashGridSpec) -> Tensor:
    """As :func:`napari_dainr.inr.hashgrid.encode`, which checks the arguments.

    A point on a line of the grid may get the slope of either cell beside it.

    Raises
    ------
    ResourceError
        If tinycudann is not installed, does not load, or has no such grid.
    ValueError
        If a tensor is not float32 on CUDA.
    """
    if any(t.device.type != "cuda" or t.dtype != torch.float32 for t in (coords, table)):
        raise ValueError("the hash grid tinycudann takes float32 tensors on cuda")
    module = _encoding(spec, coords.device)
    with torch.cuda.device_of(coords):  # type: ignore[no-untyped-call]
        places, numbers = level_coordinates(coords, spec), packed_table(table, spec)
        result: Tensor = torch.func.functional_call(module, {"params": numbers}, (places,))
    return result
