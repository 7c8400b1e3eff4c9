"""The dock "Regions and curves" in a real viewer: drawing, dragging, cursor, overlay, files, and what may go wrong."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.utils.interactions import mouse_move_callbacks, mouse_press_callbacks, mouse_release_callbacks
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication, QMenu

from napari_dainr.analysis.regions import Region, box_corners, ellipse_corners
from napari_dainr.gui._dock import find, find_or_open
from napari_dainr.gui.curves import commands
from napari_dainr.gui.curves.dock import CurvesDock
from napari_dainr.gui.curves.reader import AT_ONCE
from napari_dainr.gui.curves.reading import mask_in
from napari_dainr.io.regions import import_regions

from .conftest import WAIT_MS

N, NY, NX = 24, 41, 36
DT, DY, DX = 1.5, 2.0, 2.5


def series(level: float = 1.0) -> Any:
    """(frame, y, x): a vessel at (20, 12) that enhances after 6 frames, another at (30, 25) after 10."""
    y, x = np.meshgrid(np.arange(NY), np.arange(NX), indexing="ij")
    t = np.arange(N)[:, None, None]
    image = 1.0 + 0.02 * np.sin(y + 2 * x)[None] * np.ones((N, 1, 1))
    for (cy, cx), start in (((20, 12), 6), ((30, 25), 10)):
        inside = (y - cy) ** 2 + (x - cx) ** 2 <= 16
        image = image + inside * np.where(t >= start, np.exp(-0.1 * (t - start)), 0.0) * 3
    return (level * image).astype(np.float32)


def facts(method: str = "dainr", every: int = 1) -> dict[str, Any]:
    recipe = {"method": method, "spokes_per_frame": 13}
    marks = [bool(i % every) for i in range(N)]
    return {"dainr": {"method": method, "recipe": recipe, "frame_duration_s": DT * every, "interpolated": marks}}


def add_series(viewer: Any, method: str = "dainr", level: float = 1.0, **more: Any) -> Any:
    keywords: dict[str, Any] = {
        "name": method, "scale": (DT, DY, DX), "translate": (0.75, DY / 2, 0.0), "units": ("s", "mm", "mm"),
        "axis_labels": ("t", "y", "x"), "metadata": facts(method),
    }  # fmt: skip
    return viewer.add_image(series(level), **{**keywords, **more})


@dataclass
class Mouse:
    """What napari's own tests hand to the callbacks of a layer."""

    type: str
    position: tuple[float, ...]
    pos: tuple[float, float]
    is_dragging: bool = False
    modifiers: list[str] = field(default_factory=list)
    button: int = 1
    view_direction: Any = None
    up_direction: Any = None
    dims_displayed: tuple[int, ...] = (0, 1)
    dims_point: tuple[float, ...] = (0.0, 0.0)


class Pointer:
    """What napari renews under the hands of a callback that waits for the next event."""

    def __init__(self, mouse: Mouse) -> None:
        self.__wrapped__ = mouse

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)


def drag(layer: Any, *points: tuple[float, float], between: Callable[[], None] = lambda: None) -> None:
    """Press at the first world point, move along the others, release at the last."""

    def event(kind: str, at: tuple[float, float], dragging: bool) -> Any:
        mouse = Mouse(kind, (0.0, *at)[-layer.ndim :], (5 * at[1], 5 * at[0]), dragging)
        return mouse if dragging or kind == "mouse_release" else Pointer(mouse)

    mouse_press_callbacks(layer, event("mouse_press", points[0], False))
    for point in points[1:]:
        mouse_move_callbacks(layer, event("mouse_move", point, True))
        between()
    mouse_release_callbacks(layer, event("mouse_release", points[-1], False))


def world(y: float, x: float) -> tuple[float, float]:
    return (y * DY + DY / 2, x * DX)


@pytest.fixture
def dock(viewer: Any, qtbot: Any) -> Iterator[CurvesDock]:
    opened = find_or_open(viewer, CurvesDock)
    yield opened
    opened.reader._beside.cancel()
    qtbot.waitUntil(lambda: not opened.reader._beside.busy, timeout=WAIT_MS)


@pytest.fixture
def read(dock: CurvesDock, qtbot: Any) -> Callable[[], None]:
    """Wait until everything that was asked for is read and shown."""

    def wait() -> None:
        qtbot.waitUntil(
            lambda: not (dock.reader._soon.isActive() or dock.reader._beside.busy or dock.marks.is_due),
            timeout=WAIT_MS,
        )

    return wait


