"""Layers that are made from another one and lie on it: maps, phases, deformation fields. Held by reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari_dainr import RESEARCH_USE
from napari_dainr.gui._series_layers import DERIVED
from napari_dainr.gui._time_layers import brief, is_ours, title_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

__all__ = ["DerivedLayers", "short_name"]


def short_name(layer: Image) -> str:
    """The part of a layer's name that says the method; of others their title, which is not the name of a file."""
    return brief(str(layer.name)) if is_ours(layer) else title_of(layer)


class DerivedLayers:
    """One layer per source and kind, on top of the others, used again; one that was deleted is added again."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._layers: list[tuple[Layer, str, Layer]] = []

    def get(self, source: Layer, kind: str) -> Layer | None:
        """The layer of this kind, if it is still there."""
        return next((made for of, what, made in self._there() if of is source and what == kind), None)

    def _there(self) -> list[tuple[Layer, str, Layer]]:
        """Forget what is gone, so that its data are not held."""
        layers = self._viewer.layers
        self._layers = [entry for entry in self._layers if entry[0] in layers and entry[2] in layers]
        return self._layers

    def of_kind(self, *kinds: str) -> list[tuple[Layer, str, Layer]]:
        """(source, kind, layer) of all that are still there."""
        return [entry for entry in self._there() if entry[1] in kinds]

    def put(self, source: Layer, kind: str, data: Any, add: Callable[..., Layer], name: str, **look: Any) -> Layer:
        """Show ``data``: in the layer of this kind, or in a new one that ``add`` makes.

        ``look`` holds keywords of the new layer; of a layer that is used again only data, name and place change.
        """
        layer = self.get(source, kind)
        if layer is not None:
            layer.data = data
            layer.name = name
            for key in ("scale", "translate", "contrast_limits_range", "contrast_limits"):
                if key in look:
                    setattr(layer, key, look[key])
            layer.visible = True
            return layer
        look.pop("contrast_limits_range", None)
        layer = add(
            data,
            name=name,
            axis_labels=source.axis_labels,
            units=source.units,
            metadata={DERIVED: kind, "notice": RESEARCH_USE},
            **{"scale": source.scale, "translate": source.translate} | look,
        )
        self._layers.append((source, kind, layer))
        return layer
