"""A stream of MRD version 2 for tests, by the package mrd-python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["acquisition", "header", "write"]


def header(trajectory: str = "RADIAL", **system: Any) -> Any:
    """Matrix 13 × 13, field of view 260 mm, two-fold oversampled readout, TR 5 ms."""
    import mrd

    def space(n: int, fov: float, z: int = 1) -> Any:
        return mrd.EncodingSpaceType(
            matrix_size=mrd.MatrixSizeType(x=n, y=n, z=z), field_of_view_mm=mrd.FieldOfViewMm(x=fov, y=fov, z=5.0)
        )

    return mrd.Header(
        encoding=[
            mrd.EncodingType(
                encoded_space=space(26, 520.0, 8),
                recon_space=space(13, 260.0),
                encoding_limits=mrd.EncodingLimitsType(
                    kspace_encoding_step_2=mrd.LimitType(minimum=0, maximum=7, center=3)
                ),
                trajectory=mrd.Trajectory[trajectory],
            )
        ],
        sequence_parameters=mrd.SequenceParametersType(t_r=[5.0]),
        acquisition_system_information=mrd.AcquisitionSystemInformationType(**system),
    )


def acquisition(data: Any, ticks: int = 0, flags: int = 0, trajectory: Any = None, **changes: Any) -> Any:
    """One readout, (coil, sample); ``changes`` are counters or fields of the header."""
    import mrd

    counters = mrd.EncodingCounters(kspace_encode_step_1=0)
    head = mrd.AcquisitionHeader(
        flags=mrd.AcquisitionFlags(flags),
        idx=counters,
        acquisition_time_stamp=ticks,
        center_sample=data.shape[1] // 2,
        sample_time_us=10.0,
        channel_order=list(range(len(data))),
    )
    for name, value in changes.items():
        setattr(counters if hasattr(counters, name) else head, name, value)
    points = np.zeros((0, 0), np.float32) if trajectory is None else trajectory
    return mrd.Acquisition(head=head, data=data, trajectory=points)


def write(path: Path, acquisitions: list[Any], head: Any = None) -> Path:
    """Write a stream; the header is :func:`header`'s where none is given."""
    import mrd

    with mrd.BinaryMrdWriter(str(path)) as writer:
        writer.write_header(header() if head is None else head)
        writer.write_data(mrd.StreamItem.Acquisition(one) for one in acquisitions)
    return path
