"""Several runs on one command line: their series, under names that tell them apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_dainr.data import ImageSeries

__all__ = ["load_runs"]


def load_runs(folders: Sequence[Path]) -> list[tuple[str, ImageSeries]]:
    """(name, series) of every run folder, in order.

    A run is named after its method, with a number where a method comes more than once; never after its folder, whose
    name may be that of a person.
    """
    from napari_dainr.methods.config import TITLES
    from napari_dainr.run_folder import RunFolder

    loaded = [RunFolder(folder).series() for folder in folders]
    titles = [TITLES.get(series.method, series.method) for series in loaded]
    names = [
        f"{title} {titles[:number].count(title) + 1}" if titles.count(title) > 1 else title
        for number, title in enumerate(titles)
    ]
    return list(zip(names, loaded, strict=True))
