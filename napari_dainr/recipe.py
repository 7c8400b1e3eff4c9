"""A reconstruction written down, and the events that tell of it. No torch in this file.

A recipe is all that a run needs; :func:`run` turns it into a stream of events. The command line prints them, the
viewer draws them; neither can do anything that the other cannot.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_dainr.data import ImageSeries, KSpace
from napari_dainr.errors import InputError, reason_of
from napari_dainr.importing import ImportOptions
from napari_dainr.methods.config import CONFIGS, MethodConfig, method_config

__all__ = [
    "HELD_OUT",
    "Event",
    "Finished",
    "Notice",
    "Preview",
    "Progress",
    "Recipe",
    "Saved",
    "load_recipe",
    "recipe_from",
    "run",
    "save_recipe",
]


HELD_OUT = "held-out"
"""Name, among the losses of :class:`Progress`, of the error of the spokes that the fit does not see."""


class Recipe(BaseModel):
    """One reconstruction: data, framing, method and machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = Field(1, description="Version of the recipe format.")
    data: str = Field(description="k-space file.")
    importing: ImportOptions = Field(
        default_factory=ImportOptions, title="import", description="What the user says about the file; see below."
    )
    slice_index: int = Field(0, ge=0, title="slice", description="Slice to reconstruct, from 0.")
    spokes_per_frame: int = Field(ge=1, title="spokes per frame", description="Consecutive spokes that make one frame.")
    method: str = Field("dainr", description="Reconstruction method.")
    preset: str = Field("fast", description="Set of method settings to start from.")
    settings: dict[str, Any] = Field(default_factory=dict, description="Method settings that differ from the preset.")
    scale: float = Field(1.0, ge=0.5, le=4, title="scale ratio r", description="Drawn size over the matrix.")
    upsample: int = Field(1, ge=1, le=16, title="temporal upsampling", description="Steps drawn per measured frame.")
    coils: int | None = Field(None, ge=1, description="Virtual coils; empty: 99 % of the energy, at least 12.")
    coil_maps: Literal["adaptive", "espirit", "given"] = Field(
        "adaptive",
        title="coil maps",
        description="Estimated by adaptive combination or by ESPIRiT, or those of the file.",
    )
    held_out: float = Field(
        0.02,
        ge=0,
        le=0.3,
        title="held-out spokes",
        description="Fraction of the spokes kept away from the fit, to see over-fitting; 0: none.",
    )
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N; auto takes a GPU where there is one.")
    threads: int | None = Field(None, ge=1, description="CPU threads; empty: all cores, one fewer in the viewer.")
    seed: int = Field(0, ge=0, description="Seed of everything random.")

    def config(self) -> MethodConfig:
        """Settings of the method, checked."""
        return method_config(self.method, self.preset, self.settings)

    def shareable(self) -> dict[str, Any]:
        """The recipe as results may carry it: without the data's path and other folders, which may name a person."""
        values = self.model_dump(exclude={"data"})
        settings = CONFIGS[self.method].shareable(self.settings)
        return {**values, "settings": settings, "importing": self.importing.shareable()}


def recipe_from(values: Mapping[str, Any], source: str = "recipe") -> Recipe:
    """A checked recipe; raises InputError naming the field."""
    unknown = [key for key in values if key not in Recipe.model_fields]
    if unknown:
        raise InputError(f"{source}: unknown key {unknown[0]!r}; the keys are: {', '.join(Recipe.model_fields)}.")
    try:
        recipe = Recipe.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        given = "missing" if first["type"] == "missing" else f"{first['input']!r}"
        raise InputError(f"{source}: {key} is {given}: {first['msg'].lower()}.") from None
    recipe.config()
    return recipe


def load_recipe(path: Path) -> Recipe:
    """Read a recipe file (JSON)."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({reason_of(error)}); give a recipe file.") from None
    except ValueError:
        raise InputError(f"{path.name}: is not a recipe: it is not JSON.") from None
    if not isinstance(values, dict):
        raise InputError(f"{path.name}: is not a recipe: it holds no named fields.")
    try:
        return recipe_from(values, path.name)
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(path.name) else f"{path.name}: {text}") from None


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Write a recipe file (JSON), atomically."""
    from napari_dainr.io.atomic import write_text

    write_text(path, recipe.model_dump_json(indent=2) + "\n")


@dataclass(frozen=True)
class Notice:
    """A sentence for the log: a choice that was made, or something worth knowing."""

    text: str


@dataclass(frozen=True)
class Progress:
    """Where the fit stands after a step. ``losses`` are floats by name; ``stage`` names the part of the method."""

    step: int
    n_steps: int
    stage: str
    losses: dict[str, float]
    """Among them now and then :data:`HELD_OUT`: the relative error of the spokes that the fit does not see."""
    seconds: float
    steps_per_s: float
    eta_s: float
    memory_bytes: int = 0
    """What the process holds: resident memory, or on CUDA what torch has allocated of the card."""
    peak_memory_bytes: int = 0
    """The most that it held since the run began."""


@dataclass(frozen=True, eq=False)
class Preview:
    """The series as it stands, at the native frames and scale."""

    step: int
    series: ImageSeries


@dataclass(frozen=True)
class Saved:
    """A run folder or checkpoint now on disk, verified."""

    path: Path
    step: int


@dataclass(frozen=True, eq=False)
class Finished:
    """The end of a run, whole or stopped by the user; ``recipe`` has every ``auto`` resolved."""

    series: ImageSeries
    recipe: Recipe
    seconds: float
    stopped: bool
    folder: Path | None
    peak_memory_bytes: int = 0


Event = Notice | Progress | Preview | Saved | Finished


def run(
    recipe: Recipe,
    folder: Path | None = None,
    *,
    kspace: KSpace | None = None,
    resume: bool = False,
    stop: threading.Event | None = None,
    preview_hz: float = 0.0,
    checkpoint_s: float = 30.0,
    snapshots: int = 0,
    until: int | None = None,
) -> Iterator[Event]:
    """Carry out a recipe.

    Parameters
    ----------
    folder
        Run folder to write (recipe, series, fitted state, provenance, log); None keeps everything in memory.
    kspace
        The data, if already read; otherwise ``recipe.data`` is read.
    resume
        Go on from the checkpoint in ``folder``.
    stop
        When set, the fit ends after the step in hand and its result is kept, drawn and saved.
    preview_hz
        Most previews per second; 0 for none.
    checkpoint_s
        Seconds between checkpoints.
    snapshots
        Series drawn and kept along the fit, evenly over its steps, in ``folder/snapshots/step-…``.
    until
        Stop after this step, as if ``stop`` had been set.

    Yields
    ------
    Event
        Pausing is not pulling the next event; the last event is :class:`Finished`.

    Raises
    ------
    DainrError
        One sentence for the user.
    """
    from napari_dainr.engine import run_recipe

    yield from run_recipe(
        recipe,
        folder,
        kspace=kspace,
        resume=resume,
        stop=stop,
        preview_hz=preview_hz,
        checkpoint_s=checkpoint_s,
        snapshots=snapshots,
        until=until,
    )
