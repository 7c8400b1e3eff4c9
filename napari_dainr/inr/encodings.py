"""Frequency encoding of coordinates (Mildenhall et al. [15])."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["FrequencyEncoding"]


class FrequencyEncoding(nn.Module):
    """γ(p) = ⟨sin(2ⁱ π p), cos(2ⁱ π p)⟩ for i = 0 … I, for each component; no parameters.

    Parameters
    ----------
    dims : int
        Components of the coordinate.
    highest : int
        I, the highest octave.
    """

    octaves: Tensor

    def __init__(self, dims: int, highest: int) -> None:
        super().__init__()
        self.n_out = dims * 2 * (highest + 1)
        self.register_buffer("octaves", math.pi * 2.0 ** torch.arange(highest + 1), persistent=False)

    def forward(self, coords: Tensor) -> Tensor:
        """(n, dims) in [−1, 1] → (n, dims · 2 · (I + 1))."""
        angle = (coords[:, :, None] * self.octaves).flatten(1)
        return torch.cat([angle.sin(), angle.cos()], dim=1)
