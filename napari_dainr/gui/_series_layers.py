"""Layers as series to be compared, and a combo box of layers that follows the viewer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_dainr.data import ImageSeries
from napari_dainr.gui._parts import ComboBox
from napari_dainr.gui._time_layers import frame_times, interpolated_frames, pixel_mm

if TYPE_CHECKING:
    from napari.layers import Image

__all__ = ["DERIVED", "LayerChoice", "as_series", "is_derived"]

DERIVED = "dainr_derived"
"""Key in the metadata of layers that were made from others here: maps, phases, deformation fields."""


def is_derived(layer: Image) -> bool:
    """Whether a layer was made here from another one, and so is no series to be compared."""
    return DERIVED in layer.metadata


def as_series(layer: Image, like: ImageSeries | None = None) -> ImageSeries:
    """A layer as a series of magnitudes; its data are not copied.

    A layer without seconds (or without millimetres) is taken to have those of ``like``, if it has as many frames as
    ``like`` or as ``like`` has measured ones, and to cover the same field of view.
    """
    data = layer.data
    facts = layer.metadata.get("dainr")
    listed = facts.get("times_s") if isinstance(facts, dict) else None
    times = np.asarray(listed, np.float64) if isinstance(listed, list) and len(listed) == len(data) else None
    if times is None:
        times = frame_times(layer)
    if times is None and like is not None:
        times = next((t for t in (like.times_s, like.times_s[~like.interpolated]) if len(t) == len(data)), None)
    if times is None:
        times = np.arange(len(data), dtype=np.float64)
    pixel = pixel_mm(layer)
    if pixel is None and like is not None:
        old = like.image.shape[1:]
        pixel = (like.pixel_mm[0] * old[0] / data.shape[1], like.pixel_mm[1] * old[1] / data.shape[2])
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    return ImageSeries(data, times, pixel or (1.0, 1.0), step, interpolated_frames(layer), str(layer.name))


class LayerChoice(ComboBox):
    """One of some layers, or none; the choice stays with the layer when it is renamed or moved.

    Signals
    -------
    chosen(layer or None)
        Another layer, by the user or because the one before is gone.
    """

    chosen = Signal(object)

    def __init__(self, none: str, tip: str = "") -> None:
        super().__init__([], tip)
        self._none = none
        self._layers: list[Image] = []
        self._layer: Image | None = None
        self._kept = False
        self.offer([])
        self.currentIndexChanged.connect(self._picked)

    @property
    def layer(self) -> Image | None:
        """The layer that is chosen."""
        return self._layer

    def keep(self) -> None:
        """Stay with this layer when newer ones come, as after a choice by the user."""
        self._kept = True

    def offer(self, layers: Sequence[Image], prefer: Image | None = None) -> None:
        """Offer these layers; ``prefer`` is taken unless the user made a choice that is still there."""
        self._layers = list(layers)
        self._kept = self._kept and self._layer in self._layers
        kept = self._layer if self._kept else prefer
        self.blockSignals(True)
        self.set_choices([("", self._none), *((str(i), str(layer.name)) for i, layer in enumerate(self._layers))])
        self.setCurrentIndex(0 if kept is None else 1 + self._layers.index(kept))
        self.blockSignals(False)
        if kept is not self._layer:
            self._layer = kept
            self.chosen.emit(kept)

    def choose(self, layer: Image | None) -> None:
        """Choose a layer that is offered."""
        self.setCurrentIndex(0 if layer is None else 1 + self._layers.index(layer))

    def _picked(self, index: int) -> None:
        layer = self._layers[index - 1] if index > 0 else None
        self._kept = True
        if layer is not self._layer:
            self._layer = layer
            self.chosen.emit(layer)
