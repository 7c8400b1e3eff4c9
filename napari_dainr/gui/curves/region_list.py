"""The list of regions: rename in place, role, lock, and the number of pixels."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import QPoint, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QMenu, QTableWidget, QTableWidgetItem

from napari_dainr.analysis.regions import ROLES, Region
from napari_dainr.gui.curves.icons import colour_icon
from napari_dainr.gui.curves.state import RegionState
from napari_dainr.gui.curves.style import region_colour

__all__ = ["RegionList"]

NAME, ROLE, LOCK, PIXELS = range(4)
ID = Qt.ItemDataRole.UserRole


class RegionList(QTableWidget):
    """One row per region, in the order of the layer.

    Signals
    -------
    menu_asked(QMenu, str)
        The menu of a region is about to open: add to it what needs the series.
    """

    menu_asked = Signal(QMenu, str)

    def __init__(self, state: RegionState) -> None:
        super().__init__(0, 4)
        self._state = state
        self._filling = False
        self.setHorizontalHeaderLabels(["Region", "Role", "Lock", "n"])
        tips = (
            "Double-click or F2 renames.", "Abbreviation of the role; the menu of a row changes it.",
            "A locked region cannot be moved, changed or deleted.", "Pixels whose centres lie in the region.",
        )  # fmt: skip
        for column, tip in enumerate(tips):
            item = self.horizontalHeaderItem(column)
            if item is not None:
                item.setToolTip(tip)
        header = self.horizontalHeader()
        if header is not None:
            header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
            for column, width in ((ROLE, 46), (LOCK, 38), (PIXELS, 40)):
                header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
                self.setColumnWidth(column, width)
        rows = self.verticalHeader()
        if rows is not None:
            rows.hide()
            rows.setDefaultSectionSize(24)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked | QAbstractItemView.EditTrigger.EditKeyPressed)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.setMinimumSize(216, 70)
        self.itemChanged.connect(self._edited)
        self.itemSelectionChanged.connect(self._chosen)
        self.customContextMenuRequested.connect(self._open_menu)

    def fill(self, regions: tuple[Region, ...], pixels: Mapping[str, str], remarks: Mapping[str, str]) -> None:
        """Show regions; ``pixels`` and ``remarks`` by id."""
        if self.state() == QAbstractItemView.State.EditingState:
            return  # never under the fingers of somebody who is typing a name
        self._filling = True
        self.setRowCount(len(regions))
        for row, region in enumerate(regions):
            remark = remarks.get(region.id, "")
            name = self._item(row, NAME, region.name + (" ⚠" if remark else ""))
            name.setData(ID, region.id)
            name.setIcon(colour_icon(region_colour(region, regions)))
            name.setToolTip(remark or f"{ROLES[region.role].title}, {region.kind}; double-click to rename.")
            flags = name.flags() | Qt.ItemFlag.ItemIsEditable
            name.setFlags(flags)
            role = self._item(row, ROLE, region.role)
            role.setToolTip(ROLES[region.role].title)
            lock = self._item(row, LOCK, "")
            lock.setFlags((lock.flags() | Qt.ItemFlag.ItemIsUserCheckable) & ~Qt.ItemFlag.ItemIsEditable)
            lock.setCheckState(Qt.CheckState.Checked if region.locked else Qt.CheckState.Unchecked)
            lock.setToolTip("Locked" if region.locked else "Not locked")
            count = self._item(row, PIXELS, pixels.get(region.id, ""))
            count.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            for item in (role, count):
                item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
            name.setForeground(QColor("#d9a441") if remark else role.foreground())
        self._filling = False
        self.show_selection()

    def _item(self, row: int, column: int, text: str) -> QTableWidgetItem:
        item = self.item(row, column)
        if item is None:
            item = QTableWidgetItem()
            self.setItem(row, column, item)
        item.setText(text)
        return item

    def show_selection(self) -> None:
        """Mark the region in hand."""
        self._filling = True
        for row in range(self.rowCount()):
            if self._id(row) == self._state.selection:
                self.selectRow(row)
                break
        else:
            self.clearSelection()
        self._filling = False

    def _id(self, row: int) -> str:
        item = self.item(row, NAME)
        return "" if item is None else str(item.data(ID) or "")

    def _rename(self, region_id: str) -> None:
        self._state.select(region_id)
        self.rename_selected()

    def rename_selected(self) -> None:
        """Begin to type another name."""
        for row in range(self.rowCount()):
            item = self.item(row, NAME)
            if item is not None and self._id(row) == self._state.selection:
                item.setText(item.text().removesuffix(" ⚠"))
                self.editItem(item)

    def _edited(self, item: QTableWidgetItem) -> None:
        if self._filling:
            return
        region_id = self._id(item.row())
        if item.column() == NAME:
            self._state.rename(region_id, item.text().removesuffix(" ⚠"))
        elif item.column() == LOCK:
            self._state.change(region_id, locked=item.checkState() == Qt.CheckState.Checked)

    def _chosen(self) -> None:
        if self._filling:
            return
        rows = {index.row() for index in self.selectedIndexes()}
        self._state.select(self._id(rows.pop()) if rows else "")

    def _open_menu(self, at: QPoint) -> None:
        item = self.itemAt(at)
        if item is not None:
            menu = self.menu_for(self._id(item.row()))
            menu.exec(self.mapToGlobal(at))
            menu.deleteLater()

    def menu_for(self, region_id: str) -> QMenu:
        """What can be done to a region."""
        state = self._state
        region = state.regions.get(region_id)
        menu = QMenu(self)
        if region is None:
            return menu

        def entry(into: QMenu, text: str, do: object, enabled: bool = True) -> None:
            action = into.addAction(text)
            if action is not None:
                action.setEnabled(enabled)
                action.triggered.connect(do)

        entry(menu, "Rename", lambda: self._rename(region_id))
        roles = QMenu("Role", menu)
        for role, facts in ROLES.items():
            entry(roles, facts.title, lambda _=False, role=role: state.set_role(region_id, role), role != region.role)
        menu.addMenu(roles)
        entry(menu, "Unlock" if region.locked else "Lock", lambda: state.change(region_id, locked=not region.locked))
        self.menu_asked.emit(menu, region_id)
        menu.addSeparator()
        entry(menu, "Delete", lambda: state.remove(region_id), not region.locked)
        return menu
