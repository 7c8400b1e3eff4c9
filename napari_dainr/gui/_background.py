"""Work beside the event loop whose end a person would wait for.

It goes through napari's ``create_worker``, so that the window asks before it is closed in the middle of it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from napari_dainr.gui._scratch import ScratchFolders
from napari_dainr.gui._worker import Failed, as_failed_write

__all__ = ["Once", "in_background", "write_in_background"]


class Once:
    """Calls a function once, and holds it no longer than that."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call: Callable[..., Any] | None = call

    def __call__(self, *given: Any) -> Any:
        call, self._call = self._call, None
        return None if call is None else call(*given)


def in_background(
    work: Callable[[], Any], then: Callable[[Any], None], ended: Callable[[], None] | None = None
) -> None:
    """Call ``work``, which raises nothing, in a thread; ``then`` gets its result on the main thread.

    ``ended`` is called in any case, also where napari quit the worker.
    """
    from napari.qt.threading import create_worker

    from napari_dainr.gui._job_worker import ForgettableWorker

    worker = create_worker(Once(work), _start_thread=False, _worker_class=ForgettableWorker)
    worker.returned.connect(Once(partial(_tell, then)))
    if ended is not None:
        worker.finished.connect(Once(partial(_tell, ended)))
    worker.start()


def _tell(call: Callable[..., Any], *outcome: Any) -> None:
    """Call who wanted to know; where its dock went with the window meanwhile, only failures are said, by napari."""
    try:
        call(*outcome)
    except Exception as error:
        if not _is_of_something_deleted(error):
            raise
        for failed in outcome:
            if isinstance(failed, Failed):
                from napari.utils.notifications import show_error

                show_error(failed.message)


def _is_of_something_deleted(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, says that Qt has deleted a widget."""
    while error is not None:
        if isinstance(error, RuntimeError) and ("has been deleted" in str(error) or "already deleted" in str(error)):
            return True
        error = error.__cause__
    return False


def write_in_background(
    write: Callable[[], None], done: str, path: Path, tell: Callable[[str, str, str], None], scratch: ScratchFolders
) -> None:
    """Call ``write`` in a thread; ``tell(kind, sentence, details)`` then hears on the main thread how it went.

    While it writes, no scratch folder is taken away.
    """

    def work() -> Failed | None:
        try:
            write()
        except Exception as error:  # told by a value: an exception that leaves a worker may be swallowed
            return as_failed_write(error, f"{path.name} was not written")
        return None

    def returned(outcome: Failed | None) -> None:
        if outcome is None:
            tell("info", f"{done}: {path.name}.", "")
        else:
            tell("error", outcome.message, outcome.details)

    def ended() -> None:
        scratch.copies -= 1

    scratch.copies += 1
    in_background(work, returned, ended)
