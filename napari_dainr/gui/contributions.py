"""What the manifest names: reader, sample data and the commands of the palette."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_dainr.errors import InputError
from napari_dainr.gui._model import Phase, Source

if TYPE_CHECKING:
    import napari

    from napari_dainr.gui.widget import ReconstructionDock

__all__ = [
    "export_command",
    "get_reader",
    "open_dock_command",
    "pause_command",
    "read_kspace_file",
    "sample_cine",
    "sample_liver",
    "save_recipe_command",
    "save_run_command",
    "start_command",
    "stop_command",
]

NOTHING: list[tuple[Any, ...]] = [(None,)]
"""What napari takes for "opened, and no layer comes of it"."""


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[tuple[Any, ...]]] | None:
    """The reader for one file of a raw format; whether it holds radial k-space is said when it is read."""
    from napari_dainr.io.formats import format_of

    return read_kspace_file if isinstance(path, str) and format_of(Path(path)) is not None else None


def read_kspace_file(path: str | list[str]) -> list[tuple[Any, ...]]:
    """Open k-space.

    With a window, the dock takes over: it reads beside the event loop, fills itself in and adds the first look as a
    layer when it is there, so nothing freezes and a bad file becomes a banner. Without one, the first look is returned.
    """
    source = Source(path=Path(path if isinstance(path, str) else path[0]))
    viewer = _window()
    if viewer is None:
        return [_first_look(source)]
    from napari_dainr.gui.widget import open_dock

    open_dock(viewer).session.load(source)
    return NOTHING


def sample_cine() -> list[tuple[Any, ...]]:
    """Sample data: moving cardiac cine."""
    return _sample("cine")


def sample_liver() -> list[tuple[Any, ...]]:
    """Sample data: liver with contrast agent."""
    return _sample("liver")


def _window() -> napari.viewer.Viewer | None:
    import napari

    viewer = napari.current_viewer()
    return viewer if viewer is not None and getattr(viewer, "window", None) is not None else None


def _sample(name: str) -> list[tuple[Any, ...]]:
    """As a file, but napari wants the layer data of a sample, so wait for the first look with the window alive."""
    viewer = _window()
    if viewer is None:
        return [_first_look(Source(sample=name))]
    from qtpy.QtCore import QEventLoop

    from napari_dainr.gui.widget import open_dock

    dock = open_dock(viewer)
    looks: list[tuple[Any, ...]] = []
    if not dock.session.load(Source(sample=name), take=looks.append):
        raise InputError(f"sample data {name} was not opened: a reconstruction is running; stop it first.")
    loop = QEventLoop()

    def follow(phase: Phase) -> None:
        if phase is not Phase.LOADING:
            loop.quit()

    dock.model.phase_changed.connect(follow)
    dock.destroyed.connect(loop.quit)
    loop.exec()
    if not looks:
        raise InputError(f"sample data {name} was not opened; the dock says why.")
    viewer.canvas.overlays.scale_bar.visible = True
    return looks


def _first_look(source: Source) -> tuple[Any, ...]:
    import tempfile

    from napari_dainr import recipe as recipes
    from napari_dainr.gui._layers import layer_data
    from napari_dainr.gui._model import Model
    from napari_dainr.gui._worker import read_source

    with tempfile.TemporaryDirectory(prefix="napari-dainr-") as folder:
        loaded = read_source(source, Path(folder))
    model = Model()
    model.set_data(loaded.kspace, loaded.source)
    for event in recipes.run(model.quick_look_recipe(), kspace=loaded.kspace):
        if isinstance(event, recipes.Finished):
            return layer_data(event.series, event.recipe, loaded.kspace.name)
    raise AssertionError("a run ends with Finished")


def _dock() -> ReconstructionDock | None:
    viewer = _window()
    if viewer is None:
        return None
    from napari_dainr.gui.widget import open_dock

    return open_dock(viewer)


def open_dock_command() -> None:
    """Open the dock."""
    _dock()


def _press(name: str, otherwise: str) -> None:
    """Press a button of the dock, or say why it cannot be pressed."""
    if (dock := _dock()) is not None:
        if dock.run_panel.buttons[name].isEnabled():
            dock.run_panel.buttons[name].click()
        else:
            dock.banner.show_message("warning", f"{otherwise}: {dock.model.buttons[name].tip}")


def start_command() -> None:
    """Start the reconstruction with the settings of the dock."""
    _press("start", "Nothing was started")


def save_recipe_command() -> None:
    """Write the settings to a file that the command line runs to the same result."""
    _press("save_recipe", "There is no recipe to be saved")


def save_run_command() -> None:
    """Keep the run folder of the result."""
    _press("save_run", "There is no run to be saved")


def export_command() -> None:
    """Write the result to a file."""
    _press("export", "There is no series to be exported")


def pause_command() -> None:
    """Pause the reconstruction, or go on."""
    if (dock := _dock()) is not None:
        dock.session.pause()


def stop_command() -> None:
    """Stop the reconstruction and keep the result."""
    if (dock := _dock()) is not None:
        dock.session.stop()
