"""Where the samples lie: the trajectory of the file, or spokes by rule."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr.acquired import Acquired
from napari_dainr.errors import InputError
from napari_dainr.importing.options import ImportOptions
from napari_dainr.importing.preparing import brightest_slice
from napari_dainr.preparation.angles import AngleRule, candidate_rules, estimate_centre, rank_rules
from napari_dainr.trajectory import (
    GOLDEN_ANGLE_DEG,
    Geometry,
    is_radial,
    radial_ktraj,
    spoke_angles,
    to_cycles_per_fov,
)

__all__ = ["trajectory_of"]

_FEWEST_SPOKES = 34
"""With fewer, a series of the circle's harmonics fits almost any angles."""
_FITS = 0.3
"""A rule that leaves more than this part of the central k-space unexplained is none."""


def trajectory_of(
    acquired: Acquired,
    options: ImportOptions,
    geometry: Geometry,
    detected: dict[str, str],
    assumed: dict[str, str],
    used: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """(spoke, readout, 2), last axis (ky, kx), cycles per field of view; findings and guesses go into the two tables.

    ``used`` marks the spokes whose samples can be looked at.

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
            f"it holds no trajectory and its header says {kind!r}, but only spokes can be reconstructed; if its "
            "readouts are spokes all the same, say by which rule with angles, or give the trajectory; fully sampled "
            "frames of ISMRMRD and MRD become radial with radial spokes."
        )
    return _made_trajectory(acquired, options, geometry, detected, assumed, used)


def _made_trajectory(
    acquired: Acquired,
    options: ImportOptions,
    geometry: Geometry,
    detected: dict[str, str],
    assumed: dict[str, str],
    used: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Spokes by rule, where the file holds no trajectory or the user says otherwise."""
    spokes, readout = acquired.kdata.shape[2:]
    axis = int(np.argmax(geometry.fov_mm))
    oversampling = geometry.encoded_fov_mm[axis] / geometry.fov_mm[axis]
    if options.oversampling is None and not 0.9 < readout / (oversampling * geometry.matrix[axis]) < 1.1:
        oversampling = readout / geometry.matrix[axis]
        assumed["readout"] = f"{oversampling:.3g}-fold oversampled, so that it spans the matrix"
    kdata = acquired.kdata[brightest_slice(acquired.kdata)][:, used]
    centre = _centre(acquired, options, kdata, detected, assumed)
    first = options.first_angle_deg or 0.0
    sense = "−ky" if options.reversed else "+ky"
    at = f"first spoke at {first:g}° from +kx, turning towards {sense}, centre at sample {centre:g}"
    if options.angles == "auto":
        rule = _rule(acquired, options, kdata, np.flatnonzero(used), centre, oversampling, detected, assumed, at)
    else:
        rule = AngleRule(options.angles, options.tiny_number, bool(options.full_circle))
        detected["trajectory"] = f"as told: {rule} {rule.step(spokes):.3f}°, {at}"
    step = rule.step(spokes)
    return radial_ktraj(
        spokes,
        readout,
        geometry.matrix,
        angle_deg=-step if options.reversed else step,
        first=first,
        oversampling=oversampling,
        centre=centre,
    )


def _centre(
    acquired: Acquired,
    options: ImportOptions,
    kdata: NDArray[np.complex64],
    detected: dict[str, str],
    assumed: dict[str, str],
) -> float:
    """The sample at the k-space centre: as told, by the header, or by the data, to half a sample."""
    readout = kdata.shape[-1]
    if options.centre_sample is not None:
        return options.centre_sample
    said = acquired.centre_sample
    found = estimate_centre(kdata) if kdata.shape[1] > 1 else None
    agreed = f"consecutive spokes agree best at sample {found.sample:.2f}" if found is not None else ""
    if said is not None and 0 < said < readout:
        if found is not None and found.clear:
            if abs(found.sample - said) > 0.3:
                assumed["centre sample"] = f"{said}, by the header, though {agreed}; choose it with centre sample"
            else:
                detected["centre sample"] = f"{said}, by the header; {agreed}"
        return float(said)
    if found is not None and found.clear:
        centre = round(2 * found.sample) / 2
        detected["centre sample"] = f"{centre:g}: {agreed}"
        return centre
    assumed["centre sample"] = f"{readout // 2}, the middle; neither header nor data tell"
    return float(readout // 2)


def _rule(
    acquired: Acquired,
    options: ImportOptions,
    kdata: NDArray[np.complex64],
    numbers: NDArray[np.integer[Any]],
    centre: float,
    oversampling: float,
    detected: dict[str, str],
    assumed: dict[str, str],
    at: str,
) -> AngleRule:
    """The rule of the angles that fits the data best, or golden angles where none stands out."""
    spokes = acquired.kdata.shape[2]
    golden = AngleRule("golden", full_circle=bool(options.full_circle))
    rules = [r for r in candidate_rules() if options.full_circle is None or r.full_circle == options.full_circle]
    ranked = rank_rules(kdata, numbers, spokes, centre, oversampling, rules) if len(numbers) >= _FEWEST_SPOKES else []
    if not ranked:
        said = f"{len(numbers)} spokes are too few to tell"
    else:
        best, second = ranked[:2]
        said = (
            f"the {best.rule} leaves {100 * best.unexplained:.1f} % of the central k-space unexplained, "
            f"the next best, the {second.rule}, {100 * second.unexplained:.1f} %"
        )
    # What the readouts themselves say of it stands beside this, where the header is silent or wrong.
    header = (
        "none in the file" if "readouts" in acquired.detected else f"none in the file; the header says {acquired.kind}"
    )
    if ranked and best.unexplained < _FITS:
        clear = best.unexplained < 0.6 * second.unexplained
        detected["trajectory"] = f"{header}; {said}" if clear else header
        doubt = "" if clear else f"; not clear: {said}"
        assumed["trajectory"] = (
            f"{best.rule} {best.rule.step(spokes):.3f}°, {at}; a turned or mirrored object would give the same "
            f"data{doubt}"
        )
        return best.rule
    detected["trajectory"] = header
    assumed["trajectory"] = f"{golden} {golden.step(spokes):.3f}°, {at}; {said}"
    return golden


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
