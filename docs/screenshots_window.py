"""A window whose pictures are taken, and the command line of the scripts that take them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

import napari
from napari.settings import get_settings
from qtpy.QtWidgets import QApplication
from screenshots_waiting import settle, wait_until

from napari_dainr.gui._model import Phase, Source
from napari_dainr.gui._settings import (
    CompareSettings,
    CurveSettings,
    Settings,
    StripSettings,
    ViewerSettings,
    keep,
    kept,
)
from napari_dainr.gui.cine.settings import CineSettings
from napari_dainr.gui.widget import open_dock

__all__ = ["Window", "take"]

PAGES: tuple[type[Settings], ...] = (ViewerSettings, CurveSettings, StripSettings, CompareSettings, CineSettings)
LOOKS = (
    ("dark", (1600, 1000), ""),
    ("light", (1600, 1000), "-light"),
    ("dark", (1280, 720), "-small"),
    ("light", (1280, 720), "-light-small"),
)
"""Theme, size of the window in pixels, and what the names of its pictures end in; pages show the first."""


class Window:
    """A new viewer with the reconstruction dock; its pictures go to a folder."""

    def __init__(self, folder: Path, all_of_them: bool) -> None:
        self.folder, self.all_of_them = folder, all_of_them
        self.viewer = napari.Viewer(show=True)
        self._put_on(*LOOKS[0][:2])
        self.dock = open_dock(self.viewer)

    def _put_on(self, theme: str, size: tuple[int, int]) -> None:
        get_settings().appearance.theme = theme
        self.viewer.window.resize(*size)

    def shoot(self, name: str, seconds: float = 0.6) -> None:
        """Take a picture of the whole window after some time to draw it; with ``--all`` in every look."""
        for theme, size, tag in LOOKS if self.all_of_them else LOOKS[:1]:
            self._put_on(theme, size)
            settle(seconds)
            self.viewer.screenshot(str(self.folder / f"{name}{tag}.png"), canvas_only=False, flash=False)
        self._put_on(*LOOKS[0][:2])

    def look(self, name: str, seconds: float = 0.6) -> None:
        """A picture that no page shows, to be looked at with ``--all``."""
        if self.all_of_them:
            self.shoot(name, seconds)

    def load(self, source: Source) -> None:
        """Open data and wait for the first look."""
        self.dock.session.load(source)
        wait_until(lambda: self.dock.model.phase in (Phase.READY, Phase.FAILED))
        assert self.dock.model.phase is Phase.READY, self.dock.banner.text.text()
        self.wait_for_forecast()

    def wait_for_forecast(self) -> None:
        """Until the line above Start says how long the next run takes."""
        wait_until(lambda: self.dock.run_panel.forecast.forecast is not None)

    def close(self) -> None:
        """Away with it, before the next one opens."""
        self.viewer.close()
        settle(0.2)


def take(*tours: Callable[[Window], None], description: str | None) -> None:
    """Read the command line and make the pictures of all tours, a window for each.

    Each begins with the defaults; the preferences that napari keeps are given back at the end.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument(
        "--all", action="store_true", help="in both themes, also in a small window, and what no page shows"
    )
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    QApplication.instance() or QApplication([])
    before, pages = get_settings().appearance.theme, [kept(page) for page in PAGES]
    try:
        for tour in tours:
            _prefer(page() for page in PAGES)
            window = Window(arguments.output, arguments.all)
            tour(window)
            window.close()
    finally:
        get_settings().appearance.theme = before
        _prefer(pages)


def _prefer(pages: Iterable[Settings]) -> None:
    for page in pages:
        keep(type(page), **vars(page))
