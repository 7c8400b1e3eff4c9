"""Multiresolution hash encoding (paper section III-A.5, Eq. 8; Müller et al., ACM Trans. Graph. 41:102, 2022).

A point of the square (or cube) [−1, 1] is looked up in L grids of growing resolution; at each the feature vectors of
the surrounding vertices are linearly interpolated, and the L results are concatenated. All vectors live in one table of
(sum of entries, F) numbers. Grids that fit are stored vertex by vertex; finer ones share T entries by a spatial hash
(Teschner et al., VMV 2003).

Backends that agree to rounding and share tables: plain PyTorch, here (any device, any floating type), compiled CPU
kernels in ``hashgrid_numba``, and on CUDA ``hashgrid_triton`` and ``hashgrid_tinycudann`` (all float32).
"""

from __future__ import annotations

import math
import os
import threading
import warnings
import weakref
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_dainr.counted import empty
from napari_dainr.errors import ResourceError
from napari_dainr.optional import why_no_triton

__all__ = ["BACKENDS", "BACKEND_VARIABLE", "HashGrid", "HashGridSpec", "encode"]

BACKENDS = ("numba", "torch", "triton", "tinycudann")
BACKEND_VARIABLE = "NAPARI_DAINR_HASH_GRID"
"""Environment variable that names the backend which ``auto`` takes on CUDA."""

PRIMES = (805459861, 2654435761, 1)
"""Factors of the spatial hash, last axis last: neighbours along the last axis lie close together in memory."""


@dataclass(frozen=True)
class HashGridSpec:
    """Sizes of a hash encoding.

    Parameters
    ----------
    levels : int
        L, number of grids.
    table_log2 : int
        log₂ T: no grid has more than T = 2^table_log2 entries.
    features : int
        F, numbers per entry.
    n_min : int
        Cells along an axis of the coarsest grid, N_min.
    growth : float
        b, growth of the resolution from one grid to the next.
    dims : int
        2 or 3.

    Raises
    ------
    ValueError
        If a size is out of range.
    """

    levels: int = 16
    table_log2: int = 19
    features: int = 2
    n_min: int = 16
    growth: float = 2.0
    dims: int = 2

    def __post_init__(self) -> None:
        bounds = {"levels": (1, 64), "table_log2": (1, 30), "features": (1, 64), "n_min": (1, 2**24), "dims": (2, 3)}
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must lie in {low}…{high}, got {getattr(self, name)}")
        if not self.growth >= 1:
            raise ValueError(f"growth must be at least 1, got {self.growth}")
        if self.n_min * self.growth ** (self.levels - 1) > 2**24:
            raise ValueError(f"the finest grid, {self.n_min}·{self.growth}^{self.levels - 1}, exceeds 2^24 cells")

    @cached_property
    def resolutions(self) -> tuple[int, ...]:
        """N_l = ⌊N_min·b^l⌋ (Eq. 8), cells along an axis; a grid has N_l + 1 vertices along an axis."""
        # b is often a root chosen to land on an integer at the last level: do not floor 127.9999999 to 127.
        return tuple(math.floor(self.n_min * self.growth**level + 1e-9 * self.n_min) for level in range(self.levels))

    @cached_property
    def entries(self) -> tuple[int, ...]:
        """Table entries of each level: min(T, (N_l + 1)^dims)."""
        return tuple(min(2**self.table_log2, (n + 1) ** self.dims) for n in self.resolutions)

    @cached_property
    def hashed(self) -> tuple[bool, ...]:
        """Whether a level shares entries by the hash, because its vertices exceed the table."""
        return tuple((n + 1) ** self.dims > 2**self.table_log2 for n in self.resolutions)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """First entry of each level, and the total at the end; (levels + 1,)."""
        return tuple(sum(self.entries[:level]) for level in range(self.levels + 1))

    @property
    def n_entries(self) -> int:
        return self.offsets[-1]

    @property
    def n_params(self) -> int:
        """Numbers in the table."""
        return self.n_entries * self.features

    @property
    def width(self) -> int:
        """Length of the encoding of one point, L·F."""
        return self.levels * self.features


