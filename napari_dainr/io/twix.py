"""Siemens raw data (twix, ``.dat`` of VB, VD, VE and XA): the parent's side, which brings it to the common form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr.acquired import Acquired
from napari_dainr.errors import InputError
from napari_dainr.importing import ImportOptions
from napari_dainr.io.child import label, read_in_child
from napari_dainr.io.found import (
    DAY_TICKS,
    TICK_S,
    partitions_of,
    planes_of,
    said_of_arrangement,
    tr_between_spokes,
    what_the_samples_say,
)
from napari_dainr.preparation.noise import bandwidth_ratio

__all__ = ["read_twix"]

_TRAJECTORIES = {1: "cartesian", 2: "radial", 4: "spiral", 8: "propeller"}
"""``sKSpace.ucTrajectory`` → kind."""


def read_twix(path: Path, options: ImportOptions | None = None, timeout_s: float | None = None) -> Acquired:
    """Read one measurement of a Siemens raw file, in a child process.

    Parameters
    ----------
    options
        ``dataset``: number of the measurement, from 0, the last by default; ``contrast``, ``set_number``: which echo
        and set.

    Raises
    ------
    InputError
        If it is no Siemens raw data, or is damaged.
    """
    path = Path(path)
    options = options or ImportOptions()
    arrays, facts = read_in_child(
        "twix",
        path,
        timeout_s,
        dataset=options.dataset,
        contrast=options.contrast,
        set_number=options.set_number,
    )
    try:
        return _acquired(arrays, facts, label(path))
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, OverflowError):
        raise InputError("its header holds impossible sizes; the file is damaged, copy it again.") from None


def _acquired(arrays: dict[str, NDArray[Any]], facts: dict[str, Any], name: str) -> Acquired:
    kdata, ticks = arrays["kdata"], arrays["ticks"].astype(np.float64)
    detected, assumed = said_of_arrangement(facts)
    if facts["datasets"] > 1:
        text = f"measurement {facts['dataset']} of {facts['datasets']}, counted from 0"
        if facts["dataset_chosen"]:
            detected["dataset"] = f"{text}, as told"
        else:
            assumed["dataset"] = f"{text}: the last is the scan itself"
    if not facts["ended"]:
        assumed["end"] = "the mark of the end is missing: the measurement was stopped, or the file is cut off"
    if facts["reflected"]:
        detected["reflected"] = f"{facts['reflected']} lines were read out backwards and turned round"
    kind = what_the_samples_say(kdata, _TRAJECTORIES.get(int(facts.get("trajectory") or 0), "unknown"), detected)
    images = facts.get("images_per_slab") or facts.get("partitions")
    partitions = partitions_of(
        facts,
        int(facts.get("partitions") or 0),
        int(facts["centre_partition"]),
        facts["thickness_mm"] / images if facts.get("thickness_mm") and images else None,
        arrays.get("through"),
    )
    planes = planes_of(arrays.get("planes"))
    if planes:
        assumed["orientation"] = (
            "columns along the readout of the protocol, rows along its phase encoding, as siemens_to_ismrmrd takes "
            "them; the image may be turned by 180° in its plane"
        )
        if facts["pulseq"]:
            assumed["orientation"] += ", and a Pulseq sequence may use other axes"
    matrix, fov, encoded = _geometry(facts, kdata.shape[-1], kind)
    if facts["pulseq"] and fov is not None:
        assumed["field of view"] = f"{fov[0]:g} mm, of the protocol; a Pulseq sequence may use another"
    tr_s = tr_between_spokes(facts, facts["tr_us"] / 1e6 if facts.get("tr_us") else None)
    noise, dwell, noise_dwell = arrays.get("noise"), facts.get("dwell_ns"), facts["noise_dwell_us"]
    ratio = 1.0
    if noise is not None and dwell and noise_dwell:
        ratio = bandwidth_ratio(dwell / 1e3, noise_dwell)
    elif noise is not None:
        assumed["noise"] = "the noise scan has the bandwidth of the image; the header does not say"
    return Acquired(
        format="Siemens twix",
        name=name,
        kdata=kdata,
        third=facts["third"],
        partitions=partitions,
        kind=kind,
        matrix=matrix,
        fov_mm=fov,
        encoded_matrix=(kdata.shape[-1],) * 2 if encoded else None,
        encoded_fov_mm=encoded,
        centre_sample=int(facts["centre_column"]),
        times_s=(np.unwrap(ticks, period=DAY_TICKS) - ticks[0]) * TICK_S,
        tick_s=TICK_S,
        tr_s=tr_s,
        spokes_per_frame=facts["spokes_per_frame"],
        lines=arrays.get("lines"),
        centre_line=int(facts["centre_line"]),
        frames=arrays.get("frames"),
        noise=noise,
        noise_bandwidth_ratio=ratio,
        planes=planes,
        left_out=dict(facts["left_out"]),
        detected=detected,
        assumed=assumed,
    )


def _geometry(
    facts: dict[str, Any], readout: int, kind: str
) -> tuple[tuple[int, int] | None, tuple[float, float] | None, tuple[float, float] | None]:
    """Matrix, field of view (y, x) of the image, and field of view of the readout, by the protocol."""
    base, read_fov, phase_fov = facts.get("base"), facts.get("read_fov_mm"), facts.get("phase_fov_mm")
    if not base or not read_fov:
        return None, None, None
    columns = int(base)
    # Spokes have the same field of view in all directions.
    height = float(phase_fov) if phase_fov and kind == "cartesian" else float(read_fov)
    rows = max(2, round(columns * height / read_fov))
    oversampling = float(facts["oversampling"] or readout / columns)
    return (rows, columns), (height, float(read_fov)), (height * oversampling, float(read_fov) * oversampling)
