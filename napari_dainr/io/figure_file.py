"""Figures of matplotlib on disk: PNG files that say what they are not for, checked after they are written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_dainr import RESEARCH_USE
from napari_dainr.io.atomic import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["write_figure_png"]


def write_figure_png(figure: Figure, path: Path) -> None:
    """Put the research-use notice below a figure and write it.

    Parameters
    ----------
    figure
        Laid out; its lower label is replaced.
    path
        A ``.png`` file.

    Raises
    ------
    ExportError
        If it cannot be written or does not read back with its size.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    figure.supxlabel(RESEARCH_USE, fontsize=8, color="0.25")
    size = tuple(int(n) for n in canvas.get_width_height())

    def write(temporary: Path) -> None:
        canvas.print_png(temporary, metadata={"Description": RESEARCH_USE})

    def verify(written: Path) -> None:
        with Image.open(written) as file:
            file.load()
            if file.size != size:
                raise ValueError("the size differs")

    atomic_write(path, write, verify, 4 * size[0] * size[1])
