"""HashINR: the field, its gradient, and what it is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from napari_dainr.inr.hashfield import HashField
from napari_dainr.inr.hashgrid import HashGridSpec
from napari_dainr.methods.config import HashinrConfig, method_config
from napari_dainr.methods.hashinr import HashinrMethod, misfit

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def test_losses_are_their_formulas() -> None:
    drawn, measured = torch.tensor([3 + 4j, 1j]), torch.tensor([0j, 1j])
    assert float(misfit(drawn, measured, "l1", 0.5)) == pytest.approx(2.5)
    assert float(misfit(drawn, measured, "l2", 0.5)) == pytest.approx(12.5)
    assert float(misfit(drawn, measured, "relative", 0.5)) == pytest.approx(25 / 5.5**2 / 2)


def test_relative_loss_holds_its_denominator() -> None:
    drawn = torch.tensor([3 + 4j]).requires_grad_()
    misfit(drawn, torch.tensor([0j]), "relative", 0.5).backward()
    assert drawn.grad is not None
    assert torch.allclose(drawn.grad, 2 * drawn.detach() / 5.5**2)


@pytest.mark.parametrize("weights", [None, [1.0, 0.3, 0.0]])
def test_gradient_by_frames_is_that_of_autograd(weights: list[float] | None) -> None:
    """The hand-made way back through parts and hash grid, against one graph by the plain PyTorch hash grid."""
    spec = HashGridSpec(levels=3, table_log2=7, features=2, n_min=3, growth=1.7, dims=3)
    field = HashField(spec, 8, 2, 0.7, torch.Generator().manual_seed(3))
    with torch.no_grad():
        field.grid.table.mul_(1e4)  # from ±1e-4, where gradients of the perceptron would hardly be seen
    frames, matrix = torch.tensor([0.0, 2.0, 2.5]), (5, 4)
    target = torch.randn(3, *matrix, dtype=torch.complex64, generator=torch.Generator().manual_seed(4))

    drawn = field.draw(frames, 4, matrix, weights)
    image = drawn.image(matrix)
    (slope,) = torch.autograd.grad(((image - target).abs() ** 2).sum(), image)
    found = drawn.gradients(slope)

    field.grid.backend = "torch"
    code = field.grid(field.points(frames, 4, matrix))
    scale = field.level_scale(weights)
    plain = torch.view_as_complex(field.network(code if scale is None else code * scale)).reshape(3, *matrix)
    expected = torch.autograd.grad(((plain - target).abs() ** 2).sum(), list(field.parameters()))
    assert torch.allclose(plain, field.render(frames, 4, matrix, weights), atol=1e-5)
    for mine, theirs in zip(found, expected, strict=True):
        assert float(theirs.abs().max()) > 0
        assert torch.allclose(mine, theirs, rtol=1e-3, atol=1e-4 * float(theirs.abs().max()))


def test_another_scale_shows_the_same_image(fit_tiny: Callable[..., Any]) -> None:
    method, state = fit_tiny("hashinr", 30)
    native, large = method.image(state), method.image(state, scale=2.0)
    assert large.shape == (5, 66, 56)
    # Every second pixel of the large image lies on a pixel of the small one; see coordinates.py.
    assert torch.allclose(large[:, 1::2, ::2][:, :33, :28], native, atol=1e-4)


def test_every_frame_once_per_pass() -> None:
    method = HashinrMethod(HashinrConfig(frames_per_step=4))
    for n in (6, 23):
        seen = [frame for step in range(n) for frame in method._frames(step, n)]
        assert all(sorted(seen[i * n : (i + 1) * n]) == list(range(n)) for i in range(4))
    assert method._frames(3, 4) == [0, 1, 2, 3]


@pytest.mark.parametrize(("matrix", "finest"), [((128, 128), 128), ((33, 160), 160), ((10, 12), 16)])
def test_finest_cells_are_pixels(matrix: tuple[int, int], finest: int) -> None:
    assert HashinrMethod(HashinrConfig())._spec(matrix).resolutions[-1] == finest


def test_paper_preset_has_the_numbers_of_the_paper() -> None:
    config = method_config("hashinr", "paper")
    assert isinstance(config, HashinrConfig)
    assert (config.levels, config.table_log2, config.level_features, config.n_min, config.growth) == (16, 19, 2, 16, 2)
    assert (config.width, config.depth, config.learning_rate, config.weight_decay) == (64, 5, 1e-3, 1e-2)
    assert config.frames_per_step is None and config.loss == "l2" and config.time_extent == 1
