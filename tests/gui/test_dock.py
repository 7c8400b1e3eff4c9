"""The dock against the scripted engine: every button, every way to end, everything done to the layers meanwhile."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_dainr.data import KSpace
from napari_dainr.errors import InputError
from napari_dainr.gui._model import Phase, Source, viewer_threads
from napari_dainr.gui._worker import Loaded
from napari_dainr.gui.widget import ReconstructionDock, find_dock, open_dock
from napari_dainr.recipe import load_recipe

from .conftest import WAIT_MS, ScriptedEngine


def _wait(qtbot: Any, dock: ReconstructionDock, *phases: Phase) -> None:
    qtbot.waitUntil(lambda: dock.model.phase in phases, timeout=WAIT_MS)


def test_loading_shows_a_first_look_with_units(dock: Any, viewer: Any, engine: Any, load_tiny: Any) -> None:
    load_tiny()
    (layer,) = viewer.layers
    assert layer.data.shape == (5, 33, 28)
    assert tuple(str(u) for u in layer.units) == ("second", "millimeter", "millimeter")
    assert layer.axis_labels == ("t", "y", "x")
    np.testing.assert_allclose(layer.scale, (0.08, 10, 10))
    np.testing.assert_allclose(layer.translate, (0.04, 5, 0))  # 33 rows of 10 mm: pixel 16 is in the middle
    assert layer.metadata["dainr"]["recipe"]["method"] == "nufft"
    assert "Not for diagnostic use" in layer.metadata["dainr"]["notice"]
    assert dock.data.summary.text().startswith("40 spokes · 66 samples · 3 coils · 0.4 s")
    assert dock.reconstruction.spokes.value() == 8
    assert "5 frames · 80.0 ms per frame · AF 4.1" in dock.reconstruction.derived.text()
    assert dock.run_panel.plot.n_points == 0


def test_start_to_finish(dock: Any, viewer: Any, engine: ScriptedEngine, load_tiny: Any, qtbot: Any) -> None:
    load_tiny()
    dock.run_panel.buttons["start"].click()
    assert dock.model.phase is Phase.RUNNING  # latched: no race with the worker's own signals
    assert not dock.run_panel.buttons["start"].isEnabled()
    assert not dock.reconstruction.spokes.isEnabled()
    _wait(qtbot, dock, Phase.DONE)
    assert len(viewer.layers) == 2
    layer = viewer.layers[-1]
    np.testing.assert_array_equal(layer.data, dock.session.series.magnitude)
    assert layer.data.max() == pytest.approx(120)
    assert layer.metadata["dainr"]["recipe"] == dock.session.recipe.model_dump(mode="json")
    assert layer.contrast_limits[1] == pytest.approx(120, rel=0.01)
    assert dock.run_panel.plot.n_points == 20
    assert engine.runs[-1].threads == viewer_threads()
    assert dock.banner.kind == "info"
    assert "Finished" in dock.banner.text.text()


def test_pause_and_resume(dock: Any, engine: ScriptedEngine, load_tiny: Any, qtbot: Any) -> None:
    engine.n_steps, engine.step_s = 60, 0.01
    load_tiny()
    buttons = dock.run_panel.buttons
    buttons["start"].click()
    qtbot.waitUntil(lambda: engine.steps_done >= 3, timeout=WAIT_MS)
    buttons["pause"].click()
    assert buttons["pause"].text() == "Resume"
    qtbot.wait(150)  # the step in hand
    rested = engine.steps_done
    qtbot.wait(300)
    assert engine.steps_done == rested < 60
    assert dock.run_panel.bar.format().startswith("paused")
    buttons["pause"].click()
    assert dock.model.phase is Phase.RUNNING
    _wait(qtbot, dock, Phase.DONE)
    assert engine.steps_done == 60


@pytest.mark.parametrize("pause_first", [False, True])
def test_stop_keeps_the_result(
    dock: Any, viewer: Any, engine: ScriptedEngine, load_tiny: Any, qtbot: Any, pause_first: bool
) -> None:
    engine.n_steps = 100_000
    load_tiny()
    dock.run_panel.buttons["start"].click()
    qtbot.waitUntil(lambda: engine.steps_done >= 3, timeout=WAIT_MS)
    if pause_first:
        dock.run_panel.buttons["pause"].click()
    dock.run_panel.buttons["stop"].click()
    assert dock.model.phase is Phase.STOPPING
    _wait(qtbot, dock, Phase.DONE)
    assert engine.ended == ["stopped"]
    np.testing.assert_array_equal(viewer.layers[-1].data, dock.session.series.magnitude)
    assert dock.run_panel.buttons["export"].isEnabled()


def _torch_oom() -> Exception:
    torch = pytest.importorskip("torch")
    error: Exception = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    return error


@pytest.mark.parametrize(
    ("make_error", "sentence"),
    [
        (lambda: RuntimeError("expected scalar type Float"), "RuntimeError: expected scalar type Float"),
        (_torch_oom, "Out of memory"),
        (lambda: RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "Out of memory"),
        (lambda: InputError("a.h5: field x is bad; mend it."), "a.h5: field x is bad; mend it."),
    ],
)
def test_errors_in_mid_fit_reach_the_banner(
    dock: Any,
    engine: ScriptedEngine,
    load_tiny: Any,
    qtbot: Any,
    make_error: Callable[[], Exception],
    sentence: str,
) -> None:
    engine.error, engine.fail_at = make_error(), 3
    load_tiny()
    dock.run_panel.buttons["start"].click()
    _wait(qtbot, dock, Phase.FAILED)
    assert dock.banner.kind == "error"
    assert sentence in dock.banner.text.text()
    assert "Traceback" in dock.banner.details.toPlainText()
    assert not dock.session._open_jobs
    engine.fail_at = -1
    assert dock.run_panel.buttons["start"].text() == "Start again"
    dock.run_panel.buttons["start"].click()
    _wait(qtbot, dock, Phase.DONE)
    assert dock.banner.kind == "info"


def test_deleted_and_renamed_layers(dock: Any, viewer: Any, engine: ScriptedEngine, load_tiny: Any, qtbot: Any) -> None:
    engine.n_steps = 100_000
    load_tiny()
    dock.run_panel.buttons["start"].click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=WAIT_MS)
    layer = viewer.layers[-1]
    layer.name = "mine"
    before = layer.data
    qtbot.waitUntil(lambda: layer.data is not before, timeout=WAIT_MS)
    assert [x.name for x in viewer.layers][1:] == ["mine"]
    viewer.layers.remove(layer)
    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=WAIT_MS)
    assert viewer.layers[-1] is not layer
    assert viewer.layers[-1].name == "mine"
    viewer.layers.clear()
    dock.run_panel.buttons["stop"].click()
    _wait(qtbot, dock, Phase.DONE)
    np.testing.assert_array_equal(viewer.layers[-1].data, dock.session.series.magnitude)


@pytest.mark.parametrize("keep", [True, False])
def test_a_second_run_keeps_or_reuses_the_layer(
    dock: Any, viewer: Any, engine: Any, load_tiny: Any, qtbot: Any, keep: bool
) -> None:
    load_tiny()
    dock.reconstruction.keep.setChecked(keep)
    for method in ("dainr", "grasp"):
        dock.reconstruction.method.setCurrentIndex(dock.reconstruction.method.findData(method))
        dock.run_panel.buttons["start"].click()
        _wait(qtbot, dock, Phase.DONE)
    names = [layer.name for layer in viewer.layers]
    assert names == (
        ["NuFFT · 8 spokes · tiny", "DA-INR · 8 spokes · tiny", "GRASP · 8 spokes · tiny"]
        if keep
        else ["NuFFT · 8 spokes · tiny", "GRASP · 8 spokes · tiny"]
    )


def test_other_data_in_mid_fit_is_refused(dock: Any, engine: ScriptedEngine, load_tiny: Any, qtbot: Any) -> None:
    engine.n_steps = 100_000
    load_tiny()
    kspace = dock.model.kspace
    dock.run_panel.buttons["start"].click()
    assert not dock.session.load(Source(sample="liver"))
    assert "stop it first" in dock.banner.text.text()
    assert dock.model.phase is Phase.RUNNING
    assert dock.model.kspace is kspace
    dock.run_panel.buttons["stop"].click()
    _wait(qtbot, dock, Phase.DONE)


def test_closing_the_dock_in_mid_fit_stops_and_keeps(
    dock: Any, viewer: Any, engine: ScriptedEngine, load_tiny: Any, qtbot: Any
) -> None:
    engine.n_steps = 100_000
    load_tiny()
    dock.run_panel.buttons["start"].click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=WAIT_MS)
    session = dock.session
    viewer.window.remove_dock_widget(dock)
    assert find_dock(viewer) is None
    qtbot.waitUntil(lambda: engine.ended == ["stopped"], timeout=WAIT_MS)
    qtbot.waitUntil(lambda: not session._open_jobs, timeout=WAIT_MS)
    np.testing.assert_array_equal(viewer.layers[-1].data, session.series.magnitude)


def test_hiding_the_dock_stops_nothing(dock: Any, engine: ScriptedEngine, load_tiny: Any, qtbot: Any) -> None:
    load_tiny()
    dock.run_panel.buttons["start"].click()
    dock.parentWidget().hide()
    qtbot.wait(50)
    assert dock.model.phase is Phase.RUNNING
    _wait(qtbot, dock, Phase.DONE)
    assert engine.ended == ["finished"]


def test_closing_the_viewer_in_mid_fit(
    dock: Any, viewer: Any, engine: ScriptedEngine, load_tiny: Any, qtbot: Any
) -> None:
    engine.n_steps = 100_000
    load_tiny()
    dock.run_panel.buttons["start"].click()
    qtbot.waitUntil(lambda: engine.steps_done >= 3, timeout=WAIT_MS)
    session = dock.session
    viewer.close()
    qtbot.waitUntil(lambda: not session._open_jobs, timeout=WAIT_MS)
    assert engine.at_once == 0  # the fit itself was closed, not left hanging


def test_late_news_of_an_old_job_is_dropped(
    dock: Any, viewer: Any, engine: ScriptedEngine, load_tiny: Any, qtbot: Any, tiny_kspace: Any
) -> None:
    """Opening a second file while the first look at another is still being computed."""
    looks: list[str] = []
    scripted = engine.run

    def slow(recipe: Any, folder: Any = None, **more: Any) -> Any:
        looks.append(recipe.data)
        engine.gate.wait(20)
        yield from scripted(recipe, folder, **more)

    pytest.MonkeyPatch().setattr("napari_dainr.recipe.run", slow)  # undone by the engine fixture
    engine.gate.clear()
    assert dock.session.load(Source(path=Path("first.h5")))
    qtbot.waitUntil(lambda: len(looks) == 1, timeout=WAIT_MS)
    assert dock.session.load(Source(path=Path("second.h5")))
    qtbot.waitUntil(lambda: len(looks) == 2, timeout=WAIT_MS)
    engine.gate.set()
    _wait(qtbot, dock, Phase.READY)
    qtbot.waitUntil(lambda: not dock.session._open_jobs, timeout=WAIT_MS)
    (layer,) = viewer.layers
    assert layer.metadata["dainr"]["recipe"]["data"].endswith("second.h5")


def test_bad_file_becomes_a_banner(dock: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(source: Source, folder: Path) -> None:
        raise InputError("notes.h5: is not ISMRMRD: there is no group with a header; convert the file.")

    monkeypatch.setattr("napari_dainr.gui._worker.read_source", refuse)
    dock.open_path(tmp_path / "notes.h5")
    _wait(qtbot, dock, Phase.FAILED)
    assert dock.banner.kind == "error"
    assert "is not ISMRMRD" in dock.banner.text.text()
    assert not dock.run_panel.buttons["start"].isEnabled()
    assert dock.data.open_button.isEnabled()


def test_invalid_fields_are_marked_with_the_reason(dock: Any, engine: Any, load_tiny: Any) -> None:
    load_tiny()
    section = dock.reconstruction
    section.spokes.setValue(41)
    assert "only 40 spokes" in section.spokes.toolTip()
    assert "border" in section.spokes.styleSheet()
    assert "only 40 spokes" in section.spokes_note.text()
    assert not dock.run_panel.buttons["start"].isEnabled()
    assert not dock.run_panel.buttons["save_recipe"].isEnabled()
    section.chips[5].click()
    assert section.spokes.value() == 5
    assert section.chips[5].isChecked()
    assert section.spokes.styleSheet() == ""
    assert dock.run_panel.buttons["start"].isEnabled()
    section.spokes.setValue(7)
    assert "Not a Fibonacci number; 5 or 8" in section.spokes_note.text()
    section.method_form.fields["n_steps"].setText("many")
    assert "valid integer" in section.method_form.fields["n_steps"].toolTip()
    assert not dock.run_panel.buttons["start"].isEnabled()
    section.method_form.fields["n_steps"].setText("")
    assert dock.run_panel.buttons["start"].isEnabled()


def test_saved_recipe_is_the_form(dock: Any, engine: Any, load_tiny: Any, tmp_path: Path, qtbot: Any) -> None:
    load_tiny()
    section = dock.reconstruction
    section.spokes.setValue(5)
    section.scale.setValue(1.5)
    section.upsample.setValue(3)
    section.seed.setValue(7)
    section.method_form.fields["n_steps"].setText("12")
    section.method_form.fields["learning_rate"].setText("2e-3")
    feature = section.method_form.fields["feature"]
    feature.setCurrentIndex(feature.findData("nufft"))
    path = tmp_path / "form.json"
    dock.session.save_recipe(path)
    recipe = load_recipe(path)
    assert recipe == dock.model.recipe()
    assert recipe.settings == {"n_steps": 12, "learning_rate": 0.002, "feature": "nufft"}
    assert (recipe.spokes_per_frame, recipe.scale, recipe.upsample, recipe.seed) == (5, 1.5, 3, 7)
    dock.run_panel.buttons["start"].click()
    _wait(qtbot, dock, Phase.DONE)
    assert engine.runs[-1] == recipe


def test_each_method_remembers_its_settings(dock: Any) -> None:
    section = dock.reconstruction
    section.method_form.fields["n_steps"].setText("12")
    section.method.setCurrentIndex(section.method.findData("grasp"))
    assert dock.model.form.settings == {}
    assert set(section.method_form.fields) == {"lam", "lam_factor", "space_factor", "n_steps", "tolerance"}
    assert section.method_form.fields["n_steps"].text() == ""
    section.method.setCurrentIndex(section.method.findData("dainr"))
    assert section.method_form.fields["n_steps"].text() == "12"


def test_saving_where_nothing_can_be_written(dock: Any, engine: Any, load_tiny: Any, tmp_path: Path) -> None:
    load_tiny()
    (tmp_path / "file").write_text("")
    dock.session.save_recipe(tmp_path / "file" / "recipe.json")
    assert dock.banner.kind == "error"
    assert "recipe.json" in dock.banner.text.text()


def test_a_missing_device_falls_back_aloud(dock: Any) -> None:
    dock.model.form.device = "cuda"
    dock.session._found_devices(("auto", "cpu"))
    assert dock.model.form.device == "auto"
    assert dock.reconstruction.device.currentData() == "auto"
    assert "cuda is not there" in dock.banner.text.text()


def test_the_dock_is_found_however_it_was_opened(viewer: Any, dock: Any) -> None:
    assert open_dock(viewer) is dock
    dock.parentWidget().hide()
    assert open_dock(viewer) is dock
    assert not dock.parentWidget().isHidden()


def test_the_activity_panel_shows_the_run_and_its_cancel_stops_and_keeps(
    dock: Any, engine: ScriptedEngine, load_tiny: Any, qtbot: Any
) -> None:
    from napari.utils.progress import progress

    engine.n_steps = 100_000
    load_tiny()
    dock.run_panel.buttons["start"].click()
    qtbot.waitUntil(lambda: any(bar.n > 0 for bar in progress._all_instances), timeout=WAIT_MS)
    (bar,) = progress._all_instances
    assert bar.total == 100_000
    bar.cancel()
    assert dock.model.phase is Phase.STOPPING
    _wait(qtbot, dock, Phase.DONE)
    assert engine.ended == ["stopped"]
    assert not progress._all_instances


def test_the_plot_follows_the_theme(dock: Any, viewer: Any, engine: ScriptedEngine, load_tiny: Any, qtbot: Any) -> None:
    load_tiny()
    dock.run_panel.buttons["start"].click()
    _wait(qtbot, dock, Phase.DONE)
    qtbot.waitUntil(lambda: dock.run_panel.plot._axes is not None, timeout=WAIT_MS)
    dock.run_panel.plot.add([("fit", 21, {"loss": 0.1, "held-out": 0.2})])
    qtbot.waitUntil(lambda: dock.run_panel.plot._axes.get_legend() is not None, timeout=WAIT_MS)
    axes = dock.run_panel.plot._axes
    dark = axes.get_facecolor()
    viewer.theme = "light"
    assert sum(axes.get_facecolor()[:3]) > sum(dark[:3]) + 1
    names = [text.get_color() for text in axes.get_legend().get_texts()]
    assert names == [axes.xaxis.label.get_color()] * 2


def test_a_word_without_an_end_does_not_widen_the_dock(dock: Any, qtbot: Any) -> None:
    before = dock.widget().minimumSizeHint().width()
    for word in ("0123456789abcdef" * 4, "a_file_whose_name_has_no_end_" * 8 + ".h5"):
        dock.banner.show_message("info", f"something of {word}: is too long", "")
        qtbot.wait(20)
        assert dock.widget().minimumSizeHint().width() == before
    assert word in dock.banner.text.text()


def test_no_place_for_the_run_is_a_banner_and_start_still_works(
    dock: Any, engine: ScriptedEngine, load_tiny: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_tiny()

    def full(**_: object) -> str:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("napari_dainr.gui._scratch.tempfile.mkdtemp", full)
        dock.run_panel.buttons["start"].click()
    assert dock.model.phase is Phase.READY
    assert dock.banner.kind == "error"
    assert "no space left" in dock.banner.text.text()
    dock.run_panel.buttons["start"].click()
    _wait(qtbot, dock, Phase.DONE)


def test_a_failed_second_run_leaves_the_first_to_be_saved(
    dock: Any, engine: ScriptedEngine, load_tiny: Any, qtbot: Any
) -> None:
    load_tiny()
    dock.run_panel.buttons["start"].click()
    _wait(qtbot, dock, Phase.DONE)
    kept = list(dock.session._scratch.folders)
    engine.error, engine.fail_at = RuntimeError("broken"), 3
    dock.run_panel.buttons["start"].click()
    _wait(qtbot, dock, Phase.FAILED)
    assert dock.session._scratch.folders[0] == kept[0]
    assert kept[0].is_dir()


def test_a_closed_dock_that_nobody_keeps_lets_go_before_it_is_deleted(
    viewer: Any, engine: ScriptedEngine, tiny_kspace: KSpace, qtbot: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    """The garbage may be collected right after a dock is closed, with a forecast on its way to it."""
    monkeypatch.setattr("napari_dainr.gui._worker.read_source", lambda source, folder: Loaded(tiny_kspace, source))
    may_end = threading.Event()

    def forecast(*arguments: Any) -> Any:
        may_end.wait(20)
        return engine.forecast(*arguments)

    monkeypatch.setattr("napari_dainr.forecast.forecast", forecast)
    opened = open_dock(viewer)
    opened.session.load(Source(path=tmp_path / "tiny.h5"))
    line = opened.run_panel.forecast
    qtbot.waitUntil(lambda: line._work.busy, timeout=WAIT_MS)
    viewer.window.remove_dock_widget(opened)
    del opened
    gc.collect()
    qtbot.wait(1)
    may_end.set()
    qtbot.waitUntil(lambda: not line.busy, timeout=WAIT_MS)
    assert line.forecast is None, "it arrived at a dock that was closed"
