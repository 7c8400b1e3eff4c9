"""What a raw file holds, before anything is decided: the one form in which every reader hands over its data.

A reader says what the file says, in the file's own units, and None where the file says nothing. Deciding what it means
— units, angles, slices, noise — is :mod:`napari_dainr.importing`'s, once for all formats.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_dainr.errors import InputError
from napari_dainr.plane import Plane

__all__ = ["Acquired", "Partitions"]


@dataclass(frozen=True)
class Partitions:
    """Where the measured partitions of a stack of stars lie along kz.

    Parameters
    ----------
    numbers
        kz number of each measured partition, from 0, in the order of ``kdata``.
    count
        Partitions of the full stack; more than are measured with partial Fourier or zero filling.
    centre
        Number of the partition at kz = 0.
    reverse
        Whether slices are counted the other way, against the sign of kz.
    step_mm : (3,) or None
        From one slice to the next along kz, LPS millimetres, where the file says it.
    """

    numbers: tuple[int, ...]
    count: int
    centre: int
    reverse: bool = False
    step_mm: tuple[float, float, float] | None = None

    def planes(self, middle: Plane) -> tuple[Plane, ...]:
        """Plane of each slice, of which number ``count // 2`` is the middle one; none where the step is not known."""
        if self.step_mm is None:
            return ()
        steps = (np.arange(self.count) - self.count // 2) * (-1 if self.reverse else 1)
        centres = np.asarray(middle.centre_mm) + steps[:, None] * np.asarray(self.step_mm)
        try:
            return tuple(Plane(middle.along_x, middle.along_y, (float(x), float(y), float(z))) for x, y, z in centres)
        except InputError:  # impossible positions say nothing
            return ()


@dataclass(frozen=True, eq=False)
class Acquired:
    """Readouts of one scan as a file holds them.

    Parameters
    ----------
    format : str
        Name of the format, for people.
    name : str
        A label without path.
    kdata : (slice or partition, coil, spoke, readout) complex64
        Spokes in order of time. May still hold NaN and dead coils.
    third
        What the first axis is: slices, or partitions along kz.
    partitions
        Where ``third`` is "partition".
    ktraj : (spoke, readout, 2) float32 or None
        Last axis (ky, kx), in the unit of the file.
    trajectory_unit : str or None
        Where the format fixes the unit: a name of :data:`napari_dainr.trajectory.UNITS`.
    kind
        What the header says of the trajectory: "radial", "goldenangle", "cartesian", …, or "unknown".
    matrix, fov_mm, encoded_matrix, encoded_fov_mm : (y, x) or None
        Of the reconstruction and of the readout; pixels, millimetres.
    centre_sample : int or None
        Sample of a spoke at the k-space centre, by the header.
    times_s : (spoke,) float64 or None
        Time stamps, seconds from the first spoke.
    tick_s
        Resolution of the time stamps, seconds.
    tr_s : float or None
        Repetition time by the header, seconds: from one spoke to the next.
    spokes_per_frame : int or None
        Where counters of the file say so.
    lines : (spoke,) int64 or None
        Phase-encoding line, or number of the spoke, of each readout by the counters.
    centre_line : int or None
        Line at the k-space centre, by the header.
    frames : (spoke,) int64 or None
        Cardiac phase or repetition of each readout by the counters, where there are several.
    noise : (coil, sample) complex64 or None
        Samples of a noise scan.
    noise_bandwidth_ratio
        Bandwidth of the image readout over that of the noise scan.
    csm : (slice, coil, y, x) complex64 or None
        Coil sensitivity maps stored with the data.
    planes : (slice,) Planes, or ()
        Where each slice lies in the patient, in the order of ``kdata``; a stack of partitions has one, that of its
        middle slice.
        Empty where the file does not say.
    left_out
        Readouts that are no image data: kind → number.
    detected, assumed
        Further facts that only this reader knows, and guesses that it had to make.
    """

    format: str
    name: str
    kdata: NDArray[np.complex64]
    third: Literal["slice", "partition"] = "slice"
    partitions: Partitions | None = None
    ktraj: NDArray[np.float32] | None = None
    trajectory_unit: str | None = None
    kind: str = "unknown"
    matrix: tuple[int, int] | None = None
    fov_mm: tuple[float, float] | None = None
    encoded_matrix: tuple[int, int] | None = None
    encoded_fov_mm: tuple[float, float] | None = None
    centre_sample: int | None = None
    times_s: NDArray[np.float64] | None = None
    tick_s: float = 0.0
    tr_s: float | None = None
    spokes_per_frame: int | None = None
    lines: NDArray[np.int64] | None = None
    centre_line: int | None = None
    frames: NDArray[np.int64] | None = None
    noise: NDArray[np.complex64] | None = None
    noise_bandwidth_ratio: float = 1.0
    csm: NDArray[np.complex64] | None = None
    planes: tuple[Plane, ...] = ()
    left_out: dict[str, int] = field(default_factory=dict)
    detected: dict[str, str] = field(default_factory=dict)
    assumed: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """The reader's child has seen an untrusted file: its answer must have the form that was agreed."""
        data: Any = self.kdata
        good = data.dtype == np.complex64 and data.ndim == 4 and min(data.shape) > 0
        if good:
            thirds, coils, spokes, readout = data.shape
            good = (
                (self.ktraj is None or self.ktraj.shape == (spokes, readout, 2))
                and (self.times_s is None or self.times_s.shape == (spokes,))
                and (self.lines is None or self.lines.shape == (spokes,))
                and (self.frames is None or self.frames.shape == (spokes,))
                and (self.noise is None or (self.noise.ndim == 2 and len(self.noise) == coils))
                and (self.csm is None or (self.csm.ndim == 4 and self.csm.shape[1] == coils))
                and len(self.planes) in (0, 1 if self.third == "partition" else thirds)
                and (self.third == "partition") == (self.partitions is not None)
                and (self.partitions is None or len(self.partitions.numbers) == thirds)
                and all(
                    pair is None or all(2 <= n <= 65535 for n in pair) for pair in (self.matrix, self.encoded_matrix)
                )
                and all(
                    pair is None or all(0 < size < 1e6 for size in pair) for pair in (self.fov_mm, self.encoded_fov_mm)
                )
                and (self.tr_s is None or 0 < self.tr_s < 1e4)
            )
        if not good:
            raise InputError("its header holds impossible sizes; correct the matrix and field of view in the header.")
