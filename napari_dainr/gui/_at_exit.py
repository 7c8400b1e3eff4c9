"""The end of the program: what works in threads is stopped and waited for, because a thread that outlives Qt aborts."""

from __future__ import annotations

import atexit
from collections.abc import Callable

from qtpy.QtCore import QThreadPool

from napari_dainr.gui._scratch import clear_left_over

__all__ = ["at_rest", "at_work"]

EXIT_MS = 10_000
_stops: dict[int, Callable[[], None]] = {}


def at_work(who: object, stop: Callable[[], None]) -> None:
    """``who`` has a thread at work, and ``stop`` ends it; nothing holds ``who`` longer than the thread."""
    _stops[id(who)] = stop


def at_rest(who: object) -> None:
    """``who`` has no thread at work any more."""
    _stops.pop(id(who), None)


def _end_all() -> None:
    if _stops:
        for stop in list(_stops.values()):
            stop()
        pool = QThreadPool.globalInstance()
        if pool is not None:
            pool.waitForDone(EXIT_MS)
    clear_left_over()


atexit.register(_end_all)
