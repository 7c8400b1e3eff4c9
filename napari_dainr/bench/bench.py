"""What every study of a benchmark shares: its data, methods, runner and folders."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr.bench.document import Table
from napari_dainr.bench.job import Job, Measured, job_for
from napari_dainr.bench.runner import Runner
from napari_dainr.bench.suite import DataItem, MethodChoice, StudyChoice, method_choice
from napari_dainr.errors import InputError
from napari_dainr.methods import METHOD_NAMES

__all__ = ["Bench", "Column", "mean_text", "table_of", "with_settings"]


@dataclass(eq=False)
class Bench:
    """A benchmark under way.

    Parameters
    ----------
    forced_s, study_s, budget_s
        Seconds that a fit may take: as the user said, of the study under way, and of the suite; the data's own stand
        before the last. None: as many as its method asks for.
    pictures
        Folder of the pictures; the report stands in its parent.
    jobs
        Fits at a time in studies where the seconds do not matter.
    """

    items: list[DataItem]
    methods: list[MethodChoice] | None
    studies: dict[str, StudyChoice]
    runner: Runner
    pictures: Path
    seeds: int = 1
    budget_s: float | None = None
    study_s: float | None = None
    forced_s: float | None = None
    threads: int | None = None
    device: str = "auto"
    jobs: int = 1

    def choice(self, study: str) -> StudyChoice:
        """What a study was asked to run on."""
        return self.studies.get(study, StudyChoice())

    def items_of(self, study: str) -> list[DataItem]:
        """Data of a study: those that it names, or all with a truth."""
        named = self.choice(study).data
        chosen = [item for item in self.items if named is None or item.name in named]
        return chosen if study == "methods" else [item for item in chosen if item.truth is not None]

    def methods_of(self, study: str, default: tuple[str, ...], item: DataItem | None = None) -> list[MethodChoice]:
        """Methods of a study: its own, the data set's, those of the benchmark, or the study's default."""
        own = self.choice(study).methods
        if own is not None:
            return own
        if item is not None and item.methods is not None:
            return item.methods
        if study == "methods" and self.methods is not None:
            return self.methods
        if self.methods is not None:
            return [one for name in default for one in self.methods if one.method == name]
        return [method_choice(name) for name in default if name in METHOD_NAMES]

    def job(self, item: DataItem, choice: MethodChoice, **more: Any) -> Job:
        """A fit with what all fits of this benchmark have in common."""
        budgets = (self.forced_s, self.study_s, item.budget_s, self.budget_s)
        budget = next((seconds for seconds in budgets if seconds is not None), None)
        return job_for(item, choice, threads=self.threads, device=self.device, budget_s=budget, **more)

    def fit(self, item: DataItem, choice: MethodChoice, states: bool = False, **more: Any) -> Measured | None:
        """The finished fit, made now or found; None if it cannot be made. ``states``: keep some along the way."""
        try:
            job = self.job(item, choice, **more)
        except InputError as error:
            self.runner.leave_out(f"{item.name}-{choice.method} ({choice.label})", error)
            return None
        return self.runner(job, choice.label, states)

    def picture(self, name: str) -> tuple[Path, str]:
        """Where a picture goes, and what the report calls it."""
        self.pictures.mkdir(parents=True, exist_ok=True)
        return self.pictures / f"{name}.png", f"{self.pictures.name}/{name}.png"


def with_settings(choice: MethodChoice, settings: dict[str, Any], label: str) -> MethodChoice:
    """A method with some settings changed, under a name of its own."""
    return replace(choice, settings=choice.settings | settings, label=label)


def mean_text(values: list[float], digits: int) -> str:
    """Mean, and for several values the standard deviation."""
    if not values:
        return "–"
    text = f"{fmean(values):.{digits}f}"
    return text if len(values) < 2 else f"{text} ± {stdev(values):.{digits}f}"


@dataclass(frozen=True)
class Column:
    """A column of figures: the name of the figure, its head, digits, and which end is good (0: neither)."""

    name: str
    head: str
    digits: int
    good: int = 0


def table_of(
    first: str, rows: list[tuple[str, dict[str, list[float]]]], columns: list[Column], caption: str = ""
) -> Table:
    """A table of means with the best of each column in bold; columns without any figure are left out."""
    used = [c for c in columns if any(row.get(c.name) for _, row in rows)]
    best: dict[str, NDArray[np.floating] | float] = {}
    for column in used:
        means = [fmean(row[column.name]) for _, row in rows if row.get(column.name)]
        if column.good and len(means) > 1:
            best[column.name] = max(means) if column.good > 0 else min(means)
    lines = []
    for label, row in rows:
        cells = [label]
        for column in used:
            values = row.get(column.name) or []
            text = mean_text(values, column.digits)
            cells.append(f"**{text}**" if values and fmean(values) == best.get(column.name) else text)
        lines.append(cells)
    return Table([first, *(column.head for column in used)], lines, caption)
