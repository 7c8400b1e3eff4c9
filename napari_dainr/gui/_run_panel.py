"""The part of the dock that runs and saves: buttons, progress in the dock and in napari's activity panel, loss plot."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_dainr.gui._figures import duration, gigabytes
from napari_dainr.gui._forecast_line import ForecastLine
from napari_dainr.gui._live_scores import LiveScores, Scored
from napari_dainr.gui._loss_plot import LossPlot
from napari_dainr.gui._model import Model, Phase
from napari_dainr.gui._parts import Note
from napari_dainr.gui._score_plot import ScorePlot
from napari_dainr.gui._session import Session
from napari_dainr.gui._shortcuts import in_words
from napari_dainr.gui._snapshots import SnapshotRow
from napari_dainr.gui._time_layers import TimeLayers
from napari_dainr.gui._truth import TruthChoice
from napari_dainr.gui._worker import Failed, Picture
from napari_dainr.methods.config import TITLES
from napari_dainr.recipe import Progress

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

MIRROR_S = 0.5
"""Seconds between moves of the activity panel's bar: each makes napari process events."""

KEYS = {
    "start": "Alt-R", "pause": "Alt-T", "stop": "Alt-K", "save_recipe": "Alt-C", "save_run": "Alt-D", "export": "Alt-E",
}  # fmt: skip
"""Button → its key, in napari's words."""

__all__ = ["KEYS", "ActivityMirror", "RunPanel", "progress_text", "show_progress"]


def progress_text(progress: Progress) -> str:
    """For instance ``step 120/230 · 17 it/s · 6 s left``; a stage that only prepares is named."""
    rate = progress.steps_per_s
    speed = f"{rate:.0f} it/s" if rate >= 10 else f"{rate:.1f} it/s"
    stage = "" if progress.stage in ("", *TITLES.values()) else f"{progress.stage} · "
    return f"{stage}step {progress.step}/{progress.n_steps} · {speed} · {duration(progress.eta_s)} left"


def show_progress(bar: QProgressBar, progress: Progress, before: str = "") -> None:
    """Put progress into a bar; where it is narrow the name of the stage is cut, not the time that is left."""
    bar.setRange(0, max(1, progress.n_steps))
    bar.setValue(progress.step)
    text, metrics = before + progress_text(progress), bar.fontMetrics()
    stage, step, rest = text.partition(" · step ")
    room = bar.width() - metrics.horizontalAdvance(step + rest) - 8
    if step and metrics.horizontalAdvance(stage) > room:
        text = metrics.elidedText(stage, Qt.TextElideMode.ElideRight, max(0, room)) + step + rest
    bar.setFormat(text)


