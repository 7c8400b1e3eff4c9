"""Docks in real viewers, and a scripted engine for what a real one does too rarely."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from npe2 import PluginManifest

from napari_dainr.data import ImageSeries, KSpace
from napari_dainr.forecast import Forecast
from napari_dainr.gui._model import Phase, Source
from napari_dainr.gui._worker import Loaded
from napari_dainr.gui.widget import ReconstructionDock, open_dock
from napari_dainr.recipe import Event, Finished, Notice, Preview, Progress, Recipe

WAIT_MS = 30_000


class ScriptedEngine:
    """Yields the events of a fit of ``n_steps`` steps; fails, waits or stops where it is told to.

    ``error`` is raised after ``fail_at`` steps. ``gate`` holds the fit before every step while it is clear.
    """

    def __init__(self) -> None:
        self.n_steps = 20
        self.step_s = 0.005
        self.fail_at = -1
        self.error: Exception = RuntimeError("nothing")
        self.gate = threading.Event()
        self.gate.set()
        self.runs: list[Recipe] = []
        self.steps_done = 0
        self.forecasts: list[Recipe] = []
        self.most_scale = 4.0
        self.memory_bytes = [1_200_000_000, 1_500_000_000, 1_300_000_000]
        self.ended: list[str] = []
        self.at_once = self.most_at_once = 0
        self._count = threading.Lock()

    def forecast(self, recipe: Recipe, kspace: KSpace, stop: threading.Event | None = None) -> Forecast:
        self.forecasts.append(recipe)
        advice = None if recipe.scale <= self.most_scale else "It needs 9.0 GB, but 2.0 GB are free; draw at scale 1."
        return Forecast(28.0, int(9e9 if advice else 1.1e9), int(2e9), {"fit": 25.0, "drawing": 3.0}, advice)

    def series(self, recipe: Recipe, kspace: KSpace, level: float) -> ImageSeries:
        frames = kspace.n_spokes // recipe.spokes_per_frame
        y, x = kspace.matrix
        duration = recipe.spokes_per_frame * kspace.tr_s
        ramp = np.linspace(0, level, frames * y * x, dtype=np.float32).reshape(frames, y, x)
        return ImageSeries(
            image=ramp.astype(np.complex64),
            times_s=duration * (np.arange(frames) + 0.5),
            pixel_mm=(kspace.fov_mm[0] / y, kspace.fov_mm[1] / x),
            frame_duration_s=duration,
            interpolated=np.zeros(frames, bool),
            method=recipe.method,
            info={"step": self.steps_done, "stage": "scripted"},
        )

    def run(
        self,
        recipe: Recipe,
        folder: Path | None = None,
        *,
        kspace: KSpace,
        resume: bool = False,
        stop: threading.Event | None = None,
        preview_hz: float = 0.0,
        checkpoint_s: float = 30.0,
    ) -> Iterator[Event]:
        self.runs.append(recipe)
        if recipe.method == "nufft":
            yield Finished(self.series(recipe, kspace, 1.0), recipe, 0.0, False, folder)
            return
        with self._count:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            yield from self._fit(recipe, folder, kspace, stop or threading.Event(), preview_hz)
        finally:
            with self._count:
                self.at_once -= 1

    def _fit(
        self, recipe: Recipe, folder: Path | None, kspace: KSpace, stop: threading.Event, preview_hz: float
    ) -> Iterator[Event]:
        yield Notice(f"{recipe.threads} threads")
        step, stopped = 0, False
        while step < self.n_steps and not stopped:
            self.gate.wait(20)
            if step == self.fail_at:
                self.ended.append("failed")
                raise self.error
            time.sleep(self.step_s)
            step += 1
            self.steps_done = step
            memory = self.memory_bytes[step % 3]
            yield Progress(
                step, self.n_steps, "fit", {"loss": 1 / step}, 0.1, 10.0, 1.0, memory, max(self.memory_bytes)
            )
            if preview_hz and step % 5 == 1:
                yield Preview(step, self.series(recipe, kspace, float(step)))
            stopped = stop.is_set()
        self.ended.append("stopped" if stopped else "finished")
        yield Finished(self.series(recipe, kspace, 100.0 + step), recipe, 0.5, stopped, folder)


@pytest.fixture(autouse=True)
def preferences(plugin_settings: Any, npe2pm: Any) -> None:
    """Preferences of this test alone, in a folder of its own; of all plugins only this one is there."""
    npe2pm.register(PluginManifest.from_distribution("napari-dainr"))


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedEngine]:
    """The scripted engine in place of the real one."""
    scripted = ScriptedEngine()
    monkeypatch.setattr("napari_dainr.recipe.run", scripted.run)
    monkeypatch.setattr("napari_dainr.forecast.forecast", scripted.forecast)
    yield scripted
    scripted.gate.set()


@pytest.fixture
def viewer(make_napari_viewer: Callable[[], Any]) -> Any:
    return make_napari_viewer()


@pytest.fixture
def dock(viewer: Any, qtbot: Any, request: pytest.FixtureRequest) -> Iterator[ReconstructionDock]:
    """An empty dock; at the end its jobs are over."""
    opened = open_dock(viewer)
    session = opened.session
    yield opened
    scripted = request.node.funcargs.get("engine")
    if scripted is not None:
        scripted.gate.set()
    session.abandon()
    qtbot.waitUntil(lambda: not session._open_jobs, timeout=WAIT_MS)


@pytest.fixture
def load_tiny(
    dock: ReconstructionDock, qtbot: Any, tiny_kspace: KSpace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[], None]:
    """Loads the tiny phantom, as if from a file, and waits for the first look."""
    monkeypatch.setattr("napari_dainr.gui._worker.read_source", lambda source, folder: Loaded(tiny_kspace, source))

    def load() -> None:
        assert dock.session.load(Source(path=tmp_path / "tiny.h5"))
        qtbot.waitUntil(lambda: dock.model.phase is Phase.READY, timeout=WAIT_MS)

    return load
