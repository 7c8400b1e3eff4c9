"""A network's part of a step captured as a CUDA graph and replayed: one launch instead of some hundred.

Not run by its authors: there was no GPU. It is therefore off unless ``NAPARI_DAINR_CUDA_GRAPHS=1`` is in the
environment; where a capture fails, a warning says so and the function is called as it is.

Only what has the same shapes in every step and needs nothing from the host is captured: drawing a frame, and the way
back from the frame's gradient to the parameters. The NUFFT between the two is not, as each frame has a plan of its own,
nor is the optimiser, which is one fused kernel for each group of parameters.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["GRAPHS_VARIABLE", "Replayed", "graphs_wanted"]

GRAPHS_VARIABLE = "NAPARI_DAINR_CUDA_GRAPHS"


def graphs_wanted(device: torch.device) -> bool:
    """Whether steps on this device are to be captured."""
    return device.type == "cuda" and os.environ.get(GRAPHS_VARIABLE) == "1"


def _capture(module: nn.Module, inputs: tuple[Tensor, ...]) -> Callable[..., Tensor]:
    captured: Any = torch.cuda.make_graphed_callables(module, inputs, allow_unused_input=True)
    result: Callable[..., Tensor] = captured
    return result


class _Bound(nn.Module):
    """A function as the forward pass of a module, so that the capture knows the parameters it depends on."""

    def __init__(self, network: nn.Module, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.network = network
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


class Replayed:
    """``function(*inputs)`` of tensors without gradient, captured at its first call with all that its gradient needs.

    The result, and the gradients of the network's parameters that are made through it, lie in memory that the next call
    and the next backward pass write over: they must have been used up by then. Parameters may change in place only.

    Parameters
    ----------
    network : nn.Module
        Has all parameters that the function depends on.
    function
        The same operations in the same order for all inputs of the same shapes, nothing that asks the host.
    capture
        Makes the replayable function from a module and its first inputs; another one in tests.
    """

    def __init__(
        self,
        network: nn.Module,
        function: Callable[..., Tensor],
        capture: Callable[[nn.Module, tuple[Tensor, ...]], Callable[..., Tensor]] = _capture,
    ) -> None:
        self._network, self._function, self._capture = network, function, capture
        self._replay: Callable[..., Tensor] | None = None
        self._shapes: list[torch.Size] | None = None

    def __call__(self, *inputs: Tensor) -> Tensor:
        shapes = [value.shape for value in inputs]
        if self._shapes is None:
            self._shapes = shapes
            try:
                self._replay = self._capture(_Bound(self._network, self._function), inputs)
            except RuntimeError as error:
                reason = " ".join(str(error).split())[:200]
                warnings.warn(f"The step is not captured as a CUDA graph: {reason}", RuntimeWarning, stacklevel=2)
        if self._replay is None or shapes != self._shapes:
            return self._function(*inputs)
        return self._replay(*inputs)
