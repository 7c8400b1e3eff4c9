"""Formats of raw data: which reader takes a file, decided by its content."""

from __future__ import annotations

from pathlib import Path

from napari_dainr.acquired import Acquired
from napari_dainr.errors import InputError
from napari_dainr.importing import ImportOptions
from napari_dainr.io.child import plain_file

__all__ = ["read_acquired"]


def read_acquired(path: Path, options: ImportOptions | None = None, *, timeout_s: float | None = None) -> Acquired:
    """What a raw file holds, before anything is decided.

    Raises
    ------
    InputError
        One sentence that names the file and what is wrong with it.
    ResourceError
        If it does not fit into memory.
    """
    from napari_dainr.io.ismrmrd import read_ismrmrd

    options = options or ImportOptions()
    path = Path(path)
    plain_file(path)
    if path.suffix.lower() == ".dat":
        raise InputError(
            f"{path.name}: Siemens raw data is not read yet; convert it to ISMRMRD with siemens_to_ismrmrd."
        )
    try:
        return read_ismrmrd(path, timeout_s, options.dataset)
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(path.name) else f"{path.name}: {text}") from None
