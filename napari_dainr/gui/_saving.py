"""What the dock writes: recipes, run folders, series. No Qt; safe to call off the main thread."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from napari_dainr.data import ImageSeries
from napari_dainr.gui._model import Source
from napari_dainr.io.lock import LOCK
from napari_dainr.recipe import Recipe, save_recipe

__all__ = ["copy_run", "write_recipe", "write_series"]


def write_recipe(recipe: Recipe, source: Source | None, path: Path) -> None:
    """Write a recipe file; sample data goes beside it, so that the command line finds it."""
    if source is not None and source.sample is not None and source.path is not None:
        data = path.absolute().with_name(source.path.name)
        shutil.copyfile(source.path, data)
        recipe = recipe.model_copy(update={"data": str(data)})
    save_recipe(recipe, path)


def copy_run(folder: Path, path: Path) -> None:
    """Copy a run folder to a new place; nothing is left there if that fails.

    Raises
    ------
    OSError
        If ``path`` exists or cannot be written.
    """
    if path.exists():
        raise FileExistsError(errno.EEXIST, "it is there already")
    part = path.with_name(path.name + ".part")
    try:
        shutil.copytree(folder, part, ignore=shutil.ignore_patterns(LOCK))
        part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_series(series: ImageSeries, path: Path) -> None:
    """Write a series, format by suffix."""
    from napari_dainr.io import export_series

    export_series(series, path)
