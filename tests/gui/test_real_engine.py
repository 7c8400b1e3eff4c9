"""The dock against the real engine, on a phantom of 33 × 28 pixels: the main path, and viewer = command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_dainr.gui._model import Phase
from napari_dainr.recipe import Finished, load_recipe, run

from .conftest import WAIT_MS


@pytest.fixture
def tiny_file(tmp_path: Path) -> Path:
    """5 frames × 8 spokes of a beating heart, 33 × 28 pixels of 10 mm, 3 coils."""
    from napari_dainr.io.ismrmrd import write_ismrmrd
    from napari_dainr.phantom import cine_phantom, simulate_kspace

    path = tmp_path / "tiny.h5"
    images = cine_phantom((33, 28), 5)
    write_ismrmrd(simulate_kspace(images, spokes_per_frame=8, n_coils=3, tr_s=0.01, fov_mm=(330.0, 280.0)), path)
    return path


def _reach(dock: Any, qtbot: Any, phase: Phase) -> None:
    qtbot.waitUntil(lambda: dock.model.phase in (phase, Phase.FAILED), timeout=WAIT_MS)
    assert dock.model.phase is phase, dock.banner.text.text() + dock.banner.details.toPlainText()


def _small(dock: Any, steps: int) -> None:
    fields = dock.reconstruction.method_form.fields
    for name, value in {"n_steps": steps, "feature_steps": 3, "table_log2": 8, "width": 8, "depth": 2}.items():
        fields[name].setText(str(value))
    dock.reconstruction.seed.setValue(3)


def test_the_viewer_and_a_saved_recipe_give_the_same_series(
    dock: Any, viewer: Any, qtbot: Any, tiny_file: Path, tmp_path: Path
) -> None:
    assert dock.open_path(tiny_file)
    _reach(dock, qtbot, Phase.READY)
    assert len(viewer.layers) == 1
    dock.reconstruction.spokes.setValue(8)
    dock.reconstruction.scale.setValue(1.5)
    dock.reconstruction.upsample.setValue(2)
    _small(dock, 12)
    recipe_path = tmp_path / "recipe.json"
    dock.session.save_recipe(recipe_path)
    dock.run_panel.buttons["start"].click()
    _reach(dock, qtbot, Phase.DONE)
    series = dock.session.series
    assert series.image.shape == (9, 50, 42)
    assert series.interpolated.tolist() == [False, True] * 4 + [False]
    layer = viewer.layers[-1]
    np.testing.assert_array_equal(layer.data, np.abs(series.image))
    assert layer.metadata["dainr"]["interpolated"] == series.interpolated.tolist()
    np.testing.assert_allclose(layer.scale, (0.04, 330 / 50, 280 / 42))

    *_, end = run(load_recipe(recipe_path))
    assert isinstance(end, Finished)
    np.testing.assert_array_equal(end.series.image, series.image)
    assert end.recipe == dock.session.recipe


def test_stop_keep_save_and_export(dock: Any, qtbot: Any, tiny_file: Path, tmp_path: Path) -> None:
    dock.open_path(tiny_file)
    _reach(dock, qtbot, Phase.READY)
    _small(dock, 1_000_000)
    dock.run_panel.buttons["start"].click()
    qtbot.waitUntil(lambda: dock.run_panel.plot.n_points >= 3, timeout=WAIT_MS)
    dock.run_panel.buttons["pause"].click()
    dock.run_panel.buttons["pause"].click()
    dock.run_panel.buttons["stop"].click()
    _reach(dock, qtbot, Phase.DONE)
    assert "Stopped" in dock.banner.text.text()

    dock.session.save_run(tmp_path / "kept")
    qtbot.waitUntil(lambda: "Run saved" in dock.banner.text.text(), timeout=WAIT_MS)
    assert json.loads((tmp_path / "kept" / "provenance.json").read_text())["stopped"] is True
    dock.session.export(tmp_path / "series.npy")
    qtbot.waitUntil(lambda: "exported" in dock.banner.text.text(), timeout=WAIT_MS)
    np.testing.assert_array_equal(np.load(tmp_path / "series.npy"), dock.session.series.image)
    dock.session.save_run(tmp_path / "kept")
    qtbot.waitUntil(lambda: dock.banner.kind == "error", timeout=WAIT_MS)
    assert "something else has that name" in dock.banner.text.text()


def test_a_file_that_is_not_kspace(dock: Any, qtbot: Any, tmp_path: Path) -> None:
    path = tmp_path / "notes.h5"
    path.write_bytes(b"these are notes, not k-space")
    dock.open_path(path)
    qtbot.waitUntil(lambda: dock.model.phase is Phase.FAILED, timeout=WAIT_MS)
    assert dock.banner.kind == "error"
    assert "notes.h5" in dock.banner.text.text()


def test_a_gpu_that_is_not_there(dock: Any, qtbot: Any, tiny_file: Path) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    dock.open_path(tiny_file)
    _reach(dock, qtbot, Phase.READY)
    qtbot.waitUntil(lambda: not dock.session._open_jobs, timeout=WAIT_MS)
    dock.model.form.device = "cuda"
    dock.run_panel.buttons["start"].click()
    qtbot.waitUntil(lambda: dock.model.phase is Phase.FAILED, timeout=WAIT_MS)
    assert "no GPU" in dock.banner.text.text()
    dock.model.form.device = "cpu"
    _small(dock, 2)
    dock.run_panel.buttons["start"].click()
    _reach(dock, qtbot, Phase.DONE)


def test_opening_a_file_fills_the_dock_and_adds_a_layer(viewer: Any, qtbot: Any, tiny_file: Path) -> None:
    """The way of a file that is dropped on the window."""
    from napari_dainr.gui.widget import find_dock

    viewer.open(tiny_file, plugin="napari-dainr")
    dock = find_dock(viewer)
    assert dock is not None
    _reach(dock, qtbot, Phase.READY)
    assert viewer.layers[0].metadata["dainr"]["method"] == "nufft"
    assert dock.data.name.text() == "tiny.h5"
    session = dock.session
    session.abandon()
    qtbot.waitUntil(lambda: not session._open_jobs, timeout=WAIT_MS)


def test_without_a_window_the_reader_returns_the_first_look(tiny_file: Path) -> None:
    from napari_dainr.gui.contributions import get_reader

    reader = get_reader(str(tiny_file))
    assert reader is not None
    ((data, keywords, kind),) = reader(str(tiny_file))
    assert kind == "image"
    assert data.shape == (5, 33, 28)
    assert keywords["units"] == ("s", "mm", "mm")


def test_reader_leaves_other_files_alone(tmp_path: Path) -> None:
    from napari_dainr.gui.contributions import get_reader

    (tmp_path / "a.txt").write_text("no k-space")
    assert get_reader(str(tmp_path / "a.txt")) is None
    assert get_reader(str(tmp_path / "missing.h5")) is None
    assert get_reader([str(tmp_path / "a.h5"), str(tmp_path / "b.h5")]) is None


def test_opening_the_dock_imports_neither_torch_nor_matplotlib() -> None:
    code = """
