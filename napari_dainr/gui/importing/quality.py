"""The window "Data quality": the same figure as the command ``qc`` writes, made beside the event loop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QImage, QPixmap, QResizeEvent
from qtpy.QtWidgets import QDialog, QFileDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_dainr.data import KSpace
from napari_dainr.gui._latest import Latest
from napari_dainr.gui._parts import Banner
from napari_dainr.gui._worker import Failed

__all__ = ["QualityWindow"]


def _drawn(kspace: KSpace, slice_index: int) -> Iterator[tuple[Any, NDArray[np.uint8]]]:
    """The figure, and its pixels (y, x, 4)."""
    from napari_dainr.preparation.figure import quality_figure
    from napari_dainr.preparation.quality import quality

    figure = quality_figure(kspace, quality(kspace, slice_index))
    figure.canvas.draw()
    yield figure, np.asarray(figure.canvas.buffer_rgba()).copy()


class _Picture(QLabel):
    """A picture as large as there is room."""

    def __init__(self) -> None:
        super().__init__()
        self._pixmap: QPixmap | None = None
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setMinimumSize(480, 320)

    def show_pixels(self, pixels: NDArray[np.uint8]) -> None:
        height, width = pixels.shape[:2]
        image = QImage(pixels.tobytes(), width, height, 4 * width, QImage.Format.Format_RGBA8888)
        self._pixmap = QPixmap.fromImage(image)
        self._fit()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        if self._pixmap is not None:
            keep, smooth = Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
            self.setPixmap(self._pixmap.scaled(self.size(), keep, smooth))


class QualityWindow(QDialog):
    """Spokes, angles, coils, noise, centre and delays of the data that were read."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Data quality")
        self.figure: Any = None
        self._name = ""
        self.picture = _Picture()
        self.banner = Banner()
        self.save = QPushButton("Save as PNG…")
        self.save.setToolTip("Write the figure to a file; on the command line: napari-dainr qc FILE -o PNG.")
        self.save.setEnabled(False)
        close = QPushButton("Close")
        self.latest = Latest("measuring the quality of the data", self._arrived, self._failed)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(self.save)
        row.addWidget(close)
        layout = QVBoxLayout(self)
        layout.addWidget(self.banner)
        layout.addWidget(self.picture, 1)
        layout.addLayout(row)
        self.save.clicked.connect(self._ask_save)
        close.clicked.connect(self.close)

    def sizeHint(self) -> QSize:
        """Large enough to read."""
        return QSize(1060, 760)

    def measure(self, kspace: KSpace, slice_index: int = 0) -> None:
        """Measure these data and show the figure when it is there."""
        self.figure = None
        self.save.setEnabled(False)
        self._name = kspace.name
        self.picture.setText("measuring…")
        self.banner.clear()

        def work(stop: threading.Event) -> Iterator[tuple[Any, NDArray[np.uint8]]]:
            return _drawn(kspace, slice_index)

        self.latest.ask(work)

    def write(self, path: Path) -> None:
        """Write the figure; a failure is told in the window."""
        from napari_dainr.errors import DainrError
        from napari_dainr.io.figure_file import save_figure

        try:
            save_figure(self.figure, path)
        except DainrError as error:
            self.banner.show_message("error", str(error))
        else:
            self.banner.show_message("info", f"Figure saved: {path.name}.")

    def _arrived(self, result: tuple[Any, NDArray[np.uint8]]) -> None:
        self.figure, pixels = result
        self.picture.show_pixels(pixels)
        self.save.setEnabled(True)

    def _failed(self, failed: Failed) -> None:
        self.picture.setText("")
        self.banner.show_message("error", failed.message, failed.details)

    def _ask_save(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save figure", f"{self._name}-quality.png", "PNG (*.png)")
        if name:
            self.write(Path(name))
