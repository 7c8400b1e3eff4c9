"""Steps, whole fits and memory for ``benchmarks/gpu.py``, which runs them; sizes of the paper's two examples."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
from kernels import relative, table
from torch import Tensor

from napari_dainr.data import bin_spokes
from napari_dainr.inr.cuda_graph import GRAPHS_VARIABLE
from napari_dainr.machine import available_memory
from napari_dainr.methods import METHOD_NAMES
from napari_dainr.methods.base import Method, Problem
from napari_dainr.methods.config import method_config
from napari_dainr.methods.fit import make_method
from napari_dainr.methods.problem import make_problem
from napari_dainr.metrics import score
from napari_dainr.phantom import cine_phantom, liver_phantom, simulate_kspace

if TYPE_CHECKING:
    from gpu import Card

AGREES = 0.05
"""Relative difference of images after a few steps on CPU and GPU: rounding grows with every step of a network."""
TINY: dict[str, dict[str, Any]] = {
    "dainr": {"feature_steps": 2, "width": 8},
    "tddip": {"width": 4, "levels": 1, "mapping_width": 8},
    "fmlp": {"width": 16, "space_features": 16},
    "nik": {"width": 16, "features": 16, "batch": 200},
    "hashinr": {"table_log2": 9},
    "stinr": {"table_log2": 9},
}
"""Settings of the rehearsal."""


def problem_of(images: Any, spokes: int, coils: int, device: torch.device) -> Problem:
    kspace = simulate_kspace(images, spokes_per_frame=spokes, n_coils=coils, tr_s=0.0046, fov_mm=300.0)
    return make_problem(bin_spokes(kspace, spokes), device=device)


def method_for(run: Card, name: str, **settings: Any) -> Method:
    preset = settings.pop("preset", "fast")
    return make_method(name, method_config(name, preset, {**(TINY.get(name, {}) if run.tiny else {}), **settings}), 0)


def steps(run: Card) -> list[list[str]]:
    """Each method: its first steps against the CPU's, whether a step waits for the device, and what a step takes."""
    images = cine_phantom((24, 20) if run.tiny else (128, 128), 3 if run.tiny else 23)
    here, there = (problem_of(images, 5 if run.tiny else 13, 3 if run.tiny else 10, d) for d in ("cpu", run.device))
    rows = []
    for name in METHOD_NAMES:
        few: dict[str, Any] = {} if name == "nufft" else {"n_steps": 4}
        if name == "dainr":
            few["feature_steps"] = 2
        drawn = [_fitted(method_for(run, name, **few), problem).cpu() for problem in (here, there)]
        agrees = run.check(f"{name}: fit against the CPU's", relative(drawn[1], drawn[0]), AGREES)
        if name == "nufft":
            rows.append([name, agrees, "", "", ""])
            continue
        rows.append([name, agrees, *_step_times(run, name, there)])
    with mock.patch.dict(os.environ, {GRAPHS_VARIABLE: "1"}):
        drawn = [_fitted(method_for(run, "dainr", n_steps=4, feature_steps=2), p).cpu() for p in (here, there)]
        agrees = run.check("dainr, replayed: fit against the CPU's", relative(drawn[1], drawn[0]), AGREES)
        rows.append(["dainr, replayed as CUDA graphs", agrees, *_step_times(run, "dainr", there)])
    table(
        "Steps at 128², 23 frames, 13 spokes, default preset",
        ["method", "difference from the CPU's images", "waits", "ms a step", "of which the host asks, ms"],
        rows,
    )
    _profile(run, there)
    return rows


def _step_times(run: Card, name: str, problem: Problem) -> list[str]:
    """What made the host wait, milliseconds of a step, and of these how long the host took to ask for it.

    Where asking for the work takes as long as the work, the host is what limits.
    """
    method = method_for(run, name, **({"feature_steps": 2} if name == "dainr" else {}))
    state = method.start(problem)
    for _ in range(2 if run.tiny else 60):
        method.step(problem, state)
    waits = _waits(run, method, problem, state)
    run.wait()
    began, n = time.perf_counter(), 2 if run.tiny else 100
    for _ in range(n):
        method.step(problem, state)
    asked = time.perf_counter()
    run.wait()
    took = time.perf_counter()
    return [waits, f"{1e3 * (took - began) / n:.2f}", f"{1e3 * (asked - began) / n:.2f}"]


def _fitted(method: Method, problem: Problem) -> Tensor:
    state = method.start(problem)
    while not method.done(state):
        method.step(problem, state)
    return method.image(state)


def _waits(run: Card, method: Method, problem: Problem, state: Any) -> str:
    """ "no", or what made the host wait in four steps between two looks at convergence."""
    if run.device.type != "cuda":
        return "not asked"
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(4):
            method.step(problem, state)
    except RuntimeError as error:
        return str(error).splitlines()[0][:60]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return "no"


def _profile(run: Card, problem: Problem) -> None:
    """The kernels of DA-INR's steps that take longest."""
    method = method_for(run, "dainr", feature_steps=2)
    state = method.start(problem)
    for _ in range(4 if run.tiny else 60):
        method.step(problem, state)
    run.wait()
    cuda = run.device.type == "cuda"
    kinds = [torch.profiler.ProfilerActivity.CUDA if cuda else torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=kinds) as profile:
        for _ in range(2 if run.tiny else 20):
            method.step(problem, state)
        run.wait()
    by = "self_device_time_total" if cuda else "self_cpu_time_total"
    rows = profile.key_averages().table(sort_by=by, row_limit=15, max_name_column_width=60)
    print(f"\nDA-INR, {2 if run.tiny else 20} steps\n{rows}")


