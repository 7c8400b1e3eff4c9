"""The live plot of curves: only what moves is drawn again. matplotlib is imported when the first curve comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from qtpy.QtCore import QSize, Qt, QTimer, Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QLabel, QStackedLayout, QWidget

from napari_dainr.analysis.phases import Phase, start_limits, with_start
from napari_dainr.gui.curves.artists import CurveArtists
from napari_dainr.gui.curves.drawn import Arrival, Drawn, LegendEntry
from napari_dainr.gui.curves.handles import handle_at, handle_words, time_at, words_at

__all__ = ["EMPTY", "CurvePlot"]

EMPTY = (
    "Draw a region: choose ◯ above, then press and drag over the aorta in the picture.\n"
    "Its signal over time appears here, and follows while you move it."
)


class CurvePlot(QWidget):
    """Curves with a time cursor, a baseline window, arrivals and phases, all of which can be dragged.

    Signals
    -------
    cursor_dragged(float)
        Seconds.
    baseline_dragged(float, float, bool)
        Start and end in seconds, and whether the mouse was let go.
    arrival_dragged(str, float, bool)
        Id of a region, seconds, and whether the mouse was let go.
    phases_dragged(object, bool)
        The phases with a border elsewhere, and whether the mouse was let go.
    menu_asked(float, object)
        Time under the mouse, seconds, and the place on the screen.
    read_out(str)
        What is under the mouse; empty if nothing is.
    """

    cursor_dragged = Signal(float)
    baseline_dragged = Signal(float, float, bool)
    arrival_dragged = Signal(str, float, bool)
    phases_dragged = Signal(object, bool)
    menu_asked = Signal(float, object)
    read_out = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.hint = QLabel(EMPTY)
        self.hint.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.hint.setWordWrap(True)
        self._stack = QStackedLayout(self)
        self._stack.setContentsMargins(0, 0, 0, 0)
        self._stack.addWidget(self.hint)
        self.canvas: Any = None
        self.axes: Any = None
        self.curves: list[Drawn] = []
        self.cursor_s: float | None = None
        self.baseline_s: tuple[float, float] | None = None
        self.n_full = self.n_quick = 0
        self._artists: CurveArtists | None = None
        self._background: Any = None
        self._legend: list[LegendEntry] = []
        self.phases: tuple[Phase, ...] = ()
        self.arrivals: tuple[Arrival, ...] = ()
        self._labels = ("time (s)", "")
        self._colours = ("#262930", "#f0f1f2")
        self._band = True
        self._grab = ""
        self._grab_at = 0.0
        self._went = False
        self._range: tuple[float, float, float, float] | None = None
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._redraw)
        self._full_is_due = True

    def minimumSizeHint(self) -> QSize:
        return QSize(320, 110)

    def sizeHint(self) -> QSize:
        return QSize(640, 220)

    @property
    def labels(self) -> tuple[str, str]:
        """Of the axes."""
        return self._labels

    @property
    def limits(self) -> tuple[float, float, float, float]:
        """First and last time, lowest and highest value that are shown."""
        return self._range or (0.0, 1.0, 0.0, 1.0)

    # ---------------------------------------------------------------- what is shown

    def set_curves(
        self, curves: Sequence[Drawn], *, labels: tuple[str, str], legend: Sequence[LegendEntry], band: bool
    ) -> None:
        """Show these curves; ``labels`` are those of the axes, ``legend`` is (text, style) in order."""
        self.curves = list(curves)
        if not curves:
            self._stack.setCurrentWidget(self.hint)
            return
        if self.canvas is None:
            self._make_canvas()
        self._stack.setCurrentWidget(self.canvas)
        assert self._artists is not None
        fresh = (labels, list(legend)) != (self._labels, self._legend) or band != self._band
        if labels[1] != self._labels[1]:
            self._range = None
        self._labels, self._legend, self._band = labels, list(legend), band
        self._artists.show(self.curves, band)
        moved = self._fit_range()
        self._ask(full=fresh or moved)

    def set_cursor(self, time_s: float | None) -> None:
        """Put the cursor at a time, seconds."""
        if time_s != self.cursor_s:
            self.cursor_s = time_s
            self._ask()

    def set_baseline(self, window_s: tuple[float, float] | None) -> None:
        """Show the baseline window, seconds."""
        if window_s != self.baseline_s:
            self.baseline_s = window_s
            self._ask()

    def set_phases(self, phases: Sequence[Phase]) -> None:
        """Show contrast phases as a strip at the top."""
        if tuple(phases) != self.phases and not self._grab.startswith("phase"):
            self.phases = tuple(phases)
            self._ask(full=True)

    def set_arrivals(self, arrivals: Sequence[Arrival]) -> None:
        """Show when the bolus arrives in each region."""
        if tuple(arrivals) != self.arrivals and not self._grab.startswith("arrival"):
            self.arrivals = tuple(arrivals)
            self._show_arrivals()

    def _show_arrivals(self) -> None:
        if self._artists is not None:
            self._artists.show_arrivals(self.arrivals)
            self._ask()

    def set_colours(self, background: str, text: str) -> None:
        """Follow the theme; colours as ``#rrggbb``."""
        self._colours = (background, text)
        if self._artists is not None:
            self._artists.set_colours(background, text)
            self._ask(full=True)

    def set_hint(self, text: str) -> None:
        """What stands here while there is no curve."""
        self.hint.setText(text)

    def _fit_range(self) -> bool:
        """Choose the limits; they stay while the curves fill at least half of them, so that a drag does not flicker."""
        low, high, first, last = np.inf, -np.inf, np.inf, -np.inf
        for curve in self.curves:
            first, last = min(first, float(curve.times_s[0])), max(last, float(curve.times_s[-1]))
            spread = np.nan_to_num(curve.spread) if self._band else 0.0
            values = np.concatenate([curve.centre - spread, curve.centre + spread])
            values = values[np.isfinite(values)]
            if values.size:
                low, high = min(low, float(values.min())), max(high, float(values.max()))
        if not np.isfinite([low, high, first, last]).all():
            low, high = (0.0, 1.0) if not np.isfinite([low, high]).all() else (low, high)
            first, last = (first, last) if np.isfinite([first, last]).all() else (0.0, 1.0)
        if high - low <= 1e-9 * max(abs(low), abs(high)):
            low, high = low - max(abs(low), 1e-6) * 0.1, high + max(abs(high), 1e-6) * 0.1
        if last <= first:
            first, last = first - 0.5, last + 0.5
        side, margin = 0.012 * (last - first), 0.07 * (high - low)
        wanted = (first - side, last + side, low - margin, high + margin)
        now = self._range
        if now is not None and now[:2] == wanted[:2] and now[2] <= low and high <= now[3]:
            still = high - low >= 0.5 * (now[3] - now[2])
            if still:
                return False
        self._range = wanted
        return True

    # ---------------------------------------------------------------- drawing

    def _make_canvas(self) -> None:
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure

        self.canvas = FigureCanvasQTAgg(Figure(figsize=(6, 2.2)))
        self.canvas.setMinimumSize(300, 100)
        self.axes = self.canvas.figure.add_subplot()
        self._artists = CurveArtists(self.axes)
        self._artists.set_colours(*self._colours)
        self._artists.show_arrivals(self.arrivals)
        self._stack.addWidget(self.canvas)
        self.canvas.mpl_connect("draw_event", self._drawn)
        self.canvas.mpl_connect("button_press_event", self._pressed)
        self.canvas.mpl_connect("motion_notify_event", self._moved)
        self.canvas.mpl_connect("button_release_event", self._released)

    def _ask(self, full: bool = False) -> None:
        """Draw in the next turn of the event loop: several changes are one drawing."""
        self._full_is_due = self._full_is_due or full
        if self.canvas is not None and not self._soon.isActive():
            self._soon.start(0)

    def _redraw(self) -> None:
        if self.canvas is None or not self.canvas.isVisible():
            return
        if self._full_is_due or self._background is None:
            self._lay_out()
            self.canvas.draw_idle()
            return
        self.n_quick += 1
        self.canvas.restore_region(self._background)
        self._draw_moving()
        self.canvas.blit(self.axes.figure.bbox)

    def _lay_out(self) -> None:
        assert self._artists is not None
        self._full_is_due = False
        if self._range is not None:
            self.axes.set_xlim(*self._range[:2])
            self.axes.set_ylim(*self._range[2:])
        ratio = self.canvas.device_pixel_ratio
        size = (self.canvas.width() * ratio, self.canvas.height() * ratio)
        self._artists.lay_out(self._labels, self._legend, self.phases, size)

    def _drawn(self, _: object) -> None:
        """matplotlib has drawn what rests: keep it, and put what moves over it."""
        self.n_full += 1
        self._background = self.canvas.copy_from_bbox(self.axes.figure.bbox)
        self._draw_moving()

    def _draw_moving(self) -> None:
        assert self._artists is not None
        self._artists.draw_moving(self.cursor_s, self.baseline_s)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        self._background = None
        self._ask(full=True)

    # ---------------------------------------------------------------- the mouse

    def _pressed(self, event: Any) -> None:
        if event.button == 3 and event.inaxes is self.axes:
            self.menu_asked.emit(float(event.xdata), self.canvas.mapToGlobal(event.guiEvent.pos()))
        handle = handle_at(self, event)
        if event.button != 1 or not (handle or event.inaxes is self.axes):
            return
        self._grab, self._went = handle or "cursor", False
        self._grab_at = time_at(self, event)
        if self._grab == "cursor":
            self.cursor_dragged.emit(self._grab_at)

    def _moved(self, event: Any) -> None:
        if not self._grab:
            handle = handle_at(self, event)
            shape = Qt.CursorShape.SizeHorCursor if handle else Qt.CursorShape.ArrowCursor
            self.canvas.setCursor(Qt.CursorShape.SizeAllCursor if handle == "window" else shape)
            self.read_out.emit(handle_words(self, handle) or words_at(self, event))
            return
        self._went = True
        self._drag(time_at(self, event), done=False)

    def _drag(self, time_s: float, done: bool) -> None:
        what, _, which = self._grab.partition(" ")
        if what == "cursor":
            if not done:
                self.cursor_dragged.emit(time_s)
            return
        if what in ("phase", "arrival"):
            (self._drag_phase if what == "phase" else self._drag_arrival)(which, time_s, done)
            return
        if self.baseline_s is None:
            return
        start, end = self.baseline_s
        if self._grab == "start":
            start = min(time_s, end)
        elif self._grab == "end":
            end = max(time_s, start)
        else:
            start, end = start + time_s - self._grab_at, end + time_s - self._grab_at
            self._grab_at = time_s
        self.set_baseline((start, end))
        self.baseline_dragged.emit(start, end, done)

    def _drag_phase(self, which: str, time_s: float, done: bool) -> None:
        number = int(which)
        if number < len(self.phases):
            low, high = start_limits(self.phases, number)
            room = 0.01 * (high - low)
            self.phases = with_start(self.phases, number, min(max(time_s, low + room), high - room))
            self._ask(full=True)
            self.read_out.emit(handle_words(self, self._grab))
            self.phases_dragged.emit(self.phases, done)

    def _drag_arrival(self, which: str, time_s: float, done: bool) -> None:
        ends = [curve.times_s[place] for curve in self.curves for place in (0, -1)]
        time_s = min(max(time_s, float(min(ends, default=time_s))), float(max(ends, default=time_s)))
        self.arrivals = tuple(
            replace(one, time_s=time_s, by_hand=True) if one.region_id == which else one for one in self.arrivals
        )
        self._show_arrivals()
        self.read_out.emit(handle_words(self, self._grab))
        self.arrival_dragged.emit(which, time_s, done)

    def _released(self, event: Any) -> None:
        if not self._grab or event.button != 1:
            return
        grab, time_s = self._grab, time_at(self, event)
        if self._went or grab == "cursor":  # a click moves nothing
            self._drag(time_s, done=True)
        self._grab = ""
