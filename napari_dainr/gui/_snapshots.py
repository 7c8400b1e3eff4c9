"""Snapshots along a fit: how the series looked at earlier steps, to be scrubbed through and kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSlider, QVBoxLayout, QWidget

from napari_dainr.data import ImageSeries

if TYPE_CHECKING:
    from napari_dainr.gui._layers import SeriesLayer
    from napari_dainr.gui._session import Session
    from napari_dainr.gui._worker import Picture

__all__ = ["Snapshot", "SnapshotRow", "Snapshots"]

MOST = 24
MOST_BYTES = 256_000_000


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A preview kept in half precision, ``image`` (frame, y, x) float16 in units of ``unit``."""

    step: int
    stage: str
    image: NDArray[np.float16]
    unit: float
    series: ImageSeries

    @property
    def magnitude(self) -> NDArray[np.float32]:
        """(frame, y, x) float32."""
        return self.image.astype(np.float32) * np.float32(self.unit)


class Snapshots:
    """The previews of one fit, thinned: when there are too many, every second one goes, so they stay evenly spread."""

    changed = Signal()

    def __init__(self) -> None:
        self.kept: list[Snapshot] = []
        self._every = 1
        self._seen = 0

    def clear(self) -> None:
        """Begin a new fit."""
        self.kept, self._every, self._seen = [], 1, 0
        self.changed.emit()

    def add(self, picture: Picture) -> bool:
        """Take a preview, unless it is one of those left out; True if it was taken."""
        self._seen += 1
        if (self._seen - 1) % self._every:
            return False
        unit = float(picture.magnitude.max()) or 1.0
        info = picture.series.info
        image = (picture.magnitude / np.float32(unit)).astype(np.float16)
        # The complex picture is not kept: only its shape and times are wanted.
        series = replace(picture.series, image=np.broadcast_to(np.complex64(0), picture.series.image.shape))
        self.kept.append(Snapshot(int(info["step"]), str(info["stage"]), image, unit, series))
        if len(self.kept) > MOST or sum(s.image.nbytes for s in self.kept) > MOST_BYTES:
            self.kept = self.kept[::2]
            self._every *= 2
        self.changed.emit()
        return True


class SnapshotRow(QWidget):
    """A slider over the snapshots of the last fit; moving it shows one in a layer of its own."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._layer: SeriesLayer | None = None
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setToolTip("Earlier looks at this fit; moving shows one in a layer of its own.")
        self.label = QLabel()
        self.label.setMinimumWidth(90)
        self.keep = QPushButton("Keep")
        self.keep.setToolTip("Leave the snapshot shown as a layer; the next one gets a new layer.")
        row = QHBoxLayout()
        row.addWidget(QLabel("snapshots"))
        row.addWidget(self.slider, 1)
        row.addWidget(self.label)
        row.addWidget(self.keep)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        self.slider.valueChanged.connect(self._show)
        self.keep.clicked.connect(self._forget)
        session.snapshots.changed.connect(self.refresh)
        session.run_began.connect(self._forget)
        self.refresh()

    def refresh(self) -> None:
        """Follow what there is; the row is not there while there is nothing to scrub through."""
        snapshots = self._session.snapshots.kept
        self.setVisible(len(snapshots) > 1)
        self.slider.blockSignals(True)
        at_end = self.slider.value() >= self.slider.maximum()
        self.slider.setRange(0, max(0, len(snapshots) - 1))
        if at_end:
            self.slider.setValue(self.slider.maximum())
        self.slider.blockSignals(False)
        self._say()

    def _say(self) -> None:
        snapshots = self._session.snapshots.kept
        if snapshots:
            self.label.setText(f"step {snapshots[min(self.slider.value(), len(snapshots) - 1)].step}")
        self.keep.setEnabled(self._layer is not None)

    def _show(self, index: int) -> None:
        self._layer = self._session.show_snapshot(self._session.snapshots.kept[index], self._layer)
        self._say()

    def _forget(self) -> None:
        """The next snapshot gets a layer of its own."""
        self._layer = None
        self._say()
