"""The dock "Cine": real widgets, a real viewer, files that are read back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.components import ViewerModel
from npe2 import PluginManifest
from PIL import Image
from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QFileDialog

from napari_dainr.gui._dock import find, find_or_open
from napari_dainr.gui.cine import commands
from napari_dainr.gui.cine.dock import CineDock
from napari_dainr.gui.cine.player import frame_due
from napari_dainr.gui.cine.settings import CineSettings, cine_settings

from .conftest import WAIT_MS

SECONDS = {"scale": (0.25, 1.5, 2.0), "translate": (0.5, 3.0, -4.0), "units": ("s", "mm", "mm")}


def series(n: int = 8, size: tuple[int, int] = (21, 17)) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.arange(n * size[0] * size[1], dtype=np.float32).reshape(n, *size)


@pytest.fixture(autouse=True)
def preferences(plugin_settings: Any, npe2pm: Any) -> None:
    """Preferences of this test alone, in a folder of its own."""
    npe2pm.register(PluginManifest.from_distribution("napari-dainr"))


@pytest.fixture
def model() -> ViewerModel:
    """A viewer without a window: layers, slider and keys are the same, and it is there at once."""
    return ViewerModel()


@pytest.fixture
def make_dock(qtbot: Any) -> Iterator[Callable[[Any], CineDock]]:
    """Opens the dock of a viewer; at the end nothing of it runs any more."""
    made: list[CineDock] = []

    def make(viewer: Any) -> CineDock:
        if isinstance(viewer, ViewerModel) and not hasattr(viewer, "window"):
            dock = CineDock(viewer)
            qtbot.addWidget(dock)
            dock.resize(400, 800)
            dock.show()
        else:
            dock = find_or_open(viewer, CineDock)
        made.append(dock)
        qtbot.wait(20)
        return dock

    yield make
    for dock in made:
        dock.cancel()
        qtbot.waitUntil(lambda dock=dock: dock.job is None and not dock._drawing, timeout=WAIT_MS)
        dock.play_panel.player.stop()
        dock._leave()


@pytest.fixture
def cine(model: ViewerModel, make_dock: Callable[[Any], CineDock]) -> CineDock:
    """The dock over a series of 8 frames."""
    model.add_image(series(), name="one", axis_labels=("t", "y", "x"), contrast_limits=(0, 2000), **SECONDS)
    return make_dock(model)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(cine: CineDock) -> Clock:
    """Time that the test makes; the timer of the player does not tick."""
    player = cine.play_panel.player
    player._clock = Clock()
    player._timer.timeout.disconnect()
    return player._clock


def step(viewer: Any) -> int:
    return int(viewer.dims.current_step[0])


# ------------------------------------------------------------------ playing


@given(number=st.integers(0, 1000), n=st.integers(3, 30))
def test_frames_in_their_order(number: int, n: int) -> None:
    assert frame_due(number, n, "loop") == (number % n, False)
    assert frame_due(number, n, "once") == (min(number, n - 1), number >= n - 1)
    cycle = [*range(n), *range(n - 2, 0, -1)]
    assert frame_due(number, n, "back and forth") == (cycle[number % len(cycle)], False)


def test_true_speed_is_seconds_of_the_slider(cine: CineDock, clock: Clock, model: ViewerModel) -> None:
    panel = cine.play_panel
    model.dims.set_current_step(0, 2)
    panel.play.click()
    assert panel.player.playing and "Stop" in panel.play.text()
    for elapsed, frame in ((0.1, 2), (0.26, 3), (0.8, 5), (1.6, 0), (25.5, 0)):
        clock.now = 100 + elapsed
        panel.player.tick()
        assert step(model) == frame, elapsed
    assert model.dims.point[0] == pytest.approx(0.5)
    panel.play.click()
    assert not panel.player.playing and "Play" in panel.play.text()


def test_frames_are_left_out_rather_than_time(cine: CineDock, clock: Clock, model: ViewerModel) -> None:
    shown: list[int] = []
    model.dims.events.point.connect(lambda _: shown.append(step(model)))
    cine.play_panel.numbers["true speed"].setValue(4.0)
    model.dims.set_current_step(0, 0)
    shown.clear()
    cine.play_panel.toggle()
    for _ in range(5):  # a canvas that takes 0.2 s per picture, where 16 per second are due
        clock.now += 0.2
        cine.play_panel.player.tick()
    assert shown == [3, 6, 1, 4, 0]


@pytest.mark.parametrize(
    ("pace", "value", "rate"),
    [("true speed", 2.0, 8.0), ("frames per second", 5.0, 5.0), ("seconds per cycle", 4.0, 2.0)],
)
def test_speed_in_each_way(
    cine: CineDock, clock: Clock, model: ViewerModel, pace: str, value: float, rate: float
) -> None:
    panel = cine.play_panel
    panel.pace.setCurrentIndex(panel.pace.findData(pace))
    panel.numbers[pace].setValue(value)
    assert f"{rate:g} frames/s" in panel.rate.text() and f"{rate / 4:g} × true speed" in panel.rate.text()
    model.dims.set_current_step(0, 0)
    panel.toggle()
    clock.now += 3.5 / rate
    panel.player.tick()
    assert step(model) == 3


def test_once_ends_at_the_last_frame_and_begins_again(cine: CineDock, clock: Clock, model: ViewerModel) -> None:
    panel = cine.play_panel
    panel.mode.setCurrentIndex(panel.mode.findData("once"))
    model.dims.set_current_step(0, 5)
    panel.toggle()
    clock.now += 100
    panel.player.tick()
    assert step(model) == 7 and not panel.player.playing
    panel.toggle()
    panel.player.tick()
    assert step(model) == 0


def test_the_slider_wins_while_it_plays(cine: CineDock, clock: Clock, model: ViewerModel) -> None:
    cine.play_panel.toggle()
    clock.now += 0.3
    cine.play_panel.player.tick()
    model.dims.set_current_step(0, 6)
    clock.now += 0.3
    cine.play_panel.player.tick()
    assert step(model) == 7


def test_steps_go_round(cine: CineDock, model: ViewerModel) -> None:
    model.dims.set_current_step(0, 7)
    cine.play_panel.after.click()
    assert step(model) == 0
    cine.play_panel.before.click()
    assert step(model) == 7


def test_layers_without_time(cine: CineDock, model: ViewerModel, qtbot: Any) -> None:
    model.layers.clear()
    model.add_image(series(), name="plain")
    qtbot.waitUntil(lambda: cine.layer is not None and cine.layer.name == "plain", timeout=WAIT_MS)
    panel = cine.play_panel
    assert not panel.play.isEnabled() and "not known" in panel.rate.text()
    panel.pace.setCurrentIndex(1)
    assert panel.play.isEnabled()


def test_time_as_a_picture_axis_is_not_played(cine: CineDock, model: ViewerModel) -> None:
    model.dims.order = (1, 0, 2)
    cine.play_panel.toggle()
    assert not cine.play_panel.player.playing and "axis of the picture" in cine.play_panel.rate.text()


# ------------------------------------------------------------------ layers come and go


def test_empty_then_layers_come_and_go(make_dock: Callable[[Any], CineDock], model: ViewerModel, qtbot: Any) -> None:
    dock = make_dock(model)
    assert not dock.export_button.isEnabled() and "Open a series" in dock.play_panel.info.text()
    one = model.add_image(series(), name="one", **SECONDS)
    model.add_image(series()[0], name="flat")
    model.add_image(np.zeros((4, 5, 5, 3), np.uint8), name="rgb", rgb=True)
    model.add_labels(np.zeros((4, 5, 5), int), name="labels")
    two = model.add_image(series(12), name="two", **SECONDS)
    qtbot.waitUntil(lambda: dock.play_panel.layers.count() == 2, timeout=WAIT_MS)
    assert dock.layer is two and "12 frames" in dock.play_panel.info.text()
    model.layers.selection.active = one
    assert dock.layer is one
    one.name = "renamed"
    qtbot.waitUntil(lambda: dock.play_panel.layers.currentText() == "renamed", timeout=WAIT_MS)
    dock.play_panel.toggle()
    model.layers.remove(one)
    qtbot.waitUntil(lambda: dock.layer is two, timeout=WAIT_MS)
    model.layers.clear()
    qtbot.waitUntil(lambda: dock.layer is None, timeout=WAIT_MS)
    assert not dock.play_panel.player.playing and not dock.play_panel.play.isEnabled()
    qtbot.waitUntil(lambda: not dock._drawing, timeout=WAIT_MS)


def test_new_data_while_it_plays(cine: CineDock, clock: Clock, model: ViewerModel) -> None:
    """As a fit does: another array, with more frames, in the same layer."""
    cine.play_panel.toggle()
    assert cine.layer is not None
    cine.layer.data = series(20)
    assert "20 frames" in cine.play_panel.info.text() and cine.form.last.value() == pytest.approx(0.5 + 19 * 0.25)
    cine.layer.data = series(3)
    clock.now += 0.3
    cine.play_panel.player.tick()
    assert cine.play_panel.player.playing and step(model) <= 2


# ------------------------------------------------------------------ export


def export(dock: CineDock, path: Path, qtbot: Any) -> str:
    assert dock.export(path)
    assert not dock.export_button.isEnabled() and dock.cancel_button.isEnabled()
    qtbot.waitUntil(lambda: dock.job is None, timeout=WAIT_MS)
    return str(dock.banner.text.text())


def pictures(path: Path) -> tuple[np.ndarray[Any, Any], list[int]]:
    with Image.open(path) as file:
        frames, delays = [], []
        for number in range(getattr(file, "n_frames", 1)):
            file.seek(number)
            frames.append(np.asarray(file.convert("RGB")))
            delays.append(int(file.info["duration"]))
    return np.stack(frames), delays


def test_a_gif_is_the_array_in_the_layers_window(cine: CineDock, tmp_path: Path, qtbot: Any) -> None:
    cine.form.enlarge.setCurrentIndex(cine.form.enlarge.findData("1"))
    assert "Cine written: a.gif" in export(cine, tmp_path / "a.gif", qtbot)
    frames, delays = pictures(tmp_path / "a.gif")
    assert delays == [250] * 8
    height, width = 21 * 1, round(17 * 2.0 / 1.5)
    left = (frames.shape[2] - width) // 2
    assert width == 23 or width == 17  # whole factors only: 2.0 / 1.5 rounds to 1
    width = 17
    left = (frames.shape[2] - width) // 2
    expected = np.clip(series() / 2000, 0, 1) * 255
    np.testing.assert_allclose(frames[:, :height, left : left + width, 0], expected, atol=0.51)


def test_a_film_of_some_times_and_a_crop(cine: CineDock, tmp_path: Path, qtbot: Any) -> None:
    form = cine.form
    form.all_frames.setChecked(False)
    form.first.setValue(1.0)
    form.last.setValue(1.5)
    form.set_crop((2, 18, 3, 16))
    form.cycles.setValue(2)
    export(cine, tmp_path / "a.mp4", qtbot)
    count, seconds = imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "a.mp4"))
    assert count == 6 and seconds == pytest.approx(1.5, abs=0.02)


def test_outlines_of_shapes_are_where_they_are_in_the_picture(
    cine: CineDock, model: ViewerModel, tmp_path: Path, qtbot: Any
) -> None:
    """In millimetres, on another grid than the image: world (3 + 1.5 y, −4 + 2 x)."""
    shapes = model.add_shapes(ndim=2, units=("mm", "mm"), name="regions")
    box = np.array(
        [[3 + 1.5 * 4, -4 + 2 * 5], [3 + 1.5 * 4, -4 + 2 * 11], [3 + 1.5 * 10, -4 + 2 * 11], [3 + 1.5 * 10, -4 + 2 * 5]]
    )
    shapes.add_rectangles([box], edge_color="#d55e00", face_color="transparent", edge_width=0.5)
    shapes.features = {"name": ["aorta"]}
    cine.form.enlarge.setCurrentIndex(cine.form.enlarge.findData("4"))
    export(cine, tmp_path / "a.gif", qtbot)
    frames, _ = pictures(tmp_path / "a.gif")
    orange = (frames[0] == (0xD5, 0x5E, 0x00)).all(axis=-1)[: 21 * 4]
    ys, xs = np.nonzero(orange)
    left = (frames.shape[2] - 17 * 5) // 2
    factor_y, factor_x = 4, 5  # 4 along the shorter side of 1.5 mm, 5.33 along 2 mm
    assert abs(ys.min() - (4.5 * factor_y - 0.5)) <= 1 and abs(ys.max() - (10.5 * factor_y - 0.5)) <= 1
    assert abs(xs.min() - left - (5.5 * factor_x - 0.5)) <= 1 and abs(xs.max() - left - (11.5 * factor_x - 0.5)) <= 1
    shapes.visible = False
    export(cine, tmp_path / "b.gif", qtbot)
    assert not (pictures(tmp_path / "b.gif")[0][0] == (0xD5, 0x5E, 0x00)).all(axis=-1).any()


def test_crop_around_a_shape(cine: CineDock, model: ViewerModel) -> None:
    cine.form.around.click()
    assert "No shape is selected" in cine.banner.text.text()
    shapes = model.add_shapes(ndim=2, units=("mm", "mm"))
    low, high = np.array([3 + 1.5 * 4, -4 + 2 * 5]), np.array([3 + 1.5 * 10, -4 + 2 * 40])
    shapes.add_rectangles([np.array([low, [low[0], high[1]], high, [high[0], low[1]]])])
    model.layers.selection.active = shapes
    cine.form.around.click()
    assert [spin.value() for spin in cine.form.crop] == [4, 11, 5, 17]
    cine.form.whole.click()
    assert [spin.value() for spin in cine.form.crop] == [0, 21, 0, 17]


def test_the_preview_is_a_frame_of_the_file(cine: CineDock, model: ViewerModel, tmp_path: Path, qtbot: Any) -> None:
    model.dims.set_current_step(0, 5)
    before = cine._drawn
    qtbot.waitUntil(lambda: cine._drawn > before and not cine._preview_timer.isActive(), timeout=WAIT_MS)
    export(cine, tmp_path / "a.gif", qtbot)
    expected = pictures(tmp_path / "a.gif")[0][5]
    shown = cine.preview._picture.toImage().convertToFormat(cine.preview._picture.toImage().Format.Format_RGB888)
    data = (
        np.frombuffer(shown.constBits().asarray(shown.sizeInBytes()), np.uint8)
        if hasattr(shown.constBits(), "asarray")
        else np.frombuffer(shown.constBits(), np.uint8)
    )
    rows = data.reshape(shown.height(), shown.bytesPerLine())[:, : 3 * shown.width()]
    np.testing.assert_array_equal(rows.reshape(expected.shape), expected)


@pytest.mark.parametrize("what", ["window", "crop", "times"])
def test_a_field_that_cannot_be_is_marked_and_says_why(cine: CineDock, what: str) -> None:
    form = cine.form
    if what == "window":
        form.as_shown.click()
        form.low.setText("many")
        form.low.textEdited.emit("many")
        field = form.low
    elif what == "crop":
        form.crop[0].setValue(21)
        field = form.crop[0]
    else:
        form.all_frames.click()
        form.first.setValue(2.0)
        form.last.setValue(1.0)
        field = form.first
    assert not cine.export_button.isEnabled() and cine.export_button.toolTip() == form.problem() != ""
    assert "border" in field.styleSheet() and field.toolTip() == form.problem()
    assert not cine.export(Path("a.gif")) and form.problem() in cine.banner.text.text()


def test_what_cannot_be_written_is_one_sentence(cine: CineDock, tmp_path: Path, qtbot: Any) -> None:
    text = export(cine, tmp_path / "none" / "a.gif", qtbot)
    assert text.startswith("a.gif: ") and "folder" in text and cine.banner.kind == "error"
    cine.play_panel.pace.setCurrentIndex(1)
    cine.play_panel.numbers["frames per second"].setValue(80)
    text = export(cine, tmp_path / "a.gif", qtbot)
    assert "fps is 80" in text and cine.export_button.isEnabled()


def test_cancel_leaves_nothing(cine: CineDock, tmp_path: Path, qtbot: Any) -> None:
    assert cine.layer is not None
    cine.layer.data = series(400, (64, 64))
    assert cine.export(tmp_path / "a.gif")
    cine.cancel_button.click()
    qtbot.waitUntil(lambda: cine.job is None, timeout=WAIT_MS)
    assert "cancelled" in cine.banner.text.text() and not list(tmp_path.iterdir())
    assert cine.export_button.isEnabled() and not cine.bar.isVisible()


def test_deleting_the_layer_in_mid_export(cine: CineDock, model: ViewerModel, tmp_path: Path, qtbot: Any) -> None:
    assert cine.export(tmp_path / "a.gif")
    model.layers.clear()
    qtbot.waitUntil(lambda: cine.job is None, timeout=WAIT_MS)
    assert len(pictures(tmp_path / "a.gif")[1]) == 8, "what was begun is finished"


def test_the_dialog_gives_a_missing_suffix(
    cine: CineDock, tmp_path: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind, suffix in (("GIF animation (*.gif)", ".gif"), ("MP4 film (*.mp4)", ".mp4")):
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, k=kind: (str(tmp_path / "out"), k))
        cine.export_button.click()
        qtbot.waitUntil(lambda: cine.job is None, timeout=WAIT_MS)
        assert (tmp_path / f"out{suffix}").is_file()


def test_our_series_are_called_by_method_and_not_by_file(
    make_dock: Callable[[Any], CineDock], model: ViewerModel, qtbot: Any
) -> None:
    facts = {"recipe": {"method": "grasp", "spokes_per_frame": 13}, "interpolated": [False, True, True, False]}
    model.add_image(series(4), name="GRASP · Zebulon", metadata={"dainr": facts}, **SECONDS)
    dock = make_dock(model)
    qtbot.wait(30)
    assert dock.form.name.text() == "GRASP, 13 spokes per frame"
    assert "2 interpolated" in dock.play_panel.info.text()
    qtbot.waitUntil(lambda: not dock._drawing, timeout=WAIT_MS)


# ------------------------------------------------------------------ preferences and commands


def test_preferences_are_those_of_the_manifest(repository: Path) -> None:
    manifest = PluginManifest.from_file(repository / "napari.yaml")
    page = manifest.contributions.configurations["cine"].properties
    assert {name: p.default for name, p in page.items()} == vars(CineSettings())
    assert cine_settings() == CineSettings()


def test_settings_are_remembered(make_dock: Callable[[Any], CineDock], model: ViewerModel, qtbot: Any) -> None:
    model.add_image(series(), **SECONDS)
    dock = make_dock(model)
    dock.play_panel.pace.setCurrentIndex(2)
    dock.play_panel.numbers["seconds per cycle"].setValue(3.5)
    dock.form.interpolation.setCurrentIndex(2)
    dock.form.boxes["scale_bar"].setChecked(False)
    dock.form.cycles.setValue(4)
    assert cine_settings() == CineSettings(
        pace="seconds per cycle", cycle_s=3.5, interpolation="fourier", scale_bar=False, cycles=4
    )
    dock._leave()
    again = make_dock(model)
    assert again.play_panel.numbers["seconds per cycle"].value() == 3.5
    assert not again.form.boxes["scale_bar"].isChecked() and again.form.cycles.value() == 4
    qtbot.waitUntil(lambda: not again._drawing, timeout=WAIT_MS)


def test_every_setting_has_an_option_or_a_place(cine: CineDock) -> None:
    settings = cine.form.settings(cine.play_panel.settings)
    assert {field.name for field in fields(settings)} == {field.name for field in fields(CineSettings)}


def test_in_a_window(
    make_napari_viewer: Any, make_dock: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Small and in both themes, by commands and keys, playing for real, closed in mid-export and opened again."""
    asked: list[str] = []
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (asked.append("asked"), ("", ""))[1])
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1280, 720)
    layer = viewer.add_image(series(), **SECONDS)
    commands.open_command()
    dock = find(viewer, CineDock)
    assert dock is not None and make_dock(viewer) is dock
    for theme in ("light", "dark"):
        viewer.theme = theme
        qtbot.wait(60)
        inside = dock.widget()
        assert inside is not None and inside.width() >= inside.minimumSizeHint().width()
        dock.ensureWidgetVisible(dock.export_button)
        place = dock.export_button.mapTo(dock.viewport(), QPoint(0, 0))
        assert place.x() >= 0 and place.x() + dock.export_button.width() <= dock.viewport().width()
    dock.play_panel.pace.setCurrentIndex(1)
    dock.play_panel.numbers["frames per second"].setValue(50)
    seen: set[int] = set()
    viewer.dims.events.point.connect(lambda _: seen.add(step(viewer)))
    commands.play_command()
    qtbot.waitUntil(lambda: len(seen) >= 3, timeout=WAIT_MS)
    viewer.keymap[next(key for key in viewer.keymap if str(key) == "Alt+P")](viewer)
    assert not dock.play_panel.player.playing
    commands.export_command()
    assert asked == ["asked"]
    layer.data = series(400, (64, 64))
    commands.play_command()
    assert dock.export(tmp_path / "a.gif")
    viewer.window.remove_dock_widget(dock)
    qtbot.waitUntil(lambda: dock.job is None and not dock._drawing, timeout=WAIT_MS)
    assert not list(tmp_path.glob("*.gif")) and not dock.play_panel.player.playing
    viewer.layers.clear()
    again = make_dock(viewer)
    assert again is not dock and find(viewer, CineDock) is again
    commands.export_command()
    assert asked == ["asked"] and "Open a series" in again.banner.text.text()
