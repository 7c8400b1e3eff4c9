"""Pictures of the dock "Regions and curves", made from the running program by ``make_screenshots.py`` or alone:

xvfb-run -a -s "-screen 0 1700x1100x24 +extension GLX" python docs/screenshots_curves.py
"""

from __future__ import annotations

import numpy as np
from screenshots_waiting import has_ended, settle, wait_until
from screenshots_window import Window, take

from napari_dainr.analysis.regions import Region, ellipse_corners
from napari_dainr.gui._dock import find_or_open
from napari_dainr.gui._model import Phase, Source
from napari_dainr.gui.curves.dock import CurvesDock

__all__ = ["tour"]

REGIONS = {"AO": ((0.6155, 0.535), 0.022), "PV": ((0.5, 0.412), 0.02), "LIVER": ((0.535, 0.195), 0.042)}
"""Role → centre (y, x) and radius in the sample data, parts of its field of view."""


def put(dock: CurvesDock, role: str) -> None:
    """A circle over a vessel or the liver, as a user would drag it."""
    layer = dock.reader.first_layer()
    assert layer is not None
    fov = np.array(layer.data.shape[-2:]) * layer.scale[-2:]
    centre, radius = REGIONS[role]
    dock.regions.ensure(layer)
    size = (radius * fov[0], radius * fov[0])
    dock.regions.add(Region(ellipse_corners(np.array(centre) * fov, size), "ellipse", role))


def tour(window: Window) -> None:
    """From the sample to curves that grow with a fit, quantities and phases."""
    viewer, dock, shoot = window.viewer, window.dock, window.shoot
    window.load(Source(sample="liver"))
    curves = find_or_open(viewer, CurvesDock)
    viewer.dims.set_point(0, 8.0)
    settle(0.5)
    curves.draw_role("AO")
    shoot("curves-empty")
    curves.regions.disarm()
    put(curves, "AO")
    put(curves, "PV")
    dock.reconstruction.upsample.setValue(3)
    dock.session.start()
    wait_until(lambda: (dock.run_panel.plot.n_points > 20 and len(curves.reader.looks()) > 1) or has_ended(dock))
    dock.ensureWidgetVisible(dock.run_panel.plot)
    shoot("curves-fit")
    wait_until(lambda: has_ended(dock))
    assert dock.model.phase is Phase.DONE, dock.banner.text.text()
    put(curves, "LIVER")
    window.wait_for_forecast()
    curves.state.select("")
    look = curves.first_look()
    assert look is not None
    viewer.dims.set_point(0, float(look.times_s[len(look.times_s) // 3]))
    shoot("curves-done")
    curves.toolbar.mode.setCurrentIndex(curves.toolbar.mode.findData("relative"))
    curves.tables.setCurrentIndex(1)
    viewer.window.remove_dock_widget(dock)
    shoot("curves-phases")


if __name__ == "__main__":
    take(tour, description=__doc__)
