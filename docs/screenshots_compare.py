"""Pictures of the compare dock, made from the running program by ``make_screenshots.py`` or alone:

xvfb-run -a -s "-screen 0 1700x1100x24 +extension GLX" python docs/screenshots_compare.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from screenshots_waiting import settle, wait_until
from screenshots_window import Window, take

from napari_dainr.gui._model import Source
from napari_dainr.gui.compare.widget import open_compare
from napari_dainr.phantom import band_limit, cine_phantom

__all__ = ["tour"]


def tour(window: Window) -> None:
    """Queue, side by side with error maps, deformation field, render."""
    viewer, dock, compare = window.viewer, window.dock, open_compare(window.viewer)

    def shoot(name: str) -> None:
        window.shoot(f"compare-{name}", 2)

    def show(name: str) -> None:
        for key, box in compare.sections.items():
            (box.open if key == name else box.fold)()
        compare.verticalScrollBar().setValue(0)

    settle()
    window.load(Source(sample="cine"))
    first_look = viewer.layers[0]
    first_look.name = "first look"  # so that the NuFFT of the queue has its plain name
    for method, box in compare.queue.boxes.items():
        box.setChecked(method in ("nufft", "grasp", "dainr"))
    compare.queue.run.click()
    wait_until(lambda: len(viewer.layers) > 1)
    viewer.layers.remove(first_look)
    wait_until(lambda: len(viewer.layers) == 3 and dock.run_panel.bar.value() > 20, 900)
    shoot("queue")
    wait_until(lambda: not compare.queue.queue.running, 1800)

    with tempfile.TemporaryDirectory() as scratch:
        truth = Path(scratch) / "phantom.npy"
        np.save(truth, band_limit(cine_phantom((120, 120), n_frames=15), (96, 96)))
        compare.measure.truth.open(truth)
        wait_until(lambda: len(viewer.layers) == 4)
    wait_until(lambda: len(compare.measure.rows) == 3)
    compare.measure.show_maps.click()
    wait_until(lambda: len(viewer.layers) == 7)
    for layer in viewer.layers:
        if layer.name.startswith("|"):
            compare.layers.set_checked(layer, True)
    compare.sections["queue"].fold()
    compare.sections["render"].fold()
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
    window.look("compare-phase", 2)
    compare.parts.show_part("magnitude")
    show("render")
    compare.render_section.scale.setValue(1.5)
    compare.render_section.upsample.setValue(3)
    wait_until(lambda: compare.render_section.series is not None)
    shoot("render")


if __name__ == "__main__":
    take(tour, description=__doc__)
