"""Where the samples lie: the trajectory of the file, or spokes by rule."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr.acquired import Acquired
from napari_dainr.errors import InputError
from napari_dainr.importing.options import ImportOptions
from napari_dainr.trajectory import (
    GOLDEN_ANGLE_DEG,
    Geometry,
    angle_step,
    is_radial,
    radial_ktraj,
    spoke_angles,
    to_cycles_per_fov,
)

__all__ = ["trajectory_of"]


def trajectory_of(
    acquired: Acquired, options: ImportOptions, geometry: Geometry, detected: dict[str, str], assumed: dict[str, str]
) -> NDArray[np.float32]:
    """(spoke, readout, 2), last axis (ky, kx), cycles per field of view; findings and guesses go into the two tables.

    Raises
    ------
    InputError
        If the data are not radial, or the file holds less than the user says.
    """
    raw = acquired.ktraj
    if options.angles in ("auto", "file") and raw is not None and np.any(raw):
        if not is_radial(raw):
            raise InputError("its trajectory is not radial: the readouts are not straight lines through the centre.")
        given = options.trajectory_unit or acquired.trajectory_unit
        ktraj, unit, doubt = to_cycles_per_fov(raw, geometry, given)
        detected["trajectory"] = f"from the file, {unit}"
        if doubt:
            assumed["trajectory unit"] = f"{unit}: {doubt}"
        # Angles are those in the patient, not in an oblong field of view.
        _describe_angles(ktraj / np.asarray(geometry.fov_mm), detected)
        return ktraj
    if options.angles == "file":
        raise InputError("it holds no trajectory; choose another rule for the angles than 'file'.")
    if options.angles == "auto" and acquired.kind not in ("radial", "goldenangle", "unknown"):
        kind = acquired.kind if acquired.kind in ("cartesian", "epi", "spiral") else "other"
        raise InputError(
            f"it holds no trajectory and its header says {kind!r}; only radial data can be read, "
            "store the trajectory in the file or correct the header."
        )
    return _made_trajectory(acquired, options, geometry, detected, assumed)


def _made_trajectory(
    acquired: Acquired, options: ImportOptions, geometry: Geometry, detected: dict[str, str], assumed: dict[str, str]
) -> NDArray[np.float32]:
    """Spokes by rule, where the file holds no trajectory or the user says otherwise."""
    spokes, readout = acquired.kdata.shape[2:]
    axis = int(np.argmax(geometry.fov_mm))
    oversampling = geometry.encoded_fov_mm[axis] / geometry.fov_mm[axis]
    if options.oversampling is None and not 0.9 < readout / (oversampling * geometry.matrix[axis]) < 1.1:
        oversampling = readout / geometry.matrix[axis]
        assumed["readout"] = f"{oversampling:.3g}-fold oversampled, so that it spans the matrix"
    centre = options.centre_sample
    if centre is None:
        said = acquired.centre_sample
        centre = float(said) if said is not None and 0 < said < readout else float(readout // 2)
    scheme = "golden" if options.angles == "auto" else options.angles
    step = angle_step(scheme, spokes, tiny_number=options.tiny_number, full_circle=bool(options.full_circle))
    first = options.first_angle_deg or 0.0
    step = -step if options.reversed else step
    text = f"{scheme} angle {abs(step):.3f}°, first spoke at {first:g}°, centre at sample {centre:g}"
    if options.angles == "auto":
        detected["trajectory"] = f"none in the file; the header says {acquired.kind}"
        assumed["trajectory"] = f"golden angle {GOLDEN_ANGLE_DEG:.3f}° from +kx, centre at sample {centre:g}"
    else:
        detected["trajectory"] = f"as told: {text}"
    return radial_ktraj(
        spokes,
        readout,
        geometry.matrix,
        angle_deg=step,
        first=first,
        oversampling=oversampling,
        centre=centre,
    )


def _describe_angles(ktraj: NDArray[np.floating[Any]], detected: dict[str, str]) -> None:
    if len(ktraj) < 3:
        return
    steps = np.diff(spoke_angles(ktraj)) % 360.0
    step = float(np.median(steps))
    if np.abs(steps - step).max() > 0.01:
        detected["angle step"] = "varies"
    else:
        golden = abs(step - GOLDEN_ANGLE_DEG) < 0.01
        detected["angle step"] = f"{step:.3f}°" + (" (golden angle)" if golden else "")
