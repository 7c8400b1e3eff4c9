"""Speed of the kernels, side by side in one run: ``python benchmarks/kernels.py [--repeats 9] [--threads N]``.

Prints Markdown tables: median wall time, and CPU time of all threads, which says more on a busy machine. The variants
take turns, so that a disturbance meets all of them.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from measuring import turns
from numpy.typing import NDArray
from torch import Tensor

from napari_dainr.inr import parallel
from napari_dainr.inr.hashgrid import HashGrid, HashGridSpec
from napari_dainr.ops.nufft import Nufft, make_nufft

N_FRAMES, N_SPOKES, N_READOUT, N_COILS, MATRIX = 23, 13, 256, 10, (128, 128)

Job = Callable[[], object]


def machine() -> str:
    """Processor, cores and versions in one line."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        name = next(
            (line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line), name
        )
    versions = f"Python {platform.python_version()}, PyTorch {torch.__version__}, NumPy {np.__version__}"
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{name}, {os.cpu_count()} cores{gpu}; {versions}; {parallel.get_threads()} threads"


def measure(jobs: dict[str, Job], repeats: int) -> dict[str, tuple[float, float]]:
    """Median (wall, CPU) milliseconds of each job.

    A turn is five calls, of which the first two do not count.
    """
    taken = turns(jobs, -(-repeats // 3), warm=2, counted=3)
    return {name: (1e3 * float(np.median(t[:, 0])), 1e3 * float(np.median(t[:, 1]))) for name, t in taken.items()}


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    print(f"\n{title}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def golden_angle_trajectory() -> NDArray[np.float64]:
    """(frame, sample, 2) radial trajectory with twofold readout oversampling, cycles per field of view."""
    angle = np.arange(N_FRAMES * N_SPOKES) * np.pi * (np.sqrt(5) - 1) / 2
    radius = (np.arange(N_READOUT) - N_READOUT // 2) * MATRIX[0] / N_READOUT
    spokes = np.stack([np.sin(angle)[:, None] * radius, np.cos(angle)[:, None] * radius], -1)
    return spokes.reshape(N_FRAMES, N_SPOKES * N_READOUT, 2)


def relative(a: Tensor, b: Tensor) -> float:
    return float((a.cpu() - b.cpu()).norm() / b.cpu().norm())


def nufft_table(repeats: int, threads: int) -> None:
    ktraj = golden_angle_trajectory()
    every = list(range(N_FRAMES))
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(N_FRAMES, N_COILS, *MATRIX, dtype=torch.complex64, generator=generator)
    oracle = make_nufft(ktraj[:1], MATRIX, backend="exact")
    truth = oracle(image[:1], [0])
    back_truth = oracle.adjoint(truth, [0])

    def jobs(nufft: Nufft, frames: list[int]) -> tuple[Job, Job]:
        x = image[: len(frames)].to(nufft.device)
        y = nufft(x, frames)
        return lambda: nufft(x, frames), lambda: nufft.adjoint(y, frames)

    def fresh(frame: int, back: bool) -> Tensor:
        nufft = make_nufft(ktraj[frame : frame + 1], MATRIX, backend="finufft", threads=threads)
        return nufft.adjoint(kdata[frame : frame + 1], [0]) if back else nufft(image[frame : frame + 1], [0])

    variants = {
        f"compiled, {threads} threads": make_nufft(ktraj, MATRIX, backend="compiled", threads=threads),
        "compiled, 1 thread": make_nufft(ktraj, MATRIX, backend="compiled", threads=1),
        f"finufft, {threads} threads": make_nufft(ktraj, MATRIX, backend="finufft", threads=threads),
        "finufft, 1 thread": make_nufft(ktraj, MATRIX, backend="finufft", threads=1),
        "torchkbnufft": make_nufft(ktraj, MATRIX, backend="torchkbnufft"),
    }
    if torch.cuda.is_available():
        variants["torchkbnufft, CUDA"] = make_nufft(ktraj, MATRIX, "cuda", "torchkbnufft")
        if find_spec("cufinufft"):
            variants["cufinufft"] = make_nufft(ktraj, MATRIX, "cuda", "cufinufft")
    kdata = variants["finufft, 1 thread"](image, every)

    all_jobs: dict[str, Job] = {}
    for name, nufft in variants.items():
        for what, frames in (("all", every), ("one", [0])):
            forward, back = jobs(nufft, frames)
            all_jobs[f"{name}|{what} forward"] = forward
            all_jobs[f"{name}|{what} adjoint"] = back
    new = "finufft, a new plan each time"
    all_jobs[f"{new}|all forward"] = lambda: [fresh(f, False) for f in every]
    all_jobs[f"{new}|all adjoint"] = lambda: [fresh(f, True) for f in every]
    all_jobs[f"{new}|one forward"] = lambda: fresh(0, False)
    all_jobs[f"{new}|one adjoint"] = lambda: fresh(0, True)
    times = measure(all_jobs, repeats)

    rows = []
    for name in [*variants, new]:
        nufft = variants.get(name, variants["finufft, 1 thread"])
        errors = (
            relative(nufft(image[:1].to(nufft.device), [0]), truth),
            relative(nufft.adjoint(truth.to(nufft.device), [0]), back_truth),
        )
        cells = [times[f"{name}|{what}"] for what in ("all forward", "all adjoint", "one forward", "one adjoint")]
        rows.append([name, *(f"{wall:.1f} ({cpu:.1f})" for wall, cpu in cells), f"{max(errors):.1e}"])
    table(
        f"NUFFT: {N_FRAMES} frames × {N_SPOKES} spokes × {N_READOUT} samples × {N_COILS} coils at "
        f"{MATRIX[0]} × {MATRIX[1]}; milliseconds wall (CPU)",
        ["backend", "all frames, forward", "all frames, adjoint", "one frame, forward", "one frame, adjoint", "error"],
        rows,
    )


def hash_table(repeats: int, threads: int) -> None:
    n = 128
    axis = 2 * (torch.arange(n) - n // 2) / n
    coords = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    coords = coords + 0.01 * torch.randn(coords.shape, generator=torch.Generator().manual_seed(0))
    rows = []
    for spec in (HashGridSpec(), HashGridSpec(levels=4)):
        weight = torch.randn(len(coords), spec.width, generator=torch.Generator().manual_seed(1))

        def step(grid: HashGrid, used: int, weight: Tensor = weight) -> Job:
            moving = coords.clone().requires_grad_()

            def run() -> None:
                parallel.set_threads(used)
                torch.set_num_threads(used)
                grid.zero_grad(set_to_none=True)
                moving.grad = None
                grid(moving).backward(weight)

            return run

        times = measure(
            {
                f"{backend}, {used} thread{'s' if used > 1 else ''}": step(HashGrid(spec, backend=backend), used)
                for backend in ("numba", "torch")
                for used in dict.fromkeys((threads, 1))
            },
            repeats,
        )
        for name, (wall, cpu) in times.items():
            rows.append([f"L = {spec.levels}", name, f"{wall:.1f} ({cpu:.1f})"])
        for used in dict.fromkeys((threads, 1)):
            label = f"{used} thread{'s' if used > 1 else ''}"
            slow, fast = times[f"torch, {label}"], times[f"numba, {label}"]
            rows.append([f"L = {spec.levels}", f"ratio, {label}", f"{slow[0] / fast[0]:.0f} ({slow[1] / fast[1]:.0f})"])
    table(
        "Hash encoding, T = 2^19, F = 2, b = 2, N_min = 16: forward + backward to table and points, 128² points; "
        "milliseconds wall (CPU)",
        ["levels", "backend", "time"],
        rows,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=parallel.get_threads())
    options = parser.parse_args()
    parallel.set_threads(options.threads)
    torch.set_num_threads(options.threads)
    print(machine())
    nufft_table(options.repeats, options.threads)
    hash_table(options.repeats, options.threads)


if __name__ == "__main__":
    main()
