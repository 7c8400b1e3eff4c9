"""Names of regions that can be read on what they lie on: black on bright vessels, white on the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer

from napari_dainr.gui._time_layers import is_time_layer, to_pixels

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Shapes

__all__ = ["LabelColours", "brightness_under"]

SETTLE_MS = 120
"""Most often that colours are chosen anew: while a cine plays, they follow a little later."""
CHARACTER_PX, LINE_PX = 7.5, 17.0
"""About how much room a character of a label takes on the screen."""
BRIGHT, DARK = 0.62, 0.48
"""White turns to black above the first and back below the second, parts of the way to white; no flicker in between."""
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


class LabelColours(QObject):
    """Looks at the picture under each label and sets the colour of its text; nothing else of the layer is touched.

    napari's text has neither an outline nor a ground of its own.
    """

    def __init__(self, viewer: ViewerModel, layer: Callable[[], Shapes | None]) -> None:
        super().__init__()
        self._viewer, self._layer = viewer, layer
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(SETTLE_MS)
        self._soon.timeout.connect(self.refresh)
        self._sources = (viewer.dims.events.point, viewer.scene.camera.events.zoom, viewer.layers.events)
        for source in self._sources:
            source.connect(self.ask)

    def ask(self, *_: object) -> None:
        """Look again soon."""
        if not self._soon.isActive():
            self._soon.start()

    def close(self) -> None:
        """Look no more."""
        self._soon.stop()
        for source in self._sources:
            source.disconnect(self.ask)

    def refresh(self) -> None:
        """Choose white or black for every label."""
        layer = self._layer()
        if layer is None or layer not in self._viewer.layers or not layer.nshapes or not layer.text.visible:
            return
        image = next((one for one in reversed(self._viewer.layers) if one.visible and is_time_layer(one)), None)
        names = [str(name) for name in layer.features["name"]] if "name" in layer.features else []
        if image is None or len(names) != layer.nshapes:
            return
        now = np.atleast_2d(np.asarray(layer.text.color.array, float)) if hasattr(layer.text.color, "array") else None
        wanted = np.ones((layer.nshapes, 4))
        for number, (name, data) in enumerate(zip(names, layer.data, strict=True)):
            corner = np.asarray(layer.data_to_world(np.asarray(data).min(0) + layer.text.translation))[-2:]
            bright = brightness_under(image, self._viewer, corner, len(name))
            was_black = now is not None and number < len(now) and not now[number, 0]
            if bright > (DARK if was_black else BRIGHT):
                wanted[number, :3] = 0
        if now is None or now.shape != wanted.shape or (now != wanted).any():
            layer.text.color = wanted


def brightness_under(image: Image, viewer: ViewerModel, corner: NDArray[np.float64], characters: int) -> float:
    """How bright a picture is where a label lies, 0 for black to 1 for white; 0 where the label lies outside.

    Parameters
    ----------
    image
        With axes (t, y, x).
    viewer
        Of its slider and zoom.
    corner : (2,)
        Lower left corner of the label, world (y, x).
    characters
        Length of the label.
    """
    pixel = 1.0 / float(viewer.scene.camera.zoom)
    down = corner[0] - pixel * np.linspace(0, LINE_PX, 5)
    right = corner[1] + pixel * np.linspace(0, CHARACTER_PX * max(1, characters), 25)
    at = np.rint(to_pixels(image, np.stack(np.meshgrid(down, right, indexing="ij"), -1).reshape(-1, 2))).astype(int)
    frames, ny, nx = image.data.shape
    inside = ((at >= 0) & (at < (ny, nx))).all(1)
    if not inside.any():
        return 0.0
    time = (float(viewer.dims.point[-3]) - float(image.translate[0])) / float(image.scale[0])
    frame = np.asarray(image.data[int(np.clip(round(time), 0, frames - 1))], float)
    low, high = image.contrast_limits
    parts = np.zeros(len(at))
    parts[inside] = np.nan_to_num(np.clip((frame[tuple(at[inside].T)] - low) / max(high - low, 1e-12), 0, 1))
    colours = np.asarray(image.colormap.map(parts ** float(image.gamma)))[:, :3]
    return float(np.where(inside, colours @ _LUMINANCE, 0.0).mean())
