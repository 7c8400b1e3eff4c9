"""Coils and spokes that carry no usable data: found, and left out with a word.

What is looked for is beyond doubt: samples that are no numbers, coils and spokes that hold nothing, spokes whose centre
is many times too bright or too dark, and single samples struck by a spark. What is merely unusual is a matter of
:mod:`napari_dainr.preparation.quality`, which shows it and leaves nothing out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from napari_dainr.errors import InputError

__all__ = ["Screening", "screen", "spoke_magnitudes"]

_NEIGHBOURS = 10
"""Spokes before and after that a spoke's centre is compared with."""
_DARK, _BRIGHT = 0.1, 5.0
_SPARK, _SPARK_MIRROR = 10.0, 5.0


@dataclass(frozen=True, eq=False)
class Screening:
    """What is kept of the readouts of a file.

    Parameters
    ----------
    coils : (coil,) bool
        Kept.
    spokes : (spoke,) bool
        Kept.
    reasons
        "coils" and "spokes" → which were left out and why, in words; only where some were.
    repeated
        Pairs of spokes that hold the same samples bit by bit, as (later, first).
    """

    coils: NDArray[np.bool_]
    spokes: NDArray[np.bool_]
    reasons: dict[str, str]
    repeated: tuple[tuple[int, int], ...]


def screen(
    kdata: NDArray[np.complex64],
    *,
    leave_out_coils: Sequence[int] = (),
    leave_out_spokes: Sequence[int] = (),
    keep_all: bool = False,
) -> Screening:
    """Find coils and spokes that must not be used.

    A coil is left out as a whole, or its bad spokes are left out of all coils: whichever costs less data.

    Parameters
    ----------
    kdata : (slice or partition, coil, spoke, readout) complex64
        May hold NaN, Inf and zeros.
    leave_out_coils, leave_out_spokes
        Numbers from 0 that the user wants left out, besides what is found.
    keep_all
        Look for nothing; only what the user names is left out.

    Raises
    ------
    InputError
        If a number is no coil or spoke of the data, or nothing would be left.
    """
    _, coils, spokes, _ = kdata.shape
    keep_coils, keep_spokes = np.ones(coils, dtype=bool), np.ones(spokes, dtype=bool)
    told_coils, told_spokes = _numbers(leave_out_coils, coils, "coil"), _numbers(leave_out_spokes, spokes, "spoke")
    keep_coils[told_coils], keep_spokes[told_spokes] = False, False
    coil_words: dict[str, list[int]] = {"as told": told_coils}
    spoke_words: dict[str, list[int]] = {"as told": told_spokes}
    repeated: tuple[tuple[int, int], ...] = ()
    if not keep_all:
        empty, not_finite = _emptiness(kdata)
        _leave_out_empty(empty, keep_coils, coil_words)
        _leave_out_not_finite(not_finite, keep_coils, keep_spokes, coil_words, spoke_words)
        dead: NDArray[np.bool_] = keep_spokes & empty[keep_coils].all(axis=0)
        _mark(dead, keep_spokes, spoke_words, "all zero")
        if keep_coils.any() and keep_spokes.any():
            for why, bad in _outliers(kdata, keep_coils, keep_spokes).items():
                _mark(bad & keep_spokes, keep_spokes, spoke_words, why)
        repeated = _repeated(kdata, keep_coils, keep_spokes)
    if not keep_coils.any() or not keep_spokes.any():
        kind, words = ("coil", coil_words) if not keep_coils.any() else ("spoke", spoke_words)
        raise InputError(f"no {kind} can be used ({_in_words(words, kind)}); convert or copy the file again.")
    reasons = {}
    for kind, words in (("coil", coil_words), ("spoke", spoke_words)):
        if any(words.values()):
            reasons[f"{kind}s"] = _in_words(words, kind)
    return Screening(keep_coils, keep_spokes, reasons, repeated)


def _numbers(given: Sequence[int], count: int, kind: str) -> list[int]:
    for number in given:
        if not 0 <= number < count:
            raise InputError(f"{kind} {number} cannot be left out: there are {count}, numbered from 0.")
    return sorted(set(given))


def _mark(bad: Any, keep: NDArray[np.bool_], words: dict[str, list[int]], why: str) -> None:
    if bad.any():
        words.setdefault(why, []).extend(int(i) for i in np.flatnonzero(bad))
        keep &= ~bad


def _in_words(words: dict[str, list[int]], kind: str) -> str:
    parts = []
    for why, numbers in words.items():
        if numbers:
            shown = ", ".join(map(str, numbers[:12])) + (f", … ({len(numbers)} in all)" if len(numbers) > 12 else "")
            parts.append(f"{kind}{'s' if len(numbers) > 1 else ''} {shown}: {why}")
    return "; ".join(parts)


