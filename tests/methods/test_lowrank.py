"""Low-rank reconstruction reaches the minimum of the objective that its docstring states."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_dainr.methods.base import Problem
from napari_dainr.methods.config import GraspConfig, LowrankConfig, method_config
from napari_dainr.methods.grasp import GraspMethod
from napari_dainr.methods.lowrank import LowrankMethod, LowrankState
from napari_dainr.ops.temporal import temporal_difference, temporal_difference_adjoint

pytestmark = pytest.mark.usefixtures("one_torch_thread")

WEIGHTS = {"lam_lowrank": 0.05, "lam_sparse": 0.02, "tolerance": 0.0}
VARIANTS = [
    {"block": 7, "shifts": 2},
    {"block": 5, "shifts": 3},
    {"scope": "global"},
    {"model": "sum", "scope": "global", "lam_lowrank": 0.3},
]


def solve(problem: Problem, steps: int, **changes: object) -> tuple[LowrankMethod, LowrankState]:
    method = LowrankMethod(LowrankConfig.model_validate({**WEIGHTS, "n_steps": steps, **changes}))
    state = method.start(problem)
    while not method.done(state):
        method.step(problem, state)
    return method, state


def nuclear(method: LowrankMethod, problem: Problem, x: Tensor) -> float:
    """Mean over the partitions of the blocks' nuclear norms, by NumPy."""
    partitions = method._partitions(problem.matrix)
    sums = [np.linalg.svd(p.split(x).numpy().astype(complex), compute_uv=False).sum() for p in partitions]
    return float(np.mean(sums))


def objective(method: LowrankMethod, problem: Problem, state: LowrankState, parts: Tensor) -> float:
    residual = problem.forward(parts.sum(dim=0), list(range(problem.n_frames))) - problem.kdata
    data = 0.5 * float((residual.abs() ** 2).sum())
    rank = state.lam_lowrank * nuclear(method, problem, parts[0])
    return data + rank + state.lam_sparse * float(temporal_difference(parts[-1]).abs().sum())


@pytest.mark.parametrize("changes", VARIANTS)
def test_the_result_is_a_minimum(tiny_problem: Problem, changes: dict[str, object]) -> None:
    """Optimality: the duals are residual and subgradients, and their pull-backs cancel; no neighbour is lower."""
    # A series in two parts has directions that the data do not see, in which it moves slowly.
    method, state = solve(tiny_problem, 1500 if changes.get("model") == "sum" else 900, **changes)
    frames = list(range(tiny_problem.n_frames))
    residual = tiny_problem.forward(state.x, frames) - tiny_problem.kdata
    assert float((state.data_dual - residual).abs().max()) < 2e-3 * float(tiny_problem.kdata.abs().max())
    pull = tiny_problem.adjoint(state.data_dual, frames)
    size = 3e-3 * float(torch.linalg.vector_norm(tiny_problem.adjoint(tiny_problem.kdata, frames)))
    of_rank, of_change = state.lowrank_dual.sum(dim=0), temporal_difference_adjoint(state.sparse_dual)
    if len(state.parts) == 1:
        assert float(torch.linalg.vector_norm(pull + of_rank + of_change)) < size
    else:
        assert float(torch.linalg.vector_norm(pull + of_rank)) < size
        assert float(torch.linalg.vector_norm(pull + of_change)) < size

    partitions = method._partitions(tiny_problem.matrix)
    radius = state.lam_lowrank / len(partitions)
    for partition, dual in zip(partitions, state.lowrank_dual, strict=True):
        largest = np.linalg.svd(partition.split(dual).numpy(), compute_uv=False).max()
        assert largest <= radius * 1.01
    # ⟨dual, L⟩ = λ_L ‖L‖_*: the dual is not only in the ball but a subgradient at the solution.
    product = float(torch.vdot(of_rank.flatten(), state.parts[0].flatten()).real)
    assert product == pytest.approx(state.lam_lowrank * nuclear(method, tiny_problem, state.parts[0]), rel=1e-2)

    best = objective(method, tiny_problem, state, state.parts)
    assert method.objective(tiny_problem, state) == pytest.approx(best, rel=1e-4)
    generator = torch.Generator().manual_seed(1)
    for length in (1e-2, 1e-1):
        other = state.parts + length * torch.randn(state.parts.shape, generator=generator)
        assert objective(method, tiny_problem, state, other) > best


def test_without_low_rank_it_is_grasp(tiny_problem: Problem) -> None:
    _, state = solve(tiny_problem, 600, lam_lowrank=0.0)
    grasp = GraspMethod(GraspConfig(lam=0.02, n_steps=600, tolerance=0))
    other = grasp.start(tiny_problem)
    while not grasp.done(other):
        grasp.step(tiny_problem, other)
    assert float(torch.linalg.vector_norm(state.x - other.x)) < 5e-3 * float(torch.linalg.vector_norm(other.x))


def test_a_large_weight_gives_rank_one(tiny_problem: Problem) -> None:
    _, state = solve(tiny_problem, 600, scope="global", lam_lowrank=20.0, lam_sparse=0.0)
    _, loose = solve(tiny_problem, 100, scope="global", lam_lowrank=1e-3, lam_sparse=0.0)

    def second(x: Tensor) -> float:
        values = np.linalg.svd(x.reshape(len(x), -1).numpy(), compute_uv=False)
        return float(values[1] / values[0])

    assert second(state.x) < 1e-3 < 0.05 < second(loose.x)


def test_says_when_it_has_converged(tiny_problem: Problem) -> None:
    method, state = solve(tiny_problem, 5000, tolerance=1e-3)
    assert state.step < 5000 and state.change < 1e-3
    assert "converged" in method.stage(state)
    assert "converged" not in method.stage(method.start(tiny_problem))


@pytest.mark.parametrize("shifts", range(1, 9))
def test_partitions_differ(shifts: int) -> None:
    method = LowrankMethod(LowrankConfig(block=8, shifts=shifts))
    partitions = method._partitions((33, 28))
    assert len({p.start for p in partitions}) == shifts
    assert all(0 <= s < 8 for p in partitions for s in p.start)
    if shifts > 1:  # no two share all seams of one direction
        assert len({p.start[0] for p in partitions}) == shifts == len({p.start[1] for p in partitions})


def test_native_frames_are_the_series(tiny_problem: Problem) -> None:
    method, state = solve(tiny_problem, 10, model="sum")
    series = state.parts[0] + state.parts[1]
    assert torch.equal(method.image(state), series) and torch.equal(method.preview(state), series)
    assert torch.equal(method.image(state, torch.arange(5.0)), series)
    between = method.image(state, torch.tensor([1.5]))[0]
    assert torch.allclose(between, (series[1] + series[2]) / 2, atol=1e-6)
    assert method.image(state, scale=1.5).shape == (5, 50, 42)


def test_paper_preset_is_globally_low_rank() -> None:
    config = method_config("lowrank", "paper")
    assert isinstance(config, LowrankConfig)
    assert (config.scope, config.model) == ("global", "both")
