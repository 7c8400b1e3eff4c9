"""A series as NIfTI-1 with millimetres and seconds, and a JSON file beside it for what NIfTI cannot hold."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr import RESEARCH_USE
from napari_dainr.data import ImageSeries
from napari_dainr.errors import ExportError
from napari_dainr.io.atomic import atomic_files
from napari_dainr.io.facts import WRITTEN_BY, facts_text, series_facts
from napari_dainr.plane import Plane

__all__ = ["keep_foreign", "series_affine", "sidecar", "write_nifti"]


def sidecar(path: Path) -> Path:
    """The JSON file that goes with a ``.nii`` or ``.nii.gz`` file."""
    stem = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    return path.with_name(stem[: -len(".nii")] + ".json")


def _facts(series: ImageSeries) -> dict[str, Any]:
    facts = {"axes": ["x", "y", "slice", "frame"], "slice_thickness": "unknown; 1 mm stands in the header"}
    return series_facts(series, "magnitude") | facts


def keep_foreign(beside: Path) -> None:
    """Raise ExportError if a file stands in the place of the sidecar that is not one of ours."""
    if not os.path.exists(beside):  # unlike pathlib, it says so of a name that is too long
        return
    try:
        ours = json.loads(beside.read_text(encoding="utf-8"))["written_by"] == WRITTEN_BY
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        raise ExportError(
            f"{beside.name}: would be replaced by the facts of the NIfTI file; choose another name or move it."
        )


def series_affine(
    shape: tuple[int, int], pixel_mm: tuple[float, float], plane: Plane | None = None
) -> NDArray[np.float64]:
    """(4, 4) affine of a series or mask of (y, x) pixels, 1 mm thick, to NIfTI's axes: right, front, head (RAS).

    That of the plane; where it is not known: signs −x, −y, and pixel ``n // 2`` at 0 mm.
    """
    if plane is not None:
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ plane.affine_lps(shape, pixel_mm, 1.0)
    affine = np.diag([-pixel_mm[1], -pixel_mm[0], 1.0, 1.0])
    affine[:2, 3] = pixel_mm[1] * (shape[1] // 2), pixel_mm[0] * (shape[0] // 2)
    return affine


def write_nifti(series: ImageSeries, path: Path) -> None:
    """Write magnitudes, float32, axes (x, y, slice, frame), and the sidecar with the exact times.

    ``zooms`` are (x mm, y mm, 1, seconds per frame). The affine is that of the slice (``sform`` 1: scanner) where it
    is known. Else the signs −x, −y make viewers show the image as it is here, row 0 on top and column 0 on the left,
    and pixel ``n // 2`` is at 0 mm.

    Raises
    ------
    ExportError
        If it cannot be written or does not read back the same, or a file that is not ours is in the sidecar's place.
    """
    import nibabel

    beside = sidecar(path)
    keep_foreign(beside)
    # NIfTI stores the first axis fastest: (frame, y, x) becomes (x, y, 1, frame).
    volume = np.asfortranarray(series.magnitude.astype(np.float32).transpose(2, 1, 0)[:, :, None, :])
    pixel_y, pixel_x = (float(size) for size in series.pixel_mm)
    affine = series_affine((volume.shape[1], volume.shape[0]), (pixel_y, pixel_x), series.plane)
    zooms = (pixel_x, pixel_y, 1.0, series.frame_step_s)
    image = nibabel.Nifti1Image(volume, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms(zooms)
    image.header["toffset"] = float(series.times_s[0])
    if series.plane is not None:
        image.set_qform(affine, code="scanner")
        image.set_sform(affine, code="scanner")
    note = RESEARCH_USE if series.plane is not None else f"{RESEARCH_USE} Orientation made up."
    image.header["descrip"] = note.encode("ascii")
    text = facts_text(_facts(series), beside.name) + "\n"

    def write(folder: Path) -> None:
        data = image.to_bytes()
        # Not through nibabel: its gzip header would hold the file's name and the time.
        (folder / path.name).write_bytes(gzip.compress(data, 6, mtime=0) if _is_packed(path) else data)
        (folder / beside.name).write_text(text, encoding="utf-8")

    def verify(folder: Path) -> None:
        found = nibabel.load(folder / path.name)
        if found.get_data_dtype() != np.float32 or found.shape != volume.shape:
            raise ValueError("the size differs")
        if not np.array_equal(np.asarray(found.dataobj), volume):
            raise ValueError("the samples differ")
        if not np.allclose(found.header.get_zooms(), zooms, rtol=1e-6) or not np.allclose(
            found.affine, affine, atol=1e-4
        ):
            raise ValueError("the pixel size or the time step differs")
        if found.header.get_xyzt_units() != ("mm", "sec"):
            raise ValueError("the units differ")
        if (folder / beside.name).read_text(encoding="utf-8") != text:
            raise ValueError("the facts beside it differ")

    atomic_files([path, beside], write, verify, volume.nbytes + len(text) + 4096)


def _is_packed(path: Path) -> bool:
    return path.name.lower().endswith(".gz")
