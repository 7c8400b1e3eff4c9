"""What the reconstructions without a network share: their solver, and the noise by which they are weighted.

Both minimise ½ ‖A x − y‖² and penalties by the primal-dual method of Chambolle and Pock (J. Math. Imaging Vis. 40:120,
2011), over-relaxed (Condat, J. Optim. Theory Appl. 158:460, 2013). The density weights W serve only as a diagonal
preconditioner of the data dual (Ong, Uecker, Lustig, IEEE TMI 39:1646, 2020): they change how fast the minimum is
reached, not where it is.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from napari_dainr.methods.base import Problem
from napari_dainr.methods.problem import density_compensated

__all__ = [
    "CONVERGENCE_STEPS",
    "PRIMAL_STEP",
    "RELAXATION",
    "noise_level",
    "preconditioned_norm",
    "relative_change",
    "step_data_dual",
    "still_average",
]

PRIMAL_STEP = 0.7
"""τ, the step of the images (whose 99.9th percentile is 1); found by measurement, see docs/explanation/methods.md."""
RELAXATION = 1.8
"""Over-relaxation; must stay below 2."""
CONVERGENCE_STEPS = 5
"""How often the change is looked at: on a GPU the look waits for the step."""
POWER_ITERATIONS = 10


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


def still_average(problem: Problem) -> Tensor:
    """Where the solvers start: the time average of the NuFFT images in every frame, (frame, y, x).

    The minimum is the same from anywhere, but from here the path comes from the smooth side and does not first have to
    take every frame's streaks away.
    """
    return density_compensated(problem).mean(dim=0, keepdim=True).repeat(problem.n_frames, 1, 1)


def preconditioned_norm(problem: Problem, seed: int) -> float:
    """‖W^½ A‖²: the largest eigenvalue of Aᴴ W A by power iteration, with a margin of 5 %."""
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


def step_data_dual(problem: Problem, dual: Tensor, ahead: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """One over-relaxed step of the dual of the data.

    The prox of the conjugate of ½ ‖· − y‖² is (dual + σ (A x̄ − y)) / (1 + σ).

    Parameters
    ----------
    dual : (frame, coil, sample)
    ahead : (frame, y, x)
        The images x̄ that the primal step leads to.
    sigma : (frame, 1, sample)
        Dual steps, in proportion to the density weights.

    Returns
    -------
    dual, residual : (frame, coil, sample)
        The dual after the step, and A x̄ − y.
    """
    residual = problem.forward(ahead, list(range(problem.n_frames)))

    def part(rows: slice) -> Tensor:
        residual[rows] -= problem.kdata[rows]  # in place, as these are the largest arrays
        stepped = (dual[rows] + sigma[rows] * residual[rows]) / (1 + sigma[rows])
        return torch.lerp(dual[rows], stepped, RELAXATION)

    return problem.in_groups(part, problem.n_frames), residual


def relative_change(new: Tensor, old: Tensor) -> Tensor:
    """‖new − old‖ / ‖new‖."""
    return torch.linalg.vector_norm(new - old) / torch.linalg.vector_norm(new).clamp_min(1e-20)
