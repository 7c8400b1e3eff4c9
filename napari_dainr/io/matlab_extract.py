"""The child's side of reading MATLAB files: version 5 to 7 by scipy, 7.3 by HDF5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr.errors import InputError
from napari_dainr.io import hdf5_arrays_extract
from napari_dainr.io.child import Extracted
from napari_dainr.io.layouts import choose, handed_over, require_plausible
from napari_dainr.io.readouts import require

__all__ = ["extract"]

_NUMERIC = {"double", "single", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}


def extract(path: Path, variables: dict[str, str] | None = None) -> Extracted:
    """Read the arrays of a known layout, or those that the user names.

    Returns
    -------
    arrays
        By role, axes in MATLAB's order.
    facts
        ``layout``, ``numbers``, ``version``.

    Raises
    ------
    InputError
        One sentence, without the file's name.
    """
    with path.open("rb") as file:
        start = file.read(128)
        file.seek(512)
        # MATLAB 7.4 itself called it version 7.0; what counts is what follows the text.
        hdf5 = b"\x89HDF" in (start[:4], file.read(4))
    if hdf5 or start.startswith(b"MATLAB 7.3"):
        arrays, facts = hdf5_arrays_extract.extract_arrays(path, variables or {}, matlab=True)
        return arrays, facts | {"version": "7.3"}
    require(
        len(start) == 128 and start[126:128] in (b"IM", b"MI"),
        "is no MATLAB file of version 5 to 7.3; save it again with -v7 or -v7.3.",
    )
    return _extract_5(path, variables or {})


def _extract_5(path: Path, variables: dict[str, str]) -> Extracted:
    from scipy.io import loadmat, whosmat
    from scipy.io.matlab import MatReadError

    try:
        listed = whosmat(path)
        shapes = {name: tuple(map(int, shape)) for name, shape, kind in listed if kind in _NUMERIC}
        layout, roles = choose(shapes, variables, matlab=True)
        for name in roles.values():
            require_plausible(shapes[name], 8, path.stat().st_size)
        found = loadmat(path, variable_names=list(roles.values()))
    except (MatReadError, OSError, ValueError, TypeError, KeyError, IndexError, UnboundLocalError):
        raise InputError("is a truncated or damaged MATLAB file; copy or save it again.") from None

    def read(name: str) -> NDArray[Any]:
        values = found.get(name)
        require(isinstance(values, np.ndarray), "is a truncated or damaged MATLAB file; copy or save it again.")
        return np.asarray(values)

    return handed_over(layout, roles, read, {"version": "5"})
