"""What is written beside the pixels of a series, in every format that can hold words."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from napari_dainr import RESEARCH_USE
from napari_dainr.data import ImageSeries
from napari_dainr.errors import ExportError

__all__ = ["WRITTEN_BY", "facts_text", "keep_raw_data", "orientation_text", "series_facts"]

WRITTEN_BY = "napari-dainr"
"""Mark by which files of this program are known, so that only they are replaced."""

_NEAR_START = 1 << 16

ORIENTATION = (
    "Unknown: the raw file does not say it, so what is stored is made up. It makes viewers show the columns from left "
    "to right and the rows from top to bottom; it says nothing about the patient or the scanner."
)


MEASURED = (
    "Measured, from the header of the raw file: unit vectors along x (columns) and y (rows), and the position of pixel "
    "n // 2 in mm, in patient coordinates: left, back, head."
)


def orientation_text(series: ImageSeries) -> str:
    """Whether the orientation in an export is that of the patient, or made up."""
    return ORIENTATION if series.plane is None else MEASURED


def series_facts(series: ImageSeries, intensity: str) -> dict[str, Any]:
    """JSON-able: times and marks of all frames, sizes, method, and what may be done with it.

    ``series.info`` stays out: it holds the recipe, and with it names of files.
    """
    return {
        "written_by": WRITTEN_BY,
        "note": RESEARCH_USE,
        "method": series.method,
        "intensity": f"{intensity} in arbitrary units, one scale for the whole series",
        "orientation": orientation_text(series),
        "plane_lps": None if series.plane is None else series.plane.facts(),
        "pixel_mm": {"y": float(series.pixel_mm[0]), "x": float(series.pixel_mm[1])},
        "frame_step_s": series.frame_step_s,
        "frame_duration_s": float(series.frame_duration_s),
        "times_s": [float(time) for time in series.times_s],
        "interpolated": [bool(mark) for mark in series.interpolated],
    }


def facts_text(facts: dict[str, Any], name: str, indent: int | None = 1) -> str:
    """Facts as JSON; raises ExportError, which names the file, for what JSON cannot hold."""
    try:
        return json.dumps(facts, indent=indent, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ExportError(f"{name}: the facts of the series cannot be written as JSON ({error}).") from None


def keep_raw_data(path: Path, mark: bytes, *, marked: Path | None = None) -> None:
    """Raise ExportError if a file is there that is not an export of ours: its suffix is one of raw data as well.

    Parameters
    ----------
    path
        Where an export is going to be written.
    mark
        Bytes that every export of ours has near its start; nothing of a file is parsed.
    marked
        The file that has the mark, where it is not ``path``.
    """
    # os.path, because pathlib raises where a name is too long; that is told when it is written.
    if not os.path.isfile(path) or not os.path.getsize(path):
        return
    try:
        with (marked or path).open("rb") as file:
            ours = mark in file.read(_NEAR_START)
    except OSError:
        ours = False
    if not ours:
        raise ExportError(f"{path.name}: is there already and may be raw data; choose another name or move it.")
