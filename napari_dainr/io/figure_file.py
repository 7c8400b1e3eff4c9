"""Figures of matplotlib on disk: files that say what they are not for, opened and compared after they are written."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from napari_dainr import RESEARCH_USE
from napari_dainr.errors import InputError
from napari_dainr.io.atomic import write_bytes

if TYPE_CHECKING:
    from collections.abc import Collection

    from matplotlib.figure import Figure

__all__ = ["picture_bytes", "save_figure", "write_figure_png"]

_METADATA: dict[str, dict[str, str | None]] = {
    ".png": {"Description": RESEARCH_USE},
    ".svg": {"Description": RESEARCH_USE, "Date": None},
    ".pdf": {"Subject": RESEARCH_USE, "CreationDate": None},
}
"""Suffix → what the file says of itself; no time at which it was made."""


def save_figure(figure: Figure, path: Path, suffixes: Collection[str] = (".png",)) -> None:
    """Write a figure, atomically; the suffix says the format.

    Parameters
    ----------
    figure
        Laid out.
    suffixes
        Those that may be asked for, of ``.png``, ``.svg`` and ``.pdf``.

    Raises
    ------
    InputError
        If the suffix is another one.
    ExportError
        If it cannot be written or does not read back the same.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        names = [name[1:].upper() for name in suffixes]
        raise InputError(f"{path.name}: the figure is written as {' or '.join(names)}; end the name so.")
    drawn = BytesIO()
    figure.savefig(drawn, format=suffix[1:], dpi=figure.dpi, metadata=_METADATA[suffix])
    data = drawn.getvalue()
    _open(data, suffix)
    write_bytes(path, data)


def _open(data: bytes, suffix: str) -> None:
    """Raises an exception if this is not a whole file of its format."""
    if suffix == ".png":
        picture_bytes(data)
    elif suffix == ".svg":
        ElementTree.fromstring(data)
    elif not (data.startswith(b"%PDF-") and data.rstrip().endswith(b"%%EOF")):
        raise ValueError("the PDF has no end")


def picture_bytes(data: bytes) -> bytes:
    """The same bytes, after they were opened as a picture; raises an exception if they are none."""
    from PIL import Image

    with Image.open(BytesIO(data)) as picture:
        picture.load()
    return data


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
        If it cannot be written or does not read back the same.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    figure.supxlabel(RESEARCH_USE, fontsize=8, color="0.25")
    save_figure(figure, path)
