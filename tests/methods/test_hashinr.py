"""HashINR: the field, its gradient, and what it is for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from napari_dainr.inr.hashfield import HashField
from napari_dainr.inr.hashgrid import HashGridSpec
from napari_dainr.inr.parallel import get_threads, set_threads
from napari_dainr.methods.base import Problem
from napari_dainr.methods.config import HashinrConfig, NufftConfig, method_config
from napari_dainr.methods.hashinr import HashinrMethod, HashState, misfit
from napari_dainr.methods.nufft import NufftMethod

pytestmark = pytest.mark.usefixtures("one_torch_thread")

SMALL = {"width": 24, "depth": 2, "n_min": 4, "table_log2": 11, "frames_per_step": 2}


def run(problem: Problem, steps: int, **changes: object) -> tuple[HashinrMethod, HashState]:
    method = HashinrMethod(HashinrConfig.model_validate({**SMALL, "n_steps": steps, **changes}))
    state = method.start(problem)
    while not method.done(state):
        method.step(problem, state)
    return method, state


@pytest.mark.parametrize(("loss", "frames"), [("l1", 2), ("l2", 2), ("relative", 2), ("l1", None)])
def test_beats_nufft(
    tiny_problem: Problem, fitted_psnr: Callable[[Tensor], float], loss: str, frames: int | None
) -> None:
    nufft = NufftMethod(NufftConfig())
    first = nufft.start(tiny_problem)
    nufft.step(tiny_problem, first)
    method, state = run(tiny_problem, 80, loss=loss, frames_per_step=frames, learning_rate=1e-2)
    assert fitted_psnr(method.image(state)) > fitted_psnr(first.x) + 1


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


def test_gradient_of_the_loss_against_finite_differences(tiny_problem: Problem) -> None:
    """d loss / d weights through hash grid, perceptron, coil maps and NUFFT."""
    _, state = run(tiny_problem, 20, loss="l2")
    frames = [1, 3]

    def value() -> float:
        drawn = state.field.render(torch.tensor([1.0, 3.0]), state.n_frames, state.matrix)
        return float(misfit(tiny_problem.forward(drawn, frames), tiny_problem.kdata[frames], "l2", 1))

    drawn = state.field.draw(torch.tensor([1.0, 3.0]), state.n_frames, state.matrix)
    image = drawn.image(state.matrix)
    loss = misfit(tiny_problem.forward(image, frames), tiny_problem.kdata[frames], "l2", 1)
    (slope,) = torch.autograd.grad(loss, image)
    for parameter, gradient in zip(state.fit.parameters, drawn.gradients(slope), strict=True):
        size = float(torch.linalg.vector_norm(gradient))
        step = 3e-3 * float(torch.linalg.vector_norm(parameter.detach())) + 1e-3
        with torch.no_grad():
            parameter.add_(gradient * step / size)
            up = value()
            parameter.sub_(2 * gradient * step / size)
            down = value()
            parameter.add_(gradient * step / size)
        assert (up - down) / (2 * step) == pytest.approx(size, rel=0.15)


def test_resumed_is_the_same_as_straight(tiny_problem: Problem) -> None:
    method, straight = run(tiny_problem, 14)
    state = method.start(tiny_problem)
    for _ in range(9):
        method.step(tiny_problem, state)
    again = HashinrMethod(method.config)
    state = again.unpack({k: v.clone() for k, v in method.pack(state).items()}, torch.device("cpu"))
    while not again.done(state):
        again.step(tiny_problem, state)
    for name, value in method.pack(straight).items():
        assert torch.equal(value, again.pack(state)[name]), name
    assert torch.equal(method.image(straight), again.image(state))


def test_the_same_bits_for_any_number_of_threads(tiny_problem: Problem) -> None:
    before, results = get_threads(), []
    try:
        for threads in (1, 2, 3):
            set_threads(threads)
            method, state = run(tiny_problem, 6, frames_per_step=None)
            results.append(method.image(state, torch.tensor([0.0, 1.5, 4.0]), 1.5))
    finally:
        set_threads(before)
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_another_seed_is_another_fit(tiny_problem: Problem) -> None:
    config = HashinrConfig.model_validate({**SMALL, "n_steps": 3})
    first, second = (HashinrMethod(config, seed).start(tiny_problem).field.grid.table for seed in (0, 1))
    assert not torch.equal(first, second)


def test_draws_at_any_time_and_size(tiny_problem: Problem) -> None:
    method, state = run(tiny_problem, 30)
    native = method.image(state)
    assert native.shape == (5, 33, 28) and torch.equal(method.image(state, torch.arange(5.0)), native)
    assert torch.allclose(method.preview(state), native)
    drawn = method.image(state, torch.tensor([1.0, 1.5]))
    assert torch.allclose(drawn[0], native[1], atol=1e-6) and not torch.equal(drawn[1], drawn[0])
    large = method.image(state, scale=2.0)
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
