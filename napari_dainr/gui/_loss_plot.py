"""The live loss curve. matplotlib is imported when the first loss comes, not when the dock opens."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_dainr.gui._parts import Note

__all__ = ["LossPlot", "smooth"]

REDRAW_MS = 400
MOST_POINTS = 1500
HELD_OUT = "held-out"
COLOURS = ("#4c9be8", "#e8a14c", "#6fbf73", "#c97fd6")


def smooth(values: np.ndarray[Any, np.dtype[np.float64]], width: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Running geometric mean over ``width`` steps back, (n,) → (n,); values must be positive."""
    logs = np.cumsum(np.concatenate([[0.0], np.log(values)]))
    ends = np.arange(1, values.size + 1)
    starts = np.maximum(0, ends - width)
    mean: np.ndarray[Any, np.dtype[np.float64]] = np.exp((logs[ends] - logs[starts]) / (ends - starts))
    return mean


class LossPlot(QWidget):
    """Losses against steps on a log scale; raw values thin, running mean strong; at most 2.5 redraws a second."""

    def __init__(self) -> None:
        super().__init__()
        self._losses: dict[str, tuple[list[int], list[float]]] = {}
        self._stage = ""
        self._names: frozenset[str] = frozenset()
        self._colours = ("#262930", "#f0f1f2")
        self._canvas: Any = None
        self._axes: Any = None
        self._lines: dict[str, tuple[Any, Any]] = {}
        self._late = QTimer(self)
        self._late.setSingleShot(True)
        self._late.timeout.connect(self.redraw)
        self._hint = Note("The loss is drawn here while a fit runs.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._hint)

    @property
    def n_points(self) -> int:
        """Number of losses of the stage in hand."""
        return max((len(steps) for steps, _ in self._losses.values()), default=0)

    def clear(self) -> None:
        """Begin a new run."""
        self._stage = ""
        self._forget()

    def _forget(self) -> None:
        self._losses.clear()
        for lines in self._lines.values():
            for line in lines:
                line.remove()
        self._lines.clear()

    def add(self, losses: list[tuple[str, int, dict[str, float]]]) -> None:
        """Take (stage, step, losses by name); another stage, or losses of other names, begin another curve."""
        for stage, step, values in losses:
            names = frozenset(values) - {HELD_OUT}  # which comes only now and then
            if stage != self._stage or names != self._names:
                self._stage, self._names = stage, names
                self._forget()
            for name, value in values.items():
                if math.isfinite(value) and value > 0:
                    steps, kept = self._losses.setdefault(name, ([], []))
                    steps.append(step)
                    kept.append(value)
        if not self._late.isActive():  # never in one go with a new picture: each has its own turn of the event loop
            self._late.start(REDRAW_MS)

    def set_colours(self, background: str, text: str) -> None:
        """Follow the viewer's theme; colours as ``#rrggbb``."""
        self._colours = (background, text)
        if self._canvas is not None:
            self._paint()
            self._canvas.draw_idle()

    def redraw(self) -> None:
        """Draw what is there."""
        if not self._losses:
            return
        if self._canvas is None:
            self._make_canvas()
        low, high, first, last = math.inf, 0.0, math.inf, 1.0
        for i, (name, (steps, values)) in enumerate(self._losses.items()):
            x, y = np.asarray(steps), np.asarray(values)
            mean = smooth(y, max(1, min(20, y.size // 10)))
            every = max(1, x.size // MOST_POINTS)
            thin, strong = self._line(name, COLOURS[i % len(COLOURS)])
            if name == HELD_OUT:  # few and exact: a running mean would only hide where they turn
                mean = y
            thin.set_data(x[::every], y[::every])
            strong.set_data(x[::every], mean[::every])
            low, high = min(low, float(y.min())), max(high, float(y.max()))
            first, last = min(first, float(x[0])), max(last, float(x[-1]))
        middle = math.sqrt(low * high)
        self._axes.set_ylim(min(0.8 * low, middle / 2), max(1.25 * high, middle * 2))
        self._axes.set_xlim(first, max(last, first + 2))
        self._axes.set_ylabel(f"loss · {self._stage}" if self._stage else "loss")
        many = len(self._losses) > 1
        legend = self._axes.get_legend()
        if many:
            self._axes.legend(loc="upper right", frameon=False, fontsize=7, labelcolor=self._colours[1])
        elif legend is not None:
            legend.remove()
        self._canvas.draw_idle()

    def _line(self, name: str, colour: str) -> tuple[Any, Any]:
        if name not in self._lines:
            (thin,) = self._axes.plot([], [], color=colour, alpha=0.35, linewidth=0.8)
            (strong,) = self._axes.plot([], [], color=colour, linewidth=1.6, label=name)
            self._lines[name] = (thin, strong)
        return self._lines[name]

    def _make_canvas(self) -> None:
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

        figure = Figure(figsize=(3.4, 1.9))
        figure.subplots_adjust(left=0.19, right=0.97, top=0.95, bottom=0.24)  # frozen: a layout engine doubles the cost
        self._canvas = FigureCanvasQTAgg(figure)
        self._canvas.setMinimumHeight(170)
        self._canvas.setMaximumHeight(240)
        self._axes = figure.add_subplot()
        self._axes.set_yscale("log")
        self._axes.set_xlabel("step")
        self._axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0), numticks=6))
        self._axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        self._axes.yaxis.set_minor_locator(NullLocator())
        self._axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
        self._axes.margins(0)
        self._hint.hide()
        layout = self.layout()
        assert layout is not None
        layout.addWidget(self._canvas)
        self._paint()

    def _paint(self) -> None:
        background, text = self._colours
        axes = self._axes
        axes.figure.set_facecolor(background)
        axes.set_facecolor(background)
        for spine in axes.spines.values():
            spine.set_color(text)
            spine.set_linewidth(0.6)
        axes.spines["top"].set_visible(False)
        axes.spines["right"].set_visible(False)
        axes.tick_params(colors=text, labelsize=7, width=0.6, length=3)
        axes.xaxis.label.set(color=text, fontsize=8)
        axes.yaxis.label.set(color=text, fontsize=8)
