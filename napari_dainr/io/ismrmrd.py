"""ISMRMRD raw data (HDF5): read as radial k-space, and written.

The parent's side: what the child extracted is checked and turned into :class:`KSpace`, with every finding in
``detected`` and every guess in ``assumed``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr.data import KSpace
from napari_dainr.errors import InputError
from napari_dainr.io.atomic import atomic_write
from napari_dainr.io.child import Extracted, read_in_child
from napari_dainr.trajectory import (
    GOLDEN_ANGLE_DEG,
    Geometry,
    is_radial,
    radial_ktraj,
    spoke_angles,
    to_cycles_per_fov,
)

__all__ = ["TICK_S", "read_ismrmrd", "write_ismrmrd"]

TICK_S = 2.5e-3
"""One tick of an ISMRMRD acquisition time stamp, seconds."""

_DAY_TICKS = round(86400 / TICK_S)
_NAMESPACE = "http://www.ismrm.org/ISMRMRD"


def read_ismrmrd(path: Path, timeout_s: float | None = None) -> KSpace:
    """Read golden-angle radial k-space; the file is only ever opened for reading, in a child process.

    Raises
    ------
    InputError
        If it is not ISMRMRD, is damaged, or is not 2-D radial.
    """
    path = Path(path)
    name = "".join(c if c.isprintable() else "?" for c in path.stem)
    arrays, facts = _checked(read_in_child("ismrmrd", path, timeout_s), path.name)
    detected: dict[str, str] = {"format": "ISMRMRD"}
    assumed: dict[str, str] = {}
    geometry = _geometry(facts, assumed)
    try:
        ktraj = _trajectory(arrays, facts, geometry, detected, assumed)
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from None
    times = _spoke_times(arrays["ticks"], facts["tr_ms"], detected, assumed)
    if facts["left_out"]:
        parts = ", ".join(f"{count} {kind}" for kind, count in facts["left_out"].items())
        detected["left out"] = f"{parts} acquisitions"
    if facts["datasets"] > 1:
        assumed["dataset"] = f"the first of {facts['datasets']} in the file"
    hint = facts["spokes_per_frame"]
    if hint:
        detected["spokes per frame"] = f"{hint}, by the frame counter"
    return KSpace(
        kdata=arrays["kdata"],
        ktraj=ktraj,
        spoke_times_s=times,
        matrix=geometry.matrix,
        fov_mm=geometry.fov_mm,
        name=name,
        detected=detected,
        assumed=assumed,
        spokes_per_frame_hint=hint,
    )


def _checked(extracted: Extracted, name: str) -> Extracted:
    """The child's answer, if it has the form that was agreed; the child has seen an untrusted file."""
    arrays, facts = extracted
    try:
        kdata, ticks = arrays["kdata"], arrays["ticks"]
        spokes, readout = kdata.shape[2:]
        good = (
            kdata.dtype == np.complex64
            and kdata.ndim == 4
            and ticks.dtype == np.int64
            and ticks.shape == (spokes,)
            and ("ktraj" not in arrays or arrays["ktraj"].shape == (spokes, readout, 2))
            and all(len(facts[key]) == 2 for key in ("matrix", "fov_mm", "encoded_matrix", "encoded_fov_mm"))
            and all(0 < float(size) < 1e6 for key in ("fov_mm", "encoded_fov_mm") for size in facts[key])
            and all(0 < int(size) <= 65535 for key in ("matrix", "encoded_matrix") for size in facts[key])
            and all(isinstance(facts[key], int) for key in ("center_sample", "datasets"))
            and isinstance(facts["spokes_per_frame"], int | None)
            and isinstance(facts["tr_ms"], float | None)
            and isinstance(facts["trajectory"], str)
            and isinstance(facts["left_out"], dict)
        )
    except (KeyError, ValueError, TypeError, AttributeError):
        good = False
    if not good:
        raise InputError(
            f"{name}: its header holds impossible sizes; correct the matrix and field of view in the header."
        )
    return arrays, facts


def _geometry(facts: dict[str, Any], assumed: dict[str, str]) -> Geometry:
    matrix, fov = list(facts["matrix"]), list(facts["fov_mm"])
    encoded, encoded_fov = list(facts["encoded_matrix"]), list(facts["encoded_fov_mm"])
    if matrix[0] < 2 <= matrix[1]:
        # Some converters count one line per spoke.
        matrix[0], fov[0] = matrix[1], fov[1]
        assumed["matrix"] = f"square, {matrix[1]} × {matrix[1]}; the header has one row"
    if encoded[0] < 2:
        encoded[0], encoded_fov[0] = encoded[1], encoded_fov[1]
    return Geometry(
        matrix=(int(matrix[0]), int(matrix[1])),
        fov_mm=(float(fov[0]), float(fov[1])),
        encoded_matrix=(int(encoded[0]), int(encoded[1])),
        encoded_fov_mm=(float(encoded_fov[0]), float(encoded_fov[1])),
    )


