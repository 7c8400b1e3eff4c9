"""Finite differences along time, and their adjoint."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_dainr.paged import let_go_all

__all__ = [
    "clip_difference",
    "difference_adjoint_rows",
    "solve_in_time",
    "solve_in_time_",
    "temporal_difference",
    "temporal_difference_adjoint",
]


def temporal_difference(image: Tensor) -> Tensor:
    """(frame, …) → (frame − 1, …): next frame minus this one. Its squared norm is below 4."""
    return image[1:] - image[:-1]


def temporal_difference_adjoint(difference: Tensor) -> Tensor:
    """(frame − 1, …) → (frame, …)."""
    zero = difference.new_zeros(1, *difference.shape[1:])  # also where there is one frame, so no difference
    return torch.cat([zero, difference]) - torch.cat([difference, zero])


def difference_adjoint_rows(difference: Tensor, rows: slice) -> Tensor:
    """The given frames of `temporal_difference_adjoint`, to the same bits."""
    n_frames = len(difference) + 1
    zero = difference.new_zeros(1, *difference.shape[1:])
    before = difference[max(rows.start - 1, 0) : rows.stop - 1]
    after = difference[rows]
    if rows.start == 0:
        before = torch.cat([zero, before])
    if rows.stop == n_frames:
        after = torch.cat([after, zero])
    return before - after


def clip_difference(difference: Tensor, bound: float) -> Tensor:
    """Each difference brought to a modulus of at most ``bound`` ≥ 0: the prox of the conjugate of bound · ‖D x‖₁."""
    if bound == 0:
        return torch.zeros_like(difference)
    return difference * (bound / difference.abs().clamp_min(bound))


def solve_in_time(image: Tensor, identity: float, coupling: float) -> Tensor:
    """(``identity`` · I + ``coupling`` · DᴴD)⁻¹ of (frame, …) images, both factors above 0, D as above.

    The matrix is tridiagonal in time and the same for all pixels: elimination and substitution, frame by frame, costs
    two passes over the series however many frames there are.
    """
    return solve_in_time_(image.clone(), identity, coupling)


def solve_in_time_(solution: Tensor, identity: float, coupling: float) -> Tensor:
    """As `solve_in_time`, in the memory of the images."""
    n_frames = solution.shape[0]
    pivots: list[float] = []
    for frame in range(n_frames):
        neighbours = (frame > 0) + (frame < n_frames - 1)
        eliminated = coupling**2 / pivots[-1] if frame else 0.0
        pivots.append(identity + neighbours * coupling - eliminated)
    for frame in range(1, n_frames):
        solution[frame].add_(solution[frame - 1], alpha=coupling / pivots[frame - 1])
        let_go_all(frame)
    solution[-1].div_(pivots[-1])
    for frame in range(n_frames - 2, -1, -1):
        solution[frame].add_(solution[frame + 1], alpha=coupling).div_(pivots[frame])
        let_go_all(frame)
    return solution
