"""Settings of FMLP."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from napari_dainr.methods.config.base import MethodConfig
from napari_dainr.methods.config.fields import Averaging, Depth, FinalRate, LearningRate, Steps, TimeSpread

__all__ = ["FmlpConfig"]


class FmlpConfig(MethodConfig):
    """Fourier-feature MLP [10]; preset ``paper`` has the numbers of its authors' published program."""

    method_title: ClassVar[str] = "FMLP"
    paper: ClassVar[dict[str, Any]] = {
        "n_steps": 30_000,
        "loss": "l2",
        "space_features": 512,
        "space_cycles": 5.0,
        "time_features": 128,
        "time_cycles": 0.8,
        "width": 512,
        "depth": 7,
        "learning_rate": 2e-4,
        "decay_to": 1.0,
        "ema": 0.0,
    }

    n_steps: Steps = Field(2000, description="Steps of the fit; each step sees one frame.")
    loss: Literal["l1", "l2"] = Field("l1", description="Norm of the misfit in k-space; the paper of FMLP: l2.")
    space_features: int = Field(
        256,
        ge=2,
        le=8192,
        multiple_of=2,
        title="space features",
        description="Fourier features of the place (x, y): as many sines and cosines together.",
    )
    space_cycles: float | None = Field(
        None,
        gt=0,
        le=1000,
        title="σ (space)",
        description="Spread of the features' spatial frequencies: high is sharp and noisy, low is smooth "
        "(empty: a 16th of the matrix).",
        json_schema_extra={"unit": "cycles/FOV"},
    )
    time_features: int = Field(
        64, ge=2, le=8192, multiple_of=2, title="time features", description="Fourier features of the time."
    )
    time_cycles: TimeSpread = 1.0
    width: int = Field(64, ge=4, le=2048, description="Neurons per hidden layer.")
    depth: Depth = 4
    learning_rate: LearningRate = 3e-3
    decay_to: FinalRate = 0.03
    ema: Averaging = 0.98
