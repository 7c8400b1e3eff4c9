"""The dock "DA-INR reconstruction"."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QSize, Qt, QTimer
from qtpy.QtGui import QHideEvent
from qtpy.QtWidgets import QFileDialog, QFrame, QScrollArea, QVBoxLayout, QWidget

from napari_dainr import RESEARCH_USE
from napari_dainr.gui._model import Phase, Source
from napari_dainr.gui._parts import Banner, Note, section
from napari_dainr.gui._run_panel import RunPanel
from napari_dainr.gui._sections import DataSection, ReconstructionSection
from napari_dainr.gui._session import Session

if TYPE_CHECKING:
    import napari

__all__ = ["DOCK_NAME", "ReconstructionDock", "find_dock", "open_dock"]

DOCK_NAME = "DA-INR reconstruction"
FILE_FILTER = "ISMRMRD k-space (*.h5 *.hdf5 *.mrd);;All files (*)"
EXPORT_FILTER = "GIF (*.gif);;MP4 (*.mp4);;NIfTI (*.nii.gz);;TIFF (*.tif);;NumPy (*.npy);;NumPy archive (*.npz)"


class ReconstructionDock(QScrollArea):
    """Everything from the file to the series, in one column that scrolls."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer: napari.viewer.Viewer | None = napari_viewer
        self.session = Session(napari_viewer)
        self.model = self.session.model
        self.banner = Banner()
        self.data = DataSection(self.model)
        self.reconstruction = ReconstructionSection(self.model)
        self.run_panel = RunPanel(self.model, self.session)
        notice = Note(RESEARCH_USE)
        notice.setAlignment(Qt.AlignmentFlag.AlignCenter)

        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(6, 6, 6, 6)
        column.setSpacing(6)
        column.addWidget(self.banner)
        column.addWidget(section("1  Data", self.data, open_=True))
        column.addWidget(section("2  Reconstruction", self.reconstruction, open_=True))
        column.addWidget(self.run_panel)
        column.addWidget(notice)
        column.addStretch(1)
        self.setWidget(inside)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

        self.data.open_button.clicked.connect(self._ask_for_file)
        for name, action in self.data.sample_actions.items():
            action.triggered.connect(lambda _=False, name=name: self.session.load(Source(sample=name)))
        self.data.import_button.clicked.connect(self._show_import)
        self.run_panel.buttons["save_recipe"].clicked.connect(self._ask_save_recipe)
        self.run_panel.buttons["save_run"].clicked.connect(self._ask_save_run)
        self.run_panel.buttons["export"].clicked.connect(self._ask_export)
        self.session.told.connect(self.banner.show_message)
        self.session.run_began.connect(self.banner.clear)
        self.model.phase_changed.connect(self._follow_phase)
        self.destroyed.connect(self.session.abandon)
        napari_viewer.events.theme.connect(self._follow_theme)
        self._follow_theme()
        self._follow_phase(self.model.phase)

    def sizeHint(self) -> QSize:
        """As wide as it needs to be, so that the picture keeps the room on a small screen."""
        return QSize(max(400, self.minimumSizeHint().width()), 720)

    def minimumSizeHint(self) -> QSize:
        """Never narrower than what is inside and its scroll bar: nothing is cut off."""
        inside, bar = self.widget(), self.verticalScrollBar()
        width = 360 if inside is None or bar is None else inside.minimumSizeHint().width() + bar.sizeHint().width()
        return QSize(width, 200)

    def open_path(self, path: Path) -> bool:
        """Load a k-space file and take a first look; False (with a banner) while a fit runs."""
        return self.session.load(Source(path=path))

    def _follow_phase(self, phase: Phase) -> None:
        self.data.refresh_phase(phase)
        if phase is Phase.LOADING:
            self.banner.clear()
        self.reconstruction.set_editable(not self.model.busy)
        self.data.slice.setEnabled(not self.model.busy)

    def _follow_theme(self, *_: object) -> None:
        if self._viewer is None:
            return
        from napari.utils.theme import get_theme

        theme = get_theme(self._viewer.theme)
        self.run_panel.plot.set_colours(theme.background.as_hex("long"), theme.text.as_hex("long"))

    def event(self, event: QEvent | None) -> bool:
        """A dock that is closed also loses its parent, whether it was visible or not."""
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            QTimer.singleShot(0, self._after_hiding)
        handled: bool = super().event(event)
        return handled

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Hiding changes nothing; closing the dock looks the same to Qt, so look a moment later which it was."""
        super().hideEvent(event)
        QTimer.singleShot(0, self._after_hiding)

    def _after_hiding(self) -> None:
        viewer = self._viewer
        if viewer is None:
            return
        try:
            closed = self not in list(viewer.window.dock_widgets.values())
        except (AttributeError, RuntimeError):  # the whole window is going
            closed = True
        if closed:
            viewer.events.theme.disconnect(self._follow_theme)
            self._viewer = None
            self.session.leave()

    def _show_import(self) -> None:
        from napari_dainr.gui.importing.commands import show_import

        show_import(self.session.asked)

    def _ask_for_file(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Open radial k-space", "", FILE_FILTER)
        if name:
            self.open_path(Path(name))

    def _ask_save_recipe(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save recipe", "recipe.json", "Recipe (*.json)")
        if name:
            self.session.save_recipe(Path(name))

    def _ask_save_run(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save run as a new folder", "run")
        if name:
            self.session.save_run(Path(name))

    def _ask_export(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Export series", "series.gif", EXPORT_FILTER)
        if name:
            self.session.export(Path(name))


def find_dock(viewer: napari.viewer.Viewer) -> ReconstructionDock | None:
    """The dock of this viewer, however it was opened (its name depends on that)."""
    for widget in viewer.window.dock_widgets.values():
        if isinstance(widget, ReconstructionDock):
            return widget
    return None


def open_dock(viewer: napari.viewer.Viewer) -> ReconstructionDock:
    """The dock of this viewer, opened if it is not there and shown if it is hidden."""
    dock = find_dock(viewer)
    if dock is None:
        dock = ReconstructionDock(viewer)
        viewer.window.add_dock_widget(dock, name=DOCK_NAME, area="right")
    frame = dock.parentWidget()
    if frame is not None:
        frame.show()
        frame.raise_()
    return dock
