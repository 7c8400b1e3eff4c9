"""Triton kernels of the hash encoding (float32, NVIDIA GPUs; on the CPU through Triton's interpreter, for tests).

One program treats one level and ``BLOCK`` points. How it is cut, and why, for cards like H100 and H200 (132
multiprocessors, 50 to 60 MB of L2 in two halves, 3 to 5 TB/s):

- The level is the slow axis of the launch, so the programs that run at one time look into one level, at most
  T · F · 4 bytes (4 MiB at the defaults, a sixth of half the L2), not into the whole table (42 MB at 16 levels).
- A thread holds one point and asks for all its corners before it needs the first: gathers are bound by latency,
  so loads in flight and many small programs count, not arithmetic. 128 points on 4 warps keep the registers few enough
  for 2,048 threads on a multiprocessor, and 128² points × 16 levels make 2,048 programs, 15 for each multiprocessor.
- The F features of an entry lie side by side and are read as one (points, F) tile, so that the compiler can make one
  8-byte load (F = 2) or 16-byte load (F = 4) of them, and on compute capability 9.0 one vectorised addition.
- The encoding is written as (L·F, n) and handed out transposed: neighbouring threads then write neighbouring numbers,
  where rows of L·F would be written in pieces of 8 bytes. Matrix products take either order.
- The backward pass reads the table again instead of storing slopes, which at eight frames of 384² and 16 levels of
  3-D would be 450 MB. It writes the gradient of the points level by level and sums afterwards in a fixed order.
- Fused multiply-add is off: with it the fraction of a cell would be rounded in another way than in the reference, by up
  to 1/16 of a cell at 2^19 cells.

These are reasons, not measurements: ``benchmarks/gpu.py`` measures. The gradient of the table is added up by atomic
additions in no fixed order, so a fit on a GPU is not reproducible to the bit; values and the points' gradient are.

``TRITON_INTERPRET=1`` must be in the environment before this module is imported for the kernels to take CPU tensors.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .hashgrid import PRIMES, HashGridSpec

__all__ = ["INTERPRETED", "encode_triton", "triton_runs"]

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
"""Whether the kernels of this process are interpreted on the CPU; Triton decides it when they are defined."""

BLOCK, WARPS = 128, 4
_PZ, _PY = tl.constexpr(PRIMES[0]), tl.constexpr(PRIMES[1])


@triton.jit
def _cell(coords, p, inside, axis: tl.constexpr, dims: tl.constexpr, cells):  # type: ignore[no-untyped-def]
    """Cell, fraction and whether the point lies in [−1, 1], along an axis, for a block of points."""
    c = tl.load(coords + p * dims + axis, mask=inside, other=0.0)
    unit = (c + 1.0) * 0.5
    unit = tl.where(unit < 0.0, 0.0, unit)  # a NaN stays one, and ends in the fraction
    unit = tl.where(unit > 1.0, 1.0, unit)
    position = unit * cells.to(tl.float32)
    low = tl.minimum(tl.where(position > 0.0, position, 0.0).to(tl.int32), cells - 1)
    return low, position - low.to(tl.float32), (c >= -1.0) & (c <= 1.0)


@triton.jit
def _entry(z, y, x, dims: tl.constexpr, cells, mask):  # type: ignore[no-untyped-def]
    """Entry of a vertex within its level; mask 0: the grid fits the table."""
    uy, ux = y.to(tl.uint32), x.to(tl.uint32)
    mixed = (uy * _PY) ^ ux
    row = y
    if dims == 3:
        mixed = mixed ^ (z.to(tl.uint32) * _PZ)
        row = z * (cells + 1) + y
    # Both are cheap beside the gather; a branch would cost a second copy of the kernel's body.
    return tl.where(mask > 0, (mixed & mask.to(tl.uint32)).to(tl.int32), row * (cells + 1) + x)


@triton.jit
def _numbers(entry, f, features: tl.constexpr, wide: tl.constexpr):  # type: ignore[no-untyped-def]
    """(points, F) places of the numbers of an entry, from the first of its level."""
    first = entry.to(tl.int64) * features if wide else entry * features
    return first[:, None] + f[None, :]


@triton.jit
def _forward(  # type: ignore[no-untyped-def]
    coords,
    table,
    geometry,
    out,
    n,
    dims: tl.constexpr,
    features: tl.constexpr,
    padded: tl.constexpr,
    wide: tl.constexpr,
    block: tl.constexpr,
):
    """``out`` (L·F, n) of one level and block of points."""
    level = tl.program_id(1)
    cells = tl.load(geometry + 3 * level).to(tl.int32)
    table += tl.load(geometry + 3 * level + 1) * features
    mask = tl.load(geometry + 3 * level + 2).to(tl.int32)
    p = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    inside = p < n
    f = tl.arange(0, padded)
    used = inside[:, None] & (f < features)[None, :]

    y, fy, _ = _cell(coords, p, inside, dims - 2, dims, cells)
    x, fx, _ = _cell(coords, p, inside, dims - 1, dims, cells)
    z, fz = y, fy
    if dims == 3:
        z, fz, _ = _cell(coords, p, inside, 0, dims, cells)
    total = tl.zeros((block, padded), tl.float32)
    for corner in tl.static_range(2**dims):
        wy = fy if corner // 2 % 2 else 1.0 - fy
        wx = fx if corner % 2 else 1.0 - fx
        weight = wy * wx
        if dims == 3:
            weight = (fz if corner // 4 else 1.0 - fz) * wy * wx
        entry = _entry(z + corner // 4, y + corner // 2 % 2, x + corner % 2, dims, cells, mask)
        value = tl.load(table + _numbers(entry, f, features, wide), mask=used, other=0.0)
        total += value * weight[:, None]
    column = (level * features + f).to(tl.int64) * n
    tl.store(out + column[None, :] + p[:, None], total, mask=used)


@triton.jit
def _backward(  # type: ignore[no-untyped-def]
    coords,
    table,
    geometry,
    grad_out,
    row_stride,
    column_stride,
    grad_table,
    grad_coords,
    n,
    dims: tl.constexpr,
    features: tl.constexpr,
    padded: tl.constexpr,
    wide: tl.constexpr,
    want_table: tl.constexpr,
    want_coords: tl.constexpr,
    block: tl.constexpr,
):
    """Adds to ``grad_table`` (entries, F) and writes ``grad_coords`` (L, dims, n) of one level and block of points."""
    level = tl.program_id(1)
    cells = tl.load(geometry + 3 * level).to(tl.int32)
    first = tl.load(geometry + 3 * level + 1) * features
    mask = tl.load(geometry + 3 * level + 2).to(tl.int32)
    p = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    inside = p < n
    f = tl.arange(0, padded)
    used = inside[:, None] & (f < features)[None, :]

    y, fy, in_y = _cell(coords, p, inside, dims - 2, dims, cells)
    x, fx, in_x = _cell(coords, p, inside, dims - 1, dims, cells)
    z, fz, in_z = y, fy, in_y
    if dims == 3:
        z, fz, in_z = _cell(coords, p, inside, 0, dims, cells)
    column = (level * features + f).to(tl.int64) * column_stride
    slope = tl.load(grad_out + column[None, :] + (p * row_stride)[:, None], mask=used, other=0.0)
    dz = tl.zeros((block,), tl.float32)
    dy = tl.zeros((block,), tl.float32)
    dx = tl.zeros((block,), tl.float32)
    for corner in tl.static_range(2**dims):
        wy = fy if corner // 2 % 2 else 1.0 - fy
        wx = fx if corner % 2 else 1.0 - fx
        wz = wy
        if dims == 3:
            wz = fz if corner // 4 else 1.0 - fz
        entry = _entry(z + corner // 4, y + corner // 2 % 2, x + corner % 2, dims, cells, mask)
        numbers = _numbers(entry, f, features, wide)
        if want_table:
            weight = wy * wx
            if dims == 3:
                weight = wz * wy * wx
            # Nothing here waits for the sums, so they need no order among each other.
            tl.atomic_add(grad_table + first + numbers, slope * weight[:, None], mask=used, sem="relaxed")
        if want_coords:
            value = tl.load(table + first + numbers, mask=used, other=0.0)
            share = tl.sum(value * slope, axis=1)
            if dims == 3:
                dz += share * (wy * wx) * (1.0 if corner // 4 else -1.0)
                dy += share * (wz * wx) * (1.0 if corner // 2 % 2 else -1.0)
                dx += share * (wz * wy) * (1.0 if corner % 2 else -1.0)
            else:
                dy += share * wx * (1.0 if corner // 2 % 2 else -1.0)
                dx += share * wy * (1.0 if corner % 2 else -1.0)
    if want_coords:
        half = cells.to(tl.float32) * 0.5
        place = grad_coords + (level * dims).to(tl.int64) * n + p
        if dims == 3:
            tl.store(place, tl.where(in_z, dz * half, 0.0), mask=inside)
        tl.store(place + (dims - 2) * n, tl.where(in_y, dy * half, 0.0), mask=inside)
        tl.store(place + (dims - 1) * n, tl.where(in_x, dx * half, 0.0), mask=inside)


@lru_cache(maxsize=64)
def _geometry(spec: HashGridSpec, device: torch.device) -> Tensor:
    """(L, 3) int64 on the device: cells along an axis, first entry, hash mask or 0; made once, as a copy waits."""
    masks = [2**spec.table_log2 - 1 if hashed else 0 for hashed in spec.hashed]
    return torch.tensor([spec.resolutions, spec.offsets[:-1], masks], dtype=torch.int64).T.contiguous().to(device)


def _sizes(spec: HashGridSpec) -> dict[str, Any]:
    """Compile-time sizes; features padded to a power of two; 64-bit places where 32 bits do not reach."""
    return {
        "dims": spec.dims,
        "features": spec.features,
        "padded": triton.next_power_of_2(spec.features),
        "wide": 2**spec.table_log2 * spec.features >= 2**31,
        "block": BLOCK,
        "num_warps": WARPS,
        "enable_fp_fusion": False,
    }


class _EncodeTriton(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, coords: Tensor, table: Tensor, spec: HashGridSpec) -> Tensor:
        coords, table = coords.contiguous(), table.contiguous()
        n = len(coords)
        out = torch.empty((spec.width, n), dtype=torch.float32, device=coords.device)
        if n:
            with torch.cuda.device_of(coords):
                _forward[triton.cdiv(n, BLOCK), spec.levels](
                    coords, table, _geometry(spec, coords.device), out, n, **_sizes(spec)
                )
        ctx.save_for_backward(coords, table)
        ctx.spec = spec
        return out.T

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        if torch.is_grad_enabled():  # create_graph=True: a graph through here would silently lack this term
            raise RuntimeError("the Triton hash grid cannot be differentiated twice: use backend='torch'")
        coords, table = ctx.saved_tensors
        spec: HashGridSpec = ctx.spec
        want_coords, want_table = ctx.needs_input_grad[:2]
        grad_out, n = grads[0], len(coords)
        of_table = torch.zeros_like(table) if want_table else None
        by_level = coords.new_empty(spec.levels, spec.dims, n) if want_coords else None
        if n:
            with torch.cuda.device_of(coords):
                _backward[triton.cdiv(n, BLOCK), spec.levels](
                    coords,
                    table,
                    _geometry(spec, coords.device),
                    grad_out,
                    grad_out.stride(0),
                    grad_out.stride(1),
                    of_table if of_table is not None else table,  # not touched where it is not wanted
                    by_level if by_level is not None else coords,
                    n,
                    want_table=want_table,
                    want_coords=want_coords,
                    **_sizes(spec),
                )
        return None if by_level is None else by_level.sum(0).T, of_table, None


def encode_triton(coords: Tensor, table: Tensor, spec: HashGridSpec) -> Tensor:
    """As :func:`napari_dainr.inr.hashgrid.encode`, which checks the arguments.

    Raises
    ------
    ValueError
        If a tensor is not float32, or not on the device that the kernels run on.
    """
    where = "cpu" if INTERPRETED else "cuda"
    if any(t.device.type != where or t.dtype != torch.float32 for t in (coords, table)):
        raise ValueError(f"the Triton hash grid takes float32 tensors on {where}")
    result: Tensor = _EncodeTriton.apply(coords, table, spec)
    return result


@lru_cache
def triton_runs(device: torch.device) -> str | None:
    """Why the kernels do not run on a device, or None; tried once for each, with a tiny encoding and its gradients."""
    from .hashgrid import encode

    spec = HashGridSpec(levels=2, table_log2=6, n_min=6)
    results = []
    try:
        for backend in ("triton", "torch"):
            coords = torch.linspace(-1, 0.9, 20, device=device).reshape(10, 2).requires_grad_()
            table = torch.linspace(-1, 1, spec.n_params, device=device).reshape(-1, 2).requires_grad_()
            out = encode(coords, table, spec, backend)
            results.append([out.detach(), *torch.autograd.grad(out.square().sum(), (coords, table))])
        wrong = max(float((a - b).abs().max()) for a, b in zip(*results, strict=True))
    except Exception as error:  # Triton's errors share no class: no compiler, no driver, a card that is too old
        return " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return None if wrong < 1e-3 else f"its result differs by {wrong:.1e} from that of PyTorch"
