"""What more a finished run can show: drawings at other sizes and times, complex parts, the deformation field."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_dainr.data import KSpace
from napari_dainr.deformation import deformation
from napari_dainr.engine import render
from napari_dainr.gui._layers import layer_data
from napari_dainr.gui._model import Phase
from napari_dainr.gui.compare.widget import CompareDock, open_compare
from napari_dainr.recipe import Finished, Recipe, run

from .conftest import WAIT_MS, ScriptedEngine

SMALL = {"n_steps": 12, "feature_steps": 8, "width": 16, "depth": 2, "n_min": 4, "table_log2": 10}


@pytest.fixture(scope="module")
def finished(tiny_kspace: KSpace, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A short fit of DA-INR, two networks, 5 frames of 33 × 28."""
    recipe = Recipe.model_validate({"data": "memory", "spokes_per_frame": 8, "settings": SMALL, "threads": 1})
    *_, last = run(recipe, tmp_path_factory.mktemp("runs") / "run", kspace=tiny_kspace)
    assert isinstance(last, Finished)
    return last


@pytest.fixture
def compare(viewer: Any, qtbot: Any) -> Iterator[CompareDock]:
    opened = open_compare(viewer)
    jobs = (opened.parts._reading, opened.field._reading, opened.render_section._drawing, opened.measure._scoring)
    yield opened
    for job in jobs:
        job.cancel()
    qtbot.waitUntil(lambda: not any(job.busy for job in jobs), timeout=WAIT_MS)


@pytest.fixture
def result(viewer: Any, compare: CompareDock, finished: Finished) -> Any:
    """The layer of the run, as the session makes it."""
    data, keywords, _ = layer_data(finished.series, finished.recipe, "tiny", folder=finished.folder)
    return viewer.add_image(data, **keywords)


def exact(compare: CompareDock, qtbot: Any) -> Any:
    section = compare.render_section
    qtbot.waitUntil(lambda: section.series is not None and not section._drawing.busy, timeout=WAIT_MS)
    return section.series


# -------------------------------------------------------------------- render


def test_sliders_draw_what_the_command_draws(
    compare: CompareDock, viewer: Any, result: Any, qtbot: Any, finished: Finished, tmp_path: Path
) -> None:
    section = compare.render_section
    assert section.source.layer is result
    previews: list[str] = []
    section.note.setText = lambda text, set_=section.note.setText: (previews.append(text), set_(text))  # type: ignore[method-assign]
    section.scale.setValue(1.5)
    section.upsample.setValue(3)
    series = exact(compare, qtbot)
    assert finished.folder is not None
    expected = render(finished.folder, tmp_path / "again", 1.5, 3)
    np.testing.assert_array_equal(series.image, expected.image)
    layer = viewer.layers[-1]
    assert layer.name == "DA-INR ×3 · r 1.5"
    np.testing.assert_array_equal(layer.data, expected.magnitude)
    np.testing.assert_allclose(layer.scale, (0.08 / 3, 330 / 50, 280 / 42))
    assert tuple(layer.contrast_limits) == tuple(result.contrast_limits)
    assert layer.metadata["dainr"]["interpolated"] == expected.interpolated.tolist()
    # Pixel n // 2 of both is at the same place.
    np.testing.assert_allclose(layer.data_to_world((0, 25, 21)), result.data_to_world((0, 16, 14)), atol=1e-6)
    assert any(text.startswith("Preview by 1 network") for text in previews)
    assert "13 frames of 50 × 42 pixels, 8 of them between measured ones; exact" in section.note.text()


def test_the_newest_wish_wins_in_one_layer(compare: CompareDock, viewer: Any, result: Any, qtbot: Any) -> None:
    section = compare.render_section
    for value in (0.5, 2.0, 3.0, 0.75):
        section.scale.setValue(value)
        qtbot.wait(70)
    series = exact(compare, qtbot)
    assert series.image.shape == (5, 25, 21)
    assert [layer.name for layer in viewer.layers] == [result.name, "DA-INR ×1 · r 0.75"]
    viewer.layers.remove(viewer.layers[-1])
    section.upsample.setValue(2)
    assert exact(compare, qtbot).image.shape == (9, 25, 21)
    assert viewer.layers[-1].name == "DA-INR ×2 · r 0.75"


def test_a_run_that_is_gone_says_so(compare: CompareDock, viewer: Any, result: Any, qtbot: Any) -> None:
    result.metadata["dainr"]["run_folder"] = "/nowhere"
    compare.render_section.scale.setValue(2.0)
    qtbot.waitUntil(lambda: "not there any more" in compare.banner.text.text(), timeout=WAIT_MS)
    assert len(viewer.layers) == 1


def test_a_damaged_state_says_so(
    compare: CompareDock, viewer: Any, finished: Finished, qtbot: Any, tmp_path: Path
) -> None:
    import shutil

    assert finished.folder is not None
    shutil.copytree(finished.folder, tmp_path / "run")
    for path in (tmp_path / "run").glob("state.safetensors*"):
        path.write_bytes(b"x")
    data, keywords, _ = layer_data(finished.series, finished.recipe, "tiny", folder=tmp_path / "run")
    viewer.add_image(data, **keywords)
    compare.render_section.scale.setValue(2.0)
    qtbot.waitUntil(lambda: "damaged" in compare.banner.text.text(), timeout=WAIT_MS)
    assert compare.banner.kind == "error"


