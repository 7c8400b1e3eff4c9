"""Which pixels a region holds: those whose centre is inside it, and no others.

Vertices are laid on a grid of 1/65536 pixel; from there on outlines are filled in whole numbers, so the result is exact
and the same everywhere. Ties, where a centre lies on the outline itself:

- polygon, freehand, rectangle: the side towards smaller y or smaller x belongs to the region, the other does not, so
  that of two regions that share a side each pixel belongs to exactly one. Filling is even–odd.
- ellipse: a centre on the line is inside.
- voxel: the nearest pixel; half-way between two, the one with the larger index.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from napari_dainr.analysis.pixel_grid import PixelGrid
from napari_dainr.analysis.regions import Region
from napari_dainr.errors import InputError

__all__ = ["FEW_PIXELS", "Mask", "peak_enhancement", "quiet_frames", "region_mask", "remark"]

FEW_PIXELS = 5
"""A region with fewer pixels gets a warning."""

_RISEN, _QUIET = 0.5, 0.05
_GRID = 1 << 16
_CROSSINGS_AT_ONCE = 1 << 20
_FARTHEST = 1 << 14
"""Vertices may lie at most so many pixels away from pixel 0: products of differences then fit 64 bits."""


@dataclass(frozen=True, eq=False)
class Mask:
    """Pixels of a region within a box.

    Parameters
    ----------
    y0, x0
        First row and column of the box.
    inside : (height, width) bool
        Which pixels of the box are in the region; may be empty.
    shape : (y, x)
        Of the whole image.
    clipped
        Whether a part of the region lies outside the image.
    """

    y0: int
    x0: int
    inside: NDArray[np.bool_]
    shape: tuple[int, int]
    clipped: bool = False

    @property
    def n(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.inside))

    @property
    def indices(self) -> NDArray[np.intp]:
        """Positions of the pixels in the flattened image, ascending."""
        y, x = np.nonzero(self.inside)
        return np.asarray((y + self.y0) * self.shape[1] + (x + self.x0), dtype=np.intp)

    def full(self) -> NDArray[np.bool_]:
        """(y, x) bool, of the whole image."""
        mask = np.zeros(self.shape, dtype=bool)
        height, width = self.inside.shape
        mask[self.y0 : self.y0 + height, self.x0 : self.x0 + width] = self.inside
        return mask

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> Mask:
        """From a (y, x) mask of the whole image, boxed."""
        mask = np.asarray(mask, dtype=bool)
        shape = (int(mask.shape[0]), int(mask.shape[1]))
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not rows.size:
            return cls(0, 0, np.zeros((0, 0), dtype=bool), shape)
        y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
        return cls(y0, x0, mask[y0:y1, x0:x1].copy(), shape)


def region_mask(
    region: Region,
    geometry: PixelGrid,
    image_magnitude: NDArray[np.floating] | None = None,
    baseline: slice | None = None,
) -> Mask:
    """Pixels of an image whose centres are inside a region.

    Parameters
    ----------
    region
        Any kind.
    geometry
        Of the image.
    image_magnitude : (frame, y, x)
        For a ``threshold`` only: the series by whose peak enhancement pixels are ranked.
    baseline
        For a ``threshold`` only: the frames before enhancement; by default those before the mean inside the outline
        rises, see :func:`quiet_frames`.

    Returns
    -------
    Mask
        Possibly without any pixel: see :func:`remark` for what to say then.

    Raises
    ------
    InputError
        If the region lies absurdly far away, or a threshold has no series to look at.
    """
    points = geometry.to_pixels(region.vertices)
    if not (np.abs(points) < _FARTHEST).all():
        raise InputError(f"{region.name}: lies far outside the image; check that its millimetres fit this series.")
    if region.outline == "voxel":
        return _voxel(points[0], geometry.shape)
    grid = np.rint(points * _GRID).astype(np.int64)
    mask = _ellipse(grid, geometry.shape) if region.outline == "ellipse" else _polygon(grid, geometry.shape)
    if region.kind != "threshold" or not mask.inside.any():
        return mask
    if image_magnitude is None:
        raise InputError(f"{region.name}: a threshold needs a series to look at; choose one.")
    if image_magnitude.ndim != 3 or image_magnitude.shape[1:] != geometry.shape:
        raise InputError(
            f"{region.name}: the series is {image_magnitude.shape}, the region lies on an image of {geometry.shape}; "
            "choose the series it was laid over."
        )
    assert region.fraction is not None
    return _brightest(mask, image_magnitude, region.fraction, baseline)


def remark(mask: Mask, name: str) -> str | None:
    """One sentence if a mask holds no pixel, or so few that its curve says little; None if all is well."""
    if mask.n == 0:
        if mask.clipped:
            return f"{name}: lies outside the image; move it."
        return f"{name}: holds no pixel centre; draw it larger."
    if mask.n < FEW_PIXELS:
        return f"{name}: holds only {mask.n} pixel{'s' * (mask.n > 1)}; its mean is noisy and its SD says little."
    return None


def quiet_frames(signal: NDArray[np.float64]) -> int:
    """How many frames of a (frame,) signal pass before it rises (or falls).

    It has risen where it first leaves its first value by half of its range. Of the frames before, the last one within
    a twentieth of the range of their lower quartile is the last quiet one; noise before does not end the quiet.
    """
    span = np.ptp(signal)
    away = np.abs(signal - signal[0]) > _RISEN * span
    if not away.any():
        return len(signal)
    risen = int(np.argmax(away))
    before = signal[:risen] if signal[risen] > signal[0] else -signal[:risen]
    quiet = np.flatnonzero(before <= np.quantile(before, 0.25) + _QUIET * span)
    return int(quiet[-1]) + 1


def peak_enhancement(
    image_magnitude: NDArray[np.floating], mask: Mask, baseline: slice | None = None
) -> NDArray[np.float64]:
    """(n,) largest signal over time less the mean of the baseline frames, of every pixel of a mask, a.u."""
    values = np.take(image_magnitude.reshape(len(image_magnitude), -1), mask.indices, axis=1)
    if baseline is None:
        baseline = slice(0, quiet_frames(values.mean(axis=1, dtype=np.float64)))
    before = values[baseline]
    if not len(before):
        raise InputError("threshold: the baseline window holds no frame; make it longer.")
    return np.asarray(values.max(axis=0) - before.mean(axis=0, dtype=np.float64))


def _brightest(mask: Mask, image: NDArray[np.floating], fraction: float, baseline: slice | None) -> Mask:
    enhancement = peak_enhancement(image, mask, baseline)
    kept = ceil(fraction * enhancement.size - 1e-9)
    # Equal values are in or out together, so that the order of the pixels does not matter.
    level = np.partition(enhancement, enhancement.size - kept)[enhancement.size - kept]
    inside = np.zeros_like(mask.inside)
    inside[mask.inside] = enhancement >= level
    return Mask(mask.y0, mask.x0, inside, mask.shape, mask.clipped)


def _voxel(point: NDArray[np.float64], shape: tuple[int, int]) -> Mask:
    y, x = (floor(at + 0.5) for at in point)
    if not (0 <= y < shape[0] and 0 <= x < shape[1]):
        return Mask(0, 0, np.zeros((0, 0), dtype=bool), shape, clipped=True)
    return Mask(y, x, np.ones((1, 1), dtype=bool), shape)


def _box(
    low: NDArray[np.float64], high: NDArray[np.float64], shape: tuple[int, int]
) -> tuple[int, int, int, int, bool]:
    """Rows and columns whose centres may lie between two corners, cut to the image, and whether anything was cut."""
    y0, x0 = (ceil(at) for at in low)
    y1, x1 = (floor(at) + 1 for at in high)
    clipped = y0 < 0 or x0 < 0 or y1 > shape[0] or x1 > shape[1]
    y0, x0 = min(max(y0, 0), shape[0]), min(max(x0, 0), shape[1])
    return y0, max(y0, min(y1, shape[0])), x0, max(x0, min(x1, shape[1])), clipped


def _polygon(grid: NDArray[np.int64], shape: tuple[int, int]) -> Mask:
    """Even–odd filling, line by line, in whole numbers of 1/65536 pixel.

    On the line of centres y, an edge from (ya, xa) down to (yb, xb), ya ≤ y < yb, is crossed at
    x = xa + (y − ya)(xb − xa)/(yb − ya); every centre at or right of it changes sides.
    """
    y0, y1, x0, x1, clipped = _box(grid.min(axis=0) / _GRID, grid.max(axis=0) / _GRID, shape)
    height, width = y1 - y0, x1 - x0
    if not height or not width:
        return Mask(y0, x0, np.zeros((height, width), dtype=bool), shape, clipped)
    ya, xa = grid.T
    yb, xb = np.roll(grid, -1, axis=0).T
    down = ya < yb
    ya, xa, yb, xb = np.where(down, ya, yb), np.where(down, xa, xb), np.where(down, yb, ya), np.where(down, xb, xa)
    # Rows of the box from the first centre at or below ya to the last above yb.
    first = np.maximum(-(-ya // _GRID), y0)
    count = np.maximum(np.minimum(-(-yb // _GRID), y1) - first, 0)
    flips = np.zeros((height, width + 1), dtype=np.uint8)
    pieces = int(count.sum()) // _CROSSINGS_AT_ONCE + 1
    for some in np.array_split(np.arange(len(grid)), pieces):
        n = count[some]
        edge = np.repeat(some, n)
        row = np.arange(edge.size) - np.repeat(np.cumsum(n) - n, n) + first[edge]
        # First column whose centre is at or right of the crossing, rounded up twice in whole numbers.
        whole, rest = np.divmod((row * _GRID - ya[edge]) * (xb[edge] - xa[edge]), yb[edge] - ya[edge])
        column = -(-(xa[edge] + whole + (rest > 0)) // _GRID)
        np.bitwise_xor.at(flips, (row - y0, np.clip(column - x0, 0, width)), 1)
    inside = np.bitwise_xor.accumulate(flips[:, :width], axis=1).astype(bool)
    return Mask(y0, x0, inside, shape, clipped)


def _ellipse(grid: NDArray[np.int64], shape: tuple[int, int]) -> Mask:
    """Centres p with s² + t² ≤ 1, where p = c + s a + t b, c is the middle and a, b are half the sides."""
    corners = grid / _GRID
    centre = corners.mean(axis=0)
    a, b = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    reach = np.hypot(a, b)
    y0, y1, x0, x1, clipped = _box(centre - reach - 1e-9, centre + reach + 1e-9, shape)
    y = np.arange(y0, y1)[:, None] - centre[0]
    x = np.arange(x0, x1)[None, :] - centre[1]
    area = a[0] * b[1] - a[1] * b[0]
    inside = (y * b[1] - x * b[0]) ** 2 + (x * a[0] - y * a[1]) ** 2 <= area**2
    if area == 0:
        inside[:] = False
    return Mask(y0, x0, inside, shape, clipped)
