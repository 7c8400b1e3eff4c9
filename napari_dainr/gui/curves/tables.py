"""Quantities per region and reconstruction, and the contrast phases that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, nan

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from napari_dainr.analysis.phases import AGENTS, Phase, with_start
from napari_dainr.analysis.quantities import ONSETS, QUANTITIES, Quantity, shown
from napari_dainr.errors import InputError
from napari_dainr.gui._parts import ComboBox, DoubleSpinBox, Note
from napari_dainr.gui.curves.present import short
from napari_dainr.io.curves import QuantityEntry

__all__ = ["QuantityTable", "Tables"]

_BY_KEY = {quantity.key: quantity for quantity in QUANTITIES}
_FIRST = ("bolus_arrival_time_s", "", "time_to_peak_s", "peak_relative_enhancement")
COLUMNS: tuple[Quantity | None, ...] = (
    *(_BY_KEY.get(key) for key in _FIRST),
    *(quantity for quantity in QUANTITIES if quantity.key not in _FIRST),
)
"""What is looked at most comes first; None is how the bolus arrival was found."""
ARRIVAL, METHOD = 3, 4
"""Columns of the bolus arrival time and of its method."""
_ONSET_NAMES = {"intersection": "Intersection", "threshold": "Baseline + 3 SD"}
_METHODS = {ONSETS[key].partition(" (")[0]: name.lower() for key, name in _ONSET_NAMES.items()}
"""How an onset was found, as a table of quantities begins to say it → a word for a narrow column."""


LEAST_PX = 54
"""Of a table: a heading and a row. A dock that is lower scrolls."""


def _quiet(table: QTableWidget, row_px: int = 23) -> None:
    rows = table.verticalHeader()
    if rows is not None:
        rows.hide()
        rows.setDefaultSectionSize(row_px)


class QuantityTable(QTableWidget):
    """Rows (region, reconstruction); columns by their OSIPI names. A bolus arrival time can be typed over.

    Signals
    -------
    arrival_typed(int, object)
        Row, and the bolus arrival time in seconds; None to have it found.
    refused(str)
        One sentence about a time that cannot be.
    """

    arrival_typed = Signal(int, object)
    refused = Signal(str)

    def __init__(self) -> None:
        super().__init__(0, 3 + len(COLUMNS))
        titles = ["Method" if q is None else f"{q.symbol} ({q.unit})" for q in COLUMNS]
        self.setHorizontalHeaderLabels(["Region", "Series", "n", *titles])
        for number, quantity in enumerate(COLUMNS):
            item = self.horizontalHeaderItem(3 + number)
            if item is not None and quantity is None:
                item.setToolTip("How the bolus arrival was found, or that it was set by hand.")
            elif item is not None and quantity is not None:
                more = " Double-click a time to type another; empty has it found again." * (3 + number == ARRIVAL)
                item.setToolTip(f"{quantity.title} ({quantity.code}): {quantity.meaning}{more}")
        self.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked | QAbstractItemView.EditTrigger.EditKeyPressed)
        self._filling = False
        self.itemChanged.connect(self._changed)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        _quiet(self)

    def fill(self, entries: Sequence[QuantityEntry]) -> None:
        """Show these rows."""
        if self.state() == QAbstractItemView.State.EditingState:
            return  # never under the fingers of somebody who is typing a time
        self._filling = True
        fewer = self.rowCount() != len(entries)
        self.setRowCount(len(entries))
        for row, entry in enumerate(entries):
            found = entry.quantities
            how = found.onset_method.partition(" (")[0]
            method = shown(None) if found.bolus_arrival_time_s is None else _METHODS.get(how, how)
            values = [method if q is None else shown(getattr(found, q.key)) for q in COLUMNS]
            for column, text in enumerate([entry.roi, short(entry.recon), str(entry.n), *values]):
                item = self.item(row, column)
                if item is None:
                    item = QTableWidgetItem()
                    self.setItem(row, column, item)
                item.setText("–" if text == "not defined" else text)
                quantity = COLUMNS[column - 3] if column > 2 else None
                key = "bolus_arrival_time_s" if column == METHOD else quantity.key if quantity is not None else ""
                item.setToolTip(self._tip(entry, key, text))
                if column != ARRIVAL:
                    item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
                if column > 1 and column != METHOD:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._filling = False
        several = len({entry.recon for entry in entries}) > 1
        if several == self.isColumnHidden(1):
            self.setColumnHidden(1, not several)
            fewer = True
        if entries and fewer:
            self.resizeColumnsToContents()
            self.setColumnWidth(1, min(170, self.columnWidth(1)))
            words = self.fontMetrics().horizontalAdvance(max(_METHODS.values(), key=len))
            self.setColumnWidth(METHOD, max(self.columnWidth(METHOD), words + 14))

    def _changed(self, item: QTableWidgetItem) -> None:
        if self._filling or item.column() != ARRIVAL:
            return
        text = item.text().strip().removesuffix("s").strip().replace(",", ".")
        if text in ("", "–"):
            self.arrival_typed.emit(item.row(), None)
            return
        try:
            time_s = float(text)
        except ValueError:
            time_s = nan
        if not isfinite(time_s):
            self.refused.emit(f"Bolus arrival: {text!r} is no time; type seconds, or nothing to have it found.")
            return
        self.arrival_typed.emit(item.row(), time_s)

    def _tip(self, entry: QuantityEntry, key: str, text: str) -> str:
        found = entry.quantities
        if text == "not defined":
            return "Not defined for this curve." + " Double-click to type a time." * (key == "bolus_arrival_time_s")
        if key == "bolus_arrival_time_s":
            return (
                f"{shown(found.bolus_arrival_time_s)} s from the first spoke, as on the axis; {found.onset_method}. "
                f"Native temporal resolution {found.frame_duration_s:.3g} s."
            )
        if key in ("auc", "auc_relative") and found.auc_from_s is not None and found.auc_to_s is not None:
            return f"From {found.auc_from_s:.2f} s to {found.auc_to_s:.2f} s."
        if key == "baseline":
            return "Mean from {:.2f} s to {:.2f} s.".format(*found.baseline_window_s)
        if key:
            return f"Native temporal resolution {found.frame_duration_s:.3g} s."
        return text


class PhaseTable(QTableWidget):
    """Name and start of each phase; both can be changed.

    Signals
    -------
    edited(list)
        The phases as the user wants them.
    refused(str)
        One sentence about a start that cannot be.
    """

    edited = Signal(list)
    refused = Signal(str)

    def __init__(self) -> None:
        super().__init__(0, 3)
        self.setHorizontalHeaderLabels(["Phase", "From (s)", "To (s)"])
        header = self.horizontalHeader()
        if header is not None:
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.setColumnWidth(1, 70)
        self.setColumnWidth(2, 70)
        _quiet(self)
        self._phases: list[Phase] = []
        self._filling = False
        self.itemChanged.connect(self._changed)

    def fill(self, phases: Sequence[Phase]) -> None:
        """Show these phases."""
        if self.state() == QAbstractItemView.State.EditingState:
            return
        self._filling = True
        self._phases = list(phases)
        self.setRowCount(len(phases))
        for row, phase in enumerate(phases):
            for column, text in enumerate((phase.name, f"{phase.start_s:.1f}", f"{phase.end_s:.1f}")):
                item = QTableWidgetItem(text)
                if column == 2 or (column == 1 and row == 0):
                    item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
                    item.setToolTip("Follows from the phase beside it.")
                self.setItem(row, column, item)
        self._filling = False

    def _changed(self, item: QTableWidgetItem) -> None:
        if self._filling:
            return
        try:
            phases = self._with(item.row(), item.column(), item.text().strip())
        except InputError as error:
            self.refused.emit(str(error))
            self.fill(self._phases)
            return
        self.edited.emit(phases)

    def _with(self, row: int, column: int, text: str) -> list[Phase]:
        phases = list(self._phases)
        phase = phases[row]
        if column == 0:
            phases[row] = Phase(text or phase.name, phase.start_s, phase.end_s)
            return phases
        try:
            start = float(text.replace(",", "."))
        except ValueError:
            raise InputError(f"{phase.name}: {text!r} is no number; give its start in seconds.") from None
        return list(with_start(phases, row, start))


class Tables(QTabWidget):
    """Quantities, and phases.

    Signals
    -------
    asked()
        Something that the quantities depend on was changed.
    phases_edited(object)
        List of phases, or None to go back to the suggestion.
    """

    asked = Signal()
    phases_edited = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.quantities = QuantityTable()
        self.onset = ComboBox(list(_ONSET_NAMES.items()), "How the bolus arrival is found.")
        for number, key in enumerate(_ONSET_NAMES):
            self.onset.setItemData(number, ONSETS[key], Qt.ItemDataRole.ToolTipRole)
        self.onset.setMinimumWidth(142)
        self.auc_s = DoubleSpinBox(1, 600, 10, "Length of the area under curve, seconds from the bolus arrival.")
        self.auc_s.setDecimals(0)
        self.auc_s.setValue(60)
        self.auc_s.setSuffix(" s")
        self.phases = PhaseTable()
        self.agent = ComboBox([(key, text.partition(" (")[0].capitalize()) for key, text in AGENTS.items()],
                              "Contrast agent; it decides how late phases are called.")  # fmt: skip
        self.agent.setMinimumWidth(168)
        self.reset = QPushButton("Suggest again")
        self.reset.setToolTip("Forget the changes and take the suggestion.")
        self.phase_note = Note()
        first, second = QWidget(), QWidget()
        for page, table, row in (
            (first, self.quantities, (QLabel("Arrival"), self.onset, QLabel("AUC"), self.auc_s)),
            (second, self.phases, (QLabel("Agent"), self.agent, self.reset)),
        ):
            column = QVBoxLayout(page)
            column.setContentsMargins(2, 3, 2, 0)
            column.setSpacing(3)
            line = QHBoxLayout()
            for widget in row:
                line.addWidget(widget)
            line.addStretch(1)
            column.addLayout(line)
            table.setMinimumHeight(LEAST_PX)
            column.addWidget(table, 1)
        column.addWidget(self.phase_note)
        # Two lines, whatever it says: a label that wraps would ask for room it does not need.
        self.phase_note.setFixedHeight(2 * self.phase_note.fontMetrics().lineSpacing() + 4)
        self.addTab(first, "Quantities")
        self.addTab(second, "Phases")
        self.onset.currentIndexChanged.connect(lambda _: self.asked.emit())
        self.auc_s.valueChanged.connect(lambda _: self.asked.emit())
        self.agent.currentIndexChanged.connect(lambda _: self.phases_edited.emit(None))
        self.reset.clicked.connect(lambda _=False: self.phases_edited.emit(None))
        self.phases.edited.connect(self.phases_edited.emit)

    def show_phases(self, phases: Sequence[Phase], by_hand: bool, note: str) -> None:
        """Show phases, and what they are."""
        self.phases.fill(phases)
        self.reset.setEnabled(by_hand)
        self.phase_note.setText(note)
