"""Folders of our own: runs that nobody has saved yet, and the files of sample data."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path

__all__ = ["ScratchFolders", "clear_left_over"]

_made: set[Path] = set()


def clear_left_over() -> None:
    """Take away what was made and is still there: the program ends, and nobody else will."""
    for folder in _made:
        shutil.rmtree(folder, ignore_errors=True)


class ScratchFolders:
    """Temporary run folders, so that "Save run" is a copy and an earlier result can be drawn again.

    A folder is kept while a layer shows its run. ``copies`` counts the copies that are being made; meanwhile no folder
    is taken away.
    """

    def __init__(self) -> None:
        self.folders: list[Path] = []
        self.copies = 0
        self._samples: tempfile.TemporaryDirectory[str] | None = None

    def new(self) -> Path:
        """A place for another run; raises OSError."""
        folder = Path(tempfile.mkdtemp(prefix="napari-dainr-"))
        self.folders.append(folder)
        _made.add(folder)
        return folder / "run"

    def drop_all_but(self, wanted: Collection[Path]) -> None:
        """Take away every folder but the newest and those of the runs in ``wanted``."""
        if self.copies:
            return
        kept = {run.parent for run in wanted} | set(self.folders[-1:])
        for folder in self.folders:
            if folder not in kept:
                shutil.rmtree(folder, ignore_errors=True)
        self.folders = [folder for folder in self.folders if folder in kept]

    def clear(self) -> None:
        """Take all runs away."""
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)
        self.folders = []

    @property
    def samples(self) -> Path:
        """A folder for sample data, there as long as the session."""
        if self._samples is None:
            self._samples = tempfile.TemporaryDirectory(prefix="napari-dainr-samples-", ignore_cleanup_errors=True)
        return Path(self._samples.name)

    def clear_samples(self) -> None:
        """Take the sample data away."""
        if self._samples is not None:
            self._samples.cleanup()
            self._samples = None
