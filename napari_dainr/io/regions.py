"""Regions on disk: the program's own JSON (world millimetres, every bit kept), ImageJ files, and label masks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_dainr.analysis.pixel_grid import PixelGrid
from napari_dainr.analysis.regions import RegionSet
from napari_dainr.errors import InputError, reason_of
from napari_dainr.io.atomic import write_text

__all__ = ["REGION_FILES", "export_regions", "import_regions", "load_regions", "other_field", "save_regions"]

REGION_FILES: dict[str, str] = {
    ".json": "regions of this program, exact, in millimetres",
    ".roi": "one region for ImageJ",
    ".zip": "regions for ImageJ",
    ".nii.gz": "NIfTI label mask, compressed, with a .json of names beside it",
    ".nii": "NIfTI label mask, with a .json of names beside it",
}
"""Suffix of each format that is read and written → what it is."""

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
        raise InputError(f"{path.name}: cannot be read ({reason_of(error)}); give a file of regions.") from None
    return RegionSet.from_json(text, path.name)


def _suffix(path: Path) -> str:
    name = path.name.lower()
    suffix = ".nii.gz" if name.endswith(".nii.gz") else path.suffix.lower()
    if suffix not in REGION_FILES or name == suffix:
        raise InputError(f"{path.name}: cannot tell the format of regions; end the name in {', '.join(REGION_FILES)}.")
    return suffix


def export_regions(
    regions: RegionSet,
    path: Path,
    geometry: PixelGrid,
    image_magnitude: NDArray[np.floating] | None = None,
    baseline: slice | None = None,
) -> list[str]:
    """Write regions to a file whose suffix says the format (:data:`REGION_FILES`).

    Parameters
    ----------
    regions
        What to write.
    path
        The file.
    geometry
        Of the series they lie on; all formats but JSON count its pixels.
    image_magnitude, baseline
        For threshold regions in a label mask, see :func:`napari_dainr.analysis.masks.region_mask`.

    Returns
    -------
    list of str
        What the format could not keep, one sentence each.

    Raises
    ------
    InputError
        If the suffix is not known or the format cannot hold these regions.
    ExportError
        If it cannot be written.
    """
    path = Path(path)
    suffix = _suffix(path)
    if suffix == ".json":
        save_regions(replace(regions, geometry=regions.geometry or geometry), path)
        return []
    by_hand = [
        f"The {what} set by hand {verb} only in a .json of regions."
        for what, verb, value in (("baseline", "stays", regions.baseline_s), ("phases", "stay", regions.phases))
        if value is not None
    ]
    if suffix in (".roi", ".zip"):
        from napari_dainr.io.imagej import write_imagej

        write_imagej(regions, path, geometry)
        return by_hand + [
            f"{region.name}: ImageJ shows the outline within which the threshold chooses."
            for region in regions
            if region.kind == "threshold"
        ]
    from napari_dainr.io.labels import write_labels

    return by_hand + write_labels(regions, path, geometry, image_magnitude, baseline)


def import_regions(path: Path, geometry: PixelGrid) -> tuple[RegionSet, list[str]]:
    """Read regions from a file whose suffix says the format (:data:`REGION_FILES`).

    Parameters
    ----------
    path
        The file.
    geometry
        Of the series they shall lie on; all formats but JSON count its pixels.

    Returns
    -------
    RegionSet, list of str
        The regions, and what was left out or looks doubtful, one sentence each.

    Raises
    ------
    InputError
        If the file cannot be read, or is not what its suffix says.
    """
    path = Path(path)
    suffix = _suffix(path)
    if suffix == ".json":
        regions = load_regions(path)
        return regions, [] if (doubt := other_field(regions, geometry, path.name)) is None else [doubt]
    if suffix in (".roi", ".zip"):
        from napari_dainr.io.imagej import load_imagej

        return load_imagej(path, geometry)
    from napari_dainr.io.labels import load_labels

    return load_labels(path, geometry), []


def other_field(regions: RegionSet, geometry: PixelGrid, source: str) -> str | None:
    """One sentence if regions were drawn on another field of view than that of a series; None if not, or unknown."""
    if regions.geometry is None or regions.geometry.same_field(geometry):
        return None
    drawn, here = (" × ".join(f"{size:.0f}" for size in place.fov_mm) for place in (regions.geometry, geometry))
    return f"{source}: was drawn on a field of view of {drawn} mm, this series has {here} mm; check where they lie."