class _Memory:
    """The most memory of the card that was taken: by PyTorch's tensors, and in all, with cufinufft's plans."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        self._free = available_memory(str(device))
        self._outside = 0

    def look(self) -> None:
        """Outside PyTorch nothing remembers a peak, so it is looked at while much is in use."""
        if self._device.type == "cuda":
            taken = self._free - available_memory(str(self._device))
            self._outside = max(self._outside, taken - torch.cuda.memory_allocated(self._device))

    def gigabytes(self) -> tuple[float, float]:
        tensors = torch.cuda.max_memory_allocated(self._device) if self._device.type == "cuda" else 0
        return tensors / 1e9, (tensors + max(self._outside, 0)) / 1e9


def fits(run: Card) -> list[list[str]]:
    """Whole fits: preparation, steps and drawing, of k-space in memory; then 69 frames drawn from the cine's model."""
    tiny = run.tiny
    cine = cine_phantom((24, 20) if tiny else (128, 128), 3 if tiny else 23)
    cases: list[tuple[str, Any, int, int, str, dict[str, Any]]] = [
        ("cine 128² × 23, 32 coils, once before", cine, 13, 32, "dainr", {}),
        ("cine 128² × 23, 32 coils", cine, 13, 32, "dainr", {}),
        ("cine 128² × 23, 32 coils", cine, 13, 32, "grasp", {}),
        ("cine 128² × 23, 32 coils", cine, 13, 32, "hashinr", {}),
        ("cine 128² × 23, 32 coils", cine, 13, 32, "dainr", {"preset": "paper"}),
    ]
    if not tiny:
        liver = liver_phantom((384, 384), 17)[0]
        cases.insert(2, ("liver 384² × 17, 12 coils, 34 spokes", liver, 34, 12, "dainr", {}))
    rows: list[list[str]] = []
    for title, images, spokes, coils, name, settings in cases:
        if tiny:
            spokes, coils, settings = 5, 3, {**settings, "n_steps": 3}
        if run.left() < 5:
            rows.append([title, name, "left out: no time left", "", "", "", ""])
            run.wrong.append(f"{title}, {name}: left out")
            continue
        kspace = simulate_kspace(images, spokes_per_frame=spokes, n_coils=coils, tr_s=0.0046, fov_mm=300.0)
        memory, began = _Memory(run.device), time.perf_counter()
        problem = make_problem(bin_spokes(kspace, spokes), device=run.device)
        run.wait()
        prepared = time.perf_counter()
        method = method_for(run, name, **settings)
        # The paper's preset is measured on some of its steps: all of them could take the time of all else.
        most = 3000 if "preset" in settings else method.n_steps
        state = method.start(problem)
        done = 0
        while not method.done(state) and done < most and run.left() > 3:
            method.step(problem, state)
            done += 1
            if done in (20, 500):
                memory.look()
        run.wait()
        stepped = time.perf_counter()
        series = method.image(state)
        run.wait()
        ended = time.perf_counter()
        whole, note = ended - began, ""
        if not method.done(state):
            whole += (stepped - prepared) * (method.n_steps / max(state.step, 1) - 1)
            note = f", extrapolated from {state.step} of {method.n_steps} steps"
        tensors, in_all = memory.gigabytes()
        truth = abs(images)
        quality = score(series.cpu().numpy(), truth)["psnr_fit"] if method.done(state) else float("nan")
        times = f"{prepared - began:.2f} + {stepped - prepared:.2f} + {ended - stepped:.2f}"
        label = name + (", preset paper" if "preset" in settings else "")
        cells = [f"{whole:.2f}{note}", times, f"{tensors:.2f}", f"{in_all:.2f}", f"{quality:.2f}"]
        rows.append([title, label, *cells])
        print("  ".join(rows[-1]), flush=True)
        if name == "dainr" and settings.get("preset") is None and images is cine and "before" not in title:
            some = torch.linspace(0, len(images) - 1, 69 if not tiny else 5)
            drawing = run.timed(lambda method=method, state=state, some=some: method.image(state, some))
            rows.append(
                [f"{len(some)} frames drawn from it", "dainr", f"{drawing[len(drawing) // 2] / 1e3:.3f}"] + [""] * 4
            )
        del state, series, problem
    table(
        "Whole fits, preset fast where none is named",
        ["work", "method", "seconds", "prepare + fit + draw", "tensors, GB", "card, GB", "PSNR, dB"],
        rows,
    )
    return rows


def frames_in_memory(run: Card) -> list[list[str]]:
    """Memory of a fit over the number of frames, beyond the k-space that it is given."""
    rows = []
    matrix = (24, 20) if run.tiny else (128, 128)
    for n_frames in (2, 4) if run.tiny else (12, 24, 48, 96):
        problem = problem_of(cine_phantom(matrix, n_frames), 5 if run.tiny else 13, 3 if run.tiny else 10, run.device)
        cells = []
        for name in ("dainr", "hashinr", "nik", "grasp"):
            memory, method = (
                _Memory(run.device),
                method_for(run, name, **({"feature_steps": 1} if name == "dainr" else {})),
            )
            kept = torch.cuda.memory_allocated(run.device) if run.device.type == "cuda" else 0
            state = method.start(problem)
            for _ in range(2 if run.tiny else 3 * n_frames):
                method.step(problem, state)
            memory.look()
            tensors, in_all = memory.gigabytes()
            cells.append(f"{1e3 * (tensors - kept / 1e9):.0f} ({1e3 * in_all:.0f})")
            del state
        data = sum(t.numel() * t.element_size() for t in (problem.kdata, problem.csm, problem.dcf))
        rows.append([str(n_frames), f"{data / 1e6:.0f}", *cells])
    table(
        "Memory of a fit at 128², MB of tensors beyond the data (of the card in all)",
        ["frames", "data, MB", "dainr", "hashinr", "nik", "grasp"],
        rows,
    )
    return rows
