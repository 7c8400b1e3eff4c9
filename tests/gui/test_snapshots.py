"""Snapshots: thinned evenly, scrubbed in a layer of their own, kept when asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from napari_dainr.data import ImageSeries
from napari_dainr.gui import _snapshots
from napari_dainr.gui._model import Phase
from napari_dainr.gui._snapshots import Snapshots
from napari_dainr.gui._worker import Picture

from .conftest import WAIT_MS, ScriptedEngine


def picture(step: int, shape: tuple[int, int, int] = (3, 5, 4)) -> Picture:
    rng = np.random.default_rng(step)
    image = (1e-6 * rng.standard_normal((*shape, 2))).astype(np.float32).view(np.complex64)[..., 0]
    n = shape[0]
    info = {"step": step, "stage": "GRASP"}
    series = ImageSeries(image, np.arange(n) / 2, (2.0, 3.0), 0.5, np.zeros(n, dtype=bool), "grasp", info)
    return Picture(series, series.magnitude)


def test_many_snapshots_are_thinned_evenly_and_keep_the_first() -> None:
    snapshots = Snapshots()
    for step in range(200):
        snapshots.add(picture(step))
    steps = [snapshot.step for snapshot in snapshots.kept]
    assert len(steps) <= _snapshots.MOST
    assert steps[0] == 0
    assert len(set(np.diff(steps))) == 1
    assert steps[-1] > 200 - 2 * np.diff(steps)[0]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_snapshots, "MOST_BYTES", 5 * 3 * 5 * 4 * 2)
    snapshots = Snapshots()
    for step in range(50):
        snapshots.add(picture(step))
    assert sum(s.image.nbytes for s in snapshots.kept) <= _snapshots.MOST_BYTES
    assert all(s.series.image.strides == (0, 0, 0) for s in snapshots.kept), "the complex picture must not be held"


def test_small_values_survive_half_precision() -> None:
    snapshots = Snapshots()
    one = picture(7)
    snapshots.add(one)
    assert np.allclose(snapshots.kept[0].magnitude, one.magnitude, atol=1e-3 * one.magnitude.max())


def test_scrubbing_shows_an_earlier_look_and_keep_leaves_it(
    engine: ScriptedEngine, dock: Any, viewer: Any, qtbot: Any, load_tiny: Callable[[], None]
) -> None:
    load_tiny()
    dock.session.start()
    qtbot.waitUntil(lambda: dock.model.phase is Phase.DONE, timeout=WAIT_MS)
    row = dock.run_panel.snapshots
    for step in (10, 20, 30):
        dock.session.snapshots.add(picture(step))
    assert not row.isHidden()
    layers = len(viewer.layers)
    row.slider.setValue(0)
    assert len(viewer.layers) == layers + 1
    shown = viewer.layers[-1]
    first = dock.session.snapshots.kept[0]
    assert np.array_equal(shown.data, first.magnitude)
    assert shown.name.endswith(f"step {first.step}")
    row.slider.setValue(1)
    assert len(viewer.layers) == layers + 1
    assert not np.array_equal(shown.data, first.magnitude)
    kept = shown.data.copy()
    row.keep.click()
    row.slider.setValue(0)
    assert len(viewer.layers) == layers + 2
    assert np.array_equal(shown.data, kept)
    viewer.layers.remove(viewer.layers[-1])  # the user deletes it in mid-scrub
    row.slider.setValue(1)
    assert len(viewer.layers) == layers + 2