@pytest.fixture
def two_regions(dock: CurvesDock, viewer: Any, read: Callable[[], None]) -> Any:
    """A series with a region over each vessel."""
    layer = add_series(viewer)
    dock.regions.ensure(layer)
    for role, at in (("AO", world(20, 12)), ("PV", world(30, 25))):
        dock.regions.add(Region(ellipse_corners(at, (7, 7)), "ellipse", role))
    read()
    return layer


def names(dock: CurvesDock) -> list[str]:
    return [region.name for region in dock.state.regions]


def line(dock: CurvesDock, number: int = 0) -> Any:
    """y values of a curve of the plot."""
    return dock.plot.curves[number].centre


# -------------------------------------------------------------------- drawing


def test_an_empty_dock_says_what_to_do(dock: CurvesDock, viewer: Any, read: Callable[[], None]) -> None:
    assert "There is no series yet" in dock.plot.hint.text()
    dock.draw_role("AO")
    assert "There is no series to draw on" in dock.banner.text.text()
    assert not dock.regions.armed
    add_series(viewer)
    read()
    assert "Draw a region" in dock.plot.hint.text()
    dock.toolbar.tools["ellipse"].click()
    assert "press and drag over the vessel" in dock.plot.hint.text()
    assert dock.toolbar.tools["ellipse"].isChecked()
    dock.toolbar.tools["ellipse"].click()
    assert not dock.regions.armed


def test_an_ellipse_is_drawn_with_the_mouse_and_its_curve_grows_while_it_is(
    dock: CurvesDock, viewer: Any, read: Callable[[], None]
) -> None:
    add_series(viewer)
    dock.draw_role("AO")
    layer = dock.regions.layer
    assert layer is not None
    assert layer.mode == "add_ellipse"
    seen: list[int] = []

    def look() -> None:
        dock.reader.now()
        seen.append(dock.reader.readings[0].curve.n if dock.reader.readings and dock.reader.readings[0].curve else 0)

    drag(layer, world(16, 8), world(18, 10), world(21, 13), world(24, 16), between=look)
    read()
    assert seen == sorted(seen)
    assert seen[-1] > 20
    (region,) = dock.state.regions
    assert (region.kind, region.role, region.name) == ("ellipse", "AO", "Aorta")
    assert np.allclose(region.vertices.min(axis=0), world(16, 8), atol=1e-6)
    assert np.allclose(region.vertices.max(axis=0), world(24, 16), atol=1e-6)
    assert line(dock).argmax() == 6
    assert layer.mode == "select"
    assert dock.state.next_role == "PV"
    assert list(layer.features["name"]) == ["Aorta"]
    assert dock.list.item(0, 3).text() == str(seen[-1])


def test_every_tool_draws_its_kind(dock: CurvesDock, viewer: Any, read: Callable[[], None]) -> None:
    add_series(viewer)
    for kind in ("rectangle", "threshold"):
        dock.use_tool(kind)
        drag(dock.regions.layer, world(16, 8), world(20, 12), world(24, 16))
    dock.use_tool("freehand")
    around = [world(20 + 6 * np.sin(a), 12 + 6 * np.cos(a)) for a in np.linspace(0, 6, 40)]
    drag(dock.regions.layer, *around)
    dock.use_tool("voxel")
    drag(dock.regions.layer, world(20.2, 11.7))
    dock.use_tool("polygon")
    dock.regions.layer.add([np.array([[16, 8], [16, 16], [24, 12.0]])], shape_type="polygon")
    read()
    assert [r.kind for r in dock.state.regions] == ["rectangle", "threshold", "freehand", "voxel", "polygon"]
    voxel = dock.state.regions.regions[3]
    assert np.allclose(voxel.vertices[0], world(20.2, 11.7))
    counts = {reading.region.kind: reading.curve.n for reading in dock.reader.readings if reading.curve}
    assert counts["voxel"] == 1
    assert 0 < counts["threshold"] < counts["rectangle"]
    assert str(dock.regions.layer.mode) == "select"


def test_a_click_leaves_a_circle_of_12_mm(dock: CurvesDock, viewer: Any, read: Callable[[], None]) -> None:
    add_series(viewer)
    dock.draw_role("AO")
    drag(dock.regions.layer, world(20, 12))
    read()
    (region,) = dock.state.regions
    assert np.allclose(np.ptp(region.vertices, axis=0), 12)
    assert dock.reader.readings[0].curve is not None


