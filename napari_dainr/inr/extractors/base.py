"""What every frozen feature extractor has in common (Sec. III-A3, Table V)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from napari_dainr.errors import InputError

__all__ = ["FeatureExtractor", "Shapes", "count_of"]

Shapes = Mapping[str, tuple[int, ...]]
"""Shape of every tensor of a file of weights, by name."""


class FeatureExtractor(nn.Module):
    """A network that maps images (n, c, y, x) to features (n, f, y, x) of the same size, and is never trained.

    Names and shapes of its parameters are those of the published checkpoints, so that these load as they are; layers
    of a published network that come after the features are not built, and their weights are left out.

    Attributes
    ----------
    title
        Name for people, with the paper it comes from.
    marker
        A tensor that only this architecture's files hold.
    unused
        Beginnings of the names of tensors that a file may hold and that make no features.
    n_features
        Feature maps f.
    n_channels
        Image channels c: 3 (trained on RGB), 1 (trained on grey images) or 2 (trained on real and imaginary parts).
    input_range
        What white is: images from 0 to 1 are multiplied by it.
    working_floats
        Numbers per pixel that the computation holds at most at one time, about: for deciding how many images fit.
    file, sha256
        Name and hash of the file the weights come from; empty before weights are loaded.
    """

    title: ClassVar[str]
    marker: ClassVar[str]
    unused: ClassVar[tuple[str, ...]] = ()
    n_features: int
    n_channels: int = 3
    input_range: float
    working_floats: int
    file: str = ""
    sha256: str = ""

    @classmethod
    @abstractmethod
    def for_shapes(cls, shapes: Shapes) -> Self:
        """An empty network of the size that a file's tensors ask for; raises KeyError where one is missing."""

    @classmethod
    def renamed(cls, name: str) -> str:
        """The name used here for a tensor of a file; other layouts of the same network are renamed."""
        return name

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Images (n, c, y, x) in the network's range → (n, f, y, x)."""

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Images (n, c, y, x), 0 black and 1 white → features (n, f, y, x), f = ``n_features``.

        Raises
        ------
        ValueError
            If the number of channels is not ``n_channels``.
        """
        if images.ndim != 4 or images.shape[1] != self.n_channels:
            raise ValueError(f"images must be (n, {self.n_channels}, y, x), got {tuple(images.shape)}")
        return self.features(images * self.input_range)


def count_of(shapes: Shapes, before: str, after: str = "") -> int:
    """How many of ``before0after``, ``before1after``, … there are without a gap."""
    count = 0
    while f"{before}{count}{after}" in shapes:
        count += 1
    if count == 0:
        raise KeyError(f"{before}0{after}")
    if count > 1000:
        raise InputError("holds more layers than any published network; give the published file.")
    return count
