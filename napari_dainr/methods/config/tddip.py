"""Settings of TD-DIP."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from napari_dainr.methods.config.base import MethodConfig
from napari_dainr.methods.config.fields import Averaging, FinalRate, LearningRate, Steps

__all__ = ["TddipConfig"]


class TddipConfig(MethodConfig):
    """Time-dependent deep image prior [8]; preset ``paper`` has the numbers of its authors' published program."""

    method_title: ClassVar[str] = "TD-DIP"
    paper: ClassVar[dict[str, Any]] = {
        "n_steps": 10_000,
        "loss": "l2",
        "frames_per_step": 1,
        "members": 1,
        "width": 128,
        "learning_rate": 1e-3,
        "halve_every": 2000,
        "decay_to": 1.0,
        "ema": 0.0,
    }

    n_steps: Steps = Field(
        1200,
        description="Steps of the fit. Spokes per frame of 5, 8, 13, 21 or 34 (Fibonacci numbers) cover k-space best.",
    )
    loss: Literal["l1", "l2"] = Field("l1", description="Norm of the misfit in k-space; the paper of TD-DIP: l2.")
    members: int = Field(
        2,
        ge=1,
        le=16,
        description="Generators started from different weights and fitted side by side; their images are averaged.",
    )
    frames_per_step: int = Field(
        1,
        ge=1,
        le=64,
        title="frames per step",
        description="Frames that each generator sees per step.",
        json_schema_extra={"unit": "frames"},
    )
    cycles: float = Field(
        1.0,
        ge=0,
        le=1000,
        description="Turns of the helix from the first to the last frame: heartbeats or breaths (0: a straight line).",
    )
    levels: int = Field(4, ge=1, le=8, description="Enlargements by 2 from the smallest image to the matrix.")
    width: int = Field(32, ge=2, le=512, description="Feature images at every level.")
    blocks: int = Field(2, ge=1, le=8, title="convolutions", description="Convolutions at every level.")
    mapping_width: int = Field(
        512, ge=4, le=4096, title="mapping width", description="Neurons of the mapping network's hidden layer."
    )
    learning_rate: LearningRate = 3e-3
    halve_every: int | None = Field(
        None,
        ge=1,
        title="halve every",
        description="The learning rate is halved after so many steps (empty: never).",
        json_schema_extra={"unit": "steps"},
    )
    decay_to: FinalRate = 0.03
    ema: Averaging = 0.98
