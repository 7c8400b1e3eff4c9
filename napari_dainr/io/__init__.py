"""Files in and out. Each format is imported on use; nothing here imports torch."""

from __future__ import annotations

from importlib import import_module
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_dainr.errors import InputError

if TYPE_CHECKING:
    from napari_dainr.data import ImageSeries, KSpace
    from napari_dainr.importing import ImportOptions

__all__ = ["EXPORTS", "KSPACE_SUFFIXES", "export_series", "read_kspace"]

KSPACE_SUFFIXES = (".h5", ".hdf5", ".mrd", ".ismrmrd")
"""Suffixes under which raw data in HDF5 is looked for; any other file that is HDF5 inside is read as well."""

EXPORTS: dict[str, str] = {
    ".npy": "NumPy array, complex, as it is in memory",
    ".npz": "NumPy arrays: complex image, times, pixel size, interpolated frames",
    ".gif": "animation with caption, magnitude in 8 bits",
    ".mp4": "H.264 film with caption, magnitude in 8 bits; needs the extra mp4",
    ".tif": "TIFF stack for ImageJ, magnitude in float32",
    ".tiff": "TIFF stack for ImageJ, magnitude in float32",
    ".nii": "NIfTI-1, magnitude in float32, with a .json beside it",
    ".nii.gz": "NIfTI-1, compressed, magnitude in float32, with a .json beside it",
}
"""Suffix of each format that :func:`export_series` writes → what it is."""

_WRITERS = {
    ".npy": ("numpy_file", "write_npy"),
    ".npz": ("numpy_file", "write_npz"),
    ".gif": ("cine", "export_cine"),
    ".mp4": ("cine", "export_cine"),
    ".tif": ("tiff", "write_tiff"),
    ".tiff": ("tiff", "write_tiff"),
    ".nii": ("nifti", "write_nifti"),
    ".nii.gz": ("nifti", "write_nifti"),
}
_CINES = (".gif", ".mp4")


def read_kspace(path: str | Path, options: ImportOptions | None = None, *, timeout_s: float | None = None) -> KSpace:
    """Read radial k-space from a file.

    Parameters
    ----------
    path
        A raw file; the content decides on the format, not the suffix.
    options
        What the user says about the file; everything else is found out or assumed, and said.
    timeout_s
        Wall time after which reading is given up; by default a minute, and longer for large files.

    Raises
    ------
    InputError
        One sentence that names the file and what is wrong with it.
    ResourceError
        If it does not fit into memory.
    """
    from napari_dainr.importing import kspace_of
    from napari_dainr.io.formats import read_acquired

    path = Path(path)
    acquired = read_acquired(path, options, timeout_s=timeout_s)
    try:
        return kspace_of(acquired, options)
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from None


def export_series(series: ImageSeries, path: str | Path, **options: Any) -> None:
    """Write a series to a file whose suffix says the format (:data:`EXPORTS`), read it back and compare.

    No format holds ``series.info``, a path or a file name.

    Parameters
    ----------
    series
        At least one frame.
    path
        The file to write; what is there already stays as it is unless everything went well.
    options
        For ``.gif`` and ``.mp4``: fields of :class:`napari_dainr.io.cine_options.CineOptions`, e.g. ``fps``; by default
        it plays at true speed.

    Raises
    ------
    InputError
        If the suffix or an option is not known, or the series is empty or holds NaN.
    ExportError
        If it cannot be written, or does not read back as it was.
    """
    import numpy as np

    path = Path(path)
    name = path.name.lower()
    suffix = ".nii.gz" if name.endswith(".nii.gz") else path.suffix.lower()
    if suffix not in _WRITERS or name == suffix:
        raise InputError(f"{path.name}: cannot tell the format to write; end the name in {', '.join(EXPORTS)}.")
    if options and suffix not in _CINES:
        from napari_dainr.io.cine_options import CineOptions

        option = next(iter(options))
        known = option in CineOptions.model_fields
        advice = f"it belongs to {', '.join(_CINES)}" if known else "there is no such option"
        raise InputError(f"{path.name}: {option} cannot be set for {suffix}; {advice}, leave it out.")
    if not series.image.size:
        raise InputError(f"{path.name}: the series has no frames or no pixels; there is nothing to write.")
    if not np.isfinite(series.image).all():
        raise InputError(f"{path.name}: the series holds NaN or Inf; reconstruct it again.")
    if not all(isfinite(size) and size > 0 for size in (*series.pixel_mm, series.frame_step_s)):
        raise InputError(
            f"{path.name}: the pixel size and the time step of the series must be above 0; check the data."
        )
    module, function = _WRITERS[suffix]
    getattr(import_module(f"{__name__}.{module}"), function)(series, path, **options)
