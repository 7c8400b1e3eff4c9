"""GRASP [3]: golden-angle radial sparse parallel MRI, solved to convergence.

Objective, with an unweighted data term and the complex temporal total variation::

    min_x  ½ ‖A x − y‖² + λ ‖D x‖₁ + μ ‖∇x‖₂,₁ ,   (D x)_f = x_{f+1} − x_f ,   μ = ``space_factor`` · λ

GRASP is μ = 0. With μ > 0 the isotropic spatial total variation also fills the corners of k-space, which no spoke
reaches: DA-INR's feature uses it.

Solved by the primal-dual method of Chambolle and Pock (J. Math. Imaging Vis. 40:120, 2011), over-relaxed (Condat,
J. Optim. Theory Appl. 158:460, 2013). The density weights W serve only as a diagonal preconditioner of the dual step
(Ong, Uecker, Lustig, IEEE TMI 39:1646, 2020): they change how fast the minimum is reached, not where it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from napari_dainr.methods.base import Problem
from napari_dainr.methods.config import GraspConfig
from napari_dainr.methods.problem import density_compensated
from napari_dainr.ops.resample import draw_series
from napari_dainr.ops.spatial import clip_gradient, spatial_gradient, spatial_gradient_adjoint
from napari_dainr.ops.temporal import temporal_difference, temporal_difference_adjoint

__all__ = ["GraspMethod", "GraspState", "auto_lambda", "noise_level", "preconditioned_norm"]

PRIMAL_STEP = 0.7
"""τ, the step of the images (whose 99.9th percentile is 1); found by measurement, see docs/explanation/methods.md."""
LAMBDA_PER_NOISE = 0.6
RELAXATION = 1.8
"""Over-relaxation; must stay below 2."""
POWER_ITERATIONS = 10


@dataclass
class GraspState:
    """Primal and dual variables; ``norm`` is ‖W^½ A‖², ``change`` the last relative change."""

    step: int
    x: Tensor
    data_dual: Tensor
    tv_dual: Tensor
    space_dual: Tensor | None
    norm: float
    lam: float
    change: float


def noise_level(problem: Problem) -> float:
    """Standard deviation of the complex noise of a sample, from the rim of k-space, where there is little else.

    The median magnitude of complex Gaussian noise is σ √ln 2; a median, so that strong edges do not count.
    """
    radius = torch.from_numpy(np.abs(problem.nufft.ktraj / np.asarray(problem.matrix)).max(axis=-1))
    rim = (radius >= 0.9 * radius.clamp(max=0.5).max()) & (radius <= 0.5)
    rim = rim.to(problem.device)
    if problem.inside is not None:  # what is no part of A is zero, not noise
        rim = rim & (problem.inside > 0)
    magnitude = problem.kdata.abs().permute(0, 2, 1)[rim]
    return float(magnitude.median()) / math.log(2) ** 0.5


def auto_lambda(problem: Problem) -> float:
    """λ in proportion to the measured noise; docs/explanation/methods.md has the figures behind the factor."""
    return LAMBDA_PER_NOISE * noise_level(problem)


class GraspMethod:
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
        return state.step >= self.n_steps or state.change < self.config.tolerance

    def start(self, problem: Problem) -> GraspState:
        # From the still average of all frames: the minimum is the same, but the path comes from the smooth side and
        # does not first have to take every frame's streaks away.
        x = density_compensated(problem).mean(dim=0, keepdim=True).repeat(problem.n_frames, 1, 1)
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
        # Half of the step-size budget τ(σ_d ‖W^½A‖² + σ_v ‖D‖² + σ_s ‖∇‖²) ≤ 1 goes to the data, the other half to
        # the differences; ‖D‖² ≤ 4 and ‖∇‖² ≤ 8.
        tau = PRIMAL_STEP
        sigma = problem.dcf[:, None] / (2 * tau * state.norm)
        sigma_tv = 1 / (8 * tau) if state.space_dual is None else 1 / (16 * tau)

        gradient = problem.adjoint(state.data_dual, frames) + temporal_difference_adjoint(state.tv_dual)
        if state.space_dual is not None:
            gradient = gradient + spatial_gradient_adjoint(state.space_dual)
        x = state.x - tau * gradient
        ahead = 2 * x - state.x
        residual = problem.forward(ahead, frames)

        def data_part(rows: slice) -> Tensor:
            # prox of the conjugate of ½‖· − y‖², then over-relaxation; in place, as these are the largest arrays.
            residual[rows] -= problem.kdata[rows]
            dual = (state.data_dual[rows] + sigma[rows] * residual[rows]) / (1 + sigma[rows])
            return torch.lerp(state.data_dual[rows], dual, RELAXATION)

        tv_dual = state.tv_dual + sigma_tv * temporal_difference(ahead)
        if state.lam > 0:
            tv_dual = tv_dual * (state.lam / tv_dual.abs().clamp_min(state.lam))
        else:
            tv_dual = torch.zeros_like(tv_dual)

        if state.space_dual is not None:
            space_dual = state.space_dual + spatial_gradient(ahead) / (32 * tau)
            space_dual = clip_gradient(space_dual, state.lam * self.config.space_factor)
            state.space_dual = torch.lerp(state.space_dual, space_dual, RELAXATION)

        change = torch.linalg.vector_norm(x - state.x) / torch.linalg.vector_norm(x).clamp_min(1e-20)
        state.x = torch.lerp(state.x, x, RELAXATION)
        state.data_dual = problem.in_groups(data_part, problem.n_frames)
        state.tv_dual = torch.lerp(state.tv_dual, tv_dual, RELAXATION)
        state.step += 1
        if state.step % 5 == 0:
            state.change = float(change)
        return {"data": residual.abs().mean(), "change": change}

    def image(self, state: GraspState, frames: Tensor | None = None, scale: float = 1.0) -> Tensor:
        return draw_series(state.x, frames, scale)

    def preview(self, state: GraspState) -> Tensor:
        return state.x

    def pack(self, state: GraspState) -> dict[str, Tensor]:
        return {
            "step": torch.tensor(state.step),
            "x": state.x,
            "data_dual": state.data_dual,
            "tv_dual": state.tv_dual,
            **({} if state.space_dual is None else {"space_dual": state.space_dual}),
            "norm": torch.tensor(state.norm, dtype=torch.float64),
            "lam": torch.tensor(state.lam, dtype=torch.float64),
            "change": torch.tensor(state.change, dtype=torch.float64),
        }

    def unpack(self, tensors: Mapping[str, Tensor], device: torch.device) -> GraspState:
        return GraspState(
            step=int(tensors["step"]),
            x=tensors["x"].to(device),
            data_dual=tensors["data_dual"].to(device),
            tv_dual=tensors["tv_dual"].to(device),
            space_dual=tensors["space_dual"].to(device) if "space_dual" in tensors else None,
            norm=float(tensors["norm"]),
            lam=float(tensors["lam"]),
            change=float(tensors["change"]),
        )


def preconditioned_norm(problem: Problem, seed: int) -> float:
    """Largest eigenvalue of Aᴴ W A by power iteration, with a margin of 5 %."""
    generator = torch.Generator().manual_seed(seed)
    shape = (problem.n_frames, *problem.matrix)
    real, imaginary = torch.randn((2, *shape), generator=generator)
    vector = torch.complex(real, imaginary).to(problem.device)
    frames = list(range(problem.n_frames))
    weights = problem.dcf[:, None]
    value = 1.0
    for _ in range(POWER_ITERATIONS):
        vector = problem.adjoint(weights * problem.forward(vector, frames), frames)
        value = float(torch.linalg.vector_norm(vector))
        vector = vector / value
    return 1.05 * value
