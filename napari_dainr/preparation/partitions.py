"""Stacks of stars: from partitions along kz to slices.

Every spoke of a stack is measured at one angle in all partitions, so that a transform along kz leaves a stack of
2-D radial slices: y_z = 1/√N Σ_p y_p exp(±2πi (p − c) (z − N // 2) / N), with c the partition at kz = 0. The sign is
plus, as in the plane; which end of the stack is slice 0 depends on it, and on the scanner.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from napari_dainr.errors import InputError

__all__ = ["describe_partitions", "require_aligned", "slices_of_partitions"]


def slices_of_partitions(
    kdata: NDArray[np.complex64], numbers: tuple[int, ...], count: int, centre: int, reverse: bool = False
) -> NDArray[np.complex64]:
    """Transform along kz, with zeros for what was not measured.

    Parameters
    ----------
    kdata : (partition, coil, spoke, readout) complex64
    numbers
        kz number of each measured partition, from 0, in the order of ``kdata``.
    count
        Partitions of the full stack, and slices of the result.
    centre
        Number of the partition at kz = 0; it goes to the centre ``count // 2``, wherever it was.
    reverse
        Take the minus sign, which counts slices the other way.

    Returns
    -------
    (slice, coil, spoke, readout) complex64
        Slice ``count // 2`` lies in the middle. The transform is unitary: noise
        keeps its variance where all is measured.

    Raises
    ------
    InputError
        If a partition is there twice or lies outside the stack.
    """
    numbers_seen = np.asarray(numbers, dtype=np.int64)
    if len(numbers) != len(kdata) or len(np.unique(numbers_seen)) != len(numbers_seen):
        raise InputError(
            "a partition is there twice; only one average of a stack of stars can be read, split the file."
        )
    place = numbers_seen - centre + count // 2
    if place.min() < 0 or place.max() >= count:
        raise InputError(
            f"partitions {numbers_seen.min()} to {numbers_seen.max()} around {centre} do not fit into a stack of "
            f"{count}; correct the partition limits in the header."
        )
    transform = fft.fft if reverse else fft.ifft
    slices = np.empty((count, *kdata.shape[1:]), dtype=np.complex64)
    for coil in range(kdata.shape[1]):
        stack = np.zeros((count, *kdata.shape[2:]), dtype=np.complex64)
        stack[place] = kdata[:, coil]
        image = transform(fft.ifftshift(stack, axes=0), axis=0, norm="ortho", overwrite_x=True)
        slices[:, coil] = fft.fftshift(image, axes=0)
    return slices


def describe_partitions(numbers: tuple[int, ...], count: int, centre: int) -> str:
    """What was measured along kz, in words."""
    before, after = centre - min(numbers), max(numbers) - centre
    missing = sorted(set(range(min(numbers), max(numbers) + 1)) - set(numbers))
    text = f"{len(numbers)} partitions transformed along kz to {count} slices, centre at partition {centre}"
    if abs(before - after) > 1:
        text += f"; partial Fourier, {before} before the centre and {after} after it"
    if missing:
        shown = ", ".join(map(str, missing[:8])) + (", …" if len(missing) > 8 else "")
        text += f"; {len(missing)} missing in between: {shown}"
    if len(numbers) < count:
        text += "; the rest is zero"
    return text


def require_aligned(ktraj: NDArray[np.floating], tolerance: float = 1e-3) -> NDArray[np.floating]:
    """The one trajectory of all partitions, (partition, spoke, readout, 2) → (spoke, readout, 2).

    Raises
    ------
    InputError
        If spokes are rotated from partition to partition: such a stack is no stack of 2-D problems.
    """
    extent = float(np.abs(ktraj).max())
    # In fractions of a sample at the end of the spoke, where a rotation shows most.
    if not (np.abs(ktraj - ktraj[:1]).max() <= tolerance * extent):
        raise InputError(
            "its spokes are rotated from partition to partition; only stacks of stars with aligned partitions can be "
            "read."
        )
    return ktraj[0]
