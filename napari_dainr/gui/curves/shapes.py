"""Between regions in the world and the shapes of a napari layer. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr.analysis.regions import ROLES, Region, RegionSet, ellipse_corners
from napari_dainr.errors import InputError

if TYPE_CHECKING:
    from napari.layers import Shapes

__all__ = [
    "COLUMNS",
    "STAMP_MM",
    "Drawing",
    "Place",
    "features_of",
    "region_of",
    "rows_of",
    "same_data",
    "same_place",
    "stamped",
    "with_locked",
]

COLUMNS = ("id", "name", "role", "kind", "fraction", "locked", "arrival_s")
"""Features of a layer of regions."""
STAMP_MM = 12.0
"""Diameter of the circle that a click without a drag leaves."""
DEFAULT_FRACTION = 0.2
SAME_PX = 1e-3
_SHAPES = ("ellipse", "rectangle", "polygon")
_PIXEL = np.array([[-0.5, -0.5], [-0.5, 0.5], [0.5, 0.5], [0.5, -0.5]])

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Place:
    """Where a layer lies: world = origin + data @ matrix, (y, x)."""

    origin: Points
    matrix: Points

    @classmethod
    def of(cls, layer: Shapes) -> Place:
        """Of a layer, whatever its scale, rotation and shear."""
        origin, down, right = (
            np.asarray(layer.data_to_world(at), dtype=np.float64)[-2:] for at in ((0, 0), (1, 0), (0, 1))
        )
        return cls(origin, np.stack([down - origin, right - origin]))

    def to_world(self, data: Any) -> Points:
        """(n, 2 or more) data → (n, 2) world."""
        return np.asarray(self.origin + np.asarray(data, np.float64)[:, -2:] @ self.matrix)

    def to_data(self, world: Points) -> Points:
        """(n, 2) world → (n, 2) data."""
        return np.asarray((world - self.origin) @ np.linalg.inv(self.matrix))

    def shape(self, region: Region) -> tuple[Points, str]:
        """Vertices and napari's shape type; a voxel is drawn as the pixel around it."""
        data = self.to_data(region.vertices)
        if region.outline == "voxel":
            return np.floor(data + 0.5) + _PIXEL, "rectangle"
        return data, region.outline if region.outline in ("ellipse", "rectangle") else "polygon"


@dataclass(frozen=True)
class Drawing:
    """What is known of a shape that is new.

    Parameters
    ----------
    region_id
        Its id from now on.
    kind
        Of the tool in hand; empty if napari's own tools are used.
    role
        What is drawn next.
    mode
        Of the layer.
    free_name
        Makes a name one that no region has.
    """

    region_id: str
    kind: str
    role: str
    mode: str
    free_name: Callable[[str], str]


def rows_of(layer: Shapes) -> list[dict[str, Any]]:
    """Features, one dict per shape; a polygon that was given up can leave a row too many."""
    table: Any = layer.features
    rows: list[dict[str, Any]] = table.to_dict("records")[: layer.nshapes] if len(table) else []
    return rows + [{} for _ in range(layer.nshapes - len(rows))]


def region_of(
    shape: str, world: Points, row: dict[str, Any], before: Region | None, fresh: bool, new: Drawing
) -> Region | None:
    """The region that a shape is; None for lines, paths, and what is not drawn to the end."""
    if shape == "path" and fresh and new.kind in ("polygon", "freehand"):
        shape = "polygon"  # that is how napari draws one until it is closed
    if shape not in _SHAPES or len(world) < 3:
        return None
    kind = (new.kind or str(row.get("kind") or "")) if fresh else str(row.get("kind") or "")
    role = str(row.get("role") or "")
    role = role if role in ROLES else new.role
    outline, fraction = "", None
    if kind == "voxel" and shape == "rectangle":
        world = world.mean(axis=0, keepdims=True)
    elif kind == "threshold":
        fraction = _number(row.get("fraction"), DEFAULT_FRACTION)
        freehand = before is not None and before.outline == "freehand" and shape == "polygon"
        outline = "freehand" if freehand else shape
    else:
        freehand = shape == "polygon" and (kind == "freehand" or (fresh and new.mode == "add_polygon_lasso"))
        kind = "freehand" if freehand else shape
    name = _text(row.get("name"))
    if fresh:
        name = new.free_name(name or ROLES[role].title)
    region_id = new.region_id if fresh else str(row["id"])
    locked = str(row.get("locked")) == "True"
    arrival = None if fresh else _finite(row.get("arrival_s"))
    try:
        return Region(world, kind, role, name, region_id, locked, outline, fraction, arrival)
    except InputError:
        return None


def _text(value: Any) -> str:
    """A cell of the features table as text; pandas has NaN for an empty one."""
    return "" if value is None or (isinstance(value, float) and np.isnan(value)) else str(value)


def _finite(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _number(value: Any, otherwise: float) -> float:
    number = _finite(value)
    return number if number is not None and 0 < number <= 1 else otherwise


def features_of(regions: tuple[Region, ...], others: list[dict[str, Any]]) -> dict[str, Any]:
    """Columns of the features table: regions first, then shapes that are none."""
    own: list[dict[str, Any]] = [
        {
            "id": r.id, "name": r.name, "role": r.role, "kind": r.kind, "locked": r.locked,
            "fraction": np.nan if r.fraction is None else r.fraction,
            "arrival_s": np.nan if r.arrival_s is None else r.arrival_s,
        }
        for r in regions
    ]  # fmt: skip
    blank: dict[str, Any] = {"fraction": np.nan, "locked": False, "arrival_s": np.nan}
    table: dict[str, Any] = {}
    for key in COLUMNS:
        column = np.empty(len(own) + len(others), dtype=object)
        column[:] = [row.get(key, blank.get(key, "")) for row in [*own, *others]]
        table[key] = column
    return table


def same_place(before: Region, now: Region, place: Place) -> bool:
    """Whether a region is where it was, apart from rounding: napari keeps some shapes in single precision."""
    kinds = (before.kind, before.outline, before.fraction) == (now.kind, now.outline, now.fraction)
    return kinds and same_data(place.shape(before)[0], place.shape(now)[0])


def same_data(one: Any, other: Any) -> bool:
    """Whether vertices are the same to a thousandth of a pixel."""
    return np.shape(one) == np.shape(other) and bool(np.allclose(one, other, rtol=0, atol=SAME_PX))


def stamped(region: Region, pixel: tuple[float, float]) -> Region:
    """A click without a drag leaves a circle (or square) of a fixed size, not a speck."""
    if region.outline not in ("ellipse", "rectangle") or (np.ptp(region.vertices, axis=0) > np.asarray(pixel)).any():
        return region
    centre = region.vertices.mean(axis=0)
    return region.changed(vertices=ellipse_corners(centre, (STAMP_MM / 2, STAMP_MM / 2)))


def with_locked(found: RegionSet, before: RegionSet) -> tuple[RegionSet, list[str]]:
    """Locked regions that were deleted come back; and their names."""
    back = [region for region in before if region.locked and found.get(region.id) is None]
    for region in back:
        found = found.put(region)
    return found, [region.name for region in back]
