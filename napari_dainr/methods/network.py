"""What the methods share whose state is a network that draws the frames of a matrix: begin, pack and unpack."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from napari_dainr.inr.fitting import NetworkFit
from napari_dainr.methods.base import Method, Problem

__all__ = ["NetworkMethod", "NetworkState"]


@dataclass
class NetworkState:
    """The network with its optimiser, and what it draws: ``n_frames`` frames of ``matrix`` (y, x) pixels."""

    step: int
    n_frames: int
    matrix: tuple[int, int]
    fit: NetworkFit


State = TypeVar("State", bound=NetworkState)


class NetworkMethod(Method, Generic[State]):
    """A method that has nothing to remember but its network and how far the fit is."""

    @abstractmethod
    def _fresh(self, n_frames: int, matrix: tuple[int, int], device: torch.device) -> State:
        """The state before the first step; its weights are set by the seed alone."""

    def start(self, problem: Problem) -> State:
        return self._fresh(problem.n_frames, problem.matrix, problem.device)

    def pack(self, state: State) -> dict[str, Tensor]:
        return {
            "step": torch.tensor(state.step),
            "n_frames": torch.tensor(state.n_frames),
            "matrix": torch.tensor(state.matrix),
            **state.fit.pack(),
        }

    def unpack(self, tensors: Mapping[str, Tensor], device: torch.device) -> State:
        height, width = (int(n) for n in tensors["matrix"])
        state = self._fresh(int(tensors["n_frames"]), (height, width), device)
        state.step = int(tensors["step"])
        state.fit.unpack(tensors)
        return state