def test_real_mouse_events_draw_and_move(make_napari_viewer: Any, qtbot: Any) -> None:
    """Through Qt, the canvas and napari: what a user does."""
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1100, 850)
    dock = find_or_open(viewer, CurvesDock)
    add_series(viewer)
    viewer.reset_view()
    dock.draw_role("PV")

    def canvases() -> list[Any]:
        return [w for w in QApplication.allWidgets() if type(w).__name__ == "CanvasBackendDesktop" and w.isVisible()]

    qtbot.waitUntil(lambda: len(canvases()) == 1, timeout=WAIT_MS)
    (canvas,) = canvases()

    def at(y: float, x: float) -> QPoint:
        centre, zoom = np.asarray(viewer.scene.camera.center)[-2:], viewer.scene.camera.zoom
        dy, dx = (np.asarray(world(y, x)) - centre) * zoom
        return QPoint(round(canvas.width() / 2 + dx), round(canvas.height() / 2 + dy))

    def reached(y: float, x: float) -> bool:
        """Whether napari has the mouse there: a move within 10 ms of the one before it is dropped by vispy."""
        qtbot.mouseMove(canvas, at(y, x))
        return bool(np.allclose(viewer.cursor.position[-2:], world(y, x), atol=0.6 / viewer.scene.camera.zoom))

    def followed() -> bool:
        """Whether the curve on the screen is that of the shape as napari has it, without being asked for it."""
        (now,) = dock.regions.live()
        readings = dock.reader.readings
        return bool(readings and readings[0].curve and dock.plot.curves) and readings[0].region == now

    def pull(*points: tuple[float, float], peak: int) -> None:
        """Press, move, release; before the release the curve must have its maximum at frame ``peak``."""
        qtbot.mouseMove(canvas, at(*points[0]))
        qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=at(*points[0]))
        for point in points[1:]:
            qtbot.waitUntil(lambda point=point: reached(*point), timeout=WAIT_MS)
            qtbot.waitUntil(followed, timeout=WAIT_MS)
        qtbot.waitUntil(lambda: line(dock).argmax() == peak, timeout=WAIT_MS)
        qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=at(*points[-1]))

    pull((16, 8), (19, 11), (24, 16), peak=6)
    qtbot.waitUntil(lambda: len(dock.state.regions) == 1, timeout=WAIT_MS)
    (before,) = dock.state.regions
    assert before.role == "PV"
    pull((20, 12), (21, 13), (25, 17), (30, 25), peak=10)
    qtbot.waitUntil(lambda: dock.state.regions.regions != (before,), timeout=WAIT_MS)
    (after,) = dock.state.regions
    moved = after.vertices.mean(axis=0) - before.vertices.mean(axis=0)
    assert np.allclose(moved, np.subtract(world(30, 25), world(20, 12)), atol=2.0)
    qtbot.waitUntil(lambda: bool(dock.plot.curves) and line(dock).argmax() == 10, timeout=WAIT_MS)
    assert np.allclose(np.ptp(after.vertices, axis=0), np.ptp(before.vertices, axis=0), atol=1e-3)
    dock.undo()
    assert dock.state.regions.regions == (before,), "one drag is one step"
    qtbot.waitUntil(lambda: line(dock).argmax() == 6, timeout=WAIT_MS)
    dock.redo()
    qtbot.waitUntil(lambda: line(dock).argmax() == 10, timeout=WAIT_MS)


# -------------------------------------------------------------------- editing


def test_napari_s_own_editing_is_taken_over(dock: CurvesDock, two_regions: Any, read: Callable[[], None]) -> None:
    layer = dock.regions.layer
    assert layer is not None
    table = layer.features.copy()
    table.loc[0, "name"] = "Great vessel"
    layer.features = table
    assert names(dock) == ["Great vessel", "Portal vein"]
    layer.add([np.array([[2, 2], [2, 9], [9, 9.0]])], shape_type="polygon")
    layer.add([np.array([[2, 2], [9, 9.0]])], shape_type="line")
    assert names(dock) == ["Great vessel", "Portal vein", "Liver"]
    layer.selected_data = {0}
    layer.remove_selected()
    assert names(dock) == ["Portal vein", "Liver"]
    assert list(layer.shape_type) == ["ellipse", "polygon", "line"]
    dock.undo()
    assert names(dock) == ["Great vessel", "Portal vein", "Liver"]
    assert sorted(layer.shape_type) == ["ellipse", "ellipse", "line", "polygon"]
    assert len(set(layer.features["id"])) == 4
    layer.visible = False
    layer.name = "Mine"
    dock.use_tool("ellipse")
    assert layer.visible
    assert dock.regions.layer is layer


