"""Where the pixels of an image lie, in millimetres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_dainr.data import ImageSeries
from napari_dainr.errors import InputError

__all__ = ["PixelGrid"]

SAME_FOV = 0.005
"""Two fields of view are the same if no side differs by more than this fraction of it."""


@dataclass(frozen=True)
class PixelGrid:
    """Size and place of an image in the world, the millimetres that napari shows.

    Parameters
    ----------
    shape : (y, x)
        Pixels.
    pixel_mm : (y, x)
        Pixel size, millimetres.
    origin_mm : (y, x)
        World position of the centre of pixel (0, 0), millimetres: the ``translate`` of a napari layer.
    """

    shape: tuple[int, int]
    pixel_mm: tuple[float, float]
    origin_mm: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if min(self.shape) < 1:
            raise InputError(f"geometry: an image of {self.shape} pixels (y, x) has none; give at least one.")
        if not all(isfinite(size) and size > 0 for size in self.pixel_mm):
            raise InputError(f"geometry: the pixel size {self.pixel_mm} mm (y, x) must be above 0; check the series.")
        if not all(isfinite(at) for at in self.origin_mm):
            raise InputError(f"geometry: the origin {self.origin_mm} mm (y, x) must be finite; check the layer.")

    @classmethod
    def of(cls, series: ImageSeries) -> PixelGrid:
        """PixelGrid of a series, as the viewer's layers have it.

        The centre pixel ``n // 2`` lies in the middle of the field of view, so series drawn at different scale ratios
        lie on each other (``docs/explanation/conventions.md``); the centre of pixel 0 is then at 0 mm, and half a pixel
        further where the number of pixels is odd.
        """
        ny, nx = (int(n) for n in series.image.shape[1:])
        dy, dx = (float(size) for size in series.pixel_mm)
        return cls((ny, nx), (dy, dx), (0.5 * dy * (ny % 2), 0.5 * dx * (nx % 2)))

    @property
    def fov_mm(self) -> tuple[float, float]:
        """Field of view (y, x), millimetres."""
        return (self.shape[0] * self.pixel_mm[0], self.shape[1] * self.pixel_mm[1])

    @property
    def pixel_area_mm2(self) -> float:
        """Area of one pixel, square millimetres."""
        return self.pixel_mm[0] * self.pixel_mm[1]

    def same_field(self, other: PixelGrid) -> bool:
        """Whether both images show the same field of view, whatever their numbers of pixels."""
        return all(abs(a - b) <= SAME_FOV * max(a, b) for a, b in zip(self.fov_mm, other.fov_mm, strict=True))

    def to_pixels(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """(…, 2) world (y, x) in millimetres → pixels, where whole numbers are pixel centres."""
        return np.asarray((np.asarray(points_mm, np.float64) - self.origin_mm) / np.asarray(self.pixel_mm))

    def to_mm(self, points: ArrayLike) -> NDArray[np.float64]:
        """(…, 2) pixels (y, x) → world in millimetres."""
        return np.asarray(np.asarray(points, np.float64) * np.asarray(self.pixel_mm) + self.origin_mm)

    def to_facts(self) -> dict[str, Any]:
        """As it stands in a JSON file."""
        return {"shape": list(self.shape), "pixel_mm": list(self.pixel_mm), "origin_mm": list(self.origin_mm)}

    @classmethod
    def from_facts(cls, facts: dict[str, Any]) -> PixelGrid:
        """What :meth:`to_facts` wrote; raises InputError, KeyError, TypeError or ValueError if it is not that."""

        def two(values: Sequence[Any]) -> tuple[float, float]:
            first, second = values
            return (float(first), float(second))

        ny, nx = facts["shape"]
        return cls((int(ny), int(nx)), two(facts["pixel_mm"]), two(facts["origin_mm"]))
