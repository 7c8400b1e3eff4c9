"""The one loop of the project, and the one table of methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor

from napari_dainr.methods.base import Method, Problem
from napari_dainr.methods.config import MethodConfig
from napari_dainr.methods.dainr import DainrMethod
from napari_dainr.methods.fmlp import FmlpMethod
from napari_dainr.methods.grasp import GraspMethod
from napari_dainr.methods.hashinr import HashinrMethod
from napari_dainr.methods.lowrank import LowrankMethod
from napari_dainr.methods.nik import NikMethod
from napari_dainr.methods.nufft import NufftMethod
from napari_dainr.methods.stinr import StinrMethod
from napari_dainr.methods.tddip import TddipMethod

__all__ = ["METHODS", "fit", "make_method"]

METHODS: dict[str, Callable[[Any, int], Method]] = {
    "nufft": NufftMethod,
    "grasp": GraspMethod,
    "lowrank": LowrankMethod,
    "tddip": TddipMethod,
    "hashinr": HashinrMethod,
    "stinr": StinrMethod,
    "fmlp": FmlpMethod,
    "nik": NikMethod,
    "dainr": DainrMethod,
}
"""Maker of each method, from its settings and a seed; the names are those of ``methods.config.CONFIGS``."""


def make_method(name: str, config: MethodConfig, seed: int) -> Method:
    """The method of a recipe."""
    return METHODS[name](config, seed)


def fit(method: Method, problem: Problem, state: Any) -> Iterator[Mapping[str, Tensor | float]]:
    """Step until the method is done, yielding the losses of each step.

    Between two yields the state is at rest: to pause is not to pull, to stop is to close the iterator, to resume is
    to call again with the same state.
    """
    while not method.done(state):
        yield method.step(problem, state)
