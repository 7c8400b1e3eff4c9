"""What every method of ``METHOD_NAMES`` has to do: beat NuFFT, go on bit by bit, draw anywhere, follow its gradient.

A new method is tested here as soon as it is listed, with its defaults; the tables below give a method smaller fits,
more variants and a higher bar.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from napari_dainr.data import KSpace, bin_spokes
from napari_dainr.inr.fitting import NetworkFit
from napari_dainr.inr.parallel import get_threads, set_threads
from napari_dainr.methods import METHOD_NAMES
from napari_dainr.methods.base import Problem
from napari_dainr.methods.config import CONFIGS
from napari_dainr.methods.problem import make_problem

pytestmark = pytest.mark.usefixtures("one_torch_thread", "our_threads")

Settings = dict[str, Any]

ENCODERS: list[Settings] = [
    {"feature": "none", "deform_encoding": deform, "canonical_encoding": canonical}
    for deform, canonical in (("freq", "freq"), ("hash", "freq"), ("hash", "hash"), ("freq", "hash"))
]
"""DA-INR with each encoder pair of Table IV, without features that would do its work."""

BEATS: dict[str, list[tuple[Settings, float]]] = {
    "nufft": [],
    "grasp": [({"n_steps": 150}, 5.0)],
    "lowrank": [({"n_steps": 120, **more}, 5.0) for more in ({}, {"scope": "global"}, {"model": "sum"})],
    "tddip": [
        ({"n_steps": n, "loss": loss, "learning_rate": 1e-2, "members": 1}, margin)
        for loss, n, margin in (("l1", 300, 3.0), ("l2", 600, 0.5))
    ],
    "hashinr": [
        ({"n_steps": 80, "loss": loss, "frames_per_step": frames, "learning_rate": 1e-2}, 1.0)
        for loss, frames in (("l1", 2), ("l2", 2), ("relative", 2), ("l1", None))
    ],
    "stinr": [({"n_steps": 100}, 2.0)],
    "fmlp": [
        ({"n_steps": n, "loss": loss, "learning_rate": 1e-2}, margin)
        for loss, n, margin in (("l1", 200, 3.0), ("l2", 400, 0.5))
    ],
    "nik": [({"n_steps": 300, "learning_rate": 3e-3}, 2.0)],
    "dainr": [
        ({"n_steps": 60, "feature": "grasp"}, 8.0),
        ({"n_steps": 60, "feature": "lowrank"}, 8.0),
        ({"n_steps": 100, "feature": "nufft"}, 0.5),
        ({"n_steps": 100, "feature": "view-shared", "view_share": 1, "learning_rate": 1e-2}, 1.0),
        # Without features; frequencies beyond the few that 40 spokes determine would need more steps.
        *(({**pair, "n_steps": 150, "learning_rate": 1e-2, "space_frequencies": 2}, 1.0) for pair in ENCODERS),
    ],
}
"""Settings of a fit, and by how many dB it has to beat NuFFT."""

STOPPED: dict[str, list[tuple[Settings, int]]] = {
    "nufft": [({}, 0), ({}, 1)],
    "grasp": [({"n_steps": 12, "tolerance": 0}, 5), ({"n_steps": 12, "tolerance": 0, "space_factor": 0.1}, 5)],
    "lowrank": [
        ({"n_steps": 12, "tolerance": 0, "block": 3, **more}, 5)
        for more in ({}, {"model": "sum", "scope": "global"}, {"space_factor": 0.1})
    ],
    "tddip": [({"n_steps": 8}, 3), ({"n_steps": 8, "frames_per_step": 2, "halve_every": 3, "ema": 0.0}, 3)],
    "hashinr": [({"n_steps": 14}, 9), ({"n_steps": 6, "frames_per_step": None, "weight_decay": 0.1}, 2)],
    # Before total variation begins and before the last level opens.
    "stinr": [({"n_steps": 30, "coarse_to_fine": 0.9, **more}, 11) for more in ({}, {"frames_per_step": 3})],
    # The iterations of the feature, the join, the networks.
    "dainr": [
        *(({"feature_steps": 12, "n_steps": 15}, stop) for stop in (3, 12, 20)),
        *(({**pair, "n_steps": 9}, 4) for pair in ENCODERS),
    ],
}
"""Settings of a fit, and after which step it is stopped."""

GRADIENTS: dict[str, list[Settings]] = {
    "tddip": [{"loss": "l2", "members": 1, "frames_per_step": 2}],
    "hashinr": [{"loss": "l2"}],
    "stinr": [{"loss": "l2", "lam_sparse": 0.3, "lam_lowrank": 0.3, "sparse_after": 0, "coarse_to_fine": 0.0}],
    "fmlp": [{"loss": "l2"}, {"loss": "l1"}],
    # The weight of the high-dynamic-range loss is held, so it is not the gradient of what is reported.
    "nik": [{"hdr_power": 0.0, "batch": 400}],
    "dainr": [{**pair, "members": 1} for pair in ENCODERS] + [{"feature": "nufft", "members": 1}],
}
"""Settings with which the gradient of a step is that of the losses that it reports."""


def cases(table: dict[str, list[Any]], default: list[Any]) -> list[Any]:
    """(method, …) of every method, named after what differs."""
    return [
        pytest.param(name, *(entry if isinstance(entry, tuple) else (entry,)), id=f"{name}-{number}")
        for name in METHOD_NAMES
        for number, entry in enumerate(table.get(name, default))
    ]


@pytest.fixture
def our_threads() -> Iterator[None]:
    """Our own threads as they were."""
    before = get_threads()
    yield
    set_threads(before)


def go(method: Any, problem: Problem, state: Any, until: int | None = None) -> Any:
    """Step until the fit is done, or until a step."""
    while not method.done(state) and state.step != until:
        method.step(problem, state)
    return state


def copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}


def differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    """Names of tensors that are not the same in both."""
    return [name for name in one.keys() | other.keys() if not torch.equal(one[name], other[name])]


@pytest.mark.parametrize(("name", "settings", "margin"), cases(BEATS, [({}, 1.0)]))
def test_beats_nufft(
    tiny_problem: Problem,
    small_method: Callable[..., Any],
    fitted_psnr: Callable[[Tensor], float],
    nufft_psnr: float,
    name: str,
    settings: Settings,
    margin: float,
) -> None:
    method = small_method(name, **settings)
    state = go(method, tiny_problem, method.start(tiny_problem))
    assert fitted_psnr(method.image(state)) > nufft_psnr + margin


@pytest.mark.parametrize(("name", "settings", "stop"), cases(STOPPED, [({"n_steps": 12}, 5)]))
def test_stopped_and_resumed_it_is_the_same_bit_by_bit_with_any_number_of_threads(
    tiny_problem: Problem, small_method: Callable[..., Any], name: str, settings: Settings, stop: int
) -> None:
    def fresh() -> Any:
        return small_method(name, seed=3, **settings)

    set_threads(1)
    method = fresh()
    straight = go(method, tiny_problem, method.start(tiny_problem))
    assert straight.step == method.n_steps and method.done(straight)

    set_threads(3)
    method = fresh()
    stopped = go(method, tiny_problem, method.start(tiny_problem), stop)
    again = fresh()
    resumed = again.unpack(copied(method.pack(stopped)), torch.device("cpu"))
    assert resumed.step == stopped.step and not differing(again.pack(resumed), method.pack(stopped))
    assert torch.equal(again.image(resumed), method.image(stopped))
    set_threads(2)
    go(again, tiny_problem, resumed)
    assert not differing(again.pack(resumed), method.pack(straight))
    frames = torch.tensor([0.0, 1.5, 4.0])
    drawn = again.image(resumed, frames, 1.5)
    set_threads(1)
    assert torch.equal(drawn, method.image(straight, frames, 1.5))


@pytest.mark.parametrize(("name", "settings", "stop"), cases(STOPPED, [({"n_steps": 12}, 5)]))
def test_a_state_is_drawn_at_any_frames_and_sizes_and_stays_as_it_is(
    tiny_problem: Problem, small_method: Callable[..., Any], name: str, settings: Settings, stop: int
) -> None:
    method = small_method(name, **settings)
    for until in (stop, None):
        state = go(method, tiny_problem, method.start(tiny_problem), until)
        before = copied(method.pack(state))
        native = method.image(state)
        assert native.shape == (5, 33, 28) and native.dtype == torch.complex64 and not native.requires_grad
        assert bool(torch.isfinite(torch.view_as_real(native)).all())
        some = method.image(state, torch.tensor([4.0, 0.0, 2.0]))
        assert torch.equal(some, native[[4, 0, 2]])
        larger = method.image(state, torch.tensor([1.5, 2.0]), 1.5)
        assert (larger.shape == (2, 50, 42) and not torch.equal(larger[0], larger[1])) or state.step == 0
        preview = method.preview(state)
        assert preview.shape == native.shape and preview.dtype == native.dtype and not preview.requires_grad
        assert not differing(before, method.pack(state))
        assert isinstance(method.stage(state), str) and all(isinstance(text, str) for text in method.notices)


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_a_series_of_one_frame_is_fitted(
    tiny_kspace: KSpace, small_method: Callable[..., Any], fitted_psnr: Callable[[Tensor], float], name: str
) -> None:
    problem = make_problem(bin_spokes(tiny_kspace, 40), threads=1)
    method = small_method(name, **({"n_steps": 4} if "n_steps" in CONFIGS[name].model_fields else {}))
    state = go(method, problem, method.start(problem))
    for image in (method.image(state), method.preview(state)):
        assert image.shape == (1, 33, 28) and bool(torch.isfinite(torch.view_as_real(image)).all())


@pytest.mark.parametrize(("name", "settings"), cases(GRADIENTS, []))
def test_the_gradient_of_a_step_is_that_of_its_losses(
    tiny_problem: Problem,
    fit_tiny: Callable[..., tuple[Any, Any]],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    settings: Settings,
) -> None:
    """Of every weight tensor on its own, against finite differences of what the step reports."""
    method, state = fit_tiny(name, 20, ema=0.0, **settings)
    at, taken = state.step + 1, []
    monkeypatch.setattr(NetworkFit, "descend", lambda self, gradients, rate=1.0: taken.append(list(gradients)))

    def loss() -> float:
        state.step = at
        return float(sum(method.step(tiny_problem, state).values()))

    here, parameters = loss(), state.fit.parameters
    gradients = [torch.zeros_like(p) if g is None else g.clone() for p, g in zip(parameters, taken[0], strict=True)]
    seen = 0
    for parameter, gradient in zip(parameters, gradients, strict=True):
        size = float(torch.linalg.vector_norm(gradient))
        step = min(1e-3 * here / max(size, 1e-30), 0.02 * float(torch.linalg.vector_norm(parameter.detach())) + 1e-3)
        if step * size < 1e-4 * here:  # lost in the rounding of the loss
            continue
        start = parameter.detach().clone()
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter.copy_(start + sign * step / size * gradient)
            values.append(loss())
        with torch.no_grad():
            parameter.copy_(start)
        assert (values[0] - values[1]) / (2 * step) == pytest.approx(size, rel=0.1), (parameter.shape, size)
        seen += 1
    assert seen >= 0.5 * len(parameters)


@pytest.mark.parametrize("name", [name for name in METHOD_NAMES if name in GRADIENTS])
def test_another_seed_is_another_fit(tiny_problem: Problem, small_method: Callable[..., Any], name: str) -> None:
    first, same, other = (small_method(name, seed).start(tiny_problem).fit.pack() for seed in (0, 0, 1))
    assert not differing(first, same) and differing(first, other)
