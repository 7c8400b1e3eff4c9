"""The dock "DA-INR compare"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QDockWidget, QMainWindow, QPushButton, QVBoxLayout, QWidget

from napari_dainr import RESEARCH_USE
from napari_dainr.gui._dock import ScrollDock, find_or_open, window_is_there
from napari_dainr.gui._layers import run_folder_of
from napari_dainr.gui._model import Phase
from napari_dainr.gui._parts import Banner, Note, Section
from napari_dainr.gui._series_layers import is_derived
from napari_dainr.gui._session import Session
from napari_dainr.gui._shortcuts import bind, unbind
from napari_dainr.gui._time_layers import TimeLayers
from napari_dainr.gui.compare.derived import DerivedLayers
from napari_dainr.gui.compare.field import FieldSection
from napari_dainr.gui.compare.grid import GridView
from napari_dainr.gui.compare.layers import LayerList
from napari_dainr.gui.compare.measure import MeasureSection
from napari_dainr.gui.compare.parts import PartsSection
from napari_dainr.gui.compare.queue_section import QueueSection
from napari_dainr.gui.compare.render import RenderSection
from napari_dainr.gui.widget import find_dock, open_dock

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

__all__ = ["CompareDock", "open_compare"]


def _method(layer: Image) -> str:
    facts = layer.metadata.get("dainr")
    return str(facts.get("method", "")) if isinstance(facts, dict) else ""


class CompareDock(ScrollDock):
    """Queue, side by side, reference, parts, deformation, render: one column that scrolls."""

    NAME = "DA-INR compare"

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        inside = QWidget()
        self._session: Session | None = None
        self._placed = False
        self.banner = Banner()
        self.time_layers = TimeLayers(napari_viewer)
        derived = DerivedLayers(napari_viewer)
        self.queue = QueueSection(self._find_session, self._open_session)
        self.layers = LayerList(lambda layer: not is_derived(layer))
        self.grid = GridView(napari_viewer)
        self.grid_button = QPushButton("Side by side")
        self.grid_button.setCheckable(True)
        self.grid_button.setToolTip(
            "Show the layers with a check mark in a grid: one slider, one camera, one window. "
            "Pressed again, everything is as before. (Alt+S)"
        )
        self.measure = MeasureSection(napari_viewer, self.layers, derived, self.tell, lambda: not self._busy())
        self.parts = PartsSection(napari_viewer, derived, self.tell)
        self.field = FieldSection(napari_viewer, derived, self.tell)
        self.render_section = RenderSection(napari_viewer, self._find_session, self.tell)
        notice = Note(RESEARCH_USE)
        notice.setAlignment(Qt.AlignmentFlag.AlignCenter)

        compared = QWidget()
        rows = QVBoxLayout(compared)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(4)
        rows.addWidget(self.layers)
        rows.addWidget(self.grid_button)
        column = QVBoxLayout(inside)
        column.setContentsMargins(6, 6, 6, 6)
        column.setSpacing(6)
        column.addWidget(self.banner)
        self.sections = {
            "queue": Section("1  Run several methods", self.queue, is_open=True),
            "compared": Section("2  Layers to compare", compared, is_open=True),
            "measure": Section("3  Against a reference", self.measure, is_open=True),
            "render": Section("Render from the model", self.render_section, is_open=True),
            "parts": Section("Magnitude, phase, real, imaginary", self.parts),
            "field": Section("Deformation field", self.field),
        }
        for box in self.sections.values():
            column.addWidget(box)
        column.addWidget(notice)
        column.addStretch(1)
        self.setWidget(inside)

        self.grid_button.toggled.connect(self._toggle_grid)
        self.grid.toggled.connect(self._grid_toggled)
        self.time_layers.listed.connect(self._offer)
        self.time_layers.changed.connect(self.measure.soon)
        self._keys = {"Alt-S": self.grid_button.click, "Alt-Q": self.queue.run.click}
        bind(napari_viewer, self, self._keys)
        self._attach(self._find_session())
        self._offer()

    def tell(self, kind: str, sentence: str, details: str) -> None:
        """One sentence in the dock."""
        self.banner.show_message(kind, sentence, details)

    # ---------------------------------------------------------------- the reconstruction dock

    def _find_session(self) -> Session | None:
        dock = None if self._viewer is None else find_dock(self._viewer)
        return None if dock is None else dock.session

    def _open_session(self) -> Session | None:
        if self._viewer is None:
            return None
        self._attach(open_dock(self._viewer, in_front=False).session)  # this dock stays the one in front
        return self._session

    def _attach(self, session: Session | None) -> None:
        """Follow the session of the reconstruction dock; it is another one when that dock was opened again."""
        if session is not self._session:
            if self._session is not None:
                self._session.model.phase_changed.disconnect(self._follow_phase)
            self._session = session
            if session is not None:
                session.model.phase_changed.connect(self._follow_phase)
        self.queue.attach(session)
        self.render_section.refresh()

    def _busy(self) -> bool:
        return self._session is not None and self._session.model.busy

    def _follow_phase(self, phase: Phase) -> None:
        self.render_section.follow_phase(phase)
        if phase in (Phase.DONE, Phase.FAILED):
            # The layer has its run folder by now, and the table may be wrong.
            QTimer.singleShot(0, self._offer)
            self.measure.soon()

    def showEvent(self, event: QShowEvent | None) -> None:
        """The first time, share the place of the reconstruction dock: beside it there is no room for both."""
        super().showEvent(event)
        self._attach(self._find_session())
        if not self._placed:
            self._placed = True
            QTimer.singleShot(0, self._share_place)

    def _share_place(self) -> None:
        other = None if self._viewer is None else find_dock(self._viewer)
        mine, window = self._frame(self), self.window()
        theirs = None if other is None else self._frame(other)
        if mine is None or theirs is None or not isinstance(window, QMainWindow) or mine.isFloating():
            return
        if window.dockWidgetArea(mine) == window.dockWidgetArea(theirs) and not theirs.isFloating():
            window.tabifyDockWidget(theirs, mine)
            mine.raise_()

    @staticmethod
    def _frame(widget: QWidget) -> QDockWidget | None:
        parent = widget.parentWidget()
        while parent is not None and not isinstance(parent, QDockWidget):
            parent = parent.parentWidget()
        return parent

    # ---------------------------------------------------------------- layers

    def _offer(self) -> None:
        if self._viewer is None:
            return
        self._attach(self._find_session())
        layers = self.time_layers.layers
        results = [layer for layer in layers if run_folder_of(layer) is not None]
        newest = results[0] if results else None
        fields = [layer for layer in results if _method(layer) == "dainr"]
        self.layers.offer(layers)
        self.measure.truth.offer(layers)
        self.parts.source.offer(results, prefer=newest)
        self.field.source.offer(fields, prefer=fields[0] if fields else None)
        self.render_section.source.offer(results, prefer=fields[0] if fields else newest)

    def _toggle_grid(self, on: bool) -> None:
        if on and not self.grid.active:
            layers = self.layers.checked
            same = [layer for layer in layers if _method(layer)] or layers[:1]
            self.grid.enter(layers, same)
            if not self.grid.active:
                self.grid_button.setChecked(False)
                self.tell("warning", "Give at least one layer a check mark.", "")
        elif not on:
            self.grid.leave()

    def _grid_toggled(self, on: bool) -> None:
        self.grid_button.setChecked(on)
        self.grid_button.setText("Back to one picture" if on else "Side by side")

    def left(self, viewer: napari.viewer.Viewer) -> None:
        """Closed: what is at work ends, the grid is as before, results stay."""
        self.time_layers.close()
        if self._session is not None:
            self._session.model.phase_changed.disconnect(self._follow_phase)
            self._session = None
        for part in (self.measure, self.parts, self.field, self.render_section, self.queue):
            part.leave()
        if window_is_there(viewer):
            self.grid.leave()
            unbind(viewer, self._keys)
        else:
            self.grid.forget()


def open_compare(viewer: napari.viewer.Viewer) -> CompareDock:
    """The compare dock of this viewer, opened if it is not there and shown if it is hidden."""
    return find_or_open(viewer, CompareDock)
