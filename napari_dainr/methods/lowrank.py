"""Low rank and sparse in time: k-t SLR [2], its locally low-rank relative, and L+S; solved to convergence.

Objective, with an unweighted data term, B_k the blocks of the k-th of K shifted partitions of the image (one partition
into one block where the scope is global) and R_b the matrix (frame × pixel) of block b::

    model "both"   min_x    ½ ‖A x − y‖²      + (λ_L / K) Σ_k Σ_{b ∈ B_k} ‖R_b x‖_* + λ_S ‖D x‖₁
    model "sum"    min_L,S  ½ ‖A (L+S) − y‖²  + (λ_L / K) Σ_k Σ_{b ∈ B_k} ‖R_b L‖_* + λ_S ‖D S‖₁ ,   x = L + S

with (D x)_f = x_{f+1} − x_f, and, where μ > 0, + μ ‖∇x‖₂,₁ on the sum of the parts: spatial total variation, which
fills the corners of k-space that no spoke reaches. "Both" with global scope is k-t SLR (Lingala et al., IEEE TMI
30:1042, 2011) with its convex Schatten norm, p = 1, and the temporal part of its total variation; blocks are those of
Trzasko and Manduca (ISMRM 2011, 4371); "sum" is L+S (Otazo, Candès, Sodickson, MRM 73:1125, 2015) with its
temporal-difference sparsifier.
docs/explanation/rivals-regularised.md lists the differences.

methods/primal_dual.py has the solver; there is one dual per term and partition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from napari_dainr.methods.base import Method, Problem
from napari_dainr.methods.config import LowrankConfig
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
from napari_dainr.ops.lowrank import CHUNK, Partition, clip_singular_values, in_chunks, singular_values
from napari_dainr.ops.resample import draw_series
from napari_dainr.ops.spatial import clip_gradient, spatial_gradient, spatial_gradient_adjoint
from napari_dainr.ops.temporal import (
    clip_difference,
    difference_adjoint_rows,
    solve_in_time_,
    temporal_difference,
)
from napari_dainr.paged import paged_empty

__all__ = ["LowrankMethod", "LowrankState", "auto_lambdas"]

LOWRANK_SHARE, SPACE_SHARE = 0.3, 0.2
"""What the low-rank dual and, where there is one, the spatial dual get of the budget of steps; the data get the
rest."""
LOWRANK_PER_NOISE = 0.15
SPARSE_PER_NOISE = 0.3


@dataclass
class LowrankState:
    """Primal and dual variables.

    ``parts`` is (part, frame, y, x): the series alone, or L and S; ``lowrank_dual`` has one series per partition.
    ``norm`` bounds ‖W^½ A‖², (frame, 1, 1); ``change`` is the last relative change.
    """

    step: int
    parts: Tensor
    data_dual: Tensor
    lowrank_dual: Tensor
    sparse_dual: Tensor
    norm: Tensor
    lam_lowrank: float
    lam_sparse: float
    lam_space: float
    change: float
    space_dual: Tensor | None = None

    @property
    def x(self) -> Tensor:
        """The series, (frame, y, x)."""
        return self.parts.sum(dim=0) if self.parts.shape[0] > 1 else self.parts[0]


def auto_lambdas(noise: float, n_frames: int, block_pixels: int) -> tuple[float, float]:
    """λ_L and λ_S from the measured noise σ of a sample.

    λ_L is in proportion to σ (√frames + √pixels), the largest singular value of noise in a block, so that one factor
    serves blocks of any size; λ_S is in proportion to σ. docs/explanation/rivals-regularised.md has the figures
    behind the factors.
    """
    edge = n_frames**0.5 + block_pixels**0.5
    return LOWRANK_PER_NOISE * noise * edge, SPARSE_PER_NOISE * noise


class LowrankMethod(Method):
    """Nuclear norm and temporal total variation on all frames at once; one step is one primal-dual iteration."""

    name: ClassVar[str] = "lowrank"

    def __init__(self, config: LowrankConfig, seed: int = 0) -> None:
        self.config = config
        self.seed = seed

    @property
    def n_steps(self) -> int:
        return self.config.n_steps

    def _converged(self, state: LowrankState) -> bool:
        return state.change < self.config.tolerance

    def stage(self, state: LowrankState) -> str:
        return "low-rank, converged" if self._converged(state) else "low-rank"

    def done(self, state: LowrankState) -> bool:
        return super().done(state) or self._converged(state)

    def _partitions(self, matrix: tuple[int, int]) -> list[Partition]:
        """Partitions whose corners are spread over a block: along the diagonal first, as far apart as they go."""
        if self.config.scope == "global":
            return [Partition(matrix, None)]
        block, n = self.config.block, self.config.shifts
        # A lattice with n points in the block: rows k / n, columns in another order than the rows.
        stride = {1: 1, 2: 1, 3: 1, 4: 3, 5: 2, 6: 5, 7: 2, 8: 3}[n]
        starts = [(k * block // n, (k * stride % n) * block // n) for k in range(n)]
        return [Partition(matrix, block, start) for start in dict.fromkeys(starts)]

    def start(self, problem: Problem) -> LowrankState:
        config = self.config
        still = still_average(problem)
        parts = torch.stack([still, torch.zeros_like(still)]) if config.model == "sum" else still[None]
        rows, columns = problem.matrix
        pixels = rows * columns if config.scope == "global" else min(config.block, rows) * min(config.block, columns)
        noise = noise_level(problem)
        lam_lowrank, lam_sparse = auto_lambdas(noise, problem.n_frames, pixels)
        lam_space = config.space_factor * noise
        return LowrankState(
            step=0,
            parts=parts,
            data_dual=paged_empty(problem.kdata),
            lowrank_dual=paged_empty(still, (len(self._partitions(problem.matrix)), *still.shape)),
            sparse_dual=paged_empty(still[1:]),
            space_dual=paged_empty(still, (2, *still.shape)) if lam_space > 0 else None,
            norm=preconditioned_norm(problem, self.seed),
            lam_lowrank=(config.lam_lowrank if config.lam_lowrank is not None else lam_lowrank)
            * config.lam_lowrank_factor,
            lam_sparse=(config.lam_sparse if config.lam_sparse is not None else lam_sparse) * config.lam_sparse_factor,
            lam_space=lam_space,
            change=float("inf"),
        )

    def step(self, problem: Problem, state: LowrankState) -> Mapping[str, Tensor | float]:
        n_frames = problem.n_frames
        n_parts, n_partitions = state.parts.shape[0], state.lowrank_dual.shape[0]
        tau = PRIMAL_STEP
        # The budget: M = I/τ + σ_S DᴴD, and for a part that knows no D, I/τ, must be at least the sum of the σKᴴK.
        # The data see the sum of the parts, whose squared norm is n_parts; ‖∇‖² ≤ 8; a partition keeps the norm.
        lowrank_share = LOWRANK_SHARE
        space_share = SPACE_SHARE if state.space_dual is not None else 0.0
        data_share = 1 - lowrank_share - space_share
        sigma = data_share / (tau * n_parts * state.norm)
        sigma_lowrank = lowrank_share / (tau * n_partitions)
        sigma_sparse = TIME_STEP / tau
        sigma_space = space_share / (8 * tau * n_parts)
        tally = Tally(problem)

        # Series for the new parts; all else that is as long as the series is worked on in its own memory.
        last = problem.adjoint(state.data_dual, range(n_frames))
        parts = last[None] if n_parts == 1 else torch.stack([last, last])
        last = parts[-1]

        def pull(rows: slice) -> None:
            if state.space_dual is not None:
                parts[:, rows] += spatial_gradient_adjoint(state.space_dual[:, rows])
            parts[0, rows] += state.lowrank_dual[:, rows].sum(dim=0)
            last[rows] += difference_adjoint_rows(state.sparse_dual, rows)
            if n_parts > 1:
                parts[0, rows] *= tau

        problem.in_blocks(pull, n_frames)
        solve_in_time_(last, 1 / tau, sigma_sparse)

        def move(rows: slice) -> None:
            torch.sub(state.parts[:, rows], parts[:, rows], out=parts[:, rows])
            tally.moved(rows, parts[:, rows].transpose(0, 1), state.parts[:, rows].transpose(0, 1))

        problem.in_blocks(move, n_frames)

        def duals(rows: slice) -> None:
            more = slice(rows.start, min(rows.stop + 1, n_frames))  # differences need the frame after the last
            ahead = 2 * parts[:, more] - state.parts[:, more]
            mine = ahead[:, : rows.stop - rows.start]
            whole = mine[0] if n_parts == 1 else mine.sum(dim=0)
            step_data_dual(problem, state.data_dual, whole, sigma, rows, tally)
            old = state.sparse_dual[rows]
            old.lerp_(
                clip_difference(old + sigma_sparse * temporal_difference(ahead[-1]), state.lam_sparse), RELAXATION
            )
            if state.space_dual is not None:
                old = state.space_dual[:, rows]
                new = old + sigma_space * spatial_gradient(whole)
                old.lerp_(clip_gradient(new, state.lam_space), RELAXATION)

        problem.in_blocks(duals, n_frames)
        radius = state.lam_lowrank / n_partitions
        for partition, dual in zip(self._partitions(problem.matrix), state.lowrank_dual, strict=True):
            self._step_lowrank(problem, partition, dual, 2 * parts[0] - state.parts[0], sigma_lowrank, radius)
        state.parts = relax_(parts.transpose(0, 1), state.parts.transpose(0, 1), problem).transpose(0, 1)
        state.step += 1
        if state.step % CONVERGENCE_STEPS == 0:
            state.change = float(tally.change)
        return {"data": tally.data, "change": tally.change}

    def _step_lowrank(
        self, problem: Problem, partition: Partition, dual: Tensor, ahead: Tensor, sigma: float, radius: float
    ) -> None:
        """A step of the dual of one partition in its memory; that of ``ahead`` is used up.

        Every block is projected on the ball of spectral norm ``radius``, on several threads by whole chunks.
        """
        stepped = ahead.mul_(sigma).add_(dual)
        if radius == 0:
            stepped.zero_()
        else:
            blocks = partition.split(stepped)

            def part(chunks: slice) -> None:
                some = blocks[chunks.start * CHUNK : chunks.stop * CHUNK]
                some.copy_(in_chunks(lambda chunk: clip_singular_values(chunk, radius), some))

            problem.in_blocks(part, -(-len(blocks) // CHUNK))
            stepped = partition.join(blocks)
        dual.lerp_(stepped, RELAXATION)

    def objective(self, problem: Problem, state: LowrankState) -> float:
        """Value of the objective at the state's series; for tests and benchmarks, no step needs it."""
        residual = problem.forward(state.x, list(range(problem.n_frames))) - problem.kdata
        partitions = self._partitions(problem.matrix)
        nuclear = sum(float(singular_values(p.split(state.parts[0])).sum()) for p in partitions) / len(partitions)
        variation = float(temporal_difference(state.parts[-1]).abs().sum())
        data = 0.5 * float((residual.abs() ** 2).sum())
        value = data + state.lam_lowrank * nuclear + state.lam_sparse * variation
        if state.lam_space > 0:
            value += state.lam_space * float(torch.linalg.vector_norm(spatial_gradient(state.x), dim=0).sum())
        return value

    def image(self, state: LowrankState, frames: Tensor | None = None, scale: float = 1.0) -> Tensor:
        return draw_series(state.x, frames, scale)

    def pack(self, state: LowrankState) -> dict[str, Tensor]:
        return pack_fields(state)

    def unpack(self, tensors: Mapping[str, Tensor], device: torch.device) -> LowrankState:
        return unpack_fields(LowrankState, tensors, device)
