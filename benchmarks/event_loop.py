"""The event loop of a window that is measured: running it as the program does, and the gaps in it."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEventLoop, Qt, QTimer

__all__ = ["TICK_MS", "Gaps", "pause", "wait_until"]

TICK_MS = 5


class Gaps:
    """Times between ticks of a timer in the event loop."""

    def __init__(self) -> None:
        self._gaps: list[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def _tick(self) -> None:
        now = time.perf_counter()
        self._gaps.append(now - self._last)
        self._last = now

    def take(self) -> NDArray[np.float64]:
        """Gaps since the last call, milliseconds."""
        gaps, self._gaps = self._gaps, []
        return 1e3 * np.asarray(gaps)


def wait_until(condition: Callable[[], bool], seconds: float = 300) -> None:
    """Run a real event loop, as the program does, until something is so."""
    end = time.monotonic() + seconds
    loop = QEventLoop()
    look = QTimer()
    look.timeout.connect(lambda: loop.quit() if condition() or time.monotonic() > end else None)
    look.start(10)
    loop.exec()
    if not condition():
        raise TimeoutError("the program did not get there")


def pause(seconds: float) -> None:
    """Let the event loop run."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > end)
