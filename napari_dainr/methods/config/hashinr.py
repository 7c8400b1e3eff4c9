"""Settings of HashINR."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, model_validator

from napari_dainr.methods.config.base import MethodConfig
from napari_dainr.methods.config.fields import (
    Averaging,
    CoarsestCells,
    Depth,
    FinalRate,
    HashLevels,
    HashLoss,
    LearningRate,
    LevelFeatures,
    Steps,
    TableLog2,
)

__all__ = ["HashinrConfig"]


class HashinrConfig(MethodConfig):
    """HashINR: a hash-encoded field over (x, y, t), [12] without its regularisers as in Sec. IV-A of the paper."""

    method_title: ClassVar[str] = "HashINR"
    paper: ClassVar[dict[str, Any]] = {
        "n_steps": 3000,
        "loss": "l2",
        "frames_per_step": None,
        "time_extent": 1.0,
        "levels": 16,
        "table_log2": 19,
        "level_features": 2,
        "n_min": 16,
        "growth": 2.0,
        "width": 64,
        "depth": 5,
        "learning_rate": 1e-3,
        "weight_decay": 1e-2,
        "decay_to": 1.0,
        "ema": 0.0,
    }

    n_steps: Steps = 300
    loss: HashLoss = "l1"
    epsilon: float = Field(
        0.1,
        gt=0,
        title="ε",
        description="Added to the magnitude of the prediction in the relative loss, in units of the scaled samples.",
    )
    frames_per_step: int | None = Field(
        4, ge=1, title="frames per step", description="Frames that a step sees; empty: all, as in the paper."
    )
    time_extent: float | None = Field(
        None,
        gt=0,
        le=1,
        title="time extent",
        description="Part of the hash grid that the frames span; empty: one cell of the finest level per frame.",
    )
    levels: HashLevels = None
    table_log2: TableLog2 = 19
    level_features: LevelFeatures = 2
    n_min: CoarsestCells = 16
    growth: float = Field(
        2.0, ge=1.2, le=4, title="b", description="Growth from level to level, Eq. 8; at most this where L is empty."
    )
    width: int = Field(64, ge=4, le=512, description="Neurons per hidden layer.")
    depth: Depth = 2
    learning_rate: LearningRate = Field(5e-3, description="AdamW step size.")
    weight_decay: float = Field(0.0, ge=0, title="weight decay", description="AdamW weight decay.")
    decay_to: FinalRate = 0.03
    ema: Averaging = 0.98

    @model_validator(mode="after")
    def _levels_fit(self) -> HashinrConfig:
        """Hash grids have at most 2^24 cells across (32-bit entries)."""
        if self.levels is not None and self.n_min * self.growth ** (self.levels - 1) > 2**24:
            raise ValueError(
                f"levels is {self.levels}, but with n_min and growth as given the finest has over 2^24 cells"
            )
        return self
