"""Everything that needs a card, in one run: ``python benchmarks/gpu.py [-o RESULT.json]``; at most nine minutes.

Correctness first: each backend against the reference on the CPU, the NUFFT against the exact sum and its own adjoint,
short fits against the CPU's, steps that must not wait. Then speed: kernels against their rivals, steps, whole fits,
memory. Builds nothing, needs only the package; what else is installed (cufinufft, tinycudann) is compared too.

A section that fails prints its traceback, and the next one goes on. Exit code: 0 all right, 1 something failed, was
wrong or was left out for lack of time, 2 no GPU. ``--cpu-rehearsal`` runs all of it at tiny sizes on the CPU, where
figures mean nothing, so that the script itself can be tested; ``--interpret`` adds Triton's interpreter to it.

Times are of CUDA events: median, and lowest to highest, of repeats with warm caches, as in a fit.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

REHEARSAL = "--cpu-rehearsal" in sys.argv or "--interpret" in sys.argv
if "--interpret" in sys.argv:
    os.environ["TRITON_INTERPRET"] = "1"  # before anything imports Triton

import numpy as np  # noqa: E402
import torch  # noqa: E402
from gpu_grid import grid_correctness, grid_speed  # noqa: E402
from gpu_whole import fits, frames_in_memory, steps  # noqa: E402
from kernels import Job, machine, relative, table  # noqa: E402
from torch import Tensor  # noqa: E402

from napari_dainr.errors import ResourceError  # noqa: E402
from napari_dainr.ops.nufft import Nufft, make_nufft  # noqa: E402
from napari_dainr.trajectory import radial_ktraj  # noqa: E402


@dataclass
class Card:
    """Where all of it runs, how often, and until when; and what came out."""

    device: torch.device
    repeats: int
    ends: float
    tiny: bool
    results: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def check(self, what: str, error: float, limit: float) -> str:
        """Note whether an error is within its limit; the cell of a table."""
        right = error <= limit  # a NaN is not
        if not right:
            self.wrong.append(f"{what}: {error:.1e} > {limit:.0e}")
        return f"{error:.1e}" + ("" if right else " WRONG")

    def left(self) -> float:
        return self.ends - time.monotonic()

    def broken(self) -> bool:
        """Whether an earlier error keeps CUDA from answering."""
        try:
            self.wait()
        except RuntimeError:
            return True
        return False

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def timed(self, job: Job) -> list[float]:
        """Milliseconds of each repeat, ascending, after three calls that do not count."""
        for _ in range(1 if self.tiny else 3):
            job()
        self.wait()
        times = []
        for _ in range(self.repeats):
            if self.device.type == "cuda":
                start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
                start.record()
                job()
                end.record()
                end.synchronize()
                times.append(float(start.elapsed_time(end)))
            else:
                began = time.perf_counter()
                job()
                times.append(1e3 * (time.perf_counter() - began))
        return sorted(times)

    @staticmethod
    def spread(times: list[float]) -> str:
        """Median (lowest–highest)."""
        return f"{times[len(times) // 2]:.3f} ({times[0]:.3f}–{times[-1]:.3f})"


def installed(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} not installed"


def card(run: Card) -> list[list[str]]:
    """What the card can do: bytes copied and products of float32 matrices per second."""
    packages = [installed(package) for package in ("torch", "triton", "cufinufft", "torchkbnufft", "tinycudann")]
    rows = [["packages", ", ".join(packages)]]
    if run.device.type == "cuda":
        facts = torch.cuda.get_device_properties(run.device)
        rows.append(
            ["card", f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB, compute {facts.major}.{facts.minor}"]
        )
        rows.append(
            ["units", f"{facts.multi_processor_count} multiprocessors, L2 {facts.L2_cache_size / 2**20:.0f} MiB"]
        )
    source = torch.ones(2**14 if run.tiny else 2**29, device=run.device)
    copy = run.timed(lambda: source.clone())
    rows.append(["copy, bytes read and written", f"{2 * 4 * source.numel() / copy[len(copy) // 2] / 1e9:.3f} TB/s"])
    side = 64 if run.tiny else 8192
    a, b = torch.rand(2, side, side, device=run.device)
    product = run.timed(lambda: a @ b)
    rows.append(["float32 product", f"{2 * side**3 / product[len(product) // 2] / 1e9:.1f} TFLOP/s"])
    table("The card", ["what", "figure"], rows)
    return rows


def nufft_problem(run: Card) -> tuple[np.ndarray, tuple[int, int], Tensor]:
    """Golden-angle spokes and coil images: 23 frames × 13 spokes × 256 samples × 10 coils at 128²."""
    frames, spokes, coils, matrix = (2, 3, 2, (17, 12)) if run.tiny else (23, 13, 10, (128, 128))
    ktraj = radial_ktraj(frames * spokes, 2 * matrix[0], matrix, oversampling=2.0).reshape(frames, -1, 2)
    generator = torch.Generator().manual_seed(0)
    return ktraj, matrix, torch.randn(frames, coils, *matrix, dtype=torch.complex64, generator=generator)


def nuffts(run: Card) -> dict[str, Nufft]:
    """NUFFTs that run here."""
    ktraj, matrix, _ = nufft_problem(run)
    found = {}
    interpreted = ["triton"] if os.environ.get("TRITON_INTERPRET") == "1" else []
    for backend in ["compiled", "finufft", *interpreted] if run.tiny else ["cufinufft", "triton", "torchkbnufft"]:
        try:
            found[backend] = make_nufft(ktraj, matrix, run.device, backend)
        except ResourceError as error:
            print(f"{backend}: {error}")
    return found


def nufft_correctness(run: Card) -> list[list[str]]:
    """Against the exact sum, and ⟨A x, y⟩ = ⟨x, Aᴴ y⟩."""
    ktraj, matrix, image = nufft_problem(run)
    exact = make_nufft(ktraj, matrix, backend="exact")
    frames = [0, len(ktraj) - 1]
    x = image[frames, :2]
    y = torch.randn(2, 2, ktraj.shape[1], dtype=torch.complex64, generator=torch.Generator().manual_seed(1))
    rows = []
    for name, nufft in nuffts(run).items():
        forward, back = nufft(x.to(run.device), frames).cpu(), nufft.adjoint(y.to(run.device), frames).cpu()
        gap = torch.vdot(forward.flatten(), y.flatten()) - torch.vdot(x.flatten(), back.flatten())
        dot = float(gap.abs() / (forward.norm() * y.norm()))
        errors = (relative(forward, exact(x, frames)), relative(back, exact.adjoint(y, frames)), dot)
        whats = ("forward", "adjoint", "dot test")
        rows.append([name, *(run.check(f"{name}, {w}", e, 5e-4) for w, e in zip(whats, errors, strict=True))])
    table("NUFFT: relative errors", ["backend", *("forward", "adjoint", "dot test")], rows)
    return rows


def nufft_speed(run: Card) -> list[list[str]]:
    """All frames, and one frame as in a step; plans made before, and made anew."""
    ktraj, matrix, image = nufft_problem(run)
    image = image.to(run.device)
    every = list(range(len(ktraj)))
    rows = []
    for name, nufft in nuffts(run).items():

        def fresh(nufft: Nufft = nufft) -> None:
            make_nufft(ktraj[:1], matrix, run.device, nufft.name)(image[:1], [0])

        kdata = nufft(image, every)
        jobs: list[Callable[[], object]] = [
            lambda nufft=nufft: nufft(image, every),
            lambda nufft=nufft, kdata=kdata: nufft.adjoint(kdata, every),
            lambda nufft=nufft: nufft(image[:1], [0]),
            lambda nufft=nufft, kdata=kdata: nufft.adjoint(kdata[:1], [0]),
            fresh,
        ]
        rows.append([name, *(run.spread(run.timed(job)) for job in jobs)])
    table(
        f"NUFFT, {' × '.join(map(str, image.shape))}: milliseconds",
        ["backend", "all frames, forward", "adjoint", "one frame, forward", "adjoint", "one frame, made anew"],
        rows,
    )
    return rows


SECTIONS: dict[str, Callable[[Card], Any]] = {
    "card": card,
    "hash grid correctness": grid_correctness,
    "NUFFT correctness": nufft_correctness,
    "steps": steps,
    "hash grid speed": grid_speed,
    "NUFFT speed": nufft_speed,
    "whole fits": fits,
    "memory": frames_in_memory,
}


def main() -> int:
    options = arguments().parse_args()
    if not REHEARSAL and not torch.cuda.is_available():
        print("PyTorch finds no CUDA GPU here, so nothing was measured; --cpu-rehearsal tries the script itself.")
        return 2
    device = torch.device("cpu" if REHEARSAL else "cuda")
    run = Card(device, 1 if REHEARSAL else options.repeats, time.monotonic() + options.seconds, REHEARSAL)
    if options.go_on:
        run.results = json.loads(options.go_on.read_text())["sections"]
    print(machine() + (" — a rehearsal: no figure means anything" if REHEARSAL else ""))
    wanted = [name for name in SECTIONS if not options.only or name.startswith(tuple(options.only.split(",")))]
    for name in wanted:
        if name in run.results:
            continue
        run.results[name] = entry = carried_out(name, run)
        print(f"\n-- {name}: {entry.get('error', 'done')}, {entry['seconds']} s", flush=True)
        if options.output:  # after each section, so that a machine that goes away leaves what there was
            write(options.output, run)
        if "error" in entry and run.broken():
            return in_a_new_process(options, run)
    return verdict(run)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, help="write all figures as JSON")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=520.0, help="no section begins after this")
    parser.add_argument("--only", help="comma-separated beginnings of the names of sections")
    parser.add_argument("--cpu-rehearsal", action="store_true", help="all of it at tiny sizes on the CPU")
    parser.add_argument("--interpret", action="store_true", help="the rehearsal with Triton's interpreter")
    parser.add_argument("--go-on", type=Path, help="JSON of a run whose sections are not run again")
    return parser


def carried_out(name: str, run: Card) -> dict[str, Any]:
    """One section with whatever happens in it: its rows or its error, what was wrong, and seconds."""
    began, n_wrong = time.monotonic(), len(run.wrong)
    entry: dict[str, Any] = {}
    if run.left() <= 0:
        entry["error"] = "left out: no time left"
    else:
        try:
            entry["rows"] = SECTIONS[name](run)
        except Exception as error:  # the next section is to have its turn whatever happens in this one
            traceback.print_exc(file=sys.stdout)
            entry["error"] = f"{type(error).__name__}: {error}"
    entry["wrong"] = run.wrong[n_wrong:]
    entry["seconds"] = round(time.monotonic() - began, 1)
    return entry


def write(output: Path, run: Card) -> None:
    facts = {"machine": machine() if not run.broken() else "", "rehearsal": REHEARSAL, "sections": run.results}
    output.write_text(json.dumps(facts, indent=1))


def in_a_new_process(options: argparse.Namespace, run: Card) -> int:
    """The sections that are left, after an error that CUDA does not forget as long as the process lives."""
    print("CUDA answers with errors only from here on: the other sections run in a new process.", flush=True)
    output = options.output or Path(tempfile.mkdtemp()) / "gpu.json"
    write(output, run)
    command = [sys.executable, __file__, "--go-on", str(output), "-o", str(output), "--seconds", f"{run.left():.0f}"]
    command += ["--repeats", str(options.repeats), *(["--only", options.only] if options.only else [])]
    return subprocess.call(command + [name for name in ("--cpu-rehearsal", "--interpret") if name in sys.argv])


def verdict(run: Card) -> int:
    """The last lines, and the exit code."""
    for entry in run.results.values():
        for line in entry["wrong"]:
            print(f"WRONG: {line}")
    failed = [name for name, entry in run.results.items() if "error" in entry or entry["wrong"]]
    print(f"\nFAILED: {', '.join(failed)}" if failed else "\nAll sections done, all checks passed.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
