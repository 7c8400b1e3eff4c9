"""DA-INR: dynamic-aware implicit neural representation, Section III of the paper.

Objective, Eq. 9, over the weights θ of the deformation and the canonical network::

    min_θ  Σ_c ‖F_u S_c d_θ(t) − m_c(t)‖₁ ,   one frame t per step

Where GRASP is the image feature, the first steps of the fit are GRASP iterations; then the networks are trained.
Every difference from the paper is a setting (see preset ``paper``) and is listed in docs/explanation/methods.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from napari_dainr.inr.averaging import WeightAverage
from napari_dainr.inr.coordinates import frame_coordinate
from napari_dainr.inr.fields import CanonicalField, DeformationField, DynamicField
from napari_dainr.inr.hashgrid import HashGridSpec
from napari_dainr.methods.base import Problem
from napari_dainr.methods.config import DainrConfig, GraspConfig
from napari_dainr.methods.features import draw_features, nufft_features, view_shared_features
from napari_dainr.methods.grasp import GraspMethod, GraspState
from napari_dainr.ops.resample import scaled_matrix

__all__ = ["DainrMethod", "DainrState"]


@dataclass
class DainrState:
    """All that changes during a fit.

    ``grasp`` is there while the GRASP feature is being made; ``features`` is (frame, y, x) complex or None.
    """

    step: int
    n_frames: int
    matrix: tuple[int, int]
    field: DynamicField
    optimiser: torch.optim.Optimizer
    average: WeightAverage | None
    grasp: GraspState | None
    features: Tensor | None


class DainrMethod:
    """Deformation network, canonical network and image features, fitted to one frame of k-space per step."""

    name: ClassVar[str] = "dainr"

    def __init__(self, config: DainrConfig, seed: int = 0) -> None:
        self.config = config
        self.seed = seed
        self._grasp = GraspMethod(GraspConfig(n_steps=config.feature_steps), seed)

    @property
    def _feature_steps(self) -> int:
        return self.config.feature_steps if self.config.feature == "grasp" else 0

    @property
    def n_steps(self) -> int:
        return self._feature_steps + self.config.n_steps

    def stage(self, state: DainrState) -> str:
        return "GRASP feature" if state.grasp is not None else "DA-INR"

    def done(self, state: DainrState) -> bool:
        return state.step >= self.n_steps

    def start(self, problem: Problem) -> DainrState:
        config = self.config
        grasp, features = None, None
        if config.feature == "grasp":
            grasp = self._grasp.start(problem)
        elif config.feature == "nufft":
            features = nufft_features(problem)
        elif config.feature == "view-shared":
            features = view_shared_features(problem, config.view_share)
        return self._fresh(problem.n_frames, problem.matrix, problem.device, grasp, features)

    def _fresh(
        self,
        n_frames: int,
        matrix: tuple[int, int],
        device: torch.device,
        grasp: GraspState | None,
        features: Tensor | None,
    ) -> DainrState:
        field = self._field(matrix).to(device)
        average = WeightAverage(field.parameters(), self.config.ema) if self.config.ema > 0 else None
        return DainrState(0, n_frames, matrix, field, self._optimiser(field), average, grasp, features)

    def _hash_spec(self, matrix: tuple[int, int], dims: int) -> HashGridSpec:
        config = self.config
        levels, growth = config.levels, config.growth
        if levels is None:
            # As many levels as bring N_max to the matrix size exactly, Eq. 8: finer cells would hold single pixels.
            ratio = max(matrix) / config.n_min
            levels, growth = 1, config.growth
            while config.growth**levels <= ratio * 1.001:
                levels += 1
            if levels > 1:
                growth = ratio ** (1 / (levels - 1))
        return HashGridSpec(
            levels=levels,
            table_log2=config.table_log2,
            features=config.level_features,
            n_min=config.n_min,
            growth=max(growth, 1.0 + 1e-6),
            dims=dims,
        )

    def _field(self, matrix: tuple[int, int]) -> DynamicField:
        config = self.config
        generator = torch.Generator().manual_seed(self.seed)
        deformation = DeformationField(
            config.width,
            config.depth,
            generator,
            space_octaves=config.space_frequencies,
            time_octaves=config.time_frequencies,
            hash_spec=self._hash_spec(matrix, 3) if config.deform_encoding == "hash" else None,
            zero=config.zero_at_start,
        )
        canonical = CanonicalField(
            config.width,
            config.depth,
            generator,
            n_features=0 if config.feature == "none" else 2,
            hash_spec=self._hash_spec(matrix, 2) if config.canonical_encoding == "hash" else None,
            octaves=config.space_frequencies,
        )
        return DynamicField(deformation, canonical, matrix, config.deform_grid)

    def _optimiser(self, field: DynamicField) -> torch.optim.Optimizer:
        config = self.config
        tables = [p for name, p in field.named_parameters() if name.endswith("table")]
        networks = [p for name, p in field.named_parameters() if not name.endswith("table")]
        groups = [
            {"params": networks, "lr": config.learning_rate, "weight_decay": config.weight_decay},
            {"params": tables, "lr": config.table_learning_rate, "weight_decay": 0.0},
        ]
        # β and ε are the paper's (Sec. IV-D).
        return torch.optim.AdamW([g for g in groups if g["params"]], betas=(0.9, 0.999), eps=1e-8, fused=True)

    def _rate(self, step: int) -> float:
        """Factor on the learning rates: constant, then exponential over the last half."""
        late = max(0.0, step / self.config.n_steps - 0.5) * 2
        return float(self.config.decay_to**late)

    def _frame_of(self, step: int, n_frames: int) -> int:
        """Every frame once per pass, in an order that depends on seed and pass alone, so that a resumed fit agrees."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step // n_frames)
        return int(torch.randperm(n_frames, generator=generator)[step % n_frames])

    def step(self, problem: Problem, state: DainrState) -> Mapping[str, Tensor | float]:
        if state.grasp is not None:
            losses = self._grasp.step(problem, state.grasp)
            state.step += 1
            if self._grasp.done(state.grasp):
                state.features, state.grasp = state.grasp.x, None
                state.step = self._feature_steps
            return losses

        own_step = state.step - self._feature_steps
        frame = self._frame_of(own_step, state.n_frames)
        for group, base in zip(state.optimiser.param_groups, self._base_rates(state.optimiser), strict=True):
            group["lr"] = base * self._rate(own_step)
        image = self._draw(state, torch.tensor(float(frame)), state.matrix)
        residual = problem.forward(image[None], [frame])[0] - problem.kdata[frame]
        loss = residual.abs().mean()
        state.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        state.optimiser.step()
        if state.average is not None:
            state.average.update(state.field.parameters())
        state.step += 1
        return {"data": loss.detach()}

    def _base_rates(self, optimiser: torch.optim.Optimizer) -> list[float]:
        rates = [self.config.learning_rate, self.config.table_learning_rate]
        return rates[: len(optimiser.param_groups)]

    def _draw(self, state: DainrState, frame: Tensor, matrix: tuple[int, int]) -> Tensor:
        features = None
        if state.features is not None:
            features = draw_features(
                state.features, frame, matrix, self.config.feature_upsampling, self.config.feature_gain
            )
        drawn: Tensor = state.field(frame_coordinate(frame, state.n_frames), features, matrix)
        return drawn

    @torch.no_grad()
    def image(self, state: DainrState, frames: Tensor | None = None, scale: float = 1.0) -> Tensor:
        if state.grasp is not None:
            return self._grasp.image(state.grasp, frames, scale)
        if frames is None:
            frames = torch.arange(state.n_frames, dtype=torch.float32)
        matrix = scaled_matrix(state.matrix, scale)
        trained = [p.detach().clone() for p in state.field.parameters()]
        if state.average is not None and state.average.count > 0:
            _assign(state.field, state.average.averaged())
        try:
            return torch.stack([self._draw(state, frame, matrix) for frame in frames])
        finally:
            _assign(state.field, trained)

    @torch.no_grad()
    def displacement(self, state: DainrState, frames: Tensor, scale: float = 1.0) -> Tensor:
        """Deformation field, (n, y, x, 2), last axis (Δy, Δx) in pixels of the measured matrix."""
        matrix = scaled_matrix(state.matrix, scale)
        half = torch.tensor([n / 2 for n in state.matrix], device=next(state.field.parameters()).device)
        return torch.stack(
            [state.field.displacement(frame_coordinate(f, state.n_frames), matrix) * half for f in frames]
        )

    def pack(self, state: DainrState) -> dict[str, Tensor]:
        tensors = {
            "step": torch.tensor(state.step),
            "n_frames": torch.tensor(state.n_frames),
            "matrix": torch.tensor(state.matrix),
        }
        for name, value in state.field.state_dict().items():
            tensors[f"field.{name}"] = value
        for index, slots in state.optimiser.state_dict()["state"].items():
            for name, value in slots.items():
                tensors[f"optimiser.{index}.{name}"] = torch.as_tensor(value)
        if state.average is not None:
            tensors["average.count"] = torch.tensor(state.average.count)
            for index, value in enumerate(state.average.sums):
                tensors[f"average.{index}"] = value
        if state.grasp is not None:
            for name, value in self._grasp.pack(state.grasp).items():
                tensors[f"grasp.{name}"] = value
        if state.features is not None:
            tensors["features"] = state.features
        return tensors

    def unpack(self, tensors: Mapping[str, Tensor], device: torch.device) -> DainrState:
        part = _under(tensors, "grasp.")
        grasp = self._grasp.unpack(part, device) if part else None
        features = tensors["features"].to(device) if "features" in tensors else None
        height, width = (int(n) for n in tensors["matrix"])
        state = self._fresh(int(tensors["n_frames"]), (height, width), device, grasp, features)
        state.step = int(tensors["step"])
        state.field.load_state_dict(_under(tensors, "field."))
        slots: dict[int, dict[str, Tensor]] = {}
        for key, value in _under(tensors, "optimiser.").items():
            index, name = key.split(".", 1)
            slots.setdefault(int(index), {})[name] = value
        groups = state.optimiser.state_dict()["param_groups"]
        state.optimiser.load_state_dict({"state": slots, "param_groups": groups})
        if state.average is not None:
            sums = _under(tensors, "average.")
            state.average.count = int(sums.pop("count"))
            state.average.sums = [sums[str(i)].to(device) for i in range(len(sums))]
        return state


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _assign(field: DynamicField, values: list[Tensor]) -> None:
    for parameter, value in zip(field.parameters(), values, strict=True):
        parameter.copy_(value)
