"""What the fit of a network needs beside its loss: parts side by side, optimiser steps, averaging, pack and unpack."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

import torch
from torch import Tensor, nn

from napari_dainr.inr.averaging import WeightAverage
from napari_dainr.inr.parallel import get_threads, run_parts

if TYPE_CHECKING:
    from napari_dainr.inr.adamw import BlockAdamW

__all__ = [
    "SEEDS",
    "NetworkFit",
    "adamw",
    "item_of_step",
    "late_decay",
    "member_seed",
    "side_by_side",
    "sum_gradients",
    "under",
]

T = TypeVar("T")

SEEDS = 2**64
"""So many seeds torch knows; what is made of the user's goes round."""


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
    generator = torch.Generator().manual_seed((seed * 1_000_003 + step // n_items) % SEEDS)
    return int(torch.randperm(n_items, generator=generator)[step % n_items])


def late_decay(step: int, n_steps: int, to: float) -> float:
    """Factor on a learning rate: 1 over the first half of the steps, then exponentially down to ``to``."""
    late = max(0.0, step / n_steps - 0.5) * 2
    return float(to**late)


def member_seed(seed: int, member: int = 0) -> int:
    """Seed of one of several networks that are fitted side by side; those of neighbouring seeds differ too."""
    return (seed * 7919 + member) % SEEDS


def adamw(*groups: dict[str, Any]) -> BlockAdamW:
    """AdamW with β = (0.9, 0.999) and ε = 1e-8 (Sec. IV-D) for groups of ``params``, ``lr`` and ``weight_decay``.

    Without weight decay it is Adam. Groups without parameters are left out.
    """
    used = [{**group, "initial_lr": group["lr"]} for group in groups if group["params"]]
    from napari_dainr.inr.adamw import BlockAdamW  # imports numba, which only fits need

    return BlockAdamW(used, betas=(0.9, 0.999), eps=1e-8)


@dataclass(eq=False)
class NetworkFit:
    """A network with its optimiser and the running average of its weights, if there is one.

    Parameters
    ----------
    network : nn.Module
        On the device where it is fitted.
    optimiser
        Made by :func:`adamw`.
    name
        What the weights are called among packed tensors.
    """

    network: nn.Module
    optimiser: BlockAdamW
    average: WeightAverage | None
    name: str = "network"

    @classmethod
    def new(cls, network: nn.Module, learning_rate: float, *, weight_decay: float = 0.0, ema: float) -> Self:
        """All parameters fitted alike; ``ema`` is the decay of the weight average, 0 for none."""
        group = {"params": list(network.parameters()), "lr": learning_rate, "weight_decay": weight_decay}
        return cls(network, adamw(group), WeightAverage.over(network, ema))

    @property
    def parameters(self) -> list[Tensor]:
        return list(self.network.parameters())

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def descend(self, gradients: Iterable[Tensor | None], rate: float = 1.0) -> None:
        """One step of the optimiser with ``rate`` times the learning rates, then one of the average.

        ``gradients`` are those of :attr:`parameters`, None where the loss does not depend on one.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = group["initial_lr"] * rate
        for parameter, gradient in zip(self.network.parameters(), gradients, strict=True):
            parameter.grad = gradient
        self.optimiser.step()
        self.optimiser.zero_grad()
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
        tensors = {f"{self.name}.{name}": value for name, value in self.network.state_dict().items()}
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
        self.network.load_state_dict(under(tensors, f"{self.name}."))
        slots: dict[int, dict[str, Tensor]] = {}
        for key, value in under(tensors, "optimiser.").items():
            index, name = key.split(".", 1)
            slots.setdefault(int(index), {})[name] = value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": slots, "param_groups": groups})
        if self.average is not None:
            sums = under(tensors, "average.")
            self.average.count = int(sums.pop("count"))
            self.average.sums = [sums[str(index)].to(self.device) for index in range(len(sums))]


def under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, named without it."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
