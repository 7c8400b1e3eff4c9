"""Long use: thousands of live updates, windows opened and closed over and over; nothing grows, no thread stays."""

from __future__ import annotations

import gc
import os
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import NonCallableMock, patch

import psutil
import pytest
from qtpy import API_NAME
from qtpy.QtCore import QCoreApplication, QEvent, QThreadPool

from napari_dainr.data import KSpace
from napari_dainr.gui._dock import find_or_open
from napari_dainr.gui._model import Phase, Source
from napari_dainr.gui._worker import Loaded
from napari_dainr.gui.cine.dock import CineDock
from napari_dainr.gui.compare.widget import CompareDock
from napari_dainr.gui.curves.dock import CurvesDock
from napari_dainr.gui.importing.dock import ImportDock
from napari_dainr.gui.widget import ReconstructionDock
from napari_dainr.gui.xt.dock import XtDock
from napari_dainr.machine import give_back_memory

from .conftest import WAIT_MS, ScriptedEngine

DOCKS: tuple[Any, ...] = (ReconstructionDock, CurvesDock, XtDock, CineDock, CompareDock, ImportDock)
MB = 1e6
PER_CYCLE = 0.5 * MB
"""Most that a window which was opened and closed may leave behind, bytes."""
PER_UPDATE = 2000
"""Most that a live update may leave behind, bytes: a tenth of what it shows."""
LISTED_BY_NAPARI = "napari_dainr.gui._job_worker._QuitIfThere"
"""napari leaves one window object for each viewer, with a list of the tasks that it had: these are our entries."""


def settle() -> None:
    """Everything that waits to be deleted is deleted; what the mocks of napari's fixture remember, too."""
    for _ in range(3):
        QCoreApplication.processEvents()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        gc.collect()
    for thing in gc.get_objects():
        if issubclass(type(thing), NonCallableMock):  # 1,600 calls for each window, .4 MB
            thing.reset_mock()
    give_back_memory()


def memory() -> int:
    """Bytes that this process has taken; its libraries do not count, as they change hands when other programs end."""
    settle()
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(status.read_text().split("RssAnon:")[1].split()[0])
    return int(psutil.Process().memory_full_info().uss)


def our_objects() -> Counter[str]:
    """Objects of classes of this package that are alive."""
    settle()
    kinds = (type(thing) for thing in gc.get_objects())
    return Counter(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds
                   if str(kind.__module__).startswith("napari_dainr."))  # fmt: skip


def threads() -> int:
    """Threads of the process, those of C libraries among them."""
    return psutil.Process().num_threads()


