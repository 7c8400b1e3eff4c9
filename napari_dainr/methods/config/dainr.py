"""Settings of DA-INR."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from napari_dainr.methods.config.base import MethodConfig
from napari_dainr.methods.config.fields import (
    Averaging,
    CoarsestCells,
    Depth,
    FinalRate,
    HashLevels,
    LearningRate,
    LevelFeatures,
    Steps,
    TableLog2,
)

__all__ = ["WITH_WEIGHTS", "DainrConfig"]

Feature = Literal["none", "nufft", "view-shared", "grasp", "lowrank"]
Extractor = Literal["auto", "none", "dynres", "edsr", "mdsr", "rdn", "swinir"]
WITH_WEIGHTS: frozenset[str] = frozenset({"dynres"})
"""Extractors whose weights come with the package: the keys of ``inr.extractors.BUNDLED``, said here without torch."""
RECONSTRUCTIONS = ("grasp", "lowrank")
"""Features that are fitted to k-space."""
Encoding = Literal["freq", "hash"]


class DainrConfig(MethodConfig):
    """DA-INR, Section III of the paper; the defaults are preset ``fast``, the paper's numbers are preset ``paper``."""

    method_title: ClassVar[str] = "DA-INR"
    paper: ClassVar[dict[str, Any]] = {
        "n_steps": 3000,
        "feature": "nufft",
        "extractor": "none",
        "feature_upsampling": "bilinear",
        "feature_share": 0.0,
        "zero_at_start": "switch",
        "space_frequencies": 10,
        "time_frequencies": 6,
        "deform_grid": 1,
        "levels": 16,
        "learning_rate": 1e-3,
        "table_learning_rate": 1e-3,
        "table_weight_decay": 1e-2,
        "decay_to": 1.0,
        "ema": 0.0,
        "members": 1,
    }

    files: ClassVar[frozenset[str]] = frozenset({"extractor_weights"})

    n_steps: Steps = Field(140, description="Steps of the fit; each step sees one frame.")
    feature: Feature = Field("lowrank", description="Image features given to the canonical network, Sec. III-A3.")
    feature_steps: int = Field(
        100, ge=1, title="feature iterations", description="Most iterations of the reconstruction that is the feature."
    )
    feature_tolerance: float = Field(
        1e-3, ge=0, title="feature tolerance", description="Its relative change per iteration that counts as converged."
    )
    feature_space_factor: float = Field(
        0.015,
        ge=0,
        title="feature spatial TV",
        description="Weight of spatial total variation in a GRASP or low-rank feature, as a multiple of the noise.",
    )
    feature_gain: float = Field(
        1.0, gt=0, title="feature gain", description="Factor on the features (image 99.9th percentile = 1)."
    )
    feature_upsampling: Literal["bilinear", "fourier"] = Field(
        "fourier",
        title="feature upsampling",
        description="How features are brought to scale ratio r; the paper: bilinear.",
    )
    feature_share: float = Field(
        0.2,
        ge=0,
        le=1,
        title="feature's share",
        description="Share of a GRASP or low-rank feature in the images that are drawn; the rest is the network's. Not "
        "in the paper; other features, and those of an extractor, are not mixed in.",
    )
    extractor: Extractor = Field(
        "auto",
        description="Pretrained network that looks at the feature image, Table V; the paper: mdsr. auto is dynres, our "
        "own, for a low-rank feature, and none for others. The weights of edsr, mdsr, rdn and swinir are not part of "
        "this package, so preset paper has none: give them in extractor_weights.",
    )
    extractor_weights: str = Field(
        "",
        title="extractor weights",
        description="Its published weights: a .pt, .pth or .safetensors file (a mere name is also looked for in the "
        "folder of fetched weights), or `download` to fetch them once.",
    )
    extractor_sha256: str = Field(
        "",
        title="weights SHA-256",
        description="What the file's SHA-256 must be, or its first eight digits or more; empty: any.",
    )
    extractor_input: Literal["magnitude", "complex"] = Field(
        "magnitude",
        title="extractor input",
        description="What the extractor sees: the magnitude, or real part, imaginary part and magnitude.",
    )
    view_share: int = Field(
        2,
        ge=0,
        title="view sharing",
        description="Frames to either side in view-shared features.",
        json_schema_extra={"unit": "frames"},
    )
    deform_encoding: Encoding = Field(
        "freq", title="deformation encoding", description="Encoder of the deformation network."
    )
    canonical_encoding: Encoding = Field(
        "hash", title="canonical encoding", description="Encoder of the canonical network."
    )
    space_frequencies: int = Field(
        5, ge=0, le=16, title="I (space)", description="Highest octave of the frequency encoding of x and y, Eq. 5."
    )
    time_frequencies: int = Field(
        4, ge=0, le=16, title="I (time)", description="Highest octave of the frequency encoding of t, Eq. 5."
    )
    zero_at_start: Literal["switch", "difference"] = Field(
        "difference",
        title="Δ = 0 at t = 0",
        description="By a switch as in Eq. 5, or as a difference, which is continuous in t.",
    )
    deform_grid: int = Field(
        4,
        ge=1,
        le=16,
        title="deformation grid",
        description="The deformation is evaluated on every n-th pixel and interpolated.",
        json_schema_extra={"unit": "pixels"},
    )
    levels: HashLevels = None
    table_log2: TableLog2 = 19
    level_features: LevelFeatures = 2
    n_min: CoarsestCells = 16
    growth: float = Field(2.0, gt=1, le=4, title="b", description="Growth from level to level, Eq. 8.")
    members: int = Field(
        2,
        ge=1,
        le=16,
        description="Networks started from different weights and fitted side by side; their images are averaged.",
    )
    width: int = Field(64, ge=4, le=512, description="Neurons per hidden layer.")
    depth: Depth = 5
    learning_rate: LearningRate = Field(2.5e-3, description="AdamW step size of the networks.")
    table_learning_rate: float = Field(
        5e-3, gt=0, le=1, title="table learning rate", description="AdamW step size of the hash table."
    )
    table_weight_decay: float = Field(
        0.0, ge=0, title="table weight decay", description="AdamW weight decay of the hash table."
    )
    weight_decay: float = Field(1e-2, ge=0, title="weight decay", description="AdamW weight decay of the networks.")
    decay_to: FinalRate = 0.03
    ema: Averaging = 0.98

    @property
    def extractor_used(self) -> str:
        """The extractor that ``auto`` means; DynRes was trained on low-rank reconstructions."""
        if self.extractor != "auto":
            return self.extractor
        return "dynres" if self.feature == "lowrank" else "none"

    @field_validator("extractor")
    @classmethod
    def _extractor_has_an_image(cls, extractor: str, info: ValidationInfo) -> str:
        feature = info.data.get("feature")
        if extractor == "dynres" and feature not in RECONSTRUCTIONS:
            raise ValueError(f"dynres looks at a reconstruction, not at {feature}; choose feature lowrank")
        if extractor not in ("auto", "none") and feature == "none":
            raise ValueError("the feature is none, so there is no image to look at; choose feature nufft, as the paper")
        return extractor

    @field_validator("extractor_weights")
    @classmethod
    def _extractor_has_weights(cls, weights: str, info: ValidationInfo) -> str:
        extractor = info.data.get("extractor", "none")
        if extractor not in ("auto", "none", *WITH_WEIGHTS) and not weights.strip():
            raise ValueError(f"extractor {extractor} needs the path of its published weights, or 'download'")
        return weights.strip()

    @field_validator("extractor_sha256")
    @classmethod
    def _sha256_is_one(cls, digits: str) -> str:
        digits = digits.strip().lower()
        if digits and not (8 <= len(digits) <= 64 and set(digits) <= set("0123456789abcdef")):
            raise ValueError("give the 64 hexadecimal digits of a SHA-256, or its first eight or more")
        return digits

    @field_validator("growth")
    @classmethod
    def _levels_fit(cls, growth: float, info: ValidationInfo) -> float:
        """Hash grids have at most 2^24 cells across (32-bit entries); growth near 1 would need hundreds of levels."""
        levels, n_min = info.data.get("levels"), info.data.get("n_min", 2)
        if levels is not None and n_min * growth ** (levels - 1) > 2**24:
            raise ValueError(f"with levels {levels} and n_min {n_min} the finest level has over 2^24 cells")
        if levels is None and growth < 1.2:
            raise ValueError("is below 1.2; give levels too, as so slow a growth needs very many")
        return growth
