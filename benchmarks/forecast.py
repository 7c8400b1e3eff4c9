"""How well runs are forecast: ``python benchmarks/forecast.py [--only N …] [--threads N] [--json OUT]``.

Sixteen recipes on simulated data: ten that the forecast was made with, two that had been seen when its last factors
were lowered, and four that came after. Each is forecast in one process, timed in another, and run once more in a
third, where its memory is looked at; so none finds memory that another has left. Before the run a tiny one of the same
method loads what is loaded but once.

Seconds are those of the clock, from the recipe and the data in memory to the saved result. Memory is the highest
resident memory of the process, looked at every two milliseconds, less what it held before the run; on a GPU torch's
own peak. Prints a Markdown table of both and their ratio. Within ±30 % is the aim. On a machine that is busy with other
things the figures say little: ``--threads 1`` needs but one core that is free.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from napari_dainr.data import KSpace
from napari_dainr.forecast import forecast
from napari_dainr.machine import HighestMemory, give_back_memory
from napari_dainr.phantom import cine_phantom, liver_phantom, simulate_kspace
from napari_dainr.recipe import Progress, Recipe, run

CASES: list[dict[str, Any]] = [
    {"method": "nufft", "matrix": 192, "frames": 30, "spokes": 13, "coils": 16},
    {"method": "grasp", "matrix": 96, "frames": 24, "spokes": 8, "coils": 8},
    {"method": "grasp", "matrix": 160, "frames": 16, "spokes": 13, "coils": 12, "phantom": "liver"},
    {"method": "lowrank", "matrix": 96, "frames": 30, "spokes": 8, "coils": 8},
    {"method": "lowrank", "matrix": 112, "frames": 20, "spokes": 8, "coils": 6,
     "settings": {"scope": "global", "model": "sum"}},
    {"method": "dainr", "matrix": 96, "frames": 20, "spokes": 8, "coils": 8},
    {"method": "dainr", "matrix": 128, "frames": 12, "spokes": 13, "coils": 10, "phantom": "liver",
     "recipe": {"scale": 2.0, "upsample": 3}, "settings": {"feature_steps": 40}},
    {"method": "tddip", "matrix": 96, "frames": 20, "spokes": 8, "coils": 8, "settings": {"n_steps": 300}},
    {"method": "stinr", "matrix": 96, "frames": 20, "spokes": 8, "coils": 8},
    {"method": "nik", "matrix": 96, "frames": 16, "spokes": 8, "coils": 8, "settings": {"n_steps": 1000}},
    # No factor was fitted on these two, but they had been seen when the bound on drawing was lowered.
    {"method": "hashinr", "matrix": 112, "frames": 18, "spokes": 8, "coils": 7, "phantom": "liver"},
    {"method": "fmlp", "matrix": 80, "frames": 16, "spokes": 8, "coils": 8, "settings": {"n_steps": 500}},
    # These four came after.
    {"method": "dainr", "matrix": 144, "frames": 14, "spokes": 13, "coils": 8,
     "settings": {"feature": "nufft", "members": 1}},
    {"method": "lowrank", "matrix": 128, "frames": 16, "spokes": 13, "coils": 12, "phantom": "liver",
     "settings": {"scope": "global"}},
    {"method": "grasp", "matrix": 120, "frames": 36, "spokes": 5, "coils": 8, "snr": 15,
     "settings": {"space_factor": 0.02}},
    {"method": "dainr", "matrix": 104, "frames": 16, "spokes": 8, "coils": 8,
     "recipe": {"scale": 1.5, "upsample": 2}, "settings": {"feature": "grasp"}},
]  # fmt: skip


def data(case: dict[str, Any]) -> KSpace:
    matrix = (case["matrix"], case["matrix"])
    liver = case.get("phantom") == "liver"
    image = liver_phantom(matrix, case["frames"])[0] if liver else cine_phantom(matrix, case["frames"], 0)
    return simulate_kspace(image, spokes_per_frame=case["spokes"], n_coils=case["coils"], snr=case.get("snr", 30))


def recipe_of(case: dict[str, Any], device: str, threads: int | None = None, **settings: int) -> Recipe:
    machine = {"device": device, "threads": threads}
    return Recipe.model_validate(
        {"data": "simulated", "spokes_per_frame": case["spokes"], "method": case["method"]} | machine
        | {"settings": case.get("settings", {}) | settings} | case.get("recipe", {})
    )  # fmt: skip


def told(case: dict[str, Any], device: str, threads: int | None) -> dict[str, Any]:
    """The forecast: the first of a process, which loads what it needs, and the next."""
    kspace, recipe = data(case), recipe_of(case, device, threads)
    took = []
    for _ in range(2):
        begun = time.perf_counter()
        said = forecast(recipe, kspace)
        took.append(time.perf_counter() - begun)
    return {
        "first_forecast_took": took[0], "forecast_took": took[1], "told_seconds": said.seconds,
        "told_memory": said.memory_bytes, "told_parts": said.parts,
    }  # fmt: skip


def held(case: dict[str, Any], device: str, threads: int | None) -> dict[str, Any]:
    """Memory of the run."""
    watch = HighestMemory(device)
    carry_out(case, device, threads, watch)
    return {"memory": watch.rise}


def taken(case: dict[str, Any], device: str, threads: int | None) -> dict[str, Any]:
    """Seconds of the run; nobody looks at its memory, which would take a part of a core and of Python's lock."""
    return carry_out(case, device, threads, contextlib.nullcontext())


