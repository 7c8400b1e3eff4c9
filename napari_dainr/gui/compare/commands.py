"""Commands of the compare dock for napari's palette and menus."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_dainr.gui.compare.widget import CompareDock

__all__ = [
    "copy_table_command",
    "open_compare_command",
    "run_queue_command",
    "side_by_side_command",
    "skip_command",
    "stop_queue_command",
]


def _dock() -> CompareDock | None:
    import napari

    from napari_dainr.gui.compare.widget import open_compare

    viewer = napari.current_viewer()
    return None if viewer is None or getattr(viewer, "window", None) is None else open_compare(viewer)


def open_compare_command() -> None:
    """Open the dock, or show it."""
    _dock()


def run_queue_command() -> None:
    """Run the methods with a check mark."""
    if (dock := _dock()) is not None:
        if dock.queue.run.isEnabled():
            dock.queue.start()
        else:
            dock.tell("warning", f"Nothing was started: {dock.queue.run.toolTip()}", "")


def skip_command() -> None:
    """Stop the method that runs, keep its result, go on with the next."""
    if (dock := _dock()) is not None:
        dock.queue.queue.skip()


def stop_queue_command() -> None:
    """Stop the method that runs, keep its result, run no other."""
    if (dock := _dock()) is not None:
        dock.queue.queue.stop_all()


def side_by_side_command() -> None:
    """Grid on, or everything as before."""
    if (dock := _dock()) is not None:
        dock.grid_button.toggle()


def copy_table_command() -> None:
    """Copy the scores."""
    if (dock := _dock()) is not None:
        if dock.measure.rows:
            dock.measure.copy_table()
            dock.tell("info", "The table was copied.", "")
        else:
            dock.tell("warning", "There are no scores yet; choose a reference first.", "")
