"""Random walks through the dock: whatever is pressed in whatever order, nothing is lost and nothing hangs."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_dainr.gui._model import Phase, Source

from .conftest import WAIT_MS, ScriptedEngine


@pytest.mark.parametrize("seed", [1, 2])
def test_a_random_walk(
    dock: Any, viewer: Any, engine: ScriptedEngine, load_tiny: Any, qtbot: Any, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    engine.n_steps, engine.step_s = 15, 0.002
    load_tiny()
    buttons = dock.run_panel.buttons

    def toggle_failure() -> None:
        engine.fail_at = chance.choice([-1, 0, 7])

    def delete_a_layer() -> None:
        if viewer.layers:
            viewer.layers.remove(chance.choice(list(viewer.layers)))

    def rename_a_layer() -> None:
        if viewer.layers:
            chance.choice(list(viewer.layers)).name = f"name {chance.random()}"

    actions = {
        "start": lambda: buttons["start"].click(),
        "pause": lambda: buttons["pause"].click(),
        "stop": lambda: buttons["stop"].click(),
        "load": lambda: dock.session.load(Source(path=tmp_path / "other.h5")),
        "fail": toggle_failure,
        "delete": delete_a_layer,
        "rename": rename_a_layer,
        "keep": lambda: dock.reconstruction.keep.toggle(),
        "spokes": lambda: dock.reconstruction.spokes.setValue(chance.choice([0, 5, 8, 41])),
        "hide": lambda: dock.parentWidget().setVisible(chance.random() < 0.5),
        "wait": lambda: qtbot.wait(chance.choice([1, 20, 120])),
    }
    for _ in range(60):
        before = dock.model.phase
        name = chance.choice(list(actions))
        actions[name]()
        if before in (Phase.RUNNING, Phase.PAUSED, Phase.STOPPING) and name == "load":
            assert dock.model.phase is not Phase.LOADING

    if dock.model.phase is Phase.PAUSED:
        buttons["pause"].click()
    rest = (Phase.READY, Phase.DONE, Phase.FAILED)
    qtbot.waitUntil(lambda: dock.model.phase in rest and not dock.session._open_jobs, timeout=WAIT_MS)
    engine.fail_at = -1
    dock.reconstruction.spokes.setValue(8)
    buttons["start"].click()
    qtbot.waitUntil(lambda: dock.model.phase is Phase.DONE, timeout=WAIT_MS)
    assert engine.most_at_once == 1
    np.testing.assert_array_equal(dock.session._layer.layer.data, dock.session.series.magnitude)
