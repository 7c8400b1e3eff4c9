"""What is set by hand over the curves: bolus arrivals, phases and the baseline, with the mouse and the keyboard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QLineEdit

from napari_dainr.gui._dock import find_or_open
from napari_dainr.gui.curves.dock import CurvesDock
from napari_dainr.gui.curves.tables import ARRIVAL, METHOD
from napari_dainr.io.regions import load_regions

from .conftest import WAIT_MS
from .test_curves import DT, add_series, dock, read, two_regions

__all__ = ["dock", "read", "two_regions"]


def at(dock: CurvesDock, seconds: float, height: float = 0.6, *, below_top_px: float | None = None) -> QPoint:
    """A place in the plot; ``height`` is a part of the axes, ``below_top_px`` counts from their upper edge."""
    canvas, axes = dock.plot.canvas, dock.plot.axes
    ratio = canvas.device_pixel_ratio
    x = axes.transData.transform((seconds, 0))[0] / ratio
    y = axes.transAxes.transform((0, height))[1] / ratio
    if below_top_px is not None:
        y = axes.bbox.y1 / ratio - below_top_px
    return QPoint(round(x), round(canvas.height() - y))


def pull(qtbot: Any, dock: CurvesDock, start: QPoint, end: QPoint) -> None:
    canvas, left = dock.plot.canvas, Qt.MouseButton.LeftButton
    qtbot.mousePress(canvas, left, pos=start)
    qtbot.mouseMove(canvas, (start + end) / 2)
    qtbot.mouseMove(canvas, end)
    qtbot.mouseRelease(canvas, left, pos=end)


def aorta(dock: CurvesDock) -> Any:
    return dock.state.regions.regions[0]


def found(dock: CurvesDock, row: int = 0) -> Any:
    """Quantities of a row."""
    return dock.quantity_entries()[row].quantities


def cell(dock: CurvesDock, column: int, row: int = 0) -> str:
    return str(dock.tables.quantities.item(row, column).text())


@pytest.fixture
def drawn(make_napari_viewer: Any, qtbot: Any) -> CurvesDock:
    """A dock on the screen with two vessels whose curves are drawn."""
    from napari_dainr.analysis.regions import Region, ellipse_corners

    from .test_curves import world

    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1300, 900)
    shown = find_or_open(viewer, CurvesDock)
    shown.regions.ensure(add_series(viewer))
    for role, place in (("AO", world(20, 12)), ("PV", world(30, 25))):
        shown.regions.add(Region(ellipse_corners(place, (7, 7)), "ellipse", role))
    qtbot.waitUntil(lambda: len(shown.plot.phases) > 3 and not shown.marks.is_due, timeout=WAIT_MS)
    settled(qtbot, shown)
    return shown


def settled(qtbot: Any, dock: CurvesDock) -> None:
    """Wait until the plot is laid out and drawn as it is to stay."""
    qtbot.waitUntil(
        lambda: not (dock.plot._full_is_due or dock.plot._soon.isActive() or dock.marks.is_due), timeout=WAIT_MS
    )
    dock.plot.canvas.draw()


def test_an_arrival_is_dragged_and_everything_follows(drawn: CurvesDock, qtbot: Any) -> None:
    dock = drawn
    before, phases, cursor = found(dock), dock.plot.phases, dock.plot.cursor_s
    assert [one.by_hand for one in dock.plot.arrivals] == [False, False]
    assert cell(dock, METHOD) == "intersection"
    pull(qtbot, dock, at(dock, before.bolus_arrival_time_s, below_top_px=8), at(dock, 6.0, below_top_px=40))
    qtbot.waitUntil(lambda: cell(dock, METHOD) == "by hand", timeout=WAIT_MS)
    after = found(dock)
    assert aorta(dock).arrival_s == pytest.approx(6.0, abs=0.1)
    assert after.bolus_arrival_time_s == aorta(dock).arrival_s
    assert after.time_to_peak_s == pytest.approx(before.maximum_time_s - after.bolus_arrival_time_s)
    assert after.wash_in_slope < before.wash_in_slope
    assert cell(dock, ARRIVAL) == f"{after.bolus_arrival_time_s:.4g}"
    assert dock.plot.phases[1].start_s == after.bolus_arrival_time_s != phases[1].start_s, "phases did not follow"
    assert dock.plot.cursor_s == cursor, "the cursor was dragged as well"
    assert [one.by_hand for one in dock.plot.arrivals] == [True, False]
    assert dock.figure_plan().arrivals[0].time_s == after.bolus_arrival_time_s
    dock.undo()
    qtbot.waitUntil(lambda: cell(dock, METHOD) == "intersection", timeout=WAIT_MS)
    assert found(dock) == before
    assert dock.plot.phases == phases
    dock.redo()
    qtbot.waitUntil(lambda: dock.plot.arrivals[0].by_hand, timeout=WAIT_MS)


def test_a_click_on_an_arrival_or_a_border_changes_nothing(drawn: CurvesDock, qtbot: Any) -> None:
    before = drawn.state.regions
    for place in (
        at(drawn, drawn.plot.arrivals[0].time_s, below_top_px=8),
        at(drawn, drawn.plot.phases[2].start_s, below_top_px=-7),
    ):
        qtbot.mouseClick(drawn.plot.canvas, Qt.MouseButton.LeftButton, pos=place)
    assert drawn.state.regions == before


def test_a_phase_border_is_dragged_between_its_neighbours(drawn: CurvesDock, qtbot: Any) -> None:
    dock, said = drawn, list[str]()
    dock.plot.read_out.connect(said.append)
    phases = dock.plot.phases
    assert "not a diagnosis" in dock.tables.phase_note.text() and "Suggested" in dock.tables.phase_note.text()
    goal = (phases[1].start_s + phases[1].end_s) / 2 + 0.4
    pull(qtbot, dock, at(dock, phases[2].start_s, below_top_px=-7), at(dock, goal, below_top_px=-7))
    moved = dock.state.regions.phases
    assert moved is not None
    assert moved[2].start_s == moved[1].end_s == pytest.approx(goal, abs=0.15)
    assert any("Late arterial from" in text for text in said)
    qtbot.waitUntil(lambda: "by hand" in dock.tables.phase_note.text(), timeout=WAIT_MS)
    assert dock.tables.phases.item(2, 1).text() == f"{moved[2].start_s:.1f}"
    assert "by hand" in dock.figure_plan().phase_note
    settled(qtbot, dock)
    pull(qtbot, dock, at(dock, moved[2].start_s, below_top_px=-7), at(dock, 34, below_top_px=-7))
    far = dock.state.regions.phases
    assert far is not None
    assert moved[2].start_s < far[2].start_s < moved[2].end_s, "a border passed its neighbour"
    dock.undo()
    dock.undo()
    assert dock.state.regions.phases is None
    qtbot.waitUntil(lambda: dock.plot.phases == phases, timeout=WAIT_MS)
    assert "Suggested" in dock.tables.phase_note.text()
    dock.redo()
    qtbot.waitUntil(lambda: dock.tables.reset.isEnabled(), timeout=WAIT_MS)
    dock.tables.reset.click()
    assert dock.state.regions.phases is None


def test_the_baseline_by_hand_is_one_step(drawn: CurvesDock, qtbot: Any) -> None:
    dock = drawn
    before = dock.baseline_s
    assert before is not None
    pull(qtbot, dock, at(dock, before[1], 0.5), at(dock, 4.5, 0.5))
    by_hand = dock.state.regions.baseline_s
    assert by_hand == dock.baseline_s == pytest.approx((0.75, 4.5), abs=0.15)
    assert not dock.toolbar.auto_baseline.isChecked()
    dock.undo()
    assert dock.toolbar.auto_baseline.isChecked()
    qtbot.waitUntil(lambda: dock.baseline_s == before, timeout=WAIT_MS)
    dock.redo()
    qtbot.waitUntil(lambda: dock.baseline_s == by_hand, timeout=WAIT_MS)
    dock.toolbar.auto_baseline.click()
    qtbot.waitUntil(lambda: dock.baseline_s == before, timeout=WAIT_MS)


def test_an_arrival_is_typed(drawn: CurvesDock, qtbot: Any) -> None:
    dock, table = drawn, drawn.tables.quantities

    def type_over(text: str) -> None:
        table.setCurrentCell(0, ARRIVAL)
        table.editItem(table.item(0, ARRIVAL))
        editor = next(line for line in table.findChildren(QLineEdit) if line.isVisible())
        editor.setText(text)
        qtbot.keyClick(editor, Qt.Key.Key_Return)

    type_over("5,5")
    qtbot.waitUntil(lambda: aorta(dock).arrival_s == 5.5, timeout=WAIT_MS)
    qtbot.waitUntil(lambda: (cell(dock, ARRIVAL), cell(dock, METHOD)) == ("5.5", "by hand"), timeout=WAIT_MS)
    type_over("soon")
    qtbot.waitUntil(lambda: "is no time" in dock.banner.text.text(), timeout=WAIT_MS)
    qtbot.waitUntil(lambda: cell(dock, ARRIVAL) == "5.5", timeout=WAIT_MS)
    type_over("")
    qtbot.waitUntil(lambda: aorta(dock).arrival_s is None, timeout=WAIT_MS)
    qtbot.waitUntil(lambda: cell(dock, METHOD) == "intersection", timeout=WAIT_MS)


def test_a_start_of_a_phase_is_typed_and_its_neighbour_follows(drawn: CurvesDock, qtbot: Any) -> None:
    table = drawn.tables.phases
    drawn.tables.setCurrentIndex(1)
    table.setCurrentCell(2, 1)
    table.editItem(table.item(2, 1))
    editor = next(line for line in table.findChildren(QLineEdit) if line.isVisible())
    editor.setText("11.3")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: table.item(1, 2).text() == "11.3", timeout=WAIT_MS)
    assert drawn.plot.phases[1].end_s == 11.3


def test_the_menu_places_what_no_rule_finds(
    dock: CurvesDock, viewer: Any, two_regions: Any, read: Callable[[], None]
) -> None:
    two_regions.data = two_regions.data * 0 + 3  # nothing arrives
    read()
    assert dock.plot.arrivals == ()
    assert (cell(dock, ARRIVAL), cell(dock, METHOD)) == ("–", "–")

    def choose(start: str, time_s: float) -> None:
        menu = dock.marks.menu_at(time_s)
        next(action for action in menu.actions() if action.text().startswith(start)).trigger()
        menu.deleteLater()
        read()

    choose("Aorta: bolus arrives here", 9.0)
    choose("Portal vein: bolus arrives here", 14.0)
    assert [(one.name, one.time_s, one.by_hand) for one in dock.plot.arrivals] == [
        ("Aorta", 9.0, True), ("Portal vein", 14.0, True),
    ]  # fmt: skip
    assert [phase.start_s for phase in dock.plot.phases[1:3]] != [9.0, 14.0], "a flat curve has no peak after that"
    choose("Aorta: find the bolus arrival again", 0.0)
    assert [one.name for one in dock.plot.arrivals] == ["Portal vein"]
    texts = [action.text() for action in dock.marks.menu_at(3.0).actions()]
    assert not any(text.startswith("Aorta: find") for text in texts)


def test_what_is_set_by_hand_is_saved_and_loaded(
    dock: CurvesDock, viewer: Any, two_regions: Any, read: Callable[[], None], tmp_path: Path, qtbot: Any
) -> None:
    dock.marks.set_arrival(aorta(dock).id, 6.5)
    read()
    dock.plot.phases_dragged.emit(dock.plot.phases, True)
    dock.plot.baseline_dragged.emit(0.5, 4.0, True)
    read()
    kept = dock.state.regions
    assert (kept.baseline_s, aorta(dock).arrival_s) == ((0.5, 4.0), 6.5) and kept.phases
    dock.files.save_regions(tmp_path / "regions.json")
    qtbot.waitUntil(lambda: not dock.files._scratch.copies, timeout=WAIT_MS)
    assert load_regions(tmp_path / "regions.json").phases == kept.phases
    viewer.layers.remove(dock.regions.layer)
    read()
    assert dock.state.regions.baseline_s is None and dock.toolbar.auto_baseline.isChecked()
    dock.files.load(tmp_path / "regions.json")
    qtbot.waitUntil(lambda: len(dock.state.regions) == 2, timeout=WAIT_MS)
    read()
    assert (dock.state.regions.baseline_s, dock.state.regions.phases) == (kept.baseline_s, kept.phases)
    assert dock.baseline_s == (0.5, 4.0) and found(dock).bolus_arrival_time_s == 6.5
    assert not dock.toolbar.auto_baseline.isChecked()
    viewer.window.remove_dock_widget(dock)
    qtbot.waitUntil(lambda: dock._viewer is None, timeout=WAIT_MS)
    again = find_or_open(viewer, CurvesDock)
    assert (again.state.regions.baseline_s, again.state.regions.phases) == (kept.baseline_s, kept.phases)
    assert aorta(again).arrival_s == 6.5
    qtbot.waitUntil(lambda: bool(again.plot.curves) and not again.marks.is_due, timeout=WAIT_MS)


def test_an_arrival_holds_for_every_series_and_goes_with_undo_of_the_region(
    dock: CurvesDock, viewer: Any, two_regions: Any, read: Callable[[], None]
) -> None:
    add_series(viewer, "nufft", 2.0)
    read()
    dock.marks.set_arrival(aorta(dock).id, 6.5)
    read()
    entries = [entry for entry in dock.quantity_entries() if entry.roi == "Aorta"]
    assert [entry.quantities.bolus_arrival_time_s for entry in entries] == [6.5, 6.5]
    assert len(dock.plot.arrivals) == 2, "one triangle per region, not per series"
    dock.state.select(aorta(dock).id)
    dock.duplicate()
    read()
    assert dock.state.regions.regions[-1].arrival_s is None
    assert found(dock).frame_duration_s == DT
