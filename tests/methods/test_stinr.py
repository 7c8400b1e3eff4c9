"""ST-INR: Eq. 10 term by term."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_dainr.inr.hashfield import open_levels
from napari_dainr.methods.base import Problem
from napari_dainr.methods.config import StinrConfig, method_config
from napari_dainr.methods.stinr import StinrMethod

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def change(image: Tensor) -> float:
    return float((image[1:] - image[:-1]).abs().sum() / image.abs().sum())


def spread(image: Tensor) -> float:
    """Share of the singular values beyond the first: 0 for rank 1."""
    values = np.linalg.svd(image.reshape(len(image), -1).numpy(), compute_uv=False)
    return float(values[1:].sum() / values[0])


def test_penalties_are_those_of_equation_10(fit_tiny: Callable[..., Any]) -> None:
    method, state = fit_tiny("stinr", 30, lam_sparse=0.3, lam_lowrank=0.7)
    image = method.image(state)
    terms = method._penalty(state, image)
    assert float(terms["sparse"]) == pytest.approx(0.3 * float((image[1:] - image[:-1]).abs().mean()), rel=1e-5)
    norm = np.linalg.svd(image.reshape(5, -1).numpy(), compute_uv=False).sum()
    assert float(terms["low rank"]) == pytest.approx(0.7 * norm / np.sqrt(image.numel()), rel=1e-4)


def test_a_still_series_of_magnitude_one_has_low_rank_one(fit_tiny: Callable[..., Any]) -> None:
    method, state = fit_tiny("stinr", 1, lam_lowrank=1.0)
    still = torch.ones(5, 33, 28, dtype=torch.complex64)
    assert float(method._penalty(state, still)["low rank"]) == pytest.approx(1, rel=1e-5)


def test_total_variation_begins_after_its_step(tiny_problem: Problem, small_method: Callable[..., Any]) -> None:
    method = small_method("stinr", n_steps=6, sparse_after=3)
    state = method.start(tiny_problem)
    named = ["sparse" in method.step(tiny_problem, state) for _ in range(6)]
    assert named == [False, False, False, True, True, True]


def test_weights_do_what_they_are_for(fit_tiny: Callable[..., Any]) -> None:
    """More λ_S: less change between frames. More λ_L: fewer components."""
    method, plain = fit_tiny("stinr", 60, lam_sparse=0.0, lam_lowrank=0.0)
    _, sparse = fit_tiny("stinr", 60, lam_sparse=30.0, lam_lowrank=0.0)
    _, low = fit_tiny("stinr", 60, lam_sparse=0.0, lam_lowrank=30.0)
    assert change(method.image(sparse)) < 0.6 * change(method.image(plain))
    assert spread(method.image(low)) < 0.6 * spread(method.image(plain))


def test_levels_open_from_coarse_to_fine(tiny_problem: Problem, small_method: Callable[..., Any]) -> None:
    assert open_levels(4, 0) == [1, 1, 0, 0]
    assert open_levels(4, 0.75) == [1, 1, 1, 0.5]
    assert open_levels(5, 1) == [1, 1, 1, 1, 1]
    method = small_method("stinr", levels=4, n_steps=10, coarse_to_fine=0.5)
    state = method.start(tiny_problem)
    start = state.field.grid.table.detach().clone()
    method.step(tiny_problem, state)
    first = state.field.grid.spec.offsets[2]
    assert torch.equal(state.field.grid.table[first:], start[first:])  # closed levels learn nothing
    assert not torch.equal(state.field.grid.table[:first], start[:first])
    while not method.done(state):
        method.step(tiny_problem, state)
    assert not torch.equal(state.field.grid.table[first:], start[first:])
    assert method._levels(state) == [1, 1, 1, 1]


def test_windows_hold_consecutive_frames() -> None:
    method = StinrMethod(StinrConfig(frames_per_step=4))
    seen = np.zeros(9)
    for step in range(600):
        frames = method._frames(step, 9)
        assert frames == list(range(frames[0], frames[0] + 4)) and 0 <= frames[0] <= 5
        seen[frames] += 1
    assert seen.min() > 0.5 * seen.max()
    assert method._frames(0, 3) == [0, 1, 2]


def test_paper_preset_has_the_numbers_of_the_paper() -> None:
    config = method_config("stinr", "paper")
    assert isinstance(config, StinrConfig)
    assert (config.levels, config.table_log2, config.level_features, config.n_min, config.growth) == (16, 19, 2, 16, 2)
    assert config.loss == "relative" and config.sparse_after == 20 and config.frames_per_step is None