def growth(sizes: list[int]) -> float:
    """Slope of a series of sizes, bytes each: the median over all pairs, which single jumps do not move (Theil-Sen)."""
    pairs = [(b - a) / (j - i) for i, a in enumerate(sizes) for j, b in enumerate(sizes) if j > i]
    return sorted(pairs)[len(pairs) // 2]


def tell(what: str, sizes: list[int]) -> None:
    """A line for who runs the long form with ``-s``."""
    shown = sizes[:: max(1, len(sizes) // 20)]
    print(f"\n{what}: {growth(sizes) / MB:.4f} MB each; MB:", *(f"{size / MB:.1f}" for size in shown), flush=True)


@pytest.mark.parametrize("updates", [100, pytest.param(10_000, marks=pytest.mark.slow)])
def test_live_updates_leave_nothing(
    dock: ReconstructionDock,
    viewer: Any,
    load_tiny: Callable[[], None],
    engine: ScriptedEngine,
    qtbot: Any,
    updates: int,
) -> None:
    engine.n_steps, engine.step_s = 100 * updates, 0.001
    load_tiny()
    for kind in DOCKS:
        find_or_open(viewer, kind)
    dock.run_panel.buttons["start"].click()
    qtbot.waitUntil(lambda: dock.model.phase is Phase.RUNNING and dock.session.layer is not None, timeout=WAIT_MS)
    layer = dock.session.layer
    assert layer is not None
    dock.session._timer.setInterval(2)  # as fast as they can be drawn, not ten a second
    seen: list[int] = [0]

    def count() -> None:
        seen[0] += 1

    layer.events.data.connect(count)
    sizes: list[int] = []
    parts = 10 if updates < 1000 else 100
    for part in range(parts + 1):
        # The first part warms up: plots, fonts and buffers are made once.
        until = min(updates // 2, 300) + part * updates // parts
        qtbot.waitUntil(lambda until=until: seen[0] >= until, timeout=40 * WAIT_MS)
        sizes.append(memory())
        if part % 20 == 19:
            tell(f"{seen[0]} updates, in parts of {updates // parts}", sizes)
    layer.events.data.disconnect(count)
    tell(f"{seen[0]} updates, in parts of {updates // parts}", sizes)
    # Pages touched for the first time weigh more in the short form: four times, under half of the series shown.
    assert growth(sizes) <= PER_UPDATE * (1 if updates > 1000 else 4) * updates / parts
    dock.run_panel.buttons["stop"].click()
    qtbot.waitUntil(lambda: dock.model.phase is Phase.DONE, timeout=WAIT_MS)


def cycle(make_viewer: Callable[[], Any], folder: Path, qtbot: Any) -> None:
    """A window with all docks, a file, a fit with live updates; closed again."""
    viewer = make_viewer()
    docks = [find_or_open(viewer, kind) for kind in DOCKS]
    main = docks[0]
    session = main.session
    assert session.load(Source(path=folder / "tiny.h5"))
    qtbot.waitUntil(lambda: main.model.phase is Phase.READY, timeout=WAIT_MS)
    main.run_panel.buttons["start"].click()
    qtbot.waitUntil(lambda: main.model.phase is Phase.DONE, timeout=WAIT_MS)
    docks[1].use_tool("ellipse")
    with patch.object(viewer.window._qt_window, "_save_current_window_settings"):
        viewer.close()
    qtbot.waitUntil(lambda: not session._open_jobs, timeout=WAIT_MS)
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=WAIT_MS)


@pytest.mark.skipif(API_NAME == "PySide6", reason="keeps a window's workers; that docks go is seen by the walks")
@pytest.mark.parametrize("cycles", [4, pytest.param(200, marks=pytest.mark.slow)])
def test_windows_opened_and_closed_leave_nothing(
    make_napari_viewer: Callable[[], Any],
    engine: ScriptedEngine,
    tiny_kspace: KSpace,
    qtbot: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cycles: int,
) -> None:
    monkeypatch.setattr("napari_dainr.gui._worker.read_source", lambda source, folder: Loaded(tiny_kspace, source))
    engine.n_steps, engine.step_s = 12, 0.002
    for _ in range(3):  # what is made once for all windows
        cycle(make_napari_viewer, tmp_path, qtbot)
    before, alive = our_objects(), {thread.name for thread in threading.enumerate()}
    all_threads, handles = threads(), len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    sizes = [memory()]
    for number in range(cycles):
        cycle(make_napari_viewer, tmp_path, qtbot)
        engine.runs.clear()
        engine.forecasts.clear()
        engine.ended.clear()
        sizes.append(memory())
        if number % 10 == 9:
            tell(f"{number + 1} windows", sizes)
    tell(f"{cycles} windows", sizes)
    left = our_objects() - before
    assert set(left) <= {LISTED_BY_NAPARI}
    assert {thread.name for thread in threading.enumerate()} <= alive
    # Threads of Qt's pool that have nothing to do end after half a minute; each has a handle that it is woken by.
    idle = QThreadPool.globalInstance().maxThreadCount()
    assert threads() <= all_threads + idle
    assert not handles or len(os.listdir("/proc/self/fd")) <= handles + idle
    assert growth(sizes) <= PER_CYCLE
