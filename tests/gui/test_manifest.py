"""The manifest: valid, every name in it is there, and what it contributes works in a viewer."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from app_model.types import KeyBinding
from napari.settings import _clear_plugin_settings_cache, get_plugin_settings
from npe2 import PluginManifest

from napari_dainr.analysis.curves import MODES
from napari_dainr.errors import InputError
from napari_dainr.gui._dock import find, find_or_open
from napari_dainr.gui._model import Phase
from napari_dainr.gui._run_panel import KEYS
from napari_dainr.gui._settings import (
    PLUGIN,
    CompareSettings,
    CurveSettings,
    Settings,
    StripSettings,
    ViewerSettings,
    kept,
)
from napari_dainr.gui.cine.dock import CineDock
from napari_dainr.gui.cine.settings import CineSettings
from napari_dainr.gui.compare.measure import MAPS
from napari_dainr.gui.compare.widget import CompareDock
from napari_dainr.gui.curves.dock import CurvesDock
from napari_dainr.gui.widget import ReconstructionDock, find_dock
from napari_dainr.gui.xt.dock import XtDock
from napari_dainr.methods.config import CONFIGS
from napari_dainr.recipe import load_recipe

from .conftest import WAIT_MS, ScriptedEngine


@pytest.fixture(scope="module")
def manifest(repository: Path) -> PluginManifest:
    return PluginManifest.from_file(repository / "napari.yaml")


def test_every_command_is_there(manifest: PluginManifest) -> None:
    assert manifest.contributions.commands
    for command in manifest.contributions.commands:
        module, _, name = str(command.python_name).partition(":")
        assert callable(getattr(importlib.import_module(module), name)), command.id
        assert command.id.startswith("napari-dainr.")


@pytest.mark.parametrize("page", [ViewerSettings, CurveSettings, StripSettings, CompareSettings, CineSettings])
def test_preferences_begin_with_the_defaults_of_the_code(manifest: PluginManifest, page: type[Settings]) -> None:
    properties = manifest.contributions.configurations[page.PAGE].properties
    assert {name: p.default for name, p in properties.items()} == vars(page()) == vars(kept(page))


def test_choices_of_the_preferences_are_those_of_the_docks(manifest: PluginManifest) -> None:
    pages = manifest.contributions.configurations
    assert pages["curves"].properties["mode"].enum == list(MODES)
    assert pages["compare"].properties["maps"].enum == list(MAPS)
    assert set(CompareSettings().methods.split()) <= set(CONFIGS)


def on_disk() -> dict[str, Any]:
    """What napari has written, as another session would read it."""
    return dict(yaml.safe_load(get_plugin_settings(PLUGIN).config_path.read_text()))


def test_docks_remember_what_they_were_set_to(viewer: Any) -> None:
    curves, strips, compare, run = (kind(viewer) for kind in (CurvesDock, XtDock, CompareDock, ReconstructionDock))
    curves.toolbar.mode.choose("relative")
    curves.toolbar.statistic.choose("median")
    curves.toolbar.band.setChecked(False)
    strips.window.choose("own")
    compare.measure.kind.choose("difference")
    compare.measure.times.setValue(20)
    compare.measure.match.setChecked(False)
    compare.queue.boxes["dainr"].setChecked(False)
    compare.queue.boxes["lowrank"].setChecked(True)
    run.reconstruction.keep.setChecked(False)
    assert on_disk() == {
        "curves": {"mode": "relative", "statistic": "median", "band": False},
        "xt": {"window": "own"},
        "compare": {"methods": "nufft grasp lowrank", "maps": "difference", "factor": 20, "match_scale": False},
        "reconstruction": {"keep_previous": False},
    }
    for dock in (curves, strips, compare, run):
        dock._leave()
    _clear_plugin_settings_cache()  # as in another session
    curves, strips, compare, run = (kind(viewer) for kind in (CurvesDock, XtDock, CompareDock, ReconstructionDock))
    assert curves.toolbar.settings == CurveSettings("relative", "median", False) and curves.view.mode == "relative"
    assert strips.window.currentData() == "own"
    assert (compare.measure.kind.currentData(), compare.measure.times.value()) == ("difference", 20)
    assert not compare.measure.match.isChecked() and compare.queue.chosen == ["nufft", "grasp", "lowrank"]
    assert not run.model.form.keep_previous and not run.reconstruction.keep.isChecked()
    for dock in (curves, strips, compare, run):
        dock._leave()


def test_the_icon_is_there(repository: Path, manifest: PluginManifest) -> None:
    package, _, name = str(manifest.icon).partition(":")
    assert package == "napari_dainr.resources"
    assert (repository / "resources" / name).read_text().startswith("<svg")


def test_sample_data_opens_in_the_dock_and_its_recipe_has_a_file(viewer: Any, qtbot: Any, tmp_path: Path) -> None:
    viewer.open_sample("napari-dainr", "cine")
    dock = find_dock(viewer)
    assert dock is not None
    qtbot.waitUntil(lambda: dock.model.phase in (Phase.READY, Phase.FAILED), timeout=WAIT_MS)
    assert dock.model.phase is Phase.READY, dock.banner.details.toPlainText()
    assert len(viewer.layers) == 1
    dock.session.save_recipe(tmp_path / "recipe.json")
    recipe = load_recipe(tmp_path / "recipe.json")
    assert Path(recipe.data) == tmp_path / "cine-phantom.h5"
    assert Path(recipe.data).is_file()
    session = dock.session
    session.abandon()
    qtbot.waitUntil(lambda: not session._open_jobs, timeout=WAIT_MS)


def test_commands_of_the_palette(dock: ReconstructionDock, engine: ScriptedEngine, load_tiny: Any, qtbot: Any) -> None:
    from napari_dainr.gui import contributions

    engine.n_steps = 100_000
    contributions.start_command()
    assert "Open k-space first" in dock.banner.text.text()
    load_tiny()
    contributions.start_command()
    assert dock.model.phase is Phase.RUNNING
    contributions.pause_command()
    assert dock.model.phase is Phase.PAUSED
    contributions.pause_command()
    assert dock.model.phase is Phase.RUNNING
    contributions.stop_command()
    qtbot.waitUntil(lambda: dock.model.phase is Phase.DONE, timeout=WAIT_MS)


def test_keys_do_what_the_buttons_do_until_the_dock_is_closed(
    dock: ReconstructionDock, viewer: Any, engine: ScriptedEngine, load_tiny: Any, qtbot: Any
) -> None:
    """Each button of the dock has a key, which its tooltip names; no key is given twice among all docks."""
    engine.n_steps = 100_000
    keys = {name: KEYS[name] for name in dock.run_panel.buttons}

    def press(name: str) -> None:
        dock.run_panel.refresh()
        action = viewer.keymap[KeyBinding.from_str(keys[name])]
        action(viewer)

    press("start")
    assert dock.model.phase is Phase.EMPTY, "a key does no more than its button"
    load_tiny()
    for name, phase in (("start", Phase.RUNNING), ("pause", Phase.PAUSED), ("pause", Phase.RUNNING)):
        press(name)
        assert dock.model.phase is phase, name
    press("stop")
    qtbot.waitUntil(lambda: dock.model.phase is Phase.DONE, timeout=WAIT_MS)
    for name, button in dock.run_panel.buttons.items():
        assert button.toolTip().endswith(f"({keys[name].replace('-', '+')})")
    for kind in (CurvesDock, XtDock, CineDock, CompareDock):
        find_or_open(viewer, kind)
    opened = [dock, *(find(viewer, kind) for kind in (CurvesDock, XtDock, CineDock, CompareDock))]
    given = [key for one in opened if one is not None for key in one._keys]
    assert len(given) == len(set(given)) == 6 + 6 + 1 + 2 + 2
    viewer.window.remove_dock_widget(dock)
    qtbot.waitUntil(lambda: dock._viewer is None, timeout=WAIT_MS)
    assert not any(KeyBinding.from_str(key) in viewer.keymap for key in keys.values())


def test_what_cannot_be_saved_says_why(dock: ReconstructionDock) -> None:
    from napari_dainr.gui import contributions

    for command, words in (
        (contributions.export_command, "no series to be exported"),
        (contributions.save_run_command, "no run to be saved"),
        (contributions.save_recipe_command, "no recipe to be saved"),
    ):
        command()
        assert words in dock.banner.text.text()


def test_open_refuses_a_missing_file(tmp_path: Path) -> None:
    from napari_dainr.gui.open import open_viewer

    with pytest.raises(InputError, match=r"nothing\.h5"):
        open_viewer(tmp_path / "nothing.h5")
