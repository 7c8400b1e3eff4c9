"""Strips through space and time on disk: arrays, and a figure of several under each other with one window."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr import RESEARCH_USE
from napari_dainr.analysis.sections import Strip
from napari_dainr.errors import ExportError, InputError
from napari_dainr.io.atomic import atomic_files
from napari_dainr.io.figure_file import write_figure_png
from napari_dainr.io.numpy_file import save_arrays
from napari_dainr.io.pictures import frame_edges

__all__ = ["STRIP_FILES", "write_strips"]

STRIP_FILES: dict[str, str] = {
    ".png": "figure, millimetres against seconds, all series with one window",
    ".npz": "NumPy arrays of one series: values, distance, times, interpolated frames",
    ".npy": "NumPy array (frame, point) of one series, with a .json of distances and times beside it",
}
"""Suffix of each format → what it is."""
_DPI = 150
_MARK = "napari-dainr strip"


def write_strips(strips: Sequence[tuple[str, Strip]], path: Path, window: tuple[float, float] | None = None) -> None:
    """Write strips to a file whose suffix says the format (:data:`STRIP_FILES`).

    Parameters
    ----------
    strips
        (name of the reconstruction, strip); several for ``.png`` only.
    path
        The file.
    window
        Values shown black and white in a figure; 0 and the 99.9th percentile of all strips by default.

    Raises
    ------
    InputError
        If the suffix is not known, or a format for one strip is asked for several.
    ExportError
        If it cannot be written or does not read back the same.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in STRIP_FILES:
        raise InputError(f"{path.name}: cannot tell the format to write; end the name in {', '.join(STRIP_FILES)}.")
    if not strips:
        raise InputError(f"{path.name}: there is no strip to write; give at least one series.")
    if suffix == ".png":
        _write_png(strips, path, window)
        return
    if len(strips) > 1:
        raise InputError(f"{path.name}: {suffix} holds one series, not {len(strips)}; give one, or write a .png.")
    name, strip = strips[0]
    if suffix == ".npz":
        _write_npz(name, strip, path)
    else:
        _write_npy(name, strip, path)


def _write_npz(name: str, strip: Strip, path: Path) -> None:
    arrays: dict[str, NDArray[Any]] = {
        "values": strip.values,
        "distance_mm": strip.distance_mm,
        "times_s": strip.times_s,
        "interpolated": strip.interpolated,
        "vertices_mm": strip.vertices_mm,
        "recon": np.asarray(name),
        "note": np.asarray(RESEARCH_USE),
    }
    save_arrays(path, arrays)


def _write_npy(name: str, strip: Strip, path: Path) -> None:
    beside = path.with_suffix(".json")
    if beside.exists():
        try:
            ours = json.loads(beside.read_text(encoding="utf-8"))["written_by"] == _MARK
        except (OSError, ValueError, KeyError, TypeError):
            ours = False
        if not ours:
            raise ExportError(f"{beside.name}: would be replaced by the facts of the strip; choose another name.")
    facts = {
        "written_by": _MARK,
        "note": RESEARCH_USE,
        "recon": name,
        "axes": ["frame", "point"],
        "intensity": "magnitude in arbitrary units; NaN where the line leaves the image",
        "distance_mm": strip.distance_mm.tolist(),
        "times_s": strip.times_s.tolist(),
        "interpolated": strip.interpolated.tolist(),
        "vertices_mm": strip.vertices_mm.tolist(),
    }

    text = json.dumps(facts, indent=1, allow_nan=False) + "\n"

    def write(folder: Path) -> None:
        with (folder / path.name).open("xb") as file:
            np.save(file, strip.values, allow_pickle=False)
        (folder / beside.name).write_text(text, encoding="utf-8")

    def verify(folder: Path) -> None:
        if not np.array_equal(np.load(folder / path.name, allow_pickle=False), strip.values, equal_nan=True):
            raise ValueError("the samples differ")
        if (folder / beside.name).read_text(encoding="utf-8") != text:
            raise ValueError("the facts beside it differ")

    atomic_files([path, beside], write, verify, strip.values.nbytes + len(text) + 128)


def _step(times_s: NDArray[np.float64]) -> float:
    return float(np.median(np.diff(times_s))) if len(times_s) > 1 else 1.0


def _write_png(strips: Sequence[tuple[str, Strip]], path: Path, window: tuple[float, float] | None) -> None:
    from matplotlib.figure import Figure

    finite = np.concatenate([strip.values[np.isfinite(strip.values)] for _, strip in strips])
    white = float(np.percentile(finite, 99.9)) if finite.size else 0.0
    black, white = window or (0.0, white if white > 0 else 1.0)
    figure = Figure(figsize=(7.0, 0.9 + 1.7 * len(strips)), dpi=_DPI, layout="constrained")
    axes = figure.subplots(len(strips), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axis, (name, strip) in zip(axes, strips, strict=True):
        half = strip.distance_mm[1] / 2
        edges = np.append(strip.distance_mm - half, strip.distance_mm[-1] + half)
        shades = np.ma.masked_invalid(strip.values.T)
        axis.set_facecolor("0.35")  # where the line leaves the image
        axis.pcolormesh(
            frame_edges(strip.times_s, _step(strip.times_s)), edges, shades, cmap="gray", vmin=black, vmax=white
        )
        drawn = int(strip.interpolated.sum())
        count = f" ({drawn} of {len(strip.times_s)} frames interpolated)" if drawn else ""
        axis.set_title(name + count, fontsize=10, loc="left")
        axis.set_ylabel("along line (mm)", fontsize=9)
        axis.tick_params(labelsize=8)
        axis.set_ylim(edges[-1], edges[0])
    axes[-1].set_xlabel("time (s)", fontsize=9)
    bar = figure.colorbar(axes[-1].collections[0], ax=list(axes), fraction=0.03, pad=0.015, aspect=40, extend="max")
    bar.set_label("magnitude (a.u.)", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    write_figure_png(figure, path)
