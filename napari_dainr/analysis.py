"""What is read off a series: signal over time in a region, and sections through space and time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_dainr.errors import InputError

__all__ = ["roi_curve", "xt_section"]


def _expect_magnitude(image: NDArray[np.floating]) -> None:
    if image.ndim != 3 or image.dtype.kind == "c":
        raise InputError(f"series: is {image.dtype} {image.shape}; a magnitude (frame, y, x) is needed, not complex.")


def roi_curve(image_magnitude: NDArray[np.floating], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean signal in a region, frame by frame.

    Parameters
    ----------
    image_magnitude : (frame, y, x)
        Arbitrary units.
    mask : (y, x) bool
        Pixels of the region; at least one.

    Returns
    -------
    (frame,) float64
    """
    _expect_magnitude(image_magnitude)
    mask = np.asarray(mask, dtype=bool)
    if mask.shape != image_magnitude.shape[1:]:
        raise InputError(
            f"region: its mask has shape {mask.shape}, but images are {image_magnitude.shape[1:]}; draw it again."
        )
    if not mask.any():
        raise InputError("region: holds no pixel; draw it larger.")
    return np.asarray(image_magnitude[:, mask].mean(axis=1, dtype=np.float64))


def xt_section(
    image: NDArray[np.floating], start: tuple[float, float], end: tuple[float, float], n: int
) -> NDArray[np.float64]:
    """Signal along a straight line, over time.

    Parameters
    ----------
    image : (frame, y, x)
        Magnitude, arbitrary units.
    start, end : (y, x)
        Ends of the line, pixels, where whole numbers are pixel centres; inside the image. Linear interpolation.
    n
        Number of evenly spaced points, both ends included.

    Returns
    -------
    (frame, n) float64
    """
    from scipy.ndimage import map_coordinates

    _expect_magnitude(image)
    if n < 1:
        raise InputError(f"section: {n} points were asked for; at least 1 is needed.")
    for point in (start, end):
        if not all(0 <= at <= size - 1 for at, size in zip(point, image.shape[1:], strict=True)):
            raise InputError(f"section: its end {point} lies outside the image of {image.shape[1:]} pixels; move it.")
    line = np.stack([np.linspace(start[axis], end[axis], n) for axis in (0, 1)])
    return np.stack([map_coordinates(f.astype(np.float64), line, order=1, mode="nearest") for f in image])
