"""GRASP reaches the minimum of the objective that its docstring states."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_dainr.data import BinnedKSpace
from napari_dainr.methods.base import Problem
from napari_dainr.methods.config import GraspConfig
from napari_dainr.methods.grasp import GraspMethod, GraspState
from napari_dainr.methods.primal_dual import preconditioned_norm, sample_weights
from napari_dainr.methods.problem import make_problem
from napari_dainr.ops.temporal import solve_in_time, temporal_difference, temporal_difference_adjoint
from napari_dainr.trajectory import radial_ktraj

pytestmark = pytest.mark.usefixtures("one_torch_thread")

LAM = 0.02


def solve(problem: Problem, steps: int, lam: float | None = LAM) -> GraspState:
    method = GraspMethod(GraspConfig(lam=lam, n_steps=steps, tolerance=0))
    state = method.start(problem)
    for _ in range(steps):
        method.step(problem, state)
    return state


def objective(problem: Problem, x: Tensor, lam: float) -> float:
    residual = problem.forward(x, list(range(problem.n_frames))) - problem.kdata
    return float(0.5 * (residual.abs() ** 2).sum() + lam * temporal_difference(x).abs().sum())


def test_the_result_is_a_minimum(tiny_problem: Problem) -> None:
    state = solve(tiny_problem, 800)
    frames = list(range(tiny_problem.n_frames))
    # Optimality: the data dual is the residual, the other dual a subgradient of λ|Dx|, and their pull-backs cancel.
    residual = tiny_problem.forward(state.x, frames) - tiny_problem.kdata
    assert float((state.data_dual - residual).abs().max()) < 2e-3 * float(tiny_problem.kdata.abs().max())
    assert float(state.tv_dual.abs().max()) <= LAM * 1.001
    pull = tiny_problem.adjoint(state.data_dual, frames) + temporal_difference_adjoint(state.tv_dual)
    start = tiny_problem.adjoint(tiny_problem.kdata, frames)
    assert float(torch.linalg.vector_norm(pull)) < 2e-3 * float(torch.linalg.vector_norm(start))
    best = objective(tiny_problem, state.x, LAM)
    generator = torch.Generator().manual_seed(1)
    for size in (1e-2, 1e-1):
        other = state.x + size * torch.randn(state.x.shape, generator=generator)
        assert objective(tiny_problem, other, LAM) > best


def test_density_weights_do_not_move_the_minimum(tiny_problem: Problem) -> None:
    flat = torch.full_like(tiny_problem.dcf, float(tiny_problem.dcf.mean()))
    plain = dataclasses.replace(tiny_problem, dcf=flat)
    one, other = solve(tiny_problem, 400), solve(plain, 600)
    assert objective(plain, one.x, LAM) == pytest.approx(objective(plain, other.x, LAM), rel=2e-3)


def test_large_lambda_gives_a_still_series(tiny_problem: Problem) -> None:
    moving, still = solve(tiny_problem, 100, 1e-4), solve(tiny_problem, 200, 1e3)
    assert float(temporal_difference(still.x).abs().max()) < 0.02 * float(temporal_difference(moving.x).abs().max())


def test_says_when_it_has_converged(tiny_problem: Problem) -> None:
    method = GraspMethod(GraspConfig(n_steps=5000, tolerance=1e-3))
    state = method.start(tiny_problem)
    while not method.done(state):
        method.step(tiny_problem, state)
    assert state.step < 5000 and state.change < 1e-3


def test_is_near_the_minimum_where_it_stops(tiny_problem: Problem) -> None:
    method = GraspMethod(GraspConfig(lam=LAM))
    state = method.start(tiny_problem)
    while not method.done(state):
        method.step(tiny_problem, state)
    least = objective(tiny_problem, solve(tiny_problem, 600).x, LAM)
    assert method.objective(tiny_problem, state) == pytest.approx(objective(tiny_problem, state.x, LAM), rel=1e-5)
    assert state.step < method.n_steps
    assert least < objective(tiny_problem, state.x, LAM) < 1.02 * least


@pytest.mark.parametrize("n_frames", [1, 2, 7])
def test_images_are_solved_for_in_time(n_frames: int) -> None:
    identity, coupling = 0.3, 1.7
    generator = torch.Generator().manual_seed(n_frames)
    image = torch.randn(n_frames, 3, 5, dtype=torch.complex64, generator=generator)
    given = image.clone()
    solution = solve_in_time(image, identity, coupling)
    back = identity * solution + coupling * temporal_difference_adjoint(temporal_difference(solution))
    torch.testing.assert_close(back, image)
    assert torch.equal(image, given)


def test_no_frame_exceeds_its_norm(tiny_problem: Problem) -> None:
    """Against the largest singular value of each frame's matrix, from its columns: the bound holds and is no waste."""
    bound = preconditioned_norm(tiny_problem, 0).flatten()
    pixels = tiny_problem.matrix[0] * tiny_problem.matrix[1]
    columns = torch.eye(pixels, dtype=torch.complex64).reshape(pixels, *tiny_problem.matrix)
    for frame in (0, tiny_problem.n_frames - 1):
        root = sample_weights(tiny_problem)[frame] ** 0.5
        rows = [(root * tiny_problem.forward(some, [frame] * len(some))).flatten(1) for some in columns.split(66)]
        largest = float(torch.linalg.matrix_norm(torch.cat(rows), 2)) ** 2
        assert largest <= float(bound[frame]) < 2.5 * largest


