"""Pictures of the docks "Cine" and "x–t", made from the running program by ``make_screenshots.py`` or alone:

xvfb-run -a -s "-screen 0 1700x1100x24 +extension GLX" python docs/screenshots_xt_cine.py
"""

from __future__ import annotations

import numpy as np
from screenshots_waiting import has_ended, settle, wait_until
from screenshots_window import Window, take

from napari_dainr.gui._dock import find_or_open
from napari_dainr.gui._model import Phase, Source
from napari_dainr.gui.cine.dock import CineDock
from napari_dainr.gui.xt.dock import XtDock

__all__ = ["tour"]

LINE = np.array([[64.0, 32.0], [64.0, 104.0]])
"""Across the beating heart of the sample data, parts of its matrix of 128."""


def tour(window: Window) -> None:
    """A fit that is watched along a line, stopped, played and exported at three times its frames."""
    viewer, dock, shoot = window.viewer, window.dock, window.shoot
    window.load(Source(sample="cine"))
    xt = find_or_open(viewer, XtDock)
    xt.new_line()
    look = viewer.layers[0]
    assert xt.line.layer is not None
    matrix = np.array(look.data.shape[1:])
    xt.line.layer.data = [LINE / 128 * matrix]
    xt.line.layer.selected_data = {0}
    dock.reconstruction.upsample.setValue(3)
    dock.session.start()
    wait_until(lambda: (dock.run_panel.plot.n_points > 20 and len(xt.view.titles) > 1) or has_ended(dock))
    viewer.dims.set_point(0, float(viewer.dims.range[0].stop) / 2)
    dock.ensureWidgetVisible(dock.run_panel.plot)
    shoot("xt-fit")
    dock.session.stop()
    wait_until(lambda: has_ended(dock))
    assert dock.model.phase is Phase.DONE, dock.banner.text.text()
    result = next(layer for layer in viewer.layers if "DA-INR" in layer.name)
    window.wait_for_forecast()
    shoot("xt-done")
    viewer.window.remove_dock_widget(dock)
    cine = find_or_open(viewer, CineDock)
    viewer.layers.selection.active = result
    xt.line.layer.visible = False
    settle(1.0)
    shoot("cine")
    cine.form.enlarge.setCurrentIndex(cine.form.enlarge.findData("3"))
    cine.form.interpolation.setCurrentIndex(cine.form.interpolation.findData("fourier"))
    cine.ensureWidgetVisible(cine.export_button)
    cine.verticalScrollBar().setValue(cine.verticalScrollBar().maximum())
    settle(1.0)
    window.look("cine-export")
    cine.form.enlarge.setCurrentIndex(0)
    cine.form.interpolation.setCurrentIndex(0)
    cine.play_panel.pace.setCurrentIndex(cine.play_panel.pace.findData("seconds per cycle"))
    cine.play_panel.numbers["seconds per cycle"].setValue(2.5)
    cine.export(window.folder / "cine-loop.gif")
    wait_until(lambda: cine.job is None)


if __name__ == "__main__":
    take(tour, description=__doc__)
