"""Series side by side: whether they can be compared, difference and error maps, and a table of scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_dainr.data import ImageSeries
from napari_dainr.errors import InputError
from napari_dainr.metrics import fit_factor, score

__all__ = ["SCORES", "Pair", "Row", "difference_maps", "metric_table", "pair", "why_not_comparable"]

SCORES: dict[str, str] = {
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "psnr_fit": "PSNR, fitted (dB)",
    "ssim_fit": "SSIM, fitted",
    "nrmse_fit": "NRMSE, fitted",
}
"""Key of a score → its title; see ``napari_dainr.metrics``."""

_SAME_TIME = 0.1
_SAME_PIXEL = 1e-3


@dataclass(frozen=True, eq=False)
class Pair:
    """Frames of two series that show the same times.

    Parameters
    ----------
    first, second : (n,) int
        Frame of the first and of the second series.
    """

    first: NDArray[np.intp]
    second: NDArray[np.intp]


def why_not_comparable(a: ImageSeries, b: ImageSeries) -> str | None:
    """One sentence that says why two series cannot be compared pixel by pixel, or None if they can."""
    if a.image.shape[1:] != b.image.shape[1:]:
        return (
            f"{a.method} has images of {_size(a)} pixels and {b.method} of {_size(b)}; "
            "draw one of them again at the scale of the other."
        )
    if not np.allclose(a.pixel_mm, b.pixel_mm, rtol=_SAME_PIXEL):
        return (
            f"pixels are {_pixel(a)} mm in {a.method} and {_pixel(b)} mm in {b.method}; "
            "compare series of the same field of view."
        )
    if not pair(a, b).first.size:
        return (
            f"{a.method} and {b.method} have no frame at the same time; "
            "reconstruct both with the same spokes per frame, or draw one again."
        )
    return None


def _size(series: ImageSeries) -> str:
    return " × ".join(str(n) for n in series.image.shape[1:])


def _pixel(series: ImageSeries) -> str:
    return " × ".join(f"{size:.3g}" for size in series.pixel_mm)


def pair(a: ImageSeries, b: ImageSeries) -> Pair:
    """Frames whose times agree within a tenth of the shorter frame step; each frame at most once.

    So a series drawn between frames is compared with a measured one at the measured times.
    """
    if not a.n_frames or not b.n_frames:
        return Pair(np.zeros(0, np.intp), np.zeros(0, np.intp))
    if a.n_frames == b.n_frames == 1:
        return Pair(np.zeros(1, np.intp), np.zeros(1, np.intp))
    tolerance = _SAME_TIME * min(a.frame_step_s, b.frame_step_s)
    right = np.searchsorted(b.times_s, a.times_s).clip(1, max(b.n_frames - 1, 1))
    left = right - 1
    right = np.minimum(right, b.n_frames - 1)
    nearest = np.where(np.abs(b.times_s[right] - a.times_s) < np.abs(b.times_s[left] - a.times_s), right, left)
    first = np.flatnonzero(np.abs(b.times_s[nearest] - a.times_s) <= tolerance)
    return Pair(first.astype(np.intp), nearest[first].astype(np.intp))


def difference_maps(
    image_magnitude: NDArray[np.floating],
    reference: NDArray[np.floating],
    gain: float = 1.0,
    fit: bool = True,
) -> NDArray[np.float32]:
    """Difference from a reference, enlarged.

    Parameters
    ----------
    image_magnitude, reference : (frame, y, x)
        Magnitudes of the same frames.
    gain
        k; the difference is multiplied by it.
    fit
        Scale the image to the reference by one least-squares factor first, as the fitted scores do; methods have
        slightly different scales, and without it that is all one sees.

    Returns
    -------
    (frame, y, x) float32
        k (a · image − reference), with its sign; its absolute value is the error map.

    Raises
    ------
    InputError
        If the shapes differ.
    """
    if image_magnitude.shape != reference.shape:
        raise InputError(
            f"shapes differ: image {image_magnitude.shape}, reference {reference.shape}; compare at the same size."
        )
    factor = fit_factor(image_magnitude, reference) if fit else 1.0
    return np.asarray(gain * (factor * image_magnitude - reference), dtype=np.float32)


@dataclass(frozen=True)
class Row:
    """A line of the table of scores.

    Parameters
    ----------
    name
        Of the series.
    n_frames
        Frames that were compared.
    scores
        Key of :data:`SCORES` → value; empty if the series cannot be compared.
    reason
        Why it cannot, one sentence; empty if it can.
    """

    name: str
    n_frames: int
    scores: dict[str, float]
    reason: str = ""


def metric_table(
    series: Mapping[str, ImageSeries], reference: ImageSeries, roi: tuple[int, int, int, int] | None = None
) -> list[Row]:
    """Scores of several series against one, over the frames at common times.

    Parameters
    ----------
    series
        Name → series.
    reference
        The truth, or the series that stands in for it.
    roi : (y0, y1, x0, x1) or None
        Part of the image to look at, pixels, ends excluded.

    Returns
    -------
    list of Row
        In the order given; a series that cannot be compared has a reason instead of scores.
    """
    rows = []
    truth = reference.magnitude
    for name, one in series.items():
        reason = why_not_comparable(one, reference)
        if reason is not None:
            rows.append(Row(name, 0, {}, reason))
            continue
        frames = pair(one, reference)
        figures = score(one.magnitude[frames.first], truth[frames.second], roi)
        rows.append(Row(name, len(frames.first), figures))
    return rows
