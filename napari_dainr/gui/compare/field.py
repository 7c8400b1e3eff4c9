"""DA-INR's deformation field over the image: arrows, length, Jacobian determinant."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QCheckBox, QFormLayout, QHBoxLayout, QVBoxLayout, QWidget

from napari_dainr.gui._latest import Latest
from napari_dainr.gui._layers import run_folder_of
from napari_dainr.gui._parts import DoubleSpinBox, Note, SpinBox
from napari_dainr.gui._series_layers import LayerChoice
from napari_dainr.gui._worker import Failed
from napari_dainr.gui.compare.derived import DerivedLayers

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

    from napari_dainr.deformation import DeformationSeries

__all__ = ["FieldSection"]

ARROWS_ACROSS = 24
"""Arrows across the longer side, to begin with."""
LONGER = (1.0, 2.0, 5.0, 10.0, 20.0)
"""How much longer arrows may be drawn to begin with; most are to reach their neighbours."""
COLOURS = {
    "length": [(0.27, 0.0, 0.33, 0.0), (0.13, 0.57, 0.55, 0.55), (0.99, 0.91, 0.14, 0.9)],
    "jacobian": [(0.85, 0.1, 0.55, 0.95), (0.7, 0.7, 0.7, 0.0), (0.3, 0.8, 0.15, 0.95)],
}
"""RGBA from low to high: where nothing happens the image is seen as it is."""


class FieldSection(QWidget):
    """Which result, and what of its deformation is shown."""

    def __init__(
        self, viewer: napari.viewer.Viewer, derived: DerivedLayers, tell: Callable[[str, str, str], None]
    ) -> None:
        super().__init__()
        self._viewer, self._derived, self._tell = viewer, derived, tell
        self._field: DeformationSeries | None = None
        self._of: tuple[Image, Path] | None = None
        self._longer_chosen = False
        self.source = LayerChoice("no DA-INR result yet", "A result of DA-INR.")
        self.show_boxes = {
            "arrows": QCheckBox("arrows"),
            "length": QCheckBox("length"),
            "jacobian": QCheckBox("Jacobian determinant"),
        }
        tips = (
            "From a pixel of this frame to where its value comes from in the middle frame, where nothing is deformed.",
            "Length of the arrows in millimetres.",
            "1: area is kept; below 1: stretched from a smaller place of the middle frame; above 1: squeezed; "
            "0 or below: folded.",
        )
        self.every = SpinBox(1, 64, "An arrow on every n-th pixel.")
        self.longer = DoubleSpinBox(0.1, 20.0, 0.5, "Arrows are drawn this many times longer than they are.")
        self.longer.setDecimals(1)
        self.longer.setValue(1.0)
        self.note = Note()
        boxes, numbers = QHBoxLayout(), QFormLayout()
        numbers.setVerticalSpacing(3)
        numbers.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        for box, tip in zip(self.show_boxes.values(), tips, strict=True):
            box.setToolTip(tip)
            box.toggled.connect(self.refresh)
            boxes.addWidget(box)
        boxes.addStretch(1)
        numbers.addRow("Pixels per arrow", self.every)
        numbers.addRow("Drawn longer ×", self.longer)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.source)
        layout.addLayout(boxes)
        layout.addLayout(numbers)
        layout.addWidget(self.note)
        self._reading = Latest("drawing the deformation field", self._arrived, self._failed)
        self.source.chosen.connect(self._source_chosen)
        self.every.valueChanged.connect(self._draw)
        self.longer.valueChanged.connect(self._longer_edited)
        self._source_chosen(None)

    def _source_chosen(self, layer: Image | None) -> None:
        self._field = self._of = None
        for widget in (*self.show_boxes.values(), self.every, self.longer):
            widget.setEnabled(layer is not None)
        if layer is None:
            self.note.setText("Run DA-INR first; other methods have no deformation field.")
        else:
            self.note.setText("")
            self.every.blockSignals(True)
            self.every.setValue(max(1, round(max(layer.data.shape[1:]) / ARROWS_ACROSS)))
            self.every.blockSignals(False)
            self.refresh()

    def refresh(self, *_: object) -> None:
        """Show what has a check mark; the field is computed when it is first wanted."""
        layer = self.source.layer
        if layer is None:
            return
        wanted = any(box.isChecked() for box in self.show_boxes.values())
        if wanted:
            self.source.keep()
        folder = run_folder_of(layer)
        if self._field is not None and self._of == (layer, folder):
            self._draw()
        elif wanted and folder is None:
            self.note.setText(f"{layer.name}: its run is not there any more; run it again.")
        elif wanted and folder is not None:
            self.note.setText("drawing the field…")
            facts = layer.metadata["dainr"]["recipe"]
            step = 1 / int(facts["upsample"])
            frames = [i * step for i in range(len(layer.data))]

            def work(stop: threading.Event) -> Iterator[Any]:
                from napari_dainr.deformation import deformation

                field = deformation(folder, frames)
                yield layer, folder, field, field.magnitude_mm, field.jacobian  # the last two are kept by the field

            self._reading.ask(work)

    def _arrived(self, result: tuple[Image, Path, DeformationSeries, Any, Any]) -> None:
        layer, folder, self._field, length, jacobian = result
        self._of = (layer, folder)
        layers = self._viewer.layers
        if layer in layers:  # the field goes on top, and this image right under it
            layer.visible = True
            layers.move(layers.index(layer), len(layers))
        self.note.setText(
            f"At most {length.max():.2g} mm; Jacobian determinant {jacobian.min():.2f} to {jacobian.max():.2f}, "
            f"folded in {100 * self._field.folded:.2g} % of all pixels. The field is how the model explains the data, "
            "not a measured motion."
        )
        reach = float(np.percentile(np.linalg.norm(self._field.displacement, axis=-1), 99.5))
        if not self._longer_chosen:
            self.longer.blockSignals(True)
            self.longer.setValue(max((x for x in LONGER if x * reach <= self.every.value()), default=LONGER[0]))
            self.longer.blockSignals(False)
        self._draw()

    def _longer_edited(self, *_: object) -> None:
        self._longer_chosen = True
        self._draw()

    def _draw(self, *_: object) -> None:
        layer, field = self.source.layer, self._field
        if layer is None or field is None or self._of is None or self._of[0] is not layer:
            return
        if layer not in self._viewer.layers:
            return
        n = np.asarray(field.displacement.shape[1:3])
        drawn = np.asarray(layer.data.shape[1:])
        pixel = layer.scale[1:] * drawn / n
        # The field has the pixels of the measured matrix, the layer may have others: the middle of both is the same.
        middle = layer.translate[1:] + layer.scale[1:] * (drawn // 2)
        place = {
            "scale": (layer.scale[0], *pixel),
            "translate": (layer.translate[0], *(middle - pixel * (n // 2))),
        }
        for kind, box in reversed(self.show_boxes.items()):  # arrows last
            made = self._derived.get(layer, kind)
            if not box.isChecked():
                if made is not None:
                    made.visible = False
                continue
            if kind == "arrows":
                self._draw_arrows(layer, field, place)
            else:
                self._draw_map(layer, field, kind, place)

    def _draw_arrows(self, layer: Image, field: DeformationSeries, place: dict[str, Any]) -> None:
        arrows = field.arrows(self.every.value())
        arrows[:, 1] *= self.longer.value()
        made = self._derived.put(
            layer,
            "arrows",
            arrows,
            self._viewer.add_vectors,
            f"deformation, arrows × {self.longer.value():g}",
            edge_width=max(0.2, self.every.value() / 8),
            edge_color="yellow",
            vector_style="arrow",
            opacity=0.9,
            **place,
        )
        layers = self._viewer.layers
        layers.move(layers.index(made), len(layers))

    def _draw_map(self, layer: Image, field: DeformationSeries, kind: str, place: dict[str, Any]) -> None:
        from napari.utils import Colormap

        if kind == "length":
            values, name = field.magnitude_mm, "deformation, length [mm]"
            limits = (0.0, float(values.max()) or 1.0)
        else:
            values, name = field.jacobian, "deformation, Jacobian determinant"
            away = max(0.05, float(np.percentile(np.abs(values - 1), 99.5)))
            limits = (1 - away, 1 + away)
        made = self._derived.put(
            layer,
            kind,
            values,
            self._viewer.add_image,
            name,
            contrast_limits_range=limits,
            contrast_limits=limits,
            colormap=Colormap(COLOURS[kind], name=f"dainr {kind}"),
            blending="translucent",
            **place,
        )
        made.colorbar.visible = True

    def _failed(self, failed: Failed) -> None:
        self.note.setText(failed.message)
        self._tell("error", failed.message, failed.details)

    def leave(self) -> None:
        """The dock is closed."""
        self._reading.cancel()
