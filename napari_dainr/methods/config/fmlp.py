"""Settings of FMLP."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from napari_dainr.methods.config.base import MethodConfig

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

    n_steps: int = Field(
        2000, ge=1, le=1_000_000, title="steps", description="Steps of the fit; each step sees one frame."
    )
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
    time_cycles: float = Field(
        1.0,
        gt=0,
        le=1000,
        title="σ (time)",
        description="Spread of the features' temporal frequencies: high follows fast changes, low averages over time.",
        json_schema_extra={"unit": "cycles/series"},
    )
    width: int = Field(64, ge=4, le=2048, description="Neurons per hidden layer.")
    depth: int = Field(4, ge=1, le=16, description="Hidden layers.")
    learning_rate: float = Field(3e-3, gt=0, le=1, title="learning rate", description="Adam step size.")
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
