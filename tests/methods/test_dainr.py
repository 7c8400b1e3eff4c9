"""DA-INR against the paper's equations, and against what it is for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_dainr.inr.encodings import FrequencyEncoding
from napari_dainr.methods.base import Problem
from napari_dainr.methods.config import DainrConfig, NufftConfig, method_config
from napari_dainr.methods.dainr import DainrMethod, DainrState
from napari_dainr.methods.nufft import NufftMethod

SMALL = {"width": 32, "depth": 3, "n_min": 4, "table_log2": 12, "feature_steps": 40}


def run(problem: Problem, steps: int, **changes: object) -> tuple[DainrMethod, DainrState]:
    method = DainrMethod(DainrConfig.model_validate({**SMALL, "n_steps": steps, **changes}))
    state = method.start(problem)
    while not method.done(state):
        method.step(problem, state)
    return method, state


@pytest.mark.parametrize(
    ("feature", "steps", "margin"),
    [("none", 150, 2.0), ("grasp", 100, 5.0), ("lowrank", 100, 5.0), ("nufft", 100, 0.5)],
)
def test_beats_nufft(
    tiny_problem: Problem, fitted_psnr: Callable[[Tensor], float], feature: str, steps: int, margin: float
) -> None:
    nufft = NufftMethod(NufftConfig())
    first = nufft.start(tiny_problem)
    nufft.step(tiny_problem, first)
    method, state = run(tiny_problem, steps, feature=feature)
    assert fitted_psnr(method.image(state)) > fitted_psnr(first.x) + margin


@pytest.mark.parametrize("zero", ["switch", "difference"])
@pytest.mark.parametrize("coarse", [1, 4])
def test_no_deformation_at_time_zero(tiny_problem: Problem, zero: str, coarse: int) -> None:
    method, state = run(tiny_problem, 30, feature="nufft", zero_at_start=zero, deform_grid=coarse)
    middle = tiny_problem.n_frames // 2  # frame n // 2 sits at t = 0
    fields = method.displacement(state, torch.tensor([float(middle), 0.0]))
    assert float(fields[0].abs().max()) == 0
    assert float(fields[1].abs().max()) > 0


def test_difference_form_is_continuous_at_time_zero(tiny_problem: Problem) -> None:
    method, state = run(tiny_problem, 30, feature="none", zero_at_start="difference")
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


def test_render_at_another_scale_shows_the_same_image(tiny_problem: Problem) -> None:
    method, state = run(tiny_problem, 60, feature="grasp")
    small, large = method.image(state), method.image(state, scale=2.0)
    assert large.shape == (5, 66, 56)
    # Every second pixel of the large image lies on a pixel of the small one: 33 // 2 · 2 = 32 ≠ 66 // 2 = 33.
    picked = large[:, 33 - 32 :: 2, 28 - 28 :: 2][:, :33, :28]
    assert picked.shape == small.shape
    difference = torch.linalg.vector_norm((picked - small)[:, 1:-1, 1:-1]) / torch.linalg.vector_norm(small)
    assert float(difference) < 1e-3


def test_frames_between_are_drawn(tiny_problem: Problem) -> None:
    method, state = run(tiny_problem, 60, feature="grasp")
    drawn = method.image(state, torch.tensor([0.0, 0.5, 1.0]))
    whole = method.image(state)
    assert torch.equal(drawn[0], whole[0]) and torch.equal(drawn[2], whole[1])
    assert not torch.equal(drawn[1], drawn[0])


@pytest.mark.parametrize("stop_at", [3, 12, 20])
def test_resumed_is_the_same_as_straight(tiny_problem: Problem, stop_at: int) -> None:
    """Stopping in the GRASP part, at the join and among the networks; same bits in the end."""
    config = DainrConfig.model_validate({**SMALL, "feature_steps": 12, "n_steps": 15})
    method = DainrMethod(config)
    straight, state = method.start(tiny_problem), method.start(tiny_problem)
    while not method.done(straight):
        method.step(tiny_problem, straight)
    while state.step < stop_at:
        method.step(tiny_problem, state)
    tensors = {k: v.clone() for k, v in method.pack(state).items()}
    again = DainrMethod(config)
    state = again.unpack(tensors, torch.device("cpu"))
    while not again.done(state):
        again.step(tiny_problem, state)
    assert torch.equal(method.image(straight), again.image(state))


def test_gradient_of_the_loss_against_finite_differences(tiny_problem: Problem) -> None:
    """d loss / d weights through hash grid, warp, coil maps and NUFFT."""
    method = DainrMethod(DainrConfig.model_validate({**SMALL, "feature": "nufft", "zero_at_start": "difference"}))
    state = method.start(tiny_problem)

    def loss() -> torch.Tensor:
        image = method._draw(state, state.fields[0], torch.tensor(1.0), state.matrix)
        residual = tiny_problem.forward(image[None], [1])[0] - tiny_problem.kdata[1]
        return (residual.abs() ** 2).mean()

    for name, parameter in state.fields[0].named_parameters():
        if not name.startswith("canonical.network.layers"):
            continue
        state.fields.zero_grad()
        loss().backward()
        direction = parameter.grad.clone()
        size = float(torch.linalg.vector_norm(direction))
        step = 1e-2 / max(size, 1e-6)
        with torch.no_grad():
            parameter.add_(direction * step / size)
            up = float(loss())
            parameter.sub_(2 * direction * step / size)
            down = float(loss())
            parameter.add_(direction * step / size)
        slope = (up - down) / (2 * step)
        if size > 1e-3:
            assert slope == pytest.approx(size, rel=0.1), name
