"""Arrays as NumPy files, bit for bit: any arrays, and a series."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr import RESEARCH_USE
from napari_dainr.data import ImageSeries
from napari_dainr.io.atomic import atomic_write

__all__ = ["save_array", "save_arrays", "write_npy", "write_npz"]


def _same(found: NDArray[Any], meant: NDArray[Any]) -> bool:
    """Whether type, shape and every byte agree (so NaN and −0 count as well)."""
    return found.dtype == meant.dtype and found.shape == meant.shape and found.tobytes() == meant.tobytes()


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array of any type but objects, without pickle, atomically.

    Raises
    ------
    ExportError
        If it cannot be written or does not read back the same.
    """

    def write(temporary: Path) -> None:
        with temporary.open("xb") as file:
            np.save(file, array, allow_pickle=False)

    def verify(written: Path) -> None:
        if not _same(np.load(written, allow_pickle=False), array):
            raise ValueError("the samples differ")

    atomic_write(path, write, verify, array.nbytes + 128)


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], compress: bool = False) -> None:
    """Write named arrays as ``.npz``, without pickle, atomically.

    Raises
    ------
    ExportError
        If it cannot be written or does not read back the same.
    """

    def write(temporary: Path) -> None:
        with temporary.open("xb") as file:
            (np.savez_compressed if compress else np.savez)(file, allow_pickle=False, **arrays)

    def verify(written: Path) -> None:
        with written.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            if set(file.files) != set(arrays):
                raise ValueError("the names of the arrays differ")
            for name, array in arrays.items():
                if not _same(file[name], array):
                    raise ValueError(f"{name} differs")

    atomic_write(path, write, verify, sum(array.nbytes for array in arrays.values()) + 4096)


def write_npy(series: ImageSeries, path: Path) -> None:
    """Write the image alone: (frame, y, x) complex64.

    Raises
    ------
    ExportError
        If it cannot be written or does not read back the same.
    """
    save_array(path, np.ascontiguousarray(series.image, dtype=np.complex64))


def write_npz(series: ImageSeries, path: Path) -> None:
    """Write ``image`` (frame, y, x) complex64, ``times_s``, ``pixel_mm`` (y, x), ``interpolated``,
    ``frame_duration_s``, ``method`` and ``note``; ``plane_lps`` (along x, along y, centre in mm) where the
    slice's place in the patient is known. Uncompressed and without pickle.

    Raises
    ------
    ExportError
        If it cannot be written or does not read back the same.
    """
    arrays: dict[str, NDArray[Any]] = {
        "image": np.ascontiguousarray(series.image, dtype=np.complex64),
        "times_s": np.asarray(series.times_s, dtype=np.float64),
        "pixel_mm": np.asarray(series.pixel_mm, dtype=np.float64),
        "interpolated": np.asarray(series.interpolated, dtype=bool),
        "frame_duration_s": np.asarray(series.frame_duration_s, dtype=np.float64),
        "method": np.asarray(str(series.method)),
        "note": np.asarray(RESEARCH_USE),
    }

    if series.plane is not None:
        plane = series.plane
        arrays["plane_lps"] = np.array([plane.along_x, plane.along_y, plane.centre_mm], np.float64)
    save_arrays(path, arrays)
