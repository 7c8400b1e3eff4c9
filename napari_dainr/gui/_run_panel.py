"""The part of the dock that runs and saves: buttons, progress in the dock and in napari's activity panel, loss plot."""

from __future__ import annotations

import time
from typing import Any

from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_dainr.gui._loss_plot import LossPlot
from napari_dainr.gui._model import Model, Phase
from napari_dainr.gui._session import Session
from napari_dainr.gui._snapshots import SnapshotRow
from napari_dainr.methods.config import TITLES
from napari_dainr.recipe import Progress

MIRROR_S = 0.5
"""Seconds between moves of the activity panel's bar: each makes napari process events."""

__all__ = ["ActivityMirror", "RunPanel", "progress_text"]


def _duration(seconds: float) -> str:
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    if seconds >= 90:
        return f"{seconds / 60:.0f} min"
    return f"{max(0.0, seconds):.0f} s"


def progress_text(progress: Progress) -> str:
    """For instance ``step 120/230 · 17 it/s · 6 s left``; a stage that only prepares is named."""
    rate = progress.steps_per_s
    speed = f"{rate:.0f} it/s" if rate >= 10 else f"{rate:.1f} it/s"
    stage = "" if progress.stage in ("", *TITLES.values()) else f"{progress.stage} · "
    return f"{stage}step {progress.step}/{progress.n_steps} · {speed} · {_duration(progress.eta_s)} left"


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
    """Start, pause, stop; progress; loss; save."""

    def __init__(self, model: Model, session: Session) -> None:
        super().__init__()
        self._model = model
        self.buttons = {name: QPushButton() for name in ("start", "pause", "stop", "save_recipe", "save_run", "export")}
        self.bar = QProgressBar()
        self.bar.setTextVisible(True)
        self.bar.setFormat("")
        self.bar.setRange(0, 1)
        self.plot = LossPlot()
        self.snapshots = SnapshotRow(session)
        self._mirror = ActivityMirror(session)

        run_row = QHBoxLayout()
        for name in ("start", "pause", "stop"):
            run_row.addWidget(self.buttons[name], 1)
        save_grid = QGridLayout()
        for column, name in enumerate(("save_recipe", "save_run", "export")):
            save_grid.addWidget(self.buttons[name], 0, column)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(run_row)
        layout.addWidget(self.bar)
        layout.addWidget(self.plot)
        layout.addWidget(self.snapshots)
        layout.addLayout(save_grid)

        self.buttons["start"].clicked.connect(session.start)
        self.buttons["pause"].clicked.connect(session.pause)
        self.buttons["stop"].clicked.connect(session.stop)
        session.run_began.connect(self._began)
        session.progressed.connect(self._progressed)
        session.losses_came.connect(self.plot.add)
        session.run_ended.connect(self._mirror.end)
        model.phase_changed.connect(self.refresh)
        model.form_changed.connect(self.refresh)
        self.refresh()

    def refresh(self, *_: object) -> None:
        """Give every button the look that the state machine says."""
        for name, look in self._model.buttons.items():
            if name in self.buttons:
                self.buttons[name].setText(look.text)
                self.buttons[name].setEnabled(look.enabled)
                self.buttons[name].setToolTip(look.tip)
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
        self.plot.clear()
        self._show("preparing…", busy=True)
        self._mirror.begin()

    def _progressed(self, progress: Progress) -> None:
        self.bar.setRange(0, max(1, progress.n_steps))
        self.bar.setValue(progress.step)
        if self._model.phase is Phase.RUNNING:
            self.bar.setFormat(progress_text(progress))
        elif self._model.phase is Phase.PAUSED:
            self.bar.setFormat("paused · " + progress_text(progress))
        self._mirror.move(progress)
