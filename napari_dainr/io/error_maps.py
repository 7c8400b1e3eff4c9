"""A figure of several series beside a reference: one frame of each, and its error below, enlarged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_dainr.errors import InputError
from napari_dainr.io.figure_file import write_figure_png

__all__ = ["error_figure"]

_DPI = 150


def error_figure(
    reference: tuple[str, NDArray[np.floating]],
    columns: Sequence[tuple[str, NDArray[np.floating], NDArray[np.floating]]],
    gain: float,
    pixel_mm: tuple[float, float],
    path: Path,
) -> None:
    """Write images of one frame above, absolute errors below.

    Parameters
    ----------
    reference : (label, (y, x))
        What the errors are against, magnitude.
    columns : (label, (y, x), (y, x))
        Per series the magnitude and its difference from the reference, not enlarged.
    gain
        k; errors are shown with a window k times narrower than the images.
    pixel_mm
        Size of a pixel (y, x), millimetres, for its proportion.
    path
        A ``.png`` file.

    Raises
    ------
    InputError
        If there is no series or the gain is not above 0.
    ExportError
        If it cannot be written or does not read back.
    """
    from matplotlib.figure import Figure

    path = Path(path)
    if not columns or not gain > 0:
        raise InputError(f"{path.name}: at least one series and a gain above 0 are needed, not {gain:g}.")
    white = float(np.percentile(reference[1], 99.9)) or float(reference[1].max()) or 1.0
    aspect = pixel_mm[0] / pixel_mm[1]
    shape = reference[1].shape
    width = 2.3
    height = width * shape[0] * aspect / shape[1]
    figure = Figure(figsize=(width * (len(columns) + 1) + 0.6, 2 * height + 1.1), dpi=_DPI, layout="constrained")
    axes = figure.subplots(2, len(columns) + 1, squeeze=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    images = [reference, *((label, image) for label, image, _ in columns)]
    for axis, (label, image) in zip(axes[0], images, strict=True):
        shown = axis.imshow(image, cmap="gray", vmin=0, vmax=white, aspect=aspect, interpolation="nearest")
        axis.set_title(label, fontsize=9)
    for axis, (_, _, difference) in zip(axes[1, 1:], columns, strict=True):
        errors = axis.imshow(
            np.abs(difference), cmap="inferno", vmin=0, vmax=white / gain, aspect=aspect, interpolation="nearest"
        )
        axis.set_title(f"|error| × {gain:g}", fontsize=9)
    for row, mesh, label in ((0, shown, "magnitude (a.u.)"), (1, errors, "absolute error (a.u.)")):
        bar = figure.colorbar(mesh, ax=list(axes[row]), fraction=0.03, pad=0.01, extend="max")
        bar.set_label(label, fontsize=8)
        bar.ax.tick_params(labelsize=7)
    write_figure_png(figure, path)
