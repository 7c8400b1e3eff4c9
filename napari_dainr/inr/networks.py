"""Small multilayer perceptrons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Mlp"]

CHUNK = 1024
"""Rows that go through all layers together on the CPU, so that they stay in the cache of a core. A constant: the
gradients of the weights are sums over chunks, and so the same for any number of threads."""


class Mlp(nn.Module):
    """``depth`` hidden layers of ``width`` neurons, each with ReLU; no activation on the output.

    Weights are drawn as in He et al. (2015) from the given generator; biases start at zero.
    ``last_gain`` scales the output layer's first weights. On the CPU it is differentiable once.
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
        if x.device.type == "cpu":
            parameters = [p for layer in self.layers for p in (layer.weight, layer.bias)]
            drawn: Tensor = _InChunks.apply(x, *parameters)  # type: ignore[no-untyped-call]
            return drawn
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        out: Tensor = self.layers[-1](x)
        return out


def _chunks(n: int) -> Iterator[slice]:
    for first in range(0, n, CHUNK):
        yield slice(first, min(first + CHUNK, n))


def _hidden(layer_in: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], values: list[Tensor]) -> None:
    """Values of the hidden layers, written to ``values``; the output layer's parameters are not used."""
    for weight, bias, out in zip(weights, biases, values, strict=False):
        layer_in = torch.addmm(bias, layer_in, weight.t(), out=out).relu_()


class _InChunks(torch.autograd.Function):
    """The perceptron some rows at a time: what a layer hands to the next does not travel through memory.

    Nothing of it is kept for the way back either: to compute it again takes less than to write and read it.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, *parameters: Tensor) -> Tensor:
        ctx.save_for_backward(x, *parameters)
        weights, biases = parameters[0::2], parameters[1::2]
        hidden = [x.new_empty(min(len(x), CHUNK), weight.shape[0]) for weight in weights[:-1]]
        out = x.new_empty(len(x), weights[-1].shape[0])
        for rows in _chunks(len(x)):
            values = [value[: rows.stop - rows.start] for value in hidden]
            _hidden(x[rows], weights, biases, values)
            torch.addmm(biases[-1], [x[rows], *values][-1], weights[-1].t(), out=out[rows])
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph=True: a graph through here would silently lack this term
            raise RuntimeError("a perceptron on the CPU cannot be differentiated twice")
        x, *parameters = ctx.saved_tensors
        weights, biases = parameters[0::2], parameters[1::2]
        of_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        gradients = [torch.zeros_like(parameter) for parameter in parameters]
        hidden = [x.new_empty(min(len(x), CHUNK), weight.shape[0]) for weight in weights[:-1]]
        slopes = [torch.empty_like(values) for values in hidden]
        for rows in _chunks(len(x)):
            n = rows.stop - rows.start
            inputs = [x[rows], *(value[:n] for value in hidden)]
            _hidden(x[rows], weights, biases, inputs[1:])
            slope = grad[rows]
            for index in reversed(range(len(weights))):
                values = inputs[index]
                gradients[2 * index].addmm_(slope.t(), values)
                gradients[2 * index + 1].add_(slope.sum(0))
                if index > 0:
                    before = torch.mm(slope, weights[index], out=slopes[index - 1][:n])
                    slope = torch.ops.aten.threshold_backward.grad_input(before, values, 0.0, grad_input=before)
                elif of_x is not None:
                    torch.mm(slope, weights[0], out=of_x[rows])
        return of_x, *gradients
