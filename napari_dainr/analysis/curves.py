"""Signal over time in a region: mean, spread, median, and what they become relative to a baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_dainr.analysis.masks import Mask, quiet_frames, region_mask, remark
from napari_dainr.analysis.moving import SPREAD_OUT, MovingStatistics
from napari_dainr.analysis.pixel_grid import PixelGrid
from napari_dainr.analysis.regions import Region
from napari_dainr.data import ImageSeries
from napari_dainr.errors import InputError

__all__ = [
    "MODES",
    "Curve",
    "baseline_frames",
    "baseline_of",
    "in_mode",
    "mask_curve",
    "roi_curve",
    "series_curve",
    "suggest_baseline",
]

MODES: dict[str, str] = {
    "signal": "Signal (a.u.)",
    "absolute": "Absolute enhancement (a.u.)",
    "relative": "Relative enhancement (%)",
    "normalised": "Signal / baseline",
}
"""What the axis of a plot shows → its label. OSIPI: S (Q.MS1.001), AE (Q.MS1.003), RE (Q.MS1.004)."""

_NOISE = 0.4


@dataclass(frozen=True, eq=False)
class Curve:
    """Signal in a region over time.

    Parameters
    ----------
    times_s : (frame,) float64
        Seconds from the first spoke.
    mean, sd, median, minimum, maximum : (frame,) float64
        Over the pixels of the region, arbitrary units; ``sd`` is the sample standard deviation (n − 1), of tissue and
        noise together, NaN for a single pixel.
    n
        Number of pixels.
    interpolated : (frame,) bool
        True where nothing was measured at that time.
    frame_duration_s
        Native temporal resolution, seconds: how long the data of one measured frame took.
    """

    times_s: NDArray[np.float64]
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    median: NDArray[np.float64]
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    n: int
    interpolated: NDArray[np.bool_]
    frame_duration_s: float

    def measured(self) -> Curve:
        """Only the frames at whose times something was measured."""
        keep = ~self.interpolated
        arrays = {key: getattr(self, key)[keep] for key in ("times_s", *_STATISTICS, "interpolated")}
        return replace(self, **arrays)


_STATISTICS = ("mean", "sd", "median", "minimum", "maximum")


def _expect_magnitude(image: NDArray[np.floating]) -> None:
    if image.ndim != 3 or image.dtype.kind == "c":
        raise InputError(f"series: is {image.dtype} {image.shape}; a magnitude (frame, y, x) is needed, not complex.")


def mask_curve(
    image_magnitude: NDArray[np.floating],
    mask: Mask,
    times_s: NDArray[np.float64],
    interpolated: NDArray[np.bool_] | None = None,
    frame_duration_s: float = 0.0,
    name: str = "region",
    moving: MovingStatistics | None = None,
) -> Curve:
    """Curve of the pixels of a mask.

    Parameters
    ----------
    image_magnitude : (frame, y, x)
        Arbitrary units. Only the pixels of the mask are read.
    mask
        At least one pixel.
    times_s : (frame,)
        Seconds.
    interpolated : (frame,)
        By default all frames are measured.
    frame_duration_s
        Native temporal resolution, seconds.
    name
        Of the region, for the sentence of an error.
    moving
        What is known of the same image from places where the region was before; it makes small moves fast.

    Raises
    ------
    InputError
        If the mask holds no pixel or is not of this image.
    """
    _expect_magnitude(image_magnitude)
    if mask.shape != image_magnitude.shape[1:]:
        raise InputError(
            f"{name}: its mask has shape {mask.shape}, but images are {image_magnitude.shape[1:]}; draw it again."
        )
    n = mask.n
    if n == 0:
        raise InputError(remark(mask, name) or "")
    frames = len(image_magnitude)
    statistics = None if moving is None else moving.read(mask)
    if statistics is None:
        statistics = _statistics(image_magnitude, mask)
    return Curve(
        times_s=np.asarray(times_s, np.float64),
        **dict(zip(_STATISTICS, statistics, strict=True)),
        n=n,
        interpolated=np.zeros(frames, dtype=bool) if interpolated is None else np.asarray(interpolated, dtype=bool),
        frame_duration_s=float(frame_duration_s),
    )


def _statistics(image_magnitude: NDArray[np.floating], mask: Mask) -> NDArray[np.float64]:
    """(5, frame): mean, SD, median, minimum and maximum of the pixels of a mask.

    Frame by frame in the same two buffers, which stay in the processor's cache, and with as few passes over them as
    there can be: the median by partial sorting, the SD from sums of values and squares, and about the mean in a second
    pass only where these two would cancel.
    """
    n, (height, width) = mask.n, mask.inside.shape
    middle, filled = n // 2, n == mask.inside.size
    indices = np.empty(0, np.intp) if filled else mask.indices
    found = np.empty((5, len(image_magnitude)))
    values, exact = np.empty(n, dtype=image_magnitude.dtype), np.empty(n)
    for frame, image in enumerate(image_magnitude):
        if filled:
            values.reshape(height, width)[:] = image[mask.y0 : mask.y0 + height, mask.x0 : mask.x0 + width]
        else:  # "clip" spares a copy; the indices are all inside
            np.take(image, indices, out=values, mode="clip")
        exact[:] = values
        mean = exact.sum() / n
        with np.errstate(invalid="ignore"):
            square = float(np.einsum("i,i->", exact, exact)) / n
            variance = square - mean * mean
            if not variance > SPREAD_OUT * square:
                exact -= mean
                variance = float(np.einsum("i,i->", exact, exact)) / n
        sd = np.sqrt(variance * (n / (n - 1))) if n > 1 else np.nan
        low, high = values.min(), values.max()
        values.partition(middle)
        median = float(values[middle]) if n % 2 else (float(values[:middle].max()) + float(values[middle])) / 2
        found[:, frame] = mean, sd, median if np.isfinite(mean) else mean, low, high
    return found


def series_curve(
    series: ImageSeries,
    region: Region,
    geometry: PixelGrid | None = None,
    image_magnitude: NDArray[np.floating] | None = None,
    baseline: slice | None = None,
) -> Curve:
    """Curve of a region in a series.

    Parameters
    ----------
    series, region
        What to read, and where.
    geometry
        Of the series; :meth:`PixelGrid.of` by default.
    image_magnitude
        ``series.magnitude``, to spare computing it again.
    baseline
        Frames before enhancement, for a threshold region.

    Raises
    ------
    InputError
        If the region lies outside the image or holds no pixel.
    """
    magnitude = series.magnitude if image_magnitude is None else image_magnitude
    mask = region_mask(region, PixelGrid.of(series) if geometry is None else geometry, magnitude, baseline)
    return mask_curve(magnitude, mask, series.times_s, series.interpolated, series.frame_duration_s, name=region.name)


def baseline_frames(times_s: NDArray[np.float64], window_s: tuple[float, float]) -> slice:
    """Frames whose times lie in a window, both ends included; possibly none.

    Frames are taken with a tolerance of a billionth of the window, so that a window that ends on a frame has it.
    """
    start, end = min(window_s), max(window_s)
    slack = 1e-9 * max(abs(start), abs(end), 1e-6)
    inside = np.flatnonzero((times_s >= start - slack) & (times_s <= end + slack))
    return slice(int(inside[0]), int(inside[-1]) + 1) if inside.size else slice(0, 0)


def baseline_of(curve: Curve, window_s: tuple[float, float]) -> float | None:
    """Mean baseline of a range (OSIPI S_BL, Q.MS1.002): mean of ``curve.mean`` over a window; None without frames."""
    values = curve.mean[baseline_frames(curve.times_s, window_s)]
    return float(values.mean()) if values.size else None


def suggest_baseline(curves: Sequence[Curve]) -> tuple[float, float]:
    """Window from the first frame to the last one before the first of the curves rises.

    See :func:`napari_dainr.analysis.masks.quiet_frames`. Curves that seem to be noise, whose frames hardly resemble the
    ones after them, are not asked as long as there is another. (0, 0) for no curves.
    """
    asked = [curve for curve in curves if curve.times_s.size]
    asked = [curve for curve in asked if _resemblance(curve.mean) > _NOISE] or asked
    if not asked:
        return (0.0, 0.0)
    ends = [float(curve.times_s[quiet_frames(curve.mean) - 1]) for curve in asked]
    return (float(asked[0].times_s[0]), min(ends))


def _resemblance(signal: NDArray[np.float64]) -> float:
    """Correlation of a signal with itself one frame later: about 0 for noise, near 1 for a smooth curve."""
    deviation = signal - signal.mean()
    energy = float((deviation**2).sum())
    return float((deviation[1:] * deviation[:-1]).sum()) / energy if energy > 0 else 0.0


def in_mode(curve: Curve, mode: str, baseline: float | None = None) -> Curve:
    """A curve as one of :data:`MODES`; NaN where it is not defined.

    ``absolute`` is S − S_BL and ``relative`` 100 (S/S_BL − 1), with their signs: OSIPI takes the absolute value, and a
    signal that falls below its baseline would then seem to be enhanced. SDs are scaled, not shifted.

    Parameters
    ----------
    curve
        As measured.
    mode
        Key of :data:`MODES`.
    baseline
        S_BL; every mode but ``signal`` needs it, ``relative`` and ``normalised`` need it above 0.

    Raises
    ------
    InputError
        For an unknown mode.
    """
    if mode not in MODES:
        raise InputError(f"curve: the mode {mode!r} is not known; use one of {', '.join(MODES)}.")
    if mode == "signal":
        return curve
    base = float("nan") if baseline is None or (mode != "absolute" and baseline <= 0) else baseline
    if mode == "absolute":
        offset, factor = base, 1.0
    elif mode == "relative":
        offset, factor = base, 100.0 / base
    else:
        offset, factor = 0.0, 1.0 / base
    changed = {key: (getattr(curve, key) - offset) * factor for key in _STATISTICS if key != "sd"}
    return replace(curve, sd=curve.sd * factor + 0 * offset, **changed)


def roi_curve(image_magnitude: NDArray[np.floating], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean signal in a region, frame by frame.

    Parameters
    ----------
    image_magnitude : (frame, y, x)
        Arbitrary units.
    mask : (y, x) bool
        Pixels of the region; at least one.

    Returns
    -------
    (frame,) float64
    """
    _expect_magnitude(image_magnitude)
    mask = np.asarray(mask, dtype=bool)
    if mask.shape != image_magnitude.shape[1:]:
        raise InputError(
            f"region: its mask has shape {mask.shape}, but images are {image_magnitude.shape[1:]}; draw it again."
        )
    if not mask.any():
        raise InputError("region: holds no pixel; draw it larger.")
    return np.asarray(image_magnitude[:, mask].mean(axis=1, dtype=np.float64))
