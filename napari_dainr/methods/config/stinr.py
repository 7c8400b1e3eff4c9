"""Settings of ST-INR."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from napari_dainr.methods.config.fields import HashLoss
from napari_dainr.methods.config.hashinr import HashinrConfig

__all__ = ["StinrConfig"]


class StinrConfig(HashinrConfig):
    """ST-INR, Feng et al. [12], Eq. 10: the field of HashINR with temporal total variation and low rank."""

    method_title: ClassVar[str] = "ST-INR"
    paper: ClassVar[dict[str, Any]] = {**HashinrConfig.paper, "loss": "relative"}

    frames_per_step: int | None = Field(
        8,
        ge=2,
        title="frames per step",
        description="Consecutive frames that a step sees, over which its rank is taken; empty: all, as in the paper.",
    )
    loss: HashLoss = "relative"
    lam_sparse: float = Field(
        0.1, ge=0, title="λ_S", description="Weight of the mean temporal total variation, Eq. 10."
    )
    lam_lowrank: float = Field(
        0.01,
        ge=0,
        title="λ_L",
        description="Weight of the nuclear norm, Eq. 10, in units of that of a still series of magnitude 1.",
    )
    sparse_after: int = Field(
        20,
        ge=0,
        title="TV after step",
        description='Temporal total variation acts after this many steps (Fig. 3: "step > 20").',
        json_schema_extra={"unit": "steps"},
    )
    coarse_to_fine: float = Field(
        0.3,
        ge=0,
        le=1,
        title="coarse to fine",
        description="Part of the fit over which the finer half of the hash levels opens (0: all are open at once).",
    )
