"""Running average of weights."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

__all__ = ["WeightAverage"]


class WeightAverage:
    """Exponential moving average of parameters, corrected for its start at zero.

    Without the correction the first hundred steps would be pulled towards zero weights.
    """

    def __init__(self, parameters: Iterable[Tensor], decay: float) -> None:
        self.decay = decay
        self.count = 0
        self.sums = [torch.zeros_like(p) for p in parameters]

    @torch.no_grad()
    def update(self, parameters: Iterable[Tensor]) -> None:
        self.count += 1
        for total, parameter in zip(self.sums, parameters, strict=True):
            total.lerp_(parameter.detach(), 1 - self.decay)

    @torch.no_grad()
    def averaged(self) -> list[Tensor]:
        """The averaged parameters; only after the first update."""
        correction = 1 - self.decay**self.count
        return [total / correction for total in self.sums]
