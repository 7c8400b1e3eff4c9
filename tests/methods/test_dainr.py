"""DA-INR against the paper's equations, and against what it is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from napari_dainr.inr.encodings import FrequencyEncoding
from napari_dainr.methods.base import Problem
from napari_dainr.methods.config import DainrConfig, method_config
from napari_dainr.ops.resample import draw_series

pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.mark.parametrize("zero", ["switch", "difference"])
@pytest.mark.parametrize("coarse", [1, 4])
def test_no_deformation_at_time_zero(
    tiny_problem: Problem, fit_tiny: Callable[..., Any], zero: str, coarse: int
) -> None:
    method, state = fit_tiny("dainr", 30, feature="nufft", zero_at_start=zero, deform_grid=coarse)
    middle = tiny_problem.n_frames // 2  # frame n // 2 sits at t = 0
    fields = method.displacement(state, torch.tensor([float(middle), 0.0]))
    assert float(fields[0].abs().max()) == 0
    assert float(fields[1].abs().max()) > 0


def test_difference_form_is_continuous_at_time_zero(fit_tiny: Callable[..., Any]) -> None:
    method, state = fit_tiny("dainr", 30, feature="none", zero_at_start="difference")
    near = method.displacement(state, torch.tensor([2 + 1e-4]))
    assert float(near.abs().max()) < 1e-2


def test_frequency_encoding_is_the_formula_of_the_paper() -> None:
    p = torch.tensor([[0.3, -0.7]])
    code = FrequencyEncoding(2, 10)(p)
    assert code.shape == (1, 2 * 2 * 11)  # i = 0 … 10, sine and cosine, two components
    expected = {np.sin(2.0**i * np.pi * v) for i in range(11) for v in (0.3, -0.7)}
    assert all(np.isclose(code.numpy(), e, atol=1e-3).any() for e in expected)


def test_paper_preset_has_the_numbers_of_the_paper() -> None:
    config = method_config("dainr", "paper")
    assert isinstance(config, DainrConfig)
    assert (config.levels, config.table_log2, config.level_features, config.n_min, config.growth) == (16, 19, 2, 16, 2)
    assert (config.space_frequencies, config.time_frequencies, config.width, config.depth) == (10, 6, 64, 5)
    assert (config.learning_rate, config.table_learning_rate, config.deform_grid, config.members) == (1e-3, 1e-3, 1, 1)
    assert config.feature_share == 0  # Eq. 7 draws the network's image alone


def test_render_at_another_scale_shows_the_same_image(fit_tiny: Callable[..., Any]) -> None:
    method, state = fit_tiny("dainr", 60, feature="grasp")
    small, large = method.image(state), method.image(state, scale=2.0)
    assert large.shape == (5, 66, 56)
    # Every second pixel of the large image lies on a pixel of the small one: 33 // 2 · 2 = 32 ≠ 66 // 2 = 33.
    picked = large[:, 33 - 32 :: 2, 28 - 28 :: 2][:, :33, :28]
    assert picked.shape == small.shape
    difference = torch.linalg.vector_norm((picked - small)[:, 1:-1, 1:-1]) / torch.linalg.vector_norm(small)
    assert float(difference) < 1e-3


@pytest.mark.parametrize("feature", ["grasp", "lowrank"])
def test_what_is_drawn_is_the_mean_of_network_and_reconstruction(
    tiny_problem: Problem, small_method: Callable[..., Any], fit_tiny: Callable[..., Any], feature: str
) -> None:
    method, state = fit_tiny("dainr", 40, feature=feature)
    frames = torch.tensor([0.0, 1.25, 4.0])
    for scale in (1.0, 1.5):
        drawn = {
            share: small_method("dainr", feature=feature, feature_share=share).image(state, frames, scale)
            for share in (0.0, 0.25, 1.0)
        }
        assert torch.allclose(drawn[1.0], draw_series(state.features, frames, scale), atol=1e-6)
        assert float((drawn[0.0] - drawn[1.0]).abs().max()) > 1e-3  # otherwise a mean would show nothing
        assert torch.allclose(drawn[0.25], 0.75 * drawn[0.0] + 0.25 * drawn[1.0], atol=1e-6)
        both = 0.8 * drawn[0.0] + 0.2 * drawn[1.0]  # the default
        assert torch.allclose(method.image(state, frames, scale), both, atol=1e-6)


def test_the_share_is_no_part_of_the_fit(tiny_problem: Problem, fit_tiny: Callable[..., Any]) -> None:
    method, state = fit_tiny("dainr", 10, feature="grasp")
    alone, other = fit_tiny("dainr", 10, feature="grasp", feature_share=0.0)
    packed, expected = method.pack(state), alone.pack(other)
    assert packed.keys() == expected.keys() and all(torch.equal(packed[name], expected[name]) for name in packed)
    assert not torch.equal(method.image(state), alone.image(other))


@pytest.mark.parametrize("feature", ["nufft", "view-shared", "none"])
def test_streaks_are_not_mixed_in(small_method: Callable[..., Any], fit_tiny: Callable[..., Any], feature: str) -> None:
    method, state = fit_tiny("dainr", 5, feature=feature)
    assert torch.equal(method.image(state), small_method("dainr", feature=feature, feature_share=0.0).image(state))
