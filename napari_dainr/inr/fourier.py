"""Random Fourier features (Tancik et al. [11]) and perceptrons behind them."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["FourierFeatures", "PeriodicMlp", "SeparableFourierMlp"]


class FourierFeatures(nn.Module):
    """γ(v) = √2 ⟨sin(π B v), cos(π B v)⟩ with a fixed random B.

    Parameters
    ----------
    spreads : (dims,) floats
        Standard deviation of B for each component, in cycles over its range [−1, 1].
    n_features : int
        Length of γ, even.
    generator : torch.Generator
        Source of B.
    """

    frequencies: Tensor

    def __init__(self, spreads: tuple[float, ...], n_features: int, generator: torch.Generator) -> None:
        super().__init__()
        self.n_out = n_features
        drawn = torch.randn(len(spreads), n_features // 2, generator=generator)
        self.register_buffer("frequencies", math.pi * torch.tensor(spreads)[:, None] * drawn)

    def forward(self, coords: Tensor) -> Tensor:
        """(n, dims) in [−1, 1] → (n, n_features)."""
        angle = coords @ self.frequencies
        return math.sqrt(2) * torch.cat([angle.sin(), angle.cos()], dim=-1)


def _linear(n_in: int, n_out: int, spread: float, generator: torch.Generator) -> nn.Linear:
    """A linear layer with normal weights of the given standard deviation and zero bias."""
    layer = nn.Linear(n_in, n_out)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) * spread)
        layer.bias.zero_()
    return layer


class SeparableFourierMlp(nn.Module):
    """Features of place and of time, each with its own B, into one ReLU perceptron with normalised layers.

    At one time, all pixels have the same time features: their product with the first layer's weights is computed
    once, and the place features do not change during a fit, so the caller keeps them.
    """

    def __init__(
        self,
        *,
        space: FourierFeatures,
        time: FourierFeatures,
        width: int,
        depth: int,
        n_out: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.space = space
        self.time = time
        n_in = space.n_out + time.n_out
        self.first_space = _linear(space.n_out, width, (2 / n_in) ** 0.5, generator)
        self.first_time = _linear(time.n_out, width, (2 / n_in) ** 0.5, generator)
        self.hidden = nn.ModuleList(_linear(width, width, (2 / width) ** 0.5, generator) for _ in range(depth - 1))
        self.last = _linear(width, n_out, 0.1 * width**-0.5, generator)

    def forward(self, place_features: Tensor, time: Tensor) -> Tensor:
        """(n, space features) and one time in [−1, 1] → (n, n_out)."""
        x = self.first_space(place_features) + self.first_time(self.time(time.reshape(1, 1)))
        x = self._normalised(torch.relu(x))
        for layer in self.hidden:
            x = self._normalised(torch.relu(layer(x)))
        out: Tensor = self.last(x)
        return out

    def _normalised(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, (x.shape[-1],))


class PeriodicMlp(nn.Module):
    """Fourier features and ``depth`` hidden layers with sines (Sitzmann et al., SIREN, NeurIPS 2020) or ReLU.

    Sine layers compute sin(ω₀ (W x + b)) with weights uniform in ±√(6 / n_in) / ω₀ (±1 / n_in in the first layer);
    ReLU layers have He's normal weights.
    """

    def __init__(
        self,
        features: FourierFeatures,
        *,
        width: int,
        depth: int,
        n_out: int,
        activation: Literal["sine", "relu"],
        omega: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.features = features
        self.activation = activation
        self.omega = omega
        sizes = [features.n_out, *[width] * depth, n_out]
        self.layers = nn.ModuleList()
        for index, (a, b) in enumerate(pairwise(sizes)):
            layer = _linear(a, b, (2 / a) ** 0.5, generator)
            if activation == "sine":
                bound = 1 / a if index == 0 else (6 / a) ** 0.5 / omega
                with torch.no_grad():
                    layer.weight.copy_((2 * torch.rand(layer.weight.shape, generator=generator) - 1) * bound)
            elif index == depth:
                with torch.no_grad():
                    layer.weight.mul_(0.1)
            self.layers.append(layer)

    def forward(self, coords: Tensor) -> Tensor:
        """(n, dims) in [−1, 1] → (n, n_out)."""
        x = self.features(coords)
        for layer in self.layers[:-1]:
            x = layer(x)
            x = (self.omega * x).sin() if self.activation == "sine" else x.relu()
        out: Tensor = self.layers[-1](x)
        return out
