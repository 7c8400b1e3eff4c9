"""Random walks through all docks: whatever is done in whatever order, nothing is raised, lost or left at work."""

from __future__ import annotations

import gc
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QCoreApplication, QEvent, QThreadPool
from qtpy.QtWidgets import QApplication

from napari_dainr.data import KSpace
from napari_dainr.gui._dock import ScrollDock, find, find_or_open
from napari_dainr.gui._model import Phase, Source
from napari_dainr.gui._worker import Loaded
from napari_dainr.gui.cine.dock import CineDock
from napari_dainr.gui.compare.widget import CompareDock
from napari_dainr.gui.curves.dock import CurvesDock
from napari_dainr.gui.importing.dock import ImportDock
from napari_dainr.gui.widget import ReconstructionDock
from napari_dainr.gui.xt.dock import XtDock

from .conftest import WAIT_MS, ScriptedEngine

DOCKS: tuple[type[ScrollDock], ...] = (ReconstructionDock, CurvesDock, XtDock, CineDock, CompareDock, ImportDock)
BUSY = (Phase.RUNNING, Phase.PAUSED, Phase.STOPPING)
WALKS, LONG_STEPS, SHORT_STEPS = 20, 30, 60


class Walk:
    """Does one thing after another to a viewer with all docks; methods ``do_…`` are what may happen."""

    def __init__(self, viewer: Any, engine: ScriptedEngine, folder: Path, qtbot: Any, seed: int) -> None:
        self.viewer, self.engine, self.folder, self.qtbot = viewer, engine, folder, qtbot
        self.chance = random.Random(seed)
        self.log: list[str] = []
        self.sessions: list[Any] = []
        self.exports: list[Any] = []
        self.n_files = 0
        self.before: Counter[str] = Counter()

    def dock(self, kind: Any) -> Any:
        opened = find_or_open(self.viewer, kind)
        if kind is ReconstructionDock and opened.session not in self.sessions:
            self.sessions.append(opened.session)
        if kind is CineDock and opened not in self.exports:
            self.exports.append(opened)
        return opened

    @property
    def main(self) -> Any:
        return self.dock(ReconstructionDock)

    def step(self) -> None:
        name = self.chance.choice([name for name in dir(self) if name.startswith("do_")])
        self.log.append(name)
        getattr(self, name)()

    def file(self, suffix: str) -> Path:
        self.n_files += 1
        return self.folder / f"{self.n_files}{suffix}"

    def any_layer(self) -> Any:
        return self.chance.choice(list(self.viewer.layers)) if self.viewer.layers else None

    def shapes(self) -> Any:
        found = [layer for layer in self.viewer.layers if hasattr(layer, "shape_type") and layer.nshapes]
        return self.chance.choice(found) if found else None

    def pick(self, box: Any) -> None:
        if box.count():
            box.setCurrentIndex(self.chance.randrange(box.count()))

    # ---------------------------------------------------------------- the reconstruction

    def do_press(self) -> None:
        self.main.run_panel.buttons[self.chance.choice(["start", "start", "pause", "stop"])].click()

    do_press_again = do_press

    def do_load(self) -> None:
        dock, before = self.main, self.main.model.phase
        loaded = dock.session.load(Source(path=self.folder / f"{self.chance.random():.4f}.h5"))
        assert loaded != (before in BUSY)

    def do_settings(self) -> None:
        form = self.main.reconstruction
        self.chance.choice([
            lambda: form.spokes.setValue(self.chance.choice([0, 5, 8, 8, 41])),
            lambda: form.scale.setValue(self.chance.choice([1.0, 1.0, 2.0])),
            lambda: form.held_out.setValue(self.chance.choice([0.0, 0.02, 0.1])),
            lambda: self.pick(form.method),
            lambda: form.keep.toggle(),
            lambda: self.main.run_panel.forecast.anyway.toggle(),
        ])()  # fmt: skip

    def do_fail(self) -> None:
        self.engine.fail_at = self.chance.choice([-1, -1, 0, 7])

    def do_truth(self) -> None:
        self.pick(self.main.run_panel.truth.choice)

    def do_snapshot(self) -> None:
        row = self.main.run_panel.snapshots
        row.slider.setValue(self.chance.randint(0, 5))
        if self.chance.random() < 0.5:
            row.keep.click()

    def do_export(self) -> None:
        session = self.main.session
        self.chance.choice([
            lambda: session.export(self.file(self.chance.choice([".npy", ".gif", ".tif"]))),
            lambda: session.save_run(self.file("")),
            lambda: session.save_recipe(self.file(".json")),
            lambda: session.export(self.folder / "missing" / "a.npy"),
        ])()  # fmt: skip

    # ---------------------------------------------------------------- layers and windows

    def do_delete_layer(self) -> None:
        if (layer := self.any_layer()) is not None:
            self.viewer.layers.remove(layer)

    def do_rename_layer(self) -> None:
        if (layer := self.any_layer()) is not None:
            layer.name = self.chance.choice(["truth", "a", f"name {self.chance.random():.3f}"])

    def do_change_data(self) -> None:
        images = [layer for layer in self.viewer.layers if getattr(layer, "ndim", 0) == 3]
        if images:
            layer = self.chance.choice(images)
            frames = self.chance.choice([1, 3, 5])
            layer.data = np.random.default_rng(frames).random((frames, *layer.data.shape[1:])).astype(np.float32)

    def do_time(self) -> None:
        if self.viewer.dims.ndim:
            self.viewer.dims.set_current_step(0, self.chance.randint(0, 6))

    def do_theme(self) -> None:
        self.viewer.theme = self.chance.choice(["dark", "light"])

    def do_close_or_hide(self) -> None:
        dock = find(self.viewer, self.chance.choice(DOCKS))
        if dock is not None and self.chance.random() < 0.4:
            self.viewer.window.remove_dock_widget(dock)
        elif dock is not None:
            dock.parentWidget().setVisible(self.chance.random() < 0.5)

    def do_open(self) -> None:
        self.dock(self.chance.choice(DOCKS))

    def do_wait(self) -> None:
        self.qtbot.wait(self.chance.choice([1, 10, 60]))

    # ---------------------------------------------------------------- regions, line, cine, comparing

    def do_region(self) -> None:
        dock = self.dock(CurvesDock)
        dock.use_tool("ellipse")
        layer = dock.regions.layer
        if layer is not None and layer in self.viewer.layers:
            y, x, size = (self.chance.uniform(0, 200) for _ in range(3))
            layer.add([np.array([[y, x], [y, x + size], [y + size, x + size], [y + size, x]])], shape_type="ellipse")

    def do_drag(self) -> None:
        if (layer := self.shapes()) is not None:
            number, by = self.chance.randrange(layer.nshapes), self.chance.uniform(-30, 30)
            layer.data = [np.asarray(one) + (by if i == number else 0) for i, one in enumerate(layer.data)]

    def do_undo(self) -> None:
        self.chance.choice([self.dock(CurvesDock).undo, self.dock(CurvesDock).redo])()

    def do_line(self) -> None:
        dock = self.dock(XtDock)
        dock.new_line()
        if self.chance.random() < 0.3:
            dock.export(self.file(".npz"))

    def do_play(self) -> None:
        self.dock(CineDock).play_panel.toggle()

    def do_cine(self) -> None:
        dock = self.dock(CineDock)
        dock.cancel() if self.chance.random() < 0.2 else dock.export(self.file(".gif"))

    def do_compare(self) -> None:
        dock = self.dock(CompareDock)
        self.chance.choice([
            dock.grid_button.click, dock.queue.run.click, dock.queue.stop.click, dock.measure.show_maps.click,
            lambda: self.pick(dock.measure.reference), lambda: self.pick(dock.parts.part),
        ])()  # fmt: skip

    # ---------------------------------------------------------------- the end

    def rest(self) -> None:
        """Let everything come to its end and check that nothing was lost: a fit still runs from start to result."""
        dock = self.main
        compare = find(self.viewer, CompareDock)
        if compare is not None:
            compare.queue.stop.click()
            self.qtbot.waitUntil(lambda: not compare.queue.queue.running, timeout=WAIT_MS)
        if dock.model.phase is Phase.PAUSED:
            dock.run_panel.buttons["pause"].click()
        self.qtbot.waitUntil(lambda: dock.model.phase not in (*BUSY, Phase.LOADING), timeout=WAIT_MS)
        if dock.model.kspace is None:
            dock.session.load(Source(path=self.folder / "last.h5"))
            self.qtbot.waitUntil(lambda: dock.model.phase is Phase.READY, timeout=WAIT_MS)
        self.engine.fail_at = -1
        dock.reconstruction.spokes.setValue(8)
        dock.reconstruction.scale.setValue(1.0)
        self.qtbot.waitUntil(lambda: not dock.run_panel.forecast.busy, timeout=WAIT_MS)
        dock.run_panel.buttons["start"].click()
        self.qtbot.waitUntil(lambda: dock.model.phase is Phase.DONE, timeout=WAIT_MS)
        np.testing.assert_array_equal(dock.session.layer.data, dock.session.series.magnitude)
        self.at_rest()

    def at_rest(self) -> None:
        for cine in self.exports:
            self.qtbot.waitUntil(lambda cine=cine: cine.job is None, timeout=WAIT_MS)
        for session in self.sessions:
            self.qtbot.waitUntil(lambda session=session: not session._open_jobs, timeout=WAIT_MS)

    def close(self) -> None:
        """Close every dock and take every layer away."""
        for kind in DOCKS:
            dock = find(self.viewer, kind)
            if dock is not None:
                self.viewer.window.remove_dock_widget(dock)
        self.viewer.layers.clear()
        self.at_rest()
        self.qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=WAIT_MS)
        self.sessions.clear()
        self.exports.clear()

    def left(self) -> list[str]:
        """Widgets of this package that are alive now and were not before."""
        return sorted((Counter(ours()) - self.before).elements())


