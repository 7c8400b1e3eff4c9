"""Make the pictures of the viewer in ``docs/images`` from the running program.

    xvfb-run -a -s "-screen 0 1700x1100x24 +extension GLX" python docs/make_screenshots.py

Takes some minutes on two cores. The docks beside the reconstruction have a module each, ``screenshots_*.py``.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import napari
import screenshots_compare
import screenshots_curves
import screenshots_xt_cine
from napari.settings import get_settings
from qtpy.QtWidgets import QApplication
from screenshots_waiting import has_ended, settle, wait_until

from napari_dainr.gui._model import Phase, Source
from napari_dainr.gui.widget import open_dock

LOOKS = (("dark", (1600, 1000), ""), ("light", (1280, 720), "-light-small"))


def tour(folder: Path, theme: str, size: tuple[int, int], tag: str, source: Source) -> None:
    """One window from start to end: data, invalid field, running, done, failed."""
    get_settings().appearance.theme = theme
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*size)
    dock = open_dock(viewer)
    settle()

    def shoot(name: str) -> None:
        settle()
        viewer.screenshot(str(folder / f"{name}{tag}.png"), canvas_only=False, flash=False)

    shoot("empty")
    dock.session.load(source)
    wait_until(lambda: dock.model.phase in (Phase.READY, Phase.FAILED))
    assert dock.model.phase is Phase.READY, dock.banner.text.text()
    shoot("loaded")
    spokes = dock.model.form.spokes_per_frame
    dock.reconstruction.spokes.setValue(99_999)
    shoot("invalid")
    dock.reconstruction.spokes.setValue(spokes)
    dock.session.start()
    wait_until(lambda: (dock.run_panel.plot.n_points > 25 and len(viewer.layers) > 1) or has_ended(dock))
    dock.ensureWidgetVisible(dock.run_panel.buttons["export"])
    shoot("running")
    wait_until(lambda: has_ended(dock))
    shoot("done")
    dock.ensureWidgetVisible(dock.banner)
    dock.reconstruction.method_box.expand(animate=False)
    shoot("settings")
    dock.reconstruction.method_box.collapse(animate=False)
    with tempfile.TemporaryDirectory() as scratch:
        notes = Path(scratch) / "notes.h5"
        notes.write_text("These are notes, not k-space.")
        dock.open_path(notes)
        wait_until(lambda: has_ended(dock))
    dock.verticalScrollBar().setValue(0)
    shoot("error")
    viewer.close()
    settle(0.2)


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument("--file", type=Path, help="k-space file in place of the sample data")
    parser.add_argument("--all", action="store_true", help="also small windows and the light theme")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    source = Source(path=arguments.file) if arguments.file else Source(sample="cine")
    QApplication.instance() or QApplication([])
    before = get_settings().appearance.theme
    try:
        for theme, size, tag in LOOKS if arguments.all else LOOKS[:1]:
            tour(arguments.output, theme, size, tag, source)
            for other in (screenshots_curves, screenshots_xt_cine, screenshots_compare):
                other.tour(arguments.output, theme, size, tag)
    finally:
        get_settings().appearance.theme = before


if __name__ == "__main__":
    main()
