"""Settings of GRASP."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from napari_dainr.methods.config.base import MethodConfig
from napari_dainr.methods.config.fields import SolverSteps, SolverTolerance

__all__ = ["GraspConfig"]


class GraspConfig(MethodConfig):
    """GRASP [3]: min ½‖A x − y‖² + λ ‖TV_t x‖₁."""

    method_title: ClassVar[str] = "GRASP"

    lam: float | None = Field(
        None, ge=0, title="λ", description="Weight of temporal total variation; empty: chosen from the data."
    )
    lam_factor: float = Field(1.0, gt=0, title="λ factor", description="Multiplies λ, given or chosen.")
    space_factor: float = Field(
        0.0,
        ge=0,
        title="spatial TV",
        description="Weight of spatial total variation, as a multiple of λ; 0 is GRASP as published.",
    )
    n_steps: SolverSteps = 120
    tolerance: SolverTolerance = 2.5e-3
