"""Pictures of the docks "Cine" and "x–t", made from the running program by ``make_screenshots.py`` or alone:

xvfb-run -a -s "-screen 0 1700x1100x24 +extension GLX" python docs/screenshots_xt_cine.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

import napari
import numpy as np
from napari.settings import get_settings
from qtpy.QtWidgets import QApplication
from screenshots_waiting import has_ended, settle, wait_until

from napari_dainr.gui._dock import find_or_open
from napari_dainr.gui._model import Phase, Source
from napari_dainr.gui.cine.dock import CineDock
from napari_dainr.gui.cine.settings import CineSettings, cine_settings, remember
from napari_dainr.gui.widget import open_dock
from napari_dainr.gui.xt.dock import XtDock

__all__ = ["tour"]

LINE = np.array([[64.0, 32.0], [64.0, 104.0]])
"""Across the beating heart of the sample data, parts of its matrix of 128."""


def tour(folder: Path, theme: str, size: tuple[int, int], tag: str) -> None:
    """A fit that is watched along a line, stopped, played and exported at three times its frames.

    Begins with the defaults of the dock, and changes the preferences that napari keeps.
    """
    get_settings().appearance.theme = theme
    remember(CineSettings())
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*size)
    dock = open_dock(viewer)

    def shoot(name: str) -> None:
        settle()
        viewer.screenshot(str(folder / f"{name}{tag}.png"), canvas_only=False, flash=False)

    dock.session.load(Source(sample="cine"))
    wait_until(lambda: dock.model.phase in (Phase.READY, Phase.FAILED))
    assert dock.model.phase is Phase.READY, dock.banner.text.text()
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
    dock.ensureWidgetVisible(dock.run_panel.buttons["stop"])
    shoot("xt-fit")
    dock.session.stop()
    wait_until(lambda: has_ended(dock))
    assert dock.model.phase is Phase.DONE, dock.banner.text.text()
    result = next(layer for layer in viewer.layers if "DA-INR" in layer.name)
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
    shoot("cine-export")
    if not tag:
        cine.form.enlarge.setCurrentIndex(0)
        cine.form.interpolation.setCurrentIndex(0)
        cine.play_panel.pace.setCurrentIndex(cine.play_panel.pace.findData("seconds per cycle"))
        cine.play_panel.numbers["seconds per cycle"].setValue(2.5)
        cine.export(folder / "cine-loop.gif")
        wait_until(lambda: cine.job is None)
    viewer.close()
    settle(0.2)


def main() -> None:
    """Make the pictures of these docks alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument("--all", action="store_true", help="also small windows and the light theme")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    QApplication.instance() or QApplication([])
    before, kept = get_settings().appearance.theme, cine_settings()
    try:
        tour(arguments.output, "dark", (1600, 1000), "")
        if arguments.all:
            tour(arguments.output, "light", (1280, 720), "-light-small")
    finally:
        get_settings().appearance.theme = before
        remember(kept)


if __name__ == "__main__":
    main()
