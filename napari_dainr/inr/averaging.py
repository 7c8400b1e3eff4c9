"""Running average of weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import torch
from torch import Tensor, nn

__all__ = ["WeightAverage"]


class WeightAverage:
    """Exponential moving average of parameters, corrected for its start at zero.

    Without the correction the first hundred steps would be pulled towards zero weights.

    Parameters
    ----------
    parameters
        Those that are averaged; later calls give the same ones in the same order.
    decay : float
        Weight of what was, in (0, 1).
    """

    def __init__(self, parameters: Iterable[Tensor], decay: float) -> None:
        self.decay = decay
        self.count = 0
        self.sums = [torch.zeros_like(p) for p in parameters]

    @classmethod
    def over(cls, network: nn.Module, decay: float) -> Self | None:
        """The average of a network's parameters; None where ``decay`` is 0."""
        return cls(network.parameters(), decay) if decay > 0 else None

    @torch.no_grad()
    def update(self, parameters: Iterable[Tensor]) -> None:
        """Count the parameters as they are now."""
        self.count += 1
        # On a GPU one launch for all instead of one for each, whose cost is the host's.
        torch._foreach_lerp_(self.sums, [parameter.detach() for parameter in parameters], 1 - self.decay)

    @torch.no_grad()
    def averaged(self) -> list[Tensor]:
        """The averaged parameters; only after the first update."""
        correction = 1 - self.decay**self.count
        return [total / correction for total in self.sums]
