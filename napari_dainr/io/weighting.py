"""Whether samples were multiplied with the square root of a density compensation, as some demonstrations do."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr.errors import InputError

__all__ = ["unweighted"]


def unweighted(
    kdata: NDArray[np.complex64],
    k: NDArray[np.complexfloating[Any, Any]],
    w: NDArray[np.floating[Any]],
    detected: dict[str, str],
    assumed: dict[str, str],
) -> NDArray[np.complex64]:
    """Samples as measured.

    Measured samples are by far the largest at the k-space centre. The square root of a density compensation is
    smallest there, so weighted samples have a hole in their middle.

    Parameters
    ----------
    kdata : (readout, spoke, coil)
    k, w : (readout, spoke)
        Positions in any unit, and density compensation.

    Raises
    ------
    InputError
        If they were weighted with zeros, which loses the centre.
    """
    # Samples that are no numbers are dealt with later, once for all formats.
    with np.errstate(invalid="ignore"):
        size = np.sqrt(np.nansum(np.abs(kdata.astype(np.complex128)) ** 2, axis=(1, 2)))
    radius = np.abs(k).mean(axis=1)
    nearest = int(np.argmin(radius))
    weight = np.sqrt(np.abs(w).mean(axis=1))
    peak = int(np.argmax(size))
    key = "density compensation"
    said = f"the samples are largest {abs(peak - nearest)} samples from the k-space centre"
    if abs(peak - nearest) <= 1 and size[nearest] > 0.5 * size[peak]:
        detected[key] = f"kdata is not multiplied with sqrt(w): {said}; w itself is not used"
        return kdata
    inside = weight > 1e-6 * weight.max()
    restored = np.where(inside, size / np.where(inside, weight, 1), 0)
    if inside[nearest] and abs(int(np.argmax(restored)) - nearest) <= 1:
        detected[key] = f"kdata was multiplied with sqrt(w), which is undone: {said}, without sqrt(w) at the centre"
        root = np.sqrt(np.abs(w))
        good = root > 1e-6 * root.max()
        return np.where(good[..., None], kdata / np.where(good, root, 1)[..., None], 0).astype(np.complex64)
    if size[nearest] < 1e-3 * size[peak] and not inside[nearest]:
        raise InputError(
            "kdata is zero at the k-space centre, where w is zero too: it was multiplied with sqrt(w); give the "
            "samples as they were before that."
        )
    assumed[key] = f"kdata is not multiplied with sqrt(w), though {said}; w itself is not used"
    return kdata
