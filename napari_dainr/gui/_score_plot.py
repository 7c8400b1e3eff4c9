"""PSNR and SSIM of the previews against a truth."""

from __future__ import annotations

from typing import Any

from napari_dainr.gui._step_plot import StepPlot

__all__ = ["ScorePlot"]

SHOWN = {"psnr_fit": ("PSNR (dB)", "#4c9be8", "o", 0.5), "ssim_fit": ("SSIM", "#e8a14c", "s", 0.01)}
"""Score → title, colour, mark and the least that its scale spans; the first stands at the left."""


class ScorePlot(StepPlot):
    """PSNR (scale at the left) and SSIM (at the right) against steps."""

    HEIGHT = (120, 150)
    BOTTOM = 0.33
    RIGHT = 0.83

    def __init__(self) -> None:
        super().__init__("PSNR and SSIM are drawn here with the next preview.")
        self._scores: dict[int, dict[str, float]] = {}
        self._lines: dict[str, Any] = {}

    @property
    def scores(self) -> dict[int, dict[str, float]]:
        """Step → scores by key."""
        return dict(self._scores)

    def clear(self) -> None:
        """Begin again."""
        self._scores.clear()
        for line in self._lines.values():
            line.set_data([], [])
        if self._canvas is not None:
            self._canvas.draw_idle()

    def add(self, step: int, scores: dict[str, float]) -> None:
        """Take the scores of the series at a step."""
        self._scores[step] = {key: scores[key] for key in SHOWN}
        self.soon()

    def _has_points(self) -> bool:
        return bool(self._scores)

    def _add_axes(self, figure: Any) -> None:
        from matplotlib.ticker import MaxNLocator

        left = figure.add_subplot()
        for (key, (title, colour, mark, _)), axes in zip(SHOWN.items(), (left, left.twinx()), strict=True):
            (self._lines[key],) = axes.plot([], [], color=colour, marker=mark, markersize=2.5, linewidth=1.3)
            axes.set_ylabel(title)
            axes.yaxis.set_major_locator(MaxNLocator(4))

    def _put(self) -> None:
        steps = sorted(self._scores)
        for (key, line), axes in zip(self._lines.items(), self._figure.axes, strict=True):
            values = [self._scores[step][key] for step in steps]
            line.set_data(steps, values)
            room = max(0.08 * (max(values) - min(values)), SHOWN[key][3] / 2)
            axes.set_ylim(min(values) - room, max(values) + room)
        self._figure.axes[0].set_xlim(min(steps), max(steps[-1], steps[0] + 2))

    def _paint(self) -> None:
        super()._paint()
        for (_, colour, *_), axes in zip(SHOWN.values(), self._figure.axes, strict=True):  # whose scale is whose
            axes.yaxis.label.set_color(colour)
            axes.tick_params(axis="y", labelcolor=colour)
