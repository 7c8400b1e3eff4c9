"""First looks at a file under several readings of it: one NuFFT of many spokes each, made beside the event loop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr.acquired import Acquired
from napari_dainr.data import KSpace
from napari_dainr.errors import DainrError, InputError
from napari_dainr.importing import ImportOptions, kspace_of

__all__ = ["Found", "Look", "choices", "look_at", "looks_at"]

SPOKES = 233
"""Spokes of a look: enough for a clear picture, few enough that nobody waits."""

COILS = 6


@dataclass(frozen=True)
class Found:
    """What follows from the options in force."""

    acquired: Acquired
    kspace: KSpace | None
    problem: str


@dataclass(frozen=True)
class Look:
    """A picture of the data under one reading: (y, x) float32, or the reason why there is none."""

    title: str
    options: ImportOptions
    picture: NDArray[np.float32] | None
    problem: str = ""


def choices(options: ImportOptions, acquired: Acquired) -> list[tuple[str, ImportOptions]]:
    """Readings worth a look beside each other: (title, options)."""
    changes: list[tuple[str, dict[str, Any]]] = []
    if acquired.ktraj is not None:
        changes.append(("file", {"angles": "file"}))
    changes += [
        ("golden", {"angles": "golden", "full_circle": False}),
        ("golden 2π", {"angles": "golden", "full_circle": True}),
        (f"tiny golden {options.tiny_number}", {"angles": "tiny-golden", "full_circle": False}),
        ("uniform", {"angles": "uniform", "full_circle": False}),
        ("uniform 2π", {"angles": "uniform", "full_circle": True}),
    ]
    return [(title, options.model_copy(update=change)) for title, change in changes]


def _few(kspace: KSpace) -> KSpace:
    n = min(SPOKES, kspace.n_spokes)
    middle = kspace.n_slices // 2
    return replace(
        kspace,
        kdata=kspace.kdata[middle : middle + 1, :, :n],
        ktraj=kspace.ktraj[:n],
        spoke_times_s=kspace.spoke_times_s[:n],
    )


def look_at(kspace: KSpace) -> NDArray[np.float32]:
    """One NuFFT of the first spokes of the middle slice, (y, x), 0 to 1.

    Raises
    ------
    DainrError
        If it cannot be made.
    """
    from napari_dainr import recipe as recipes

    few = _few(kspace)
    recipe = recipes.Recipe(
        data=few.name, spokes_per_frame=few.n_spokes, method="nufft", coils=min(COILS, few.n_coils), device="cpu"
    )
    for event in recipes.run(recipe, kspace=few):
        if isinstance(event, recipes.Finished):
            magnitude = event.series.magnitude[0]
            top = float(np.percentile(magnitude, 99.5))
            return np.clip(magnitude / top, 0, 1) if top > 0 else magnitude
    raise AssertionError("a run ends with Finished")


def _look(title: str, options: ImportOptions, acquired: Acquired) -> Look:
    try:
        return Look(title, options, look_at(kspace_of(acquired, options)))
    except DainrError as error:
        return Look(title, options, None, str(error))


def looks_at(
    stop: threading.Event, path: Path, options: ImportOptions, known: Acquired | None
) -> Iterator[Found | Look]:
    """Read the file unless its readouts are ``known``, decide, and look: the present reading first, then the others."""
    from napari_dainr.io.formats import read_acquired

    acquired = read_acquired(path, options) if known is None else known
    if stop.is_set():
        return
    kspace: KSpace | None = None
    problem = ""
    try:
        kspace = kspace_of(acquired, options)
    except InputError as error:
        problem = str(error)
    yield Found(acquired, kspace, problem)
    yield _look("", options, acquired) if kspace is not None else Look("", options, None, problem)
    for title, others in choices(options, acquired):
        if stop.is_set():
            return
        yield _look(title, others, acquired)
