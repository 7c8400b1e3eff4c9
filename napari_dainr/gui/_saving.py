"""What the dock writes: recipes, run folders, series. No Qt; safe to call off the main thread."""

from __future__ import annotations

import filecmp
import shutil
from pathlib import Path

from napari_dainr.data import ImageSeries
from napari_dainr.errors import ExportError
from napari_dainr.gui._model import Source
from napari_dainr.io.atomic import atomic_folder, copy_file
from napari_dainr.io.lock import LOCK
from napari_dainr.recipe import Recipe, save_recipe

__all__ = ["copy_run", "write_recipe", "write_series"]


def write_recipe(recipe: Recipe, source: Source | None, path: Path) -> None:
    """Write a recipe file; sample data goes beside it, so that the command line finds it.

    Raises
    ------
    ExportError
        If it cannot be written, or other data of the sample's name lie there.
    """
    if source is not None and source.sample is not None and source.path is not None:
        data = path.absolute().with_name(source.path.name)
        _copy_file(source.path, data)
        recipe = recipe.model_copy(update={"data": str(data)})
    save_recipe(recipe, path)


def _copy_file(source: Path, target: Path) -> None:
    if target.exists():
        if not target.is_file() or not filecmp.cmp(source, target, shallow=False):
            raise ExportError(f"{target.name}: other data of that name lie there; save the recipe in another folder.")
        return
    copy_file(source, target)


def copy_run(folder: Path, path: Path) -> None:
    """Copy a run folder to a new place, compared file by file; nothing is left there if that fails.

    Raises
    ------
    ExportError
        If something has that name, or it cannot be written.
    """
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != LOCK]

    def write(place: Path) -> None:
        for file in files:
            target = place / file.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            # Not copytree: its errors hold whole paths.
            shutil.copyfile(file, target)

    def verify(place: Path) -> None:
        for file in files:
            if not filecmp.cmp(file, place / file.relative_to(folder), shallow=False):
                raise ValueError(f"{file.name} differs")

    atomic_folder(path, write, verify, sum(file.stat().st_size for file in files), ours=lambda found: False)


def write_series(series: ImageSeries, path: Path) -> None:
    """Write a series, format by suffix."""
    from napari_dainr.io import export_series

    export_series(series, path)