def test_locked_regions_stay(dock: CurvesDock, two_regions: Any, read: Callable[[], None]) -> None:
    layer = dock.regions.layer
    assert layer is not None
    dock.state.select(dock.state.regions.regions[0].id)
    dock.lock()
    before = dock.state.regions
    drag(layer, world(20, 12), world(25, 15))
    layer.mode = "select"
    layer.selected_data = {0}
    drag(layer, world(20, 12), world(25, 15), world(28, 20))
    assert dock.state.regions == before
    assert np.allclose(layer.data_to_world(layer.data[0].mean(axis=0)), world(20, 12))
    layer.selected_data = {0}
    layer.remove_selected()
    assert {r.id for r in dock.state.regions} == {r.id for r in before}
    assert "locked" in dock.banner.text.text()
    assert not dock.state.remove(before.regions[0].id)


def test_list_renames_locks_and_selects(dock: CurvesDock, two_regions: Any, read: Callable[[], None]) -> None:
    table, layer = dock.list, dock.regions.layer
    assert layer is not None
    table.item(1, 0).setText("Vein")
    table.item(0, 2).setCheckState(Qt.CheckState.Checked)
    assert names(dock) == ["Aorta", "Vein"]
    assert [region.locked for region in dock.state.regions] == [True, False]
    table.selectRow(0)
    assert layer.selected_data == {0}
    assert dock.toolbar.role.currentData() == "AO"
    layer.selected_data = {1}
    layer.events.highlight()
    assert dock.state.selection == dock.state.regions.regions[1].id
    assert {index.row() for index in table.selectedIndexes()} == {1}
    dock.toolbar.role.setCurrentIndex(dock.toolbar.role.findData("LIVER"))
    dock.toolbar.role_asked.emit("LIVER")
    assert [region.role for region in dock.state.regions] == ["AO", "LIVER"]
    assert names(dock) == ["Aorta", "Vein"]


def test_menu_of_a_region(dock: CurvesDock, two_regions: Any, read: Callable[[], None]) -> None:
    def entries(menu: QMenu) -> dict[str, Any]:
        return {action.text(): action for action in menu.actions()}

    aorta = dock.state.regions.regions[0]
    menu = dock.list.menu_for(aorta.id)
    found = entries(menu)
    found["Duplicate"].trigger()
    assert names(dock) == ["Aorta", "Portal vein", "Aorta 2"]
    entries(found["Threshold inside"].menu())["The 20% that enhance most"].trigger()
    changed = dock.state.regions.get(aorta.id)
    assert changed is not None
    assert (changed.kind, changed.fraction) == ("threshold", 0.2)
    read()
    counts = [reading.curve.n for reading in dock.reader.readings if reading.curve]
    assert counts[0] < counts[2]
    entries(found["Copy to series"].menu())["DA-INR, 13 spokes"].trigger()
    read()
    assert names(dock)[-1] == "Aorta · DA-INR, 13 spokes"
    read_of = [reading.region.id for reading in dock.reader.readings]
    assert aorta.id not in read_of
    found["Delete"].trigger()
    assert "Aorta" not in names(dock)
    menu.deleteLater()


# -------------------------------------------------------------------- the plot


def test_cursor_and_slider_are_linked_both_ways(
    dock: CurvesDock, viewer: Any, two_regions: Any, qtbot: Any, read: Callable[[], None]
) -> None:
    viewer.dims.set_point(0, 9.75)
    assert dock.plot.cursor_s == 9.75
    viewer.dims.set_current_step(0, 4)
    assert dock.plot.cursor_s == pytest.approx(0.75 + 4 * DT)
    dock.plot.cursor_dragged.emit(20.0)
    assert dock.plot.cursor_s == 20.0
    qtbot.waitUntil(lambda: viewer.dims.current_step[0] == 13, timeout=WAIT_MS)
    assert dock.plot.cursor_s == pytest.approx(viewer.dims.point[0])


def test_cursor_in_other_units_and_dimensions(dock: CurvesDock, viewer: Any, read: Callable[[], None]) -> None:
    add_series(viewer, scale=(DT * 1000, DY, DX), translate=(0, 0, 0), units=("ms", "mm", "mm"))
    dock.regions.ensure(viewer.layers[0])
    dock.regions.add(Region(ellipse_corners((40, 30), (7, 7)), "ellipse"))
    read()
    viewer.dims.set_point(0, 9000)
    assert dock.plot.cursor_s == pytest.approx(9.0)
    assert dock.plot.curves[0].times_s[-1] == pytest.approx((N - 1) * DT)
    viewer.add_image(np.zeros((2, 3, 8, 8), np.float32), units=("pixel", "ms", "mm", "mm"), scale=(1, 1500, 2, 2))
    read()
    viewer.dims.set_point(1, 3000)
    assert dock.plot.cursor_s == pytest.approx(3.0)


