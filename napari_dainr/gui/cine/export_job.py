"""Work of the export half that runs beside the event loop. Nothing here touches a widget or a layer."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_dainr.gui._model import viewer_threads
from napari_dainr.gui._worker import Failed, as_failed, as_failed_write
from napari_dainr.io.cine import Cine, first_picture, write_cine
from napari_dainr.io.cine_options import CineOptions

__all__ = ["ExportJob", "draw_preview"]

TURN_S, NORMAL_S = 0.001, sys.getswitchinterval()


@contextlib.contextmanager
def short_turns() -> Iterator[None]:
    """While several threads draw, the event loop waits less for its turn: drawing a window takes hundreds of turns."""
    sys.setswitchinterval(TURN_S)
    try:
        yield
    finally:
        sys.setswitchinterval(NORMAL_S)


class ExportJob:
    """One export: what is written, how far it is, and a way to cancel it."""

    def __init__(self, cine: Cine, path: Path, options: CineOptions) -> None:
        self.cine, self.path, self.options = cine, path, options
        self.stop = threading.Event()
        self.progress = (0, 1)

    def run(self) -> Failed | None:
        """Write the file. A failure is returned, because napari's workers swallow some exceptions."""
        try:
            with short_turns():
                write_cine(
                    self.cine,
                    self.path,
                    self.options,
                    progress=self._note,
                    stop=self.stop,
                    threads=viewer_threads(),
                )
        except Exception as error:
            return as_failed_write(error, f"{self.path.name} was not written")
        return None

    def _note(self, done: int, total: int) -> None:
        self.progress = (done, total)


def draw_preview(cine: Cine, options: CineOptions, name: str, frame: int | None) -> NDArray[np.uint8] | Failed:
    """One picture of the file that would be written."""
    try:
        return first_picture(cine, options, name, frame)
    except Exception as error:
        return as_failed(error, "drawing the preview")
