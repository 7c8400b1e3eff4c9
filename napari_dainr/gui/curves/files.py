"""The menu "Export": tables to the clipboard, curves, figure and regions to files, regions from files."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog

from napari_dainr.analysis.curves import baseline_frames
from napari_dainr.analysis.regions import RegionSet
from napari_dainr.gui._background import write_in_background
from napari_dainr.gui._latest import Latest
from napari_dainr.gui._scratch import ScratchFolders
from napari_dainr.gui.curves.figure import write_figure
from napari_dainr.io.curves import PhaseEntry, curves_tsv, quantities_tsv, write_curves, write_phases, write_quantities
from napari_dainr.io.regions import export_regions, import_regions

if TYPE_CHECKING:
    from napari_dainr.gui.curves.dock import CurvesDock

__all__ = ["CurveFiles"]

_FIGURE = "PNG (*.png);;SVG (*.svg);;PDF (*.pdf)"
_REGIONS = "Regions (*.json);;ImageJ ROI set (*.zip);;ImageJ ROI (*.roi);;NIfTI label mask (*.nii.gz *.nii)"
_ANY_REGIONS = "Regions (*.json *.zip *.roi *.nii *.nii.gz);;All files (*)"
_TABLE = "CSV (*.csv);;Tab-separated text (*.tsv)"


class CurveFiles:
    """What a dock copies, writes and reads; files are written and read beside the event loop."""

    def __init__(self, dock: CurvesDock) -> None:
        self._dock = dock
        self._scratch = ScratchFolders()
        self._loading = Latest(
            "Regions were not loaded", self._loaded, lambda failed: self._tell("error", failed.message)
        )
        menu = dock.toolbar.export.menu()
        assert menu is not None
        entries: list[tuple[str, str, Callable[[], object]] | None] = [
            ("Copy quantities", "Tab-separated, for a spreadsheet.", self.copy_quantities),
            ("Copy curves", "Tab-separated, one row per frame.", self.copy_curves),
            None,
            ("Save curves…", "CSV in long form: series, region, time, n, mean, SD, median.", self.ask_curves),
            ("Save quantities…", "CSV, one row per curve.", self.ask_quantities),
            ("Save phases…", "CSV, one row per contrast phase.", self.ask_phases),
            ("Save figure…", "PNG, SVG or PDF.", self.ask_figure),
            None,
            ("Save regions…", "JSON in millimetres, ImageJ .roi or .zip, or NIfTI label mask.", self.ask_regions),
            ("Load regions…", "Adds the regions of a file.", self.ask_load),
        ]
        for entry in entries:
            if entry is None:
                menu.addSeparator()
                continue
            text, tip, do = entry
            action = menu.addAction(text)
            if action is not None:
                action.setToolTip(tip)
                action.triggered.connect(lambda _=False, do=do: do())

    def close(self) -> None:
        """Drop what is being read."""
        self._loading.cancel()

    def _tell(self, kind: str, text: str, details: str = "") -> None:
        self._dock.tell(kind, text, details)

    # ---------------------------------------------------------------- clipboard

    def _copy(self, text: str, what: str, count: int) -> None:
        clipboard = QGuiApplication.clipboard()
        if not count:
            self._tell("warning", "There is no curve yet; draw a region first.")
        elif clipboard is not None:
            clipboard.setText(text)
            self._tell("info", f"{what} copied: {count} row{'s' * (count != 1)}, tab-separated.")

    def copy_quantities(self) -> None:
        """Quantities of all curves as tab-separated text."""
        entries = self._dock.quantity_entries()
        self._copy(quantities_tsv(entries), "Quantities", len(entries))

    def copy_curves(self) -> None:
        """All curves as tab-separated text."""
        entries = self._dock.curve_entries()
        self._copy(curves_tsv(entries), "Curves", sum(len(entry.curve.times_s) for entry in entries))

    # ---------------------------------------------------------------- writing

    def _ask(self, title: str, name: str, filters: str) -> Path | None:
        chosen, _ = QFileDialog.getSaveFileName(self._dock, title, name, filters)
        return Path(chosen) if chosen else None

    def ask_curves(self) -> None:
        """Ask where to, and write the curves."""
        if (path := self._ask("Save curves", "curves.csv", _TABLE)) is not None:
            self.save_curves(path)

    def ask_quantities(self) -> None:
        """Ask where to, and write the quantities."""
        if (path := self._ask("Save quantities", "quantities.csv", _TABLE)) is not None:
            self.save_quantities(path)

    def ask_phases(self) -> None:
        """Ask where to, and write the contrast phases."""
        if (path := self._ask("Save phases", "phases.csv", _TABLE)) is not None:
            self.save_phases(path)

    def ask_figure(self) -> None:
        """Ask where to, and write the figure."""
        if (path := self._ask("Save figure", "curves.png", _FIGURE)) is not None:
            self.save_figure(path)

    def ask_regions(self) -> None:
        """Ask where to, and write the regions."""
        if (path := self._ask("Save regions", "regions.json", _REGIONS)) is not None:
            self.save_regions(path)

    def _write(self, write: Callable[[], Any], done: str, path: Path) -> None:
        """Write in a thread; sentences that the writer returns are told as well."""
        remarks: list[str] = []

        def work() -> None:
            remarks.extend(write() or ())

        def tell(kind: str, text: str, details: str) -> None:
            more = kind == "info" and remarks
            self._tell("warning" if more else kind, " ".join([text, *remarks[:3]]) if more else text, details)

        write_in_background(work, done, path, tell, self._scratch)

    def save_curves(self, path: Path) -> None:
        """Write all curves in long form."""
        self._write(partial(write_curves, self._dock.curve_entries(), path), "Curves saved", path)

    def save_quantities(self, path: Path) -> None:
        """Write the table of quantities."""
        self._write(partial(write_quantities, self._dock.quantity_entries(), path), "Quantities saved", path)

    def save_phases(self, path: Path) -> None:
        """Write the contrast phases that are shown."""
        look, marks = self._dock.first_look(), self._dock.marks
        if look is None or not marks.phases:
            self._tell("warning", f"There are no phases to save. {marks.suggestion.reason}".strip())
            return
        entry = PhaseEntry(look.title, marks.phases, marks.phase_note)
        self._write(partial(write_phases, [entry], path), "Phases saved", path)

    def save_figure(self, path: Path) -> None:
        """Write the figure as it is shown, for print."""
        self._write(partial(write_figure, self._dock.figure_plan(), path), "Figure saved", path)

    def save_regions(self, path: Path) -> None:
        """Write the regions; the suffix says the format."""
        look = self._dock.first_look()
        regions = self._dock.state.regions
        if look is None or not len(regions):
            self._tell("warning", "There are no regions to save; draw one first.")
            return
        window = self._dock.baseline_s
        frames = baseline_frames(look.times_s, window) if window is not None else None
        image = np.asarray(look.image)
        self._write(partial(export_regions, regions, path, look.geometry, image, frames), "Regions saved", path)

    # ---------------------------------------------------------------- reading

    def ask_load(self) -> None:
        """Ask for a file of regions, and add them."""
        chosen, _ = QFileDialog.getOpenFileName(self._dock, "Load regions", "", _ANY_REGIONS)
        if chosen:
            self.load(Path(chosen))

    def load(self, path: Path) -> None:
        """Add the regions of a file; one that is there already is replaced."""
        look = self._dock.first_look()
        if look is None:
            self._tell("warning", "There is no series to lay regions over; open one first.")
            return
        geometry = look.geometry

        def work(_: threading.Event) -> Iterator[tuple[str, RegionSet, list[str]]]:
            regions, remarks = import_regions(path, geometry)
            yield path.name, regions, remarks

        self._loading.ask(work)

    def _loaded(self, result: tuple[str, RegionSet, list[str]]) -> None:
        name, regions, remarks = result
        self._dock.add_regions(regions)
        count = f"{len(regions)} region{'s' * (len(regions) != 1)} loaded: {name}."
        self._tell("warning" if remarks else "info", " ".join([count, *remarks[:3]]))
