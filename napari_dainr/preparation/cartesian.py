"""Radial k-space from Cartesian k-space: the paper's retrospective sampling.

Fully sampled frames become coil images, and a NUFFT of these gives golden-angle spokes that go on turning from frame
to frame (Sec. IV-A1). A coil image on a grid has a spectrum between its Cartesian samples as well, so nothing is
interpolated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from napari_dainr.errors import InputError
from napari_dainr.trajectory import GOLDEN_ANGLE_DEG

__all__ = ["radial_from_cartesian", "require_full"]

_OVERSAMPLING = 2
_EPS = 1e-7


def require_full(kdata: NDArray[np.complexfloating]) -> None:
    """Raise InputError unless every line and column of (…, ky, kx) holds samples in every frame."""
    for name, axis in (("lines", -1), ("columns", -2)):
        # Damaged samples may be NaN that signal; what they spoil is left out later.
        with np.errstate(invalid="ignore"):
            filled = (kdata != 0).any(axis=axis)
        # (frame, coil, line): a line counts as measured where any coil has samples.
        filled = filled.any(axis=-2) if filled.ndim > 1 else filled
        fewest = int(filled.sum(axis=-1).min())
        count = filled.shape[-1]
        if fewest < count:
            raise InputError(
                f"it is Cartesian and not fully sampled: a frame holds {fewest} of {count} {name}; radial spokes can "
                "only be made from fully sampled frames."
            )


def radial_from_cartesian(
    kdata: NDArray[np.complexfloating],
    spokes_per_frame: int,
    fov_mm: tuple[float, float] | None = None,
    keep: tuple[int, int] | None = None,
) -> tuple[NDArray[np.complex64], NDArray[np.float32], tuple[int, int]]:
    """Golden-angle spokes, twofold oversampled, of fully sampled frames.

    Parameters
    ----------
    kdata : (frame, coil, ky, kx)
        The k-space centre is sample ``n // 2`` on both axes.
    spokes_per_frame
        Spokes of each frame; the angles go on over the frames.
    fov_mm : (y, x)
        Field of view of the kept pixels, where pixels are not square.
    keep : (y, x)
        Pixels around the centre of the coil images that are kept; readout oversampling is cropped away so.

    Returns
    -------
    kdata : (coil, spoke, readout) complex64
        Scaled as by the NUFFT of ``docs/explanation/conventions.md``.
    ktraj : (spoke, readout, 2) float32
        Last axis (ky, kx), cycles per field of view.
    matrix : (y, x)
        Pixels that the spokes can resolve; those kept, or fewer along an axis with finer pixels.

    Raises
    ------
    InputError
        If frames are accelerated.
    """
    import finufft

    require_full(kdata)
    frames, coils, *size = kdata.shape
    rows, columns = keep or (size[0], size[1])
    fov = np.asarray(fov_mm or (rows, columns), dtype=np.float64)
    # The spokes end at the coarser of the two resolutions; for square pixels this is the matrix itself.
    per_mm = min(rows / fov[0], columns / fov[1])
    matrix = (max(2, round(per_mm * fov[0])), max(2, round(per_mm * fov[1])))
    readout = _OVERSAMPLING * max(matrix)
    radius = (np.arange(readout) - readout // 2) / _OVERSAMPLING
    angle = np.deg2rad(GOLDEN_ANGLE_DEG) * np.arange(frames * spokes_per_frame)
    direction = np.stack([np.sin(angle), np.cos(angle)], axis=-1) * (fov / fov.max())
    ktraj = radius[None, :, None] * direction[:, None, :]
    out = np.empty((coils, len(angle), readout), dtype=np.complex64)
    for frame in range(frames):
        spokes = slice(frame * spokes_per_frame, (frame + 1) * spokes_per_frame)
        with np.errstate(invalid="ignore"):
            image = fft.ifftshift(kdata[frame].astype(np.complex128), axes=(-2, -1))
        image = fft.fftshift(fft.ifft2(image, norm="ortho"), axes=(-2, -1))
        image = np.ascontiguousarray(_middle(image, rows, columns))
        ky, kx = np.moveaxis(ktraj[spokes].reshape(-1, 2), -1, 0)
        points = (2 * np.pi * ky / rows, 2 * np.pi * kx / columns)
        samples = finufft.nufft2d2(*points, image, isign=-1, eps=_EPS, nthreads=1)
        out[:, spokes] = samples.reshape(coils, -1, readout) / np.sqrt(rows * columns)
    return out, ktraj.astype(np.float32), matrix


def _middle(image: NDArray[np.complex128], rows: int, columns: int) -> NDArray[np.complex128]:
    """The pixels around the centre ``n // 2``; (…, y, x)."""
    top, left = image.shape[-2] // 2 - rows // 2, image.shape[-1] // 2 - columns // 2
    return image[..., top : top + rows, left : left + columns]
