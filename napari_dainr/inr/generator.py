"""A convolutional generator that draws an image from a point of a helix: the time-dependent deep image prior."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["FrameGenerator", "helix"]


def helix(frames: Tensor, n_frames: int, cycles: float) -> Tensor:
    """Points z(t) = (cos 2πct, sin 2πct, t) of fractional frame indices, t from 0 at the first to 1 at the last frame.

    Parameters
    ----------
    frames : (n,) tensor
        In [0, n_frames − 1].
    cycles : float
        c, turns from the first to the last frame; 0 is a straight line.

    Returns
    -------
    (n, 3) tensor
    """
    t = frames.to(torch.float32) / max(n_frames - 1, 1)
    angle = 2 * math.pi * cycles * t
    return torch.stack([angle.cos(), angle.sin(), t], dim=-1)


class _Block(nn.Module):
    """3 × 3 convolution without bias, normalisation over the pixels of the one image, ReLU."""

    def __init__(self, n_in: int, n_out: int, generator: torch.Generator) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(n_out, n_in, 3, 3, generator=generator) * (2 / (9 * n_in)) ** 0.5)
        self.gain = nn.Parameter(torch.ones(n_out))
        self.shift = nn.Parameter(torch.zeros(n_out))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.conv2d(x, self.kernel, padding=1)
        # Batch normalisation with one image in the batch; no running statistics, so drawing is the same as fitting.
        return torch.relu(functional.batch_norm(x, None, None, self.gain, self.shift, training=True))


class FrameGenerator(nn.Module):
    """Mapping network from z to a small image, then convolutions and ×2 enlargements up to the matrix.

    Parameters
    ----------
    matrix : (y, x)
        Any sizes; level l is ⌈n / 2^(levels − l)⌉ pixels wide, and one row or column is cut off where that is odd.
    levels : int
        Enlargements; fewer where the smallest image would be narrower than two pixels.
    width : int
        Feature images at every level.
    blocks : int
        Convolutions at every level.
    mapping_width : int
        Neurons of the hidden layer of the mapping network.
    generator : torch.Generator
        Source of the first weights.
    """

    def __init__(
        self,
        matrix: tuple[int, int],
        *,
        levels: int,
        width: int,
        blocks: int,
        mapping_width: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        # A single pixel has no spread to normalise by: small matrices begin at a later level.
        while levels > 0 and min(matrix) <= 2**levels:
            levels -= 1
        self.sizes = [(-(-matrix[0] // 2**k), -(-matrix[1] // 2**k)) for k in range(levels, -1, -1)]
        first = self.sizes[0][0] * self.sizes[0][1]
        layers = [nn.Linear(3, mapping_width), nn.Linear(mapping_width, first)]
        self.mapping = nn.ModuleList(layers)
        with torch.no_grad():
            for layer in layers:
                scale = layer.weight.shape[1] ** -0.5
                for tensor in (layer.weight, layer.bias):
                    tensor.copy_((2 * torch.rand(tensor.shape, generator=generator) - 1) * scale)
        counts = [1] + [width] * (blocks * (levels + 1))
        self.blocks = nn.ModuleList(_Block(a, b, generator) for a, b in pairwise(counts))
        self.per_level = blocks
        self.last = nn.Parameter(torch.randn(2, width, 3, 3, generator=generator) * (1 / (9 * width)) ** 0.5)

    def forward(self, z: Tensor) -> Tensor:
        """(3,) point of the manifold → (y, x) complex image."""
        hidden, out = self.mapping
        x = out(torch.relu(hidden(z))).reshape(1, 1, *self.sizes[0])
        for level, (height, width) in enumerate(self.sizes):
            if level > 0:
                x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)[:, :, :height, :width]
            for block in self.blocks[level * self.per_level : (level + 1) * self.per_level]:
                x = block(x)
        x = functional.conv2d(x, self.last, padding=1)[0]
        return torch.complex(x[0], x[1])