def encode(coords: Tensor, table: Tensor, spec: HashGridSpec, backend: str = "auto") -> Tensor:
    """Encode points, differentiable with respect to points and table.

    Parameters
    ----------
    coords : (n, dims) tensor
        In [−1, 1]; values outside are clamped, with gradient 0. The last axis varies fastest in memory.
    table : (spec.n_entries, spec.features) tensor
    spec : HashGridSpec
    backend : str
        ``"numba"`` (CPU, float32), ``"torch"`` (any device), ``"triton"`` or ``"tinycudann"`` (CUDA, float32), or
        ``"auto"``: numba on the CPU; on CUDA what `BACKEND_VARIABLE` names, else Triton where its kernels run.

    Returns
    -------
    (n, L·F) tensor
        Level by level, coarsest first. Its gradient with respect to coords is the derivative of the interpolation,
        from the right where a point lies on a grid line.

    Raises
    ------
    ValueError
        If shapes do not fit the spec, or the backend cannot take these tensors.
    ResourceError
        If the backend is not installed here.
    """
    if coords.ndim != 2 or coords.shape[1] != spec.dims:
        raise ValueError(f"coords must be (n, {spec.dims}), got {tuple(coords.shape)}")
    if tuple(table.shape) != (spec.n_entries, spec.features):
        raise ValueError(f"table must be ({spec.n_entries}, {spec.features}), got {tuple(table.shape)}")
    single = coords.dtype == table.dtype == torch.float32
    if backend == "auto":
        backend = _choose(coords.device) if single and coords.device == table.device else "torch"
    match backend:
        case "torch":
            return _encode_torch(coords, table, spec)
        case "numba":
            if not single or {coords.device.type, table.device.type} != {"cpu"}:
                raise ValueError("the numba hash grid takes float32 tensors on the CPU")
            result: Tensor = _EncodeNumba.apply(coords, table, spec, _buffer_of(table))  # type: ignore[no-untyped-call]
            return result
        case "triton":
            if (reason := why_no_triton()) is not None:
                raise ResourceError(f"The hash grid triton cannot be used ({reason}): take another hash grid.")
            from .hashgrid_triton import encode_triton

            return encode_triton(coords, table, spec)
        case "tinycudann":
            from .hashgrid_tinycudann import encode_tinycudann

            return encode_tinycudann(coords, table, spec)
    raise ValueError(f"there is no hash grid backend {backend!r}: use auto or one of {', '.join(BACKENDS)}")


@lru_cache
def _choose(device: torch.device) -> str:
    """What ``auto`` means for float32 tensors on a device; on CUDA tried once, and told where Triton does not run."""
    if device.type == "cpu":
        return "numba"
    wish = os.environ.get(BACKEND_VARIABLE, "")
    if device.type != "cuda":
        return "torch"
    if wish:
        if wish not in BACKENDS[1:]:
            raise ResourceError(f"{BACKEND_VARIABLE} is {wish!r}: set it to {', '.join(BACKENDS[1:])}, or unset it.")
        return wish
    reason = why_no_triton()
    if reason is None:
        from .hashgrid_triton import triton_runs

        reason = triton_runs(device)
    if reason is not None:
        warnings.warn(
            f"The hash grid runs in plain PyTorch on {device}, which is slower: Triton does not run ({reason}).",
            RuntimeWarning,
            stacklevel=2,
        )
        return "torch"
    return "triton"


def _encode_torch(coords: Tensor, table: Tensor, spec: HashGridSpec) -> Tensor:
    """Reference: one gather for all levels and corners, gradients by autograd."""
    device, dims = coords.device, spec.dims
    cells = torch.tensor(spec.resolutions, device=device)
    last = (cells - 1).to(coords.dtype)[:, None]
    unit = ((coords + 1) * 0.5).clamp(0, 1)
    position = unit[:, None, :] * cells.to(coords.dtype)[:, None]  # (n, L, dims)
    corner = torch.minimum(position.detach().floor(), last).nan_to_num(0)  # a NaN ends in the result, via fraction
    fraction = position - corner
    low = corner.to(torch.int64)
    side = cells + 1
    mask = 2**spec.table_log2 - 1
    offsets = torch.tensor(spec.offsets[:-1], device=device)
    hashed = torch.tensor(spec.hashed, device=device)

    weights, indices = [], []
    for bits in range(2**dims):
        weight = torch.ones_like(fraction[..., 0])
        dense = torch.zeros_like(low[..., 0])
        mixed = torch.zeros_like(dense)
        for axis in range(dims):
            up = bits >> (dims - 1 - axis) & 1
            weight = weight * (fraction[..., axis] if up else 1 - fraction[..., axis])
            vertex = low[..., axis] + up
            dense = dense * side + vertex
            mixed = mixed ^ (vertex * PRIMES[axis - dims])
        indices.append(offsets + torch.where(hashed, mixed & mask, dense))
        weights.append(weight)
    index, weight = torch.stack(indices, -1), torch.stack(weights, -1)  # (n, L, corner)
    return (table[index] * weight[..., None]).sum(2).reshape(len(coords), spec.width)


