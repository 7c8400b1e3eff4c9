"""BART's pairs of files as raw data: k-space, and a trajectory beside it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_dainr.acquired import Acquired
from napari_dainr.errors import InputError
from napari_dainr.importing import ImportOptions
from napari_dainr.io.cartesian import cartesian_acquired
from napari_dainr.io.child import label, read_in_child
from napari_dainr.io.readouts import require

__all__ = ["SUFFIXES", "read_bart"]

SUFFIXES = (".cfl", ".hdr")
_COIL, _TIME, _SLICE = 3, 10, 13
_NAMES = (
    *("READ", "PHS1", "PHS2", "COIL", "MAPS", "TE", "COEFF", "COEFF2"),
    *("ITER", "CSHIFT", "TIME", "TIME2", "LEVEL", "SLICE", "AVG", "BATCH"),
)
_KDATA = re.compile(r"kspace|k-space|kdata|ksp|data", re.IGNORECASE)


def _trajectory_beside(path: Path) -> Path | None:
    """The trajectory that lies beside k-space under one of the usual names; raises InputError if there are several."""
    stem = path.stem
    names = [f"{stem}_traj", f"{stem}-traj", f"{stem}traj", f"traj_{stem}", "traj", "trajectory"]
    names += [_KDATA.sub(word, stem, count=1) for word in ("traj", "trajectory")]
    there = [name for name in dict.fromkeys(names) if name != stem and path.with_name(f"{name}.hdr").is_file()]
    # A name made from that of the k-space is meant for it; "traj" alone may belong to any file of the folder.
    own = [name for name in there if name not in ("traj", "trajectory")] or there
    require(len(own) < 2, "several trajectories lie beside it; choose one with trajectory file.")
    return path.with_name(own[0]) if own else None


def read_bart(path: Path, options: ImportOptions | None = None, timeout_s: float | None = None) -> Acquired:
    """Read a pair ``.cfl`` and ``.hdr``, given either file, in a child process.

    Parameters
    ----------
    options
        ``trajectory_file``: pair of the trajectory, where it has none of the usual names; ``radial_spokes`` for
        Cartesian k-space.

    Raises
    ------
    InputError
        If the pair is incomplete or damaged, or holds what cannot be read.
    """
    path, options = Path(path), options or ImportOptions()
    told = Path(options.trajectory_file) if options.trajectory_file else None
    if told is not None and told.suffix.lower() in SUFFIXES:
        trajectory: Path | None = told.with_suffix("")
    else:
        trajectory = _trajectory_beside(path) if told is None else None
    # The time limit goes by the samples, the larger file of the pair.
    samples = path.with_suffix(".cfl")
    source = samples if samples.is_file() else path
    where = None if trajectory is None else str(trajectory.resolve())
    arrays, _ = read_in_child("bart", source, timeout_s, trajectory=where)
    kdata, ktraj = arrays["kdata"], arrays.get("ktraj")
    require(kdata.ndim == 16, "it does not have BART's 16 dimensions.")
    name, detected = label(path), {}
    if ktraj is not None and trajectory is not None:
        # Not its name: file names may say who was measured.
        detected["trajectory file"] = "as told" if told is not None else "found beside the k-space"
    others = [
        f"{name} ({size})"
        for axis, (name, size) in enumerate(zip(_NAMES, kdata.shape, strict=True))
        if size > 1 and axis not in (0, 1, 2, _COIL, _TIME, _SLICE)
    ]
    require(not others, f"it has more than one of {', '.join(others)}; choose one with bart slice.")
    if kdata.shape[0] > 1:
        require(kdata.shape[2] == 1, f"it is Cartesian in three dimensions ({kdata.shape[:3]}); give 2-D frames.")
        planes = kdata.transpose(_SLICE, _TIME, _COIL, 1, 0, 2, *(4, 5, 6, 7, 8, 9, 11, 12, 14, 15))
        return cartesian_acquired("BART", name, planes.reshape(planes.shape[:5]), options, detected=detected)
    return _radial(name, kdata, ktraj, detected)


def _radial(
    name: str, kdata: NDArray[np.complex64], ktraj: NDArray[np.complex64] | None, detected: dict[str, str]
) -> Acquired:
    order = (_SLICE, _COIL, _TIME, 2, 1)
    rest = tuple(axis for axis in range(16) if axis not in order)
    samples = kdata.transpose(*order, *rest)
    slices, coils, frames, spokes, readout = samples.shape[:5]
    matrix = places = None
    if ktraj is not None:
        places = _places(ktraj, frames, spokes, readout)
        extent = float(np.abs(places).max())
        require(0 < extent < 30000, "its trajectory has no extent, or an impossible one; write it again with BART.")
        # BART counts in cycles per field of view, so the last sample is half the matrix away from the centre.
        pixels = 2 * int(np.ceil(extent - 1e-3))
        detected["matrix"] = f"{pixels} × {pixels}: the trajectory reaches {extent:.4g} cycles per field of view"
        matrix = (pixels, pixels)
    return Acquired(
        format="BART",
        name=name,
        kdata=np.ascontiguousarray(samples.reshape(slices, coils, frames * spokes, readout), dtype=np.complex64),
        ktraj=places,
        trajectory_unit=None if places is None else "cycles per field of view",
        kind="radial",
        matrix=matrix,
        spokes_per_frame=spokes if frames > 1 else None,
        detected=detected,
    )


def _places(ktraj: NDArray[np.complex64], frames: int, spokes: int, readout: int) -> NDArray[np.float32]:
    """(spoke, readout, 2), last axis (ky, kx)."""
    sizes = ktraj.shape
    if sizes[:3] != (3, readout, spokes) or sizes[_TIME] not in (1, frames) or sizes[_COIL] != 1:
        raise InputError(
            f"its trajectory is for {sizes[2]} spokes of {sizes[1]} samples in {sizes[_TIME]} frames, the k-space has "
            f"{spokes} of {readout} in {frames}; give the trajectory that belongs to it."
        )
    require(max(sizes[a] for a in range(4, 16) if a != _TIME) == 1, "its trajectory differs between slices or sets.")
    points = ktraj.real.transpose(_TIME, 2, 1, 0, *(3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15)).reshape(
        sizes[_TIME], spokes, readout, 3
    )
    require(bool(np.isfinite(points).all()), "its trajectory holds NaN or Inf; write it again with BART.")
    require(not points[..., 2].any(), "its trajectory is 3-D; only planes of spokes can be read, where kz is 0.")
    points = np.broadcast_to(points, (frames, spokes, readout, 3))
    return np.ascontiguousarray(points[..., 1::-1].reshape(-1, readout, 2), dtype=np.float32)
