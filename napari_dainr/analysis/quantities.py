"""Numbers read off a curve, by the names and definitions of the OSIPI lexicon (CAPLEX); "not defined" is None, never 0.

Codes such as Q.CD1.010 are those of CAPLEX, https://osipi.github.io/OSIPI_CAPLEX/. All are descriptive: no contrast
agent concentration is worked out, so nothing here is a tracer-kinetic parameter.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_dainr.analysis.curves import Curve, baseline_frames
from napari_dainr.analysis.regions import Region
from napari_dainr.errors import InputError

__all__ = [
    "ONSETS",
    "QUANTITIES",
    "Onset",
    "Quantities",
    "Quantity",
    "curve_quantities",
    "quantities_of",
    "region_onset",
    "shown",
]

ONSETS: dict[str, str] = {
    "intersection": "intersection-based (P.BA2.004): line through 20 % to 70 % of the rise, down to the baseline",
    "threshold": "data value exceeds threshold (P.BA2.002): baseline + 3 SD, two frames in a row",
    "manual": "by hand (P.BA2.001, manually)",
}
"""Method for the bolus arrival time → its name and OSIPI code."""


@dataclass(frozen=True)
class Onset:
    """How the bolus arrival is found.

    Parameters
    ----------
    method
        Key of :data:`ONSETS`.
    sds
        Standard deviations of the baseline that signal must rise above it, by any method but ``manual``.
    sustained
        Frames in a row that must be above; fewer at the end of the curve.
    time_s
        For ``manual``: the onset on the time axis of the curve, seconds.
    """

    method: str = "intersection"
    sds: float = 3.0
    sustained: int = 2
    time_s: float | None = None

    def __post_init__(self) -> None:
        if self.method not in ONSETS:
            raise InputError(f"bolus arrival: the method {self.method!r} is not known; use one of {', '.join(ONSETS)}.")
        if (self.method == "manual") != (self.time_s is not None):
            raise InputError("bolus arrival: a time belongs to the method manual, and to no other; set both or none.")
        if self.sds < 0 or self.sustained < 1:
            raise InputError("bolus arrival: the SDs must be at least 0 and the frames in a row at least 1.")

    @property
    def name(self) -> str:
        """For a table: the method with its figures."""
        if self.method == "threshold":
            rule = f"baseline + {self.sds:g} SD, {self.sustained} frames in a row"
            return f"data value exceeds threshold (P.BA2.002): {rule}"
        return ONSETS[self.method]


@dataclass(frozen=True)
class Quantities:
    """Descriptive quantities of one curve; None where one is not defined.

    Parameters
    ----------
    baseline
        Mean signal over the baseline window, a.u.
    maximum
        Largest signal from the start of the baseline window on, a.u.
    maximum_time_s
        When, on the time axis of the curve, seconds; the first time if there are several.
    maximum_deviation
        Maximum less baseline, a.u.
    peak_relative_enhancement
        Maximum over baseline less 1, percent; None unless the baseline is above 0.
    bolus_arrival_time_s
        Onset on the time axis of the curve, seconds: in a series, from the first spoke.
    time_to_peak_s
        From the bolus arrival to the maximum, seconds.
    wash_in_slope
        Maximum deviation over time to peak, a.u./s.
    wash_out_slope
        (maximum − last signal) / (its time − last time), a.u./s: below 0 when signal washes out; None if the maximum
        is the last point.
    auc
        Area between curve and baseline from ``auc_from_s`` to ``auc_to_s``, trapezoids, a.u.·s; None if the curve
        ends before.
    auc_relative
        The same over the baseline, %·s.
    auc_from_s, auc_to_s
        The limits on the time axis: the bolus arrival, and so many seconds after it.
    onset_method
        In words, with the OSIPI code.
    baseline_window_s
        Start and end, seconds.
    frame_duration_s
        Native temporal resolution, seconds: no time here is known better than that from measured frames alone.
    """

    baseline: float | None
    maximum: float | None
    maximum_time_s: float | None
    maximum_deviation: float | None
    peak_relative_enhancement: float | None
    bolus_arrival_time_s: float | None
    time_to_peak_s: float | None
    wash_in_slope: float | None
    wash_out_slope: float | None
    auc: float | None
    auc_relative: float | None
    auc_from_s: float | None
    auc_to_s: float | None
    onset_method: str
    baseline_window_s: tuple[float, float]
    frame_duration_s: float


@dataclass(frozen=True)
class Quantity:
    """A column of the table of quantities.

    Parameters
    ----------
    key
        Field of :class:`Quantities`.
    title
        OSIPI name.
    code
        OSIPI code.
    symbol
        OSIPI notation.
    unit
        Of the value.
    meaning
        One line for a tooltip.
    """

    key: str
    title: str
    code: str
    symbol: str
    unit: str
    meaning: str


QUANTITIES: tuple[Quantity, ...] = (
    Quantity("baseline", "Baseline signal", "Q.MS1.002", "S_BL", "a.u.", "Mean over the baseline window."),
    Quantity("maximum", "Maximum value", "Q.CD1.002", "f_max", "a.u.", "Largest mean signal of the curve."),
    Quantity(
        "peak_relative_enhancement", "Peak relative enhancement", "Q.MS1.004", "RE_max", "%",
        "Maximum over baseline, less 1.",
    ),
    Quantity(
        "bolus_arrival_time_s", "Bolus arrival time", "Q.BA1.001", "BAT", "s",
        "From the first spoke to the onset, on the axis of the curve; the method is named beside it.",
    ),
    Quantity("time_to_peak_s", "Time to peak", "Q.CD1.010", "TTP", "s", "From the bolus arrival to the maximum."),
    Quantity(
        "wash_in_slope", "Wash-in slope", "Q.CD1.011", "WIS", "a.u./s",
        "Maximum less baseline, over the time to peak.",
    ),
    Quantity(
        "wash_out_slope", "Wash-out slope", "Q.CD1.012", "WOS", "a.u./s",
        "From the maximum to the last point; below 0 when signal washes out.",
    ),
    Quantity(
        "auc", "Area under curve", "Q.CD1.013", "AUC", "a.u.·s",
        "Above the baseline, between the limits beside it; of signal, not of concentration.",
    ),
    Quantity(
        "auc_relative", "Area under curve of relative enhancement", "Q.CD1.013", "AUC_RE", "%·s",
        "The area under curve over the baseline.",
    ),
)  # fmt: skip
"""In the order of a table."""


def quantities_of(
    times_s: ArrayLike,
    signal: ArrayLike,
    baseline_window_s: tuple[float, float],
    *,
    onset: Onset | None = None,
    auc_s: float = 60.0,
    frame_duration_s: float = 0.0,
) -> Quantities:
    """Quantities of a sampled curve, taken as straight between its points.

    Points before the baseline window are not looked at: the first frames of a series are often brighter.

    Parameters
    ----------
    times_s : (frame,)
        Seconds, ascending.
    signal : (frame,)
        Arbitrary units.
    baseline_window_s
        (start, end) on the time axis, both included.
    onset
        How the bolus arrival is found; where the rise, prolonged, meets the baseline, by default.
    auc_s
        Length of the area under curve, seconds.
    frame_duration_s
        Native temporal resolution, handed on.

    Raises
    ------
    InputError
        If times and signal do not fit together, times do not ascend, or ``auc_s`` is not above 0.
    """
    t, s = np.asarray(times_s, np.float64), np.asarray(signal, np.float64)
    if t.ndim != 1 or t.shape != s.shape or not t.size:
        raise InputError(f"curve: {t.shape} times and {s.shape} values do not make a curve; give as many of both.")
    if not (np.diff(t) > 0).all():
        raise InputError("curve: its times do not ascend; sort the frames.")
    if not auc_s > 0:
        raise InputError(f"area under curve: its length is {auc_s:g} s; it must be above 0.")
    how = Onset() if onset is None else onset
    window = (float(min(baseline_window_s)), float(max(baseline_window_s)))
    frames = baseline_frames(t, window)
    begin = frames.start if frames.stop > frames.start else int(np.searchsorted(t, window[0]))
    values: dict[str, float | None] = {field.name: None for field in fields(Quantities) if field.name not in _GIVEN}
    if begin < len(t) and np.isfinite(s).all():
        _fill(values, t, s, begin, frames, how, auc_s)
    return Quantities(
        **values, onset_method=how.name, baseline_window_s=window, frame_duration_s=float(frame_duration_s)
    )


_RISE = (0.2, 0.7)
_GIVEN = ("onset_method", "baseline_window_s", "frame_duration_s")


def _fill(
    values: dict[str, float | None],
    t: NDArray[np.float64],
    s: NDArray[np.float64],
    begin: int,
    frames: slice,
    how: Onset,
    auc_s: float,
) -> None:
    peak = begin + int(np.argmax(s[begin:]))
    top, last = float(s[peak]), len(s) - 1
    values |= {"maximum": top, "maximum_time_s": float(t[peak])}
    if peak < last:
        values["wash_out_slope"] = float((top - s[last]) / (t[peak] - t[last])) + 0.0  # no "−0"
    before = s[frames]
    if before.size:
        base = float(before.mean())
        values |= {"baseline": base, "maximum_deviation": top - base}
        if base > 0:
            values["peak_relative_enhancement"] = 100 * (top / base - 1)
        spread = float(before.std(ddof=1)) if before.size > 1 else 0.0
        onset = _onset(t, s, begin, peak, base, spread, how)
    else:
        onset = how.time_s  # by hand it needs no baseline
    if onset is None:
        return
    values["bolus_arrival_time_s"] = onset
    if t[peak] > onset:
        values["time_to_peak_s"] = float(t[peak]) - onset
    if before.size:
        _enhancement(values, t, s, base, onset, auc_s)


def _enhancement(
    values: dict[str, float | None],
    t: NDArray[np.float64],
    s: NDArray[np.float64],
    base: float,
    onset: float,
    auc_s: float,
) -> None:
    """What needs both a baseline and an onset."""
    top, to_peak, last = values["maximum"], values["time_to_peak_s"], len(s) - 1
    if top is not None and to_peak is not None:
        values["wash_in_slope"] = (top - base) / to_peak
    end = onset + auc_s
    if onset >= t[0] and end <= t[last] + 1e-9 * auc_s:
        area = _area(t, s - base, onset, min(end, float(t[last])))
        values |= {"auc": area, "auc_from_s": onset, "auc_to_s": end}
        if base > 0:
            values["auc_relative"] = 100 * area / base


def _onset(
    t: NDArray[np.float64], s: NDArray[np.float64], begin: int, peak: int, base: float, spread: float, how: Onset
) -> float | None:
    """Bolus arrival on the time axis, or None if the curve does not rise above its baseline."""
    if how.method == "manual":
        return how.time_s
    level = base + how.sds * spread
    above = s[begin : peak + 1] > level
    first = _sustained(above, s[begin:] > level, how.sustained)
    if first is None or begin + first == 0:
        return None
    first += begin
    if how.method == "threshold":
        if first == begin:
            return None
        low, high = first - 1, first
        return float(t[low] + (level - s[low]) / (s[high] - s[low]) * (t[high] - t[low]))
    return _foot(t[begin : peak + 1], s[begin : peak + 1], base)


def _foot(t: NDArray[np.float64], s: NDArray[np.float64], base: float) -> float | None:
    """Where the least-squares line through the rise, from 20 % to 70 % of the deviation, meets the baseline.

    The curve ends at its maximum. Where it passes the two levels it is taken as straight between points, and these two
    places count as points, so that one step from baseline to maximum is enough.
    """
    low, high = (base + part * (s[-1] - base) for part in _RISE)
    above = int(np.argmax(s >= high))
    below = np.flatnonzero(s[:above] < low)
    if not below.size:
        return None
    first, last = int(below[-1]), above
    starts = t[first] + (low - s[first]) / (s[first + 1] - s[first]) * (t[first + 1] - t[first])
    ends = t[last - 1] + (high - s[last - 1]) / (s[last] - s[last - 1]) * (t[last] - t[last - 1])
    at = np.concatenate([[starts], t[first + 1 : last], [ends]])
    values = np.concatenate([[low], s[first + 1 : last], [high]])
    middle = at.mean()
    slope = float(((at - middle) * values).sum() / ((at - middle) ** 2).sum())
    if slope <= 0:
        return None
    onset = float(middle - (values.mean() - base) / slope)
    return onset if onset >= t[0] else None


def _sustained(candidates: NDArray[np.bool_], above: NDArray[np.bool_], frames: int) -> int | None:
    """First candidate from which on so many frames in a row are above; at the end of the curve, all that are left."""
    for first in np.flatnonzero(candidates):
        if above[first : first + frames].all():
            return int(first)
    return None


def _area(t: NDArray[np.float64], enhancement: NDArray[np.float64], start: float, end: float) -> float:
    """Integral of the curve, straight between its points, from one time to another within it."""
    inside = (t > start) & (t < end)
    at = np.concatenate([[start], t[inside], [end]])
    return float(np.trapezoid(np.interp(at, t, enhancement), at))


def region_onset(region: Region, otherwise: Onset) -> Onset:
    """How the bolus arrival of a region is found: by hand where it was set by hand."""
    return otherwise if region.arrival_s is None else Onset("manual", time_s=region.arrival_s)


def curve_quantities(
    curve: Curve,
    baseline_window_s: tuple[float, float],
    *,
    onset: Onset | None = None,
    auc_s: float = 60.0,
    statistic: str = "mean",
) -> Quantities:
    """Quantities of a region's curve; ``statistic`` is ``mean`` or ``median``. See :func:`quantities_of`."""
    if statistic not in ("mean", "median"):
        raise InputError(f"quantities: the statistic {statistic!r} is not known; use mean or median.")
    return quantities_of(
        curve.times_s,
        getattr(curve, statistic),
        baseline_window_s,
        onset=onset,
        auc_s=auc_s,
        frame_duration_s=curve.frame_duration_s,
    )


def shown(value: float | None, digits: int = 4) -> str:
    """For a table: so many significant digits, or "not defined"."""
    return "not defined" if value is None else f"{value:.{digits}g}"
