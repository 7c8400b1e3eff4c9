"""What plots against the steps of a fit have in common. matplotlib is imported when the first point comes."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_dainr.gui._parts import Note

__all__ = ["StepPlot"]

REDRAW_MS = 400


class StepPlot(QWidget):
    """A small plot with steps to the right, drawn at most 2.5 times a second.

    A subclass says what is drawn: :meth:`_add_axes` and :meth:`_put`.
    """

    HEIGHT = (170, 240)
    BOTTOM = 0.24
    TOP = 0.95
    RIGHT = 0.97

    def __init__(self, hint: str) -> None:
        super().__init__()
        self._colours = ("#262930", "#f0f1f2")
        self._canvas: Any = None
        self._figure: Any = None
        self._late = QTimer(self)
        self._late.setSingleShot(True)
        self._late.timeout.connect(self.redraw)
        self._hint = Note(hint)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._hint)

    def _has_points(self) -> bool:
        raise NotImplementedError

    def _add_axes(self, figure: Any) -> None:
        """Add axes to the figure, once."""
        raise NotImplementedError

    def _put(self) -> None:
        """Put what there is into the axes."""
        raise NotImplementedError

    def soon(self) -> None:
        """Draw in a moment: never in one go with a new picture, each has its own turn of the event loop."""
        if not self._late.isActive():
            self._late.start(REDRAW_MS)

    def set_colours(self, background: str, text: str) -> None:
        """Follow the viewer's theme; colours as ``#rrggbb``."""
        self._colours = (background, text)
        if self._canvas is not None:
            self._paint()
            self._canvas.draw_idle()

    def redraw(self) -> None:
        """Draw what is there."""
        if not self._has_points():
            return
        if self._canvas is None:
            self._make_canvas()
        self._put()
        self._canvas.draw_idle()

    def _make_canvas(self) -> None:
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        low, high = self.HEIGHT
        self._figure = Figure(figsize=(3.4, low / 90))
        # Frozen: a layout engine doubles the cost.
        self._figure.subplots_adjust(left=0.19, right=self.RIGHT, top=self.TOP, bottom=self.BOTTOM)
        self._canvas = FigureCanvasQTAgg(self._figure)
        self._canvas.setMinimumHeight(low)
        self._canvas.setMaximumHeight(high)
        self._add_axes(self._figure)
        first = self._figure.axes[0]
        first.set_xlabel("step")
        first.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
        first.margins(0)
        self._hint.hide()
        layout = self.layout()
        assert layout is not None
        layout.addWidget(self._canvas)
        self._paint()

    def _paint(self) -> None:
        background, text = self._colours
        self._figure.set_facecolor(background)
        for axes in self._figure.axes:
            axes.set_facecolor("none" if axes is not self._figure.axes[0] else background)
            for side, spine in axes.spines.items():
                spine.set_color(text)
                spine.set_linewidth(0.6)
                spine.set_visible(side == "bottom" or side == axes.yaxis.get_label_position())
            axes.tick_params(colors=text, labelsize=7, width=0.6, length=3)
            for label in (axes.xaxis.label, axes.yaxis.label):
                label.set(color=text, fontsize=8)
            legend = axes.get_legend()
            for words in legend.get_texts() if legend is not None else ():
                words.set_color(text)
