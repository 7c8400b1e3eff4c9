"""PSNR and SSIM of a fit against a truth, measured beside the event loop while the fit runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_dainr.analysis.comparison import Row, metric_table
from napari_dainr.data import ImageSeries
from napari_dainr.errors import DainrError
from napari_dainr.gui._latest import Latest
from napari_dainr.gui._series_layers import as_series
from napari_dainr.methods.config import TITLES

if TYPE_CHECKING:
    from napari.layers import Image

__all__ = ["LiveScores", "Scored"]

REST = 4.0
"""Rest after a measurement, in units of its own time: it takes a fifth of a core from the fit at most."""


@dataclass(frozen=True)
class Scored:
    """Scores of the series at a step, or the reason why there are none (``row.reason``)."""

    step: int
    n_frames: int
    row: Row


@dataclass(frozen=True, eq=False)
class _Look:
    """A series at a step; ``magnitude`` (frame, y, x) may be made when it is wanted."""

    step: int
    series: ImageSeries
    magnitude: Callable[[], NDArray[np.float32]]


class LiveScores:
    """Compares looks at a fit with a truth. While one is measured, of those that come only the newest is kept.

    Signals
    -------
    scored(Scored)
    failed(Failed)
    began()
        Another truth or another fit: earlier scores mean nothing any more.
    """

    scored = Signal(object)
    failed = Signal(object)
    began = Signal()

    def __init__(self) -> None:
        self._truth: Image | None = None
        self._newest: _Look | None = None
        self._measured: _Look | None = None
        self._work = Latest("comparing with the truth", self._arrived, self.failed.emit, self._rested)
        self._rest = QTimer()
        self._rest.setSingleShot(True)
        self._rest.timeout.connect(self._next)
        self._took = 0.0

    @property
    def truth(self) -> Image | None:
        """The layer that is compared with."""
        return self._truth

    @property
    def busy(self) -> bool:
        """Whether a measurement is at work or to come."""
        waiting = self._truth is not None and self._newest is not self._measured
        return bool(self._work.busy or self._rest.isActive()) or waiting

    def choose(self, truth: Image | None, earlier: Sequence[tuple[int, ImageSeries, Any]] = ()) -> None:
        """Compare with another layer; ``earlier`` looks (step, series, callable → magnitude) are measured first."""
        self._truth = truth
        self._work.cancel()
        self._rest.stop()
        self._measured = None
        self.began.emit()
        if truth is None:
            return
        looks = [_Look(*look) for look in earlier]
        if self._newest is not None:
            looks = [look for look in looks if look.step != self._newest.step] + [self._newest]
        self._ask(looks)

    def begin(self) -> None:
        """Another fit begins."""
        self._work.cancel()
        self._rest.stop()
        self._newest = self._measured = None
        self.began.emit()

    def look(self, series: ImageSeries, magnitude: NDArray[np.float32]) -> None:
        """A look at the fit, or its result."""
        # The complex picture is not held: only its shape and times are wanted.
        shape = np.broadcast_to(np.complex64(0), series.image.shape)
        self._newest = _Look(int(series.info["step"]), replace(series, image=shape), lambda: magnitude)
        if self._truth is not None and not self._work.busy and not self._rest.isActive():
            self._next()

    def _next(self) -> None:
        if self._truth is not None and self._newest is not None and self._newest is not self._measured:
            self._ask([self._newest])

    def _ask(self, looks: list[_Look]) -> None:
        if not looks or self._truth is None:
            return
        self._measured = looks[-1]
        truth = as_series(self._truth, looks[-1].series)

        def work(stop: threading.Event) -> Iterator[Any]:
            for look in looks:
                began = time.perf_counter()
                title = TITLES.get(look.series.method, look.series.method)
                magnitude: Any = look.magnitude()
                one = replace(look.series, image=magnitude, method=title)
                try:
                    (row,) = metric_table({title: one}, truth)
                except DainrError as error:
                    row = Row(title, 0, {}, str(error))
                yield Scored(look.step, one.n_frames, row), time.perf_counter() - began

        self._work.ask(work)

    def _arrived(self, result: tuple[Scored, float]) -> None:
        scored, self._took = result
        self.scored.emit(scored)

    def _rested(self) -> None:
        self._rest.start(round(1e3 * REST * self._took))

    def leave(self) -> None:
        """The dock is closed."""
        self._work.cancel()
        self._rest.stop()
        self._truth = self._newest = self._measured = None
