"""Regions as a NIfTI label mask that lies over the exported series, with a JSON file of names beside it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr import RESEARCH_USE
from napari_dainr.analysis.masks import Mask, region_mask, remark
from napari_dainr.analysis.outlines import mask_outline
from napari_dainr.analysis.pixel_grid import PixelGrid
from napari_dainr.analysis.regions import ROLES, Region, RegionSet
from napari_dainr.errors import InputError
from napari_dainr.io.atomic import atomic_files
from napari_dainr.io.nifti import keep_foreign, series_affine, sidecar

__all__ = ["load_labels", "write_labels"]

_MARK = "napari-dainr"
_MOST_LABELS = 1000
_MOST_BYTES = 500_000_000


def write_labels(
    regions: RegionSet,
    path: Path,
    geometry: PixelGrid,
    image_magnitude: NDArray[np.floating] | None = None,
    baseline: slice | None = None,
) -> list[str]:
    """Write a label per region: 1 for the first, 2 for the second, and so on; 0 for no region.

    A pixel has one label only. Where regions overlap, the later one in the list keeps the pixels.

    Parameters
    ----------
    regions
        At least one.
    path
        ``.nii`` or ``.nii.gz``; the names are written beside it, ``.json``.
    geometry
        Of the series over which the mask shall lie.
    image_magnitude, baseline
        For threshold regions, see :func:`napari_dainr.analysis.masks.region_mask`.

    Returns
    -------
    list of str
        One sentence for every region that is not all there: outside the image, without pixels, or overlapped.

    Raises
    ------
    InputError
        If there are no regions.
    ExportError
        If it cannot be written or does not read back the same, or a foreign file is in the place of the names.
    """
    import nibabel

    path = Path(path)
    if not len(regions):
        raise InputError(f"{path.name}: there are no regions to write; draw one.")
    beside = sidecar(path)
    keep_foreign(beside)
    labels, sizes, remarks = _label_image(regions, geometry, image_magnitude, baseline)
    volume = np.asfortranarray(labels.T[:, :, None])
    image = nibabel.Nifti1Image(volume, series_affine(geometry.shape, geometry.pixel_mm))
    image.header.set_xyzt_units("mm", "sec")
    image.header["descrip"] = RESEARCH_USE.encode("ascii")
    image.header.set_intent("label", name="regions")
    text = json.dumps(_facts(regions, geometry, labels, sizes), indent=1, ensure_ascii=False) + "\n"

    def write(folder: Path) -> None:
        data = image.to_bytes()
        packed = path.name.lower().endswith(".gz")
        (folder / path.name).write_bytes(gzip.compress(data, 6, mtime=0) if packed else data)
        (folder / beside.name).write_text(text, encoding="utf-8")

    def verify(folder: Path) -> None:
        if not np.array_equal(np.asarray(nibabel.load(folder / path.name).dataobj), volume):
            raise ValueError("the labels differ")
        if (folder / beside.name).read_text(encoding="utf-8") != text:
            raise ValueError("the names beside it differ")

    atomic_files([path, beside], write, verify, volume.nbytes + len(text) + 4096)
    return remarks


def _label_image(
    regions: RegionSet,
    geometry: PixelGrid,
    image_magnitude: NDArray[np.floating] | None,
    baseline: slice | None,
) -> tuple[NDArray[np.uint16], list[int], list[str]]:
    labels = np.zeros(geometry.shape, dtype=np.uint16)
    sizes, remarks = [], []
    for value, region in enumerate(regions, start=1):
        mask = region_mask(region, geometry, image_magnitude, baseline)
        sizes.append(mask.n)
        if mask.n == 0:
            remarks.append(remark(mask, region.name) or "")
        elif mask.clipped:
            remarks.append(f"{region.name}: a part of it lies outside the image and is not in the mask.")
        labels[mask.full()] = value
    for value, region in enumerate(regions, start=1):
        lost = sizes[value - 1] - int(np.count_nonzero(labels == value))
        if lost:
            remarks.append(f"{region.name}: {lost} of {sizes[value - 1]} pixels went to a region later in the list.")
    return labels, sizes, remarks


def _facts(regions: RegionSet, geometry: PixelGrid, labels: NDArray[np.uint16], sizes: list[int]) -> dict[str, Any]:
    return {
        "written_by": _MARK,
        "note": RESEARCH_USE,
        "axes": ["x", "y", "slice"],
        "geometry": geometry.to_facts(),
        "labels": [
            {
                "value": value,
                "name": region.name,
                "role": region.role,
                "colour": region.colour,
                "id": region.id,
                "arrival_s": region.arrival_s,
                "n_pixels_of_region": sizes[value - 1],
                "n_pixels_in_mask": int(np.count_nonzero(labels == value)),
            }
            for value, region in enumerate(regions, start=1)
        ],
    }


def load_labels(path: Path, geometry: PixelGrid) -> RegionSet:
    """Read a label mask: a polygon along the edges of its pixels for every label.

    Parameters
    ----------
    path
        ``.nii`` or ``.nii.gz`` of one slice; names and roles come from the ``.json`` beside it where there is one.
    geometry
        Of the series on which the regions shall lie; it must have as many pixels as the mask.

    Returns
    -------
    RegionSet
        Regions that give the mask again, pixel by pixel.

    Raises
    ------
    InputError
        If the file cannot be read, is of another size, or holds no label or something else than labels.
    """
    path = Path(path)
    labels = _read(path)
    if labels.shape != geometry.shape:
        raise InputError(
            f"{path.name}: has {labels.shape[0]} × {labels.shape[1]} pixels (y, x), the series "
            f"{geometry.shape[0]} × {geometry.shape[1]}; use a mask of the same series."
        )
    values = [int(value) for value in np.unique(labels) if value]
    if not values:
        raise InputError(f"{path.name}: holds no label, all pixels are 0; give another mask.")
    if len(values) > _MOST_LABELS:
        raise InputError(f"{path.name}: holds {len(values)} labels; it seems to be an image, not a mask.")
    names = _names(path)
    regions = []
    for value in values:
        outline = mask_outline(Mask.of(labels == value))
        assert outline is not None
        known = names.get(value, {})
        role = known.get("role")
        identity = {"id": known["id"]} if isinstance(known.get("id"), str) else {}
        arrival = known.get("arrival_s")
        regions.append(
            Region(
                vertices=geometry.to_mm(outline),
                kind="polygon",
                role=role if role in ROLES else "OTHER",
                name=str(known.get("name") or f"Label {value}"),
                arrival_s=arrival if isinstance(arrival, int | float) else None,
                **identity,
            )
        )
    try:
        return RegionSet(tuple(regions), geometry)
    except InputError as error:
        raise InputError(f"{sidecar(path).name}: {error}") from None


def _read(path: Path) -> NDArray[np.int64]:
    """(y, x) whole numbers, row 0 on top and column 0 on the left, as this program writes them."""
    import nibabel
    from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform

    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path.name}: is too large for a mask of one slice; give another.")
        image = nibabel.load(path)
        shape = tuple(int(n) for n in image.shape)
        if np.prod(shape, dtype=np.float64) > _MOST_BYTES or len([n for n in shape if n > 1]) > 2 or len(shape) < 2:
            raise InputError(f"{path.name}: has shape {shape}; a mask of one slice (x, y) is needed.")
        values = np.asarray(image.dataobj).reshape(*shape[:3], *[1] * (3 - len(shape[:3])))
        wanted = ornt_transform(io_orientation(image.affine), axcodes2ornt(("L", "P", "S")))
        volume = np.asarray(apply_orientation(values, wanted))
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path.name}: there is no such file; give a NIfTI mask.") from None
    except Exception as error:  # nibabel raises what it likes for damaged files, with the whole path in the text
        raise InputError(
            f"{path.name}: is not a NIfTI file that can be read ({type(error).__name__}); give another."
        ) from None
    if volume.dtype.kind not in "biuf" or not np.isfinite(volume).all() or (volume != np.rint(volume)).any():
        raise InputError(f"{path.name}: holds values that are not whole numbers; it seems to be an image, not a mask.")
    if (volume < 0).any() or volume.max(initial=0) > 2**31:
        raise InputError(f"{path.name}: holds labels below 0 or far too large; give a mask.")
    if volume.shape[2] != 1:
        raise InputError(f"{path.name}: has shape {volume.shape}; a mask of one slice (x, y) is needed.")
    return np.asarray(volume[:, :, 0].T, dtype=np.int64)


def _names(path: Path) -> dict[int, dict[str, Any]]:
    """Label → its entry in the file of names; none where there is no such file."""
    beside = sidecar(path)
    if not beside.is_file():
        return {}
    try:
        entries = json.loads(beside.read_text(encoding="utf-8"))["labels"]
        return {int(entry["value"]): dict(entry) for entry in entries}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{beside.name}: is not a file of label names ({type(error).__name__}); remove it or give the right one."
        ) from None
