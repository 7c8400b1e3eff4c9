"""Make the pictures of the viewer in ``docs/images`` from the running program.

    xvfb-run -a -s "-screen 0 1700x1100x24 +extension GLX" python docs/make_screenshots.py

Takes some minutes on two cores. The docks beside the reconstruction have a module each, ``screenshots_*.py``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import screenshots_compare
import screenshots_curves
import screenshots_import
import screenshots_xt_cine
from screenshots_waiting import has_ended, wait_until
from screenshots_window import Window, take

from napari_dainr.gui._model import Source


def tour(window: Window) -> None:
    """One window from start to end: data, invalid field, running, done, failed."""
    viewer, dock, shoot, look = window.viewer, window.dock, window.shoot, window.look
    look("empty", 1.2)
    window.load(Source(sample="cine"))
    look("loaded")
    spokes = dock.model.form.spokes_per_frame
    dock.reconstruction.spokes.setValue(99_999)
    look("invalid")
    dock.reconstruction.spokes.setValue(spokes)
    dock.session.start()
    wait_until(lambda: (dock.run_panel.plot.n_points > 25 and len(viewer.layers) > 1) or has_ended(dock))
    dock.ensureWidgetVisible(dock.run_panel.snapshots)
    shoot("running")
    wait_until(lambda: has_ended(dock))
    window.wait_for_forecast()
    shoot("done")
    dock.ensureWidgetVisible(dock.banner)
    dock.reconstruction.method_box.open()
    look("settings")
    dock.reconstruction.method_box.fold()
    with tempfile.TemporaryDirectory() as scratch:
        notes = Path(scratch) / "notes.h5"
        notes.write_text("These are notes, not k-space.")
        dock.open_path(notes)
        wait_until(lambda: has_ended(dock))
    dock.verticalScrollBar().setValue(0)
    look("error")


if __name__ == "__main__":
    take(
        tour,
        screenshots_import.tour,
        screenshots_curves.tour,
        screenshots_xt_cine.tour,
        screenshots_compare.tour,
        description=__doc__,
    )
