"""Commands of the dock "Regions and curves" for the palette and the menus."""

from __future__ import annotations

from napari_dainr.gui._dock import find_or_open
from napari_dainr.gui.curves.dock import CurvesDock

__all__ = [
    "copy_command", "draw_aorta_command", "draw_liver_command", "draw_myocardium_command", "draw_other_command",
    "draw_portal_vein_command", "draw_ventricle_command", "duplicate_command", "export_curves_command",
    "export_figure_command", "export_phases_command", "export_quantities_command", "load_regions_command",
    "lock_command", "open_command", "redo_command", "rename_command", "save_regions_command", "undo_command",
]  # fmt: skip


def _dock() -> CurvesDock | None:
    import napari

    viewer = napari.current_viewer()
    return None if viewer is None else find_or_open(viewer, CurvesDock)


def open_command() -> None:
    """Show the dock."""
    _dock()


def _draw(role: str) -> None:
    if (dock := _dock()) is not None:
        dock.draw_role(role)


def draw_aorta_command() -> None:
    """Draw an ellipse over the aorta."""
    _draw("AO")


def draw_portal_vein_command() -> None:
    """Draw an ellipse over the portal vein."""
    _draw("PV")


def draw_liver_command() -> None:
    """Draw an ellipse over the liver."""
    _draw("LIVER")


def draw_ventricle_command() -> None:
    """Draw an ellipse over the left ventricle."""
    _draw("LV")


def draw_myocardium_command() -> None:
    """Draw an ellipse over the myocardium."""
    _draw("MYO")


def draw_other_command() -> None:
    """Draw an ellipse over anything else."""
    _draw("OTHER")


def undo_command() -> None:
    """Undo the last change to the regions."""
    if (dock := _dock()) is not None:
        dock.undo()


def redo_command() -> None:
    """Do again what was undone."""
    if (dock := _dock()) is not None:
        dock.redo()


def duplicate_command() -> None:
    """Duplicate the selected region."""
    if (dock := _dock()) is not None:
        dock.duplicate()


def lock_command() -> None:
    """Lock or unlock the selected region."""
    if (dock := _dock()) is not None:
        dock.lock()


def rename_command() -> None:
    """Type another name for the selected region."""
    if (dock := _dock()) is not None:
        dock.rename()


def copy_command() -> None:
    """Copy the table of quantities."""
    if (dock := _dock()) is not None:
        dock.files.copy_quantities()


def export_curves_command() -> None:
    """Ask for a file and write the curves."""
    if (dock := _dock()) is not None:
        dock.files.ask_curves()


def export_quantities_command() -> None:
    """Ask for a file and write the table of quantities."""
    if (dock := _dock()) is not None:
        dock.files.ask_quantities()


def export_phases_command() -> None:
    """Ask for a file and write the contrast phases."""
    if (dock := _dock()) is not None:
        dock.files.ask_phases()


def export_figure_command() -> None:
    """Ask for a file and write the figure."""
    if (dock := _dock()) is not None:
        dock.files.ask_figure()


def save_regions_command() -> None:
    """Ask for a file and write the regions."""
    if (dock := _dock()) is not None:
        dock.files.ask_regions()


def load_regions_command() -> None:
    """Ask for a file of regions and add them."""
    if (dock := _dock()) is not None:
        dock.files.ask_load()
