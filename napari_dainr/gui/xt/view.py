"""Strips under each other with one time axis and a time cursor that can be dragged. Painted, so that it keeps up."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log10

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QImage, QMouseEvent, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_dainr.analysis.sections import Strip
from napari_dainr.gui._time_layers import brief
from napari_dainr.gui.xt.reader import grey_levels

__all__ = ["StripView", "ticks"]

LEFT, RIGHT, TOP = 62, 14, 4
LEAST_STRIP, MARKS = 26, 5
CURSOR = "#e8a14c"


def ticks(low: float, high: float, room: float, each: float) -> list[float]:
    """Round numbers between two values, no closer than ``each`` pixels in ``room`` pixels."""
    if not high > low:
        return [low]
    least = (high - low) * each / max(room, each)
    power = 10.0 ** floor(log10(least))
    step = next(power * k for k in (1, 2, 5, 10) if power * k >= least * (1 - 1e-9))
    return [round(k * step, 10) for k in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


@dataclass(frozen=True, eq=False)
class _Row:
    title: str
    strip: Strip
    image: QImage
    pixels: NDArray[np.uint8]


class StripView(QWidget):
    """Draws strips.

    Signals
    -------
    time_wanted(float)
        The cursor was dragged, or a place clicked: seconds.
    """

    time_wanted = Signal(float)

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[_Row] = []
        self._hint = ""
        self._time: float | None = None
        self._colours = (QColor("#262930"), QColor("#f0f1f2"))
        self.units = ("mm", "s")
        self.paints = 0
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    # ---------------------------------------------------------------- what is shown

    def set_strips(self, strips: list[tuple[str, Strip, tuple[float, float]]], hint: str) -> None:
        """(title, strip, window) from top to bottom, and the words to be shown when there are none."""
        rows = []
        for title, strip, window in strips:
            pixels = grey_levels(strip.values, window)
            height, width = pixels.shape
            image = QImage(pixels.data, width, height, width, QImage.Format.Format_Grayscale8)
            rows.append(_Row(title, strip, image, pixels))
        changed = len(rows) != len(self._rows)
        self._rows, self._hint = rows, hint
        if changed:
            self.updateGeometry()
        self.setMinimumHeight(self.minimumSizeHint().height())
        self.update()

    def set_time(self, time: float | None) -> None:
        """Where the cursor stands, seconds."""
        if time != self._time:
            self._time = time
            self.update()

    def set_colours(self, background: str, text: str) -> None:
        """Follow the theme."""
        self._colours = (QColor(background), QColor(text))
        self.update()

    @property
    def titles(self) -> list[str]:
        return [row.title for row in self._rows]

    @property
    def pictures(self) -> list[NDArray[np.uint8]]:
        """(n, frame) grey of every strip, as it is drawn."""
        return [row.pixels for row in self._rows]

    # ---------------------------------------------------------------- where it is

    def minimumSizeHint(self) -> QSize:
        return QSize(320, max(90, len(self._rows) * (LEAST_STRIP + MARKS + 2) + self.fontMetrics().height() + 14))

    def _span(self) -> tuple[float, float]:
        edges = [_edges(row.strip) for row in self._rows]
        return min(low for low, _ in edges), max(high for _, high in edges)

    def _places(self) -> list[QRectF]:
        """Rectangle of every strip."""
        line = self.fontMetrics().height()
        each = (self.height() - TOP - line - 10) / max(1, len(self._rows))
        above = 1 if self._narrow else line + 2
        width = max(10, self.width() - LEFT - RIGHT)
        return [
            QRectF(LEFT, TOP + number * each + above, width, max(8.0, each - above - MARKS - 2))
            for number in range(len(self._rows))
        ]

    @property
    def _narrow(self) -> bool:
        """Whether there is so little room that titles stand in the strips."""
        line = self.fontMetrics().height()
        return (self.height() - TOP - line - 10) / max(1, len(self._rows)) < 2 * line + LEAST_STRIP

    def time_at(self, x: float) -> float:
        """Seconds under a place in the widget, inside the strips."""
        low, high = self._span()
        part = (x - LEFT) / max(1, self.width() - LEFT - RIGHT)
        return low + min(max(part, 0.0), 1.0) * (high - low)

    def x_at(self, time: float) -> float:
        """Place in the widget of a time."""
        low, high = self._span()
        return LEFT + (time - low) / (high - low) * (self.width() - LEFT - RIGHT)

    # ---------------------------------------------------------------- the mouse

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        if event is not None and event.button() == Qt.MouseButton.LeftButton and self._rows:
            self.time_wanted.emit(self.time_at(event.position().x()))

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        if event is None or not self._rows:
            return
        at = event.position()
        if event.buttons() & Qt.MouseButton.LeftButton:
            self.time_wanted.emit(self.time_at(at.x()))
            return
        near = self._time is not None and abs(at.x() - self.x_at(self._time)) < 5
        self.setCursor(Qt.CursorShape.SplitHCursor if near else Qt.CursorShape.CrossCursor)
        QToolTip.showText(event.globalPosition().toPoint(), self.describe(at), self)

    def describe(self, at: QPointF) -> str:
        """Time, position and value under a place; empty beside the strips."""
        for row, place in zip(self._rows, self._places(), strict=True):
            if place.contains(at):
                strip, time = row.strip, self.time_at(at.x())
                low, high = _edges(strip)
                if not low <= time <= high:
                    return ""
                frame = int(np.abs(strip.times_s - time).argmin())
                point = min(
                    int((at.y() - place.top()) / place.height() * len(strip.distance_mm)), len(strip.distance_mm) - 1
                )
                value = strip.values[frame, point]
                shown = "outside the image" if np.isnan(value) else f"{value:.4g}"
                drawn = ", interpolated" if strip.interpolated[frame] else ""
                where = f"{strip.distance_mm[point]:.1f} {self.units[0]}"
                when = f"frame {frame + 1}, {strip.times_s[frame]:.3f} {self.units[1]}{drawn}"
                return f"{row.title}\n{when}\n{where}: {shown}"
        return ""

    # ---------------------------------------------------------------- drawing

    def paintEvent(self, event: QPaintEvent | None) -> None:
        self.paints += 1
        painter = QPainter(self)
        background, text = self._colours
        painter.fillRect(self.rect(), background)
        painter.setPen(text)
        if not self._rows:
            room = QRectF(self.rect()).adjusted(20, 10, -20, -10)
            painter.drawText(room, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self._hint)
            painter.end()
            return
        places = self._places()
        for row, place in zip(self._rows, places, strict=True):
            self._paint_row(painter, row, place)
        low, high = self._span()
        time = self._time if self._time is not None and low <= self._time <= high else None
        words, flag = ("", QRectF()) if time is None else self._flag(time, places[-1])
        self._paint_times(painter, places[-1], flag)
        if time is not None:
            painter.setPen(QPen(QColor(CURSOR), 1.6))
            x = self.x_at(time)
            painter.drawLine(QPointF(x, places[0].top()), QPointF(x, places[-1].bottom() + MARKS))
            painter.fillRect(flag, QColor(CURSOR))
            painter.setPen(QColor("#1a1a1a"))
            painter.drawText(flag, Qt.AlignmentFlag.AlignCenter, words)
        painter.end()

    def _paint_row(self, painter: QPainter, row: _Row, place: QRectF) -> None:
        low, high = _edges(row.strip)
        left, right = self.x_at(low), self.x_at(high)
        painter.drawImage(QRectF(left, place.top(), right - left, place.height()), row.image)
        text, line = self._colours[1], self.fontMetrics().height()
        painter.setPen(text)
        drawn = int(row.strip.interpolated.sum())
        title = brief(row.title) if self._narrow else row.title  # in the strip it covers as little as may be
        words = f"{title}   ({drawn} of {len(row.strip.times_s)} frames interpolated)" if drawn else title
        words = self.fontMetrics().elidedText(words, Qt.TextElideMode.ElideMiddle, round(place.width()))
        if self._narrow:
            box = QRectF(place.left() + 2, place.top() + 1, self.fontMetrics().horizontalAdvance(words) + 8, line)
            ground = QColor(self._colours[0])
            ground.setAlpha(190)
            painter.fillRect(box, ground)
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, words)
        else:
            painter.drawText(QPointF(place.left(), place.top() - 0.25 * line), words)
        length = float(row.strip.distance_mm[-1])
        painter.setPen(QPen(text, 0.8))
        for at in ticks(0, length, place.height(), 1.4 * line):
            y = place.top() + at / length * place.height()
            painter.drawLine(QPointF(place.left() - 4, y), QPointF(place.left() - 1, y))
            box = QRectF(0, y - line / 2, place.left() - 7, line)
            box.moveTop(min(max(box.top(), place.top() - 0.3 * line), place.bottom() - 0.8 * line))
            label = f"{at:g} {self.units[0]}" if at == 0 else f"{at:g}"
            painter.drawText(box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, label)
        if drawn:  # a mark under every measured frame
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(text)
            step = (right - left) / len(row.strip.times_s)
            for frame in np.flatnonzero(~row.strip.interpolated):
                painter.drawRect(QRectF(left + frame * step, place.bottom() + 1, max(1.0, step - 1), MARKS - 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)

    def _paint_times(self, painter: QPainter, place: QRectF, flag: QRectF) -> None:
        """The axis of time; a number that the cursor's flag would cover in part is left out."""
        line = self.fontMetrics().height()
        low, high = self._span()
        painter.setPen(QPen(self._colours[1], 0.8))
        top = place.bottom() + MARKS
        painter.drawLine(QPointF(place.left(), top), QPointF(place.right(), top))
        for at in ticks(low, high, place.width(), 60):
            x = self.x_at(at)
            painter.drawLine(QPointF(x, top), QPointF(x, top + 4))
            half = self.fontMetrics().horizontalAdvance(f"{at:g}") / 2 + 1
            box = QRectF(x - half, top + 5, 2 * half, line)
            if not box.intersects(flag):
                painter.drawText(box, Qt.AlignmentFlag.AlignHCenter, f"{at:g}")
        words = f"time ({self.units[1]})" if self.units[1] else "first axis"
        painter.drawText(QRectF(0, top + 5, LEFT - 12, line), Qt.AlignmentFlag.AlignRight, words)

    def _flag(self, time: float, place: QRectF) -> tuple[str, QRectF]:
        """What the cursor's flag says, and where it is."""
        x, line = self.x_at(time), self.fontMetrics().height()
        words = f"{time:.3f} {self.units[1]}"
        width = self.fontMetrics().horizontalAdvance(words) + 10
        left = min(max(x - width / 2, 0), self.width() - width)
        return words, QRectF(left, place.bottom() + MARKS + 4, width, line + 2)


def _edges(strip: Strip) -> tuple[float, float]:
    """Where the first frame begins and the last one ends."""
    times = strip.times_s
    half = (float(times[-1]) - float(times[0])) / (2 * (len(times) - 1)) if len(times) > 1 else 0.5
    return float(times[0]) - half, float(times[-1]) + half
