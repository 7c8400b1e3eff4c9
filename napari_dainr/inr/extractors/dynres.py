"""DynRes, the extractor that comes with the package: what a reconstruction and its k-space residual still tell.

Not in the paper, whose extractors see one image. A residual network sees a frame of a reconstruction x, how its
neighbours differ from it, and the density-weighted residual of k-space, g = Aᴴ W (y − A x), of all of them; it returns
the error that x still has. tools/train_extractor.py trains it on simulated series; docs/explanation/methods.md has what
it gains.
"""

from __future__ import annotations

import math
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_dainr.inr.extractors.base import FeatureExtractor, Shapes, count_of

__all__ = ["NEIGHBOURS", "DynRes", "Shown"]

NEIGHBOURS = (-2, -1, 0, 1, 2)
"""Frames that are seen with each one; beyond the ends of the series its last frame."""
_SMOOTH = 16
"""The phase that is taken away is that of an image of this many pixels across, about."""


class Shown:
    """What the network sees of a series, and how what it returns becomes images.

    The smooth phase of the time average is taken away, so that the real part holds most of the image; differences
    and residuals are divided by the root mean square of the residual, so that errors of any size look alike.

    Parameters
    ----------
    images, residual : (frame, y, x) complex
        x and g = Aᴴ W (y − A x).
    noise
        Standard deviation σ of the noise of a sample of y.
    """

    def __init__(self, images: Tensor, residual: Tensor, noise: float) -> None:
        self._turn = _smooth_phase(images.mean(dim=0)).conj()
        self._size = residual.abs().square().mean().sqrt().clamp(min=1e-12)
        self._images, self._residual = images * self._turn, residual * self._turn / self._size
        self._noise = math.log10(max(noise, 1e-12) / float(self._size))

    def frame(self, frame: int) -> Tensor:
        """Channels of a frame, (c, y, x) float32: image and residual, and differences and residuals of neighbours."""
        channels: list[Tensor] = []
        x = self._images[frame]
        for step in NEIGHBOURS:
            other = min(max(frame + step, 0), len(self._images) - 1)
            image = x if step == 0 else (self._images[other] - x) / self._size
            channels += [image.real, image.imag, self._residual[other].real, self._residual[other].imag]
        return torch.stack([*channels, torch.full_like(x.real, self._noise)])

    def target(self, truth: Tensor, frame: int) -> Tensor:
        """What the network should return where the truth of the frame, (y, x), is known: (2, y, x)."""
        error = (truth * self._turn - self._images[frame]) / self._size
        return torch.stack([error.real, error.imag])

    def corrected(self, error: Tensor, frame: int) -> Tensor:
        """The image of a frame with what the network returned, (2, y, x), added to it: (y, x) complex."""
        return (self._images[frame] + torch.complex(error[0], error[1]) * self._size) * self._turn.conj()


def _smooth_phase(image: Tensor) -> Tensor:
    """exp(i φ) of an image (y, x) after a Gaussian in k-space."""
    ky, kx = (torch.fft.fftfreq(n, device=image.device) * n for n in image.shape)
    width = min(image.shape) / _SMOOTH
    low = torch.exp(-(ky[:, None] ** 2 + kx**2) / (2 * width**2))
    smooth = torch.fft.ifft2(torch.fft.fft2(image) * low)
    return torch.polar(torch.ones_like(smooth.real), smooth.angle())


class _Block(nn.Module):
    """What comes in, and two convolutions of it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Conv2d(width, width, 3, padding=1)
        self.outer = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.outer(F.relu(self.inner(x)))
        return x + changed


class DynRes(FeatureExtractor):
    """Residual blocks of two 3 × 3 convolutions, and a linear 5 × 5 path beside them.

    Its features are the real and imaginary part of the error of the image that it is shown (:class:`Shown`).
    """

    title = "DynRes (our own)"
    marker = "linear.weight"
    n_features = 2
    n_channels = 4 * len(NEIGHBOURS) + 1
    input_range = 1.0

    def __init__(self, width: int = 48, blocks: int = 6) -> None:
        super().__init__()
        self.first = nn.Conv2d(self.n_channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(blocks))
        self.last = nn.Conv2d(width, self.n_features, 3, padding=1)
        self.linear = nn.Conv2d(self.n_channels, self.n_features, 5, padding=2)
        self.working_floats = 3 * self.n_channels + 6 * width

    @classmethod
    def for_shapes(cls, shapes: Shapes) -> Self:
        return cls(shapes["first.weight"][0], count_of(shapes, "blocks.", ".inner.weight"))

    def deep(self, x: Tensor) -> Tensor:
        """The path with activations, (n, c, y, x) → (n, 2, y, x)."""
        h = F.relu(self.first(x))
        for block in self.blocks:
            h = block(h)
        result: Tensor = self.last(h)
        return result

    def features(self, x: Tensor) -> Tensor:
        return self.deep(x) + self.linear(x)
