"""Choose methods, run them in a queue, see how each ended."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget
from superqt import QElidingLabel

from napari_dainr.gui._model import Action
from napari_dainr.gui._parts import Note
from napari_dainr.gui._run_panel import show_progress
from napari_dainr.gui._session import Session
from napari_dainr.gui._settings import CompareSettings, keep, kept
from napari_dainr.gui.compare.queue import RunQueue
from napari_dainr.methods.config import CONFIGS, TITLES
from napari_dainr.recipe import Progress

__all__ = ["QueueSection"]


class QueueSection(QWidget):
    """Check boxes, buttons, progress.

    ``find`` gives the session of the reconstruction dock, ``find_or_open`` opens that dock where it is not there.
    """

    def __init__(self, find: Callable[[], Session | None], find_or_open: Callable[[], Session | None]) -> None:
        super().__init__()
        self._find_or_open = find_or_open
        self._session: Session | None = None
        self.queue = RunQueue(lambda session: find() is session)
        self.boxes: dict[str, QCheckBox] = {}
        self.states: dict[str, QElidingLabel] = {}
        grid = QGridLayout()
        grid.setVerticalSpacing(2)
        grid.setColumnStretch(1, 1)
        remembered = kept(CompareSettings).methods.split()
        for row, method in enumerate(CONFIGS):
            box, state = QCheckBox(TITLES[method]), QElidingLabel()
            box.setToolTip(f"Run {TITLES[method]} with what the reconstruction dock is set to.")
            box.setChecked(method in remembered)
            box.toggled.connect(self._chosen)
            self.boxes[method], self.states[method] = box, state
            grid.addWidget(box, row, 0)
            grid.addWidget(state, row, 1)
        self.run = QPushButton()
        self.skip = QPushButton("Skip this one")
        self.skip.setToolTip("Stop the method that runs, keep its result, go on with the next.")
        self.stop = QPushButton("Stop all")
        self.stop.setToolTip("Stop the method that runs, keep its result, run no other.")
        self.bar = QProgressBar()
        self.note = Note()
        buttons = QHBoxLayout()
        for button in (self.run, self.skip, self.stop):
            buttons.addWidget(button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(grid)
        layout.addLayout(buttons)
        layout.addWidget(self.note)
        layout.addWidget(self.bar)
        self.bar.hide()

        self.run.clicked.connect(self.start)
        self.skip.clicked.connect(self.queue.skip)
        self.stop.clicked.connect(self.queue.stop_all)
        self.queue.changed.connect(self.refresh)
        self.queue.ended.connect(self.refresh)
        self.attach(None)

    @property
    def chosen(self) -> list[str]:
        """Methods with a check mark, in the order in which they run."""
        return [method for method, box in self.boxes.items() if box.isChecked()]

    def _chosen(self, _: bool) -> None:
        keep(CompareSettings, methods=" ".join(self.chosen))
        self.refresh()

    def attach(self, session: Session | None) -> None:
        """Follow another session, when the reconstruction dock was opened, closed or opened again."""
        if session is self._session and session is not None:
            return
        old = self._session
        if old is not None:
            old.progressed.disconnect(self._progressed)
            for signal in (old.model.phase_changed, old.model.form_changed):
                signal.disconnect(self.refresh)
        self._session = session
        if session is not None:
            session.progressed.connect(self._progressed)
            for signal in (session.model.phase_changed, session.model.form_changed):
                signal.connect(self.refresh)
        self.refresh()

    def start(self) -> None:
        """Run the chosen methods; without a reconstruction dock, open one."""
        self.attach(self._find_or_open())
        if self._session is not None:
            self.queue.start(self._session, self.chosen)
            self.refresh()

    def leave(self) -> None:
        """The dock is closed: what runs ends by itself, nothing more is started."""
        self.queue.leave()
        self.attach(None)

    def refresh(self, *_: object) -> None:
        """Show the queue and what can be pressed."""
        running, session, n = self.queue.running, self._session, len(self.chosen)
        self.run.setText(f"Run {n} method{'' if n == 1 else 's'}")
        ready = session is not None and session.model.can(Action.START)
        if session is None or session.model.kspace is None:
            why = "Open k-space in the reconstruction dock first."
        elif session.model.busy:
            why = self.queue.text if running else "A reconstruction is running."
        elif session.model.problems:
            why = "Mend the marked field in the reconstruction dock first."
        elif not n:
            why = "Choose at least one method."
        else:
            why = ""
        if session is None:
            self.run.setText("Open dock")
            why = "Open k-space in the reconstruction dock first."
        self.run.setEnabled((ready and n > 0 and not running) or session is None)
        self.run.setToolTip(why or "Run them one after the other; each result becomes a layer. (Alt+Q)")
        self.skip.setEnabled(running and self.queue.current is not None)
        self.stop.setEnabled(running)
        for box in self.boxes.values():
            box.setEnabled(not running)
        for label in self.states.values():
            label.setText("")
            label.setToolTip("")
        for item in self.queue.items:
            self.states[item.method].setText(item.text)
            self.states[item.method].setToolTip(item.text)
        self.bar.setVisible(running)
        if running and self.queue.text != self.note.text():
            self.bar.setRange(0, 0)
            self.bar.setFormat("preparing…")
        if running:
            self.note.setText(self.queue.text)
        elif self.queue.items and not why:
            self.note.setText(f"Queue: {self.queue.text}.")
        else:
            self.note.setText(why)
        self.note.setVisible(bool(self.note.text()))

    def _progressed(self, progress: Progress) -> None:
        if self.queue.running:
            show_progress(self.bar, progress)
