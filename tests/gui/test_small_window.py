"""At 1280 × 720 everything that starts and saves is in view, and no dock makes the window higher than the screen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QRect, Qt
from qtpy.QtWidgets import QMainWindow, QWidget

from napari_dainr.analysis.regions import Region, ellipse_corners
from napari_dainr.gui._dock import BottomDock, ScrollDock, find, find_or_open
from napari_dainr.gui.curves.dock import CurvesDock
from napari_dainr.gui.curves.label_colours import brightness_under
from napari_dainr.gui.widget import ReconstructionDock
from napari_dainr.gui.xt.dock import XtDock

from .conftest import WAIT_MS
from .test_curves import add_series, world

SIZE = (1280, 720)


@pytest.fixture
def small(make_napari_viewer: Any, qtbot: Any) -> Any:
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(*SIZE)
    add_series(viewer)
    find_or_open(viewer, ReconstructionDock)
    return viewer


def window_of(dock: ScrollDock) -> QMainWindow:
    window = dock.window()
    assert isinstance(window, QMainWindow)
    return window


def in_view(widget: QWidget, dock: ScrollDock) -> bool:
    """All of it within the dock, and the dock within the window."""
    window = window_of(dock)
    place = QRect(widget.mapTo(window, QPoint(0, 0)), widget.size())
    around = QRect(dock.mapTo(window, QPoint(0, 0)), dock.size())
    return bool(widget.isVisible() and around.contains(place) and window.rect().contains(around))


@pytest.mark.parametrize("kind", [CurvesDock, XtDock])
def test_a_dock_below_leaves_the_window_and_the_buttons_where_they_are(
    small: Any, qtbot: Any, kind: type[BottomDock]
) -> None:
    main = find(small, ReconstructionDock)
    assert main is not None
    dock = find_or_open(small, kind)
    qtbot.waitUntil(lambda: dock.height() > 250, timeout=WAIT_MS)
    qtbot.wait(50)
    assert (window_of(main).width(), window_of(main).height()) == SIZE
    for name, button in main.run_panel.buttons.items():
        assert in_view(button, main), name
    main.verticalScrollBar().setValue(0)
    assert all(in_view(button, main) for button in main.run_panel.buttons.values())
    bars = dock.horizontalScrollBar(), dock.verticalScrollBar()
    assert [bar.maximum() for bar in bars] == [0, 0], "a part of the dock is cut off"
    assert main.viewport().height() > 80, "nothing is left to scroll"


def test_the_plugin_menu_opens_it_below_as_well(small: Any, qtbot: Any) -> None:
    frame, _ = small.window.add_plugin_dock_widget("napari-dainr", "Regions and curves")
    dock = find(small, CurvesDock)
    assert dock is not None
    window = window_of(dock)
    qtbot.waitUntil(lambda: window.dockWidgetArea(frame) == Qt.DockWidgetArea.BottomDockWidgetArea, timeout=WAIT_MS)


def test_what_is_pinned_grows_with_its_sentence(small: Any, qtbot: Any) -> None:
    main = find(small, ReconstructionDock)
    assert main is not None
    before = main.viewport().height()
    main.run_panel.forecast.note.setText("It needs 9.0 GB, but 2.0 GB are free. " * 4)
    main.run_panel.forecast.note.show()
    qtbot.waitUntil(lambda: main.viewport().height() < before - 20, timeout=WAIT_MS)
    assert all(in_view(button, main) for button in main.run_panel.buttons.values())


def test_a_name_on_a_bright_vessel_is_black(small: Any, qtbot: Any) -> None:
    image = small.layers[0]
    ny, nx = image.data.shape[1:]
    bright = np.zeros_like(image.data)
    bright[2:, :, : nx // 2] = 1
    image.data, image.contrast_limits = bright, (0, 1)
    dock = find_or_open(small, CurvesDock)
    dock.regions.ensure(image)
    small.scene.camera.zoom *= 8  # labels are short then, compared with the image
    for place in (world(ny // 2, nx // 8), world(ny // 2, 5 * nx // 8)):
        dock.regions.add(Region(ellipse_corners(place, (5, 5)), "ellipse", "AO"))

    def colours() -> list[float]:
        dock.label_colours.refresh()
        colour = dock.regions.layer.text.color
        return [float(one[0]) for one in np.atleast_2d(colour.array)]

    small.dims.set_current_step(0, 3)
    assert colours() == [0.0, 1.0]
    small.dims.set_current_step(0, 0)
    assert colours() == [1.0, 1.0], "before the bolus the vessel is dark"
    small.dims.set_current_step(0, 4)
    qtbot.waitUntil(lambda: not np.atleast_2d(dock.regions.layer.text.color.array)[0, :3].any(), timeout=WAIT_MS)
    image.visible = False
    assert colours() == [0.0, 1.0], "with no picture shown nothing is changed"
    outside = np.asarray(world(-50 * ny, -50 * nx))
    assert brightness_under(image, small, outside, 5) == 0