def _trajectory(
    arrays: dict[str, NDArray[Any]],
    facts: dict[str, Any],
    geometry: Geometry,
    detected: dict[str, str],
    assumed: dict[str, str],
) -> NDArray[np.float32]:
    spokes, readout = arrays["kdata"].shape[2:]
    if "ktraj" in arrays and np.any(arrays["ktraj"]):
        raw = arrays["ktraj"]
        if not is_radial(raw):
            raise InputError("its trajectory is not radial: the readouts are not straight lines through the centre.")
        ktraj, unit, doubt = to_cycles_per_fov(raw, geometry)
        detected["trajectory"] = f"from the file, {unit}"
        if doubt:
            assumed["trajectory unit"] = f"{unit}: {doubt}"
        # Angles are those in the patient, not in an oblong field of view.
        _describe_angles(ktraj / np.asarray(geometry.fov_mm), detected)
        return ktraj
    kind = (
        facts["trajectory"]
        if facts["trajectory"] in ("cartesian", "epi", "spiral", "radial", "goldenangle")
        else "other"
    )
    if kind not in ("radial", "goldenangle"):
        raise InputError(
            f"it holds no trajectory and its header says {kind!r}; only radial data can be read, "
            "store the trajectory in the file or correct the header."
        )
    axis = int(np.argmax(geometry.fov_mm))
    oversampling = geometry.encoded_fov_mm[axis] / geometry.fov_mm[axis]
    if not 0.9 < readout / (oversampling * geometry.matrix[axis]) < 1.1:
        oversampling = readout / geometry.matrix[axis]
        assumed["readout"] = f"{oversampling:.3g}-fold oversampled, so that it spans the matrix"
    centre = facts["center_sample"]
    if not 0 < centre < readout:
        centre = readout // 2
    ktraj = radial_ktraj(spokes, 2 * max(centre, readout - centre), geometry.matrix, oversampling=oversampling)
    first = ktraj.shape[1] // 2 - centre
    detected["trajectory"] = f"none in the file; the header says {kind}"
    assumed["trajectory"] = f"golden angle {GOLDEN_ANGLE_DEG:.3f}° from +kx, centre at sample {centre}"
    return np.ascontiguousarray(ktraj[:, first : first + readout])


def _describe_angles(ktraj: NDArray[np.floating], detected: dict[str, str]) -> None:
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
    ticks: NDArray[np.int64], tr_ms: float | None, detected: dict[str, str], assumed: dict[str, str]
) -> NDArray[np.float64]:
    """(spoke,) seconds from the first spoke.

    Ticks of 2.5 ms are coarse beside a TR of a few; where both agree to a tick, index times TR is the truer time.
    """
    index = np.arange(len(ticks), dtype=np.float64)
    elapsed: NDArray[np.float64] = (np.unwrap(ticks.astype(np.float64), period=_DAY_TICKS) - ticks[0]) * TICK_S
    tr_s = tr_ms / 1000.0 if tr_ms is not None and np.isfinite(tr_ms) and tr_ms > 0 else None
    stamped = len(ticks) > 1 and bool((np.diff(elapsed) >= 0).all()) and elapsed[-1] > 0
    if tr_s is not None and (not stamped or np.abs(elapsed - index * tr_s).max() <= TICK_S * 1.001):
        detected["times"] = f"TR {tr_ms:g} ms of the header"
        if stamped:
            detected["times"] += ", confirmed by the time stamps"
        elif len(ticks) > 1:
            assumed["times"] = "no pauses; the file holds no usable time stamps"
        return index * tr_s
    if stamped:
        detected["times"] = "time stamps of the file, 2.5 ms ticks"
        if tr_s is not None:
            detected["times"] += f" (the header's TR {tr_ms:g} ms does not fit them)"
        return elapsed
    assumed["times"] = "5 ms per spoke; the file holds neither TR nor time stamps"
    return index * 0.005


def _acquisition_dtype() -> np.dtype[Any]:
    import h5py
    from ismrmrd.hdf5 import acquisition_dtype  # type: ignore[import-untyped,unused-ignore]

    head = dict(acquisition_dtype.fields)["head"][0] if acquisition_dtype.fields else None
    vlen = h5py.vlen_dtype(np.dtype("<f4"))
    return np.dtype([("head", head), ("traj", vlen), ("data", vlen)])


