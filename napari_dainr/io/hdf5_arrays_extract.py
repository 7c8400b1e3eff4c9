"""The child's side of reading HDF5: ISMRMRD where it holds that, else arrays by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from napari_dainr.errors import InputError
from napari_dainr.io import ismrmrd_extract
from napari_dainr.io.child import Extracted
from napari_dainr.io.hdf5_open import hard_linked, open_hdf5
from napari_dainr.io.layouts import choose, handed_over, require_plausible
from napari_dainr.io.readouts import require

__all__ = ["extract", "extract_arrays"]

_MOST_MEMBERS = 1000
_MATLAB_EMPTY = "MATLAB_empty"


def extract(
    path: Path,
    dataset: str | None = None,
    contrast: int | None = None,
    set_number: int | None = None,
    variables: dict[str, str] | None = None,
) -> Extracted:
    """As :func:`napari_dainr.io.ismrmrd_extract.extract`, or the arrays of a known layout.

    Raises
    ------
    InputError
        One sentence, without the file's name.
    """
    with open_hdf5(path) as file:
        raw = bool(ismrmrd_extract.raw_groups(file))
    if raw:
        return ismrmrd_extract.extract(path, dataset, contrast, set_number)
    return extract_arrays(path, variables or {}, matlab=False)


def extract_arrays(path: Path, variables: dict[str, str], matlab: bool) -> Extracted:
    """Arrays of an HDF5 file by role; of a MATLAB file with axes in MATLAB's order."""
    size = path.stat().st_size
    with open_hdf5(path) as file:
        shapes = {name: item.shape for name, item in _arrays(file, variables).items()}
        if matlab:
            shapes = {name: shape[::-1] for name, shape in shapes.items()}
        try:
            layout, roles = choose(shapes, variables, matlab)
        except InputError as error:
            text = str(error)
            if not matlab and text.startswith("it holds no arrays"):
                raise InputError(f"is HDF5 but not ISMRMRD, and {text}") from None
            raise
        facts: dict[str, Any] = {}
        if layout == "fastmri" and "ismrmrd_header" in file:
            facts["header"] = ismrmrd_extract.facts_of_header(hard_linked(file, "ismrmrd_header"))

        def read(name: str) -> NDArray[Any]:
            item = _member(file, name)
            require_plausible(item.shape, item.dtype.itemsize, size)
            try:
                values = np.asarray(item[()])
            except OSError:
                raise InputError("is truncated or damaged HDF5; copy the file again.") from None
            return values.T if matlab else values

        return handed_over(layout, roles, read, facts)


def _member(file: h5py.File, name: str) -> Any:
    """A data set by its path in the file, no link of which leads anywhere else."""
    item: Any = file
    for part in name.strip("/").split("/"):
        require(isinstance(item, h5py.Group) and part in item, f"it holds nothing that is called {name!r}.")
        item = hard_linked(item, part)
    return item


def _numeric(item: Any) -> bool:
    if not isinstance(item, h5py.Dataset) or item.shape is None or _MATLAB_EMPTY in item.attrs:
        return False
    kinds = [item.dtype[name] for name in item.dtype.names] if item.dtype.names else [item.dtype]
    return all(kind.kind in "fiu" or kind.kind == "c" for kind in kinds)


def _arrays(file: h5py.File, variables: dict[str, str]) -> dict[str, Any]:
    """Numerical data sets at the top of the file, and those that the user names wherever they are."""
    found: dict[str, Any] = {}
    for name in list(file)[:_MOST_MEMBERS]:
        # A link that leads elsewhere matters only where something needs it; then it is refused by name.
        if isinstance(file.get(name, getlink=True), h5py.HardLink):
            item = file[name]
            if _numeric(item):
                found[name] = item
        elif name in ("kdata", "kspace", "ktraj"):
            hard_linked(file, name)
    for role, name in variables.items():
        if role != "axes" and name not in found:
            item = _member(file, name)
            require(_numeric(item), f"variables: {name!r} is no array of numbers; check the name.")
            found[name] = item
    return found
