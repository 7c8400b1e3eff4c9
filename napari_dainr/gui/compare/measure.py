"""Against a reference: scores in a table, difference and error maps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_dainr import RESEARCH_USE
from napari_dainr.analysis.comparison import (
    SCORES,
    Row,
    difference_maps,
    metric_table,
    pair,
    why_not_comparable,
)
from napari_dainr.data import ImageSeries
from napari_dainr.errors import DainrError
from napari_dainr.gui._latest import Latest
from napari_dainr.gui._parts import ComboBox, Note, SpinBox
from napari_dainr.gui._series_layers import as_series, is_derived
from napari_dainr.gui._settings import CompareSettings, keep, kept
from napari_dainr.gui._time_layers import frame_times, titles_of
from napari_dainr.gui._truth import TruthChoice
from napari_dainr.gui._worker import Failed
from napari_dainr.gui.compare.derived import DerivedLayers, short_name
from napari_dainr.gui.compare.layers import LayerList
from napari_dainr.io.curves import table

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

__all__ = ["MeasureSection", "as_tsv"]

SETTLE_MS = 400
MAPS = {"error": "absolute error", "difference": "difference"}
HEADINGS = {"psnr": "PSNR", "ssim": "SSIM", "psnr_fit": "PSNR fit", "ssim_fit": "SSIM fit", "nrmse_fit": "NRMSE"}
"""Narrow headings; the copied table has the long ones."""


def as_tsv(rows: list[Row]) -> str:
    """Rows as tab-separated text with a heading; a series that cannot be compared has its reason instead of figures."""
    lines = [["series", "frames", *SCORES.values()]]
    for row in rows:
        cells = [row.reason] if row.reason else [f"{row.scores[key]:.4f}" for key in SCORES]
        lines.append([row.name, str(row.n_frames), *cells])
    return table([*lines, [RESEARCH_USE]], "\t")


class MeasureSection(QWidget):
    """Reference, table, maps. ``may_measure`` is False while a fit changes its layer all the time."""

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        layers: LayerList,
        derived: DerivedLayers,
        tell: Callable[[str, str, str], None],
        may_measure: Callable[[], bool],
    ) -> None:
        super().__init__()
        self._viewer, self._layers, self._derived, self._tell = viewer, layers, derived, tell
        self._may_measure = may_measure
        self._measured: tuple[Any, ...] = ()
        self.rows: list[Row] = []
        self._headings: list[str] = []
        tip = "Everything is compared with this layer: a truth, or another method."
        self.truth = TruthChoice(viewer, "Reference", tip, lambda: next(iter(self._others()), None), tell)
        self.reference = self.truth.choice
        self.scores = QTableWidget(0, len(SCORES))
        self.scores.setHorizontalHeaderLabels([HEADINGS[key] for key in SCORES])
        self.scores.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.scores.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.scores.setToolTip(
            "PSNR and SSIM as in the paper (each series scaled to 0…1); fit: scaled to the reference by one "
            "least-squares factor; NRMSE after that factor. Means over the frames."
        )
        header, names = self.scores.horizontalHeader(), self.scores.verticalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(40)
        names.setMaximumWidth(110)
        names.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        names.setDefaultSectionSize(24)
        self.copy = QPushButton("Copy table")
        self.copy.setToolTip("Copy the table as tab-separated text, for a spreadsheet.")
        self.kind = ComboBox(list(MAPS.items()), "Absolute error |a · x − reference|, or the difference with its sign.")
        self.times = SpinBox(1, 100, "The window of the maps is that of the reference divided by this.")
        self.times.setPrefix("× ")
        self.match = QCheckBox("match scale")
        self.match.setToolTip("Multiply each series by one least-squares factor a before the subtraction.")
        self.show_maps = QPushButton("Show maps")
        self.show_maps.setToolTip("Add a map for every layer with a check mark, or compute it again.")
        self.note = Note()

        second = QHBoxLayout()
        second.addWidget(self.kind, 1)
        second.addWidget(self.times)
        second.addWidget(self.show_maps)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.truth)
        layout.addWidget(self.scores)
        layout.addWidget(self.note)
        layout.addWidget(self.copy)
        layout.addLayout(second)
        layout.addWidget(self.match)

        self._put(kept(CompareSettings))
        self._scoring = Latest("comparing", self._arrived, self._failed)
        self._mapping = Latest("making maps", self._map_arrived, self._failed)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(SETTLE_MS)
        self._timer.timeout.connect(self.measure)
        self.reference.chosen.connect(self._reference_chosen)
        layers.changed.connect(self.soon)
        self.copy.clicked.connect(self.copy_table)
        self.show_maps.clicked.connect(self.make_maps)
        self.times.valueChanged.connect(self._rescale_maps)
        self.kind.currentIndexChanged.connect(self._keep)
        self.match.toggled.connect(self._keep)
        self._fill()
        self._note("")
        self.show_maps.setEnabled(False)

    def _put(self, settings: CompareSettings) -> None:
        self.kind.choose(settings.maps)
        self.times.setValue(settings.factor)
        self.match.setChecked(settings.match_scale)

    def _keep(self, *_: object) -> None:
        keep(
            CompareSettings,
            maps=str(self.kind.currentData()),
            factor=self.times.value(),
            match_scale=self.match.isChecked(),
        )

    # ---------------------------------------------------------------- scores

    def _reference_chosen(self, layer: Image | None) -> None:
        self.show_maps.setEnabled(layer is not None)
        self.soon()

    def soon(self, *_: object) -> None:
        """Measure when nothing has changed for a moment."""
        self._timer.start()

    def _others(self) -> list[Image]:
        series = (layer for layer in self._layers.checked if not is_derived(layer))
        return [layer for layer in series if layer is not self.reference.layer]

    def measure(self) -> None:
        """Compare every layer with a check mark with the reference, if something is new."""
        reference, layers = self.reference.layer, self._others()
        compared = [] if reference is None else [reference, *layers]
        key = tuple((id(one), id(one.data), str(one.name)) for one in compared)
        if not self._may_measure() or key == self._measured:
            return
        self._measured = key
        self.rows = []
        self._fill()
        if reference is None or not layers:
            self._scoring.cancel()
            self._note("" if reference is None else "Give at least one other layer a check mark.")
            return
        truth, series = self._series(reference, layers)
        self._headings = [short_name(layer) for layer in layers]

        def work(stop: threading.Event) -> Iterator[Any]:
            for one in series:
                try:
                    yield metric_table({one.method: one}, truth)[0], one.n_frames
                except DainrError as error:
                    yield Row(one.method, 0, {}, str(error)), one.n_frames

        self._note(f"comparing with {reference.name}…")
        self._scoring.ask(work)

    @staticmethod
    def _series(reference: Image, layers: list[Image]) -> tuple[ImageSeries, list[ImageSeries]]:
        """The reference and the others; what one of them does not say of times and sizes is taken from another.

        They have their titles: tables are copied, and what is copied holds no name of a file.
        """
        like = next((as_series(layer) for layer in layers if frame_times(layer) is not None), None)
        title, *titles = titles_of([reference, *layers])
        truth = replace(as_series(reference, like), method=title)
        return truth, [replace(as_series(one, truth), method=name) for one, name in zip(layers, titles, strict=True)]

    def _arrived(self, result: tuple[Row, int]) -> None:
        row, n_frames = result
        self.rows.append(row)
        self._fill()
        sentences = [one.reason for one in self.rows if one.reason]
        if not row.reason and row.n_frames < n_frames:
            sentences.append(f"{row.name}: {row.n_frames} of its {n_frames} frames are at times of the reference.")
        self._note("\n".join(sentences))

    def _failed(self, failed: Failed) -> None:
        self._measured = ()
        self._note(failed.message)
        self._tell("error", failed.message, failed.details)

    def _fill(self) -> None:
        self.scores.setRowCount(len(self.rows))
        for line, row in enumerate(self.rows):
            heading = QTableWidgetItem(self._headings[line])
            heading.setToolTip(row.name)
            self.scores.setVerticalHeaderItem(line, heading)
            for column, key in enumerate(SCORES):
                digits = 2 if key.startswith("psnr") else 4
                cell = QTableWidgetItem("—" if row.reason else f"{row.scores[key]:.{digits}f}")
                cell.setToolTip(row.reason or f"{SCORES[key]}, {row.n_frames} frames")
                cell.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.scores.setItem(line, column, cell)
        self.scores.setFixedHeight(30 + 24 * max(1, min(8, len(self.rows))))
        self.scores.setVisible(bool(self.rows))
        self.copy.setVisible(bool(self.rows))

    def _note(self, text: str) -> None:
        self.note.setText(text)
        self.note.setVisible(bool(text))

    def copy_table(self) -> None:
        """Put the table into the clipboard as tab-separated text."""
        clipboard = QGuiApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(as_tsv(self.rows))

    # ---------------------------------------------------------------- maps

    def make_maps(self) -> None:
        """A map against the reference for every layer with a check mark."""
        reference, layers = self.reference.layer, self._others()[::-1]  # the oldest first, as in the grid
        if reference is None:
            return
        kind, fitted = self.kind.currentData(), self.match.isChecked()
        truth, series = self._series(reference, layers)

        def work(stop: threading.Event) -> Iterator[Any]:
            for layer, one in zip(layers, series, strict=True):
                reason = why_not_comparable(one, truth)
                if reason is not None:
                    yield layer, kind, None, None, reason
                    continue
                same = pair(one, truth)
                maps = difference_maps(one.magnitude[same.first], truth.magnitude[same.second], fit=fitted)
                yield layer, kind, np.abs(maps) if kind == "error" else maps, same.first, ""

        self._mapping.ask(work)

    def _map_arrived(self, result: tuple[Image, str, Any, Any, str]) -> None:
        layer, kind, values, frames, sentence = result
        reference = self.reference.layer
        if values is None:
            self._tell("warning", sentence, "")
            return
        if reference is None or layer not in self._viewer.layers:
            return
        step = int(frames[1] - frames[0]) if len(frames) > 1 else 1
        start = layer.translate[0] + frames[0] * layer.scale[0]
        limits = self._map_limits(reference, kind)
        self._derived.put(
            layer,
            kind,
            values,
            self._viewer.add_image,
            self._map_name(layer, reference, kind),
            scale=(step * layer.scale[0], *layer.scale[1:]),
            translate=(start, *layer.translate[1:]),
            contrast_limits_range=limits,
            contrast_limits=limits,
            colormap="inferno" if kind == "error" else "PiYG",
        )

    def _map_name(self, layer: Image, reference: Image, kind: str) -> str:
        text = f"{short_name(layer)} − {short_name(reference)}"
        return f"{f'|{text}|' if kind == 'error' else text} ×{self.times.value()}"

    def _map_limits(self, reference: Image, kind: str) -> tuple[float, float]:
        """The values of a map are errors in the unit of the reference; × k is done by the window."""
        top = float(np.abs(reference.contrast_limits).max()) / self.times.value()
        return (0.0 if kind == "error" else -top, top)

    def _rescale_maps(self, *_: object) -> None:
        self._keep()
        reference = self.reference.layer
        if reference is None:
            return
        for source, kind, made in self._derived.of_kind(*MAPS):
            limits = self._map_limits(reference, kind)
            made.contrast_limits_range = limits
            made.contrast_limits = limits
            made.name = self._map_name(source, reference, kind)

    # ---------------------------------------------------------------- leaving

    def leave(self) -> None:
        """The dock is closed."""
        self._timer.stop()
        self.truth.leave()
        for job in (self._scoring, self._mapping):
            job.cancel()
