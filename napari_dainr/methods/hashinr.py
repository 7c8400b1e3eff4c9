"""HashINR: a hash-encoded field over (x, y, t) fitted to k-space, [12] without regularisation (Sec. IV-A of the paper).

Objective, Eq. 10 with λ_S = λ_L = 0, over the hash table and the weights θ of a perceptron::

    min_θ  Σ_t Σ_c ℓ(F_u S_c d_θ(t), m_c(t)) ,   d_θ(x, y, t) = MLP(hash(x, y, t))

with ℓ the squared modulus of the difference, its modulus, or its square relative to the prediction. The whole of Eq. 10
is in methods/stinr.py. docs/explanation/rivals-regularised.md lists the differences.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from napari_dainr.inr.coordinates import frame_indices
from napari_dainr.inr.fitting import NetworkFit, item_of_step, late_decay, member_seed
from napari_dainr.inr.hashfield import HashField
from napari_dainr.inr.hashgrid import HashGridSpec
from napari_dainr.methods.base import Problem, taken
from napari_dainr.methods.config import HashinrConfig
from napari_dainr.methods.network import NetworkMethod, NetworkState
from napari_dainr.ops.resample import scaled_matrix

__all__ = ["HashState", "HashinrMethod", "misfit"]


class HashState(NetworkState):
    """The field with its optimiser, and what it draws."""

    @property
    def field(self) -> HashField:
        network = self.fit.network
        assert isinstance(network, HashField)
        return network


def misfit(drawn: Tensor, measured: Tensor, loss: str, epsilon: float) -> Tensor:
    """Mean over all samples: "l1" |r|, "l2" |r|², "relative" |r|² / (|drawn| + ε)², r = drawn − measured.

    The relative loss is that of Lehtinen et al. [18]: its denominator is held constant in the gradient.
    """
    size = (drawn - measured).abs()
    if loss == "l1":
        return size.mean()
    if loss == "relative":
        size = size / (drawn.detach().abs() + epsilon)
    return (size**2).mean()


class HashinrMethod(NetworkMethod[HashState]):
    """One function of (x, y, t) whose hash table and perceptron are fitted to some frames of k-space per step."""

    name: ClassVar[str] = "hashinr"

    def __init__(self, config: HashinrConfig, seed: int = 0) -> None:
        self.config = config
        self.seed = seed

    @property
    def n_steps(self) -> int:
        return self.config.n_steps

    def stage(self, state: HashState) -> str:
        return self.config.method_title

    def _spec(self, matrix: tuple[int, int]) -> HashGridSpec:
        config = self.config
        levels, growth = config.levels, config.growth
        if levels is None:
            # N_max is the matrix size exactly, Eq. 8, by as few levels as a growth of at most b allows.
            ratio = max(max(matrix) / config.n_min, 1.0)
            levels = 1 + math.ceil(math.log(ratio) / math.log(config.growth) - 1e-3)
            growth = ratio ** (1 / (levels - 1)) if levels > 1 else 1.0
        return HashGridSpec(
            levels=levels,
            table_log2=config.table_log2,
            features=config.level_features,
            n_min=config.n_min,
            growth=growth,
            dims=3,
        )

    def _fresh(self, n_frames: int, matrix: tuple[int, int], device: torch.device) -> HashState:
        config = self.config
        spec = self._spec(matrix)
        extent = config.time_extent
        if extent is None:
            extent = min(1.0, n_frames / spec.resolutions[-1])
        generator = torch.Generator().manual_seed(member_seed(self.seed))
        field = HashField(spec, config.width, config.depth, extent, generator).to(device)
        fit = NetworkFit.new(field, config.learning_rate, weight_decay=config.weight_decay, ema=config.ema)
        return HashState(0, n_frames, matrix, fit)

    def _frames(self, step: int, n_frames: int) -> list[int]:
        """Frames of a step: every frame once per pass, or all of them."""
        some = self.config.frames_per_step
        if some is None or some >= n_frames:
            return list(range(n_frames))
        return [item_of_step(step * some + i, n_frames, self.seed) for i in range(some)]

    def _levels(self, state: HashState) -> list[float] | None:
        """Weights of the hash levels; None where all are open."""
        return None

    def _penalty(self, state: HashState, image: Tensor) -> dict[str, Tensor]:
        """Weighted regularisers of the drawn frames by name, differentiable; none here."""
        return {}

    def step(self, problem: Problem, state: HashState) -> Mapping[str, Tensor | float]:
        frames = self._frames(state.step, state.n_frames)
        drawn = state.field.draw(
            torch.tensor(frames, dtype=torch.float32), state.n_frames, state.matrix, self._levels(state)
        )
        image = drawn.image(state.matrix)
        losses = {
            "data": misfit(
                problem.forward(image, frames), taken(problem.kdata, frames), self.config.loss, self.config.epsilon
            )
        }
        losses |= self._penalty(state, image)
        (slope,) = torch.autograd.grad(torch.stack(list(losses.values())).sum(), image)
        state.fit.descend(drawn.gradients(slope), late_decay(state.step, self.n_steps, self.config.decay_to))
        state.step += 1
        return {name: loss.detach() for name, loss in losses.items()}

    def image(self, state: HashState, frames: Tensor | None = None, scale: float = 1.0) -> Tensor:
        """The field at the pixels of any matrix and at any time; nothing is interpolated but the hash grid itself."""
        positions, matrix = frame_indices(frames, state.n_frames), scaled_matrix(state.matrix, scale)
        with state.fit.averaged():
            return state.field.render(positions, state.n_frames, matrix, self._levels(state))
