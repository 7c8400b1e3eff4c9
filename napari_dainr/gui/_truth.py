"""The truth: a layer that others are compared with, and how one is opened from a file."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QPushButton, QWidget

from napari_dainr.gui._latest import Latest
from napari_dainr.gui._layers import AXIS_LABELS, UNITS, display_limits
from napari_dainr.gui._series_layers import LayerChoice, is_derived
from napari_dainr.gui._time_layers import TRUTH, frame_times
from napari_dainr.gui._worker import Failed

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

__all__ = ["TruthChoice", "add_truth"]

FILE_FILTER = "Series (*.npy *.npz *.nii *.nii.gz);;All files (*)"


def add_truth(
    viewer: ViewerModel, name: str, image: NDArray[Any], times_s: NDArray[np.float64] | None, like: Image | None
) -> Image:
    """Add (frame, y, x) as a layer of magnitudes.

    Where the file tells no times and there are as many frames as in ``like``, they are taken to be the same; pixels
    cover the field of view of ``like``.
    """
    magnitude = np.abs(image).astype(np.float32)
    keywords: dict[str, Any] = {"units": UNITS, "axis_labels": AXIS_LABELS}
    known = frame_times(like) if like is not None else None
    if times_s is None and known is not None and len(known) == len(magnitude):
        times_s = known
    if like is not None:
        size = np.asarray(like.data.shape[1:]) * like.scale[1:] / magnitude.shape[1:]
        odd_before, odd = np.asarray(like.data.shape[1:]) % 2, np.asarray(magnitude.shape[1:]) % 2
        # The pixel n // 2 of both in the middle of the field of view.
        shift = like.translate[1:] - 0.5 * odd_before * like.scale[1:] + 0.5 * odd * size
        keywords |= {"units": like.units}
    else:
        size, shift = np.ones(2), np.zeros(2)
    step = float(np.median(np.diff(times_s))) if times_s is not None and len(times_s) > 1 else 1.0
    start = float(times_s[0]) if times_s is not None else 0.0
    layer: Image = viewer.add_image(
        magnitude,
        name=f"{TRUTH} · {name}",
        scale=(step, *size),
        translate=(start, *shift),
        contrast_limits=display_limits(magnitude),
        colormap="gray",
        **keywords,
    )
    return layer


class TruthChoice(QWidget):
    """One of the layers, or none; a button opens one from a file.

    Parameters
    ----------
    label, tip
        What stands before the choice, and its tooltip.
    like
        A layer of whose place and times a file is taken to be, where it does not say.
    tell(kind, sentence, details)
        Where errors are told.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        label: str,
        tip: str,
        like: Callable[[], Image | None],
        tell: Callable[[str, str, str], None],
    ) -> None:
        super().__init__()
        self._viewer, self._like, self._tell = viewer, like, tell
        self._reading: Latest | None = None
        self.choice = LayerChoice("none", tip)
        self.file = QPushButton("File…")
        self.file.setToolTip("Open a truth as a layer: .npy or .npz with axes (frame, y, x), or NIfTI.")
        self.file.clicked.connect(self._ask_for_file)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(QLabel(label))
        row.addWidget(self.choice, 1)
        row.addWidget(self.file)

    def offer(self, layers: Sequence[Image]) -> None:
        """Offer layers, but none that was made from others here."""
        layers = [layer for layer in layers if not is_derived(layer)]
        truths = [layer for layer in layers if str(layer.name).startswith(TRUTH)]  # until the user chooses
        self.choice.offer(layers, prefer=truths[0] if truths else None)

    def _ask_for_file(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Open a truth", "", FILE_FILTER)
        if name:
            self.open(Path(name))

    def open(self, path: Path) -> None:
        """Read a file beside the event loop, show it as a layer and choose it."""
        like = self._like()

        def work(stop: threading.Event) -> Iterator[Any]:
            from napari_dainr.io.truth import read_truth

            yield read_truth(path)

        def arrived(found: Any) -> None:
            image, times = found
            self.choice.choose(add_truth(self._viewer, path.name, image, times, like))

        def failed(why: Failed) -> None:
            self._tell("error", why.message, why.details)

        if self._reading is not None:
            self._reading.cancel()
        self._reading = Latest(f"reading {path.name}", arrived, failed)
        self._reading.ask(work)

    def leave(self) -> None:
        """The dock is closed."""
        if self._reading is not None:
            self._reading.cancel()
