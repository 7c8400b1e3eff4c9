"""How cost grows with matrix, frames, coils and spokes: ``python benchmarks/growth.py [--method NAME …]``.

From one base size one number changes at a time, over four sizes or more. Each point is a process of its own on a
series of noise, one thread, a few steps: CPU seconds of preparation, of a step and of drawing all frames, and the most
resident memory, k-space included, above that of a process with everything imported. The exponent p of size^p is a
least-squares line through the logarithms; ± is its standard error. A step of GRASP and low-rank works on all frames,
one of DA-INR on one frame. ``--axis frames --bound 0`` puts every array of the series into a file, as long series are
(docs/adr/0017-memory-and-frames.md). Ten minutes for two methods.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

import numpy as np
import torch

from napari_dainr.data import BinnedKSpace
from napari_dainr.inr.parallel import set_threads
from napari_dainr.machine import HighestMemory, give_back_memory, memory_in_use
from napari_dainr.methods.config import method_config
from napari_dainr.methods.fit import make_method
from napari_dainr.methods.problem import make_problem
from napari_dainr.paged import BOUND, let_go_all, paged_from, room
from napari_dainr.trajectory import radial_ktraj

BASE = {"matrix": 96, "frames": 16, "coils": 8, "spokes": 10}
SIZES = {
    "matrix": [64, 96, 128, 192],
    "frames": [8, 16, 32, 64, 128, 256],
    "coils": [4, 8, 16, 32],
    "spokes": [5, 10, 20, 40],
}
MEASURED = {"prepare": "preparation", "step": "step", "draw": "drawing", "memory": "memory"}
STEPS = 3


def samples(matrix: int, frames: int, coils: int, spokes: int) -> BinnedKSpace:
    """Radial k-space of noise, stronger at the centre: what a step costs does not depend on what it sees."""
    ktraj = radial_ktraj(frames * spokes, 2 * matrix, (matrix, matrix)).reshape(frames, spokes, 2 * matrix, 2)
    kdata = room((frames, coils, spokes, 2 * matrix))
    for frame in range(frames):
        rng = np.random.default_rng(frame)
        noise = rng.standard_normal((coils, spokes, 4 * matrix), np.float32).view(np.complex64)
        kdata[frame] = noise / (1 + (ktraj[frame] ** 2).sum(axis=-1))
        let_go_all(frame)
    return BinnedKSpace(kdata, ktraj, np.arange(frames, dtype=float), 1.0, (matrix, matrix), (300.0, 300.0))


def cost(method_name: str, binned: BinnedKSpace) -> dict[str, float]:
    """CPU seconds of preparation, step and drawing."""
    begun = time.process_time()
    problem = make_problem(binned, coils=binned.n_coils, threads=1)
    prepared = time.process_time()
    settings = {"feature": "nufft", "members": 1} if method_name == "dainr" else {"tolerance": 0.0}
    method = make_method(method_name, method_config(method_name, "fast", settings), 0)
    state = method.start(problem)
    method.step(problem, state)  # plans are made, functions compiled
    taken = []
    for _ in range(STEPS):
        started = time.process_time()
        method.step(problem, state)
        taken.append(time.process_time() - started)
    started = time.process_time()
    method.image(state)
    drawn = time.process_time() - started
    return {"prepare": prepared - begun, "step": float(np.median(taken)), "draw": drawn}


def point(method_name: str, bound: int, **sizes: int) -> dict[str, float]:
    """Measure one size, in a process of its own; a tiny one before loads what is loaded but once."""
    set_threads(1)
    torch.set_num_threads(1)
    cost(method_name, samples(32, 3, 2, 5))
    give_back_memory()
    before = memory_in_use()
    with paged_from(bound), HighestMemory() as memory:
        found = cost(method_name, samples(**sizes))
    return found | {"memory": memory.highest - before}


def fitted(sizes: list[int], values: list[float]) -> tuple[float, float]:
    """Exponent and its standard error."""
    x, y = np.log(sizes), np.log(np.maximum(values, 1e-6))
    slope, offset = np.polyfit(x, y, 1)
    residual = y - slope * x - offset
    error = np.sqrt((residual**2).sum() / (len(x) - 2) / ((x - x.mean()) ** 2).sum())
    return float(slope), float(error)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", nargs="+", default=["grasp", "dainr"])
    parser.add_argument("--axis", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--sizes", nargs="+", type=int, help="in place of those of the axis")
    parser.add_argument("--bound", type=int, default=BOUND, help="bytes above which an array lives in a file")
    parser.add_argument("--point", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.point:
        print(json.dumps(point(**json.loads(options.point))))
        return
    for method in options.method:
        points: dict[str, dict[str, float]] = {}
        print(f"\n**{method}**\n\n| | {' | '.join(MEASURED.values())} | exponents |\n|{'---|' * (len(MEASURED) + 2)}")
        for axis in options.axis:
            sizes = options.sizes or SIZES[axis]
            found = []
            for size in sizes:
                chosen = json.dumps({"method_name": method, "bound": options.bound, **BASE, axis: size})
                if chosen not in points:
                    done = subprocess.run(
                        [sys.executable, __file__, "--point", chosen], capture_output=True, text=True, check=True
                    )
                    points[chosen] = json.loads(done.stdout.splitlines()[-1])
                found.append(points[chosen])
            for size, values in zip(sizes, found, strict=True):
                cells = [f"{values[name]:.3f} s" for name in MEASURED if name != "memory"]
                print(f"| {axis} {size} | {' | '.join(cells)} | {values['memory'] / 2**20:.0f} MiB | |", flush=True)
            exponents = []
            for name, title in MEASURED.items():
                if min(values[name] for values in found) < 1e-3:
                    continue  # nothing to speak of, and no more than the clock's noise
                power, error = fitted(sizes, [values[name] for values in found])
                exponents.append(f"{title} {power:.2f} ± {error:.2f}")
            print(f"| **{axis}** | | | | | {', '.join(exponents)} |", flush=True)


if __name__ == "__main__":
    main()
