"""TD-DIP: the manifold, a generator for any matrix, and the fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from napari_dainr.inr.generator import FrameGenerator, helix
from napari_dainr.methods.base import Problem
from napari_dainr.methods.config import TddipConfig, method_config
from napari_dainr.methods.tddip import TddipMethod, TddipState
from napari_dainr.ops.resample import fourier_resize

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def test_helix_turns_and_climbs() -> None:
    z = helix(torch.tensor([0.0, 2.5, 5.0, 7.5, 10.0]), 11, cycles=2)
    expected = torch.tensor([[1, 0, 0], [-1, 0, 0.25], [1, 0, 0.5], [-1, 0, 0.75], [1, 0, 1]])
    assert torch.allclose(z, expected, atol=1e-5)
    assert torch.allclose(helix(torch.arange(4), 4, 0)[:, :2], torch.tensor([1.0, 0.0]))
    assert torch.isfinite(helix(torch.zeros(1), 1, 1)).all()


@pytest.mark.parametrize("matrix", [(33, 28), (8, 8), (5, 19), (64, 31)])
@pytest.mark.parametrize("levels", [1, 3, 4])
def test_generator_draws_any_matrix(matrix: tuple[int, int], levels: int) -> None:
    source = torch.Generator().manual_seed(0)
    network = FrameGenerator(matrix, levels=levels, width=4, blocks=2, mapping_width=8, generator=source)
    image = network(torch.tensor([1.0, 0.0, 0.0])).detach()
    assert image.shape == matrix and image.is_complex()
    # The last row and column are drawn by the network too, not left over from the cutting.
    assert float(image[-1].abs().sum()) > 0 and float(image[:, -1].abs().sum()) > 0


def test_every_frame_is_seen_once_per_pass(fit_tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[int, list[int]] = {0: [], 1: []}
    loss = TddipMethod._loss

    def spy(self: TddipMethod, problem: Problem, state: TddipState, member: int, frame: int) -> Tensor:
        seen[member].append(frame)
        return loss(self, problem, state, member, frame)

    monkeypatch.setattr(TddipMethod, "_loss", spy)
    fit_tiny("tddip", 10, frames_per_step=2, members=2)
    assert all(sorted(frames) == sorted([0, 1, 2, 3, 4] * 4) for frames in seen.values())


def test_images_at_frames_between_them_and_at_another_scale(fit_tiny: Callable[..., Any]) -> None:
    method, state = fit_tiny("tddip", 20)
    whole = method.image(state)
    assert whole.shape == (5, 33, 28)
    drawn = method.image(state, torch.tensor([0.0, 1.5, 4.0]))
    assert torch.equal(drawn[0], whole[0]) and torch.equal(drawn[2], whole[4])
    assert not torch.equal(drawn[1], (whole[1] + whole[2]) / 2)  # a point of the manifold, not a mixture of frames
    large = method.image(state, torch.tensor([2.0]), scale=1.5)
    assert torch.equal(large[0], fourier_resize(whole[2], (50, 42)))
    with state.fit.averaged():
        one = [method._draw(state, 0, torch.tensor(2.0)), method._draw(state, 1, torch.tensor(2.0))]
    assert not torch.equal(*one)
    assert torch.allclose(whole[2], (one[0] + one[1]) / 2, atol=1e-5)
    assert torch.allclose(method.preview(state)[2], one[0], atol=1e-5)


def test_paper_preset_has_the_numbers_of_the_published_program() -> None:
    config = method_config("tddip", "paper")
    assert isinstance(config, TddipConfig)
    assert (config.width, config.levels, config.blocks, config.mapping_width) == (128, 4, 2, 512)
    assert (config.n_steps, config.loss, config.learning_rate) == (10_000, "l2", 1e-3)
    assert (config.frames_per_step, config.members) == (1, 1)
    method = TddipMethod(config)
    assert method._rate(1999) == 1 and method._rate(2000) == 0.5 and method._rate(9999) == 0.5**4
