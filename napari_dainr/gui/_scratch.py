"""Folders of our own for runs that nobody has saved yet."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

__all__ = ["ScratchFolders"]


class ScratchFolders:
    """Temporary run folders: each is kept until a later run has a result, so that "Save run" is a copy.

    ``copies`` counts the copies that are being made; meanwhile no folder is taken away.
    """

    def __init__(self) -> None:
        self.folders: list[Path] = []
        self.copies = 0

    def new(self) -> Path:
        """A place for another run; raises OSError."""
        folder = Path(tempfile.mkdtemp(prefix="napari-dainr-"))
        self.folders.append(folder)
        return folder / "run"

    def drop_older(self) -> None:
        """Only the newest folder is still wanted."""
        if self.copies == 0:
            for folder in self.folders[:-1]:
                shutil.rmtree(folder, ignore_errors=True)
            del self.folders[:-1]

    def clear(self) -> None:
        """Take all away."""
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)
        self.folders = []
