"""The dock "x–t": what is drawn is what map_coordinates reads along the line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from numpy.typing import NDArray
from PIL import Image
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtWidgets import QFileDialog
from scipy.ndimage import map_coordinates

from napari_dainr import RESEARCH_USE
from napari_dainr.gui._dock import find
from napari_dainr.gui.xt import commands
from napari_dainr.gui.xt.dock import XtDock
from napari_dainr.gui.xt.reader import OUTSIDE, grey_levels
from napari_dainr.gui.xt.view import ticks

from .conftest import WAIT_MS

PLACE = {"scale": (0.25, 1.5, 2.0), "translate": (0.5, 3.0, -4.0), "units": ("s", "mm", "mm")}


def series(n: int = 6, size: tuple[int, int] = (31, 24), seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((n, *size)).astype(np.float32)


@pytest.fixture
def model() -> ViewerModel:
    """A viewer without a window: layers and slider are the same, and it is there at once."""
    return ViewerModel()


@pytest.fixture
def make_dock(qtbot: Any) -> Iterator[Callable[[ViewerModel], XtDock]]:
    made: list[XtDock] = []

    def make(viewer: ViewerModel) -> XtDock:
        dock = XtDock(viewer)
        qtbot.addWidget(dock)
        dock.resize(900, 360)
        dock.show()
        qtbot.wait(20)
        made.append(dock)
        return dock

    yield make
    for dock in made:
        dock._leave()


@pytest.fixture
def xt(model: ViewerModel, make_dock: Callable[[ViewerModel], XtDock], qtbot: Any) -> XtDock:
    """The dock over two series on different grids in space and time, with a line."""
    model.add_image(series(), name="one", contrast_limits=(0, 1), **PLACE)
    finer = PLACE | {"scale": (0.125, 0.75, 1.0), "translate": (0.5, 2.625, -4.5)}
    model.add_image(series(11, (62, 48), 1), name="two", contrast_limits=(0.2, 1.5), **finer)
    dock = make_dock(model)
    dock.new_line()
    rest(dock, qtbot)
    return dock


def rest(dock: XtDock, qtbot: Any) -> None:
    """Wait until everything asked for is drawn."""
    qtbot.waitUntil(lambda: not dock._wait.isActive(), timeout=WAIT_MS)


def put(dock: XtDock, world: Any, qtbot: Any, kind: str = "path") -> NDArray[np.float64]:
    """Draw a line with these corners, in millimetres."""
    layer = dock.line.layer
    assert layer is not None
    layer.selected_data = set(range(layer.nshapes))
    layer.remove_selected()
    data = np.array([layer.world_to_data(point) for point in np.asarray(world, float)])
    layer.add([data], shape_type=kind)
    layer.selected_data = {0}
    rest(dock, qtbot)
    vertices = dock.line.vertices()
    if vertices is None:
        return np.empty((0, 2))
    np.testing.assert_allclose(vertices, world, atol=1e-4)  # napari keeps corners in single precision
    return vertices


def along(layer: ImageLayer, world: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """(frame, n) by scipy: points evenly spaced along the polyline."""
    lengths = np.hypot(*np.diff(world, axis=0).T)
    at = np.linspace(0, lengths.sum(), n)
    points = [np.interp(at, np.append(0, np.cumsum(lengths)), world[:, axis]) for axis in (0, 1)]
    pixels = [(points[axis] - layer.translate[axis + 1]) / layer.scale[axis + 1] for axis in (0, 1)]
    return np.stack([map_coordinates(frame.astype(float), pixels, order=1, cval=np.nan) for frame in layer.data])


@pytest.mark.parametrize("kind", ["line", "path"])
def test_strips_are_map_coordinates_along_the_line(xt: XtDock, model: ViewerModel, qtbot: Any, kind: str) -> None:
    corners = [[8.0, 0.5], [41.0, 33.0]] if kind == "line" else [[8.0, 0.5], [20.0, 30.0], [44.5, 12.0]]
    world = put(xt, corners, qtbot, kind)
    assert xt.view.titles == ["two", "one"]
    for (layer, strip), picture in zip(xt._strips(), xt.view.pictures, strict=True):
        assert strip.distance_mm[-1] == pytest.approx(np.hypot(*np.diff(world, axis=0).T).sum())
        expected = along(layer, world, len(strip.distance_mm))
        np.testing.assert_allclose(strip.values, expected, atol=1e-6)
        np.testing.assert_allclose(picture, np.clip(expected.T / 1.5, 0, 1) * 255, atol=0.51)
        np.testing.assert_allclose(strip.times_s, 0.5 + layer.scale[0] * np.arange(len(layer.data)))


def test_one_window_or_each_its_own(xt: XtDock, model: ViewerModel, qtbot: Any) -> None:
    layers = xt.layers
    assert [xt.window_of(layer, layers) for layer in layers] == [(0, 1.5), (0, 1.5)]
    xt.window.setCurrentIndex(1)
    rest(xt, qtbot)
    for (layer, strip), picture in zip(xt._strips(), xt.view.pictures, strict=True):
        low, high = layer.contrast_limits
        np.testing.assert_allclose(picture, np.clip((strip.values.T - low) / (high - low), 0, 1) * 255, atol=0.51)
    before = xt.view.pictures[0].copy()
    model.layers["two"].contrast_limits = (0.2, 0.6)
    rest(xt, qtbot)
    assert (xt.view.pictures[0] >= before).all() and (xt.view.pictures[0] > before).any()


def test_grey_levels_of_what_is_outside() -> None:
    values = np.array([[0.0, 0.5, np.nan], [1.0, 2.0, -1.0]])
    np.testing.assert_array_equal(grey_levels(values, (0.0, 1.0)), [[0, 255], [128, 255], [OUTSIDE, 0]])


def test_it_follows_the_line_at_every_step_of_a_drag(xt: XtDock, qtbot: Any) -> None:
    """``set_data`` is what a drag sends on every move of the mouse; ``data`` comes only at its end."""
    layer = xt.line.layer
    assert layer is not None
    for step in range(3):
        before = [picture.copy() for picture in xt.view.pictures]
        layer._data_view.shift(0, np.array([1.0 + step, 0.0]))
        layer.events.set_data()
        rest(xt, qtbot)
        vertices = xt.line.vertices()
        assert vertices is not None
        for (image, strip), old in zip(xt._strips(), before, strict=True):
            np.testing.assert_allclose(strip.values, along(image, vertices, len(strip.distance_mm)), atol=1e-6)
            assert not np.array_equal(grey_levels(strip.values, (0, 1.5)), old)


def test_it_follows_a_fit(xt: XtDock, model: ViewerModel, qtbot: Any) -> None:
    """A running fit puts new arrays into its layer; only that strip is read again."""
    other = xt._strips()[0][1]
    for seed in (5, 6):
        model.layers["one"].data = series(9, seed=seed)
        rest(xt, qtbot)
        strips = {layer.name: strip for layer, strip in xt._strips()}
        vertices = xt.line.vertices()
        assert vertices is not None
        expected = along(model.layers["one"], vertices, len(strips["one"].distance_mm))
        np.testing.assert_allclose(strips["one"].values, expected, atol=1e-6)
        assert strips["two"] is other
    assert xt.view.pictures[1].shape[1] == 9


def test_the_line_stays_above_new_images(xt: XtDock, model: ViewerModel, qtbot: Any) -> None:
    model.add_image(series(), name="result of a fit", **PLACE)
    rest(xt, qtbot)
    assert model.layers[-1] is xt.line.layer and xt.view.titles == ["result of a fit", "two", "one"]
    other = model.add_shapes(ndim=2, units=("mm", "mm"))
    rest(xt, qtbot)
    assert model.layers[-1] is other, "other shapes hide nothing"


def test_many_wishes_make_few_drawings(xt: XtDock, model: ViewerModel, qtbot: Any) -> None:
    before = xt.updates
    for seed in range(50):
        model.layers["one"].data = series(seed=seed)
    rest(xt, qtbot)
    assert xt.updates - before <= 2
    vertices = xt.line.vertices()
    assert vertices is not None
    strip = xt._strips()[1][1]
    np.testing.assert_allclose(strip.values, along(model.layers["one"], vertices, len(strip.distance_mm)), atol=1e-6)


def test_cursor_and_slider_move_each_other(xt: XtDock, model: ViewerModel, qtbot: Any) -> None:
    model.dims.set_point(0, 1.25)
    assert xt.view._time == pytest.approx(1.25)
    view = xt.view
    place = view._places()[0]
    where = QPoint(round(view.x_at(0.75)), round(place.center().y()))
    qtbot.mousePress(view, Qt.MouseButton.LeftButton, pos=where)
    assert model.dims.point[0] == pytest.approx(0.75) and view._time == pytest.approx(0.75)
    for wanted in (1.0, 1.5):
        qtbot.mouseMove(view, QPoint(round(view.x_at(wanted)), where.y()))
        view.time_wanted.emit(wanted)  # Qt's test mouse drags without its button
        assert model.dims.point[0] == pytest.approx(wanted)
    view.time_wanted.emit(99.0)
    assert model.dims.point[0] == pytest.approx(1.75), "never beyond the last frame"


def test_places_and_times_belong_together(xt: XtDock) -> None:
    view = xt.view
    for time in (0.5, 0.9, 1.7):
        assert view.time_at(view.x_at(time)) == pytest.approx(time)
    assert view.time_at(-50) == pytest.approx(0.5 - 0.125) and view.time_at(1e4) == pytest.approx(1.75 + 0.125)
    (layer, strip), row = xt._strips()[1], view._places()[1]
    frame, point = 4, len(strip.distance_mm) // 3
    at = QPointF(
        view.x_at(float(strip.times_s[frame])), row.top() + (point + 0.5) / len(strip.distance_mm) * row.height()
    )
    words = view.describe(at)
    assert words.startswith(f"{layer.name}\nframe 5, 1.500 s\n")
    assert f"{strip.distance_mm[point]:.1f} mm: {strip.values[frame, point]:.4g}" in words
    assert view.describe(QPointF(2, 2)) == ""


def test_ticks_are_round_and_not_crowded() -> None:
    assert ticks(0, 10, 300, 60) == [0, 2, 4, 6, 8, 10]
    assert ticks(0.37, 1.62, 300, 60) == [0.5, 1.0, 1.5]
    assert ticks(3.0, 3.0, 300, 60) == [3.0]
    for low, high in ((0, 1e-3), (-5, 1234), (99, 101)):
        found = ticks(low, high, 500, 50)
        assert 1 <= len(found) <= 11 and min(found) >= low - 1e-9 and max(found) <= high + 1e-9


def test_empty_deleted_and_drawn_again(
    model: ViewerModel, make_dock: Callable[[ViewerModel], XtDock], qtbot: Any
) -> None:
    dock = make_dock(model)
    assert "Open a series" in dock.view._hint and not dock.new_button.isEnabled() and not dock.save.isEnabled()
    dock.new_line()
    assert len(model.layers) == 0
    image = model.add_image(series(), name="one", **PLACE)
    model.add_image(series()[0], name="flat")
    rest(dock, qtbot)
    assert "Press New line" in dock.view._hint and dock.new_button.isEnabled()
    dock.new_button.click()
    rest(dock, qtbot)
    assert dock.view.titles == ["one"] and dock.line.layer in model.layers
    dock.line.layer.name = "renamed by someone"
    dock.line.layer.selected_data = {0}
    dock.line.layer.remove_selected()
    rest(dock, qtbot)
    assert dock.view.titles == [] and "Press New line" in dock.view._hint
    dock.new_button.click()
    rest(dock, qtbot)
    assert dock.view.titles == ["one"]
    model.layers.remove(dock.line.layer)
    rest(dock, qtbot)
    assert dock.view.titles == [] and not dock.tools["ends"].isEnabled()
    dock.new_button.click()
    model.layers.remove(image)
    rest(dock, qtbot)
    assert dock.view.titles == [] and "Open a series" in dock.view._hint
    model.layers.clear()
    rest(dock, qtbot)
    model.add_image(series(), name="again", **PLACE)
    rest(dock, qtbot)
    dock.new_button.click()
    rest(dock, qtbot)
    assert dock.view.titles == ["again"]


def test_lines_without_length_and_outside(xt: XtDock, qtbot: Any) -> None:
    put(xt, [[500.0, 500.0], [600.0, 500.0]], qtbot)
    assert xt.view.titles == [] and "outside" in xt.view._hint
    put(xt, [[10.0, 10.0], [10.0, 10.0]], qtbot)
    assert xt.view.titles == []
    put(xt, [[10.0, -40.0], [10.0, 10.0]], qtbot)
    assert xt.view.titles == ["two", "one"]
    assert (xt.view.pictures[0][:3] == OUTSIDE).all(), "the part that lies outside is grey"


def test_the_selected_line_counts(xt: XtDock, qtbot: Any) -> None:
    layer = xt.line.layer
    assert layer is not None
    layer.add_lines([np.array([[2.0, 2.0], [20.0, 15.0]]), np.array([[3.0, 3.0], [9.0, 20.0]])])
    layer.add_ellipses([np.array([[2.0, 2.0], [2.0, 9.0], [9.0, 9.0], [9.0, 2.0]])])
    layer.selected_data = set()
    assert xt.line.number == 2
    layer.selected_data = {1}
    assert xt.line.number == 1
    layer.selected_data = {3}
    assert xt.line.number == 2, "an ellipse is no line"


def test_series_can_be_left_out(xt: XtDock, model: ViewerModel, qtbot: Any) -> None:
    menu = xt.choose.menu()
    assert menu is not None
    menu.aboutToShow.emit()
    assert [action.text() for action in menu.actions()] == ["two", "one"]
    menu.actions()[0].setChecked(False)
    rest(xt, qtbot)
    assert xt.view.titles == ["one"]
    xt.show_series(model.layers["two"], True)
    rest(xt, qtbot)
    assert xt.view.titles == ["two", "one"]


def test_exports_hold_what_is_drawn(xt: XtDock, model: ViewerModel, tmp_path: Path, qtbot: Any) -> None:
    facts = {"recipe": {"method": "grasp", "spokes_per_frame": 13}, "interpolated": [False, True] * 3}
    model.layers["one"].metadata = {"dainr": facts}
    world = put(xt, [[8.0, 0.5], [41.0, 33.0]], qtbot)
    xt.export(tmp_path / "xt.npz")
    qtbot.waitUntil(lambda: "xt-2.npz" in xt.banner.text.text(), timeout=WAIT_MS)
    for number, name in ((1, "two"), (2, "GRASP, 13 spokes per frame")):
        with np.load(tmp_path / f"xt-{number}.npz") as file:
            layer = xt.layers[number - 1]
            assert str(file["recon"]) == name and str(file["note"]) == RESEARCH_USE
            np.testing.assert_allclose(file["values"], along(layer, world, len(file["distance_mm"])), atol=1e-6)
            np.testing.assert_allclose(file["vertices_mm"], world, atol=1e-9)
            assert file["interpolated"].sum() == (3 if number == 2 else 0)
    xt.export(tmp_path / "xt.png")
    qtbot.waitUntil(lambda: "xt.png" in xt.banner.text.text(), timeout=WAIT_MS)
    with Image.open(tmp_path / "xt.png") as picture:
        assert picture.size[0] > 600 and np.asarray(picture.convert("L")).std() > 20
    xt.export(tmp_path / "none" / "xt.png")
    qtbot.waitUntil(lambda: xt.banner.kind == "error", timeout=WAIT_MS)
    assert "folder" in xt.banner.text.text()


def test_layers_without_units(model: ViewerModel, make_dock: Callable[[ViewerModel], XtDock], qtbot: Any) -> None:
    model.add_image(series(), name="plain")
    dock = make_dock(model)
    dock.new_line()
    rest(dock, qtbot)
    assert dock.view.units == ("px", "")
    model.dims.set_current_step(0, 4)
    assert dock.view._time == 4
    np.testing.assert_array_equal(dock._strips()[0][1].times_s, np.arange(6))


def test_it_lets_go(xt: XtDock, model: ViewerModel, qtbot: Any) -> None:
    line = xt.line.layer
    xt._leave()
    updates = xt.updates
    model.layers["one"].data = series(seed=9)
    model.dims.set_current_step(0, 3)
    model.layers.remove(line)
    model.layers.clear()
    qtbot.wait(60)
    assert xt.updates == updates


def test_in_a_window(make_napari_viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By commands and keys, with real mouse drags on the canvas left to napari's tools, and closed."""
    asked: list[str] = []
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (asked.append("asked"), ("", ""))[1])
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1280, 720)
    viewer.add_image(series(), name="one", **PLACE)
    commands.line_command()
    dock = find(viewer, XtDock)
    assert dock is not None
    rest(dock, qtbot)
    line = dock.line.layer
    assert dock.view.titles == ["one"] and line is not None
    assert viewer.layers.selection.active is line and line.mode == "direct"
    for tool, mode in (("whole", "select"), ("draw", "add_polyline"), ("ends", "direct")):
        dock.tools[tool].click()
        assert line.mode == mode
    for theme in ("light", "dark"):
        viewer.theme = theme
        qtbot.wait(60)
        assert dock.view.grab().toImage().pixelColor(1, 1) == dock.view._colours[0]
        assert dock.widget().width() <= dock.viewport().width()
    commands.export_command()
    assert asked == ["asked"]
    viewer.layers.remove(line)
    viewer.keymap[next(key for key in viewer.keymap if str(key) == "Alt+X")](viewer)
    rest(dock, qtbot)
    assert dock.view.titles == ["one"] and dock.line.layer is not line
    viewer.window.remove_dock_widget(dock)
    qtbot.waitUntil(lambda: dock._viewer is None, timeout=WAIT_MS)
    commands.open_command()
    again = find(viewer, XtDock)
    assert again is not None and again is not dock
    viewer.layers.clear()