def test_a_fit_ends_the_drawing_and_comes_first(
    dock: Any, viewer: Any, engine: ScriptedEngine, load_tiny: Any, qtbot: Any, finished: Finished
) -> None:
    compare = open_compare(viewer)
    load_tiny()
    data, keywords, _ = layer_data(finished.series, finished.recipe, "tiny", folder=finished.folder)
    viewer.add_image(data, **keywords)
    section = compare.render_section
    section.scale.setValue(4.0)
    qtbot.waitUntil(lambda: section._drawing.busy, timeout=WAIT_MS)
    engine.n_steps = 100_000
    dock.run_panel.buttons["start"].click()
    assert not section.scale.isEnabled()
    qtbot.waitUntil(lambda: not section._drawing.busy, timeout=WAIT_MS)
    assert "drawing waits" in section.note.text()
    dock.run_panel.buttons["stop"].click()
    qtbot.waitUntil(lambda: dock.model.phase is Phase.DONE, timeout=WAIT_MS)
    assert section.scale.isEnabled()


def test_closing_in_mid_drawing(compare: CompareDock, viewer: Any, result: Any, qtbot: Any) -> None:
    section = compare.render_section
    section.scale.setValue(4.0)
    section.upsample.setValue(16)
    qtbot.waitUntil(lambda: section._drawing.busy, timeout=WAIT_MS)
    viewer.window.remove_dock_widget(compare)
    qtbot.waitUntil(lambda: not section._drawing.busy, timeout=WAIT_MS)


# -------------------------------------------------------------------- complex parts


def test_parts_come_from_the_run_folder(
    compare: CompareDock, viewer: Any, result: Any, qtbot: Any, finished: Finished
) -> None:
    image = finished.series.image
    expected = {"phase": np.angle(image), "real": image.real, "imaginary": image.imag}
    for number, (part, values) in enumerate(expected.items(), start=2):
        compare.parts.show_part(part)
        qtbot.waitUntil(lambda n=number: len(viewer.layers) == n, timeout=WAIT_MS)  # type: ignore[misc]
        layer = next(layer for layer in viewer.layers if layer.name == f"{part} · DA-INR")
        np.testing.assert_array_equal(layer.data, values)
        assert [one.name for one in viewer.layers if one.visible] == [layer.name]
        np.testing.assert_allclose(layer.translate, result.translate)
    np.testing.assert_allclose(viewer.layers[1].contrast_limits[0], -viewer.layers[1].contrast_limits[1])
    compare.parts.show_part("magnitude")
    assert [one.name for one in viewer.layers if one.visible] == [result.name]
    compare.parts.show_part("phase")
    qtbot.waitUntil(lambda: not compare.parts._reading.busy, timeout=WAIT_MS)
    assert len(viewer.layers) == 4


# -------------------------------------------------------------------- deformation


def test_arrows_length_and_determinant_lie_on_the_image(
    compare: CompareDock, viewer: Any, result: Any, qtbot: Any, finished: Finished
) -> None:
    assert finished.folder is not None
    field = deformation(finished.folder)
    section = compare.field
    section.longer.setValue(1.5)
    section.longer.setValue(1.0)
    section.every.setValue(5)
    for box in section.show_boxes.values():
        box.setChecked(True)
    qtbot.waitUntil(lambda: len(viewer.layers) == 4, timeout=WAIT_MS)
    arrows, length, jacobian = (
        next(layer for layer in viewer.layers if word in layer.name) for word in ("arrows", "length", "determinant")
    )
    np.testing.assert_array_equal(arrows.data, field.arrows(5))
    np.testing.assert_array_equal(length.data, field.magnitude_mm)
    np.testing.assert_array_equal(jacobian.data, field.jacobian)
    for layer in (arrows, length, jacobian):
        np.testing.assert_allclose(layer.scale, result.scale)
        np.testing.assert_allclose(layer.translate, result.translate, atol=1e-5)
    viewer.dims.set_current_step(0, 3)
    start = np.asarray(arrows.data)[:, 0]
    assert set(start[:, 0]) == {0, 1, 2, 3, 4}
    section.longer.setValue(4.0)
    np.testing.assert_allclose(np.asarray(arrows.data)[:, 1], 4 * field.arrows(5)[:, 1])
    section.every.setValue(9)
    assert len(arrows.data) == len(field.arrows(9))
    section.show_boxes["length"].setChecked(False)
    assert not length.visible
    assert jacobian.visible
    assert "folded in" in section.note.text()
    assert "not a measured motion" in section.note.text()


def test_a_field_at_another_scale_lies_in_the_middle(
    compare: CompareDock, viewer: Any, qtbot: Any, finished: Finished, tmp_path: Path
) -> None:
    assert finished.folder is not None
    series = render(finished.folder, tmp_path / "again", 1.5, 2)
    recipe = finished.recipe.model_copy(update={"scale": 1.5, "upsample": 2})
    data, keywords, _ = layer_data(series, recipe, "tiny", folder=tmp_path / "again")
    layer = viewer.add_image(data, **keywords)
    compare.field.show_boxes["length"].setChecked(True)
    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=WAIT_MS)
    made = viewer.layers[1]
    assert made.data.shape == (9, 33, 28)
    np.testing.assert_allclose(made.data_to_world((3, 16, 14)), layer.data_to_world((3, 25, 21)), atol=1e-5)
    np.testing.assert_array_equal(made.data[1], deformation(finished.folder, [0.5]).magnitude_mm[0])
