"""The live loss curve."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from napari_dainr.gui._step_plot import StepPlot
from napari_dainr.recipe import HELD_OUT

__all__ = ["LossPlot", "smooth"]

MOST_POINTS = 1500
COLOURS = ("#4c9be8", "#e8a14c", "#6fbf73", "#c97fd6")


def smooth(values: np.ndarray[Any, np.dtype[np.float64]], width: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Running geometric mean over ``width`` steps back, (n,) → (n,); values must be positive."""
    logs = np.cumsum(np.concatenate([[0.0], np.log(values)]))
    ends = np.arange(1, values.size + 1)
    starts = np.maximum(0, ends - width)
    mean: np.ndarray[Any, np.dtype[np.float64]] = np.exp((logs[ends] - logs[starts]) / (ends - starts))
    return mean


class LossPlot(StepPlot):
    """Losses against steps on a log scale; raw values thin, running mean strong."""

    TOP = 0.88

    def __init__(self) -> None:
        super().__init__("The loss is drawn here while a fit runs.")
        self._losses: dict[str, tuple[list[int], list[float]]] = {}
        self._stage = ""
        self._names: frozenset[str] = frozenset()
        self._axes: Any = None
        self._lines: dict[str, tuple[Any, Any]] = {}

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
        self.soon()

    def _has_points(self) -> bool:
        return bool(self._losses)

    def _put(self) -> None:
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
            self._axes.legend(  # above the curves: they may be anywhere in the plot
                loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=4, frameon=False, fontsize=7, borderaxespad=0.0,
                labelcolor=self._colours[1], handlelength=1.4, columnspacing=1.0,
            )  # fmt: skip
        elif legend is not None:
            legend.remove()

    def _line(self, name: str, colour: str) -> tuple[Any, Any]:
        if name not in self._lines:
            (thin,) = self._axes.plot([], [], color=colour, alpha=0.35, linewidth=0.8)
            mark = "o" if name == HELD_OUT else None  # the first of them would be a line without length
            (strong,) = self._axes.plot([], [], color=colour, linewidth=1.6, label=name, marker=mark, markersize=2.5)
            self._lines[name] = (thin, strong)
        return self._lines[name]

    def _add_axes(self, figure: Any) -> None:
        from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

        self._axes = figure.add_subplot()
        self._axes.set_yscale("log")
        self._axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0), numticks=6))
        self._axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        self._axes.yaxis.set_minor_locator(NullLocator())
