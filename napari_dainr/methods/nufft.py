"""NuFFT, the reference of the paper's tables: the density-compensated adjoint, coils combined with their maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from napari_dainr.methods.base import Method, Problem
from napari_dainr.methods.config import NufftConfig
from napari_dainr.methods.packing import pack_fields, unpack_fields
from napari_dainr.methods.primal_dual import Tally
from napari_dainr.methods.problem import density_compensated
from napari_dainr.ops.resample import draw_series

__all__ = ["NufftMethod"]


@dataclass
class NufftState:
    """The images ``x``, (frame, y, x); zero before the one step."""

    step: int
    x: Tensor


class NufftMethod(Method):
    """x = Aᴴ W y, one step for all frames."""

    name: ClassVar[str] = "nufft"

    def __init__(self, config: NufftConfig, seed: int = 0) -> None:
        self.config = config

    @property
    def n_steps(self) -> int:
        return 1

    def stage(self, state: NufftState) -> str:
        return "NuFFT"

    def start(self, problem: Problem) -> NufftState:
        return NufftState(
            0, torch.zeros(problem.n_frames, *problem.matrix, dtype=torch.complex64, device=problem.device)
        )

    def step(self, problem: Problem, state: NufftState) -> Mapping[str, Tensor | float]:
        state.x = density_compensated(problem)
        state.step = 1
        tally = Tally(problem)

        def residual(rows: slice) -> None:
            frames = range(rows.start, rows.stop)
            tally.residual(rows, problem.forward_rows(state.x[rows], frames) - problem.kdata[rows])

        problem.in_blocks(residual, problem.n_frames)
        return {"data": tally.data}

    def image(self, state: NufftState, frames: Tensor | None = None, scale: float = 1.0) -> Tensor:
        return draw_series(state.x, frames, scale)

    def pack(self, state: NufftState) -> dict[str, Tensor]:
        return pack_fields(state)

    def unpack(self, tensors: Mapping[str, Tensor], device: torch.device) -> NufftState:
        return unpack_fields(NufftState, tensors, device)
