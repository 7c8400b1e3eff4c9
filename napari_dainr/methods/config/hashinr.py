"""Settings of HashINR."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from napari_dainr.methods.config.base import MethodConfig

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

    n_steps: int = Field(300, ge=1, le=1_000_000, title="steps", description="Steps of the fit.")
    loss: Literal["l1", "l2", "relative"] = Field(
        "l1",
        description="Misfit in k-space: mean modulus, mean square, or square relative to the prediction (Fig. 3: R2).",
    )
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
    levels: int | None = Field(
        None, ge=1, le=32, title="L", description="Levels of the hash grid; empty: until N_max is the matrix size."
    )
    table_log2: int = Field(
        19, ge=4, le=24, title="log2 T", description="Entries per level of the hash table, as a power of two."
    )
    level_features: int = Field(2, ge=1, le=8, title="F", description="Features per entry.")
    n_min: int = Field(16, ge=2, title="N_min", description="Cells across the coarsest level.")
    growth: float = Field(
        2.0, ge=1.2, le=4, title="b", description="Growth from level to level, Eq. 8; at most this where L is empty."
    )
    width: int = Field(64, ge=4, le=512, description="Neurons per hidden layer.")
    depth: int = Field(2, ge=1, le=16, description="Hidden layers.")
    learning_rate: float = Field(5e-3, gt=0, le=1, title="learning rate", description="AdamW step size.")
    weight_decay: float = Field(0.0, ge=0, title="weight decay", description="AdamW weight decay.")
    decay_to: float = Field(
        0.03,
        gt=0,
        le=1,
        title="final rate",
        description="The learning rate falls to this fraction over the last half (1: constant).",
    )
    ema: float = Field(
        0.98,
        ge=0,
        lt=1,
        title="averaging",
        description="Exponential averaging of the weights, bias corrected (0: off).",
    )

    @model_validator(mode="after")
    def _levels_fit(self) -> HashinrConfig:
        """Hash grids have at most 2^24 cells across (32-bit entries)."""
        if self.levels is not None and self.n_min * self.growth ** (self.levels - 1) > 2**24:
            raise ValueError(
                f"levels is {self.levels}, but with n_min and growth as given the finest has over 2^24 cells"
            )
        return self
