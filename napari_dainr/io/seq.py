"""Pulseq sequences, the parent's side: the trajectory of a raw file that has none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_dainr.acquired import Acquired
from napari_dainr.errors import InputError, printable
from napari_dainr.io.child import read_in_child
from napari_dainr.optional import require

__all__ = ["with_sequence"]


def with_sequence(acquired: Acquired, path: Path, timeout_s: float | None = None) -> Acquired:
    """The same readouts with the trajectory of a Pulseq sequence, which is read in a child process.

    The field of view of the readout follows from the distance of the samples, that of the image from the sequence's
    definitions, and the matrix from both.

    Raises
    ------
    InputError
        If the sequence cannot be read, or does not hold one spoke for each spoke of the data.
    ResourceError
        If the package pypulseq (extra ``pulseq``) is not installed.
    """
    path = Path(path)
    require("pypulseq", extra="pulseq", purpose="Reading a Pulseq sequence")
    arrays, facts = read_in_child("seq", path, timeout_s)
    name = printable(path.name)
    try:
        planes = _planes(arrays["k"], acquired)
        dk = float(np.median(np.linalg.norm(planes[:, -1] - planes[:, 0], axis=-1))) / (planes.shape[1] - 1)
        encoded = 1e3 / dk
        fov = tuple(facts["fov_mm"][::-1]) if facts["fov_mm"] else acquired.fov_mm
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    except (KeyError, ValueError, TypeError, IndexError, ZeroDivisionError):
        raise InputError(f"{name}: is damaged; write the sequence again.") from None
    matrix = acquired.matrix
    said = f"Pulseq sequence of {len(planes)} spokes; the readout spans {encoded:.4g} mm"
    if facts["still"]:
        said += f"; {facts['still']} readouts without gradients left out"
    assumed = {key: text for key, text in acquired.assumed.items() if key != "field of view"}
    if facts["fov_mm"] and fov is not None:
        pixels = planes.shape[1] / encoded
        matrix = (max(2, round(fov[0] * pixels)), max(2, round(fov[1] * pixels)))
    try:
        return replace(
            acquired,
            ktraj=planes,
            trajectory_unit="cycles per metre",
            kind="radial",
            matrix=matrix,
            fov_mm=fov,
            encoded_matrix=(planes.shape[1],) * 2,
            encoded_fov_mm=(encoded, encoded),
            detected={**acquired.detected, "trajectory file": said},
            assumed=assumed,
        )
    except InputError:
        raise InputError(f"{name}: its field of view or readout is impossible; write the sequence again.") from None


def _planes(k: NDArray[np.float64], acquired: Acquired) -> NDArray[np.float32]:
    """(spoke, readout, 2) in cycles per metre, (ky, kx), the same for every slice or partition."""
    thirds, _, spokes, readout = acquired.kdata.shape
    if k.shape[1] != readout or len(k) not in (spokes, spokes * thirds):
        raise InputError(
            f"it holds {len(k)} spokes of {k.shape[1]} samples, but the data {thirds} × {spokes} spokes of {readout}; "
            "give the sequence that was measured."
        )
    extent = float(np.abs(k[..., :2]).max())
    if not extent > 0 or np.ptp(k[..., 2], axis=1).max() > 1e-3 * extent:
        raise InputError("its spokes do not lie in the x–y plane of the sequence; only that plane can be used.")
    plane = k[..., 1::-1]
    if len(plane) == spokes:
        return plane.astype(np.float32)
    inner, outer = plane.reshape(spokes, thirds, readout, 2).swapaxes(0, 1), plane.reshape(thirds, spokes, readout, 2)
    for arranged in (inner, outer):
        if np.abs(arranged - arranged[:1]).max() <= 1e-4 * extent:
            return np.ascontiguousarray(arranged[0], dtype=np.float32)
    raise InputError(f"its spokes have other angles in each {acquired.third}; split the file by {acquired.third}.")
