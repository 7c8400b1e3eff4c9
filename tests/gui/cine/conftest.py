"""The dock "Cine" over viewers without a window, which are there at once, and with one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_dainr.gui._dock import find_or_open
from napari_dainr.gui.cine.dock import CineDock

WAIT_MS = 30_000
SECONDS = {"scale": (0.25, 1.5, 2.0), "translate": (0.5, 3.0, -4.0), "units": ("s", "mm", "mm")}


def series(n: int = 8, size: tuple[int, int] = (21, 17)) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.arange(n * size[0] * size[1], dtype=np.float32).reshape(n, *size)


@pytest.fixture
def model() -> ViewerModel:
    """A viewer without a window: layers, slider and keys are the same, and it is there at once."""
    return ViewerModel()


@pytest.fixture
def make_dock(qtbot: Any) -> Iterator[Callable[[Any], CineDock]]:
    """Opens the dock of a viewer; at the end nothing of it runs any more."""
    made: list[CineDock] = []

    def make(viewer: Any) -> CineDock:
        if isinstance(viewer, ViewerModel) and not hasattr(viewer, "window"):
            dock = CineDock(viewer)  # not added to qtbot, which has it deleted before this fixture ends
            dock.resize(400, 800)
            dock.show()
        else:
            dock = find_or_open(viewer, CineDock)
        made.append(dock)
        qtbot.wait(20)
        return dock

    yield make
    for dock in made:
        dock.cancel()
        qtbot.waitUntil(lambda dock=dock: dock.job is None and not dock._drawing, timeout=WAIT_MS)
        dock.play_panel.player.stop()
        dock._leave()
        with suppress(RuntimeError):  # it was closed, and PySide6 has deleted it
            if dock.parent() is None:
                dock.close()
                dock.deleteLater()


@pytest.fixture
def cine(model: ViewerModel, make_dock: Callable[[Any], CineDock]) -> CineDock:
    """The dock over a series of 8 frames."""
    model.add_image(series(), name="one", axis_labels=("t", "y", "x"), contrast_limits=(0, 2000), **SECONDS)
    return make_dock(model)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(cine: CineDock) -> Clock:
    """Time that the test makes; the timer of the player does not tick."""
    player = cine.play_panel.player
    player._clock = Clock()
    player._timer.timeout.disconnect()
    return player._clock


def step(viewer: Any) -> int:
    return int(viewer.dims.current_step[0])