@pytest.mark.parametrize(("matrix", "spokes"), [((24, 24), 3), ((31, 26), 8), ((32, 32), 13), ((20, 34), 21)])
def test_the_bound_of_one_coil_is_safe(matrix: tuple[int, int], spokes: int) -> None:
    """Against the largest eigenvalue of the matrix of each frame's own golden angles; and no more than 6 % above it."""
    n_frames, readout = 9, 2 * max(matrix)
    ktraj = radial_ktraj(n_frames * spokes, readout, matrix).reshape(n_frames, spokes, readout, 2)
    kdata = np.ones((n_frames, 1, spokes, readout), np.complex64)
    binned = BinnedKSpace(kdata, ktraj, np.arange(n_frames, dtype=float), 1.0, matrix, (300.0, 300.0))
    problem = make_problem(binned, coils=1, threads=1)
    maps = float((problem.csm.abs() ** 2).sum(dim=0).max())
    bound = preconditioned_norm(problem, 5).flatten() / maps
    assert torch.equal(bound, preconditioned_norm(problem, 5).flatten() / maps)
    columns = torch.eye(matrix[0] * matrix[1], dtype=torch.complex64).reshape(-1, 1, *matrix)
    for frame in range(n_frames):
        root = sample_weights(problem)[frame, 0] ** 0.5
        whole = problem.nufft(columns, [frame] * len(columns))[:, 0].mul_(root).to(torch.complex128)
        largest = float(torch.linalg.eigvalsh(whole.conj() @ whole.T)[-1])
        assert largest <= float(bound[frame]) < 1.06 * largest


def test_where_steps_use_up_the_space_the_bound_holds() -> None:
    """Two by three pixels have six eigenvectors, and Lanczos takes thirty steps."""
    ktraj = radial_ktraj(4, 6, (2, 3)).reshape(2, 2, 6, 2)
    kdata = np.ones((2, 1, 2, 6), np.complex64)
    binned = BinnedKSpace(kdata, ktraj, np.arange(2.0), 1.0, (2, 3), (300.0, 300.0))
    problem = make_problem(binned, coils=1, backend="exact", threads=1)
    bound = preconditioned_norm(problem, 0).flatten()
    columns = torch.eye(6, dtype=torch.complex64).reshape(6, 2, 3)
    for frame in range(2):
        rows = sample_weights(problem)[frame] ** 0.5 * problem.forward(columns, [frame] * 6)
        largest = float(torch.linalg.matrix_norm(rows.flatten(1), 2)) ** 2
        assert largest <= float(bound[frame]) < 1.5 * largest
