"""Settings of NIK."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from napari_dainr.methods.config.base import MethodConfig
from napari_dainr.methods.config.fields import Averaging, Depth, FinalRate, LearningRate, Steps, TimeSpread

__all__ = ["NikConfig"]


class NikConfig(MethodConfig):
    """Neural implicit k-space [9]; preset ``paper`` has the numbers of its authors' published program."""

    method_title: ClassVar[str] = "NIK"
    paper: ClassVar[dict[str, Any]] = {
        "n_steps": 50_000,
        "batch": 30_000,
        "features": 512,
        "space_spread": 0.32,
        "time_spread": 0.32,
        "activation": "sine",
        "width": 512,
        "depth": 8,
        "envelope": False,
        "hdr_power": 1.0,
        "learning_rate": 3e-5,
        "decay_to": 1.0,
        "ema": 0.0,
    }

    n_steps: Steps = Field(6000, description="Steps of the fit; each step sees a batch of samples.")
    batch: int = Field(
        2048, ge=2, le=10_000_000, description="Samples of k-space per step, from all frames, every coil of each."
    )
    features: int = Field(
        256, ge=2, le=8192, multiple_of=2, description="Fourier features of (ky, kx, t): as many sines and cosines."
    )
    space_spread: float | None = Field(
        None,
        gt=0,
        le=10_000,
        title="σ (k-space)",
        description="Spread of the features' frequencies over k-space, as wide as the object is in pixels "
        "(empty: a 6th of the matrix).",
        json_schema_extra={"unit": "cycles/k-space"},
    )
    time_spread: TimeSpread = 1.0
    activation: Literal["sine", "relu"] = Field("relu", description="Of the hidden layers; the paper of NIK: sine.")
    omega: float = Field(30.0, gt=0, le=1000, title="ω₀", description="Frequency of the sine activations.")
    width: int = Field(128, ge=4, le=2048, description="Neurons per hidden layer.")
    depth: Depth = 4
    envelope: bool = Field(
        True,
        description="The network gives k-space relative to its mean magnitude at the same distance from the centre.",
    )
    hdr_power: float = Field(
        0.75,
        ge=0,
        le=1,
        title="relative error",
        description="Power of the predicted magnitude by which errors are divided (1: high-dynamic-range loss; 0: L2).",
    )
    hdr_epsilon: float = Field(
        1e-2,
        gt=0,
        le=1,
        title="ε",
        description="Added to the predicted magnitude in the loss, relative to the largest sample.",
    )
    learning_rate: LearningRate = 5e-3
    decay_to: FinalRate = 0.03
    ema: Averaging = 0.98
