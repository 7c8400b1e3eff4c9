"""The curves as a figure for print: PNG, SVG or PDF. No Qt; safe to call off the main thread."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_dainr import RESEARCH_USE
from napari_dainr.analysis.phases import Phase
from napari_dainr.errors import InputError
from napari_dainr.gui.curves.artists import CurveArtists
from napari_dainr.gui.curves.drawn import Arrival, Drawn, LegendEntry
from napari_dainr.io.figure_file import save_figure

__all__ = ["FIGURE_FILES", "FigurePlan", "write_figure"]

FIGURE_FILES = {".png": 300, ".svg": 100, ".pdf": 100}
"""Suffix → dots per inch."""
_SIZE_IN = (7.2, 3.7)


@dataclass(frozen=True, eq=False)
class FigurePlan:
    """Everything a figure shows, frozen when it was asked for.

    Parameters
    ----------
    curves, labels, legend, band, phases
        As the plot has them.
    baseline_s
        Window, or None not to show it.
    facts
        One line below: native temporal resolution and the like.
    phase_note
        One line that says whether the phases are a suggestion.
    arrivals
        Those that were set by hand.
    """

    curves: tuple[Drawn, ...]
    labels: tuple[str, str]
    legend: tuple[LegendEntry, ...]
    band: bool
    limits: tuple[float, float, float, float]
    phases: tuple[Phase, ...] = ()
    baseline_s: tuple[float, float] | None = None
    facts: str = ""
    phase_note: str = ""
    arrivals: tuple[Arrival, ...] = ()


def write_figure(plan: FigurePlan, path: Path) -> None:
    """Write the figure; the suffix says the format.

    Raises
    ------
    InputError
        If the suffix is none of :data:`FIGURE_FILES`, or there is no curve.
    ExportError
        If it cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in FIGURE_FILES:
        raise InputError(f"{path.name}: cannot tell the format; end the name in {', '.join(FIGURE_FILES)}.")
    if not plan.curves:
        raise InputError(f"{path.name}: there is no curve to draw; draw a region first.")
    figure = _figure(plan, FIGURE_FILES[suffix])
    save_figure(figure, path, FIGURE_FILES)


def _figure(plan: FigurePlan, dpi: int) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE_IN, dpi=dpi)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    artists = CurveArtists(axes)
    artists.set_colours("#ffffff", "#222222")
    axes.set_xlim(*plan.limits[:2])
    axes.set_ylim(*plan.limits[2:])
    artists.show(plan.curves, plan.band)
    artists.show_arrivals(plan.arrivals)
    size = (_SIZE_IN[0] * dpi, _SIZE_IN[1] * dpi)
    lines = [line for line in (plan.facts, plan.phase_note if plan.phases else "", RESEARCH_USE) if line]
    artists.lay_out(plan.labels, plan.legend, plan.phases, size, below=13 * len(lines) + 2)
    artists.rest(plan.baseline_s)
    for number, line in enumerate(reversed(lines)):
        figure.text(0.012, (5 + 13 * number) / (100 * _SIZE_IN[1]), line, fontsize=6.5, color="#555555")
    return figure
