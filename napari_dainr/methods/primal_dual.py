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
from numpy.typing import NDArray
from torch import Tensor

from napari_dainr.methods.base import Problem
from napari_dainr.methods.problem import density_compensated
from napari_dainr.paged import let_go_all

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
LANCZOS_STEPS = 30
MARGIN = 0.05
"""Of the bound of the norm above what was found."""


def noise_level(problem: Problem) -> float:
    """Standard deviation of the complex noise of a sample, from the rim of k-space, where there is little else.

    The median magnitude of complex Gaussian noise is σ √ln 2; a median, so that strong edges do not count.
    """
    edge = 0.0
    for rows in _sections(problem):
        edge = max(edge, min(0.5, float(_radius(problem, rows).max())))
    found = []
    for rows in _sections(problem):
        radius = _radius(problem, rows)
        rim = torch.from_numpy((radius >= 0.9 * edge) & (radius <= 0.5)).to(problem.device)
        if problem.inside is not None:  # what is no part of A is zero, not noise
            rim = rim & (problem.inside[rows] > 0)
        found.append(problem.kdata[rows].permute(0, 2, 1)[rim].abs().flatten())
        let_go_all()
    return float(torch.cat(found).median()) / math.log(2) ** 0.5


def _sections(problem: Problem) -> list[slice]:
    """Some frames after the other, as many as do not take much memory."""
    n, at_once = problem.n_frames, problem.frames_at_once
    return [slice(first, min(first + at_once, n)) for first in range(0, n, at_once)]


def _radius(problem: Problem, rows: slice) -> NDArray[np.float64]:
    """Larger coordinate of samples, (frame, sample), ½ at the edge of the matrix's band."""
    radius: NDArray[np.float64] = np.abs(problem.nufft.ktraj[rows] / np.asarray(problem.matrix)).max(axis=-1)
    return radius


def still_average(problem: Problem) -> Tensor:
    """Where the solvers start: the time average of the NuFFT images in every frame, (frame, y, x).

    The minimum is the same from anywhere, but from here the path comes from the smooth side and does not first have to
    take every frame's streaks away.
    """
    series = density_compensated(problem)
    average = series.mean(dim=0)
    for rows in _sections(problem):
        series[rows] = average
        let_go_all()
    return series


def sample_weights(problem: Problem, rows: slice = slice(None)) -> Tensor:
    """W, (frame, 1, sample): the density weights, at most 1, which is the area of a cell of the Cartesian grid."""
    return problem.dcf[rows, None].clamp(max=1)


def preconditioned_norm(problem: Problem, seed: int) -> Tensor:
    """What ‖W^½ A‖² is at most in each frame, (frame, 1, 1).

    A is the transform of one coil, F, after the maps, whose norm is the largest root sum of squares of a pixel; so
    ‖W^½ F‖² times its square is a bound, for the price of one coil. ‖W^½ F‖² is the largest eigenvalue of FᴴWF: that of
    k steps of Lanczos from a random vector of n numbers, raised by a fraction of ε = 5 %. It falls short with a
    probability of at most 1.65 √n exp(−(2k − 1) √(ε / (1 + ε))), whatever the operator (Kuczyński, Woźniakowski, SIAM
    J. Matrix Anal. Appl. 13:1094, 1992, theorem 4.2): for 128² pixels 5·10⁻⁴. What remains of the eigenvector's
    equation is added where that is more.
    """
    maps = (problem.csm.abs() ** 2).sum(dim=0).max()
    bound = torch.empty(problem.n_frames, device=problem.device)

    def part(rows: slice) -> None:
        bound[rows] = _largest_eigenvalues(problem, rows, seed).to(bound)

    problem.in_blocks(part, problem.n_frames, problem.frames_at_once * max(1, len(problem.csm) // 3))
    return (maps * bound)[:, None, None]


def _lengths(vectors: Tensor) -> Tensor:
    """Norms of (n, y, x), (n, 1, 1); of real and imaginary parts, as moduli take longer."""
    return torch.linalg.vector_norm(torch.view_as_real(vectors).flatten(1), dim=1)[:, None, None]


def _largest_eigenvalues(problem: Problem, rows: slice, seed: int, steps: int | None = None) -> Tensor:
    """At most so large are the eigenvalues of FᴴWF of some frames, (frame,), on the CPU."""
    frames = range(rows.start, rows.stop)
    weights = sample_weights(problem, rows)
    if problem.inside is not None:
        weights = weights * problem.inside[rows, None]
    starts = []
    for frame in frames:  # a frame's own, so that it does not matter which frames are together
        generator = torch.Generator().manual_seed((seed * 1_000_003 + frame) % 2**63)
        starts.append(torch.complex(*torch.randn((2, *problem.matrix), generator=generator)))
    vector = torch.stack(starts).to(problem.device)
    vector = vector / _lengths(vector)
    before, beta = torch.zeros_like(vector), torch.zeros(len(frames), 1, 1, device=problem.device)
    diagonal, beside = [], []
    for _ in range(LANCZOS_STEPS if steps is None else steps):
        image = problem.nufft.adjoint(problem.nufft(vector[:, None], frames).mul_(weights), frames)[:, 0]
        image -= before.mul_(beta)
        alpha = torch.linalg.vecdot(vector.flatten(1), image.flatten(1)).real[:, None, None]
        image -= alpha * vector
        beta = _lengths(image)
        # All of a small space may be used up: then what is left is rounding, and nothing goes on.
        beta = torch.where(beta > 1e-5 * alpha.abs(), beta, 0.0)
        before, vector = vector, image.mul_(torch.where(beta > 0, 1 / beta.clamp_min(1e-30), 0.0))
        diagonal.append(alpha.flatten())
        beside.append(beta.flatten())
    middle, side = (torch.stack(values, dim=1).double().cpu() for values in (diagonal, beside))
    small = torch.diag_embed(middle) + torch.diag_embed(side[:, :-1], 1) + torch.diag_embed(side[:, :-1], -1)
    values, vectors = torch.linalg.eigh(small)
    left = side[:, -1] * vectors[:, -1, -1].abs()
    return torch.maximum((1 + MARGIN) * values[:, -1], values[:, -1] + left)


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
    steps = sample_weights(problem, rows) * sigma[rows]
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
