"""Steps that are replayed: the same as those that are not, on the CPU with a stand-in for the capture, and on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from napari_dainr.data import KSpace, bin_spokes
from napari_dainr.inr.cuda_graph import GRAPHS_VARIABLE, Replayed, graphs_wanted
from napari_dainr.methods import dainr
from napari_dainr.methods.base import Problem
from napari_dainr.methods.config import method_config
from napari_dainr.methods.fit import make_method
from napari_dainr.methods.problem import make_problem

SETTINGS: dict[str, Any] = {"width": 16, "depth": 2, "n_min": 4, "table_log2": 9, "feature_steps": 3, "n_steps": 12}


def stand_in(module: nn.Module, inputs: tuple[Tensor, ...]) -> Callable[..., Tensor]:
    """A capture as CUDA's: inputs are copied to fixed memory, results and gradients lie in memory that is reused."""
    fixed = [value.clone() for value in inputs]
    parameters = list(module.parameters())
    result = torch.empty_like(module(*fixed).detach())
    gradients = [torch.zeros_like(parameter) for parameter in parameters]

    class Replay(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *values: Tensor) -> Tensor:
            for place, value in zip(fixed, values, strict=False):
                place.copy_(value)
            with torch.enable_grad():
                ctx.made = module(*fixed)
            return result.copy_(ctx.made.detach()).detach()

        @staticmethod
        def backward(ctx: Any, *slopes: Tensor) -> Any:
            made = torch.autograd.grad(ctx.made, parameters, slopes[0], allow_unused=True)
            for place, gradient in zip(gradients, made, strict=True):
                place.zero_() if gradient is None else place.copy_(gradient)
            return (*[None] * len(fixed), *(gradient.detach() for gradient in gradients))

    return lambda *values: Replay.apply(*values, *parameters)


def fitted(problem: Problem, **settings: Any) -> Tensor:
    method = make_method("dainr", method_config("dainr", "fast", {**SETTINGS, **settings}), 0)
    state = method.start(problem)
    while not method.done(state):
        method.step(problem, state)
    return method.image(state).detach().cpu()


@pytest.fixture(scope="module")
def problem(tiny_kspace: KSpace) -> Problem:
    return make_problem(bin_spokes(tiny_kspace, 8), threads=1)


@pytest.mark.parametrize(
    "settings",
    [{}, {"feature": "none", "members": 1, "zero_at_start": "difference"}, {"deform_encoding": "hash"}],
    ids=["default", "no feature, difference", "hash deformation"],
)
def test_replayed_steps_are_the_same_to_the_bit(
    problem: Problem, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = fitted(problem, **settings)
    captured: list[nn.Module] = []

    def capture(module: nn.Module, inputs: tuple[Tensor, ...]) -> Callable[..., Tensor]:
        captured.append(module)
        return stand_in(module, inputs)

    monkeypatch.setattr(dainr, "graphs_wanted", lambda device: True)
    monkeypatch.setattr(dainr, "Replayed", partial(Replayed, capture=capture))
    assert torch.equal(fitted(problem, **settings), expected)
    members = settings.get("members", method_config("dainr").members)
    assert len(captured) == members  # once for each network, whatever frames it sees


def test_a_capture_that_fails_is_told_and_changes_nothing(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = fitted(problem)

    def fails(module: nn.Module, inputs: tuple[Tensor, ...]) -> Callable[..., Tensor]:
        raise RuntimeError("operation not permitted\nwhen stream is capturing")

    monkeypatch.setattr(dainr, "graphs_wanted", lambda device: True)
    monkeypatch.setattr(dainr, "Replayed", partial(Replayed, capture=fails))
    with pytest.warns(RuntimeWarning, match="not captured as a CUDA graph: operation not permitted when") as told:
        assert torch.equal(fitted(problem), expected)
    assert len(told) == method_config("dainr").members


def test_inputs_of_another_shape_are_not_replayed() -> None:
    network = nn.Linear(3, 2)
    replayed = Replayed(network, network, stand_in)
    for n in (4, 4, 7, 4):
        rows = torch.randn(n, 3)
        assert torch.equal(replayed(rows), network(rows))


def test_graphs_are_off_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(GRAPHS_VARIABLE, raising=False)
    assert not graphs_wanted(torch.device("cuda"))
    monkeypatch.setenv(GRAPHS_VARIABLE, "1")
    assert graphs_wanted(torch.device("cuda"))
    assert not graphs_wanted(torch.device("cpu"))


@pytest.mark.gpu
def test_replayed_steps_agree_on_a_gpu(tiny_kspace: KSpace, gpu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = make_problem(bin_spokes(tiny_kspace, 8), device=gpu)
    monkeypatch.delenv(GRAPHS_VARIABLE, raising=False)
    expected = fitted(problem)
    monkeypatch.setenv(GRAPHS_VARIABLE, "1")
    got = fitted(problem)  # a warning that nothing was captured would be an error
    assert float((got - expected).norm() / expected.norm()) < 0.05
