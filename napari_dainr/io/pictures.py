"""Pictures that compare series: an animation side by side, and a position–time figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_dainr import RESEARCH_USE
from napari_dainr.data import ImageSeries
from napari_dainr.errors import InputError
from napari_dainr.io.caption import above_and_below, enlargement, grey, white_level
from napari_dainr.io.figure_file import save_figure
from napari_dainr.io.gif import frame_delays_ms, save_animation, step_of

__all__ = ["frame_edges", "side_by_side_gif", "xt_figure"]

_DPI = 150


def _need_series(series: list[tuple[str, ImageSeries]], name: str) -> None:
    if not series:
        raise InputError(f"{name}: there is no series to show; give at least one.")
    for label, one in series:
        if not one.image.size or not np.isfinite(one.image).all():
            raise InputError(f"{name}: {label} is empty or holds NaN or Inf; leave it out.")


def side_by_side_gif(series: list[tuple[str, ImageSeries]], path: Path, fps: float) -> None:
    """Write series of the same frames next to each other, each scaled by its own 99.9th percentile.

    Parameters
    ----------
    series
        (label, series); all with the same shape and times.
    path
        A ``.gif`` file.
    fps
        Frames per second, 50 at most.

    Raises
    ------
    InputError
        If there is no series, they do not match, or no animation can have that speed.
    ExportError
        If it cannot be written or does not read back the same.
    """
    path = Path(path)
    _need_series(series, path.name)
    step_s = step_of(fps, path.name)
    first_label, first = series[0]
    for label, other in series[1:]:
        if other.image.shape != first.image.shape:
            raise InputError(
                f"{path.name}: {label} is {other.image.shape} (frame, y, x) and {first_label} {first.image.shape}; "
                "show series of the same size."
            )
        if not np.allclose(other.times_s, first.times_s, rtol=0, atol=0.1 * first.frame_step_s):
            raise InputError(f"{path.name}: {label} and {first_label} have other times; show series of the same times.")
    factors = enlargement(first.image.shape, first.pixel_mm)
    panels = []
    for _, one in series:
        magnitude = one.magnitude
        white = white_level(magnitude)
        panels.append([grey(frame, white, factors) for frame in magnitude])
    captions = []
    for number, time in enumerate(first.times_s):
        drawn = [label for label, one in series if one.interpolated[number]]
        state = f"   interpolated: {', '.join(drawn)}" if drawn else ""
        captions.append([f"t = {time:.3f} s   frame {number + 1}/{first.n_frames}{state}", RESEARCH_USE])
    pictures = above_and_below(panels, [label for label, _ in series], captions)
    save_animation(pictures, frame_delays_ms(first.n_frames, step_s), path)


def _liveliest_row(magnitude: NDArray[np.floating]) -> int:
    """Image row whose pixels vary most over time; the middle one if nothing moves."""
    variance = np.nan_to_num(magnitude.astype(np.float64)).var(axis=0).sum(axis=1)
    return int(variance.argmax()) if variance.max() > 0 else magnitude.shape[1] // 2


def frame_edges(times_s: NDArray[np.float64], step_s: float) -> NDArray[np.float64]:
    """Borders of frames: half-way between their centres."""
    middle = (times_s[1:] + times_s[:-1]) / 2
    return np.concatenate([[times_s[0] - step_s / 2], middle, [times_s[-1] + step_s / 2]])


def xt_figure(series: list[tuple[str, ImageSeries]], truth: NDArray[np.floating] | None, path: Path) -> None:
    """Write a figure of one image row over time, one strip per series, the truth on top.

    The row is the one with the largest temporal variance, of the truth or else of the first series. Each strip is
    scaled by the 99.9th percentile of its whole series, and all have one window.

    Parameters
    ----------
    series
        (label, series); all with the same image size.
    truth : (frame, y, x) magnitude, or None
        At the times of the first series.
    path
        A ``.png`` file.

    Raises
    ------
    InputError
        If there is no series, they do not match, or the suffix is another one.
    ExportError
        If it cannot be written or does not read back.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    path = Path(path)
    _need_series(series, path.name)
    if path.suffix.lower() != ".png":
        raise InputError(f"{path.name}: the figure is written as PNG; end the name in .png.")
    first = series[0][1]
    size = first.image.shape[1:]
    if truth is not None and truth.shape != first.image.shape:
        raise InputError(
            f"{path.name}: the truth is {truth.shape}, the first series {first.image.shape}; they must match."
        )
    strips: list[tuple[str, NDArray[np.float32], ImageSeries]] = []
    if truth is not None:
        strips.append(("Truth", np.abs(truth).astype(np.float32), first))
    for label, one in series:
        if one.image.shape[1:] != size:
            raise InputError(f"{path.name}: {label} has another image size than {series[0][0]}; they must match.")
        drawn = int(one.interpolated.sum())
        strips.append(
            (f"{label} ({drawn} of {one.n_frames} frames interpolated)" if drawn else label, one.magnitude, one)
        )
    row = _liveliest_row(strips[0][1])

    figure = Figure(figsize=(7.0, 0.9 + 1.55 * len(strips)), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(strips), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axis, (title, magnitude, one) in zip(axes, strips, strict=True):
        x_mm = (np.arange(size[1] + 1) - 0.5 - size[1] // 2) * one.pixel_mm[1]
        line = magnitude[:, row, :].T / white_level(magnitude)
        mesh = axis.pcolormesh(frame_edges(one.times_s, one.frame_step_s), x_mm, line, cmap="gray", vmin=0, vmax=1)
        axis.set_title(title, fontsize=10, loc="left")
        axis.set_ylabel("x (mm)", fontsize=9)
        axis.tick_params(labelsize=8)
        axis.set_ylim(x_mm[-1], x_mm[0])
    axes[-1].set_xlabel("time (s)", fontsize=9)
    bar = figure.colorbar(mesh, ax=list(axes), fraction=0.03, pad=0.015, aspect=40, extend="max")
    bar.set_label("relative magnitude", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    y_mm = (row - size[0] // 2) * first.pixel_mm[0]
    figure.suptitle(f"One image row over time: row {row}, y = {y_mm:.1f} mm".replace("-", "−"), fontsize=11)
    figure.supxlabel(RESEARCH_USE, fontsize=8, color="0.25")
    save_figure(figure, path)
