"""Forecasts: transforms counted as a fit makes them, memory counted to the byte, and advice that holds what it says."""

from __future__ import annotations

import platform
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_dainr import forecast as forecast_module
from napari_dainr.cli import main
from napari_dainr.counted import empty
from napari_dainr.data import KSpace, bin_spokes
from napari_dainr.engine import resolved
from napari_dainr.errors import DainrError, InputError
from napari_dainr.forecast import ROOM, Forecast, forecast, shortage
from napari_dainr.hollow import Ledger, Walk
from napari_dainr.machine import (
    HighestMemory,
    MemoryWatch,
    available_memory,
    give_back_memory,
    memory_in_use,
    memory_text,
    torch_on_one_thread,
)
from napari_dainr.methods import METHOD_NAMES
from napari_dainr.methods.base import Problem
from napari_dainr.methods.fit import fit, make_method
from napari_dainr.methods.problem import make_problem
from napari_dainr.probe import CUT_STEPS, Cost, _Probe, probe
from napari_dainr.recipe import Recipe

SMALL: dict[str, dict[str, Any]] = {
    "dainr": {
        "n_steps": 12,
        "feature_steps": 8,
        "feature_tolerance": 0,
        "width": 16,
        "depth": 2,
        "n_min": 4,
        "table_log2": 10,
    },
    "hashinr": {"n_steps": 9, "table_log2": 10, "frames_per_step": 3},
    "stinr": {"n_steps": 9, "table_log2": 10},
    "grasp": {"n_steps": 11, "tolerance": 0},
    "lowrank": {"n_steps": 11, "tolerance": 0},
    "tddip": {"n_steps": 9, "width": 4, "levels": 2},
    "fmlp": {"n_steps": 9, "width": 16, "depth": 2},
    "nik": {"n_steps": 9, "width": 16, "depth": 2, "batch": 64},
}


def recipe_of(method: str, **changes: Any) -> Recipe:
    values = {"data": "memory", "spokes_per_frame": 8, "method": method, "settings": SMALL.get(method, {})}
    return resolved(Recipe.model_validate(values | {"device": "cpu", "threads": 2} | changes))


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_every_method_is_forecast(tiny_kspace: KSpace, method: str) -> None:
    told = forecast(recipe_of(method), tiny_kspace)
    assert told.seconds == pytest.approx(sum(told.parts.values()))
    assert all(seconds >= 0 for seconds in told.parts.values())
    assert {"preparation", "drawing", "saving"} < set(told.parts)
    assert tiny_kspace.kdata.nbytes < told.memory_bytes < 1 << 30
    assert told.fits
    assert told.advice is None


class _Counted(Problem):
    """A problem that counts the rows of its transforms."""

    def forward_rows(self, image: Tensor, frames: Sequence[int]) -> Tensor:
        with counting:
            rows["gradient" if image.requires_grad else "forward"] += len(frames)
        return super().forward_rows(image, frames)

    def adjoint_rows(self, kdata: Tensor, frames: Sequence[int]) -> Tensor:
        with counting:
            rows["adjoint"] += len(frames)
        return super().adjoint_rows(kdata, frames)


rows: Counter[str] = Counter()
counting = threading.Lock()
"""Blocks of frames are worked on by several threads."""


@pytest.mark.parametrize("method", [name for name in METHOD_NAMES if name != "nufft"])
def test_transforms_are_those_of_a_real_fit(tiny_kspace: KSpace, method: str) -> None:
    recipe = recipe_of(method, spokes_per_frame=4)
    binned = bin_spokes(tiny_kspace, 4)
    measured = _Probe(recipe, binned, threading.Event())
    small, large = (
        Walk(measured.method, measured.sizes.hollow(n), count=True) for n in (measured.fewer, measured.more)
    )
    assert measured.more < binned.n_frames, "or nothing is extrapolated"

    problem = make_problem(binned, device="cpu")
    counted = _Counted(problem.kdata, problem.nufft, problem.csm, problem.dcf, problem.unit, problem.inside)
    real = make_method(method, recipe.config(), 0)
    rows.clear()
    state = real.start(counted)
    told = {kind: measured._to_all(small.parts["start"].rows[kind], n) for kind, n in large.parts["start"].rows.items()}
    assert told == dict(rows)
    rows.clear()
    stages: Counter[str] = Counter([real.stage(state)])
    for _ in fit(real, counted, state):
        stages[real.stage(state)] += 1
    in_all: dict[str, float] = defaultdict(float)
    for stage in (name for name in large.parts if name != "start"):
        steps = measured._steps(stage, stage == list(large.parts)[-1], 1)
        for kind, n in large.parts[stage].rows.items():
            in_all[kind] += steps * measured._to_all(small.parts[stage].rows.get(kind, 0), n)
    assert {kind: n for kind, n in in_all.items() if n} == pytest.approx({kind: n for kind, n in rows.items() if n})


