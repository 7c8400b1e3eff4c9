"""What of a plot of curves lies under the mouse, and what it is in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_dainr.gui.curves.artists import ARRIVAL_PX, PHASE_PX

if TYPE_CHECKING:
    from napari_dainr.gui.curves.plot import CurvePlot

__all__ = ["handle_at", "handle_words", "time_at", "words_at"]

NEAR_PX = 6.0


def time_at(plot: CurvePlot, event: Any) -> float:
    """Time under the mouse, seconds; also beside the axes."""
    return float(plot.axes.transData.inverted().transform((event.x, event.y))[0])


def _pixels_to(plot: CurvePlot, event: Any, time_s: float) -> float:
    return abs(float(event.x) - float(plot.axes.transData.transform((time_s, 0.0))[0]))


def handle_at(plot: CurvePlot, event: Any) -> str:
    """What the mouse would drag; empty for nothing.

    ``cursor``; ``start``, ``end`` or ``window`` of the baseline; ``phase N``, the start of phase number N;
    ``arrival ID``, that of a region.
    """
    ratio = float(plot.canvas.device_pixel_ratio)
    near = NEAR_PX * ratio
    above = (float(event.y) - float(plot.axes.bbox.y1)) / ratio
    if 0 <= above <= PHASE_PX:
        away = {n: _pixels_to(plot, event, plot.phases[n].start_s) for n in range(1, len(plot.phases))}
        nearest = min(away, key=lambda n: away[n], default=0)
        return f"phase {nearest}" if nearest and away[nearest] <= near else ""
    if event.inaxes is not plot.axes:
        return ""
    if -above <= 2 * ARRIVAL_PX:
        found = [one for one in plot.arrivals if _pixels_to(plot, event, one.time_s) <= near + ratio]
        if found:  # of two that lie on each other the one drawn last
            return f"arrival {min(reversed(found), key=lambda one: _pixels_to(plot, event, one.time_s)).region_id}"
    if plot.baseline_s is not None:
        ends = dict(zip(("start", "end"), plot.baseline_s, strict=True))
        # Of two ends that lie on each other, the end is the one that can move.
        near_it = [name for name in ("end", "start") if _pixels_to(plot, event, ends[name]) <= near]
        if near_it and (plot.cursor_s is None or _pixels_to(plot, event, plot.cursor_s) > near / 2):
            return near_it[0]
        bottom = float(plot.axes.transAxes.transform((0, 0))[1])
        inside = plot.baseline_s[0] < event.xdata < plot.baseline_s[1]
        if inside and event.y - bottom <= 2.5 * near:
            return "window"
    return "cursor" if plot.cursor_s is not None and _pixels_to(plot, event, plot.cursor_s) <= near else ""


def handle_words(plot: CurvePlot, handle: str) -> str:
    """What a handle is, in words."""
    what, _, which = handle.partition(" ")
    if what == "phase" and int(which) < len(plot.phases):
        phase = plot.phases[int(which)]
        return f"{phase.name} from {phase.start_s:.2f} s: drag to change"
    one = next((one for one in plot.arrivals if what == "arrival" and one.region_id == which), None)
    if one is None:
        return ""
    how = "by hand; right-click to have it found" if one.by_hand else "found; drag to set it by hand"
    return f"{one.name}: bolus arrival at {one.time_s:.2f} s, {how}"


def words_at(plot: CurvePlot, event: Any) -> str:
    """The phase or the point of a curve under the mouse, in words."""
    return _phase_under(plot, event) or _point_under(plot, event)


def _phase_under(plot: CurvePlot, event: Any) -> str:
    """The phase in the strip, whose name may be too long to stand there."""
    above = (float(event.y) - float(plot.axes.bbox.y1)) / float(plot.canvas.device_pixel_ratio)
    time_s = time_at(plot, event)
    inside = [phase for phase in plot.phases if phase.start_s <= time_s < phase.end_s]
    if not 0 <= above <= PHASE_PX or not inside:
        return ""
    return f"{inside[0].name}: {inside[0].start_s:.2f} to {inside[0].end_s:.2f} s"


def _point_under(plot: CurvePlot, event: Any) -> str:
    """The point nearest to the mouse, in words."""
    if event.inaxes is not plot.axes:
        return ""
    best, words = 12.0 * float(plot.canvas.device_pixel_ratio), ""
    unit = " s" if plot.labels[0] == "time (s)" else ""
    for curve in plot.curves:
        at = plot.axes.transData.transform(np.column_stack([curve.times_s, curve.centre]))
        distance = np.hypot(at[:, 0] - event.x, at[:, 1] - event.y)
        if not np.isfinite(distance).any():
            continue
        frame = int(np.nanargmin(distance))
        if distance[frame] < best:
            best = float(distance[frame])
            spread = f" ± {curve.spread[frame]:.3g} SD" if np.isfinite(curve.spread[frame]) else ""
            drawn = ", interpolated" if curve.interpolated[frame] else ""
            words = (
                f"{curve.label}: {curve.centre[frame]:.4g}{spread} at {curve.times_s[frame]:.2f}{unit} "
                f"(frame {frame}{drawn}, n = {curve.n})"
            )
    return words
