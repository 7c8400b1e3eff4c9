"""The child's side of reading ``.npz``: sizes are summed before anything is unpacked, and nothing is unpickled."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from napari_dainr.errors import InputError
from napari_dainr.io.child import Extracted
from napari_dainr.io.layouts import Shape, choose, handed_over, require_plausible
from napari_dainr.io.readouts import require

__all__ = ["extract"]

_MOST_MEMBERS = 1000
_HEADER_BYTES = 10000


def extract(path: Path, variables: dict[str, str] | None = None) -> Extracted:
    """Read the arrays of the package's own layout, or those that the user names.

    Raises
    ------
    InputError
        One sentence, without the file's name.
    """
    try:
        with zipfile.ZipFile(path) as file:
            members = file.infolist()
            require(
                len(members) <= _MOST_MEMBERS, f"it holds {len(members)} members; at most {_MOST_MEMBERS} are read."
            )
            require_plausible((sum(member.file_size for member in members),), 1, path.stat().st_size)
            shapes: dict[str, Shape] = {}
            for member in members:
                header = _header(file, member)
                if header is not None:
                    shapes[member.filename.removesuffix(".npy")] = header
            layout, roles = choose(shapes, variables or {}, matlab=False)

            def read(name: str) -> NDArray[Any]:
                with file.open(f"{name}.npy") as array:
                    values: NDArray[Any] = npy.read_array(array, allow_pickle=False, max_header_size=_HEADER_BYTES)
                    return values

            return handed_over(layout, roles, read, {})
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, KeyError, NotImplementedError, RuntimeError):
        raise InputError("is a truncated or damaged .npz file; copy or write it again.") from None


def _header(file: zipfile.ZipFile, member: zipfile.ZipInfo) -> Shape | None:
    """The shape of an array of numbers; None for any other member."""
    if not member.filename.endswith(".npy"):
        return None
    with file.open(member) as array:
        version = npy.read_magic(array)
        require(version in ((1, 0), (2, 0), (3, 0)), "an array has an unknown format; write it again with numpy.")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(array, max_header_size=_HEADER_BYTES)
        rest = member.file_size - array.tell()
    if dtype.hasobject or dtype.kind not in "fiucV":
        return None
    require(all(n >= 0 for n in shape), "an array has a negative size; write it again.")
    declared = int(np.prod([int(n) for n in shape], dtype=object)) * dtype.itemsize
    require(declared == rest, f"an array declares {declared} bytes, but {rest} are there; copy or write it again.")
    return tuple(int(n) for n in shape)
