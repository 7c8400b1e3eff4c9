"""The dock "DA-INR reconstruction"."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QVBoxLayout, QWidget

from napari_dainr import RESEARCH_USE
from napari_dainr.gui._dock import ScrollDock, find, find_or_open, theme_colours
from napari_dainr.gui._model import Phase, Source
from napari_dainr.gui._parts import Banner, Note, Section
from napari_dainr.gui._run_panel import KEYS, RunPanel
from napari_dainr.gui._sections import DataSection, ReconstructionSection
from napari_dainr.gui._session import Session
from napari_dainr.gui._shortcuts import bind, unbind
from napari_dainr.io import KSPACE_SUFFIXES
from napari_dainr.io.export_formats import dialog_filter, with_suffix

if TYPE_CHECKING:
    import napari

__all__ = ["ReconstructionDock", "find_dock", "open_dock"]

FILE_FILTER = f"Raw k-space ({' '.join(f'*{suffix}' for suffix in KSPACE_SUFFIXES)});;All files (*)"


class ReconstructionDock(ScrollDock):
    """Everything from the file to the series, in one column that scrolls; what starts and saves it stays below."""

    NAME = "DA-INR reconstruction"

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.session = Session(napari_viewer)
        self.model = self.session.model
        self.banner = Banner()
        self.data = DataSection(self.model)
        self.reconstruction = ReconstructionSection(self.model)
        self.run_panel = RunPanel(napari_viewer, self.model, self.session)
        notice = Note(RESEARCH_USE)
        notice.setAlignment(Qt.AlignmentFlag.AlignCenter)

        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(6, 6, 6, 6)
        column.setSpacing(6)
        column.addWidget(self.banner)
        column.addWidget(Section("1  Data", self.data, is_open=True))
        column.addWidget(Section("2  Reconstruction", self.reconstruction, is_open=True))
        column.addWidget(self.run_panel)
        column.addWidget(notice)
        column.addStretch(1)
        self.setWidget(inside)
        self.pin(self.run_panel.actions)

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
        self._keys = {KEYS[name]: button.click for name, button in self.run_panel.buttons.items()}
        bind(napari_viewer, self, self._keys)
        self._follow_theme()
        self._follow_phase(self.model.phase)

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
        if self._viewer is not None:
            self.run_panel.set_colours(*theme_colours(self._viewer))

    @property
    def at_work(self) -> bool:
        """Until the result of a fit that was stopped has reached its layer."""
        return self.model.busy

    def left(self, viewer: napari.viewer.Viewer) -> None:
        """Closed: a fit stops and its result still reaches its layer; where the viewer is gone, all is dropped."""
        viewer.events.theme.disconnect(self._follow_theme)
        unbind(viewer, self._keys)
        self.session.leave()
        self.run_panel.leave()

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
        name, kind = QFileDialog.getSaveFileName(self, "Export series", "series.gif", dialog_filter())
        if name:
            self.session.export(Path(with_suffix(name, kind)))


def find_dock(viewer: napari.viewer.Viewer) -> ReconstructionDock | None:
    """The dock of this viewer, however it was opened."""
    return find(viewer, ReconstructionDock)


def open_dock(viewer: napari.viewer.Viewer, in_front: bool = True) -> ReconstructionDock:
    """The dock of this viewer, opened if it is not there and shown if it is hidden."""
    return find_or_open(viewer, ReconstructionDock, in_front)
