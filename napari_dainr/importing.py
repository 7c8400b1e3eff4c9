"""From what a raw file holds to k-space that can be reconstructed: every decision, made once for all formats.

What the user says comes first, then what the file says, then what the data tell; what is left is assumed. Each finding
stands in ``KSpace.detected`` with its evidence, each guess in ``KSpace.assumed``; none is silent.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from napari_dainr.acquired import Acquired
from napari_dainr.data import KSpace
from napari_dainr.errors import InputError
from napari_dainr.trajectory import (
    GOLDEN_ANGLE_DEG,
    Geometry,
    angle_step,
    is_radial,
    radial_ktraj,
    spoke_angles,
    to_cycles_per_fov,
)

__all__ = ["ANGLE_SCHEMES", "ImportOptions", "kspace_of"]

ANGLE_SCHEMES = ("auto", "file", "golden", "tiny-golden", "uniform")
"""How spoke angles are found: by the data and the file, from the file alone, or by a rule."""


class ImportOptions(BaseModel):
    """What the user says about a raw file; every field left empty is found out. Stored in the recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str | None = Field(None, description="Name or number of the data set, where a file holds several.")
    variables: dict[str, str] = Field(
        default_factory=dict, description="Role → name of the variable, for files without a fixed layout."
    )
    matrix: tuple[int, int] | None = Field(None, title="matrix (y, x)", description="Pixels of the reconstruction.")
    fov_mm: tuple[float, float] | None = Field(
        None, title="field of view (y, x)", description="Of the reconstruction, millimetres."
    )
    tr_ms: float | None = Field(None, gt=0, title="TR", description="Time from one spoke to the next, milliseconds.")
    oversampling: float | None = Field(
        None, ge=1, le=8, description="Field of view of the readout over that of the reconstruction."
    )
    centre_sample: float | None = Field(
        None, ge=0, title="centre sample", description="Sample of a spoke at the k-space centre, from 0; may be half."
    )
    trajectory_unit: str | None = Field(None, title="trajectory unit", description="Unit of the stored trajectory.")
    angles: Literal["auto", "file", "golden", "tiny-golden", "uniform"] = Field(
        "auto", description="Rule of the spoke angles; auto: the file's trajectory, else what fits the data best."
    )
    tiny_number: int = Field(7, ge=2, le=50, title="tiny golden N", description="N of the tiny golden angle.")
    full_circle: bool | None = Field(
        None, title="full circle", description="Angles step through 360° (the 2π variant) rather than through 180°."
    )
    first_angle_deg: float | None = Field(None, title="first angle", description="Angle of the first spoke, degrees.")
    reversed: bool | None = Field(None, description="Spokes turn from +kx towards −ky.")


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
    kdata = acquired.kdata
    geometry = _geometry(acquired, options, assumed)
    ktraj = _trajectory(acquired, options, geometry, detected, assumed)
    times = _spoke_times(acquired, options, detected, assumed)
    if acquired.left_out:
        parts = ", ".join(f"{count} {kind}" for kind, count in acquired.left_out.items())
        detected["left out"] = f"{parts} acquisitions"
    hint = acquired.spokes_per_frame
    if hint:
        detected["spokes per frame"] = f"{hint}, by the frame counter"
    return KSpace(
        kdata=kdata,
        ktraj=ktraj,
        spoke_times_s=times,
        matrix=geometry.matrix,
        fov_mm=geometry.fov_mm,
        name=acquired.name,
        detected=detected,
        assumed=assumed,
        spokes_per_frame_hint=hint,
    )


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


def _trajectory(
    acquired: Acquired, options: ImportOptions, geometry: Geometry, detected: dict[str, str], assumed: dict[str, str]
) -> NDArray[np.float32]:
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


def _spoke_times(
    acquired: Acquired, options: ImportOptions, detected: dict[str, str], assumed: dict[str, str]
) -> NDArray[np.float64]:
    """(spoke,) seconds from the first spoke.

    Time stamps are coarse beside a TR of a few milliseconds; where both agree to a tick, index times TR is the truer.
    """
    spokes, tick = acquired.kdata.shape[2], acquired.tick_s
    index = np.arange(spokes, dtype=np.float64)
    if options.tr_ms is not None:
        detected["times"] = f"TR {options.tr_ms:g} ms, as told"
        return index * options.tr_ms / 1e3
    elapsed, tr_s = acquired.times_s, acquired.tr_s
    stamped = elapsed is not None and spokes > 1 and bool((np.diff(elapsed) >= 0).all()) and float(elapsed[-1]) > 0
    if tr_s is not None and (
        not stamped or elapsed is None or np.abs(elapsed - index * tr_s).max() <= tick * 1.001 + 1e-9
    ):
        detected["times"] = f"TR {tr_s * 1e3:g} ms of the header"
        if stamped:
            detected["times"] += ", confirmed by the time stamps"
        elif spokes > 1:
            assumed["times"] = "no pauses; the file holds no usable time stamps"
        return index * tr_s
    if stamped and elapsed is not None:
        detected["times"] = "time stamps of the file" + (f", {tick * 1e3:g} ms ticks" if tick else "")
        if tr_s is not None:
            detected["times"] += f" (the header's TR {tr_s * 1e3:g} ms does not fit them)"
        return elapsed
    assumed["times"] = "5 ms per spoke; the file holds neither TR nor time stamps"
    return index * 0.005
