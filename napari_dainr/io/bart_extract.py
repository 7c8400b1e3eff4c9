"""The child's side of reading BART's pairs of files: ``.hdr`` says the sizes, ``.cfl`` holds complex64."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_dainr.io.child import Extracted
from napari_dainr.io.readouts import require

__all__ = ["extract"]

_DIMENSIONS = 16
_HEADER_BYTES = 1 << 16


def _sizes(path: Path) -> tuple[int, ...]:
    """The dimensions of a header, 16 of them."""
    name = "its header (.hdr)"
    require(path.is_file(), f"{name} is missing; copy both files of the pair, .cfl and .hdr.")
    with path.open("rb") as file:
        text = file.read(_HEADER_BYTES).decode("ascii", errors="replace")
    lines = text.splitlines()
    at = next((i for i, line in enumerate(lines) if line.strip() == "# Dimensions"), None)
    require(at is not None and at + 1 < len(lines), f"{name} has no line '# Dimensions'; write it again with BART.")
    words = lines[(at or 0) + 1].split()
    require(
        0 < len(words) <= _DIMENSIONS,
        f"{name} names {len(words)} dimensions, but BART has 16; write it again with BART.",
    )
    require(
        all(word.isascii() and word.isdigit() and len(word) < 20 and int(word) > 0 for word in words),
        f"{name} names sizes that are no whole numbers above 0; write it again with BART.",
    )
    return (*map(int, words), *(1,) * (_DIMENSIONS - len(words)))


def _load(base: Path, what: str) -> NDArray[np.complex64]:
    sizes = _sizes(base.with_name(base.name + ".hdr"))
    path = base.with_name(base.name + ".cfl")
    require(path.is_file(), f"the samples (.cfl) of {what} are missing; copy both files of the pair, .cfl and .hdr.")
    needed, found = 8 * prod(sizes), path.stat().st_size
    require(
        needed == found,
        f"the header of {what} promises {needed} bytes of samples, but the .cfl holds {found}; copy both files again.",
    )
    return np.fromfile(path, dtype="<c8").reshape(sizes, order="F")


def extract(path: Path, trajectory: str | None = None) -> Extracted:
    """Read k-space, and the trajectory beside it.

    Parameters
    ----------
    trajectory
        Path of the trajectory's pair of files, without suffix.

    Returns
    -------
    arrays
        ``kdata`` and, if there is a trajectory, ``ktraj``: complex64 with BART's 16 axes.
    facts
        None.

    Raises
    ------
    InputError
        One sentence, without the file's name.
    """
    arrays = {"kdata": _load(path.with_suffix(""), "the k-space")}
    if trajectory is not None:
        arrays["ktraj"] = _load(Path(trajectory), "the trajectory")
    return {key: np.asfortranarray(array) for key, array in arrays.items()}, {}
