"""Methods on a CUDA device: no step waits for it, fits agree with those of the CPU; rows are taken without waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_dainr.data import KSpace, bin_spokes
from napari_dainr.machine import sent
from napari_dainr.methods import METHOD_NAMES
from napari_dainr.methods.base import Problem, taken
from napari_dainr.methods.problem import make_problem

WAITS = {
    "lowrank": "an eigenvalue decomposition reports its success to the host",
    "stinr": "an eigenvalue decomposition reports its success to the host",
    "nufft": "its one step is its start",
}
"""Methods whose step may wait, and why; docs/how-to/use-a-gpu.md says so too."""


@given(st.lists(st.integers(0, 6), max_size=9))
def test_rows_are_those_of_the_index(frames: list[int]) -> None:
    rows = torch.arange(21.0).reshape(7, 3)
    assert torch.equal(taken(rows, frames), rows[torch.tensor(frames, dtype=torch.long)])


def test_frames_in_a_row_are_not_copied() -> None:
    rows = torch.arange(21.0).reshape(7, 3)
    assert taken(rows, [2, 3, 4]).data_ptr() == rows[2].data_ptr()
    assert taken(rows, [4]).data_ptr() == rows[4].data_ptr()
    assert sent(rows, torch.device("cpu")) is rows


@pytest.fixture(scope="module")
def cuda_problem(tiny_kspace: KSpace, gpu: str) -> Problem:
    return make_problem(bin_spokes(tiny_kspace, 8), device=gpu)


@pytest.mark.gpu
@pytest.mark.parametrize("name", sorted(set(METHOD_NAMES) - set(WAITS)))
def test_no_step_waits_for_the_device(name: str, cuda_problem: Problem, small_method: Callable[..., Any]) -> None:
    settings = {"feature_steps": 4} if name == "dainr" else {}
    method = small_method(name, n_steps=60, **settings)
    state = method.start(cuda_problem)
    for _ in range(20):  # kernels are compiled, plans and constants made
        method.step(cuda_problem, state)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(4):  # the solvers look at their change in every fifth
            method.step(cuda_problem, state)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@pytest.mark.parametrize("name", METHOD_NAMES)
def test_fits_agree_with_the_cpu(
    name: str, tiny_problem: Problem, cuda_problem: Problem, small_method: Callable[..., Any]
) -> None:
    """After a few steps, before differences of rounding have grown: as images, relative to their size."""
    settings = {} if name == "nufft" else {"n_steps": 8}
    if name == "dainr":
        settings["feature_steps"] = 4
    drawn = []
    for problem in (tiny_problem, cuda_problem):
        method = small_method(name, **settings)
        state = method.start(problem)
        while not method.done(state):
            method.step(problem, state)
        drawn.append(method.image(state).cpu())
    assert float((drawn[1] - drawn[0]).norm() / drawn[0].norm()) < 0.05
