"""``napari-dainr open FILE``: napari with the dock and the data in place."""

from __future__ import annotations

from pathlib import Path

__all__ = ["open_viewer"]


def open_viewer(path: Path | None = None) -> None:
    """Start napari with the dock open, load k-space if a file is given, and return when the window is closed.

    Raises
    ------
    InputError
        If there is no such file.
    ResourceError
        If napari or Qt is not installed.
    """
    from napari_dainr.errors import InputError, ResourceError

    if path is not None and not path.is_file():
        raise InputError(f"{path.name}: there is no such file; give a raw k-space file.")
    try:
        import napari
        import qtpy.QtWidgets  # noqa: F401
    except ImportError as error:
        raise ResourceError(
            f"napari with Qt is not installed ({error}); install it with: pip install 'napari-dainr[all]'."
        ) from None
    from napari_dainr.gui.widget import open_dock

    viewer = napari.Viewer(title="napari-dainr")
    dock = open_dock(viewer)
    if path is not None:
        dock.open_path(path)
    napari.run()
