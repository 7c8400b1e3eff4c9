"""NIK [9]: neural implicit k-space (Huang et al., IPMI 2023).

Objective, over the weights θ of a network from a place in k-space and a time to the samples of all coils::

    min_θ  Σ_i Σ_c |ŷ_ic − y_ic|² / (|sg(ŷ_ic)| + ε)^2p ,   ŷ_i = e(|k_i|) f_θ(k_i, t_i)

with sg: no gradient; p = 1 is the high-dynamic-range loss of [9], and e = 1 there. No Fourier transform takes part in
the fit: samples are fitted where they lie. An image is drawn on the Cartesian grid of k-space within the region that
spokes reach, by an inverse FFT, and combined with the coil maps, which are part of the state. Times between frames are
the same function at other times; other matrices are drawn by Fourier interpolation, since k-space beyond the measured
region would be invented. See docs/explanation/rivals-inr.md for the differences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from napari_dainr.inr.coordinates import frame_coordinate, frame_indices
from napari_dainr.inr.fitting import SEEDS, NetworkFit, late_decay, member_seed, side_by_side, sum_gradients
from napari_dainr.inr.fourier import FourierFeatures, PeriodicMlp
from napari_dainr.machine import sent
from napari_dainr.methods.base import Method, Problem
from napari_dainr.methods.config import NikConfig
from napari_dainr.ops.resample import fourier_resize, scaled_matrix

__all__ = ["NikMethod", "NikState"]

PARTS = 2
"""Parts that a batch is cut into; fixed, so that sums do not depend on the number of threads."""
BINS = 65
"""Distances from the centre at which the envelope is kept."""
PREVIEW_RADIUS = 0.3
"""Part of k-space that a preview shows, of its half width."""


@dataclass
class NikState:
    """The network with its optimiser, and all that drawing needs.

    ``csm`` is (coil, y, x); ``envelope`` (BINS,) the magnitude from the centre to the corner of k-space; ``reach`` the
    largest distance that samples have, 1 where the matrix ends; ``peak`` the largest magnitude of a sample. ``samples``
    is (frame · sample within reach, coil) and ``coords`` the (ky, kx, t) of each, made again from the problem.
    """

    step: int
    n_frames: int
    fit: NetworkFit
    csm: Tensor
    envelope: Tensor
    reach: float
    peak: float
    coords: Tensor | None = None
    samples: Tensor | None = None

    @property
    def matrix(self) -> tuple[int, int]:
        return (self.csm.shape[-2], self.csm.shape[-1])


def _gathered(problem: Problem) -> tuple[Tensor, Tensor]:
    """(n, 3) places (ky, kx, t) in [−1, 1] and (n, coil) values of all samples that the matrix can represent."""
    place = torch.from_numpy(2 * problem.nufft.ktraj / np.asarray(problem.matrix)).to(problem.device, torch.float32)
    time = frame_coordinate(torch.arange(problem.n_frames), problem.n_frames).to(problem.device)
    coords = torch.cat([place, time[:, None, None].expand(*place.shape[:2], 1)], dim=2)
    values = problem.kdata.permute(0, 2, 1)
    inside = torch.ones_like(place[..., 0], dtype=torch.bool) if problem.inside is None else problem.inside > 0
    return coords[inside], values[inside]


def _radial_profile(radius: Tensor, magnitude: Tensor) -> Tensor:
    """Root mean square magnitude (BINS,) at distances from 0 to √2, never zero; beyond the data as at its end."""
    place = (radius * ((BINS - 1) / 2**0.5)).round().long().clamp(max=BINS - 1)
    power = torch.zeros(BINS, device=radius.device, dtype=torch.float64)
    count = torch.zeros_like(power)
    power.index_add_(0, place, magnitude.double() ** 2)
    count.index_add_(0, place, torch.ones_like(magnitude, dtype=torch.float64))
    known = torch.nonzero(count > 0)[:, 0].cpu().numpy()
    rms = (power / count.clamp_min(1)).sqrt().cpu().numpy()[known]
    profile = np.exp(np.interp(np.arange(BINS), known, np.log(np.maximum(rms, 1e-6 * rms.max()))))
    return torch.from_numpy(profile.astype(np.float32)).to(radius.device)


def _at_radius(profile: Tensor, radius: Tensor) -> Tensor:
    """The profile at any distances, interpolated linearly in its logarithm."""
    place = (radius * ((BINS - 1) / 2**0.5)).clamp(0, BINS - 1)
    low = place.floor().long().clamp(max=BINS - 2)
    logs = profile.log()
    return torch.lerp(logs[low], logs[low + 1], place - low).exp()


class NikMethod(Method):
    """One function of (ky, kx, t), fitted to a batch of samples per step."""

    name: ClassVar[str] = "nik"

    def __init__(self, config: NikConfig, seed: int = 0) -> None:
        self.config = config
        self.seed = seed

    @property
    def n_steps(self) -> int:
        return self.config.n_steps

    def stage(self, state: NikState) -> str:
        return "NIK"

    def start(self, problem: Problem) -> NikState:
        coords, samples = _gathered(problem)
        radius = torch.linalg.vector_norm(coords[:, :2], dim=1)
        magnitude = torch.linalg.vector_norm(samples, dim=1) / samples.shape[1] ** 0.5
        peak = float(samples.abs().max())
        profile = _radial_profile(radius, magnitude)
        envelope = profile if self.config.envelope else torch.full_like(profile, peak)
        state = self._fresh(problem.n_frames, problem.csm, envelope)
        state.reach, state.peak = float(radius.max()), peak
        state.coords, state.samples = coords, samples
        return state

    def _fresh(self, n_frames: int, csm: Tensor, envelope: Tensor) -> NikState:
        config = self.config
        generator = torch.Generator().manual_seed(member_seed(self.seed))
        if config.space_spread is not None:
            spreads = (config.space_spread, config.space_spread, config.time_spread)
        else:
            spreads = (csm.shape[-2] / 6, csm.shape[-1] / 6, config.time_spread)
        network = PeriodicMlp(
            FourierFeatures(spreads, config.features, generator),
            width=config.width,
            depth=config.depth,
            n_out=2 * csm.shape[0],
            activation=config.activation,
            omega=config.omega,
            generator=generator,
        ).to(csm.device)
        fit = NetworkFit.new(network, config.learning_rate, ema=config.ema)
        return NikState(0, n_frames, fit, csm, envelope, reach=1.0, peak=1.0)

    def _kspace(self, state: NikState, coords: Tensor) -> Tensor:
        """(n, 3) → (n, coil) complex."""
        out = state.fit.network(coords).reshape(coords.shape[0], -1, 2)
        scale = _at_radius(state.envelope, torch.linalg.vector_norm(coords[:, :2], dim=1))
        return torch.view_as_complex(out.contiguous()) * scale[:, None]

    def _batch(self, step: int, n: int) -> Tensor:
        """Which samples a step sees: drawn from seed and step alone, so that a resumed fit agrees."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + step) % SEEDS)
        return torch.randint(n, (min(self.config.batch, n),), generator=generator)

    def _loss(self, state: NikState, coords: Tensor, samples: Tensor) -> Tensor:
        """Sum over samples and coils of the weighted squared error, in units of the largest sample."""
        predicted = self._kspace(state, coords) / state.peak
        error = (predicted - samples / state.peak).abs()
        weight = (predicted.detach().abs() + self.config.hdr_epsilon) ** (-2 * self.config.hdr_power)
        return (weight * error**2).sum()

    def step(self, problem: Problem, state: NikState) -> Mapping[str, Tensor | float]:
        if state.coords is None or state.samples is None:
            state.coords, state.samples = _gathered(problem)
        chosen = sent(self._batch(state.step, len(state.coords)), problem.device)
        coords = state.coords[chosen].tensor_split(PARTS)
        samples = state.samples[chosen].tensor_split(PARTS)
        parameters = state.fit.parameters
        count = chosen.numel() * state.csm.shape[0]

        def part(index: int) -> tuple[Tensor, tuple[Tensor, ...]]:
            loss = self._loss(state, coords[index], samples[index]) / count
            return loss.detach(), torch.autograd.grad(loss, parameters)

        parts = side_by_side(part, PARTS, problem.device)
        rate = late_decay(state.step, self.n_steps, self.config.decay_to)
        state.fit.descend(sum_gradients([gradients for _, gradients in parts]), rate)
        state.step += 1
        return {"data": torch.stack([loss for loss, _ in parts]).sum()}

    def image(self, state: NikState, frames: Tensor | None = None, scale: float = 1.0) -> Tensor:
        """k-space on the Cartesian grid, inverse FFT, coil combination; another scale by Fourier interpolation."""
        return fourier_resize(self._drawn(state, frames, state.reach), scaled_matrix(state.matrix, scale))

    def _drawn(self, state: NikState, frames: Tensor | None, reach: float) -> Tensor:
        """(n, y, x) from k-space within a distance of the centre; zero beyond."""
        device = state.csm.device
        times = frame_coordinate(frame_indices(frames, state.n_frames), state.n_frames).to(device)
        axes = [2 * (torch.arange(n, dtype=torch.float32, device=device) - n // 2) / n for n in state.matrix]
        grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
        within = torch.linalg.vector_norm(grid, dim=-1) <= reach
        places = grid[within]

        def frame(index: int) -> Tensor:
            coords = torch.cat([places, times[index].expand(len(places), 1)], dim=1)
            kspace = state.csm.new_zeros(state.csm.shape)
            kspace[:, within] = self._kspace(state, coords).T
            shifted = torch.fft.ifftshift(kspace, dim=(-2, -1))
            coils = torch.fft.fftshift(torch.fft.ifft2(shifted, norm="ortho"), dim=(-2, -1))
            return torch.linalg.vecdot(state.csm, coils, dim=0)

        with state.fit.averaged():
            return torch.stack(side_by_side(frame, int(times.numel()), device))

    def preview(self, state: NikState) -> Tensor:
        """From the centre of k-space alone, so blurred: the whole of it takes as long as dozens of steps."""
        return self._drawn(state, None, min(state.reach, PREVIEW_RADIUS))

    def pack(self, state: NikState) -> dict[str, Tensor]:
        return {
            "step": torch.tensor(state.step),
            "n_frames": torch.tensor(state.n_frames),
            "csm": state.csm,
            "envelope": state.envelope,
            "reach": torch.tensor(state.reach, dtype=torch.float64),
            "peak": torch.tensor(state.peak, dtype=torch.float64),
            **state.fit.pack(),
        }

    def unpack(self, tensors: Mapping[str, Tensor], device: torch.device) -> NikState:
        state = self._fresh(int(tensors["n_frames"]), tensors["csm"].to(device), tensors["envelope"].to(device))
        state.step = int(tensors["step"])
        state.reach, state.peak = float(tensors["reach"]), float(tensors["peak"])
        state.fit.unpack(tensors)
        return state
