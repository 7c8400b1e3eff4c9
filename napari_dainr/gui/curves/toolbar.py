"""The row of tools above the curves."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import QBoxLayout, QCheckBox, QHBoxLayout, QLabel, QMenu, QSizePolicy, QToolButton, QWidget

from napari_dainr.analysis.curves import MODES
from napari_dainr.analysis.regions import ROLES
from napari_dainr.gui._parts import ComboBox
from napari_dainr.gui._settings import CurveSettings
from napari_dainr.gui.curves.icons import colour_icon, tool_icon

__all__ = ["TOOL_TIPS", "Toolbar"]

TOOL_TIPS = {
    "ellipse": "Ellipse: press and drag over the vessel; a click alone leaves a circle of 12 mm. Shift keeps it round.",
    "rectangle": "Rectangle: press and drag; a click alone leaves a square of 12 mm.",
    "polygon": "Polygon: click its corners; double-click, Enter or Esc closes it.",
    "freehand": "Freehand: press and draw around the tissue.",
    "voxel": "Single voxel: click it.",
    "threshold": "Threshold inside an ellipse: press and drag; only the pixels that enhance most are read.",
}
KEYS = "Alt+1 … Alt+6 draw an ellipse of the six roles."


class Toolbar(QWidget):
    """Tools, role, and what the plot shows.

    Signals
    -------
    tool_asked(str)
        Kind of region to draw; the same kind again lays the tool down.
    role_asked(str)
        Role of the next region, and of the selected one.
    """

    tool_asked = Signal(str)
    role_asked = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.tools: dict[str, QToolButton] = {}
        self._all = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self._all.setContentsMargins(0, 0, 0, 0)
        self._groups = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._all.addLayout(self._groups)
        row = self._group(self._groups)
        for kind, tip in TOOL_TIPS.items():
            button = self._button(tip)
            button.setCheckable(True)
            button.clicked.connect(lambda _=False, kind=kind: self.tool_asked.emit(kind))
            self.tools[kind] = button
            row.addWidget(button)
        roles = [(role, entry.title) for role, entry in ROLES.items()]
        self.role = ComboBox(roles, f"Role of the next region, with its colour and marker. {KEYS}")
        self.role.activated.connect(lambda _: self.role_asked.emit(str(self.role.currentData())))
        for number, entry in enumerate(ROLES.values()):
            self.role.setItemIcon(number, colour_icon(entry.colour))
        self.undo = self._button("Undo (Ctrl+Z while the regions are the active layer)")
        self.redo = self._button("Redo (Ctrl+Shift+Z)")
        self.mode = ComboBox(
            list(MODES.items()), "What the axis shows. Enhancement is relative to the baseline window."
        )
        self.statistic = ComboBox([("mean", "Mean"), ("median", "Median")], "Over the pixels of the region.")
        self.band = QCheckBox("± SD")
        self.band.setChecked(True)
        self.band.setToolTip(
            "Band of one standard deviation over the pixels: differences in tissue and noise together."
        )
        self.auto_baseline = QCheckBox("Auto baseline")
        self.auto_baseline.setChecked(True)
        self.auto_baseline.setToolTip(
            "Find the baseline window from the curves: from the first frame to the last one before any of them rises. "
            "Dragging the grey window in the plot sets it by hand."
        )
        self.series = self._menu_button("Series", "Which layers are read.")
        self.export = self._menu_button("Export", "Copy tables, save curves, figure and regions; load regions.")
        for widget in (self.role, self.undo, self.redo):
            row.addWidget(widget)
        shown = self._group(self._groups)
        shown.addWidget(QLabel("Show"))
        for widget in (self.mode, self.statistic):
            shown.addWidget(widget)
        self._groups.addStretch(1)
        last = self._group(self._all)
        for widget in (self.band, self.auto_baseline):
            last.addWidget(widget)
        last.addStretch(1)
        last.addWidget(self.series)
        last.addWidget(self.export)
        self._all.setStretch(1, 1)
        self.set_rows(1)
        for box, width in ((self.role, 142), (self.mode, 240), (self.statistic, 84)):
            box.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
            box.setFixedWidth(width)
        self.set_colours("#f0f1f2", "#3d48e5")

    @property
    def settings(self) -> CurveSettings:
        """What the plot is to show."""
        return CurveSettings(str(self.mode.currentData()), str(self.statistic.currentData()), self.band.isChecked())

    def put(self, settings: CurveSettings) -> None:
        """Show these settings."""
        self.mode.choose(settings.mode)
        self.statistic.choose(settings.statistic)
        self.band.setChecked(settings.band)

    def _group(self, of: QBoxLayout) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(3)
        row.setAlignment(Qt.AlignmentFlag.AlignLeft)
        of.addLayout(row)
        return row

    def set_rows(self, rows: int) -> None:
        """One row, or two or three where it is narrow."""
        below, beside = QBoxLayout.Direction.TopToBottom, QBoxLayout.Direction.LeftToRight
        for part, apart in ((self._all, rows > 1), (self._groups, rows > 2)):
            part.setDirection(below if apart else beside)
            part.setSpacing(3 if apart else 8)

    def _button(self, tip: str) -> QToolButton:
        button = QToolButton()
        button.setToolTip(tip)
        button.setIconSize(QSize(18, 18))
        button.setFixedSize(28, 26)
        return button

    def _menu_button(self, text: str, tip: str) -> QToolButton:
        button = QToolButton()
        button.setText(text + " ▾")
        button.setToolTip(tip)
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(button)
        menu.setToolTipsVisible(True)
        button.setMenu(menu)
        button.setStyleSheet("QToolButton::menu-indicator { image: none; width: 0px; }")
        return button

    def set_colours(self, text: str, marked: str) -> None:
        """Of the theme: icons in the colour of its text, the tool in hand on ``marked``."""
        self.setStyleSheet(f"QToolButton:checked {{ background-color: {marked}; border-radius: 3px; }}")
        for kind, button in self.tools.items():
            button.setIcon(tool_icon(kind, text))
        self.undo.setIcon(tool_icon("undo", text))
        self.redo.setIcon(tool_icon("redo", text))

    def show_armed(self, kind: str) -> None:
        """Mark the tool in hand."""
        for name, button in self.tools.items():
            button.setChecked(name == kind)

    def show_role(self, role: str) -> None:
        """Show a role without asking for it."""
        self.role.setCurrentIndex(max(0, self.role.findData(role)))
