"""What the reconstructions without a network share: their solver, and the noise by which they are weighted.

Both minimise ½ ‖A x − y‖² and penalties by the primal-dual method of Chambolle and Pock (J. Math. Imaging Vis. 40:120,
2011), preconditioned (Pock, Chambolle, ICCV 2011, 1762) and over-relaxed (Condat, J. Optim. Theory Appl. 158:460,
2013). Preconditioners change how fast the minimum is reached, not where it is:

- the step of the data dual of each sample is in proportion to W, the density weights where they are below 1 and 1
  elsewhere (after Ong, Uecker, Lustig, IEEE TMI 39:1646, 2020): no sample stands for more than a cell of the
  Cartesian grid, so that the outer samples of a few spokes, which lie far apart, take no step from the inner ones;
- the step of the images is (I/τ + σ DᴴD)⁻¹ instead of τ I, with D the differences in time and σ the step of their
  dual. So D takes nothing from the budget of the data, and one step carries what a frame learns to all others.
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
    "TIME_STEP",
    "Tally",
    "noise_level",
    "preconditioned_norm",
    "relax_",
    "sample_weights",
    "step_data_dual",
    "still_average",
]

PRIMAL_STEP = 3.0
"""τ, the step of the images (whose 99.9th percentile is 1); found by measurement, see docs/explanation/methods.md."""
TIME_STEP = 3.0
"""τσ, with σ the step of the dual of temporal differences; any is allowed, found by measurement."""
RELAXATION = 1.8
"""Over-relaxation; must stay below 2."""
CONVERGENCE_STEPS = 5
"""How often the change is looked at: on a GPU the look waits for the step."""
POWER_ITERATIONS = 20


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


def sample_weights(problem: Problem) -> Tensor:
    """W, (frame, 1, sample): the density weights, at most 1, which is the area of a cell of the Cartesian grid."""
    return problem.dcf.clamp(max=1)[:, None]


def preconditioned_norm(problem: Problem, seed: int) -> Tensor:
    """What ‖W^½ A‖² is at most in each frame, but for what the margin of a power iteration lacks, (frame, 1, 1).

    A is the transform of one coil, F, after the maps, whose norm is the largest root sum of squares of a pixel; so
    ‖W^½ F‖² times its square is a bound, for the price of one coil. ‖W^½ F‖² is by power iteration, which comes from
    below, and a margin of 5 %: no proof; in one of 36 frames tried (13 spokes, 32 × 32 pixels) it was 1 % short.
    """
    generator = torch.Generator().manual_seed(seed)
    real, imaginary = torch.randn((2, problem.n_frames, *problem.matrix), generator=generator)
    vector = torch.complex(real, imaginary).to(problem.device)
    frames = list(range(problem.n_frames))
    weights = sample_weights(problem)
    if problem.inside is not None:
        weights = weights * problem.inside[:, None]
    value = torch.ones(problem.n_frames, 1, 1, device=problem.device)
    for _ in range(POWER_ITERATIONS):
        vector = problem.nufft.adjoint(weights * problem.nufft(vector[:, None], frames), frames)[:, 0]
        value = torch.linalg.vector_norm(vector, dim=(1, 2), keepdim=True).clamp_min(1e-20)
        vector = vector / value
    return 1.05 * (problem.csm.abs() ** 2).sum(dim=0).max() * value


class Tally:
    """What a step did, frame by frame, so that sums do not depend on which frames were worked on together."""

    def __init__(self, problem: Problem) -> None:
        self._n_samples = problem.kdata[0].numel()
        zeros = torch.zeros(problem.n_frames, device=problem.device)
        self._residual, self._moved, self._size = zeros, zeros.clone(), zeros.clone()

    def residual(self, rows: slice, residual: Tensor) -> None:
        """A x̄ − y of some frames."""
        self._residual[rows] = residual.flatten(1).abs().sum(dim=1)

    def moved(self, rows: slice, new: Tensor, old: Tensor) -> None:
        """The images of some frames after and before the step; of real and imaginary parts, as moduli take longer."""
        for kept, values in ((self._moved, new - old), (self._size, new)):
            kept[rows] = torch.linalg.vector_norm(torch.view_as_real(values).flatten(1), dim=1)

    @property
    def data(self) -> Tensor:
        """Mean modulus of the residual."""
        return self._residual.sum() / (self._n_samples * len(self._residual))

    @property
    def change(self) -> Tensor:
        """‖new − old‖ / ‖new‖."""
        moved, size = (torch.linalg.vector_norm(values) for values in (self._moved, self._size))
        return moved / size.clamp_min(1e-20)


def step_data_dual(problem: Problem, dual: Tensor, ahead: Tensor, sigma: Tensor, rows: slice, tally: Tally) -> None:
    """One over-relaxed step of the dual of the data of some frames, in its memory.

    The prox of the conjugate of ½ ‖· − y‖² is (dual + σ (A x̄ − y)) / (1 + σ).

    Parameters
    ----------
    dual : (frame, coil, sample)
    ahead : (row, y, x)
        The images x̄ that the primal step leads to, of ``rows`` alone.
    sigma : (frame, 1, 1)
        Dual steps, to be multiplied with the density weights.
    """
    steps = problem.dcf[rows, None].clamp(max=1) * sigma[rows]
    residual = problem.forward_rows(ahead, range(rows.start, rows.stop))
    residual -= problem.kdata[rows]
    tally.residual(rows, residual)
    stepped = (dual[rows] + steps * residual) / (1 + steps)
    dual[rows] = torch.lerp(dual[rows], stepped, RELAXATION)


def relax_(new: Tensor, old: Tensor, problem: Problem) -> Tensor:
    """The over-relaxed series, (frame, …), in the memory of the new one."""

    def part(rows: slice) -> None:
        new[rows] = torch.lerp(old[rows], new[rows], RELAXATION)

    problem.in_blocks(part, len(new))
    return new
