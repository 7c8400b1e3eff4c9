"""A random walk through the dock "Regions and curves": whatever comes in whatever order, layer and regions agree."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from napari_dainr.analysis.regions import ROLES
from napari_dainr.gui._dock import find, find_or_open
from napari_dainr.gui.curves.dock import CurvesDock
from napari_dainr.gui.curves.layer import TOOLS

from .conftest import WAIT_MS
from .test_curves import NX, NY, add_series, series

STEPS = 120


class Walker:
    """Does one thing after another to a dock and its viewer."""

    def __init__(self, viewer: Any, seed: int) -> None:
        self.viewer, self.random = viewer, random.Random(seed)
        self.log: list[str] = []
        self.n_series = 0

    @property
    def dock(self) -> CurvesDock:
        return find_or_open(self.viewer, CurvesDock)

    def images(self) -> list[Any]:
        return [layer for layer in self.viewer.layers if layer.ndim == 3]

    def region_id(self) -> str:
        regions = self.dock.state.regions.regions
        return self.random.choice(regions).id if regions else ""

    def step(self) -> None:
        name = self.random.choice([name for name in dir(self) if name.startswith("do_")])
        self.log.append(name)
        getattr(self, name)()

    def do_add_series(self) -> None:
        if len(self.images()) < 4:
            self.n_series += 1
            add_series(self.viewer, self.random.choice(["dainr", "nufft", "grasp"]), 1.0 + self.n_series)

    def do_remove_series(self) -> None:
        if self.images() and self.random.random() < 0.4:
            self.viewer.layers.remove(self.random.choice(self.images()))

    def do_other_data(self) -> None:
        if self.images():
            self.random.choice(self.images()).data = series(3.0)[: self.random.choice([1, 5, 24])]

    def do_move_series(self) -> None:
        if self.images():
            layer = self.random.choice(self.images())
            layer.translate = (self.random.random(), 5 * self.random.random(), 0.0)
            layer.name = f"named {self.random.randint(0, 3)}"

    def do_draw(self) -> None:
        dock = self.dock
        kind = self.random.choice([*TOOLS, "", ""])
        if kind:
            dock.use_tool(kind)
        layer = dock.regions.layer
        if layer is not None and layer in self.viewer.layers:
            y, x = self.random.uniform(0, NY), self.random.uniform(0, NX)
            size = self.random.choice([0.01, 3.0, 9.0])
            corners = np.array([[y, x], [y, x + size], [y + size, x + size], [y + size, x]])
            layer.add([corners], shape_type=self.random.choice(["ellipse", "rectangle", "polygon", "path"]))

    def do_edit_shape(self) -> None:
        layer = self.dock.regions.layer
        if layer is not None and layer.nshapes:
            data = [np.asarray(one) for one in layer.data]
            number = self.random.randrange(len(data))
            data[number] = data[number] + self.random.uniform(-3, 3)
            layer.data = data

    def do_delete_shape(self) -> None:
        layer = self.dock.regions.layer
        if layer is not None and layer.nshapes:
            layer.selected_data = {self.random.randrange(layer.nshapes)}
            layer.remove_selected()

    def do_remove_layer_of_regions(self) -> None:
        layer = self.dock.regions.layer
        if layer is not None and self.random.random() < 0.3:
            self.viewer.layers.remove(layer)

    def do_undo(self) -> None:
        for _ in range(self.random.randint(1, 4)):
            self.dock.undo()

    def do_redo(self) -> None:
        self.dock.redo()

    def do_change_region(self) -> None:
        state, region_id = self.dock.state, self.region_id()
        if region_id:
            self.random.choice([
                lambda: state.rename(region_id, self.random.choice(["", "x", "Aorta"])),
                lambda: state.set_role(region_id, self.random.choice(list(ROLES))),
                lambda: state.change(region_id, locked=self.random.random() < 0.3),
                lambda: state.set_threshold(region_id, self.random.choice([None, 0.1, 0.5])),
                lambda: state.remove(region_id),
                lambda: state.select(region_id),
            ])()  # fmt: skip

    def do_copy(self) -> None:
        looks, region_id = self.dock.reader.looks(), self.region_id()
        if region_id and len(self.dock.state.regions) < 8:
            self.dock.state.select(region_id)
            self.dock.duplicate()
            if looks:
                self.dock.state.copy_to(region_id, self.random.choice(looks).key, "copy")

    def do_view(self) -> None:
        bar = self.dock.toolbar
        for box in (bar.mode, bar.statistic, self.dock.tables.onset, self.dock.tables.agent):
            box.setCurrentIndex(self.random.randrange(box.count()))
        bar.band.setChecked(self.random.random() < 0.5)
        bar.auto_baseline.setChecked(self.random.random() < 0.5)

    def do_baseline(self) -> None:
        start = self.random.uniform(-5, 40)
        self.dock.plot.baseline_dragged.emit(start, start + self.random.uniform(0, 9), True)

    def do_marks(self) -> None:
        dock, time_s = self.dock, self.random.uniform(-5, 60)
        entries = dock.marks.menu_at(time_s).actions()
        if entries:
            self.random.choice(entries).trigger()
        region_id = self.region_id()
        if region_id:
            dock.plot.arrival_dragged.emit(region_id, time_s, self.random.random() < 0.5)
            dock.tables.quantities.fill(dock.quantity_entries())
        dock.plot.phases_dragged.emit(dock.plot.phases, self.random.random() < 0.5)

    def do_seek(self) -> None:
        self.dock.plot.cursor_dragged.emit(self.random.uniform(-5, 60))
        if self.viewer.dims.ndim:
            self.viewer.dims.set_current_step(0, self.random.randint(0, 30))

    def do_choose_series(self) -> None:
        actions = self.dock.toolbar.series.menu().actions()
        if actions:
            self.random.choice(actions).trigger()

    def do_hide_or_close(self) -> None:
        if self.random.random() < 0.3:
            self.viewer.window.remove_dock_widget(self.dock)
        else:
            self.dock.parentWidget().hide()

    def do_theme(self) -> None:
        self.viewer.theme = self.random.choice(["dark", "light"])


@pytest.mark.parametrize("seed", [1, 6])
def test_random_walk(viewer: Any, qtbot: Any, seed: int) -> None:
    walker = Walker(viewer, seed)
    for _ in range(STEPS):
        walker.step()
        if walker.random.random() < 0.4:
            qtbot.wait(1)
        dock = find(viewer, CurvesDock)
        if dock is None:
            continue
        layer, regions = dock.regions.layer, dock.state.regions
        if layer is not None:
            ids = [one for one in layer.features["id"] if one]
            assert ids == [region.id for region in regions], walker.log[-5:]
            assert list(layer.features["name"])[: len(ids)] == [region.name for region in regions], walker.log[-5:]
            assert layer.nshapes == len(layer.features), walker.log[-5:]
    dock = find_or_open(viewer, CurvesDock)
    dock.undo()
    dock.reader.ask()
    qtbot.waitUntil(lambda: not (dock.reader._soon.isActive() or dock.reader._beside.busy), timeout=WAIT_MS)
    keys = {(reading.region.id, reading.look.key) for reading in dock.reader.readings}
    assert keys == {(region.id, look.key) for region, look in dock.reader._pairs()}
    qtbot.waitUntil(lambda: not dock.marks.is_due, timeout=WAIT_MS)
