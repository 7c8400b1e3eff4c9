"""Files in and out. Each format is imported on use; nothing here imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_dainr.errors import InputError

if TYPE_CHECKING:
    from napari_dainr.data import ImageSeries, KSpace

__all__ = ["EXPORTS", "export_series", "read_kspace"]

EXPORTS = {
    ".npy": "NumPy array, complex (frame, y, x)",
    ".npz": "NumPy arrays with times, pixel size and interpolation marks",
    ".gif": "cine to look at",
    ".tif": "ImageJ stack, magnitude, with pixel size and frame interval",
    ".tiff": "ImageJ stack, magnitude, with pixel size and frame interval",
    ".nii": "NIfTI, magnitude, in mm and seconds, with a JSON file for exact times",
    ".nii.gz": "NIfTI, compressed",
}
"""Suffix → what it holds; the suffix chooses the format of an export."""

KSPACE_SUFFIXES = (".h5", ".hdf5", ".mrd", ".ismrmrd")
"""Suffixes under which raw data in HDF5 is looked for; any other file that is HDF5 inside is read as well."""


def read_kspace(path: str | Path, *, timeout_s: float | None = None) -> KSpace:
    """Read radial k-space from a file.

    Parameters
    ----------
    path
        An ISMRMRD file; the content decides, not the suffix.
    timeout_s
        Wall time after which reading is given up; by default a minute, and longer for large files.

    Raises
    ------
    InputError
        One sentence that names the file and what is wrong with it.
    ResourceError
        If it does not fit into memory.
    """
    from napari_dainr.io.child import plain_file
    from napari_dainr.io.ismrmrd import read_ismrmrd

    path = Path(path)
    plain_file(path)
    if path.suffix.lower() == ".dat":
        raise InputError(
            f"{path.name}: Siemens raw data is not read yet; convert it to ISMRMRD with siemens_to_ismrmrd."
        )
    return read_ismrmrd(path, timeout_s)


def export_series(series: ImageSeries, path: str | Path, **options: Any) -> None:
    """Write a series for other programs, format by suffix (:data:`EXPORTS`), atomically and checked.

    Parameters
    ----------
    series
        What to write.
    path
        File to write; one that is there already is replaced once the new one is whole.
    **options
        ``fps`` (frames per second, .gif only).

    Raises
    ------
    InputError
        For an unknown suffix or option, or a series with NaN.
    ExportError
        If it cannot be written.
    """
    import numpy as np

    path = Path(path)
    lower = path.name.lower()
    suffix = next((s for s in sorted(EXPORTS, key=len, reverse=True) if lower.endswith(s)), None)
    if suffix is None or lower == suffix:
        raise InputError(f"{path.name}: has no suffix that is known; choose one of {', '.join(EXPORTS)}.")
    unknown = set(options) - ({"fps"} if suffix == ".gif" else set())
    if unknown:
        raise InputError(f"{path.name}: {sorted(unknown)[0]} is no option of a {suffix} export; leave it out.")
    if series.n_frames == 0 or not np.isfinite(series.image).all():
        raise InputError(f"{path.name}: the series is empty or holds NaN or Inf; reconstruct it again.")
    if suffix == ".gif":
        from napari_dainr.io.pictures import write_gif

        write_gif(series, path, **options)
        return
    from napari_dainr.io import exports

    writers = {".npy": exports.write_npy, ".npz": exports.write_npz}
    writers |= dict.fromkeys((".tif", ".tiff"), exports.write_tiff)
    writers |= dict.fromkeys((".nii", ".nii.gz"), exports.write_nifti)
    writers[suffix](series, path)
