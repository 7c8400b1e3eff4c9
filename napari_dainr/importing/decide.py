"""The decisions, one after the other: what the readouts of a file mean."""

from __future__ import annotations

import numpy as np

from napari_dainr.acquired import Acquired
from napari_dainr.data import KSpace
from napari_dainr.importing.angles import trajectory_of
from napari_dainr.importing.options import ImportOptions
from napari_dainr.importing.preparing import prepared, with_delays
from napari_dainr.importing.times import spoke_times
from napari_dainr.trajectory import Geometry

__all__ = ["kspace_of"]


def kspace_of(acquired: Acquired, options: ImportOptions | None = None) -> KSpace:
    """Decide what the readouts mean.

    Raises
    ------
    InputError
        Without the file's name: if the data are not 2-D radial, or contradict what the user says.
    """
    options = options or ImportOptions()
    detected = {"format": acquired.format, **acquired.detected}
    assumed = dict(acquired.assumed)
    acquired, used = prepared(acquired, options, detected, assumed)
    geometry = _geometry(acquired, options, assumed)
    ktraj = trajectory_of(acquired, options, geometry, detected, assumed, used)
    times = spoke_times(acquired, options, detected, assumed)
    if acquired.left_out:
        parts = ", ".join(f"{count} {kind}" for kind, count in acquired.left_out.items())
        detected["left out"] = f"{parts} acquisitions"
    csm = acquired.csm
    if csm is not None and len(csm) != len(acquired.kdata):
        assumed["coil maps"] = f"none: those in the file are for {len(csm)} slices, the data hold {len(acquired.kdata)}"
        csm = None
    elif csm is not None:
        detected["coil maps"] = f"in the file, {csm.shape[2]} × {csm.shape[3]}; used where coil maps are given"
    hint = acquired.spokes_per_frame
    if hint:
        detected["spokes per frame"] = f"{hint}, by the frame counter"
        if not used.all():
            detected["spokes per frame"] += "; frames after a left-out spoke begin one spoke later"
    planes = acquired.planes if len(acquired.planes) == len(acquired.kdata) else ()
    if planes:
        x, y, z = planes[0].centre_mm
        detected["position"] = f"slice 0 at ({x:.1f}, {y:.1f}, {z:.1f}) mm (left, back, head), by the header"
    else:
        detected["position"] = "not in the file; exports make up an axial slice at the origin, and say so"
    kspace = KSpace(
        kdata=acquired.kdata if used.all() else np.ascontiguousarray(acquired.kdata[:, :, used]),
        ktraj=ktraj[used],
        spoke_times_s=times[used],
        matrix=geometry.matrix,
        fov_mm=geometry.fov_mm,
        name=acquired.name,
        detected=detected,
        assumed=assumed,
        spokes_per_frame_hint=hint,
        csm=csm,
        planes=planes,
    )
    return with_delays(kspace, options)


def _geometry(acquired: Acquired, options: ImportOptions, assumed: dict[str, str]) -> Geometry:
    """Matrix and field of view of the reconstruction and of the readout."""
    readout = acquired.kdata.shape[-1]
    matrix, fov = options.matrix or acquired.matrix, options.fov_mm or acquired.fov_mm
    if matrix is None:
        pixels = round(readout / (options.oversampling or 2.0))
        matrix = (pixels, pixels)
        assumed["matrix"] = f"{pixels} × {pixels}: the readout is taken to be {readout / pixels:.3g}-fold oversampled"
    if fov is None:
        fov = (float(matrix[0]), float(matrix[1]))
        assumed["field of view"] = "1 mm per pixel; the file does not say"
    if options.oversampling is not None or acquired.encoded_fov_mm is None:
        ratio = options.oversampling or readout / max(matrix)
        encoded_fov = (fov[0] * ratio, fov[1] * ratio)
    else:
        encoded_fov = acquired.encoded_fov_mm
    step = max(encoded_fov) / readout
    encoded = acquired.encoded_matrix or (
        max(2, round(encoded_fov[0] / step)),
        max(2, round(encoded_fov[1] / step)),
    )
    return Geometry(matrix=matrix, fov_mm=fov, encoded_matrix=encoded, encoded_fov_mm=encoded_fov)
