"""FMLP: the features, the function, and the fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor

from napari_dainr.inr.fitting import item_of_step
from napari_dainr.inr.fourier import FourierFeatures, SeparableFourierMlp
from napari_dainr.methods.base import Problem
from napari_dainr.methods.config import FmlpConfig, method_config

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def test_features_are_the_formula_and_have_unit_power() -> None:
    features = FourierFeatures((3.0, 0.5), 512, torch.Generator().manual_seed(0))
    coords = torch.tensor([[0.3, -0.7], [0.0, 0.0]])
    code = features(coords)
    angle = features.frequencies[0] * 0.3 - features.frequencies[1] * 0.7
    assert torch.allclose(code[0], 2**0.5 * torch.cat([angle.sin(), angle.cos()]), atol=1e-4)
    assert torch.allclose((code**2).mean(dim=1), torch.ones(2), atol=1e-4)
    # In cycles over the range of two: π v B turns B times.
    spreads = features.frequencies.std(dim=1) / torch.pi
    assert float(spreads[0]) == pytest.approx(3.0, rel=0.15) and float(spreads[1]) == pytest.approx(0.5, rel=0.15)


def test_separable_first_layer_is_a_layer_on_joined_features() -> None:
    source = torch.Generator().manual_seed(0)
    network = SeparableFourierMlp(
        space=FourierFeatures((2.0, 2.0), 8, source),
        time=FourierFeatures((1.0,), 6, source),
        width=7,
        depth=2,
        n_out=2,
        generator=source,
    )
    coords, time = torch.rand(11, 2), torch.tensor(0.4)
    joined = torch.cat([network.space(coords), network.time(time.reshape(1, 1)).expand(11, -1)], dim=1)
    weights = torch.cat([network.first_space.weight, network.first_time.weight], dim=1)
    x = torch.relu(joined @ weights.T + network.first_space.bias + network.first_time.bias)
    x = (x - x.mean(dim=1, keepdim=True)) / (x.var(dim=1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    x = torch.relu(network.hidden[0](x))
    x = (x - x.mean(dim=1, keepdim=True)) / (x.var(dim=1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    assert torch.allclose(network(network.space(coords), time), network.last(x), atol=1e-5)


def test_gradient_in_parts_is_the_gradient_of_the_loss(
    tiny_problem: Problem, fit_tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step's gradient, pulled back through the image by hand and in parts, against autograd in one piece."""
    method, state = fit_tiny("fmlp", 3, loss="l2")
    captured: list[list[Tensor]] = []

    def catch(gradients: Iterable[Tensor], rate: float = 1.0) -> None:
        captured.append(list(gradients))

    monkeypatch.setattr(state.fit, "descend", catch)
    reported = method.step(tiny_problem, state)["data"]
    frame = item_of_step(3, 5, method.seed)
    time = torch.tensor(2 * (frame - 5 // 2) / 5)
    image = torch.view_as_complex(state.network(state.place, time)).reshape(state.matrix)
    loss = ((tiny_problem.forward(image[None], [frame])[0] - tiny_problem.kdata[frame]).abs() ** 2).mean()
    assert float(reported) == pytest.approx(loss.item(), rel=1e-4)
    for ours, theirs in zip(captured[0], torch.autograd.grad(loss, state.fit.parameters), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-4 * float(theirs.abs().max()) + 1e-9)


def test_another_scale_shows_the_same_image(fit_tiny: Callable[..., Any]) -> None:
    method, state = fit_tiny("fmlp", 40)
    whole = method.image(state)
    assert whole.shape == (5, 33, 28)
    large = method.image(state, scale=2.0)
    assert large.shape == (5, 66, 56)
    # Every second pixel of the large image lies on a pixel of the small one: 33 // 2 · 2 = 32 ≠ 66 // 2 = 33.
    picked = large[:, 1::2, ::2]
    assert torch.allclose(picked[:, :32], whole[:, :32], atol=1e-3 * float(whole.abs().max()))


def test_preview_is_a_small_picture_of_the_series(
    fit_tiny: Callable[..., Any], fitted_psnr: Callable[[Tensor], float]
) -> None:
    method, state = fit_tiny("fmlp", 200, learning_rate=1e-2)
    preview = method.preview(state)
    assert preview.shape == (5, 33, 28)
    assert fitted_psnr(method.image(state)) > fitted_psnr(preview) > 12


def test_paper_preset_has_the_numbers_of_the_published_program() -> None:
    config = method_config("fmlp", "paper")
    assert isinstance(config, FmlpConfig)
    assert (config.width, config.depth, config.space_features, config.time_features) == (512, 7, 512, 128)
    assert (config.learning_rate, config.loss) == (2e-4, "l2")
