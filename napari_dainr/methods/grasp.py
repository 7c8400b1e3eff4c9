"""GRASP [3]: golden-angle radial sparse parallel MRI, solved to convergence.

Objective, with an unweighted data term and the complex temporal total variation::

    min_x  ½ ‖A x − y‖² + λ ‖D x‖₁ + μ ‖∇x‖₂,₁ ,   (D x)_f = x_{f+1} − x_f ,   μ = ``space_factor`` · λ

GRASP is μ = 0. With μ > 0 the isotropic spatial total variation also fills the corners of k-space, which no spoke
reaches: DA-INR's feature uses it.

methods/primal_dual.py has the solver.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from napari_dainr.methods.base import Method, Problem
from napari_dainr.methods.config import GraspConfig
from napari_dainr.methods.packing import pack_fields, unpack_fields
from napari_dainr.methods.primal_dual import (
    CONVERGENCE_STEPS,
    PRIMAL_STEP,
    RELAXATION,
    TIME_STEP,
    noise_level,
    preconditioned_norm,
    relative_change,
    sample_weights,
    step_data_dual,
    still_average,
)
from napari_dainr.ops.resample import draw_series
from napari_dainr.ops.spatial import clip_gradient, spatial_gradient, spatial_gradient_adjoint
from napari_dainr.ops.temporal import (
    clip_difference,
    solve_in_time,
    temporal_difference,
    temporal_difference_adjoint,
)

__all__ = ["LAMBDA_PER_NOISE", "GraspMethod", "GraspState", "auto_lambda"]

DATA_SHARE = 0.5
"""What the data get of the budget of steps where there is a spatial penalty, which gets the rest."""
LAMBDA_PER_NOISE = 0.7
"""λ over the standard deviation of the noise of a sample."""


@dataclass
class GraspState:
    """Primal and dual variables; ``norm`` bounds ‖W^½ A‖², (frame, 1, 1); ``change`` is the last relative change."""

    step: int
    x: Tensor
    data_dual: Tensor
    tv_dual: Tensor
    norm: Tensor
    lam: float
    change: float
    space_dual: Tensor | None = None


def auto_lambda(problem: Problem) -> float:
    """λ in proportion to the measured noise; docs/explanation/methods.md has the figures behind the factor."""
    return LAMBDA_PER_NOISE * noise_level(problem)


class GraspMethod(Method):
    """Temporal total variation on all frames at once; one step is one primal-dual iteration."""

    name: ClassVar[str] = "grasp"

    def __init__(self, config: GraspConfig, seed: int = 0) -> None:
        self.config = config
        self.seed = seed

    @property
    def n_steps(self) -> int:
        return self.config.n_steps

    def stage(self, state: GraspState) -> str:
        return "GRASP"

    def done(self, state: GraspState) -> bool:
        return super().done(state) or state.change < self.config.tolerance

    def start(self, problem: Problem) -> GraspState:
        x = still_average(problem)
        chosen = self.config.lam if self.config.lam is not None else auto_lambda(problem)
        return GraspState(
            step=0,
            x=x,
            data_dual=torch.zeros_like(problem.kdata),
            tv_dual=torch.zeros_like(x[1:]),
            space_dual=x.new_zeros(2, *x.shape) if chosen * self.config.space_factor > 0 else None,
            norm=preconditioned_norm(problem, self.seed),
            lam=chosen * self.config.lam_factor,
            change=float("inf"),
        )

    def step(self, problem: Problem, state: GraspState) -> Mapping[str, Tensor | float]:
        frames = list(range(problem.n_frames))
        # The budget: M = I/τ + σ_v DᴴD must be at least σ_d AᴴWA + σ_v DᴴD + σ_s ∇ᴴ∇, with ‖∇‖² ≤ 8.
        tau = PRIMAL_STEP
        data_share = 1.0 if state.space_dual is None else DATA_SHARE
        sigma = sample_weights(problem) * (data_share / (tau * state.norm))
        sigma_tv = TIME_STEP / tau

        gradient = problem.adjoint(state.data_dual, frames) + temporal_difference_adjoint(state.tv_dual)
        if state.space_dual is not None:
            gradient = gradient + spatial_gradient_adjoint(state.space_dual)
        x = state.x - solve_in_time(gradient, 1 / tau, sigma_tv)
        ahead = 2 * x - state.x

        data_dual, residual = step_data_dual(problem, state.data_dual, ahead, sigma)
        tv_dual = clip_difference(state.tv_dual + sigma_tv * temporal_difference(ahead), state.lam)
        if state.space_dual is not None:
            space_dual = state.space_dual + ((1 - DATA_SHARE) / (8 * tau)) * spatial_gradient(ahead)
            space_dual = clip_gradient(space_dual, state.lam * self.config.space_factor)
            state.space_dual = torch.lerp(state.space_dual, space_dual, RELAXATION)

        change = relative_change(x, state.x)
        state.x, state.data_dual = torch.lerp(state.x, x, RELAXATION), data_dual
        state.tv_dual = torch.lerp(state.tv_dual, tv_dual, RELAXATION)
        state.step += 1
        if state.step % CONVERGENCE_STEPS == 0:
            state.change = float(change)
        return {"data": residual.abs().mean(), "change": change}

    def objective(self, problem: Problem, state: GraspState) -> float:
        """Value of the objective at the state's series; for tests and benchmarks, no step needs it."""
        residual = problem.forward(state.x, list(range(problem.n_frames))) - problem.kdata
        value = 0.5 * float((residual.abs() ** 2).sum()) + state.lam * float(temporal_difference(state.x).abs().sum())
        if state.space_dual is not None:
            gradient = torch.linalg.vector_norm(spatial_gradient(state.x), dim=0)
            value += state.lam * self.config.space_factor * float(gradient.sum())
        return value

    def image(self, state: GraspState, frames: Tensor | None = None, scale: float = 1.0) -> Tensor:
        return draw_series(state.x, frames, scale)

    def pack(self, state: GraspState) -> dict[str, Tensor]:
        return pack_fields(state)

    def unpack(self, tensors: Mapping[str, Tensor], device: torch.device) -> GraspState:
        return unpack_fields(GraspState, tensors, device)
