"""Regions as the outlines of a cine."""

from __future__ import annotations

from napari_dainr.analysis.outlines import region_outline
from napari_dainr.analysis.pixel_grid import PixelGrid
from napari_dainr.analysis.regions import ROLES, RegionSet
from napari_dainr.io.cine_drawing import Outline

__all__ = ["region_outlines"]

VOXEL = [(-0.5, -0.5), (-0.5, 0.5), (0.5, 0.5), (0.5, -0.5)]


def region_outlines(regions: RegionSet, geometry: PixelGrid) -> list[Outline]:
    """One outline per region, in pixels of the image that ``geometry`` describes.

    Colour and line style are those of the role; a voxel becomes the border of its pixel.
    """
    outlines = []
    for region in regions:
        points = geometry.to_pixels(region_outline(region))
        if region.kind == "voxel":
            points = points.round() + VOXEL
        dashes = tuple(max(1, round(length)) for length in ROLES[region.role].dashes[1])
        outlines.append(Outline(points, region.colour, region.name, True, dashes))
    return outlines
