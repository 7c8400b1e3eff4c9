"""Where pixels and frames sit in the field's box [−1, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "bilinear_resize",
    "frame_coordinate",
    "frame_indices",
    "grid_points",
    "interpolation_matrix",
    "pixel_coordinates",
    "pixel_grid",
]


def pixel_coordinates(n: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Tensor:
    """(n,) positions of n pixels across the field of view: pixel i sits at 2 (i − n // 2) / n.

    The centre pixel is 0 at every size, so a render at another scale shows the same field of view without a shift.
    """
    return 2 * (torch.arange(n, dtype=dtype, device=device) - n // 2) / n


def grid_points(*axes: Tensor) -> Tensor:
    """(n₁ · n₂ · …, axes) points of the grid over positions along each axis, the last axis fastest."""
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, len(axes))


def pixel_grid(matrix: tuple[int, int], device: torch.device | str = "cpu") -> Tensor:
    """(y · x, 2) positions (y, x) of all pixels of an image in [−1, 1]."""
    return grid_points(*(pixel_coordinates(n, device) for n in matrix))


def frame_indices(frames: Tensor | None, n_frames: int) -> Tensor:
    """Fractional frame indices as they are drawn, (n,) float32; None means every measured frame."""
    return torch.arange(n_frames, dtype=torch.float32) if frames is None else frames.to(torch.float32)


def frame_coordinate(frame: Tensor | float, n_frames: int) -> Tensor:
    """Time in [−1, 1] of a fractional frame index: frame i sits at 2 (i − n // 2) / n."""
    return 2 * (torch.as_tensor(frame, dtype=torch.float32) - n_frames // 2) / n_frames


def interpolation_matrix(source: Tensor, target: Tensor) -> Tensor:
    """(n_target, n_source) weights of linear interpolation from ascending positions, constant beyond the ends."""
    if source.numel() == 1:
        return torch.ones(target.numel(), 1, dtype=source.dtype, device=source.device)
    place = target.clamp(float(source[0]), float(source[-1]))
    high = torch.searchsorted(source, place).clamp(1, source.numel() - 1)
    low = high - 1
    weight = (place - source[low]) / (source[high] - source[low])
    matrix = torch.zeros(target.numel(), source.numel(), dtype=source.dtype, device=source.device)
    rows = torch.arange(target.numel(), device=source.device)
    matrix[rows, low] = 1 - weight
    matrix[rows, high] += weight
    return matrix


def bilinear_resize(image: Tensor, matrix: tuple[int, int]) -> Tensor:
    """(…, y, x) real or complex at another matrix over the same field of view, the centre pixel kept in place.

    Beyond the outermost pixel centres the value at the edge holds.
    """
    real = image.dtype.to_real()
    rows, columns = (
        interpolation_matrix(pixel_coordinates(n, image.device, real), pixel_coordinates(m, image.device, real))
        for n, m in zip(image.shape[-2:], matrix, strict=True)
    )
    return rows.to(image.dtype) @ image @ columns.to(image.dtype).T
