"""Workers that napari may list without keeping them. Importing this imports napari's threads, which takes seconds."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from napari.qt.threading import FunctionWorker

from napari_dainr.gui._worker import Job

__all__ = ["ForgettableWorker", "JobWorker"]


class ForgettableWorker(FunctionWorker):
    """Calls ``work()``, and is gone when that has ended.

    A window of napari lists how to quit each worker that was ever made beside it, and a window that was closed stays
    in memory with its list. What it finds here leads to the worker while there is one, and keeps nothing.
    """

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(work)
        self.quit = _QuitIfThere(self)

    def end(self) -> None:
        """What quitting does: work that cannot be interrupted goes on to its end, and its result is dropped."""
        FunctionWorker.quit(self)


class JobWorker(ForgettableWorker):
    """Calls ``work()``; quitting it, as napari does when a window closes, drops the job."""

    def __init__(self, work: Callable[[], object], job: Job) -> None:
        super().__init__(work)
        self._job = job

    def end(self) -> None:
        """End at the next event of the engine; napari waits for that."""
        self._job.drop()
        super().end()


class _QuitIfThere:
    """Quits a worker that is still there."""

    def __init__(self, worker: ForgettableWorker) -> None:
        self._worker = weakref.ref(worker)

    def __call__(self) -> None:
        if (worker := self._worker()) is not None:
            worker.end()
