"""Statistics of a region that is moved a little: only the pixels that it wins and loses are read.

Mean and SD come from sums that are brought up to date. The median needs the order of the values only near the middle:
of every frame some values around it are kept in order, and whatever comes or goes beyond them is counted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr.analysis.masks import Mask

__all__ = ["SPREAD_OUT", "MovingStatistics"]

SPREAD_OUT = 1e-4
"""Least variance over mean square at which mean(x²) − mean(x)² still has twelve good digits in double precision."""
_KEPT = 1024
_MOST_CHANGED = 8
"""A region of which more than one in so many pixels has changed is read anew."""
_MOST_STEPS = 200
"""After so many steps sums are made anew, so that rounding does not add up."""


class MovingStatistics:
    """Of one region in one series, place after place.

    Parameters
    ----------
    image_magnitude : (frame, y, x)
        Floating, contiguous; it must not change afterwards. No copy is made.
    """

    def __init__(self, image_magnitude: NDArray[np.floating]) -> None:
        frames = len(image_magnitude)
        self.image = image_magnitude
        self._pixels = image_magnitude.reshape(frames, -1)
        self._inside: NDArray[np.bool_] | None = None
        self._steps = 0
        self._sums = np.zeros((2, frames))
        self._ends = np.zeros((2, frames))
        self._below = np.zeros(frames, dtype=np.int64)
        self._near: list[NDArray[np.floating]] = []

    @staticmethod
    def can_read(image_magnitude: Any) -> bool:
        """Whether an array can be read this way: one that lies in memory as a whole, in floating point."""
        plain = isinstance(image_magnitude, np.ndarray) and image_magnitude.dtype.kind == "f"
        return plain and bool(image_magnitude.flags.c_contiguous)

    def read(self, mask: Mask) -> NDArray[np.float64] | None:
        """(5, frame): mean, SD, median, minimum and maximum of the pixels of a mask.

        Median, minimum and maximum are exact, mean and SD to about eleven digits. None where that cannot be: fewer
        than two pixels, values that are not finite, or all but equal; read them in one go then.
        """
        inside, n = mask.full().ravel(), mask.n
        won = lost = np.empty(0, dtype=np.intp)
        if self._inside is not None:
            won, lost = np.flatnonzero(inside & ~self._inside), np.flatnonzero(self._inside & ~inside)
        if self._inside is None or (won.size + lost.size) * _MOST_CHANGED > n or self._steps >= _MOST_STEPS:
            self._begin(inside, n)
        else:
            self._step(inside, n, won, lost)
        mean, square = self._sums / n if n else self._sums * np.nan
        variance = square - mean * mean
        with np.errstate(invalid="ignore"):
            good = n > 1 and bool((np.isfinite(square) & (variance > SPREAD_OUT * square)).all())
        if not good:
            self._inside = None
            return None
        return np.stack([mean, np.sqrt(variance * (n / (n - 1))), self._median(n), *self._ends])

    def _begin(self, inside: NDArray[np.bool_], n: int) -> None:
        """All pixels of the region."""
        places = np.flatnonzero(inside)
        self._inside, self._steps, self._near = inside, 0, [np.empty(0)] * len(self._pixels)
        exact = np.empty(n)
        for frame, pixels in enumerate(self._pixels):
            values = np.take(pixels, places)
            exact[:] = values
            self._sums[:, frame] = exact.sum(), np.einsum("i,i->", exact, exact)
            self._order(frame, values)

    def _order(self, frame: int, values: NDArray[np.floating]) -> None:
        """Minimum, maximum and the values around the middle; ``values`` are in another order afterwards."""
        n = values.size
        if not n:
            return
        self._ends[:, frame] = values.min(), values.max()
        first, last = max(0, n // 2 - _KEPT), min(n - 1, n // 2 + _KEPT)
        values.partition([first, last])
        self._near[frame] = np.sort(values[first : last + 1])
        self._below[frame] = first

    def _step(self, inside: NDArray[np.bool_], n: int, won: NDArray[np.intp], lost: NDArray[np.intp]) -> None:
        self._inside = inside
        self._steps += 1
        come, gone = np.take(self._pixels, won, axis=1), np.take(self._pixels, lost, axis=1)
        for row, power in enumerate((1, 2)):
            self._sums[row] += (come.astype(np.float64) ** power).sum(axis=1)
            self._sums[row] -= (gone.astype(np.float64) ** power).sum(axis=1)
        places = None
        for frame in range(len(self._pixels)):
            if not self._follow(frame, n, come[frame], gone[frame]):
                places = np.flatnonzero(inside) if places is None else places
                self._order(frame, np.take(self._pixels[frame], places))

    def _follow(self, frame: int, n: int, come: NDArray[np.floating], gone: NDArray[np.floating]) -> bool:
        """Bring the order of one frame up to date; False if what is kept does not say enough."""
        near, (low, high) = self._near[frame], self._ends[:, frame]
        if not near.size or (gone.size and (gone.min() <= low or gone.max() >= high)):
            return False  # perhaps the only pixel with the smallest or the largest value has gone
        first, last = near[0], near[-1]
        self._below[frame] += np.count_nonzero(come < first) - np.count_nonzero(gone < first)
        out = np.sort(gone[(gone >= first) & (gone <= last)])
        if out.size:  # of equal values, as many places as there are of them
            places = np.searchsorted(near, out) + np.arange(out.size) - np.searchsorted(out, out)
            if (places >= np.searchsorted(near, out, side="right")).any():
                return False  # more values equal to the first or the last one have gone than were kept
            near = np.delete(near, places)
        into = come[(come >= first) & (come <= last)]
        if into.size:
            near = np.sort(np.concatenate([near, into]), kind="stable")
        self._near[frame] = near
        if come.size:
            self._ends[:, frame] = min(low, come.min()), max(high, come.max())
        return bool(1 <= n // 2 - self._below[frame] < near.size)

    def _median(self, n: int) -> NDArray[np.float64]:
        """From the values that are kept."""
        found = np.empty(len(self._near))
        for frame, near in enumerate(self._near):
            place = n // 2 - int(self._below[frame])
            found[frame] = near[place] if n % 2 else (float(near[place - 1]) + float(near[place])) / 2
        return found
