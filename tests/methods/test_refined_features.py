"""DA-INR with DynRes: steps of its own between the reconstruction and the fit, which can be stopped anywhere."""

from __future__ import annotations

import pytest
import torch

from napari_dainr.data import KSpace
from napari_dainr.inr.parallel import get_threads, set_threads
from napari_dainr.methods.base import Problem
from napari_dainr.methods.config import DainrConfig
from napari_dainr.methods.dainr import DainrMethod, DainrState
from napari_dainr.recipe import Notice, recipe_from, run

SMALL = {"width": 24, "depth": 2, "n_min": 4, "table_log2": 10, "feature_steps": 6, "n_steps": 8, "members": 2}


def go(method: DainrMethod, problem: Problem, state: DainrState, steps: int = 1000) -> DainrState:
    while steps and not method.done(state):
        method.step(problem, state)
        steps -= 1
    return state


@pytest.mark.parametrize("after", [0, 1, 2, 4])
def test_stopped_while_it_looks_it_goes_on_bit_by_bit(tiny_problem: Problem, after: int) -> None:
    threads = get_threads()
    set_threads(1)  # one frame per step
    try:
        settings = DainrConfig.model_validate({**SMALL, "feature_tolerance": 0})
        method = DainrMethod(settings)
        straight = go(method, tiny_problem, method.start(tiny_problem))
        stopped = go(method, tiny_problem, method.start(tiny_problem), 6 + after)
        assert stopped.images is not None and (stopped.residual is None) == (after == 0)
        assert stopped.n_extracted == max(after - 1, 0)
        assert method.stage(stopped) == ("DynRes (our own) features" if after else "k-space residual")
        packed = {name: tensor.clone() for name, tensor in method.pack(stopped).items()}
        other = DainrMethod(settings)
        resumed = go(other, tiny_problem, other.unpack(packed, torch.device("cpu")))
        assert torch.equal(other.image(resumed), method.image(straight))
        assert resumed.residual is None and resumed.images is None
    finally:
        set_threads(threads)


def test_what_is_drawn_is_mixed_with_the_refined_image(tiny_problem: Problem) -> None:
    method = DainrMethod(DainrConfig.model_validate({**SMALL, "feature_share": 1.0}))
    state = go(method, tiny_problem, method.start(tiny_problem))
    assert state.features is not None and state.features.shape == (5, 33, 28)
    assert torch.allclose(method.image(state), state.features)
    plain = DainrMethod(DainrConfig.model_validate({**SMALL, "feature_share": 1.0, "extractor": "none"}))
    other = go(plain, tiny_problem, plain.start(tiny_problem))
    assert not torch.allclose(method.image(state), plain.image(other), atol=1e-3)


def test_the_log_names_the_weights(tiny_kspace: KSpace) -> None:
    values = {"data": "tiny.h5", "method": "dainr", "spokes_per_frame": 8, "settings": SMALL}
    events = list(run(recipe_from(values), kspace=tiny_kspace))
    stages = [event.stage for event in events if hasattr(event, "stage")]
    assert list(dict.fromkeys(stages))[-3:] == ["k-space residual", "DynRes (our own) features", "DA-INR"]
    told = [event.text for event in events if isinstance(event, Notice)]
    assert any(text.startswith("the feature is refined by DynRes (our own), SHA-256 ") for text in told)
