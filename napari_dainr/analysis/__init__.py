"""What is read off a series: regions, curves and their quantities, sections through space and time, comparisons.

``pixel_grid`` and ``regions`` say where to look, ``masks`` which pixels that is, ``curves``, ``quantities`` and
``phases`` what happens there over time, ``sections`` what happens along a line, ``comparison`` how series differ.
"""

from __future__ import annotations

from napari_dainr.analysis.curves import roi_curve
from napari_dainr.analysis.pixel_grid import PixelGrid
from napari_dainr.analysis.regions import ROLES, Region, RegionSet
from napari_dainr.analysis.sections import xt_section

__all__ = ["ROLES", "PixelGrid", "Region", "RegionSet", "roi_curve", "xt_section"]
