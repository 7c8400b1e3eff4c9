"""Settings of the low-rank methods."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from napari_dainr.methods.config.base import MethodConfig
from napari_dainr.methods.config.fields import SolverSteps, SolverTolerance

__all__ = ["LowrankConfig"]


class LowrankConfig(MethodConfig):
    """Low rank and sparse in time [2]: min ½‖A x − y‖² + λ_L ‖x‖_* + λ_S ‖TV_t x‖₁, the rank of blocks or of all."""

    method_title: ClassVar[str] = "Low-rank"
    paper: ClassVar[dict[str, Any]] = {"scope": "global"}

    scope: Literal["local", "global"] = Field(
        "local",
        description="What should have low rank: blocks of the image (locally low rank) or the whole series (k-t SLR).",
    )
    model: Literal["both", "sum"] = Field(
        "both",
        description="Both penalties on the series (k-t SLR), or the series as a sum of a low-rank and a sparse part "
        "(L+S).",
    )
    block: int = Field(
        8,
        ge=2,
        le=512,
        title="block size",
        description="Side of the blocks, where the rank is local.",
        json_schema_extra={"unit": "pixels"},
    )
    shifts: int = Field(
        2,
        ge=1,
        le=8,
        title="partitions",
        description="Shifted partitions into blocks whose penalties are averaged; one shows its seams.",
    )
    lam_lowrank: float | None = Field(
        None, ge=0, title="λ_L", description="Weight of the nuclear norm; empty: chosen from the measured noise."
    )
    lam_lowrank_factor: float = Field(1.0, ge=0, title="λ_L factor", description="Multiplies λ_L, given or chosen.")
    lam_sparse: float | None = Field(
        None,
        ge=0,
        title="λ_S",
        description="Weight of temporal total variation; empty: chosen from the measured noise.",
    )
    lam_sparse_factor: float = Field(1.0, ge=0, title="λ_S factor", description="Multiplies λ_S, given or chosen.")
    space_factor: float = Field(
        0.0,
        ge=0,
        title="spatial TV",
        description="Weight of spatial total variation, as a multiple of the measured noise; 0: none, as published.",
    )
    n_steps: SolverSteps = 150
    tolerance: SolverTolerance = 1e-3
