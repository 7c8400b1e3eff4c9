"""What stands over the curves: baseline, bolus arrivals and phases; found, until somebody sets them by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from qtpy.QtCore import QObject, QPoint, QTimer
from qtpy.QtWidgets import QMenu

from napari_dainr.analysis.phases import BY_HAND, Phase, PhaseSuggestion, start_limits, suggest_from_roles, with_start
from napari_dainr.analysis.quantities import Onset
from napari_dainr.gui.curves.drawn import Arrival
from napari_dainr.gui.curves.plot import CurvePlot
from napari_dainr.gui.curves.present import View, arrivals_of, quantity_entries
from napari_dainr.gui.curves.reader import CurveReader
from napari_dainr.gui.curves.reading import Look, Reading
from napari_dainr.gui.curves.state import RegionState
from napari_dainr.gui.curves.tables import Tables
from napari_dainr.gui.curves.toolbar import Toolbar
from napari_dainr.io.curves import QuantityEntry

__all__ = ["Marks"]

TABLE_MS = 120


class Marks(QObject):
    """Reads quantities off the curves and shows them; what is set by hand becomes one step that can be undone.

    ``look`` is the series whose arrivals and phases are shown, ``view`` what the user chose to see, ``tell`` says one
    sentence to the user.
    """

    def __init__(
        self,
        state: RegionState,
        reader: CurveReader,
        plot: CurvePlot,
        tables: Tables,
        toolbar: Toolbar,
        look: Callable[[], Look | None],
        view: Callable[[], View],
        tell: Callable[[str, str], None],
    ) -> None:
        super().__init__(plot)
        self._state, self._reader, self._plot, self._tables, self._toolbar = state, reader, plot, tables, toolbar
        self._look, self._view, self._tell = look, view, tell
        self.suggestion = PhaseSuggestion(())
        self._rows: list[Reading] = []
        self._moving: tuple[str, float] | None = None
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self.refresh)
        plot.baseline_dragged.connect(self._baseline_dragged)
        plot.arrival_dragged.connect(self._arrival_dragged)
        plot.phases_dragged.connect(self._phases_dragged)
        plot.menu_asked.connect(self._open_menu)
        toolbar.auto_baseline.toggled.connect(self._auto_baseline)
        tables.asked.connect(self.refresh)
        tables.phases_edited.connect(self.set_phases)
        tables.phases.refused.connect(self._refused)
        tables.quantities.arrival_typed.connect(self._arrival_typed)
        tables.quantities.refused.connect(self._refused)
        state.changed.connect(self._show_auto)

    def close(self) -> None:
        """Show nothing more."""
        self._soon.stop()
        self._state.changed.disconnect(self._show_auto)

    # ---------------------------------------------------------------- what is shown

    @property
    def is_due(self) -> bool:
        """Whether the tables will be filled in a moment."""
        return bool(self._soon.isActive())

    def ask(self, ms: int = TABLE_MS) -> None:
        """Fill the tables soon."""
        if not self._soon.isActive():
            self._soon.start(ms)

    def entries(self) -> list[QuantityEntry]:
        """Quantities of all curves, for a table."""
        return self._read()[0]

    def _read(self) -> tuple[list[QuantityEntry], list[Reading]]:
        onset = Onset(str(self._tables.onset.currentData()))
        readings = [self._as_moved(reading) for reading in self._reader.readings]
        entries, rows, remarks = quantity_entries(readings, self._view(), onset, self._tables.auc_s.value())
        if remarks:
            self._tell("warning", remarks[0])
        return entries, rows

    def _as_moved(self, reading: Reading) -> Reading:
        """With the arrival that is under the mouse."""
        if self._moving is None or reading.region.id != self._moving[0]:
            return reading
        return replace(reading, region=reading.region.changed(arrival_s=self._moving[1]))

    def refresh(self) -> None:
        """Fill the tables; show arrivals and phases in the plot."""
        (entries, self._rows), look = self._read(), self._look()
        self._tables.quantities.fill(entries)
        self._plot.set_arrivals(arrivals_of(entries, self._rows, self._reader.regions.regions, look))
        self._suggest(entries, look)
        self._show_phases(self.phases)
        self._plot.set_phases(self.phases)

    def _suggest(self, entries: list[QuantityEntry], look: Look | None) -> None:
        """Contrast phases from the first aorta and portal vein in one series."""
        agent = str(self._tables.agent.currentData())
        if look is None or not look.timed:
            self.suggestion = PhaseSuggestion((), "Phases need a series with a time axis in seconds.", agent)
            return
        mine = [(entry.role, entry.quantities) for entry in entries if entry.recon == look.title]
        first_s, last_s = float(look.times_s[0]), float(look.times_s[-1])
        self.suggestion = suggest_from_roles(mine, first_s, last_s, agent=agent)

    def _show_phases(self, phases: tuple[Phase, ...]) -> None:
        by_hand = self._state.regions.phases is not None
        self._tables.show_phases(phases, by_hand, self.phase_note or self.suggestion.reason)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Those set by hand, else the suggestion."""
        by_hand = self._state.regions.phases
        return self.suggestion.phases if by_hand is None else by_hand

    @property
    def phase_note(self) -> str:
        """To be shown wherever the phases are; empty if there are none."""
        if self._state.regions.phases is not None:
            return BY_HAND
        return self.suggestion.note if self.suggestion.phases else ""

    @property
    def arrivals_by_hand(self) -> tuple[Arrival, ...]:
        """For a figure."""
        return tuple(one for one in self._plot.arrivals if one.by_hand)

    def _refused(self, sentence: str) -> None:
        self._tell("warning", sentence)
        self.ask(0)  # once the cell is no longer typed in

    # ---------------------------------------------------------------- phases

    def set_phases(self, phases: list[Phase] | None) -> None:
        """Phases by hand, or None for the suggestion."""
        self._state.set(replace(self._state.regions, phases=None if phases is None else tuple(phases)))
        self.ask(0)

    def _phases_dragged(self, phases: tuple[Phase, ...], done: bool) -> None:
        self._show_phases(phases)
        if done:
            self.set_phases(list(phases))

    # ---------------------------------------------------------------- bolus arrival

    def set_arrival(self, region_id: str, time_s: float | None) -> None:
        """When the bolus arrives in a region, seconds from the first spoke; None to have it found."""
        self._moving = None
        self._state.change(region_id, arrival_s=time_s)
        self.ask(0)

    def _arrival_dragged(self, region_id: str, time_s: float, done: bool) -> None:
        if done:
            self.set_arrival(region_id, time_s)
        else:
            self._moving = region_id, time_s
            self.ask()

    def _arrival_typed(self, row: int, time_s: float | None) -> None:
        self.set_arrival(self._rows[row].region.id, time_s)

    # ---------------------------------------------------------------- baseline

    def _set_baseline(self, window_s: tuple[float, float] | None) -> None:
        self._state.set(replace(self._state.regions, baseline_s=window_s))
        self._reader.ask()
        self._show_auto()

    def _auto_baseline(self, on: bool) -> None:
        self._set_baseline(None if on else self._reader.baseline_s)

    def _baseline_dragged(self, start: float, end: float, done: bool) -> None:
        self._reader.hold_baseline(None if done else (start, end))
        if done:
            self._set_baseline((start, end))

    def _show_auto(self) -> None:
        self._moving = None  # what is dragged is lost to whatever else was done
        box = self._toolbar.auto_baseline
        box.blockSignals(True)
        box.setChecked(self._state.regions.baseline_s is None)
        box.blockSignals(False)

    # ---------------------------------------------------------------- the menu of the plot

    def menu_at(self, time_s: float) -> QMenu:
        """What can be set to a time, seconds, or be found again."""
        menu = QMenu(self._plot)

        def entry(text: str, do: Callable[[], Any]) -> None:
            action = menu.addAction(text)
            if action is not None:
                action.triggered.connect(lambda _=False: do())

        regions = {reading.region.id: reading.region for reading in self._reader.readings if reading.curve is not None}
        for region in regions.values():
            entry(f"{region.name}: bolus arrives here ({time_s:.2f} s)", partial(self.set_arrival, region.id, time_s))
        menu.addSeparator()
        for number, phase in list(enumerate(self.phases))[1:]:
            low, high = start_limits(self.phases, number)
            if low < time_s < high:
                moved = list(with_start(self.phases, number, time_s))
                entry(f"{phase.name} begins here", partial(self.set_phases, moved))
        menu.addSeparator()
        for region in regions.values():
            if region.arrival_s is not None:
                entry(f"{region.name}: find the bolus arrival again", partial(self.set_arrival, region.id, None))
        if self._state.regions.phases is not None:
            entry("Suggest the phases again", partial(self.set_phases, None))
        if self._state.regions.baseline_s is not None:
            entry("Find the baseline again", partial(self._set_baseline, None))
        return menu

    def _open_menu(self, time_s: float, at: QPoint) -> None:
        menu = self.menu_at(time_s)
        menu.exec(at)
        menu.deleteLater()
