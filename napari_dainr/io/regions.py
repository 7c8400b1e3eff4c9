"""Regions as the program's own JSON: world millimetres, every bit kept."""

from __future__ import annotations

from pathlib import Path

from napari_dainr.analysis.regions import RegionSet
from napari_dainr.errors import InputError
from napari_dainr.io.atomic import write_text

__all__ = ["load_regions", "save_regions"]

_MOST_BYTES = 200_000_000


def save_regions(regions: RegionSet, path: Path) -> None:
    """Write regions; raises ExportError if they cannot be written."""
    write_text(Path(path), regions.to_json())


def load_regions(path: Path) -> RegionSet:
    """Read regions that :func:`save_regions` wrote.

    Raises
    ------
    InputError
        If there is no such file, or it holds something else.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path.name}: is too large for a file of regions; give another.")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path.name}: is not JSON; give a file of regions that this program saved.") from None
    except OSError as error:
        reason = (error.strerror or "error").lower()
        raise InputError(f"{path.name}: cannot be read ({reason}); give a file of regions.") from None
    return RegionSet.from_json(text, path.name)
