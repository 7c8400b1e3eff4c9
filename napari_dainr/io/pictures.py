"""Pictures of series: cine GIFs and space–time sections, drawn from arrays without any display.

Every picture bears the research-use line, one grey window for all its frames, and marks on frames that no k-space was
measured for.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from math import ceil, log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr import RESEARCH_USE
from napari_dainr.data import ImageSeries
from napari_dainr.errors import InputError
from napari_dainr.io.atomic import atomic_write

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["frame_durations_ms", "side_by_side_gif", "write_gif", "xt_figure"]

_MIN_WIDTH = 290
"""Pixels that the research-use line takes in the built-in font, with margins."""

_BAND = 14
"""Height of a line of text, pixels."""

MAX_FPS = 50.0
"""GIF counts in 10 ms, and players slow down frames shorter than 20 ms."""


def frame_durations_ms(n_frames: int, fps: float) -> list[int]:
    """Whole multiples of 10 ms, at least 20, that add up to ``n_frames / fps`` to within 5 ms."""
    if not 0.05 <= fps <= MAX_FPS:
        raise InputError(f"fps: is {fps:g}; a GIF can show 0.05 to {MAX_FPS:g} frames per second.")
    ends = [10 * round(100 * i / fps) for i in range(n_frames + 1)]
    return [after - before for before, after in itertools.pairwise(ends)]


def _window(magnitudes: Sequence[NDArray[np.float32]]) -> float:
    """Top of the grey scale: the highest 99.8th percentile of any series."""
    top = max(float(np.percentile(m, 99.8)) for m in magnitudes)
    return top if np.isfinite(top) and top > 0 else 1.0


def _grey(magnitude: NDArray[np.float32], top: float, size: tuple[int, int]) -> NDArray[np.uint8]:
    """(y, x) → 8 bit, enlarged pixel by pixel to ``size`` (y, x)."""
    grey: NDArray[np.uint8] = np.rint(np.clip(magnitude / top, 0, 1) * 255).astype(np.uint8)
    rows, columns = (np.arange(n) * old // n for n, old in zip(size, grey.shape, strict=True))
    return grey[np.ix_(rows, columns)]


def _time_label(series: ImageSeries) -> list[str]:
    digits = min(6, max(1, ceil(-log10(max(series.frame_step_s, 1e-6))) + 1))
    return [f"{time:.{digits}f} s" for time in series.times_s]


def _tile_size(series: ImageSeries, n_tiles: int) -> tuple[int, int]:
    """(y, x) on the canvas: true aspect in mm, whole-number enlargement along x, wide enough for the text."""
    _, ny, nx = series.image.shape
    width = nx * max(1, ceil(_MIN_WIDTH / (n_tiles * nx)))
    height = max(1, round(ny * series.pixel_mm[0] / (nx * series.pixel_mm[1]) * width))
    return height, width


def _frames(panels: Sequence[tuple[str, ImageSeries]]) -> list[Image]:
    """One canvas per frame of the first series; the others show their frame nearest in time."""
    from PIL import Image as pil
    from PIL import ImageDraw

    magnitudes = [series.magnitude for _, series in panels]
    for (label, _), magnitude in zip(panels, magnitudes, strict=True):
        if magnitude.size == 0 or not np.isfinite(magnitude).all():
            raise InputError(f"{label or 'series'}: is empty or holds NaN; it cannot be drawn.")
    top = _window(magnitudes)
    reference = panels[0][1]
    size = _tile_size(reference, len(panels))
    head = _BAND if any(label for label, _ in panels) else 0
    times = _time_label(reference)
    nearest = [np.abs(s.times_s[None, :] - reference.times_s[:, None]).argmin(axis=1) for _, s in panels]
    frames = []
    for index in range(reference.n_frames):
        canvas = pil.new("L", (size[1] * len(panels), head + size[0] + 2 * _BAND), 0)
        draw = ImageDraw.Draw(canvas)
        for tile, ((label, series), magnitude) in enumerate(zip(panels, magnitudes, strict=True)):
            left, shown = tile * size[1], int(nearest[tile][index])
            canvas.paste(pil.fromarray(_grey(magnitude[shown], top, size)), (left, head))
            if label:
                draw.text((left + 3, 1), label, fill=255)
            if series.interpolated[shown]:
                right = left + size[1] - 1
                draw.polygon([(right, head), (right - 12, head), (right, head + 12)], fill=255, outline=0)
        bottom = head + size[0]
        note = times[index] + ("   (corner mark: interpolated)" if any(s.interpolated.any() for _, s in panels) else "")
        draw.text((3, bottom + 1), note, fill=255)
        draw.text((3, bottom + _BAND + 1), RESEARCH_USE, fill=200)
        frames.append(canvas)
    return frames


def _save_gif(frames: list[Image], path: Path, fps: float) -> None:
    from PIL import Image as pil

    durations = frame_durations_ms(len(frames), fps)
    # Pillow merges a frame into the one before if no pixel differs; the last row is black, and there it may tell
    # neighbours apart by a grey level that nobody sees.
    for index, frame in enumerate(frames):
        frame.putpixel((0, frame.height - 1), index % 2)

    def write(temporary: Path) -> None:
        frames[0].save(
            temporary, format="GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=False
        )

    def verify(temporary: Path) -> None:
        with pil.open(temporary) as again:
            count: int = getattr(again, "n_frames", 1)
            if count != len(frames) or again.size != frames[0].size:
                raise ValueError(f"{count} frames of {again.size} instead of {len(frames)} of {frames[0].size}")
            total = 0
            for index in range(count):
                again.seek(index)
                again.load()
                total += int(again.info.get("duration", 0))
        if len(frames) > 1 and total != sum(durations):
            raise ValueError(f"it lasts {total} ms instead of {sum(durations)} ms")

    atomic_write(path, write, verify, sum(frame.width * frame.height for frame in frames))


def write_gif(series: ImageSeries, path: Path, fps: float = 10.0) -> None:
    """A cine of the magnitude with times, research-use line and marks on interpolated frames.

    Raises
    ------
    InputError
        For a frame rate that GIF cannot hold, or a series with NaN.
    ExportError
        If it cannot be written.
    """
    frame_durations_ms(1, fps)
    _save_gif(_frames([("", series)]), path, fps)


def side_by_side_gif(series: Sequence[tuple[str, ImageSeries]], path: Path, fps: float = 10.0) -> None:
    """Several series next to each other, labelled, at the times of the first, in one grey window.

    The series come from the same k-space and so share their unit.
    """
    if not series:
        raise InputError("series: none given; give at least one to draw.")
    frame_durations_ms(1, fps)
    _save_gif(_frames(series), Path(path), fps)


def _liveliest_row(magnitude: NDArray[np.float32]) -> int:
    """The image row that changes most over time."""
    return int(magnitude.std(axis=0).sum(axis=1).argmax())


def _edges(centres: NDArray[np.float64], step: float) -> tuple[float, float]:
    return float(centres[0] - step / 2), float(centres[-1] + step / 2)


def xt_figure(series: Sequence[tuple[str, ImageSeries]], truth: NDArray[Any] | None, path: Path) -> None:
    """Space–time sections of several series under each other, along the row that changes most, in one grey window.

    Parameters
    ----------
    series
        Labels and series of one field of view.
    truth : (frame, y, x) or None
        Real or complex, at the times of the first series; scaled to it by least squares (by percentile where the
        sizes differ).
    path
        Picture to write; the suffix may be any that matplotlib knows.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not series:
        raise InputError("series: none given; give at least one to draw.")
    path = Path(path)
    first = series[0][1]
    height_mm = first.image.shape[1] * first.pixel_mm[0]
    strips = [(label, s.magnitude, s.times_s, s.frame_step_s, s.pixel_mm[1]) for label, s in series]
    if truth is not None:
        strips.insert(0, _truth_strip(np.abs(truth), first))
    guide = strips[0][1]
    position = (_liveliest_row(guide) + 0.5) / guide.shape[1]
    figure = Figure(figsize=(7, 0.6 + 1.7 * len(strips)), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    top = _window([magnitude for _, magnitude, *_ in strips])
    axes = figure.subplots(len(strips), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for ax, (label, magnitude, times, step, pixel_x) in zip(axes, strips, strict=True):
        row = min(int(position * magnitude.shape[1]), magnitude.shape[1] - 1)
        width_mm = magnitude.shape[2] * pixel_x
        extent = (*_edges(times, step), width_mm, 0.0)
        strip = magnitude[:, row].T
        ax.imshow(strip, cmap="gray", vmin=0, vmax=top, aspect="auto", interpolation="nearest", extent=extent)
        ax.set_title(label, loc="left", fontsize=9)
        ax.set_ylabel("x (mm)", fontsize=8)
        ax.tick_params(labelsize=8)
    axes[-1].set_xlabel("time (s)", fontsize=8)
    figure.suptitle(f"Section over time at y = {position * height_mm:.0f} mm. {RESEARCH_USE}", fontsize=8)

    def verify(temporary: Path) -> None:
        if temporary.suffix.lower() == ".png":
            from PIL import Image as pil

            with pil.open(temporary) as again:
                again.load()
        elif temporary.stat().st_size == 0:
            raise ValueError("it is empty")

    atomic_write(path, lambda temporary: canvas.print_figure(temporary, dpi=150), verify, 4 << 20)


def _truth_strip(
    truth: NDArray[Any], first: ImageSeries
) -> tuple[str, NDArray[np.float32], NDArray[np.float64], float, float]:
    if truth.ndim != 3 or truth.shape[0] != first.n_frames:
        raise InputError(f"truth: is {truth.shape}, but the series holds {first.n_frames} frames; give one per frame.")
    recon = first.magnitude
    if truth.shape == recon.shape:
        factor = float((truth * recon).sum(dtype=np.float64)) / max(float((truth**2).sum(dtype=np.float64)), 1e-30)
    else:
        factor = float(np.percentile(recon, 99.0)) / max(float(np.percentile(truth, 99.0)), 1e-30)
    pixel_x = first.pixel_mm[1] * first.image.shape[2] / truth.shape[2]
    return "truth", (factor * truth).astype(np.float32), first.times_s, first.frame_step_s, pixel_x
