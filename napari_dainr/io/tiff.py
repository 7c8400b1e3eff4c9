"""A series as a TIFF stack that ImageJ opens with its pixel size and frame interval."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from napari_dainr import RESEARCH_USE
from napari_dainr.data import ImageSeries
from napari_dainr.io.atomic import atomic_write

__all__ = ["write_tiff"]


def write_tiff(series: ImageSeries, path: Path) -> None:
    """Write magnitudes, float32, axes TYX, arbitrary units.

    ``finterval`` is the time from frame to frame in seconds, the resolution is in pixels per mm; the exact times,
    interpolated frames and method are JSON in ImageJ's *Info*.

    Raises
    ------
    ExportError
        If it cannot be written or does not read back the same.
    """
    import tifffile

    magnitude = np.ascontiguousarray(series.magnitude, dtype=np.float32)
    pixel_y, pixel_x = (float(size) for size in series.pixel_mm)
    info = json.dumps(
        {
            "note": RESEARCH_USE,
            "method": series.method,
            "intensity": "magnitude in arbitrary units",
            "times_s": [float(time) for time in series.times_s],
            "interpolated": [bool(mark) for mark in series.interpolated],
        }
    )
    metadata = {"axes": "TYX", "finterval": series.frame_step_s, "tunit": "sec", "unit": "mm", "Info": info}

    def write(temporary: Path) -> None:
        tifffile.imwrite(
            temporary,
            magnitude,
            imagej=True,
            photometric="minisblack",
            resolution=(1 / pixel_x, 1 / pixel_y),
            metadata=metadata,
        )

    def verify(written: Path) -> None:
        with tifffile.TiffFile(written) as file:
            found, facts, tags = file.asarray(), file.imagej_metadata or {}, file.pages.first.tags
            per_mm = [tags[name].value for name in ("XResolution", "YResolution")]
        if found.dtype != np.float32 or found.size != magnitude.size:
            raise ValueError("the size differs")
        # A stack of one frame reads back without its first axis.
        if not np.array_equal(found.reshape(magnitude.shape), magnitude, equal_nan=True):
            raise ValueError("the samples differ")
        if not np.isclose(facts["finterval"], series.frame_step_s, rtol=1e-6) or facts["Info"] != info:
            raise ValueError("the times differ")
        sizes = [down / up for up, down in per_mm]
        if not np.allclose(sizes, [pixel_x, pixel_y], rtol=1e-6) or facts["unit"] != "mm":
            raise ValueError("the pixel size differs")

    atomic_write(path, write, verify, magnitude.nbytes + 65536)
