"""The compare dock: queue, grid, scores, maps, parts and deformation, driven as a user would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication

from napari_dainr.gui._model import Phase
from napari_dainr.gui._session import Session
from napari_dainr.gui._time_layers import brief
from napari_dainr.gui.compare.widget import CompareDock, open_compare
from napari_dainr.gui.widget import find_dock

from .conftest import WAIT_MS, ScriptedEngine

METHODS = ("nufft", "grasp", "dainr")


@pytest.fixture
def compare(dock: Any, viewer: Any, qtbot: Any) -> Iterator[CompareDock]:
    """The compare dock beside an empty reconstruction dock; in the end nothing of it is at work."""
    opened = open_compare(viewer)
    jobs = [opened.measure._scoring, opened.measure._mapping, opened.parts._reading, opened.field._reading]
    jobs.append(opened.render_section._drawing)
    yield opened
    for job in jobs:
        job.cancel()
    qtbot.waitUntil(lambda: not any(job.busy for job in jobs), timeout=WAIT_MS)


@pytest.fixture
def run_queue(compare: CompareDock, qtbot: Any) -> Callable[..., None]:
    def run(*methods: str, wait: bool = True) -> None:
        for method, box in compare.queue.boxes.items():
            box.setChecked(method in methods)
        compare.queue.run.click()
        assert compare.queue.queue.running
        if wait:
            qtbot.waitUntil(lambda: not compare.queue.queue.running, timeout=WAIT_MS)

    return run


def states(compare: CompareDock) -> list[tuple[str, str]]:
    return [(item.method, item.state) for item in compare.queue.queue.items]


# -------------------------------------------------------------------- queue


def test_a_queue_runs_every_method_into_a_layer_of_its_own(
    compare: CompareDock, viewer: Any, engine: ScriptedEngine, load_tiny: Any, run_queue: Any, dock: Any
) -> None:
    assert not compare.queue.run.isEnabled()
    assert "Open k-space" in compare.queue.note.text()
    load_tiny()
    dock.reconstruction.seed.setValue(7)
    assert compare.queue.run.isEnabled()
    run_queue("nufft", "grasp", "dainr")
    assert states(compare) == [("nufft", "done"), ("grasp", "done"), ("dainr", "done")]
    _, *queued = engine.runs
    assert [recipe.method for recipe in queued] == list(METHODS)
    assert {recipe.seed for recipe in queued} == {7}
    names = [layer.name.split(" · ")[0] for layer in viewer.layers]
    assert names == ["NuFFT", "NuFFT", "GRASP", "DA-INR"]
    assert compare.queue.note.text() == "Queue: 3 done."
    assert compare.queue.run.isEnabled()
    assert dock.model.form.method == "dainr"
    assert engine.most_at_once == 1


def test_the_form_keeps_each_methods_settings(
    compare: CompareDock, engine: ScriptedEngine, load_tiny: Any, run_queue: Any, dock: Any
) -> None:
    load_tiny()
    dock.reconstruction.method_form.fields["n_steps"].setText("77")
    dock.reconstruction.method.setCurrentIndex(dock.reconstruction.method.findData("grasp"))
    dock.reconstruction.method_form.fields["n_steps"].setText("5")
    run_queue("dainr", "grasp")
    assert {recipe.method: recipe.settings for recipe in engine.runs[1:]} == {
        "dainr": {"n_steps": 77},
        "grasp": {"n_steps": 5},
    }
    assert dock.model.form.method == "grasp"
    assert dock.reconstruction.method_form.fields["n_steps"].text() == "5"


def test_one_that_fails_does_not_end_the_others(
    compare: CompareDock, engine: ScriptedEngine, load_tiny: Any, run_queue: Any, qtbot: Any
) -> None:
    load_tiny()
    engine.error, engine.fail_at = RuntimeError("broken"), 3
    run_queue("grasp", "dainr", wait=False)
    qtbot.waitUntil(lambda: engine.ended == ["failed"], timeout=WAIT_MS)
    engine.fail_at = -1
    qtbot.waitUntil(lambda: not compare.queue.queue.running, timeout=WAIT_MS)
    assert states(compare) == [("grasp", "failed"), ("dainr", "done")]
    assert "broken" in compare.queue.states["grasp"].toolTip()
    assert compare.queue.note.text() == "Queue: 1 done · 1 failed."


def test_settings_that_cannot_be_used_fail_alone(
    compare: CompareDock, engine: ScriptedEngine, load_tiny: Any, run_queue: Any, dock: Any
) -> None:
    load_tiny()
    dock.model.choose_method("grasp")
    dock.model.form.settings = {"n_steps": -4}
    dock.model.choose_method("dainr")
    run_queue("grasp", "dainr")
    assert states(compare) == [("grasp", "failed"), ("dainr", "done")]
    assert "n steps" in compare.queue.states["grasp"].toolTip()


@pytest.mark.parametrize("how", ["skip", "stop", "other dock"])
def test_stop_ends_one_or_all(
    compare: CompareDock, engine: ScriptedEngine, load_tiny: Any, run_queue: Any, qtbot: Any, dock: Any, how: str
) -> None:
    load_tiny()
    engine.n_steps = 100_000
    run_queue("grasp", "dainr", wait=False)
    qtbot.waitUntil(lambda: engine.steps_done >= 3, timeout=WAIT_MS)
    assert compare.queue.note.text() == "1 of 2: GRASP"
    qtbot.waitUntil(lambda: compare.queue.bar.format().startswith("fit"), timeout=WAIT_MS)
    button = {"skip": compare.queue.skip, "stop": compare.queue.stop, "other dock": dock.run_panel.buttons["stop"]}[how]
    engine.n_steps = 10 if how == "skip" else 100_000
    button.click()
    qtbot.waitUntil(lambda: not compare.queue.queue.running, timeout=WAIT_MS)
    second = "done" if how == "skip" else "skipped"
    assert states(compare) == [("grasp", "stopped"), ("dainr", second)]
    assert dock.model.phase is Phase.DONE


def test_closing_the_compare_dock_in_mid_queue_leaves_the_fit_alone(
    compare: CompareDock, viewer: Any, engine: ScriptedEngine, load_tiny: Any, run_queue: Any, qtbot: Any, dock: Any
) -> None:
    load_tiny()
    engine.n_steps = 200
    run_queue("grasp", "dainr", wait=False)
    viewer.window.remove_dock_widget(compare)
    qtbot.waitUntil(lambda: dock.model.phase is Phase.DONE, timeout=WAIT_MS)
    qtbot.wait(50)
    assert [recipe.method for recipe in engine.runs] == ["nufft", "grasp"]
    assert engine.ended == ["finished"]


def test_closing_the_reconstruction_dock_ends_the_queue(
    compare: CompareDock, viewer: Any, engine: ScriptedEngine, load_tiny: Any, run_queue: Any, qtbot: Any, dock: Any
) -> None:
    load_tiny()
    engine.n_steps = 100_000
    run_queue("grasp", "dainr", wait=False)
    qtbot.waitUntil(lambda: engine.steps_done >= 3, timeout=WAIT_MS)
    viewer.window.remove_dock_widget(dock)
    qtbot.waitUntil(lambda: not compare.queue.queue.running, timeout=WAIT_MS)
    assert [recipe.method for recipe in engine.runs] == ["nufft", "grasp"]
    assert states(compare)[1] == ("dainr", "skipped")


def test_the_queue_opens_the_reconstruction_dock(viewer: Any, qtbot: Any) -> None:
    opened = open_compare(viewer)
    assert find_dock(viewer) is None
    assert opened.queue.run.text() == "Open dock"
    opened.queue.run.click()
    dock = find_dock(viewer)
    assert dock is not None
    assert not opened.queue.queue.running
    assert isinstance(opened._session, Session)


def test_commands_of_the_palette(
    compare: CompareDock, viewer: Any, engine: ScriptedEngine, load_tiny: Any, qtbot: Any
) -> None:
    from napari_dainr.gui.compare import commands

    commands.run_queue_command()
    assert "Nothing was started: Open k-space" in compare.banner.text.text()
    commands.copy_table_command()
    assert "choose a reference first" in compare.banner.text.text()
    load_tiny()
    engine.n_steps = 100_000
    commands.run_queue_command()
    qtbot.waitUntil(lambda: "2 of 3" in compare.queue.note.text() and engine.steps_done > 1, timeout=WAIT_MS)
    commands.skip_command()
    qtbot.waitUntil(lambda: "3 of 3" in compare.queue.note.text() and engine.steps_done > 1, timeout=WAIT_MS)
    commands.stop_queue_command()
    qtbot.waitUntil(lambda: not compare.queue.queue.running, timeout=WAIT_MS)
    assert [state for _, state in states(compare)] == ["done", "stopped", "stopped"]
    commands.side_by_side_command()
    assert compare.grid.active
    commands.side_by_side_command()
    assert not compare.grid.active


# -------------------------------------------------------------------- grid


def add(viewer: Any, name: str, level: float, frames: int = 5, size: tuple[int, int] = (12, 10), **more: Any) -> Any:
    rng = np.random.default_rng(abs(hash(name)) % 2**32)
    data = (level * rng.random((frames, *size))).astype(np.float32)
    look: dict[str, Any] = {
        "scale": (0.1, 2, 2), "units": ("s", "mm", "mm"), "axis_labels": ("t", "y", "x"),
        "contrast_limits": (0, level), "metadata": {"dainr": {"method": name.lower()}},
    }  # fmt: skip
    return viewer.add_image(data, name=name, **look | more)


def test_the_grid_shares_slider_and_window_and_leaving_restores(compare: CompareDock, viewer: Any) -> None:
    a, b, other = add(viewer, "A", 1.0), add(viewer, "B", 2.0), add(viewer, "C", 3.0, visible=False)
    truth = add(viewer, "truth", 100.0, metadata={})
    points = viewer.add_points(np.zeros((1, 3)), name="marks")
    before = [(layer.visible, tuple(getattr(layer, "contrast_limits", ()))) for layer in viewer.layers]
    compare.layers.set_checked(other, False)
    compare.grid_button.click()
    assert viewer.canvas.grid.enabled
    assert [layer.visible for layer in viewer.layers] == [True, True, False, True, False]
    assert [layer.name_overlay.visible for layer in (a, b, truth)] == [True] * 3
    assert tuple(a.contrast_limits) == tuple(b.contrast_limits)
    a.contrast_limits = (0.1, 0.5)
    assert tuple(b.contrast_limits) == (0.1, 0.5)
    # In proportion: the leader is B (on top of A), whose full range is 2.
    np.testing.assert_allclose(truth.contrast_limits, (0.1 * 50, 0.5 * 50), rtol=0.05)
    viewer.dims.set_current_step(0, 3)
    places = {layer.name: viewer.canvas.grid.position(i, viewer.layers) for i, layer in enumerate(viewer.layers)}
    shown = [layer.name for layer in compare.layers.checked]
    assert sorted(shown, key=lambda name: places[name]) == shown[::-1]  # the oldest first
    compare.grid_button.click()
    assert not viewer.canvas.grid.enabled
    after = [(layer.visible, tuple(getattr(layer, "contrast_limits", ()))) for layer in viewer.layers]
    assert after == before
    assert not any(layer.name_overlay.visible for layer in viewer.layers)
    a.contrast_limits = (0.2, 0.7)
    assert tuple(b.contrast_limits) == (0, 2)
    assert points in viewer.layers


def test_maps_stand_under_their_series_and_the_camera_comes_back(compare: CompareDock, viewer: Any, qtbot: Any) -> None:
    add(viewer, "A", 1.0)
    add(viewer, "B", 2.0)
    truth = add(viewer, "truth", 3.0, metadata={})
    compare.measure.reference.choose(truth)
    compare.measure.show_maps.click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 5, timeout=WAIT_MS)
    for layer in viewer.layers[3:]:
        compare.layers.set_checked(layer, True)
    viewer.scene.camera.zoom, viewer.scene.camera.center = 7.5, (0, 3.0, 4.0)
    limits = [tuple(layer.contrast_limits) for layer in viewer.layers[3:]]
    compare.grid_button.click()
    places = {layer.name: viewer.canvas.grid.position(i, viewer.layers) for i, layer in enumerate(viewer.layers)}
    assert [places[name] for name in ("A", "B", "truth")] == [(0, 0), (0, 1), (0, 2)]
    assert [places[f"|{name} − truth| ×5"] for name in ("A", "B")] == [(1, 0), (1, 1)]
    assert [tuple(layer.contrast_limits) for layer in viewer.layers[3:]] == limits
    compare.grid_button.click()
    assert viewer.scene.camera.zoom == 7.5
    assert viewer.scene.camera.center == (0, 3.0, 4.0)


def test_napari_s_own_grid_button_and_deleted_layers(compare: CompareDock, viewer: Any) -> None:
    a, b = add(viewer, "A", 1.0), add(viewer, "B", 2.0)
    compare.grid_button.click()
    viewer.layers.remove(b)
    viewer.canvas.grid.enabled = False
    assert not compare.grid_button.isChecked()
    assert tuple(a.contrast_limits) == (0, 1)
    viewer.layers.clear()
    compare.grid_button.click()
    assert not compare.grid_button.isChecked()
    assert "check mark" in compare.banner.text.text()


def test_closing_the_dock_leaves_the_grid(compare: CompareDock, viewer: Any, qtbot: Any) -> None:
    add(viewer, "A", 1.0)
    add(viewer, "B", 2.0)
    compare.grid_button.click()
    viewer.window.remove_dock_widget(compare)
    qtbot.waitUntil(lambda: not viewer.canvas.grid.enabled, timeout=WAIT_MS)


def test_closing_the_window_in_the_grid(compare: CompareDock, viewer: Any, qtbot: Any) -> None:
    add(viewer, "A", 1.0)
    add(viewer, "B", 2.0)
    compare.grid_button.click()
    grid = compare.grid
    viewer.close()
    qtbot.waitUntil(lambda: not grid.active, timeout=WAIT_MS)


# -------------------------------------------------------------------- against a reference


def measured(compare: CompareDock, qtbot: Any, n: int) -> None:
    qtbot.waitUntil(lambda: len(compare.measure.rows) == n and not compare.measure._scoring.busy, timeout=WAIT_MS)


def test_scores_are_those_of_the_engine_and_can_be_copied(compare: CompareDock, viewer: Any, qtbot: Any) -> None:
    from napari_dainr.metrics import score

    a, b, truth = add(viewer, "A · x", 1.0), add(viewer, "B · x", 2.0), add(viewer, "truth", 3.0, metadata={})
    compare.measure.reference.choose(truth)
    measured(compare, qtbot, 2)
    for layer, row in zip((b, a), compare.measure.rows, strict=True):
        assert row.name == layer.name
        assert row.scores == pytest.approx(score(layer.data, truth.data))
    compare.measure.copy.click()
    lines = QApplication.clipboard().text().splitlines()
    assert lines[0].split("\t")[:3] == ["series", "frames", "PSNR (dB)"]
    assert lines[1].split("\t")[0] == "B · x"
    assert float(lines[1].split("\t")[2]) == pytest.approx(compare.measure.rows[0].scores["psnr"], abs=1e-4)
    a.data = truth.data.copy()
    qtbot.waitUntil(
        lambda: len(compare.measure.rows) == 2 and compare.measure.rows[1].scores["ssim"] == pytest.approx(1),
        timeout=WAIT_MS,
    )


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("GRASP · 13 spokes · scan [1]", "GRASP [1]"),
        ("GRASP · 13 spokes · scan", "GRASP"),
        ("truth [2]", "truth [2]"),
        ("mine [left] · a", "mine [left]"),
    ],
)
def test_short_names_tell_layers_of_one_name_apart(name: str, short: str) -> None:
    assert brief(name) == short


def test_what_cannot_be_compared_says_why(compare: CompareDock, viewer: Any, qtbot: Any) -> None:
    truth = add(viewer, "truth", 1.0, metadata={})
    add(viewer, "small", 1.0, size=(10, 10))
    add(viewer, "dense", 1.0, frames=9, scale=(0.05, 2, 2))
    compare.measure.reference.choose(truth)
    measured(compare, qtbot, 2)
    by_name = {row.name: row for row in compare.measure.rows}
    assert "10 × 10" in by_name["small"].reason
    assert by_name["dense"].n_frames == 5
    assert by_name["small"].reason in compare.measure.note.text()
    compare.measure.show_maps.click()
    qtbot.waitUntil(lambda: "10 × 10" in compare.banner.text.text(), timeout=WAIT_MS)


@pytest.mark.parametrize("kind", ["error", "difference"])
def test_maps_are_the_difference_and_k_is_the_window(compare: CompareDock, viewer: Any, qtbot: Any, kind: str) -> None:
    truth = add(viewer, "truth", 8.0, metadata={})
    a = add(viewer, "A", 1.0, frames=9, scale=(0.05, 2, 2))
    section = compare.measure
    section.reference.choose(truth)
    section.kind.setCurrentIndex(section.kind.findData(kind))
    section.show_maps.click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=WAIT_MS)
    made = viewer.layers[2]
    recon = a.data[::2].astype(float)
    factor = (recon * truth.data).sum() / (recon * recon).sum()
    expected = factor * recon - truth.data
    np.testing.assert_allclose(made.data, np.abs(expected) if kind == "error" else expected, atol=1e-5)
    np.testing.assert_allclose(made.scale, (0.1, 2, 2))
    assert made.name == ("|A − truth| ×5" if kind == "error" else "A − truth ×5")
    low = 0 if kind == "error" else -8 / 5
    np.testing.assert_allclose(made.contrast_limits, (low, 8 / 5))
    section.times.setValue(10)
    np.testing.assert_allclose(made.contrast_limits, (low / 2, 0.8))
    assert made.name.endswith("×10")
    assert made not in compare.layers.checked
    section.match.setChecked(False)
    section.show_maps.click()
    unscaled = recon - truth.data
    expected = np.abs(unscaled) if kind == "error" else unscaled
    qtbot.waitUntil(lambda: np.allclose(viewer.layers[2].data, expected, atol=1e-5), timeout=WAIT_MS)
    assert len(viewer.layers) == 3


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".nii.gz"])
def test_a_truth_from_a_file_lies_on_the_result(
    compare: CompareDock, viewer: Any, qtbot: Any, tmp_path: Path, suffix: str
) -> None:
    from napari_dainr.data import ImageSeries
    from napari_dainr.io import export_series

    a = add(viewer, "A", 1.0, size=(12, 11), translate=(0.05, 0, 1))
    times = 0.05 + 0.1 * np.arange(5)
    image = a.data.astype(np.complex64)
    series = ImageSeries(image, times, (2.0, 2.0), 0.1, np.zeros(5, bool), "truth")
    path = tmp_path / f"heart{suffix}"
    export_series(series, path)
    compare.measure.truth.open(path)
    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=WAIT_MS)
    truth = viewer.layers[1]
    assert compare.measure.reference.layer is truth
    np.testing.assert_allclose(truth.scale, a.scale)
    np.testing.assert_allclose(truth.translate, a.translate, atol=1e-6)
    measured(compare, qtbot, 1)
    assert compare.measure.rows[0].scores["ssim"] == pytest.approx(1)


def test_a_truth_that_is_none(compare: CompareDock, qtbot: Any, tmp_path: Path) -> None:
    path = tmp_path / "flat.npy"
    np.save(path, np.zeros(3))
    compare.measure.truth.open(path)
    qtbot.waitUntil(lambda: "flat.npy" in compare.banner.text.text(), timeout=WAIT_MS)
    assert compare.banner.kind == "error"
