"""The values that travel through the program: raw k-space, frames of k-space, and image series.

Arrays are numpy, the last axis is the fastest, and a value is checked once, when it is made. Data does not know
how it was read or how it will be reconstructed. Shapes and units are those of ``docs/explanation/conventions.md``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr.errors import InputError
from napari_dainr.paged import let_go_all, room
from napari_dainr.plane import Plane

__all__ = ["BinnedKSpace", "ImageSeries", "KSpace", "bin_spokes"]


def _expect(condition: bool, message: str) -> None:
    if not condition:
        raise InputError(message)


@dataclass(frozen=True, eq=False)
class KSpace:
    """Radial k-space as it was acquired, spokes in order of time.

    Parameters
    ----------
    kdata : (slice, coil, spoke, readout) complex64
        Samples, arbitrary units.
    ktraj : (spoke, readout, 2) float32
        Sample positions, last axis (ky, kx), cycles per field of view (of the reconstruction, ``fov_mm``).
    spoke_times_s : (spoke,) float64
        Start of each spoke, seconds from the first one.
    matrix : (y, x)
        Pixels of the reconstruction.
    fov_mm : (y, x)
        Field of view of the reconstruction, millimetres.
    name : str
        A label without path or identity, for titles and logs.
    detected, assumed : dict
        Facts read from the file, and guesses made because the file does not say; shown by ``info``.
    spokes_per_frame_hint : int or None
        Number of spokes per frame, where the file says so.
    csm : (slice, coil, y, x) complex64 or None
        Coil sensitivity maps, where the file holds them.
    planes : (slice,) Planes, or ()
        Where each slice lies in the patient; empty where the file does not say.
    """

    kdata: NDArray[np.complex64]
    ktraj: NDArray[np.float32]
    spoke_times_s: NDArray[np.float64]
    matrix: tuple[int, int]
    fov_mm: tuple[float, float]
    name: str = "k-space"
    detected: dict[str, str] = field(default_factory=dict)
    assumed: dict[str, str] = field(default_factory=dict)
    spokes_per_frame_hint: int | None = None
    csm: NDArray[np.complex64] | None = None
    planes: tuple[Plane, ...] = ()

    def __post_init__(self) -> None:
        n = self.name
        _expect(
            len(self.planes) in (0, len(self.kdata)),
            f"{n}: there are positions of {len(self.planes)} slices, but {len(self.kdata)} slices.",
        )
        _expect(self.kdata.ndim == 4, f"{n}: kdata has {self.kdata.ndim} axes, not (slice, coil, spoke, readout).")
        spokes, readout = self.kdata.shape[2:]
        _expect(
            self.ktraj.shape == (spokes, readout, 2),
            f"{n}: ktraj has shape {self.ktraj.shape}, but kdata needs {(spokes, readout, 2)}.",
        )
        _expect(
            self.spoke_times_s.shape == (spokes,),
            f"{n}: spoke_times_s has shape {self.spoke_times_s.shape}, but there are {spokes} spokes.",
        )
        _expect(min(self.matrix) >= 2, f"{n}: matrix {self.matrix} is too small; at least 2 × 2 pixels are needed.")
        _expect(min(self.fov_mm) > 0, f"{n}: fov_mm {self.fov_mm} must be positive.")
        slices_and_coils = self.kdata.shape[:2]
        _expect(
            self.csm is None or (self.csm.ndim == 4 and self.csm.shape[:2] == slices_and_coils),
            f"{n}: its coil maps are not (slice, coil, y, x) for {slices_and_coils[0]} slices and "
            f"{slices_and_coils[1]} coils.",
        )
        finite = np.isfinite(self.kdata).all(axis=(0, 2, 3))
        _expect(
            bool(finite.all()),
            f"{n}: kdata holds NaN or Inf in coil {int(np.argmin(finite))}; remove it or convert the file again.",
        )
        _expect(bool(np.isfinite(self.ktraj).all()), f"{n}: ktraj holds NaN or Inf; convert the file again.")
        alive = np.abs(self.kdata).max(axis=(0, 2, 3), initial=0) > 0
        _expect(bool(alive.any()), f"{n}: kdata is zero in every coil; there is nothing to reconstruct.")
        _expect(
            bool(alive.all()),
            f"{n}: kdata is all zero in coil {int(np.argmin(alive))}; remove that coil from the file.",
        )

    @property
    def n_slices(self) -> int:
        return self.kdata.shape[0]

    @property
    def n_coils(self) -> int:
        return self.kdata.shape[1]

    @property
    def n_spokes(self) -> int:
        return self.kdata.shape[2]

    @property
    def n_readout(self) -> int:
        return self.kdata.shape[3]

    @property
    def tr_s(self) -> float:
        """Median time from one spoke to the next, seconds (0 for a single spoke)."""
        return float(np.median(np.diff(self.spoke_times_s))) if self.n_spokes > 1 else 0.0


@dataclass(frozen=True, eq=False)
class BinnedKSpace:
    """Radial k-space of one slice, grouped into frames.

    Parameters
    ----------
    kdata : (frame, coil, spoke, readout) complex64
    ktraj : (frame, spoke, readout, 2) float32, last axis (ky, kx), cycles per field of view
    times_s : (frame,) float64
        Centre of each frame, seconds from the first spoke.
    frame_duration_s : float
        Native temporal resolution: spokes per frame times the repetition time, seconds.
    matrix, fov_mm, name
        As in :class:`KSpace`.
    csm : (coil, y, x) complex64 or None
        Coil sensitivity maps of the slice, where the file holds them.
    plane
        Where the slice lies in the patient; None where the file does not say.
    """

    kdata: NDArray[np.complex64]
    ktraj: NDArray[np.float32]
    times_s: NDArray[np.float64]
    frame_duration_s: float
    matrix: tuple[int, int]
    fov_mm: tuple[float, float]
    name: str = "k-space"
    csm: NDArray[np.complex64] | None = None
    plane: Plane | None = None

    @property
    def n_frames(self) -> int:
        return self.kdata.shape[0]

    @property
    def n_coils(self) -> int:
        return self.kdata.shape[1]

    @property
    def spokes_per_frame(self) -> int:
        return self.kdata.shape[2]

    @property
    def acceleration(self) -> float:
        """Acceleration factor as in the paper: matrix size over spokes per frame."""
        return self.matrix[0] / self.spokes_per_frame


@dataclass(frozen=True, eq=False)
class ImageSeries:
    """A reconstructed series.

    Parameters
    ----------
    image : (frame, y, x) complex64
        Arbitrary units, one scale for the whole series.
    times_s : (frame,) float64
        Centre of each frame, seconds from the first spoke.
    pixel_mm : (y, x)
        Pixel size, millimetres.
    frame_duration_s : float
        Native temporal resolution of the data, seconds.
    interpolated : (frame,) bool
        True where no k-space was measured for that frame: the frame is drawn by a model or by interpolation.
    method : str
        Name of the method that made it.
    info : dict
        Further facts, JSON-able: the recipe, the scale ratio, figures of the fit.
    plane
        Where the slice lies in the patient; None where that is not known.
    """

    image: NDArray[np.complex64]
    times_s: NDArray[np.float64]
    pixel_mm: tuple[float, float]
    frame_duration_s: float
    interpolated: NDArray[np.bool_]
    method: str
    info: dict[str, Any] = field(default_factory=dict)
    plane: Plane | None = None

    def __post_init__(self) -> None:
        _expect(self.image.ndim == 3, f"an image series has axes (frame, y, x), not {self.image.ndim}.")
        n = self.image.shape[0]
        _expect(
            self.times_s.shape == (n,) and self.interpolated.shape == (n,),
            f"an image series of {n} frames needs as many times and marks, "
            f"not {self.times_s.shape} and {self.interpolated.shape}.",
        )

    @property
    def n_frames(self) -> int:
        return self.image.shape[0]

    @property
    def frame_step_s(self) -> float:
        """Median time from one frame to the next, seconds; the frame duration for a single frame."""
        return float(np.median(np.diff(self.times_s))) if self.n_frames > 1 else self.frame_duration_s

    @property
    def magnitude(self) -> NDArray[np.float32]:
        """(frame, y, x) float32."""
        return np.abs(self.image)


def bin_spokes(kspace: KSpace, spokes_per_frame: int, slice_index: int = 0) -> BinnedKSpace:
    """Group consecutive spokes of one slice into frames; spokes left over at the end are not used.

    Raises
    ------
    InputError
        If there are fewer spokes than one frame needs, or no such slice.
    """
    n, total = spokes_per_frame, kspace.n_spokes
    _expect(n >= 1, f"spokes per frame is {n}; it must be at least 1.")
    _expect(
        n <= total,
        f"{kspace.name}: spokes per frame is {n}, but the file holds only {total} spokes; choose {total} or fewer.",
    )
    _expect(
        0 <= slice_index < kspace.n_slices,
        f"{kspace.name}: slice is {slice_index}, but there are {kspace.n_slices}; choose 0 to {kspace.n_slices - 1}.",
    )
    frames = total // n
    used = frames * n
    spokes = kspace.kdata[slice_index, :, :used].reshape(kspace.n_coils, frames, n, kspace.n_readout)
    kdata = room((frames, kspace.n_coils, n, kspace.n_readout))
    for frame in range(frames):
        kdata[frame] = spokes[:, frame]
        let_go_all(frame)
    spoke_times = kspace.spoke_times_s[:used].reshape(frames, n)
    return BinnedKSpace(
        kdata=kdata,
        ktraj=kspace.ktraj[:used].reshape(frames, n, kspace.n_readout, 2),
        times_s=spoke_times.mean(axis=1) + 0.5 * kspace.tr_s,
        frame_duration_s=n * kspace.tr_s,
        matrix=kspace.matrix,
        fov_mm=kspace.fov_mm,
        name=kspace.name,
        csm=None if kspace.csm is None else kspace.csm[slice_index],
        plane=kspace.planes[slice_index] if kspace.planes else None,
    )
