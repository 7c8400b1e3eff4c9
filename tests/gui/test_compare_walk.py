"""Random walks through both docks: whatever is pressed in whatever order, nothing is raised, lost or left at work."""

from __future__ import annotations

import random
from typing import Any

import pytest

from napari_dainr.gui._layers import layer_data
from napari_dainr.gui.compare.widget import open_compare
from napari_dainr.recipe import Finished

from .conftest import WAIT_MS, ScriptedEngine
from .test_render import finished  # noqa: F401  (a fixture)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_random_walk(
    dock: Any,
    viewer: Any,
    engine: ScriptedEngine,
    load_tiny: Any,
    qtbot: Any,
    finished: Finished,  # noqa: F811
    seed: int,
) -> None:
    chance = random.Random(seed)
    engine.n_steps, engine.step_s = 10, 0.002
    load_tiny()
    compare = open_compare(viewer)

    def add_result() -> None:
        data, keywords, _ = layer_data(finished.series, finished.recipe, "tiny", folder=finished.folder)
        viewer.add_image(data, **keywords)

    def any_layer() -> Any:
        return chance.choice(list(viewer.layers)) if viewer.layers else None

    def delete() -> None:
        if (layer := any_layer()) is not None:
            viewer.layers.remove(layer)

    def rename() -> None:
        if (layer := any_layer()) is not None:
            layer.name = f"name {chance.random():.3f}"

    def choose(box: Any) -> None:
        box.setCurrentIndex(chance.randrange(box.count()))

    measure, render, field = compare.measure, compare.render_section, compare.field
    actions = {
        "result": add_result,
        "delete": delete,
        "rename": rename,
        "run": lambda: compare.queue.run.click(),
        "skip": lambda: compare.queue.skip.click(),
        "stop": lambda: compare.queue.stop.click(),
        "fail": lambda: setattr(engine, "fail_at", chance.choice([-1, 0, 4])),
        "grid": lambda: compare.grid_button.click(),
        "napari's grid": lambda: setattr(viewer.canvas.grid, "enabled", chance.random() < 0.5),
        "reference": lambda: choose(measure.reference),
        "maps": lambda: measure.show_maps.click(),
        "k": lambda: measure.times.setValue(chance.randint(1, 20)),
        "check": lambda: compare.layers.checked and compare.layers.set_checked(compare.layers.checked[0], False),
        "part": lambda: choose(compare.parts.part),
        "part of": lambda: choose(compare.parts.source),
        "field": lambda: chance.choice(list(field.show_boxes.values())).click(),
        "every": lambda: field.every.setValue(chance.randint(1, 9)),
        "render of": lambda: choose(render.source),
        "r": lambda: render.scale.setValue(chance.choice([0.5, 1, 1.3])),
        "times": lambda: render.upsample.setValue(chance.randint(1, 3)),
        "hide": lambda: compare.parentWidget().setVisible(chance.random() < 0.5),
        "wait": lambda: qtbot.wait(chance.choice([1, 30, 150])),
    }
    for _ in range(80):
        actions[chance.choice(list(actions))]()

    compare.queue.stop.click()
    jobs = (measure._scoring, measure._mapping, compare.parts._reading, field._reading, render._drawing)
    qtbot.waitUntil(lambda: not compare.queue.queue.running and not dock.session._open_jobs, timeout=WAIT_MS)
    compare.grid.leave()
    assert not compare.grid.active
    viewer.layers.clear()
    assert measure.reference.layer is None
    assert render.source.layer is None
    add_result()
    render.scale.setValue(0.5 if render.scale.value() > 0.75 else 1.0)
    qtbot.waitUntil(lambda: render.series is not None, timeout=WAIT_MS)
    qtbot.waitUntil(lambda: not any(job.busy for job in jobs), timeout=WAIT_MS)
