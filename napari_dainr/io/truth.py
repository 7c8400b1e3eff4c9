"""A series to compare with, from a file: .npy, .npz or NIfTI. Magnitude or complex, axes (frame, y, x)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr.errors import InputError

__all__ = ["TRUTH_SUFFIXES", "read_truth"]

TRUTH_SUFFIXES = (".npy", ".npz", ".nii", ".nii.gz")


def read_truth(path: Path) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
    """Read a series and, where the file tells them, its times.

    Parameters
    ----------
    path
        ``.npy``: (frame, y, x), or (y, x) for one frame. ``.npz``: array ``image`` (or the only one of three axes), and
        ``times_s``. NIfTI: (x, y, slice, frame) with one slice; times from the .json beside it, or from the time step.

    Returns
    -------
    image : (frame, y, x)
        Real or complex, finite.
    times_s : (frame,) float64 or None
        Seconds.

    Raises
    ------
    InputError
        One sentence that names the file and what is wrong with it.
    """
    path = Path(path)
    name = path.name.lower()
    if not path.is_file():
        raise InputError(f"{path.name}: there is no such file; choose a .npy, .npz or NIfTI file.")
    try:
        if name.endswith(".npy"):
            image, times = np.load(path, allow_pickle=False), None
        elif name.endswith(".npz"):
            image, times = _npz(path)
        elif name.endswith((".nii", ".nii.gz")):
            image, times = _nifti(path)
        else:
            raise InputError(f"{path.name}: cannot be a truth; choose a file that ends in {', '.join(TRUTH_SUFFIXES)}.")
    except InputError:
        raise
    except Exception as error:  # a damaged file can make numpy, gzip or nibabel raise nearly anything
        raise InputError(f"{path.name}: cannot be read ({type(error).__name__}); write it again.") from None
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[None]
    if image.ndim != 3 or image.dtype.kind not in "buifc" or not image.size:
        shape = " × ".join(str(n) for n in image.shape)
        raise InputError(f"{path.name}: holds {shape} of {image.dtype}; a numeric (frame, y, x) series is needed.")
    if not np.isfinite(image).all():
        raise InputError(f"{path.name}: holds NaN or Inf; there is no comparison with that.")
    if times is not None and (times.shape != (len(image),) or not np.isfinite(times).all()):
        times = None
    return image, times


def _npz(path: Path) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
    # Opened here, because numpy leaves a file open that turns out to be no archive.
    with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
        names = ["image"] if "image" in file.files else [n for n in file.files if file[n].ndim == 3]
        if len(names) != 1:
            raise InputError(f"{path.name}: holds {len(names)} series; name the array of the series image.")
        times = np.asarray(file["times_s"], np.float64) if "times_s" in file.files else None
        return file[names[0]], times


def _nifti(path: Path) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
    import nibabel

    file = nibabel.load(path)
    volume = np.asarray(file.dataobj)
    if volume.ndim == 4 and volume.shape[2] == 1:
        volume = volume[:, :, 0]
    if volume.ndim != 3:
        shape = " × ".join(str(n) for n in volume.shape)
        raise InputError(f"{path.name}: holds {shape} values; one slice over time (x, y, 1, frame) is needed.")
    image = volume.transpose(2, 1, 0)
    return image, _nifti_times(path, file.header, len(image))


def _nifti_times(path: Path, header: Any, n_frames: int) -> NDArray[np.float64] | None:
    """Exact times of the sidecar that this program writes, or toffset and the time step."""
    from napari_dainr.io.nifti import sidecar

    try:
        times = json.loads(sidecar(path).read_text(encoding="utf-8"))["times_s"]
        return np.asarray(times, np.float64)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    zooms, units = header.get_zooms(), header.get_xyzt_units()
    factor = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}.get(units[1])
    if len(zooms) < 4 or factor is None or not zooms[3] > 0:
        return None
    return np.asarray(factor * (float(header["toffset"]) + float(zooms[3]) * np.arange(n_frames)), np.float64)
