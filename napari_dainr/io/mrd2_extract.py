"""The child's side of reading a stream of MRD version 2: acquisitions in, plain arrays and whitelisted facts out.

The format has the counters and flags of ISMRMRD, so what is done with them is :mod:`napari_dainr.io.ismrmrd_extract`'s.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr.errors import InputError
from napari_dainr.io.child import Extracted
from napari_dainr.io.ismrmrd_extract import Read, assemble
from napari_dainr.io.readouts import require

__all__ = ["extract"]

_COUNTERS = (
    "kspace_encode_step_1",
    "kspace_encode_step_2",
    "slice",
    "contrast",
    "set",
    "phase",
    "repetition",
    "average",
)
_HEAD = np.dtype(
    [
        ("flags", "<u8"),
        ("number_of_samples", "<i8"),
        ("active_channels", "<i8"),
        ("trajectory_dimensions", "<i8"),
        ("discard_pre", "<i8"),
        ("discard_post", "<i8"),
        ("center_sample", "<i8"),
        ("encoding_space_ref", "<i8"),
        ("acquisition_time_stamp", "<i8"),
        ("sample_time_us", "<f4"),
        ("position", "<f4", 3),
        ("read_dir", "<f4", 3),
        ("phase_dir", "<f4", 3),
        ("slice_dir", "<f4", 3),
        ("idx", [(name, "<i8") for name in _COUNTERS]),
    ]
)
"""The fields of an acquisition that are used, by the names that ISMRMRD gives them."""

_KINDS = ("cartesian", "epi", "radial", "goldenangle", "spiral", "other")


def _facts_of_header(header: Any) -> dict[str, Any]:
    """The whitelist: matrix, field of view, trajectory type, TR, limits. Millimetres and milliseconds, (y, x) order."""
    require(header is not None and bool(header.encoding), "its header has no encoding; convert it again.")
    encoding = header.encoding[0]
    kind = int(encoding.trajectory.value)
    facts: dict[str, Any] = {"trajectory": _KINDS[kind] if 0 <= kind < len(_KINDS) else "other"}
    for name, space in (("matrix", encoding.recon_space), ("encoded_matrix", encoding.encoded_space)):
        facts[name] = [int(space.matrix_size.y), int(space.matrix_size.x)]
        facts[name.replace("matrix", "fov_mm")] = [float(space.field_of_view_mm.y), float(space.field_of_view_mm.x)]
    facts["partitions"] = int(encoding.encoded_space.matrix_size.z)
    facts["slab_mm"] = float(encoding.encoded_space.field_of_view_mm.z)
    for name, limit in (("line", "kspace_encoding_step_1"), ("partition", "kspace_encoding_step_2")):
        said = getattr(encoding.encoding_limits, limit)
        facts[f"centre_{name}"] = int(said.center) if said is not None else None
    sequence, system = header.sequence_parameters, header.acquisition_system_information
    facts["tr_ms"] = float(sequence.t_r[0]) if sequence is not None and len(sequence.t_r) else None
    bandwidth = system.relative_receiver_noise_bandwidth if system is not None else None
    facts["receiver_bandwidth"] = float(bandwidth) if bandwidth else None
    return facts


def _row(head: Any, data: NDArray[Any], trajectory: NDArray[Any]) -> tuple[Any, ...]:
    """One acquisition's header as :data:`_HEAD`; what is not said is 0, and the centre is the middle of the readout."""
    samples = data.shape[1]
    centre = head.center_sample if head.center_sample is not None else samples // 2
    return (
        int(head.flags.value),
        samples,
        data.shape[0],
        trajectory.shape[0] if trajectory.size else 0,
        head.discard_pre or 0,
        head.discard_post or 0,
        centre,
        head.encoding_space_ref or 0,
        head.acquisition_time_stamp or 0,
        head.sample_time_us or 0.0,
        *(
            tuple(np.asarray(vector, np.float32))
            for vector in (head.position, head.read_dir, head.phase_dir, head.slice_dir)
        ),
        tuple(getattr(head.idx, name) or 0 for name in _COUNTERS),
    )


def _no_more_than(reader: Any, size: int) -> None:
    """Refuse arrays longer than the file before memory is filled with zeros for them, which takes many seconds."""
    stream = reader._stream
    read = stream.read_bytearray

    def guarded(count: int) -> bytearray:
        if count > size:
            raise EOFError
        return read(count)

    stream.read_bytearray = guarded


def extract(
    path: Path, dataset: str | None = None, contrast: int | None = None, set_number: int | None = None
) -> Extracted:
    """Read the image acquisitions of a stream of MRD version 2.

    Parameters
    ----------
    dataset
        None; a stream holds one.
    contrast, set_number
        As in :func:`napari_dainr.io.readouts.arrange`.

    Returns
    -------
    arrays, facts
        As :func:`napari_dainr.io.ismrmrd_extract.extract`.

    Raises
    ------
    InputError
        One sentence, without the file's name.
    """
    import mrd

    require(dataset in (None, "0"), "holds a single data set; leave --dataset out.")
    heads, data, trajectories = [], [], []
    with path.open("rb") as stream:
        reader = mrd.BinaryMrdReader(stream)
        _no_more_than(reader, path.stat().st_size)
        try:
            facts = _facts_of_header(reader.read_header())
            for item in reader.read_data():
                if isinstance(item, mrd.StreamItem.Acquisition):
                    one = item.value
                    heads.append(_row(one.head, one.data, one.trajectory))
                    data.append(one.data)
                    trajectories.append(one.trajectory)
        except (EOFError, RuntimeError, BufferError, ValueError):
            raise InputError("is truncated or damaged, or no stream of raw data; copy or convert it again.") from None
    require(bool(heads), "holds no acquisitions, but images or other results; give the raw data of the scan.")
    table = np.array(heads, dtype=_HEAD)

    def read(rows: NDArray[np.intp], coils: int, samples: int, dims: int) -> Read:
        kdata = np.stack([data[row] for row in rows]).astype(np.complex64, copy=False)
        if not dims:
            return kdata, None
        points = [trajectories[row] for row in rows]
        require(
            all(point.shape == (dims, samples) for point in points),
            "its trajectory has not one point for each sample; convert it again.",
        )
        return kdata, np.ascontiguousarray(np.stack(points).transpose(0, 2, 1), dtype=np.float32)

    facts["datasets"], facts["dataset_chosen"] = 1, False
    arrays, found = assemble(path.stat().st_size, read, table, (contrast, set_number), facts)
    return arrays, facts | found