def ours() -> list[str]:
    """Widgets of this package that are alive."""
    for _ in range(3):
        QCoreApplication.processEvents()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        gc.collect()
    found = (type(widget) for widget in QApplication.allWidgets())
    return sorted(kind.__name__ for kind in found if kind.__module__.startswith("napari_dainr."))


@pytest.fixture
def start_walk(
    viewer: Any, engine: ScriptedEngine, tiny_kspace: KSpace, qtbot: Any, tmp_path: Path, monkeypatch: Any
) -> Iterator[Callable[[int], Walk]]:
    """Begins a walk with the tiny phantom loaded."""
    monkeypatch.setattr("napari_dainr.gui._worker.read_source", lambda source, folder: Loaded(tiny_kspace, source))
    engine.n_steps, engine.step_s, engine.most_scale = 12, 0.002, 1.5
    walks: list[Walk] = []
    # The viewer's fixture holds what an earlier test had closed and nobody had collected yet.
    before = Counter(ours())

    def start(seed: int) -> Walk:
        walk = Walk(viewer, engine, tmp_path, qtbot, seed)
        walk.before = before
        walks.append(walk)
        assert walk.main.session.load(Source(path=tmp_path / "tiny.h5"))
        qtbot.waitUntil(lambda: walk.main.model.phase is Phase.READY, timeout=WAIT_MS)
        return walk

    yield start
    engine.gate.set()
    for walk in walks:
        for session in walk.sessions:
            session.abandon()
        walk.at_rest()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_random_walk(start_walk: Callable[[int], Walk], engine: ScriptedEngine, seed: int) -> None:
    walk = start_walk(seed)
    for _ in range(SHORT_STEPS):
        walk.step()
    walk.rest()
    walk.close()
    assert engine.at_once == 0
    assert walk.left() == [], walk.log


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_200_walks_of_30_actions(start_walk: Callable[[int], Walk], engine: ScriptedEngine, block: int) -> None:
    """Ten windows with twenty walks each, that begin and end without a dock; nothing of one is left for the next."""
    threads: set[str] = set()
    for number in range(WALKS):
        walk = start_walk(100 + WALKS * block + number)
        for _ in range(LONG_STEPS):
            walk.step()
        walk.rest()
        walk.close()
        assert walk.left() == [], walk.log
        alive = {thread.name for thread in threading.enumerate() if not thread.name.startswith("Dummy")}
        threads = threads or alive
        assert alive <= threads, walk.log
        assert engine.at_once == 0