def carry_out(
    case: dict[str, Any], device: str, threads: int | None, watch: contextlib.AbstractContextManager[Any]
) -> dict[str, Any]:
    """The run, as the first large one of its process."""
    kspace, recipe = data(case), recipe_of(case, device, threads)
    few = {name: 1 for name in ("n_steps", "feature_steps") if name in type(recipe.config()).model_fields}
    list(run(recipe_of(case, device, threads, **few), kspace=data(case | {"matrix": 32, "frames": 3, "coils": 2})))
    gc.collect()
    parts: dict[str, float] = {}
    give_back_memory()
    done = 0
    with tempfile.TemporaryDirectory() as folder, watch:
        last = begun = time.perf_counter()
        cpu = time.process_time()
        for event in run(recipe, Path(folder) / "run", kspace=kspace):
            now = time.perf_counter()
            name = event.stage if isinstance(event, Progress) else type(event).__name__.lower()
            parts[name], last = parts.get(name, 0.0) + now - last, now
            if isinstance(event, Progress) and event.stage != "DA-INR":
                done = event.step
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    return {"seconds": seconds, "cpu_seconds": cpu, "parts": parts, "step": done}


PARTS = {"told": told, "taken": taken, "held": held}


def line(case: dict[str, Any], result: dict[str, Any]) -> str:
    n = f"{case['matrix']}² × {case['frames']}, {case['coils']} coils"
    return (
        f"| {case['method']} | {n} | {result['forecast_took']:.1f} | {result['told_seconds']:.1f} "
        f"| {result['seconds']:.1f} | {result['told_seconds'] / result['seconds']:.2f} "
        f"| {result['told_memory'] / 1e6:.0f} | {result['memory'] / 1e6:.0f} "
        f"| {result['told_memory'] / max(result['memory'], 1):.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=int, nargs="+", help="numbers of cases, from 0")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--case", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case is not None:
        print(json.dumps(PARTS[args.part](CASES[args.case], args.device, args.threads)))
        return
    print("| method | size | forecast took s | told s | took s | ratio | told MB | took MB | ratio |\n|" + "---|" * 9)
    results = []
    for number in args.only or range(len(CASES)):
        results.append({"case": CASES[number]})
        for part in PARTS:
            command = [sys.executable, __file__, "--case", str(number), "--part", part, "--device", args.device]
            command += [] if args.threads is None else ["--threads", str(args.threads)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            results[-1] |= json.loads(done.stdout.splitlines()[-1])
        print(line(CASES[number], results[-1]), flush=True)
    if args.json is not None:
        args.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
