"""The order of axes in files that only hold arrays: as told, or the only one that fits; never a silent guess."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr.errors import InputError
from napari_dainr.io.layouts import AXES
from napari_dainr.io.readouts import require
from napari_dainr.trajectory import is_radial

__all__ = ["in_order", "said_axes", "told_axes", "trajectory_places"]

_ASK = "say the order with variables, for example axes=coil/spoke/readout"


def told_axes(variables: Mapping[str, str]) -> tuple[str, ...] | None:
    """The axes that the user names, in the file's order; raises InputError for words that are none."""
    if "axes" not in variables:
        return None
    axes = tuple(word for word in re.split(r"[\s,;/]+", variables["axes"].strip()) if word)
    for axis in axes:
        require(axis in AXES, f"variables: {axis!r} is no axis; the axes are {', '.join(AXES)}.")
    require(len(set(axes)) == len(axes), "variables: an axis is named twice.")
    radial, cartesian = {"spoke", "readout"} & set(axes), {"ky", "kx"} & set(axes)
    good = (len(radial) == 2 and not cartesian) or (len(cartesian) == 2 and not radial)
    require(good, "variables: axes must name either spoke and readout, or ky and kx.")
    return axes


def in_order(kdata: NDArray[Any], axes: Sequence[str], wanted: Sequence[str]) -> NDArray[Any]:
    """The array with the wanted axes, in that order; those that it lacks have size 1.

    Raises
    ------
    InputError
        If the axes are not as many as the array has, or one of them has no place.
    """
    require(
        len(axes) == kdata.ndim,
        f"its k-space has {kdata.ndim} axes ({' × '.join(map(str, kdata.shape))}), but {len(axes)} are named.",
    )
    foreign = [axis for axis in axes if axis not in wanted]
    require(not foreign, f"variables: axis {', '.join(foreign)} has no place in this k-space.")
    there = [axis for axis in wanted if axis in axes]
    ordered = kdata.transpose([axes.index(axis) for axis in there])
    return ordered.reshape([ordered.shape[there.index(a)] if a in there else 1 for a in wanted])


def said_axes(shape: tuple[int, ...], ktraj: NDArray[Any] | None, detected: dict[str, str]) -> tuple[str, ...]:
    """The axes of k-space where the trajectory leaves no choice: its straight lines through the centre are the spokes.

    Raises
    ------
    InputError
        If there is a choice.
    """
    if ktraj is None:
        raise InputError(f"the order of the axes {' × '.join(map(str, shape))} cannot be told; {_ASK}.")
    plane, _ = _components(ktraj)
    fits = []
    if plane.ndim == 3:
        for spoke, readout in ((0, 1), (1, 0)):
            if is_radial(plane.transpose(spoke, readout, 2)):
                fits.append((plane.shape[spoke], plane.shape[readout]))
    if len(fits) == 1:
        spokes, readout = fits[0]
        at = [i for i, n in enumerate(shape) if n == readout], [i for i, n in enumerate(shape) if n == spokes]
        rest = [i for i, n in enumerate(shape) if n not in (spokes, readout)]
        many = [i for i in rest if shape[i] > 1]
        if len(at[0]) == len(at[1]) == 1 and spokes != readout and len(rest) <= 2 and len(many) <= 1:
            names = dict.fromkeys(rest, "slice") | dict.fromkeys(many or rest[:1], "coil")
            names |= {at[0][0]: "readout", at[1][0]: "spoke"}
            axes = tuple(names[i] for i in range(len(shape)))
            detected["axes"] = (
                f"{', '.join(axes)}: the trajectory has {spokes} straight lines of {readout} samples, which fits in no "
                "other order"
            )
            return axes
    raise InputError(f"the order of the axes {' × '.join(map(str, shape))} cannot be told from the sizes; {_ASK}.")


def _components(ktraj: NDArray[Any]) -> tuple[NDArray[np.float64], str]:
    """(…, 2), and how its two numbers were found: complex numbers, or an axis of 2 or 3."""
    require(bool(np.isfinite(ktraj).all()), "its trajectory holds NaN or Inf; write it again.")
    if ktraj.dtype.kind == "c" and np.any(ktraj.imag):
        return np.stack([ktraj.real, ktraj.imag], axis=-1).astype(np.float64), "complex"
    values = np.asarray(ktraj.real, dtype=np.float64)
    ends = [axis for axis in (values.ndim - 1, 0) if values.ndim > 1 and values.shape[axis] in (2, 3)]
    require(bool(ends), "its trajectory is neither complex nor has it an axis of two components; write it so.")
    values = np.moveaxis(values, ends[0], -1)
    require(values.shape[-1] == 2 or not values[..., 2].any(), "its trajectory is 3-D; only kz = 0 can be read.")
    return values[..., :2], "last axis" if ends[0] else "first axis"


def trajectory_places(
    ktraj: NDArray[Any], frames: int, spokes: int, readout: int, own: bool, assumed: dict[str, str]
) -> NDArray[np.float32]:
    """(frame · spoke, readout, 2), last axis (ky, kx), in the file's unit.

    Parameters
    ----------
    own
        Whether it is the package's own layout, where the last axis is (ky, kx).

    Raises
    ------
    InputError
        If it does not fit the k-space.
    """
    plane, how = _components(ktraj)
    if own and how != "complex":
        plane = plane[..., ::-1]
    elif how == "complex":
        assumed["components"] = "the real part of the trajectory is kx, the imaginary part ky"
    else:
        assumed["components"] = f"the {how} of the trajectory is (kx, ky)"
    total = frames * spokes
    targets: tuple[tuple[int, ...], ...] = ((total, readout), (frames, spokes, readout))
    if frames > 1:
        targets += ((spokes, readout),)
    found = []
    for target in targets:
        for order in permutations(range(plane.ndim - 1)):
            if tuple(plane.shape[axis] for axis in order) == target:
                found.append((target, plane.transpose(*order, plane.ndim - 1)))
    radial = [one for one in found if is_radial(one[1].reshape(-1, readout, 2))] or found
    if not radial:
        sizes = " × ".join(map(str, ktraj.shape))
        raise InputError(f"its trajectory ({sizes}) does not fit {total} spokes of {readout} samples; give its own.")
    target, places = radial[0]
    if target == (spokes, readout) and frames > 1:
        places = np.broadcast_to(places, (frames, spokes, readout, 2))
    return np.ascontiguousarray(places.reshape(total, readout, 2)[..., ::-1], dtype=np.float32)
