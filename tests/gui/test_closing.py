"""Windows that are closed at random moments while they read, fit or export, and programs that end with them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import pathlib, random, sys, time
import napari
from qtpy.QtWidgets import QApplication
from napari_dainr.gui._model import Phase
from napari_dainr.gui.widget import open_dock

scan, out, seed = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
dice = random.Random(seed)
kinds = ["read", "fit", "export"]
dice.shuffle(kinds)

def until(condition, seconds=600.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.001)

def for_some(seconds):
    until(lambda: False, dice.uniform(0, seconds))

for number, kind in enumerate(kinds):
    viewer = napari.Viewer(show=False)
    dock = open_dock(viewer)
    dock.open_path(scan)
    if kind == "read":
        for_some(1.0)
    else:
        until(lambda: dock.model.phase is Phase.READY)
        fields = dock.reconstruction.method_form.fields
        for name, value in {"table_log2": 8, "width": 8, "depth": 2, "feature_steps": 3}.items():
            fields[name].setText(str(value))
        fields["n_steps"].setText("1000000" if kind == "fit" else "3")
        dock.session.start()
        assert dock.model.phase is Phase.RUNNING, dock.banner.text.text()
        if kind == "fit":
            for_some(2.0)
        else:
            until(lambda: dock.model.phase is Phase.DONE)
            dock.session.export(out / f"series{number}.h5")
            for_some(0.3)
    print(kind, flush=True)
    if number < len(kinds) - 1 or dice.random() < 0.5:  # else: the program ends with its window open
        viewer.close()
        if number < len(kinds) - 1:
            for_some(0.2)
"""


@pytest.mark.parametrize("seed", [0, *(pytest.param(i, marks=pytest.mark.slow) for i in range(1, 34))])
def test_closed_at_a_random_moment(seed: int, tmp_path: Path) -> None:
    """Three windows for each seed; exit code 0, nothing but whole exports, and no folder or process left behind."""
    from napari_dainr.io.ismrmrd import write_ismrmrd
    from napari_dainr.phantom import cine_phantom, simulate_kspace

    scan, out, scratch = tmp_path / "tiny.h5", tmp_path / "out", tmp_path / "scratch"
    out.mkdir()
    scratch.mkdir()
    images = cine_phantom((33, 28), 5)
    write_ismrmrd(simulate_kspace(images, spokes_per_frame=8, n_coils=3, tr_s=0.01, fov_mm=(330.0, 280.0)), scan)
    own = {"TMPDIR": str(scratch), "NAPARI_CONFIG": str(tmp_path / "settings.yaml")}
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(scan), str(out), str(seed)],
        env=os.environ | own, capture_output=True, text=True, timeout=1200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert sorted(done.stdout.split()) == ["export", "fit", "read"], done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    for file in out.iterdir():
        _is_whole(file)
    assert not [path.name for path in scratch.iterdir() if path.name.startswith("napari-dainr")]


def _is_whole(file: Path) -> None:
    import h5py
    import numpy as np

    with h5py.File(file) as series:
        image = np.asarray(series["image"])
    assert image.shape[0] == 5
    assert np.isfinite(image).all()
    assert np.abs(image).max() > 0
