"""Drawing a series at another size or at times between its frames, without a model."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_dainr.machine import sent

__all__ = ["at_frames", "draw_series", "fourier_resize", "scaled_matrix"]


def scaled_matrix(matrix: tuple[int, int], scale: float) -> tuple[int, int]:
    """Pixels of an image drawn at scale ratio r over the same field of view."""
    return (max(2, round(matrix[0] * scale)), max(2, round(matrix[1] * scale)))


def fourier_resize(image: Tensor, matrix: tuple[int, int]) -> Tensor:
    """Sinc interpolation: zero-fill (or crop) the centred spectrum of (…, y, x) complex images.

    The centre pixel ``n // 2`` stays the centre pixel, and a constant keeps its value.
    """
    old = (image.shape[-2], image.shape[-1])
    if old == matrix:
        return image
    axes = (-2, -1)
    spectrum = torch.fft.fftshift(torch.fft.fft2(torch.fft.ifftshift(image, dim=axes)), dim=axes)
    result = spectrum.new_zeros(*image.shape[:-2], *matrix)
    source, target = [], []
    for n, m in zip(old, matrix, strict=True):
        k = min(n, m)
        source.append(slice(n // 2 - k // 2, n // 2 - k // 2 + k))
        target.append(slice(m // 2 - k // 2, m // 2 - k // 2 + k))
    result[..., target[0], target[1]] = spectrum[..., source[0], source[1]]
    result = torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(result, dim=axes)), dim=axes)
    return result * (matrix[0] * matrix[1] / (old[0] * old[1]))


def at_frames(image: Tensor, frames: Tensor | None) -> Tensor:
    """Linear interpolation of (frame, …) at fractional frame indices; None returns the frames themselves."""
    if frames is None:
        return image
    position = sent(frames.to(torch.float32), image.device).clamp(0, image.shape[0] - 1)
    low = position.floor().long().clamp(max=max(image.shape[0] - 2, 0))
    high = (low + 1).clamp(max=image.shape[0] - 1)
    weight = (position - low).view(-1, *[1] * (image.ndim - 1))
    return image[low] * (1 - weight) + image[high] * weight


def draw_series(series: Tensor, frames: Tensor | None, scale: float) -> Tensor:
    """Draw (frame, y, x) images without a model: linear between frames, sinc between pixels."""
    drawn = at_frames(series, frames)
    return fourier_resize(drawn, scaled_matrix((drawn.shape[-2], drawn.shape[-1]), scale))
