"""The formats in which a series can be written: one table for the command line, the dialogs and the documentation."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FORMATS", "ExportFormat", "dialog_filter", "format_of", "with_suffix"]


@dataclass(frozen=True)
class ExportFormat:
    """One format.

    Parameters
    ----------
    title
        Its name, for people.
    suffixes
        Ends of file names, lower case; the first is the one that dialogs offer.
    holds
        What of the image it holds, and how.
    module, function
        The writer, ``function(series, path, **options)`` in ``napari_dainr.io.<module>``.
    option_names
        Options of the writer besides those of cines.
    is_cine
        Whether fields of ``CineOptions`` are its options.
    """

    title: str
    suffixes: tuple[str, ...]
    holds: str
    module: str
    function: str
    option_names: tuple[str, ...] = ()
    is_cine: bool = False


FORMATS = (
    ExportFormat("GIF", (".gif",), "animation with caption, magnitude in 8 bits", "cine", "export_cine", is_cine=True),
    ExportFormat(
        "MP4",
        (".mp4",),
        "H.264 film with caption, magnitude in 8 bits, lossy; needs the extra mp4",
        "cine",
        "export_cine",
        is_cine=True,
    ),
    ExportFormat(
        "DICOM",
        (".dcm",),
        "folder of MR images, one file per frame, magnitude in 16 bits with one scale for all",
        "dicom",
        "write_dicom",
        option_names=("cardiac",),
    ),
    ExportFormat(
        "NIfTI",
        (".nii.gz", ".nii"),
        "NIfTI-1, magnitude in float32, with a .json beside it",
        "nifti",
        "write_nifti",
    ),
    ExportFormat("OME-Zarr", (".zarr",), "folder, OME-Zarr 0.5, magnitude in float32", "ome_zarr", "write_ome_zarr"),
    ExportFormat(
        "OME-TIFF",
        (".ome.tif", ".ome.tiff"),
        "TIFF stack with OME-XML, magnitude in float32",
        "tiff",
        "write_ome_tiff",
    ),
    ExportFormat("TIFF", (".tif", ".tiff"), "TIFF stack for ImageJ, magnitude in float32", "tiff", "write_tiff"),
    ExportFormat(
        "HDF5",
        (".h5", ".hdf5"),
        "complex image, times, pixel size, interpolated frames",
        "hdf5",
        "write_hdf5",
    ),
    ExportFormat(
        "ISMRMRD images",
        (".mrd",),
        "HDF5 with one complex image and header per frame",
        "ismrmrd_images",
        "write_ismrmrd_images",
    ),
    ExportFormat(
        "BART", (".cfl",), "complex image, with its .hdr beside it; time is axis 10", "cfl_image", "write_cfl"
    ),
    ExportFormat(
        "NumPy arrays",
        (".npz",),
        "complex image, times, pixel size, interpolated frames",
        "numpy_file",
        "write_npz",
    ),
    ExportFormat("NumPy array", (".npy",), "complex image alone, as it is in memory", "numpy_file", "write_npy"),
)


def format_of(name: str) -> tuple[ExportFormat, str] | None:
    """The format that a file name asks for and the suffix that says so; the longest counts (``.ome.tif``, ``.nii.gz``).

    None for a name without a known suffix, or with nothing before it.
    """
    lower = name.lower()
    hits = [(suffix, form) for form in FORMATS for suffix in form.suffixes if lower.endswith(suffix)]
    if not hits or lower in [suffix for suffix, _ in hits]:
        return None
    suffix, form = max(hits, key=lambda hit: len(hit[0]))
    return form, suffix


def dialog_filter() -> str:
    """Choices of a save dialog in Qt's form, one per format."""
    return ";;".join(f"{form.title} (*{form.suffixes[0]})" for form in FORMATS)


def with_suffix(name: str, chosen: str) -> str:
    """A name from a save dialog with the suffix of the chosen filter, where it has no known one."""
    if not name or format_of(name.replace("\\", "/").rpartition("/")[2]) is not None:
        return name
    suffix = chosen.partition("(*")[2].partition(")")[0]
    return f"{name}{suffix}"
