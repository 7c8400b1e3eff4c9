"""What is shown in the viewer as the engine's values: a layer as a cine, shapes as outlines. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_dainr.gui._time_layers import frame_times, interpolated_frames, pixel_mm, to_pixels
from napari_dainr.io.cine import Cine
from napari_dainr.io.cine_drawing import Outline

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Shapes

__all__ = ["cine_of_layer", "outlines_of"]

_OPEN = ("line", "path")


def cine_of_layer(layer: Image, label: str, outlines: list[Outline]) -> Cine:
    """A layer as it stands; its data are not copied, because napari's layers get new arrays and keep the old ones."""
    times = frame_times(layer)
    return Cine(
        image=np.asarray(layer.data),
        method=label,
        pixel_mm=pixel_mm(layer),
        times_s=times,
        interpolated=interpolated_frames(layer),
        outlines=outlines,
        step_s=None if times is None or len(times) < 2 else float(times[1] - times[0]),
    )


def outlines_of(viewer: ViewerModel, layer: Image) -> list[Outline]:
    """All visible shapes of the viewer, in pixels of the image.

    A layer of regions is drawn with the colours and names that it shows; shapes that are bound to other frames are
    left out, because an outline stands in every frame of a cine.
    """
    from napari.layers import Shapes

    found = []
    for shapes in viewer.layers:
        if isinstance(shapes, Shapes) and shapes.visible and shapes.ndim == 2:
            found += [_outline(shapes, number, layer) for number in range(shapes.nshapes)]
    return found


def _outline(shapes: Shapes, number: int, layer: Image) -> Outline:
    kind = str(shapes.shape_type[number])
    vertices = np.asarray(shapes.data[number], dtype=np.float64)
    if kind == "ellipse":  # four corners of the box around it, at any angle
        centre, a, b = vertices.mean(axis=0), (vertices[1] - vertices[0]) / 2, (vertices[3] - vertices[0]) / 2
        angle = 2 * np.pi * np.arange(96)[:, None] / 96
        vertices = centre + np.cos(angle) * a + np.sin(angle) * b
    world = np.array([shapes.data_to_world(vertex) for vertex in vertices])
    red, green, blue = (round(255 * float(part)) for part in shapes.edge_color[number][:3])
    name = _name(shapes, number)
    return Outline(to_pixels(layer, world), f"#{red:02x}{green:02x}{blue:02x}", name, kind not in _OPEN)


def _name(shapes: Shapes, number: int) -> str:
    features: Any = shapes.features
    for column in ("name", "roi", "label"):
        if column in features and number < len(features):
            return str(features[column].iloc[number])
    return ""
