"""EDSR and MDSR: residual blocks without normalisation (Lim et al., CVPR Workshops 2017, arXiv 1707.02921).

Tensor names are those of the authors' PyTorch release (EDSR-PyTorch).
"""

from __future__ import annotations

from typing import ClassVar, Self

from torch import Tensor, nn

from napari_dainr.inr.extractors.base import FeatureExtractor, Shapes, count_of

__all__ = ["Edsr", "Mdsr"]


def _conv(n_in: int, n_out: int, size: int) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, size, padding=size // 2)


class _Block(nn.Module):
    """x + s · conv(relu(conv(x))), Fig. 2c of Lim et al.; s is their residual scaling, Sec. 3.3."""

    def __init__(self, width: int, size: int, scaling: float) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(width, width, size), nn.ReLU(), _conv(width, width, size))
        self.scaling = scaling

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.body(x)
        return change.mul_(self.scaling).add_(x)


def _blocks(width: int, n_blocks: int, scaling: float) -> nn.Sequential:
    """Blocks and a last convolution."""
    return nn.Sequential(*(_Block(width, 3, scaling) for _ in range(n_blocks)), _conv(width, width, 3))


class Edsr(FeatureExtractor):
    """EDSR: head, residual blocks, long skip; features are what enters its upsampler (Fig. 3 of Lim et al.)."""

    title: ClassVar[str] = "EDSR"
    marker: ClassVar[str] = "body.0.body.0.weight"
    unused: ClassVar[tuple[str, ...]] = ("add_mean.", "tail.")
    input_range = 255.0

    def __init__(self, width: int, n_blocks: int) -> None:
        super().__init__()
        self.n_features, self.working_floats = width, 8 * width
        self.sub_mean = nn.Conv2d(3, 3, 1)
        self.head = nn.Sequential(_conv(3, width, 3))
        # The factor is not in the file: 0.1 for the published 256-feature networks, 1 for those with 64 (Table 1).
        self.body = _blocks(width, n_blocks, 0.1 if width >= 256 else 1.0)

    @classmethod
    def for_shapes(cls, shapes: Shapes) -> Self:
        return cls(shapes["head.0.weight"][0], count_of(shapes, "body.", ".body.0.weight"))

    def features(self, x: Tensor) -> Tensor:
        x = self.head(self.sub_mean(x))
        return x + self.body(x)


class Mdsr(FeatureExtractor):
    """MDSR: as EDSR, with two 5 × 5 blocks of its own for each scale in front (Fig. 5 of Lim et al.).

    The blocks of the first scale, ×2, are used.
    """

    title: ClassVar[str] = "MDSR"
    marker: ClassVar[str] = "pre_process.0.0.body.0.weight"
    unused: ClassVar[tuple[str, ...]] = ("add_mean.", "upsample.", "tail.")
    input_range = 255.0

    def __init__(self, width: int, n_blocks: int, n_scales: int) -> None:
        super().__init__()
        self.n_features, self.working_floats = width, 8 * width
        self.sub_mean = nn.Conv2d(3, 3, 1)
        self.head = nn.Sequential(_conv(3, width, 3))
        self.pre_process = nn.ModuleList(
            nn.Sequential(_Block(width, 5, 1.0), _Block(width, 5, 1.0)) for _ in range(n_scales)
        )
        self.body = _blocks(width, n_blocks, 1.0)

    @classmethod
    def for_shapes(cls, shapes: Shapes) -> Self:
        return cls(
            shapes["head.0.weight"][0],
            count_of(shapes, "body.", ".body.0.weight"),
            count_of(shapes, "pre_process.", ".0.body.0.weight"),
        )

    def features(self, x: Tensor) -> Tensor:
        x = self.pre_process[0](self.head(self.sub_mean(x)))
        return x + self.body(x)
