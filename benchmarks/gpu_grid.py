"""The hash grid for ``benchmarks/gpu.py``, which runs it: each backend against the reference, and its speed."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from kernels import Job, relative, table
from torch import Tensor

from napari_dainr.inr.hashgrid import HashGridSpec, encode

if TYPE_CHECKING:
    from gpu import Card


def grid_backends(run: Card) -> list[str]:
    """Hash grids that could run here, the reference on the same device first."""
    if run.tiny:
        return ["torch", "numba", *(["triton"] if os.environ.get("TRITON_INTERPRET") == "1" else [])]
    return ["torch", *(name for name in ("triton", "tinycudann") if find_spec(name))]


def grid_specs(run: Card) -> dict[str, tuple[HashGridSpec, int]]:
    """Grids as DA-INR and HashINR use them, and the paper's, each with a number of points."""
    if run.tiny:
        return {
            "2-D": (HashGridSpec(levels=3, table_log2=7, n_min=5), 40),
            "3-D": (HashGridSpec(levels=2, table_log2=8, n_min=4, dims=3), 30),
        }
    return {
        "2-D, L = 16, T = 2^19, 128²": (HashGridSpec(), 128**2),
        "2-D, L = 4, to 128 cells, 128²": (HashGridSpec(levels=4), 128**2),
        "2-D, L = 16, T = 2^19, 384²": (HashGridSpec(), 384**2),
        "3-D, L = 5, T = 2^19, 4 × 128²": (HashGridSpec(levels=5, n_min=8, dims=3), 4 * 128**2),
        "2-D, one coarse level, 128²": (HashGridSpec(levels=1), 128**2),
        "2-D, one fine level, 128²": (HashGridSpec(levels=1, n_min=4096), 128**2),
    }


def grid_inputs(spec: HashGridSpec, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Points in and around the box, table and slope, float32 on the CPU."""
    generator = torch.Generator().manual_seed(n)
    coords = torch.rand(n, spec.dims, generator=generator) * 2.1 - 1.05
    table = torch.randn(spec.n_entries, spec.features, generator=generator)
    return coords, table, torch.randn(n, spec.width, generator=generator)


def grid_correctness(run: Card) -> list[list[str]]:
    """Values and both gradients of each backend against the reference on the CPU, relative to their size."""
    rows = []
    for name, (spec, n) in grid_specs(run).items():
        n = min(n, 4000)
        if spec.resolutions[-1] > 4096:  # where float32 coordinates leave much of a cell undetermined
            spec = HashGridSpec(9, spec.table_log2, spec.features, spec.n_min, spec.growth, spec.dims)
        coords, numbers, slope = grid_inputs(spec, n)
        answers: dict[str, list[Tensor]] = {}
        for backend in ["reference", *grid_backends(run)]:
            device = torch.device("cpu") if backend == "reference" else run.device
            places, entries = (t.to(device).clone().requires_grad_() for t in (coords, numbers))
            out = encode(places, entries, spec, "torch" if backend == "reference" else backend)
            of_both = torch.autograd.grad(out, (places, entries), slope.to(device))
            answers[backend] = [t.detach().cpu() for t in (out, *of_both)]
        for backend in grid_backends(run):
            limit = 1e-2 if backend == "tinycudann" else 1e-4
            errors = [relative(a, b) for a, b in zip(answers[backend], answers["reference"], strict=True)]
            whats = ("values", "gradient of points", "gradient of table")
            cells = [run.check(f"{name}, {backend}, {w}", e, limit) for w, e in zip(whats, errors, strict=True)]
            rows.append([name, backend, *cells])
    table("Hash grid: relative errors", ["grid", "backend", "values", "gradient of points", "of table"], rows)
    return rows


def grid_speed(run: Card) -> list[list[str]]:
    """Forward, and forward with backward to table and points."""
    rows = []
    for name, (spec, n) in grid_specs(run).items():
        inputs = [t.to(run.device) for t in grid_inputs(spec, n)]
        medians: dict[str, float] = {}
        jobs = {backend: _grid_jobs(inputs, spec, backend) for backend in grid_backends(run)}
        if "tinycudann" in jobs:
            jobs["tinycudann, native (another function)"] = _native_jobs(inputs, spec)
        for backend, (forward, both) in jobs.items():
            times = [run.timed(forward), run.timed(both)]
            medians[backend] = times[1][len(times[1]) // 2]
            ratio = medians["torch"] / medians[backend]
            rows.append([name, backend, *map(run.spread, times), f"{ratio:.1f}"])
    table(
        "Hash grid: milliseconds",
        ["grid", "backend", "forward", "forward + backward", "times as fast as PyTorch"],
        rows,
    )
    return rows


def _grid_jobs(inputs: list[Tensor], spec: HashGridSpec, backend: str) -> tuple[Job, Job]:
    coords, numbers = (t.clone().requires_grad_() for t in inputs[:2])

    def forward() -> None:
        with torch.no_grad():
            encode(coords, numbers, spec, backend)

    def both() -> None:
        torch.autograd.grad(encode(coords, numbers, spec, backend), (coords, numbers), inputs[2])

    return forward, both


def _native_jobs(inputs: list[Tensor], spec: HashGridSpec) -> tuple[Job, Job]:
    """tiny-cuda-nn's own grid encoding of the same sizes, all levels at once: for its speed alone."""
    import tinycudann

    config = {
        "otype": "Grid",
        "type": "Hash",
        "n_levels": spec.levels,
        "n_features_per_level": spec.features,
        "log2_hashmap_size": spec.table_log2,
        "base_resolution": spec.n_min,
        "per_level_scale": spec.growth,
    }
    module = tinycudann.Encoding(spec.dims, config, dtype=torch.float32)
    coords = ((inputs[0] + 1) / 2).clamp(0, 1).requires_grad_()

    def forward() -> None:
        with torch.no_grad():
            module(coords)

    return forward, lambda: torch.autograd.grad(module(coords), (coords, module.params), inputs[2])
