"""The engine's promises: one event stream, pausing, stopping, resuming, and the same bits for any number of threads."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_dainr import engine
from napari_dainr.data import KSpace
from napari_dainr.errors import DainrError, InputError, ResourceError
from napari_dainr.methods.base import Problem
from napari_dainr.methods.grasp import GraspMethod, GraspState
from napari_dainr.methods.refined_features import Refinement
from napari_dainr.recipe import Event, Finished, Preview, Progress, Recipe, run
from napari_dainr.run_folder import RunFolder

SMALL = {"n_steps": 12, "feature_steps": 8, "width": 16, "depth": 2, "n_min": 4, "table_log2": 10}


def small_recipe(**changes: Any) -> Recipe:
    values: dict[str, Any] = {"data": "memory", "spokes_per_frame": 8, "settings": SMALL, "threads": 1}
    return Recipe.model_validate(values | changes)


def finish(events: Any) -> Finished:
    *_, last = events
    assert isinstance(last, Finished)
    return last


def test_any_number_of_threads_gives_the_same_bits(tiny_kspace: KSpace) -> None:
    one, three = (finish(run(small_recipe(threads=n), kspace=tiny_kspace)).series.image for n in (1, 3))
    assert np.array_equal(one, three)


def test_another_seed_gives_another_result(tiny_kspace: KSpace) -> None:
    one, other = (finish(run(small_recipe(seed=n), kspace=tiny_kspace)).series.image for n in (0, 1))
    assert not np.array_equal(one, other)


def test_events_tell_the_whole_story(tiny_kspace: KSpace) -> None:
    events = list(run(small_recipe(), kspace=tiny_kspace, preview_hz=1e6))
    steps = [e.step for e in events if isinstance(e, Progress)]
    assert steps == sorted(steps)
    assert steps[-1] == 20 + Refinement.n_steps
    stages = {"Low-rank feature", "k-space residual", "DynRes (our own) features", "DA-INR"}
    assert {e.stage for e in events if isinstance(e, Progress)} == stages
    previews = [e for e in events if isinstance(e, Preview)]
    assert previews
    assert all(p.series.image.shape == (5, 33, 28) for p in previews)
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert not finished.stopped
    assert finished.recipe.device in ("cpu", "cuda")


def test_torch_threads_are_given_back(tiny_kspace: KSpace) -> None:
    before = torch.get_num_threads()
    events = run(small_recipe(), kspace=tiny_kspace)
    next(events)
    assert torch.get_num_threads() == 1
    finish(events)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("method", ["grasp", "dainr"])
def test_stopped_and_resumed_is_the_same_as_straight(tiny_kspace: KSpace, tmp_path: Path, method: str) -> None:
    settings = SMALL if method == "dainr" else {"n_steps": 20, "tolerance": 0}
    recipe = small_recipe(method=method, settings=settings)
    straight = finish(run(recipe, tmp_path / "straight", kspace=tiny_kspace))
    stop = threading.Event()
    events: list[Event] = []
    for event in run(recipe, tmp_path / "stopped", kspace=tiny_kspace, stop=stop):
        events.append(event)
        stop.set()
    assert isinstance(events[-1], Finished)
    assert events[-1].stopped
    assert events[-1].series.image.shape == straight.series.image.shape
    again = finish(run(events[-1].recipe, tmp_path / "stopped", kspace=tiny_kspace, resume=True))
    assert not again.stopped
    assert np.array_equal(again.series.image, straight.series.image)
    saved = np.load(tmp_path / "stopped" / "series.npy", allow_pickle=False)
    assert np.array_equal(saved, straight.series.image)


def test_pausing_is_not_pulling(tiny_kspace: KSpace) -> None:
    events = run(small_recipe(), kspace=tiny_kspace)
    first = list(itertools.islice(events, 4))
    assert len(first) == 4
    assert np.array_equal(finish(events).series.image, finish(run(small_recipe(), kspace=tiny_kspace)).series.image)


def test_resume_wants_the_same_run(tiny_kspace: KSpace, tmp_path: Path) -> None:
    finish(run(small_recipe(method="nufft", settings={}), tmp_path / "run", kspace=tiny_kspace))
    before = (tmp_path / "run" / "series.npy").read_bytes()
    with pytest.raises(InputError, match="another seed"):
        finish(
            run(small_recipe(method="nufft", settings={}, seed=3), tmp_path / "run", kspace=tiny_kspace, resume=True)
        )
    with pytest.raises(InputError, match="already exists"):
        finish(run(small_recipe(method="nufft", settings={}), tmp_path / "run", kspace=tiny_kspace))
    assert (tmp_path / "run" / "series.npy").read_bytes() == before


def test_a_gpu_that_is_absent(tiny_kspace: KSpace) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ResourceError, match="--device cpu"):
        finish(run(small_recipe(device="cuda"), kspace=tiny_kspace))
    with pytest.raises(InputError, match="choose auto, cpu"):
        finish(run(small_recipe(device="toaster"), kspace=tiny_kspace))


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("x"), MemoryError(), RuntimeError("can't allocate memory")])
def test_out_of_memory_is_one_sentence(tiny_kspace: KSpace, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(engine, "make_problem", fail)
    with pytest.raises(ResourceError, match="ran out of memory"):
        finish(run(small_recipe(), kspace=tiny_kspace))


def test_a_fit_that_diverges_says_so_and_keeps_the_last_good_state(
    tiny_kspace: KSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = GraspMethod.step

    def step(self: GraspMethod, problem: Problem, state: GraspState) -> Any:
        losses = whole(self, problem, state)
        return losses if state.step < 7 else {**losses, "data": torch.tensor(float("nan"))}

    recipe = small_recipe(method="grasp", settings={"n_steps": 20})
    with monkeypatch.context() as patch:
        patch.setattr(GraspMethod, "step", step)
        patch.setattr(engine, "PROGRESS_HZ", 1e9)
        with pytest.raises(DainrError, match=r"diverged at step 7 .*--resume"):
            finish(run(recipe, tmp_path / "run", kspace=tiny_kspace, checkpoint_s=0.0))
    again = finish(run(recipe, tmp_path / "run", kspace=tiny_kspace, resume=True))
    assert np.array_equal(again.series.image, finish(run(recipe, kspace=tiny_kspace)).series.image)


def test_upsampling_keeps_native_times(tiny_kspace: KSpace) -> None:
    series = finish(run(small_recipe(upsample=3, scale=1.5), kspace=tiny_kspace)).series
    native = finish(run(small_recipe(), kspace=tiny_kspace)).series
    assert series.image.shape == (13, 50, 42)
    assert np.allclose(series.times_s[::3], native.times_s)
    assert not series.interpolated[::3].any()
    assert series.interpolated.sum() == 8
    assert series.pixel_mm == pytest.approx((330 / 50, 280 / 42))


def test_a_failed_start_leaves_no_folder_in_the_way(tiny_kspace: KSpace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="only 40 spokes"):
        finish(run(small_recipe(spokes_per_frame=41), tmp_path / "run", kspace=tiny_kspace))
    assert not (tmp_path / "run").exists()
    finish(run(small_recipe(method="nufft", settings={}), tmp_path / "run", kspace=tiny_kspace))


@pytest.mark.parametrize("method", ["nufft", "grasp", "dainr"])
def test_a_single_frame(tiny_kspace: KSpace, method: str) -> None:
    settings = SMALL if method == "dainr" else {}
    series = finish(run(small_recipe(method=method, settings=settings, spokes_per_frame=40), kspace=tiny_kspace)).series
    assert series.image.shape == (1, 33, 28)
    assert np.isfinite(series.image).all()
    assert np.abs(series.image).max() > 0


def test_no_memory_to_draw_keeps_the_fit(tiny_kspace: KSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = finish(run(small_recipe(), kspace=tiny_kspace)).series.image

    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(engine.SeriesGrid, "series", fail)
        with pytest.raises(ResourceError, match="smaller scale"):
            finish(run(small_recipe(), tmp_path / "run", kspace=tiny_kspace))
    again = finish(run(small_recipe(threads=2), tmp_path / "run", kspace=tiny_kspace, resume=True))
    assert np.array_equal(again.series.image, straight)


def test_the_data_path_is_in_the_recipe_alone(tiny_kspace: KSpace, tmp_path: Path) -> None:
    finish(run(small_recipe(data="/home/jane-doe/scan.h5"), tmp_path / "run", kspace=tiny_kspace))
    holders = [p.name for p in (tmp_path / "run").iterdir() if b"jane-doe" in p.read_bytes()]
    assert holders == ["recipe.json"]
    assert "jane-doe" not in str(
        finish(run(small_recipe(data="/home/jane-doe/scan.h5"), kspace=tiny_kspace)).series.info
    )


@pytest.mark.parametrize("settings", [{"levels": 22}, {"growth": 1.001}])
def test_settings_that_do_not_go_together(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(settings))):
        small_recipe(settings=settings).config()


def test_an_empty_folder_is_free_again_after_a_failed_start(tiny_kspace: KSpace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="only 40 spokes"):
        finish(run(small_recipe(spokes_per_frame=41), tmp_path, kspace=tiny_kspace))
    assert list(tmp_path.iterdir()) == []


def test_snapshots_lie_along_the_fit_and_read_as_series(tiny_kspace: KSpace, tmp_path: Path) -> None:
    recipe = small_recipe()
    n_steps = engine.make_method(recipe.method, recipe.config(), recipe.seed).n_steps
    finish(run(recipe, tmp_path / "run", kspace=tiny_kspace, snapshots=2))
    folders = sorted((tmp_path / "run" / "snapshots").iterdir())
    assert [folder.name for folder in folders] == [f"step-{round(n_steps * k / 3):06d}" for k in (1, 2)]
    end = RunFolder(tmp_path / "run").series()
    for folder in folders:
        series = RunFolder(folder).series()
        assert series.image.shape == end.image.shape
        assert series.info["step"] == int(folder.name.removeprefix("step-"))
        assert not np.array_equal(series.image, end.image)
    plain = finish(run(recipe, tmp_path / "plain", kspace=tiny_kspace)).series
    assert np.array_equal(plain.image, end.image), "looking must not change the fit"
