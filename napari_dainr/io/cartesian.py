"""Cartesian k-space of any file as spokes, where the user asks for them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_dainr.acquired import Acquired
from napari_dainr.errors import InputError
from napari_dainr.importing import ImportOptions
from napari_dainr.preparation.cartesian import radial_from_cartesian, require_full

__all__ = ["cartesian_acquired"]


def cartesian_acquired(
    file_format: str,
    name: str,
    kdata: NDArray[np.complex64],
    options: ImportOptions,
    *,
    fov_mm: tuple[float, float] | None = None,
    keep: tuple[int, int] | None = None,
    tr_s: float | None = None,
    detected: dict[str, str] | None = None,
    assumed: dict[str, str] | None = None,
) -> Acquired:
    """Fully sampled frames made radial by :func:`napari_dainr.preparation.cartesian.radial_from_cartesian`.

    Parameters
    ----------
    kdata : (slice, frame, coil, ky, kx)
    fov_mm : (y, x) or None
        Of the pixels that are kept.
    keep : (y, x) or None
        Pixels kept around the centre.

    Raises
    ------
    InputError
        If the user has not said how many spokes a frame gets, or frames are not fully sampled.
    """
    _, frames, _, rows, columns = kdata.shape
    for one in kdata:
        require_full(one)
    spokes = options.radial_spokes
    if spokes is None:
        raise InputError(
            f"it is Cartesian ({frames} frames of {rows} × {columns}); say with radial spokes how many golden-angle "
            "spokes to sample from each frame."
        )
    made = [radial_from_cartesian(one, spokes, fov_mm, keep) for one in kdata]
    _, ktraj, matrix = made[0]
    found = dict(detected or {})
    found["made radial"] = (
        f"from Cartesian k-space of {frames} frames of {rows} × {columns}: {spokes} golden-angle spokes a frame, "
        "by a NUFFT of the coil images"
    )
    return Acquired(
        format=file_format,
        name=name,
        kdata=np.stack([samples for samples, _, _ in made]),
        ktraj=ktraj,
        trajectory_unit="cycles per field of view",
        kind="goldenangle",
        matrix=matrix,
        fov_mm=fov_mm,
        tr_s=tr_s,
        spokes_per_frame=spokes,
        detected=found,
        assumed=dict(assumed or {}),
    )
