"""Which arrays of a file mean what: by the names that the user gives, or by those of known public data sets.

The child's side; names of variables stay in the child, because they may say more than physics.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr.errors import InputError
from napari_dainr.io.child import Extracted
from napari_dainr.io.readouts import require

__all__ = ["AXES", "NUMBERS", "ROLES", "Shape", "as_samples", "choose", "handed_over", "require_plausible"]

Shape = tuple[int, ...]

ROLES = ("kdata", "ktraj", "csm", "dcf", "times_s", "noise")
"""What an array can be, in ``ImportOptions.variables``."""

NUMBERS = ("matrix", "fov_mm", "tr_s", "spokes_per_frame")
"""Single numbers, or pairs (y, x), beside the arrays in the package's own layout."""

AXES = ("slice", "coil", "frame", "spoke", "readout", "ky", "kx", "complex")
"""Words for the role ``axes``; ``complex`` is an axis of two, real and imaginary part."""

_CMRXRECON = re.compile(r"kspace(_full|_sub\d*|_single_full|_single_sub\d*)?")
_DENSEST = 200
"""Bytes of samples that a byte of a compressed file may stand for; k-space is mostly noise and hardly compresses."""
_MOST_AXES = 8


def choose(shapes: Mapping[str, Shape], variables: Mapping[str, str], matlab: bool) -> tuple[str, dict[str, str]]:
    """Layout, and role → name of the variable.

    Parameters
    ----------
    shapes
        Name → shape of every numerical array that the file holds.
    variables
        ``ImportOptions.variables``.
    matlab
        Whether it is a MATLAB file.

    Raises
    ------
    InputError
        If the user's names are not there, or no layout is known for those that are.
    """
    roles = {role: name for role, name in variables.items() if role != "axes"}
    for role, name in roles.items():
        require(role in ROLES, f"variables: {role!r} is no role; the roles are {', '.join(ROLES)} and axes.")
        require(name in shapes, f"variables: it holds no array of numbers that is called {name!r}; check the name.")
    if "kdata" in roles:
        return "told", roles
    if {"kdata", "k", "w"} <= set(shapes) and len(shapes["kdata"]) == 3:
        maps = {"csm": "b1"} if "b1" in shapes else {}
        return "grasp", {"kdata": "kdata", "ktraj": "k", "dcf": "w", **maps, **roles}
    if "kdata" in shapes:
        found = {role: role for role in (*ROLES, *NUMBERS) if role in shapes}
        return "named", {**found, **roles}
    if not matlab and len(shapes.get("kspace", ())) == 5 and 2 in (shapes["kspace"][0], shapes["kspace"][-1]):
        return "fastmri breast", {"kdata": "kspace", **roles}
    if not matlab and len(shapes.get("kspace", ())) in (3, 4):
        return "fastmri", {"kdata": "kspace", **roles}
    ranked = sorted((name for name in shapes if matlab and _CMRXRECON.fullmatch(name)), key=len)
    if ranked and len(shapes[ranked[0]]) in (4, 5):
        single = "single" in ranked[0]
        return "cmrxrecon single coil" if single else "cmrxrecon", {"kdata": ranked[0], **roles}
    sizes = sorted((shape for shape in shapes.values() if prod(shape) > 1), key=prod, reverse=True)[:4]
    shown = "; ".join(" × ".join(map(str, shape)) for shape in sizes) or "none"
    raise InputError(
        f"it holds no arrays under names of a known layout (its largest arrays: {shown}); name them with variables, "
        "for example kdata=NAME,ktraj=NAME,axes=coil/spoke/readout."
    )


def require_plausible(shape: Shape, item_bytes: int, file_bytes: int) -> None:
    """Raise InputError for sizes that a file of so many bytes cannot honestly hold."""
    require(len(shape) <= _MOST_AXES, f"an array has {len(shape)} axes; at most {_MOST_AXES} can be read.")
    require(min(shape, default=1) > 0, "an array it needs is empty; write it again.")
    declared = prod(shape) * item_bytes
    require(
        declared <= max(_DENSEST * file_bytes, 1 << 20),
        f"an array declares {declared / 1e6:.0f} MB, more than samples in a file of {file_bytes / 1e6:.3g} MB can be; "
        "copy or write it again.",
    )


def as_samples(values: NDArray[Any]) -> NDArray[Any]:
    """Numbers as they are handed over: complex64 or float64; pairs of fields (real, imag) become complex.

    Raises
    ------
    InputError
        If they are no numbers.
    """
    if values.dtype.names:
        pair = next(
            (p for p in (("real", "imag"), ("r", "i"), ("re", "im")) if set(p) == set(values.dtype.names)), None
        )
        require(pair is not None, "an array has fields other than a real and an imaginary part; store it as complex.")
        real, imag = pair or ("real", "imag")
        require(values.dtype[real].kind in "fiu" and values.dtype[imag].kind in "fiu", "an array holds no numbers.")
        values = values[real].astype(np.float32) + np.complex64(1j) * values[imag].astype(np.float32)
    require(values.dtype.kind in "fiuc", "an array it needs holds no numbers; store it as single or double.")
    with np.errstate(over="ignore"):
        return values.astype(np.complex64 if values.dtype.kind == "c" else np.float64)


def handed_over(
    layout: str, roles: Mapping[str, str], read: Callable[[str], NDArray[Any]], facts: dict[str, Any]
) -> Extracted:
    """What the child leaves: arrays by role, numbers as facts."""
    arrays: dict[str, NDArray[Any]] = {}
    numbers: dict[str, list[float]] = {}
    for role, name in roles.items():
        values = as_samples(read(name))
        if role in NUMBERS:
            good = values.dtype.kind == "f" and 1 <= values.size <= 2 and bool(np.isfinite(values).all())
            require(good, f"{role} is not one or two finite numbers; correct it.")
            numbers[role] = [float(value) for value in values.ravel()]
        else:
            finite = role == "kdata" or bool(np.isfinite(values).all())
            require(finite, f"the array for {role} holds NaN or Inf; write it again without.")
            arrays[role] = values.astype(np.complex64) if role in ("kdata", "csm", "noise") else values
    if arrays["kdata"].ndim == 0:
        raise InputError("its k-space is a single number; name the array with variables kdata=NAME.")
    return arrays, {"layout": layout, "numbers": numbers, **facts}
