"""Several methods one after the other on the data that are loaded. No widgets."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_dainr.errors import DainrError
from napari_dainr.gui._model import Action, Model, Phase
from napari_dainr.gui._session import Session
from napari_dainr.methods.config import TITLES
from napari_dainr.recipe import Recipe

__all__ = ["QueueItem", "RunQueue", "recipes_for"]


@dataclass
class QueueItem:
    """One method of the queue.

    ``state`` is waiting, running, done, stopped, failed or skipped; ``told`` says why it failed.
    """

    method: str
    recipe: Recipe | None
    state: str = "waiting"
    told: str = ""
    seconds: float = 0.0

    @property
    def title(self) -> str:
        return TITLES[self.method]

    @property
    def text(self) -> str:
        """For instance ``done in 12.3 s``."""
        if self.state in ("done", "stopped"):
            return f"{self.state} in {self.seconds:.1f} s" if self.state == "done" else "stopped, result kept"
        return f"{self.state}: {self.told}" if self.told else self.state


def recipes_for(model: Model, methods: Sequence[str]) -> list[QueueItem]:
    """The form as it stands for each method, with the settings that the form remembers for it.

    A method whose settings cannot be used becomes an item that has failed already, so that it does not hold up others.
    """
    chosen = model.form.method
    items = []
    with model.form_changed.blocked():  # the form is as before in the end
        for method in methods:
            model.choose_method(method)
            try:
                items.append(QueueItem(method, model.recipe()))
            except DainrError as error:
                items.append(QueueItem(method, None, "failed", str(error)))
        model.choose_method(chosen)
    return items


class RunQueue:
    """Starts the next method when one has ended; each result is a layer of its own.

    ``is_open`` says whether a session still has its dock; without it nothing more is started.

    Signals
    -------
    changed()
        Something about an item, or which one runs.
    ended()
        None runs and none will.
    """

    changed = Signal()
    ended = Signal()

    def __init__(self, is_open: Callable[[Session], bool]) -> None:
        self._is_open = is_open
        self.items: list[QueueItem] = []
        self._session: Session | None = None
        self._began = 0.0
        self._only_this = False

    @property
    def running(self) -> bool:
        """Whether a method runs or will."""
        return self._session is not None

    @property
    def current(self) -> QueueItem | None:
        """The method that runs."""
        return next((item for item in self.items if item.state == "running"), None)

    @property
    def text(self) -> str:
        """For instance ``2 of 4: GRASP``; afterwards how they ended."""
        item = self.current
        if item is not None:
            return f"{self.items.index(item) + 1} of {len(self.items)}: {item.title}"
        ends = ("done", "stopped", "failed", "skipped")
        counts = {state: sum(item.state == state for item in self.items) for state in ends}
        return " · ".join(f"{n} {state}" for state, n in counts.items() if n)

    def start(self, session: Session, methods: Sequence[str]) -> bool:
        """Run these methods with the form's settings; False where nothing can be started now."""
        if self.running or not methods or not session.model.can(Action.START):
            return False
        self.items = recipes_for(session.model, methods)
        self._session = session
        session.model.phase_changed.connect(self._follow)
        session.told.connect(self._hear)
        self._next()
        return True

    def skip(self) -> None:
        """Stop the method that runs, keep its result, and go on with the next."""
        if self._session is not None and self.current is not None:
            self._only_this = True
            self._session.stop()

    def stop_all(self) -> None:
        """Stop the method that runs, keep its result, and run no other."""
        if self._session is None:
            return
        self._drop_waiting()
        self._session.stop()

    def leave(self) -> None:
        """Forget the queue; the method that runs goes on."""
        self._drop_waiting()
        self._let_go()

    def _drop_waiting(self) -> None:
        for item in self.items:
            if item.state == "waiting":
                item.state = "skipped"
        self.changed.emit()

    def _let_go(self) -> None:
        if self._session is not None:
            self._session.model.phase_changed.disconnect(self._follow)
            self._session.told.disconnect(self._hear)
            self._session = None

    def _next(self) -> None:
        session = self._session
        if session is None:
            return
        item = next((item for item in self.items if item.state == "waiting"), None)
        ready = session.model.can(Action.START) and self._is_open(session)
        if item is None or item.recipe is None or not ready:
            self._drop_waiting()
            self._let_go()
            self.ended.emit()
            return
        item.state, self._only_this, self._began = "running", False, time.monotonic()
        self.changed.emit()
        session.start_with(item.recipe)
        if not session.model.busy:  # not even begun: there is no place for its folder, and a banner says so
            item.state = "failed"
            self._soon()

    def _soon(self) -> None:
        """Not from within the session's own signals."""
        self.changed.emit()
        QTimer.singleShot(0, self._next)

    def _follow(self, phase: Phase) -> None:
        item = self.current
        if item is None:
            return
        if phase is Phase.STOPPING:
            item.told = "stopping"
            if not self._only_this:  # Stop in the other dock or in the activity panel
                self._drop_waiting()
        elif phase in (Phase.DONE, Phase.FAILED):
            stopped, item.told = bool(item.told), ""
            item.state = "failed" if phase is Phase.FAILED else "stopped" if stopped else "done"
            item.seconds = time.monotonic() - self._began
            self._soon()

    def _hear(self, kind: str, sentence: str, details: str) -> None:
        """The reason comes right after the phase."""
        last = next((item for item in reversed(self.items) if item.state in ("running", "failed")), None)
        if kind == "error" and last is not None and not last.told:
            last.told = sentence
            self.changed.emit()
