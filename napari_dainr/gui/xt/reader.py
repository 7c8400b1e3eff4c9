"""Strips of the viewer's series along one line, read again only where something changed. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_dainr.analysis.sections import Section, Strip, path_points
from napari_dainr.gui._time_layers import frame_times, interpolated_frames, to_pixels

if TYPE_CHECKING:
    from napari.layers import Image

__all__ = ["Reader", "grey_levels"]

OUTSIDE = 70
"""Grey where the line leaves the image."""
MOST_POINTS = 2000


def grey_levels(values: NDArray[np.float64], window: tuple[float, float]) -> NDArray[np.uint8]:
    """(frame, n) → (n, frame) grey: distance downwards, time to the right."""
    low, high = window
    scaled = np.clip((np.nan_to_num(values, nan=low) - low) / max(high - low, 1e-300), 0, 1)
    levels = np.rint(255 * scaled).astype(np.uint8)
    levels[np.isnan(values)] = OUTSIDE
    return np.ascontiguousarray(levels.T)


@dataclass
class _Read:
    section: Section
    strip: Strip


class Reader:
    """Keeps one strip for each layer."""

    def __init__(self) -> None:
        self._vertices: NDArray[np.float64] | None = None
        self._read: dict[Image, _Read] = {}

    def set_line(self, vertices: NDArray[np.float64] | None) -> None:
        """World (y, x) of the corners; None: no line."""
        self._vertices = vertices
        self._read.clear()

    def forget(self, layer: Image) -> None:
        """Read this layer again: its data or its place changed."""
        self._read.pop(layer, None)

    def keep_only(self, layers: list[Image]) -> None:
        """Let go of all others."""
        for layer in [layer for layer in self._read if layer not in layers]:
            del self._read[layer]

    def strip(self, layer: Image) -> Strip | None:
        """The strip of a layer; None if there is no line or it lies wholly outside."""
        if self._vertices is None:
            return None
        known = self._read.get(layer)
        if known is None:
            known = self._read[layer] = self._new(layer, self._vertices)
        return known.strip if known.section.inside.any() else None

    @staticmethod
    def _new(layer: Image, vertices: NDArray[np.float64]) -> _Read:
        image = np.asarray(layer.data)
        length = float(np.hypot(*np.diff(vertices, axis=0).T).sum())
        step = max(float(np.abs(layer.scale[-2:]).min()), length / MOST_POINTS)
        points, distance = path_points(vertices, step)
        section = Section(to_pixels(layer, points), (image.shape[1], image.shape[2]))
        times = frame_times(layer)
        if times is None:  # no seconds: as napari's slider counts
            times = np.asarray(layer.translate[0] + layer.scale[0] * np.arange(len(image)), dtype=np.float64)
        values = section.read(image.astype(np.uint8) if image.dtype == bool else image)
        return _Read(section, Strip(values, distance, times, interpolated_frames(layer), vertices))
