"""DA-INR's deformation field as numbers: displacement, its length, and the Jacobian determinant of the warp.

The model draws the pixel x of frame t as canonical(x + Δ(x, t)), Eq. 7: Δ leads from a place in this frame to the
place of the same tissue in the canonical image, which is frame n // 2 (t = 0, where Δ = 0). The field is part of how
the model explains the data; where the image is flat, the data do not determine it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_dainr import RESEARCH_USE
from napari_dainr.errors import InputError
from napari_dainr.io.numpy_file import save_arrays

__all__ = ["DeformationSeries", "deformation", "jacobian_determinant", "save_deformation"]


def jacobian_determinant(displacement: ArrayLike) -> NDArray[np.float64]:
    """det ∂(x + Δ)/∂x of a pull-back warp in the plane.

    1: area is kept. Below 1: what is drawn here is stretched from a smaller place in the canonical image; above 1:
    squeezed from a larger one. 0 or below: the warp folds.

    Parameters
    ----------
    displacement : (…, y, x, 2)
        (Δy, Δx) in pixels.

    Returns
    -------
    (…, y, x) float64
        By central differences, one-sided of second order at the border: exact where Δ is quadratic in y and x.

    Raises
    ------
    InputError
        If the last axis is not 2, or there are fewer than 3 × 3 pixels.
    """
    field = np.asarray(displacement, dtype=np.float64)
    if field.ndim < 3 or field.shape[-1] != 2 or min(field.shape[-3:-1]) < 3:
        raise InputError(f"displacement has shape {field.shape}; (…, y, x, 2) with at least 3 × 3 pixels is needed.")
    dy_dy, dy_dx = np.gradient(field[..., 0], axis=(-2, -1), edge_order=2)
    dx_dy, dx_dx = np.gradient(field[..., 1], axis=(-2, -1), edge_order=2)
    return np.asarray((1 + dy_dy) * (1 + dx_dx) - dy_dx * dx_dy)


@dataclass(frozen=True, eq=False)
class DeformationSeries:
    """The deformation at some times.

    Parameters
    ----------
    displacement : (frame, y, x, 2) float32
        (Δy, Δx) in pixels of the measured matrix, from a pixel of this frame to its place in the canonical image.
    frames : (frame,) float64
        Fractional indices of measured frames.
    times_s : (frame,) float64
        Seconds from the first spoke.
    pixel_mm : (y, x)
        Pixel size of the measured matrix, millimetres.
    """

    displacement: NDArray[np.float32]
    frames: NDArray[np.float64]
    times_s: NDArray[np.float64]
    pixel_mm: tuple[float, float]

    @property
    def displacement_mm(self) -> NDArray[np.float32]:
        """(frame, y, x, 2), (Δy, Δx) in millimetres."""
        return self.displacement * np.asarray(self.pixel_mm, np.float32)

    @cached_property
    def magnitude_mm(self) -> NDArray[np.float32]:
        """(frame, y, x) length of Δ, millimetres."""
        return np.asarray(np.linalg.norm(self.displacement_mm, axis=-1), np.float32)

    @cached_property
    def jacobian(self) -> NDArray[np.float32]:
        """(frame, y, x) Jacobian determinant of the warp, without unit; see :func:`jacobian_determinant`."""
        return jacobian_determinant(self.displacement).astype(np.float32)

    @property
    def folded(self) -> float:
        """Part of all pixels where the warp folds (determinant 0 or below)."""
        return float((self.jacobian <= 0).mean())

    def arrows(self, every: int) -> NDArray[np.float32]:
        """(arrow, 2, 3) arrows on every n-th pixel: start (frame, y, x) and direction (0, Δy, Δx), in pixels.

        The grid is centred in the image; frames count from 0 as in :attr:`displacement`.
        """
        n, height, width = self.displacement.shape[:3]
        rows, columns = (np.arange((size - 1) % every // 2, size, every) for size in (height, width))
        start = np.stack(np.meshgrid(np.arange(n), rows, columns, indexing="ij"), axis=-1).reshape(-1, 3)
        direction = self.displacement[:, rows[:, None], columns].reshape(-1, 2)
        arrows = np.zeros((len(start), 2, 3), np.float32)
        arrows[:, 0] = start
        arrows[:, 1, 1:] = direction
        return arrows


def deformation(run_folder: Path, frames: Sequence[float] | None = None) -> DeformationSeries:
    """The deformation field of a fitted DA-INR run, by its first network.

    Parameters
    ----------
    run_folder
        A run folder with a fitted state.
    frames
        Fractional indices of measured frames, 0 to n − 1; by default every measured frame.

    Raises
    ------
    InputError
        If there is no such run, it is not DA-INR's, or a frame lies outside.
    """
    import torch

    from napari_dainr.fitted import FittedModel

    model = FittedModel(run_folder)
    last = model.n_frames - 1
    wanted = np.arange(last + 1, dtype=np.float64) if frames is None else np.asarray(frames, np.float64)
    outside = wanted[~((wanted >= 0) & (wanted <= last))]
    if wanted.ndim != 1 or not wanted.size or outside.size:
        given = f"{outside[0]:g}" if outside.size else "none"
        raise InputError(f"{model.name}: frame is {given}; give frames from 0 to {last}.")
    field = model.displacement(torch.from_numpy(wanted.astype(np.float32))).numpy()
    return DeformationSeries(field, wanted, model.times_s(wanted), model.pixel_mm)


def save_deformation(series: DeformationSeries, path: Path) -> None:
    """Write displacement (pixels), length (mm), determinant, frames, times and pixel size as .npz, atomically.

    Raises
    ------
    InputError
        If the name does not end in .npz.
    ExportError
        If it cannot be written or does not read back the same.
    """
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise InputError(f"{path.name}: deformation fields are written as .npz; end the name in .npz.")
    arrays: dict[str, NDArray[Any]] = {
        "displacement_px": series.displacement,
        "magnitude_mm": series.magnitude_mm,
        "jacobian": series.jacobian,
        "frames": series.frames,
        "times_s": series.times_s,
        "pixel_mm": np.asarray(series.pixel_mm),
        "notice": np.asarray(RESEARCH_USE),
    }
    save_arrays(path, arrays, compress=True)