def test_mouse_in_the_plot_moves_cursor_and_baseline(make_napari_viewer: Any, qtbot: Any) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1200, 900)
    dock = find_or_open(viewer, CurvesDock)
    layer = add_series(viewer)
    dock.regions.ensure(layer)
    dock.regions.add(Region(ellipse_corners(world(20, 12), (7, 7)), "ellipse", "AO"))
    qtbot.waitUntil(lambda: dock.plot.n_full > 0, timeout=WAIT_MS)
    qtbot.wait(200)
    canvas, axes = dock.plot.canvas, dock.plot.axes

    def at(seconds: float, height: float) -> QPoint:
        x = axes.transData.transform((seconds, 0))[0]
        y = axes.transAxes.transform((0, height))[1]
        ratio = canvas.device_pixel_ratio
        return QPoint(round(x / ratio), round(canvas.height() - y / ratio))

    def pull(start: QPoint, end: QPoint) -> None:
        qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=start)
        qtbot.mouseMove(canvas, (start + end) / 2)
        qtbot.mouseMove(canvas, end)
        qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=end)
        qtbot.wait(80)

    pull(at(20, 0.6), at(27.75, 0.6))
    assert viewer.dims.current_step[0] == 18
    assert dock.toolbar.auto_baseline.isChecked()
    start, end = dock.baseline_s or (0.0, 0.0)
    assert (start, end) == pytest.approx((0.75, 0.75 + 5 * DT))
    pull(at(end, 0.5), at(5, 0.5))
    assert not dock.toolbar.auto_baseline.isChecked()
    assert dock.baseline_s == pytest.approx((0.75, 5), abs=0.15)
    pull(at(3, 0.02), at(5, 0.02))
    assert dock.baseline_s == pytest.approx((2.75, 7), abs=0.3)
    assert viewer.dims.current_step[0] == 18
    quick = dock.plot.n_quick
    viewer.dims.set_current_step(0, 3)
    qtbot.waitUntil(lambda: dock.plot.n_quick > quick, timeout=WAIT_MS)
    said: list[str] = []
    dock.plot.read_out.connect(said.append)
    y = axes.transAxes.inverted().transform(axes.transData.transform((0, line(dock)[8])))[1]
    qtbot.mouseMove(canvas, at(0.75 + 8 * DT, y))
    qtbot.waitUntil(lambda: any("frame 8" in text and "Aorta" in text for text in said), timeout=WAIT_MS)
    dock.toolbar.auto_baseline.setChecked(True)
    qtbot.waitUntil(lambda: dock.baseline_s == pytest.approx((0.75, 0.75 + 5 * DT)), timeout=WAIT_MS)


def test_several_reconstructions_are_overlaid(
    dock: CurvesDock, viewer: Any, two_regions: Any, read: Callable[[], None]
) -> None:
    other = add_series(viewer, "nufft", 2.0, metadata=facts("nufft", 1))
    fine = add_series(viewer, "grasp", 1.5, metadata=facts("grasp", 3))
    plain = viewer.add_image(np.zeros((5, 8, 8), np.float32), name="plain", units=("s", "mm", "mm"))
    read()
    assert len(dock.plot.curves) == 6
    assert viewer.layers[-1] is dock.regions.layer, "regions lie under a series that came later"
    looks = dock.reader.looks()
    assert looks[-1].is_reference
    colours = {curve.key[0]: set[str]() for curve in dock.plot.curves}
    lines = {curve.key[1]: set[str]() for curve in dock.plot.curves}
    for curve in dock.plot.curves:
        colours[curve.key[0]].add(curve.style.colour)
        lines[curve.key[1]].add(str(curve.style.line))
    assert [len(found) for found in (*colours.values(), *lines.values())] == [1] * 5
    assert len({next(iter(found)) for found in lines.values()}) == 3
    by_key = {curve.key[1]: curve for curve in dock.plot.curves[:3]}
    assert np.allclose(by_key[str(other.unique_id)].centre, 2 * by_key[str(two_regions.unique_id)].centre, rtol=1e-5)
    rings = dock.plot._artists.rings[dock.plot.curves[0].key]
    assert by_key[str(fine.unique_id)].interpolated.sum() == 16
    assert rings.get_markerfacecolor() == "none"
    assert dock.tables.quantities.rowCount() == 6
    entries = {(e.roi, e.recon): e.quantities for e in dock.quantity_entries()}
    assert entries["Aorta", "NuFFT, 13 spokes per frame"].peak_relative_enhancement == pytest.approx(
        entries["Aorta", "DA-INR, 13 spokes per frame"].peak_relative_enhancement, rel=1e-4
    )
    shown = {action.text(): action for action in dock.toolbar.series.menu().actions()}
    assert not shown["plain"].isChecked()
    shown["NuFFT, 13 spokes per frame"].trigger()
    read()
    assert len(dock.plot.curves) == 4
    viewer.layers.remove(fine)
    viewer.layers.remove(plain)
    two_regions.name = "renamed"
    read()
    assert len(dock.plot.curves) == 2


