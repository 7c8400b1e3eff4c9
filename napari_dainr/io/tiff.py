"""A series as a TIFF stack with its pixel size and frame interval: for ImageJ, or with OME-XML."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from napari_dainr import RESEARCH_USE
from napari_dainr.data import ImageSeries
from napari_dainr.io.atomic import atomic_write
from napari_dainr.io.facts import WRITTEN_BY, facts_text, series_facts

if TYPE_CHECKING:
    from tifffile import TiffFile

__all__ = ["write_ome_tiff", "write_tiff"]


def write_tiff(series: ImageSeries, path: Path) -> None:
    """Write magnitudes, float32, axes TYX, arbitrary units.

    ``finterval`` is the time from frame to frame in seconds, the resolution is in pixels per mm; the exact times,
    interpolated frames and method are JSON in ImageJ's *Info*.

    Raises
    ------
    ExportError
        If it cannot be written or does not read back the same.
    """
    magnitude = np.ascontiguousarray(series.magnitude, dtype=np.float32)
    pixel_y, pixel_x = (float(size) for size in series.pixel_mm)
    info = facts_text(series_facts(series, "magnitude"), path.name, indent=None)
    metadata = {"axes": "TYX", "finterval": series.frame_step_s, "tunit": "sec", "unit": "mm", "Info": info}

    def check(file: TiffFile) -> None:
        facts, tags = file.imagej_metadata or {}, file.pages.first.tags
        per_mm = [tags[name].value for name in ("XResolution", "YResolution")]
        if not np.isclose(facts["finterval"], series.frame_step_s, rtol=1e-6) or facts["Info"] != info:
            raise ValueError("the times differ")
        sizes = [down / up for up, down in per_mm]
        if not np.allclose(sizes, [pixel_x, pixel_y], rtol=1e-6) or facts["unit"] != "mm":
            raise ValueError("the pixel size differs")

    options = {"imagej": True, "resolution": (1 / pixel_x, 1 / pixel_y), "metadata": metadata}
    _write(path, magnitude, options, check, len(info))


def write_ome_tiff(series: ImageSeries, path: Path) -> None:
    """Write magnitudes, float32, axes TYX, with OME-XML: pixel sizes in mm, ``TimeIncrement`` and each frame's
    ``DeltaT`` in s; the marks of interpolated frames and the note are a map annotation.

    Raises
    ------
    ExportError
        If it cannot be written or does not read back the same.
    """
    magnitude = np.ascontiguousarray(series.magnitude, dtype=np.float32)
    n = series.n_frames
    facts = facts_text(series_facts(series, "magnitude"), path.name, indent=None)
    metadata: dict[str, Any] = {
        "axes": "TYX",
        "Name": series.method,
        "Description": RESEARCH_USE,
        "Creator": WRITTEN_BY,
        # By default it would hold the network address of this machine.
        "UUID": str(uuid.uuid4()),
        "PhysicalSizeX": float(series.pixel_mm[1]),
        "PhysicalSizeXUnit": "mm",
        "PhysicalSizeY": float(series.pixel_mm[0]),
        "PhysicalSizeYUnit": "mm",
        "TimeIncrement": series.frame_step_s,
        "TimeIncrementUnit": "s",
        "Plane": {"DeltaT": [float(time) for time in series.times_s], "DeltaTUnit": ["s"] * n},
        "MapAnnotation": {WRITTEN_BY: facts},
    }

    def check(file: TiffFile) -> None:
        root = ElementTree.fromstring(file.ome_metadata or "")
        space = {"ome": root.tag[1:].partition("}")[0]}
        pixels = root.find("ome:Image/ome:Pixels", space)
        if pixels is None or any(
            pixels.get(key) != str(metadata[key]) for key in metadata if key.startswith(("Physical", "TimeInc"))
        ):
            raise ValueError("the pixel size or the time step differs")
        if [float(plane.get("DeltaT", "nan")) for plane in pixels.findall("ome:Plane", space)] != [*series.times_s]:
            raise ValueError("the times differ")
        marks = root.find(".//ome:MapAnnotation/ome:Value/ome:M", space)
        if marks is None or marks.text != facts:
            raise ValueError("the facts differ")

    _write(path, magnitude, {"ome": True, "metadata": metadata}, check, 300 * n)


def _write(
    path: Path, magnitude: NDArray[np.float32], options: dict[str, Any], check: Callable[[TiffFile], None], extra: int
) -> None:
    import tifffile

    def write(temporary: Path) -> None:
        tifffile.imwrite(temporary, magnitude, photometric="minisblack", **options)

    def verify(written: Path) -> None:
        with tifffile.TiffFile(written) as file:
            found = file.asarray()
            if found.dtype != np.float32 or found.size != magnitude.size:
                raise ValueError("the size differs")
            # A stack of one frame reads back without its first axis.
            if not np.array_equal(found.reshape(magnitude.shape), magnitude):
                raise ValueError("the samples differ")
            check(file)

    atomic_write(path, write, verify, magnitude.nbytes + extra + 65536)
