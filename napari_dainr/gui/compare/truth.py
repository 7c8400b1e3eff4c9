"""A truth from a file as a layer that lies on a reconstruction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr.gui._layers import AXIS_LABELS, UNITS, display_limits
from napari_dainr.gui._time_layers import frame_times

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

__all__ = ["add_truth"]


def add_truth(
    viewer: ViewerModel, name: str, image: NDArray[Any], times_s: NDArray[np.float64] | None, like: Image | None
) -> Image:
    """Add (frame, y, x) as a layer of magnitudes.

    Where the file tells no times and there are as many frames as in ``like``, they are taken to be the same; pixels
    cover the field of view of ``like``.
    """
    magnitude = np.abs(image).astype(np.float32)
    keywords: dict[str, Any] = {"units": UNITS, "axis_labels": AXIS_LABELS}
    known = frame_times(like) if like is not None else None
    if times_s is None and known is not None and len(known) == len(magnitude):
        times_s = known
    if like is not None:
        size = np.asarray(like.data.shape[1:]) * like.scale[1:] / magnitude.shape[1:]
        odd_before, odd = np.asarray(like.data.shape[1:]) % 2, np.asarray(magnitude.shape[1:]) % 2
        # The pixel n // 2 of both in the middle of the field of view.
        shift = like.translate[1:] - 0.5 * odd_before * like.scale[1:] + 0.5 * odd * size
        keywords |= {"units": like.units}
    else:
        size, shift = np.ones(2), np.zeros(2)
    step = float(np.median(np.diff(times_s))) if times_s is not None and len(times_s) > 1 else 1.0
    start = float(times_s[0]) if times_s is not None else 0.0
    layer: Image = viewer.add_image(
        magnitude,
        name=f"truth · {name}",
        scale=(step, *size),
        translate=(start, *shift),
        contrast_limits=display_limits(magnitude),
        colormap="gray",
        **keywords,
    )
    return layer
