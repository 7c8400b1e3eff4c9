"""A clock that moves napari's slider.

napari's own player takes whole frames per second only (``playback_fps`` is an integer), so 0.3 s per frame cannot play
at true speed; and it has no public call. This one asks the wall clock which frame is due. Where drawing is too slow,
frames are left out and the time stays right.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import floor
from typing import TYPE_CHECKING, Literal

from psygnal import Signal
from qtpy.QtCore import QObject, Qt, QTimer

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["Mode", "Player", "frame_due"]

TICK_MS = 8
MEASURED_S = 1.0
"""Seconds over which the rate of drawn frames is averaged."""

Mode = Literal["loop", "once", "back and forth"]


def frame_due(number: int, n_frames: int, mode: Mode) -> tuple[int, bool]:
    """Which frame to show ``number`` frames after the first, and whether it was the last one.

    Back and forth shows each end once per cycle, so a cycle has 2 n − 2 frames.
    """
    if mode == "once":
        return min(number, n_frames - 1), number >= n_frames - 1
    if mode == "back and forth" and n_frames > 2:
        at = number % (2 * n_frames - 2)
        return min(at, 2 * n_frames - 2 - at), False
    return number % n_frames, False


class Player:
    """Plays one axis of a viewer.

    Signals
    -------
    playing_changed(bool)
    measured(float)
        Frames per second that were shown lately, about once a second.
    """

    playing_changed = Signal(bool)
    measured = Signal(float)

    def __init__(self, viewer: ViewerModel, parent: QObject, clock: Callable[[], float] = time.perf_counter) -> None:
        self._viewer, self._clock = viewer, clock
        self._timer = QTimer(parent)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self.tick)
        self._axis, self._start, self._step = 0, 0.0, 1.0
        self._n, self._rate = 1, 1.0
        self._mode: Mode = "loop"
        self._began, self._first = 0.0, 0
        self._moving = self._playing = False
        self._shown: int | None = None
        self._count, self._since = 0, 0.0
        viewer.dims.events.point.connect(self._moved)

    @property
    def playing(self) -> bool:
        return self._playing

    def play(self, axis: int, start: float, step: float, n_frames: int, rate: float, mode: Mode) -> None:
        """Begin at the frame that is shown, or go on with another speed.

        Parameters
        ----------
        axis
            Of the viewer's dims.
        start, step
            World position of the first frame and from frame to frame.
        n_frames
            Two or more.
        rate
            Frames per second, above 0.
        """
        self._axis, self._start, self._step, self._n = axis, start, step, n_frames
        self._rate, self._mode = rate, mode
        self._anchor()
        if mode == "once" and self._first >= n_frames - 1:
            self._first = 0
        was = self.playing
        self._playing = True
        self._timer.start(max(TICK_MS, min(50, round(250 / rate))))
        if not was:
            self._count, self._since = 0, self._clock()
            self.playing_changed.emit(True)

    def stop(self) -> None:
        """Stay at the frame that is shown."""
        if self.playing:
            self._playing = False
            self._timer.stop()
            self.playing_changed.emit(False)

    def close(self) -> None:
        self.stop()
        self._viewer.dims.events.point.disconnect(self._moved)

    def _here(self) -> int:
        number = round((float(self._viewer.dims.point[self._axis]) - self._start) / self._step)
        return min(max(number, 0), self._n - 1)

    def _anchor(self) -> None:
        self._began, self._first = self._clock(), self._here()
        self._shown = self._first

    def _moved(self, *_: object) -> None:
        """The slider was moved by someone else: go on from there."""
        if not self._moving and self.playing:
            self._anchor()

    def tick(self) -> None:
        """Show the frame that is due."""
        now = self._clock()
        if self._axis >= self._viewer.dims.ndim:  # the layer that was played is gone
            self.stop()
            return
        number = self._first + floor((now - self._began) * self._rate + 1e-6)
        frame, last = frame_due(number, self._n, self._mode)
        if frame != self._shown:
            self._shown = frame
            self._count += 1
            self._moving = True
            try:
                self._viewer.dims.set_point(self._axis, self._start + frame * self._step)
            finally:
                self._moving = False
        if now - self._since >= MEASURED_S:
            self.measured.emit(self._count / (now - self._since))
            self._count, self._since = 0, now
        if last:
            self.stop()
