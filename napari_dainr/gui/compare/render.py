"""After a fit: another scale ratio and other times from the same model, at once and without fitting again.

Every change draws a quick preview first (see :meth:`napari_dainr.fitted.FittedModel.draw`) and, when the sliders rest,
the exact series. Only the newest wish counts, and a fit that begins ends the drawing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QFileDialog, QFormLayout, QHBoxLayout, QPushButton, QVBoxLayout, QWidget
from superqt import QLabeledDoubleSlider, QLabeledSlider

from napari_dainr.gui._latest import Latest
from napari_dainr.gui._layers import SeriesLayer, run_folder_of
from napari_dainr.gui._model import Phase
from napari_dainr.gui._parts import Note
from napari_dainr.gui._series_layers import LayerChoice
from napari_dainr.gui._session import Session
from napari_dainr.gui._worker import Failed
from napari_dainr.gui.compare.derived import short_name
from napari_dainr.io.export_formats import dialog_filter, with_suffix
from napari_dainr.recipe import Recipe

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

    from napari_dainr.data import ImageSeries
    from napari_dainr.fitted import Drawing, FittedModel

__all__ = ["RenderSection", "render_name"]

SETTLE_MS = 60
REST_S = 0.4
"""Seconds without a newer wish before the exact series is drawn."""


def render_name(source: str, scale: float, upsample: int) -> str:
    """For instance ``DA-INR ×3 · r 1.5``."""
    return f"{source} ×{upsample} · r {scale:g}"


class RenderSection(QWidget):
    """Which result, two sliders, what is drawn."""

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        session: Callable[[], Session | None],
        tell: Callable[[str, str, str], None],
    ) -> None:
        super().__init__()
        self._viewer, self._find, self._tell = viewer, session, tell
        self._models: dict[Path, FittedModel] = {}
        self._layers: list[tuple[Image, SeriesLayer]] = []
        self.series: ImageSeries | None = None
        self.source = LayerChoice("no result yet", "A result whose fitted model draws again.")
        self.scale = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.scale.setRange(0.5, 4.0)
        self.scale.setSingleStep(0.05)
        self.scale.setDecimals(2)
        self.scale.setValue(1.0)
        self.scale.setToolTip("Scale ratio r: drawn pixels over measured pixels, along each side.")
        self.upsample = QLabeledSlider(Qt.Orientation.Horizontal)
        self.upsample.setRange(1, 16)
        self.upsample.setToolTip("Steps drawn per measured frame; the frames between are interpolated by the model.")
        self.export = QPushButton("Export…")
        self.export.setToolTip("Write the exact series: DICOM, NIfTI, OME-Zarr, TIFF, HDF5, NumPy, GIF and others.")
        self.note = Note()
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setVerticalSpacing(4)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        form.addRow("Result", self.source)
        form.addRow("Scale ratio r", self.scale)
        form.addRow("Upsample time ×", self.upsample)
        last = QHBoxLayout()
        last.addWidget(self.note, 1)
        last.addWidget(self.export, 0, Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(form)
        layout.addLayout(last)
        self._drawing = Latest("drawing from the model", self._arrived, self._failed, self._rested)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(SETTLE_MS)
        self._timer.timeout.connect(self.draw)
        self.scale.valueChanged.connect(self._wished)
        self.upsample.valueChanged.connect(self._wished)
        self.source.chosen.connect(self._source_chosen)
        self.export.clicked.connect(self._ask_export)
        self._source_chosen(None)

    # ---------------------------------------------------------------- what is wanted

    def _source_chosen(self, layer: Image | None) -> None:
        self._timer.stop()
        self._drawing.cancel()
        self.series = None
        recipe = self._recipe(layer)
        if recipe is not None:
            for slider, value in ((self.scale, recipe.scale), (self.upsample, recipe.upsample)):
                slider.blockSignals(True)
                slider.setValue(value)
                slider.blockSignals(False)
        self.refresh()

    @staticmethod
    def _recipe(layer: Image | None) -> Recipe | None:
        return None if layer is None else Recipe.model_validate(layer.metadata["dainr"]["recipe"])

    def follow_phase(self, phase: Phase) -> None:
        """A fit needs the machine: drawing ends, and waits until it is over."""
        if phase is Phase.RUNNING:
            self._timer.stop()
            self._drawing.cancel()
        self.refresh()

    def refresh(self) -> None:
        """Show what can be done."""
        session = self._find()
        busy = session is not None and session.model.busy
        ready = self.source.layer is not None and not busy
        for widget in (self.scale, self.upsample):
            widget.setEnabled(ready)
        self.export.setEnabled(self.series is not None)
        if self.source.layer is None:
            self.note.setText("Run a method first; DA-INR draws at any size and time from its networks.")
        elif busy:
            self.note.setText("A reconstruction is running; drawing waits for its end.")
        elif self.series is None and not self._drawing.busy:
            self.note.setText("Move a slider: the model is drawn again, without a fit.")

    def _wished(self, *_: object) -> None:
        self.series = None
        self.export.setEnabled(False)
        self.source.keep()
        self._timer.start()

    def draw(self) -> None:
        """Draw the model as the sliders say."""
        layer = self.source.layer
        folder = None if layer is None else run_folder_of(layer)
        if layer is None or not self.scale.isEnabled():
            return
        if folder is None:
            self._tell("warning", f"{layer.name}: its run is not there any more; run it again to draw from it.", "")
            return
        scale, upsample = round(float(self.scale.value()), 2), int(self.upsample.value())
        models = self._models

        def work(stop: threading.Event) -> Iterator[Any]:
            began = time.monotonic()
            model = models.get(folder)
            if model is None:
                from napari_dainr.fitted import FittedModel

                model = FittedModel(folder)
                models.clear()  # one model in memory
                models[folder] = model
            yield model.shape(scale, upsample)
            quick = model.draw(scale, upsample, quick=True, stop=stop)
            if quick is None:
                return
            yield layer, quick, quick.series.magnitude, time.monotonic() - began
            if quick.exact or stop.wait(REST_S):
                return
            exact = model.draw(scale, upsample, stop=stop)
            if exact is not None:
                yield layer, exact, exact.series.magnitude, time.monotonic() - began

        self.note.setText("drawing…")
        self._drawing.ask(work)

    # ---------------------------------------------------------------- what comes

    def _arrived(self, result: Any) -> None:
        if len(result) == 3:
            n, y, x = result
            self.note.setText(f"drawing {n} frames of {y} × {x} pixels ({8e-6 * n * y * x:.0f} MB)…")
            return
        layer, drawing, magnitude, seconds = result
        if layer not in self._viewer.layers:
            return
        self._show(layer, drawing, magnitude)
        n, y, x = magnitude.shape
        if drawing.exact:
            self.series = drawing.series
            between = int(drawing.series.interpolated.sum())
            marked = f", {between} of them between measured ones" if between else ""
            self.note.setText(f"{n} frames of {y} × {x} pixels{marked}; exact, {seconds:.1f} s.")
        else:
            self.note.setText(f"Preview {drawing.note} after {seconds:.1f} s; the exact series follows…")
        self.export.setEnabled(self.series is not None)

    def _show(self, source: Image, drawing: Drawing, magnitude: np.ndarray[Any, Any]) -> None:
        self._layers = [entry for entry in self._layers if entry[0] in self._viewer.layers]
        shown = next((made for of, made in self._layers if of is source), None)
        if shown is None:
            shown = SeriesLayer(self._viewer)
            self._layers.append((source, shown))
        recipe = Recipe.model_validate({"data": "", **drawing.series.info["recipe"]})
        first = shown.layer is None or shown.layer not in self._viewer.layers
        layer = shown.show(drawing.series, magnitude, recipe, "", new_run=not first)
        layer.name = render_name(short_name(source), recipe.scale, recipe.upsample)
        if first or not np.array_equal(layer.contrast_limits, source.contrast_limits):
            layer.contrast_limits_range = source.contrast_limits_range
            layer.contrast_limits = source.contrast_limits

    def _rested(self) -> None:
        self.refresh()

    def _failed(self, failed: Failed) -> None:
        self.note.setText(failed.message)
        self._tell("error", failed.message, failed.details)

    # ---------------------------------------------------------------- files

    def _ask_export(self) -> None:
        name, kind = QFileDialog.getSaveFileName(self, "Export the drawn series", "series.gif", dialog_filter())
        if name:
            self.export_to(Path(with_suffix(name, kind)))

    def export_to(self, path: Path) -> None:
        """Write the exact series beside the event loop; the reconstruction dock tells how it went."""
        session = self._find()
        if session is not None and self.series is not None:
            session.export(path, self.series)

    def leave(self) -> None:
        """The dock is closed."""
        self._timer.stop()
        self._drawing.cancel()
        self._models.clear()
