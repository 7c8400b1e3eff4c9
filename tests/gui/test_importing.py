"""The dock "Import": what is found out, what is typed, and the file read that way, with real files and the engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from qtpy.QtWidgets import QLineEdit

from napari_dainr.gui._model import Phase
from napari_dainr.gui.importing.commands import show_import
from napari_dainr.gui.importing.dock import ImportDock
from napari_dainr.gui.importing.form import OptionsForm
from napari_dainr.gui.widget import ReconstructionDock
from napari_dainr.importing import ImportOptions
from napari_dainr.io.ismrmrd import write_ismrmrd
from napari_dainr.recipe import load_recipe
from napari_dainr.trajectory import radial_ktraj

from .conftest import WAIT_MS


@pytest.fixture
def scan_file(tiny_kspace: Any, tmp_path: Path) -> Path:
    """A radial scan with its trajectory."""
    ktraj = radial_ktraj(tiny_kspace.n_spokes, tiny_kspace.n_readout, tiny_kspace.matrix)
    write_ismrmrd(replace(tiny_kspace, ktraj=ktraj), tmp_path / "scan.h5")
    return tmp_path / "scan.h5"


@pytest.fixture
def silent_file(scan_file: Path) -> Path:
    """A radial scan without a trajectory."""
    with h5py.File(scan_file, "r+") as file:
        rows = file["dataset/data"][:]
        rows["head"]["trajectory_dimensions"] = 0
        for row in range(len(rows)):
            rows["traj"][row] = np.zeros(0, np.float32)
        file["dataset/data"][:] = rows
    return scan_file


def _opened(dock: ReconstructionDock, path: Path, qtbot: Any) -> ImportDock:
    dock.open_path(path)
    qtbot.waitUntil(lambda: dock.model.phase in (Phase.READY, Phase.FAILED), timeout=WAIT_MS)
    dock.data.import_button.click()
    found = show_import(dock.session.asked)
    assert found is not None
    _rested(found, qtbot)
    return found


def _rested(shown: ImportDock, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not shown.latest.busy, timeout=WAIT_MS)


def test_a_file_without_a_trajectory_is_read_as_the_user_says(
    dock: ReconstructionDock, silent_file: Path, qtbot: Any, tmp_path: Path
) -> None:
    shown = _opened(dock, silent_file, qtbot)
    assert "assumed" in shown.facts.text()
    assert not shown.picture.pixmap().isNull()
    assert {"golden", "uniform"} <= set(shown.looks)
    assert "file" not in shown.looks
    shown.looks["uniform"].click()
    _rested(shown, qtbot)
    assert shown.found is not None and shown.found.kspace is not None
    assert "as told" in shown.found.kspace.detected["trajectory"]
    shown.use.click()
    qtbot.waitUntil(lambda: dock.model.phase is Phase.READY, timeout=WAIT_MS)
    assert dock.model.kspace is not None
    assert "uniform" in dock.model.kspace.detected["trajectory"]
    dock.session.save_recipe(tmp_path / "recipe.json")
    assert load_recipe(tmp_path / "recipe.json").importing.angles == "uniform"


def test_a_file_that_cannot_be_read_yet_can_still_be_explained(
    dock: ReconstructionDock, scan_file: Path, qtbot: Any
) -> None:
    with h5py.File(scan_file, "r+") as file:
        rows = file["dataset/data"][:]
        for row in range(len(rows)):
            rows["traj"][row] = rows["traj"][row] * np.float32(777.0)
        file["dataset/data"][:] = rows
    shown = _opened(dock, scan_file, qtbot)
    assert dock.model.phase is Phase.FAILED
    assert "fits no known unit" in shown.banner.text.text()
    assert not shown.use.isEnabled()
    shown.looks["golden"].click()
    _rested(shown, qtbot)
    assert shown.use.isEnabled()
    shown.use.click()
    qtbot.waitUntil(lambda: dock.model.phase is Phase.READY, timeout=WAIT_MS)


def test_the_quality_of_the_data_is_shown_and_saved(
    dock: ReconstructionDock, silent_file: Path, qtbot: Any, tmp_path: Path
) -> None:
    shown = _opened(dock, silent_file, qtbot)
    shown.quality.click()
    window = shown.window_of_quality
    assert window is not None
    qtbot.waitUntil(lambda: window.figure is not None, timeout=WAIT_MS)
    assert not window.picture.pixmap().isNull()
    window.write(tmp_path / "quality.png")
    assert (tmp_path / "quality.png").read_bytes().startswith(b"\x89PNG")
    window.write(tmp_path / "quality.bmp")
    assert window.banner.kind == "error"
    assert "PNG" in window.banner.text.text()
    qtbot.waitUntil(lambda: not window.latest.busy, timeout=WAIT_MS)


def test_what_cannot_be_used_is_marked_where_it_stands(qtbot: Any) -> None:
    form = OptionsForm()
    qtbot.addWidget(form)
    matrix, tr = form.fields["matrix"], form.fields["tr_ms"]
    assert isinstance(matrix, QLineEdit) and isinstance(tr, QLineEdit)
    matrix.setText("64 x 48")
    assert form.checked() == ImportOptions(matrix=(64, 48))
    tr.setText("-3")
    assert form.checked() is None
    assert "greater than 0" in tr.toolTip()
    tr.setText("")
    assert form.checked() == ImportOptions(matrix=(64, 48))


def test_every_option_survives_the_form(qtbot: Any) -> None:
    options = ImportOptions(
        dataset="1", variables={"kdata": "ksp", "ktraj": "k"}, matrix=(64, 48), fov_mm=(320.5, 240.0), tr_ms=4.5,
        oversampling=2.0, centre_sample=63.5, trajectory_unit="cycles per pixel", angles="tiny-golden", tiny_number=5,
        full_circle=False, first_angle_deg=-3.5, reversed=True, leave_out_coils=(1, 3), keep_all=True, prewhiten=False,
    )  # fmt: skip
    form = OptionsForm()
    qtbot.addWidget(form)
    form.set_options(options)
    assert form.checked() == options
    form.set_options(ImportOptions())
    assert form.checked() == ImportOptions()
