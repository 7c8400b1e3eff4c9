"""Files of plain arrays (MATLAB, HDF5, ``.npz``), the parent's side: axes in order, and what each layout means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr.acquired import Acquired, Partitions
from napari_dainr.importing import ImportOptions
from napari_dainr.io import ismrmrd
from napari_dainr.io.axes import in_order, said_axes, told_axes, trajectory_places
from napari_dainr.io.cartesian import cartesian_acquired, radial_of_lines
from napari_dainr.io.child import Extracted, label, read_in_child
from napari_dainr.io.readouts import require
from napari_dainr.io.weighting import unweighted
from napari_dainr.trajectory import GOLDEN_ANGLE_DEG

__all__ = ["read_hdf5", "read_matlab", "read_npz"]

_RADIAL = ("slice", "coil", "frame", "spoke", "readout")
_CARTESIAN = ("slice", "frame", "coil", "ky", "kx")
_FASTMRI_BREAST_COUNT, _FASTMRI_BREAST_CENTRE = 192, 31


def read_matlab(path: Path, options: ImportOptions | None = None, timeout_s: float | None = None) -> Acquired:
    """Read a MATLAB file of version 5 to 7.3 in a child process; raises InputError."""
    options = options or ImportOptions()
    arrays, facts = read_in_child("matlab", path, timeout_s, variables=dict(options.variables))
    return _acquired(f"MATLAB {facts['version']}", label(path), (arrays, facts), options)


def read_npz(path: Path, options: ImportOptions | None = None, timeout_s: float | None = None) -> Acquired:
    """Read ``.npz`` in a child process; raises InputError."""
    options = options or ImportOptions()
    found = read_in_child("npz", path, timeout_s, variables=dict(options.variables))
    return _acquired("npz", label(path), found, options)


def read_hdf5(path: Path, options: ImportOptions | None = None, timeout_s: float | None = None) -> Acquired:
    """Read HDF5 in a child process: ISMRMRD where it holds that, else arrays; raises InputError."""
    options = options or ImportOptions()
    arrays, facts = read_in_child(
        "hdf5_arrays",
        path,
        timeout_s,
        dataset=options.dataset,
        contrast=options.contrast,
        set_number=options.set_number,
        variables=dict(options.variables),
    )
    if "layout" not in facts:
        return radial_of_lines(ismrmrd.acquired_of(arrays, facts, label(path)), options)
    return _acquired("HDF5", label(path), (arrays, facts), options)


def _acquired(file_format: str, name: str, found: Extracted, options: ImportOptions) -> Acquired:
    """Arrays by role in the common form; raises InputError if they do not fit each other."""
    arrays, facts = found
    layouts = {
        "grasp": _grasp,
        "fastmri breast": _fastmri_breast,
        "fastmri": _fastmri,
        "cmrxrecon": _cmrxrecon,
        "cmrxrecon single coil": _cmrxrecon,
    }
    if "axes" in options.variables:
        return _general(file_format, name, arrays, facts, options)
    return layouts.get(facts["layout"], _general)(file_format, name, arrays, facts, options)


def _general(
    file_format: str, name: str, arrays: dict[str, NDArray[Any]], facts: dict[str, Any], options: ImportOptions
) -> Acquired:
    """Axes as the user tells them, as documented for ``.npz``, or the only ones that fit the trajectory."""
    detected: dict[str, str] = {}
    assumed: dict[str, str] = {}
    kdata = np.asarray(arrays["kdata"], dtype=np.complex64)
    axes = told_axes(options.variables)
    if axes is not None:
        detected["axes"] = f"{', '.join(axes)}, as told"
    elif facts["layout"] == "named" and file_format == "npz" and kdata.ndim in (3, 4):
        axes = ("slice", "coil", "spoke", "readout")[4 - kdata.ndim :]
        detected["axes"] = f"{', '.join(axes)}: the layout of .npz"
    else:
        axes = said_axes(kdata.shape, arrays.get("ktraj"), detected)
    if "complex" in axes:
        at = axes.index("complex")
        require(kdata.shape[at : at + 1] == (2,), "the axis 'complex' does not have two numbers; say other axes.")
        real, imag = np.moveaxis(kdata, at, 0).real
        kdata, axes = (real + 1j * imag).astype(np.complex64), (*axes[:at], *axes[at + 1 :])
    numbers = facts["numbers"]
    fov, matrix = _pair(numbers, "fov_mm"), _pair(numbers, "matrix")
    tr_s = numbers["tr_s"][0] if "tr_s" in numbers else None
    if "ky" in axes or "kx" in axes:
        planes = in_order(kdata, axes, _CARTESIAN)
        return cartesian_acquired(
            file_format, name, planes, options, fov_mm=fov, tr_s=tr_s, detected=detected, assumed=assumed
        )
    samples = in_order(kdata, axes, _RADIAL)
    slices, coils, frames, spokes, readout = samples.shape
    samples = np.ascontiguousarray(samples.reshape(slices, coils, frames * spokes, readout))
    ktraj = arrays.get("ktraj")
    own = file_format == "npz" and facts["layout"] == "named"
    times = arrays.get("times_s")
    if times is not None:
        times = np.asarray(times, dtype=np.float64).reshape(-1)
        require(
            len(times) == frames * spokes and bool(np.isfinite(times).all()),
            f"times_s holds {len(times)} times, or no numbers, for {frames * spokes} spokes; correct it.",
        )
        times = times - times[0]
    hint = int(numbers["spokes_per_frame"][0]) if "spokes_per_frame" in numbers else None
    require(hint is None or 0 < hint <= frames * spokes, "spokes_per_frame fits no frame; correct it.")
    return Acquired(
        format=file_format,
        name=name,
        kdata=samples,
        ktraj=None if ktraj is None else trajectory_places(ktraj, frames, spokes, readout, own, assumed),
        trajectory_unit="cycles per field of view" if own and ktraj is not None else None,
        kind="radial",
        matrix=None if matrix is None else (round(matrix[0]), round(matrix[1])),
        fov_mm=fov,
        times_s=times,
        tr_s=tr_s,
        spokes_per_frame=hint or (spokes if frames > 1 else None),
        noise=arrays.get("noise"),
        csm=_maps(arrays.get("csm"), coils, own),
        detected=detected,
        assumed=assumed,
    )


def _pair(numbers: dict[str, list[float]], name: str) -> tuple[float, float] | None:
    values = numbers.get(name)
    return None if values is None else (values[0], values[-1])


def _maps(csm: NDArray[Any] | None, coils: int, own: bool) -> NDArray[np.complex64] | None:
    """(slice, coil, y, x); the axis of the coils is told by its size where the layout does not fix it."""
    if csm is None:
        return None
    if own or csm.ndim == 4:
        csm = csm if csm.ndim == 4 else csm[None]
        require(csm.ndim == 4 and csm.shape[1] == coils, f"csm is not (slice, coil, y, x) of {coils} coils.")
        return csm.astype(np.complex64)
    at = [axis for axis in range(csm.ndim) if csm.shape[axis] == coils]
    require(csm.ndim == 3 and len(at) == 1, f"the axis of the {coils} coils cannot be told in csm; leave csm out.")
    return np.ascontiguousarray(np.moveaxis(csm, at[0], 0)[None], dtype=np.complex64)


def _grasp(
    file_format: str, name: str, arrays: dict[str, NDArray[Any]], facts: dict[str, Any], options: ImportOptions
) -> Acquired:
    """Public GRASP demonstration: kdata (readout, spoke, coil), k complex ± 0.5, w, b1 (y, x, coil)."""
    kdata, k = arrays["kdata"], arrays["ktraj"]
    require(
        k.shape == kdata.shape[:2] and arrays["dcf"].shape == k.shape,
        f"k and w are {k.shape} and {arrays['dcf'].shape}, but kdata {kdata.shape} is for (readout, spoke, coil); "
        "name the arrays with variables.",
    )
    reach = float(np.abs(k).max(initial=0))
    require(0.3 < reach < 0.75, f"k reaches {reach:.3g}, but ± 0.5 cycles per pixel belong there; correct it.")
    require(k.dtype.kind == "c" and bool(np.isfinite(k).all()), "k is not complex, or holds NaN; write it again.")
    detected = {"layout": "GRASP demonstration: kdata (readout, spoke, coil), k in cycles per pixel, w"}
    assumed: dict[str, str] = {}
    csm, matrix = arrays.get("csm"), None
    if csm is not None:
        require(csm.ndim == 3 and csm.shape[2] == kdata.shape[2], "b1 is not (y, x, coil) of as many coils as kdata.")
        matrix = (csm.shape[0], csm.shape[1])
        detected["matrix"] = f"{csm.shape[0]} × {csm.shape[1]}, that of b1"
    pixels = max(options.matrix or matrix or (round(len(kdata) / 2),))
    kdata = unweighted(kdata, k, arrays["dcf"].real, pixels, options.weighted, detected, assumed)
    return Acquired(
        format=file_format,
        name=name,
        kdata=np.ascontiguousarray(kdata.transpose(2, 1, 0)[None]),
        # The demonstration's NUFFT counts its first axis, the rows, by the real part.
        ktraj=np.ascontiguousarray(np.stack([k.real, k.imag], axis=-1).transpose(1, 0, 2), dtype=np.float32),
        trajectory_unit="cycles per pixel",
        kind="goldenangle",
        matrix=matrix,
        csm=None if csm is None else np.ascontiguousarray(csm.transpose(2, 0, 1)[None], dtype=np.complex64),
        detected=detected,
        assumed=assumed,
    )


def _fastmri_breast(
    file_format: str, name: str, arrays: dict[str, NDArray[Any]], facts: dict[str, Any], options: ImportOptions
) -> Acquired:
    """fastMRI-breast: a golden-angle stack of stars, real and imaginary part as an axis.

    (2, spoke, readout, coil, partition), or the same reversed, as the data set has been published both ways.
    """
    values = arrays["kdata"].real
    if values.shape[0] != 2:
        values = values.T
    kdata = (values[0] + 1j * values[1]).astype(np.complex64)
    spokes, readout, _, measured = kdata.shape
    centre, count = _FASTMRI_BREAST_CENTRE, max(_FASTMRI_BREAST_COUNT, measured)
    assumed = {"partitions": f"centre at {centre} and filled up to {count}: the sizes of the data set"}
    if not centre < measured or measured > count // 2 + centre:
        centre = measured // 2
        assumed["partitions"] = f"centre at {centre}, the middle of {measured}; the data set's own does not fit"
    pixels = readout // 2
    # The first image axis counts cos, so spokes start along +ky and turn towards +kx.
    angle = np.deg2rad(GOLDEN_ANGLE_DEG) * np.arange(spokes)
    radius = (np.arange(readout) - readout // 2) / 2
    ktraj = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)[:, None]
    return Acquired(
        format=f"fastMRI breast ({file_format})",
        name=name,
        kdata=np.ascontiguousarray(kdata.transpose(3, 2, 0, 1)),
        third="partition",
        partitions=Partitions(tuple(range(measured)), count, centre, reverse=True),
        ktraj=ktraj.astype(np.float32),
        trajectory_unit="cycles per field of view",
        kind="goldenangle",
        matrix=(pixels, pixels),
        detected={"layout": "fastMRI breast: real and imaginary part, spoke, readout, coil, partition"},
        assumed={
            **assumed,
            "angles": "golden, from +ky towards +kx, as in the data set's own programs",
            "slice order": "that of the data set's own programs, a forward transform along kz; the file does not say",
        },
    )


def _fastmri(
    file_format: str, name: str, arrays: dict[str, NDArray[Any]], facts: dict[str, Any], options: ImportOptions
) -> Acquired:
    """fastMRI: kspace (slice, coil, ky, kx) or (slice, ky, kx), the readout along y and oversampled."""
    kdata = arrays["kdata"]
    axes = ("slice", "coil", "ky", "kx") if kdata.ndim == 4 else ("slice", "ky", "kx")
    planes = in_order(kdata, axes, _CARTESIAN)
    detected = {"layout": f"fastMRI: {', '.join(axes)}"}
    header, fov, keep, tr_s = facts.get("header"), None, None, None
    if header is not None:
        (encoded_y, encoded_x), (fov_y, fov_x) = header["encoded_matrix"], header["encoded_fov_mm"]
        target_y, target_x = header["fov_mm"]
        good = min(encoded_y, encoded_x) > 1 and min(fov_y, fov_x, target_y, target_x) > 0
        require(good, "its header holds impossible sizes; correct the matrix and field of view in the header.")
        # The header's x is the readout, which the array has as its rows.
        pixel = (fov_x / encoded_x, fov_y / encoded_y)
        rows = min(planes.shape[-2], max(2, round(target_x / pixel[0])))
        columns = min(planes.shape[-1], max(2, round(target_y / pixel[1])))
        keep, fov = (rows, columns), (rows * pixel[0], columns * pixel[1])
        detected["cropped"] = f"to {rows} × {columns} pixels, the field of view of the header's reconstruction"
    return cartesian_acquired(
        f"fastMRI ({file_format})", name, planes, options, fov_mm=fov, keep=keep, tr_s=tr_s, detected=detected
    )


def _cmrxrecon(
    file_format: str, name: str, arrays: dict[str, NDArray[Any]], facts: dict[str, Any], options: ImportOptions
) -> Acquired:
    """CMRxRecon: (kx, ky, coil, slice, frame) in MATLAB's order; one coil has no such axis, one frame neither."""
    kdata = arrays["kdata"]
    axes: tuple[str, ...] = ("kx", "ky", "coil", "slice", "frame")
    if facts["layout"].endswith("single coil"):
        axes = ("kx", "ky", "slice", "frame")
    axes = axes[: kdata.ndim]
    require(len(axes) == kdata.ndim, f"its k-space has {kdata.ndim} axes, CMRxRecon {len(axes)}; say axes.")
    detected = {"layout": f"CMRxRecon: {', '.join(axes)}"}
    return cartesian_acquired(
        f"CMRxRecon ({file_format})", name, in_order(kdata, axes, _CARTESIAN), options, detected=detected
    )
