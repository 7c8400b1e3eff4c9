"""Kernels and whole fits beside their rivals: ``make bench`` or ``python benchmarks/bench.py [--only WORD …]``.

Prints one table and what has become slower or worse since the figures that the repository holds for this kind of
machine (benchmarks/results/KIND.json); ``--save`` writes them anew, to be committed. Exit code 1 where something has.
Whole fits need the benchmark data ($NAPARI_DAINR_DATA, or ../shared/data) and BART on the path; what is not there is
named and left out. Two threads.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from kernels import MATRIX, N_COILS, N_FRAMES, golden_angle_trajectory
from measuring import FOLDER, Row, compare, document, last_committed, machine_kind, markdown, timed
from torch import Tensor

from napari_dainr.bench.bart import bart_program, bart_version, reconstruct_with_bart
from napari_dainr.data import BinnedKSpace, bin_spokes
from napari_dainr.fitted import FittedModel
from napari_dainr.inr.hashgrid import HashGrid, HashGridSpec
from napari_dainr.inr.parallel import set_threads
from napari_dainr.io import read_kspace
from napari_dainr.methods.config import method_config
from napari_dainr.methods.fit import make_method
from napari_dainr.methods.held_out import hold_out
from napari_dainr.methods.problem import make_problem
from napari_dainr.metrics import score
from napari_dainr.ops.nufft import make_nufft
from napari_dainr.phantom import cine_phantom, simulate_kspace
from napari_dainr.recipe import Finished, Recipe, run

THREADS = 2
DATA = Path(os.environ.get("NAPARI_DAINR_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
BART_LAMBDA, BART_ITERATIONS = 0.009, 60
"""The best λ of docs/benchmarks.md on cine_5; chosen with the truth in hand, which no user has."""

Section = Callable[[], Iterator[Row]]


def nuffts() -> Iterator[Row]:
    """All frames of a cine at once, forward and adjoint."""
    ktraj, every = golden_angle_trajectory(), list(range(N_FRAMES))
    shape = (N_FRAMES, N_COILS, *MATRIX)
    image = torch.randn(shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    fast = make_nufft(ktraj, MATRIX, threads=THREADS)
    kdata = fast(image, every)
    kept = make_nufft(ktraj, MATRIX, backend="finufft", threads=THREADS)
    other = make_nufft(ktraj, MATRIX, backend="torchkbnufft")

    def fresh(frame: int, adjoint: bool) -> Tensor:
        plan = make_nufft(ktraj[frame : frame + 1], MATRIX, backend="finufft", threads=THREADS)
        return plan.adjoint(kdata[frame : frame + 1], [0]) if adjoint else plan(image[frame : frame + 1], [0])

    torch.set_num_threads(THREADS)  # for torchkbnufft, which knows no other threads
    for what, adjoint in (("NUFFT forward", False), ("NUFFT adjoint", True)):
        jobs: dict[str, Callable[[], object]] = {
            name: (lambda n=nufft: n.adjoint(kdata, every)) if adjoint else (lambda n=nufft: n(image, every))  # type: ignore[misc]
            for name, nufft in ((fast.name, fast), ("finufft, plans kept", kept))
        }
        jobs["finufft, new plans"] = lambda adjoint=adjoint: [fresh(f, adjoint) for f in every]  # type: ignore[misc]
        jobs["torchkbnufft"] = (lambda: other.adjoint(kdata, every)) if adjoint else (lambda: other(image, every))
        yield from timed(what, jobs, 5, rival="torchkbnufft")
    torch.set_num_threads(1)


def hash_grids() -> Iterator[Row]:
    """Encoding of an image's pixels, forward and backward to table and points."""
    axis = 2 * (torch.arange(MATRIX[0]) - MATRIX[0] // 2) / MATRIX[0]
    points = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    points = (points + 0.01 * torch.randn(points.shape, generator=torch.Generator().manual_seed(0))).requires_grad_()
    for spec in (HashGridSpec(), HashGridSpec(levels=4)):
        pull = torch.randn(len(points), spec.width, generator=torch.Generator().manual_seed(1))

        def step(backend: str, spec: HashGridSpec = spec, pull: Tensor = pull) -> Callable[[], object]:
            grid = HashGrid(spec, backend=backend)
            return lambda: grid(points).backward(pull)

        torch.set_num_threads(THREADS)
        yield from timed(
            f"hash grid of {spec.levels} levels", {"compiled": step("numba"), "torch": step("torch")}, 5, rival="torch"
        )
    torch.set_num_threads(1)


def frames_of(name: str, spokes: int) -> tuple[BinnedKSpace, np.ndarray]:
    kspace = read_kspace(DATA / f"{name}.h5", Recipe(data=name, spokes_per_frame=spokes).importing)
    return bin_spokes(kspace, spokes, 0), np.load(DATA / f"{name}.truth.npy")


def quality_of(image: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    found = score(np.abs(image), truth)
    return found["psnr_fit"], found["ssim_fit"]


def solvers() -> Iterator[Row]:
    """GRASP, from its start to its image, and the low-rank solver, against BART's ADMM on the same samples and maps."""
    if not DATA.is_dir():
        print(f"solvers left out: there is no benchmark data at {DATA}")
        return
    binned, truth = frames_of("cine_5", 5)
    problem = make_problem(binned, threads=THREADS)
    kept, _ = hold_out(problem, binned.spokes_per_frame, 0.02, THREADS)
    quality: dict[str, tuple[float, float]] = {}

    def ours(name: str, problem: object, **settings: float) -> Callable[[], object]:
        def job() -> None:
            method = make_method(name, method_config(name, "fast", settings), 0)
            state = method.start(problem)  # type: ignore[arg-type]
            while not method.done(state):
                method.step(problem, state)  # type: ignore[arg-type]
            quality[labels[job]] = quality_of(method.image(state).numpy(), truth)

        return job

    def bart() -> float:
        image, seconds, _ = reconstruct_with_bart(binned, BART_LAMBDA, BART_ITERATIONS, threads=THREADS)
        quality["BART pics"] = quality_of(image, truth)
        return seconds

    jobs: dict[str, Callable[[], object]] = {
        "GRASP": ours("grasp", kept),
        "GRASP, no spokes held out": ours("grasp", problem),
        "low-rank": ours("lowrank", kept),
    }
    labels = {job: name for name, job in jobs.items()}
    if bart_program() is None:
        print("BART left out: it is not on the path")
    else:
        jobs["BART pics"] = bart
    rival = "BART pics" if "BART pics" in jobs else ""
    yield from timed("cine_5, to convergence", jobs, 3, rival, quality, warm=False)


def whole_runs() -> Iterator[Row]:
    """From file to result with the defaults, by preparation, fit, drawing and saving."""
    if not DATA.is_dir():
        print(f"whole runs left out: there is no benchmark data at {DATA}")
        return

    def job(name: str, spokes: int, method: str, quality: dict[str, tuple[float, float]]) -> None:
        recipe = Recipe(data=str(DATA / f"{name}.h5"), spokes_per_frame=spokes, method=method, threads=THREADS)
        with tempfile.TemporaryDirectory() as folder:
            *_, last = run(recipe, Path(folder) / "run")
        assert isinstance(last, Finished)
        quality[method] = quality_of(last.series.image, np.load(DATA / f"{name}.truth.npy"))

    for name, spokes in (("cine_13", 13), ("cine_5", 5)):
        quality: dict[str, tuple[float, float]] = {}
        jobs: dict[str, Callable[[], object]] = {
            method: partial(job, name, spokes, method, quality) for method in ("nufft", "grasp", "dainr")
        }
        yield from timed(f"{name}, from file to result", jobs, 1, quality=quality, warm=False)


def drawing() -> Iterator[Row]:
    """69 frames of 128 × 128 from a fitted model; how good the fit is does not matter for the time."""
    kspace = simulate_kspace(cine_phantom(MATRIX, 35), spokes_per_frame=13, n_coils=4, tr_s=0.0046, fov_mm=300.0)
    recipe = Recipe(data="memory", spokes_per_frame=13, settings={"n_steps": 4, "feature_steps": 2}, threads=THREADS)
    with tempfile.TemporaryDirectory() as folder:
        for _ in run(recipe, Path(folder) / "run", kspace=kspace):
            pass
        model = FittedModel(Path(folder) / "run")
        jobs: dict[str, Callable[[], object]] = {
            "preview": lambda: model.draw(1.0, 2, quick=True),
            "exact": lambda: model.draw(1.0, 2, quick=False),
        }
        yield from timed("69 frames of 128² from a fitted model", jobs, 5)


def starting() -> Iterator[Row]:
    """A new process each time; bare Python, to see what is ours."""

    def command(*words: str) -> Callable[[], object]:
        return lambda: subprocess.run(words, check=True, stdout=subprocess.DEVNULL)

    jobs = {
        "import napari_dainr": command(sys.executable, "-c", "import napari_dainr"),
        "napari-dainr --help": command(str(Path(sys.executable).with_name("napari-dainr")), "--help"),
        "bare Python": command(sys.executable, "-c", "pass"),
    }
    yield from timed("start", jobs, 9)


SECTIONS: dict[str, Section] = {
    "start": starting, "nufft": nuffts, "hash": hash_grids, "draw": drawing, "solvers": solvers, "runs": whole_runs,
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/KIND.json, to be committed")
    options = parser.parse_args()
    set_threads(THREADS)
    torch.set_num_threads(1)  # as in a run
    rows = [row for name in options.only for row in SECTIONS[name]()]
    result, last = document(rows, bart=bart_version()), last_committed(machine_kind())
    print(f"{result['kind']}, commit {result['commit']}, {THREADS} threads; {result['versions']}\n")
    print(markdown(result))
    found: list[str] = []
    if last is None:
        print(f"\nNo figures of {result['kind']} to compare with; --save writes them.")
    else:
        if len(options.only) < len(SECTIONS):
            groups = {row.group for row in rows}
            last["rows"] = [row for row in last["rows"] if row["group"] in groups]
        found = compare(result, last)
        print(f"\nSince commit {last['commit']}: " + ("nothing slower or worse." if not found else ""))
        print("\n".join(f"- {sentence}" for sentence in found))
    if options.save:
        FOLDER.mkdir(exist_ok=True)
        (FOLDER / f"{result['kind']}.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
