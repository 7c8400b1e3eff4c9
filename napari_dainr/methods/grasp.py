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
    Tally,
    noise_level,
    preconditioned_norm,
    relax_,
    step_data_dual,
    still_average,
)
from napari_dainr.ops.resample import draw_series
from napari_dainr.ops.spatial import clip_gradient, spatial_gradient, spatial_gradient_adjoint
from napari_dainr.ops.temporal import (
    clip_difference,
    difference_adjoint_rows,
    solve_in_time_,
    temporal_difference,
)
from napari_dainr.paged import paged_empty

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
            data_dual=paged_empty(problem.kdata),
            tv_dual=paged_empty(x[1:]),
            space_dual=paged_empty(x, (2, *x.shape)) if chosen * self.config.space_factor > 0 else None,
            norm=preconditioned_norm(problem, self.seed),
            lam=chosen * self.config.lam_factor,
            change=float("inf"),
        )

    def step(self, problem: Problem, state: GraspState) -> Mapping[str, Tensor | float]:
        n_frames = problem.n_frames
        # The budget: M = I/τ + σ_v DᴴD must be at least σ_d AᴴWA + σ_v DᴴD + σ_s ∇ᴴ∇, with ‖∇‖² ≤ 8.
        tau = PRIMAL_STEP
        data_share = 1.0 if state.space_dual is None else DATA_SHARE
        sigma = data_share / (tau * state.norm)
        sigma_tv = TIME_STEP / tau
        tally = Tally(problem)

        # A series for the new images; all else that is as long as the series is worked on in its own memory.
        x = problem.adjoint(state.data_dual, range(n_frames))

        def pull(rows: slice) -> None:
            x[rows] += difference_adjoint_rows(state.tv_dual, rows)
            if state.space_dual is not None:
                x[rows] += spatial_gradient_adjoint(state.space_dual[:, rows])

        problem.in_blocks(pull, n_frames)
        solve_in_time_(x, 1 / tau, sigma_tv)

        def move(rows: slice) -> None:
            torch.sub(state.x[rows], x[rows], out=x[rows])
            tally.moved(rows, x[rows], state.x[rows])

        problem.in_blocks(move, n_frames)

        def duals(rows: slice) -> None:
            more = slice(rows.start, min(rows.stop + 1, n_frames))  # differences need the frame after the last
            ahead = 2 * x[more] - state.x[more]
            mine = ahead[: rows.stop - rows.start]
            step_data_dual(problem, state.data_dual, mine, sigma, rows, tally)
            old = state.tv_dual[rows]
            new = clip_difference(old + sigma_tv * temporal_difference(ahead), state.lam)
            old.lerp_(new, RELAXATION)
            if state.space_dual is not None:
                old = state.space_dual[:, rows]
                new = old + ((1 - DATA_SHARE) / (8 * tau)) * spatial_gradient(mine)
                old.lerp_(clip_gradient(new, state.lam * self.config.space_factor), RELAXATION)

        problem.in_blocks(duals, n_frames)
        state.x = relax_(x, state.x, problem)
        state.step += 1
        if state.step % CONVERGENCE_STEPS == 0:
            state.change = float(tally.change)
        return {"data": tally.data, "change": tally.change}

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
