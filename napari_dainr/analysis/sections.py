"""Sections through space and time: the signal along a line or a polyline, frame by frame.

Values are those of ``scipy.ndimage.map_coordinates`` with ``order=1``. The four neighbours of each point and their
weights are worked out once for a line, so that drawing it again from another series costs one weighted sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_dainr.analysis.pixel_grid import PixelGrid
from napari_dainr.data import ImageSeries
from napari_dainr.errors import InputError

__all__ = ["Section", "Strip", "path_points", "series_strip", "xt_section"]

_MOST_POINTS = 20_000


@dataclass(frozen=True, eq=False)
class Strip:
    """Signal along a line over time.

    Parameters
    ----------
    values : (frame, n) float64
        Magnitude, arbitrary units; NaN where the line leaves the image.
    distance_mm : (n,) float64
        Along the line from its start, millimetres, evenly spaced.
    times_s : (frame,) float64
        Seconds from the first spoke.
    interpolated : (frame,) bool
        Frames at whose times nothing was measured.
    vertices_mm : (k, 2) float64
        Of the line, world (y, x), millimetres.
    """

    values: NDArray[np.float64]
    distance_mm: NDArray[np.float64]
    times_s: NDArray[np.float64]
    interpolated: NDArray[np.bool_]
    vertices_mm: NDArray[np.float64]


def path_points(vertices_mm: ArrayLike, step_mm: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Evenly spaced points along a polyline.

    Parameters
    ----------
    vertices_mm : (k, 2)
        World (y, x), millimetres; two or more.
    step_mm
        About how far apart points shall be; the number of steps is rounded so that both ends are points.

    Returns
    -------
    (n, 2) float64, (n,) float64
        Points, world (y, x) in millimetres, and their distance along the line from its start, millimetres.

    Raises
    ------
    InputError
        If the line has no length, is not finite, or has too many points.
    """
    vertices = np.asarray(vertices_mm, np.float64)
    if vertices.ndim != 2 or vertices.shape[1:] != (2,) or len(vertices) < 2:
        raise InputError(f"section: vertices have shape {vertices.shape}; two or more (y, x) pairs make a line.")
    if not np.isfinite(vertices).all():
        raise InputError("section: a vertex of the line is not finite; draw it again.")
    if not step_mm > 0:
        raise InputError(f"section: the step is {step_mm:g} mm; it must be above 0.")
    lengths = np.hypot(*np.diff(vertices, axis=0).T)
    total = float(lengths.sum())
    if total == 0:
        raise InputError("section: the line has no length; draw it longer.")
    steps = max(1, round(total / step_mm))
    if steps >= _MOST_POINTS:
        raise InputError(
            f"section: {total:.0f} mm in steps of {step_mm:g} mm are over {_MOST_POINTS} points; take larger steps."
        )
    keep = np.concatenate([[True], lengths > 0])
    at = np.concatenate([[0.0], np.cumsum(lengths)])[keep]
    distance = total * np.arange(steps + 1) / steps
    points = np.stack([np.interp(distance, at, vertices[keep, axis]) for axis in (0, 1)], axis=-1)
    return points, distance


class Section:
    """Points in an image, ready to be read off series of that size.

    Parameters
    ----------
    points : (n, 2)
        (y, x), pixels, where whole numbers are pixel centres. Points outside the centres of the outermost pixels
        give NaN, as ``map_coordinates(..., mode="constant", cval=nan)`` does.
    shape : (y, x)
        Of the image.
    """

    def __init__(self, points: ArrayLike, shape: tuple[int, int]) -> None:
        self.points = np.asarray(points, np.float64).reshape(-1, 2)
        self.shape = shape
        last = np.asarray(shape) - 1
        self.inside: NDArray[np.bool_] = np.all((self.points >= 0) & (self.points <= last), axis=1)
        at = np.where(self.inside[:, None], self.points, 0.0)
        low = np.floor(at).astype(np.intp)
        part = at - low
        high = np.minimum(low + 1, last)
        (y0, x0), (y1, x1), (fy, fx) = low.T, high.T, part.T
        self._indices = np.stack([y0 * shape[1] + x0, y0 * shape[1] + x1, y1 * shape[1] + x0, y1 * shape[1] + x1])
        self._weights = np.stack([(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx])

    def read(self, image_magnitude: NDArray[np.floating]) -> NDArray[np.float64]:
        """(frame, y, x) magnitude → (frame, n) float64; any part of the frames, for instance those that changed."""
        _expect_magnitude(image_magnitude)
        if image_magnitude.shape[1:] != self.shape:
            raise InputError(
                f"section: the line lies on images of {self.shape}, the series has {image_magnitude.shape[1:]}; "
                "lay it over this series first."
            )
        flat = image_magnitude.reshape(len(image_magnitude), -1)
        values = np.zeros((len(flat), len(self.points)))
        for indices, weights in zip(self._indices, self._weights, strict=True):
            values += np.take(flat, indices, axis=1) * weights
        values[:, ~self.inside] = np.nan
        return values

    def update(
        self, values: NDArray[np.float64], image_magnitude: NDArray[np.floating], frames: NDArray[np.integer]
    ) -> None:
        """Read some frames again into what :meth:`read` returned."""
        values[frames] = self.read(image_magnitude[frames])


def series_strip(
    series: ImageSeries,
    vertices_mm: ArrayLike,
    geometry: PixelGrid | None = None,
    step_mm: float | None = None,
    image_magnitude: NDArray[np.floating] | None = None,
) -> Strip:
    """The strip of a series along a polyline.

    Parameters
    ----------
    series
        The series.
    vertices_mm : (k, 2)
        World (y, x), millimetres.
    geometry
        Of the series; :meth:`PixelGrid.of` by default.
    step_mm
        Distance of points; the shorter side of a pixel by default.
    image_magnitude
        ``series.magnitude``, to spare computing it again.

    Raises
    ------
    InputError
        If the line has no length or lies wholly outside the image.
    """
    place = PixelGrid.of(series) if geometry is None else geometry
    points, distance = path_points(vertices_mm, min(place.pixel_mm) if step_mm is None else step_mm)
    section = Section(place.to_pixels(points), place.shape)
    if not section.inside.any():
        raise InputError("section: the line lies outside the image; move it.")
    magnitude = series.magnitude if image_magnitude is None else image_magnitude
    vertices = np.array(vertices_mm, dtype=np.float64)
    return Strip(section.read(magnitude), distance, series.times_s, series.interpolated, vertices)


def _expect_magnitude(image: NDArray[np.floating]) -> None:
    if image.ndim != 3 or image.dtype.kind == "c":
        raise InputError(f"series: is {image.dtype} {image.shape}; a magnitude (frame, y, x) is needed, not complex.")


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
    _expect_magnitude(image)
    if n < 1:
        raise InputError(f"section: {n} points were asked for; at least 1 is needed.")
    for point in (start, end):
        if not all(0 <= at <= size - 1 for at, size in zip(point, image.shape[1:], strict=True)):
            raise InputError(f"section: its end {point} lies outside the image of {image.shape[1:]} pixels; move it.")
    line = np.stack([np.linspace(start[axis], end[axis], n) for axis in (0, 1)], axis=-1)
    return Section(line, (image.shape[1], image.shape[2])).read(image)
