"""One fit of the benchmark: what is asked for, the folder that is named after it, and what was measured."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_dainr.bench.retrospective import centre_crop, every_kth_frame
from napari_dainr.bench.suite import DataItem, MethodChoice
from napari_dainr.data import ImageSeries, KSpace
from napari_dainr.errors import InputError
from napari_dainr.recipe import Recipe, recipe_from
from napari_dainr.run_folder import RunFolder

__all__ = ["Job", "Measured", "job_for"]

CLOCK, JOB, RESULT, RUN, SNAPSHOTS = "clock.json", "job.json", "result.json", "run", "snapshots"


@dataclass(frozen=True)
class Job:
    """A recipe on (a part of) a data set, for so many seconds.

    Parameters
    ----------
    crop
        Spokes are cropped to a matrix that is so many times coarser; 1 for none.
    keep_every
        Only every so-many-th frame is measured; 1 for all.
    budget_s
        Seconds after which the fit ends and its result is kept; None: as long as it takes.
    """

    name: str
    recipe: Recipe
    digest: str
    crop: float = 1.0
    keep_every: int = 1
    budget_s: float | None = None

    @property
    def key(self) -> str:
        """Digest of everything that the result and its time depend on, defaults of the settings among them.

        Preset and changed settings count only by what they add up to, so that a study finds what another has made.
        """
        facts = {
            "recipe": self.recipe.model_dump(exclude={"data", "preset", "settings"}),
            "settings": self.recipe.config().model_dump(),
            "data": self.digest,
            "crop": self.crop,
            "keep_every": self.keep_every,
            "budget_s": self.budget_s,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def folder(self, runs: Path) -> Path:
        """Folder of this fit below ``runs``."""
        return runs / f"{self.name}-{self.key[:12]}"

    def as_json(self, *, paths: bool) -> str:
        """The job for the process that fits; without ``paths`` as results may carry it, files by name only."""
        recipe = self.recipe.model_dump()
        if not paths:
            recipe = self.recipe.shareable() | {"data": Path(self.recipe.data).name}
        facts = {
            "name": self.name, "recipe": recipe, "digest": self.digest, "crop": self.crop,
            "keep_every": self.keep_every, "budget_s": self.budget_s,
        }  # fmt: skip
        return json.dumps(facts, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Job:
        """The job again."""
        facts = json.loads(text)
        return cls(**(facts | {"recipe": recipe_from(facts["recipe"], "job")}))

    def kspace(self, whole: KSpace) -> KSpace:
        """The part of the data that counts as measured."""
        part = every_kth_frame(whole, self.recipe.spokes_per_frame, self.keep_every) if self.keep_every > 1 else whole
        return centre_crop(part, self.crop) if self.crop > 1 else part


@dataclass(frozen=True)
class Measured:
    """What a finished fit took.

    Parameters
    ----------
    preparation_s, fit_s, drawing_s
        Reading, coils and maps; the steps alone, without checkpoints; drawing the series. Wall time, seconds.
    cpu_s
        Processor time of the steps, all threads together, seconds.
    peak_bytes
        Largest resident memory of the process that fitted, the interpreter and its libraries included; 0: not known.
    gpu_bytes
        Largest memory taken on the GPU; 0 on the CPU.
    snapshots
        (step, fit seconds) of the states that were kept along the way.
    """

    folder: Path
    preparation_s: float
    fit_s: float
    cpu_s: float
    drawing_s: float
    peak_bytes: int
    step: int
    n_steps: int
    stopped: bool
    gpu_bytes: int = 0
    snapshots: list[tuple[int, float]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """From the file to the series, without checkpoints."""
        return self.preparation_s + self.fit_s + self.drawing_s

    def series(self) -> ImageSeries:
        """The reconstruction."""
        return RunFolder(self.folder / RUN).series()

    @classmethod
    def load(cls, folder: Path) -> Measured | None:
        """What ``result.json`` says; None where the fit is not finished."""
        try:
            facts: dict[str, Any] = json.loads((folder / RESULT).read_text(encoding="utf-8"))
            return cls(folder, **(facts | {"snapshots": [tuple(pair) for pair in facts["snapshots"]]}))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(
                f"{folder.name}/{RESULT}: is damaged or of another version; remove the folder and run again."
            ) from None


def job_for(
    item: DataItem,
    choice: MethodChoice,
    *,
    seed: int = 0,
    threads: int | None = None,
    device: str = "auto",
    budget_s: float | None = None,
    crop: float = 1.0,
    keep_every: int = 1,
    scale: float = 1.0,
) -> Job:
    """A fit of one method to one data set; everything but method, settings and seed is the same for all methods."""
    recipe = recipe_from(
        {
            "data": str(item.path),
            "spokes_per_frame": item.spokes_per_frame,
            "method": choice.method,
            "preset": choice.preset,
            "settings": choice.settings,
            "scale": scale,
            "upsample": keep_every,
            "device": device,
            "threads": threads,
            "seed": seed,
        },
        f"{item.name}, {choice.label}",
    )
    return Job(f"{item.name}-{choice.method}", recipe, item.digest, crop, keep_every, budget_s)
