"""FMLP [10]: a Fourier-feature perceptron in image space (Kunz, Ruschke, Heckel, IEEE TCI 10:1280, 2024).

Objective, over the weights θ of a perceptron f_θ behind fixed random Fourier features γ of place and time::

    min_θ  Σ_t ‖F_u S d_θ(t) − m(t)‖² ,   d_θ(x, y, t) = f_θ(γ_s(x, y), γ_t(t))

There is no regulariser: the spreads of the random frequencies set how smooth the series is in space and time.
Other matrices and times between frames are the same function at other coordinates. See
docs/explanation/rivals-inr.md for the differences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from napari_dainr.inr.coordinates import frame_coordinate, frame_indices, pixel_grid
from napari_dainr.inr.fitting import NetworkFit, item_of_step, late_decay, member_seed, side_by_side, sum_gradients
from napari_dainr.inr.fourier import FourierFeatures, SeparableFourierMlp
from napari_dainr.machine import sent
from napari_dainr.methods.base import Problem
from napari_dainr.methods.config import FmlpConfig
from napari_dainr.methods.network import NetworkMethod, NetworkState
from napari_dainr.ops.resample import fourier_resize, scaled_matrix

__all__ = ["FmlpMethod", "FmlpState"]

PARTS = 2
"""Parts that the pixels of a step are cut into; fixed, so that sums do not depend on the number of threads."""
BLOCK = 16_384
"""Pixels that are drawn at once."""


@dataclass
class FmlpState(NetworkState):
    """The network with its optimiser, what it draws, and the features of the pixels, (y · x, features)."""

    place: Tensor

    @property
    def network(self) -> SeparableFourierMlp:
        network = self.fit.network
        assert isinstance(network, SeparableFourierMlp)
        return network


class FmlpMethod(NetworkMethod[FmlpState]):
    """One function of (x, y, t), fitted to one frame of k-space per step."""

    name: ClassVar[str] = "fmlp"

    def __init__(self, config: FmlpConfig, seed: int = 0) -> None:
        self.config = config
        self.seed = seed

    @property
    def n_steps(self) -> int:
        return self.config.n_steps

    def stage(self, state: FmlpState) -> str:
        return "FMLP"

    def _fresh(self, n_frames: int, matrix: tuple[int, int], device: torch.device) -> FmlpState:
        config = self.config
        cycles = config.space_cycles if config.space_cycles is not None else max(matrix) / 16
        generator = torch.Generator().manual_seed(member_seed(self.seed))
        network = SeparableFourierMlp(
            space=FourierFeatures((cycles, cycles), config.space_features, generator),
            time=FourierFeatures((config.time_cycles,), config.time_features, generator),
            width=config.width,
            depth=config.depth,
            n_out=2,
            generator=generator,
        ).to(device)
        fit = NetworkFit.new(network, config.learning_rate, ema=config.ema)
        return FmlpState(0, n_frames, matrix, fit, network.space(pixel_grid(matrix, device)))

    def step(self, problem: Problem, state: FmlpState) -> Mapping[str, Tensor | float]:
        frame = item_of_step(state.step, state.n_frames, self.seed)
        time = sent(frame_coordinate(float(frame), state.n_frames), problem.device)
        parameters = state.fit.parameters
        rows = state.place.tensor_split(PARTS)

        drawn = side_by_side(lambda part: state.network(rows[part], time), PARTS, problem.device)
        pixels = torch.cat([part.detach() for part in drawn]).requires_grad_()
        image = torch.view_as_complex(pixels).reshape(state.matrix)
        size = (problem.forward(image[None], [frame])[0] - problem.kdata[frame]).abs()
        loss = size.mean() if self.config.loss == "l1" else (size**2).mean()
        (slope,) = torch.autograd.grad(loss, pixels)
        slopes = slope.tensor_split(PARTS)

        gradients = side_by_side(
            lambda part: torch.autograd.grad(drawn[part], parameters, slopes[part]), PARTS, problem.device
        )
        state.fit.descend(sum_gradients(gradients), late_decay(state.step, self.n_steps, self.config.decay_to))
        state.step += 1
        return {"data": loss.detach()}

    def image(self, state: FmlpState, frames: Tensor | None = None, scale: float = 1.0) -> Tensor:
        """The network at the pixels of any matrix and at any time; nothing is interpolated."""
        return self._drawn(state, frames, scaled_matrix(state.matrix, scale))

    def _drawn(self, state: FmlpState, frames: Tensor | None, matrix: tuple[int, int]) -> Tensor:
        """(n, y, x), some pixels of all frames at a time."""
        device = state.fit.device
        times = frame_coordinate(frame_indices(frames, state.n_frames), state.n_frames).to(device)
        result = torch.empty(int(times.numel()), matrix[0] * matrix[1], 2, device=device)
        with state.fit.averaged():
            pixels = pixel_grid(matrix, device)
            for start in range(0, len(pixels), BLOCK):
                rows = slice(start, start + BLOCK)
                place = state.place[rows] if matrix == state.matrix else state.network.space(pixels[rows])
                parts = side_by_side(
                    lambda i, place=place: state.network(place, times[i]),  # type: ignore[misc]
                    int(times.numel()),
                    device,
                )
                result[:, rows] = torch.stack(parts)
        return torch.view_as_complex(result).reshape(-1, *matrix)

    def preview(self, state: FmlpState) -> Tensor:
        """Every frame at half the matrix (a quarter of the work), enlarged by Fourier interpolation."""
        return fourier_resize(self._drawn(state, None, scaled_matrix(state.matrix, 0.5)), state.matrix)

    def unpack(self, tensors: Mapping[str, Tensor], device: torch.device) -> FmlpState:
        state = super().unpack(tensors, device)
        state.place = state.network.space(pixel_grid(state.matrix, device))
        return state
