"""Files in and out. Each format is imported on use; nothing here imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_dainr.errors import InputError

if TYPE_CHECKING:
    from napari_dainr.data import KSpace

__all__ = ["read_kspace"]

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
