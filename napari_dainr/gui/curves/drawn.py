"""What is handed to a plot or a figure of curves. No Qt, no matplotlib."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr.gui.curves.style import CurveStyle

__all__ = ["Arrival", "Drawn", "LegendEntry"]

LegendEntry = tuple[str, Any]
"""(text, :class:`CurveStyle` of a region, or line style of a series)."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """One curve of a plot, in the mode that is shown.

    Parameters
    ----------
    key
        Region and series: the same key is the same line, whatever happens to it.
    label
        For the read-out.
    times_s, centre, spread : (frame,)
        ``spread`` is the SD; NaN draws no band.
    interpolated : (frame,) bool
        True where nothing was measured.
    style
        Colour, marker and line.
    n
        Pixels.
    """

    key: tuple[str, str]
    label: str
    times_s: NDArray[np.float64]
    centre: NDArray[np.float64]
    spread: NDArray[np.float64]
    interpolated: NDArray[np.bool_]
    style: CurveStyle
    n: int


@dataclass(frozen=True)
class Arrival:
    """When the bolus arrives in a region: a triangle at the upper edge, filled if it was set by hand.

    Parameters
    ----------
    region_id, name, colour
        Of the region.
    time_s
        Seconds from the first spoke.
    by_hand
        Whether somebody put it there.
    """

    region_id: str
    name: str
    colour: str
    time_s: float
    by_hand: bool = False