def test_curves_grow_with_a_fit_in_its_layer(
    dock: CurvesDock, viewer: Any, two_regions: Any, read: Callable[[], None]
) -> None:
    for step in range(1, 4):
        two_regions.data = series(float(step))
        read()
        assert line(dock).max() == pytest.approx(4 * step, rel=0.05)
    short = series()[:11]
    two_regions.data = short
    two_regions.scale = (2 * DT, DY, DX)
    read()
    assert len(line(dock)) == 11
    assert np.isclose(np.diff(dock.plot.curves[0].times_s), 2 * DT).all()


def test_modes_median_band_and_phases(dock: CurvesDock, two_regions: Any, read: Callable[[], None]) -> None:
    bar, tables = dock.toolbar, dock.tables
    bar.mode.setCurrentIndex(bar.mode.findData("relative"))
    assert line(dock)[:6] == pytest.approx(np.zeros(6), abs=0.2)
    assert dock.plot.labels == ("time (s)", "Relative enhancement (%)")
    bar.statistic.setCurrentIndex(1)
    assert "median" in dock.plot.labels[1]
    bar.band.setChecked(False)
    read()
    phases = [tables.phases.item(row, 0).text() for row in range(tables.phases.rowCount())]
    assert phases[:3] == ["Precontrast", "Early arterial", "Late arterial"]
    assert "not a diagnosis" in tables.phase_note.text()
    tables.phases.item(2, 1).setText("11,5")
    assert dock.figure_plan().phases[2].start_s == 11.5
    assert dock.figure_plan().phases[1].end_s == 11.5
    tables.phases.item(2, 1).setText("900")
    assert "must lie between" in dock.banner.text.text()
    assert dock.figure_plan().phases[2].start_s == 11.5
    read()
    tables.reset.click()
    assert dock.state.regions.phases is None
    assert dock.figure_plan().phases[2].start_s != 11.5
    row = [tables.quantities.item(0, column).text() for column in range(5)]
    assert row[:2] == ["Aorta", "DA-INR, 13 spokes"]
    tables.auc_s.setValue(600)
    assert dock.quantity_entries()[0].quantities.auc is None


# -------------------------------------------------------------------- files


def test_files_are_written_and_read_back(
    dock: CurvesDock, viewer: Any, two_regions: Any, tmp_path: Path, qtbot: Any, read: Callable[[], None]
) -> None:
    geometry = dock.reader.looks()[0].geometry
    before = dock.state.regions
    for name in ("regions.json", "regions.zip", "labels.nii.gz"):
        dock.files.save_regions(tmp_path / name)
        qtbot.waitUntil(
            lambda name=name: (tmp_path / name).exists() and not dock.files._scratch.copies, timeout=WAIT_MS
        )
        found, _ = import_regions(tmp_path / name, geometry)
        assert [region.name for region in found] == names(dock)
    dock.files.save_curves(tmp_path / "curves.csv")
    dock.files.save_quantities(tmp_path / "quantities.csv")
    dock.files.save_figure(tmp_path / "curves.svg")
    qtbot.waitUntil(lambda: not dock.files._scratch.copies, timeout=WAIT_MS)
    rows = [row for row in (tmp_path / "curves.csv").read_text().splitlines() if not row.startswith("#")]
    assert len(rows) == 1 + 2 * N
    assert len((tmp_path / "quantities.csv").read_text().splitlines()) == 5
    assert "Research use only" in (tmp_path / "curves.csv").read_text()
    assert (tmp_path / "curves.svg").stat().st_size > 5000
    viewer.layers.remove(dock.regions.layer)
    assert not names(dock)
    dock.files.load(tmp_path / "regions.json")
    qtbot.waitUntil(lambda: len(names(dock)) == 2, timeout=WAIT_MS)
    assert dock.state.regions.regions == before.regions
    dock.files.load(tmp_path / "curves.csv")
    qtbot.waitUntil(lambda: "cannot tell the format" in dock.banner.text.text(), timeout=WAIT_MS)
    dock.files.save_figure(tmp_path / "no" / "curves.svg")
    qtbot.waitUntil(lambda: "does not exist" in dock.banner.text.text(), timeout=WAIT_MS)


