"""Pictures of the dock "Import" and of the window "Data quality", made from the running program.

xvfb-run -a -s "-screen 0 1700x1100x24 +extension GLX" python docs/screenshots_import.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import h5py
import numpy as np
from screenshots_waiting import settle, wait_until
from screenshots_window import Window, take

from napari_dainr.gui._model import Source
from napari_dainr.gui.importing.commands import show_import
from napari_dainr.io.ismrmrd import write_ismrmrd
from napari_dainr.phantom import sample_kspace

__all__ = ["tour"]


def write_without_trajectory(path: Path) -> None:
    """The sample cine as scanners often write it: nothing but readouts."""
    write_ismrmrd(sample_kspace("cine"), path)
    with h5py.File(path, "r+") as file:
        rows = file["dataset/data"][:]
        rows["head"]["trajectory_dimensions"] = 0
        for row in range(len(rows)):
            rows["traj"][row] = np.zeros(0, np.float32)
        file["dataset/data"][:] = rows


def tour(window: Window) -> None:
    """A file without a trajectory: what is found, how it looks read otherwise, and its quality."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "scan.h5"
        write_without_trajectory(path)
        window.load(Source(path=path))
        dock = show_import(window.dock.session.asked)
        assert dock is not None
        wait_until(lambda: not dock.latest.busy)
        window.shoot("import")
        if not window.all_of_them:
            return
        dock.quality.click()
        quality = dock.window_of_quality
        assert quality is not None
        quality.resize(1060, 760)
        wait_until(lambda: quality.figure is not None)
        settle(0.5)
        quality.grab().save(str(window.folder / "quality.png"))
        quality.close()
        wait_until(lambda: not quality.latest.busy)


if __name__ == "__main__":
    take(tour, description=__doc__)
