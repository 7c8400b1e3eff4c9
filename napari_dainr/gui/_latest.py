"""Work beside the event loop of which only the newest request counts: sliders, tables, maps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any

from napari_dainr.gui._at_exit import at_rest, at_work
from napari_dainr.gui._background import Once
from napari_dainr.gui._worker import Failed, as_failed

__all__ = ["Latest"]

Work = Callable[[threading.Event], Iterator[Any]]
"""Yields results for the main thread; looks at the event between small pieces of work and ends when it is set."""


class Latest:
    """One job at a time; a newer one stops the older, begins when that has ended, and drops those in between.

    All methods are for the main thread, and ``arrive``, ``fail`` and ``rest`` are called there.

    Parameters
    ----------
    what
        What is done, for the sentence when it fails.
    arrive(result)
        Every result of the newest job.
    fail(Failed)
        It ended badly.
    rest()
        Nothing is at work any more.
    """

    def __init__(
        self,
        what: str,
        arrive: Callable[[Any], None],
        fail: Callable[[Failed], None],
        rest: Callable[[], None] | None = None,
    ) -> None:
        self._what, self._arrive, self._fail, self._rest = what, arrive, fail, rest
        self._stop: threading.Event | None = None
        self._waiting: Work | None = None

    @property
    def busy(self) -> bool:
        """Whether a thread is at work."""
        return self._stop is not None

    def ask(self, work: Work) -> None:
        """Do this, and nothing older."""
        if self._stop is not None:
            self._stop.set()
            self._waiting = work
        else:
            self._begin(work)

    def cancel(self) -> None:
        """Stop, and drop what comes."""
        self._waiting = None
        if self._stop is not None:
            self._stop.set()

    def _begin(self, work: Work) -> None:
        from napari.qt.threading import GeneratorWorker

        stop, what = threading.Event(), self._what
        holder, to_do = [self], [work]  # emptied: Qt keeps what it calls, and the collector does not see it there

        def steps() -> Generator[Any, None, Failed | None]:
            try:
                for result in to_do.pop()(stop):
                    if stop.is_set():
                        return None
                    yield result
            except Exception as error:  # an exception that leaves a worker may be swallowed: it is returned
                return as_failed(error, what)
            return None

        def yielded(result: object) -> None:
            if holder and not stop.is_set():
                holder[0]._arrive(result)

        def returned(outcome: Failed | None) -> None:
            if holder and outcome is not None and not stop.is_set():
                holder[0]._fail(outcome)

        self._stop = stop
        at_work(self, self.cancel)
        # Not by create_worker: the window would keep one of these for every step of a slider, until it is closed.
        worker: Any = GeneratorWorker(steps)
        worker.yielded.connect(yielded)
        worker.returned.connect(returned)
        worker.finished.connect(Once(partial(self._finished, stop, holder)))
        worker.start()

    def _finished(self, stop: threading.Event, holder: list[Latest]) -> None:
        holder.clear()
        if self._stop is not stop:
            return
        self._stop = None
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._begin(waiting)
            return
        at_rest(self)
        if self._rest is not None:
            self._rest()
