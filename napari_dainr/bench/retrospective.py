"""Less data than was measured, to see how well a method fills in: cropped spokes, frames left out (Sec. V-D).

Both are pure functions of the k-space. The samples that stay are the measured ones, at their own times.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_dainr.data import KSpace
from napari_dainr.errors import InputError

__all__ = ["centre_crop", "coarse_matrix", "every_kth_frame", "unmeasured_frames"]


def coarse_matrix(matrix: tuple[int, int], ratio: float) -> tuple[int, int]:
    """Pixels of the matrix that is ``ratio`` times coarser: the nearest of the same parity (128 → 106, 86, 64).

    Raises
    ------
    InputError
        If fewer than 2 pixels are left, or the one ratio does not lead back from both sides.
    """
    if not ratio >= 1:
        raise InputError(f"scale ratio is {ratio:g}; the matrix can only be made coarser by 1 or more.")
    coarse = tuple(2 * int(np.floor((n / ratio - n % 2) / 2 + 0.5)) + n % 2 for n in matrix)
    if min(coarse) < 2:
        raise InputError(
            f"scale ratio is {ratio:g}: a matrix of {matrix} has too few pixels left; choose a smaller one."
        )
    back = matrix[0] / coarse[0]
    if round(coarse[1] * back) != matrix[1]:
        raise InputError(
            f"scale ratio {ratio:g}: {matrix} pixels become {coarse}, which no single ratio leads back; choose another."
        )
    return coarse[0], coarse[1]


def centre_crop(kspace: KSpace, ratio: float) -> KSpace:
    """The centre of every spoke: k-space of the same field of view at a matrix ``ratio`` times coarser.

    Samples beyond the band of the coarser matrix are taken away; those that stay are unchanged.

    Raises
    ------
    InputError
        As :func:`coarse_matrix`, or if hardly any sample is left.
    """
    coarse = coarse_matrix(kspace.matrix, ratio)
    radius = np.linalg.norm(kspace.ktraj / (0.5 * np.asarray(coarse)), axis=-1)
    kept = np.flatnonzero((radius <= 1 + 1e-4).any(axis=0))
    if len(kept) < 4:
        raise InputError(
            f"{kspace.name}: scale ratio {ratio:g} leaves {len(kept)} samples of a spoke; choose a smaller one."
        )
    inside = slice(int(kept[0]), int(kept[-1]) + 1)
    return replace(
        kspace,
        kdata=np.ascontiguousarray(kspace.kdata[..., inside]),
        ktraj=np.ascontiguousarray(kspace.ktraj[:, inside]),
        matrix=coarse,
        detected=kspace.detected
        | {"retrospective crop": f"{kspace.matrix} to {coarse} pixels, the same field of view"},
    )


def every_kth_frame(kspace: KSpace, spokes_per_frame: int, k: int) -> KSpace:
    """The spokes of frames 0, k, 2k, …, with their own times; the others were never measured.

    Binned by the same number of spokes this gives the same frames at the same times, k frame durations apart.

    Raises
    ------
    InputError
        If fewer than two frames are left, or a frame has fewer than 3 spokes: the repetition time is the median step
        between spokes, which then would fall into the gaps.
    """
    frames = kspace.n_spokes // spokes_per_frame
    if k < 1 or -(-frames // k) < 2:
        raise InputError(f"{kspace.name}: every {k}th of {frames} frames leaves fewer than two; choose fewer.")
    if k > 1 and spokes_per_frame < 3:
        raise InputError(f"{kspace.name}: frames of {spokes_per_frame} spokes cannot be left out; take 3 or more.")
    spokes = np.arange(frames * spokes_per_frame).reshape(frames, spokes_per_frame)[::k].ravel()
    return replace(
        kspace,
        kdata=np.ascontiguousarray(kspace.kdata[:, :, spokes]),
        ktraj=np.ascontiguousarray(kspace.ktraj[spokes]),
        spoke_times_s=kspace.spoke_times_s[spokes],
        detected=kspace.detected | {"retrospective frames": f"every {k} of {frames}"},
    )


def unmeasured_frames(n_frames: int, k: int) -> NDArray[np.intp]:
    """Frames between the measured 0, k, 2k, … ≤ ``n_frames`` − 1: those that an interpolation is judged by."""
    last = (n_frames - 1) // k * k
    return np.asarray([frame for frame in range(last) if frame % k], dtype=np.intp)
