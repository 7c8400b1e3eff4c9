"""The dock "Import": what a raw file holds, what was found out or guessed, and how it looks if read otherwise."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QToolButton, QVBoxLayout, QWidget
from superqt import QElidingLabel

from napari_dainr import RESEARCH_USE
from napari_dainr.acquired import Acquired
from napari_dainr.gui._dock import ScrollDock
from napari_dainr.gui._latest import Latest
from napari_dainr.gui._model import Source
from napari_dainr.gui._parts import Banner, Note, Section
from napari_dainr.gui._worker import Failed
from napari_dainr.gui.importing.form import OptionsForm
from napari_dainr.gui.importing.previews import Found, Look, looks_at
from napari_dainr.gui.importing.quality import QualityWindow
from napari_dainr.importing import ImportOptions

if TYPE_CHECKING:
    import napari

__all__ = ["ImportDock"]

DECIDED_LATER = frozenset(
    {
        "matrix", "fov_mm", "tr_ms", "oversampling", "centre_sample", "trajectory_unit",
        "angles", "tiny_number", "full_circle", "first_angle_deg", "reversed",
    }
)  # fmt: skip
"""Options that a reader does not look at: when only these change, the file is not read again."""

LARGE, SMALL = 236, 84


def _pixmap(picture: NDArray[np.float32], size: int) -> QPixmap:
    """A grey picture, fitted into a square."""
    grey = np.ascontiguousarray(np.rint(picture * 255).astype(np.uint8))
    height, width = grey.shape
    image = QImage(grey.tobytes(), width, height, width, QImage.Format.Format_Grayscale8)
    return QPixmap.fromImage(image).scaled(
        size, size, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
    )


def _table(found: Found) -> str:
    """Findings and guesses as rich text."""
    if found.kspace is None:
        rows = {**found.acquired.detected, "format": found.acquired.format}
        return "<br>".join(f"<b>{escape(k)}</b>: {escape(v)}" for k, v in rows.items())
    guesses = [f"<b>{escape(k)}</b>: {escape(v)} <i>(assumed)</i>" for k, v in found.kspace.assumed.items()]
    return "<br>".join([*guesses, *(f"<b>{escape(k)}</b>: {escape(v)}" for k, v in found.kspace.detected.items())])


class ImportDock(ScrollDock):
    """Say what a file means, see the picture that follows, and read the file that way."""

    NAME = "Import"
    TABBED = True

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self.setObjectName("dainr_import")
        self._path: Path | None = None
        self._acquired: Acquired | None = None
        self._read_with = ImportOptions()
        self._row = 0
        self.found: Found | None = None
        self.latest = Latest("looking at the file", self._arrived, self._failed, self._rested)
        self.banner = Banner()
        self.name = QElidingLabel("no file")
        self.name.setElideMode(Qt.TextElideMode.ElideMiddle)
        self.picture = QLabel()
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.picture.setFixedHeight(LARGE)
        self.status = Note("Open a raw file in the dock of the reconstruction first.")
        self.facts = Note()
        self.others = QWidget()
        self._grid = QGridLayout(self.others)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(4)
        self.looks: dict[str, QToolButton] = {}
        self.form = OptionsForm()
        self.quality = QPushButton("Data quality…")
        self.quality.setToolTip("Spokes, angles, coils, noise and gradient delays in one figure.")
        self.window_of_quality: QualityWindow | None = None
        self.forget = QPushButton("Find out all")
        self.forget.setToolTip("Empty every field: the file and the data decide.")
        self.use = QPushButton("Read the file so")
        self.use.setToolTip("Load the file under these options; they are kept in the recipe.")

        buttons = QHBoxLayout()
        buttons.addWidget(self.forget)
        buttons.addWidget(self.use, 1)
        inside = QWidget()
        layout = QVBoxLayout(inside)
        layout.setSpacing(6)
        layout.addWidget(self.name)
        layout.addWidget(self.banner)
        layout.addWidget(self.picture)
        layout.addWidget(self.status)
        layout.addWidget(self.quality)
        layout.addWidget(Section("found and assumed", self.facts, is_open=True))
        layout.addWidget(Section("read otherwise: click the picture that looks right", self.others, is_open=True))
        layout.addWidget(Section("what you know about the file", self.form, is_open=True))
        layout.addLayout(buttons)
        layout.addWidget(Note(RESEARCH_USE))
        layout.addStretch(1)
        self.setWidget(inside)
        self.form.changed.connect(self._changed)
        self.forget.clicked.connect(lambda: self.form.set_options(ImportOptions()))
        self.use.clicked.connect(self._use)
        self.quality.clicked.connect(self._show_quality)
        self._enable()

    def sizeHint(self) -> QSize:
        """As wide as the dock of the reconstruction."""
        return QSize(400, 720)

    def show_source(self, source: Source) -> None:
        """Look at the file of a source, with what the user said of it so far."""
        if source.path is None:
            self.status.setText("The sample data hold all that is needed; open a raw file to say what it means.")
            return
        self._path, self._acquired, self.found = source.path, None, None
        self.name.setText(source.label)
        self.name.setToolTip(str(source.path))
        self.form.set_options(source.importing)

    def left(self, viewer: napari.viewer.Viewer) -> None:
        """Stop looking and let go of the data."""
        self.latest.cancel()
        self._acquired = self.found = None
        if self.window_of_quality is not None:
            self.window_of_quality.latest.cancel()
            self.window_of_quality.close()

    # ---------------------------------------------------------------- looking

    def _changed(self) -> None:
        options, path = self.form.checked(), self._path
        self._enable()
        if options is None or path is None:
            return
        known = self._acquired if self._same_reading(options) else None
        self._read_with = options
        self._row = 0
        self.status.setText("looking…")

        def work(stop: threading.Event) -> Iterator[Any]:
            return looks_at(stop, path, options, known)

        self.latest.ask(work)

    def _same_reading(self, options: ImportOptions) -> bool:
        before, now = self._read_with.model_dump(), options.model_dump()
        return all(before[name] == now[name] for name in now if name not in DECIDED_LATER)

    def _arrived(self, result: Found | Look) -> None:
        if isinstance(result, Found):
            self._acquired, self.found = result.acquired, result
            self.facts.setText(_table(result))
            self.banner.clear()
            if result.problem:
                self.banner.show_message("warning", result.problem)
        elif not result.title:
            self._show_picture(result)
        else:
            self._show_choice(result)
        self._enable()

    def _show_picture(self, look: Look) -> None:
        if look.picture is None:
            self.picture.setPixmap(QPixmap())
            self.status.setText("No picture under these options.")
            return
        self.picture.setPixmap(_pixmap(look.picture, LARGE))
        rows, columns = look.picture.shape
        self.status.setText(f"NuFFT of the first spokes, {rows} × {columns} pixels.")

    def _show_choice(self, look: Look) -> None:
        button = self.looks.get(look.title)
        if button is None:
            button = QToolButton()
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
            button.setIconSize(QSize(SMALL, SMALL))
            self._grid.addWidget(button, len(self.looks) // 3, len(self.looks) % 3)
            self.looks[look.title] = button
        else:
            button.clicked.disconnect()
        button.setText(look.title)
        button.setCheckable(True)
        button.setChecked(look.options == self._read_with)
        button.setEnabled(look.picture is not None)
        button.setIcon(QIcon() if look.picture is None else QIcon(_pixmap(look.picture, SMALL)))
        button.setToolTip(look.problem or f"Read the angles as: {look.title}.")
        button.clicked.connect(lambda _=False, options=look.options: self.form.set_options(options))

    def _failed(self, failed: Failed) -> None:
        self._acquired = self.found = None
        self.picture.setPixmap(QPixmap())
        self.status.setText("")
        self.banner.show_message("error", failed.message, failed.details)
        self._enable()

    def _rested(self) -> None:
        if self.status.text() == "looking…":
            self.status.setText("")

    # ---------------------------------------------------------------- using

    def _enable(self) -> None:
        ready = self.found is not None and self.found.kspace is not None and not self.form.problems
        self.use.setEnabled(ready)
        self.quality.setEnabled(self.found is not None and self.found.kspace is not None)

    def _show_quality(self) -> None:
        if self.found is None or self.found.kspace is None:
            return
        if self.window_of_quality is None:
            self.window_of_quality = QualityWindow(self)
        self.window_of_quality.show()
        self.window_of_quality.raise_()
        self.window_of_quality.measure(self.found.kspace, self.found.kspace.n_slices // 2)

    def _use(self) -> None:
        from napari_dainr.gui.widget import open_dock

        options, viewer, path = self.form.checked(), self._viewer, self._path
        if options is None or viewer is None or path is None:
            return
        dock = open_dock(viewer)
        known = dock.model.source
        source = replace(known, importing=options) if known is not None and known.path == path else None
        dock.session.load(source or Source(path=path, importing=options))
