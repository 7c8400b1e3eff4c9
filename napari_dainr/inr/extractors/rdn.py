"""RDN: residual dense network (Zhang et al., CVPR 2018, arXiv 1802.08797).

Tensor names are those of the release RDN-pytorch (sfe1, rdbs, gff); those of the EDSR-PyTorch family (SFENet1, RDBs,
GFF) are renamed. The two differ in their range of grey values.
"""

from __future__ import annotations

import re
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_dainr.inr.extractors.base import FeatureExtractor, Shapes, count_of

__all__ = ["Rdn"]

_OTHER_LAYOUT = (
    (re.compile(r"^SFENet([12])\."), r"sfe\1."),
    (re.compile(r"^RDBs\.(\d+)\.convs\.(\d+)\.conv\.0\."), r"rdbs.\1.layers.\2.conv."),
    (re.compile(r"^RDBs\.(\d+)\.LFF\."), r"rdbs.\1.lff."),
    (re.compile(r"^GFF\."), "gff."),
)


class _DenseLayer(nn.Module):
    """Holds the convolution; :class:`_DenseBlock` applies it."""

    def __init__(self, n_in: int, growth: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, growth, 3, padding=1)


class _DenseBlock(nn.Module):
    """Each layer sees all before it (Eq. 4 of Zhang et al.); fused by 1 × 1 and added to the input (Eqs. 5 and 6)."""

    def __init__(self, width: int, growth: int, n_layers: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(_DenseLayer(width + growth * i, growth) for i in range(n_layers)))
        self.lff = nn.Conv2d(width + growth * n_layers, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        # One buffer for all layers: joining tensors anew in every layer would copy them n_layers² / 2 times.
        n, width, height, columns = x.shape
        seen = x.new_empty(n, self.lff.in_channels, height, columns)
        seen[:, :width] = x
        place = width
        for layer in self.layers:
            conv: nn.Conv2d = layer.conv  # type: ignore[assignment]
            seen[:, place : place + conv.out_channels] = functional.relu(conv(seen[:, :place]))
            place += conv.out_channels
        fused: Tensor = self.lff(seen)
        return fused.add_(x)


class Rdn(FeatureExtractor):
    """RDN: dense blocks fused globally, with the long skip from the first layer (Eqs. 7 and 8 of Zhang et al.)."""

    title: ClassVar[str] = "RDN"
    marker: ClassVar[str] = "rdbs.0.lff.weight"
    unused: ClassVar[tuple[str, ...]] = ("upscale.", "output.", "UPNet.", "sub_mean.", "add_mean.")

    def __init__(self, width: int, growth: int, n_blocks: int, n_layers: int, input_range: float = 1.0) -> None:
        super().__init__()
        self.n_features = width
        self.input_range = input_range
        self.working_floats = 12 * width + 2 * n_layers * growth
        self.sfe1 = nn.Conv2d(3, width, 3, padding=1)
        self.sfe2 = nn.Conv2d(width, width, 3, padding=1)
        self.rdbs = nn.ModuleList(_DenseBlock(width, growth, n_layers) for _ in range(n_blocks))
        self.gff = nn.Sequential(nn.Conv2d(width * n_blocks, width, 1), nn.Conv2d(width, width, 3, padding=1))

    @classmethod
    def renamed(cls, name: str) -> str:
        for pattern, replacement in _OTHER_LAYOUT:
            name = pattern.sub(replacement, name)
        return name

    @classmethod
    def for_shapes(cls, shapes: Shapes) -> Self:
        return cls(
            shapes["sfe1.weight"][0],
            shapes["rdbs.0.layers.0.conv.weight"][0],
            count_of(shapes, "rdbs.", ".lff.weight"),
            count_of(shapes, "rdbs.0.layers.", ".conv.weight"),
            255.0 if any(name.startswith("UPNet.") for name in shapes) else 1.0,
        )

    def features(self, x: Tensor) -> Tensor:
        first = self.sfe1(x)
        x = self.sfe2(first)
        fuse, last = self.gff
        weights = torch.split(fuse.weight, self.n_features, dim=1)  # type: ignore[arg-type]
        fused = fuse.bias.view(1, -1, 1, 1)  # type: ignore[operator]
        # The 1 × 1 fusion block by block: the outputs of all blocks side by side would take most of the memory.
        for block, weight in zip(self.rdbs, weights, strict=True):
            x = block(x)
            fused = fused + functional.conv2d(x, weight)
        out: Tensor = last(fused)
        return out.add_(first)
