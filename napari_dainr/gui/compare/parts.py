"""Magnitude, phase, real and imaginary part of a result.

Layers hold magnitudes (4 bytes per voxel). The complex series is read from the run folder when a part is asked for and
only the part is kept, so a result that is never looked at in this way costs nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from napari_dainr.gui._latest import Latest
from napari_dainr.gui._layers import run_folder_of
from napari_dainr.gui._parts import ComboBox, Note
from napari_dainr.gui._series_layers import LayerChoice
from napari_dainr.gui._worker import Failed
from napari_dainr.gui.compare.derived import DerivedLayers, short_name

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

__all__ = ["PARTS", "PartsSection", "part_of"]

PARTS = {"magnitude": "magnitude", "phase": "phase [rad]", "real": "real part", "imaginary": "imaginary part"}


def part_of(image: NDArray[np.complex64], part: str) -> tuple[NDArray[np.float32], tuple[float, float]]:
    """A part of (frame, y, x) and its window: (−π, π) for the phase, else symmetric about 0."""
    if part == "phase":
        return np.angle(image).astype(np.float32, copy=False), (-float(np.pi), float(np.pi))
    values = np.ascontiguousarray(image.real if part == "real" else image.imag)
    top = float(np.percentile(np.abs(values.reshape(-1)[:: max(1, values.size // 200_000) | 1]), 99.9))
    return values, (-top or -1.0, top or 1.0)


class PartsSection(QWidget):
    """Which result, and which part of it is shown."""

    def __init__(
        self, viewer: napari.viewer.Viewer, derived: DerivedLayers, tell: Callable[[str, str, str], None]
    ) -> None:
        super().__init__()
        self._viewer, self._derived, self._tell = viewer, derived, tell
        self.source = LayerChoice("no result yet", "A result of a reconstruction.")
        self.part = ComboBox(list(PARTS.items()), "What of the complex series is shown.")
        self.note = Note()
        row = QHBoxLayout()
        row.addWidget(self.source, 2)
        row.addWidget(self.part, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(row)
        layout.addWidget(self.note)
        self._reading = Latest("reading the complex series", self._arrived, self._failed)
        self.source.chosen.connect(self._source_chosen)
        self.part.currentIndexChanged.connect(self._show)
        self._source_chosen(None)

    def _source_chosen(self, layer: Image | None) -> None:
        self.part.setEnabled(layer is not None)
        self.part.blockSignals(True)
        self.part.setCurrentIndex(0)
        self.part.blockSignals(False)
        self.note.setText("" if layer is not None else "Results have these parts; a first look has its magnitude only.")
        self.note.setVisible(bool(self.note.text()))

    def show_part(self, part: str) -> None:
        """Show magnitude, phase, real or imaginary part of the chosen result."""
        self.part.setCurrentIndex(self.part.findData(part))

    def _show(self, *_: object) -> None:
        layer, part = self.source.layer, self.part.currentData()
        if layer is None:
            return
        folder = run_folder_of(layer)
        self.source.keep()
        self._only(layer, part)
        if part == "magnitude":
            self._reading.cancel()
            return
        if folder is None:
            self._tell("warning", f"{layer.name}: its run is not there any more; run it again to see its {part}.", "")
            return

        def work(stop: threading.Event) -> Iterator[Any]:
            from napari_dainr.io.series import load_series

            yield layer, part, *part_of(load_series(folder).image, part)

        self._reading.ask(work)

    def _only(self, layer: Image, part: str) -> None:
        """Of this result, show one part and hide the others."""
        layer.visible = part == "magnitude"
        for name in PARTS:
            made = self._derived.get(layer, name)
            if made is not None:
                made.visible = name == part

    def _arrived(self, result: tuple[Image, str, NDArray[np.float32], tuple[float, float]]) -> None:
        layer, part, values, limits = result
        if layer not in self._viewer.layers:
            return
        self._derived.put(
            layer,
            part,
            values,
            self._viewer.add_image,
            f"{part} · {short_name(layer)}",
            contrast_limits_range=limits,
            contrast_limits=limits,
            colormap="twilight" if part == "phase" else "gray",
        )
        self._only(layer, part)

    def _failed(self, failed: Failed) -> None:
        self._tell("error", failed.message, failed.details)

    def leave(self) -> None:
        """The dock is closed."""
        self._reading.cancel()
