"""Finite differences along time, and their adjoint."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["clip_difference", "temporal_difference", "temporal_difference_adjoint"]


def temporal_difference(image: Tensor) -> Tensor:
    """(frame, …) → (frame − 1, …): next frame minus this one. Its squared norm is below 4."""
    return image[1:] - image[:-1]


def temporal_difference_adjoint(difference: Tensor) -> Tensor:
    """(frame − 1, …) → (frame, …)."""
    zero = difference.new_zeros(1, *difference.shape[1:])  # also where there is one frame, so no difference
    return torch.cat([zero, difference]) - torch.cat([difference, zero])


def clip_difference(difference: Tensor, bound: float) -> Tensor:
    """Each difference brought to a modulus of at most ``bound`` ≥ 0: the prox of the conjugate of bound · ‖D x‖₁."""
    if bound == 0:
        return torch.zeros_like(difference)
    return difference * (bound / difference.abs().clamp_min(bound))
