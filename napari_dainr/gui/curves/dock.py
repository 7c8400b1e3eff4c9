"""The dock "Regions and curves"."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QKeySequence, QResizeEvent, QShortcut
from qtpy.QtWidgets import QLabel, QMenu, QSplitter, QVBoxLayout, QWidget

from napari_dainr import RESEARCH_USE
from napari_dainr.analysis.curves import MODES
from napari_dainr.analysis.regions import ROLES, RegionSet
from napari_dainr.gui._dock import BottomDock
from napari_dainr.gui._parts import Banner
from napari_dainr.gui._settings import CurveSettings, keep, kept
from napari_dainr.gui._shortcuts import bind, unbind
from napari_dainr.gui.curves.drawn import Drawn, LegendEntry
from napari_dainr.gui.curves.figure import FigurePlan
from napari_dainr.gui.curves.files import CurveFiles
from napari_dainr.gui.curves.label_colours import LabelColours
from napari_dainr.gui.curves.layer import RegionLayer
from napari_dainr.gui.curves.marks import Marks
from napari_dainr.gui.curves.plot import EMPTY, CurvePlot
from napari_dainr.gui.curves.present import View, curve_entries, drawn_curves, facts_of, legend_of
from napari_dainr.gui.curves.reader import CurveReader
from napari_dainr.gui.curves.reading import Look, look_at
from napari_dainr.gui.curves.region_list import RegionList
from napari_dainr.gui.curves.region_menu import add_entries
from napari_dainr.gui.curves.state import RegionState
from napari_dainr.gui.curves.tables import Tables
from napari_dainr.gui.curves.time_link import TimeLink
from napari_dainr.gui.curves.toolbar import Toolbar
from napari_dainr.io.curves import CurveEntry, QuantityEntry

if TYPE_CHECKING:
    import napari

__all__ = ["CurvesDock"]

NARROW_PX, WIDE_PX = 860, 1090
"""Below the first, list, plot and tables lie below each other; below the second, the tools take two rows."""
BESIDE_PX = [240, 600, 440]
NO_SERIES = (
    "There is no series yet. Reconstruct one, open the sample “Radial k-space, liver with contrast agent”,\n"
    "or add any image layer with axes (t, y, x)."
)
KEYS = {"Control-Z": "undo", "Control-Shift-Z": "redo", "Control-D": "duplicate", "Control-L": "lock", "F2": "rename"}
"""While the regions are the active layer; napari binds none of them there."""


class CurvesDock(BottomDock):
    """Regions on the left, their curves in the middle, quantities and phases on the right."""

    NAME = "Regions and curves"

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.state = RegionState()
        self.regions = RegionLayer(napari_viewer, self.state)
        self.reader = CurveReader(napari_viewer, self.state, self.regions)
        self.banner = Banner()
        self.toolbar = Toolbar()
        self.toolbar.put(kept(CurveSettings))
        self.list = RegionList(self.state)
        self.plot = CurvePlot()
        self.tables = Tables()
        self.note = QLabel()
        self.note.setMinimumWidth(100)
        self.legend: list[LegendEntry] = []
        self._drawn: list[Drawn] = []
        self._facts = ""
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.setWidget(self._inside())
        self.files = CurveFiles(self)
        self.marks = Marks(
            self.state, self.reader, self.plot, self.tables, self.toolbar, self.first_look, lambda: self.view, self.tell
        )
        self.label_colours = LabelColours(napari_viewer, lambda: self.regions.layer)
        self.time_link = TimeLink(napari_viewer, self.plot, self.first_look)
        self._connect(napari_viewer)
        self.regions.take_existing()
        self._follow_theme()
        self._regions_changed()
        self._series_listed()
        self.time_link.follow()

    def _inside(self) -> QWidget:
        parts = self.parts = QSplitter(Qt.Orientation.Horizontal)
        parts.setChildrenCollapsible(True)
        for number, (widget, stretch) in enumerate(((self.list, 0), (self.plot, 3), (self.tables, 2))):
            parts.addWidget(widget)
            parts.setStretchFactor(number, stretch)
            parts.setCollapsible(number, number != 1)
        parts.setSizes(BESIDE_PX)
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(6, 4, 6, 4)
        column.setSpacing(4)
        for widget in (self.banner, self.toolbar):
            column.addWidget(widget)
        column.addWidget(parts, 1)
        column.addWidget(self.note)
        return inside

    def sizeHint(self) -> QSize:
        return QSize(1100, 330)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        width = self.width()
        narrow = width < NARROW_PX
        self.toolbar.set_rows(3 if narrow else 2 if width < WIDE_PX else 1)
        self.note.setWordWrap(narrow)
        orientation = Qt.Orientation.Vertical if narrow else Qt.Orientation.Horizontal
        if orientation != self.parts.orientation():
            self.parts.setOrientation(orientation)
            self.parts.setSizes([110, 260, 220] if narrow else BESIDE_PX)

    def minimumSizeHint(self) -> QSize:
        return QSize(360, 150)

    def _connect(self, viewer: napari.viewer.Viewer) -> None:
        bar, state = self.toolbar, self.state
        bar.tool_asked.connect(self.use_tool)
        bar.role_asked.connect(self.set_role)
        bar.undo.clicked.connect(lambda _=False: self.undo())
        bar.redo.clicked.connect(lambda _=False: self.redo())
        for changed in (bar.mode.currentIndexChanged, bar.statistic.currentIndexChanged, bar.band.toggled):
            changed.connect(lambda _: self._look_changed())
        self.list.menu_asked.connect(self._more_for_region)
        self.plot.read_out.connect(self._show_note)
        state.changed.connect(self._regions_changed)
        state.selected.connect(self._selected)
        self.regions.armed_changed.connect(bar.show_armed)
        self.regions.armed_changed.connect(self._show_hint)
        self.regions.armed_changed.connect(self._show_role)
        self.regions.told.connect(lambda text: self.tell("warning", text))
        self.reader.read.connect(self._show_curves)
        self.reader.listed.connect(self._series_listed)
        self.reader.failed.connect(lambda failed: self.tell("error", failed.message, failed.details))
        viewer.events.theme.connect(self._follow_theme)
        self._keys = {f"Alt-{number}": partial(self.draw_role, role) for number, role in enumerate(ROLES, 1)}
        bind(viewer, self, self._keys)
        copy = QShortcut(QKeySequence(QKeySequence.StandardKey.Copy), self.tables.quantities)
        copy.setContext(Qt.ShortcutContext.WidgetShortcut)
        copy.activated.connect(self.files.copy_quantities)
        self.regions.keys = {key: getattr(self, name) for key, name in KEYS.items()}

    def left(self, viewer: napari.viewer.Viewer) -> None:
        """Let go of the viewer; the layer of regions stays in it."""
        self.time_link.close()
        self.label_colours.close()
        viewer.events.theme.disconnect(self._follow_theme)
        unbind(viewer, self._keys)
        self.files.close()
        self.reader.close()
        self.regions.close()
        self.marks.close()

    def tell(self, kind: str, text: str, details: str = "") -> None:
        """Show one sentence; ``kind`` is error, warning or info."""
        if self._viewer is not None:
            self.banner.show_message(kind, text, details)

    # ---------------------------------------------------------------- what the user asks for

    def use_tool(self, kind: str) -> None:
        """Take a tool in hand, or lay it down if it is in hand already."""
        if self.regions.armed == kind:
            self.regions.disarm()
            return
        layer = self.reader.first_layer()
        if layer is None:
            self.toolbar.show_armed("")
            self.tell("warning", "There is no series to draw on: open or reconstruct one with axes (t, y, x) first.")
            return
        self.banner.clear()
        self.state.on(look_at(layer).geometry)
        self.regions.arm(kind, layer)

    def draw_role(self, role: str) -> None:
        """Draw an ellipse of a role."""
        self.state.next_role = role
        self.toolbar.show_role(role)
        self.regions.disarm()
        self.use_tool("ellipse")

    def set_role(self, role: str) -> None:
        """The role of what is drawn next; while no tool is in hand, also of the selected region."""
        self.state.next_role = role
        if not self.regions.armed and self.state.selection:
            self.state.set_role(self.state.selection, role)
        self.regions.refresh_defaults()

    def undo(self, *_: object) -> None:
        """One step back."""
        if self.state.can_undo and self.regions.layer is None and (layer := self.reader.first_layer()) is not None:
            self.regions.ensure(layer)
        self.state.undo()

    def redo(self, *_: object) -> None:
        """One step forth."""
        self.state.redo()

    def duplicate(self, *_: object) -> None:
        """Another region like the selected one, a little aside."""
        look = self.first_look()
        if look is not None and self.state.selection:
            self.state.duplicate(self.state.selection, (3 * look.geometry.pixel_mm[0], 3 * look.geometry.pixel_mm[1]))

    def lock(self, *_: object) -> None:
        """Lock or unlock the selected region."""
        region = self.state.regions.get(self.state.selection)
        if region is not None:
            self.state.change(region.id, locked=not region.locked)

    def rename(self, *_: object) -> None:
        """Type another name for the selected region."""
        self.list.setFocus()
        self.list.rename_selected()

    def add_regions(self, regions: RegionSet) -> None:
        """Add regions; those with an id that is there are replaced. What was set by hand for them comes with them."""
        layer = self.reader.first_layer()
        if layer is None:
            return
        self.regions.ensure(layer)
        together = self.state.regions
        for region in regions:
            together = together.put(region)
        by_hand = {key: value for key in ("baseline_s", "phases") if (value := getattr(regions, key)) is not None}
        self.state.set(replace(together, **by_hand))

    # ---------------------------------------------------------------- regions

    def _regions_changed(self) -> None:
        self.toolbar.undo.setEnabled(self.state.can_undo)
        self.toolbar.redo.setEnabled(self.state.can_redo)
        self._show_role()
        self.reader.ask()

    def _selected(self, _: str) -> None:
        self._show_role()
        self.list.show_selection()

    def _show_role(self, *_: object) -> None:
        """Of what is drawn next while a tool is in hand, else of the selected region."""
        region = None if self.regions.armed else self.state.regions.get(self.state.selection)
        self.toolbar.show_role(self.state.next_role if region is None else region.role)

    def _more_for_region(self, menu: QMenu, region_id: str) -> None:
        def duplicate() -> None:
            self.state.select(region_id)
            self.duplicate()

        add_entries(menu, region_id, self.state, self.reader.looks(), duplicate)

    # ---------------------------------------------------------------- series and curves

    def first_look(self) -> Look | None:
        """The series that counts where one is needed: the first that is shown and is not the reference."""
        looks = self.reader.looks()
        return next((look for look in looks if not look.is_reference), looks[0] if looks else None)

    @property
    def baseline_s(self) -> tuple[float, float] | None:
        """Baseline window, seconds."""
        return self.reader.baseline_s

    def _series_listed(self) -> None:
        menu = self.toolbar.series.menu()
        assert menu is not None
        menu.clear()
        for key, title, shown in self.reader.choices():
            action = menu.addAction(title)
            if action is not None:
                action.setCheckable(True)
                action.setChecked(shown)
                action.toggled.connect(lambda on, key=key: self.reader.choose(key, on))
        self._show_hint()

    def _show_hint(self, *_: object) -> None:
        if not self.reader.choices():
            self.plot.set_hint(NO_SERIES)
        elif self.regions.armed:
            self.plot.set_hint(f"Now in the picture. {self.toolbar.tools[self.regions.armed].toolTip()}")
        else:
            self.plot.set_hint(EMPTY)

    @property
    def view(self) -> View:
        """What the user chose to see."""
        bar = self.toolbar
        return View(str(bar.mode.currentData()), str(bar.statistic.currentData()), self.baseline_s)

    def _look_changed(self) -> None:
        keep(CurveSettings, **vars(self.toolbar.settings))
        self._show_curves()

    def _show_curves(self) -> None:
        """Draw what was read; tables follow a moment later."""
        readings, looks, view = self.reader.readings, self.reader.looks(), self.view
        regions = self.reader.regions.regions
        remarks, pixels = dict[str, str](), dict[str, str]()
        for reading in readings:
            if reading.remark:
                remarks.setdefault(reading.region.id, reading.remark)
            pixels.setdefault(reading.region.id, "0" if reading.curve is None else str(reading.curve.n))
        self._drawn = drawn_curves(readings, regions, looks, view)
        self.legend = legend_of(readings, regions, looks)
        x_label = "time (s)" if all(look.timed for look in looks) else "first axis (its unit is no time)"
        y_label = MODES[view.mode] + (", median" if view.statistic == "median" else "")
        band = self.toolbar.band.isChecked()
        self.plot.set_curves(self._drawn, labels=(x_label, y_label), legend=self.legend, band=band)
        self.plot.set_baseline(self.baseline_s)
        self.list.fill(regions, pixels, remarks)
        by_hand = self.state.regions.baseline_s is not None
        self._facts = facts_of(looks, self.baseline_s if self._drawn else None, by_hand)
        self._show_note("")
        self.marks.ask()

    def _show_note(self, read_out: str) -> None:
        self.note.setText(read_out or " · ".join(part for part in (self._facts, RESEARCH_USE) if part))

    # ---------------------------------------------------------------- tables, phases, figure

    def curve_entries(self) -> list[CurveEntry]:
        """All curves, for a table."""
        return curve_entries(self.reader.readings, self.view)

    def quantity_entries(self) -> list[QuantityEntry]:
        """Quantities of all curves, for a table."""
        return self.marks.entries()

    def figure_plan(self) -> FigurePlan:
        """What a figure shows, as it is now."""
        mode, marks = self.view.mode, self.marks
        by_hand = marks.arrivals_by_hand
        facts = self._facts + " · triangles: bolus arrival set by hand" * bool(by_hand)
        note = f"Contrast phases: {marks.phase_note[:1].lower()}{marks.phase_note[1:]}" if marks.phase_note else ""
        return FigurePlan(
            tuple(self._drawn), self.plot.labels, tuple(self.legend), self.toolbar.band.isChecked(),
            self.plot.limits, marks.phases, None if mode == "signal" else self.baseline_s, facts, note, by_hand,
        )  # fmt: skip

    # ---------------------------------------------------------------- theme

    def _follow_theme(self, *_: object) -> None:
        if self._viewer is None:
            return
        from napari.utils.theme import get_theme

        theme = get_theme(self._viewer.theme)
        background, text = theme.background.as_hex("long"), theme.text.as_hex("long")
        self.plot.set_colours(background, text)
        self.toolbar.set_colours(text, theme.current.as_hex("long"))
