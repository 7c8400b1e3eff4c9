"""Outlines: of regions as polygons, for drawing, and of masks along the edges of their pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_dainr.analysis.masks import Mask, region_mask
from napari_dainr.analysis.pixel_grid import PixelGrid
from napari_dainr.analysis.regions import Region

__all__ = ["frozen", "joined", "mask_outline", "mask_rings", "region_outline"]

Points = NDArray[np.float64]


def region_outline(region: Region, n: int = 96) -> Points:
    """(k, 2) corners of the outline, world (y, x) in millimetres, not closed; an ellipse gets ``n`` of them.

    A voxel is its one point; a threshold region has the outline within which it chooses.
    """
    if region.outline != "ellipse":
        return region.vertices.copy()
    corners = region.vertices
    centre, a, b = corners.mean(axis=0), (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    angle = 2 * np.pi * np.arange(n)[:, None] / n
    return np.asarray(centre + np.cos(angle) * a + np.sin(angle) * b)


def mask_rings(mask: Mask) -> list[Points]:
    """Closed outlines of a mask along the edges of its pixels, holes included.

    Returns
    -------
    list of (k, 2) float64
        Corners (y, x) in pixels of the image, half-way between centres, each ring without its first point repeated.
        Filled by the even–odd rule, all rings together give the mask again.
    """
    padded = np.pad(mask.inside, 1).astype(np.int8)
    # The mask is on the right of each edge as it is walked; corners (i, j) are those of the padded pixel (i, j).
    following: dict[tuple[int, int], list[tuple[int, int]]] = {}
    down = padded[1:, :] - padded[:-1, :]
    for i, j in np.argwhere(down == 1):  # outside above, inside below: walk towards +x
        following.setdefault((int(i), int(j)), []).append((int(i), int(j) + 1))
    for i, j in np.argwhere(down == -1):
        following.setdefault((int(i), int(j) + 1), []).append((int(i), int(j)))
    across = padded[:, 1:] - padded[:, :-1]
    for i, j in np.argwhere(across == -1):  # inside left, outside right: walk towards +y
        following.setdefault((int(i) - 1, int(j) + 1), []).append((int(i), int(j) + 1))
    for i, j in np.argwhere(across == 1):
        following.setdefault((int(i), int(j) + 1), []).append((int(i) - 1, int(j) + 1))
    rings = []
    while following:
        start = next(iter(following))
        ring, at = [start], _take(following, start)
        while at != start:
            ring.append(at)
            at = _take(following, at)
        # Corner (i, j) lies above and left of the pixel (i, j) of the mask; see the shifts above.
        points = np.array(ring, dtype=np.float64) + np.array([mask.y0 - 0.5, mask.x0 - 1.5])
        rings.append(_without_straights(points))
    return rings


def _take(following: dict[tuple[int, int], list[tuple[int, int]]], corner: tuple[int, int]) -> tuple[int, int]:
    ends = following[corner]
    end = ends.pop()
    if not ends:
        del following[corner]
    return end


def _without_straights(ring: Points) -> Points:
    """Only the points at which a ring turns."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    return ring[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]


def joined(rings: Sequence[Points]) -> Points:
    """Several rings as one polygon that the even–odd rule fills as it fills them together.

    From the first point of the first ring the polygon goes to every other ring, around it, and back the same way; a
    way that is walked there and back encloses nothing.
    """
    if len(rings) == 1:
        return np.asarray(rings[0])
    home = rings[0][:1]
    parts = [rings[0], home]
    for ring in rings[1:]:
        parts += [ring, ring[:1], home]
    return np.concatenate(parts)


def mask_outline(mask: Mask) -> Points | None:
    """One polygon, (y, x) in pixels, that holds exactly the pixels of a mask; None for an empty mask."""
    rings = mask_rings(mask)
    return joined(rings) if rings else None


def frozen(
    region: Region, geometry: PixelGrid, image_magnitude: NDArray[np.floating], baseline: slice | None = None
) -> Region:
    """A threshold region as a polygon around the pixels that it chooses in one series; any other region unchanged.

    So that several reconstructions are looked at in the same pixels. See
    :func:`napari_dainr.analysis.masks.region_mask` for the parameters; a threshold without pixels stays as it is.
    """
    if region.kind != "threshold":
        return region
    outline = mask_outline(region_mask(region, geometry, image_magnitude, baseline))
    if outline is None:
        return region
    return region.changed(kind="polygon", outline="", fraction=None, vertices=geometry.to_mm(outline))
