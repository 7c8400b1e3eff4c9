"""Pictures of the dock "Regions and curves", made from the running program by ``make_screenshots.py`` or alone:

xvfb-run -a -s "-screen 0 1700x1100x24 +extension GLX" python docs/screenshots_curves.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

import napari
import numpy as np
from napari.settings import get_settings
from qtpy.QtWidgets import QApplication
from screenshots_waiting import has_ended, settle, wait_until

from napari_dainr.analysis.regions import Region, ellipse_corners
from napari_dainr.gui._dock import find_or_open
from napari_dainr.gui._model import Phase, Source
from napari_dainr.gui.curves.dock import CurvesDock
from napari_dainr.gui.widget import open_dock

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


def tour(folder: Path, theme: str, size: tuple[int, int], tag: str) -> None:
    """From the sample to curves that grow with a fit, quantities and phases."""
    get_settings().appearance.theme = theme
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*size)
    dock = open_dock(viewer)

    def shoot(name: str) -> None:
        settle()
        viewer.screenshot(str(folder / f"{name}{tag}.png"), canvas_only=False, flash=False)

    dock.session.load(Source(sample="liver"))
    wait_until(lambda: dock.model.phase in (Phase.READY, Phase.FAILED))
    assert dock.model.phase is Phase.READY, dock.banner.text.text()
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
    dock.ensureWidgetVisible(dock.run_panel.buttons["stop"])
    shoot("curves-fit")
    wait_until(lambda: has_ended(dock))
    assert dock.model.phase is Phase.DONE, dock.banner.text.text()
    put(curves, "LIVER")
    curves.state.select("")
    look = curves.first_look()
    assert look is not None
    viewer.dims.set_point(0, float(look.times_s[len(look.times_s) // 3]))
    shoot("curves-done")
    curves.toolbar.mode.setCurrentIndex(curves.toolbar.mode.findData("relative"))
    curves.tables.setCurrentIndex(1)
    viewer.window.remove_dock_widget(dock)
    shoot("curves-phases")
    viewer.close()
    settle(0.2)


def main() -> None:
    """Make the pictures of this dock alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument("--all", action="store_true", help="also small windows and the light theme")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    QApplication.instance() or QApplication([])
    before = get_settings().appearance.theme
    try:
        tour(arguments.output, "dark", (1600, 1000), "")
        if arguments.all:
            tour(arguments.output, "light", (1280, 720), "-light-small")
    finally:
        get_settings().appearance.theme = before


if __name__ == "__main__":
    main()