def test_tables_go_to_the_clipboard(dock: CurvesDock, viewer: Any, read: Callable[[], None]) -> None:
    commands.copy_command()
    assert "no curve yet" in dock.banner.text.text()
    layer = add_series(viewer)
    dock.regions.ensure(layer)
    dock.regions.add(Region(ellipse_corners(world(20, 12), (7, 7)), "ellipse", "AO"))
    read()
    dock.files.copy_quantities()
    text = QApplication.clipboard().text().splitlines()
    assert text[0].split("\t")[:4] == ["recon", "roi", "role", "n"]
    assert text[1].split("\t")[:3] == ["DA-INR, 13 spokes per frame", "Aorta", "AO"]
    dock.files.copy_curves()
    assert len(QApplication.clipboard().text().splitlines()) == N + 2


# -------------------------------------------------------------------- what may go wrong


def test_layers_may_go_at_any_time(dock: CurvesDock, viewer: Any, two_regions: Any, read: Callable[[], None]) -> None:
    layer = dock.regions.layer
    assert layer is not None
    layer.mode = "select"
    layer.selected_data = {0}
    press = Pointer(Mouse("mouse_press", world(20, 12), (0, 0)))
    mouse_press_callbacks(layer, press)
    mouse_move_callbacks(layer, Mouse("mouse_move", world(22, 14), (0, 0), True))
    viewer.layers.remove(two_regions)
    read()
    assert not dock.plot.curves
    assert "There is no series yet" in dock.plot.hint.text()
    mouse_release_callbacks(layer, Mouse("mouse_release", world(22, 14), (0, 0)))
    viewer.layers.remove(layer)
    assert not names(dock)
    dock.undo()
    assert names(dock) == ["Aorta", "Portal vein"]
    add_series(viewer)
    dock.undo()
    read()
    assert dock.regions.layer is not None
    assert dock.regions.layer is not layer
    viewer.layers.clear()
    read()
    dock.use_tool("ellipse")
    assert not dock.regions.armed


def test_large_regions_are_read_beside_the_event_loop(
    dock: CurvesDock, viewer: Any, qtbot: Any, read: Callable[[], None]
) -> None:
    side = int((AT_ONCE / 8) ** 0.5) + 20
    image = np.random.default_rng(0).random((8, side, side), dtype=np.float32)
    layer = viewer.add_image(image, units=("s", "mm", "mm"))
    dock.regions.ensure(layer)
    dock.regions.add(Region(box_corners(1, 1, side - 2, side - 2), "rectangle"))
    qtbot.waitUntil(lambda: dock.reader._beside.busy, timeout=WAIT_MS)
    dock.state.set(dock.state.regions.put(dock.state.regions.regions[0].moved(1, 1)))
    read()
    qtbot.waitUntil(lambda: bool(dock.reader.readings), timeout=WAIT_MS)
    read()
    reading = dock.reader.readings[0]
    assert reading.curve is not None
    assert np.allclose(reading.curve.mean, image[:, 2:side, 2:side].mean(axis=(1, 2)), atol=2e-4)
    for step in range(3):  # from the second move on only the pixels that changed are read
        dock.state.set(dock.state.regions.put(dock.state.regions.regions[0].moved(-step, -1)))
        read()
        qtbot.waitUntil(lambda: dock.reader.readings[0].region == dock.state.regions.regions[0], timeout=WAIT_MS)
    read()
    reading = dock.reader.readings[0]
    assert reading.curve is not None
    inside = mask_in(reading.region, reading.look).full()
    assert np.allclose(reading.curve.mean, image[:, inside].mean(axis=1, dtype=np.float64), rtol=1e-11)
    assert np.array_equal(reading.curve.median, np.median(image[:, inside].astype(np.float64), axis=1))
    assert len(dock.reader._moving) == 1
    layer.data = image[:4].copy()
    read()
    assert not dock.reader._moving


def test_closing_the_dock_keeps_the_regions_and_opening_it_finds_them(
    dock: CurvesDock, viewer: Any, two_regions: Any, qtbot: Any, read: Callable[[], None]
) -> None:
    layer = dock.regions.layer
    assert layer is not None
    before = dock.state.regions.regions
    viewer.window.remove_dock_widget(dock)
    qtbot.waitUntil(lambda: find(viewer, CurvesDock) is None and dock._viewer is None, timeout=WAIT_MS)
    two_regions.data = series(2.0)
    viewer.dims.set_current_step(0, 3)
    layer.add([np.array([[2, 2], [2, 9], [9, 9.0]])], shape_type="polygon")
    assert layer.nshapes == 3
    again = find_or_open(viewer, CurvesDock)
    assert again is not dock
    for now, then in zip(again.state.regions, before, strict=False):
        assert (now.id, now.name, now.role, now.kind) == (then.id, then.name, then.role, then.kind)
        assert np.allclose(now.vertices, then.vertices, atol=1e-4)
    assert len(again.state.regions) == 3
    qtbot.waitUntil(lambda: len(again.plot.curves) == 3, timeout=WAIT_MS)
    qtbot.waitUntil(lambda: not again.marks.is_due, timeout=WAIT_MS)