def test_the_ledger_counts_what_lives() -> None:
    ledger = Ledger()
    view = torch.from_numpy(np.zeros(100_000))
    with ledger.counting():
        assert ledger.live == 0
        seen = view[1:] + 1
        assert ledger.live == 799_992, "what is a view of something older is not new"
        del seen
        array = empty((100_000,), np.float64)
        array[:] = 1
        assert ledger.live == 800_000
        shared = torch.from_numpy(array)[5:]
        assert ledger.live == 800_000
        del array
        assert ledger.live == 800_000, "the tensor holds it"
        del shared
        assert ledger.live == 0
        with ThreadPoolExecutor(1) as beside:
            elsewhere = beside.submit(empty, (100_000,), np.float64).result()
        assert ledger.live == 0, "of another thread"
    after = empty((100_000,), np.float64)
    assert ledger.live == 0 and ledger.peak == elsewhere.nbytes == after.nbytes
    ledger = Ledger()
    with ledger:
        a = torch.zeros(1000, dtype=torch.complex64)
        view = a[10:]
        assert ledger.live == 8000
        b = view * 2
        assert ledger.live == 8000 + 990 * 8
        del a, b
        assert ledger.live == 8000, "the view holds it all"
        del view
        assert ledger.live == 0
    assert ledger.peak == 8000 + 990 * 8


