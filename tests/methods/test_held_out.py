"""Spokes held out of a fit: which, with what weight, and what their error says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from napari_dainr.data import bin_spokes
from napari_dainr.methods.base import Problem
from napari_dainr.methods.held_out import hold_out
from napari_dainr.methods.primal_dual import noise_level
from napari_dainr.methods.problem import density_compensated, make_problem
from napari_dainr.phantom import cine_phantom, simulate_kspace
from napari_dainr.recipe import HELD_OUT, Finished, Notice, Progress, recipe_from, run

SPOKES = 7


@pytest.fixture(scope="module")
def problem() -> Problem:
    truth = cine_phantom((31, 26), 9)
    return make_problem(bin_spokes(simulate_kspace(truth, spokes_per_frame=SPOKES, n_coils=3, snr=40.0), SPOKES))


@pytest.mark.parametrize(("fraction", "n"), [(0.001, 1), (0.05, 3), (0.1, 6), (0.3, 9)])
def test_the_held_out_spokes_are_whole_and_in_different_frames(problem: Problem, fraction: float, n: int) -> None:
    kept, held_out = hold_out(problem, SPOKES, fraction)
    assert held_out is not None and kept.inside is not None
    assert len(set(held_out.frames.tolist())) == len(held_out.frames) == n
    out = kept.inside.reshape(problem.n_frames, SPOKES, -1) == 0
    assert torch.equal(out.all(dim=2), out.any(dim=2)), "whole spokes or none"
    assert out[:, :, 0].sum(dim=1).tolist() == [int(f in held_out.frames.tolist()) for f in range(problem.n_frames)]
    missing = problem.kdata - kept.kdata
    for row, frame in enumerate(held_out.frames.tolist()):
        spoke = int(out[frame, :, 0].nonzero())
        assert torch.equal(missing[frame].unflatten(-1, (SPOKES, -1))[:, spoke], held_out.kdata[row])
    assert float(missing.abs().sum()) == pytest.approx(float(held_out.kdata.abs().sum()), rel=1e-5)


def test_what_a_fit_sees_does_not_depend_on_held_out_spokes(problem: Problem) -> None:
    kept, held_out = hold_out(problem, SPOKES, 0.1)
    assert held_out is not None
    frames = list(range(problem.n_frames))
    image = density_compensated(problem)
    assert float((kept.forward(image, frames) * (1 - kept.inside[:, None])).abs().max()) == 0  # type: ignore[index]
    # The intensity of a frame stays, though it has a spoke less.
    ratio = density_compensated(kept).abs().mean(dim=(1, 2)) / image.abs().mean(dim=(1, 2))
    assert float((ratio - 1).abs().max()) < 0.1


def test_the_measured_noise_does_not_count_what_is_held_out(problem: Problem) -> None:
    few, _ = hold_out(problem, SPOKES, 0.14)
    assert noise_level(few) == pytest.approx(noise_level(problem), rel=0.05)


def test_the_error_is_that_of_the_full_transform_at_those_samples(problem: Problem) -> None:
    kept, held_out = hold_out(problem, SPOKES, 0.1)
    assert held_out is not None and kept.inside is not None
    frames = held_out.frames.tolist()
    image = density_compensated(problem)[frames]
    weights = ((1 - kept.inside) * problem.dcf)[frames][:, None]
    residual = problem.forward(image, frames) - problem.kdata[frames]
    expected = (weights * residual.abs() ** 2).sum() / (weights * problem.kdata[frames].abs() ** 2).sum()
    assert held_out.error(image) == pytest.approx(float(expected) ** 0.5, rel=1e-4)
    assert held_out.error(torch.zeros_like(image)) == pytest.approx(1, rel=1e-6)


def test_none_where_there_is_too_little(problem: Problem) -> None:
    assert hold_out(problem, SPOKES, 0.0) == (problem, None)
    assert hold_out(problem, 2, 0.5) == (problem, None)


@pytest.mark.parametrize("method", ["grasp", "dainr"])
def test_a_run_tells_the_held_out_error_and_repeats_it(method: str, tmp_path: Path) -> None:
    kspace = simulate_kspace(cine_phantom((24, 24), 5), spokes_per_frame=6, n_coils=3)
    settings = {"n_steps": 30} | ({"feature_steps": 20, "width": 8, "members": 1} if method == "dainr" else {})
    recipe = recipe_from(
        {
            "data": "x.h5",
            "spokes_per_frame": 6,
            "method": method,
            "settings": settings,
            "held_out": 0.1,
            "device": "cpu",
        }
    )

    def told() -> list[tuple[int, float]]:
        events = list(run(recipe, kspace=kspace))
        assert isinstance(events[-1], Finished)
        assert any("held out" in event.text for event in events if isinstance(event, Notice))
        progress = [event for event in events if isinstance(event, Progress)]
        return [(event.step, event.losses[HELD_OUT]) for event in progress if HELD_OUT in event.losses]

    first = told()
    assert len(first) >= 5
    assert first == told()
    errors = np.array([value for _, value in first])
    assert (errors > 0).all()
    assert errors[-1] < errors.max()
