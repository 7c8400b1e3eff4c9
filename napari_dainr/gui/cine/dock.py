"""The dock "Cine"."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QImage, QPixmap, QResizeEvent
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_dainr import RESEARCH_USE
from napari_dainr.gui._background import in_background
from napari_dainr.gui._dock import ScrollDock
from napari_dainr.gui._parts import Banner, Note, Section
from napari_dainr.gui._shortcuts import bind, unbind
from napari_dainr.gui._time_layers import frame_times, title_of, to_pixels
from napari_dainr.gui._worker import Failed
from napari_dainr.gui.cine.export_form import ExportForm
from napari_dainr.gui.cine.export_job import ExportJob, draw_preview
from napari_dainr.gui.cine.play_panel import PlayPanel
from napari_dainr.gui.cine.settings import cine_settings, remember
from napari_dainr.gui.cine.source import cine_of_layer, outlines_of
from napari_dainr.io.cine import Cine

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

__all__ = ["CineDock", "Picture"]

PREVIEW_MS, POLL_MS = 200, 80
NO_FILM = 'MP4 films need one more package: pip install "napari-dainr[mp4]". GIFs can be written without.'


class Picture(QLabel):
    """A picture as large as its place allows, in proportion."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._picture: QPixmap | None = None
        self._text = text
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setWordWrap(True)
        self.setMinimumHeight(230)
        self.setMaximumHeight(330)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def show_array(self, picture: NDArray[np.uint8] | None, text: str = "") -> None:
        """(y, x, 3) red, green, blue; or words in its place."""
        if picture is None:
            self._picture = None
            self.setPixmap(QPixmap())
            self.setText(text or self._text)
            return
        data = np.ascontiguousarray(picture)
        height, width = data.shape[:2]
        image = QImage(data.data, width, height, 3 * width, QImage.Format.Format_RGB888)
        self._picture = QPixmap.fromImage(image.copy())
        self._fit()

    def _fit(self) -> None:
        if self._picture is not None:
            keep, smooth = Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
            self.setPixmap(self._picture.scaled(self.size(), keep, smooth))

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        self._fit()


