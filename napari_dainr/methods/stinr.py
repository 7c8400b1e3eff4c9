"""ST-INR, Feng et al. [12], Eq. 10 of the paper: HashINR with temporal total variation and low rank.

Objective, over the hash table and the weights θ of a perceptron::

    min_θ  mean |F_u S d_θ − m|² / (|F_u S d_θ| + ε)²  +  λ_S mean |D d_θ|  +  λ_L ‖d_θ‖_* / √(frames · pixels)

with (D d)_f = d_{f+1} − d_f and d_θ as a matrix (frame × pixel). Means and the root make the weights independent of the
size of the data. Temporal total variation acts after ``sparse_after`` steps; the finer half of the hash levels opens
over the first ``coarse_to_fine`` of the steps. docs/explanation/rivals-regularised.md lists the differences.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from napari_dainr.inr.fitting import SEEDS
from napari_dainr.inr.hashfield import open_levels
from napari_dainr.methods.config import StinrConfig
from napari_dainr.methods.hashinr import HashinrMethod, HashState
from napari_dainr.ops.lowrank import nuclear_norm
from napari_dainr.ops.temporal import temporal_difference

__all__ = ["StinrMethod"]


class StinrMethod(HashinrMethod):
    """HashINR and its two regularisers, which see the consecutive frames of a step together."""

    name: ClassVar[str] = "stinr"
    config: StinrConfig

    def __init__(self, config: StinrConfig, seed: int = 0) -> None:
        super().__init__(config, seed)

    def _frames(self, step: int, n_frames: int) -> list[int]:
        """All frames, or consecutive ones from a first frame that seed and step set."""
        some = self.config.frames_per_step
        if some is None or some >= n_frames:
            return list(range(n_frames))
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + step) % SEEDS)
        # From −(some − 1) on and cut, so that the frames at both ends are seen as often as the others.
        first = int(torch.randint(1 - some, n_frames, (1,), generator=generator))
        first = min(max(first, 0), n_frames - some)
        return list(range(first, first + some))

    def _levels(self, state: HashState) -> list[float] | None:
        until = self.config.coarse_to_fine * self.n_steps
        return open_levels(state.field.grid.spec.levels, state.step / until) if until > 0 else None

    def _penalty(self, state: HashState, image: Tensor) -> dict[str, Tensor]:
        config = self.config
        penalty = {}
        if config.lam_sparse > 0 and state.step >= config.sparse_after and image.shape[0] > 1:
            penalty["sparse"] = config.lam_sparse * temporal_difference(image).abs().mean()
        if config.lam_lowrank > 0:
            matrix = image.reshape(image.shape[0], -1)
            penalty["low rank"] = config.lam_lowrank * nuclear_norm(matrix) / matrix.numel() ** 0.5
        return penalty
