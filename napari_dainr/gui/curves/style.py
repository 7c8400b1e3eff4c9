"""How a curve is drawn: colour and marker say the region, the line says the reconstruction. No Qt, no matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from napari_dainr.analysis.regions import ROLES, Region
from napari_dainr.gui.curves.reading import Look

__all__ = ["MARKERS", "CurveStyle", "line_of", "region_colour", "shade", "styles_of"]

MARKERS = {"AO": "o", "PV": "s", "LIVER": "^", "LV": "D", "MYO": "v", "OTHER": "P"}
"""Role → marker: colour is never the only difference."""
_LINES: tuple[Any, ...] = ("-", (0, (7, 2, 1.5, 2)), (0, (5, 2)), (0, (4, 1.5, 1.5, 1.5, 1.5, 1.5)), (0, (9, 3)))
_REFERENCE_LINE = (0, (1.5, 1.5))


@dataclass(frozen=True)
class CurveStyle:
    """Of one curve.

    Parameters
    ----------
    colour
        ``#rrggbb``.
    marker
        As matplotlib names it.
    line
        Line style of matplotlib.
    width
        Points.
    marked
        Whether measured frames have markers; the reference has none, so that it stays behind the others.
    """

    colour: str
    marker: str
    line: Any
    width: float = 1.6
    marked: bool = True


def shade(colour: str, part: float) -> str:
    """``#rrggbb`` mixed with white (part > 0) or black (part < 0)."""
    goal = 255 if part > 0 else 0
    values = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(v + (goal - v) * abs(part)):02x}" for v in values)


def region_colour(region: Region, regions: Sequence[Region]) -> str:
    """The colour of the role; the second and third region of a role are lighter and darker."""
    earlier = [one.id for one in regions if one.role == region.role]
    number = earlier.index(region.id) if region.id in earlier else 0
    return shade(region.colour, (0.0, 0.42, -0.34, 0.66)[number % 4])


def line_of(look: Look, looks: Sequence[Look]) -> Any:
    """Line style of a reconstruction among those that are shown; dotted for the reference if there are others."""
    if look.is_reference and len(looks) > 1:
        return _REFERENCE_LINE
    others = [one.key for one in looks if not (one.is_reference and len(looks) > 1)]
    return _LINES[others.index(look.key) % len(_LINES)] if look.key in others else "-"


def styles_of(region: Region, regions: Sequence[Region], look: Look, looks: Sequence[Look]) -> CurveStyle:
    """Style of the curve of a region in a reconstruction.

    One reconstruction alone: the line is the role's own. Several: the line says which one.
    """
    line = ROLES[region.role].line_style if len(looks) < 2 else line_of(look, looks)
    behind = look.is_reference and len(looks) > 1
    colour = region_colour(region, regions)
    return CurveStyle(colour, MARKERS[region.role], line, 1.2 if behind else 1.7, not behind)
