"""Where a slice lies in the patient: two directions and a point, as a header says them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr.errors import InputError

__all__ = ["Plane", "plane_of"]

_TOLERANCE = 1e-3
"""How far header directions, single-precision numbers, may be from unit length and right angles."""
_FARTHEST_MM = 1e5


@dataclass(frozen=True)
class Plane:
    """Directions of the axes of an image and the position of its centre, in the patient.

    Coordinates are those of DICOM (PS3.3, C.7.6.2.1.1): x towards the patient's left, y towards the back, z towards
    the head (LPS), millimetres. They are physics of the measurement and name nobody.

    Parameters
    ----------
    along_x, along_y : (3,)
        Unit vectors from one column to the next, and from one row to the next; at right angles.
    centre_mm : (3,)
        Pixel (rows // 2, columns // 2), the point of the phase-encoding origin.
    """

    along_x: tuple[float, float, float]
    along_y: tuple[float, float, float]
    centre_mm: tuple[float, float, float]

    def __post_init__(self) -> None:
        vectors = [np.asarray(v, dtype=np.float64) for v in (self.along_x, self.along_y, self.centre_mm)]
        x, y, centre = vectors
        good = (
            all(v.shape == (3,) and np.isfinite(v).all() for v in vectors)
            and abs(float(x @ x) - 1) < _TOLERANCE
            and abs(float(y @ y) - 1) < _TOLERANCE
            and abs(float(x @ y)) < _TOLERANCE
            and float(np.abs(centre).max()) < _FARTHEST_MM
        )
        if not good:
            raise InputError("the position or orientation of a slice is impossible; correct it in the header.")

    @property
    def normal(self) -> NDArray[np.float64]:
        """(3,) unit vector out of the image, along_x × along_y."""
        normal = np.cross(self.along_x, self.along_y)
        return np.asarray(normal / np.linalg.norm(normal), dtype=np.float64)

    def corner_mm(self, shape: tuple[int, int], pixel_mm: tuple[float, float]) -> NDArray[np.float64]:
        """(3,) centre of pixel (0, 0) of an image of (y, x) pixels of so many millimetres."""
        x, y = np.asarray(self.along_x), np.asarray(self.along_y)
        centre: NDArray[np.float64] = np.asarray(self.centre_mm, dtype=np.float64)
        return centre - x * (pixel_mm[1] * (shape[1] // 2)) - y * (pixel_mm[0] * (shape[0] // 2))

    def affine_lps(self, shape: tuple[int, int], pixel_mm: tuple[float, float], thick_mm: float) -> NDArray[np.float64]:
        """(4, 4): from (column, row, slice) to LPS millimetres."""
        affine = np.eye(4)
        affine[:3, 0] = np.asarray(self.along_x) * pixel_mm[1]
        affine[:3, 1] = np.asarray(self.along_y) * pixel_mm[0]
        affine[:3, 2] = self.normal * thick_mm
        affine[:3, 3] = self.corner_mm(shape, pixel_mm)
        return affine

    def moved(self, along_normal_mm: float) -> Plane:
        """The parallel plane so many millimetres further along the normal."""
        centre = np.asarray(self.centre_mm) + self.normal * along_normal_mm
        return Plane(self.along_x, self.along_y, (float(centre[0]), float(centre[1]), float(centre[2])))

    def facts(self) -> dict[str, list[float]]:
        """JSON-able."""
        return {"along_x": [*self.along_x], "along_y": [*self.along_y], "centre_mm": [*self.centre_mm]}


def plane_of(facts: Mapping[str, Any] | None) -> Plane | None:
    """The plane of :meth:`Plane.facts`; None of None. Raises InputError, ValueError, TypeError or KeyError."""
    if facts is None:
        return None

    def vector(values: Sequence[Any]) -> tuple[float, float, float]:
        x, y, z = (float(value) for value in values)
        return x, y, z

    return Plane(vector(facts["along_x"]), vector(facts["along_y"]), vector(facts["centre_mm"]))