def test_a_forecast_leaves_tracemalloc_alone(tiny_kspace: KSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whatever is started or stopped here ends the process of a fit that runs beside it; see napari_dainr/counted.py.
    def touched(*_: object) -> None:
        raise AssertionError("tracemalloc")

    for name in ("start", "stop"):
        monkeypatch.setattr(f"tracemalloc.{name}", touched)
    assert probe(recipe_of("dainr"), tiny_kspace, seconds=False).memory_bytes > 0


def test_memory_grows_with_what_is_asked(tiny_kspace: KSpace) -> None:
    plain = probe(recipe_of("grasp"), tiny_kspace, seconds=False)
    assert plain.seconds == {}
    again = probe(recipe_of("grasp"), tiny_kspace, seconds=False)
    assert plain.memory_bytes == pytest.approx(again.memory_bytes, rel=0.5), "a few MB: the process wavers"
    many = replace(tiny_kspace, kdata=np.tile(tiny_kspace.kdata, (1, 64, 1, 1)))
    of_all, of_two = (probe(recipe_of("grasp", coils=n), many, seconds=False).memory_bytes for n in (150, 2))
    assert of_two < of_all / 2
    large = recipe_of("grasp", scale=4.0, upsample=16)
    assert probe(large, tiny_kspace, seconds=False).memory_bytes > plain.memory_bytes


def test_steps_are_cut_but_the_whole_fit_is_told(tiny_kspace: KSpace) -> None:
    few, many = (
        forecast(recipe_of("nik", settings=SMALL["nik"] | {"n_steps": n}, held_out=0.0), tiny_kspace).parts["NIK"]
        for n in (CUT_STEPS, 1000 * CUT_STEPS)
    )
    assert many > 50 * few


def test_advice_names_a_way_that_fits(tiny_kspace: KSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(recipe: Recipe, kspace: KSpace, **_: Any) -> Cost:
        """In proportion to the frames drawn: what a real probe tells of so small a fit wavers by a half."""
        return Cost({}, int(4e6 * recipe.upsample * recipe.scale**2 * (recipe.coils or kspace.n_coils)))

    def free(n_bytes: float) -> None:
        monkeypatch.setattr(forecast_module, "available_memory", lambda device: int(n_bytes / ROOM))

    monkeypatch.setattr("napari_dainr.probe.probe", measured)
    monkeypatch.setattr(forecast_module, "PLENTY", 0)
    recipe = recipe_of("grasp", scale=2.0, upsample=4)
    native = 4e6 * tiny_kspace.n_coils
    free(1.01 * native)
    told = forecast(recipe, tiny_kspace)
    assert not told.fits
    assert told.advice is not None
    assert "drawing at scale 1 and upsampling 1" in told.advice
    assert f"needs about {memory_text(int(native))}." in told.advice
    assert shortage(recipe, tiny_kspace) == told.advice
    free(16.01 * native)
    assert forecast(recipe, tiny_kspace).advice is None
    assert shortage(recipe, tiny_kspace) is None
    free(1000)
    told = forecast(recipe, tiny_kspace)
    assert told.advice is not None
    assert "more memory" in told.advice


def test_plenty_of_memory_is_seen_without_a_probe(tiny_kspace: KSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast_module, "available_memory", lambda device: 1 << 40)
    monkeypatch.setattr("napari_dainr.probe.probe", None)
    assert shortage(recipe_of("dainr"), tiny_kspace) is None


def test_fits_leaves_room() -> None:
    assert Forecast(1.0, 80, 100, {}, None).fits
    assert not Forecast(1.0, 95, 100, {}, None).fits


def test_what_cannot_run_cannot_be_forecast(tiny_kspace: KSpace) -> None:
    with pytest.raises(InputError, match="only 40 spokes"):
        forecast(recipe_of("nufft", spokes_per_frame=41), tiny_kspace)


def test_torch_threads_are_given_back_by_the_last_to_leave() -> None:
    before = torch.get_num_threads()
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with torch_on_one_thread():
            inside.set()
            leave.wait(20)

    thread = threading.Thread(target=other)
    with torch_on_one_thread():
        thread.start()
        assert inside.wait(20)
    assert torch.get_num_threads() == 1, "the other is still in there"
    leave.set()
    thread.join()
    with ThreadPoolExecutor(1) as fresh:  # OpenMP's number is a thread's own, and this one's is still 1
        assert fresh.submit(torch.get_num_threads).result() == before
    torch.set_num_threads(before)
    with torch_on_one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_memory_is_looked_at() -> None:
    watch = MemoryWatch("cpu")
    before = watch.now()
    block = bytearray(b"x") * (64 << 20)
    assert watch.now() > before + (48 << 20)
    assert watch.peak() >= before + (48 << 20)
    del block
    assert watch.peak() >= before + (48 << 20), "a peak stays"
    assert available_memory() > 0
    assert memory_in_use() > 1 << 20


def test_a_passing_peak_is_seen() -> None:
    with HighestMemory() as memory:
        block = bytearray(b"x") * (64 << 20)
        time.sleep(0.05)
        del block
    assert memory.rise >= 48 << 20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries give back by themselves")
def test_memory_goes_back_to_the_system() -> None:
    blocks = [np.ones(12_000) for _ in range(2000)]
    last = np.ones(12_000)  # lies above the others, so that freeing them moves no end
    del blocks
    before = memory_in_use()
    give_back_memory()
    assert memory_in_use() < before - (100 << 20)
    assert last.sum() == 12_000


def test_the_command_tells_and_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "cine.h5"
    assert (
        main(["simulate", str(data), "--matrix", "24", "--frames", "4", "--coils", "2", "--spokes-per-frame", "5"]) == 0
    )
    command = ["recon", str(data), "--spokes-per-frame", "5", "--method", "nufft", "--forecast"]
    capsys.readouterr()
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "memory" in said
    assert "whole" in said
    assert list(tmp_path.iterdir()) == [data]
    monkeypatch.setattr(forecast_module, "available_memory", lambda device: 1000)
    assert main(command) == 3
    assert "more memory" in capsys.readouterr().out
    run = tmp_path / "run"
    assert main([*command[:-1], "-o", str(run)]) == 0
    assert "more memory" in capsys.readouterr().out, "the first notice of a run that will not fit"


@pytest.mark.parametrize("coil_maps", ["espirit", "given"])
def test_coil_maps_are_prepared_as_the_recipe_says(
    tiny_kspace: KSpace, tiny_maps: NDArray[np.complex64], coil_maps: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_dainr.probe.TRIED_SIDE", 24)
    recipe = recipe_of("nufft", coil_maps=coil_maps)
    assert forecast(recipe, replace(tiny_kspace, csm=tiny_maps[None])).parts["preparation"] > 0
    if coil_maps == "given":
        with pytest.raises(InputError, match="no coil maps"):
            forecast(recipe, tiny_kspace)


def test_a_forecast_can_be_stopped(tiny_kspace: KSpace) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(DainrError, match="stopped"):
        forecast(recipe_of("grasp"), tiny_kspace, stop)
