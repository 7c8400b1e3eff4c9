"""Finite differences along time, and their adjoint."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["temporal_difference", "temporal_difference_adjoint"]


def temporal_difference(image: Tensor) -> Tensor:
    """(frame, …) → (frame − 1, …): next frame minus this one. Its squared norm is below 4."""
    return image[1:] - image[:-1]


def temporal_difference_adjoint(difference: Tensor) -> Tensor:
    """(frame − 1, …) → (frame, …)."""
    zero = difference.new_zeros(1, *difference.shape[1:])  # also where there is one frame, so no difference
    return torch.cat([zero, difference]) - torch.cat([difference, zero])
