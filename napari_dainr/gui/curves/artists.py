"""What the plot of curves is made of, in matplotlib: what rests is drawn by it, what moves by us. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_dainr.analysis.phases import Phase
from napari_dainr.gui.curves.drawn import Arrival, Drawn, LegendEntry
from napari_dainr.gui.curves.style import CurveStyle

__all__ = ["CurveArtists"]

CURSOR = "#e8b23a"
LEGEND_PX, PHASE_PX = 17, 15
LOW_PX = 170
"""A plot that is lower does without a label of the axis of time, and has a closer legend."""
ARRIVAL_PX = 8
"""From the upper edge of the axes to the middle of a triangle of arrival."""
MOST_MARKERS = 60


class _Artists:
    """Line, band, filled and hollow markers of one curve."""

    def __init__(self, axes: Any) -> None:
        from matplotlib.collections import PolyCollection

        self.band = PolyCollection([], linewidths=0, animated=True, zorder=2)
        axes.add_collection(self.band, autolim=False)
        (self.line,) = axes.plot([], [], animated=True, zorder=3)
        (self.dots,) = axes.plot([], [], linestyle="none", markersize=4.0, animated=True, zorder=4)
        (self.rings,) = axes.plot(
            [],
            [],
            linestyle="none",
            markersize=3.6,
            markerfacecolor="none",
            markeredgewidth=0.8,
            animated=True,
            zorder=4,
        )

    @property
    def all(self) -> tuple[Any, ...]:
        return (self.band, self.line, self.rings, self.dots)

    def show(self, curve: Drawn, band: bool) -> None:
        style, t, y = curve.style, curve.times_s, curve.centre
        self.line.set_data(t, y)
        self.line.set(color=style.colour, linestyle=style.line, linewidth=style.width)
        measured, drawn = np.flatnonzero(~curve.interpolated), np.flatnonzero(curve.interpolated)
        step = max(1, -(-len(measured) // MOST_MARKERS))
        self.dots.set_data(t[measured][::step], y[measured][::step])
        self.dots.set(color=style.colour, marker=style.marker, visible=style.marked)
        between = max(1, -(-len(drawn) // (2 * MOST_MARKERS)))
        self.rings.set_data(t[drawn][::between], y[drawn][::between])
        self.rings.set(markeredgecolor=style.colour, marker=style.marker)
        fine = np.isfinite(y) & np.isfinite(curve.spread)
        if band and fine.any():
            t, y, spread = t[fine], y[fine], curve.spread[fine]
            outline = np.concatenate([np.column_stack([t, y - spread]), np.column_stack([t, y + spread])[::-1]])
            self.band.set_verts([outline])
            self.band.set_facecolor(style.colour)
            self.band.set_alpha(0.17 if style.marked else 0.07)
        else:
            self.band.set_verts([])

    def remove(self) -> None:
        for artist in self.all:
            artist.remove()


_BRIEF = {
    "Relative enhancement (%)": "RE (%)",
    "Absolute enhancement (a.u.)": "AE (a.u.)",
    "Signal / baseline": "S / S_BL",
}
"""Labels of the axis of values where the whole ones are longer than the axis; abbreviated as OSIPI does."""


class CurveArtists:
    """Axes, curves, cursor, baseline window, phases and legend."""

    def __init__(self, axes: Any) -> None:
        from matplotlib.ticker import MaxNLocator

        self.axes = axes
        self._curves: dict[tuple[str, str], _Artists] = {}
        self._colours = ("#262930", "#f0f1f2")
        self._strip: list[Any] = []
        self._cursor = axes.axvline(0.0, color=CURSOR, linewidth=1.4, linestyle=(0, (4, 2)), animated=True, zorder=6)
        self._window = axes.axvspan(0, 0, color="#8f98a3", alpha=0.16, linewidth=0, animated=True, zorder=1)
        across = axes.get_xaxis_transform()
        (self._grip,) = axes.plot([0, 0], [0, 0], color="#8f98a3", linewidth=5, solid_capstyle="butt",
                                  transform=across, animated=True, zorder=5)  # fmt: skip
        (self._ends,) = axes.plot([0, 0], [0.03, 0.03], linestyle="none", marker="|", markersize=16, markeredgewidth=2,
                                  color="#8f98a3", transform=across, animated=True, zorder=5)  # fmt: skip
        self._triangles: list[tuple[Any, Any]] = []
        axes.margins(0)
        axes.xaxis.set_major_locator(MaxNLocator(9))
        axes.yaxis.set_major_locator(MaxNLocator(5))

    def show(self, curves: Sequence[Drawn], band: bool) -> None:
        """Bring lines, bands and markers to these curves."""
        wanted = {curve.key for curve in curves}
        for key in [key for key in self._curves if key not in wanted]:
            self._curves.pop(key).remove()
        for curve in curves:
            if curve.key not in self._curves:
                self._curves[curve.key] = _Artists(self.axes)
            self._curves[curve.key].show(curve, band)

    @property
    def lines(self) -> dict[tuple[str, str], Any]:
        """Key → its line, for tests and read-outs."""
        return {key: artists.line for key, artists in self._curves.items()}

    @property
    def rings(self) -> dict[tuple[str, str], Any]:
        """Key → its hollow markers."""
        return {key: artists.rings for key, artists in self._curves.items()}

    def show_arrivals(self, arrivals: Sequence[Arrival]) -> None:
        """A triangle for each; a dotted line below it if it was set by hand."""
        from matplotlib.transforms import ScaledTranslation

        axes = self.axes
        for artists in self._triangles:
            for artist in artists:
                artist.remove()
        self._triangles = []
        across = axes.get_xaxis_transform()
        below = across + ScaledTranslation(0, -ARRIVAL_PX / 100, axes.figure.dpi_scale_trans)
        for one in arrivals:
            line = axes.axvline(one.time_s, color=one.colour, alpha=0.75 if one.by_hand else 0.0, linewidth=1.0,
                                linestyle=(0, (1, 2)), animated=True, zorder=2)  # fmt: skip
            (triangle,) = axes.plot([one.time_s], [1.0], marker="v", markersize=7, linestyle="none", animated=True,
                                    color=one.colour, markerfacecolor=one.colour if one.by_hand else "none",
                                    markeredgewidth=1.3, transform=below, clip_on=False, zorder=7)  # fmt: skip
            self._triangles.append((line, triangle))

    def draw_moving(self, cursor_s: float | None, baseline_s: tuple[float, float] | None) -> None:
        """Draw everything that moves into the canvas."""
        draw = self.axes.draw_artist
        if baseline_s is not None:
            start, end = baseline_s
            self._window.set_x(start)
            self._window.set_width(end - start)
            self._grip.set_xdata([start, end])
            self._ends.set_xdata([start, end])
            for artist in (self._window, self._grip, self._ends):
                draw(artist)
        for place in range(4):  # all bands below all lines, and those below all markers
            for artists in self._curves.values():
                draw(artists.all[place])
        for pair in self._triangles:
            for artist in pair:
                draw(artist)
        if cursor_s is not None:
            self._cursor.set_xdata([cursor_s, cursor_s])
            draw(self._cursor)

    # ---------------------------------------------------------------- what rests

    def rest(self, baseline_s: tuple[float, float] | None) -> None:
        """Nothing moves any more: let matplotlib draw all of it, without the cursor and the grips."""
        for artists in self._curves.values():
            for artist in artists.all:
                artist.set_animated(False)
        for pair in self._triangles:
            for artist in pair:
                artist.set_animated(False)
        for artist in (self._cursor, self._grip, self._ends):
            artist.remove()
        if baseline_s is None:
            self._window.remove()
            return
        self._window.set_x(baseline_s[0])
        self._window.set_width(baseline_s[1] - baseline_s[0])
        self._window.set_animated(False)

    def set_colours(self, background: str, text: str) -> None:
        """Of the theme."""
        self._colours = (background, text)
        axes = self.axes
        axes.figure.set_facecolor(background)
        axes.set_facecolor(background)
        for name, spine in axes.spines.items():
            spine.set_color(text)
            spine.set_linewidth(0.6)
            spine.set_visible(name in ("left", "bottom"))
        axes.tick_params(colors=text, labelsize=8, width=0.6, length=3)
        axes.grid(True, color=text, alpha=0.12, linewidth=0.6)
        axes.xaxis.label.set(color=text, fontsize=8.5)
        axes.yaxis.label.set(color=text, fontsize=8.5)

    def lay_out(
        self, labels: tuple[str, str], legend: Sequence[LegendEntry], phases: Sequence[Phase],
        size: tuple[float, float], below: float = 0.0,
    ) -> None:  # fmt: skip
        """Labels, legend and phases; margins are so many pixels at any size (pixels of the canvas).

        ``below`` keeps more pixels free under the axes.
        """
        from matplotlib.ticker import FuncFormatter

        axes, width, height = self.axes, max(size[0], 200.0), max(size[1], 100.0)
        ratio = axes.figure.dpi / 100.0
        low = height / ratio < LOW_PX
        unit = " s" if low and labels[0].endswith("(s)") else ""
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}{unit}"))
        axes.set_xlabel("" if unit else labels[0], labelpad=1)
        rows = self._put_legend(legend, width / ratio, low)
        top = 6 + LEGEND_PX * rows + (PHASE_PX if phases else 0)
        room = height / ratio - top - below
        axes.set_ylabel(_BRIEF.get(labels[1], labels[1]) if 6.7 * len(labels[1]) > room else labels[1], labelpad=3)
        axes.figure.subplots_adjust(
            left=min(0.4, 62 * ratio / width), right=1 - 12 * ratio / width,
            bottom=min(0.4, ((22 if unit else 36) + below) * ratio / height), top=1 - min(0.5, top * ratio / height),
        )  # fmt: skip
        self._put_phases(phases, height / ratio)

    def _put_legend(self, legend: Sequence[LegendEntry], width: float, close: bool) -> int:
        from matplotlib.lines import Line2D

        old = self.axes.get_legend()
        if old is not None:
            old.remove()
        if not legend:
            return 0
        handles = []
        for text, style in legend:
            if isinstance(style, CurveStyle):
                handles.append(
                    Line2D(
                        [], [], color=style.colour, linestyle=style.line, marker=style.marker, markersize=5, label=text
                    )
                )
            else:
                handles.append(Line2D([], [], color=self._colours[1], linestyle=style, linewidth=1.4, label=text))
        room = width - 76
        needs = [(30 if close else 42) + (5.2 if close else 5.6) * len(text) for text, _ in legend]
        columns = len(needs)
        if sum(needs) > room:  # two rows if the longest texts allow it, else as many as it takes
            half = -(-len(needs) // 2)
            columns = half if sum(sorted(needs)[-half:]) <= room else max(1, int(room // max(needs)))
        self.axes.legend(
            handles=handles, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=columns, frameon=False,
            fontsize=7.5 if close else 8, labelcolor=self._colours[1], borderaxespad=0.1,
            handlelength=1.9 if close else 2.6, columnspacing=0.9 if close else 1.4, labelspacing=0.25,
            borderpad=0.1,
        )  # fmt: skip
        return -(-len(handles) // columns)

    def _put_phases(self, phases: Sequence[Phase], height: float) -> None:
        for artist in self._strip:
            artist.remove()
        self._strip = []
        if not phases:
            return
        axes, text = self.axes, self._colours[1]
        across = axes.get_xaxis_transform()
        low, high = axes.get_xlim()
        box = axes.get_position()
        strip = PHASE_PX / max(1.0, height * box.height)
        wide = axes.figure.bbox.width * box.width / (axes.figure.dpi / 100.0)
        for number, phase in enumerate(phases):
            start, end = max(phase.start_s, low), min(phase.end_s, high)
            if end <= start:
                continue
            self._strip.append(
                axes.axvspan(start, end, ymin=1.0, ymax=1.0 + strip, color=text, alpha=(0.08, 0.16)[number % 2],
                             linewidth=0, clip_on=False)
            )  # fmt: skip
            if number:
                self._strip.append(axes.axvline(start, color=text, alpha=0.35, linewidth=0.7, linestyle=(0, (1, 2))))
                self._strip.append(
                    axes.axvspan(start, start, ymin=1.0, ymax=1.0 + strip, color=text, alpha=0.8, linewidth=1.6,
                                 clip_on=False)
                )  # fmt: skip
            room = wide * (end - start) / (high - low)
            name = phase.name if room > 6.0 * len(phase.name) else "".join(w[0] for w in phase.name.split()).upper()
            if room > 6.0 * len(name):
                self._strip.append(
                    axes.text((start + end) / 2, 1.0 + strip / 2, name, transform=across, ha="center", va="center",
                              fontsize=7.5, color=text, clip_on=False)
                )  # fmt: skip
        legend = axes.get_legend()
        if legend is not None:
            legend.set_bbox_to_anchor((0.0, 1.0 + strip))
