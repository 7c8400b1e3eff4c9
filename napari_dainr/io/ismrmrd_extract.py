"""The child's side of reading ISMRMRD: HDF5 in, plain arrays and whitelisted facts out.

Header by the ismrmrd package, bulk data by h5py. The file is opened for reading only, and nothing outside it is
followed. Only the physics named in :func:`facts_of_header` leaves this module: no names, dates, places or devices.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from napari_dainr.errors import InputError
from napari_dainr.io.child import Extracted
from napari_dainr.io.hdf5_open import hard_linked, open_hdf5
from napari_dainr.io.readouts import Arrangement, arrange, places, same_shape
from napari_dainr.io.readouts import require as _require

__all__ = ["NOT_IMAGING", "Read", "assemble", "extract", "facts_of_header", "raw_groups"]

NOT_IMAGING = {
    "noise": 19,
    "calibration": 20,
    "navigator": 23,
    "phase correction": 24,
    "feedback": 26,
    "dummy": 27,
    "real-time feedback": 28,
    "surface coil correction": 29,
    "phase stabilization reference": 30,
    "phase stabilization": 31,
}
"""Kinds of acquisitions that are not image data → number of the ISMRMRD flag, counted from 1."""

_REVERSE = 22
_MAX_HEADER_BYTES = 16 << 20
_ROWS_AT_ONCE = 256


def _has_flag(flags: NDArray[np.uint64], number: int) -> NDArray[np.bool_]:
    marked: NDArray[np.bool_] = (flags >> np.uint64(number - 1)) & np.uint64(1) != 0
    return marked


def raw_groups(file: h5py.File) -> list[h5py.Group]:
    """The groups of a file that hold ISMRMRD raw data."""
    found = []
    for name in sorted(file, key=lambda n: (n != "dataset", n))[:1000]:
        if not isinstance(file.get(name, getlink=True), h5py.HardLink):
            continue
        item = file[name]
        if isinstance(item, h5py.Group) and "xml" in item and "data" in item:
            found.append(item)
    return found


def _dataset_group(file: h5py.File, wanted: str | None) -> tuple[h5py.Group, int]:
    """The group that holds the raw data, and how many such groups there are."""
    found = raw_groups(file)
    _require(bool(found), "is HDF5 but not ISMRMRD: it holds no dataset with 'xml' and 'data'; convert it to ISMRMRD.")
    if wanted is None:
        return found[0], len(found)
    names = [group.name.strip("/") for group in found]
    for number, (name, group) in enumerate(zip(names, found, strict=True)):
        if wanted in (name, str(number)):
            return group, len(found)
    raise InputError(f"holds no data set of the name or number that was chosen; it holds {len(found)}, from 0.")


def facts_of_header(xml: Any) -> dict[str, Any]:
    """The whitelist: matrix, field of view, trajectory type, TR. Millimetres and milliseconds, (y, x) order."""
    from ismrmrd import xsd

    _require(isinstance(xml, h5py.Dataset) and xml.size == 1, "xml does not hold one ISMRMRD header; convert it again.")
    text = xml[()] if xml.shape == () else xml[0]
    text = text.encode() if isinstance(text, str) else bytes(text)
    _require(len(text) <= _MAX_HEADER_BYTES, "its header is larger than 16 MB; convert it again.")
    text = text.rstrip(b"\0")
    # A document type could name other files or expand without bound; ISMRMRD has no use for one.
    _require(
        b"<!" not in text.replace(b"<!--", b"") and b"\0" not in text, "its header declares a document type; remove it."
    )
    try:
        header = xsd.CreateFromDocument(text)
    except Exception:
        raise InputError("its header is not valid ISMRMRD XML; convert it again.") from None
    _require(bool(header.encoding), "its header has no encoding; convert it again.")
    encoding = header.encoding[0]
    facts: dict[str, Any] = {"trajectory": encoding.trajectory.value if encoding.trajectory else "other"}
    for name, space in (("matrix", encoding.reconSpace), ("encoded_matrix", encoding.encodedSpace)):
        _require(space is not None, f"its header has no {name.replace('_', ' ')}; convert it again.")
        fov_name = name.replace("matrix", "fov_mm")
        facts[name] = [int(space.matrixSize.y), int(space.matrixSize.x)]
        facts[fov_name] = [float(space.fieldOfView_mm.y), float(space.fieldOfView_mm.x)]
    sequence = header.sequenceParameters
    facts["tr_ms"] = float(sequence.TR[0]) if sequence is not None and sequence.TR else None
    facts["partitions"] = int(encoding.encodedSpace.matrixSize.z)
    facts["slab_mm"] = float(encoding.encodedSpace.fieldOfView_mm.z)
    limits = encoding.encodingLimits
    for name, limit in (("line", "kspace_encoding_step_1"), ("partition", "kspace_encoding_step_2")):
        said = getattr(limits, limit, None) if limits is not None else None
        facts[f"centre_{name}"] = int(said.center) if said is not None and said.center is not None else None
    system = header.acquisitionSystemInformation
    bandwidth = system.relativeReceiverNoiseBandwidth if system is not None else None
    facts["receiver_bandwidth"] = float(bandwidth) if bandwidth else None
    return facts


def _image_rows(head: NDArray[Any]) -> tuple[NDArray[np.intp], dict[str, int]]:
    """Rows that are image data of the first encoding, and how many others were left out, by kind."""
    keep = np.ones(len(head), dtype=bool)
    left_out = {}
    for kind, number in NOT_IMAGING.items():
        marked = keep & _has_flag(head["flags"], number)
        if marked.any():
            left_out[kind] = int(marked.sum())
            keep &= ~marked
    other = keep & (head["encoding_space_ref"] != 0)
    if other.any():
        left_out["other encoding"] = int(other.sum())
        keep &= ~other
    return np.flatnonzero(keep), left_out


def _one_value(values: NDArray[Any], what: str, advice: str) -> int:
    distinct = np.unique(values)
    _require(len(distinct) == 1, f"{what} differs between acquisitions ({distinct[0]} and {distinct[-1]}); {advice}")
    return int(distinct[0])


def _read_rows(
    data: h5py.Dataset, rows: NDArray[np.intp], coils: int, samples: int, dims: int
) -> tuple[NDArray[np.complex64], NDArray[np.float32] | None]:
    """(row, coil, sample) and (row, sample, dim), in blocks so that memory stays near the size of the result."""
    kdata = np.empty((len(rows), coils, samples), dtype=np.complex64)
    traj = np.empty((len(rows), samples, dims), dtype=np.float32) if dims else None
    for start in range(0, int(rows[-1]) + 1, _ROWS_AT_ONCE):
        inside = rows[(rows >= start) & (rows < start + _ROWS_AT_ONCE)]
        if len(inside) == 0:
            continue
        block = data[start : start + _ROWS_AT_ONCE]
        first = int(np.searchsorted(rows, inside[0]))
        for i, row in enumerate(inside - start):
            values = np.asarray(block["data"][row], dtype=np.float32)
            _require(
                values.size == 2 * coils * samples,
                f"acquisition {start + int(row)} holds {values.size} numbers where {2 * coils * samples} belong; "
                "the file is truncated or damaged, copy it again.",
            )
            kdata[first + i] = values.view(np.complex64).reshape(coils, samples)
            if traj is not None:
                points = np.asarray(block["traj"][row], dtype=np.float32)
                _require(
                    points.size == samples * dims,
                    f"the trajectory of acquisition {start + int(row)} holds {points.size} numbers where "
                    f"{samples * dims} belong; convert the file again.",
                )
                traj[first + i] = points.reshape(samples, dims)
    return kdata, traj


def extract(
    path: Path, dataset: str | None = None, contrast: int | None = None, set_number: int | None = None
) -> Extracted:
    """Read the image acquisitions of an ISMRMRD file.

    Parameters
    ----------
    dataset
        Name or number of the data set; the first by default.
    contrast, set_number
        As in :func:`napari_dainr.io.readouts.arrange`.

    Returns
    -------
    arrays
        ``kdata`` (third, coil, spoke, readout) complex64; ``ktraj`` (spoke, readout, 2) float32, (ky, kx), in the
        file's own unit, only if the file holds one; ``ticks`` (spoke,) int64, time stamps of the reference slice or
        partition; ``noise`` (coil, sample) complex64 if there is a noise scan; ``planes`` and ``through`` as in
        :func:`napari_dainr.io.readouts.places`; counters as in Acquired.
    facts
        Numbers and words of the whitelist.

    Raises
    ------
    InputError
        One sentence, without the file's name.
    """
    with open_hdf5(path) as file:
        group, n_datasets = _dataset_group(file, dataset)
        xml, data = hard_linked(group, "xml"), hard_linked(group, "data")
        facts = facts_of_header(xml)
        facts["datasets"], facts["dataset_chosen"] = n_datasets, dataset is not None
        _require(
            isinstance(data, h5py.Dataset)
            and data.ndim == 1
            and {"head", "traj", "data"} <= set(data.dtype.names or ()),
            "data does not hold ISMRMRD acquisitions; convert it again.",
        )
        for name in ("traj", "data"):
            base = h5py.check_vlen_dtype(data.dtype[name])
            _require(base is not None and base.kind == "f", f"data/{name} does not hold numbers; convert it again.")
        _require(
            0 < len(data) <= path.stat().st_size,
            "data holds no acquisitions, or fewer than it declares; copy it again.",
        )
        head = data["head"]

        def read(rows: NDArray[np.intp], coils: int, samples: int, dims: int) -> Read:
            return _read_rows(data, rows, coils, samples, dims)

        arrays, found = assemble(path.stat().st_size, read, head, (contrast, set_number), facts)
        return arrays, facts | found


Read = tuple[NDArray[np.complex64], NDArray[np.float32] | None]
"""(row, coil, sample) and, if there is a trajectory, (row, sample, dim)."""

_COUNTERS = {
    "line": "kspace_encode_step_1",
    "partition": "kspace_encode_step_2",
    "slice": "slice",
    "contrast": "contrast",
    "set": "set",
    "phase": "phase",
    "repetition": "repetition",
    "average": "average",
}


def assemble(
    size: int,
    read: Callable[[NDArray[np.intp], int, int, int], Read],
    everything: NDArray[Any],
    wanted: tuple[int | None, int | None],
    facts: dict[str, Any],
) -> Extracted:
    """Samples of the image acquisitions, sorted into slices or partitions and spokes.

    Parameters
    ----------
    size
        Bytes of the file.
    read
        Reads ascending rows, given also the number of coils, samples and trajectory dimensions.
    everything : (row,)
        Headers of all acquisitions, with the field names of ISMRMRD.
    wanted
        Contrast and set, as in :func:`napari_dainr.io.readouts.arrange`.
    facts
        Of the header; gets ``left_out``.

    Returns
    -------
    arrays, facts
        As :func:`extract`, without the facts of the header.
    """
    rows, facts["left_out"] = _image_rows(everything)
    _require(len(rows) > 0, "holds no image acquisitions, only calibration data; give the file of the scan itself.")
    keep, samples, coils = same_shape(everything["number_of_samples"][rows], everything["active_channels"][rows])
    if not keep.all():
        facts["left_out"]["other length"] = int((~keep).sum())
    head = everything[rows[keep]]
    counters = {name: head["idx"][field] for name, field in _COUNTERS.items()}
    plan = arrange(counters, facts["centre_partition"], *wanted)
    if plan.facts["incomplete"]:
        facts["left_out"]["incomplete"] = plan.facts["incomplete"]
    picked = np.sort(plan.rows, axis=None)
    order = np.searchsorted(picked, plan.rows)
    rows, head = rows[keep][picked], head[picked]
    dims = _one_value(head["trajectory_dimensions"], "the number of trajectory dimensions", "convert it again.")
    pre = _one_value(head["discard_pre"], "discard_pre", "convert it again.")
    post = _one_value(head["discard_post"], "discard_post", "convert it again.")
    centre = _one_value(head["center_sample"], "center_sample", "convert it again.")
    _require(
        samples - pre - post >= 4 and coils >= 1, f"spokes hold {samples} samples and {coils} coils; convert it again."
    )
    _require(dims in (0, 2, 3), f"the trajectory has {dims} dimensions; 2 are needed.")
    _require(
        len(rows) * coils * samples * 8 <= size,
        f"{len(rows)} spokes of {coils} coils and {samples} samples do not fit into the file; copy it again.",
    )
    kdata, traj = read(rows, coils, samples, dims)
    reverse = _has_flag(head["flags"], _REVERSE)
    if traj is None:
        # With a trajectory, each sample has its place already.
        kdata[reverse] = kdata[reverse, :, ::-1]
    used = slice(pre, samples - post)
    arrays: dict[str, NDArray[Any]] = {
        "kdata": np.ascontiguousarray(kdata[order].transpose(0, 2, 1, 3)[..., used]),
        "ticks": head["acquisition_time_stamp"].astype(np.int64)[order[plan.reference]],
        **plan.arrays(),
    }
    if traj is not None:
        arrays["ktraj"] = _in_plane(traj[:, used], order, plan)
    table = np.stack([head[name] for name in ("read_dir", "phase_dir", "position", "slice_dir")], axis=1)
    arrays |= places(table[order], plan.facts["third"])
    is_noise = _has_flag(everything["flags"], NOT_IMAGING["noise"])
    noise = np.flatnonzero(is_noise & (everything["active_channels"] == coils))
    dwell = float(head["sample_time_us"][0])
    found = plan.facts | {
        "center_sample": centre - pre,
        "reflected": int(reverse.sum()) if traj is None else 0,
        "dwell_us": dwell if np.isfinite(dwell) else 0.0,
        "noise_dwell_us": 0.0,
        "coils": coils,
        "noise_of_other_coils": int(everything["active_channels"][is_noise].max(initial=0)) if not len(noise) else 0,
    }
    if len(noise):
        arrays["noise"], found["noise_dwell_us"] = _noise(read, noise, coils, everything)
    return arrays, found


def _noise(
    read: Callable[[NDArray[np.intp], int, int, int], Read], rows: NDArray[np.intp], coils: int, head: NDArray[Any]
) -> tuple[NDArray[np.complex64], float]:
    """(coil, sample) of the noise acquisitions, and their dwell time in µs (0 where the file does not say)."""
    keep, samples, _ = same_shape(head["number_of_samples"][rows], head["active_channels"][rows])
    values, _ = read(rows[keep], coils, samples, 0)
    dwell = float(head["sample_time_us"][rows[0]])
    return np.ascontiguousarray(values.transpose(1, 0, 2)).reshape(coils, -1), dwell if np.isfinite(dwell) else 0.0


def _in_plane(traj: NDArray[np.float32], order: NDArray[np.intp], plan: Arrangement) -> NDArray[np.float32]:
    """(spoke, readout, 2) as (ky, kx), the same for every slice or partition."""
    _require(bool(np.isfinite(traj).all()), "its trajectory holds NaN or Inf; convert it again.")
    third = plan.facts["third"]
    if traj.shape[-1] == 3:
        extent = np.abs(traj[..., :2]).max()
        # The spokes of a partition lie at one kz.
        through = np.ptp(traj[..., 2], axis=1) if third == "partition" else np.abs(traj[..., 2])
        _require(bool(through.max() <= 1e-4 * extent), "its trajectory is 3-D; only planes of spokes can be read.")
    per_third = traj[..., 1::-1][order]
    _require(
        bool(np.allclose(per_third, per_third[:1], atol=1e-5 * float(np.abs(per_third).max()))),
        f"its {third}s have different trajectories; split the file by {third}.",
    )
    return np.ascontiguousarray(per_third[0])
