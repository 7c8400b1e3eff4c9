"""GRASP reaches the minimum of the objective that its docstring states."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from napari_dainr.methods.base import Problem
from napari_dainr.methods.config import GraspConfig
from napari_dainr.methods.grasp import GraspMethod, GraspState
from napari_dainr.ops.temporal import temporal_difference, temporal_difference_adjoint

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
