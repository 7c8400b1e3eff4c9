"""Pictures of the report, drawn with matplotlib without a screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr import RESEARCH_USE
from napari_dainr.io.atomic import write_bytes
from napari_dainr.io.caption import white_level
from napari_dainr.io.figure_file import picture_bytes

__all__ = ["curves_figure", "frames_figure", "regions_figure", "section_figure", "sweep_figure", "two_frames"]

_DPI = 90
_COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#7a5195",
    "#4d4d4d",
    "#8c564b",
    "#b5bd00",
)
_ERROR_GAIN = 5


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Any, path: Path) -> None:
    """Write as a PNG of 256 colours: a page with many pictures stays small."""
    from PIL import Image, PngImagePlugin

    figure.supxlabel(RESEARCH_USE, fontsize=7, color="0.35")
    drawn = BytesIO()
    figure.canvas.print_png(drawn)
    with Image.open(drawn) as picture:
        small = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    note = PngImagePlugin.PngInfo()
    note.add_text("Description", RESEARCH_USE)

    stored = BytesIO()
    small.save(stored, "png", optimize=True, pnginfo=note)
    write_bytes(path, picture_bytes(stored.getvalue()))


def _legend(figure: Any, axis: Any) -> None:
    """One legend for all axes, to their right."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=8, frameon=False)


def _log_axis(axis: Any, values: Sequence[float]) -> None:
    """A logarithmic x axis with ticks that are read as numbers: 1, 2, 5, 10, …"""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = min(values) / 1.15, max(values) * 1.15
    wide = high / low > 3000
    steps = (1,) if wide else (1, 2, 5)
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    axis.set_xscale("log")
    axis.set_xlim(low, high)
    axis.xaxis.set_major_locator(FixedLocator([m * 10.0**d for d in decades for m in steps]))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_locator(NullLocator())


def two_frames(truth: NDArray[np.floating]) -> tuple[int, int]:
    """The first frame and the one that differs most from it: rest and contraction, or before and after contrast."""
    apart = ((truth - truth[0]) ** 2).sum(axis=(1, 2))
    return 0, int(apart.argmax())


def frames_figure(
    truth: NDArray[np.floating] | None,
    shown: Sequence[tuple[str, NDArray[np.floating]]],
    frames: Sequence[int],
    path: Path,
    title: str,
) -> None:
    """Images and absolute errors at some frames, as in Figs. 4, 5 and 8.

    Parameters
    ----------
    truth : (frame, y, x) or None
        Without it only images are shown.
    shown
        (label, (frame, y, x)), scaled to the truth.
    """
    columns = ([("Truth", truth)] if truth is not None else []) + list(shown)
    per_frame = 1 if truth is None else 2
    rows = per_frame * len(frames)
    height, width = columns[0][1].shape[1:]
    figure = _figure(1.5 * len(columns) + 0.3, 1.5 * rows * height / width + 0.75)
    axes = figure.subplots(rows, len(columns), squeeze=False)
    white = white_level(columns[0][1].astype(np.float32))
    peak = 1.0 if truth is None else float(truth.max())
    for column, (label, image) in enumerate(columns):
        for number, frame in enumerate(frames):
            axis = axes[per_frame * number, column]
            axis.imshow(image[frame], cmap="gray", vmin=0, vmax=white, interpolation="nearest")
            head = [label] if number == 0 else []
            if truth is not None and image is not truth:
                error = np.abs(image[frame] - truth[frame])
                head.append(f"{-20 * np.log10(max(float(np.sqrt((error**2).mean())), 1e-12) / peak):.1f} dB")
                below = axes[per_frame * number + 1, column]
                below.imshow(_ERROR_GAIN * error, cmap="magma", vmin=0, vmax=white, interpolation="nearest")
            axis.set_title("\n".join(head) or " ", fontsize=9)
            if column == 0:
                axis.set_ylabel(f"frame {frame + 1}", fontsize=9)
                if truth is not None:
                    axes[per_frame * number + 1, 0].set_ylabel(f"error × {_ERROR_GAIN}", fontsize=9)
    for row in range(rows):
        for column in range(len(columns)):
            axis = axes[row, column]
            axis.set_xticks([])
            axis.set_yticks([])
            for spine in axis.spines.values():
                spine.set_visible(False)
            if truth is not None and column == 0 and row % 2:
                axis.imshow(np.zeros((height, width)), cmap="magma", vmin=0, vmax=1)
    figure.suptitle(title, fontsize=10)
    _save(figure, path)