def _emptiness(kdata: NDArray[np.complex64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(coil, spoke): whether all samples are zero, and whether any is NaN or Inf, over all slices."""
    coils, spokes = kdata.shape[1:3]
    empty, not_finite = np.ones((coils, spokes), dtype=bool), np.zeros((coils, spokes), dtype=bool)
    for one in kdata:
        with np.errstate(invalid="ignore"):  # damaged samples may be NaN that signal
            empty &= ~(one != 0).any(axis=-1)
        not_finite |= ~np.isfinite(one).all(axis=-1)
    return empty, not_finite


def _leave_out_empty(empty: NDArray[np.bool_], keep: NDArray[np.bool_], words: dict[str, list[int]]) -> None:
    """Coils without a single sample; where every coil is empty, the data are refused elsewhere."""
    _mark(keep & empty.all(axis=1), keep, words, "all zero")


def _leave_out_not_finite(
    bad: NDArray[np.bool_],
    keep_coils: NDArray[np.bool_],
    keep_spokes: NDArray[np.bool_],
    coil_words: dict[str, list[int]],
    spoke_words: dict[str, list[int]],
) -> None:
    """The coil with most bad spokes goes while that loses less data than leaving its spokes out of every coil."""
    while True:
        left = bad & keep_coils[:, None] & keep_spokes
        if not left.any():
            return
        counts = left.sum(axis=1)
        worst = int(np.argmax(counts))
        # Spokes that other coils spoil as well are lost anyway.
        others = left[np.arange(len(left)) != worst].any(axis=0)
        gained = int((left[worst] & ~others).sum())
        if gained / keep_spokes.sum() > 1.0 / keep_coils.sum():
            _mark(np.arange(len(left)) == worst, keep_coils, coil_words, "NaN or Inf")
        else:
            _mark(left.any(axis=0), keep_spokes, spoke_words, "NaN or Inf")
            return


def spoke_magnitudes(one: NDArray[np.complex64], unit: float) -> NDArray[np.float32]:
    """Root sum of squares over coils of (coil, spoke, readout) in units of ``unit``; safe for any scale."""
    total = np.zeros(one.shape[1:], dtype=np.float32)
    for coil in one:
        total += np.abs(coil / np.float32(unit)) ** 2
    return np.sqrt(total)


def _outliers(
    kdata: NDArray[np.complex64], keep_coils: NDArray[np.bool_], keep_spokes: NDArray[np.bool_]
) -> dict[str, NDArray[np.bool_]]:
    """Spokes whose centre is too dark or too bright beside that of their neighbours, and spokes with a spark.

    Every spoke passes through the k-space centre, so its peak hardly depends on its angle. Contrast changes it slowly;
    it is compared with the medians of the spokes before and after, and must differ from both. A spark is one sample
    far above what other spokes hold at this distance from the centre *and* above its own mirror image: a sharp edge of
    the object makes both bright, as the spectrum of a nearly real image is nearly symmetric.
    """
    spokes, readout = len(keep_spokes), kdata.shape[-1]
    number = np.flatnonzero(keep_spokes)
    found = {name: np.zeros(spokes, dtype=bool) for name in ("too dark", "too bright", "a spark")}
    if len(number) < 2 * _NEIGHBOURS or readout < 16:
        return found
    unit = max(float(np.abs(one[keep_coils][:, keep_spokes]).max()) for one in kdata)
    peak2 = np.zeros(len(number))
    sparks = np.zeros(len(number), dtype=bool)
    for one in kdata:
        magnitude = spoke_magnitudes(one[keep_coils][:, keep_spokes], unit)
        peak2 += magnitude.max(axis=1).astype(np.float64) ** 2
        sparks |= _sparks(magnitude)
    peak = np.sqrt(peak2)
    before, after = _medians(peak), _medians(peak[::-1])[::-1]
    low, high = np.fmin(before, after), np.fmax(before, after)
    found["too dark"][number] = peak < _DARK * low
    found["too bright"][number] = peak > _BRIGHT * high
    found["a spark"][number] = sparks
    return found


def _medians(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of the spokes before each; NaN where there are fewer than three."""
    medians = np.full(len(values), np.nan)
    for i in range(3, len(values)):
        medians[i] = np.median(values[max(0, i - _NEIGHBOURS) : i])
    return medians


def _sparks(magnitude: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(spoke, readout) → (spoke,); the centre itself is judged by its brightness."""
    readout = magnitude.shape[1]
    centre = int(np.argmax(np.median(magnitude, axis=0)))
    typical = np.percentile(magnitude, 90, axis=0)
    floor = 1e-4 * float(np.median(magnitude.max(axis=1)))
    reference = np.maximum(maximum_filter1d(typical, 5), floor)
    near = maximum_filter1d(magnitude, 5, axis=1)
    mirror = 2 * centre - np.arange(readout)
    inside = (mirror >= 0) & (mirror < readout)
    mirrored = np.where(inside, near[:, np.clip(mirror, 0, readout - 1)], np.inf)
    away = np.abs(np.arange(readout) - centre) > 3
    hit = (magnitude > _SPARK * reference) & (magnitude > _SPARK_MIRROR * mirrored) & away
    return np.asarray(hit.any(axis=1))


def _repeated(
    kdata: NDArray[np.complex64], keep_coils: NDArray[np.bool_], keep_spokes: NDArray[np.bool_]
) -> tuple[tuple[int, int], ...]:
    """Spokes that repeat an earlier one bit by bit."""
    first: dict[bytes, int] = {}
    pairs = []
    coil = int(np.argmax(keep_coils))
    for number in np.flatnonzero(keep_spokes):
        key = kdata[0, coil, number].tobytes()
        earlier = first.setdefault(key, int(number))
        if earlier != number and np.array_equal(kdata[:, keep_coils, earlier], kdata[:, keep_coils, number]):
            pairs.append((int(number), earlier))
    return tuple(pairs)
