"""A series as OME-Zarr 0.5: a folder with one plain chunk per frame.

Zarr v3 without compression is JSON and raw numbers (https://zarr-specs.readthedocs.io/en/latest/v3/core/), so nothing
but this file is needed to write it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from napari_dainr.data import ImageSeries
from napari_dainr.io.atomic import atomic_folder
from napari_dainr.io.facts import WRITTEN_BY, facts_text, series_facts

__all__ = ["write_ome_zarr"]

_META = "zarr.json"
_ARRAY = "0"


def write_ome_zarr(series: ImageSeries, path: Path) -> None:
    """Write magnitudes, float32, axes (t, y, x); ``path`` becomes a folder.

    ``scale`` is (seconds per frame, y mm, x mm), ``translation`` the time of the first frame. Where the slice's place
    is known, ``translation`` also holds pixel (0, 0) along the image's own axes, mm; the format knows no rotation, so
    the whole is ``plane_lps``. That, exact times, interpolated frames and the note are attributes under
    ``napari-dainr``. A chunk that gets lost reads as NaN, not as zero.

    Raises
    ------
    ExportError
        If it cannot be written, does not read back the same, or something else is in its place.
    """
    path = Path(path)
    magnitude = series.magnitude.astype("<f4")
    group = facts_text(_group(series), path.name)
    array = facts_text(_array(magnitude.shape), path.name)

    def write(folder: Path) -> None:
        (folder / _ARRAY / "c").mkdir(parents=True)
        (folder / _META).write_text(group, encoding="utf-8")
        (folder / _ARRAY / _META).write_text(array, encoding="utf-8")
        for number, frame in enumerate(magnitude):
            chunk = _chunk(folder, number)
            chunk.parent.mkdir(parents=True)
            chunk.write_bytes(frame.tobytes())

    def verify(folder: Path) -> None:
        for text, file in ((group, folder / _META), (array, folder / _ARRAY / _META)):
            if json.loads(file.read_text(encoding="utf-8")) != json.loads(text):
                raise ValueError("the facts differ")
        for number, frame in enumerate(magnitude):
            if not np.array_equal(np.fromfile(_chunk(folder, number), "<f4"), frame.ravel()):
                raise ValueError("the samples differ")

    # A file of its own takes whole blocks of the disk.
    needed = magnitude.nbytes + 3 * 4096 * len(magnitude) + len(group) + len(array)
    atomic_folder(path, write, verify, needed, ours=_is_ours)


def _chunk(folder: Path, frame: int) -> Path:
    """The chunk (frame, 0, 0)."""
    return folder / _ARRAY / "c" / str(frame) / "0" / "0"


def _is_ours(folder: Path) -> bool:
    try:
        if not any(folder.iterdir()):
            return True
        # Labels or other images that someone added are not ours to remove.
        if sorted(file.name for file in folder.iterdir()) != sorted([_ARRAY, _META]):
            return False
        attributes = json.loads((folder / _META).read_text(encoding="utf-8"))["attributes"]
        return bool(attributes[WRITTEN_BY]["written_by"] == WRITTEN_BY)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _group(series: ImageSeries) -> dict[str, Any]:
    """The root: which axes there are, and what they measure (https://ngff.openmicroscopy.org/0.5/)."""
    corner = [0.0, 0.0]
    if series.plane is not None:
        at = series.plane.corner_mm((series.image.shape[1], series.image.shape[2]), series.pixel_mm)
        corner = [float(at @ series.plane.along_y), float(at @ series.plane.along_x)]
    scale = [series.frame_step_s, *(float(size) for size in series.pixel_mm)]
    transformations = [
        {"type": "scale", "scale": scale},
        {"type": "translation", "translation": [float(series.times_s[0]), *corner]},
    ]
    multiscale = {
        "name": series.method,
        "axes": [
            {"name": "t", "type": "time", "unit": "second"},
            {"name": "y", "type": "space", "unit": "millimeter"},
            {"name": "x", "type": "space", "unit": "millimeter"},
        ],
        "datasets": [{"path": _ARRAY, "coordinateTransformations": transformations}],
    }
    facts = series_facts(series, "magnitude")
    attributes = {"ome": {"version": "0.5", "multiscales": [multiscale]}, WRITTEN_BY: facts}
    return {"zarr_format": 3, "node_type": "group", "attributes": attributes}


def _array(shape: tuple[int, ...]) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": "float32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, *shape[1:]]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "NaN",
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        "attributes": {},
        "dimension_names": ["t", "y", "x"],
    }
