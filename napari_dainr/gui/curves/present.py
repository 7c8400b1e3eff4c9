"""From readings to what is shown and exported: lines of the plot, legend, tables. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from napari_dainr.analysis.curves import Curve, baseline_of, in_mode
from napari_dainr.analysis.quantities import Onset, curve_quantities, region_onset
from napari_dainr.analysis.regions import Region
from napari_dainr.errors import InputError
from napari_dainr.gui.curves.drawn import Arrival, Drawn, LegendEntry
from napari_dainr.gui.curves.reading import Look, Reading
from napari_dainr.gui.curves.style import line_of, region_colour, styles_of
from napari_dainr.io.curves import CurveEntry, QuantityEntry

__all__ = [
    "View",
    "arrivals_of",
    "curve_entries",
    "drawn_curves",
    "facts_of",
    "legend_of",
    "quantity_entries",
    "short",
]


@dataclass(frozen=True)
class View:
    """What the user chose to see.

    Parameters
    ----------
    mode
        Key of :data:`napari_dainr.analysis.curves.MODES`.
    statistic
        ``mean`` or ``median``.
    baseline_s
        Window, seconds; None before there is one.
    """

    mode: str = "signal"
    statistic: str = "mean"
    baseline_s: tuple[float, float] | None = None

    def base(self, curve: Curve) -> float | None:
        """S_BL of a curve; None where there is no window."""
        return None if self.baseline_s is None else baseline_of(curve, self.baseline_s)


def short(title: str) -> str:
    """A series' title without words that all have."""
    return title.replace(" spokes per frame", " spokes")


def drawn_curves(
    readings: Sequence[Reading], regions: Sequence[Region], looks: Sequence[Look], view: View
) -> list[Drawn]:
    """Lines of the plot, in the mode that is shown."""
    drawn = []
    for reading in readings:
        if reading.curve is None:
            continue
        region, look, curve = reading.region, reading.look, reading.curve
        if view.statistic == "median":
            curve = replace(curve, mean=curve.median)
        curve = in_mode(curve, view.mode, view.base(curve))
        label = region.name + (f", {short(look.title)}" if len(looks) > 1 else "")
        style = styles_of(region, regions, look, looks)
        key = (region.id, look.key)
        drawn.append(Drawn(key, label, curve.times_s, curve.mean, curve.sd, curve.interpolated, style, curve.n))
    return drawn


def legend_of(readings: Sequence[Reading], regions: Sequence[Region], looks: Sequence[Look]) -> list[LegendEntry]:
    """Regions by colour and marker; with several series, these by their lines."""
    several = len(looks) > 1
    legend: list[LegendEntry] = []
    for region in regions:
        mine = [reading for reading in readings if reading.region.id == region.id and reading.curve is not None]
        if mine:
            style = styles_of(region, regions, mine[0].look, looks)
            legend.append((region.name, replace(style, line="-") if several else style))
    if several:
        used = {reading.look.key for reading in readings if reading.curve is not None}
        legend += [
            (short(look.title) + (" (reference)" if look.is_reference else ""), line_of(look, looks))
            for look in looks
            if look.key in used
        ]
    return legend


def facts_of(looks: Sequence[Look], baseline_s: tuple[float, float] | None, by_hand: bool = False) -> str:
    """Native temporal resolution, what hollow markers are, and the baseline window, in one line."""
    resolutions = sorted({f"{look.frame_duration_s:.3g} s" for look in looks if look.timed})
    words = [f"Native temporal resolution {', '.join(resolutions)}"] if resolutions else []
    if any(look.interpolated.any() for look in looks):
        words.append("hollow markers: interpolated frames")
    if baseline_s is not None:
        words.append(f"baseline {baseline_s[0]:.1f} to {baseline_s[1]:.1f} s" + (" (by hand)" if by_hand else ""))
    return " · ".join(words)


def curve_entries(readings: Sequence[Reading], view: View) -> list[CurveEntry]:
    """All curves, for a table."""
    return [
        CurveEntry(
            reading.look.title, reading.region.name, reading.region.role, reading.curve, view.base(reading.curve)
        )
        for reading in readings
        if reading.curve is not None
    ]


def quantity_entries(
    readings: Sequence[Reading], view: View, onset: Onset, auc_s: float
) -> tuple[list[QuantityEntry], list[Reading], list[str]]:
    """Quantities of all curves for a table, what each row was read from, and a sentence for each that can have none.

    ``onset`` is for regions whose bolus arrival was not set by hand.
    """
    found, rows, remarks = [], [], []
    for reading in readings:
        if reading.curve is None or view.baseline_s is None:
            continue
        region, title = reading.region, reading.look.title
        try:
            values = curve_quantities(
                reading.curve, view.baseline_s, onset=region_onset(region, onset), auc_s=auc_s, statistic=view.statistic
            )
        except InputError as error:
            remarks.append(f"{region.name}: {error}")
            continue
        found.append(QuantityEntry(title, region.name, region.role, reading.curve.n, values))
        rows.append(reading)
    return found, rows, remarks


def arrivals_of(
    entries: Sequence[QuantityEntry], rows: Sequence[Reading], regions: Sequence[Region], look: Look | None
) -> list[Arrival]:
    """When the bolus arrives in each region, in one series."""
    return [
        Arrival(
            row.region.id,
            row.region.name,
            region_colour(row.region, regions),
            entry.quantities.bolus_arrival_time_s,
            row.region.arrival_s is not None,
        )
        for entry, row in zip(entries, rows, strict=True)
        if look is not None and row.look.key == look.key and entry.quantities.bolus_arrival_time_s is not None
    ]
