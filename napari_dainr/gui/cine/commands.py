"""Commands of the dock "Cine" for the palette and the menus."""

from __future__ import annotations

from napari_dainr.gui._dock import find_or_open
from napari_dainr.gui.cine.dock import CineDock

__all__ = ["export_command", "open_command", "play_command"]


def _dock() -> CineDock | None:
    import napari

    viewer = napari.current_viewer()
    return None if viewer is None else find_or_open(viewer, CineDock)


def open_command() -> None:
    """Show the dock."""
    _dock()


def play_command() -> None:
    """Play or stop."""
    if (dock := _dock()) is not None:
        dock.play_panel.toggle()


def export_command() -> None:
    """Ask for a file and write the cine."""
    if (dock := _dock()) is not None:
        dock.ask_export()
