"""Settings that several methods have: type, bounds, title and description, said once.

A method gives the default, and its own description where there is more to say::

    decay_to: FinalRate = 0.03
    n_steps: Steps = Field(2000, description="Steps of the fit; each step sees one frame.")
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

__all__ = [
    "Averaging",
    "CoarsestCells",
    "Depth",
    "FinalRate",
    "HashLevels",
    "HashLoss",
    "LearningRate",
    "LevelFeatures",
    "SolverSteps",
    "SolverTolerance",
    "Steps",
    "TableLog2",
    "TimeSpread",
]

Steps = Annotated[int, Field(ge=1, le=1_000_000, title="steps", description="Steps of the fit.")]
LearningRate = Annotated[float, Field(gt=0, le=1, title="learning rate", description="Adam step size.")]
FinalRate = Annotated[
    float,
    Field(
        gt=0,
        le=1,
        title="final rate",
        description="The learning rate falls to this fraction over the last half (1: constant).",
    ),
]
"""``to`` of :func:`napari_dainr.inr.fitting.late_decay`."""
Averaging = Annotated[
    float,
    Field(ge=0, lt=1, title="averaging", description="Exponential averaging of the weights, bias corrected (0: off)."),
]
"""``decay`` of :class:`napari_dainr.inr.averaging.WeightAverage`."""

Depth = Annotated[int, Field(ge=1, le=16, description="Hidden layers.")]
TimeSpread = Annotated[
    float,
    Field(
        gt=0,
        le=1000,
        title="σ (time)",
        description="Spread of the features' temporal frequencies: high follows fast changes, low averages over time.",
        json_schema_extra={"unit": "cycles/series"},
    ),
]

HashLevels = Annotated[
    int | None,
    Field(ge=1, le=32, title="L", description="Levels of the hash grid; empty: until N_max is the matrix size."),
]
TableLog2 = Annotated[
    int, Field(ge=4, le=24, title="log2 T", description="Entries per level of the hash table, as a power of two.")
]
LevelFeatures = Annotated[int, Field(ge=1, le=8, title="F", description="Features per entry.")]
CoarsestCells = Annotated[int, Field(ge=2, title="N_min", description="Cells across the coarsest level.")]
HashLoss = Annotated[
    Literal["l1", "l2", "relative"],
    Field(
        description="Misfit in k-space: mean modulus, mean square, or square relative to the prediction (Fig. 3: R2)."
    ),
]

SolverSteps = Annotated[
    int, Field(ge=1, le=100_000, title="iterations", description="Most iterations of the primal-dual solver.")
]
SolverTolerance = Annotated[
    float,
    Field(ge=0, description="Converged when one iteration changes the series by less than this fraction of its norm."),
]