class ActivityMirror:
    """The same progress in napari's activity panel, whose Cancel button stops and keeps."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._bar: Any = None
        self._stage = ""
        self._next = 0.0

    def begin(self) -> None:
        """Show an empty bar."""
        from napari.utils.progress import cancelable_progress

        session = self._session

        class Bar(cancelable_progress):
            """``cancel_callback`` is only called by iteration; this bar is moved by hand."""

            def cancel(self) -> None:
                super().cancel()
                session.stop()

        self.end()
        self._stage, self._next = "", 0.0
        self._bar = Bar(total=1, desc="DA-INR reconstruction", leave=False)

    def move(self, progress: Progress) -> None:
        """Show where the fit stands."""
        bar, now = self._bar, time.monotonic()
        if bar is None or (now < self._next and progress.step < progress.n_steps):
            return
        self._next = now + MIRROR_S
        if progress.stage != self._stage:
            self._stage = progress.stage
            bar.set_description(f"DA-INR reconstruction: {progress.stage}")
            bar.reset(progress.n_steps)
        bar.update(progress.step - bar.n)

    def end(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
        self._bar = None


class RunPanel(QWidget):
    """Loss, memory and scores while a fit runs. ``actions`` are forecast, buttons and progress, to be kept in view."""

    def __init__(self, viewer: ViewerModel, model: Model, session: Session) -> None:
        super().__init__()
        self._model, self._session = model, session
        self._truth_data: object = None
        self.forecast = ForecastLine(model)
        self.buttons = {name: QPushButton() for name in ("start", "pause", "stop", "save_recipe", "save_run", "export")}
        self.bar = QProgressBar()
        self.bar.setTextVisible(True)
        self.bar.setFormat("")
        self.bar.setRange(0, 1)
        self.memory = Note()
        self.plot = LossPlot()
        self.scores = ScorePlot()
        self.score_note = Note()
        tip = "PSNR and SSIM of every preview are measured against this layer while a fit runs."
        self.truth = TruthChoice(viewer, "Truth", tip, self._any_series, session.told.emit)
        self.snapshots = SnapshotRow(session)
        self._live = LiveScores()
        self._layers = TimeLayers(viewer)
        self._mirror = ActivityMirror(session)
        self._lay_out()

        self.buttons["start"].clicked.connect(session.start)
        self.buttons["pause"].clicked.connect(session.pause)
        self.buttons["stop"].clicked.connect(session.stop)
        session.run_began.connect(self._began)
        session.progressed.connect(self._progressed)
        session.losses_came.connect(self.plot.add)
        session.pictured.connect(self._pictured)
        session.run_ended.connect(self._mirror.end)
        self._layers.listed.connect(self._offer)
        self._layers.changed.connect(self._layer_changed)
        self.truth.choice.chosen.connect(self._truth_chosen)
        self._live.scored.connect(self._scored)
        self._live.failed.connect(self._scoring_failed)
        self._live.began.connect(self.scores.clear)
        model.phase_changed.connect(self.refresh)
        model.form_changed.connect(self.refresh)
        self._offer()
        self._truth_chosen(self.truth.choice.layer)
        self.refresh()

    def _lay_out(self) -> None:
        run_row = QHBoxLayout()
        for name in ("start", "pause", "stop"):
            run_row.addWidget(self.buttons[name], 1)
        save_grid = QGridLayout()
        for column, name in enumerate(("save_recipe", "save_run", "export")):
            save_grid.addWidget(self.buttons[name], 0, column)
        self.actions = QWidget()
        column = QVBoxLayout(self.actions)
        column.setContentsMargins(6, 4, 6, 4)
        edge = QFrame()  # between what scrolls and what stays
        edge.setFixedHeight(1)
        edge.setStyleSheet("background-color: rgba(128, 128, 128, 120);")
        column.addWidget(edge)
        column.addWidget(self.forecast)
        column.addLayout(run_row)
        column.addWidget(self.bar)
        column.addLayout(save_grid)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (column, layout):
            part.setSpacing(4)
        for widget in (self.memory, self.plot, self.truth, self.score_note, self.scores, self.snapshots):
            layout.addWidget(widget)
        self.memory.hide()

    def set_colours(self, background: str, text: str) -> None:
        """Follow the viewer's theme; colours as ``#rrggbb``."""
        self.plot.set_colours(background, text)
        self.scores.set_colours(background, text)

    # ---------------------------------------------------------------- buttons and progress

    def refresh(self, *_: object) -> None:
        """Give every button the look that the state machine says."""
        for name, look in self._model.buttons.items():
            if name in self.buttons:
                self.buttons[name].setText(look.text)
                self.buttons[name].setEnabled(look.enabled)
                self.buttons[name].setToolTip(f"{look.tip} ({in_words(KEYS[name])})")
        phase = self._model.phase
        if phase is Phase.LOADING:
            self._show("reading and taking a first look…", busy=True)
        elif phase is Phase.STOPPING:
            self.bar.setFormat("stopping after this step…")
        elif phase is Phase.FAILED:
            self._show("failed")
        elif phase is Phase.READY:
            self._show("ready")
        elif phase is Phase.EMPTY:
            self._show("")
        elif phase is Phase.DONE:
            self._show("done", value=1)
        elif phase is Phase.PAUSED:
            self.bar.setFormat("paused · " + self.bar.format().removeprefix("paused · "))
        elif phase is Phase.RUNNING:
            self.bar.setFormat(self.bar.format().removeprefix("paused · "))

    def _show(self, text: str, value: int = 0, busy: bool = False) -> None:
        self.bar.setRange(0, 0 if busy else 1)
        self.bar.setValue(value)
        self.bar.setFormat(text)

    def _began(self) -> None:
        self.memory.hide()
        self.plot.clear()
        self._live.begin()
        self._say_scores("")
        self._show("preparing…", busy=True)
        self._mirror.begin()

    def _progressed(self, progress: Progress) -> None:
        stopping = self.bar.format() if self._model.phase is Phase.STOPPING else ""
        show_progress(self.bar, progress, "paused · " if self._model.phase is Phase.PAUSED else "")
        if stopping:
            self.bar.setFormat(stopping)
        self._mirror.move(progress)
        self._show_memory(progress.memory_bytes, progress.peak_memory_bytes)

    def _show_memory(self, now: int, peak: int) -> None:
        self.memory.setText(f"memory {gigabytes(now)} now · {gigabytes(peak)} at most in this run")
        self.memory.setVisible(now > 0)

    # ---------------------------------------------------------------- scores against a truth

    def _any_series(self) -> Image | None:
        """A layer of whose place and times a truth from a file is taken to be."""
        return self._session.layer or next(iter(self._layers.layers), None)

    def _offer(self) -> None:
        self.truth.offer([layer for layer in self._layers.layers if layer is not self._session.layer])

    def _layer_changed(self, layer: Image) -> None:
        truth = self.truth.choice.layer
        if truth is not None and layer is truth and truth.data is not self._truth_data:
            self._truth_chosen(truth)

    def _truth_chosen(self, truth: Image | None) -> None:
        self._truth_data = None if truth is None else truth.data
        self.scores.setVisible(truth is not None)
        self._say_scores("")
        earlier = [(kept.step, kept.series, lambda kept=kept: kept.magnitude) for kept in self._session.snapshots.kept]
        self._live.choose(truth, earlier)

    def _pictured(self, picture: Picture) -> None:
        self._live.look(picture.series, picture.magnitude)

    def _scored(self, scored: Scored) -> None:
        row = scored.row
        if row.reason:
            self._say_scores(f"No scores at step {scored.step}: {row.reason}")
            return
        self.scores.add(scored.step, row.scores)
        some = f", {row.n_frames} of {scored.n_frames} frames" if row.n_frames < scored.n_frames else ""
        figures = f"PSNR {row.scores['psnr_fit']:.2f} dB · SSIM {row.scores['ssim_fit']:.4f}"
        self._say_scores(f"{figures} (step {scored.step}{some})")

    def _scoring_failed(self, failed: Failed) -> None:
        self._session.told.emit("warning", failed.message, failed.details)

    def _say_scores(self, text: str) -> None:
        self.score_note.setText(text)
        self.score_note.setVisible(bool(text))

    def leave(self) -> None:
        """The dock is closed."""
        self.forecast.leave()
        self.truth.leave()
        self._live.leave()
        self._layers.close()
