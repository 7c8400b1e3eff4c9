"""The line in the picture: a plain Shapes layer, so that napari's own tools and other plugins work on it. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Shapes

__all__ = ["LineLayer", "default_line"]

NAME = "x–t line"
COLOUR = "#f0e442"
LINES = ("line", "path")

Tool = Literal["ends", "whole", "draw"]
_MODES = {"ends": "direct", "whole": "select", "draw": "add_polyline"}


def default_line(shape: tuple[int, int]) -> NDArray[np.float64]:
    """(2, 2) (y, x) pixels: across the middle half of an image."""
    height, width = shape
    return np.array([[(height - 1) / 2, 0.2 * (width - 1)], [(height - 1) / 2, 0.8 * (width - 1)]])


class LineLayer:
    """Holds the layer by reference, so it may be renamed; if it was deleted, :meth:`new` makes another.

    Signals
    -------
    moved()
        On every step of a drag, and when the line was drawn, deleted or chosen.
    """

    moved = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.layer: Shapes | None = None
        viewer.layers.events.removed.connect(self._removed)

    def new(self, over: Image) -> None:
        """A line across the middle of an image, ready to be dragged; it takes the place of what was there."""
        pixels = default_line((int(over.data.shape[-2]), int(over.data.shape[-1])))
        if self.layer is None:
            self._make(over)
        assert self.layer is not None
        t = float(over.translate[0])
        corner = (float(over.translate[-2]), float(over.translate[-1]))
        size = (float(over.scale[-2]), float(over.scale[-1]))
        world = pixels * size + corner
        data = np.array([self.layer.world_to_data((t, *point)[-max(2, self.layer.ndim) :]) for point in world])
        self.layer.selected_data = set(range(self.layer.nshapes))
        self.layer.remove_selected()
        self.layer.add_lines([data], edge_color=COLOUR, edge_width=self._width(over))
        self.layer.selected_data = {0}
        self.use("ends")
        self.moved.emit()

    def _width(self, over: Image) -> float:
        return max(1.0, max(over.data.shape[-2:]) / 150)

    def _make(self, over: Image) -> None:
        layer = self._viewer.add_shapes(
            ndim=2, name=NAME, scale=over.scale[-2:], translate=over.translate[-2:], units=over.units[-2:],
            edge_color=COLOUR, face_color="transparent", edge_width=self._width(over),
        )  # fmt: skip
        layer.events.set_data.connect(self._tell)
        layer.events.data.connect(self._tell)
        layer.events.highlight.connect(self._chosen)
        self.layer = layer

    def use(self, tool: Tool) -> None:
        """Drag the ends, drag the whole line, or draw a new polyline."""
        if self.layer is not None:
            self._viewer.layers.selection.active = self.layer
            self.layer.mode = _MODES[tool]

    def keep_on_top(self) -> None:
        """Above all images: a fit adds its layer on top, and would hide the line."""
        from napari.layers import Image

        layers = self._viewer.layers
        if self.layer is None or self.layer not in layers:
            return
        here = layers.index(self.layer)
        if any(isinstance(above, Image) for above in layers[here + 1 :]):
            layers.move(here, len(layers))

    @property
    def number(self) -> int | None:
        """Of the line that counts: the selected one, else the last; None if there is none."""
        layer = self.layer
        if layer is None:
            return None
        lines = [i for i, kind in enumerate(layer.shape_type) if str(kind) in LINES and i < len(layer.data)]
        chosen = [i for i in lines if i in layer.selected_data]
        return (chosen or lines)[-1] if lines else None

    def vertices(self) -> NDArray[np.float64] | None:
        """(k, 2) world (y, x) of the line; None if there is none or it has no length yet."""
        number, layer = self.number, self.layer
        if number is None or layer is None:
            return None
        data = np.asarray(layer.data[number], dtype=np.float64)
        world = np.array([layer.data_to_world(vertex) for vertex in data])
        ahead = np.concatenate([[True], np.any(np.diff(world, axis=0) != 0, axis=1)])
        return world[ahead] if ahead.sum() > 1 else None

    def _tell(self, *_: object) -> None:
        self.moved.emit()

    def _chosen(self, *_: object) -> None:
        if self.layer is not None and self.layer.nshapes > 1:
            self.moved.emit()

    def _removed(self, event: object) -> None:
        if self.layer is not None and self.layer not in self._viewer.layers:
            self._let_go()
            self.moved.emit()

    def _let_go(self) -> None:
        if self.layer is not None:
            self.layer.events.set_data.disconnect(self._tell)
            self.layer.events.data.disconnect(self._tell)
            self.layer.events.highlight.disconnect(self._chosen)
        self.layer = None

    def close(self) -> None:
        """Let go; the layer stays."""
        self._viewer.layers.events.removed.disconnect(self._removed)
        self._let_go()