import sys
import napari
from napari_dainr.gui.widget import open_dock
assert "torch" not in sys.modules, "widget module"
viewer = napari.Viewer(show=False)
open_dock(viewer)
from qtpy.QtWidgets import QApplication
QApplication.processEvents()
found = [name for name in ("torch", "finufft", "matplotlib.figure") if name in sys.modules]
viewer.close()
assert not found, found
print("none")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("none")


def test_the_program_may_end_in_mid_fit(tiny_file: Path) -> None:
    """A thread that outlived Qt would abort the process (exit code 134)."""
    code = f"""
import pathlib, time
import napari
from qtpy.QtWidgets import QApplication
from napari_dainr.gui._model import Phase
from napari_dainr.gui.widget import open_dock
viewer = napari.Viewer(show=False)
dock = open_dock(viewer)
dock.open_path(pathlib.Path({str(tiny_file)!r}))
end = time.monotonic() + 60
def until(condition):
    while not condition() and time.monotonic() < end:
        QApplication.processEvents()
until(lambda: dock.model.phase is Phase.READY)
dock.reconstruction.method_form.fields["n_steps"].setText("1000000")
dock.session.start()
until(lambda: dock.run_panel.plot.n_points > 1)
assert dock.model.phase is Phase.RUNNING
print("running")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip().endswith("running"), done.stderr
    assert done.returncode == 0, done.stderr
