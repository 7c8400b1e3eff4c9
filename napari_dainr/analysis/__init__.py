"""What is read off a series: regions, curves and their quantities, sections through space and time, comparisons."""

from __future__ import annotations

from napari_dainr.analysis.curves import roi_curve
from napari_dainr.analysis.sections import xt_section

__all__ = ["roi_curve", "xt_section"]
