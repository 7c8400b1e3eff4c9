"""The command of the dock "Import" for the palette and the menus."""

from __future__ import annotations

from napari_dainr.gui._dock import find_or_open
from napari_dainr.gui._model import Source
from napari_dainr.gui.importing.dock import ImportDock

__all__ = ["open_command", "show_import"]


def show_import(source: Source | None = None) -> ImportDock | None:
    """Show the dock with a file, by default the one that is loaded."""
    import napari

    from napari_dainr.gui.widget import find_dock

    viewer = napari.current_viewer()
    if viewer is None:
        return None
    dock = find_or_open(viewer, ImportDock)
    if source is None and (main := find_dock(viewer)) is not None:
        source = main.session.asked
    if source is not None:
        dock.show_source(source)
    return dock


def open_command() -> None:
    """Show the dock."""
    show_import()
