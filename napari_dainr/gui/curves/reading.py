"""Reading curves from napari layers: a layer as it stands now, and the pixels of a region in it. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_dainr.analysis.curves import Curve, baseline_frames, mask_curve
from napari_dainr.analysis.masks import Mask, region_mask, remark
from napari_dainr.analysis.moving import MovingStatistics
from napari_dainr.analysis.pixel_grid import PixelGrid
from napari_dainr.analysis.regions import Region
from napari_dainr.errors import InputError
from napari_dainr.gui._time_layers import frame_times, interpolated_frames, pixel_mm, title_of, to_pixels

if TYPE_CHECKING:
    from napari.layers import Image

__all__ = ["Look", "Reading", "look_at", "read"]

REFERENCE = "nufft"


@dataclass(frozen=True, eq=False)
class Look:
    """A layer as it stood at one moment.

    Parameters
    ----------
    key
        Stays with the layer through renaming and new data.
    title
        For legends and tables.
    method
        Name of the method that made it; empty for images of others.
    image : (frame, y, x)
        Magnitude.
    geometry
        Of the image, world millimetres; where the layer has no lengths, its own units.
    times_s : (frame,)
        Seconds, or the units of the layer's first axis where that is no time.
    interpolated : (frame,) bool
        As in :class:`Curve`.
    frame_duration_s
        Native temporal resolution.
    timed
        Whether times are seconds.
    per_unit
        Seconds per unit of napari's slider.
    corners : (3, 2) or None
        For layers that are turned or mirrored: pixels (y, x) of the world points (0, 0), (1, 0) and (0, 1).
    """

    key: str
    title: str
    method: str
    image: NDArray[np.floating]
    geometry: PixelGrid
    times_s: NDArray[np.float64]
    interpolated: NDArray[np.bool_]
    frame_duration_s: float
    timed: bool = True
    per_unit: float = 1.0
    corners: NDArray[np.float64] | None = None

    @property
    def is_reference(self) -> bool:
        """Whether this is the reconstruction that others are compared with: the NUFFT's, as in the paper."""
        return self.method == REFERENCE

    def placed(self, region: Region) -> tuple[Region, PixelGrid]:
        """The region and the geometry that say which pixels of this image it holds."""
        if self.corners is None:
            return region, self.geometry
        origin, down, right = self.corners
        pixels = origin + region.vertices @ np.stack([down - origin, right - origin])
        return region.changed(vertices=pixels), PixelGrid(self.geometry.shape, (1.0, 1.0))


@dataclass(frozen=True, eq=False)
class Reading:
    """What a region gives in a series: a curve, or the reason why there is none.

    Parameters
    ----------
    region, look
        What was read, and where.
    curve
        Signal; None if the region holds no pixel there.
    remark
        One sentence if there is no curve, or if it says little.
    """

    region: Region
    look: Look
    curve: Curve | None
    remark: str = ""


def look_at(layer: Image) -> Look:
    """What is needed of a layer to read curves from it; nothing is copied."""
    times = frame_times(layer)
    size = pixel_mm(layer)
    ny, nx = (int(n) for n in layer.data.shape[-2:])
    origin = (float(layer.translate[-2]), float(layer.translate[-1]))
    points = to_pixels(layer, np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    scale = np.array([float(layer.scale[-2]), float(layer.scale[-1])])
    plain = (scale > 0).all() and np.allclose(points[1:] - points[0], np.diag(1 / scale), rtol=1e-9, atol=1e-12)
    facts = layer.metadata.get("dainr")
    facts = facts if isinstance(facts, dict) else {}
    step = abs(float(layer.scale[0]))
    seconds = (
        times if times is not None else float(layer.translate[0]) + float(layer.scale[0]) * np.arange(len(layer.data))
    )
    per_unit = float(seconds[1] - seconds[0]) / float(layer.scale[0]) if times is not None and len(seconds) > 1 else 1.0
    duration = facts.get("frame_duration_s")
    world = scale if (scale > 0).all() else np.abs(scale)
    factor = 1.0 if size is None else size[0] / float(world[0])
    return Look(
        key=str(layer.unique_id),
        title=title_of(layer),
        method=str(facts.get("method", "")),
        image=layer.data,
        geometry=PixelGrid((ny, nx), (float(world[0]), float(world[1])), origin),
        times_s=np.asarray(seconds, np.float64),
        interpolated=interpolated_frames(layer),
        frame_duration_s=float(duration) if duration else step * per_unit,
        timed=times is not None,
        per_unit=per_unit,
        corners=None if plain and factor else points,
    )


def _crop(look: Look, mask: Mask) -> tuple[NDArray[np.floating], Mask]:
    """The box of a mask as numpy has it, so that lazy and strided arrays are read only there."""
    height, width = mask.inside.shape
    part = np.asarray(look.image[:, mask.y0 : mask.y0 + height, mask.x0 : mask.x0 + width])
    if part.dtype.kind != "f":
        part = part.astype(np.float32)
    return part, Mask(0, 0, mask.inside, (height, width))


def mask_in(region: Region, look: Look, baseline_s: tuple[float, float] | None = None) -> Mask:
    """Pixels of a region in a series; raises InputError where there cannot be any."""
    there, geometry = look.placed(region)
    if region.kind != "threshold":
        return region_mask(there, geometry)
    outline = region_mask(there.changed(kind=there.outline, fraction=None), geometry)
    if not outline.n:
        return outline
    frames = baseline_frames(look.times_s, baseline_s) if baseline_s is not None else slice(0, 1)
    if frames.stop <= frames.start:
        frames = slice(0, 1)
    return region_mask(there, geometry, np.asarray(look.image), frames)


def read(
    region: Region,
    look: Look,
    baseline_s: tuple[float, float] | None = None,
    moving: MovingStatistics | None = None,
) -> Reading:
    """Curve of a region in a series.

    ``baseline_s`` is for thresholds, which look for what is enhanced; ``moving`` knows the pixels of the place where
    the region was a moment ago.
    """
    try:
        mask = mask_in(region, look, baseline_s)
        if not mask.n:
            return Reading(region, look, None, remark(mask, region.name) or "")
        part, inside = _crop(look, mask) if moving is None else (moving.image, mask)
        curve = mask_curve(part, inside, look.times_s, look.interpolated, look.frame_duration_s, region.name, moving)
    except InputError as error:
        return Reading(region, look, None, str(error))
    return Reading(region, look, curve, remark(mask, region.name) or "")


def cost(regions: Sequence[Region], look: Look) -> int:
    """Samples that reading these regions takes, at most."""
    total = 0
    for region in regions:
        there, geometry = look.placed(region)
        pixels = geometry.to_pixels(there.vertices)
        low, high = pixels.min(axis=0).clip(0), np.minimum(pixels.max(axis=0) + 1, geometry.shape)
        total += int(np.prod(np.maximum(high - low, 1))) * len(look.image)
    return total
