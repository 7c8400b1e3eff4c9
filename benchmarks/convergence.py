"""How near to their minimum GRASP and low-rank stop: ``python benchmarks/convergence.py [--data NAME …] [--long 300]``.

The objective and the scores where the default tolerance ends a fit, and after many more iterations, on the benchmark
data, by the defaults. A row a method and file.
"""

from __future__ import annotations

import argparse

from bench import THREADS, frames_of, quality_of
from kernels import table

from napari_dainr.inr.parallel import set_threads
from napari_dainr.machine import torch_on_one_thread
from napari_dainr.methods.config import method_config
from napari_dainr.methods.fit import make_method
from napari_dainr.methods.grasp import GraspMethod
from napari_dainr.methods.held_out import hold_out
from napari_dainr.methods.lowrank import LowrankMethod
from napari_dainr.methods.problem import make_problem

SPOKES = {"cine_5": 5, "cine_13": 13, "dce_21": 21}
CASES: dict[str, tuple[str, dict[str, float]]] = {
    "GRASP": ("grasp", {}),
    "low-rank": ("lowrank", {}),
    "low-rank + spatial TV": ("lowrank", {"space_factor": 0.015}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", choices=SPOKES, default=list(SPOKES))
    parser.add_argument("--method", nargs="+", choices=CASES, default=["GRASP"])
    parser.add_argument("--long", type=int, default=300, help="iterations of the long fit")
    options = parser.parse_args()
    set_threads(THREADS)
    rows = []
    for name in options.data:
        binned, truth = frames_of(name, SPOKES[name])
        problem, _ = hold_out(make_problem(binned, threads=THREADS), SPOKES[name], 0.02, THREADS)
        for title in options.method:
            kind, settings = CASES[title]
            method = make_method(kind, method_config(kind, "fast", settings), 0)
            assert isinstance(method, GraspMethod | LowrankMethod)
            state, cells, values = method.start(problem), [], []
            for length in (None, options.long):
                while not method.done(state) if length is None else state.step < length:
                    method.step(problem, state)
                values.append(method.objective(problem, state))
                psnr, ssim = quality_of(method.image(state).numpy(), truth)
                cells += [str(state.step), f"{psnr:.2f} / {ssim:.4f}"]
            excess = f"{100 * (values[0] / values[1] - 1):.1f} %"
            rows.append([name, title, *cells[:2], excess, *cells[2:]])
    scores = "psnr_fit / ssim_fit"
    heads = ["file", "method", "stops after", scores, "objective above that of the long fit", "long fit", scores]
    table("Convergence with the default tolerance", heads, rows)


if __name__ == "__main__":
    with torch_on_one_thread():
        main()
