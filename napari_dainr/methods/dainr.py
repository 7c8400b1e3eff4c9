"""DA-INR: dynamic-aware implicit neural representation, Section III of the paper.

Objective, Eq. 9, over the weights θ of the deformation and the canonical network::

    min_θ  Σ_c ‖F_u S_c d_θ(t) − m_c(t)‖₁ ,   one frame t per step

Where a reconstruction (low-rank, GRASP) is the feature, the first steps of the fit are its iterations; where a
pretrained extractor looks at the feature image, the next ones extract; then the networks are trained.
What differs from the paper is listed in docs/explanation/methods.md; most of it is a setting (see preset ``paper``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from napari_dainr.inr.averaging import WeightAverage
from napari_dainr.inr.coordinates import frame_coordinate
from napari_dainr.inr.fields import CanonicalField, DeformationField, DynamicField
from napari_dainr.inr.hashgrid import HashGridSpec
from napari_dainr.inr.parallel import get_threads
from napari_dainr.methods.base import Problem
from napari_dainr.methods.config import DainrConfig, GraspConfig, LowrankConfig
from napari_dainr.methods.extractor_features import Extraction, draw_extracted
from napari_dainr.methods.features import draw_features, view_shared_features
from napari_dainr.methods.grasp import LAMBDA_PER_NOISE, GraspMethod
from napari_dainr.methods.lowrank import LowrankMethod
from napari_dainr.methods.problem import density_compensated
from napari_dainr.ops.resample import at_frames, fourier_resize, scaled_matrix

__all__ = ["DainrMethod", "DainrState"]


@dataclass
class DainrState:
    """All that changes during a fit.

    ``fields`` are the members, each a :class:`DynamicField`; their images are averaged. ``feature_fit`` is the state of
    the reconstruction that makes the feature image, while it lasts; ``images`` (frame, y, x) is there while an
    extractor looks at them, ``n_extracted`` of them so far. ``features`` is (frame, y, x) complex, (frame, y, x, f)
    extracted, or None.
    """

    step: int
    n_frames: int
    matrix: tuple[int, int]
    fields: nn.ModuleList
    optimiser: torch.optim.Optimizer
    average: WeightAverage | None
    feature_fit: Any
    features: Tensor | None
    images: Tensor | None = None
    n_extracted: int = 0

    @property
    def device(self) -> torch.device:
        return next(self.fields.parameters()).device


def _feature_method(config: DainrConfig, seed: int) -> GraspMethod | LowrankMethod | None:
    """The reconstruction that makes the feature image, where one does."""
    common = {"n_steps": config.feature_steps, "tolerance": config.feature_tolerance}
    match config.feature:
        case "grasp":
            # GRASP's spatial weight is a multiple of its λ.
            factor = config.feature_space_factor / LAMBDA_PER_NOISE
            return GraspMethod(GraspConfig(space_factor=factor, **common), seed)
        case "lowrank":
            return LowrankMethod(LowrankConfig(space_factor=config.feature_space_factor, **common), seed)
    return None


class DainrMethod:
    """Deformation network, canonical network and image features, fitted to one frame of k-space per step."""

    name: ClassVar[str] = "dainr"

    def __init__(self, config: DainrConfig, seed: int = 0) -> None:
        self.config = config
        self.seed = seed
        self._feature_method = _feature_method(config, seed)
        self._extraction = Extraction(config)
        self._pool: ThreadPoolExecutor | None = None

    @property
    def _image_steps(self) -> int:
        return 0 if self._feature_method is None else self._feature_method.n_steps

    @property
    def _feature_steps(self) -> int:
        return self._image_steps + self._extraction.n_steps

    @property
    def n_steps(self) -> int:
        return self._feature_steps + self.config.n_steps

    def stage(self, state: DainrState) -> str:
        if state.feature_fit is not None:
            return f"{self._method_of_feature.config.method_title} feature"
        return self._extraction.title if state.images is not None else "DA-INR"

    @property
    def notices(self) -> tuple[str, ...]:
        """Which extractor is used, or that the paper's is not."""
        if self._extraction.wanted:
            return self._extraction.notices
        if self.config.feature == "nufft":
            return (
                "the NuFFT images themselves are the features; the paper's are MDSR's, whose weights are not part of "
                "this package: give them with extractor=mdsr and extractor_weights",
            )
        return ()

    @property
    def _method_of_feature(self) -> GraspMethod | LowrankMethod:
        assert self._feature_method is not None  # asked for only while its fit is in the state
        return self._feature_method

    def done(self, state: DainrState) -> bool:
        return state.step >= self.n_steps

    def start(self, problem: Problem) -> DainrState:
        config = self.config
        fit, features = None, None
        if self._feature_method is not None:
            fit = self._feature_method.start(problem)
        elif config.feature == "nufft":
            features = density_compensated(problem)
        elif config.feature == "view-shared":
            features = view_shared_features(problem, config.view_share)
        images = None
        if self._extraction.wanted and features is not None:
            images, features = features, self._extraction.begin(features)
        return self._fresh(problem.n_frames, problem.matrix, problem.device, fit, features, images)

    def _fresh(
        self,
        n_frames: int,
        matrix: tuple[int, int],
        device: torch.device,
        feature_fit: Any,
        features: Tensor | None,
        images: Tensor | None,
    ) -> DainrState:
        n_features = 0 if self.config.feature == "none" else 2
        if self._extraction.wanted:
            n_features = self._extraction.n_features(device) if features is None else features.shape[-1]
        members = range(self.config.members)
        fields = nn.ModuleList(self._field(matrix, member, n_features) for member in members).to(device)
        average = WeightAverage(fields.parameters(), self.config.ema) if self.config.ema > 0 else None
        return DainrState(0, n_frames, matrix, fields, self._optimiser(fields), average, feature_fit, features, images)

    def _hash_spec(self, matrix: tuple[int, int], dims: int) -> HashGridSpec:
        config = self.config
        levels, growth = config.levels, config.growth
        if levels is None:
            # N_max is the matrix size, Eq. 8: finer cells would hold single pixels. As many levels as a growth of at
            # least b allows, which is then raised so that the last one meets N_max.
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

    def _field(self, matrix: tuple[int, int], member: int, n_features: int) -> DynamicField:
        config = self.config
        generator = torch.Generator().manual_seed(self.seed * 7919 + member)
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
            n_features=n_features,
            hash_spec=self._hash_spec(matrix, 2) if config.canonical_encoding == "hash" else None,
            octaves=config.space_frequencies,
        )
        return DynamicField(deformation, canonical, matrix, config.deform_grid)

    def _optimiser(self, fields: nn.ModuleList) -> torch.optim.Optimizer:
        config = self.config
        tables = [p for name, p in fields.named_parameters() if name.endswith("table")]
        networks = [p for name, p in fields.named_parameters() if not name.endswith("table")]
        groups = [
            {"params": networks, "lr": config.learning_rate, "weight_decay": config.weight_decay},
            {"params": tables, "lr": config.table_learning_rate, "weight_decay": config.table_weight_decay},
        ]
        # β and ε are the paper's (Sec. IV-D).
        return torch.optim.AdamW([g for g in groups if g["params"]], betas=(0.9, 0.999), eps=1e-8, fused=True)

    def _rate(self, step: int) -> float:
        """Factor on the learning rates: constant, then exponential over the last half."""
        late = max(0.0, step / self.config.n_steps - 0.5) * 2
        return float(self.config.decay_to**late)

    def _frame_of(self, step: int, n_frames: int, member: int = 0) -> int:
        """Every frame once per pass, in an order set by seed, member and pass alone, so that a resumed fit agrees."""
        generator = torch.Generator().manual_seed((self.seed * 7919 + member) * 1_000_003 + step // n_frames)
        return int(torch.randperm(n_frames, generator=generator)[step % n_frames])

    def step(self, problem: Problem, state: DainrState) -> Mapping[str, Tensor | float]:
        if state.feature_fit is not None:
            losses = self._method_of_feature.step(problem, state.feature_fit)
            state.step += 1
            if self._method_of_feature.done(state.feature_fit):
                state.features, state.feature_fit = state.feature_fit.x, None
                state.step = self._image_steps
                if self._extraction.wanted:
                    state.images, state.features = state.features, self._extraction.begin(state.features)
            return losses
        if state.images is not None:
            self._extract_some(state)
            return {}

        own_step = state.step - self._feature_steps
        for group, base in zip(state.optimiser.param_groups, self._base_rates(state.optimiser), strict=True):
            group["lr"] = base * self._rate(own_step)
        state.optimiser.zero_grad(set_to_none=True)

        def fit_member(member: int) -> Tensor:
            frame = self._frame_of(own_step, state.n_frames, member)
            image = self._draw(state, state.fields[member], torch.tensor(float(frame)), state.matrix)
            residual = problem.forward(image[None], [frame])[0] - problem.kdata[frame]
            loss = residual.abs().mean()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss.detach()

        losses_of_members = self._side_by_side(fit_member, self.config.members, problem.device)
        state.optimiser.step()
        if state.average is not None:
            state.average.update(state.fields.parameters())
        state.step += 1
        return {"data": torch.stack(losses_of_members).mean()}

    def _extract_some(self, state: DainrState) -> None:
        assert state.images is not None and state.features is not None
        left = self._feature_steps - state.step
        state.n_extracted = self._extraction.go_on(state.images, state.features, state.n_extracted, left)
        state.step += 1
        if state.n_extracted == state.n_frames:
            state.images, state.step = None, self._feature_steps

    def _side_by_side(self, work: Callable[[int], Tensor], n: int, device: torch.device) -> list[Tensor]:
        """Call ``work`` for n members, on the CPU one thread each: members share no weights, so no gradient races.

        A core per member is faster than two cores on each small matrix product, and gives the same bits for any
        number of threads.
        """
        threads = min(n, get_threads())
        if device.type != "cpu" or threads < 2:
            return [work(member) for member in range(n)]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(threads, "dainr-member")

        def alone(member: int) -> Tensor:
            torch.get_num_threads()  # a thread's own OpenMP count is set by its first call of this
            return work(member)

        return list(self._pool.map(alone, range(n)))

    def _base_rates(self, optimiser: torch.optim.Optimizer) -> list[float]:
        rates = [self.config.learning_rate, self.config.table_learning_rate]
        return rates[: len(optimiser.param_groups)]

    def _draw(self, state: DainrState, field: nn.Module, frame: Tensor, matrix: tuple[int, int]) -> Tensor:
        features = None
        if state.features is not None:
            draw = draw_extracted if self._extraction.wanted else draw_features
            features = draw(state.features, frame, matrix, self.config.feature_upsampling, self.config.feature_gain)
        drawn: Tensor = field(frame_coordinate(frame, state.n_frames), features, matrix)
        return drawn

    def image(self, state: DainrState, frames: Tensor | None = None, scale: float = 1.0) -> Tensor:
        if state.feature_fit is not None:
            return self._method_of_feature.image(state.feature_fit, frames, scale)
        if state.images is not None:
            return fourier_resize(at_frames(state.images, frames), scaled_matrix(state.matrix, scale))
        if frames is None:
            frames = torch.arange(state.n_frames, dtype=torch.float32)
        return self._drawn(state, frames, scaled_matrix(state.matrix, scale), self.config.members)

    def preview(self, state: DainrState) -> Tensor:
        """The measured frames by the first member alone: drawing all of them takes time from the fit."""
        if state.feature_fit is not None:
            return self._method_of_feature.preview(state.feature_fit)
        if state.images is not None:
            return state.images
        return self._drawn(state, torch.arange(state.n_frames, dtype=torch.float32), state.matrix, 1)

    @torch.no_grad()
    def _drawn(self, state: DainrState, frames: Tensor, matrix: tuple[int, int], members: int) -> Tensor:
        """Average of the first ``members`` members, with averaged weights, (n, y, x)."""
        averaged = state.average.averaged() if state.average is not None and state.average.count > 0 else None
        if averaged is not None:
            trained = [p.detach().clone() for p in state.fields.parameters()]
            _assign(state.fields, averaged)

        def draw_member(member: int) -> Tensor:
            with torch.no_grad():  # the mode is a thread's own
                return torch.stack([self._draw(state, state.fields[member], frame, matrix) for frame in frames])

        try:
            first, *others = self._side_by_side(draw_member, members, state.device)
            for other in others:
                first += other
            return first / members
        finally:
            if averaged is not None:
                _assign(state.fields, trained)

    @torch.no_grad()
    def displacement(self, state: DainrState, frames: Tensor, scale: float = 1.0) -> Tensor:
        """Deformation field of the first member, (n, y, x, 2), last axis (Δy, Δx) in pixels of the measured matrix."""
        field: DynamicField = state.fields[0]  # type: ignore[assignment]
        matrix = scaled_matrix(state.matrix, scale)
        half = torch.tensor([n / 2 for n in state.matrix], device=next(field.parameters()).device)
        return torch.stack([field.displacement(frame_coordinate(f, state.n_frames), matrix) * half for f in frames])

    def pack(self, state: DainrState) -> dict[str, Tensor]:
        tensors = {
            "step": torch.tensor(state.step),
            "n_frames": torch.tensor(state.n_frames),
            "matrix": torch.tensor(state.matrix),
        }
        for name, value in state.fields.state_dict().items():
            tensors[f"fields.{name}"] = value
        for index, slots in state.optimiser.state_dict()["state"].items():
            for name, value in slots.items():
                tensors[f"optimiser.{index}.{name}"] = torch.as_tensor(value)
        if state.average is not None:
            tensors["average.count"] = torch.tensor(state.average.count)
            for index, value in enumerate(state.average.sums):
                tensors[f"average.{index}"] = value
        if state.feature_fit is not None:
            for name, value in self._method_of_feature.pack(state.feature_fit).items():
                tensors[f"feature_fit.{name}"] = value
        if state.features is not None:
            tensors["features"] = state.features
        if state.images is not None:
            tensors["images"] = state.images
            tensors["n_extracted"] = torch.tensor(state.n_extracted)
        return tensors

    def unpack(self, tensors: Mapping[str, Tensor], device: torch.device) -> DainrState:
        part = _under(tensors, "feature_fit.")
        fit = self._method_of_feature.unpack(part, device) if part else None
        features, images = (tensors[name].to(device) if name in tensors else None for name in ("features", "images"))
        height, width = (int(n) for n in tensors["matrix"])
        state = self._fresh(int(tensors["n_frames"]), (height, width), device, fit, features, images)
        state.step = int(tensors["step"])
        state.n_extracted = int(tensors.get("n_extracted", torch.tensor(0)))
        state.fields.load_state_dict(_under(tensors, "fields."))
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


def _assign(fields: nn.ModuleList, values: list[Tensor]) -> None:
    for parameter, value in zip(fields.parameters(), values, strict=True):
        parameter.copy_(value)
