"""The worker of an engine job. Importing this imports napari's threads, which takes seconds the first time."""

from __future__ import annotations

from collections.abc import Callable

from napari.qt.threading import FunctionWorker

from napari_dainr.gui._worker import Job

__all__ = ["JobWorker"]


class JobWorker(FunctionWorker):
    """Calls ``work()``; quitting it, as napari does when a window closes, drops the job."""

    def __init__(self, work: Callable[[], object], job: Job) -> None:
        super().__init__(work)
        self._job = job

    def quit(self) -> None:
        """End at the next event of the engine; napari waits for that."""
        self._job.drop()
        super().quit()