def _header_xml(kspace: KSpace, encoded_matrix: tuple[int, int], encoded_fov_mm: tuple[float, float]) -> bytes:
    def space(tag: str, matrix: tuple[int, int], fov: tuple[float, float]) -> str:
        return (
            f"<{tag}><matrixSize><x>{matrix[1]}</x><y>{matrix[0]}</y><z>1</z></matrixSize>"
            f"<fieldOfView_mm><x>{fov[1]!r}</x><y>{fov[0]!r}</y><z>1.0</z></fieldOfView_mm></{tag}>"
        )

    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ismrmrdHeader xmlns="{_NAMESPACE}">'
        f"<acquisitionSystemInformation><receiverChannels>{kspace.n_coils}</receiverChannels>"
        "</acquisitionSystemInformation><experimentalConditions><H1resonanceFrequency_Hz>0</H1resonanceFrequency_Hz>"
        "</experimentalConditions><encoding>"
        + space("encodedSpace", encoded_matrix, encoded_fov_mm)
        + space("reconSpace", kspace.matrix, kspace.fov_mm)
        + "<encodingLimits><kspace_encoding_step_1><minimum>0</minimum>"
        f"<maximum>{kspace.n_spokes - 1}</maximum><center>0</center></kspace_encoding_step_1></encodingLimits>"
        "<trajectory>radial</trajectory></encoding>"
        f"<sequenceParameters><TR>{round(kspace.tr_s * 1000.0, 9)!r}</TR></sequenceParameters></ismrmrdHeader>\n"
    ).encode()


def _rows(kspace: KSpace, encoded: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """One ISMRMRD acquisition per slice and spoke."""
    slices, coils, spokes, readout = kspace.kdata.shape
    rows = np.zeros(slices * spokes, dtype=dtype)
    head, spoke = rows["head"], np.tile(np.arange(spokes), slices)
    head["version"] = 1
    head["scan_counter"] = np.arange(1, len(rows) + 1)
    head["acquisition_time_stamp"] = np.rint(kspace.spoke_times_s / TICK_S).astype(np.uint32)[spoke]
    head["number_of_samples"] = readout
    head["available_channels"] = head["active_channels"] = coils
    head["center_sample"] = readout // 2
    head["trajectory_dimensions"] = 2
    head["idx"]["kspace_encode_step_1"] = spoke % 65536
    head["idx"]["slice"] = np.repeat(np.arange(slices), spokes)
    if kspace.spokes_per_frame_hint:
        head["idx"]["repetition"] = spoke // kspace.spokes_per_frame_hint
    # One unit for both axes, so an oblong field of view spreads its short side.
    unit = encoded * np.asarray(kspace.fov_mm) / max(kspace.fov_mm)
    traj = (kspace.ktraj.astype(np.float64) / unit)[..., ::-1].astype("<f4").reshape(spokes, -1)
    data = kspace.kdata.transpose(0, 2, 1, 3).astype("<c8", order="C").reshape(slices * spokes, -1).view("<f4")
    for i in range(len(rows)):
        rows["traj"][i], rows["data"][i] = traj[i % spokes], data[i]
    return rows


def write_ismrmrd(kspace: KSpace, path: Path) -> None:
    """Write k-space as ISMRMRD, atomically; samples are kept bit by bit, time stamps to the TR or 2.5 ms.

    Raises
    ------
    ExportError
        If it cannot be written or does not read back.
    """
    along = np.diff(kspace.ktraj, axis=1) * (max(kspace.fov_mm) / np.asarray(kspace.fov_mm))
    step = float(np.median(np.linalg.norm(along, axis=-1)))
    # The readout's own field of view is one over the sample step, the encoded matrix its number of samples.
    encoded_fov = (round(kspace.fov_mm[0] / step, 6), round(kspace.fov_mm[1] / step, 6))
    ratio = kspace.n_readout / max(kspace.fov_mm)
    encoded_matrix = (round(kspace.fov_mm[0] * ratio), round(kspace.fov_mm[1] * ratio))

    def write(temporary: Path) -> None:
        import h5py

        with h5py.File(temporary, "x") as file:
            group = file.create_group("dataset")
            xml = _header_xml(kspace, encoded_matrix, encoded_fov)
            group.create_dataset("xml", data=np.array([xml], dtype=object), dtype=h5py.string_dtype("utf-8"))
            group.create_dataset("data", data=_rows(kspace, kspace.n_readout, _acquisition_dtype()))

    def verify(temporary: Path) -> None:
        again = read_ismrmrd(temporary)
        if not np.array_equal(again.kdata, kspace.kdata):
            raise ValueError("the samples differ")
        if not np.allclose(again.ktraj, kspace.ktraj, atol=1e-4):
            raise ValueError("the trajectory differs")

    atomic_write(Path(path), write, verify, int(kspace.kdata.nbytes + 2 * kspace.ktraj.nbytes + (1 << 16)))
