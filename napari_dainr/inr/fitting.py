"""What the fit of a network needs beside its loss: parts side by side, optimiser steps, averaging, pack and unpack."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from napari_dainr.inr.averaging import WeightAverage
from napari_dainr.inr.parallel import get_threads, run_parts

__all__ = ["NetworkFit", "item_of_step", "late_decay", "side_by_side", "sum_gradients"]

T = TypeVar("T")


def side_by_side(work: Callable[[int], T], n: int, device: torch.device) -> list[T]:
    """``[work(0), …, work(n − 1)]``, on the CPU each in a thread of its own, in the caller's gradient mode.

    A core per part is faster than several cores on each small product. What a part computes must not depend on the
    others; then the bits do not depend on the number of threads. ``work`` must not call this function itself.
    """
    if device.type != "cpu" or get_threads() < 2 or n < 2:
        return [work(part) for part in range(n)]
    results: dict[int, T] = {}
    differentiable = torch.is_grad_enabled()

    def run(part: int) -> None:
        # OpenMP's number of threads is a thread's own; torch brings its setting to a new one when it is asked for it.
        torch.get_num_threads()
        with torch.set_grad_enabled(differentiable):
            results[part] = work(part)

    run_parts(run, n)
    return [results[part] for part in range(n)]


def sum_gradients(parts: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """Gradients of several parts added up, always in the order of the parts, so that rounding is the same."""
    first, *others = parts
    sums = list(first)
    for other in others:
        sums = [a + b for a, b in zip(sums, other, strict=True)]
    return sums


def item_of_step(step: int, n_items: int, seed: int) -> int:
    """Every item once per pass, in an order set by seed and pass alone, so that a resumed fit agrees."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + step // n_items)
    return int(torch.randperm(n_items, generator=generator)[step % n_items])


def late_decay(step: int, n_steps: int, to: float) -> float:
    """Factor on a learning rate: 1 over the first half of the steps, then exponentially down to ``to``."""
    late = max(0.0, step / n_steps - 0.5) * 2
    return float(to**late)


class NetworkFit:
    """A network with its AdamW optimiser and the running average of its weights.

    Parameters
    ----------
    network : nn.Module
        On the device where it is fitted.
    learning_rate, weight_decay
        Of AdamW, with β = (0.9, 0.999) and ε = 1e-8; no weight decay makes it Adam.
    ema : float
        Decay of the weight average; 0 for none.
    """

    def __init__(self, network: nn.Module, learning_rate: float, weight_decay: float, ema: float) -> None:
        self.network = network
        self.learning_rate = learning_rate
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=learning_rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=weight_decay, fused=True
        )
        self.average = WeightAverage(network.parameters(), ema) if ema > 0 else None

    @property
    def parameters(self) -> list[Tensor]:
        return list(self.network.parameters())

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def descend(self, gradients: Iterable[Tensor], rate: float = 1.0) -> None:
        """One step of the optimiser with ``rate`` times the learning rate, then one of the average."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate * rate
        for parameter, gradient in zip(self.network.parameters(), gradients, strict=True):
            parameter.grad = gradient
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.network.parameters())

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """The averaged weights in the network while this lasts; without gradients."""
        with torch.no_grad():
            if self.average is None or self.average.count == 0:
                yield
                return
            trained = [p.detach().clone() for p in self.network.parameters()]
            self._assign(self.average.averaged())
            try:
                yield
            finally:
                self._assign(trained)

    def _assign(self, values: Iterable[Tensor]) -> None:
        for parameter, value in zip(self.network.parameters(), values, strict=True):
            parameter.copy_(value)

    def pack(self) -> dict[str, Tensor]:
        """Weights, optimiser and average as named tensors."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        for index, slots in self.optimiser.state_dict()["state"].items():
            for name, value in slots.items():
                tensors[f"optimiser.{index}.{name}"] = torch.as_tensor(value)
        if self.average is not None:
            tensors["average.count"] = torch.tensor(self.average.count)
            for index, value in enumerate(self.average.sums):
                tensors[f"average.{index}"] = value
        return tensors

    def unpack(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`pack` gave; other names are ignored."""
        self.network.load_state_dict(_under(tensors, "network."))
        slots: dict[int, dict[str, Tensor]] = {}
        for key, value in _under(tensors, "optimiser.").items():
            index, name = key.split(".", 1)
            slots.setdefault(int(index), {})[name] = value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": slots, "param_groups": groups})
        if self.average is not None:
            sums = _under(tensors, "average.")
            self.average.count = int(sums.pop("count"))
            self.average.sums = [sums[str(index)].to(self.device) for index in range(len(sums))]


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
