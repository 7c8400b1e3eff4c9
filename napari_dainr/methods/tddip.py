"""TD-DIP [8]: time-dependent deep image prior (Yoo et al., IEEE TMI 40:3337, 2021).

Objective, over the weights of the mapping network M_φ and the convolutional generator G_θ::

    min_{θ,φ}  Σ_t ‖F_u S d(t) − m(t)‖² ,   d(t) = G_θ(M_φ(z(t))) ,   z(t) on a helix

The network's structure is the only regulariser. Spokes per frame that are Fibonacci numbers cover k-space best.
Times between frames are drawn from z interpolated along the helix; other matrices by Fourier interpolation of the
image, because the generator has the pixels of one matrix. See docs/explanation/rivals-inr.md for the differences.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from napari_dainr.inr.coordinates import frame_indices
from napari_dainr.inr.fitting import NetworkFit, item_of_step, late_decay, member_seed, side_by_side, sum_gradients
from napari_dainr.inr.generator import FrameGenerator, helix
from napari_dainr.machine import sent
from napari_dainr.methods.base import Problem
from napari_dainr.methods.config import TddipConfig
from napari_dainr.methods.network import NetworkMethod, NetworkState
from napari_dainr.ops.resample import fourier_resize, scaled_matrix

__all__ = ["TddipMethod", "TddipState"]


class TddipState(NetworkState):
    """The generators with their optimiser, and what they draw: ``n_frames`` of ``matrix``, averaged."""

    @property
    def generators(self) -> nn.ModuleList:
        members = self.fit.network
        assert isinstance(members, nn.ModuleList)
        return members


class TddipMethod(NetworkMethod[TddipState]):
    """A generator of frames, fitted to a few frames of k-space per step."""

    name: ClassVar[str] = "tddip"

    def __init__(self, config: TddipConfig, seed: int = 0) -> None:
        self.config = config
        self.seed = seed

    @property
    def n_steps(self) -> int:
        return self.config.n_steps

    def stage(self, state: TddipState) -> str:
        return "TD-DIP"

    def _fresh(self, n_frames: int, matrix: tuple[int, int], device: torch.device) -> TddipState:
        config = self.config
        members = nn.ModuleList(
            FrameGenerator(
                matrix,
                levels=config.levels,
                width=config.width,
                blocks=config.blocks,
                mapping_width=config.mapping_width,
                generator=torch.Generator().manual_seed(member_seed(self.seed, member)),
            )
            for member in range(config.members)
        ).to(device)
        fit = NetworkFit.new(members, config.learning_rate, ema=config.ema)
        return TddipState(0, n_frames, matrix, fit)

    def _rate(self, step: int) -> float:
        halvings = step // self.config.halve_every if self.config.halve_every is not None else 0
        return float(0.5**halvings) * late_decay(step, self.n_steps, self.config.decay_to)

    def _draw(self, state: TddipState, member: int, frame: Tensor) -> Tensor:
        """(y, x) image of one fractional frame by one member."""
        z = helix(frame.reshape(1), state.n_frames, self.config.cycles)[0]
        drawn: Tensor = state.generators[member](sent(z, state.fit.device))
        return drawn

    def _loss(self, problem: Problem, state: TddipState, member: int, frame: int) -> Tensor:
        image = self._draw(state, member, torch.tensor(float(frame)))
        size = (problem.forward(image[None], [frame])[0] - problem.kdata[frame]).abs()
        return size.mean() if self.config.loss == "l1" else (size**2).mean()

    def step(self, problem: Problem, state: TddipState) -> Mapping[str, Tensor | float]:
        n = min(self.config.frames_per_step, state.n_frames)
        members = self.config.members

        def part(index: int) -> tuple[Tensor, tuple[Tensor, ...]]:
            member, turn = divmod(index, n)
            # Members see the frames in orders of their own, so that their errors have less in common.
            frame = item_of_step(state.step * n + turn, state.n_frames, member_seed(self.seed, member))
            loss = self._loss(problem, state, member, frame) / n
            return loss.detach(), torch.autograd.grad(loss, list(state.generators[member].parameters()))

        parts = side_by_side(part, members * n, problem.device)
        gradients: list[Tensor] = []
        for member in range(members):
            gradients += sum_gradients([slopes for _, slopes in parts[member * n : (member + 1) * n]])
        state.fit.descend(gradients, self._rate(state.step))
        state.step += 1
        return {"data": torch.stack([loss for loss, _ in parts]).sum() / members}

    def image(self, state: TddipState, frames: Tensor | None = None, scale: float = 1.0) -> Tensor:
        """Frames by the generators at points of the helix; another scale by Fourier interpolation."""
        return fourier_resize(self._drawn(state, frames, self.config.members), scaled_matrix(state.matrix, scale))

    def preview(self, state: TddipState) -> Tensor:
        """The measured frames by the first member alone: drawing takes time from the fit."""
        return self._drawn(state, None, 1)

    def _drawn(self, state: TddipState, frames: Tensor | None, members: int) -> Tensor:
        """(n, y, x), the average of the first ``members`` members."""
        positions = frame_indices(frames, state.n_frames)

        def frame(index: int) -> Tensor:
            drawn = [self._draw(state, member, positions[index]) for member in range(members)]
            return torch.stack(drawn).mean(dim=0)

        with state.fit.averaged():
            return torch.stack(side_by_side(frame, int(positions.numel()), state.fit.device))
