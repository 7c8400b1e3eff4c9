"""Waiting with the event loop running, for the scripts that make pictures."""

from __future__ import annotations

import time
from collections.abc import Callable

from qtpy.QtWidgets import QApplication

from napari_dainr.gui._model import Phase
from napari_dainr.gui.widget import ReconstructionDock

__all__ = ["has_ended", "settle", "wait_until"]

LIMIT_S = 900


def wait_until(condition: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    """Run the event loop until something is so; several fits take longer than the limit for one."""
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the program did not get there")
        QApplication.processEvents()
        time.sleep(0.01)


def settle(seconds: float = 0.6) -> None:
    """Let everything be drawn."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > end)


def has_ended(dock: ReconstructionDock) -> bool:
    """Whether the dock's fit is over, well or badly."""
    return dock.model.phase in (Phase.DONE, Phase.FAILED)
