"""Image layers with time as their first axis: what is known of them, and news of what happens to them. No Qt."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_dainr.methods.config import TITLES

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

__all__ = [
    "TRUTH",
    "TimeLayers",
    "brief",
    "brief_names",
    "frame_times",
    "interpolated_frames",
    "is_ours",
    "is_time_layer",
    "pixel_mm",
    "title_of",
    "titles_of",
    "to_pixels",
]

TRUTH = "truth"
"""What names of layers begin with that were opened to be compared with."""
_NUMBER = re.compile(r" \[\d+\]$")


def is_time_layer(layer: object) -> bool:
    """Whether a layer is a grey image with axes (t, y, x)."""
    from napari.layers import Image

    if not isinstance(layer, Image) or layer.ndim != 3 or layer.rgb or layer.multiscale:
        return False
    return np.dtype(layer.dtype).kind in "buif" and all(layer.data.shape)


def _factor(unit: Any, wanted: str) -> float | None:
    """Factor from a layer's unit to the wanted one; None for pixels and other quantities."""
    try:
        return float((1 * unit).to(wanted).magnitude)
    except Exception:  # pint has an error class for each way in which two units do not match
        return None


def _facts(layer: Image, key: str) -> NDArray[Any] | None:
    """A list in our metadata, if it has an entry for every frame: while a fit runs it may be older than the data."""
    facts = layer.metadata.get("dainr")
    values = facts.get(key) if isinstance(facts, dict) else None
    return np.asarray(values) if isinstance(values, list) and len(values) == len(layer.data) else None


def frame_times(layer: Image) -> NDArray[np.float64] | None:
    """(frame,) seconds, as napari's slider has them; None if the first axis is not a time."""
    factor = _factor(layer.units[0], "s")
    if factor is None:
        return None
    return np.asarray(factor * (layer.translate[0] + layer.scale[0] * np.arange(len(layer.data))), dtype=np.float64)


def interpolated_frames(layer: Image) -> NDArray[np.bool_]:
    """(frame,) True where the series says that nothing was measured."""
    marks = _facts(layer, "interpolated")
    return np.zeros(len(layer.data), bool) if marks is None else marks.astype(bool)


def pixel_mm(layer: Image) -> tuple[float, float] | None:
    """(y, x) millimetres; None if the layer has no lengths."""
    factors = [_factor(unit, "mm") for unit in layer.units[1:]]
    if factors[0] is None or factors[1] is None:
        return None
    return abs(float(layer.scale[1])) * factors[0], abs(float(layer.scale[2])) * factors[1]


def title_of(layer: Image) -> str:
    """What tables, figures and exported files call a layer: it holds no name of a file, which may be that of a person.

    Method and spokes for our series. For others the name that the user gave, and where it is that of the file,
    ``truth`` or ``series``.
    """
    recipe = _recipe(layer)
    if recipe is None:
        name = str(layer.name)
        if name.startswith(f"{TRUTH} · "):
            return TRUTH
        return "series" if _is_of_file(name, layer.source.path) else name
    spokes = recipe.get("spokes_per_frame")
    return f"{TITLES[recipe['method']]}, {spokes} spokes per frame" if spokes else TITLES[recipe["method"]]


def titles_of(layers: Sequence[Image]) -> list[str]:
    """Titles that tell layers apart: of several the numbers, or for our series the name that the user gave."""
    titles = [title_of(layer) for layer in layers]
    found = []
    for number, (layer, title) in enumerate(zip(layers, titles, strict=True)):
        if titles.count(title) > 1:
            renamed = is_ours(layer) and _NUMBER.sub("", brief(layer.name)) not in TITLES.values()
            title = str(layer.name) if renamed else f"{title} ({titles[: number + 1].count(title)})"
        found.append(title)
    return found


def _recipe(layer: Image) -> dict[str, Any] | None:
    """The recipe of our series."""
    facts = layer.metadata.get("dainr")
    recipe = facts.get("recipe") if isinstance(facts, dict) else None
    return recipe if isinstance(recipe, dict) and recipe.get("method") in TITLES else None


def is_ours(layer: Image) -> bool:
    """Whether a layer shows a series of this program."""
    return _recipe(layer) is not None


def _is_of_file(name: str, path: str | None) -> bool:
    """Whether napari, or its reader, took the name of a layer from its file."""
    if path is None:
        return False
    plain, file = _NUMBER.sub("", name), Path(path)
    return file.stem.split(".")[0] in plain or file.parent.name == plain


def brief(name: str, parts: int = 1) -> str:
    """The part of a layer's name that says the method, and napari's number where several have the name: ``GRASP [1]``.

    Of ``GRASP · 13 spokes · scan [1]``, for instance; with two parts ``GRASP · 13 spokes [1]``.
    """
    all_parts = name.split(" · ")
    number = _NUMBER.search(all_parts[-1]) if len(all_parts) > parts else None
    return " · ".join(all_parts[:parts]) + (number.group() if number else "")


def brief_names(names: Sequence[str]) -> list[str]:
    """Each name as short as tells it from the others: ``GRASP``, or ``GRASP · 13 spokes`` beside 21 spokes."""
    found = []
    for name in names:
        for parts in range(1, name.count(" · ") + 2):
            short = brief(name, parts)
            if [brief(one, parts) for one in names].count(short) == 1:
                break
        found.append(short)
    return found


def to_pixels(layer: Image, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2) world (y, x) → (n, 2) pixels of the layer's image, whole numbers at pixel centres."""
    t = float(layer.translate[0])
    origin, down, right = (np.asarray(layer.world_to_data((t, *at)))[-2:] for at in ((0, 0), (1, 0), (0, 1)))
    return np.asarray(origin + points @ np.stack([down - origin, right - origin]))


class TimeLayers:
    """Follows the image layers of a viewer that have time as their first axis.

    Signals
    -------
    listed()
        Layers came, went, were renamed or moved, or became or ceased to be such layers.
    changed(Image)
        Data, window or place of one of them.
    """

    listed = Signal()
    changed = Signal(object)

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._known: dict[Image, list[tuple[Any, Callable[..., None]]]] = {}
        self._of_list = [viewer.layers.events.inserted, viewer.layers.events.removed, viewer.layers.events.reordered]
        for emitter in self._of_list:
            emitter.connect(self._look)
        self._look()

    @property
    def layers(self) -> list[Image]:
        """Top layer first."""
        return [layer for layer in reversed(self._viewer.layers) if is_time_layer(layer)]

    def _look(self, *_: object) -> None:
        from napari.layers import Image

        there = [layer for layer in self._viewer.layers if isinstance(layer, Image)]
        for gone in [layer for layer in self._known if layer not in there]:
            self._forget(gone)
        for layer in there:
            if layer not in self._known:
                self._follow(layer)
        self.listed.emit()

    def _follow(self, layer: Image) -> None:
        def changed(*_: object) -> None:
            self.changed.emit(layer)

        def renamed(*_: object) -> None:
            self.listed.emit()

        events = layer.events
        pairs = [
            (events.name, renamed), (events.metadata, renamed), (events.data, changed),
            (events.contrast_limits, changed), (events.scale, changed), (events.translate, changed),
        ]  # fmt: skip
        for emitter, slot in pairs:
            emitter.connect(slot)
        self._known[layer] = pairs

    def _forget(self, layer: Image) -> None:
        for emitter, slot in self._known.pop(layer):
            emitter.disconnect(slot)

    def close(self) -> None:
        """Let go of all of them."""
        for emitter in self._of_list:
            emitter.disconnect(self._look)
        for layer in list(self._known):
            self._forget(layer)
