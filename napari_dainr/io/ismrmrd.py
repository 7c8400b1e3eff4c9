"""ISMRMRD raw data (HDF5): read as radial k-space, and written.

The parent's side: what the child extracted is checked and brought to the common form.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr.acquired import Acquired
from napari_dainr.data import KSpace
from napari_dainr.errors import InputError
from napari_dainr.importing import ImportOptions, kspace_of
from napari_dainr.io.atomic import atomic_write
from napari_dainr.io.cartesian import radial_of_lines
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

__all__ = ["TICK_S", "acquired_of", "read_ismrmrd", "write_ismrmrd"]

_NAMESPACE = "http://www.ismrm.org/ISMRMRD"


def read_ismrmrd(path: Path, options: ImportOptions | None = None, timeout_s: float | None = None) -> Acquired:
    """Read raw data; the file is only ever opened for reading, in a child process.

    Parameters
    ----------
    options
        ``dataset``: name of the data set, or its number from 0, the first by default; ``contrast``, ``set_number``:
        which contrast and set; ``radial_spokes`` for Cartesian frames.

    Raises
    ------
    InputError
        If it is not ISMRMRD, or is damaged.
    """
    path = Path(path)
    options = options or ImportOptions()
    arrays, facts = read_in_child(
        "ismrmrd",
        path,
        timeout_s,
        dataset=options.dataset,
        contrast=options.contrast,
        set_number=options.set_number,
    )
    return radial_of_lines(acquired_of(arrays, facts, label(path)), options)


def acquired_of(
    arrays: dict[str, NDArray[Any]], facts: dict[str, Any], name: str, file_format: str = "ISMRMRD"
) -> Acquired:
    """What the child found in a file with an ISMRMRD header, in the common form; raises InputError if impossible."""
    try:
        detected, assumed = said_of_arrangement(facts)
        matrix, fov = _pairs(facts, "matrix", "fov_mm")
        encoded, encoded_fov = _pairs(facts, "encoded_matrix", "encoded_fov_mm")
        if matrix[0] < 2 <= matrix[1]:
            # Some converters count one line per spoke.
            matrix, fov = (matrix[1], matrix[1]), (fov[1], fov[1])
            assumed["matrix"] = f"square, {matrix[1]} × {matrix[1]}; the header has one row"
        if encoded[0] < 2:
            encoded, encoded_fov = (encoded[1], encoded[1]), (encoded_fov[1], encoded_fov[1])
        if facts["datasets"] > 1 and not facts["dataset_chosen"]:
            assumed["dataset"] = f"the first of {facts['datasets']} in the file"
        kdata, ktraj, noise = arrays["kdata"], arrays.get("ktraj"), arrays.get("noise")
        kind = str(facts["trajectory"])
        if ktraj is None or not np.any(ktraj):
            kind = what_the_samples_say(kdata, kind, detected)
        ticks = arrays["ticks"].astype(np.float64)
        tr_ms = facts["tr_ms"]
        return Acquired(
            format=file_format,
            name=name,
            kdata=kdata,
            third=facts["third"],
            partitions=partitions_of(
                facts,
                int(facts["partitions"]),
                int(facts["centre_partition"] or 0),
                facts["slab_mm"] / facts["partitions"] if facts["slab_mm"] and facts["partitions"] else None,
                arrays.get("through"),
            ),
            ktraj=ktraj,
            kind=kind,
            matrix=matrix,
            fov_mm=fov,
            encoded_matrix=encoded,
            encoded_fov_mm=encoded_fov,
            centre_sample=int(facts["center_sample"]),
            times_s=(np.unwrap(ticks, period=DAY_TICKS) - ticks[0]) * TICK_S,
            tick_s=TICK_S,
            tr_s=tr_between_spokes(facts, tr_ms / 1e3 if tr_ms is not None else None),
            spokes_per_frame=facts["spokes_per_frame"],
            lines=arrays.get("lines"),
            centre_line=facts["centre_line"],
            frames=arrays.get("frames"),
            noise=noise,
            noise_bandwidth_ratio=_bandwidth_ratio(facts, assumed) if noise is not None else 1.0,
            planes=planes_of(arrays.get("planes")),
            left_out=dict(facts["left_out"]),
            detected=detected,
            assumed=assumed,
        )
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, OverflowError):
        raise InputError(
            "its header holds impossible sizes; correct the matrix and field of view in the header."
        ) from None


def _bandwidth_ratio(facts: dict[str, Any], assumed: dict[str, str]) -> float:
    """Bandwidth of the image readout over that of the noise scan, which the receiver's filter narrows."""
    receiver = facts["receiver_bandwidth"] or 1.0
    if facts["dwell_us"] > 0 and facts["noise_dwell_us"] > 0 and 0 < receiver < 10:
        return bandwidth_ratio(facts["dwell_us"], facts["noise_dwell_us"], receiver)
    assumed["noise"] = "the noise scan has the bandwidth of the image; the file does not say"
    return 1.0


def _pairs(facts: dict[str, Any], matrix: str, fov: str) -> tuple[tuple[int, int], tuple[float, float]]:
    (rows, columns), (height, width) = facts[matrix], facts[fov]
    return (int(rows), int(columns)), (float(height), float(width))


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
    if kspace.planes:
        of = np.repeat(np.arange(slices), spokes)
        for name, values in (
            ("read_dir", [plane.along_x for plane in kspace.planes]),
            ("phase_dir", [plane.along_y for plane in kspace.planes]),
            ("slice_dir", [plane.normal for plane in kspace.planes]),
            ("position", [plane.centre_mm for plane in kspace.planes]),
        ):
            head[name] = np.asarray(values, np.float32)[of]
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
        raw = read_ismrmrd(temporary)
        again = kspace_of(raw, ImportOptions(keep_all=True))
        if not np.array_equal(raw.kdata, kspace.kdata):
            raise ValueError("the samples differ")
        if not np.allclose(again.ktraj, kspace.ktraj, atol=1e-4):
            raise ValueError("the trajectory differs")

    atomic_write(Path(path), write, verify, int(kspace.kdata.nbytes + 2 * kspace.ktraj.nbytes + (1 << 16)))