def curves_figure(curves: Mapping[str, Sequence[tuple[float, Mapping[str, Any]]]], path: Path, title: str) -> None:
    """Quality against seconds of fitting; a dot is a fit that has one step or is the end of it."""
    figure = _figure(9.0, 3.9)
    axes = figure.subplots(1, 2)
    for axis, name, unit in ((axes[0], "psnr_fit", "psnr_fit (dB)"), (axes[1], "ssim_fit", "ssim_fit")):
        for number, (label, points) in enumerate(curves.items()):
            colour = _COLOURS[number % len(_COLOURS)]
            x = [seconds for seconds, _ in points]
            y = [figures[name] for _, figures in points]
            axis.plot(x, y, color=colour, lw=1.4, ls="-" if number < len(_COLOURS) else "--", label=label)
            axis.plot(x[-1:], y[-1:], "o", color=colour, ms=4)
        axis.set_xlim(left=0)
        axis.set_xlabel("seconds of fitting", fontsize=9)
        axis.set_ylabel(unit, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.25, which="both")
    _legend(figure, axes[0])
    figure.suptitle(title, fontsize=10)
    _save(figure, path)


def section_figure(
    truth: NDArray[np.floating] | None,
    shown: Sequence[tuple[str, NDArray[np.floating]]],
    times_s: NDArray[np.floating],
    path: Path,
    title: str,
) -> None:
    """One image row over time for every series, as in Figs. 6 and 9: the row that is liveliest in the first of them.

    Parameters
    ----------
    truth : (frame, y, x) or None
    shown
        (label, (frame, y, x)), scaled to the truth, at the same times.
    times_s : (frame,)
        Frame centres, seconds.
    """
    panels = ([("Truth", truth)] if truth is not None else []) + list(shown)
    row = int(panels[0][1].var(axis=0).sum(axis=1).argmax())
    white = white_level(panels[0][1].astype(np.float32))
    columns = min(5, len(panels))
    rows = -(-len(panels) // columns)
    figure = _figure(2.0 * columns + 0.5, 1.75 * rows + 0.7)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    step = float(np.median(np.diff(times_s))) if len(times_s) > 1 else 1.0
    extent = (times_s[0] - step / 2, times_s[-1] + step / 2, panels[0][1].shape[2] - 0.5, -0.5)
    for axis, (label, image) in zip(axes, panels, strict=False):
        axis.imshow(
            image[:, row].T, cmap="gray", vmin=0, vmax=white, extent=extent, aspect="auto", interpolation="nearest"
        )
        axis.set_title(label, fontsize=9)
        axis.tick_params(labelsize=7)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    figure.supylabel("x (pixels)", fontsize=8)
    figure.suptitle(f"{title}: row {row} over time (s)", fontsize=10)
    _save(figure, path)


def regions_figure(
    times_s: NDArray[np.floating],
    true: Mapping[str, NDArray[np.floating]],
    found: Mapping[str, Mapping[str, NDArray[np.floating]]],
    path: Path,
    title: str,
) -> None:
    """Mean signal of each region over time, the truth in black, as in Fig. 7; ``found`` is label → region → curve."""
    figure = _figure(max(4.6, 3.3 * len(true)) + 1.4, 3.4)
    axes = figure.subplots(1, len(true), squeeze=False)[0]
    for axis, (region, curve) in zip(axes, true.items(), strict=True):
        axis.plot(times_s, curve, color="black", lw=2.2, label="Truth")
        for number, (label, curves) in enumerate(found.items()):
            style = "-" if number < len(_COLOURS) else "--"
            axis.plot(times_s, curves[region], style, color=_COLOURS[number % len(_COLOURS)], lw=1.1, label=label)
        axis.set_title(region, fontsize=9)
        axis.set_xlabel("time (s)", fontsize=9)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.25)
    axes[0].set_ylabel("mean signal", fontsize=9)
    _legend(figure, axes[0])
    figure.suptitle(title, fontsize=10)
    _save(figure, path)


def sweep_figure(
    sweeps: Mapping[str, Sequence[tuple[float, float, float]]], x_label: str, path: Path, title: str, x_log: bool = True
) -> None:
    """psnr_fit and ssim_fit against a setting; ``sweeps`` is label → (setting, psnr_fit, ssim_fit)."""
    figure = _figure(8.6, 3.4)
    axes = figure.subplots(1, 2)
    for axis, column, unit in ((axes[0], 1, "psnr_fit (dB)"), (axes[1], 2, "ssim_fit")):
        for number, (label, rows) in enumerate(sweeps.items()):
            colour = _COLOURS[number % len(_COLOURS)]
            axis.plot([r[0] for r in rows], [r[column] for r in rows], "o-", color=colour, lw=1.3, ms=4, label=label)
        if x_log:
            _log_axis(axis, [row[0] for rows in sweeps.values() for row in rows])
        axis.set_xlabel(x_label, fontsize=9)
        axis.set_ylabel(unit, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.25, which="both")
    _legend(figure, axes[0])
    figure.suptitle(title, fontsize=10)
    _save(figure, path)
