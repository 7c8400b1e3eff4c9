"""Engine jobs that run beside the event loop. Nothing here touches a widget, a layer or the viewer.

A job is a function for one of napari's worker threads. It never lets an exception out: a ``RuntimeError`` that leaves a
worker may be swallowed there and the worker counts as running for ever, so failures are *returned*. Stop is our own
event. A generator would be left hanging in mid-fit when napari quits its workers, with all that it holds; so quitting
a :class:`JobWorker` drops the job, and the fit is closed in its own thread. What a job tells travels through a mailbox
that keeps only the newest picture, because the queue of worker signals has no bound.
"""

from __future__ import annotations

import contextlib
import threading
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_dainr import recipe as recipes
from napari_dainr.data import ImageSeries, KSpace
from napari_dainr.errors import DainrError, is_out_of_memory, reason_of
from napari_dainr.gui._model import Source
from napari_dainr.recipe import Finished, Notice, Preview, Progress, Recipe

__all__ = [
    "Ended",
    "Failed",
    "Job",
    "Loaded",
    "Mail",
    "Picture",
    "as_failed",
    "as_failed_write",
    "available_devices",
    "fit",
    "load",
    "read_source",
]


@dataclass(frozen=True, eq=False)
class Picture:
    """A series ready to be shown: magnitude (frame, y, x) float32 computed off the main thread."""

    series: ImageSeries
    magnitude: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Loaded:
    """k-space that was read."""

    kspace: KSpace
    source: Source


@dataclass(frozen=True, eq=False)
class Ended:
    """A reconstruction that came to its end, whole or stopped."""

    finished: Finished
    picture: Picture


@dataclass(frozen=True, eq=False)
class Failed:
    """A job that ended badly: one sentence for the user, and everything else behind Details."""

    message: str
    details: str


@dataclass
class Mail:
    """What happened since the last look."""

    picture: Picture | None = None
    progress: Progress | None = None
    losses: list[tuple[str, int, dict[str, float]]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


class Job:
    """A handle on one job, shared by the two threads.

    ``generation`` tells jobs apart: what arrives from any but the newest is dropped.
    """

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.stop = threading.Event()
        self.dropped = False
        self._go = threading.Event()
        self._go.set()
        self._lock = threading.Lock()
        self._mail = Mail()

    def pause(self) -> None:
        self._go.clear()

    def resume(self) -> None:
        self._go.set()

    def request_stop(self) -> None:
        """Stop after the step in hand and keep the result; also ends a pause."""
        self.stop.set()
        self._go.set()

    def drop(self) -> None:
        """End at the next event; nobody wants the result."""
        self.dropped = True
        self.request_stop()

    def wait_while_paused(self) -> None:
        """Return when the job may go on."""
        self._go.wait()

    def post(self, event: Notice | Progress | Picture) -> None:
        """Leave something for the main thread; a newer picture or progress replaces the older one."""
        with self._lock:
            mail = self._mail
            if isinstance(event, Picture):
                mail.picture = event
            elif isinstance(event, Progress):
                mail.progress = event
                if event.losses:
                    mail.losses.append((event.stage, event.step, event.losses))
            else:
                mail.notices.append(event.text)

    def collect(self) -> Mail:
        """Everything posted since the last call."""
        with self._lock:
            mail, self._mail = self._mail, Mail()
        return mail


def as_failed(error: BaseException, what: str) -> Failed:
    """One sentence for the user, the traceback for Details; ``what`` says what was being done."""
    details = "".join(traceback.format_exception(error))
    text = " ".join(str(error).split())
    if isinstance(error, DainrError):
        message = text
    elif is_out_of_memory(error):
        message = (
            f"Out of memory while {what}: choose a smaller scale ratio or temporal upsampling, "
            "more spokes per frame, or device cpu, and start again."
        )
    else:
        kind = type(error).__name__
        message = f"Something went wrong while {what} ({kind}: {text[:200]}); see Details, then start again."
    return Failed(message, details)


def as_failed_write(error: Exception, what: str) -> Failed:
    """The same for files that were to be written; ``what`` begins the sentence."""
    if isinstance(error, DainrError):
        return as_failed(error, what)
    return Failed(f"{what}: {reason_of(error)}; choose another place.", as_failed(error, what).details)


def fit(
    job: Job,
    recipe: Recipe,
    kspace: KSpace,
    folder: Path | None = None,
    preview_hz: float = 2.0,
    checkpoint_s: float = 30.0,
) -> Ended | Failed:
    """Run a recipe; what it tells goes into the job's mailbox, the end is returned."""
    try:
        events: Any = recipes.run(
            recipe, folder, kspace=kspace, stop=job.stop, preview_hz=preview_hz, checkpoint_s=checkpoint_s
        )
        with contextlib.closing(events):
            for event in events:
                if isinstance(event, Finished):
                    return Ended(event, Picture(event.series, event.series.magnitude))
                if isinstance(event, Preview):
                    job.post(Picture(event.series, event.series.magnitude))
                elif isinstance(event, (Progress, Notice)):
                    job.post(event)
                job.wait_while_paused()
                if job.dropped:
                    return Failed("The reconstruction was dropped: its viewer was closed.", "")
        return Failed("The reconstruction ended without a result; start again.", "The event stream had no Finished.")
    except Exception as error:
        return as_failed(error, "reconstructing")


def read_source(source: Source, folder: Path) -> Loaded:
    """Read a file, or make the sample data in ``folder`` and read that, so that a recipe can name the file."""
    from napari_dainr.io import read_kspace

    if source.path is None:
        from napari_dainr.io.ismrmrd import write_ismrmrd
        from napari_dainr.phantom import sample_kspace

        name: Literal["cine", "liver"] = "liver" if source.sample == "liver" else "cine"
        source = Source(folder / f"{name}-phantom.h5", name)
        assert source.path is not None
        write_ismrmrd(sample_kspace(name), source.path)
    assert source.path is not None
    return Loaded(read_kspace(source.path, source.importing), source)


def load(job: Job, source: Source, folder: Path) -> Loaded | Failed:
    """Read k-space; ``folder`` takes what sample data needs."""
    try:
        return read_source(source, folder)
    except Exception as error:
        return as_failed(error, f"reading {source.label}")


def available_devices(job: Job) -> tuple[str, ...] | Failed:
    """Devices that torch can use here, ``auto`` first. Imports torch, so it runs beside the first reconstruction."""
    try:
        import torch

        gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
        return ("auto", "cpu", *(["cuda"] if len(gpus) == 1 else gpus))
    except Exception as error:
        return as_failed(error, "looking for a GPU")
