"""Whether samples were multiplied with the square root of a density compensation, as some demonstrations do."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import j1

from napari_dainr.errors import InputError

__all__ = ["unweighted"]

_KEY = "density compensation"
_MARGIN = 0.7, 1.2
"""How far samples one step beside the k-space centre may lie below those of the uniform disc, and above the centre."""

_CLEARLY = 1.25
"""Factor by which they must lie outside of that to be impossible."""


def unweighted(
    kdata: NDArray[np.complex64],
    k: NDArray[np.complexfloating[Any, Any]],
    w: NDArray[np.floating[Any]],
    pixels: int,
    told: bool | None,
    detected: dict[str, str],
    assumed: dict[str, str],
) -> NDArray[np.complex64]:
    """Samples as measured.

    What fits into the field of view changes little from the k-space centre to the sample beside it: a uniform disc of
    diameter D falls to 2 J₁(πDΔk) / (πDΔk), and localised coils make it less. The square root of a density
    compensation is several times smaller at the centre. So samples fall from the centre as they should either as they
    are, or with the weights taken away. Where not one of the two is possible and the other clearly not, the likelier is
    assumed, not detected.

    Parameters
    ----------
    kdata : (readout, spoke, coil)
    k, w : (readout, spoke)
        Positions in cycles per pixel, and density compensation.
    pixels
        Of the field of view.
    told
        Whether they were weighted, where the user says so.

    Raises
    ------
    InputError
        If they were weighted with zeros, which loses the centre.
    """
    root = np.sqrt(np.abs(w))
    good = root > 1e-6 * root.max()
    # Samples that are no numbers are dealt with later, once for all formats.
    with np.errstate(invalid="ignore", over="ignore"):
        power = np.nansum(np.abs(kdata.astype(np.complex128)) ** 2, axis=2)
    radius = np.abs(k)
    step = float(np.median(np.abs(np.diff(radius, axis=0))))
    from_centre = (radius - radius.min()) / step if step > 0 else np.zeros_like(radius)
    centre, beside = from_centre < 0.25, np.abs(from_centre - 1) < 0.25
    if told is not None:
        detected[_KEY] = f"kdata was {'' if told else 'not '}multiplied with sqrt(w), as told; w itself is not used"
        return _divided(kdata, root, good) if told else kdata
    if not good[centre].any():
        if not power[centre].any():
            raise InputError(
                "kdata is zero at the k-space centre, where w is zero too: it was multiplied with sqrt(w); give the "
                "samples as they were before that."
            )
        detected[_KEY] = "kdata is not multiplied with sqrt(w), which is zero at the centre; w itself is not used"
        return kdata
    lost = np.where(good, root, np.inf) ** 2
    as_it_is = _fall(power, centre, beside)
    restored = _fall(power / lost, centre, beside)
    turn = np.pi * pixels * step
    lowest = _MARGIN[0] * (2 * j1(turn) / turn if 0 < turn < 3.5 else 1.0)
    fits, fits_restored = (lowest <= fall <= _MARGIN[1] for fall in (as_it_is, restored))
    out, out_restored = (not lowest / _CLEARLY <= fall <= _MARGIN[1] * _CLEARLY for fall in (as_it_is, restored))
    clear = (fits and out_restored) or (fits_restored and out)
    said = (
        f"one sample beside the k-space centre, samples are {as_it_is:.2g} times as large as there, and {restored:.2g} "
        "times with sqrt(w) taken away"
    )
    undo = fits_restored if fits != fits_restored else as_it_is > 1
    words = f"kdata was multiplied with sqrt(w), which is undone: {said}"
    if not undo:
        words = f"kdata is not multiplied with sqrt(w): {said}; w itself is not used"
    if clear:
        detected[_KEY] = words
    else:
        assumed[_KEY] = f"{words}; the data cannot tell for sure, say which with weighted"
    return _divided(kdata, root, good) if undo else kdata


def _fall(power: NDArray[np.float64], centre: NDArray[np.bool_], beside: NDArray[np.bool_]) -> float:
    """Amplitude one step beside the centre over that at the centre; 0 or infinity where one of them has none."""
    here = float(np.mean(power[centre])) if centre.any() else 0.0
    there = float(np.mean(power[beside])) if beside.any() else 0.0
    if not (np.isfinite(here) and np.isfinite(there)) or there == 0:
        return 0.0
    return float(np.sqrt(there / here)) if here > 0 else float("inf")


def _divided(kdata: NDArray[np.complex64], root: NDArray[np.floating[Any]], good: NDArray[np.bool_]) -> Any:
    """Samples without the weights; those whose weight was zero are lost, and stay zero."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(good[..., None], kdata / np.where(good, root, 1)[..., None], 0).astype(np.complex64)
