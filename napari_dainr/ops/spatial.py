"""Finite differences in the image plane, and their adjoint."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["clip_gradient", "spatial_gradient", "spatial_gradient_adjoint"]


def spatial_gradient(image: Tensor) -> Tensor:
    """(frame, y, x) → (2, frame, y, x): differences to the next pixel along y and x, around the edges.

    Its squared norm is at most 8.
    """
    return torch.stack([image.roll(-1, 1), image.roll(-1, 2)]) - image


def spatial_gradient_adjoint(gradient: Tensor) -> Tensor:
    """(2, frame, y, x) → (frame, y, x)."""
    along_y, along_x = gradient
    return along_y.roll(1, 1) - along_y + along_x.roll(1, 2) - along_x


def clip_gradient(gradient: Tensor, bound: float) -> Tensor:
    """Each pixel's (∂y, ∂x) brought to a length of at most ``bound`` > 0: prox of the conjugate of bound · ‖∇x‖₂,₁."""
    return gradient * (bound / torch.linalg.vector_norm(gradient, dim=0).clamp_min(bound))
