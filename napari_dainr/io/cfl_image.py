"""A series as BART's pair of files: ``.cfl`` holds the numbers, ``.hdr`` their sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_dainr.data import ImageSeries
from napari_dainr.io.atomic import atomic_files
from napari_dainr.io.facts import WRITTEN_BY, facts_text, keep_raw_data, series_facts

__all__ = ["TIME", "write_cfl"]

DIMENSIONS = 16
TIME = 10
"""BART's axis of time; x is axis 0 and y axis 1."""


def write_cfl(series: ImageSeries, path: Path) -> None:
    """Write complex64, axes x (0), y (1), time (10), and the header beside it.

    BART has no place for times and sizes; they are one line of JSON in the header under ``# Facts``, which BART skips.

    Raises
    ------
    ExportError
        If it cannot be written, does not read back the same, or raw data is in its place.
    """
    path = Path(path)
    beside = path.with_suffix(".hdr")
    for file in (path, beside):  # only a pair of ours is replaced
        keep_raw_data(file, f"# Creator\n{WRITTEN_BY}\n".encode(), marked=beside)
    # The first axis is the fastest: that is (frame, y, x) as it lies in memory.
    image = np.ascontiguousarray(series.image, dtype="<c8")
    sizes = [1] * DIMENSIONS
    sizes[TIME], sizes[1], sizes[0] = image.shape
    facts = facts_text(series_facts(series, "complex image"), path.name, indent=None)
    text = f"# Dimensions\n{' '.join(map(str, sizes))} \n# Creator\n{WRITTEN_BY}\n# Facts\n{facts}\n"

    def write(folder: Path) -> None:
        with (folder / path.name).open("xb") as file:
            file.write(image.data)
        (folder / beside.name).write_text(text, encoding="ascii")

    def verify(folder: Path) -> None:
        lines = (folder / beside.name).read_text(encoding="ascii").splitlines()
        shape = tuple(int(size) for size in lines[1].split())
        found = np.fromfile(folder / path.name, "<c8").reshape(shape, order="F")
        if not np.array_equal(found.reshape(shape[0], shape[1], shape[TIME], order="F").T, image):
            raise ValueError("the samples differ")
        if lines != text.splitlines():
            raise ValueError("the header differs")

    atomic_files([path, beside], write, verify, image.nbytes + len(text))
