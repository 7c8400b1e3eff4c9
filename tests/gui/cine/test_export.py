"""Files that the dock writes, read back, and what it says when it cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from napari.components import ViewerModel
from PIL import Image
from qtpy.QtWidgets import QFileDialog

from napari_dainr.gui.cine.dock import CineDock

from .conftest import SECONDS, WAIT_MS, series


def export(dock: CineDock, path: Path, qtbot: Any) -> str:
    assert dock.export(path)
    assert not dock.export_button.isEnabled() and dock.cancel_button.isEnabled()
    qtbot.waitUntil(lambda: dock.job is None, timeout=WAIT_MS)
    return str(dock.banner.text.text())


def pictures(path: Path) -> tuple[np.ndarray[Any, Any], list[int]]:
    with Image.open(path) as file:
        frames, delays = [], []
        for number in range(getattr(file, "n_frames", 1)):
            file.seek(number)
            frames.append(np.asarray(file.convert("RGB")))
            delays.append(int(file.info["duration"]))
    return np.stack(frames), delays


def test_a_gif_is_the_array_in_the_layers_window(cine: CineDock, tmp_path: Path, qtbot: Any) -> None:
    cine.form.enlarge.setCurrentIndex(cine.form.enlarge.findData("1"))
    assert "Cine written: a.gif" in export(cine, tmp_path / "a.gif", qtbot)
    frames, delays = pictures(tmp_path / "a.gif")
    assert delays == [250] * 8
    height, width = 21, 17  # factors are whole numbers: 2.0 / 1.5 is 1
    left = (frames.shape[2] - width) // 2
    expected = np.clip(series() / 2000, 0, 1) * 255
    np.testing.assert_allclose(frames[:, :height, left : left + width, 0], expected, atol=0.51)


def test_a_film_of_some_times_and_a_crop(cine: CineDock, tmp_path: Path, qtbot: Any) -> None:
    form = cine.form
    form.all_frames.setChecked(False)
    form.first.setValue(1.0)
    form.last.setValue(1.5)
    form.set_crop((2, 18, 3, 16))
    form.cycles.setValue(2)
    export(cine, tmp_path / "a.mp4", qtbot)
    count, seconds = imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "a.mp4"))
    assert count == 6 and seconds == pytest.approx(1.5, abs=0.02)


def test_outlines_of_shapes_are_where_they_are_in_the_picture(
    cine: CineDock, model: ViewerModel, tmp_path: Path, qtbot: Any
) -> None:
    """In millimetres, on another grid than the image: world (3 + 1.5 y, −4 + 2 x)."""
    shapes = model.add_shapes(ndim=2, units=("mm", "mm"), name="regions")
    box = np.array(
        [[3 + 1.5 * 4, -4 + 2 * 5], [3 + 1.5 * 4, -4 + 2 * 11], [3 + 1.5 * 10, -4 + 2 * 11], [3 + 1.5 * 10, -4 + 2 * 5]]
    )
    shapes.add_rectangles([box], edge_color="#d55e00", face_color="transparent", edge_width=0.5)
    shapes.features = {"name": ["aorta"]}
    cine.form.enlarge.setCurrentIndex(cine.form.enlarge.findData("4"))
    export(cine, tmp_path / "a.gif", qtbot)
    frames, _ = pictures(tmp_path / "a.gif")
    orange = (frames[0] == (0xD5, 0x5E, 0x00)).all(axis=-1)[: 21 * 4]
    ys, xs = np.nonzero(orange)
    left = (frames.shape[2] - 17 * 5) // 2
    factor_y, factor_x = 4, 5  # 4 along the shorter side of 1.5 mm, 5.33 along 2 mm
    assert abs(ys.min() - (4.5 * factor_y - 0.5)) <= 1 and abs(ys.max() - (10.5 * factor_y - 0.5)) <= 1
    assert abs(xs.min() - left - (5.5 * factor_x - 0.5)) <= 1 and abs(xs.max() - left - (11.5 * factor_x - 0.5)) <= 1
    shapes.visible = False
    export(cine, tmp_path / "b.gif", qtbot)
    assert not (pictures(tmp_path / "b.gif")[0][0] == (0xD5, 0x5E, 0x00)).all(axis=-1).any()


def test_crop_around_a_shape(cine: CineDock, model: ViewerModel) -> None:
    cine.form.around.click()
    assert "No shape is selected" in cine.banner.text.text()
    shapes = model.add_shapes(ndim=2, units=("mm", "mm"))
    low, high = np.array([3 + 1.5 * 4, -4 + 2 * 5]), np.array([3 + 1.5 * 10, -4 + 2 * 40])
    shapes.add_rectangles([np.array([low, [low[0], high[1]], high, [high[0], low[1]]])])
    model.layers.selection.active = shapes
    cine.form.around.click()
    assert [spin.value() for spin in cine.form.crop] == [4, 11, 5, 17]
    cine.form.whole.click()
    assert [spin.value() for spin in cine.form.crop] == [0, 21, 0, 17]


def test_the_preview_is_a_frame_of_the_file(cine: CineDock, model: ViewerModel, tmp_path: Path, qtbot: Any) -> None:
    model.dims.set_current_step(0, 5)
    before = cine._drawn
    qtbot.waitUntil(lambda: cine._drawn > before and not cine._preview_timer.isActive(), timeout=WAIT_MS)
    export(cine, tmp_path / "a.gif", qtbot)
    expected = pictures(tmp_path / "a.gif")[0][5]
    shown = cine.preview._picture.toImage().convertToFormat(cine.preview._picture.toImage().Format.Format_RGB888)
    data = (
        np.frombuffer(shown.constBits().asarray(shown.sizeInBytes()), np.uint8)
        if hasattr(shown.constBits(), "asarray")
        else np.frombuffer(shown.constBits(), np.uint8)
    )
    rows = data.reshape(shown.height(), shown.bytesPerLine())[:, : 3 * shown.width()]
    np.testing.assert_array_equal(rows.reshape(expected.shape), expected)


@pytest.mark.parametrize("what", ["window", "crop", "times"])
def test_a_field_that_cannot_be_is_marked_and_says_why(cine: CineDock, what: str) -> None:
    form = cine.form
    if what == "window":
        form.as_shown.click()
        form.low.setText("many")
        form.low.textEdited.emit("many")
        field = form.low
    elif what == "crop":
        form.crop[0].setValue(21)
        field = form.crop[0]
    else:
        form.all_frames.click()
        form.first.setValue(2.0)
        form.last.setValue(1.0)
        field = form.first
    assert not cine.export_button.isEnabled() and cine.export_button.toolTip() == form.problem() != ""
    assert "border" in field.styleSheet() and field.toolTip() == form.problem()
    assert not cine.export(Path("a.gif")) and form.problem() in cine.banner.text.text()


def test_what_cannot_be_written_is_one_sentence(cine: CineDock, tmp_path: Path, qtbot: Any) -> None:
    text = export(cine, tmp_path / "none" / "a.gif", qtbot)
    assert text.startswith("a.gif: ") and "folder" in text and cine.banner.kind == "error"
    cine.play_panel.pace.setCurrentIndex(1)
    cine.play_panel.numbers["frames per second"].setValue(80)
    text = export(cine, tmp_path / "a.gif", qtbot)
    assert "fps is 80" in text and cine.export_button.isEnabled()


def test_cancel_leaves_nothing(cine: CineDock, tmp_path: Path, qtbot: Any) -> None:
    assert cine.layer is not None
    cine.layer.data = series(400, (64, 64))
    assert cine.export(tmp_path / "a.gif")
    cine.cancel_button.click()
    qtbot.waitUntil(lambda: cine.job is None, timeout=WAIT_MS)
    assert "cancelled" in cine.banner.text.text() and not list(tmp_path.iterdir())
    assert cine.export_button.isEnabled() and not cine.bar.isVisible()


def test_deleting_the_layer_in_mid_export(cine: CineDock, model: ViewerModel, tmp_path: Path, qtbot: Any) -> None:
    assert cine.export(tmp_path / "a.gif")
    model.layers.clear()
    qtbot.waitUntil(lambda: cine.job is None, timeout=WAIT_MS)
    assert len(pictures(tmp_path / "a.gif")[1]) == 8, "what was begun is finished"


def test_the_dialog_gives_a_missing_suffix(
    cine: CineDock, tmp_path: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind, suffix in (("GIF animation (*.gif)", ".gif"), ("MP4 film (*.mp4)", ".mp4")):
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, k=kind: (str(tmp_path / "out"), k))
        cine.export_button.click()
        qtbot.waitUntil(lambda: cine.job is None, timeout=WAIT_MS)
        assert (tmp_path / f"out{suffix}").is_file()


def test_our_series_are_called_by_method_and_not_by_file(
    make_dock: Callable[[Any], CineDock], model: ViewerModel, qtbot: Any
) -> None:
    facts = {"recipe": {"method": "grasp", "spokes_per_frame": 13}, "interpolated": [False, True, True, False]}
    model.add_image(series(4), name="GRASP · Zebulon", metadata={"dainr": facts}, **SECONDS)
    dock = make_dock(model)
    qtbot.wait(30)
    assert dock.form.name.text() == "GRASP, 13 spokes per frame"
    assert "2 interpolated" in dock.play_panel.info.text()
    qtbot.waitUntil(lambda: not dock._drawing, timeout=WAIT_MS)