class _GradientBuffer:
    """Memory for the dense gradient of one table, handed out again once the last gradient made of it is gone.

    Allocating tens of MB anew in every step, or only emptying them, costs more than the backward pass itself. So the
    points of the last gradient are kept: outside their entries the memory is zero, unless someone has changed the
    gradient since, as autograd does where it adds another one in place.
    """

    def __init__(self) -> None:
        self._array: NDArray[np.float32] | None = None
        self._lease: weakref.ref[NDArray[np.float32]] | None = None
        self._points: NDArray[np.float32] | None = None
        self._witness: Tensor | None = None
        self._lock = threading.Lock()

    def take(self, shape: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """An array, and the points outside whose entries it is zero; None where its content is arbitrary."""
        with self._lock:
            if self._lease is not None and self._lease() is not None:
                return empty(shape, np.float32), None  # the last gradient is still in use
            if self._array is None:
                self._array = empty(shape, np.float32)
            # A tensor made of this view keeps it alive for as long as any tensor shares the memory.
            view = self._array.view()
            self._lease = weakref.ref(view)
            unchanged = self._witness is not None and self._witness._version == 0
            points, self._points, self._witness = self._points, None, None
            return view, points if unchanged else None

    def give(self, array: NDArray[np.float32], points: NDArray[np.float32]) -> Tensor:
        """The finished gradient as a tensor, made at ``points``."""
        gradient = torch.from_numpy(array)
        with self._lock:
            if self._lease is not None and self._lease() is array:
                # Shares the count of changes in place with the gradient and all that is detached from it, but, given
                # other memory, does not keep the gradient's alive.
                self._witness = gradient.detach()
                self._witness.data = torch.empty(0)
                self._points = points.copy()
        return gradient


_buffers: dict[int, _GradientBuffer] = {}


def _buffer_of(table: Tensor) -> _GradientBuffer | None:
    """The gradient buffer of a trainable table, made at its first use and dropped with it."""
    if not (table.is_leaf and table.requires_grad):
        return None
    key = id(table)
    if key not in _buffers:
        weakref.finalize(table, _buffers.pop, key, None)
        _buffers[key] = _GradientBuffer()
    return _buffers[key]


class _EncodeNumba(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, coords: Tensor, table: Tensor, spec: HashGridSpec, buffer: _GradientBuffer | None) -> Tensor:
        from . import hashgrid_numba  # imports numba, which GPU users need not wait for

        coords = coords.contiguous()
        out = empty((len(coords), spec.width), np.float32)
        slope_shape = (len(coords), spec.dims, spec.width)
        ctx.slope = empty(slope_shape, np.float32) if ctx.needs_input_grad[0] else None
        hashgrid_numba.forward(coords.detach().numpy(), table.detach().contiguous().numpy(), out, ctx.slope, spec)
        ctx.save_for_backward(coords)
        ctx.spec, ctx.buffer = spec, buffer
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        from . import hashgrid_numba

        if torch.is_grad_enabled():  # create_graph=True: a graph through here would silently lack this term
            raise RuntimeError("the compiled hash grid cannot be differentiated twice: use backend='torch'")
        spec, coords = ctx.spec, ctx.saved_tensors[0].detach().numpy()
        grad_out = grads[0].contiguous().numpy()
        grad_coords = grad_table = stale = None
        if ctx.needs_input_grad[0]:
            grad_coords = empty(coords.shape, np.float32)
        if ctx.needs_input_grad[1]:
            shape = (spec.n_entries, spec.features)
            grad_table, stale = ctx.buffer.take(shape) if ctx.buffer else (empty(shape, np.float32), None)
        hashgrid_numba.backward(
            coords, grad_out, spec, grad_table=grad_table, stale=stale, grad_coords=grad_coords, slope=ctx.slope
        )
        of_coords = None if grad_coords is None else torch.from_numpy(grad_coords)
        of_table = None
        if grad_table is not None:
            of_table = ctx.buffer.give(grad_table, coords) if ctx.buffer else torch.from_numpy(grad_table)
        return of_coords, of_table, None, None


class HashGrid(nn.Module):
    """A trainable hash encoding, (n, dims) → (n, L·F); the table starts uniform in ±1e-4.

    Parameters
    ----------
    spec : HashGridSpec
    seed : int or torch.Generator
        Draws the start; the same seed gives the same table on every machine.
    backend : str
        As for `encode`.
    """

    def __init__(self, spec: HashGridSpec, seed: int | torch.Generator = 0, backend: str = "auto") -> None:
        super().__init__()
        self.spec = spec
        self.backend = backend
        generator = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)
        start = torch.rand((spec.n_entries, spec.features), generator=generator, device=generator.device)
        # Memory from NumPy, which asks for huge pages: random reads then find their page 10 % faster.
        table = torch.from_numpy(empty(tuple(start.shape), np.float32))
        self.table = nn.Parameter(table.copy_(start * 2e-4 - 1e-4))

    def forward(self, coords: Tensor) -> Tensor:
        return encode(coords, self.table, self.spec, self.backend)

    def extra_repr(self) -> str:
        return f"{self.spec}, n_params={self.spec.n_params}"
