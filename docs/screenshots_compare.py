"""Pictures of the compare dock, made from the running program by ``make_screenshots.py`` or alone:

xvfb-run -a -s "-screen 0 1700x1100x24 +extension GLX" python docs/screenshots_compare.py
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
from napari.settings import get_settings
from qtpy.QtWidgets import QApplication
from screenshots_waiting import settle

from napari_dainr.gui._model import Phase, Source
from napari_dainr.gui.compare.widget import open_compare
from napari_dainr.gui.widget import open_dock
from napari_dainr.phantom import band_limit, cine_phantom

__all__ = ["tour"]


def wait_until(condition: Callable[[], bool], seconds: float = 240) -> None:
    """Run the event loop until something is so; several fits take longer than anything else in these pictures."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the program did not get there")
        QApplication.processEvents()
        time.sleep(0.01)


def tour(folder: Path, theme: str, size: tuple[int, int], tag: str) -> None:
    """Queue, side by side with error maps, deformation field, render."""
    get_settings().appearance.theme = theme
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*size)
    dock, compare = open_dock(viewer), open_compare(viewer)

    def shoot(name: str) -> None:
        settle(2)
        viewer.screenshot(str(folder / f"compare-{name}{tag}.png"), canvas_only=False, flash=False)

    def show(name: str) -> None:
        for key, box in compare.sections.items():
            (box.expand if key == name else box.collapse)(animate=False)
        compare.verticalScrollBar().setValue(0)

    settle()
    dock.session.load(Source(sample="cine"))
    wait_until(lambda: dock.model.phase in (Phase.READY, Phase.FAILED))
    first_look = viewer.layers[0]
    viewer.layers.remove(first_look)
    for method, box in compare.queue.boxes.items():
        box.setChecked(method in ("nufft", "grasp", "dainr"))
    compare.queue.run.click()
    wait_until(lambda: len(viewer.layers) == 3 and dock.run_panel.bar.value() > 20, 900)
    shoot("queue")
    wait_until(lambda: not compare.queue.queue.running, 1800)

    with tempfile.TemporaryDirectory() as scratch:
        truth = Path(scratch) / "phantom.npy"
        np.save(truth, band_limit(cine_phantom((120, 120), n_frames=15), (96, 96)))
        compare.measure.open_truth(truth)
        wait_until(lambda: len(viewer.layers) == 4)
    wait_until(lambda: len(compare.measure.rows) == 3)
    compare.measure.show_maps.click()
    wait_until(lambda: len(viewer.layers) == 7)
    for layer in viewer.layers:
        if layer.name.startswith("|"):
            compare.layers.set_checked(layer, True)
    compare.sections["queue"].collapse(animate=False)
    compare.sections["render"].collapse(animate=False)
    compare.grid_button.click()
    viewer.dims.set_current_step(0, 4)
    viewer.reset_view()
    shoot("grid")
    compare.grid_button.click()

    for layer in viewer.layers:
        layer.visible = layer.name.startswith("DA-INR")
    show("field")
    compare.field.show_boxes["arrows"].setChecked(True)
    compare.field.show_boxes["length"].setChecked(True)
    wait_until(lambda: compare.field._field is not None)
    shoot("field")
    for box in compare.field.show_boxes.values():
        box.setChecked(False)
    show("parts")
    compare.parts.show_part("phase")
    wait_until(lambda: any(layer.name.startswith("phase") for layer in viewer.layers))
    shoot("phase")
    compare.parts.show_part("magnitude")
    show("render")
    compare.render_section.scale.setValue(1.5)
    compare.render_section.upsample.setValue(3)
    wait_until(lambda: compare.render_section.series is not None)
    shoot("render")
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