class CineDock(ScrollDock):
    """Plays a layer at a stated speed and writes it as GIF or MP4."""

    NAME = "Cine"
    TABBED = True
    SIZE = (380, 760)
    NARROWEST = 340

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        kept = cine_settings()
        self.banner = Banner()
        self.play_panel = PlayPanel(napari_viewer, kept)
        self.form = ExportForm(kept)
        self.preview = Picture("The first look at the file stands here.")
        self.export_button = QPushButton("Export…")
        self.export_button.setToolTip("Write the series as GIF or MP4 (Alt+G).")
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Stop writing; nothing is left behind.")
        self.bar = QProgressBar()
        self.bar.setTextVisible(True)
        self.film_note = Note("" if find_spec("imageio_ffmpeg") else NO_FILM)
        self.film_note.setVisible(bool(self.film_note.text()))
        self.job: ExportJob | None = None
        self._form_layer: Image | None = None
        self._drawn = 0
        self._drawing = False
        self.setWidget(self._column())

        self._preview_timer = QTimer(self)
        self._preview_timer.setSingleShot(True)
        self._preview_timer.timeout.connect(self._draw_preview)
        self._poll = QTimer(self)
        self._poll.setInterval(POLL_MS)
        self._poll.timeout.connect(self._show_progress)
        self.play_panel.layer_changed.connect(self._follow_layer)
        self.play_panel.settings_changed.connect(self._settings_changed)
        self.form.changed.connect(self._settings_changed)
        self.form.around.clicked.connect(self._crop_around_shape)
        self.export_button.clicked.connect(self.ask_export)
        self.cancel_button.clicked.connect(self.cancel)
        napari_viewer.dims.events.point.connect(self._slider_moved)
        self._keys = {"Alt-A": self.play_panel.toggle, "Alt-G": self.ask_export}
        bind(napari_viewer, self, self._keys)
        self._follow_layer()
        self._show_job()

    def _column(self) -> QWidget:
        notice = Note(RESEARCH_USE)
        notice.setAlignment(Qt.AlignmentFlag.AlignCenter)
        buttons = QHBoxLayout()
        buttons.addWidget(self.export_button, 1)
        buttons.addWidget(self.cancel_button)
        below = QWidget()
        lower = QVBoxLayout(below)
        lower.setContentsMargins(0, 2, 0, 0)
        lower.setSpacing(5)
        for widget in (self.preview, self.form, self.film_note):
            lower.addWidget(widget)
        lower.addLayout(buttons)
        lower.addWidget(self.bar)
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(6, 6, 6, 6)
        column.setSpacing(6)
        column.addWidget(self.banner)
        column.addWidget(Section("1  Play", self.play_panel, is_open=True))
        column.addWidget(Section("2  Export", below, is_open=True))
        column.addWidget(notice)
        column.addStretch(1)
        return inside

    # ---------------------------------------------------------------- following

    @property
    def layer(self) -> Image | None:
        """The layer that is played and exported."""
        return self.play_panel.layer

    def _follow_layer(self) -> None:
        layer = self.layer
        if layer is not None:
            times = frame_times(layer)
            shape = (int(layer.data.shape[1]), int(layer.data.shape[2]))
            span = None if times is None else (float(times[0]), float(times[-1]))
            self.form.set_layer(title_of(layer), shape, span, new=layer is not self._form_layer)
            self.form.set_window(*map(float, layer.contrast_limits))
        self._form_layer = layer
        self._look_again()

    def _settings_changed(self) -> None:
        if self.layer is not None:
            self.form.set_window(*map(float, self.layer.contrast_limits))
        self.play_panel.settings = self.form.settings(self.play_panel.settings)
        remember(self.play_panel.settings)
        self._look_again()

    def _slider_moved(self, *_: object) -> None:
        if not self.play_panel.player.playing:
            self._preview_timer.start(PREVIEW_MS)

    def _look_again(self) -> None:
        problem = self.form.problem() if self.layer is not None else "Open a series first."
        free = self.job is None
        self.form.setEnabled(self.layer is not None)
        self.export_button.setEnabled(not problem and free)
        self.export_button.setToolTip(problem or "Write the series as GIF or MP4 (Alt+G).")
        self._preview_timer.start(PREVIEW_MS)

    def _cine(self, layer: Image) -> Cine:
        outlines = [] if self._viewer is None else outlines_of(self._viewer, layer)
        return cine_of_layer(layer, self.form.name.text().strip(), outlines)

    def tell(self, kind: str, text: str, details: str = "") -> None:
        """Show a sentence where it is seen."""
        self.banner.show_message(kind, text, details)
        QTimer.singleShot(0, lambda: None if self._viewer is None else self.ensureWidgetVisible(self.banner))

    # ---------------------------------------------------------------- preview

    def _draw_preview(self) -> None:
        layer, viewer = self.layer, self._viewer
        if viewer is None or not self.isVisible():
            return
        if layer is None or self.form.problem():
            self.preview.show_array(None, self.form.problem() if layer is not None else "")
            return
        if self._drawing:  # one at a time; the newest wish is drawn next
            self._preview_timer.start(PREVIEW_MS)
            return
        limits = (float(layer.contrast_limits[0]), float(layer.contrast_limits[1]))
        options, cine = self.form.options(self.play_panel.settings, limits), self._cine(layer)
        axis = viewer.dims.ndim - layer.ndim
        at = round((float(viewer.dims.point[axis]) - float(layer.translate[0])) / float(layer.scale[0]))
        frame = min(max(at, 0), len(layer.data) - 1)
        self._drawing = True
        in_background(lambda: draw_preview(cine, options, "preview.gif", frame), self._show_preview)

    def _show_preview(self, drawn: NDArray[np.uint8] | Failed) -> None:
        self._drawing = False
        if self._viewer is None:
            return
        if isinstance(drawn, Failed):
            self.preview.show_array(None, drawn.message.removeprefix("preview.gif: "))
        else:
            self.preview.show_array(drawn)
            self._drawn += 1

    # ---------------------------------------------------------------- export

    def _crop_around_shape(self) -> None:
        from napari.layers import Shapes

        viewer, layer = self._viewer, self.layer
        shapes = None if viewer is None else viewer.layers.selection.active
        if layer is None or not isinstance(shapes, Shapes) or not shapes.nshapes:
            self.tell("warning", "No shape is selected: choose a Shapes layer and select a shape in it.")
            return
        number = max(shapes.selected_data) if shapes.selected_data else shapes.nshapes - 1
        world = np.array([shapes.data_to_world(vertex)[-2:] for vertex in shapes.data[number]])
        pixels = to_pixels(layer, world)
        low, high = np.floor(pixels.min(axis=0) + 0.5).astype(int), np.ceil(pixels.max(axis=0) + 0.5).astype(int)
        size = layer.data.shape[1:]
        y0, x0 = (int(np.clip(at, 0, n - 1)) for at, n in zip(low, size, strict=True))
        y1, x1 = (int(np.clip(at, first + 1, n)) for at, n, first in zip(high, size, (y0, x0), strict=True))
        self.form.set_crop((y0, y1, x0, x1))

    def ask_export(self) -> None:
        """Ask for a file and write it."""
        if not self.export_button.isEnabled():
            self.tell("warning", self.export_button.toolTip())
            return
        film = "MP4 film (*.mp4)"
        kinds = "GIF animation (*.gif)" + (f";;{film}" if find_spec("imageio_ffmpeg") else "")
        name, kind = QFileDialog.getSaveFileName(self, "Export cine", "cine.gif", kinds)
        if name:
            path = Path(name)
            if path.suffix.lower() not in (".gif", ".mp4"):
                path = path.with_name(path.name + (".mp4" if kind == film else ".gif"))
            self.export(path)

    def export(self, path: Path) -> bool:
        """Write the layer as it is now, beside the event loop; False (with a banner) if that cannot be."""
        layer = self.layer
        gone = layer is None or self._viewer is None or layer not in self._viewer.layers
        problem = "Open a series first." if gone else self.form.problem()
        if self.job is not None:
            problem = f"{self.job.path.name} is still being written; cancel it first."
        if problem or layer is None:
            self.tell("warning", problem)
            return False
        limits = (float(layer.contrast_limits[0]), float(layer.contrast_limits[1]))
        job = self.job = ExportJob(self._cine(layer), path, self.form.options(self.play_panel.settings, limits))
        self.banner.clear()
        self._poll.start()
        self._show_job()
        self._look_again()
        in_background(job.run, self._written, self._finished)
        return True

    def cancel(self) -> None:
        """Stop an export; nothing of it is left."""
        if self.job is not None:
            self.job.stop.set()

    def _written(self, failed: Failed | None) -> None:
        job, self.job = self.job, None
        if self._viewer is None or job is None:
            return
        if failed is None:
            self.tell("info", f"Cine written: {job.path.name}. {RESEARCH_USE}")
        elif job.stop.is_set():
            self.tell("info", f"{job.path.name}: cancelled; nothing was written.")
        else:
            self.tell("error", failed.message, failed.details)
        self._finished()

    def _finished(self) -> None:
        if self._viewer is not None:
            self._poll.stop()
            self._show_job()
            self._look_again()

    def _show_job(self) -> None:
        self.cancel_button.setEnabled(self.job is not None)
        self.bar.setVisible(self.job is not None)
        self.bar.setRange(0, 0)

    def _show_progress(self) -> None:
        if self.job is not None:
            done, total = self.job.progress
            self.bar.setRange(0, total)
            self.bar.setValue(done)
            drawn = 2 * done <= total
            self.bar.setFormat(f"{self.job.path.name}: %p %" if drawn else f"{self.job.path.name}: reading back, %p %")

    # ---------------------------------------------------------------- keys and leaving

    @property
    def at_work(self) -> bool:
        """Until a file that was being written is gone."""
        return self.job is not None

    def left(self, viewer: napari.viewer.Viewer) -> None:
        """Stop playing and writing; what is half written goes."""
        self.cancel()
        viewer.dims.events.point.disconnect(self._slider_moved)
        unbind(viewer, self._keys)
        self.play_panel.leave()
