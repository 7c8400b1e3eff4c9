"""What the run panel tells: a forecast before Start, memory and scores against a truth while a fit runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtWidgets import QProgressBar

from napari_dainr.errors import ResourceError
from napari_dainr.gui._model import Phase
from napari_dainr.gui._run_panel import progress_text, show_progress
from napari_dainr.gui._score_plot import ScorePlot
from napari_dainr.metrics import score
from napari_dainr.recipe import Progress, Recipe

from .conftest import WAIT_MS, ScriptedEngine


def _settle(dock: Any, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not dock.run_panel.forecast.busy, timeout=WAIT_MS)


def _run(dock: Any, qtbot: Any) -> None:
    dock.run_panel.buttons["start"].click()
    qtbot.waitUntil(lambda: dock.model.phase is Phase.DONE, timeout=WAIT_MS)
    qtbot.waitUntil(lambda: not dock.run_panel._live.busy, timeout=WAIT_MS)


def test_the_forecast_follows_what_would_run(dock: Any, engine: ScriptedEngine, load_tiny: Any, qtbot: Any) -> None:
    line = dock.run_panel.forecast
    assert line.note.isHidden()
    load_tiny()
    _settle(dock, qtbot)
    assert line.note.text() == "forecast: about 28 s · 1.1 GB of 2.0 GB free"
    assert "drawing: 3 s" in line.note.toolTip()
    asked = len(engine.forecasts)
    dock.reconstruction.seed.setValue(7)  # changes neither
    assert not line.busy
    dock.reconstruction.spokes.setValue(13)
    dock.reconstruction.spokes.setValue(5)
    assert "1.1 GB" not in line.note.text()  # an old figure under new settings would be wrong
    _settle(dock, qtbot)
    assert len(engine.forecasts) == asked + 1
    assert engine.forecasts[-1].spokes_per_frame == 5
    assert dock.run_panel.buttons["start"].isEnabled()
    dock.reconstruction.spokes.setValue(0)
    assert line.note.isHidden()


def test_a_run_that_starts_before_its_forecast_has_one_later(
    dock: Any, engine: ScriptedEngine, load_tiny: Any, qtbot: Any
) -> None:
    load_tiny()
    _settle(dock, qtbot)
    line = dock.run_panel.forecast
    dock.reconstruction.spokes.setValue(5)
    assert line._wait.isActive()
    dock.run_panel.buttons["start"].click()
    assert not line._wait.isActive() and line.note.isHidden()
    qtbot.waitUntil(lambda: dock.model.phase is Phase.DONE, timeout=WAIT_MS)
    _settle(dock, qtbot)
    assert line.note.text().startswith("forecast: about")
    assert engine.forecasts[-1].spokes_per_frame == 5


def test_what_does_not_fit_waits_for_a_word(dock: Any, engine: ScriptedEngine, load_tiny: Any, qtbot: Any) -> None:
    engine.most_scale = 1.5
    load_tiny()
    line, start = dock.run_panel.forecast, dock.run_panel.buttons["start"]
    dock.reconstruction.scale.setValue(2.0)
    _settle(dock, qtbot)
    assert line.note.text() == "It needs 9.0 GB, but 2.0 GB are free; draw at scale 1."
    assert "border-left" in line.note.styleSheet()
    assert not start.isEnabled()
    assert "start all the same" in start.toolTip()
    dock.session.start()  # as the command of the palette would
    assert dock.model.phase is Phase.READY
    line.anyway.setChecked(True)
    assert start.isEnabled()
    dock.reconstruction.scale.setValue(2.5)
    _settle(dock, qtbot)
    assert not start.isEnabled()  # the word was given for other settings
    line.anyway.setChecked(True)
    _run(dock, qtbot)
    dock.reconstruction.scale.setValue(1.0)
    _settle(dock, qtbot)
    assert line.anyway.isHidden()
    assert start.isEnabled()


def test_a_forecast_that_fails_holds_nothing_back(
    dock: Any, engine: ScriptedEngine, load_tiny: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ResourceError("device is 'cuda', but torch finds no GPU on this machine; use --device cpu.")

    monkeypatch.setattr("napari_dainr.forecast.forecast", fails)
    load_tiny()
    _settle(dock, qtbot)
    assert dock.run_panel.forecast.note.text().startswith("no forecast: device is 'cuda'")
    assert dock.run_panel.buttons["start"].isEnabled()


def test_memory_now_and_at_most(dock: Any, engine: ScriptedEngine, load_tiny: Any, qtbot: Any) -> None:
    load_tiny()
    assert dock.run_panel.memory.isHidden()
    _run(dock, qtbot)
    now = engine.memory_bytes[engine.n_steps % 3] / 1e9
    assert dock.run_panel.memory.text() == f"memory {now:.1f} GB now · 1.5 GB at most in this run"


def test_held_out_spokes_are_a_field(dock: Any, engine: ScriptedEngine, load_tiny: Any, qtbot: Any) -> None:
    load_tiny()
    field, about = dock.reconstruction.held_out, Recipe.model_fields["held_out"]
    assert field.toolTip() == about.description
    assert field.value() == about.default
    assert (field.minimum(), field.maximum()) == (0.0, 0.3)
    field.setValue(0.125)
    _run(dock, qtbot)
    assert engine.runs[-1].held_out == 0.125


def test_scores_against_a_truth_while_a_fit_runs(
    dock: Any, viewer: Any, engine: ScriptedEngine, load_tiny: Any, qtbot: Any
) -> None:
    engine.n_steps, engine.step_s = 40, 0.01
    load_tiny()
    look = viewer.layers[0]
    rng = np.random.default_rng(1)
    place = {"scale": look.scale, "translate": look.translate, "units": look.units}
    truth = viewer.add_image(rng.random(look.data.shape, dtype=np.float32), name="true", **place)
    panel = dock.run_panel
    assert panel.scores.isHidden()
    panel.truth.choice.choose(truth)
    assert not panel.scores.isHidden()
    _run(dock, qtbot)
    found = panel.scores.scores
    assert len(found) >= 2  # of previews, and of the result
    wanted = score(dock.session.series.image, truth.data)
    assert found[40]["psnr_fit"] == pytest.approx(wanted["psnr_fit"])
    assert found[40]["ssim_fit"] == pytest.approx(wanted["ssim_fit"])
    assert panel.score_note.text().startswith(
        f"PSNR {wanted['psnr_fit']:.2f} dB · SSIM {wanted['ssim_fit']:.4f} (step 40"
    )

    truth.data = dock.session.series.magnitude * 3  # the same but for its scale
    qtbot.waitUntil(lambda: panel.scores.scores.get(40, {}).get("ssim_fit", 0) > 0.999, timeout=WAIT_MS)
    viewer.layers.remove(truth)
    assert panel.scores.isHidden()
    assert panel.scores.scores == {}


def test_a_truth_of_another_size_is_told(
    dock: Any, viewer: Any, engine: ScriptedEngine, load_tiny: Any, qtbot: Any
) -> None:
    load_tiny()
    look = viewer.layers[0]
    truth = viewer.add_image(look.data[:, ::2, ::2], name="truth · small", units=look.units)
    assert dock.run_panel.truth.choice.layer is truth  # by its name
    _run(dock, qtbot)
    said = dock.run_panel.score_note.text()
    assert said.startswith("No scores at step 20: DA-INR has images of 33 × 28 pixels and truth · small of 17 × 14")
    assert dock.run_panel.scores.scores == {}


def test_a_truth_may_lack_some_times(
    dock: Any, viewer: Any, engine: ScriptedEngine, load_tiny: Any, qtbot: Any
) -> None:
    load_tiny()
    look = viewer.layers[0]
    place = {"scale": look.scale, "translate": look.translate, "units": look.units}
    viewer.add_image(look.data[:3], name="truth", **place)
    _run(dock, qtbot)
    assert dock.run_panel.score_note.text().endswith("(step 20, 3 of 5 frames)")


def test_the_plot_of_scores_has_a_scale_for_each(qtbot: Any) -> None:
    plot = ScorePlot()
    qtbot.addWidget(plot)
    plot.set_colours("#ffffff", "#000000")
    for step, psnr, ssim in ((1, 20.0, 0.5), (30, 31.0, 0.9), (11, 25.0, 0.7)):  # snapshots may come after
        plot.add(step, {"psnr_fit": psnr, "ssim_fit": ssim, "psnr": 1.0})
    plot.redraw()
    left, right = plot._figure.axes
    np.testing.assert_array_equal(left.lines[0].get_xdata(), [1, 11, 30])
    np.testing.assert_array_equal(right.lines[0].get_ydata(), [0.5, 0.7, 0.9])
    assert left.get_ylim()[0] < 20 < 31 < left.get_ylim()[1] < 35
    plot.clear()
    assert plot.scores == {}


@pytest.mark.parametrize("width", [200, 260, 372, 900])
def test_in_a_narrow_bar_the_stage_is_cut_and_not_the_time_left(qtbot: Any, width: int) -> None:
    bar = QProgressBar()
    qtbot.addWidget(bar)
    bar.resize(width, 20)
    progress = Progress(1108, 2570, "DynRes (our own) features", {}, 1.0, 6.6, 3723.0)
    show_progress(bar, progress, "paused · ")
    rest = " · step ".join(progress_text(progress).split(" · step ")[1:])
    assert bar.format().endswith(rest)
    assert bar.format().startswith("paused · DynRes (our own) features") == (width == 900)
    assert bar.value() == 1108
    if bar.fontMetrics().horizontalAdvance(rest) < width - 40:
        assert bar.fontMetrics().horizontalAdvance(bar.format()) <= width


def test_news_cover_no_error_and_answers_do(dock: Any) -> None:
    banner = dock.banner
    banner.show_message("error", "x.npy was not written")
    banner.show_message("news", "Finished")
    assert banner.text.text() == "x.npy was not written"
    banner.show_message("info", "Run saved: x.")
    assert (banner.kind, banner.text.text()) == ("info", "Run saved: x.")
    banner.show_message("news", "Finished")
    assert (banner.kind, banner.text.text()) == ("info", "Finished")
