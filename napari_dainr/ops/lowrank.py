"""Low rank: blocks of a series as matrices (frame × pixel), their singular values, and the maps that shrink them.

All of it goes through a Gram matrix, M Mᴴ (frame × frame) where a block has more pixels than the series has frames, in
double precision: its eigenvalue decomposition costs a tenth of the singular value decomposition of M itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = [
    "Partition",
    "clip_singular_values",
    "in_chunks",
    "nuclear_norm",
    "singular_values",
]

CHUNK = 32
"""Blocks that are worked on together. A constant, so that what is done to a block is the same for any number of
threads."""


@dataclass(frozen=True)
class Partition:
    """A matrix cut into square blocks, every pixel in exactly one; blocks at the edges may be smaller.

    Parameters
    ----------
    matrix : (y, x)
        Pixels of an image.
    block : int or None
        Pixels along a side of a block; None makes the whole image one block.
    start : (y, x)
        How far the first row and column of blocks reach out of the image, 0 ≤ start < block: shifts the partition.
    """

    matrix: tuple[int, int]
    block: int | None
    start: tuple[int, int] = (0, 0)

    def _padded(self) -> tuple[int, int, int]:
        """Block size, and rows and columns of the image filled up to whole blocks."""
        if self.block is None:
            raise ValueError("a partition into one block has no block size")
        rows, columns = (-(-(n + s) // self.block) * self.block for n, s in zip(self.matrix, self.start, strict=True))
        return self.block, rows, columns

    def split(self, series: Tensor) -> Tensor:
        """(frame, y, x) → (block, frame, pixel); pixels outside the image are 0, which adds no singular value."""
        n_frames = series.shape[0]
        if self.block is None:
            return series.reshape(1, n_frames, -1)
        block, rows, columns = self._padded()
        padded = series.new_zeros(n_frames, rows, columns)
        (y, x), (height, width) = self.start, self.matrix
        padded[:, y : y + height, x : x + width] = series
        tiles = padded.reshape(n_frames, rows // block, block, columns // block, block)
        return tiles.permute(1, 3, 0, 2, 4).reshape(-1, n_frames, block * block)

    def join(self, blocks: Tensor) -> Tensor:
        """(block, frame, pixel) → (frame, y, x), the inverse and the adjoint of :meth:`split`."""
        n_frames = blocks.shape[1]
        if self.block is None:
            return blocks.reshape(n_frames, *self.matrix)
        block, rows, columns = self._padded()
        tiles = blocks.reshape(rows // block, columns // block, n_frames, block, block)
        (y, x), (height, width) = self.start, self.matrix
        whole = tiles.permute(2, 0, 3, 1, 4).reshape(n_frames, rows, columns)
        return whole[:, y : y + height, x : x + width]


def in_chunks(work: Callable[[Tensor], Tensor], blocks: Tensor) -> Tensor:
    """``work`` on (block, frame, pixel), some blocks at a time on the CPU, joined again.

    Always the same blocks together: a product of a batch of matrices may round differently for another batch.
    """
    if blocks.device.type != "cpu":
        return work(blocks)
    # OpenMP's number of threads is a thread's own; torch brings its setting to a new thread when it is asked for it.
    torch.get_num_threads()
    return torch.cat([work(blocks[first : first + CHUNK]) for first in range(0, len(blocks), CHUNK)])


def _gram(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Singular values (…, frame), ascending, and left singular vectors of (…, frame, pixel), both in double precision.

    Values below about 1e-8 of the largest are lost in the square.
    """
    double = matrices.to(torch.complex128)
    values, vectors = torch.linalg.eigh(double @ double.mH)
    return values.clamp_min(0).sqrt(), vectors


def singular_values(matrices: Tensor) -> Tensor:
    """(…, frame, pixel) complex → (…, frame), ascending, double precision; zeros where there are fewer pixels."""
    return _gram(matrices)[0]


def _scaled(matrices: Tensor, factor: Tensor, vectors: Tensor) -> Tensor:
    """U diag(factor) Uᴴ M."""
    return ((vectors * factor[..., None, :]) @ vectors.mH).to(matrices.dtype) @ matrices


def clip_singular_values(matrices: Tensor, radius: float) -> Tensor:
    """Projection on the ball of spectral norm ``radius`` > 0: the prox of the conjugate of radius · ‖·‖_*.

    By the Gram matrix of the shorter side, so that a frame of a long series costs no more than one of a short series.
    """
    if matrices.shape[-2] > matrices.shape[-1]:
        return clip_singular_values(matrices.mT, radius).mT
    values, vectors = _gram(matrices)
    return _scaled(matrices, radius / values.clamp_min(radius), vectors)


class _NuclearNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        values, vectors = _gram(matrix)
        # The subgradient of least norm: U Vᴴ = U diag(1/s) Uᴴ M over the values that are not zero.
        floor = values[..., -1:] * 1e-6
        inverse = torch.where(values > floor, 1 / values.clamp_min(1e-300), 0.0)
        ctx.save_for_backward(_scaled(matrix, inverse, vectors))
        return values.sum().to(torch.float32)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (direction,) = ctx.saved_tensors
        return grads[0] * direction


def nuclear_norm(matrix: Tensor) -> Tensor:
    """Sum of the singular values of (…, frame, pixel), differentiable once: the gradient is U Vᴴ.

    Where the matrix has not full rank the norm has a kink; there the gradient is the subgradient of least norm.
    """
    result: Tensor = _NuclearNorm.apply(matrix)  # type: ignore[no-untyped-call]
    return result
