"""A window whose pictures are taken, and the command line of the scripts that take them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import napari
from napari.settings import get_settings
from qtpy.QtWidgets import QApplication
from screenshots_waiting import settle, wait_until

from napari_dainr.gui._model import Phase, Source
from napari_dainr.gui.widget import open_dock

__all__ = ["Window", "take"]

LOOKS = (("dark", (1600, 1000), ""), ("light", (1280, 720), "-light-small"))
"""Theme, size of the window in pixels, and what the names of its pictures end in."""


class Window:
    """A new viewer with the reconstruction dock; its pictures go to a folder, and end in ``tag``."""

    def __init__(self, folder: Path, theme: str, size: tuple[int, int], tag: str, all_of_them: bool) -> None:
        get_settings().appearance.theme = theme
        self.folder, self.tag, self.all_of_them = folder, tag, all_of_them
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(*size)
        self.dock = open_dock(self.viewer)

    def shoot(self, name: str, seconds: float = 0.6) -> None:
        """Take a picture of the whole window after some time to draw it."""
        settle(seconds)
        self.viewer.screenshot(str(self.folder / f"{name}{self.tag}.png"), canvas_only=False, flash=False)

    def look(self, name: str, seconds: float = 0.6) -> None:
        """A picture that no page shows, to be looked at with ``--all``."""
        if self.all_of_them:
            self.shoot(name, seconds)

    def load(self, source: Source) -> None:
        """Open data and wait for the first look."""
        self.dock.session.load(source)
        wait_until(lambda: self.dock.model.phase in (Phase.READY, Phase.FAILED))
        assert self.dock.model.phase is Phase.READY, self.dock.banner.text.text()

    def close(self) -> None:
        """Away with it, before the next one opens."""
        self.viewer.close()
        settle(0.2)


def take(*tours: Callable[[Window], None], description: str | None) -> None:
    """Read the command line and make the pictures of all tours, a window for each; give the theme back at the end."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument("--all", action="store_true", help="also small windows, light theme, and what no page shows")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    QApplication.instance() or QApplication([])
    before = get_settings().appearance.theme
    try:
        for theme, size, tag in LOOKS if arguments.all else LOOKS[:1]:
            for tour in tours:
                window = Window(arguments.output, theme, size, tag, arguments.all)
                tour(window)
                window.close()
    finally:
        get_settings().appearance.theme = before
