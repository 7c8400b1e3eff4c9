"""Image features for the canonical network (Sec. III-A3): what else is known about a frame before the fit."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_dainr.inr.coordinates import bilinear_resize
from napari_dainr.methods.base import Problem
from napari_dainr.methods.problem import density_compensated
from napari_dainr.ops.resample import at_frames, fourier_resize

__all__ = ["draw_features", "view_shared_features"]


def view_shared_features(problem: Problem, reach: int) -> Tensor:
    """NuFFT images of each frame together with ``reach`` frames to either side, (frame, y, x) complex."""
    x = density_compensated(problem)
    n = x.shape[0]
    return torch.stack([x[max(0, f - reach) : f + reach + 1].mean(dim=0) for f in range(n)])


def draw_features(series: Tensor, frame: Tensor, matrix: tuple[int, int], upsampling: str, gain: float) -> Tensor:
    """Features of one (fractional) frame at a matrix: (y, x, 2), real and imaginary part times ``gain``.

    Between frames the two neighbours are mixed linearly; the paper uses both and does not say how.
    """
    image = at_frames(series, frame.reshape(1))[0]
    if upsampling == "fourier":
        image = fourier_resize(image, matrix)
    elif tuple(image.shape) != matrix:
        image = bilinear_resize(image, matrix)
    return torch.view_as_real(image.resolve_conj().contiguous()) * gain
