"""The time cursor of the plot and napari's slider, linked both ways in seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

from napari_dainr.gui.curves.plot import CurvePlot
from napari_dainr.gui.curves.reading import Look

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["TimeLink"]

SEEK_MS = 30


class TimeLink(QObject):
    """Follows the slider; moves it when the cursor is dragged, at most every 30 ms: each step draws the picture.

    ``look`` gives the series whose units of time the slider has.
    """

    def __init__(self, viewer: ViewerModel, plot: CurvePlot, look: Callable[[], Look | None]) -> None:
        super().__init__(plot)
        self._viewer: ViewerModel | None = viewer
        self._plot, self._look = plot, look
        self._goal_s = 0.0
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(SEEK_MS)
        self._soon.timeout.connect(self._seek)
        plot.cursor_dragged.connect(self._dragged)
        viewer.dims.events.point.connect(self.follow)

    def close(self) -> None:
        """Let go of the viewer."""
        self._soon.stop()
        if self._viewer is not None:
            self._viewer.dims.events.point.disconnect(self.follow)
        self._viewer = None

    def _axis(self) -> tuple[int, float] | None:
        """Number of the slider of time, and seconds per unit of it."""
        look = self._look()
        if self._viewer is None or look is None or self._viewer.dims.ndim < 3:
            return None
        return int(self._viewer.dims.ndim) - 3, look.per_unit

    def follow(self, *_: object) -> None:
        """Put the cursor where the slider is."""
        found = self._axis()
        if found is None or self._viewer is None:
            self._plot.set_cursor(None)
        elif not self._soon.isActive():  # while it is dragged the cursor leads
            axis, per_unit = found
            self._plot.set_cursor(float(self._viewer.dims.point[axis]) * per_unit)

    def _dragged(self, time_s: float) -> None:
        self._goal_s = time_s
        self._plot.set_cursor(time_s)
        if not self._soon.isActive():
            self._soon.start()

    def _seek(self) -> None:
        found = self._axis()
        if found is not None and self._viewer is not None:
            axis, per_unit = found
            self._viewer.dims.set_point(axis, self._goal_s / per_unit)
            self.follow()