def test_theme_and_hidden_dock(dock: CurvesDock, viewer: Any, two_regions: Any, read: Callable[[], None]) -> None:
    for theme in ("light", "dark"):
        viewer.theme = theme
        assert dock.plot.axes.get_facecolor()[:3] == pytest.approx(dock.plot.axes.figure.get_facecolor()[:3])
        assert (dock.plot.axes.get_facecolor()[0] > 0.5) == (theme == "light")
    dock.parentWidget().hide()
    two_regions.data = series(3.0)
    read()
    assert dock._viewer is viewer
    assert line(dock).max() == pytest.approx(12, rel=0.05)


def test_commands_and_keys(dock: CurvesDock, viewer: Any, two_regions: Any, read: Callable[[], None]) -> None:
    commands.draw_liver_command()
    assert (dock.regions.armed, dock.state.next_role) == ("ellipse", "LIVER")
    commands.open_command()
    dock.regions.disarm()
    dock.state.select(dock.state.regions.regions[1].id)
    commands.duplicate_command()
    assert names(dock)[-1] == "Portal vein 2"
    commands.undo_command()
    commands.redo_command()
    assert names(dock)[-1] == "Portal vein 2"
    commands.lock_command()
    assert dock.state.regions.regions[-1].locked
    layer = dock.regions.layer
    assert layer is not None
    bound = {str(key) for key in layer.keymap}
    assert {"Ctrl+Z", "Ctrl+Shift+Z", "Ctrl+D", "Ctrl+L", "F2"} <= bound
    own = {str(key) for key in type(layer).class_keymap}
    assert not bound & own, "a key of napari was taken"


def test_nothing_is_left_behind(make_napari_viewer: Any, qtbot: Any) -> None:
    import weakref

    viewer = make_napari_viewer()
    dock = find_or_open(viewer, CurvesDock)
    layer = add_series(viewer)
    dock.regions.ensure(layer)
    dock.regions.add(Region(ellipse_corners(world(20, 12), (7, 7)), "ellipse", "AO"))
    dock.reader.now()
    qtbot.wait(200)
    assert dock.plot.curves
    widgets = len(QApplication.topLevelWidgets())
    gone = weakref.ref(dock.reader)
    viewer.window.remove_dock_widget(dock)
    qtbot.wait(50)
    assert dock._viewer is None
    del dock
    qtbot.wait(50)
    for _ in range(3):
        gc.collect()
    assert gone() is None
    assert len(QApplication.topLevelWidgets()) <= widgets


def test_the_plugin_menu_opens_it_below_and_a_narrow_dock_stacks(make_napari_viewer: Any, qtbot: Any) -> None:
    viewer = make_napari_viewer(show=True)
    frame, dock = viewer.window.add_plugin_dock_widget("napari-dainr", "Regions and curves")
    assert isinstance(dock, CurvesDock)
    window = frame.parentWidget()
    below = Qt.DockWidgetArea.BottomDockWidgetArea
    qtbot.waitUntil(lambda: window.dockWidgetArea(frame) == below, timeout=WAIT_MS)
    assert find_or_open(viewer, CurvesDock) is dock
    assert dock.parts.orientation() == Qt.Orientation.Horizontal or dock.width() < 860
    window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, frame)
    qtbot.waitUntil(lambda: dock.width() < 860, timeout=WAIT_MS)
    assert dock.parts.orientation() == Qt.Orientation.Vertical
    qtbot.wait(100)
    assert window.dockWidgetArea(frame) == Qt.DockWidgetArea.RightDockWidgetArea
    assert dock._viewer is not None
    # napari hands its menu's docks a proxy of the viewer: everything works through it as well.
    first = add_series(viewer)
    dock.draw_role("AO")
    dock.regions.layer.add([np.array([[16, 8], [16, 16], [24, 16], [24, 8.0]])], shape_type="ellipse")
    qtbot.waitUntil(lambda: bool(dock.plot.curves), timeout=WAIT_MS)
    assert line(dock).argmax() == 6
    add_series(viewer, "nufft")
    qtbot.waitUntil(lambda: len(dock.plot.curves) == 2, timeout=WAIT_MS)
    assert viewer.layers[-1].name == "Regions"
    viewer.layers.remove(first)
    qtbot.waitUntil(lambda: len(dock.plot.curves) == 1, timeout=WAIT_MS)
    viewer.layers.remove(viewer.layers["Regions"])
    assert not names(dock)
    dock.undo()
    assert names(dock) == ["Aorta"]
    assert "Regions" in viewer.layers
