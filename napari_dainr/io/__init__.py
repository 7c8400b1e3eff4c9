"""Files in and out. Each format is imported on use; nothing here imports torch."""

from __future__ import annotations

from importlib import import_module
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_dainr.errors import InputError
from napari_dainr.io.export_formats import FORMATS, ExportFormat, format_of

if TYPE_CHECKING:
    from napari_dainr.data import ImageSeries, KSpace
    from napari_dainr.importing import ImportOptions

__all__ = ["EXPORTS", "KSPACE_SUFFIXES", "export_series", "read_kspace"]

KSPACE_SUFFIXES = (".h5", ".hdf5", ".mrd", ".dat", ".cfl", ".hdr", ".mat", ".npz")
"""Suffixes under which raw data is looked for, as in napari.yaml; a file of another name is known by its content."""

EXPORTS: dict[str, str] = {suffix: f"{form.title}: {form.holds}" for form in FORMATS for suffix in form.suffixes}
"""Suffix of each format that :func:`export_series` writes → what it is, and what of the image it holds."""


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
    """Write a series in the format that the suffix says (:data:`EXPORTS`), read it back and compare.

    No format holds ``series.info``, a path or a file name.

    Parameters
    ----------
    series
        At least one frame.
    path
        The file to write, or the folder for ``.dcm`` and ``.zarr``; what is there already stays as it is unless
        everything went well.
    options
        For ``.gif`` and ``.mp4``: fields of :class:`napari_dainr.io.cine_options.CineOptions`, e.g. ``fps``; by default
        it plays at true speed. For ``.dcm``: ``cardiac`` (:func:`napari_dainr.io.dicom.write_dicom`).

    Raises
    ------
    InputError
        If the suffix or an option is not known, or the series is empty or holds NaN.
    ExportError
        If it cannot be written, or does not read back as it was.
    """
    import numpy as np

    path = Path(path)
    known = format_of(path.name)
    if known is None:
        raise InputError(f"{path.name}: cannot tell the format to write; end the name in {', '.join(EXPORTS)}.")
    form, suffix = known
    for option in options:
        if not form.is_cine and option not in form.option_names:
            raise InputError(f"{path.name}: {option} cannot be set for {suffix}; {_place_of(option)}, leave it out.")
    if not series.image.size:
        raise InputError(f"{path.name}: the series has no frames or no pixels; there is nothing to write.")
    if not np.isfinite(series.image).all():
        raise InputError(f"{path.name}: the series holds NaN or Inf; reconstruct it again.")
    if not all(isfinite(size) and size > 0 for size in (*series.pixel_mm, series.frame_step_s)):
        raise InputError(
            f"{path.name}: the pixel size and the time step of the series must be above 0; check the data."
        )
    getattr(import_module(f"{__name__}.{form.module}"), form.function)(series, path, **options)


def _place_of(option: str) -> str:
    """Which formats an option belongs to, as part of a sentence."""
    from napari_dainr.io.cine_options import CineOptions

    def takes(form: ExportFormat) -> bool:
        return option in form.option_names or (form.is_cine and option in CineOptions.model_fields)

    suffixes = [suffix for form in FORMATS if takes(form) for suffix in form.suffixes]
    return f"it belongs to {', '.join(suffixes)}" if suffixes else "there is no such option"
