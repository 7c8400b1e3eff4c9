"""DA-INR: dynamic-aware implicit neural representation, Section III of the paper.

Objective, Eq. 9, over the weights θ of the deformation and the canonical network::

    min_θ  Σ_c ‖F_u S_c d_θ(t) − m_c(t)‖₁ ,   one frame t per step

Where a reconstruction (low-rank, GRASP) is the feature, the first steps of the fit are its iterations; where a
pretrained extractor looks at the feature image, the next ones extract; then the networks are trained. What is drawn is
a weighted mean of the networks' image and the reconstruction, whose errors differ (``feature_share``).
What differs from the paper is listed in docs/explanation/methods.md; most of it is a setting (see preset ``paper``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from napari_dainr.inr.averaging import WeightAverage
from napari_dainr.inr.coordinates import frame_coordinate, frame_indices
from napari_dainr.inr.cuda_graph import Replayed, graphs_wanted
from napari_dainr.inr.fields import CanonicalField, DeformationField, DynamicField
from napari_dainr.inr.fitting import NetworkFit, adamw, item_of_step, late_decay, member_seed, under
from napari_dainr.inr.hashgrid import HashGridSpec
from napari_dainr.inr.parallel import get_threads
from napari_dainr.methods.base import Method, Problem
from napari_dainr.methods.config import DainrConfig, GraspConfig, LowrankConfig
from napari_dainr.methods.extractor_features import Extraction, draw_extracted
from napari_dainr.methods.features import draw_features, view_shared_features
from napari_dainr.methods.grasp import LAMBDA_PER_NOISE, GraspMethod
from napari_dainr.methods.lowrank import LowrankMethod
from napari_dainr.methods.problem import density_compensated, weighted_residual
from napari_dainr.methods.refined_features import Refinement
from napari_dainr.ops.resample import at_frames, fourier_resize, scaled_matrix
from napari_dainr.paged import stacked

if TYPE_CHECKING:
    from napari_dainr.inr.adamw import BlockAdamW

__all__ = ["DainrMethod", "DainrState"]

T = TypeVar("T")


@dataclass
class DainrState:
    """All that changes during a fit.

    ``fields`` are the members, each a :class:`DynamicField`, whose images are averaged; ``optimiser`` and ``average``
    are those of all of them together. ``feature_fit`` is the state of the reconstruction that makes the feature image,
    while it lasts; ``images`` (frame, y, x) is there while an extractor looks at them, ``n_extracted`` of them so far,
    and ``residual``, what they leave of k-space, where it looks at that too.
    ``features`` is (frame, y, x) complex, (frame, y, x, f) extracted, or None.
    """

    step: int
    n_frames: int
    matrix: tuple[int, int]
    fields: nn.ModuleList
    optimiser: BlockAdamW
    average: WeightAverage | None
    feature_fit: Any
    features: Tensor | None
    images: Tensor | None = None
    n_extracted: int = 0
    residual: Tensor | None = None

    @property
    def fit(self) -> NetworkFit:
        """Fields, optimiser and average as the fit of one network."""
        return NetworkFit(self.fields, self.optimiser, self.average, "fields")


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


class DainrMethod(Method):
    """Deformation network, canonical network and image features, fitted to one frame of k-space per step."""

    name: ClassVar[str] = "dainr"

    def __init__(self, config: DainrConfig, seed: int = 0) -> None:
        self.config = config
        self.seed = seed
        self._feature_method = _feature_method(config, seed)
        self._extraction = Refinement() if config.extractor_used == "dynres" else Extraction(config)
        self._pool: ThreadPoolExecutor | None = None
        self._replayed: dict[nn.Module, Replayed] = {}

    @property
    def _image_steps(self) -> int:
        return 0 if self._feature_method is None else self._feature_method.n_steps

    @property
    def steps_before_networks(self) -> int:
        return self._image_steps + self._extraction.n_steps

    @property
    def n_steps(self) -> int:
        return self.steps_before_networks + self.config.n_steps

    def stage(self, state: DainrState) -> str:
        if state.feature_fit is not None:
            return f"{self._method_of_feature.config.method_title} feature"
        if state.images is None:
            return "DA-INR"
        return "k-space residual" if self._lacks_residual(state) else self._extraction.title

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

    @property
    def _feature_share(self) -> float:
        """The feature's share of what is drawn: of a reconstruction, not of streaks (``nufft``) or of maps."""
        return 0.0 if self._feature_method is None or self._has_maps else self.config.feature_share

    @property
    def _has_maps(self) -> bool:
        """Whether features are maps (frame, y, x, f) of an extractor, and not images."""
        return self._extraction.wanted and not self._extraction.makes_images

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
        if features is not None and features.is_complex():
            n_features = 2
        members = range(self.config.members)
        fields = nn.ModuleList(self._field(matrix, member, n_features) for member in members).to(device)
        average = WeightAverage.over(fields, self.config.ema)
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
        generator = torch.Generator().manual_seed(member_seed(self.seed, member))
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

    def _optimiser(self, fields: nn.ModuleList) -> BlockAdamW:
        config = self.config
        tables = [p for name, p in fields.named_parameters() if name.endswith("table")]
        networks = [p for name, p in fields.named_parameters() if not name.endswith("table")]
        return adamw(
            {"params": networks, "lr": config.learning_rate, "weight_decay": config.weight_decay},
            {"params": tables, "lr": config.table_learning_rate, "weight_decay": config.table_weight_decay},
        )

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
            if self._lacks_residual(state):
                state.residual = weighted_residual(problem, state.images)
                state.step += 1
            else:
                self._extract_some(problem, state)
            return {}

        own_step = state.step - self.steps_before_networks

        def fit_member(member: int) -> tuple[Tensor, tuple[Tensor | None, ...]]:
            field = state.fields[member]
            # Members see the frames in orders of their own, so that their errors have less in common.
            frame = item_of_step(own_step, state.n_frames, member_seed(self.seed, member))
            image = self._draw_to_fit(state, field, torch.tensor(float(frame)))
            residual = problem.forward(image[None], [frame])[0] - problem.kdata[frame]
            loss = residual.abs().mean()
            # Unused: at t = 0 the deformation is 0 whatever its weights are.
            return loss.detach(), torch.autograd.grad(loss, list(field.parameters()), allow_unused=True)

        fitted = self._side_by_side(fit_member, self.config.members, problem.device)
        rate = late_decay(own_step, self.config.n_steps, self.config.decay_to)
        state.fit.descend([gradient for _, gradients in fitted for gradient in gradients], rate)
        state.step += 1
        return {"data": torch.stack([loss for loss, _ in fitted]).mean()}

    def _lacks_residual(self, state: DainrState) -> bool:
        return self._extraction.sees_residual and state.residual is None

    def _extract_some(self, problem: Problem, state: DainrState) -> None:
        assert state.images is not None and state.features is not None
        left = self.steps_before_networks - state.step
        state.n_extracted = self._extraction.go_on(
            problem, state.images, state.residual, state.features, state.n_extracted, left
        )
        state.step += 1
        if state.n_extracted == state.n_frames:
            state.images, state.residual, state.step = None, None, self.steps_before_networks

    def _side_by_side(self, work: Callable[[int], T], n: int, device: torch.device) -> list[T]:
        """Call ``work`` for n members, on the CPU one thread each.

        As :func:`napari_dainr.inr.fitting.side_by_side`, but in a pool of its own: the hash grids of the members use
        the one that all fits share.
        """
        threads = min(n, get_threads())
        if device.type != "cpu" or threads < 2:
            return [work(member) for member in range(n)]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(threads, "dainr-member")

        def alone(member: int) -> T:
            torch.get_num_threads()  # a thread's own OpenMP count is set by its first call of this
            return work(member)

        return list(self._pool.map(alone, range(n)))

    def _draw_to_fit(self, state: DainrState, field: nn.Module, frame: Tensor) -> Tensor:
        """A measured frame for a step, (y, x); replayed where graphs are wanted, but for the frame at t = 0."""
        time = frame_coordinate(frame, state.n_frames)
        if not graphs_wanted(state.fit.device) or float(time) == 0:
            return self._draw(state, field, frame, state.matrix)
        assert isinstance(field, DynamicField)
        if field not in self._replayed:
            self._replayed[field] = Replayed(field, field.moved)
        features = self._features_at(state, frame, state.matrix)
        column = torch.full((1, 1), float(time), device=state.fit.device)
        return self._replayed[field](column) if features is None else self._replayed[field](column, features)

    def _features_at(self, state: DainrState, frame: Tensor, matrix: tuple[int, int]) -> Tensor | None:
        """Features of one frame at a matrix, (y, x, c′)."""
        if state.features is None:
            return None
        draw = draw_extracted if self._has_maps else draw_features
        return draw(state.features, frame, matrix, self.config.feature_upsampling, self.config.feature_gain)

    def _draw(self, state: DainrState, field: nn.Module, frame: Tensor, matrix: tuple[int, int]) -> Tensor:
        time = frame_coordinate(frame, state.n_frames)
        drawn: Tensor = field(time, self._features_at(state, frame, matrix), matrix)
        return drawn

    def image(self, state: DainrState, frames: Tensor | None = None, scale: float = 1.0) -> Tensor:
        if state.feature_fit is not None:
            return self._method_of_feature.image(state.feature_fit, frames, scale)
        if state.images is not None:
            return fourier_resize(at_frames(state.images, frames), scaled_matrix(state.matrix, scale))
        return self._drawn(state, frames, scaled_matrix(state.matrix, scale), self.config.members)

    def preview(self, state: DainrState) -> Tensor:
        """The measured frames by the first member alone: drawing all of them takes time from the fit."""
        if state.feature_fit is not None:
            return self._method_of_feature.preview(state.feature_fit)
        if state.images is not None:
            return state.images
        return self._drawn(state, None, state.matrix, 1)

    def _drawn(self, state: DainrState, frames: Tensor | None, matrix: tuple[int, int], members: int) -> Tensor:
        """Average of the first ``members`` members, with averaged weights, and the feature's share, (n, y, x)."""

        def draw_frame(frame: Tensor) -> Tensor:
            def draw_member(member: int) -> Tensor:
                with torch.no_grad():  # the mode is a thread's own
                    return self._draw(state, state.fields[member], frame, matrix)

            # Frame by frame, so that the members of one frame are in memory and not those of the whole series.
            first, *others = self._side_by_side(draw_member, members, state.fit.device)
            for other in others:
                first += other
            first /= members
            if self._feature_share == 0 or state.features is None:
                return first
            feature = draw_features(state.features, frame, matrix, self.config.feature_upsampling, 1.0)
            return torch.lerp(first, torch.view_as_complex(feature), self._feature_share)

        with state.fit.averaged():
            return stacked(draw_frame, frame_indices(frames, state.n_frames))

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
            **state.fit.pack(),
        }
        if state.feature_fit is not None:
            for name, value in self._method_of_feature.pack(state.feature_fit).items():
                tensors[f"feature_fit.{name}"] = value
        if state.features is not None:
            tensors["features"] = state.features
        if state.images is not None:
            tensors["images"] = state.images
            tensors["n_extracted"] = torch.tensor(state.n_extracted)
        if state.residual is not None:
            tensors["residual"] = state.residual
        return tensors

    def unpack(self, tensors: Mapping[str, Tensor], device: torch.device) -> DainrState:
        part = under(tensors, "feature_fit.")
        feature_fit = self._method_of_feature.unpack(part, device) if part else None
        features, images = (tensors[name].to(device) if name in tensors else None for name in ("features", "images"))
        height, width = (int(n) for n in tensors["matrix"])
        state = self._fresh(int(tensors["n_frames"]), (height, width), device, feature_fit, features, images)
        state.step = int(tensors["step"])
        state.n_extracted = int(tensors.get("n_extracted", torch.tensor(0)))
        state.residual = tensors["residual"].to(device) if "residual" in tensors else None
        state.fit.unpack(tensors)
        return state
