"""Playing, layers that come and go, preferences and commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.components import ViewerModel
from npe2 import PluginManifest
from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QFileDialog

from napari_dainr.gui._dock import find
from napari_dainr.gui.cine import commands
from napari_dainr.gui.cine.dock import CineDock
from napari_dainr.gui.cine.player import frame_due
from napari_dainr.gui.cine.settings import CineSettings, cine_settings

from .conftest import SECONDS, WAIT_MS, Clock, series, step


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
    viewer.keymap[next(key for key in viewer.keymap if str(key) == "Alt+A")](viewer)
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
