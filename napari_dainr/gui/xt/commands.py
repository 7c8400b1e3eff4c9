"""Commands of the dock "x–t" for the palette and the menus."""

from __future__ import annotations

from napari_dainr.gui._dock import find_or_open
from napari_dainr.gui.xt.dock import XtDock

__all__ = ["export_command", "line_command", "open_command"]


def _dock() -> XtDock | None:
    import napari

    viewer = napari.current_viewer()
    return None if viewer is None else find_or_open(viewer, XtDock)


def open_command() -> None:
    """Show the dock."""
    _dock()


def line_command() -> None:
    """Show the dock and begin with a line across the image."""
    if (dock := _dock()) is not None:
        dock.new_line()


def export_command() -> None:
    """Ask for a file and write the figure."""
    if (dock := _dock()) is not None:
        dock.ask_figure()
