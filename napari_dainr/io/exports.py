"""Series written for other programs: NumPy, ImageJ TIFF and NIfTI. Every file is opened again before it counts.

Only the picture, its times and its sizes are written; ``series.info`` stays in the run folder, because it names files.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr import RESEARCH_USE
from napari_dainr.data import ImageSeries
from napari_dainr.io.atomic import atomic_write, write_text

__all__ = ["write_nifti", "write_npy", "write_npz", "write_tiff"]


def _same(found: Any, meant: NDArray[Any], what: str) -> None:
    if not np.array_equal(np.asarray(found), meant):
        raise ValueError(f"{what} differs")


def _near(found: float, meant: float, what: str) -> None:
    if not abs(found - meant) <= 1e-4 * abs(meant):
        raise ValueError(f"{what} is {found}, not {meant}")


def write_npy(series: ImageSeries, path: Path) -> None:
    """(frame, y, x) complex64, nothing else."""

    def write(temporary: Path) -> None:
        with temporary.open("xb") as file:
            np.save(file, series.image, allow_pickle=False)

    atomic_write(
        path, write, lambda p: _same(np.load(p, allow_pickle=False), series.image, "image"), series.image.nbytes
    )


def write_npz(series: ImageSeries, path: Path) -> None:
    """``image`` (frame, y, x) complex64, ``times_s``, ``pixel_mm`` (y, x), ``interpolated``, and a note."""
    arrays: dict[str, NDArray[Any]] = {
        "image": series.image,
        "times_s": series.times_s,
        "pixel_mm": np.asarray(series.pixel_mm, dtype=np.float64),
        "interpolated": series.interpolated,
        "note": np.asarray(RESEARCH_USE),
    }

    def write(temporary: Path) -> None:
        with temporary.open("xb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    def verify(temporary: Path) -> None:
        with np.load(temporary, allow_pickle=False) as again:
            for name, array in arrays.items():
                _same(again[name], array, name)

    atomic_write(path, write, verify, series.image.nbytes + (1 << 16))


def _side_facts(series: ImageSeries) -> dict[str, Any]:
    """What image formats have no place for; names as in BIDS where BIDS has them, seconds and millimetres."""
    starts = series.times_s - 0.5 * series.frame_duration_s
    return {
        "Note": RESEARCH_USE,
        "Method": series.method,
        "PixelSize": [float(size) for size in series.pixel_mm],
        "FrameTimesStart": [round(float(t), 9) for t in starts],
        "FrameTimesCentre": [round(float(t), 9) for t in series.times_s],
        "FrameDuration": [float(series.frame_duration_s)] * series.n_frames,
        "Interpolated": [bool(mark) for mark in series.interpolated],
    }


def write_tiff(series: ImageSeries, path: Path) -> None:
    """Magnitude as float32 ImageJ stack with frame interval (s) and pixel size (mm)."""
    import tifffile

    magnitude = np.ascontiguousarray(series.magnitude)
    metadata = {
        "axes": "TYX",
        "finterval": float(series.frame_step_s),
        "tunit": "s",
        "unit": "mm",
        "Info": json.dumps(_side_facts(series)),
    }
    per_mm = (1 / series.pixel_mm[1], 1 / series.pixel_mm[0])

    def write(temporary: Path) -> None:
        tifffile.imwrite(
            temporary, magnitude, imagej=True, photometric="minisblack", resolution=per_mm, metadata=metadata
        )

    def verify(temporary: Path) -> None:
        with tifffile.TiffFile(temporary) as again:
            _same(again.asarray().reshape(magnitude.shape), magnitude, "image")
            tags, facts = again.pages.first.tags, again.imagej_metadata or {}
            if series.n_frames > 1:
                _near(float(facts["finterval"]), series.frame_step_s, "frame interval")
            for tag, density in zip(("XResolution", "YResolution"), per_mm, strict=True):
                above, below = tags[tag].value
                _near(above / below, density, tag)

    atomic_write(path, write, verify, magnitude.nbytes + (1 << 16))


def _nifti(series: ImageSeries) -> Any:
    import nibabel

    pixel_y, pixel_x = series.pixel_mm
    volume = np.ascontiguousarray(series.magnitude.transpose(2, 1, 0)[:, :, None, :])
    nx, ny = volume.shape[:2]
    # Raw data says nothing of the patient's position here: rows run to the back and columns to the left, as on a
    # radiological display of an axial slice, with the image centre at the origin.
    affine = np.diag([-pixel_x, -pixel_y, 1.0, 1.0])
    affine[:2, 3] = pixel_x * (nx // 2), pixel_y * (ny // 2)
    picture = nibabel.Nifti1Image(volume, affine)
    header = picture.header
    header.set_xyzt_units("mm", "sec")
    header.set_zooms((pixel_x, pixel_y, 1.0, series.frame_step_s))
    header["toffset"] = float(series.times_s[0])
    header["descrip"] = RESEARCH_USE.encode()
    picture.set_sform(affine, code=2)
    picture.set_qform(affine, code=0)
    return picture


def write_nifti(series: ImageSeries, path: Path) -> None:
    """Magnitude as float32 (x, y, 1, t) NIfTI in mm and seconds, and a JSON file beside it with the exact times."""
    import nibabel

    picture = _nifti(series)
    volume = np.asanyarray(picture.dataobj)

    def verify(temporary: Path) -> None:
        again: Any = nibabel.load(temporary)
        _same(again.dataobj, volume, "image")
        if again.header.get_xyzt_units() != ("mm", "sec"):
            raise ValueError("the units differ")
        wanted = (series.pixel_mm[1], series.pixel_mm[0], 1.0, series.frame_step_s)
        for found, meant in zip(again.header.get_zooms(), wanted, strict=True):
            _near(float(found), meant, "a pixel size or the frame step")

    atomic_write(path, lambda temporary: nibabel.save(picture, temporary), verify, volume.nbytes + 352)
    stem = path.name[: -len(".nii.gz")] if path.name.lower().endswith(".nii.gz") else path.stem
    write_text(path.with_name(stem + ".json"), json.dumps(_side_facts(series), indent=1) + "\n")
