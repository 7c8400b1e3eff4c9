"""Cartesian k-space of any file as spokes, where the user asks for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_dainr.acquired import Acquired
from napari_dainr.errors import InputError
from napari_dainr.importing import ImportOptions
from napari_dainr.preparation.cartesian import radial_from_cartesian, require_full

__all__ = ["cartesian_acquired", "radial_of_lines"]


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


def radial_of_lines(acquired: Acquired, options: ImportOptions) -> Acquired:
    """Readouts that are Cartesian lines of fully sampled frames, made radial where the user asks for it.

    Parameters
    ----------
    acquired
        With ``lines``, ``centre_line`` and, of several frames, ``frames``. Lines that were measured several times in a
        frame are averaged. Anything that is not Cartesian is returned as it is, and so is all where
        ``options.radial_spokes`` is not given.

    Raises
    ------
    InputError
        If the lines are partitions of a volume, the echo is not in the middle of the readout, or frames are not fully
        sampled.
    """
    # Some writers store a trajectory of zeros where there is none.
    has_trajectory = acquired.ktraj is not None and bool(np.any(acquired.ktraj))
    if options.radial_spokes is None or acquired.kind != "cartesian" or has_trajectory:
        return acquired
    slices, coils, _, columns = acquired.kdata.shape
    lines, centre = acquired.lines, acquired.centre_line
    if acquired.third == "partition" or lines is None or centre is None:
        raise InputError(
            "its Cartesian lines are those of a volume or are not numbered alike in all slices; radial spokes can only "
            "be made of 2-D frames."
        )
    if acquired.centre_sample not in (None, columns // 2):
        raise InputError(
            f"its echo is asymmetric, at sample {acquired.centre_sample} of {columns}; radial spokes can only be made "
            "from fully sampled frames."
        )
    # Rows to both sides of the centre, n // 2 of them before it.
    rows = 2 * centre + (1 if int(lines.max()) == 2 * centre else 0)
    if not 0 <= int(lines.min()) <= int(lines.max()) < rows:
        raise InputError(
            f"its lines {lines.min()} to {lines.max()} do not lie about the centre {centre}; correct the limits of "
            "encoding step 1 in the header."
        )
    numbers = acquired.frames if acquired.frames is not None else np.zeros(len(lines), np.int64)
    _, frame = np.unique(numbers, return_inverse=True)
    frames = int(frame.max()) + 1
    count = np.zeros((frames, rows))
    np.add.at(count, (frame, lines), 1)
    total = np.zeros((frames, rows, slices, coils, columns), np.complex64)
    # A damaged sample may be NaN that signals.
    with np.errstate(invalid="ignore"):
        np.add.at(total, (frame, lines), acquired.kdata.transpose(2, 0, 1, 3))
        total /= np.maximum(count, 1)[:, :, None, None, None].astype(np.float32)
    detected, assumed = dict(acquired.detected), dict(acquired.assumed)
    if count.max() > 1:
        detected["averages"] = f"lines that were measured up to {int(count.max())} times in a frame are averaged"
    keep = fov = None
    if acquired.fov_mm is not None and acquired.encoded_fov_mm is not None:
        pixel = (acquired.encoded_fov_mm[0] / rows, acquired.encoded_fov_mm[1] / columns)
        keep = (
            min(rows, max(2, round(acquired.fov_mm[0] / pixel[0]))),
            min(columns, max(2, round(acquired.fov_mm[1] / pixel[1]))),
        )
        fov = (keep[0] * pixel[0], keep[1] * pixel[1])
    made = cartesian_acquired(
        acquired.format,
        acquired.name,
        total.transpose(2, 0, 3, 1, 4),
        options,
        fov_mm=fov,
        keep=keep,
        tr_s=acquired.tr_s,
        detected=detected,
        assumed=assumed,
    )
    return replace(
        made,
        noise=acquired.noise,
        noise_bandwidth_ratio=acquired.noise_bandwidth_ratio,
        planes=acquired.planes,
        left_out=acquired.left_out,
    )
