"""A series as HDF5 with everything that is known of it.

HDF5 crashes the process, rather than raising, where a disk is full. So files are made in memory and written as plain
bytes; every dataset is contiguous, so any reader can map it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr import RESEARCH_USE
from napari_dainr.data import ImageSeries
from napari_dainr.io.atomic import atomic_write
from napari_dainr.io.facts import WRITTEN_BY, keep_raw_data, orientation_text

__all__ = ["MARK", "SCHEMA", "hdf5_bytes", "write_hdf5"]

SCHEMA = 1
"""Version of the layout (docs/how-to/export-formats.md)."""


MARK = f"{WRITTEN_BY} images"
"""Attribute of the root by which exports are told from raw data."""


def hdf5_bytes(fill: Callable[[Any], None]) -> bytes:
    """The bytes of an HDF5 file that ``fill(file)`` makes; the disk is not touched. It is marked as ours."""
    import h5py

    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        file.attrs["written_by"] = np.bytes_(MARK)
        file.attrs["note"] = np.bytes_(RESEARCH_USE)
        fill(file)
        file.flush()
        return bytes(file.id.get_file_image())


def write_hdf5(series: ImageSeries, path: Path) -> None:
    """Write ``image`` (frame, y, x) complex64 as {r, i}, ``times_s``, ``pixel_mm`` (y, x), ``frame_duration_s`` and
    ``interpolated``, with units as attributes.

    Raises
    ------
    ExportError
        If it cannot be written, does not read back the same, or raw data is in its place.
    """
    import h5py

    path = Path(path)
    keep_raw_data(path, MARK.encode())
    arrays: dict[str, tuple[NDArray[Any], dict[str, str]]] = {
        "image": (
            np.ascontiguousarray(series.image, dtype=np.complex64),
            {
                "axes": "frame, y, x",
                "unit": "arbitrary, one scale for the series",
                "orientation": orientation_text(series),
            },
        ),
        "times_s": (np.asarray(series.times_s, np.float64), {"axes": "frame", "unit": "s", "what": "frame centres"}),
        "pixel_mm": (np.asarray(series.pixel_mm, np.float64), {"axes": "y, x", "unit": "mm"}),
        "frame_duration_s": (np.asarray(series.frame_duration_s, np.float64), {"unit": "s"}),
        "interpolated": (
            np.asarray(series.interpolated, np.uint8),
            {"axes": "frame", "what": "1 where no k-space was measured for the frame"},
        ),
    }

    if series.plane is not None:
        plane = series.plane
        arrays["plane_lps"] = (
            np.array([plane.along_x, plane.along_y, plane.centre_mm], np.float64),
            {"axes": "along x, along y, centre; left, back, head", "unit": "1, 1, mm"},
        )

    def fill(file: Any) -> None:
        file.attrs["schema_version"] = SCHEMA
        file.attrs["method"] = series.method
        for name, (array, attributes) in arrays.items():
            file.create_dataset(name, data=array).attrs.update(attributes)

    def write(temporary: Path) -> None:
        temporary.write_bytes(hdf5_bytes(fill))

    def verify(written: Path) -> None:
        with h5py.File(written, "r") as file:
            if set(file) != set(arrays) or file.attrs["method"] != series.method:
                raise ValueError("the names differ")
            for name, (array, attributes) in arrays.items():
                found = file[name]
                if found.dtype != array.dtype or not np.array_equal(found[()], array):
                    raise ValueError(f"{name} differs")
                if dict(found.attrs) != attributes or found.chunks is not None:
                    raise ValueError(f"the layout of {name} differs")

    needed = sum(array.nbytes for array, _ in arrays.values()) + 16384
    atomic_write(path, write, verify, needed)
