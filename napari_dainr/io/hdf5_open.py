"""HDF5 files that nobody vouches for, opened in the child: nothing outside the file is ever followed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py

from napari_dainr.errors import InputError
from napari_dainr.io.readouts import require

__all__ = ["hard_linked", "open_hdf5"]

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def hard_linked(group: h5py.Group, name: str) -> Any:
    """A member of a group; raises InputError for links, external storage and virtual data sets."""
    link = group.get(name, getlink=True)
    require(
        isinstance(link, h5py.HardLink),
        f"{name} is a link to somewhere else, which is not followed; store the data itself.",
    )
    item = group[name]
    if isinstance(item, h5py.Dataset):
        require(
            not item.external and not item.is_virtual,
            f"{name} is stored in other files, which are not read; store the data itself.",
        )
    return item


def open_hdf5(path: Path) -> h5py.File:
    """The file, for reading; raises InputError if it is none."""
    with path.open("rb") as file:
        start = [file.read(8)]
        for offset in (512, 1024, 2048):
            file.seek(offset)
            start.append(file.read(8))
    require(_SIGNATURE in start, "is not an HDF5 file; give an ISMRMRD file (.h5).")
    try:
        return h5py.File(path, "r")
    except OSError:
        raise InputError("is truncated or damaged HDF5; copy the file again.") from None
