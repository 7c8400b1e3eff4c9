"""Small multilayer perceptrons."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["Mlp"]


class Mlp(nn.Module):
    """``depth`` hidden layers of ``width`` neurons, each with ReLU; no activation on the output.

    Weights are drawn as in He et al. (2015) from the given generator; biases start at zero.
    ``last_gain`` scales the output layer's first weights.
    """

    def __init__(
        self, n_in: int, n_out: int, width: int, depth: int, generator: torch.Generator, last_gain: float = 1.0
    ) -> None:
        super().__init__()
        sizes = [n_in, *[width] * depth, n_out]
        layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        self.layers = nn.ModuleList(layers)
        with torch.no_grad():
            for layer in layers:
                fan_in = layer.weight.shape[1]
                layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) * (2 / fan_in) ** 0.5)
                layer.bias.zero_()
            layers[-1].weight.mul_(last_gain * 0.5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(n, n_in) → (n, n_out)."""
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        out: Tensor = self.layers[-1](x)
        return out
